//! OpenAPI v3 documents, one per group-version, as kubectl reads them.
//!
//! `kubectl apply` looks for the PATCH operation of a kind and its `fieldValidation` parameter, `kubectl explain` walks
//! from a path to the component with the same `x-kubernetes-group-version-kind`; both shapes are those of
//! kube-apiserver (`apiextensions-apiserver/pkg/controller/openapi/builder`).

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::resource::ResourceType;

mod components;
mod operations;
mod parameters;

#[cfg(test)]
mod tests;

/// Definitions of the metadata that every kind refers to.
static META_DEFINITIONS: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("openapi/meta_definitions.json")).unwrap_or_default());

/// The document of `/openapi/v3/apis/GROUP/VERSION` (or `/openapi/v3/api/v1`): paths with
/// `x-kubernetes-group-version-kind`, `fieldValidation` parameters, and component schemas.
///
/// Building one unpacks and merges the schemas of all its kinds: keep it until the resources change.
pub fn group_version_document(group: &str, version: &str, resources: &[&ResourceType]) -> Value {
    let mut schemas = META_DEFINITIONS.clone();
    let mut paths = Map::new();
    let custom = resources.iter().any(|resource| resource.custom && resource.group == group);
    for resource in resources.iter().filter(|resource| resource.group == group && resource.version == version) {
        let name = components::add(resource, &mut schemas);
        operations::add(resource, &name, &mut paths);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": if custom { "Kubernetes CRD Swagger" } else { "Kubernetes" }, "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// The index at `/openapi/v3` from (path, hash) pairs; a path is `api/v1` or `apis/GROUP/VERSION`.
pub fn index_document(entries: &[(String, String)]) -> Value {
    let paths: Map<String, Value> = entries
        .iter()
        .map(|(path, hash)| {
            let path = path.trim_start_matches('/');
            let path = path.strip_prefix("openapi/v3/").unwrap_or(path);
            (path.to_owned(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
        })
        .collect();
    json!({ "paths": paths })
}

/// `{"group": ..., "kind": ..., "version": ...}`.
fn group_version_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "kind": kind, "version": version})
}

/// A reference to a component.
fn reference(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}
