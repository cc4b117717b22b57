//! `/ephemeralcontainers` of a pod, by which `kubectl debug` puts a container into a pod that is there. Through it
//! nothing else changes, and a container once added stays as it is (`podEphemeralContainersStrategy` and
//! `ValidatePodEphemeralContainersUpdate` of Kubernetes).

use std::collections::BTreeSet;

use kogge_machinery::status_error::{ApiError, FieldError};
use serde_json::Value;

/// Name of the subresource.
pub(super) const SUBRESOURCE: &str = "ephemeralcontainers";

/// Reduces a changed pod to what the endpoint may change.
///
/// # Errors
/// 422 if a container is changed, removed, or added without what it needs.
pub(super) fn prepare_update(old: &Value, object: &mut Value) -> Result<(), ApiError> {
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
    let errors = validate(old, &new);
    if !errors.is_empty() {
        return Err(ApiError::invalid("", "Pod", old["metadata"]["name"].as_str().unwrap_or_default(), &errors));
    }
    *object = new;
    Ok(())
}

fn containers<'p>(pod: &'p Value, list: &str) -> impl Iterator<Item = &'p Value> + use<'p> {
    pod["spec"][list].as_array().into_iter().flatten()
}

fn name(container: &Value) -> &str {
    container["name"].as_str().unwrap_or_default()
}

fn validate(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let regular = containers(new, "containers").chain(containers(new, "initContainers"));
    let mut taken: BTreeSet<&str> = regular.map(name).collect();
    for (index, container) in containers(new, "ephemeralContainers").enumerate() {
        let at = |field: &str| format!("spec.ephemeralContainers[{index}].{field}");
        if name(container).is_empty() {
            errors.push(FieldError::required(at("name"), ""));
        } else if !taken.insert(name(container)) {
            errors.push(FieldError::duplicate(at("name"), &container["name"]));
        }
        if container["image"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(at("image"), ""));
        }
    }
    for known in containers(old, "ephemeralContainers") {
        let done = match containers(new, "ephemeralContainers").find(|container| name(container) == name(known)) {
            None => "removed",
            Some(container) if container != known => "changed",
            Some(_) => continue,
        };
        let message = format!("existing ephemeral containers {:?} may not be {done}\n", name(known));
        errors.push(FieldError::forbidden("spec.ephemeralContainers", &message));
    }
    errors
}
