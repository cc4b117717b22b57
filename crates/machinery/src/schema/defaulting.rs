//! Defaults and nulls (apiextensions-apiserver, `apiserver/schema/defaulting`).

use serde_json::Value;

use super::SchemaNode;

/// Drops non-nullable nulls without default, then fills defaults. In maps of `typed` kinds null is an empty entry, as it is
/// in Go's.
pub(crate) fn apply(node: &SchemaNode, value: &mut Value, typed: bool) {
    drop_nulls(Some(node), value, typed);
    fill(node, value);
}

fn is_misplaced_null(value: &Value, node: &SchemaNode) -> bool {
    value.is_null() && !node.nullable
}

fn drop_nulls(node: Option<&SchemaNode>, value: &mut Value, typed: bool) {
    match value {
        Value::Object(fields) => fields.retain(|name, field| {
            let schema = node.and_then(|node| node.child(name)).map(AsRef::as_ref);
            let is_entry = || node.is_some_and(|node| !node.properties.contains_key(name));
            let drop = schema.is_some_and(|schema| is_misplaced_null(field, schema) && schema.default.is_none())
                && !(typed && is_entry());
            if !drop {
                drop_nulls(schema, field, typed);
            }
            !drop
        }),
        Value::Array(items) => {
            let schema = node.and_then(|node| node.items.as_deref());
            if let Some(schema) = schema {
                for item in items {
                    drop_nulls(Some(schema), item, typed);
                }
            }
        }
        _ => {}
    }
}

/// Fills what is absent, or null where it may not be, with the defaults there are.
pub(crate) fn fill(node: &SchemaNode, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, schema) in &node.properties {
                if let Some(default) = &schema.default {
                    match fields.get_mut(name) {
                        None => {
                            fields.insert(name.clone(), default.clone());
                        }
                        Some(field) if is_misplaced_null(field, schema) => *field = default.clone(),
                        Some(_) => {}
                    }
                }
            }
            for (name, field) in fields.iter_mut() {
                if let Some(schema) = node.child(name) {
                    fill_entry(schema, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &node.items {
                for item in items {
                    fill_entry(schema, item);
                }
            }
        }
        _ => {}
    }
}

fn fill_entry(node: &SchemaNode, value: &mut Value) {
    if is_misplaced_null(value, node)
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
    fill(node, value);
}
