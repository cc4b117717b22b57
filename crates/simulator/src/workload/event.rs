//! Events as the controllers, the scheduler and the kubelets of a real cluster write them.
//!
//! What the system's own pods do is not told: nobody asks for it, and it would be most of what a new cluster stores.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::plane_state::{PlaneDecision, Resource};
use crate::{
    condition::seconds,
    object::{Object, stable_hash},
};

/// Something worth telling about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// `Normal` or `Warning`.
    kind: &'static str,
    reason: &'static str,
    message: String,
    component: &'static str,
    host: String,
    field_path: String,
}

impl Note {
    /// Something that is as it should be.
    pub fn normal(component: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind: "Normal", reason, message, component, host: String::new(), field_path: String::new() }
    }

    /// Something that needs attention.
    pub fn warning(component: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: "Warning", ..Self::normal(component, reason, message) }
    }

    /// Told by the kubelet of this node.
    #[must_use]
    pub fn from_node(mut self, node: &str) -> Self {
        node.clone_into(&mut self.host);
        self
    }

    /// About this container of a pod.
    #[must_use]
    pub fn about_container(mut self, container: &str) -> Self {
        self.field_path = format!("spec.containers{{{container}}}");
        self
    }
}

impl PlaneDecision {
    /// Tells something about an object.
    pub fn note(&mut self, resource: Resource, object: &Object, note: &Note, now: Timestamp) {
        if object.namespace() != "kube-system" {
            self.create.push(event(resource, object, note, now));
        }
    }
}

/// The Event. Its name is the same for the same note at the same time, so that a decision made twice is told once.
fn event(resource: Resource, object: &Object, note: &Note, now: Timestamp) -> Value {
    let (object_kind, api_version, _, _) = resource.names();
    let namespace = if object.namespace().is_empty() { "default" } else { object.namespace() };
    let hash =
        stable_hash(&[object.uid(), note.reason, &note.message, &note.field_path, &now.as_nanosecond().to_string()]);
    let mut involved = json!({
        "apiVersion": api_version, "kind": object_kind, "name": object.name(), "uid": object.uid(),
        "resourceVersion": object.text("/metadata/resourceVersion"),
    });
    if !object.namespace().is_empty() {
        involved["namespace"] = json!(object.namespace());
    }
    if !note.field_path.is_empty() {
        involved["fieldPath"] = json!(note.field_path);
    }
    let mut source = json!({"component": note.component});
    if !note.host.is_empty() {
        source["host"] = json!(note.host);
    }
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"namespace": namespace, "name": format!("{}.{hash:016x}", object.name())},
        "involvedObject": involved, "type": note.kind, "reason": note.reason, "message": note.message, "count": 1,
        "source": source, "firstTimestamp": seconds(now), "lastTimestamp": seconds(now),
        "reportingComponent": note.component, "reportingInstance": note.host,
    })
}
