//! The kinds the sequences write: a rich fixed one, random ones, and how the reference reads them.

use proptest::prelude::*;
use serde_json::{Value, json};

/// A schema with every kind of list, map and struct that owns its parts differently.
pub(crate) fn rich_schema() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "replicas": {"type": "integer"},
                    "name": text,
                    "flag": {"type": "boolean"},
                    "port": {"x-kubernetes-int-or-string": true},
                    "maybe": {"type": "string", "nullable": true},
                    "labels": {"type": "object", "additionalProperties": text},
                    "wholeLabels": {"type": "object", "additionalProperties": text, "x-kubernetes-map-type": "atomic"},
                    "wholeStruct": {
                        "type": "object",
                        "properties": {"a": text, "b": {"type": "object", "properties": {"c": text}}},
                        "x-kubernetes-map-type": "atomic"
                    },
                    "set": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
                    "numbers": {"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "set"},
                    "whole": {"type": "array", "items": {"type": "object", "properties": {"a": text, "b": text}}},
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port", "protocol"],
                        "items": {
                            "type": "object",
                            "required": ["port"],
                            "properties": {
                                "port": {"type": "integer"},
                                "protocol": {"type": "string", "default": "TCP"},
                                "name": text,
                                "target": {"x-kubernetes-int-or-string": true},
                                "tags": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
                                "nested": {"type": "object", "properties": {"a": text, "b": text}}
                            }
                        }
                    },
                    "items": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "x-kubernetes-map-type": "atomic",
                            "properties": {"name": text, "value": text}
                        }
                    },
                    "struct": {
                        "type": "object",
                        "properties": {
                            "a": {"type": "integer"},
                            "b": {"type": "object", "properties": {"c": text, "d": text}}
                        }
                    },
                    "byName": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "properties": {
                                "a": text,
                                "set": {"type": "array", "items": text, "x-kubernetes-list-type": "set"}
                            }
                        }
                    },
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "half": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": true,
                        "properties": {
                            "known": {"type": "object", "properties": {"a": text}},
                            "set": {"type": "array", "items": text, "x-kubernetes-list-type": "set"}
                        }
                    }
                }
            },
            "status": {
                "type": "object",
                "properties": {
                    "phase": text,
                    "conditions": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["type"],
                        "items": {
                            "type": "object",
                            "required": ["type"],
                            "properties": {"type": text, "status": text, "reason": text}
                        }
                    }
                }
            }
        }
    })
}

/// A random schema: structs, maps and lists of every kind of ownership, nested.
pub(crate) fn random_schemas() -> BoxedStrategy<Value> {
    let scalar = prop_oneof![
        4 => Just(json!({"type": "string"})),
        2 => Just(json!({"type": "integer"})),
        1 => Just(json!({"type": "boolean"})),
        1 => Just(json!({"x-kubernetes-int-or-string": true})),
        1 => Just(json!({"type": "string", "nullable": true})),
        1 => Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        1 => prop_oneof![
            Just(json!({"type": "string", "format": "date-time"})),
            Just(json!({"type": "string", "format": "byte"})),
            Just(json!({"type": "string", "format": "of-the-moon"})),
            Just(json!({"type": "integer", "format": "int32"})),
            Just(json!({"type": "number"})),
            Just(json!({"x-kubernetes-preserve-unknown-fields": true})),
            Just(json!({"type": "object"})),
            Just(json!({"type": "object", "additionalProperties": true})),
            Just(json!({"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": true}})),
        ],
    ];
    let key = prop_oneof![
        2 => Just((json!({"k": {"type": "string"}}), json!(["k"]), json!(["k"]))),
        1 => Just((
            json!({"k": {"type": "integer"}, "l": {"type": "string", "default": "a"}}),
            json!(["k", "l"]),
            json!(["k"])
        )),
    ];
    let schema = scalar.clone().prop_recursive(4, 24, 4, move |inner| {
        let atomic_map = prop::bool::weighted(0.15);
        let structs = (properties(inner.clone()), atomic_map, prop::bool::weighted(0.1)).prop_map(
            |(properties, atomic, open)| {
                let mut schema = json!({"type": "object", "properties": properties});
                if atomic {
                    schema["x-kubernetes-map-type"] = json!("atomic");
                }
                if open {
                    schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
                }
                schema
            },
        );
        let maps = (inner.clone(), atomic_map).prop_map(|(values, atomic)| {
            let mut schema = json!({"type": "object", "additionalProperties": values});
            if atomic {
                schema["x-kubernetes-map-type"] = json!("atomic");
            }
            schema
        });
        let whole_lists = inner.clone().prop_map(|items| json!({"type": "array", "items": items}));
        let sets = prop_oneof!["string", "integer"]
            .prop_map(|scalar| json!({"type": "array", "items": {"type": scalar}, "x-kubernetes-list-type": "set"}));
        let keyed = (properties(inner), key.clone(), prop::bool::weighted(0.15)).prop_map(
            |(mut properties, (key_schemas, keys, required), atomic)| {
                for (name, schema) in key_schemas.as_object().unwrap() {
                    properties[name] = schema.clone();
                }
                let mut items = json!({"type": "object", "required": required, "properties": properties});
                if atomic {
                    items["x-kubernetes-map-type"] = json!("atomic");
                }
                json!({
                    "type": "array",
                    "items": items,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": keys
                })
            },
        );
        prop_oneof![4 => structs, 2 => maps, 1 => whole_lists, 2 => sets, 3 => keyed]
    });
    let part = |odds: u32, inner: BoxedStrategy<Value>| {
        (properties(inner), prop::bool::weighted(f64::from(odds) / 100.0)).prop_map(|(properties, open)| {
            let mut schema = json!({"type": "object", "properties": properties});
            if open {
                schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
            }
            schema
        })
    };
    (part(10, schema.boxed()), part(0, scalar.boxed()))
        .prop_map(|(spec, status)| json!({"type": "object", "properties": {"spec": spec, "status": status}}))
        .boxed()
}

fn properties(schemas: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop::collection::btree_map(prop_oneof!["a", "b", "c", "d"], schemas, 1..5)
        .prop_map(|properties| Value::Object(properties.into_iter().collect()))
        .boxed()
}

/// The schema of the second version: `spec.a` of the first is called `spec.z` there.
pub(crate) fn second_version(first: &Value) -> Value {
    let mut second = first.clone();
    let properties = second["properties"]["spec"]["properties"].as_object_mut().unwrap();
    if let Some(renamed) = properties.remove("a") {
        properties.insert("z".to_owned(), renamed);
    }
    second
}

/// An object in the other of the two versions.
pub(crate) fn convert(object: &Value, api_version: &str) -> Value {
    let mut converted = object.clone();
    if converted["apiVersion"] != json!(api_version) {
        converted["apiVersion"] = json!(api_version);
        let (from, to) = if api_version == "example.com/v2" { ("a", "z") } else { ("z", "a") };
        if let Some(spec) = converted.get_mut("spec").and_then(Value::as_object_mut)
            && let Some(renamed) = spec.remove(from)
        {
            spec.insert(to.to_owned(), renamed);
        }
    }
    converted
}

/// The versions' schemas as the reference reads them: with the kind, and with the metadata every object has.
pub(crate) fn models(versions: &[(&str, &Value)]) -> Value {
    let text = json!({"type": "string"});
    let mut definitions = json!({
        "ObjectMeta": {
            "type": "object",
            "properties": {
                "name": text, "namespace": text, "uid": text, "generateName": text, "resourceVersion": text,
                "labels": {"type": "object", "additionalProperties": text},
                "annotations": {"type": "object", "additionalProperties": text},
                "creationTimestamp": {"type": "string", "format": "date-time"},
                "finalizers": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
                "ownerReferences": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["uid"],
                    "items": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "properties": {
                            "apiVersion": text, "kind": text, "name": text, "uid": text,
                            "controller": {"type": "boolean"}
                        }
                    }
                },
                "managedFields": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "object"}}
            }
        }
    });
    for (api_version, schema) in versions {
        let (group, version) = api_version.split_once('/').unwrap();
        let mut kind = (*schema).clone();
        kind["x-kubernetes-group-version-kind"] = json!([{"group": group, "version": version, "kind": "Widget"}]);
        kind["properties"]["apiVersion"] = text.clone();
        kind["properties"]["kind"] = text.clone();
        kind["properties"]["metadata"] = json!({"$ref": "#/definitions/ObjectMeta"});
        definitions[format!("Widget.{version}")] = kind;
    }
    definitions
}
