//! Kogge's own CustomResourceDefinitions, installed by whoever starts first.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kogge_api::FIELD_MANAGER;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{Condition as _, await_condition, conditions};
use kube::{Api, Client};

/// How long the API server may take to serve a new kind.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// The definitions could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Server-side apply of a definition.
    #[error("failed to apply the CustomResourceDefinition {name}: {source}")]
    ApplyDefinition {
        /// Name of the definition.
        name: String,
        /// What the API server answered.
        source: Box<kube::Error>,
    },
    /// The API server does not serve the kind.
    #[error("the CustomResourceDefinition {0} is not established in time")]
    NotEstablished(String),
}

/// Installs or updates `definitions`, those of `KubernetesCluster` and `ProviderProfile` ([`kogge_api::crd::all`], which takes
/// some milliseconds), by server-side apply, and waits until they are served. Repeating it changes nothing.
///
/// # Errors
/// When the API server refuses a definition or does not establish it within 30 s.
pub async fn install_custom_resource_definitions(
    client: &Client,
    definitions: Vec<CustomResourceDefinition>,
) -> Result<(), InstallError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions {
        install(&api, definition).await?;
    }
    Ok(())
}

async fn install(
    api: &Api<CustomResourceDefinition>,
    definition: CustomResourceDefinition,
) -> Result<(), InstallError> {
    let name = definition.metadata.name.clone().unwrap_or_default();
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    if let Err(source) = api.patch(&name, &parameters, &Patch::Apply(&definition)).await {
        return Err(InstallError::ApplyDefinition { name, source: Box::new(source) });
    }
    // Mostly it is there by now, and a look is much less than a watch.
    if api.get(&name).await.is_ok_and(|found| conditions::is_crd_established().matches_object(Some(&found))) {
        return Ok(());
    }
    let established = await_condition(api.clone(), &name, conditions::is_crd_established());
    match tokio::time::timeout(ESTABLISHED_WITHIN, established).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(InstallError::NotEstablished(name)),
    }
}
