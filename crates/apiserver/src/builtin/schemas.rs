//! The OpenAPI definitions of the built-in kinds, embedded compressed, one file for each group version.
//!
//! They are those that kube-apiserver publishes, as `conformance`'s test `published_api` writes them. Nothing parsed is
//! kept: a kind's schema is compiled at its first use.

use std::{collections::BTreeSet, io::Read as _, sync::Arc};

use flate2::read::ZlibDecoder;
use kogge_machinery::schema::Schema;
use serde_json::{Map, Value, json};

const REFERENCE_PREFIX: &str = "#/components/schemas/";

macro_rules! embedded {
    ($($group_version:literal => $file:literal,)*) => {
        /// The definitions and the paths of a group version.
        pub(super) fn packed(group_version: &str) -> Option<[&'static [u8]; 2]> {
            match group_version {
                $($group_version => Some([
                    include_bytes!(concat!("../../schemas/", $file, ".json.zz")),
                    include_bytes!(concat!("../../schemas/", $file, ".paths.json.zz")),
                ]),)*
                _ => None,
            }
        }

        /// The group versions that are built in.
        pub(super) const GROUP_VERSIONS: &[&str] = &[$($group_version),*];
    };
}

embedded! {
    "v1" => "core_v1",
    "admissionregistration.k8s.io/v1" => "admissionregistration.k8s.io_v1",
    "apiextensions.k8s.io/v1" => "apiextensions.k8s.io_v1",
    "apiregistration.k8s.io/v1" => "apiregistration.k8s.io_v1",
    "apps/v1" => "apps_v1",
    "authentication.k8s.io/v1" => "authentication.k8s.io_v1",
    "authorization.k8s.io/v1" => "authorization.k8s.io_v1",
    "autoscaling/v2" => "autoscaling_v2",
    "autoscaling/v1" => "autoscaling_v1",
    "batch/v1" => "batch_v1",
    "certificates.k8s.io/v1" => "certificates.k8s.io_v1",
    "coordination.k8s.io/v1" => "coordination.k8s.io_v1",
    "discovery.k8s.io/v1" => "discovery.k8s.io_v1",
    "events.k8s.io/v1" => "events.k8s.io_v1",
    "flowcontrol.apiserver.k8s.io/v1" => "flowcontrol.apiserver.k8s.io_v1",
    "networking.k8s.io/v1" => "networking.k8s.io_v1",
    "node.k8s.io/v1" => "node.k8s.io_v1",
    "policy/v1" => "policy_v1",
    "rbac.authorization.k8s.io/v1" => "rbac.authorization.k8s.io_v1",
    "scheduling.k8s.io/v1" => "scheduling.k8s.io_v1",
    "storage.k8s.io/v1" => "storage.k8s.io_v1",
}

/// The contents of an embedded file.
///
/// # Errors
/// If it is not in zlib's format.
pub(crate) fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    ZlibDecoder::new(packed).read_to_end(&mut raw)?;
    Ok(raw)
}

/// All definitions of a group version (`v1`, `apps/v1`), by name; they refer to each other by
/// `#/components/schemas/NAME`. `None` for a group version that is not built in.
pub fn definitions(group_version: &str) -> Option<Map<String, Value>> {
    let [definitions, _] = packed(group_version)?;
    let raw = unpack(definitions).expect("the embedded definitions are written by a test and unpacked by another");
    Some(serde_json::from_slice(&raw).expect("the embedded definitions are JSON, as a test shows"))
}

/// The published definition of one kind, with the definitions it refers to beside it under `definitions`.
pub(super) fn document(group_version: &str, definition: &str) -> Option<Value> {
    let all = definitions(group_version)?;
    let mut kept = Map::new();
    let mut open = vec![definition.to_owned()];
    while let Some(name) = open.pop() {
        if kept.contains_key(&name) {
            continue;
        }
        let schema = all.get(&name)?.clone();
        references(&schema, &mut open);
        kept.insert(name, schema);
    }
    Some(json!({ "$ref": format!("{REFERENCE_PREFIX}{definition}"), "definitions": kept }))
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.push(reference.trim_start_matches(REFERENCE_PREFIX).to_owned());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Compiles one kind's schema for pruning, ownership, patches and validation.
pub(crate) fn compile(group_version: &str, definition: &str) -> Option<Arc<Schema>> {
    compile_from(&compilable(group_version)?, definition)
}

/// Compiles one kind's schema from what [`compilable`] gives.
pub(super) fn compile_from(definitions: &Value, definition: &str) -> Option<Arc<Schema>> {
    Schema::compile_definition(definitions, definition).map(Arc::new)
}

/// The definitions of a group version in the form that is compiled. To make it takes longer than to compile a kind.
pub(super) fn compilable(group_version: &str) -> Option<Value> {
    let mut all = definitions(group_version)?;
    let reported = reached_from(&all, |name| name.ends_with("Status") || name.ends_with(".Event"));
    let specified = reached_from(&all, |name| name.ends_with("Spec") || name.ends_with("Template"));
    for (name, schema) in &mut all {
        normalise(schema, reported.contains(name) && !specified.contains(name));
        refine(name, schema);
    }
    Some(Value::Object(all))
}

/// The definitions that are `wanted` or referred to from one that is.
fn reached_from(all: &Map<String, Value>, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = all.keys().filter(|name| wanted(name)).cloned().collect();
    while let Some(name) = open.pop() {
        if let Some(schema) = all.get(&name)
            && reached.insert(name)
        {
            references(schema, &mut open);
        }
    }
    reached
}

/// Turns a published definition into what the real server holds its own kinds to.
///
/// The server decodes built-in kinds into Go values, where an absent number or boolean is its zero value, and checks the
/// rest by hand; only what is both `required` and checked there stays required, which nothing in a status is (`lenient`).
/// A lone `allOf` reference is how OpenAPI gives a reference a description.
fn normalise(schema: &mut Value, lenient: bool) {
    let Value::Object(members) = schema else { return };
    members.remove("description");
    // Which words are allowed is checked by hand, in the words of the real server.
    members.remove("enum");
    if let Some(Value::Array(all_of)) = members.get_mut("allOf")
        && all_of.len() == 1
        && let Value::Object(reference) = all_of.remove(0)
    {
        members.remove("allOf");
        members.extend(reference);
    }
    if lenient {
        members.remove("required");
    } else if let (Some(Value::Array(mut required)), Some(Value::Object(properties))) =
        (members.remove("required"), members.get("properties"))
    {
        required.retain(|name| {
            let property = name.as_str().and_then(|name| properties.get(name));
            !matches!(
                property.and_then(|property| property.get("type")).and_then(Value::as_str),
                Some("integer" | "number" | "boolean")
            )
        });
        if !required.is_empty() {
            members.insert("required".to_owned(), Value::Array(required));
        }
    }
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(|property| normalise(property, lenient));
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(inner) {
            normalise(inner, lenient);
        }
    }
}

/// Types whose Go decoding differs from what their definition can say.
fn refine(name: &str, schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    let free_form = members.get("type").and_then(Value::as_str) == Some("object")
        && !members.contains_key("properties")
        && !members.contains_key("additionalProperties");
    match name.rsplit('.').next().unwrap_or(name) {
        "Quantity" => {
            // A string or any number; written out as a canonical string.
            members.clear();
            members.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
            members.insert("format".to_owned(), Value::String("quantity".to_owned()));
        }
        "IntOrString" => {
            members.clear();
            members.insert("x-kubernetes-int-or-string".to_owned(), Value::Bool(true));
        }
        "Time" | "MicroTime" => {
            members.insert("nullable".to_owned(), Value::Bool(true));
        }
        // Absent lists and structs that the server takes as empty.
        "NetworkPolicySpec" | "EndpointSlice" | "LimitRangeSpec" | "StatefulSetSpec" | "LeaseSpec" | "Endpoints" => {
            members.remove("required");
        }
        "RawExtension" => {
            members.clear();
            members.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
            members.insert("x-kubernetes-map-type".to_owned(), Value::String("atomic".to_owned()));
        }
        _ if free_form || !members.contains_key("type") => {
            members.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_file_unpacks_and_every_reference_in_it_resolves() {
        for group_version in GROUP_VERSIONS {
            let all = definitions(group_version).unwrap();
            let mut found = Vec::new();
            all.values().for_each(|schema| references(schema, &mut found));
            for name in found {
                assert!(all.contains_key(&name), "{group_version} refers to {name}");
            }
        }
        assert!(definitions("apps/v1beta1").is_none());
    }

    /// Objects clients send: required fields left out where the real server takes that, nulls of Go clients, numbers as
    /// quantities and ports.
    #[test]
    fn objects_of_real_clients_pass_and_keep_their_fields() {
        let objects = [
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "creationTimestamp": null}, "spec": {},
                "status": {"nodeInfo": {"kubeletVersion": "v1.34.2"}, "capacity": {"cpu": 2, "memory": "4Gi"},
                    "conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 0.5}},
                    "livenessProbe": {"httpGet": {"port": "http"}}, "ports": [{"containerPort": 80}]}]},
                "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": [{"name": "a", "ready": true}]}}),
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
                "eventTime": null, "regarding": {"kind": "Pod"}, "note": "hello", "deprecatedFirstTimestamp": null}),
            json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {}, "eventTime": null, "source": {}}),
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"},
                "spec": {"ingress": [{"ports": [{"port": 80}, {"port": "http"}]}]}}),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": null, "ports": null}),
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "revision": 1, "data": {"spec": {"x": [1]}}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "managedFields": [{"fieldsV1": {"f:spec": {}}}]},
                "spec": {"selector": {"matchLabels": {"a": "b"}}, "strategy": {}, "template": {"metadata": {"creationTimestamp": null}, "spec": {"containers": [{"name": "a", "resources": {}}]}}}, "status": {}}),
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "c"}, "rules": null}),
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}, "spec": {"minAvailable": "50%", "maxUnavailable": 1}}),
            json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a.b.c"},
                "spec": {"group": "b.c", "scope": "Namespaced", "names": {"plural": "a", "kind": "A"}, "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "default": {"a": [1]}}}}}}]}}),
        ];
        for mut object in objects {
            let api_version = object["apiVersion"].as_str().unwrap().to_owned();
            let kind = object["kind"].as_str().unwrap().to_owned();
            let resource = crate::builtin::resource_types()
                .iter()
                .find(|resource| resource.kind == kind && resource.api_version() == api_version)
                .unwrap();
            let schema = resource.schema.get().unwrap();
            assert_eq!(schema.prune(&mut object), Vec::<String>::new(), "{kind}");
            schema.apply_defaults(&mut object);
            let errors = schema.validate(&object, None);
            assert!(errors.is_empty(), "{kind}: {errors:?}");
        }
    }

    #[test]
    fn every_kind_has_a_schema_that_refuses_wrong_types() {
        for resource in crate::builtin::resource_types() {
            let schema = resource.schema.get().unwrap_or_else(|| panic!("{}", resource.kind));
            let wrong = json!({"apiVersion": 1, "kind": resource.kind, "metadata": {}});
            assert!(!schema.validate(&wrong, None).is_empty(), "{}", resource.kind);
            let mut unknown = json!({"colour": "red"});
            assert_eq!(schema.prune(&mut unknown), ["colour"], "{}", resource.kind);
        }
    }

    #[test]
    fn a_document_carries_what_it_refers_to() {
        let document = document("coordination.k8s.io/v1", "io.k8s.api.coordination.v1.Lease").unwrap();
        let names: Vec<&str> = document["definitions"].as_object().unwrap().keys().map(String::as_str).collect();
        insta::assert_snapshot!(names.join("\n"), @r"
        io.k8s.api.coordination.v1.Lease
        io.k8s.api.coordination.v1.LeaseSpec
        io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1
        io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry
        io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime
        io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta
        io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference
        io.k8s.apimachinery.pkg.apis.meta.v1.Time
        ");
    }
}
