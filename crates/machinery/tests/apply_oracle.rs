//! Server-side apply against Kubernetes' own field manager: sequences of writes must leave the same object, the same
//! owners and the same conflicts.
//!
//! The reference runs as a small Go program (`oracle/`). Without Go the test says so and passes, except in CI
//! (`CI=true`), where it fails. `APPLY_ORACLE_CASES` sets the number of sequences for each schema.

#![allow(clippy::print_stderr)] // a skipped oracle must be seen
#![allow(clippy::cast_precision_loss)] // numbers of fields

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use kogge_machinery::apply::{self, FieldManager};
use kogge_machinery::schema::Schema;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    /// Builds and starts the oracle; `None` without Go.
    fn start() -> Option<Self> {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle");
        let binary = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("apply-oracle");
        let built = Command::new("go").arg("build").arg("-o").arg(&binary).arg(".").current_dir(&source).output();
        let problem = match built {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "the oracle must be built in CI: {problem}");
            eprintln!(
                "SKIPPED: server-side apply was not compared with Kubernetes' implementation, because its oracle \
                 cannot be built: {problem}\nInstall Go 1.26 or newer (https://go.dev/dl) and run this test again."
            );
            return None;
        }
        let mut child = Command::new(binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    fn ask(&mut self, request: &Value) -> Vec<Value> {
        writeln!(self.input, "{request}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?} for {request}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A schema with every kind of list, map and struct that owns its parts differently.
fn rich_schema() -> Value {
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

/// The schema as the reference reads it: with the kind, and with the metadata every object has.
fn models(schema: &Value) -> Value {
    let text = json!({"type": "string"});
    let mut kind = schema.clone();
    kind["x-kubernetes-group-version-kind"] = json!([{"group": "example.com", "version": "v1", "kind": "Widget"}]);
    kind["properties"]["apiVersion"] = text.clone();
    kind["properties"]["kind"] = text.clone();
    kind["properties"]["metadata"] = json!({"$ref": "#/definitions/ObjectMeta"});
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
    definitions["Widget"] = kind;
    definitions
}

fn text() -> BoxedStrategy<Value> {
    prop_oneof![Just(json!("a")), Just(json!("b")), Just(json!("c<d&\"é")), Just(json!(""))].boxed()
}

/// Values of a schema from a small vocabulary, so that writers meet on the same fields.
fn values(schema: &Value) -> BoxedStrategy<Value> {
    let list = |schema: &Value| prop::collection::vec(values(&schema["items"]), 0..4).prop_map(Value::Array).boxed();
    if schema["x-kubernetes-int-or-string"] == json!(true) {
        prop_oneof![(1..3i64).prop_map(Value::from), text()].boxed()
    } else {
        match schema["type"].as_str() {
            Some("integer" | "number") => (1..4i64).prop_map(Value::from).boxed(),
            Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
            Some("array") => {
                let keys = schema["x-kubernetes-list-map-keys"].clone();
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
                                            Value::Null if key == "protocol" => json!("TCP"),
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

/// What the sequences of a test write.
struct Subject {
    api_version: &'static str,
    kind: &'static str,
    /// Schema the written objects follow; `None` writes anything.
    written: Option<Value>,
    /// Definitions the oracle reads.
    models: Option<Value>,
    compiled: Option<Schema>,
}

fn objects(subject: &Subject) -> BoxedStrategy<Value> {
    let (api_version, kind) = (subject.api_version, subject.kind);
    let schema = subject.written.as_ref();
    let body = match schema {
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

#[derive(Clone, Copy, Debug)]
enum Extra {
    None,
    Reset,
    ClientSideApply,
    /// Ownership written by hand, or under a schema that owned other parts.
    Foreign,
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

fn steps(subject: &Subject) -> BoxedStrategy<Vec<Value>> {
    let managers = prop_oneof![5 => Just("a"), 5 => Just("b"), 2 => Just("kubectl"), 1 => Just("")];
    let extras = prop_oneof![18 => Just(Extra::None), 1 => Just(Extra::Reset), 1 => Just(Extra::ClientSideApply), 2 => Just(Extra::Foreign)];
    let step = (
        prop::bool::weighted(0.65),
        managers,
        prop::bool::weighted(0.12),
        prop::bool::weighted(0.6),
        objects(subject),
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
    let crowd = prop::collection::vec((objects(subject), 0..14u8), 11..16).prop_map(|updates| {
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

/// What the Rust implementation makes of the same steps, in the oracle's form.
fn ours(subject: &Subject, status_subresource: bool, steps: &[Value]) -> Vec<Value> {
    let root = subject.compiled.as_ref().map(|schema| &*schema.root);
    let mut live: Option<Value> = None;
    let mut outcomes = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let now = format!("2026-01-01T00:00:{index:02}Z");
        let manager = FieldManager {
            name: step["manager"].as_str().unwrap(),
            api_version: subject.api_version,
            subresource: step["subresource"].as_str().unwrap(),
            status_subresource,
            now: &now,
        };
        let result = if step["operation"] == json!("apply") {
            apply::apply(live.as_ref(), &step["object"], root, &manager, step["force"] == json!(true))
        } else {
            Ok(apply::track_update(live.as_ref(), step["object"].clone(), root, &manager))
        };
        let mut outcome = json!({});
        match result {
            Ok(mut object) => {
                object["metadata"]["uid"] = json!("1");
                live = Some(object);
            }
            Err(error) if error.code() == 409 => {
                let causes = error.status().details.as_ref().unwrap().causes.clone();
                let mut conflicts: Vec<String> =
                    causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
                conflicts.sort();
                outcome["conflicts"] = json!(conflicts);
            }
            Err(error) => outcome["error"] = json!(error.status().message),
        }
        outcome["object"] = live.clone().unwrap_or(Value::Null);
        outcomes.push(outcome);
    }
    outcomes
}

/// Every place where two values differ, as `PATH: OURS, THEIRS`.
fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let member = |members: &Map<String, Value>| members.get(name).cloned().unwrap_or(json!("<absent>"));
                differences(&format!("{path}/{name}"), &member(left), &member(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{path}/{index}"), left, right, found);
            }
        }
        // Go visits the members of maps in no order.
        (Value::String(left), Value::String(right)) if path == "/error" => {
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            if sorted(left) != sorted(right) {
                found.push(format!("{path}: {ours}, {theirs}"));
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: {ours}, {theirs}")),
    }
}

fn compare(subject: &Subject) {
    let Some(oracle) = Oracle::start() else { return };
    let oracle = RefCell::new(oracle);
    let first = Cell::new(true);
    let cases = std::env::var("APPLY_ORACLE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let sequences = (steps(subject), any::<bool>());
    let outcome = runner.run(&sequences, |(steps, status_subresource)| {
        let request = json!({
            "models": if first.get() { subject.models.clone() } else { None },
            "sameModels": !first.replace(false),
            "statusSubresource": status_subresource,
            "steps": steps,
        });
        let theirs = oracle.borrow_mut().ask(&request);
        let ours = ours(subject, status_subresource, &steps);
        for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let mut different = Vec::new();
            differences("", ours, theirs, &mut different);
            let listed: Vec<String> = steps.iter().map(ToString::to_string).collect();
            prop_assert!(
                different.is_empty(),
                "step {index} (status subresource: {status_subresource}) of\n{}\ndiffers (ours, theirs):\n{}",
                listed.join("\n"),
                different.join("\n")
            );
        }
        Ok(())
    });
    if let Err(proptest::test_runner::TestError::Fail(reason, _)) = outcome {
        panic!("{reason}");
    }
    outcome.unwrap();
}

#[test]
fn a_kind_with_a_schema_is_owned_as_kubernetes_owns_it() {
    let schema = rich_schema();
    compare(&Subject {
        api_version: "example.com/v1",
        kind: "Widget",
        models: Some(models(&schema)),
        compiled: Some(Schema::compile(&schema).unwrap()),
        written: Some(schema),
    });
}

#[test]
fn a_kind_without_a_schema_is_owned_as_kubernetes_owns_it() {
    compare(&Subject { api_version: "example.com/v1", kind: "Widget", models: None, compiled: None, written: None });
}

/// A definition with everything it refers to put in its place.
fn inlined(definitions: &Value, schema: &Value) -> Value {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    let mut own = match reference {
        Some(reference) => {
            let name = reference.rsplit('/').next().unwrap();
            if name.ends_with("Quantity") || name.ends_with("Time") {
                json!({"type": "string"})
            } else if name.ends_with("IntOrString") {
                json!({"x-kubernetes-int-or-string": true})
            } else {
                inlined(definitions, &definitions[name])
            }
        }
        None => schema.clone(),
    };
    if reference.is_none() {
        for (_, property) in own["properties"].as_object_mut().into_iter().flatten() {
            *property = inlined(definitions, property);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                own[inner] = inlined(definitions, &schema[inner]);
            }
        }
        // The keys of an associative list are always written, unless they have a default.
        if let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() {
            own["items"]["required"] = keys.iter().filter(|key| *key != "protocol").cloned().collect();
        }
    }
    own
}

/// A built-in kind by the definitions the server embeds.
fn compare_built_in(file: &str, api_version: &'static str, kind: &'static str, definition: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../apiserver/schemas").join(file);
    let packed = std::fs::read(&path).unwrap();
    let definitions: Value =
        serde_json::from_slice(&miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap()).unwrap();
    let mut written = inlined(&definitions, &definitions[definition]);
    for name in ["metadata", "apiVersion", "kind"] {
        written["properties"].as_object_mut().unwrap().remove(name);
    }
    compare(&Subject {
        api_version,
        kind,
        compiled: Some(Schema::compile_definition(&definitions, definition).unwrap()),
        models: Some(definitions),
        written: Some(written),
    });
}

#[test]
fn a_deployment_is_owned_as_kubernetes_owns_it() {
    compare_built_in("apps_v1.json.zz", "apps/v1", "Deployment", "io.k8s.api.apps.v1.Deployment");
}

#[test]
fn a_service_is_owned_as_kubernetes_owns_it() {
    compare_built_in("core_v1.json.zz", "v1", "Service", "io.k8s.api.core.v1.Service");
}
