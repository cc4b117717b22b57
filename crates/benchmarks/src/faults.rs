//! Scenario `faults`: each kind of fault on a running cluster, until its status says so and until it has healed.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use kogge::rest_client::{Body, RestClient};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cluster::{description, put};
use crate::report::Report;
use crate::server_process::ServerProcess;

/// Longest time from the fault to the problem, and from lifting it to a Ready cluster.
const BOUND: Duration = Duration::from_secs(2);
/// Time after which a measurement is given up.
const PATIENCE: Duration = Duration::from_mins(2);
const CLUSTER: &str = "faulty";

/// Options of the scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only faults of this kind, e.g. `NodeLost`
    #[arg(long)]
    kind: Option<String>,
}

/// One kind of fault and what is to become of it.
struct Case {
    kind: &'static str,
    target: Value,
    parameters: Value,
    /// Whether a resting cluster does not notice: then a worker is asked for.
    needs_request: bool,
    code: &'static str,
    actor: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |kind, needs_request, code, actor| Case {
        kind,
        target: json!({"cluster": CLUSTER}),
        parameters: json!({}),
        needs_request,
        code,
        actor,
    };
    vec![
        case("QuotaExhausted", true, "QuotaExceeded", "User"),
        case("ImageMissing", true, "ImageMissing", "Provider"),
        Case {
            target: json!({"cluster": CLUSTER, "zone": "sim-b"}),
            ..case("ZoneDown", false, "ZoneUnavailable", "Provider")
        },
        case("MachineNeverBoots", true, "MachineNotBooting", "Platform"),
        Case {
            target: json!({"cluster": CLUSTER, "pool": "workers"}),
            parameters: json!({"count": 1}),
            ..case("NodeLost", false, "NodeLost", "Platform")
        },
        case("CloudAPISlow", false, "CloudApiSlow", "Provider"),
        case("CloudAPIErrors", false, "CloudApiErrors", "Provider"),
        case("CredentialsExpired", false, "CredentialsExpired", "User"),
    ]
}

/// A state of the description, as a watch saw it.
struct Seen {
    at: Instant,
    object: Value,
}

impl Seen {
    fn problem(&self, code: &str) -> Option<&Value> {
        self.object["status"]["problems"].as_array()?.iter().find(|problem| problem["code"] == code)
    }

    fn has_healed(&self) -> bool {
        let status = &self.object["status"];
        status["phase"] == "Ready"
            && status["observedGeneration"] == self.object["metadata"]["generation"]
            && status["problems"].as_array().is_none_or(Vec::is_empty)
    }
}

/// Runs the scenario.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut report = Report::begin(
        "faults",
        "`kogge up --speed max` as a process of its own, with one cluster of 3 control plane machines and 3 workers. For each\n\
         kind of fault: from before it is set, and one more worker is asked for where a resting cluster cannot notice it, until\n\
         a watch sees the problem in the cluster's status; then from before it is lifted until the watch sees the cluster Ready\n\
         without a problem.",
    )?;
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::spawn(&folder.path().join("data"))?;
    server.ready().await?;
    let (rest, kubernetes) = (server.rest().await?, server.kubernetes().await?);
    let resource = |group: &str, kind: &str| ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1alpha1", kind));
    let faults: Api<DynamicObject> = Api::all_with(kubernetes.clone(), &resource("simulation.kogge.dev", "Fault"));
    let (sender, mut seen) = mpsc::unbounded_channel();
    let mut watches = tokio::task::JoinSet::new();
    watches.spawn(observe(Api::all_with(kubernetes, &resource("kogge.dev", "KubernetesCluster")), sender));

    put(&rest, CLUSTER).await?;
    until(&mut seen, "the cluster to be Ready", |seen| seen.has_healed().then_some(seen.at)).await?;
    let mut workers = 3;
    for case in cases() {
        if arguments.kind.as_ref().is_some_and(|kind| kind != case.kind) {
            continue;
        }
        let name = case.kind.to_lowercase();
        let fault: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "simulation.kogge.dev/v1alpha1", "kind": "Fault", "metadata": {"name": name},
            "spec": {"kind": case.kind, "target": case.target, "parameters": case.parameters},
        }))?;
        let begin = Instant::now();
        faults.create(&PostParams::default(), &fault).await?;
        if case.needs_request {
            workers += 1;
            scale(&rest, workers).await?;
        }
        let (at, actor) = until(&mut seen, &format!("the problem of {}", case.kind), |seen| {
            let problem = seen.problem(case.code)?;
            Some((seen.at, problem["actor"].as_str().unwrap_or_default().to_owned()))
        })
        .await?;
        ensure!(actor == case.actor, "{} says {actor} is to act, not {}", case.code, case.actor);
        let took = at.saturating_duration_since(begin);
        let what = format!("{}: {}, {actor} acts", case.kind, case.code);
        report.bounded(&what, &format!("{took:.2?}"), "2 s", took <= BOUND)?;
        let begin = Instant::now();
        faults.delete(&name, &DeleteParams::default()).await?;
        let at =
            until(&mut seen, &format!("{} to heal", case.kind), |seen| seen.has_healed().then_some(seen.at)).await?;
        let took = at.saturating_duration_since(begin);
        report.bounded("  healed after it was lifted", &format!("{took:.2?}"), "2 s", took <= BOUND)?;
    }
    watches.shutdown().await;
    report.end()
}

/// Asks for another number of workers.
async fn scale(rest: &RestClient, workers: u32) -> anyhow::Result<()> {
    let path = rest.clusters_path(&format!("/{CLUSTER}"));
    let mut description = description(CLUSTER);
    description["spec"]["workers"][0]["count"] = workers.into();
    let answer: Result<Value, _> = rest.call(Method::PUT, &path, Body::Json(&description)).await;
    answer.map(drop).map_err(|error| anyhow::anyhow!("{}", error.render()))
}

/// Waits for a state in which `found` finds something.
async fn until<T>(
    seen: &mut mpsc::UnboundedReceiver<Seen>,
    what: &str,
    found: impl Fn(&Seen) -> Option<T>,
) -> anyhow::Result<T> {
    let mut last = Value::Null;
    let waiting = async {
        while let Some(state) = seen.recv().await {
            if let Some(found) = found(&state) {
                return Some(found);
            }
            last = state.object["status"].clone();
        }
        None
    };
    let outcome = tokio::time::timeout(PATIENCE, waiting).await;
    let Ok(outcome) = outcome else { anyhow::bail!("waited {PATIENCE:?} for {what}; the status is {last}") };
    outcome.context("the watch ended")
}

async fn observe(api: Api<DynamicObject>, sender: mpsc::UnboundedSender<Seen>) {
    let mut events = pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        // The watcher begins again by itself.
        let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event else { continue };
        let at = Instant::now();
        let Ok(object) = serde_json::to_value(object) else { continue };
        if sender.send(Seen { at, object }).is_err() {
            break;
        }
    }
}
