//! What is wrong with a completed object: its metadata, what its schema says, and for built-in kinds their own code.

use kogge_machinery::{
    custom_resource, custom_resource_definition, object_meta,
    status_error::{ApiError, FieldError, FieldErrorKind},
};
use serde_json::Value;

use super::definition_write;
use crate::{builtin, registry::ServedResource};

/// Refuses an object that is wrong; `old` is what an update changes.
///
/// # Errors
/// 422 with every wrong field.
pub(super) fn validate(
    served: &ServedResource,
    object: &Value,
    old: Option<&Value>,
    endpoint: custom_resource::Endpoint,
) -> Result<(), ApiError> {
    let resource = &served.resource;
    let errors = if resource.custom {
        custom_resource::errors(resource, object, old, endpoint)
    } else {
        built_in_errors(served, object, old)
    };
    if errors.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(ApiError::invalid(&resource.group, &resource.kind, name, &errors))
}

fn built_in_errors(served: &ServedResource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let resource = &served.resource;
    let mut errors: Vec<FieldError> = object_meta::validate_metadata(resource, object);
    let of_schema = resource.schema.get().map(|schema| schema.validate(object, old)).unwrap_or_default();
    // The real server has types here and no schema. What the kind's own code says, it says in better words; metadata
    // and webhook configurations are covered by it altogether.
    let own = own_errors(served, object, old);
    let covered = |error: &FieldError| {
        let weak = matches!(error.kind, FieldErrorKind::Required | FieldErrorKind::Duplicate);
        error.field.starts_with("metadata")
            || (weak && definition_write::is_definition(served))
            || (weak && resource.group == kogge_machinery::admission::GROUP)
            || (weak && own.iter().any(|other| other.field.starts_with(&error.field)))
    };
    errors.extend(of_schema.into_iter().filter(|error| !covered(error)));
    errors.extend(own);
    errors
}

/// What the code of a built-in kind finds.
fn own_errors(served: &ServedResource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    if !definition_write::is_definition(served) {
        return builtin::validation::validate(&served.resource, object, old);
    }
    // A write of the status alone is not judged, so that stored versions can be migrated.
    if old.is_some_and(|old| old["spec"] == object["spec"] && old["status"] != object["status"]) {
        return Vec::new();
    }
    custom_resource_definition::validate(object, old)
}
