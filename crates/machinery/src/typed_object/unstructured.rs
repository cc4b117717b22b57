//! Maps into structs by reflection, as strategic merge patches and applies do it: the errors of apimachinery's
//! `DefaultUnstructuredConverter`.

use serde_json::Value;

use super::{decode, json_kind, time};
use crate::{
    go_types::{Field, Shape, StructId, TypeId, table},
    quantity,
};

/// Gives values the form of their types. The error is the first value that does not fit, in the order of the struct's
/// fields.
pub(super) fn convert(id: StructId, value: &mut Value) -> Result<(), String> {
    let members = match value {
        Value::Object(members) => members,
        Value::Null => return Ok(()),
        other => return Err(format!("cannot restore struct from: {}", go_kind(other))),
    };
    let mut fields: Vec<&Field> = table().fields(id).iter().filter(|field| members.contains_key(field.name)).collect();
    fields.sort_by_key(|field| field.order);
    fields
        .into_iter()
        .try_for_each(|field| members.get_mut(field.name).map_or(Ok(()), |value| convert_to(field.value, value)))
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

/// A number as an integer of a type: what is beyond it is lost, as processors do it.
#[expect(clippy::cast_possible_truncation, reason = "as in Go")]
fn integer(number: &serde_json::Number, shape: Shape) -> Option<i64> {
    let number = match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => integer,
        (None, Some(float)) if float.fract() != 0.0 => return None,
        (None, Some(float)) if float.abs() < 9_223_372_036_854_775_808.0 => float as i64,
        _ => i64::MIN,
    };
    Some(if shape == Shape::Int32 { i64::from(number as i32) } else { number })
}

fn convert_to(id: TypeId, value: &mut Value) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    let kind = go_kind(value);
    let unmarshal = |value: &Value, into: &str| {
        let sent = match value {
            Value::Number(number) if into == "int32" => format!("number {number}"),
            other => json_kind(other).to_owned(),
        };
        Err(format!("json: cannot unmarshal {sent} into Go value of type {into}"))
    };
    match (table().shape(id), &mut *value) {
        (Shape::Pointer(inner), _) => convert_to(inner, value),
        (Shape::Struct(id), _) => convert(id, value),
        (Shape::List(item), Value::Array(items)) => items.iter_mut().try_for_each(|value| convert_to(item, value)),
        (Shape::Strings, Value::Array(items)) => {
            let wrong = items.iter().map(go_kind).find(|kind| !matches!(*kind, "string" | "invalid"));
            match wrong {
                None => Ok(()),
                Some("int64") => Err("cannot convert int64 to string".to_owned()),
                Some(_) => Err("unrecognized type: string".to_owned()),
            }
        }
        (Shape::Bytes, Value::String(text)) => {
            let illegal = |at| format!("error decoding from json: illegal base64 data at input byte {at}");
            super::bytes::check(text).map(drop).map_err(illegal)
        }
        (Shape::Bytes, Value::Array(items)) => {
            use base64::Engine as _;
            let mut bytes = Vec::with_capacity(items.len());
            for item in items {
                let byte = match item {
                    Value::Null => Some(0),
                    Value::Number(number) => match integer(number, Shape::Int64) {
                        None => return Err("cannot convert float64 to uint8".to_owned()),
                        Some(number) => u8::try_from(number & 0xff).ok(),
                    },
                    _ => None,
                };
                bytes.push(byte.ok_or("unrecognized type: uint8")?);
            }
            *value = base64::engine::general_purpose::STANDARD.encode(bytes).into();
            Ok(())
        }
        (Shape::List(_) | Shape::Strings | Shape::Bytes, _) => Err(format!("cannot restore slice from {kind}")),
        (Shape::Map(entry), Value::Object(members)) => {
            members.values_mut().try_for_each(|value| convert_to(entry, value))
        }
        (Shape::Map(_), _) => Err(format!("cannot restore map from {kind}")),
        (Shape::String | Shape::IntOrString, Value::String(_))
        | (Shape::Bool, Value::Bool(_))
        | (Shape::Float64, Value::Number(_))
        | (Shape::Json, _) => Ok(()),
        // These decode themselves.
        (Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings, value) => {
            decode::check_schema(id, value.to_string().as_bytes())
        }
        (Shape::String, Value::Number(number)) if number.is_i64() => {
            Err(format!("cannot convert int64 to {}", table().go_name(id)))
        }
        (Shape::String, _) => Err("unrecognized type: string".to_owned()),
        (Shape::Bool, _) => Err("unrecognized type: bool".to_owned()),
        (shape @ (Shape::Int32 | Shape::Int64), Value::Number(number)) => match integer(number, shape) {
            Some(number) => {
                *value = number.into();
                Ok(())
            }
            None => Err(format!("cannot convert float64 to {}", table().go_name(id))),
        },
        (Shape::Int32 | Shape::Int64 | Shape::Float64, _) => Err(format!("unrecognized type: {}", table().go_name(id))),
        (shape @ (Shape::Time | Shape::MicroTime), Value::String(text)) => {
            time::parse(text, shape == Shape::MicroTime).map(drop)
        }
        (Shape::Time | Shape::MicroTime, value) => unmarshal(value, "string"),
        (Shape::Quantity, value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            quantity::canonical(&text).map(drop).map_err(str::to_owned)
        }
        (Shape::IntOrString, Value::Number(number))
            if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) =>
        {
            Ok(())
        }
        (Shape::IntOrString, value) => unmarshal(value, "int32"),
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
            // The names of entries are no part of the path in the real server's library.
            for value in members.values() {
                collect_unknown_below(entry, value, path, found);
            }
        }
        _ => {}
    }
}
