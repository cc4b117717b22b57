//! Scenario `fleet`: many clusters at once, then none of them doing anything.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Api;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cluster::{put, revision};
use crate::report::{Latencies, Report, memory_kib, processor_time_of};
use crate::server_process::ServerProcess;

/// Options of the scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Clusters of 3 control plane machines and 3 workers
    #[arg(long, default_value_t = 1000)]
    clusters: usize,
    /// Requests under way at the same time
    #[arg(long, default_value_t = 8)]
    requests: usize,
    /// Seconds of the idle measurement
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// Seconds after which the measurement is given up
    #[arg(long, default_value_t = 900)]
    timeout_seconds: u64,
}

/// Ready machines of a part of a cluster, as seen by a watch.
#[derive(Debug)]
struct Observation {
    at: Instant,
    cluster: String,
    fact: Fact,
}

#[derive(Debug)]
enum Fact {
    /// Ready control plane machines, as Cluster API says.
    ControlPlane(u64),
    /// Ready machines of one machine deployment, as Cluster API says.
    Workers { deployment: String, ready: u64 },
    /// What the description's status says.
    Described { phase: String, control_plane: u64, workers: u64 },
}

/// Counts of one part that its cluster's status does not show yet, oldest first.
type Pending = VecDeque<(Instant, u64)>;

#[derive(Debug, Default)]
struct Tracked {
    deployments: HashMap<String, u64>,
    control_plane: Pending,
    workers: Pending,
    ready: bool,
}

/// Runs the scenario.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut report = Report::begin(
        "fleet",
        "`kogge up --speed max` as a process of its own, data on disk. From the first PUT until a watch has seen every cluster\n\
         (3 control plane machines, 3 workers) Ready. Memory: the largest resident set. Status lag: from the watch event\n\
         with a new count of ready machines of a KubeadmControlPlane or of the machine deployments of a cluster until the\n\
         watch event of the KubernetesCluster whose status shows that count or a later one. This process, which sends the\n\
         requests and runs the watches, shares the processors.",
    )?;
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::spawn(&folder.path().join("data"))?;
    server.ready().await?;
    let (rest, kubernetes) = (server.rest().await?, server.kubernetes().await?);
    let (sender, mut observations) = mpsc::unbounded_channel();
    let mut watches = tokio::task::JoinSet::new();
    for (group, version, kind) in [
        ("kogge.dev", "v1alpha1", "KubernetesCluster"),
        ("controlplane.cluster.x-k8s.io", "v1beta2", "KubeadmControlPlane"),
        ("cluster.x-k8s.io", "v1beta2", "MachineDeployment"),
    ] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        watches.spawn(observe(Api::all_with(kubernetes.clone(), &resource), sender.clone()));
    }
    drop(sender);

    let first_revision = revision(&kubernetes).await?;
    let begin = Instant::now();
    let used = processor_time_of(server.id()).unwrap_or_default();
    let names: Vec<String> = (0..arguments.clusters).map(|number| format!("fleet-{number:04}")).collect();
    let requests = async {
        stream::iter(&names)
            .map(|name| put(&rest, name))
            .buffer_unordered(arguments.requests.max(1))
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        anyhow::Ok(begin.elapsed())
    };
    let mut lags = Latencies::default();
    let mut tracked: HashMap<String, Tracked> = HashMap::new();
    let mut ready = 0;
    let all_ready = async {
        while ready < arguments.clusters {
            let Some(observation) = observations.recv().await else { anyhow::bail!("the watches ended") };
            let entry = tracked.entry(observation.cluster).or_default();
            let was_ready = entry.ready;
            entry.take(observation.at, observation.fact, &mut lags);
            ready = if entry.ready == was_ready { ready } else { ready + 1 };
        }
        anyhow::Ok(begin.elapsed())
    };
    let timeout = Duration::from_secs(arguments.timeout_seconds);
    let outcome = tokio::time::timeout(timeout, async { tokio::try_join!(requests, all_ready) }).await;
    let Ok(outcome) = outcome else { anyhow::bail!("{ready} of {} clusters are Ready in time", arguments.clusters) };
    let (accepted, elapsed) = outcome?;
    let used = processor_time_of(server.id()).unwrap_or_default().saturating_sub(used);
    let clusters = arguments.clusters;
    report.figure(&format!("all {clusters} requests accepted"), &format!("{accepted:.1?}"))?;
    let kept = elapsed < Duration::from_mins(5);
    report.bounded(&format!("all {clusters} clusters Ready"), &format!("{elapsed:.1?}"), "5 min", kept)?;
    report.figure("  processor time of the server", &format!("{used:.1?}"))?;
    let writes = (revision(&kubernetes).await? - first_revision) / u64::try_from(clusters.max(1))?;
    report.figure("  writes to the management plane, for each cluster", &writes.to_string())?;
    if let Some(kib) = memory_kib(server.id(), "VmHWM") {
        report.bounded("largest resident memory", &format!("{} MiB", kib >> 10), "2048 MiB", kib < 2 << 20)?;
    }
    ensure!(!lags.0.is_empty(), "no status change was seen");
    let (median, late) = (lags.quantile(0.5), lags.quantile(0.99));
    report.figure(&format!("status lag, median of {}", lags.0.len()), &format!("{median:.0?}"))?;
    report.bounded("status lag, p99", &format!("{late:.0?}"), "2 s", late < Duration::from_secs(2))?;
    report.figure("  worst", &format!("{:.0?}", lags.quantile(1.0)))?;

    // What follows the last Ready (events, conditions that settle) is not idleness.
    let settled = settle(&server).await;
    report.figure("settled after the last Ready", &format!("{settled:.0?}"))?;
    let before = processor_time_of(server.id());
    tokio::time::sleep(Duration::from_secs(arguments.idle_seconds)).await;
    if let (Some(before), Some(after)) = (before, processor_time_of(server.id())) {
        let share =
            after.saturating_sub(before).as_secs_f64() / Duration::from_secs(arguments.idle_seconds).as_secs_f64();
        let what = format!("idle for {} s, share of one processor", arguments.idle_seconds);
        report.bounded(&what, &format!("{:.1} %", share * 100.0), "5 %", share < 0.05)?;
    }
    if let Some(kib) = memory_kib(server.id(), "VmRSS") {
        report.figure("resident memory then", &format!("{} MiB", kib >> 10))?;
    }
    watches.shutdown().await;
    report.end()
}

impl Tracked {
    fn take(&mut self, at: Instant, fact: Fact, lags: &mut Latencies) {
        let note = |pending: &mut Pending, count: u64| {
            if pending.back().is_none_or(|(_, last)| *last != count) {
                pending.push_back((at, count));
            }
        };
        match fact {
            Fact::ControlPlane(ready) => note(&mut self.control_plane, ready),
            Fact::Workers { deployment, ready } => {
                self.deployments.insert(deployment, ready);
                note(&mut self.workers, self.deployments.values().sum());
            }
            Fact::Described { phase, control_plane, workers } => {
                self.ready |= phase == "Ready";
                for (pending, shown) in [(&mut self.control_plane, control_plane), (&mut self.workers, workers)] {
                    // The last of equal counts is kept as what is shown now; the ones before it are reflected.
                    let Some(found) = pending.iter().rposition(|(_, count)| *count == shown) else { continue };
                    for (since, _) in pending.drain(..=found) {
                        // A status may be seen before the change it tells of: two watches keep no order.
                        lags.0.push(at.saturating_duration_since(since));
                    }
                }
            }
        }
    }
}

async fn observe(api: Api<DynamicObject>, sender: mpsc::UnboundedSender<Observation>) -> anyhow::Result<()> {
    let mut events = pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        // The watcher begins again by itself.
        let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event else { continue };
        if let Some(observation) = observation(&object)
            && sender.send(observation).is_err()
        {
            break;
        }
    }
    Ok(())
}

fn observation(object: &DynamicObject) -> Option<Observation> {
    let at = Instant::now();
    let kind = object.types.as_ref().map(|types| types.kind.as_str())?;
    let name = object.metadata.name.clone()?;
    let status = object.data.get("status")?;
    let count = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let cluster = || object.metadata.labels.as_ref()?.get("cluster.x-k8s.io/cluster-name").cloned();
    let (cluster, fact) = match kind {
        "KubeadmControlPlane" => (cluster()?, Fact::ControlPlane(count("/readyReplicas"))),
        "MachineDeployment" => (cluster()?, Fact::Workers { deployment: name, ready: count("/readyReplicas") }),
        _ => {
            let phase = status["phase"].as_str().unwrap_or_default().to_owned();
            let pools = status["workers"].as_array().into_iter().flatten();
            let workers = pools.filter_map(|pool| pool["ready"].as_u64()).sum();
            (name, Fact::Described { phase, control_plane: count("/controlPlane/ready"), workers })
        }
    };
    Some(Observation { at, cluster, fact })
}

/// Waits until the server uses hardly any processor time for a second, at most two minutes.
async fn settle(server: &ServerProcess) -> Duration {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_mins(2) {
        let before = processor_time_of(server.id()).unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let used = processor_time_of(server.id()).unwrap_or_default().saturating_sub(before);
        if used < Duration::from_millis(100) {
            break;
        }
    }
    begin.elapsed()
}
