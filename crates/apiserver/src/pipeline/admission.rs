//! Admission: where a write may be refused by more than its schema.
//!
//! [`admit`] runs for every create and update, also in a dry run, once the object is complete and before it is
//! validated; [`admit_delete`] before a delete. In the real server mutating webhooks run where [`admit`] is called and
//! validating ones right after validation.

use kogge_machinery::status_error::ApiError;
use kube_core::response::StatusCause;
use serde_json::Value;

use crate::{plane::Plane, registry::ServedResource, store::ObjectKey};

/// Namespaces that may not be deleted (the real server's `NamespaceLifecycle`).
const IMMORTAL_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Refuses writes the state of the plane does not allow. `old` is absent for a create.
///
/// # Errors
/// 404 without the object's namespace, 403 while it is being deleted.
pub(crate) fn admit(
    plane: &Plane,
    served: &ServedResource,
    old: Option<&Value>,
    object: &Value,
) -> Result<(), ApiError> {
    if old.is_none() && served.resource.namespaced {
        require_active_namespace(plane, served, object)?;
    }
    Ok(())
}

fn require_active_namespace(plane: &Plane, served: &ServedResource, object: &Value) -> Result<(), ApiError> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let namespaces =
        kogge_machinery::resource::GroupResource { group: String::new(), resource: "namespaces".to_owned() };
    let key = ObjectKey { resource: namespaces.clone(), namespace: String::new(), name: namespace.to_owned() };
    let Some(stored) = plane.get(&key)? else { return Err(ApiError::not_found(&namespaces, namespace)) };
    if !contains(&stored.json, b"\"deletionTimestamp\"") {
        return Ok(());
    }
    let parsed: Value =
        serde_json::from_slice(&stored.json).map_err(|error| ApiError::internal(format!("stored object: {error}")))?;
    if !parsed["metadata"]["deletionTimestamp"].is_string() {
        return Ok(());
    }
    let mut error = ApiError::forbidden(
        &served.resource.group_resource(),
        object["metadata"]["name"].as_str().unwrap_or_default(),
        &format!("unable to create new content in namespace {namespace} because it is being terminated"),
    );
    if let Some(details) = &mut error.0.details {
        details.causes.push(StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        });
    }
    Err(error)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Refuses the delete of what everything else depends on.
///
/// # Errors
/// 403 for the namespaces every cluster has.
pub(crate) fn admit_delete(served: &ServedResource, name: &str) -> Result<(), ApiError> {
    if served.is_core("namespaces") && IMMORTAL_NAMESPACES.contains(&name) {
        return Err(ApiError::forbidden(&served.resource.group_resource(), name, "this namespace may not be deleted"));
    }
    Ok(())
}
