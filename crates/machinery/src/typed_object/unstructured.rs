//! Maps into structs by reflection, as strategic merge patches do it: the errors of apimachinery's
//! `DefaultUnstructuredConverter`.

use serde_json::Value;

use super::{json_kind, time};
use crate::{
    go_types::{Field, Shape, StructId, TypeId, table},
    quantity,
};

/// The first value that does not fit, in the order of the struct's fields.
pub(super) fn error(id: StructId, value: &Value) -> Option<String> {
    let Value::Object(members) = value else {
        return (!value.is_null()).then(|| format!("cannot restore struct from: {}", go_kind(value)));
    };
    let mut fields: Vec<(&Field, &Value)> =
        table().fields(id).iter().filter_map(|field| Some((field, members.get(field.name)?))).collect();
    fields.sort_by_key(|(field, _)| field.order);
    fields.into_iter().find_map(|(field, value)| error_of(field.value, value))
}

/// `reflect.Kind` of a decoded JSON value.
fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

fn error_of(id: TypeId, value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let kind = go_kind(value);
    let unmarshal = |into: &str| {
        let sent = match value {
            Value::Number(number) if into == "int32" => format!("number {number}"),
            other => json_kind(other).to_owned(),
        };
        Some(format!("json: cannot unmarshal {sent} into Go value of type {into}"))
    };
    match table().shape(id) {
        Shape::Pointer(inner) => error_of(inner, value),
        Shape::Struct(id) => error(id, value),
        Shape::List(item) => match value {
            Value::Array(items) => items.iter().find_map(|value| error_of(item, value)),
            _ => Some(format!("cannot restore slice from {kind}")),
        },
        Shape::Strings => match value {
            Value::Array(items) => items.iter().find(|item| !item.is_string() && !item.is_null()).map(|item| {
                let kind = go_kind(item);
                if kind == "int64" {
                    format!("cannot convert {kind} to string")
                } else {
                    "unrecognized type: string".to_owned()
                }
            }),
            _ => Some(format!("cannot restore slice from {kind}")),
        },
        Shape::Bytes => match value {
            Value::String(text) => {
                super::bytes::check(text).err().map(|at| format!("illegal base64 data at input byte {at}"))
            }
            Value::Array(_) => None,
            _ => Some(format!("cannot restore slice from {kind}")),
        },
        Shape::Map(entry) => match value {
            Value::Object(members) => members.values().find_map(|value| error_of(entry, value)),
            _ => Some(format!("cannot restore map from {kind}")),
        },
        Shape::String => match value {
            Value::String(_) => None,
            Value::Number(number) if number.is_i64() => {
                Some(format!("cannot convert int64 to {}", table().go_name(id)))
            }
            _ => Some("unrecognized type: string".to_owned()),
        },
        Shape::Bool => (!value.is_boolean()).then(|| "unrecognized type: bool".to_owned()),
        shape @ (Shape::Int32 | Shape::Int64 | Shape::Float64) => {
            let name = table().go_name(id);
            match value {
                Value::Number(number) if shape == Shape::Float64 || number.is_i64() => None,
                Value::Number(number) if number.as_f64().is_some_and(|float| float.fract() == 0.0) => None,
                Value::Number(_) => Some(format!("cannot convert float64 to {name}")),
                _ => Some(format!("unrecognized type: {name}")),
            }
        }
        shape @ (Shape::Time | Shape::MicroTime) => match value {
            Value::String(text) => time::parse(text, shape == Shape::MicroTime).err(),
            _ => unmarshal("string"),
        },
        Shape::Quantity => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            quantity::canonical(&text).err().map(str::to_owned)
        }
        Shape::IntOrString => match value {
            Value::String(_) => None,
            Value::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => None,
            _ => unmarshal("int32"),
        },
        Shape::Json | Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings => None,
    }
}

/// Paths of members the type does not have, in the order Go sorts them.
pub(super) fn unknown(id: StructId, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_unknown(id, value, "", &mut found);
    found.sort();
    found
}

fn collect_unknown(id: StructId, value: &Value, path: &str, found: &mut Vec<String>) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match table().field(id, name) {
            None => found.push(format!("unknown field \"{path}\"")),
            Some(field) => collect_unknown_below(field.value, value, &path, found),
        }
    }
}

fn collect_unknown_below(id: TypeId, value: &Value, path: &str, found: &mut Vec<String>) {
    match (table().shape(id), value) {
        (Shape::Pointer(inner), _) => collect_unknown_below(inner, value, path, found),
        (Shape::Struct(id), _) => collect_unknown(id, value, path, found),
        (Shape::List(item), Value::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                collect_unknown_below(item, value, &format!("{path}[{index}]"), found);
            }
        }
        (Shape::Map(entry), Value::Object(members)) => {
            for (name, value) in members {
                collect_unknown_below(entry, value, &format!("{path}.{name}"), found);
            }
        }
        _ => {}
    }
}
