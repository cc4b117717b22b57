//! What a custom resource must not be: metadata, schema, scale and rules in the order and words of
//! apiextensions-apiserver (`registry/customresource/validator.go` and its strategies).

use serde_json::Value;

use crate::{
    object_meta::{MetadataRounds, validate_changed_metadata, validate_metadata},
    resource::{ResourceType, ScalePaths},
    schema::{
        Unchanged,
        messages::{go_text, go_type},
    },
    status_error::FieldError,
};

/// Which endpoint a custom resource was written through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The object itself, or a subresource that changes it.
    Main,
    /// `/status`: only the status is held against the schema, while rules see all.
    Status,
}

/// What is wrong with a custom resource.
#[derive(Debug)]
pub struct Faults {
    /// Why it cannot be written.
    pub errors: Vec<FieldError>,
    /// Rules that it breaks where it is as it was.
    pub tolerated: Vec<FieldError>,
}

/// The faults of a custom resource on create (`old` None) or update.
pub fn faults(
    resource: &ResourceType,
    object: &Value,
    old: Option<&Value>,
    endpoint: Endpoint,
    unchanged: Unchanged,
) -> Faults {
    let schema = resource.schema.get();
    let of_kind = kind_error(resource, object);
    let rounds = MetadataRounds { as_change: usize::from(of_kind.is_none()), as_whole: 0 };
    let mut errors = match old {
        None if of_kind.is_some() => Vec::new(),
        None => validate_metadata(resource, object),
        Some(old) => validate_changed_metadata(resource, object, old, rounds),
    };
    match of_kind {
        Some(error) => errors.push(error),
        None => errors.extend(value_errors(resource, object, old, endpoint)),
    }
    let mut tolerated = Vec::new();
    if let Some(schema) = &schema {
        if endpoint == Endpoint::Main {
            errors.extend(schema.embedded_metadata_errors(object));
        }
        errors.extend(schema.list_errors(object, old));
        tolerated = schema.add_rule_errors(object, old, unchanged, &mut errors);
    }
    Faults { errors, tolerated }
}

/// An object of another kind is not held against the schema, but against everything else.
fn kind_error(resource: &ResourceType, object: &Value) -> Option<FieldError> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let detail = || format!("must be {}", resource.kind);
    (kind != resource.kind).then(|| FieldError::invalid("kind", &kind.into(), &detail()))
}

/// What does not fit the schema, and what scale does not find where it looks.
fn value_errors(resource: &ResourceType, object: &Value, old: Option<&Value>, endpoint: Endpoint) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(schema) = resource.schema.get() {
        errors.extend(match endpoint {
            Endpoint::Main => schema.value_errors(object, old),
            Endpoint::Status => schema.status_value_errors(object, old),
        });
    }
    if let Some(paths) = &resource.scale {
        if endpoint == Endpoint::Main {
            errors.extend(replicas_error(&paths.spec_replicas_path, object));
        }
        errors.extend(scale_status_errors(paths, object));
    }
    errors
}

fn scale_status_errors(paths: &ScalePaths, object: &Value) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = replicas_error(&paths.status_replicas_path, object).into_iter().collect();
    if let Some(path) = &paths.label_selector_path {
        match nested(object, path) {
            Ok(None | Some(Value::String(_))) => {}
            Ok(Some(other)) => errors.push(FieldError::invalid(path, &"".into(), &not_of_type(path, other, "string"))),
            Err(why) => errors.push(FieldError::invalid(path, &"".into(), &why)),
        }
    }
    errors
}

fn replicas_error(path: &str, object: &Value) -> Option<FieldError> {
    let (replicas, detail) = match nested(object, path) {
        Ok(None) => return None,
        Ok(Some(value)) => match value.as_i64() {
            Some(negative @ ..0) => (negative, "should be a non-negative integer".to_owned()),
            Some(many) if many > i64::from(i32::MAX) => (many, format!("should be less than or equal to {}", i32::MAX)),
            Some(_) => return None,
            None => (0, not_of_type(path, value, "int64")),
        },
        Err(why) => (0, why),
    };
    Some(FieldError::invalid(path, &replicas.into(), &detail))
}

/// The value at a path such as `.spec.replicas`, `None` where something on the way is absent
/// (apimachinery, `unstructured.NestedFieldNoCopy`).
///
/// # Errors
/// What is no object on the way.
pub fn nested<'a>(object: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let segments: Vec<&str> = path.trim_start_matches('.').split('.').collect();
    let mut value = object;
    for (index, segment) in segments.iter().enumerate() {
        value = match value {
            Value::Null => return Ok(None),
            Value::Object(fields) => match fields.get(*segment) {
                Some(found) => found,
                None => return Ok(None),
            },
            other => {
                let so_far = format!(".{}", segments[..=index].join("."));
                return Err(not_of_type(&so_far, other, "map[string]interface{}"));
            }
        };
    }
    Ok(Some(value))
}

fn not_of_type(path: &str, found: &Value, expected: &str) -> String {
    let (text, found_type) = (go_text(found), go_type(found));
    format!("{path} accessor error: {text} is of the type {found_type}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_number_of_replicas_is_told_in_the_words_of_go() {
        let objects = [
            json!({"spec": {"replicas": -1}}),
            json!({"spec": {"replicas": 4_294_967_296_i64}}),
            json!({"spec": {"replicas": 1.5}}),
            json!({"spec": {"replicas": null}}),
            json!({"spec": {"replicas": {"a": [1, "b", true]}}}),
            json!({"spec": ["text"]}),
            json!({"spec": null}),
            json!({}),
        ];
        let lines: Vec<String> = objects
            .iter()
            .map(|object| {
                let error = replicas_error(".spec.replicas", object);
                format!("{object}: {}", error.map_or_else(|| "right".to_owned(), |error| error.to_string()))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
