//! The `api` suite: what a Kubernetes API answers, compared word by word.
//!
//! ```text
//!  scenario ──► runner ──► exchanges ──► normalization ──► transcript ─┐
//!  (requests)   (server)   (raw answers)  (no times, uids)             ├─► differences ──► report
//!                                  reference transcript (recorded) ────┘
//! ```
//!
//! A scenario is data: requests and what to remember of their answers. It says nothing about what is right; that is what
//! kube-apiserver answered when the reference was recorded.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::{StreamExt as _, stream};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub mod accepted;
pub mod difference;
pub mod documentation;
pub mod item;
pub mod normalization;
mod open_watch;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod substitution;
pub mod transcript;
pub mod webhook;
pub mod webhook_server;

use accepted::AcceptedDifference;
use difference::{Difference, compare};
use report::{Outcome, Report, ScenarioResult};
use runner::{RunError, run_scenario};
use scenario::Scenario;
use transcript::Transcript;
use webhook_server::WebhookServer;

/// What a run is made with.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Makes the names of this run its own: six lower-case letters and digits.
    pub id: String,
    /// How many scenarios run at the same time.
    pub parallel: usize,
    /// Only scenarios whose name, area or item matches.
    pub pattern: Option<regex::Regex>,
    /// Where the server reaches webhooks of this process; without it, scenarios with webhooks are skipped.
    pub webhook_address: Option<IpAddr>,
}

impl RunOptions {
    fn selects(&self, scenario: &Scenario) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| {
            [&scenario.name, &scenario.area, &scenario.item.to_string()].iter().any(|text| pattern.is_match(text))
        })
    }
}

/// Clients of one server. They show answers as they are: nothing is tried again that the server refused for now.
#[derive(Clone)]
pub struct Clients {
    /// With the credentials of the kubeconfig.
    pub administrator: Client,
    /// With none, for requests that bring their own: a client certificate would count before a token.
    pub without_credentials: Client,
}

impl Clients {
    /// Clients of the server a kubeconfig names.
    ///
    /// # Errors
    /// If the kubeconfig does not describe a connection.
    pub async fn new(kubeconfig: Kubeconfig, choice: &KubeConfigOptions) -> Result<Self, ClientError> {
        let mut config = Config::from_custom_kubeconfig(kubeconfig, choice).await?;
        config.default_retry = false;
        config.read_timeout = None;
        let mut without_credentials = config.clone();
        without_credentials.auth_info = AuthInfo::default();
        Ok(Self { administrator: config.try_into()?, without_credentials: without_credentials.try_into()? })
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig does not describe a connection.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Certificates or keys cannot be used.
    #[error("no connection can be made: {0}")]
    Connect(#[from] kube::Error),
}

/// The scenarios of the suite that `options` selects.
pub fn selected(options: &RunOptions) -> Vec<Scenario> {
    scenario::all().into_iter().filter(|scenario| options.selects(scenario)).collect()
}

/// Runs the selected scenarios against one server, several at a time, and gives their transcripts by name.
pub async fn record(clients: &Clients, options: &RunOptions) -> BTreeMap<String, Result<Transcript, RunError>> {
    let scenarios = selected(options);
    let webhooks = match options.webhook_address {
        Some(address) if scenarios.iter().any(|scenario| !scenario.webhooks.is_empty()) => {
            Some(WebhookServer::start(address).await.map_err(|error| error.to_string()))
        }
        _ => None,
    };
    let run = |(number, scenario): (usize, Scenario)| {
        let clients = clients.clone();
        let webhooks = webhooks.clone();
        let id = format!("{}{number:04}", options.id);
        async move {
            let transcript = match webhooks {
                _ if scenario.webhooks.is_empty() => run_scenario(&clients, &scenario, &id, None).await,
                None => Err(RunError::NoWebhooks),
                Some(Err(error)) => Err(RunError::Webhooks(error)),
                Some(Ok(webhooks)) => run_scenario(&clients, &scenario, &id, Some(&webhooks)).await,
            };
            (scenario.name, transcript)
        }
    };
    let (alone, others): (Vec<_>, Vec<_>) = scenarios.into_iter().enumerate().partition(|(_, scenario)| scenario.alone);
    let others = stream::iter(others).map(&run).buffer_unordered(options.parallel.max(1));
    others.chain(stream::iter(alone).then(&run)).collect().await
}

/// Judges a server by the recorded answers of a real kube-apiserver.
pub async fn judge(clients: &Clients, options: &RunOptions) -> Report {
    let answered = record(clients, options).await;
    let reference: BTreeMap<_, _> =
        transcript::reference().into_iter().map(|(name, found)| (name, Ok(found))).collect();
    report(options, answered, &reference, &accepted::all())
}

/// Compares two servers with each other; `reference` is the one that is right.
pub async fn compare_servers(clients: &Clients, reference: &Clients, options: &RunOptions) -> Report {
    // Names of their own on each, as both may lead to the same server.
    let first = if options.id.starts_with('a') { 'b' } else { 'a' };
    let id = std::iter::once(first).chain(options.id.chars().skip(1)).collect();
    let of_reference = RunOptions { id, ..options.clone() };
    let (answered, expected) = futures::join!(record(clients, options), record(reference, &of_reference));
    report(options, answered, &expected, &accepted::all())
}

/// The differences between what was answered and what was expected, scenario by scenario.
pub fn report(
    options: &RunOptions,
    mut answered: BTreeMap<String, Result<Transcript, RunError>>,
    expected: &BTreeMap<String, Result<Transcript, RunError>>,
    accepted: &[AcceptedDifference],
) -> Report {
    let scenarios = selected(options).into_iter().map(|scenario| {
        let outcome = match (answered.remove(&scenario.name), expected.get(&scenario.name)) {
            (Some(Err(RunError::NoWebhooks)), _) | (_, Some(Err(RunError::NoWebhooks))) => {
                Outcome::Skipped(RunError::NoWebhooks.to_string())
            }
            (Some(Ok(answered)), Some(Ok(expected))) => judge_one(&scenario, &answered, expected, accepted),
            (Some(Err(error)), _) => Outcome::Failed(error.to_string()),
            (_, Some(Err(error))) => Outcome::Failed(format!("the other server: {error}")),
            (None, _) => Outcome::Failed("it did not run".to_owned()),
            (_, None) => Outcome::Failed("there is no reference for it".to_owned()),
        };
        ScenarioResult { name: scenario.name, area: scenario.area, item: scenario.item, outcome }
    });
    Report { scenarios: scenarios.collect() }
}

fn judge_one(
    scenario: &Scenario,
    answered: &Transcript,
    expected: &Transcript,
    accepted: &[AcceptedDifference],
) -> Outcome {
    let (accepted, differences): (Vec<Difference>, Vec<Difference>) = compare(answered, expected)
        .into_iter()
        .partition(|difference| accepted.iter().any(|entry| entry.covers(&scenario.name, difference)));
    match (differences.is_empty(), accepted.is_empty()) {
        (false, _) => Outcome::Different(differences),
        (true, false) => Outcome::Accepted(accepted),
        (true, true) => Outcome::Same,
    }
}
