//! Decodes a message into JSON by its table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::DecodeError;
use super::tables::{Encoding, Field, Message, tables};
use super::wire::{Reader, WireError, WireValue};

/// Deeper messages are refused: no built-in kind comes near it.
const MAXIMUM_DEPTH: usize = 64;

pub(super) fn decode_message(message: &Message, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, DecodeError> {
    if depth > MAXIMUM_DEPTH {
        return Err(DecodeError::Depth);
    }
    let mut object = Map::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next_field()? {
        let Some(field) = message.field(number) else { continue };
        match &field.encoding {
            Encoding::List(item) => decode_item(&mut object, field, item, wire, depth)?,
            Encoding::Map(value) => decode_entry(&mut object, field, value, wire, depth)?,
            encoding => {
                let value = decode_value(encoding, field, wire, depth)?;
                match value {
                    Value::Object(inline) if field.name == "*" => object.extend(inline),
                    value if value.is_null() || (field.omit_zero && is_zero(&value)) => {}
                    value => {
                        object.insert(field.name.to_owned(), value);
                    }
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
    item: &Encoding,
    wire: WireValue<'_>,
    depth: usize,
) -> Result<(), DecodeError> {
    let mut items = Vec::new();
    match (item, wire) {
        // packed numbers
        (Encoding::Integer | Encoding::Bool, WireValue::Bytes(packed)) => {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                let number = WireValue::Varint(reader.varint()?);
                items.push(decode_value(item, field, number, depth)?);
            }
        }
        (item, wire) => items.push(decode_value(item, field, wire, depth)?),
    }
    if let Value::Array(list) = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new())) {
        list.extend(items);
    }
    Ok(())
}

fn decode_entry(
    object: &mut Map<String, Value>,
    field: &Field,
    encoding: &Encoding,
    wire: WireValue<'_>,
    depth: usize,
) -> Result<(), DecodeError> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(wire.bytes()?);
    while let Some((number, wire)) = reader.next_field()? {
        match number {
            1 => wire.text()?.clone_into(&mut key),
            2 => value = Some(decode_value(encoding, field, wire, depth)?),
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        // an absent value is the zero one
        None => match encoding {
            Encoding::Bool => false.into(),
            Encoding::Integer => 0.into(),
            Encoding::Message(_) => Value::Object(Map::new()),
            Encoding::List(_) | Encoding::Strings => Value::Array(Vec::new()),
            Encoding::Quantity => "0".into(),
            _ => "".into(),
        },
    };
    if let Value::Object(entries) = object.entry(field.name).or_insert_with(|| Value::Object(Map::new())) {
        entries.insert(key, value);
    }
    Ok(())
}

fn decode_value(encoding: &Encoding, field: &Field, wire: WireValue<'_>, depth: usize) -> Result<Value, DecodeError> {
    Ok(match encoding {
        Encoding::String => wire.text()?.into(),
        Encoding::Bool => (wire.integer()? != 0).into(),
        Encoding::Integer => wire.integer()?.into(),
        Encoding::Bytes => STANDARD.encode(wire.bytes()?).into(),
        Encoding::Time => decode_time(wire.bytes()?, field, false)?,
        Encoding::MicroTime => decode_time(wire.bytes()?, field, true)?,
        Encoding::Quantity => match decode_first_text(wire.bytes()?)? {
            "" => "0".into(),
            text => text.into(),
        },
        Encoding::IntOrString => decode_int_or_string(wire.bytes()?)?,
        Encoding::Json => decode_json(wire.bytes()?, field)?,
        Encoding::Strings => {
            let mut items = Vec::new();
            let mut reader = Reader::new(wire.bytes()?);
            while let Some((number, item)) = reader.next_field()? {
                if number == 1 {
                    items.push(item.text()?.into());
                }
            }
            Value::Array(items)
        }
        Encoding::Message(index) => {
            let bytes = wire.bytes()?;
            let message =
                tables().message(*index).ok_or(DecodeError::Field { field: field.name, why: "has no table" })?;
            Value::Object(decode_message(message, bytes, depth + 1)?)
        }
        Encoding::List(_) | Encoding::Map(_) => {
            return Err(DecodeError::Field { field: field.name, why: "is a list of lists" });
        }
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
