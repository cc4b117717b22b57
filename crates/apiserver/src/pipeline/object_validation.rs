//! What is wrong with a completed object: its metadata, what its schema says, and for built-in kinds their own code.

use kogge_machinery::{
    custom_resource_definition, object_meta,
    resource::ScalePaths,
    status_error::{ApiError, FieldError, FieldErrorKind},
};
use serde_json::Value;

use super::definition_write;
use crate::{builtin, registry::ServedResource};

/// Refuses an object that is wrong; `old` is what an update changes.
///
/// # Errors
/// 422 with every wrong field.
pub(super) fn validate(served: &ServedResource, object: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let resource = &served.resource;
    let mut errors: Vec<FieldError> = object_meta::validate_metadata(resource, object);
    let of_schema = resource.schema.get().map(|schema| schema.validate(object, old)).unwrap_or_default();
    if resource.custom {
        errors.extend(of_schema);
    } else {
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
    }
    if resource.custom {
        let blocks = |error: &FieldError| {
            matches!(
                error.kind,
                FieldErrorKind::Required
                    | FieldErrorKind::TooLong
                    | FieldErrorKind::TooMany
                    | FieldErrorKind::TypeInvalid
            )
        };
        let has_rules = resource.schema.get().is_some_and(|schema| schema.has_rules());
        if has_rules && errors.iter().any(blocks) && !errors.iter().any(|error| error.field == "<nil>") {
            errors.push(FieldError::invalid("<nil>", &Value::Null, RULES_NOT_CHECKED));
        }
        errors.extend(resource.scale.as_ref().map(|paths| scale_errors(paths, object)).unwrap_or_default());
    }
    if errors.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(ApiError::invalid(&resource.group, &resource.kind, name, &errors))
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

const RULES_NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the \
                                 existing errors to complete validation";

/// What is wrong with the numbers that `/scale` shows.
fn scale_errors(paths: &ScalePaths, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for path in [&paths.spec_replicas_path, &paths.status_replicas_path] {
        let wrong = match object.pointer(&path.replace('.', "/")) {
            None | Some(Value::Null) => continue,
            Some(Value::Number(number)) => match number.as_i64() {
                Some(negative @ ..0) => (negative, "should be a non-negative integer".to_owned()),
                _ => continue,
            },
            Some(other) => {
                let (shown, kind) = match other {
                    Value::String(text) => (text.clone(), "string"),
                    Value::Bool(flag) => (flag.to_string(), "bool"),
                    Value::Array(_) => (other.to_string(), "[]interface {}"),
                    _ => (other.to_string(), "map[string]interface {}"),
                };
                (0, format!("{path} accessor error: {shown} is of the type {kind}, expected int64"))
            }
        };
        errors.push(FieldError::invalid(path.as_str(), &wrong.0.into(), &wrong.1));
    }
    errors
}
