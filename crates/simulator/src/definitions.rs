//! CustomResourceDefinitions of everything the simulator serves, and their installation.
//!
//! Names, short names, categories and printer columns are those of Cluster API v1.14, so that `kubectl get
//! cluster,machine,md,kcp` shows what its users know. Schemas are typed where people and tools read, and keep unknown fields
//! where providers and stacks differ.

#![allow(clippy::needless_pass_by_value)] // JSON literals are written at the call sites

mod control_plane;
mod core;
mod infrastructure;
pub mod schema;

use std::time::Duration;

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::{DynamicObject, GroupVersionKind, discovery::ApiResource},
};
use serde_json::{Value, json};

use crate::kind::Kind;

/// Field manager of the definitions.
const MANAGER: &str = "kogge-simulator";

/// Why the definitions could not be installed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum InstallError {
    #[error("failed to apply the CustomResourceDefinition {name}: {source}")]
    Apply { name: String, source: Box<kube::Error> },
    #[error("failed to read the CustomResourceDefinition {name}: {source}")]
    Read { name: String, source: Box<kube::Error> },
    #[error("the CustomResourceDefinition {name} was not established within 30 seconds")]
    NotEstablished { name: String },
}

/// One kind's definition before it becomes a CustomResourceDefinition.
struct Definition {
    kind: Kind,
    singular: &'static str,
    short_names: &'static [&'static str],
    /// Name, type, JSONPath, priority.
    columns: Vec<(&'static str, &'static str, String, i32)>,
    schema: Value,
    status: bool,
    scale: bool,
}

/// All definitions as `apiextensions.k8s.io/v1` objects.
pub fn custom_resource_definitions() -> Vec<Value> {
    core::definitions()
        .into_iter()
        .chain(control_plane::definitions())
        .chain(infrastructure::definitions())
        .map(custom_resource_definition)
        .collect()
}

fn custom_resource_definition(definition: Definition) -> Value {
    let kind = definition.kind;
    let mut subresources = serde_json::Map::new();
    if definition.status {
        subresources.insert("status".to_owned(), json!({}));
    }
    if definition.scale {
        subresources.insert(
            "scale".to_owned(),
            json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                   "labelSelectorPath": ".status.selector"}),
        );
    }
    let columns: Vec<Value> = definition
        .columns
        .iter()
        .map(|(name, column_type, path, priority)| {
            let mut column = json!({"name": name, "type": column_type, "jsonPath": path});
            if *priority > 0 {
                column["priority"] = json!(priority);
            }
            column
        })
        .collect();
    let mut names = json!({
        "kind": kind.name(), "listKind": format!("{}List", kind.name()), "plural": kind.plural(),
        "singular": definition.singular,
        "categories": [if kind == Kind::Fault { "simulation" } else { "cluster-api" }],
    });
    if !definition.short_names.is_empty() {
        names["shortNames"] = json!(definition.short_names);
    }
    // The contract label is what Cluster API looks for to learn which version of a provider's kinds speaks which contract.
    let labels = match kind {
        Kind::Fault => json!({}),
        _ => json!({"cluster.x-k8s.io/v1beta2": "v1beta2"}),
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", kind.plural(), kind.group()), "labels": labels},
        "spec": {
            "group": kind.group(), "names": names, "scope": if kind.namespaced() { "Namespaced" } else { "Cluster" },
            "versions": [{
                "name": kind.version(), "served": true, "storage": true, "subresources": subresources,
                "additionalPrinterColumns": columns, "schema": {"openAPIV3Schema": definition.schema},
            }],
        },
    })
}

/// Applies all definitions and waits until each is served. Idempotent: a second run changes nothing.
///
/// # Errors
/// When the server refuses a definition or does not serve it within 30 seconds.
pub async fn install_custom_resource_definitions(client: &Client) -> Result<(), InstallError> {
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let applied = custom_resource_definitions().into_iter().map(|definition| {
        let api = api.clone();
        async move {
            let name = definition["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&definition))
                .await
                .map_err(|source| InstallError::Apply { name: name.clone(), source: Box::new(source) })?;
            established(&api, &name).await
        }
    });
    futures::future::try_join_all(applied).await.map(drop)
}

async fn established(api: &Api<DynamicObject>, name: &str) -> Result<(), InstallError> {
    for attempt in 0..300_u64 {
        let definition = api
            .get(name)
            .await
            .map_err(|source| InstallError::Read { name: name.to_owned(), source: Box::new(source) })?;
        let conditions = definition.data.pointer("/status/conditions").and_then(Value::as_array);
        if conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "Established" && it["status"] == "True")) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis((attempt * 5).min(100))).await;
    }
    Err(InstallError::NotEstablished { name: name.to_owned() })
}

/// JSONPath of the status of a condition, as upstream's columns have it.
fn condition_path(condition_type: &str) -> String {
    format!(".status.conditions[?(@.type==\"{condition_type}\")].status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_have_the_names_and_columns_kubectl_users_know() {
        let shown: Vec<String> = custom_resource_definitions()
            .iter()
            .map(|definition| {
                let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
                let names = &definition["spec"]["names"];
                format!(
                    "{} {} {}: {}",
                    definition["metadata"]["name"].as_str().unwrap(),
                    definition["spec"]["versions"][0]["name"].as_str().unwrap(),
                    names["shortNames"],
                    columns
                        .iter()
                        .map(|column| column["name"].as_str().unwrap().to_owned()
                            + if column["priority"].is_number() { "*" } else { "" })
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
