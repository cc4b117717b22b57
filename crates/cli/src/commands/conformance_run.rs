//! `kogge conformance run --suite SUITE --kubeconfig FILE`

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use kogge_conformance::api::transcript::REFERENCE_VERSION;
use kogge_conformance::api::{self, Clients, RunOptions};
use kube::Config;
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
    let mut options = RunOptions { id: random_id(), parallel: PARALLEL, pattern, webhook_address: None };
    let selected = api::selected(&options).len();
    if selected == 0 {
        return Err(CommandError::new(Exit::NotFound, "no scenario matches"));
    }
    let cluster = connect(&arguments.kubeconfig, arguments.context.as_deref()).await?;
    let other = match &arguments.against {
        Some(other) => Some(connect(other, None).await?),
        None => None,
    };
    let local = [Some(&cluster), other.as_ref()].into_iter().flatten().all(|cluster| cluster.is_local);
    let default_address = local.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    options.webhook_address = arguments.webhook_address.or(default_address);
    terminal::say(&match &other {
        Some(other) => format!("{selected} scenarios against {} and {}", cluster.shown, other.shown),
        None => {
            format!("{selected} scenarios against {}, held against kube-apiserver {REFERENCE_VERSION}", cluster.shown)
        }
    });
    let report = match &other {
        Some(other) => api::compare_servers(&cluster.clients, &other.clients, &options).await,
        None => api::judge(&cluster.clients, &options).await,
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

/// A cluster that has answered once.
struct Cluster {
    clients: Clients,
    /// Its address and version.
    shown: String,
    /// Whether it is reached at an address of this machine alone.
    is_local: bool,
}

async fn connect(kubeconfig: &Path, context: Option<&str>) -> Result<Cluster, CommandError> {
    let shown = kubeconfig.display();
    let read = Kubeconfig::read_from(kubeconfig)
        .map_err(|error| CommandError::new(Exit::Refused, format!("{shown}: {error}")))?;
    let choice = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let refused = |error: &dyn std::error::Error| CommandError::new(Exit::Refused, format!("{shown}: {error}"));
    let config = Config::from_custom_kubeconfig(read.clone(), &choice).await.map_err(|error| refused(&error))?;
    let url = config.cluster_url;
    let clients = Clients::new(read, &choice).await.map_err(|error| refused(&error))?;
    let version = clients
        .administrator
        .apiserver_version()
        .await
        .map_err(|error| CommandError::new(Exit::Unreachable, format!("{shown}: no answer: {error}")))?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let address = url.to_string();
    let shown = format!("{} ({})", address.trim_end_matches('/'), version.git_version);
    Ok(Cluster { clients, shown, is_local })
}

/// Six letters that no name on the cluster has by accident.
fn random_id() -> String {
    let mut random = rand::rng();
    (0..6).map(|_| char::from(b"bcdfghjklmnpqrstvwxz"[random.random_range(0..20)])).collect()
}
