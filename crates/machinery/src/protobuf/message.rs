//! Decodes a message into JSON by its table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::DecodeError;
use super::wire::{Reader, WireError, WireValue};
use crate::go_types::{Field, Shape, StructId, TypeId, table};

/// Deeper messages are refused: no built-in kind comes near it.
const MAXIMUM_DEPTH: usize = 64;

/// Decodes the message of a struct.
pub(super) fn decode_message(id: StructId, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, DecodeError> {
    if depth > MAXIMUM_DEPTH {
        return Err(DecodeError::Depth);
    }
    let mut object = Map::new();
    let mut reader = Reader::of_message(bytes, table().struct_name(id));
    while let Some((number, wire)) = reader.next_field()? {
        let Some(field) = table().numbered_field(id, number) else {
            if let Some(merged) = table().merged_struct(id, number) {
                object.extend(decode_message(merged, wire.bytes()?, depth + 1)?);
            }
            continue;
        };
        match table().shape(field.value) {
            Shape::List(item) => decode_item(&mut object, field, item, wire, depth)?,
            Shape::Map(value) => decode_entry(&mut object, field, value, wire, depth)?,
            shape => {
                let value = decode_value(field.value, field, wire, depth)?;
                let is_absent = field.omitted && !matches!(shape, Shape::Pointer(_)) && is_zero(&value);
                if !value.is_null() && !is_absent {
                    object.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Ok(object)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn decode_item(
    object: &mut Map<String, Value>,
    field: &Field,
    item: TypeId,
    wire: WireValue<'_>,
    depth: usize,
) -> Result<(), DecodeError> {
    let mut items = Vec::new();
    match (table().shape(item), wire) {
        // packed numbers
        (Shape::Int32 | Shape::Int64 | Shape::Bool, WireValue::Bytes(packed)) => {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                let number = WireValue::Varint(reader.varint()?);
                items.push(decode_value(item, field, number, depth)?);
            }
        }
        (_, wire) => items.push(decode_value(item, field, wire, depth)?),
    }
    if let Value::Array(list) = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new())) {
        list.extend(items);
    }
    Ok(())
}

fn decode_entry(
    object: &mut Map<String, Value>,
    field: &Field,
    entry: TypeId,
    wire: WireValue<'_>,
    depth: usize,
) -> Result<(), DecodeError> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(wire.bytes()?);
    while let Some((number, wire)) = reader.next_field()? {
        match number {
            1 => wire.text()?.clone_into(&mut key),
            2 => value = Some(decode_value(entry, field, wire, depth)?),
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        // an absent value is the zero one
        None => match table().shape(entry) {
            Shape::Bool => false.into(),
            Shape::Int32 | Shape::Int64 => 0.into(),
            Shape::Struct(_) | Shape::SchemaOrStrings => Value::Object(Map::new()),
            Shape::List(_) | Shape::Strings => Value::Array(Vec::new()),
            Shape::Quantity => "0".into(),
            _ => "".into(),
        },
    };
    if let Value::Object(entries) = object.entry(field.name).or_insert_with(|| Value::Object(Map::new())) {
        entries.insert(key, value);
    }
    Ok(())
}

fn decode_value(id: TypeId, field: &Field, wire: WireValue<'_>, depth: usize) -> Result<Value, DecodeError> {
    Ok(match table().shape(id) {
        Shape::String => wire.text()?.into(),
        Shape::Bool => (wire.integer()? != 0).into(),
        Shape::Int32 | Shape::Int64 => wire.integer()?.into(),
        Shape::Float64 => crate::typed_object::float(wire.float()?),
        Shape::Bytes => STANDARD.encode(wire.bytes()?).into(),
        Shape::Time => decode_time(wire.bytes()?, field, false)?,
        Shape::MicroTime => decode_time(wire.bytes()?, field, true)?,
        Shape::Quantity => match decode_first_text(wire.bytes()?)? {
            "" => "0".into(),
            text => text.into(),
        },
        Shape::IntOrString => decode_int_or_string(wire.bytes()?)?,
        Shape::Json => decode_json(wire.bytes()?, field)?,
        Shape::Strings => {
            let mut items = Vec::new();
            let mut reader = Reader::new(wire.bytes()?);
            while let Some((number, item)) = reader.next_field()? {
                if number == 1 {
                    items.push(item.text()?.into());
                }
            }
            Value::Array(items)
        }
        Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings => {
            decode_schema_choice(table().shape(id), wire.bytes()?, depth)?
        }
        Shape::Struct(index) => Value::Object(decode_message(index, wire.bytes()?, depth + 1)?),
        Shape::Pointer(inner) => decode_value(inner, field, wire, depth)?,
        Shape::List(_) | Shape::Map(_) => {
            return Err(DecodeError::Field { field: field.name, why: "is a list of lists" });
        }
    })
}

/// A schema, or something else that may stand for one.
fn decode_schema_choice(shape: Shape, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    let (mut allows, mut schema, mut several) = (false, None, Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next_field()? {
        match (shape, number) {
            (Shape::SchemaOrBool, 1) => allows = wire.integer()? != 0,
            (Shape::SchemaOrBool, 2) | (Shape::SchemaOrArray | Shape::SchemaOrStrings, 1) => {
                schema = Some(Value::Object(decode_message(table().schema_props, wire.bytes()?, depth + 1)?));
            }
            (Shape::SchemaOrArray, 2) => {
                several.push(Value::Object(decode_message(table().schema_props, wire.bytes()?, depth + 1)?));
            }
            (Shape::SchemaOrStrings, 2) => several.push(wire.text()?.into()),
            _ => {}
        }
    }
    Ok(match (shape, schema) {
        _ if !several.is_empty() => Value::Array(several),
        (_, Some(schema)) => schema,
        (Shape::SchemaOrBool, None) => allows.into(),
        (_, None) => Value::Null,
    })
}

/// Field 1 as text, as in Quantity.
fn decode_first_text(bytes: &[u8]) -> Result<&str, WireError> {
    let mut text = "";
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        if number == 1 {
            text = value.text()?;
        }
    }
    Ok(text)
}

/// Seconds and nanoseconds since the epoch; nothing at all is the zero time, which JSON leaves out.
fn decode_time(bytes: &[u8], field: &Field, micro: bool) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanoseconds) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        match number {
            1 => seconds = value.integer()?,
            2 => nanoseconds = value.integer()?,
            _ => {}
        }
    }
    let out_of_range = || DecodeError::Field { field: field.name, why: "is a time out of range" };
    let timestamp = Timestamp::from_second(seconds).map_err(|_| out_of_range())?;
    let text = timestamp.to_string();
    if !micro {
        return Ok(text.into());
    }
    let microseconds = Some(nanoseconds / 1000).filter(|micros| (0..1_000_000).contains(micros));
    let microseconds = microseconds.ok_or_else(out_of_range)?;
    Ok(format!("{}.{microseconds:06}Z", text.trim_end_matches('Z')).into())
}

fn decode_int_or_string(bytes: &[u8]) -> Result<Value, WireError> {
    let (mut is_text, mut number, mut text) = (false, 0, "");
    let mut reader = Reader::new(bytes);
    while let Some((field, value)) = reader.next_field()? {
        match field {
            1 => is_text = value.integer()? == 1,
            2 => number = value.integer()?,
            3 => text = value.text()?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// Field 1 holds JSON; nothing is null.
fn decode_json(bytes: &[u8], field: &Field) -> Result<Value, DecodeError> {
    let mut raw: &[u8] = b"";
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        if number == 1 {
            raw = value.bytes()?;
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(raw)
        .map_err(|error| DecodeError::Json { field: field.name.to_owned(), why: error.to_string() })
}
