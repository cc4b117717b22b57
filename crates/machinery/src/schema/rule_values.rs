//! JSON as CEL values, typed by the schema (apiextensions-apiserver, `apiserver/schema/cel`, `UnstructuredToVal`).

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use base64::Engine as _;
use chrono::{DateTime, NaiveTime};
use kube_cel::cel::{
    Value as CelValue,
    objects::{Key, Map},
};
use serde_json::Value;

use super::{
    ListType, SchemaNode, correlation::map_key, duration_format::duration_nanoseconds, format::StringFormat,
    rule_projection::Projection, value_validation::Format,
};
use crate::cel::RESERVED_WORDS;

/// Converts the projected part of `value`.
///
/// With `sort`, lists of type set and map are put into a fixed order, so that lists which only differ in their order
/// are equal as the real server has it; only for expressions that can not tell the order.
pub(crate) fn to_cel(node: Option<&SchemaNode>, value: &Value, projection: &Projection, sort: bool) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => number_to_cel(node, number),
        Value::String(text) => text_to_cel(node, text),
        Value::Array(items) => {
            let schema = node.and_then(|node| node.items.as_deref());
            let convert = |item: &Value| to_cel(schema, item, &Projection::Whole, sort);
            let items: Vec<CelValue> = match node {
                Some(node) if sort && node.list_type != ListType::Atomic => {
                    let mut sorted: Vec<(String, &Value)> =
                        items.iter().map(|item| (order_key(node, item), item)).collect();
                    sorted.sort_by(|left, right| left.0.cmp(&right.0));
                    sorted.into_iter().map(|(_, item)| convert(item)).collect()
                }
                _ => items.iter().map(convert).collect(),
            };
            CelValue::List(Arc::new(items))
        }
        Value::Object(fields) => {
            let mut map = HashMap::with_capacity(fields.len());
            for (name, field) in fields {
                // A declared field that is null is absent to rules.
                if field.is_null() && node.is_some_and(|node| node.properties.contains_key(name)) {
                    continue;
                }
                let (schema, escaped) = match node {
                    Some(node) => match node.properties.get(name) {
                        Some(schema) => (Some(schema.as_ref()), escape(name)),
                        None => (node.additional_properties.as_deref(), Cow::Borrowed(name.as_str())),
                    },
                    None => (None, Cow::Borrowed(name.as_str())),
                };
                if let Some(projection) = projection.field(&escaped) {
                    let key = Key::String(Arc::new(escaped.into_owned()));
                    map.insert(key, to_cel(schema, field, projection, sort));
                }
            }
            CelValue::Map(Map { map: Arc::new(map) })
        }
    }
}

fn order_key(node: &SchemaNode, item: &Value) -> String {
    let key = match (&node.list_type, &node.items, item) {
        (ListType::Map(keys), Some(items), Value::Object(fields)) => map_key(keys, items, fields),
        _ => None,
    };
    key.unwrap_or_else(|| item.to_string())
}

#[expect(clippy::cast_possible_truncation, reason = "validation let only whole numbers pass as integers")]
fn number_to_cel(node: Option<&SchemaNode>, number: &serde_json::Number) -> CelValue {
    let schema_type = node.map_or("", |node| node.schema_type.as_str());
    match (schema_type, number.as_i64(), number.as_f64()) {
        ("number", _, Some(float)) => CelValue::Float(float),
        (_, Some(integer), _) => CelValue::Int(integer),
        ("integer", None, Some(float)) if float.fract() == 0.0 && float.abs() < 9.2e18 => CelValue::Int(float as i64),
        (_, _, float) => CelValue::Float(float.unwrap_or(f64::NAN)),
    }
}

fn text_to_cel(node: Option<&SchemaNode>, text: &str) -> CelValue {
    let format = node
        .filter(|node| !node.int_or_string)
        .and_then(|node| node.value_validation.as_deref())
        .and_then(|validation| validation.format.as_ref());
    let converted = match format {
        Some((_, Format::String(StringFormat::DateTime))) => {
            DateTime::parse_from_rfc3339(text).ok().map(CelValue::Timestamp)
        }
        Some((_, Format::String(StringFormat::Date))) => text
            .parse::<chrono::NaiveDate>()
            .ok()
            .map(|date| CelValue::Timestamp(date.and_time(NaiveTime::MIN).and_utc().fixed_offset())),
        Some((_, Format::String(StringFormat::Duration))) => {
            duration_nanoseconds(text).map(|nanoseconds| CelValue::Duration(chrono::Duration::nanoseconds(nanoseconds)))
        }
        Some((_, Format::String(StringFormat::Byte))) => {
            base64::engine::general_purpose::STANDARD.decode(text).ok().map(|bytes| CelValue::Bytes(Arc::new(bytes)))
        }
        _ => None,
    };
    converted.unwrap_or_else(|| CelValue::String(Arc::new(text.to_owned())))
}

/// A field name as rules write it: `__`, `.`, `-`, `/` and CEL's own words are spelled out.
pub(crate) fn escape(name: &str) -> Cow<'_, str> {
    if RESERVED_WORDS.contains(&name) {
        return Cow::Owned(format!("__{name}__"));
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return Cow::Borrowed(name);
    }
    let escaped = name
        .replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__");
    Cow::Owned(escaped)
}
