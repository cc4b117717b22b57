//! The text Go writes: members in the order of the struct's fields, keys of maps sorted.

use serde_json::Value;

use super::Touched;
use crate::go_types::{Shape, StructId, TypeId, table};

/// Writes a canonical object as Go does. What a patch touched has its members sorted.
pub(super) fn write(id: StructId, value: &Value, touched: Option<&Touched>, into: &mut String) {
    let Value::Object(members) = value else { return generic(value, into) };
    // members the type does not have come last; only patches bring them
    let mut written: Vec<(u16, &str, Option<TypeId>, &Value)> = members
        .iter()
        .map(|(name, value)| match table().field(id, name) {
            Some(field) => (field.order, name.as_str(), Some(field.value), value),
            None => (u16::MAX, name.as_str(), None, value),
        })
        .collect();
    if touched.is_none() {
        written.sort_by_key(|(order, ..)| *order);
    }
    into.push('{');
    for (index, (_, name, value_type, value)) in written.into_iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        string(name, into);
        into.push(':');
        match value_type {
            Some(id) => typed(id, value, touched.and_then(|touched| touched.below(name)), into),
            None => generic(value, into),
        }
    }
    into.push('}');
}

fn typed(id: TypeId, value: &Value, touched: Option<&Touched>, into: &mut String) {
    if touched.is_some_and(|touched| touched.given) {
        return generic(value, into);
    }
    match (table().shape(id), value) {
        (Shape::Pointer(inner), _) => typed(inner, value, touched, into),
        (Shape::Struct(id), _) => write(id, value, touched, into),
        (Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings, Value::Object(_)) => {
            write(table().schema_props, value, touched, into);
        }
        (Shape::List(item), Value::Array(items)) => {
            list(items, touched, into, |value, touched, into| typed(item, value, touched, into));
        }
        (Shape::SchemaOrArray, Value::Array(items)) => {
            list(items, touched, into, |value, touched, into| write(table().schema_props, value, touched, into));
        }
        (Shape::Map(entry), Value::Object(members)) => {
            into.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                string(name, into);
                into.push(':');
                typed(entry, value, touched.and_then(|touched| touched.below(name)), into);
            }
            into.push('}');
        }
        _ => generic(value, into),
    }
}

fn list(
    items: &[Value],
    touched: Option<&Touched>,
    into: &mut String,
    mut write: impl FnMut(&Value, Option<&Touched>, &mut String),
) {
    into.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        write(item, touched.and_then(|touched| touched.below(&index.to_string())), into);
    }
    into.push(']');
}

/// A value without a type.
fn generic(value: &Value, into: &mut String) {
    into.push_str(&text_of(value));
}

/// A value as Go writes one without a type.
pub(super) fn text_of(value: &Value) -> String {
    crate::apply::go_json(value)
}

fn string(text: &str, into: &mut String) {
    into.push_str(&crate::apply::go_json(&Value::String(text.to_owned())));
}
