//! OpenAPI documents: version 3, one for each group version, and version 2, one for all.
//!
//! `kubectl apply` looks for the PATCH operation of a kind and its `fieldValidation` parameter, `kubectl explain` walks
//! from a path to the component with the same `x-kubernetes-group-version-kind`. Argo CD, Terraform and older clients
//! read version 2. Both are those of kube-apiserver (`apiextensions-apiserver/pkg/controller/openapi`).

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::resource::ResourceType;
use components::Version;
use template::{Template, Texts};

mod components;
mod gnostic;
mod template;
mod version_two;

#[cfg(test)]
mod tests;

pub use version_two::VersionTwo;

/// The document of `/openapi/v3/apis/GROUP/VERSION` of a group that is not built in: paths with
/// `x-kubernetes-group-version-kind`, `fieldValidation` parameters, and component schemas.
pub fn group_version_document(group: &str, version: &str, resources: &[&ResourceType]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Document<'a> {
        openapi: &'a str,
        info: Value,
        paths: Texts,
        components: Components,
    }
    #[derive(Serialize)]
    struct Components {
        schemas: Texts,
    }
    let template = Template::unpack();
    let mut paths = Texts::new();
    let own = || resources.iter().filter(|resource| resource.group == group && resource.version == version);
    for resource in own() {
        template.add_paths(resource, Version::Three, &mut paths);
    }
    let has_scale = own().any(|resource| resource.scale.is_some());
    let mut schemas = template.definitions;
    schemas.retain(|name, _| has_scale || !name.starts_with("io.k8s.api.autoscaling."));
    for (name, schema) in own_definitions(group, version, resources) {
        if let Ok(schema) = serde_json::value::to_raw_value(&schema) {
            schemas.insert(name, schema);
        }
    }
    let custom = own().any(|resource| resource.custom);
    let info = if custom {
        json!({"title": "Kubernetes CRD Swagger", "version": "v0.1.0"})
    } else {
        json!({"title": "Kubernetes", "version": "unversioned"})
    };
    let document = Document { openapi: "3.0.0", info, paths, components: Components { schemas } };
    // Nothing in it can fail to be written.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// The schemas of the kinds of a group version, built in or not, by the names they have in documents of version 3.
///
/// Those of metadata are among them. Making them unpacks and merges the schemas of all its kinds: keep them until the
/// resources change.
pub fn definitions(group: &str, version: &str, resources: &[&ResourceType]) -> Map<String, Value> {
    let parsed = |text: Box<RawValue>| serde_json::from_str(text.get()).unwrap_or_default();
    let of_metadata = Template::unpack().definitions.into_iter().map(|(name, text)| (name, parsed(text)));
    of_metadata.chain(own_definitions(group, version, resources)).collect()
}

fn own_definitions(group: &str, version: &str, resources: &[&ResourceType]) -> Map<String, Value> {
    let mut schemas = Map::new();
    for resource in resources.iter().filter(|resource| resource.group == group && resource.version == version) {
        components::add(resource, Version::Three, &mut schemas);
    }
    schemas
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

/// `com.example.ships` of `ships.example.com`.
fn reversed(group: &str) -> String {
    group.rsplit('.').collect::<Vec<_>>().join(".")
}
