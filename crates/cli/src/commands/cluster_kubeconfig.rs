//! `kogge cluster kubeconfig NAME`

use std::os::unix::fs::OpenOptionsExt as _;

use reqwest::Method;
use serde_json::json;

use crate::arguments::KubeconfigArguments;
use crate::outcome::{CommandError, Exit};
use crate::rest_client::{Body, RestClient};
use crate::terminal;

/// Prints a short-lived kubeconfig.
///
/// # Errors
/// As the server answers; exit code 1 if the file cannot be written.
pub async fn run(client: &RestClient, arguments: KubeconfigArguments) -> Result<(), CommandError> {
    let body = json!({ "expirationSeconds": arguments.valid_for.0.as_secs() });
    let path = client.clusters_path(&format!("/{}/kubeconfigs", arguments.name));
    let answer: serde_json::Value = client.call(Method::POST, &path, Body::Json(&body)).await?;
    let kubeconfig = answer["kubeconfig"].as_str().unwrap_or_default();
    let Some(file) = arguments.out else { return terminal::print(kubeconfig) };
    let write = || -> std::io::Result<()> {
        use std::io::Write as _;
        let mut output = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&file)?;
        output.write_all(kubeconfig.as_bytes())
    };
    write().map_err(|error| CommandError::new(Exit::Failed, format!("failed to write {}: {error}", file.display())))
}
