//! ConfigMaps and Secrets.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use kogge_machinery::typed_object;

use super::{
    Change,
    field::{Errors, Field, same},
    text::config_key_messages,
};
use crate::token::secret;

/// Largest sum of the values of a ConfigMap or Secret, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

fn decoded(value: &Field<'_>) -> Vec<u8> {
    STANDARD.decode(value.text()).unwrap_or_default()
}

/// The keys of a map; returns the size of its values.
fn keys(map: &Field<'_>, encoded: bool, errors: &mut Errors) -> usize {
    let mut bytes = 0;
    for (key, value) in map.entries() {
        for message in config_key_messages(key) {
            errors.show(&value, &key.into(), &message);
        }
        bytes += if encoded { decoded(&value).len() } else { value.text().len() };
    }
    bytes
}

/// What was once declared to be final.
fn frozen(change: &Change<'_>, fields: &[&str], empty_by_default: Option<&str>, errors: &mut Errors) {
    let Some(old) = change.old.as_ref().filter(|old| old.at("immutable").is_true()) else { return };
    if !change.new.at("immutable").is_true() {
        errors.forbidden(&change.new.at("immutable"), FROZEN);
    }
    for field in fields {
        let now = change.new.at(field);
        // Compared as Go values, to which an empty map is not what is absent, as it is in all that was stored; but an absent one
        // is empty by default where keys have texts.
        let sent_empty = Some(*field) != empty_by_default && errors.was_sent_empty(&now);
        if sent_empty || !same(now.value, old.at(field).value) {
            errors.forbidden(&change.new.at(field), FROZEN);
        }
    }
}

/// A ConfigMap.
pub(super) fn validate_config_map(change: &Change<'_>, errors: &mut Errors) {
    frozen(change, &["data", "binaryData"], Some("data"), errors);
    let (texts, binary) = (change.new.at("data"), change.new.at("binaryData"));
    let bytes = keys(&texts, false, errors);
    for (key, value) in texts.entries().filter(|(key, _)| binary.key(key).is_set()) {
        errors.show(&value, &key.into(), "duplicate of key present in binaryData");
    }
    if bytes + keys(&binary, true, errors) > MAX_BYTES {
        // The real server names no field here; an empty path is written so.
        errors.too_long(&texts.reported_as("[]"), MAX_BYTES);
    }
}

/// A Secret, which has what its type promises.
pub(super) fn validate_secret(change: &Change<'_>, errors: &mut Errors) {
    let object = &change.new;
    if let Some(old) = &change.old {
        errors.immutable(&object.at("type"), &old.at("type"));
    }
    frozen(change, &["data"], None, errors);
    let data = object.at("data");
    if keys(&data, true, errors) > MAX_BYTES {
        errors.too_long(&data, MAX_BYTES);
    }
    let mut need = |key: &str| {
        // Null is there, and empty.
        if data.value.get(key).is_none() {
            errors.required(&data.key(key), "");
        }
    };
    match object.at("type").text() {
        secret::TYPE => {
            let name = object.at("metadata.annotations").key(secret::ACCOUNT_NAME);
            if name.is_empty() {
                errors.required(&name, "");
            }
        }
        "kubernetes.io/dockercfg" => docker(&data.key(".dockercfg"), errors),
        "kubernetes.io/dockerconfigjson" => docker(&data.key(".dockerconfigjson"), errors),
        "kubernetes.io/basic-auth" if !data.key("username").is_set() && !data.key("password").is_set() => {
            need("username");
            need("password");
        }
        "kubernetes.io/ssh-auth" => {
            let key = data.key("ssh-privatekey");
            if key.is_empty() {
                errors.required(&key, "");
            }
        }
        "kubernetes.io/tls" => {
            need("tls.crt");
            need("tls.key");
        }
        _ => {}
    }
}

fn docker(value: &Field<'_>, errors: &mut Errors) {
    if !value.is_set() {
        errors.required(value, "");
    } else if let Some(problem) = typed_object::object_problem(&decoded(value), typed_object::GO_MAP) {
        errors.show(value, &"<secret contents redacted>".into(), &problem);
    }
}

/// Warnings about a Secret: a pair of certificate and key that is none.
pub(super) fn warnings(object: &Field<'_>) -> Vec<String> {
    if object.at("type").text() != "kubernetes.io/tls" {
        return Vec::new();
    }
    let certificate = decoded(&object.at("data").key("tls.crt"));
    let has_block = |text: &[u8]| String::from_utf8_lossy(text).contains("-----BEGIN ");
    if has_block(&certificate) {
        if has_block(&decoded(&object.at("data").key("tls.key"))) {
            return Vec::new();
        }
        return vec!["tls: failed to find any PEM data in key input".to_owned()];
    }
    vec!["tls: failed to find any PEM data in certificate input".to_owned()]
}
