//! Strategic merge patch: the meaning of `k8s.io/apimachinery/pkg/util/strategicpatch` on the server's side.
//!
//! Lists with a merge key merge by it, lists of scalars with strategy `merge` become unions, all other lists are
//! replaced. Order: items that came with the patch stand in the patch's order, items of the server alone keep their
//! place before the patch's item they stood before.

use serde_json::{Map, Value};

use crate::go_types::{Shape, table};
use crate::schema::{SchemaNode, messages::go_text};
use crate::status_error::{ApiError, quote};
use crate::typed_object::json_kind;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
const SET_ELEMENT_ORDER: &str = "$setElementOrder/";

/// How one field merges.
struct Field<'a> {
    /// Schema of the field's value, or of the items where it is a list.
    schema: Option<&'a SchemaNode>,
    merge_key: Option<&'a str>,
    merge: bool,
    replace: bool,
}

fn field<'a>(schema: Option<&'a SchemaNode>, key: &str, list: bool) -> Field<'a> {
    let node = schema
        .and_then(|schema| schema.properties.get(key).or(schema.additional_properties.as_ref()).map(AsRef::as_ref));
    let strategies = || node.and_then(|node| node.patch_strategy.as_deref()).unwrap_or_default().split(',');
    Field {
        schema: if list { node.and_then(|node| node.items.as_deref()) } else { node },
        merge_key: node.and_then(|node| node.patch_merge_key.as_deref()),
        merge: strategies().any(|strategy| strategy == "merge"),
        replace: strategies().any(|strategy| strategy == "replace"),
    }
}

pub(super) fn apply(object: &Value, patch: &Value, schema: &SchemaNode) -> Result<Value, ApiError> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request("error decoding patch: a strategic merge patch is an object"));
    };
    let original = object.as_object().cloned().unwrap_or_default();
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let own = GoType(table().kind(text("apiVersion"), text("kind")).map(Shape::Struct));
    merge_map(original, patch.clone(), Some(schema), own).map(Value::Object)
}

/// The Go type of a value, where it is known.
#[derive(Clone, Copy)]
struct GoType(Option<Shape>);

impl GoType {
    /// The type itself where this is a pointer to it.
    fn pointed_to(self) -> Option<Shape> {
        match self.0 {
            Some(Shape::Pointer(inner)) => Some(table().shape(inner)),
            other => other,
        }
    }

    /// Of a member.
    fn member(self, name: &str) -> Self {
        Self(match self.pointed_to() {
            Some(Shape::Struct(id)) => table().field(id, name).map(|field| table().shape(field.value)),
            Some(Shape::Map(entry)) => Some(table().shape(entry)),
            _ => None,
        })
    }

    /// Of the items of a list.
    fn item(self) -> Self {
        Self(match self.pointed_to() {
            Some(Shape::List(item)) => Some(table().shape(item)),
            _ => None,
        })
    }

    /// Whether the library of the real server looks for the strategies of members here: it does so in structs only.
    fn check_struct(self, name: &str) -> Result<(), ApiError> {
        match self.pointed_to() {
            Some(Shape::Map(_)) => {
                Err(failed("merging an object in json but data type is not struct, instead is: map".to_owned()))
            }
            // A RawExtension is one without fields.
            Some(Shape::Json) => {
                let name = quote(name);
                Err(failed(format!("unable to find api field in struct RawExtension for the json field {name}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether it knows how to order a list of this name.
    fn check_list(self, name: &str) -> Result<(), ApiError> {
        self.check_struct(name)?;
        let Some(Shape::Struct(id)) = self.pointed_to() else { return Ok(()) };
        // Names that differ in case only are taken for the same there.
        let found = table().fields(id).iter().find(|field| field.name.eq_ignore_ascii_case(name));
        match found.map(|field| table().shape(field.value)) {
            None => Err(failed(format!(
                "unable to find api field in struct {} for the json field {}",
                table().struct_name(id),
                quote(name)
            ))),
            Some(Shape::List(_) | Shape::Strings | Shape::Bytes | Shape::Pointer(_)) => Ok(()),
            Some(_) => Err(failed("expected slice or array type, but got: struct".to_owned())),
        }
    }
}

/// What the real server has no kind of error for, it answers with 500 and the library's words.
fn failed(why: String) -> ApiError {
    ApiError::new(500, "", why)
}

fn bad_directive(directive: &Value, map: &Value) -> ApiError {
    // Printed as a text, whatever it is.
    let shown = match directive {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("%!s(float64={number})"),
        Value::Number(number) => format!("%!s(int64={number})"),
        Value::Bool(set) => format!("%!s(bool={set})"),
        Value::Null => "%!s(<nil>)".to_owned(),
        other => go_text(other),
    };
    failed(format!("unknown patch type: {shown} in map: {}", go_text(map)))
}

fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Option<&SchemaNode>,
    own: GoType,
) -> Result<Map<String, Value>, ApiError> {
    match patch.remove(DIRECTIVE) {
        None => {}
        Some(Value::String(directive)) if directive == "replace" => return Ok(patch),
        Some(Value::String(directive)) if directive == "delete" => return Ok(Map::new()),
        Some(other) => {
            patch.insert(DIRECTIVE.to_owned(), other.clone());
            return Err(bad_directive(&other, &Value::Object(patch)));
        }
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered_lists(&mut original, &mut patch, schema, own)?;
    for (key, change) in patch {
        let (key, delete_list) = match key.strip_prefix(DELETE_FROM_LIST) {
            Some(list) => (list.to_owned(), true),
            None => (key, false),
        };
        if change.is_null() {
            original.remove(&key);
            continue;
        }
        let merged = match (original.remove(&key), change) {
            (Some(Value::Array(items)), Value::Array(deleted)) if delete_list => {
                check_item_types(&items, &deleted)?;
                Some(Value::Array(items.into_iter().filter(|item| !deleted.contains(item)).collect()))
            }
            (current, _) if delete_list => current,
            (Some(Value::Object(current)), Value::Object(change)) => {
                own.check_struct(&key)?;
                let field = field(schema, &key, false);
                Some(Value::Object(if field.replace {
                    change
                } else {
                    merge_map(current, change, field.schema, own.member(&key))?
                }))
            }
            (Some(Value::Array(current)), Value::Array(change)) => {
                own.check_struct(&key)?;
                let field = field(schema, &key, true);
                Some(Value::Array(if field.merge {
                    merge_list(current, change, &field, own.member(&key).item())?
                } else {
                    change
                }))
            }
            (_, change) => without_directives(change),
        };
        if let Some(merged) = merged {
            original.insert(key, merged);
        }
    }
    Ok(original)
}

/// `$retainKeys`: fields of a union that the patch does not name go.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), ApiError> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let malformed = || ApiError::bad_request("invalid patch format of retainKeys");
    let retained = retained.as_array().ok_or_else(malformed)?;
    let keeps = |key: &str| retained.iter().any(|name| name == key);
    let unlisted = patch.iter().any(|(key, value)| !key.starts_with('$') && !value.is_null() && !keeps(key));
    if unlisted {
        return Err(malformed());
    }
    original.retain(|key, _| keeps(key));
    Ok(())
}

/// Takes the `$setElementOrder/` directives, and the lists they order, out of the patch.
fn merge_ordered_lists(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    schema: Option<&SchemaNode>,
    own: GoType,
) -> Result<(), ApiError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let order = match patch.remove(&directive).unwrap_or_default() {
            Value::Array(order) => order,
            other => return Err(no_list(&other)),
        };
        let key = directive.strip_prefix(SET_ELEMENT_ORDER).unwrap_or_default();
        let field = field(schema, key, true);
        let list = |value: Option<&Value>| match value {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items.clone())),
            Some(other) => Err(no_list(other)),
        };
        let (server, change) = (list(original.get(key))?, list(patch.get(key))?);
        own.check_list(key)?;
        if let Some(change) = &change {
            check_order(change, &order, field.merge_key)?;
        }
        let places =
            server_places(server.as_deref().unwrap_or_default(), change.as_deref().unwrap_or_default(), &field);
        let merged = match (server, change) {
            (None, None) => continue,
            (Some(server), None) => server,
            (None, Some(change)) => without_directives(Value::Array(change)).and_then(into_list).unwrap_or_default(),
            (Some(server), Some(change)) if field.merge => merge_list(server, change, &field, own.member(key).item())?,
            (Some(_), Some(change)) => change,
        };
        patch.remove(key);
        let ordered = order_items(merged, &order, &places, field.merge_key);
        original.insert(key.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

/// A value where a list has to be.
fn no_list(value: &Value) -> ApiError {
    let found = match value {
        Value::Null => "%!s(<nil>)",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Object(_) => "map[string]interface {}",
        other => json_kind(other),
    };
    failed(format!("expected a []interface {{}}, but received a {found}"))
}

fn into_list(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(items) = value { Some(items) } else { None }
}

fn is_deletion(item: &Value) -> bool {
    item.get(DIRECTIVE).is_some_and(|directive| directive == "delete")
}

/// The server's list as the reference implementation sees it after merging, which decides where items stand: merging
/// happens in place there, so deletions close gaps and new items fill the room that is left.
fn server_places(server: &[Value], change: &[Value], field: &Field<'_>) -> Vec<Value> {
    let (mut places, mut length) = (server.to_vec(), server.len());
    let (Some(key), true) = (field.merge_key, field.merge) else { return places };
    for item in change.iter().filter(|item| is_deletion(item)) {
        while let Some(found) = position(&places[..length], item, Some(key)) {
            for index in found + 1..length {
                places.swap(index - 1, index);
            }
            length -= 1;
        }
    }
    for item in change.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        if length < places.len() && position(&places[..length], item, Some(key)).is_none() {
            places[length] = item.clone();
            length += 1;
        }
    }
    places
}

/// The identity of an item: its merge key's value, or itself in a list of scalars.
fn identity<'a>(item: &'a Value, merge_key: Option<&str>) -> Option<&'a Value> {
    match merge_key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

fn position(items: &[Value], item: &Value, merge_key: Option<&str>) -> Option<usize> {
    let own = identity(item, merge_key)?;
    items.iter().position(|other| identity(other, merge_key) == Some(own))
}

/// The patch's items must stand in the order the directive gives.
fn check_order(change: &[Value], order: &[Value], merge_key: Option<&str>) -> Result<(), ApiError> {
    let mut next = 0;
    for item in change.iter().filter(|item| !is_deletion(item)) {
        match position(&order[next..], item, merge_key) {
            Some(found) => next += found + 1,
            None => {
                return Err(failed(format!(
                    "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                    go_text(&Value::Array(change.to_vec())),
                    go_text(&Value::Array(order.to_vec()))
                )));
            }
        }
    }
    Ok(())
}

/// The items of both lists have to be of one type of Go, which is no list.
fn check_item_types(server: &[Value], change: &[Value]) -> Result<(), ApiError> {
    let type_of = |item: &Value| match item {
        Value::Number(number) if number.is_f64() => "float64",
        other => json_kind(other),
    };
    let mut items = server.iter().chain(change);
    let Some(first) = items.next() else { return Ok(()) };
    if first.is_array() {
        return Err(ApiError::unprocessable());
    }
    if items.any(|item| type_of(item) != type_of(first)) {
        let lists = Value::Array(vec![server.to_vec().into(), change.to_vec().into()]);
        return Err(failed(format!("list element types are not identical: {}", go_text(&lists))));
    }
    Ok(())
}

/// Merges two lists whose items are of `item_type`.
fn merge_list(
    server: Vec<Value>,
    change: Vec<Value>,
    field: &Field<'_>,
    item_type: GoType,
) -> Result<Vec<Value>, ApiError> {
    if server.is_empty() && change.is_empty() {
        return Ok(server);
    }
    check_item_types(&server, &change)?;
    let maps = server.first().or(change.first()).is_some_and(Value::is_object);
    if !maps {
        let mut union: Vec<Value> = Vec::with_capacity(server.len() + change.len());
        for item in server.iter().chain(&change) {
            if !union.contains(item) {
                union.push(item.clone());
            }
        }
        return Ok(order_items(union, &change, &server, None));
    }
    let key = field.merge_key.ok_or_else(|| failed("cannot merge lists without merge key".to_owned()))?;
    let no_key = |item: &Value| failed(format!("map: {} does not contain declared merge key: {key}", go_text(item)));
    let (mut merged, mut replaced, mut changes) = (server.clone(), false, Vec::new());
    for item in change {
        match item.get(DIRECTIVE).and_then(Value::as_str) {
            None if item.get(DIRECTIVE).is_none() => changes.push(item),
            Some("delete") => {
                let deleted = item.get(key).ok_or_else(|| no_key(&item))?;
                merged.retain(|other| other.get(key) != Some(deleted));
            }
            Some("replace") => replaced = true,
            Some("merge") => return Err(failed("merging lists cannot yet be specified in the patch".to_owned())),
            _ => return Err(bad_directive(item.get(DIRECTIVE).unwrap_or(&Value::Null), &item)),
        }
    }
    if replaced {
        return Ok(changes.into_iter().filter_map(without_directives).collect());
    }
    for item in &changes {
        let own = item.get(key).ok_or_else(|| no_key(item))?;
        let Value::Object(change) = item else { continue };
        match merged.iter_mut().find(|other| other.get(key) == Some(own)) {
            Some(Value::Object(current)) => {
                *current = merge_map(std::mem::take(current), change.clone(), field.schema, item_type)?;
            }
            // As it is: its nulls become the zero values of their types.
            _ => merged.push(item.clone()),
        }
    }
    if let Some(keyless) = merged.iter().find(|item| item.get(key).is_none()) {
        return Err(no_key(keyless));
    }
    Ok(order_items(merged, &changes, &server, Some(key)))
}

/// Orders merged items: those in `order` by it, the others by the `server`'s list; the two runs are merged so that an
/// item of the server stands before the first patched item it stood before.
fn order_items(merged: Vec<Value>, order: &[Value], server: &[Value], merge_key: Option<&str>) -> Vec<Value> {
    let (mut patched, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| position(order, item, merge_key).is_some());
    patched.sort_by_key(|item| position(order, item, merge_key));
    others.sort_by_key(|item| position(server, item, merge_key).unwrap_or(usize::MAX));
    let mut ordered = Vec::with_capacity(patched.len() + others.len());
    let (mut patched, mut others) = (patched.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(own), Some(other)) = (patched.peek(), others.peek()) {
        let places = (position(server, other, merge_key), position(server, own, merge_key));
        let server_first = matches!(places, (Some(other), Some(own)) if other < own);
        ordered.extend(if server_first { others.next() } else { patched.next() });
    }
    ordered.extend(patched);
    ordered.extend(others);
    ordered
}

/// New content without nulls and maps with `$patch`. Other directives stay, and are taken for fields.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            if fields.contains_key(DIRECTIVE) {
                return None;
            }
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Some(Value::Object(kept.filter_map(|(key, value)| Some((key, without_directives(value)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}
