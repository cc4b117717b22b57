//! Laying an applied object over a live one, and taking fields out again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::field_set::FieldSet;
use super::path_element::PathElement;
use super::typed::{Form, Type};

/// Merges `applied` over `live`: nothing is removed, leaves of `applied` win, items of lists keep the live order unless
/// `applied` orders them otherwise.
pub(super) fn merge(own: Type<'_>, live: &Value, applied: &Value) -> Value {
    let mut result = None;
    match own.handled_as(own.form(applied)) {
        Form::Map => {
            let (left, right) = (live.as_object(), applied.as_object());
            if !(own.atomic_map() || left.is_none_or(Map::is_empty) && right.is_none_or(Map::is_empty)) {
                result = Some(Value::Object(merge_maps(own, left, right)));
            }
        }
        Form::List => {
            let (left, right) = (live.as_array(), applied.as_array());
            if !(own.atomic_list() || left.is_none_or(Vec::is_empty) && right.is_none_or(Vec::is_empty)) {
                let empty = Vec::new();
                result = merge_lists(own, left.unwrap_or(&empty), right.unwrap_or(&empty)).map(Value::Array);
            }
        }
        Form::Scalar | Form::Any => {}
    }
    result.unwrap_or_else(|| applied.clone())
}

fn merge_maps(
    own: Type<'_>,
    live: Option<&Map<String, Value>>,
    applied: Option<&Map<String, Value>>,
) -> Map<String, Value> {
    let mut merged = Map::new();
    for (name, value) in live.into_iter().flatten() {
        let value = match applied.and_then(|applied| applied.get(name)) {
            Some(wanted) => merge(own.field(name), value, wanted),
            None => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    for (name, value) in applied.into_iter().flatten() {
        if !merged.contains_key(name) {
            merged.insert(name.clone(), value.clone());
        }
    }
    merged
}

/// `None` when an item has no key, so the list can only be replaced.
fn merge_lists(own: Type<'_>, live: &[Value], applied: &[Value]) -> Option<Vec<Value>> {
    let live_keys = own.path_elements(live)?;
    let applied_keys = own.path_elements(applied)?;
    // A live item that has duplicates is not merged with, only replaced.
    let mut live_by_key: BTreeMap<&PathElement, Option<&Value>> = BTreeMap::new();
    for (key, item) in live_keys.iter().zip(live) {
        live_by_key.entry(key).and_modify(|known| *known = None).or_insert(Some(item));
    }
    let applied_by_key: BTreeMap<&PathElement, &Value> = applied_keys.iter().zip(applied).collect();
    let merge_item = |key: &PathElement| {
        let wanted = applied_by_key[key];
        match live_by_key.get(key) {
            Some(Some(item)) => merge(own.item(), item, wanted),
            _ => wanted.clone(),
        }
    };
    let mut shared = applied_keys.iter().filter(|key| live_by_key.contains_key(key));
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&PathElement> = BTreeSet::new();
    let mut merged = Vec::with_capacity(live.len().max(applied.len()));
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < applied.len() {
        if left < live.len() && right < applied.len() {
            let key = &live_keys[left];
            if *key == applied_keys[right] {
                done.insert(key);
                merged.push(merge_item(key));
                left += 1;
                right += 1;
                next_shared = shared.next();
                continue;
            }
            if applied_by_key.contains_key(key) && next_shared.is_some_and(|next| next != key) {
                // A shared item, but not the one whose turn it is.
                left += 1;
                continue;
            }
        }
        if left < live.len() {
            let key = &live_keys[left];
            if !applied_by_key.contains_key(key) {
                merged.push(live[left].clone());
                left += 1;
                continue;
            }
            if done.contains(key) {
                left += 1;
            }
        }
        if right < applied.len() {
            let key = &applied_keys[right];
            done.insert(key);
            merged.push(merge_item(key));
            right += 1;
            if next_shared == Some(key) {
                next_shared = shared.next();
            }
        }
    }
    Some(merged)
}

/// Takes the fields and items of `fields` out of a value. A container that becomes empty becomes null, as the reference
/// implementation leaves it.
pub(super) fn remove_items(own: Type<'_>, value: Value, fields: &FieldSet) -> Value {
    if fields.is_empty() {
        return value;
    }
    match (own.handled_as(own.form(&value)), value) {
        (Form::Map, Value::Object(members)) => {
            if members.is_empty() || own.atomic_map() {
                return Value::Null;
            }
            let mut kept = Map::new();
            for (name, member) in members {
                let element = PathElement::field(name);
                if fields.has_member(&element) {
                    continue;
                }
                let below = fields.child(&element).filter(|below| !below.is_empty());
                let PathElement::Field(name) = element else { continue };
                let member = match below {
                    Some(below) => remove_items(own.field(&name), member, below),
                    None => member,
                };
                kept.insert(name, member);
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Form::List, Value::Array(items)) => {
            if items.is_empty() || own.atomic_list() {
                return Value::Null;
            }
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let Ok(element) = own.path_element(&item) else {
                    kept.push(item);
                    continue;
                };
                if fields.has_member(&element) {
                    continue;
                }
                kept.push(match fields.child(&element).filter(|below| !below.is_empty()) {
                    Some(below) => remove_items(own.item(), item, below),
                    None => item,
                });
            }
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        (Form::Scalar | Form::Any, value) => value,
        _ => Value::Null,
    }
}
