//! Reading Kubernetes objects held as JSON.
//!
//! The simulator sees a dozen kinds whose deep parts differ by stack. It reads them through paths instead of structs:
//! a missing or wrongly typed field reads as empty, as the zero value does in the real controllers.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kind::Kind;

/// Label naming the cluster an object belongs to.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// Label on everything the topology controller writes.
pub const TOPOLOGY_OWNED_LABEL: &str = "topology.cluster.x-k8s.io/owned";
/// Label naming the machine deployment of a topology (the `name` in `workers.machineDeployments`).
pub const TOPOLOGY_DEPLOYMENT_LABEL: &str = "topology.cluster.x-k8s.io/deployment-name";
/// Label on control plane machines.
pub const CONTROL_PLANE_LABEL: &str = "cluster.x-k8s.io/control-plane";
/// Label naming the control plane object of a machine.
pub const CONTROL_PLANE_NAME_LABEL: &str = "cluster.x-k8s.io/control-plane-name";
/// Label naming the MachineDeployment of a machine.
pub const DEPLOYMENT_LABEL: &str = "cluster.x-k8s.io/deployment-name";
/// Label naming the MachineSet of a machine.
pub const SET_LABEL: &str = "cluster.x-k8s.io/set-name";
/// Annotation that pauses one object.
pub const PAUSED_ANNOTATION: &str = "cluster.x-k8s.io/paused";
/// Annotation naming the template an object was cloned from.
pub const CLONED_FROM_NAME_ANNOTATION: &str = "cluster.x-k8s.io/cloned-from-name";
/// Annotation naming group and kind of the template an object was cloned from.
pub const CLONED_FROM_GROUP_KIND_ANNOTATION: &str = "cluster.x-k8s.io/cloned-from-groupkind";
/// Annotation by which a user asks for one machine to be replaced.
pub const REMEDIATE_ANNOTATION: &str = "cluster.x-k8s.io/remediate-machine";
/// Annotation by which a user marks the machine to go first on a scale down.
pub const DELETE_MACHINE_ANNOTATION: &str = "cluster.x-k8s.io/delete-machine";

/// A Kubernetes object as JSON, with total accessors. Cheap to clone: clones share the JSON until one is changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Arc<Value>);

impl Object {
    /// An object of this JSON.
    pub fn new(value: Value) -> Self {
        Self(Arc::new(value))
    }

    /// The whole object.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Puts a status in place.
    pub fn set_status(&mut self, status: Value) {
        if self.at("/status") != &status {
            Arc::make_mut(&mut self.0)["status"] = status;
        }
    }

    /// The value at a JSON pointer, `null` where there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The string at a JSON pointer, empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// The integer at a JSON pointer, if there is one.
    pub fn number(&self, pointer: &str) -> Option<i64> {
        self.at(pointer).as_i64()
    }

    /// The boolean at a JSON pointer, false where there is none.
    pub fn flag(&self, pointer: &str) -> bool {
        self.at(pointer).as_bool().unwrap_or_default()
    }

    /// The elements of the list at a JSON pointer.
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    /// The RFC 3339 time at a JSON pointer.
    pub fn time(&self, pointer: &str) -> Option<Timestamp> {
        self.text(pointer).parse().ok()
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`, empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// `metadata.generation`, 0 where there is none.
    pub fn generation(&self) -> i64 {
        self.number("/metadata/generation").unwrap_or_default()
    }

    /// `metadata.creationTimestamp`; the epoch for an object that is not stored yet.
    pub fn created(&self) -> Timestamp {
        self.time("/metadata/creationTimestamp").unwrap_or_default()
    }

    /// Whether the object waits for its finalizers.
    pub fn deleting(&self) -> bool {
        !self.text("/metadata/deletionTimestamp").is_empty()
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.at("/metadata/labels").get(key)?.as_str()
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.at("/metadata/annotations").get(key)?.as_str()
    }

    /// Whether a finalizer is set.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.list("/metadata/finalizers").iter().any(|it| it.as_str() == Some(finalizer))
    }

    /// The condition of a type in `status.conditions`.
    pub fn condition(&self, condition_type: &str) -> Option<&Value> {
        self.list("/status/conditions").iter().find(|it| it["type"] == condition_type)
    }

    /// Whether the condition of a type is `True`.
    pub fn is_true(&self, condition_type: &str) -> bool {
        self.condition(condition_type).is_some_and(|it| it["status"] == "True")
    }

    /// Whether an owner reference with this uid is there.
    pub fn owned_by(&self, uid: &str) -> bool {
        self.list("/metadata/ownerReferences").iter().any(|it| it["uid"] == uid)
    }

    /// A controlling owner reference to this object, as the real controllers set it.
    pub fn controller_reference(&self, kind: Kind) -> Value {
        json!({
            "apiVersion": kind.api_version(), "kind": kind.name(), "name": self.name(), "uid": self.uid(),
            "controller": true, "blockOwnerDeletion": true,
        })
    }

    /// A plain owner reference to this object.
    pub fn owner_reference(&self, kind: Kind) -> Value {
        json!({"apiVersion": kind.api_version(), "kind": kind.name(), "name": self.name(), "uid": self.uid()})
    }
}

/// Five characters that depend only on the given parts; used where the real controllers append five random ones, so that
/// a name is found again after a restart and changes exactly when the content does.
pub fn name_suffix(parts: &[&str]) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = stable_hash(parts);
    (0..5)
        .map(|_| {
            let letter = ALPHABET[usize::try_from(hash % 27).unwrap_or_default()];
            hash /= 27;
            char::from(letter)
        })
        .collect()
}

/// A 64-bit hash (FNV-1a with a final mix) that is the same on every machine and in every release.
pub fn stable_hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    // FNV leaves the high bits weak for short input; this is the finaliser of MurmurHash3.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// `prefix-suffix`, the prefix shortened so that the whole fits a label value (63 characters).
pub fn joined_name(prefix: &str, suffix: &str) -> String {
    let keep = 62_usize.saturating_sub(suffix.len());
    let short: String = prefix.chars().take(keep).collect();
    format!("{}-{suffix}", short.trim_end_matches('-'))
}

/// The merge patch (RFC 7386) that turns `from` into `to`, or nothing where they are equal.
pub fn merge_difference(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = serde_json::Map::new();
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            for (key, value) in new {
                match old.get(key) {
                    Some(before) => {
                        if let Some(difference) = merge_difference(before, value) {
                            patch.insert(key.clone(), difference);
                        }
                    }
                    None => {
                        patch.insert(key.clone(), value.clone());
                    }
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (from != to).then(|| to.clone()),
    }
}

/// Whether two values of a built-in kind are the same to an API server, which stores no member that is empty (`omitempty`
/// in Go): to write the one over the other would change nothing, again and again.
pub fn equal_as_stored(stored: &Value, wanted: &Value) -> bool {
    match (stored, wanted) {
        (Value::Object(stored), Value::Object(wanted)) => stored.keys().chain(wanted.keys()).all(|key| {
            let of = |members: &serde_json::Map<String, Value>| members.get(key).cloned().unwrap_or_default();
            equal_as_stored(&of(stored), &of(wanted))
        }),
        (Value::Array(stored), Value::Array(wanted)) if !stored.is_empty() && !wanted.is_empty() => {
            stored.len() == wanted.len()
                && stored.iter().zip(wanted).all(|(stored, wanted)| equal_as_stored(stored, wanted))
        }
        _ => stored == wanted || (is_empty(stored) && is_empty(wanted)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_members_are_the_same_as_absent_ones_and_nothing_else_is() {
        let same = |stored: Value, wanted: Value| equal_as_stored(&stored, &wanted);
        assert!(same(json!({"replicas": 2}), json!({"replicas": 2, "unavailableReplicas": 0, "conditions": []})));
        assert!(same(json!([{"type": "A", "message": ""}]), json!([{"type": "A"}])));
        assert!(!same(json!({"unavailableReplicas": 1}), json!({"unavailableReplicas": 0})));
        assert!(!same(json!([{"type": "A"}, {"type": "B"}]), json!([{"type": "A"}])));
        assert!(!same(json!({}), json!({"replicas": 1})));
    }

    #[test]
    fn a_name_suffix_depends_on_every_part_and_on_nothing_else() {
        assert_eq!(name_suffix(&["a", "b"]), name_suffix(&["a", "b"]));
        assert_ne!(name_suffix(&["a", "b"]), name_suffix(&["ab"]));
        assert_ne!(name_suffix(&["a", "b"]), name_suffix(&["a", "c"]));
    }

    #[test]
    fn a_joined_name_fits_a_label_value() {
        let name = joined_name(&"x".repeat(80), "abcde");
        assert_eq!(name.len(), 63);
        assert!(name.ends_with("-abcde"));
    }

    #[test]
    fn a_merge_difference_removes_changes_and_adds() {
        let from = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        let to = json!({"b": {"c": 2, "d": 4}, "e": [1], "f": 5});
        assert_eq!(merge_difference(&from, &to), Some(json!({"a": null, "b": {"d": 4}, "f": 5})));
        assert_eq!(merge_difference(&to, &to), None);
    }
}
