//! Refusals, status and resource types of definitions.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    CompressedDefinition, apply_defaults, established_status, resource_types, stored_versions_errors, validate,
};

const NOW: &str = "2026-01-02T03:04:05Z";

fn definition() -> Value {
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crews.ships.example.com"},
        "spec": {
            "group": "ships.example.com",
            "scope": "Namespaced",
            "names": {"plural": "crews", "kind": "Crew", "shortNames": ["cr"], "categories": ["all"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "deprecated": true,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.hands", "statusReplicasPath": ".status.hands"},
                },
                "selectableFields": [{"jsonPath": ".spec.ship"}],
                "additionalPrinterColumns": [{"name": "Hands", "type": "integer", "jsonPath": ".spec.hands"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "properties": {
                                "ship": {"type": "string"},
                                "hands": {"type": "integer", "default": 3, "minimum": 1},
                            },
                            "x-kubernetes-validations": [{"rule": "self.hands < 100", "message": "too many hands"}],
                        },
                        "status": {"type": "object", "properties": {"hands": {"type": "integer"}}},
                    },
                }},
            }, {"name": "v0", "served": false, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    apply_defaults(&mut definition);
    definition
}

/// The definition with the value at `pointer` replaced; null removes it.
fn with(pointer: &str, value: Value) -> Value {
    let mut definition = definition();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = definition.pointer_mut(parent).expect("a parent");
    match parent {
        Value::Object(fields) => {
            if value.is_null() {
                fields.remove(name);
            } else {
                fields.insert(name.to_owned(), value);
            }
        }
        Value::Array(items) => items[name.parse::<usize>().expect("an index")] = value,
        _ => panic!("no container"),
    }
    definition
}

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// Definitions that are refused, by what is wrong with them. Also the cases of the comparison with the real server.
fn refused() -> Vec<(&'static str, Value)> {
    let spec = |schema: Value| with(&format!("{SCHEMA}/properties/spec"), schema);
    let field = |schema: Value| with(&format!("{SCHEMA}/properties/spec/properties/extra"), schema);
    let rule = |rule: Value| with(&format!("{SCHEMA}/properties/spec/x-kubernetes-validations"), json!([rule]));
    vec![
        ("name", with("/metadata/name", json!("crew.ships.example.com"))),
        ("group without a dot", with("/spec/group", json!("ships"))),
        ("scope", with("/spec/scope", json!("Global"))),
        ("upper case plural", with("/spec/names/plural", json!("Crews"))),
        ("kind is listKind", with("/spec/names/listKind", json!("Crew"))),
        ("short name", with("/spec/names/shortNames/0", json!("C R"))),
        ("no storage version", with("/spec/versions/0/storage", json!(false))),
        ("version name", with("/spec/versions/1/name", json!("V0"))),
        ("no schema", with("/spec/versions/0/schema", Value::Null)),
        ("column type", with("/spec/versions/0/additionalPrinterColumns/0/type", json!("text"))),
        ("column path", with("/spec/versions/0/additionalPrinterColumns/0/jsonPath", json!("spec.hands"))),
        ("scale path", with("/spec/versions/0/subresources/scale/specReplicasPath", json!(".status.hands"))),
        (
            "selectable field of no such name",
            with("/spec/versions/0/selectableFields/0/jsonPath", json!(".spec.captain")),
        ),
        ("selectable field of an object", with("/spec/versions/0/selectableFields/0/jsonPath", json!(".spec"))),
        ("deprecation warning", with("/spec/versions/1/deprecationWarning", json!("old"))),
        (
            "conversion without client",
            with("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v2"]}})),
        ),
        (
            "additionalProperties at the root",
            with(&format!("{SCHEMA}/additionalProperties"), json!({"type": "string"})),
        ),
        ("root type", with(&format!("{SCHEMA}/type"), json!("array"))),
        (
            "metadata restricted",
            with(
                &format!("{SCHEMA}/properties/metadata"),
                json!({"type": "object", "properties": {"labels": {"type": "object"}}}),
            ),
        ),
        ("no type", field(json!({"description": "?"}))),
        ("unknown type", field(json!({"type": "text"}))),
        ("no items", field(json!({"type": "array"}))),
        (
            "type in a junctor",
            spec(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"type": "object", "properties": {"b": {"minLength": 1}}}]}),
            ),
        ),
        ("default of a wrong type", field(json!({"type": "integer", "default": "x"}))),
        (
            "default with an unknown field",
            field(json!({"type": "object", "default": {"a": 1}, "properties": {"b": {"type": "integer"}}})),
        ),
        ("pattern", field(json!({"type": "string", "pattern": "("}))),
        ("reference", field(json!({"type": "string", "$ref": "#/x"}))),
        ("uniqueItems", field(json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}))),
        (
            "properties and additionalProperties",
            field(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            ),
        ),
        (
            "list map key without default",
            field(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "properties": {"name": {"type": "string"}}}}),
            ),
        ),
        (
            "list map key of no such name",
            field(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object"}}),
            ),
        ),
        (
            "set of objects",
            field(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}})),
        ),
        ("list type of a string", field(json!({"type": "string", "x-kubernetes-list-type": "set"}))),
        ("preserve false", field(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false}))),
        ("embedded resource of a string", field(json!({"type": "string", "x-kubernetes-embedded-resource": true}))),
        ("rule of unknown names", rule(json!({"rule": "hands > 1"}))),
        ("rule on an unknown field", rule(json!({"rule": "self.feet > 1"}))),
        ("rule that does not parse", rule(json!({"rule": "self.hands >"}))),
        ("rule with a reason of its own", rule(json!({"rule": "self.hands > 1", "reason": "Bad"}))),
        ("rule with a path to nowhere", rule(json!({"rule": "self.hands > 1", "fieldPath": ".feet"}))),
        ("multi-line rule without message", rule(json!({"rule": "self.hands > 1\n&& true"}))),
        ("optionalOldSelf without oldSelf", rule(json!({"rule": "self.hands > 1", "optionalOldSelf": true}))),
        (
            "oldSelf in an atomic list",
            field(
                json!({"type": "array", "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}),
            ),
        ),
        ("stored version that is gone", with("/status/storedVersions", json!(["v1", "v9"]))),
    ]
}

#[test]
fn a_complete_definition_is_accepted() {
    assert_eq!(validate(&definition(), &definition(), None), Vec::new());
}

#[test]
fn refusals_of_definitions_are_worded_like_the_real_server() {
    let mut text = String::new();
    for (name, definition) in refused() {
        writeln!(text, "# {name}").expect("a string");
        for error in validate(&definition, &definition, None) {
            let message = if error.message.len() > 400 { "(long)" } else { &error.message };
            writeln!(text, "{:?} {}: {message}", error.kind, error.field).expect("a string");
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn an_established_definition_keeps_its_names() {
    let mut old = definition();
    old["status"] = established_status(&old, NOW, &|_, _| false);
    let mut new = old.clone();
    new["spec"]["scope"] = json!("Cluster");
    new["spec"]["names"]["kind"] = json!("Gang");
    new["spec"]["group"] = json!("ships.example.org");
    let errors: Vec<String> =
        validate(&new, &new, Some(&old)).iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    insta::assert_snapshot!(errors.join("\n"), @r#"
    spec.scope: Invalid value: "Cluster": field is immutable
    spec.names.kind: Invalid value: "Gang": field is immutable
    spec.group: Invalid value: "ships.example.org": field is immutable
    "#);
}

#[test]
fn names_are_accepted_once_and_then_the_definition_is_established() {
    let definition = definition();
    insta::assert_json_snapshot!(established_status(&definition, NOW, &|_, _| false));
    let mut settled = definition.clone();
    settled["status"] = established_status(&definition, NOW, &|_, _| false);
    assert_eq!(established_status(&settled, "2027-01-01T00:00:00Z", &|_, _| true), settled["status"]);
    insta::assert_json_snapshot!(established_status(&definition, NOW, &|_, name| name == "crews" || name == "cr"));
}

#[test]
fn a_version_leaves_the_stored_versions_before_it_leaves_the_spec() {
    let mut definition = definition();
    definition["status"]["storedVersions"] = json!(["v0", "v1"]);
    assert_eq!(stored_versions_errors(&definition), Vec::new());
    definition["status"]["storedVersions"] = json!(["v1"]);
    assert_eq!(stored_versions_errors(&definition), Vec::new());
    definition["status"]["storedVersions"] = json!(["v0"]);
    let errors = stored_versions_errors(&definition);
    insta::assert_snapshot!(errors[0].message, @r#"Invalid value: ["v0"]: must have the storage version v1"#);
}

#[test]
fn served_versions_become_resource_types() {
    let mut definition = definition();
    definition["status"] = established_status(&definition, NOW, &|_, _| false);
    insta::assert_debug_snapshot!(resource_types(
        &definition,
        &CompressedDefinition::of(definition.to_string().as_bytes())
    ));
}
