//! The form an object has after Go has read and written it: null and empty members that `omitempty` leaves out are
//! gone, zero values that are always written are there, unknown members are gone, times and quantities are canonical.

use serde_json::{Map, Value};

use super::{bytes, time};
use crate::{
    go_types::{Field, Shape, StructId, TypeId, split_before, table},
    quantity,
};

/// Brings objects into their canonical form and notes what does not fit.
///
/// The walk allocates nothing for an object that is canonical already.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Lists and maps that are empty stay so where they are always written; otherwise they become null, which is what
    /// storing them as protobuf makes of them.
    pub(super) keeps_empty: bool,
    /// They stay where they are left out when empty, too.
    pub(super) keeps_omitted: bool,
    /// Whether the object is stored next: zero times become null. Until then they stay, for null would be absent where a
    /// pointer to a zero time is not.
    pub(super) is_last: bool,
    /// Schemas of definitions stay as they are: they have this form already, and are nearly all of a definition.
    pub(super) passes_schemas: bool,
    /// Members were removed that the type does not have.
    pub(super) unknown: bool,
    /// A value is not of its type; it stays as it is.
    pub(super) wrong: bool,
}

impl Walk {
    /// The members of a struct.
    pub(super) fn fields(&mut self, id: StructId, members: &mut Map<String, Value>) {
        let mut expected = table().fields(id);
        let none_is_missing = table().all_omitted(id);
        let mut dropped: Vec<String> = Vec::new();
        let mut missing: Vec<&Field> = Vec::new();
        // both are sorted by name
        for (name, value) in members.iter_mut() {
            let (before, rest) = split_before(expected, name);
            if !none_is_missing {
                missing.extend(before.iter().filter(|field| !field.omitted));
            }
            expected = rest;
            let Some((field, rest)) = expected.split_first().filter(|(field, _)| field.name == name) else {
                self.unknown = true;
                dropped.push(name.clone());
                continue;
            };
            expected = rest;
            // an empty list resets ownership, which absent managedFields do not
            let resets = !self.is_last && field.name == "managedFields" && value.is_array();
            let stays = resets || self.keeps_omitted && (value.is_array() || value.is_object());
            if self.value(field.value, value) && field.omitted && !stays {
                dropped.push(name.clone());
            }
        }
        if !none_is_missing {
            missing.extend(expected.iter().filter(|field| !field.omitted));
        }
        for name in &dropped {
            members.remove(name);
        }
        for field in missing {
            members.insert(field.name.to_owned(), zero(field.value));
        }
    }

    /// One value; answers whether it is empty in the sense of `omitempty`.
    fn value(&mut self, id: TypeId, value: &mut Value) -> bool {
        let shape = table().shape(id);
        if let Shape::Pointer(inner) = shape {
            if value.is_null() {
                return true;
            }
            self.value(inner, value);
            return false;
        }
        if value.is_null() {
            // null changes nothing, so the value is the zero one
            *value = zero(id);
        }
        match (shape, &mut *value) {
            (Shape::String, Value::String(text)) => text.is_empty(),
            (Shape::Bool, Value::Bool(flag)) => !*flag,
            (Shape::Int32, Value::Number(number)) => {
                self.wrong |= number.as_i64().is_none_or(|number| i32::try_from(number).is_err());
                number.as_i64() == Some(0)
            }
            (Shape::Int64, Value::Number(number)) => {
                self.wrong |= !number.is_i64();
                number.as_i64() == Some(0)
            }
            (Shape::Float64, Value::Number(number)) => {
                let float = number.as_f64();
                if let Some(float) = float.filter(|_| number.is_f64()) {
                    *value = super::float(float);
                }
                float == Some(0.0)
            }
            (Shape::Struct(id), Value::Object(_)) if self.passes_schemas && id == table().schema_props => false,
            (Shape::Struct(id), Value::Object(members)) => {
                self.fields(id, members);
                false
            }
            (Shape::List(item), Value::Array(items)) => {
                for item_value in items.iter_mut() {
                    self.value(item, item_value);
                }
                self.is_empty_container(items.is_empty(), value)
            }
            (Shape::Map(entry), Value::Object(members)) => {
                for (_, member) in members.iter_mut() {
                    self.value(entry, member);
                    if member.is_null() && !self.keeps_empty {
                        *member = stored_entry(entry);
                    }
                }
                self.is_empty_container(members.is_empty(), value)
            }
            (Shape::Strings, Value::Array(items)) => {
                for item in items.iter_mut() {
                    match item {
                        Value::String(_) => {}
                        Value::Null => *item = Value::String(String::new()),
                        _ => self.wrong = true,
                    }
                }
                self.is_empty_container(items.is_empty(), value)
            }
            (Shape::Bytes, Value::String(text)) => {
                match bytes::check(text) {
                    Ok(bytes::Checked::Canonical) => {}
                    Ok(bytes::Checked::Other) => *text = bytes::canonical(text),
                    Err(_) => self.wrong = true,
                }
                text.is_empty()
            }
            (Shape::Time | Shape::MicroTime, Value::String(text)) => {
                match time::parse(text, shape == Shape::MicroTime) {
                    Ok(time::Parsed::Changed(written)) => *text = written,
                    Ok(time::Parsed::Zero) if self.is_last => *value = Value::Null,
                    Ok(time::Parsed::Unchanged | time::Parsed::Zero) => {}
                    Err(_) => self.wrong = true,
                }
                value.is_null()
            }
            (Shape::Quantity, Value::String(text)) => {
                match quantity::canonical(text) {
                    Ok(None) => {}
                    Ok(Some(written)) => *text = written,
                    Err(_) => self.wrong = true,
                }
                false
            }
            (Shape::Quantity, Value::Number(number)) => {
                let text = number.to_string();
                match quantity::canonical(&text) {
                    Ok(written) => *value = Value::String(written.unwrap_or(text)),
                    Err(_) => self.wrong = true,
                }
                false
            }
            (Shape::IntOrString, Value::Number(number)) => {
                self.wrong |= number.as_i64().is_none_or(|number| i32::try_from(number).is_err());
                false
            }
            (Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings, Value::Object(members)) => {
                let unknown = self.unknown;
                self.fields(table().schema_props, members);
                // these are read without looking for unknown fields
                self.unknown = unknown;
                false
            }
            (Shape::SchemaOrArray, Value::Array(schemas)) => {
                let unknown = self.unknown;
                for schema in schemas.iter_mut() {
                    match schema {
                        Value::Object(members) => self.fields(table().schema_props, members),
                        Value::Null => *schema = Value::Object(Map::new()),
                        _ => self.wrong = true,
                    }
                }
                self.unknown = unknown;
                false
            }
            (Shape::SchemaOrStrings, Value::Array(names)) => {
                self.wrong |= names.iter().any(|name| !name.is_string());
                false
            }
            // the zero times, and absent lists and maps
            (
                Shape::List(_) | Shape::Map(_) | Shape::Strings | Shape::Bytes | Shape::Time | Shape::MicroTime,
                Value::Null,
            ) => true,
            (Shape::Json, _)
            | (Shape::IntOrString, Value::String(_))
            | (Shape::SchemaOrBool, Value::Bool(_))
            | (Shape::SchemaOrArray | Shape::SchemaOrStrings, Value::Null) => false,
            _ => {
                self.wrong = true;
                false
            }
        }
    }

    fn is_empty_container(&self, empty: bool, value: &mut Value) -> bool {
        if empty && !self.keeps_empty {
            *value = Value::Null;
        }
        empty
    }
}

/// What an entry of a map that holds nothing is when it was stored as protobuf.
fn stored_entry(id: TypeId) -> Value {
    match table().shape(id) {
        Shape::Strings => Value::Array(Vec::new()),
        Shape::Bytes => Value::String(String::new()),
        _ => Value::Null,
    }
}

/// What Go writes for the zero value of a type.
fn zero(id: TypeId) -> Value {
    match table().shape(id) {
        Shape::String => Value::String(String::new()),
        Shape::Bool | Shape::SchemaOrBool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::IntOrString | Shape::Float64 => Value::from(0),
        Shape::Quantity => Value::String("0".to_owned()),
        Shape::Struct(id) => Value::Object(zero_fields(id)),
        Shape::Bytes
        | Shape::Time
        | Shape::MicroTime
        | Shape::Json
        | Shape::Strings
        | Shape::SchemaOrArray
        | Shape::SchemaOrStrings
        | Shape::List(_)
        | Shape::Map(_)
        | Shape::Pointer(_) => Value::Null,
    }
}

/// The members Go writes of a struct that holds nothing.
pub(super) fn zero_fields(id: StructId) -> Map<String, Value> {
    let always = table().fields(id).iter().filter(|field| !field.omitted);
    always.map(|field| (field.name.to_owned(), zero(field.value))).collect()
}
