//! The rules that make a schema structural (apiextensions-apiserver, `apiserver/schema/validation.go`).
//!
//! A structural schema says in its own `properties`, `items` and `additionalProperties` what an object looks like, so
//! that unknown fields can be told from known ones; what is nested under `allOf`, `anyOf`, `oneOf` and `not` only
//! restricts values.

use serde_json::{Map, Value};

use super::{compile::flag, messages, path::FieldPath, value_validation::compile_pattern};
use crate::status_error::FieldError;

/// Deeper schemas are refused: the walks over them recurse.
const MAXIMUM_DEPTH: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

/// The violations of `schema`, in sorted order; empty when it is structural.
pub(crate) fn violations(path: &FieldPath<'_>, schema: &Value) -> Vec<FieldError> {
    if depth_exceeds(schema, MAXIMUM_DEPTH) {
        let detail = format!("the schema is nested more than {MAXIMUM_DEPTH} levels deep");
        return vec![messages::invalid_omitting_value(path.to_field(), &detail)];
    }
    let mut errors = Vec::new();
    invariants(schema, Level::Root, path, &mut errors);
    if let Value::Object(fields) = schema {
        value_completeness(fields, Some(schema), path, path, &mut errors);
    }
    errors.sort_by(|left, right| (&left.field, &left.message).cmp(&(&right.field, &right.message)));
    errors.dedup();
    errors
}

/// Whether schemas nest more than `limit` levels (counting only schema positions).
fn depth_exceeds(schema: &Value, limit: usize) -> bool {
    let Some(fields) = schema.as_object() else { return false };
    if limit == 0 {
        return true;
    }
    let below = |child: &Value| depth_exceeds(child, limit - 1);
    // A schema has few of the keywords there are, so they are gone through instead of looked up.
    fields.iter().any(|(keyword, value)| match keyword.as_str() {
        "items" | "additionalProperties" | "not" => below(value),
        "properties" => value.as_object().is_some_and(|children| children.values().any(below)),
        "allOf" | "anyOf" | "oneOf" => value.as_array().is_some_and(|list| list.iter().any(below)),
        _ => false,
    })
}

/// A text keyword; absent is empty.
fn text<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a str {
    schema.get(keyword).and_then(Value::as_str).unwrap_or_default()
}

fn properties(schema: &Map<String, Value>) -> &Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).unwrap_or(&EMPTY)
}

fn list<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn schema_at<'a>(schema: &'a Map<String, Value>, keyword: &str) -> Option<&'a Value> {
    schema.get(keyword).filter(|child| child.is_object())
}

/// Whether [`invariants`] minds a keyword, beside the type.
fn has_invariants(keyword: &str) -> bool {
    matches!(
        keyword,
        "items"
            | "properties"
            | "additionalProperties"
            | "not"
            | "allOf"
            | "anyOf"
            | "oneOf"
            | "pattern"
            | "x-kubernetes-embedded-resource"
            | "x-kubernetes-preserve-unknown-fields"
            | "x-kubernetes-int-or-string"
    )
}

fn invariants(schema: &Value, level: Level, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let Some(schema) = schema.as_object() else { return };
    let schema_type = text(schema, "type");
    // Few of the keywords there are stand in a schema, so these are gone through before any is looked up.
    if level != Level::Root
        && !matches!(schema_type, "" | "array")
        && !schema.keys().any(|keyword| has_invariants(keyword))
    {
        return;
    }
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let int_or_string = flag(schema, "x-kubernetes-int-or-string");
    match schema_at(schema, "items") {
        Some(items) => invariants(items, Level::Item, &path.field("items"), errors),
        None if schema_type == "array" => {
            errors.push(messages::required(path.field("items").to_field(), "must be specified"));
        }
        None => {}
    }
    let properties_path = path.field("properties");
    for (name, child) in properties(schema) {
        invariants(child, Level::Field, &properties_path.key(name), errors);
    }
    let additional = schema.get("additionalProperties").filter(|additional| !additional.is_null());
    if let Some(additional) = additional {
        let path = path.field("additionalProperties");
        if level == Level::Root {
            errors.push(messages::forbidden(path.to_field(), "must not be used at the root"));
        }
        if embedded {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(messages::forbidden(path.to_field(), detail));
        }
        invariants(additional, Level::Field, &path, errors);
    }
    for (set, keyword) in
        [(preserve, "x-kubernetes-preserve-unknown-fields"), (embedded, "x-kubernetes-embedded-resource")]
    {
        if int_or_string && set {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(messages::invalid(path.field(keyword).to_field(), &Value::Bool(true), detail));
        }
    }
    let skip_any_of = is_int_or_string_alternative(list(schema, "anyOf"));
    let skip_first_all_of = list(schema, "allOf")
        .first()
        .and_then(Value::as_object)
        .is_some_and(|first| is_int_or_string_alternative(list(first, "anyOf")));
    value_validation(schema, skip_any_of, skip_first_all_of, path, errors);
    type_of_node(schema, level, path, errors);
    type_and_metadata(schema, level, path, errors);
    if embedded && !preserve && properties(schema).is_empty() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(messages::required(path.field("properties").to_field(), detail));
    }
}

fn type_of_node(schema: &Map<String, Value>, level: Level, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let schema_type = text(schema, "type");
    let field = || path.field("type").to_field();
    if flag(schema, "x-kubernetes-embedded-resource") && schema_type != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if schema_type.is_empty() {
            messages::required(field(), detail)
        } else {
            messages::invalid(field(), &Value::from(schema_type), detail)
        });
    } else if schema_type.is_empty()
        && !flag(schema, "x-kubernetes-int-or-string")
        && !flag(schema, "x-kubernetes-preserve-unknown-fields")
    {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(messages::required(field(), detail));
    }
    if level == Level::Root && !schema_type.is_empty() && schema_type != "object" {
        errors.push(messages::invalid(field(), &Value::from(schema_type), "must be object at the root"));
    }
}

/// `kind`, `apiVersion` and `metadata` have a fixed meaning in resources.
fn type_and_metadata(schema: &Map<String, Value>, level: Level, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let is_resource = level == Level::Root || flag(schema, "x-kubernetes-embedded-resource");
    if !is_resource {
        return;
    }
    let properties_path = path.field("properties");
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(child) = properties(schema).get(name).and_then(Value::as_object) else { continue };
        let child_path = properties_path.key(name);
        let found = text(child, "type");
        if found != wanted {
            let detail = format!("must be {wanted}");
            errors.push(messages::invalid(child_path.field("type").to_field(), &Value::from(found), &detail));
        }
        if name == "metadata" && level == Level::Root {
            let only_names = properties(child).keys().all(|name| matches!(name.as_str(), "name" | "generateName"));
            let others = child.iter().any(|(keyword, value)| {
                !matches!(keyword.as_str(), "type" | "default" | "properties") && !is_empty_value(value)
            });
            if !only_names || others {
                let detail = "must not specify anything other than name and generateName, but metadata is implicitly \
                              specified";
                errors.push(messages::forbidden(child_path.to_field(), detail));
            }
        }
    }
}

fn is_empty_value(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn is_int_or_string_alternative(alternatives: &[Value]) -> bool {
    let only_type = |value: &Value, wanted: &str| {
        value.as_object().is_some_and(|fields| fields.len() == 1 && text(fields, "type") == wanted)
    };
    matches!(alternatives, [first, second] if only_type(first, "integer") && only_type(second, "string"))
}

fn value_validation(
    schema: &Map<String, Value>,
    skip_any_of: bool,
    skip_first_all_of: bool,
    path: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) {
    for keyword in ["anyOf", "allOf", "oneOf"] {
        if keyword == "anyOf" && skip_any_of {
            continue;
        }
        let list_path = path.field(keyword);
        for (index, nested) in list(schema, keyword).iter().enumerate() {
            let skip = keyword == "allOf" && index == 0 && skip_first_all_of;
            nested_validation(nested, skip, &list_path.index(index), errors);
        }
    }
    if let Some(not) = schema_at(schema, "not") {
        nested_validation(not, false, &path.field("not"), errors);
    }
    let pattern = text(schema, "pattern");
    if !pattern.is_empty()
        && let Err(reason) = compile_pattern(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {reason}");
        errors.push(messages::invalid(path.field("pattern").to_field(), &Value::from(pattern), &detail));
    }
}

/// What is nested under a junctor must not have structure of its own.
fn nested_validation(nested: &Value, skip_any_of: bool, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    const MUST_BE: [(&str, &str); 11] = [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ];
    let Some(schema) = nested.as_object() else { return };
    value_validation(schema, skip_any_of, false, path, errors);
    if let Some(items) = schema_at(schema, "items") {
        nested_validation(items, false, &path.field("items"), errors);
    }
    let properties_path = path.field("properties");
    for (name, child) in properties(schema) {
        nested_validation(child, false, &properties_path.key(name), errors);
    }
    for (keyword, detail) in MUST_BE {
        if schema.get(keyword).is_some_and(|value| !is_empty_value(value) || value.is_object()) {
            errors.push(messages::forbidden(path.field(keyword).to_field(), detail));
        }
    }
    for keyword in ["x-kubernetes-list-type", "x-kubernetes-map-type"] {
        if schema.get(keyword).is_some_and(Value::is_string) {
            errors.push(messages::forbidden(path.field(keyword).to_field(), "must be undefined to be structural"));
        }
    }
    if properties(schema).contains_key("metadata") {
        let detail = "must not be specified in a nested context";
        errors.push(messages::forbidden(properties_path.key("metadata").to_field(), detail));
    }
}

/// Each nested restriction must be about something that the structure names.
fn value_completeness(
    validation: &Map<String, Value>,
    structure: Option<&Value>,
    structure_path: &FieldPath<'_>,
    path: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(not) = schema_at(validation, "not") {
        nested_completeness(not, structure, structure_path, &path.field("not"), errors);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let list_path = path.field(keyword);
        for (index, nested) in list(validation, keyword).iter().enumerate() {
            nested_completeness(nested, structure, structure_path, &list_path.index(index), errors);
        }
    }
}

fn nested_completeness(
    nested: &Value,
    structure: Option<&Value>,
    structure_path: &FieldPath<'_>,
    path: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) {
    let Some(nested) = nested.as_object() else { return };
    let Some(fields) = structure.and_then(Value::as_object) else {
        errors.push(messages::required(structure_path.to_field(), &format!("because it is defined in {path}")));
        return;
    };
    value_completeness(nested, structure, structure_path, path, errors);
    if let Some(items) = schema_at(nested, "items") {
        let (inner, outer) = (structure_path.field("items"), path.field("items"));
        nested_completeness(items, schema_at(fields, "items"), &inner, &outer, errors);
    }
    let (inner_properties, outer_properties) = (structure_path.field("properties"), path.field("properties"));
    for (name, child) in properties(nested) {
        let (inner, outer) = (inner_properties.key(name), outer_properties.key(name));
        match properties(fields).get(name) {
            Some(structure) => nested_completeness(child, Some(structure), &inner, &outer, errors),
            None => {
                errors.push(messages::required(inner.to_field(), &format!("because it is defined in {outer}")));
            }
        }
    }
}
