//! ConfigMaps and Secrets.

use kogge_machinery::status_error::FieldError;
use serde_json::Value;

use super::{IMMUTABLE, text};
use crate::token::secret;

/// Largest sum of the values of a ConfigMap or Secret, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
const KEY_DETAIL: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
                          or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const FROZEN: &str = "field is immutable when `immutable` is set";

/// Keys a Secret of a type must have.
fn required_keys(secret_type: &str) -> &'static [&'static str] {
    match secret_type {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        // One of the two is enough.
        "kubernetes.io/basic-auth" => &["username", "password"],
        _ => &[],
    }
}

pub(super) fn validate(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let is_secret = text(object, "/kind") == "Secret";
    let mut bytes = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in object.get(field).and_then(Value::as_object).into_iter().flatten() {
            let length = value.as_str().map_or(0, str::len);
            // Base64 is four characters for three bytes.
            bytes += if is_secret || field == "binaryData" { length / 4 * 3 } else { length };
            let valid = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
            if key.is_empty() || !key.chars().all(valid) {
                errors.push(FieldError::invalid(format!("{field}[{key}]"), &key.as_str().into(), KEY_DETAIL));
            } else if matches!(key.as_str(), "." | "..") {
                errors.push(FieldError::invalid(
                    format!("{field}[{key}]"),
                    &key.as_str().into(),
                    &format!("must not be '{key}'"),
                ));
            }
        }
    }
    if bytes > MAX_BYTES {
        errors.push(FieldError::too_long(if is_secret { "data" } else { "[]" }, MAX_BYTES));
    }
    for key in object.get("data").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys) {
        if object.get("binaryData").is_some_and(|binary| binary.get(key).is_some()) {
            let detail = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(format!("data[{key}]"), &key.as_str().into(), detail));
        }
    }
    if is_secret {
        let secret_type = text(object, "/type");
        let annotations = &object["metadata"]["annotations"];
        if secret_type == secret::TYPE && annotations[secret::ACCOUNT_NAME].as_str().is_none_or(str::is_empty) {
            let path = format!("metadata.annotations[{}]", secret::ACCOUNT_NAME);
            errors.push(FieldError::required(path, ""));
        }
        let has = |key: &str| object.get("data").is_some_and(|data| data.get(key).is_some());
        let keys = required_keys(secret_type);
        let one_is_enough = secret_type == "kubernetes.io/basic-auth" && keys.iter().any(|key| has(key));
        for key in keys.iter().filter(|_| !one_is_enough) {
            if object.get("data").and_then(|data| data.get(*key)).is_none() {
                errors.push(FieldError::required(format!("data[{key}]"), ""));
            }
        }
    }
    let Some(old) = old else { return };
    if is_secret && old.get("type") != object.get("type") {
        errors.push(FieldError::invalid("type", &object["type"], IMMUTABLE));
    }
    if old.get("immutable") == Some(&Value::Bool(true)) {
        if object.get("immutable") != Some(&Value::Bool(true)) {
            errors.push(FieldError::forbidden("immutable", FROZEN));
        }
        for field in ["data", "binaryData"] {
            if old.get(field) != object.get(field) {
                errors.push(FieldError::forbidden(field, FROZEN));
            }
        }
    }
}
