//! Removal of unknown fields (apiextensions-apiserver, `apiserver/schema/pruning`).

use serde_json::{Map, Value};

use super::{SchemaNode, embedded_metadata, path::FieldPath};

const TYPE_AND_METADATA: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes a whole object; its own type and metadata fields stay.
pub(crate) fn prune_object(root: &SchemaNode, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let path = FieldPath::ROOT;
    if let Value::Object(fields) = object
        && let Some(metadata) = fields.get_mut("metadata")
    {
        embedded_metadata::prune(metadata, &path.field("metadata"), &mut unknown);
    }
    prune_fields(root, object, true, root.preserve_unknown_fields, &path, &mut unknown);
    unknown.sort();
    unknown
}

/// Prunes a value that is not a whole object, e.g. a default; returns whether something was removed.
pub(crate) fn prune_value(node: &SchemaNode, value: &mut Value) -> bool {
    let mut unknown = Vec::new();
    prune(Some(node), value, &FieldPath::ROOT, &mut unknown);
    !unknown.is_empty()
}

fn prune(node: Option<&SchemaNode>, value: &mut Value, path: &FieldPath<'_>, unknown: &mut Vec<String>) {
    match node {
        Some(node) => prune_fields(node, value, node.embedded_resource, node.preserve_unknown_fields, path, unknown),
        None => match value {
            Value::Object(fields) => {
                unknown.extend(fields.keys().map(|name| path.field(name).to_string()));
                fields.clear();
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    prune(None, item, &path.index(index), unknown);
                }
            }
            _ => {}
        },
    }
}

/// `is_resource` is true for embedded resources and for the object as a whole; `preserve` keeps unknown fields, also
/// those of the items of a list that preserves them.
fn prune_fields(
    node: &SchemaNode,
    value: &mut Value,
    is_resource: bool,
    preserve: bool,
    path: &FieldPath<'_>,
    unknown: &mut Vec<String>,
) {
    match value {
        Value::Object(fields) => fields.retain(|name, field| {
            let path_of_field = path.field(name);
            if is_resource && TYPE_AND_METADATA.contains(&name.as_str()) {
                if !path.is_root() && name == "metadata" {
                    if field.is_null() {
                        *field = Value::Object(Map::new());
                    }
                    embedded_metadata::prune(field, &path_of_field, unknown);
                }
                return true;
            }
            if let Some(schema) = node.child(name) {
                prune(Some(schema), field, &path_of_field, unknown);
                return true;
            }
            if preserve {
                return true;
            }
            unknown.push(path_of_field.to_string());
            false
        }),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let path = path.index(index);
                match &node.items {
                    Some(schema) => {
                        let preserve = preserve || schema.preserve_unknown_fields;
                        prune_fields(schema, item, schema.embedded_resource, preserve, &path, unknown);
                    }
                    None if preserve => {}
                    None => prune(None, item, &path, unknown),
                }
            }
        }
        _ => {}
    }
}
