//! Objects of a schema and sequences of writes, from a small vocabulary, so that writers meet on the same fields.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{ServedVersion, Subject};

fn text() -> BoxedStrategy<Value> {
    prop_oneof![Just(json!("a")), Just(json!("b")), Just(json!("c<d&\"é")), Just(json!(""))].boxed()
}

/// Values of a schema from a small vocabulary, so that writers meet on the same fields.
pub(crate) fn values(schema: &Value) -> BoxedStrategy<Value> {
    let list = |schema: &Value| prop::collection::vec(values(&schema["items"]), 0..4).prop_map(Value::Array).boxed();
    if schema["x-kubernetes-int-or-string"] == json!(true) {
        prop_oneof![(1..3i64).prop_map(Value::from), text()].boxed()
    } else {
        match schema["type"].as_str() {
            Some("integer" | "number") => (1..4i64).prop_map(Value::from).boxed(),
            Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
            Some("array") => {
                let keys = schema["x-kubernetes-list-map-keys"].clone();
                let item_schema = schema["items"].clone();
                let set = schema["x-kubernetes-list-type"] == json!("set");
                // Mostly without duplicates, which an apply must refuse and an update may hold.
                (list(schema), prop::bool::weighted(0.04))
                    .prop_map(move |(value, duplicates)| {
                        let Value::Array(mut items) = value else { return value };
                        if !duplicates && (set || keys.is_array()) {
                            let mut seen = Vec::new();
                            items.retain(|item| {
                                let key: Vec<Value> = match keys.as_array() {
                                    Some(keys) => keys
                                        .iter()
                                        .map(|key| match &item[key.as_str().unwrap()] {
                                            Value::Null => {
                                                item_schema["properties"][key.as_str().unwrap()]["default"].clone()
                                            }
                                            value => value.clone(),
                                        })
                                        .collect(),
                                    None => vec![item.clone()],
                                };
                                let new = !seen.contains(&key);
                                seen.push(key);
                                new
                            });
                        }
                        Value::Array(items)
                    })
                    .boxed()
            }
            Some("object") => members(schema),
            None => free(),
            _ => text(),
        }
    }
}

fn free() -> BoxedStrategy<Value> {
    let leaf =
        prop_oneof![text(), (1..3i64).prop_map(Value::from), Just(json!(1.5)), Just(Value::Null), Just(json!(true)),];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(prop_oneof!["x", "y", "z"], inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .boxed()
}

fn members(schema: &Value) -> BoxedStrategy<Value> {
    let mut strategy: BoxedStrategy<Map<String, Value>> = Just(Map::new()).boxed();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    // Big structs would else make every object huge.
    let odds = (4.0 / schema["properties"].as_object().map_or(1.0, |fields| fields.len() as f64)).min(0.35);
    let add = |strategy: BoxedStrategy<Map<String, Value>>, name: String, values: BoxedStrategy<Value>, odds: f64| {
        let values =
            if odds < 1.0 { prop::option::weighted(odds, values).boxed() } else { values.prop_map(Some).boxed() };
        (strategy, values)
            .prop_map(move |(mut members, value)| {
                if let Some(value) = value {
                    members.insert(name.clone(), value);
                }
                members
            })
            .boxed()
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if required.contains(&json!(name)) {
            strategy = add(strategy, name.clone(), values(property), 1.0);
        } else {
            let with_null = prop_oneof![19 => values(property), 1 => Just(Value::Null)].boxed();
            strategy = add(strategy, name.clone(), with_null, odds);
        }
    }
    if schema["additionalProperties"] == json!(true) {
        strategy = add(strategy, "k".to_owned(), free(), 0.4);
    }
    if schema["additionalProperties"].is_object() {
        for name in ["k", "l"] {
            strategy = add(strategy, name.to_owned(), values(&schema["additionalProperties"]), 0.4);
        }
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == json!(true) {
        for name in ["m", "n"] {
            strategy = add(strategy, name.to_owned(), free(), 0.4);
        }
    }
    strategy.prop_map(Value::Object).boxed()
}

fn metadata() -> BoxedStrategy<Value> {
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let schema = json!({
        "type": "object",
        "properties": {
            "labels": strings, "annotations": strings,
            "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "ownerReferences": {
                "type": "array",
                "x-kubernetes-list-map-keys": ["uid"],
                "items": {
                    "type": "object",
                    "required": ["uid"],
                    "properties": {"uid": {"type": "string"}, "name": {"type": "string"}, "controller": {"type": "boolean"}}
                }
            }
        }
    });
    members(&schema)
        .prop_map(|mut metadata| {
            if let Value::Object(members) = &mut metadata {
                members.retain(|_, value| !value.is_null());
                members.insert("name".to_owned(), json!("widget"));
                members.insert("namespace".to_owned(), json!("default"));
            }
            metadata
        })
        .boxed()
}

fn objects(kind: &'static str, version: &ServedVersion) -> BoxedStrategy<Value> {
    let api_version = version.api_version;
    let body = match version.written.as_ref() {
        Some(schema) => members(schema),
        None => (prop::option::of(free()), prop::option::of(free()), prop::option::of(free()))
            .prop_map(|(spec, data, status)| {
                let mut body = Map::new();
                for (name, value) in [("spec", spec), ("data", data), ("status", status)] {
                    if let Some(value) = value {
                        body.insert(name.to_owned(), value);
                    }
                }
                Value::Object(body)
            })
            .boxed(),
    };
    (body, metadata())
        .prop_map(move |(mut object, metadata)| {
            object["apiVersion"] = json!(api_version);
            object["kind"] = json!(kind);
            object["metadata"] = metadata;
            object
        })
        .boxed()
}

/// An object of any of the subject's versions.
fn objects_of_any_version(subject: &Subject) -> BoxedStrategy<Value> {
    prop::strategy::Union::new(subject.versions.iter().map(|version| objects(subject.kind, version))).boxed()
}

#[derive(Clone, Copy, Debug)]
enum Extra {
    None,
    Reset,
    ClientSideApply,
    /// Ownership written by hand, or under a schema that owned other parts.
    Foreign,
    /// Ownership of a version that is not served any more.
    Obsolete,
}

/// Entries that own parts of what the rich schema owns as a whole, the other way round, and nothing that is there.
fn foreign_ownership(api_version: &str) -> Value {
    json!([
        {
            "manager": "a", "operation": "Apply", "apiVersion": api_version, "fieldsType": "FieldsV1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:spec": {
                "f:wholeLabels": {"f:k": {}},
                "f:wholeStruct": {".": {}, "f:b": {"f:c": {}}},
                "f:whole": {"i:0": {}},
                "f:set": {},
                "f:free": {"f:m": {"f:x": {}}},
                "f:replicas": {},
                "f:gone": {"f:deeper": {}},
                "f:a": {".": {}, "f:b": {}}, "f:b": {}, "f:c": {"f:a": {}, "k:{\"k\":\"a\"}": {"f:b": {}}}, "f:z": {},
                "f:items": {"k:{\"name\":\"a\"}": {"f:value": {}}},
                "f:ports": {"k:{\"port\":1,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}
            }}
        },
        {
            "manager": "other", "operation": "Update", "apiVersion": api_version, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {".": {}, "f:struct": {".": {}, "f:b": {}}, "f:name": {}}, "f:status": {"f:phase": {}}}
        }
    ])
}

pub(crate) fn steps(subject: &Subject) -> BoxedStrategy<Vec<Value>> {
    let managers = prop_oneof![5 => Just("a"), 5 => Just("b"), 2 => Just("kubectl"), 1 => Just("")];
    let extras = prop_oneof![18 => Just(Extra::None), 1 => Just(Extra::Reset), 1 => Just(Extra::ClientSideApply), 2 => Just(Extra::Foreign), 1 => Just(Extra::Obsolete)];
    let step = (
        prop::bool::weighted(0.65),
        managers,
        prop::bool::weighted(0.12),
        prop::bool::weighted(0.6),
        objects_of_any_version(subject),
        extras,
    )
        .prop_map(|(apply, manager, status, force, mut object, extra)| {
            if !apply {
                object["metadata"]["uid"] = json!("1");
                match extra {
                    Extra::None => {}
                    Extra::Foreign => {
                        let version = object["apiVersion"].as_str().unwrap().to_owned();
                        object["metadata"]["managedFields"] = foreign_ownership(&version);
                    }
                    Extra::Obsolete => {
                        object["metadata"]["managedFields"] = foreign_ownership("example.com/v0");
                    }
                    Extra::Reset => object["metadata"]["managedFields"] = json!([]),
                    Extra::ClientSideApply => {
                        let last = object.to_string();
                        object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
                            json!(last);
                    }
                }
            }
            json!({
                "operation": if apply { "apply" } else { "update" },
                "manager": manager,
                "subresource": if status { "status" } else { "" },
                "force": force,
                "object": object,
            })
        });
    // Many updates by many managers, to pass the cap.
    let crowd = prop::collection::vec((objects_of_any_version(subject), 0..14u8), 11..16).prop_map(|updates| {
        updates
            .into_iter()
            .map(|(object, manager)| {
                json!({
                    "operation": "update",
                    "manager": format!("m{manager}"),
                    "subresource": "",
                    "force": false,
                    "object": object,
                })
            })
            .collect::<Vec<_>>()
    });
    prop_oneof![24 => prop::collection::vec(step, 1..7), 1 => crowd].boxed()
}
