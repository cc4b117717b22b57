//! RFC 6902.

use serde_json::Value;

use super::MAXIMUM_JSON_PATCH_OPERATIONS;
use crate::status_error::ApiError;

/// Applies all operations or none.
pub(super) fn apply(object: &Value, patch: &Value) -> Result<Value, ApiError> {
    let operations = patch.as_array().ok_or_else(|| {
        let kind = json_kind(patch);
        let target = "Go value of type []handlers.jsonPatchOp";
        ApiError::bad_request(format!("error decoding patch: json: cannot unmarshal {kind} into {target}"))
    })?;
    if operations.len() > MAXIMUM_JSON_PATCH_OPERATIONS {
        return Err(ApiError::request_entity_too_large(format!(
            "The allowed maximum operations in a JSON patch is {MAXIMUM_JSON_PATCH_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut document = object.clone();
    for operation in operations {
        apply_one(&mut document, operation)?;
    }
    Ok(document)
}

/// What Go's JSON decoder calls a value.
fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null => "null",
    }
}

fn apply_one(document: &mut Value, operation: &Value) -> Result<(), ApiError> {
    let text = |key: &str| -> Result<&str, ApiError> {
        operation.get(key).and_then(Value::as_str).ok_or_else(|| {
            ApiError::bad_request(format!("error decoding patch: operation {operation} has no \"{key}\""))
        })
    };
    let value = || {
        operation.get("value").cloned().ok_or_else(|| {
            ApiError::bad_request(format!("error decoding patch: operation {operation} has no \"value\""))
        })
    };
    let name = text("op")?;
    let path = pointer(text("path")?)?;
    let outcome = match name {
        "add" => add(document, &path, value()?),
        "remove" => remove(document, &path).map(drop),
        "replace" => replace(document, &path, value()?),
        "test" => test(document, &path, &value()?),
        "copy" => {
            let from = pointer(text("from")?)?;
            get_or_null(document, &from).cloned().and_then(|value| add(document, &path, value))
        }
        "move" => {
            let from = pointer(text("from")?)?;
            if path.len() > from.len() && path.starts_with(&from) {
                Err("a value cannot be moved into itself".to_owned())
            } else {
                remove(document, &from).and_then(|value| add(document, &path, value))
            }
        }
        _ => return Err(ApiError::unprocessable()),
    };
    outcome.map_err(|_| ApiError::unprocessable())
}

/// The decoded tokens of a JSON pointer (RFC 6901).
fn pointer(text: &str) -> Result<Vec<String>, ApiError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let tokens = text.strip_prefix('/').ok_or_else(|| {
        ApiError::bad_request(format!("error decoding patch: path {text} does not begin with a slash"))
    })?;
    Ok(tokens.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}

fn shown(path: &[String]) -> String {
    path.iter().flat_map(|token| ["/", token]).collect()
}

/// An index into `length` items, negative ones from the end.
fn index(token: &str, length: usize) -> Result<usize, String> {
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.is_empty()
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || (digits.len() > 1 && digits.starts_with('0'))
    {
        return Err(format!("invalid array index {token}"));
    }
    let number: usize = digits.parse().map_err(|_| format!("invalid array index {token}"))?;
    let found = if token.starts_with('-') { length.checked_sub(number) } else { Some(number) };
    found.filter(|found| *found <= length).ok_or_else(|| format!("index {token} is out of bounds"))
}

fn step<'a>(value: &'a Value, token: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(token),
        Value::Array(items) => items.get(index(token, items.len()).ok()?),
        _ => None,
    }
}

fn get<'a>(document: &'a Value, path: &[String]) -> Result<&'a Value, String> {
    path.iter().try_fold(document, |value, token| step(value, token)).ok_or_else(|| missing(path))
}

fn get_mut<'a>(document: &'a mut Value, path: &[String]) -> Result<&'a mut Value, String> {
    path.iter()
        .try_fold(document, |value, token| match value {
            Value::Object(fields) => fields.get_mut(token),
            Value::Array(items) => {
                let index = index(token, items.len()).ok()?;
                items.get_mut(index)
            }
            _ => None,
        })
        .ok_or_else(|| missing(path))
}

fn missing(path: &[String]) -> String {
    format!("doc is missing path: {}: missing value", crate::status_error::quote(&shown(path)))
}

fn add(document: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    match get_mut(document, parents)? {
        Value::Object(fields) => {
            fields.insert(last.clone(), value);
        }
        Value::Array(items) => {
            // the new item counts, so that -1 appends
            let position = match last.as_str() {
                "-" => items.len(),
                token if token.starts_with('-') => index(token, items.len() + 1)?,
                token => index(token, items.len())?,
            };
            items.insert(position, value);
        }
        _ => return Err(missing(path)),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &[String]) -> Result<Value, String> {
    let (last, parents) = path.split_last().ok_or("the whole document cannot be removed")?;
    match get_mut(document, parents)? {
        Value::Object(fields) => fields.remove(last).ok_or_else(|| missing(path)),
        Value::Array(items) => {
            let position = index(last, items.len())?;
            if position < items.len() { Ok(items.remove(position)) } else { Err(missing(path)) }
        }
        _ => Err(missing(path)),
    }
}

/// As in the reference implementation, a field that is missing in an object that is there can be replaced, ...
fn replace(document: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    if let Value::Object(fields) = get_mut(document, parents)? {
        fields.insert(last.clone(), value);
        return Ok(());
    }
    *get_mut(document, path)? = value;
    Ok(())
}

/// ... and reads as null.
fn get_or_null<'a>(document: &'a Value, path: &[String]) -> Result<&'a Value, String> {
    const NULL: &Value = &Value::Null;
    match path.split_last() {
        Some((last, parents)) => match get(document, parents)? {
            Value::Object(fields) => Ok(fields.get(last).unwrap_or(NULL)),
            _ => get(document, path),
        },
        None => Ok(document),
    }
}

fn test(document: &Value, path: &[String], expected: &Value) -> Result<(), String> {
    if json_equal(get_or_null(document, path)?, expected) {
        Ok(())
    } else {
        Err(format!("testing value {} failed", shown(path)))
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
