//! `status.storedVersions`: which versions may still be in the store.

use serde_json::Value;

use crate::{
    schema::{messages, path::FieldPath},
    status_error::FieldError,
};

/// Errors in `status.storedVersions` of a definition, whichever endpoint wrote it.
///
/// A version may leave the list only when it is not the storage version, and it may leave `spec.versions` only after
/// it left the list: that is what a storage migration does in this order.
pub fn stored_versions_errors(definition: &Value) -> Vec<FieldError> {
    let status = FieldPath::with_prefix("status");
    let path = status.field("storedVersions");
    let none = Vec::new();
    let stored = definition.pointer("/status/storedVersions");
    let stored_list = stored.and_then(Value::as_array).unwrap_or(&none);
    if stored_list.is_empty() {
        // An empty list is none in the real server's type.
        return vec![messages::invalid(path.to_field(), &Value::Null, "must have at least one stored version")];
    }
    let versions = definition.get("spec").map(super::versions).unwrap_or_default();
    let name = |version: &Value| version.get("name").and_then(Value::as_str).map(str::to_owned);
    let mut errors = Vec::new();
    // As in the real server, each entry stands for one version: a second version of the same name misses it.
    let mut left: Vec<&Value> = stored_list.iter().collect();
    for version in versions {
        let Some(name) = name(version) else { continue };
        let position = left.iter().position(|stored| **stored == name);
        if position.is_none() && version.get("storage").and_then(Value::as_bool) == Some(true) {
            let detail = format!("must have the storage version {name}");
            errors.push(messages::invalid(path.to_field(), stored.unwrap_or(&Value::Null), &detail));
        }
        if position.is_some() {
            left.retain(|stored| **stored != name);
        }
    }
    for (index, stored) in stored_list.iter().enumerate() {
        let known = versions.iter().any(|version| name(version).is_some_and(|name| *stored == name));
        if !known {
            let version = stored.as_str().unwrap_or_default();
            let detail = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {version} and removes \
                 {version} from status.storedVersions"
            );
            errors.push(messages::invalid(path.index(index).to_field(), stored, &detail));
        }
    }
    errors
}
