//! The garbage collector: objects go with their owners, before them, or are left, as the delete asked.
//!
//! One task serves all planes. It keeps no graph: who depends on whom, by uid, is an index of the store that is written
//! in the transaction of the change; an owner is looked up when a dependent is looked at, at the latest revision.

mod decision;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kogge_machinery::status_error::ApiError;
use serde_json::{Value, json};

use self::decision::{
    Action, Dependents, FOREGROUND, ORPHAN, OwnerReference, OwnerState, Subject, Termination, decide,
    decide_termination, remove_finalizer, remove_owners, unblock_owners,
};
use crate::{
    controller_loop::Controller,
    object_writer::ObjectWriter,
    pipeline::WriteScope,
    plane::{Plane, parse_stored, read_error},
    registry::{ServedResource, is_established},
    store::{Event, EventKind, ObjectKey, PlaneName},
};

/// Field manager of the collector's changes, as in the real controller manager.
const MANAGER: &str = "kube-controller-manager";

/// What the collector looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    /// An object that may have lost its owners, or waits for the collector to be deleted.
    Object(ObjectKey),
    /// The dependents of an owner (uid) that is gone.
    Orphans(String),
    /// A definition, by which the kind of owners may be known that was not.
    Definition(ObjectKey),
}

/// The collector of all planes.
#[derive(Debug, Default)]
pub(crate) struct GarbageCollector {
    /// Objects that wait for their dependents, by plane and uid: a change of a dependent concerns them.
    waiting: Mutex<HashMap<(PlaneName, String), ObjectKey>>,
    /// Planes in which an owner is of a kind that is not served: once a kind is new, absent owners are looked up again.
    unknown_kinds: Mutex<HashSet<PlaneName>>,
}

impl Controller for GarbageCollector {
    type Item = Item;

    const NAME: &'static str = "garbage collector";

    fn resume(&self, plane: &Plane) -> Result<Vec<Item>, ApiError> {
        let terminating = plane.store().terminating().map_err(|error| read_error(&error))?;
        let absent = plane.store().absent_owners().map_err(|error| read_error(&error))?;
        Ok(terminating.into_iter().map(Item::Object).chain(absent.into_iter().map(Item::Orphans)).collect())
    }

    fn concerned(&self, plane: &PlaneName, event: &Event) -> Vec<Item> {
        let mut items = Vec::new();
        let facts = &event.facts;
        if event.kind == EventKind::Deleted {
            let uid = if facts.uid.is_empty() { &event.previous_facts.uid } else { &facts.uid };
            items.push(Item::Orphans(uid.clone()));
        } else if facts.terminating || (!facts.owners.is_empty() && facts.owners != event.previous_facts.owners) {
            items.push(Item::Object(event.key.clone()));
        }
        if event.kind != EventKind::Deleted && is_definition(&event.key) {
            items.push(Item::Definition(event.key.clone()));
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.is_empty() {
            let owners = facts.owners.iter().chain(&event.previous_facts.owners);
            let waiting = owners.filter_map(|owner| waiting.get(&(plane.clone(), owner.clone())));
            items.extend(waiting.cloned().map(Item::Object));
        }
        items
    }

    async fn process(&self, plane: &Plane, item: &Item) -> Result<Vec<Item>, ApiError> {
        match item {
            Item::Orphans(uid) => {
                self.waiting(|waiting| drop(waiting.remove(&(plane.name().clone(), uid.clone()))));
                Ok(dependents_of(plane, uid)?.into_iter().map(Item::Object).collect())
            }
            Item::Object(key) => self.process_object(plane, key).await,
            Item::Definition(key) => self.process_definition(plane, key),
        }
    }
}

impl GarbageCollector {
    fn waiting<T>(&self, access: impl FnOnce(&mut HashMap<(PlaneName, String), ObjectKey>) -> T) -> T {
        access(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn process_object(&self, plane: &Plane, key: &ObjectKey) -> Result<Vec<Item>, ApiError> {
        let Some(stored) = plane.get(key)? else { return Ok(Vec::new()) };
        let subject = Subject::of(&parse_stored(&stored.json)?);
        if subject.terminating {
            return self.process_terminating(plane, key, &subject).await;
        }
        let mut states = Vec::with_capacity(subject.owners.len());
        for owner in &subject.owners {
            let found = self.find_owner(plane, key, owner)?;
            if found.elsewhere {
                warn_of_invalid_namespace(plane, key, &subject, owner).await;
            }
            states.push(found.state);
        }
        let mut dependents = Dependents::default();
        if states.contains(&OwnerState::WaitsForDependents) {
            let subjects = load_dependents(plane, &dependents_of(plane, &subject.uid)?)?;
            dependents.any = !subjects.is_empty();
            dependents.any_waiting = subjects.iter().any(Subject::waits_for_dependents);
        }
        let writer = ObjectWriter { plane, manager: MANAGER };
        match decide(&subject, &states, || dependents) {
            Action::Keep => {}
            Action::RemoveOwners(owners) => {
                writer
                    .change(key, WriteScope::Main, |object| is(object, &subject) && remove_owners(object, &owners))
                    .await?;
            }
            Action::Delete { propagation, unblock } => {
                // The revision is a precondition: what was decided holds for the object as it was read. After a lost
                // race the item is looked at again.
                let mut revision = Some(stored.revision);
                if unblock {
                    writer
                        .change(key, WriteScope::Main, |object| is(object, &subject) && unblock_owners(object))
                        .await?;
                    revision = None;
                }
                match writer.delete(key, &subject.uid, revision, propagation).await {
                    Err(error) if error.code() == 409 => return Ok(vec![Item::Object(key.clone())]),
                    other => other?,
                }
            }
        }
        Ok(Vec::new())
    }

    /// Looks at the dependents of absent owners again where the kind of one was unknown and a definition is served now.
    fn process_definition(&self, plane: &Plane, key: &ObjectKey) -> Result<Vec<Item>, ApiError> {
        let unknown_kinds = || self.unknown_kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if !unknown_kinds().contains(plane.name()) {
            return Ok(Vec::new());
        }
        let Some(stored) = plane.get(key)? else { return Ok(Vec::new()) };
        if !is_established(&parse_stored(&stored.json)?) {
            return Ok(Vec::new());
        }
        if !plane.registry().knows(&key.name, stored.revision) {
            // It was written a moment ago and is served in the next.
            return Err(ApiError::internal(format!("{} is not served yet", key.name)));
        }
        unknown_kinds().remove(plane.name());
        let absent = plane.store().absent_owners().map_err(|error| read_error(&error))?;
        Ok(absent.into_iter().map(Item::Orphans).collect())
    }

    async fn process_terminating(
        &self,
        plane: &Plane,
        key: &ObjectKey,
        subject: &Subject,
    ) -> Result<Vec<Item>, ApiError> {
        if subject.foreground {
            // Noted before the dependents are read: a change of one after that brings the item back.
            let entry = (plane.name().clone(), subject.uid.clone());
            self.waiting(|waiting| drop(waiting.insert(entry, key.clone())));
        }
        if !subject.foreground && !subject.orphan {
            return Ok(Vec::new());
        }
        let dependents = dependents_of(plane, &subject.uid)?;
        let writer = ObjectWriter { plane, manager: MANAGER };
        match decide_termination(subject, &load_dependents(plane, &dependents)?) {
            Termination::Nothing => Ok(Vec::new()),
            Termination::WaitForDependents => Ok(dependents.into_iter().map(Item::Object).collect()),
            Termination::Finish => {
                let finish = |object: &mut Value| is(object, subject) && remove_finalizer(object, FOREGROUND);
                writer.change(key, WriteScope::Main, finish).await?;
                self.waiting(|waiting| drop(waiting.remove(&(plane.name().clone(), subject.uid.clone()))));
                Ok(Vec::new())
            }
            Termination::Orphan => {
                let owner = [subject.uid.clone()];
                for dependent in &dependents {
                    writer.change(dependent, WriteScope::Main, |object| remove_owners(object, &owner)).await?;
                }
                let finish = |object: &mut Value| is(object, subject) && remove_finalizer(object, ORPHAN);
                writer.change(key, WriteScope::Main, finish).await?;
                Ok(Vec::new())
            }
        }
    }

    /// Looks an owner up where a reference may point: in the dependent's namespace, or among cluster-scoped objects.
    fn find_owner(&self, plane: &Plane, dependent: &ObjectKey, owner: &OwnerReference) -> Result<FoundOwner, ApiError> {
        let Some(served) = self.find_kind(plane, owner) else {
            return Ok(FoundOwner { state: OwnerState::Unknown, elsewhere: false });
        };
        let namespaced = served.resource.namespaced;
        if namespaced && dependent.namespace.is_empty() {
            return Ok(FoundOwner { state: OwnerState::Unknown, elsewhere: true });
        }
        let namespace = if namespaced { dependent.namespace.clone() } else { String::new() };
        let key = ObjectKey { resource: served.stored_as.clone(), namespace, name: owner.name.clone() };
        if let Some(stored) = plane.get_value(&key)? {
            let found = Subject::of(&stored);
            if found.uid == owner.uid {
                let waits = found.waits_for_dependents();
                let state = if waits { OwnerState::WaitsForDependents } else { OwnerState::Present };
                return Ok(FoundOwner { state, elsewhere: false });
            }
        }
        let elsewhere = plane.store().get_by_uid(&owner.uid).map_err(|error| read_error(&error))?;
        let elsewhere = elsewhere.is_some_and(|found| namespaced && found.key.namespace != dependent.namespace);
        Ok(FoundOwner { state: OwnerState::Absent, elsewhere })
    }

    /// The type of an owner, in the version its reference names: as in the real server, who names one that is not served has
    /// an owner of which nobody knows whether it is there. That one is unknown is remembered, and it is looked up again after that: a definition that
    /// came in between may have found nothing to do.
    fn find_kind(&self, plane: &Plane, owner: &OwnerReference) -> Option<Arc<ServedResource>> {
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let find = || plane.registry().find_version_of_kind(group, version, &owner.kind);
        find().or_else(|| {
            self.unknown_kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(plane.name().clone());
            find()
        })
    }
}

fn is_definition(key: &ObjectKey) -> bool {
    key.resource.group == "apiextensions.k8s.io" && key.resource.resource == "customresourcedefinitions"
}

/// Whether an object still is the one that was looked at, not a new one under its name.
fn is(object: &Value, subject: &Subject) -> bool {
    object["metadata"]["uid"] == subject.uid.as_str()
}

fn dependents_of(plane: &Plane, uid: &str) -> Result<Vec<ObjectKey>, ApiError> {
    plane.store().dependents(uid).map_err(|error| read_error(&error))
}

fn load_dependents(plane: &Plane, keys: &[ObjectKey]) -> Result<Vec<Subject>, ApiError> {
    let mut subjects = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(stored) = plane.get_value(key)? {
            subjects.push(Subject::of(&stored));
        }
    }
    Ok(subjects)
}

struct FoundOwner {
    state: OwnerState,
    /// An object has the uid, but in a namespace the dependent may not refer to.
    elsewhere: bool,
}

/// Tells the user, as the real collector does, that an owner reference crosses namespaces. Best effort.
async fn warn_of_invalid_namespace(plane: &Plane, key: &ObjectKey, subject: &Subject, owner: &OwnerReference) {
    let Some(served) = plane.registry().find_stored(&key.resource) else { return };
    let namespace = if key.namespace.is_empty() { "default" } else { &key.namespace };
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let message = format!(
        "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace {:?}",
        owner.api_version, owner.kind, key.namespace, owner.name, owner.uid, key.namespace
    );
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        // One event a reference: the name is the same each time, and what is there is not created again.
        "metadata": {"namespace": namespace, "name": format!("{}.{}", key.name, owner.uid)},
        "involvedObject": {
            "apiVersion": served.resource.api_version(),
            "kind": served.resource.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": subject.uid,
        },
        "reason": "OwnerRefInvalidNamespace",
        "message": message,
        "type": "Warning",
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": "garbage-collector-controller"},
        "reportingComponent": "garbage-collector-controller",
        "reportingInstance": "",
    });
    if let Err(error) = plane.apply_all(vec![event]).await {
        tracing::debug!(object = %key, %error, "failed to record an event");
    }
}

#[cfg(test)]
mod tests;
