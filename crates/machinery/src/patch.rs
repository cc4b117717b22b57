//! JSON patch, JSON merge patch and strategic merge patch.
//!
//! Each takes the stored object and the decoded patch, and gives the new object or an error; the stored one is never
//! changed. Which of them a kind accepts is decided by [`crate::negotiation::body_encoding`].

mod json;
mod strategic;

pub use json::JsonPatchError;

use serde_json::{Map, Value};

use crate::schema::SchemaNode;
use crate::status_error::ApiError;

/// Operations a JSON patch may have, as in the real server.
pub const MAXIMUM_JSON_PATCH_OPERATIONS: usize = 10_000;

/// RFC 6902 with Kubernetes' deviations: a missing field of an object that is there reads as null for `test` and `copy`
/// and can be replaced; negative indices count from the end.
///
/// # Errors
/// 400 for a patch that is no list of operations, 413 for more than 10,000 of them, 422 for one that does not apply.
pub fn json_patch(object: &Value, patch: &Value) -> Result<Value, ApiError> {
    Ok(apply_json_patch(object, patch)?)
}

/// As [`json_patch`], and tells which operation failed.
///
/// # Errors
/// See [`JsonPatchError`].
pub fn apply_json_patch(object: &Value, patch: &Value) -> Result<Value, JsonPatchError> {
    json::apply(object, patch)
}

/// The members of the operations of a JSON patch that mean nothing, as `[0].name`.
pub fn unknown_members(patch: &Value) -> Vec<String> {
    json::unknown_members(patch)
}

/// RFC 7396, except that null fields of objects inside lists are dropped, as the library of the real server does.
pub fn merge_patch(object: &Value, patch: &Value) -> Value {
    let mut merged = object.clone();
    merge_into(&mut merged, patch);
    merged
}

fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = without_null_fields(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else if let Some(field) = fields.get_mut(key) {
            merge_into(field, change);
        } else {
            let mut added = Value::Null;
            merge_into(&mut added, change);
            fields.insert(key.clone(), added);
        }
    }
}

fn without_null_fields(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(without_null_fields).collect()),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_null_fields(value))).collect())
        }
        scalar => scalar.clone(),
    }
}

/// Strategic merge patch of a built-in kind (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList`, `$setElementOrder`,
/// merge keys). `schema` is the kind's; fields it does not know merge as in a JSON merge patch.
///
/// # Errors
/// 400 for a malformed patch, 422 for one that does not apply.
pub fn strategic_merge_patch(object: &Value, patch: &Value, schema: &SchemaNode) -> Result<Value, ApiError> {
    strategic::apply(object, patch, schema)
}

/// A value as Go prints it (`%+v` of decoded JSON): `map[spec:map[replicas:3]]`.
pub fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}:{}", go_text(value))).collect();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

/// JSON as Go's encoder writes it, with `<`, `>` and `&` escaped.
pub fn go_json(value: &Value) -> String {
    crate::apply::go_json(value)
}

#[cfg(test)]
mod tests;
