//! `kogge conformance run --suite SUITE --kubeconfig FILE`

use std::path::Path;

use kogge_conformance::api::{self, RunOptions};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rand::Rng as _;

use crate::arguments::{ConformanceOutput, ConformanceRunArguments, ConformanceSuite};
use crate::outcome::{CommandError, Exit};
use crate::terminal;

/// So many scenarios run at the same time, each in a namespace of its own.
const PARALLEL: usize = 8;

/// Runs the suite and prints what it found.
///
/// # Errors
/// Exit code 1 if the cluster does not answer as it should, 2 for unusable arguments, 5 if it does not answer at all.
pub async fn run(arguments: ConformanceRunArguments) -> Result<(), CommandError> {
    let ConformanceSuite::Api = arguments.suite;
    let pattern = arguments.scenario.as_deref().map(regex::Regex::new).transpose();
    let pattern = pattern.map_err(|error| CommandError::new(Exit::Refused, format!("--scenario: {error}")))?;
    let options = RunOptions { id: random_id(), parallel: PARALLEL, pattern, webhook_address: None };
    if api::selected(&options).is_empty() {
        return Err(CommandError::new(Exit::NotFound, "no scenario matches"));
    }
    let client = connect(&arguments.kubeconfig, arguments.context.as_deref()).await?;
    let report = match &arguments.against {
        Some(other) => api::compare_servers(&client, &connect(other, None).await?, &options).await,
        None => api::judge(&client, &options).await,
    };
    terminal::print(&match arguments.output {
        ConformanceOutput::Table => report.table(),
        ConformanceOutput::Json => format!("{:#}\n", report.json()),
        ConformanceOutput::Junit => report.junit(),
    })?;
    if report.passed() {
        return Ok(());
    }
    let wrong = report.scenarios.iter().filter(|result| !result.passed()).count();
    let message = format!("{wrong} of {} scenarios were not answered as expected", report.scenarios.len());
    Err(CommandError::new(Exit::Failed, message))
}

/// A client of the cluster, which has answered once.
async fn connect(kubeconfig: &Path, context: Option<&str>) -> Result<Client, CommandError> {
    let shown = kubeconfig.display();
    let read = Kubeconfig::read_from(kubeconfig)
        .map_err(|error| CommandError::new(Exit::Refused, format!("{shown}: {error}")))?;
    let choice = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let client = api::client(read, &choice)
        .await
        .map_err(|error| CommandError::new(Exit::Refused, format!("{shown}: {error}")))?;
    client
        .apiserver_version()
        .await
        .map_err(|error| CommandError::new(Exit::Unreachable, format!("{shown}: no answer: {error}")))?;
    Ok(client)
}

/// Six letters that no name on the cluster has by accident.
fn random_id() -> String {
    let mut random = rand::rng();
    (0..6).map(|_| char::from(b"bcdfghjklmnpqrstvwxz"[random.random_range(0..20)])).collect()
}
