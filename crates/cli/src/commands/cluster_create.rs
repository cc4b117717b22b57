//! `kogge cluster create`

use reqwest::Method;
use serde_json::{Value, json};

use crate::arguments::CreateArguments;
use crate::documents::{self, Document};
use crate::outcome::{CommandError, Exit};
use crate::progress::{Goal, follow};
use crate::rest_client::{Body, RestClient};
use crate::{rendering, terminal};

/// Creates clusters. A file of a cluster that is there already changes it, as `kubectl apply` would.
///
/// # Errors
/// Exit code 2 if a document is refused: then none is stored. Exit code 4 if a cluster without a file is there already.
pub async fn run(client: &RestClient, arguments: CreateArguments) -> Result<(), CommandError> {
    let documents = match &arguments.name {
        Some(name) => vec![named(client, name, &arguments).await?],
        None => documents::read_clusters(&arguments.files)?,
    };
    for document in &documents {
        document.put(client, true).await?;
    }
    if arguments.dry_run {
        for document in &documents {
            terminal::say(&format!("{}: would be accepted", document.name));
        }
        return Ok(());
    }
    let mut created = Vec::new();
    for document in &documents {
        created.push(document.put(client, false).await?);
    }
    if let Some(limit) = arguments.wait.wait {
        let all = documents.iter().map(|document| async move {
            follow(&document.client(client), &document.name, Goal::Ready, Some(limit.0)).await
        });
        for result in futures::future::join_all(all).await {
            result?;
        }
    }
    for (document, created) in documents.iter().zip(&created) {
        let text = rendering::document(arguments.output.output, created, || {
            if arguments.wait.wait.is_some() {
                return String::new();
            }
            format!("{} accepted; `kogge cluster watch {}` follows it\n", document.name, document.name)
        })?;
        terminal::print(&text)?;
    }
    Ok(())
}

/// A description from a name and options; everything not given is left to the defaults.
async fn named(client: &RestClient, name: &str, arguments: &CreateArguments) -> Result<Document, CommandError> {
    let path = client.clusters_path(&format!("/{name}"));
    match client.call::<Value>(Method::GET, &path, Body::Empty).await {
        Err(error) if error.exit == Exit::NotFound => {}
        Err(error) => return Err(error),
        Ok(_) => {
            return Err(CommandError::new(Exit::Conflict, format!("there is a cluster {name} already"))
                .hint("change it with `kogge cluster scale`, `kogge cluster upgrade` or a file"));
        }
    }
    let version = match &arguments.kubernetes_version {
        Some(version) => version.clone(),
        None => newest(client, &arguments.profile).await?,
    };
    let mut spec = json!({
        "provider": { "profile": arguments.profile },
        "kubernetes": { "version": version },
    });
    if let Some(count) = arguments.control_plane {
        spec["controlPlane"] = json!({ "count": count });
    }
    if let Some(count) = arguments.workers {
        spec["workers"] = json!([{ "name": "default", "count": count }]);
    }
    Ok(Document::new(
        name,
        json!({ "apiVersion": "kogge.dev/v1alpha1", "kind": "KubernetesCluster", "metadata": { "name": name }, "spec": spec }),
    ))
}

/// The newest minor version a profile offers that is no preview.
async fn newest(client: &RestClient, profile: &str) -> Result<String, CommandError> {
    let profile: Value = client.call(Method::GET, &format!("/v1/profiles/{profile}"), Body::Empty).await?;
    let offered = profile["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    offered
        .iter()
        .filter(|offered| offered["preview"] != true)
        .filter_map(|offered| {
            let mut parts = offered["version"].as_str()?.trim_start_matches('v').split('.');
            Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?))
        })
        .max()
        .map(|(major, minor)| format!("{major}.{minor}"))
        .ok_or_else(|| {
            CommandError::new(Exit::Refused, "the profile offers no version").hint("give --kubernetes-version")
        })
}
