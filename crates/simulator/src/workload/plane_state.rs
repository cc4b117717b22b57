//! What is in a plane, as far as its controllers care, and what they want written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{Object, equal_as_stored, merge_difference};

/// A resource the workload controllers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the variants are the kinds' own names
pub enum Resource {
    Node,
    Pod,
    Service,
    EndpointSlice,
    Endpoints,
    PersistentVolumeClaim,
    PersistentVolume,
    StorageClass,
    Deployment,
    ReplicaSet,
    DaemonSet,
    StatefulSet,
    Job,
    CronJob,
    PodDisruptionBudget,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::Endpoints,
        Self::PersistentVolumeClaim,
        Self::PersistentVolume,
        Self::StorageClass,
        Self::Deployment,
        Self::ReplicaSet,
        Self::DaemonSet,
        Self::StatefulSet,
        Self::Job,
        Self::CronJob,
        Self::PodDisruptionBudget,
    ];

    /// Kind, `apiVersion`, plural, and whether it is namespaced.
    pub const fn names(self) -> (&'static str, &'static str, &'static str, bool) {
        match self {
            Self::Node => ("Node", "v1", "nodes", false),
            Self::Pod => ("Pod", "v1", "pods", true),
            Self::Service => ("Service", "v1", "services", true),
            Self::EndpointSlice => ("EndpointSlice", "discovery.k8s.io/v1", "endpointslices", true),
            Self::Endpoints => ("Endpoints", "v1", "endpoints", true),
            Self::PersistentVolumeClaim => ("PersistentVolumeClaim", "v1", "persistentvolumeclaims", true),
            Self::PersistentVolume => ("PersistentVolume", "v1", "persistentvolumes", false),
            Self::StorageClass => ("StorageClass", "storage.k8s.io/v1", "storageclasses", false),
            Self::Deployment => ("Deployment", "apps/v1", "deployments", true),
            Self::ReplicaSet => ("ReplicaSet", "apps/v1", "replicasets", true),
            Self::DaemonSet => ("DaemonSet", "apps/v1", "daemonsets", true),
            Self::StatefulSet => ("StatefulSet", "apps/v1", "statefulsets", true),
            Self::Job => ("Job", "batch/v1", "jobs", true),
            Self::CronJob => ("CronJob", "batch/v1", "cronjobs", true),
            Self::PodDisruptionBudget => ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", true),
        }
    }

    /// The resource that is stored under this group and plural, if it is of interest.
    pub fn of(group: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| {
            let (_, api_version, own_plural, _) = resource.names();
            plural == own_plural && group == api_version.split_once('/').map_or("", |(group, _)| group)
        })
    }

    /// Path of one object.
    pub fn path(self, namespace: &str, name: &str) -> String {
        let (_, api_version, plural, namespaced) = self.names();
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        if namespaced {
            format!("{root}/{api_version}/namespaces/{namespace}/{plural}/{name}")
        } else {
            format!("{root}/{api_version}/{plural}/{name}")
        }
    }
}

/// All objects of a plane that its controllers look at.
#[derive(Clone, Debug, Default)]
pub struct PlaneState {
    /// By resource, ordered by namespace and name.
    objects: BTreeMap<Resource, Vec<Object>>,
}

impl PlaneState {
    /// Puts an object in place, new or changed.
    pub fn put(&mut self, resource: Resource, object: Object) {
        let objects = self.objects.entry(resource).or_default();
        match find(objects, object.namespace(), object.name()) {
            Ok(index) => objects[index] = object,
            Err(index) => objects.insert(index, object),
        }
    }

    /// Removes an object that is gone.
    pub fn remove(&mut self, resource: Resource, namespace: &str, name: &str) {
        if let Some(objects) = self.objects.get_mut(&resource)
            && let Ok(index) = find(objects, namespace, name)
        {
            objects.remove(index);
        }
    }

    /// The objects of a resource.
    pub fn all(&self, resource: Resource) -> &[Object] {
        self.objects.get(&resource).map_or(&[], Vec::as_slice)
    }

    /// Pods an object controls.
    pub fn pods_of<'a>(&'a self, owner: &'a Object) -> impl Iterator<Item = &'a Object> {
        self.all(Resource::Pod).iter().filter(|pod| pod.owned_by(owner.uid()))
    }
}

/// Where an object is, or would be.
fn find(objects: &[Object], namespace: &str, name: &str) -> Result<usize, usize> {
    objects.binary_search_by(|it| (it.namespace(), it.name()).cmp(&(namespace, name)))
}

/// What the controllers of a plane want written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlaneDecision {
    /// Objects to create; those that are there already are kept.
    pub create: Vec<Value>,
    /// Merge patches by path.
    pub patch: Vec<(String, Value)>,
    /// Posts to subresources by path.
    pub post: Vec<(String, Value)>,
    /// Paths to delete.
    pub delete: Vec<String>,
    /// When something becomes due by itself.
    pub wake_at: Option<Timestamp>,
}

impl PlaneDecision {
    /// Whether nothing is to be written.
    pub fn is_quiet(&self) -> bool {
        self.create.is_empty() && self.patch.is_empty() && self.post.is_empty() && self.delete.is_empty()
    }

    /// Looks again at `at`, or earlier if something else is due earlier.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }

    /// Brings an object's status to `status`.
    pub fn status(&mut self, resource: Resource, object: &Object, status: &Value) {
        let empty = json!({});
        let old = if object.at("/status").is_null() { &empty } else { object.at("/status") };
        // Fields that somebody else keeps in the status stay.
        let mut wanted = old.clone();
        for (key, value) in status.as_object().into_iter().flatten() {
            if !equal_as_stored(old.get(key).unwrap_or(&Value::Null), value) {
                wanted[key] = value.clone();
            }
        }
        if let Some(difference) = merge_difference(old, &wanted) {
            self.patch
                .push((resource.path(object.namespace(), object.name()) + "/status", json!({"status": difference})));
        }
    }

    /// Deletes an object; nothing if it is being deleted.
    pub fn delete(&mut self, resource: Resource, object: &Object) {
        if !object.deleting() {
            self.delete.push(resource.path(object.namespace(), object.name()));
        }
    }

    /// Patches an object.
    pub fn patch(&mut self, resource: Resource, object: &Object, body: Value) {
        self.patch.push((resource.path(object.namespace(), object.name()), body));
    }
}

/// A controlling owner reference.
pub fn controller(resource: Resource, owner: &Object) -> Value {
    let (kind, api_version, _, _) = resource.names();
    json!({
        "apiVersion": api_version, "kind": kind, "name": owner.name(), "uid": owner.uid(), "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A pod of this template.
pub fn pod_from(template: &Value, resource: Resource, owner: &Object, name: &str) -> Value {
    let mut metadata = json!({
        "namespace": owner.namespace(), "name": name, "labels": template["metadata"]["labels"],
        "ownerReferences": [controller(resource, owner)],
    });
    if let Some(annotations) = template["metadata"].get("annotations") {
        metadata["annotations"] = annotations.clone();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// Whether a pod runs and is ready.
pub fn is_ready(pod: &Object) -> bool {
    !pod.deleting() && pod.is_true("Ready")
}

/// Whether a pod ended by itself.
pub fn is_finished(pod: &Object) -> bool {
    matches!(pod.text("/status/phase"), "Succeeded" | "Failed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(namespace: u8, name: u8, node: u8) -> Object {
        Object::new(json!({
            "metadata": {"namespace": namespace.to_string(), "name": name.to_string()}, "spec": {"nodeName": node.to_string()},
        }))
    }

    proptest! {
        #[test]
        fn changes_in_any_order_leave_what_a_list_would_show(changes: Vec<(u8, u8, Option<u8>)>) {
            let mut state = PlaneState::default();
            let mut expected = BTreeMap::new();
            for (namespace, name, node) in changes {
                let (namespace, name) = (namespace % 3, name % 20);
                if let Some(node) = node {
                    state.put(Resource::Pod, pod(namespace, name, node));
                    expected.insert((namespace.to_string(), name.to_string()), pod(namespace, name, node));
                } else {
                    state.remove(Resource::Pod, &namespace.to_string(), &name.to_string());
                    expected.remove(&(namespace.to_string(), name.to_string()));
                }
            }
            prop_assert_eq!(state.all(Resource::Pod), expected.into_values().collect::<Vec<_>>());
        }
    }
}
