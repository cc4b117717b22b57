//! Small constructors of OpenAPI v3 schema values, so that a definition reads as a table of fields.

#![allow(clippy::needless_pass_by_value)] // JSON literals are written at the call sites

use serde_json::{Value, json};

/// A string.
pub fn string() -> Value {
    json!({"type": "string"})
}

/// A boolean.
pub fn boolean() -> Value {
    json!({"type": "boolean"})
}

/// A 32-bit integer.
pub fn integer() -> Value {
    json!({"type": "integer", "format": "int32"})
}

/// A 64-bit integer.
pub fn long() -> Value {
    json!({"type": "integer", "format": "int64"})
}

/// A time in RFC 3339.
pub fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// An object with these fields and no others (unknown ones are pruned).
pub fn object(fields: &[(&str, Value)]) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": properties})
}

/// An object with these fields and any others.
pub fn open(fields: &[(&str, Value)]) -> Value {
    let mut schema = object(fields);
    schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    schema
}

/// Any JSON value.
pub fn any() -> Value {
    json!({"x-kubernetes-preserve-unknown-fields": true})
}

/// A map from string to string.
pub fn labels() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

/// A list that is replaced as a whole.
pub fn atomic(items: Value) -> Value {
    json!({"type": "array", "items": items, "x-kubernetes-list-type": "atomic"})
}

/// A list whose items are merged by keys.
pub fn keyed(items: Value, keys: &[&str]) -> Value {
    let mut items = items;
    items["required"] = json!(keys);
    json!({"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys})
}

/// Adds `required` to an object schema.
pub fn required(mut schema: Value, fields: &[&str]) -> Value {
    schema["required"] = json!(fields);
    schema
}

/// Adds a description.
pub fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = json!(description);
    schema
}

/// `metav1.Condition`s keyed by type.
pub fn conditions() -> Value {
    keyed(
        object(&[
            ("type", string()),
            ("status", json!({"type": "string", "enum": ["True", "False", "Unknown"]})),
            ("reason", string()),
            ("message", string()),
            ("lastTransitionTime", time()),
            ("observedGeneration", long()),
        ]),
        &["type"],
    )
}

/// The counts of replicas v1beta2 objects report.
pub fn replica_counts() -> Vec<(&'static str, Value)> {
    vec![
        ("replicas", integer()),
        ("readyReplicas", integer()),
        ("availableReplicas", integer()),
        ("upToDateReplicas", integer()),
    ]
}

/// A reference `{apiGroup, kind, name}`.
pub fn reference() -> Value {
    object(&[("apiGroup", string()), ("kind", string()), ("name", string())])
}

/// Labels and annotations of a template.
pub fn metadata() -> Value {
    object(&[("labels", labels()), ("annotations", labels())])
}

/// The root schema of a kind.
pub fn root(description: &str, spec: Value, status: Option<Value>) -> Value {
    let mut fields =
        vec![("apiVersion", string()), ("kind", string()), ("metadata", json!({"type": "object"})), ("spec", spec)];
    if let Some(status) = status {
        fields.push(("status", status));
    }
    described(object(&fields), description)
}
