//! RFC 6902.

use serde_json::Value;

use super::MAXIMUM_JSON_PATCH_OPERATIONS;
use crate::{
    nesting::{MAXIMUM_DEPTH, is_deeper_than},
    status_error::{ApiError, quote},
    typed_object::json_kind,
};

/// So many bytes of JSON may be copied by all operations together (the real server's `JSONPatchMaxCopyBytes`).
const MAXIMUM_COPIED: usize = 3 * 1024 * 1024;
/// No operation makes the document deeper; what the object's type does not know may be deeper than the object may be.
const MAXIMUM_LEVELS: usize = 4 * MAXIMUM_DEPTH;

/// Why a patch was not applied.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonPatchError {
    /// It is no list of operations, or too long; the answer to who sent it.
    Decode(ApiError),
    /// An operation failed, in the words of the library of the real server, which it tells only those who run webhooks.
    Apply(String),
}

impl From<JsonPatchError> for ApiError {
    fn from(error: JsonPatchError) -> Self {
        match error {
            JsonPatchError::Decode(error) => error,
            JsonPatchError::Apply(_) => Self::unprocessable(),
        }
    }
}

/// Applies all operations or none.
pub(super) fn apply(object: &Value, patch: &Value) -> Result<Value, JsonPatchError> {
    let operations = match patch {
        // As in Go, where null is a list without items.
        Value::Null => &[][..],
        Value::Array(operations) => operations,
        _ => return Err(undecoded(patch, "Go value of type []handlers.jsonPatchOp")),
    };
    if operations.len() > MAXIMUM_JSON_PATCH_OPERATIONS {
        return Err(JsonPatchError::Decode(ApiError::request_entity_too_large(format!(
            "The allowed maximum operations in a JSON patch is {MAXIMUM_JSON_PATCH_OPERATIONS}, got {}",
            operations.len()
        ))));
    }
    operations.iter().try_for_each(check_types)?;
    let (mut document, mut copied) = (object.clone(), 0);
    for operation in operations {
        apply_one(&mut document, operation, &mut copied)?;
    }
    Ok(document)
}

fn undecoded(value: &Value, target: &str) -> JsonPatchError {
    let kind = json_kind(value);
    let message = format!("error decoding patch: json: cannot unmarshal {kind} into {target}");
    JsonPatchError::Decode(ApiError::bad_request(message))
}

/// An operation is an object of texts, and a value; what is not there is empty.
fn check_types(operation: &Value) -> Result<(), JsonPatchError> {
    if !operation.is_object() && !operation.is_null() {
        return Err(undecoded(operation, "Go value of type handlers.jsonPatchOp"));
    }
    for name in ["op", "from", "path"] {
        match &operation[name] {
            Value::Null | Value::String(_) => {}
            other => return Err(undecoded(other, &format!("Go struct field jsonPatchOp.{name} of type string"))),
        }
    }
    Ok(())
}

/// The members of operations that mean nothing, as `[0].name`.
pub(super) fn unknown_members(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().into_iter().flatten().enumerate();
    let names = operations.flat_map(|(index, operation)| {
        operation.as_object().into_iter().flatten().map(move |(name, _)| (index, name.as_str()))
    });
    let unknown = names.filter(|(_, name)| !matches!(*name, "op" | "from" | "path" | "value"));
    unknown.map(|(index, name)| format!("[{index}].{name}")).collect()
}

/// Applies an operation; `copied` counts the bytes all of them copy.
fn apply_one(document: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), JsonPatchError> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    // One that is not there is null.
    let value = || Ok::<_, JsonPatchError>(operation.get("value").cloned().unwrap_or_default());
    let name = text("op").unwrap_or("unknown");
    if !matches!(name, "add" | "remove" | "replace" | "test" | "copy" | "move") {
        return Err(JsonPatchError::Apply(format!("Unexpected kind: {name}")));
    }
    let undecoded = |key: &str| {
        // Some operations tell what is missed, some do not.
        let why = match key {
            "from" => "operation, missing from field: ",
            _ if matches!(name, "add" | "remove" | "copy") => "",
            _ => "operation missing path field: ",
        };
        JsonPatchError::Apply(format!("{name} operation failed to decode {key}: {why}missing value"))
    };
    let shown = text("path").ok_or_else(|| undecoded("path"))?;
    let path = pointer(shown);
    let missing = |what: &str, path: &str| {
        format!("{name} operation does not apply: doc is missing {what}: {path}: missing value")
    };
    let fits = |value: &Value| {
        let is_deeper = path.len() > MAXIMUM_LEVELS || is_deeper_than(value, MAXIMUM_LEVELS - path.len());
        if is_deeper { Err("the document is nested too deeply".to_owned()) } else { Ok(()) }
    };
    if let Some(value) = operation.get("value") {
        fits(value).map_err(JsonPatchError::Apply)?;
    }
    let outcome = match name {
        "add" => match container(document, &path) {
            Some((into, key)) => {
                add(into, key, value()?).map_err(|why| format!("error in add for path: '{shown}': {why}"))
            }
            None => Err(missing("path", &quote(shown))),
        },
        "remove" => match container(document, &path) {
            Some((from, key)) => {
                remove(from, key).map(drop).map_err(|why| format!("error in remove for path: '{shown}': {why}"))
            }
            None => Err(missing("path", &quote(shown))),
        },
        "replace" => match container(document, &path) {
            Some((into, key)) => replace(into, key, value()?).map_err(|()| missing("key", shown)),
            // The one operation that may change all of it, as the real server's library has it.
            None if shown.is_empty() => match value()? {
                whole @ (Value::Object(_) | Value::Array(_)) => {
                    *document = whole;
                    Ok(())
                }
                // With the trace of a mistake in that library.
                _ => Err("replace operation value must be object or array: %!w(<nil>)".to_owned()),
            },
            None => Err(missing("path", shown)),
        },
        "test" => test(document, &path, shown, &value()?),
        "copy" => {
            let source = text("from").ok_or_else(|| undecoded("from"))?;
            let from = pointer(source);
            // The document as a whole is not copied.
            match if from.is_empty() { None } else { get_or_null(document, &from) } {
                Some(Ok(found)) => {
                    *copied += found.to_string().len();
                    if *copied > MAXIMUM_COPIED {
                        return Err(JsonPatchError::Apply(format!(
                            "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding \
                             the limit {MAXIMUM_COPIED}"
                        )));
                    }
                    fits(found).map_err(JsonPatchError::Apply)?;
                    let found = found.clone();
                    match container(document, &path) {
                        Some((into, key)) => {
                            add(into, key, found).map_err(|why| format!("error while adding value during copy: {why}"))
                        }
                        None => Err(missing("destination path", shown)),
                    }
                }
                Some(Err(why)) => Err(format!("error in copy for from: '{source}': {why}")),
                None => Err(missing("from path", source)),
            }
        }
        // `move`, as all others were refused.
        _ => {
            let source = text("from").ok_or_else(|| undecoded("from"))?;
            let from = pointer(source);
            if !from.is_empty() && path.len() > from.len() && path.starts_with(&from) {
                Err("a value cannot be moved into itself".to_owned())
            } else {
                let taken = match container(document, &from) {
                    Some((out_of, key)) => {
                        remove(out_of, key).map_err(|why| format!("error in move for path: '{key}': {why}"))
                    }
                    None => Err(missing("from path", source)),
                };
                let taken = taken.and_then(|taken| fits(&taken).map(|()| taken));
                taken.and_then(|taken| match container(document, &path) {
                    Some((into, key)) => {
                        add(into, key, taken).map_err(|why| format!("error in move for path: '{shown}': {why}"))
                    }
                    None => Err(missing("destination path", shown)),
                })
            }
        }
    };
    outcome.map_err(JsonPatchError::Apply)
}

/// The decoded tokens of a JSON pointer (RFC 6901); none for what has no slash, which leads nowhere.
fn pointer(text: &str) -> Vec<String> {
    let Some((_, tokens)) = text.split_once('/') else { return Vec::new() };
    tokens.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// An index into `length` items, negative ones from the end.
fn index(token: &str, length: usize) -> Result<usize, String> {
    let number: i64 = token.parse().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", quote(token)))?;
    let from_end = i64::try_from(length).unwrap_or(i64::MAX);
    let found = if number < 0 { number.saturating_add(from_end) } else { number };
    usize::try_from(found)
        .ok()
        .filter(|found| *found < length)
        .ok_or_else(|| format!("Unable to access invalid index: {number}: invalid index referenced"))
}

fn step<'a>(value: &'a mut Value, token: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(fields) => fields.get_mut(token),
        Value::Array(items) => {
            let index = index(token, items.len()).ok()?;
            items.get_mut(index)
        }
        _ => None,
    }
}

/// The object or list a path leads into, and the last step.
fn container<'a, 'p>(document: &'a mut Value, path: &'p [String]) -> Option<(&'a mut Value, &'p str)> {
    let (last, parents) = path.split_last()?;
    let container = parents.iter().try_fold(document, |value, token| step(value, token))?;
    matches!(container, Value::Object(_) | Value::Array(_)).then_some((container, last.as_str()))
}

fn add(container: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match container {
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            key.parse::<i64>().map_err(|_| {
                format!(
                    "value was not a proper array index: '{key}': strconv.Atoi: parsing {}: invalid syntax",
                    quote(key)
                )
            })?;
            // The new item counts, so that -1 appends.
            items.insert(index(key, items.len() + 1)?, value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(container: &mut Value, key: &str) -> Result<Value, String> {
    match container {
        Value::Object(fields) => {
            fields.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value"))
        }
        Value::Array(items) => index(key, items.len()).map(|position| items.remove(position)),
        _ => Ok(Value::Null),
    }
}

/// As in the reference implementation, a field that is missing in an object that is there can be replaced, ...
fn replace(container: &mut Value, key: &str, value: Value) -> Result<(), ()> {
    match container {
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value);
        }
        Value::Array(items) => {
            let position = index(key, items.len()).map_err(drop)?;
            items[position] = value;
        }
        _ => {}
    }
    Ok(())
}

/// ... and reads as null. `None` where the path leads nowhere.
fn get_or_null<'a>(document: &'a mut Value, path: &[String]) -> Option<Result<&'a Value, String>> {
    const NULL: &Value = &Value::Null;
    if path.is_empty() {
        return Some(Ok(document));
    }
    let (container, key) = container(document, path)?;
    Some(match &*container {
        Value::Object(fields) => Ok(fields.get(key).unwrap_or(NULL)),
        Value::Array(items) => index(key, items.len()).map(|position| &items[position]),
        _ => Ok(NULL),
    })
}

fn test(document: &mut Value, path: &[String], shown: &str, expected: &Value) -> Result<(), String> {
    // What has no slash leads nowhere.
    let found = if path.is_empty() && !shown.is_empty() { None } else { get_or_null(document, path) };
    match found {
        Some(Ok(found)) if json_equal(found, expected) => Ok(()),
        Some(Ok(_)) => Err(format!("testing value {shown} failed: test failed")),
        Some(Err(why)) => Err(format!("error in test for path: '{shown}': {why}")),
        None => Err(format!("test operation does not apply: is missing path: {shown}: missing value")),
    }
}

/// Equality of JSON, where `1` and `1.0` are one number.
fn json_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| json_equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| json_equal(value, other)))
        }
        _ => left == right,
    }
}
