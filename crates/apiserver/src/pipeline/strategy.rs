//! What the real server does in code for built-in kinds when they are written.

use kogge_machinery::{
    resource::ResourceType,
    status_error::{ApiError, FieldError},
};
use serde_json::{Value, json};

use crate::builtin;

/// Completes a new object of a built-in kind.
///
/// # Errors
/// What the kind cannot be created with.
pub(crate) fn prepare_create(resource: &ResourceType, object: &mut Value, _now: &str) -> Result<(), ApiError> {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            object["spec"]["finalizers"] = json!(["kubernetes"]);
        }
        _ => {}
    }
    if let Some(status) = builtin::defaults::initial_status(resource) {
        object["status"] = status;
    }
    Ok(())
}

/// Completes a changed object of a built-in kind.
///
/// # Errors
/// What the kind cannot be changed to.
pub(crate) fn prepare_update(
    resource: &ResourceType,
    old: &Value,
    object: &mut Value,
    _subresource: &str,
) -> Result<(), ApiError> {
    if (resource.group.as_str(), resource.plural.as_str()) == ("", "services")
        && object["spec"]["type"] != "ExternalName"
    {
        // What was allocated for the service stays, though the one who replaces it does not repeat it.
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if object["spec"][field].is_null() && !old["spec"][field].is_null() {
                object["spec"][field] = old["spec"][field].clone();
            }
        }
    }
    Ok(())
}

/// Fields of a built-in kind that no schema can refuse.
pub(crate) fn validate(resource: &ResourceType, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    builtin::validation::validate(resource, object, old)
}
