//! Decodes a message into JSON by its table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::DecodeError;
use super::wire::{BYTES, FIXED64, Reader, Tag, VARINT, WireError};
use crate::go_types::{Field, Shape, StructId, TypeId, table};

/// Deeper messages are refused: no built-in kind comes near it.
const MAXIMUM_DEPTH: usize = 64;

/// Decodes the message of a struct.
pub(super) fn decode_message(id: StructId, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, DecodeError> {
    if depth > MAXIMUM_DEPTH {
        return Err(DecodeError::Depth);
    }
    let mut object = Map::new();
    let mut reader = Reader::new(bytes, table().struct_name(id));
    while let Some(tag) = reader.next_tag()? {
        let Some(field) = table().numbered_field(id, tag.number) else {
            if let Some(merged) = table().merged_struct(id, tag.number) {
                tag.expect(BYTES, || table().struct_name(merged).to_owned())?;
                object.extend(decode_message(merged, reader.bytes()?, depth + 1)?);
            } else {
                reader.skip(tag)?;
            }
            continue;
        };
        match table().shape(field.value) {
            Shape::List(item) => decode_item(&mut object, field, item, tag, &mut reader, depth)?,
            Shape::Map(value) => {
                tag.expect(BYTES, || go_name(field))?;
                decode_entry(&mut object, field, value, reader.bytes()?, depth)?;
            }
            shape => {
                tag.expect(wire_type(field.value), || go_name(field))?;
                let value = decode_value(field.value, field, &mut reader, depth)?;
                let is_absent = field.omitted && !matches!(shape, Shape::Pointer(_)) && is_zero(&value);
                if !value.is_null() && !is_absent {
                    object.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Ok(object)
}

/// What Go calls a field.
fn go_name(field: &Field) -> String {
    match (field.name, table().shape(field.value)) {
        ("metadata", Shape::Struct(id)) => table().struct_name(id).to_owned(),
        (name, _) => crate::typed_object::go_field_name(name),
    }
}

/// How values of a type stand on the wire.
fn wire_type(id: TypeId) -> u64 {
    match table().shape(id) {
        Shape::Bool | Shape::Int32 | Shape::Int64 => VARINT,
        Shape::Float64 => FIXED64,
        Shape::Pointer(inner) => wire_type(inner),
        _ => BYTES,
    }
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
    tag: Tag<'_>,
    reader: &mut Reader<'_>,
    depth: usize,
) -> Result<(), DecodeError> {
    let mut items = Vec::new();
    if wire_type(item) != BYTES && tag.wire_type == BYTES {
        let mut packed = Reader::new(reader.bytes()?, "");
        while !packed.is_empty() {
            items.push(decode_value(item, field, &mut packed, depth)?);
        }
    } else {
        tag.expect(wire_type(item), || go_name(field))?;
        items.push(decode_value(item, field, reader, depth)?);
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
    bytes: &[u8],
    depth: usize,
) -> Result<(), DecodeError> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(bytes, "");
    while let Some(tag) = reader.next_tag()? {
        match tag.number {
            1 => key = reader.text()?.into_owned(),
            2 => value = Some(decode_value(entry, field, &mut reader, depth)?),
            _ => reader.skip(tag)?,
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

/// The value that comes next.
fn decode_value(id: TypeId, field: &Field, reader: &mut Reader<'_>, depth: usize) -> Result<Value, DecodeError> {
    Ok(match table().shape(id) {
        Shape::String => reader.text()?.into(),
        Shape::Bool => (reader.integer()? != 0).into(),
        Shape::Int32 | Shape::Int64 => reader.integer()?.into(),
        Shape::Float64 => crate::typed_object::float(reader.float()?),
        Shape::Bytes => STANDARD.encode(reader.bytes()?).into(),
        Shape::Time => decode_time(reader.bytes()?, field, false)?,
        Shape::MicroTime => decode_time(reader.bytes()?, field, true)?,
        Shape::Quantity => match decode_first(reader.bytes()?, "Quantity", "String_")? {
            [] => "0".into(),
            text => String::from_utf8_lossy(text).into(),
        },
        Shape::IntOrString => decode_int_or_string(reader.bytes()?)?,
        Shape::Json => decode_json(reader.bytes()?, field)?,
        Shape::Strings => {
            let mut items = Vec::new();
            let mut inner = Reader::new(reader.bytes()?, "ExtraValue");
            while let Some(tag) = inner.next_tag()? {
                if tag.number == 1 {
                    tag.expect(BYTES, || "Items".to_owned())?;
                    items.push(inner.text()?.into());
                } else {
                    inner.skip(tag)?;
                }
            }
            Value::Array(items)
        }
        shape @ (Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings) => {
            decode_schema_choice(shape, reader.bytes()?, depth)?
        }
        Shape::Struct(index) => Value::Object(decode_message(index, reader.bytes()?, depth + 1)?),
        Shape::Pointer(inner) => decode_value(inner, field, reader, depth)?,
        Shape::List(_) | Shape::Map(_) => {
            return Err(DecodeError::Field { field: field.name, why: "is a list of lists" });
        }
    })
}

/// A schema, or something else that may stand for one.
fn decode_schema_choice(shape: Shape, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    let (mut allows, mut schema, mut several) = (false, None, Vec::new());
    let message = match shape {
        Shape::SchemaOrBool => "JSONSchemaPropsOrBool",
        Shape::SchemaOrArray => "JSONSchemaPropsOrArray",
        _ => "JSONSchemaPropsOrStringArray",
    };
    let mut reader = Reader::new(bytes, message);
    while let Some(tag) = reader.next_tag()? {
        let expect = |wire_type: u64, field: &str| tag.expect(wire_type, || field.to_owned());
        match (shape, tag.number) {
            (Shape::SchemaOrBool, 1) => {
                expect(VARINT, "Allows")?;
                allows = reader.integer()? != 0;
            }
            (Shape::SchemaOrBool, 2) | (Shape::SchemaOrArray | Shape::SchemaOrStrings, 1) => {
                expect(BYTES, "Schema")?;
                schema = Some(Value::Object(decode_message(table().schema_props, reader.bytes()?, depth + 1)?));
            }
            (Shape::SchemaOrArray, 2) => {
                expect(BYTES, "JSONSchemas")?;
                several.push(Value::Object(decode_message(table().schema_props, reader.bytes()?, depth + 1)?));
            }
            (Shape::SchemaOrStrings, 2) => {
                expect(BYTES, "Property")?;
                several.push(reader.text()?.into());
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(match (shape, schema) {
        _ if !several.is_empty() => Value::Array(several),
        (_, Some(schema)) => schema,
        (Shape::SchemaOrBool, None) => allows.into(),
        (_, None) => Value::Null,
    })
}

/// The bytes of field 1 of a message that has no other.
fn decode_first<'a>(bytes: &'a [u8], message: &'static str, field: &str) -> Result<&'a [u8], WireError> {
    let mut found: &[u8] = b"";
    let mut reader = Reader::new(bytes, message);
    while let Some(tag) = reader.next_tag()? {
        if tag.number == 1 {
            tag.expect(BYTES, || field.to_owned())?;
            found = reader.bytes()?;
        } else {
            reader.skip(tag)?;
        }
    }
    Ok(found)
}

/// Seconds and nanoseconds since the epoch; nothing at all is the zero time, which JSON leaves out.
fn decode_time(bytes: &[u8], field: &Field, micro: bool) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanoseconds) = (0, 0);
    let mut reader = Reader::new(bytes, "Timestamp");
    while let Some(tag) = reader.next_tag()? {
        let name = match tag.number {
            1 => "Seconds",
            2 => "Nanos",
            _ => {
                reader.skip(tag)?;
                continue;
            }
        };
        tag.expect(VARINT, || name.to_owned())?;
        *(if tag.number == 1 { &mut seconds } else { &mut nanoseconds }) = reader.integer()?;
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
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    let mut reader = Reader::new(bytes, "IntOrString");
    while let Some(tag) = reader.next_tag()? {
        match tag.number {
            1 => {
                tag.expect(VARINT, || "Type".to_owned())?;
                is_text = reader.integer()? == 1;
            }
            2 => {
                tag.expect(VARINT, || "IntVal".to_owned())?;
                number = reader.integer()?;
            }
            3 => {
                tag.expect(BYTES, || "StrVal".to_owned())?;
                text = reader.text()?.into_owned();
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// Field 1 holds JSON; nothing is null.
fn decode_json(bytes: &[u8], field: &Field) -> Result<Value, DecodeError> {
    let raw = decode_first(bytes, "RawExtension", "Raw")?;
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(raw)
        .map_err(|error| DecodeError::Json { field: field.name.to_owned(), why: error.to_string() })
}
