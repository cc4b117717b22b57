//! Applying: the writes of a plan, in order, by server-side apply. The only place that changes Cluster API objects.

use kogge_api::FIELD_MANAGER;
use kogge_api::plan::{ObjectReference, Plan, Write};
use kube::api::{ApiResource, DeleteParams, Patch, PatchParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;

/// A write of a plan failed; what came before it is done and will be found done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Server-side apply of an object.
    #[error("failed to apply {kind} {name}: {source}")]
    ApplyObject {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// What the API server answered.
        source: Box<kube::Error>,
    },
    /// Deletion of an object.
    #[error("failed to delete {kind} {name}: {source}")]
    DeleteObject {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// What the API server answered.
        source: Box<kube::Error>,
    },
}

impl ApplyError {
    /// What the API server answered.
    pub fn source(&self) -> &kube::Error {
        match self {
            Self::ApplyObject { source, .. } | Self::DeleteObject { source, .. } => source,
        }
    }
}

/// Makes the writes of a plan. Returns the objects as they are now stored.
///
/// # Errors
/// At the first write that fails; the rest is left for the next run.
pub async fn apply(client: &Client, plan: &Plan) -> Result<Vec<DynamicObject>, ApplyError> {
    let mut stored = Vec::new();
    for write in &plan.writes {
        match write {
            Write::Apply(object) => stored.push(apply_object(client, &plan.namespace, object).await?),
            Write::Delete(reference) => delete_object(client, &plan.namespace, reference).await?,
        }
    }
    Ok(stored)
}

async fn apply_object(client: &Client, namespace: &str, object: &Value) -> Result<DynamicObject, ApplyError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    let resource = resource(&text(&object["apiVersion"]), &kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &parameters, &Patch::Apply(object)).await.map_err(|source| ApplyError::ApplyObject {
        kind,
        name,
        source: Box::new(source),
    })
}

async fn delete_object(client: &Client, namespace: &str, reference: &ObjectReference) -> Result<(), ApplyError> {
    let resource = resource(&reference.api_version, &reference.kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    match api.delete(&reference.name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(ApplyError::DeleteObject {
            kind: reference.kind.clone(),
            name: reference.name.clone(),
            source: Box::new(source),
        }),
    }
}

/// The resource of a kind. Plurals follow the convention all of Cluster API follows.
fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}
