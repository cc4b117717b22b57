//! Defaults in a schema must themselves be valid (apiextensions-apiserver, `apiserver/schema/defaulting`).

use serde_json::{Map, Value, json};

use crate::{
    schema::{Schema, Unchanged, messages, path::FieldPath},
    status_error::FieldError,
};

const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const TYPE_AND_METADATA: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Errors of the defaults in `schema` and below.
pub(super) fn errors(schema: &Value, path: &FieldPath<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if contains_default(schema) {
        let mut root = schema.clone();
        if let Value::Object(keywords) = &mut root {
            keywords.insert(EMBEDDED.to_owned(), true.into());
        }
        walk(&root, path, None, &mut errors);
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

/// Where in the type or metadata of a resource a default is.
struct InMetadata<'a> {
    /// The schema of the resource.
    resource: &'a Value,
    /// Makes the resource of what stands at the place.
    around: &'a dyn Fn(Value) -> Value,
}

fn walk(schema: &Value, path: &FieldPath<'_>, inside: Option<&InMetadata<'_>>, errors: &mut Vec<FieldError>) {
    let is_resource = schema[EMBEDDED] == true;
    let inside = inside.filter(|_| !is_resource);
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        let path = path.field("default");
        match inside {
            Some(inside) => check_in_metadata(schema, default, &path, inside, errors),
            None => check(schema, default, &path, errors),
        }
    }
    if let Some(items) = schema.get("items") {
        let around = |item: Value| inside.map_or(Value::Null, |inside| (inside.around)(json!([item])));
        let place = inside.map(|inside| InMetadata { resource: inside.resource, around: &around });
        walk(items, &path.field("items"), place.as_ref(), errors);
    }
    let properties_path = path.field("properties");
    for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = properties_path.key(name);
        let holding = |value: Value| Value::Object(Map::from_iter([(name.clone(), value)]));
        match inside {
            Some(inside) => {
                let around = |value: Value| (inside.around)(holding(value));
                walk(child, &path, Some(&InMetadata { resource: inside.resource, around: &around }), errors);
            }
            None if is_resource && TYPE_AND_METADATA.contains(&name.as_str()) => {
                let around = |value: Value| {
                    let mut resource = json!({"apiVersion": "validation/v1", "kind": "Validation"});
                    resource[name] = value;
                    resource
                };
                walk(child, &path, Some(&InMetadata { resource: schema, around: &around }), errors);
            }
            None => walk(child, &path, None, errors),
        }
    }
}

fn check(schema: &Value, default: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let compiled = Schema::compile_for_defaults(schema);
    if compiled.has_unknown_fields(default) {
        errors.push(messages::invalid(path.to_field(), default, "must not have unknown fields"));
    }
    let mut found: Vec<FieldError> = compiled.embedded_type_error(default).into_iter().collect();
    if found.is_empty() {
        found = compiled.embedded_metadata_errors(default);
    }
    if found.is_empty() {
        found = value_and_rule_errors(schema, &compiled, default);
    }
    errors.extend(found.into_iter().map(|error| below(path, error)));
}

/// Checks a default within type or metadata: in a resource that has nothing else.
fn check_in_metadata(
    schema: &Value,
    default: &Value,
    path: &FieldPath<'_>,
    inside: &InMetadata<'_>,
    errors: &mut Vec<FieldError>,
) {
    let of_resource = Schema::compile_for_defaults(inside.resource);
    let resource = (inside.around)(default.clone());
    let wrong: Vec<FieldError> = match of_resource.embedded_type_error(&resource) {
        Some(error) => vec![error],
        None => of_resource.embedded_metadata_errors(&resource),
    };
    if wrong.is_empty() {
        let found = value_and_rule_errors(schema, &Schema::compile_for_defaults(schema), default);
        errors.extend(found.into_iter().map(|error| below(path, error)));
        return;
    }
    let texts: Vec<String> = wrong.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    let texts = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
    errors.push(messages::invalid(path.to_field(), default, &format!("must result in valid metadata: {texts}")));
}

/// Errors of values; only where there are none, rules are asked: as if nothing changed, and, where all agree, as if there had
/// been nothing.
fn value_and_rule_errors(schema: &Value, compiled: &Schema, default: &Value) -> Vec<FieldError> {
    let mut errors = compiled.value_errors(default, None);
    for error in &mut errors {
        if error.field.starts_with('[') {
            error.field.insert(0, '.');
        }
        // The validator names what is right below a map so, and then takes the point from the field.
        if schema["additionalProperties"].is_object() {
            let field = &error.field;
            for (before, after) in [(" ", " in body"), ("\"", "\" must"), (" in ", "")] {
                let (named, as_there) = (format!("{before}{field}{after}"), format!("{before}.{field}{after}"));
                error.message = error.message.replacen(&named, &as_there, 1);
            }
        }
    }
    for old in [Some(default), None] {
        if errors.is_empty() {
            let unchanged = compiled.add_rule_errors(default, old, Unchanged::All, &mut errors);
            errors.extend(unchanged);
        }
    }
    errors
}

/// An error about a part of the default, which stands at `path`.
fn below(path: &FieldPath<'_>, error: FieldError) -> FieldError {
    let prefix = path.to_field();
    FieldError {
        field: match error.field.as_str() {
            "<nil>" => prefix,
            below if below.starts_with(['[', '.']) => format!("{prefix}{below}"),
            below => format!("{prefix}.{below}"),
        },
        ..error
    }
}
