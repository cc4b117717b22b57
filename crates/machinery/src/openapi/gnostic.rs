//! Swagger 2.0 as protobuf: the messages of gnostic (`openapiv2/OpenAPIv2.proto`), which client-go asks for.
//!
//! A table says which field of which message a keyword is; what is not in it and begins with `x-` is an extension, whose
//! value is written as YAML. Fields are in the order of their numbers and zero values are left out, as Go writes them.

use serde_json::{Map, Value};

use crate::{
    protobuf::write::{bytes, double, integer, text},
    yaml,
};

/// A message: its fields by keyword, in the order of their numbers, and the number of its extensions.
pub(super) struct Message {
    fields: &'static [(&'static str, u32, Shape)],
    extensions: u32,
}

/// What a value becomes. Lists become repeated fields, but for [`Shape::Any`] and [`Shape::Texts`].
pub(super) enum Shape {
    Text,
    Boolean,
    Integer,
    Double,
    /// Anything, as YAML.
    Any,
    /// A list of anything.
    Anys,
    Message(&'static Message),
    /// A message of nothing but texts in field 1, for one text or a list.
    Texts,
    /// A message of nothing but this field.
    Inside(u32, &'static Shape),
    /// A message with a field for each member of an object: a message of its name and its value.
    Members(u32, &'static Shape),
    Parameter,
    ParameterOrReference,
    ResponseOrReference,
    /// A schema or a boolean.
    AdditionalProperties,
}

use Shape::{Any, Anys, Boolean, Double, Inside, Integer, Members, Text, Texts};

const NO_EXTENSIONS: u32 = 0;

static REFERENCE: Message =
    Message { fields: &[("$ref", 1, Text), ("description", 2, Text)], extensions: NO_EXTENSIONS };

static EXTERNAL_DOCS: Message = Message { fields: &[("description", 1, Text), ("url", 2, Text)], extensions: 3 };

pub(super) static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Double),
        ("maximum", 7, Double),
        ("exclusiveMaximum", 8, Boolean),
        ("minimum", 9, Double),
        ("exclusiveMinimum", 10, Boolean),
        ("maxLength", 11, Integer),
        ("minLength", 12, Integer),
        ("pattern", 13, Text),
        ("maxItems", 14, Integer),
        ("minItems", 15, Integer),
        ("uniqueItems", 16, Boolean),
        ("maxProperties", 17, Integer),
        ("minProperties", 18, Integer),
        ("required", 19, Text),
        ("enum", 20, Anys),
        ("additionalProperties", 21, Shape::AdditionalProperties),
        ("type", 22, Texts),
        ("items", 23, Inside(1, &Shape::Message(&SCHEMA))),
        ("allOf", 24, Shape::Message(&SCHEMA)),
        ("properties", 25, Members(1, &Shape::Message(&SCHEMA))),
        ("externalDocs", 29, Shape::Message(&EXTERNAL_DOCS)),
        ("example", 30, Any),
    ],
    extensions: 31,
};

static RESPONSE: Message =
    Message { fields: &[("description", 1, Text), ("schema", 2, Inside(1, &Shape::Message(&SCHEMA)))], extensions: 5 };

static BODY_PARAMETER: Message = Message {
    fields: &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Boolean),
        ("schema", 5, Shape::Message(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Boolean),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("allowEmptyValue", 5, Boolean),
        ("type", 6, Text),
        ("format", 7, Text),
        ("uniqueItems", 20, Boolean),
    ],
    extensions: 23,
};

/// Of headers it is the same.
static PATH_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Boolean),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("format", 6, Text),
        ("uniqueItems", 19, Boolean),
    ],
    extensions: 22,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Text),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Text),
        ("consumes", 7, Text),
        ("parameters", 8, Shape::ParameterOrReference),
        ("responses", 9, Members(1, &Shape::ResponseOrReference)),
        ("schemes", 10, Text),
        ("deprecated", 11, Boolean),
    ],
    extensions: 13,
};

pub(super) static PATH_ITEM: Message = Message {
    fields: &[
        ("get", 2, Shape::Message(&OPERATION)),
        ("put", 3, Shape::Message(&OPERATION)),
        ("post", 4, Shape::Message(&OPERATION)),
        ("delete", 5, Shape::Message(&OPERATION)),
        ("options", 6, Shape::Message(&OPERATION)),
        ("head", 7, Shape::Message(&OPERATION)),
        ("patch", 8, Shape::Message(&OPERATION)),
        ("parameters", 9, Shape::ParameterOrReference),
    ],
    extensions: 10,
};

static API_KEY: Message = Message {
    fields: &[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)],
    extensions: 5,
};

static INFO: Message =
    Message { fields: &[("title", 1, Text), ("version", 2, Text), ("description", 3, Text)], extensions: 7 };

/// The members of the document but for its paths and definitions, which are written one by one.
pub(super) static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Text),
        ("info", 2, Shape::Message(&INFO)),
        ("parameters", 10, Members(1, &Shape::Parameter)),
        ("security", 12, Members(1, &Texts)),
        ("securityDefinitions", 13, Members(1, &Inside(2, &Shape::Message(&API_KEY)))),
    ],
    extensions: 16,
};

/// The fields of a message.
pub(super) fn encode(message: &Message, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(members) = value.as_object() else { return out };
    for (keyword, number, shape) in message.fields {
        if let Some(value) = members.get(*keyword) {
            put(&mut out, *number, shape, value);
        }
    }
    if message.extensions != NO_EXTENSIONS {
        for (name, value) in members.iter().filter(|(name, _)| name.starts_with("x-")) {
            bytes(&mut out, message.extensions, &named(name, &any(value)));
        }
    }
    out
}

/// An entry of a map: its name and its message.
pub(super) fn named(name: &str, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, 1, name);
    bytes(&mut out, 2, message);
    out
}

fn any(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    // What has no text is left out; there is nothing such in JSON.
    text(&mut out, 2, &yaml::to_unfolded_text(value).unwrap_or_default());
    out
}

/// Writes a field, or one for each element of a list.
fn put(out: &mut Vec<u8>, number: u32, shape: &Shape, value: &Value) {
    match (shape, value) {
        (Any, _) => bytes(out, number, &any(value)),
        (Anys, Value::Array(elements)) => {
            for element in elements {
                bytes(out, number, &any(element));
            }
        }
        (Texts, _) => bytes(out, number, &texts(value)),
        (Text, Value::Array(elements)) => {
            for element in elements.iter().filter_map(Value::as_str) {
                bytes(out, number, element.as_bytes());
            }
        }
        (_, Value::Array(elements)) => elements.iter().for_each(|element| put(out, number, shape, element)),
        (Text, _) => text(out, number, value.as_str().unwrap_or_default()),
        (Boolean, _) if *value == Value::Bool(true) => integer(out, number, 1),
        (Integer, _) => {
            if let Some(value) = value.as_i64().filter(|value| *value != 0) {
                integer(out, number, value.cast_unsigned());
            }
        }
        (Double, _) => {
            if let Some(value) = value.as_f64().filter(|value| *value != 0.0) {
                double(out, number, value);
            }
        }
        (Boolean | Anys, _) => {}
        (_, Value::Object(members)) => bytes(out, number, &whole(shape, value, members)),
        (Shape::AdditionalProperties, Value::Bool(allowed)) => {
            let mut item = Vec::new();
            integer(&mut item, 2, u64::from(*allowed));
            bytes(out, number, &item);
        }
        (_, _) => {}
    }
}

/// What a field holds whose value is an object.
fn whole(shape: &Shape, value: &Value, members: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    match shape {
        Shape::Message(message) => return encode(message, value),
        Inside(number, shape) => put(&mut out, *number, shape, value),
        Members(number, shape) => {
            for (name, value) in members {
                let mut entry = Vec::new();
                text(&mut entry, 1, name);
                put(&mut entry, 2, shape, value);
                bytes(&mut out, *number, &entry);
            }
        }
        Shape::Parameter => {
            let (number, message) = match members.get("in").and_then(Value::as_str) {
                Some("body") => return inside(1, &encode(&BODY_PARAMETER, value)),
                Some("header") => (1, &PATH_PARAMETER),
                Some("path") => (4, &PATH_PARAMETER),
                _ => (3, &QUERY_PARAMETER),
            };
            return inside(2, &inside(number, &encode(message, value)));
        }
        Shape::ParameterOrReference | Shape::ResponseOrReference if members.contains_key("$ref") => {
            return inside(2, &encode(&REFERENCE, value));
        }
        Shape::ParameterOrReference => put(&mut out, 1, &Shape::Parameter, value),
        Shape::ResponseOrReference => return inside(1, &encode(&RESPONSE, value)),
        Shape::AdditionalProperties => return inside(1, &encode(&SCHEMA, value)),
        Text | Boolean | Integer | Double | Any | Anys | Texts => {}
    }
    out
}

fn inside(number: u32, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, number, message);
    out
}

fn texts(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let one = value.as_str().into_iter();
    for element in one.chain(value.as_array().into_iter().flatten().filter_map(Value::as_str)) {
        bytes(&mut out, 1, element.as_bytes());
    }
    out
}
