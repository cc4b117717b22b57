//! Uniqueness in lists of type set and map (apiextensions-apiserver, `apiserver/schema/listtype`).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{ListType, SchemaNode, messages, path::FieldPath};
use crate::status_error::FieldError;

/// Duplicates in `object`. An old object that already had some tolerates them.
pub(crate) fn errors(root: &SchemaNode, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !root.below.unique_lists || old == Some(object) {
        return errors;
    }
    walk(root, object, &FieldPath::ROOT, &mut errors);
    if !errors.is_empty()
        && let Some(old) = old
    {
        let mut old_errors = Vec::new();
        walk(root, old, &FieldPath::ROOT, &mut old_errors);
        if !old_errors.is_empty() {
            errors.clear();
        }
    }
    errors
}

fn walk(node: &SchemaNode, value: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if !node.below.unique_lists {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(schema) = node.properties.get(name) {
                    walk(schema, field, &path.field(name), errors);
                } else if let Some(schema) = &node.additional_properties {
                    walk(schema, field, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            match &node.list_type {
                ListType::Atomic => {}
                ListType::Set => {
                    for index in repeated(items.iter().map(Value::to_string)) {
                        errors.push(messages::duplicate(path.index(index).to_field(), &items[index]));
                    }
                }
                ListType::Map(keys) => map_list(keys, items, path, errors),
            }
            if let Some(schema) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    walk(schema, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn map_list(keys: &[String], items: &[Value], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if let Some((index, item)) = items.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null()) {
        let detail = "must be an object for an array of list-type map";
        errors.push(messages::invalid(path.index(index).to_field(), item, detail));
        return;
    }
    let key_of = |item: &Value| -> Value {
        let fields = item.as_object();
        let entry = |key: &String| fields?.get_key_value(key).map(|(name, value)| (name.clone(), value.clone()));
        Value::Object(keys.iter().filter_map(entry).collect::<Map<String, Value>>())
    };
    for index in repeated(items.iter().map(|item| key_of(item).to_string())) {
        errors.push(messages::duplicate(path.index(index).to_field(), &key_of(&items[index])));
    }
}

/// The positions of the second occurrence of each text.
fn repeated(texts: impl ExactSizeIterator<Item = String>) -> Vec<usize> {
    if texts.len() < 2 {
        return Vec::new();
    }
    let mut seen: HashMap<String, u32> = HashMap::with_capacity(texts.len());
    let mut positions = Vec::new();
    for (position, text) in texts.enumerate() {
        let times = seen.entry(text).or_insert(0);
        *times += 1;
        if *times == 2 {
            positions.push(position);
        }
    }
    positions
}
