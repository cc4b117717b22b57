//! Writes of CustomResourceDefinitions: names and conditions are settled within the write, so a definition is
//! Established as soon as its create is answered.

use kogge_machinery::custom_resource_definition;
use serde_json::{Value, json};

use crate::{
    plane::Plane,
    registry::{ServedResource, is_established},
};

/// The finalizer that keeps a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether objects of this type are CustomResourceDefinitions.
pub(crate) fn is_definition(served: &ServedResource) -> bool {
    served.is("apiextensions.k8s.io", "customresourcedefinitions")
}

/// Defaults a definition and settles its status.
pub(crate) fn prepare(plane: &Plane, definition: &mut Value, old: Option<&Value>, now: &str) {
    custom_resource_definition::apply_defaults(definition);
    if old.is_some_and(|old| old["spec"] == definition["spec"] && is_established(old)) {
        return;
    }
    let name = definition["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let group = definition["spec"]["group"].as_str().unwrap_or_default().to_owned();
    let taken = |candidate: &str| plane.registry().name_taken(&name, &group, candidate);
    definition["status"] = custom_resource_definition::established_status(definition, now, &taken);
}

/// Adds what the first delete of a definition adds: the finalizer and the condition Terminating.
pub(crate) fn mark_terminating(definition: &mut Value, now: &str) {
    let metadata = &mut definition["metadata"];
    let has_finalizer = metadata["finalizers"]
        .as_array()
        .is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER));
    if !has_finalizer {
        match metadata["finalizers"].as_array_mut() {
            Some(finalizers) => finalizers.push(CLEANUP_FINALIZER.into()),
            None => metadata["finalizers"] = json!([CLEANUP_FINALIZER]),
        }
    }
    let condition = json!({
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    });
    if definition["status"].is_null() {
        definition["status"] = json!({});
    }
    match definition["status"]["conditions"].as_array_mut() {
        Some(conditions) => {
            conditions.retain(|known| known["type"] != "Terminating");
            conditions.push(condition);
        }
        None => definition["status"]["conditions"] = json!([condition]),
    }
}
