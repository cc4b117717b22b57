//! Defaults in a schema must themselves be valid (apiextensions-apiserver, `apiserver/schema/defaulting`).

use serde_json::Value;

use crate::{
    schema::{Schema, messages, path::FieldPath},
    status_error::FieldError,
};

/// Errors of the defaults in `schema` and below.
pub(super) fn errors(schema: &Value, path: &FieldPath<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if contains_default(schema) {
        walk(schema, path, &mut errors);
    }
    errors
}

fn contains_default(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.contains_key("default") || fields.values().any(contains_default),
        Value::Array(items) => items.iter().any(contains_default),
        _ => false,
    }
}

fn walk(schema: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        check(schema, default, &path.field("default"), errors);
    }
    if let Some(items) = schema.get("items") {
        walk(items, &path.field("items"), errors);
    }
    let properties_path = path.field("properties");
    for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(child, &properties_path.key(name), errors);
    }
}

fn check(schema: &Value, default: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let compiled = Schema::compile_for_defaults(schema);
    if compiled.has_unknown_fields(default) {
        errors.push(messages::invalid(path.to_field(), default, "must not have unknown fields"));
    }
    let prefix = path.to_field();
    errors.extend(compiled.validate(default, None).into_iter().map(|error| FieldError {
        field: match error.field.as_str() {
            "<nil>" => prefix.clone(),
            below if below.starts_with('[') => format!("{prefix}{below}"),
            below => format!("{prefix}.{below}"),
        },
        ..error
    }));
}
