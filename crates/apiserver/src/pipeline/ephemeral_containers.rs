//! `/ephemeralcontainers` of a pod, by which `kubectl debug` puts a container into a pod that is there. Through it
//! nothing else changes (`podEphemeralContainersStrategy` of Kubernetes); validation holds that a container once added stays
//! as it is.

use serde_json::Value;

/// Name of the subresource.
pub(super) const SUBRESOURCE: &str = "ephemeralcontainers";

/// Reduces a changed pod to what the endpoint may change.
pub(super) fn prepare_update(old: &Value, object: &mut Value) {
    let mut new = old.clone();
    for field in ["resourceVersion", "uid", "managedFields"] {
        if let Some(given) = object["metadata"].get(field).filter(|given| !given.is_null()) {
            new["metadata"][field] = given.clone();
        }
    }
    match object["spec"].get("ephemeralContainers").filter(|list| !list.is_null()) {
        Some(list) => new["spec"]["ephemeralContainers"] = list.clone(),
        None => {
            if let Some(spec) = new["spec"].as_object_mut() {
                spec.remove("ephemeralContainers");
            }
        }
    }
    *object = new;
}
