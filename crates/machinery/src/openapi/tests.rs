//! Whole documents.

use serde_json::{Value, json};

use super::{group_version_document, index_document};
use crate::custom_resource_definition::{CompressedDefinition, apply_defaults, resource_types};

fn document() -> Value {
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crews.ships.example.com"},
        "spec": {
            "group": "ships.example.com",
            "scope": "Namespaced",
            "names": {"plural": "crews", "kind": "Crew"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.hands", "statusReplicasPath": ".status.hands"}},
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "A crew.",
                    "properties": {
                        "spec": {"type": "object", "properties": {"hands": {"type": "integer", "description": "How many."}}},
                        "status": {"type": "object", "properties": {"hands": {"type": "integer"}}},
                        "cargo": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                    },
                }},
            }],
        },
    });
    apply_defaults(&mut definition);
    let text = CompressedDefinition::of(definition.to_string().as_bytes());
    let resources = resource_types(&definition, &text);
    let document = group_version_document("ships.example.com", "v1", &resources.iter().collect::<Vec<_>>());
    serde_json::from_slice(&document).unwrap()
}

#[test]
fn a_custom_kind_is_published_with_its_metadata_and_its_list() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    insta::assert_json_snapshot!(json!({
        "com.example.ships.v1.Crew": schemas["com.example.ships.v1.Crew"],
        "com.example.ships.v1.CrewList": schemas["com.example.ships.v1.CrewList"],
        "all": schemas.as_object().unwrap().keys().collect::<Vec<_>>(),
    }));
}

#[test]
fn every_operation_says_what_it_does_to_which_kind() {
    let document = document();
    let mut lines = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            let names = |list: &Value| {
                let names: Vec<&str> =
                    list.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
                names.join(",")
            };
            lines.push(format!(
                "{method} {path}\n  {} {} {} ({}; {})",
                operation["x-kubernetes-action"].as_str().unwrap(),
                operation["operationId"].as_str().unwrap(),
                operation["x-kubernetes-group-version-kind"]["kind"].as_str().unwrap(),
                names(&operation["parameters"]),
                names(&item["parameters"]),
            ));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_reference_in_a_document_resolves() {
    let document = document();
    let text = document.to_string();
    for target in text.split("#/components/schemas/").skip(1) {
        let name = target.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

#[test]
fn the_index_names_the_documents_by_their_hash() {
    let index = index_document(&[("api/v1".to_owned(), "AB".to_owned()), ("apis/apps/v1".to_owned(), "CD".to_owned())]);
    insta::assert_snapshot!(index, @r#"{"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=AB"},"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=CD"}}}"#);
}
