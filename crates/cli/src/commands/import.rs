//! `kogge import FILE --name NAME`

use std::path::Path;

use kogge_api::clusterctl_import::{FindingKind, ImportInput, import};
use kogge_api::provider_profile::{ProviderProfile, simulation};

use crate::arguments::{ConnectionArguments, ImportArguments};
use crate::outcome::{CommandError, Exit};
use crate::rest_client::{Body, RestClient};
use crate::{documents, terminal};

/// Prints the description on standard output and the findings on standard error.
///
/// The profile's facts come from the running server; without one, the built-in profile `sim` is known.
///
/// # Errors
/// Exit code 2 if a file is no parameter file, 3 if the profile is not known.
pub async fn run(connection: &ConnectionArguments, arguments: ImportArguments) -> Result<(), CommandError> {
    let clusterctl = documents::read_text(&arguments.file)?;
    let clouds =
        arguments.clouds.as_deref().map(|path: &Path| documents::read_text(&path.to_string_lossy())).transpose()?;
    let profile = profile(connection, arguments.profile.as_deref()).await?;
    let input =
        ImportInput { clusterctl: &clusterctl, clouds: clouds.as_deref(), name: &arguments.name, profile: &profile };
    let imported =
        import(&input).map_err(|error| CommandError::new(Exit::Refused, format!("{}: {error}", arguments.file)))?;
    terminal::print(&kogge_api::document_writer::to_yaml(&imported.cluster))?;
    for finding in &imported.findings {
        terminal::say(&finding.to_string());
    }
    let count = |kind| imported.findings.iter().filter(|finding| finding.kind == kind).count();
    terminal::say(&format!(
        "{}: {} dropped, {} changed, {} need a decision",
        arguments.file,
        count(FindingKind::Dropped),
        count(FindingKind::Changed),
        count(FindingKind::NeedsDecision)
    ));
    Ok(())
}

async fn profile(connection: &ConnectionArguments, name: Option<&str>) -> Result<ProviderProfile, CommandError> {
    let name = name.unwrap_or("sim");
    match RestClient::connect(connection) {
        Ok(client) => client.call(reqwest::Method::GET, &format!("/v1/profiles/{name}"), Body::Empty).await,
        Err(_) if name == "sim" => Ok(simulation()),
        Err(error) => Err(error.hint("profiles other than the built-in `sim` are read from the server")),
    }
}
