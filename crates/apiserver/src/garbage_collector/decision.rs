//! What is done with an object whose owners or whose own deletion ask for something: pure, on values.
//!
//! The rules are those of `k8s.io/kubernetes/pkg/controller/garbagecollector` (`attemptToDeleteItem`,
//! `processDeletingDependentsItem`, `orphanDependents`).

use serde_json::Value;

use crate::object_writer::Propagation;

pub(super) const ORPHAN: &str = "orphan";
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnerReference {
    pub(super) uid: String,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// `blockOwnerDeletion`.
    pub(super) blocks: bool,
}

/// What the collector reads of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) uid: String,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) terminating: bool,
    /// Has the finalizer `foregroundDeletion`.
    pub(super) foreground: bool,
    /// Has the finalizer `orphan`.
    pub(super) orphan: bool,
}

impl Subject {
    /// Reads an object; what is missing or of another type counts as absent.
    pub(super) fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let has = |name: &str| {
            metadata["finalizers"].as_array().is_some_and(|finalizers| finalizers.iter().any(|entry| entry == name))
        };
        let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            uid: text(&metadata["uid"]),
            owners: owners
                .iter()
                .map(|owner| OwnerReference {
                    uid: text(&owner["uid"]),
                    api_version: text(&owner["apiVersion"]),
                    kind: text(&owner["kind"]),
                    name: text(&owner["name"]),
                    blocks: owner["blockOwnerDeletion"] == true,
                })
                .collect(),
            terminating: metadata["deletionTimestamp"].is_string(),
            foreground: has(FOREGROUND),
            orphan: has(ORPHAN),
        }
    }

    /// Whether it is being deleted after its dependents.
    pub(super) fn waits_for_dependents(&self) -> bool {
        self.terminating && self.foreground
    }

    /// Whether it keeps this owner from being removed.
    fn blocks(&self, owner_uid: &str) -> bool {
        self.owners.iter().any(|owner| owner.uid == owner_uid && owner.blocks)
    }
}

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It is there.
    Present,
    /// It is there, being deleted after its dependents.
    WaitsForDependents,
    /// No object of this kind, namespace and name has its uid.
    Absent,
    /// Its kind is not served, or it is namespaced and the dependent is not: nothing can be said.
    Unknown,
}

/// What is known of the dependents of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dependents {
    pub(super) any: bool,
    /// One is itself being deleted after its dependents: perhaps a circle.
    pub(super) any_waiting: bool,
}

/// What to do with an object that is not being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Keep,
    /// Take these owners (uids) off it.
    RemoveOwners(Vec<String>),
    /// Delete it; `unblock`: first let it no longer block its owners.
    Delete {
        propagation: Propagation,
        unblock: bool,
    },
}

/// Decides by the owners, whose states are in the order of the references. `dependents` is asked only if it matters.
pub(super) fn decide(subject: &Subject, owners: &[OwnerState], dependents: impl FnOnce() -> Dependents) -> Action {
    if subject.owners.is_empty() || owners.contains(&OwnerState::Unknown) {
        return Action::Keep;
    }
    if owners.contains(&OwnerState::Present) {
        let others: Vec<String> = subject
            .owners
            .iter()
            .zip(owners)
            .filter(|(_, state)| **state != OwnerState::Present)
            .map(|(owner, _)| owner.uid.clone())
            .collect();
        return if others.is_empty() { Action::Keep } else { Action::RemoveOwners(others) };
    }
    if owners.contains(&OwnerState::WaitsForDependents) {
        let dependents = dependents();
        if dependents.any {
            // A circle of objects that wait for each other is opened here.
            return Action::Delete { propagation: Propagation::Foreground, unblock: dependents.any_waiting };
        }
    }
    let propagation = if subject.orphan {
        Propagation::Orphan
    } else if subject.foreground {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    Action::Delete { propagation, unblock: false }
}

/// What to do with an object that is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Termination {
    /// Its finalizers are not the collector's.
    Nothing,
    /// Take it off its dependents, then remove the finalizer `orphan`.
    Orphan,
    /// Look at its dependents, then again at it.
    WaitForDependents,
    /// Remove the finalizer `foregroundDeletion`.
    Finish,
}

/// Decides by the dependents.
pub(super) fn decide_termination(subject: &Subject, dependents: &[Subject]) -> Termination {
    if !subject.terminating {
        Termination::Nothing
    } else if subject.foreground {
        if dependents.iter().any(|dependent| dependent.blocks(&subject.uid)) {
            Termination::WaitForDependents
        } else {
            Termination::Finish
        }
    } else if subject.orphan {
        Termination::Orphan
    } else {
        Termination::Nothing
    }
}

/// Takes owners off an object; false if there is nothing to take.
pub(super) fn remove_owners(object: &mut Value, uids: &[String]) -> bool {
    let Some(metadata) = object["metadata"].as_object_mut() else { return false };
    let Some(owners) = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut) else { return false };
    let before = owners.len();
    owners.retain(|owner| owner["uid"].as_str().is_none_or(|uid| !uids.iter().any(|gone| gone == uid)));
    let changed = owners.len() != before;
    if owners.is_empty() {
        metadata.remove("ownerReferences");
    }
    changed
}

/// Takes a finalizer off an object; false if it has it not.
pub(super) fn remove_finalizer(object: &mut Value, finalizer: &str) -> bool {
    let Some(metadata) = object["metadata"].as_object_mut() else { return false };
    let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) else { return false };
    let before = finalizers.len();
    finalizers.retain(|entry| entry != finalizer);
    let changed = finalizers.len() != before;
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    }
    changed
}

/// Lets an object block none of its owners any more; false if it blocks none.
pub(super) fn unblock_owners(object: &mut Value) -> bool {
    let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() else { return false };
    let mut changed = false;
    for owner in owners {
        if owner["blockOwnerDeletion"] == true {
            owner["blockOwnerDeletion"] = false.into();
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(owners: &[&str], finalizers: &[&str], terminating: bool) -> Subject {
        let owners: Vec<Value> =
            owners.iter().map(|uid| json!({"uid": uid, "blockOwnerDeletion": uid.ends_with('!')})).collect();
        let deletion = terminating.then_some("2026-01-01T00:00:00Z");
        Subject::of(&json!({"metadata": {"uid": "self", "ownerReferences": owners, "finalizers": finalizers,
            "deletionTimestamp": deletion}}))
    }

    #[test]
    fn an_object_lives_as_long_as_one_owner_does() {
        use OwnerState::{Absent, Present, Unknown, WaitsForDependents};
        let none = Dependents::default;
        let some = || Dependents { any: true, any_waiting: false };
        let circle = || Dependents { any: true, any_waiting: true };
        let delete = |propagation| Action::Delete { propagation, unblock: false };
        let remove = |uid: &str| Action::RemoveOwners(vec![uid.to_owned()]);
        let two = subject(&["a", "b"], &[], false);
        assert_eq!(decide(&subject(&[], &[], false), &[], none), Action::Keep);
        assert_eq!(decide(&two, &[Present, Present], none), Action::Keep);
        assert_eq!(decide(&two, &[Present, Absent], none), remove("b"));
        assert_eq!(decide(&two, &[WaitsForDependents, Present], some), remove("a"));
        assert_eq!(decide(&two, &[Unknown, Absent], none), Action::Keep);
        assert_eq!(decide(&two, &[Absent, Absent], some), delete(Propagation::Background));
        assert_eq!(decide(&two, &[WaitsForDependents, Absent], none), delete(Propagation::Background));
        assert_eq!(decide(&two, &[WaitsForDependents, Absent], some), delete(Propagation::Foreground));
        let open = Action::Delete { propagation: Propagation::Foreground, unblock: true };
        assert_eq!(decide(&two, &[WaitsForDependents, Absent], circle), open);
        assert_eq!(decide(&subject(&["a"], &[ORPHAN], false), &[Absent], none), delete(Propagation::Orphan));
        assert_eq!(decide(&subject(&["a"], &[FOREGROUND], false), &[Absent], none), delete(Propagation::Foreground));
    }

    #[test]
    fn an_object_being_deleted_waits_only_for_dependents_that_block() {
        let foreground = subject(&[], &[FOREGROUND], true);
        let loose = subject(&["self"], &[], false);
        let mut blocking = loose.clone();
        blocking.owners[0].blocks = true;
        let decide = decide_termination;
        assert_eq!(decide(&foreground, &[loose.clone(), blocking]), Termination::WaitForDependents);
        assert_eq!(decide(&foreground, std::slice::from_ref(&loose)), Termination::Finish);
        assert_eq!(decide(&subject(&[], &[ORPHAN], true), &[loose]), Termination::Orphan);
        assert_eq!(decide(&subject(&[], &["other"], true), &[]), Termination::Nothing);
        assert_eq!(decide(&subject(&[], &[FOREGROUND], false), &[]), Termination::Nothing);
    }

    #[test]
    fn what_is_taken_off_leaves_no_empty_list() {
        let mut object = json!({"metadata": {"finalizers": ["orphan"], "ownerReferences": [
            {"uid": "a", "blockOwnerDeletion": true}, {"uid": "b"}]}});
        assert!(unblock_owners(&mut object) && !unblock_owners(&mut object));
        assert!(remove_owners(&mut object, &["a".to_owned()]) && !remove_owners(&mut object, &["a".to_owned()]));
        assert_eq!(object, json!({"metadata": {"finalizers": ["orphan"], "ownerReferences": [{"uid": "b"}]}}));
        assert!(remove_owners(&mut object, &["b".to_owned()]) && remove_finalizer(&mut object, ORPHAN));
        assert_eq!((remove_finalizer(&mut object, ORPHAN), object), (false, json!({"metadata": {}})));
    }
}
