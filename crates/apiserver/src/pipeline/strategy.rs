//! What the real server does in code for built-in kinds when they are written.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kogge_machinery::{
    resource::ResourceType,
    status_error::{ApiError, FieldError},
};
use serde_json::{Value, json};

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
            object["status"] = json!({"phase": "Active"});
        }
        ("", "secrets") => {
            merge_string_data(object);
            if object["type"].is_null() {
                object["type"] = "Opaque".into();
            }
        }
        ("", "pods") => object["status"] = json!({"phase": "Pending"}),
        _ => {}
    }
    Ok(())
}

/// Completes a changed object of a built-in kind.
///
/// # Errors
/// What the kind cannot be changed to.
pub(crate) fn prepare_update(
    resource: &ResourceType,
    _old: &Value,
    object: &mut Value,
    _subresource: &str,
) -> Result<(), ApiError> {
    if (resource.group.as_str(), resource.plural.as_str()) == ("", "secrets") {
        merge_string_data(object);
    }
    Ok(())
}

/// Fields of a built-in kind that no schema can refuse.
pub(crate) fn validate(_resource: &ResourceType, _object: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    Vec::new()
}

fn merge_string_data(object: &mut Value) {
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|fields| fields.remove("stringData")) else {
        return;
    };
    for (key, text) in texts {
        object["data"][key] = STANDARD.encode(text.as_str().unwrap_or_default()).into();
    }
}
