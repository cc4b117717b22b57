//! Metadata of objects and of resources embedded in them (apiextensions-apiserver, `apiserver/schema/objectmeta`).

use serde_json::{Map, Value};

use super::{SchemaNode, messages, path::FieldPath};
use crate::{
    go_types::{Shape, StructId, table},
    object_meta::{dns_1035_messages, embedded_metadata_errors},
    status_error::FieldError,
    typed_object,
};

/// Removes unknown fields of an ObjectMeta and notes their paths.
pub(crate) fn prune(metadata: &mut Value, path: &FieldPath<'_>, unknown: &mut Vec<String>) {
    if let (Value::Object(fields), Some(id)) = (&mut *metadata, table().struct_named("meta.v1.ObjectMeta")) {
        prune_struct(id, fields, path, unknown);
    }
    // It is read as the type, and written back; what is none is told by the checks.
    let mut typed = metadata.clone();
    if metadata.is_object() && typed_object::canonicalize_metadata(&mut typed).is_ok() {
        *metadata = typed;
    }
}

fn prune_struct(id: StructId, fields: &mut Map<String, Value>, path: &FieldPath<'_>, unknown: &mut Vec<String>) {
    fields.retain(|name, value| {
        let path = path.field(name);
        let Some(field) = table().field(id, name) else {
            unknown.push(path.to_string());
            return false;
        };
        if let (Shape::List(item), Value::Array(items)) = (table().shape(field.value), value)
            && let Shape::Struct(id) = table().shape(item)
        {
            for (index, item) in items.iter_mut().enumerate() {
                if let Value::Object(entry) = item {
                    prune_struct(id, entry, &path.index(index), unknown);
                }
            }
        }
        true
    });
}

/// The first wrong type in apiVersion, kind or metadata of the resources embedded in `value`.
pub(crate) fn type_error(node: &SchemaNode, value: &Value, path: &FieldPath<'_>) -> Option<FieldError> {
    if !node.below.embedded_resources {
        return None;
    }
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            let own = path.field(name);
            if node.embedded_resource {
                let why = match name.as_str() {
                    "apiVersion" | "kind" if !field.is_string() => Some("must be a string".to_owned()),
                    "metadata" => typed_object::canonicalize_metadata(&mut field.clone()).err(),
                    _ => None,
                };
                if let Some(why) = why {
                    return Some(messages::invalid(own.to_field(), field, &why));
                }
            }
            match (node.properties.get(name), &node.additional_properties) {
                (Some(schema), _) => type_error(schema, field, &own),
                (None, Some(schema)) => type_error(schema, field, &path.key(name)),
                (None, None) => None,
            }
        }),
        Value::Array(items) => {
            let schema = node.items.as_ref()?;
            items.iter().enumerate().find_map(|(index, item)| type_error(schema, item, &path.index(index)))
        }
        _ => None,
    }
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
                let wrong = if name == "kind" { dns_1035_messages(&text.to_lowercase()) } else { Vec::new() };
                if !wrong.is_empty() {
                    let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
                    errors.push(messages::invalid(path.to_field(), value, &detail));
                }
            }
            Some(value) => errors.push(messages::invalid(path.to_field(), value, "must be a string")),
        }
    }
    let Some(metadata) = fields.get("metadata") else { return };
    if let Err(why) = typed_object::canonicalize_metadata(&mut metadata.clone()) {
        errors.push(messages::invalid(path.field("metadata").to_field(), metadata, &why));
    } else if let Some(metadata) = metadata.as_object() {
        let wrong = embedded_metadata_errors(metadata).into_iter();
        errors.extend(wrong.map(|error| FieldError { field: path.field(&error.field).to_field(), ..error }));
    }
}
