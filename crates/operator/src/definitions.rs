//! Kogge's own CustomResourceDefinitions, installed by whoever starts first.

use std::time::Duration;

use kogge_api::server_answer::failure_text;
use kogge_api::{FIELD_MANAGER, crd};
use kube::Client;
use kube::api::{GetParams, Patch, PatchParams, Request};
use serde::Deserialize;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// How long the API server may take to serve a new kind.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait before each look at whether it does, but for the first.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The definitions could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Server-side apply of a definition.
    #[error("failed to apply the CustomResourceDefinition {name}: {}", failure_text(.source))]
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

/// Installs or updates the definitions of `KubernetesCluster` and `ProviderProfile` ([`crd::ALL`]) by server-side apply, and waits
/// until they are served. Repeating it changes nothing.
///
/// # Errors
/// When the API server refuses a definition or does not establish it within 30 s.
pub async fn install_custom_resource_definitions(client: &Client) -> Result<(), InstallError> {
    for definition in crd::ALL {
        apply(client, definition).await.map_err(|source| InstallError::ApplyDefinition {
            name: definition.name.to_owned(),
            source: Box::new(source),
        })?;
        let established = until_established(client, definition.name);
        if tokio::time::timeout(ESTABLISHED_WITHIN, established).await.is_err() {
            return Err(InstallError::NotEstablished(definition.name.to_owned()));
        }
    }
    Ok(())
}

async fn apply(client: &Client, definition: crd::Definition) -> Result<(), kube::Error> {
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let request = Request::new(DEFINITIONS).patch(definition.name, &parameters, &Patch::Apply(()));
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    // It is JSON already: to read a definition into its type and write it again takes a tenth of a start.
    *request.body_mut() = definition.json.as_bytes().to_vec();
    client.request_text(request).await.map(drop)
}

async fn until_established(client: &Client, name: &str) {
    loop {
        let request = Request::new(DEFINITIONS).get(name, &GetParams::default());
        let answer = match request {
            Ok(request) => client.request::<Answer>(request).await,
            Err(error) => Err(kube::Error::BuildRequest(error)),
        };
        match answer {
            Ok(definition) if definition.is_established() => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(name, %error, "failed to look at a definition"),
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// What is read of an answer: not the schemas.
#[derive(Debug, Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

impl Answer {
    fn is_established(&self) -> bool {
        let conditions = self.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.r#type == "Established" && condition.status == "True")
    }
}
