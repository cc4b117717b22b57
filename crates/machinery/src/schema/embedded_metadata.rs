//! Metadata of objects and of resources embedded in them (apiextensions-apiserver, `apiserver/schema/objectmeta`).

use serde_json::{Map, Value};

use super::{SchemaNode, messages, path::FieldPath};
use crate::status_error::FieldError;

/// The type of a metadata field, as Go decodes it.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Time,
    Integer,
    TextMap,
    TextList,
    OwnerReferences,
    ManagedFields,
}

const OBJECT_META: [(&str, Shape); 15] = [
    ("annotations", Shape::TextMap),
    ("creationTimestamp", Shape::Time),
    ("deletionGracePeriodSeconds", Shape::Integer),
    ("deletionTimestamp", Shape::Time),
    ("finalizers", Shape::TextList),
    ("generateName", Shape::Text),
    ("generation", Shape::Integer),
    ("labels", Shape::TextMap),
    ("managedFields", Shape::ManagedFields),
    ("name", Shape::Text),
    ("namespace", Shape::Text),
    ("ownerReferences", Shape::OwnerReferences),
    ("resourceVersion", Shape::Text),
    ("selfLink", Shape::Text),
    ("uid", Shape::Text),
];
const OWNER_REFERENCE: [&str; 6] = ["apiVersion", "blockOwnerDeletion", "controller", "kind", "name", "uid"];
const MANAGED_FIELDS_ENTRY: [&str; 7] =
    ["apiVersion", "fieldsType", "fieldsV1", "manager", "operation", "subresource", "time"];

/// Removes unknown fields of an ObjectMeta and notes their paths.
pub(crate) fn prune(metadata: &mut Value, path: &FieldPath<'_>, unknown: &mut Vec<String>) {
    let Value::Object(fields) = metadata else { return };
    fields.retain(|name, field| {
        let path = path.field(name);
        let Some((_, shape)) = OBJECT_META.iter().find(|(known, _)| known == name) else {
            unknown.push(path.to_string());
            return false;
        };
        let known_of_items: &[&str] = match shape {
            Shape::OwnerReferences => &OWNER_REFERENCE,
            Shape::ManagedFields => &MANAGED_FIELDS_ENTRY,
            _ => return true,
        };
        for (index, item) in field.as_array_mut().into_iter().flatten().enumerate() {
            let path = path.index(index);
            if let Value::Object(entry) = item {
                entry.retain(|name, _| {
                    let known = known_of_items.contains(&name.as_str());
                    if !known {
                        unknown.push(path.field(name).to_string());
                    }
                    known
                });
            }
        }
        true
    });
}

/// Checks type and metadata of the resources embedded in `value`.
pub(crate) fn validate(node: &SchemaNode, value: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if !node.below.embedded_resources {
        return;
    }
    match value {
        Value::Object(fields) => {
            if node.embedded_resource {
                validate_resource(fields, path, errors);
            }
            for (name, field) in fields {
                if let Some(schema) = node.properties.get(name) {
                    validate(schema, field, &path.field(name), errors);
                } else if let Some(schema) = &node.additional_properties {
                    validate(schema, field, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    validate(schema, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn validate_resource(fields: &Map<String, Value>, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let path = path.field(name);
        match fields.get(name) {
            None => errors.push(messages::required(path.to_field(), "")),
            Some(value @ Value::String(text)) if text.is_empty() => {
                errors.push(messages::invalid(path.to_field(), value, "must not be empty"));
            }
            Some(value @ Value::String(text)) => {
                if name == "apiVersion" && text.matches('/').count() > 1 {
                    let detail = format!("unexpected GroupVersion string: {text}");
                    errors.push(messages::invalid(path.to_field(), value, &detail));
                }
            }
            Some(value) => errors.push(messages::invalid(path.to_field(), value, "must be a string")),
        }
    }
    if let Some(metadata) = fields.get("metadata")
        && let Some(detail) = malformed(metadata)
    {
        errors.push(messages::invalid(path.field("metadata").to_field(), metadata, &detail));
    }
}

/// Why `metadata` can not be decoded as ObjectMeta, in the words of Go's decoder.
fn malformed(metadata: &Value) -> Option<String> {
    let fields = match metadata {
        Value::Object(fields) => fields,
        Value::Null => return None,
        other => return Some(mismatch(other, "", "v1.ObjectMeta")),
    };
    fields.iter().find_map(|(name, field)| {
        let (_, shape) = OBJECT_META.iter().find(|(known, _)| known == name)?;
        if field.is_null() {
            return None;
        }
        match shape {
            Shape::Text => (!field.is_string()).then(|| mismatch(field, name, "string")),
            Shape::Integer => (!field.is_i64()).then(|| mismatch(field, name, "int64")),
            Shape::Time => match field.as_str() {
                Some(text) if super::format::StringFormat::DateTime.accepts(text) => None,
                Some(text) => Some(format!("parsing time {}", messages::quote(text))),
                None => Some(mismatch(field, name, "time.Time")),
            },
            Shape::TextMap => match field.as_object() {
                Some(entries) => entries
                    .values()
                    .find(|entry| !entry.is_string() && !entry.is_null())
                    .map(|entry| mismatch(entry, name, "string")),
                None => Some(mismatch(field, name, "map[string]string")),
            },
            Shape::TextList => match field.as_array() {
                Some(items) => items.iter().find(|item| !item.is_string()).map(|item| mismatch(item, name, "string")),
                None => Some(mismatch(field, name, "[]string")),
            },
            Shape::OwnerReferences => list_mismatch(field, name, "v1.OwnerReference"),
            Shape::ManagedFields => list_mismatch(field, name, "v1.ManagedFieldsEntry"),
        }
    })
}

fn list_mismatch(field: &Value, name: &str, item_type: &str) -> Option<String> {
    match field.as_array() {
        Some(items) => items.iter().find(|item| !item.is_object()).map(|item| mismatch(item, name, item_type)),
        None => Some(mismatch(field, name, &format!("[]{item_type}"))),
    }
}

fn mismatch(value: &Value, name: &str, wanted: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if name.is_empty() {
        format!("json: cannot unmarshal {found} into Go value of type {wanted}")
    } else {
        format!("json: cannot unmarshal {found} into Go struct field ObjectMeta.{name} of type {wanted}")
    }
}
