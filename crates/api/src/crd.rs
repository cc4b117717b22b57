//! The CustomResourceDefinitions of Kogge's kinds, generated from the Rust types, and the schema building blocks the
//! types use. The definitions are checked in under `crates/api/crds/`, as YAML for people and as JSON for this program,
//! which reads them: to generate them anew takes a fifth of its start. A test fails when they drift.
//!
//! Three things are added to what the derive macros produce: optional fields are absent rather than `null`
//! (Kubernetes then prunes an explicit `null` and applies the default), number formats Kubernetes does not know are
//! dropped, and rules in the Common Expression Language hold what a schema alone cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::{KubernetesCluster, ProviderProfile};

/// A definition as it is checked in.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// `metadata.name`.
    pub name: &'static str,
    /// The CustomResourceDefinition.
    pub json: &'static str,
}

/// What [`generate`] has made of `KubernetesCluster`.
const KUBERNETES_CLUSTERS: Definition = Definition {
    name: "kubernetesclusters.kogge.dev",
    json: include_str!("../crds/kubernetesclusters.kogge.dev.json"),
};
/// What [`generate`] has made of `ProviderProfile`.
const PROVIDER_PROFILES: Definition =
    Definition { name: "providerprofiles.kogge.dev", json: include_str!("../crds/providerprofiles.kogge.dev.json") };

/// All definitions, in the order in which they should be applied.
pub const ALL: [Definition; 2] = [KUBERNETES_CLUSTERS, PROVIDER_PROFILES];

/// All definitions, made from the types: what [`ALL`] holds was written from it.
pub fn generate() -> Vec<CustomResourceDefinition> {
    vec![KubernetesCluster::crd(), ProviderProfile::crd()]
}

/// The `openAPIV3Schema` of `KubernetesCluster`.
pub fn kubernetes_cluster_schema() -> Value {
    schema_of(KUBERNETES_CLUSTERS)
}

/// The `openAPIV3Schema` of `ProviderProfile`.
pub fn provider_profile_schema() -> Value {
    schema_of(PROVIDER_PROFILES)
}

fn schema_of(definition: Definition) -> Value {
    let read: serde_json::Result<Value> = serde_json::from_str(definition.json);
    let mut definition = read.expect("the embedded definitions are read by the tests of this crate");
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take()
}

/// A validation rule as `x-kubernetes-validations` spells it.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// Like [`rule`], with the field the refusal points at (relative to the object that carries the rule).
pub(crate) fn rule_at(field_path: &str, rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message, "fieldPath": field_path })
}

/// Rule: an optional field is neither set, changed nor removed after creation.
pub(crate) fn immutable_optional(field: &str) -> Value {
    rule_at(
        &format!(".{field}"),
        &format!(
            "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
        ),
        &format!("{field} cannot be changed after creation; create a new cluster instead"),
    )
}

/// Rule: a field that is always present keeps its first value.
pub(crate) fn immutable(what: &str) -> Value {
    rule("self == oldSelf", &format!("{what} cannot be changed after creation; create a new cluster instead"))
}

/// Schema transform for root types: optional means absent, not `null`, and only formats Kubernetes knows remain.
pub(crate) fn structural(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    let mut value = Value::Object(std::mem::take(object));
    simplify(&mut value);
    if let Value::Object(simplified) = value {
        *object = simplified;
    }
}

fn simplify(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(schema) => {
            remove_null_branch(schema);
            hoist_constants(schema);
            if let Some(Value::Array(types)) = schema.get_mut("type") {
                types.retain(|name| name != "null");
                if types.len() == 1 {
                    let only = types.remove(0);
                    schema.insert("type".into(), only);
                }
            }
            if schema.get("default") == Some(&Value::Null) {
                schema.remove("default");
            }
            if let Some(Value::String(format)) = schema.get("format")
                && format.starts_with("uint")
            {
                schema.remove("format");
            }
            // Properties are a map of schemas; a property may itself be called `type`, `default` or `format`.
            for (key, child) in schema.iter_mut() {
                match key.as_str() {
                    "properties" => {
                        if let Value::Object(properties) = child {
                            properties.values_mut().for_each(simplify);
                        }
                    }
                    "items" | "additionalProperties" | "anyOf" | "oneOf" | "allOf" => simplify(child),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// `anyOf: [X, {type: null}]`, which is how an optional value is described, becomes `X`.
fn remove_null_branch(schema: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = schema.get_mut("anyOf") else { return };
    branches.retain(|branch| branch.get("type") != Some(&json!("null")));
    if branches.len() == 1
        && let Value::Object(only) = branches.remove(0)
    {
        schema.remove("anyOf");
        for (key, value) in only {
            schema.entry(key).or_insert(value);
        }
    }
}

/// `oneOf: [{const: A}, {const: B}]`, which is how an enumeration with documented variants is described, becomes
/// `enum: [A, B]` with the variants' documentation appended to the description.
fn hoist_constants(schema: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = schema.get("oneOf") else { return };
    let mut names = Vec::new();
    let mut lines = Vec::new();
    for branch in branches {
        let (documentation, values) = (branch.get("description").and_then(Value::as_str), branch.get("enum"));
        match (branch.get("const"), values) {
            (Some(constant), _) => {
                if let (Some(name), Some(text)) = (constant.as_str(), documentation) {
                    lines.push(format!("- `{name}`: {text}"));
                }
                names.push(constant.clone());
            }
            (None, Some(Value::Array(several))) => names.extend(several.iter().cloned()),
            _ => return,
        }
    }
    schema.remove("oneOf");
    schema.insert("type".into(), json!("string"));
    schema.insert("enum".into(), Value::Array(names));
    if !lines.is_empty() {
        let own = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{own}\n\n{}", lines.join("\n"));
        schema.insert("description".into(), json!(text.trim()));
    }
}
