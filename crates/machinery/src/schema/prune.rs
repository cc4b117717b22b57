//! Removal of unknown fields (apiextensions-apiserver, `apiserver/schema/pruning`).

use serde_json::{Map, Value};

use super::{SchemaNode, embedded_metadata, path::FieldPath};

const TYPE_AND_METADATA: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes a whole object; its own type and metadata fields stay.
pub(crate) fn prune_object(root: &SchemaNode, object: &mut Value) -> Vec<String> {
    let (mut of_root, mut unknown) = (Vec::new(), Unknown::default());
    let path = FieldPath::ROOT;
    if let Value::Object(fields) = object
        && let Some(metadata) = fields.get_mut("metadata")
    {
        embedded_metadata::prune(metadata, &path.field("metadata"), &mut of_root);
    }
    prune_fields(root, object, true, root.preserve_unknown_fields, Place { path, keyed: path }, &mut unknown);
    [of_root, unknown.fields, unknown.of_metadata].map(sorted).concat()
}

fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths
}

/// Paths of unknown fields, as the real server lists them: those of embedded metadata after all others.
#[derive(Default)]
struct Unknown {
    fields: Vec<String>,
    of_metadata: Vec<String>,
}

/// Prunes a value that is not a whole object, e.g. a default; returns whether something was removed, embedded metadata aside.
pub(crate) fn prune_value(node: &SchemaNode, value: &mut Value) -> bool {
    let mut unknown = Unknown::default();
    prune(Some(node), value, Place { path: FieldPath::ROOT, keyed: FieldPath::ROOT }, &mut unknown);
    !unknown.fields.is_empty()
}

/// Where a value is. Entries of maps are fields there, but in the paths of embedded metadata.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: FieldPath<'a>,
    keyed: FieldPath<'a>,
}

fn prune(node: Option<&SchemaNode>, value: &mut Value, place: Place<'_>, unknown: &mut Unknown) {
    match node {
        Some(node) => prune_fields(node, value, node.embedded_resource, node.preserve_unknown_fields, place, unknown),
        None => match value {
            Value::Object(fields) => {
                unknown.fields.extend(fields.keys().map(|name| place.path.field(name).to_string()));
                fields.clear();
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let place = Place { path: place.path.index(index), keyed: place.keyed.index(index) };
                    prune(None, item, place, unknown);
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
    place: Place<'_>,
    unknown: &mut Unknown,
) {
    match value {
        Value::Object(fields) => fields.retain(|name, field| {
            let path_of_field = place.path.field(name);
            if is_resource && TYPE_AND_METADATA.contains(&name.as_str()) {
                if !place.path.is_root() && name == "metadata" {
                    if field.is_null() {
                        *field = Value::Object(Map::new());
                    }
                    embedded_metadata::prune(field, &place.keyed.field(name), &mut unknown.of_metadata);
                }
                return true;
            }
            if let Some(schema) = node.child(name) {
                let is_entry = !node.properties.contains_key(name);
                let keyed = if is_entry { place.keyed.key(name) } else { place.keyed.field(name) };
                prune(Some(schema), field, Place { path: path_of_field, keyed }, unknown);
                return true;
            }
            if preserve {
                return true;
            }
            unknown.fields.push(path_of_field.to_string());
            false
        }),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let place = Place { path: place.path.index(index), keyed: place.keyed.index(index) };
                match &node.items {
                    Some(schema) => {
                        let preserve = preserve || schema.preserve_unknown_fields;
                        prune_fields(schema, item, schema.embedded_resource, preserve, place, unknown);
                    }
                    None if preserve => {}
                    None => prune(None, item, place, unknown),
                }
            }
        }
        _ => {}
    }
}
