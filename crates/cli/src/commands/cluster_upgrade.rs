//! `kogge cluster upgrade NAME --to VERSION`

use reqwest::Method;
use serde_json::{Value, json};

use crate::arguments::UpgradeArguments;
use crate::outcome::CommandError;
use crate::progress::{Goal, follow};
use crate::rest_client::{Body, RestClient};
use crate::terminal;

/// Moves a cluster to another version.
///
/// # Errors
/// As the server answers: a version that is not offered, a skipped minor version and a downgrade are refused.
pub async fn run(client: &RestClient, arguments: UpgradeArguments) -> Result<(), CommandError> {
    let patch = json!({ "spec": { "kubernetes": { "version": arguments.to } } });
    let cluster = client.clusters_path(&format!("/{}", arguments.name));
    let _: Value = client.call(Method::PATCH, &cluster, Body::MergePatch(&patch)).await?;
    match arguments.wait.wait {
        Some(limit) => follow(client, &arguments.name, Goal::Ready, Some(limit.0)).await,
        None => terminal::print(&format!("{0} accepted; `kogge cluster watch {0}` follows it\n", arguments.name)),
    }
}
