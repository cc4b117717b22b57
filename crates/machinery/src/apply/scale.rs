//! What becomes of ownership when an object is scaled.
//!
//! The real server hands the entries of who owns replicas to the Scale in its version, and takes them back
//! (`managedfields.ScaleHandler`). Those of updates it does not recognize when they come back: their owners have the replicas
//! as an entry of its own then, whose time is lost, whoever scaled and whether or not anything changed.

use serde_json::{Map, Value, json};

use super::managed_fields;

/// Separates the replicas, which are at `path` (`.spec.replicas`), from the entries of updates, after a write of the scale of
/// an object in `api_version`.
pub fn separate_replicas(object: &mut Value, path: &str, api_version: &str) {
    let Some(Value::Array(entries)) = object.pointer_mut("/metadata/managedFields") else { return };
    let path: Vec<String> = path.split('.').filter(|name| !name.is_empty()).map(|name| format!("f:{name}")).collect();
    let mut separate = Vec::new();
    entries.retain_mut(|entry| {
        if entry["operation"] == "Apply" {
            return true;
        }
        let Some(fields) = entry["fieldsV1"].as_object_mut() else { return true };
        if !take(fields, &path) {
            return true;
        }
        let is_left = !fields.is_empty();
        let mut own = entry.clone();
        own["apiVersion"] = api_version.into();
        own["fieldsV1"] = path.iter().rev().fold(json!({}), |inner, name| json!({name.as_str(): inner}));
        if let Some(own) = own.as_object_mut() {
            own.remove("time");
        }
        separate.push(own);
        is_left
    });
    entries.append(&mut separate);
    managed_fields::sort(entries);
}

/// Whether an object has entries without a time: the next write of any kind may leave them out, even one that changes nothing,
/// since of two entries of one manager only the last is read.
pub fn has_untimed_owners(object: &Value) -> bool {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.is_some_and(|entries| entries.iter().any(|entry| entry.get("time").is_none()))
}

/// Takes a field out of a set of fields, and with it what holds nothing else. Whether it was there.
fn take(fields: &mut Map<String, Value>, path: &[String]) -> bool {
    let Some((name, below)) = path.split_first() else { return false };
    if below.is_empty() {
        return fields.remove(name).is_some();
    }
    let Some(Value::Object(inner)) = fields.get_mut(name) else { return false };
    let taken = take(inner, below);
    if inner.is_empty() {
        fields.remove(name);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_updater_that_owned_replicas_has_them_in_an_entry_without_a_time_after_a_scale() {
        let entry = |manager: &str, operation: &str, fields: Value| {
            json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                "time": "2026-01-02T03:04:05Z", "fieldsV1": fields})
        };
        let all = json!({"f:spec": {"f:replicas": {}, "f:paused": {}}});
        let mut object = json!({"metadata": {"managedFields": [
            entry("a", "Apply", all.clone()), entry("b", "Update", all.clone()),
            entry("c", "Update", json!({"f:metadata": {"f:labels": {}}})),
        ]}});
        separate_replicas(&mut object, ".spec.replicas", "apps/v1");
        let mut alone = entry("b", "Update", json!({"f:spec": {"f:replicas": {}}}));
        alone.as_object_mut().unwrap().remove("time");
        assert_eq!(
            object["metadata"]["managedFields"],
            json!([
                entry("a", "Apply", all),
                alone,
                entry("b", "Update", json!({"f:spec": {"f:paused": {}}})),
                entry("c", "Update", json!({"f:metadata": {"f:labels": {}}})),
            ])
        );
        let once = object.clone();
        separate_replicas(&mut object, ".spec.replicas", "apps/v1");
        assert_eq!(object, once);
    }
}
