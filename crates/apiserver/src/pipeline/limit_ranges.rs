//! LimitRanges of a namespace: what pods get that do not say what they need, and what pods and claims may ask for.

use kogge_machinery::{limit_range, resource::GroupResource, status_error::ApiError};
use serde_json::Value;

use crate::{
    plane::{Plane, list_error, parse_stored},
    registry::ServedResource,
    store::Scope,
};

fn ranges(plane: &Plane, object: &Value) -> Result<Vec<Value>, ApiError> {
    let resource = GroupResource { group: String::new(), resource: "limitranges".to_owned() };
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let page = plane.store().list(&Scope::Namespace(resource, namespace), None, 0, None);
    page.map_err(|error| list_error(&error))?.items.iter().map(|item| parse_stored(&item.json)).collect()
}

/// Fills in what the containers of a new pod do not ask for.
///
/// # Errors
/// Errors of the store.
pub(super) fn set_defaults(plane: &Plane, served: &ServedResource, object: &mut Value) -> Result<(), ApiError> {
    if served.is_core("pods") {
        for range in ranges(plane, object)? {
            limit_range::default_containers(&range, object);
        }
    }
    Ok(())
}

/// Refuses what is beyond a limit.
///
/// # Errors
/// 403; errors of the store.
pub(super) fn check(
    plane: &Plane,
    served: &ServedResource,
    old: Option<&Value>,
    object: &Value,
) -> Result<(), ApiError> {
    let violations = match old {
        Some(old) if old["metadata"]["deletionTimestamp"].is_string() => return Ok(()),
        _ if served.is_core("pods") => limit_range::pod_violations,
        _ if served.is_core("persistentvolumeclaims") => limit_range::claim_violations,
        _ => return Ok(()),
    };
    match ranges(plane, object)?.iter().find_map(|range| violations(range, object)) {
        Some(why) => {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            Err(ApiError::forbidden(&served.resource.group_resource(), name, &why))
        }
        None => Ok(()),
    }
}
