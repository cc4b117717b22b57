//! Clusters of Cluster API on the servers, brought up by the same unmodified Go managers: how long it takes until all are
//! Available, and what that costs the server.
//!
//! The managers are core, kubeadm bootstrap, kubeadm control plane and the development provider, whose in-memory backend
//! plays the machines with upstream's delays. They are installed, given credentials and started in the same way on both
//! sides, by the code that `kogge up --manager` uses.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kogge::managers::configuration::ManagerSpec;
use kogge::managers::installation::{Installation, Surroundings, install_all};
use kogge::managers::manifests;
use kogge_apiserver::certificates::create_authority;
use kogge_testkit::real;
use serde_json::{Value as Json, json};

use super::client::{Access, Client};
use super::comparison::Value;
use super::side::{Side, Which};
use super::{Measurement, start};
use crate::report::processor_time_of;

/// The managers by their folder, with their feature gates.
const MANAGERS: [(&str, &str); 4] = [
    ("core", "ClusterTopology=true,MachinePool=true"),
    ("bootstrap", "MachinePool=true"),
    ("controlplane", "ClusterTopology=true,MachinePool=true"),
    ("capd", "ClusterTopology=true,MachinePool=true"),
];
/// A port the in-memory backend listens on, in whatever process it runs.
const BACKEND_PORT: u16 = 19_000;
const CLUSTERS: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/clusters";
const MACHINES: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/machines";
const VERSION: &str = "v1.35.0";
/// Machines of each cluster: one of the control plane, one worker.
const MACHINES_EACH: usize = 2;
/// How long the managers may take to start, and other programs to leave their ports.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// How long the clusters may take.
const TIMEOUT: Duration = Duration::from_mins(20);
/// How often they are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many of them are created at the same time.
const CREATING: usize = 8;

/// Starts a server with the managers, creates so many clusters and waits until all are Available.
pub(super) async fn measure(
    measurement: &mut Measurement<'_>,
    which: Which,
    folder: &Path,
    count: usize,
) -> anyhow::Result<()> {
    let (server, _) = Side::start(which, folder).await?;
    let access = Access::read(server.kubeconfig())?;
    let client = access.client()?;
    let managers = start_managers(&server, &access, &client, &folder.join("managers")).await?;
    create_class(&client).await?;

    let before = (server.processor_time()?, managers.processor_time()?);
    let begin = Instant::now();
    futures::stream::iter(0..count)
        .map(|number| {
            let client = client.clone();
            async move { client.create(CLUSTERS, &cluster(&format!("c-{number:03}"))).await }
        })
        .buffer_unordered(CREATING)
        .try_collect::<Vec<_>>()
        .await?;
    loop {
        let available = available(&client).await?;
        if available == count {
            break;
        }
        ensure!(begin.elapsed() < TIMEOUT, "{available} of {count} clusters are Available after {TIMEOUT:?}");
        managers.check()?;
        tokio::time::sleep(INTERVAL).await;
    }
    let elapsed = begin.elapsed();
    let used = server.processor_time()?.saturating_sub(before.0);
    let of_managers = managers.processor_time()?.saturating_sub(before.1);
    let target = if count < 100 { 1.0 } else { 2.0 };
    let what = format!("{count} clusters of 1 + 1");
    measurement.add(&format!("{what}: until all are Available"), Value::Time(elapsed), Some(target))?;
    measurement.add(&format!("{what}: memory then"), Value::Memory { kib: server.memory_kib()? }, Some(5.0))?;
    measurement.add(&format!("{what}: largest memory"), Value::Memory { kib: server.peak_memory_kib()? }, Some(5.0))?;
    measurement.add(&format!("{what}: processor time"), Value::Time(used), Some(5.0))?;
    measurement.add(&format!("{what}: processor time of the managers"), Value::Time(of_managers), None)
}

/// The running managers; they end with this.
struct Managers(Vec<real::Process>);

impl Managers {
    fn processor_time(&self) -> anyhow::Result<Duration> {
        let parts = self.0.iter().map(|process| processor_time_of(process.id()));
        parts.sum::<Option<Duration>>().context("the processor time of a manager is not in /proc")
    }

    fn check(&self) -> anyhow::Result<()> {
        match self.0.iter().find(|process| process.has_ended()) {
            None => Ok(()),
            Some(process) => {
                let log = process.log();
                let end: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("a manager has ended: {}", end.into_iter().rev().collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

async fn start_managers(server: &Side, access: &Access, client: &Client, folder: &Path) -> anyhow::Result<Managers> {
    let begin = Instant::now();
    while TcpListener::bind(("0.0.0.0", BACKEND_PORT)).is_err() {
        ensure!(begin.elapsed() < START_TIMEOUT, "port {BACKEND_PORT} of the in-memory backend is taken");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let now = SystemTime::now();
    let authority = create_authority("kogge-benchmarks", now)?;
    let surroundings = Arc::new(Surroundings { directory: folder.to_owned(), authority });
    let mut installations = Vec::new();
    for (name, gates) in MANAGERS {
        let spec = specification(name, gates);
        installations.push(Installation::prepare(spec, &surroundings, now)?);
    }
    let kubernetes = server.kubernetes().await?;
    install_all(&kubernetes, &installations).await?;
    start::until_established(client, &start::definitions()?).await?;

    let administrator = std::fs::read_to_string(server.kubeconfig())?;
    let mut running = Managers(Vec::new());
    for installation in &installations {
        installation.write_files(&kubernetes, access.server(), access.authority_pem(), &administrator).await?;
        let mut command = Command::new(&installation.spec.command);
        command.args(installation.arguments()).envs(installation.environment());
        running.0.push(real::Process::start(&mut command, installation.directory.join("log")));
    }
    let http = reqwest::Client::builder().no_proxy().build()?;
    let begin = Instant::now();
    for installation in &installations {
        let url = format!("http://127.0.0.1:{}/readyz", installation.health_port);
        while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            running.check()?;
            ensure!(begin.elapsed() < START_TIMEOUT, "manager {} is not ready", installation.spec.name);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(running)
}

fn specification(name: &str, gates: &str) -> ManagerSpec {
    let folder = real::path("cluster-api").join(name);
    ManagerSpec {
        name: name.to_owned(),
        command: folder.join("manager"),
        args: Some(vec![format!("--feature-gates={gates}")]),
        // The in-memory backend asks for a Docker it does not need.
        env: [("DOCKER_HOST".to_owned(), "tcp://127.0.0.1:1".to_owned())].into(),
        manifests: Some(vec![folder.join("components.yaml")]),
        ..ManagerSpec::default()
    }
}

/// Creates upstream's ClusterClass and its templates, once the managers' webhooks let them in.
async fn create_class(client: &Client) -> anyhow::Result<()> {
    let file = real::path("cluster-api/capd/clusterclass-in-memory.yaml");
    for mut document in manifests::read(&[file])? {
        document["metadata"]["namespace"] = "default".into();
        let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind").to_lowercase());
        let plural = if kind.ends_with('s') { format!("{kind}es") } else { format!("{kind}s") };
        let collection = format!("/apis/{api_version}/namespaces/default/{plural}");
        let begin = Instant::now();
        while let Err(error) = client.create(&collection, &document).await {
            if begin.elapsed() > START_TIMEOUT {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

fn cluster(name: &str) -> Json {
    json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2",
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "clusterNetwork": {
                "services": {"cidrBlocks": ["10.128.0.0/12"]},
                "pods": {"cidrBlocks": ["192.168.0.0/16"]},
                "serviceDomain": "cluster.local",
            },
            "topology": {
                "classRef": {"name": "in-memory"},
                "version": VERSION,
                "controlPlane": {"replicas": 1},
                "workers": {"machineDeployments": [{"class": "default-worker", "name": "md-0", "replicas": 1}]},
            },
        },
    })
}

/// How many clusters are as their topology wants them, in every machine.
async fn available(client: &Client) -> anyhow::Result<usize> {
    let (clusters, machines) = (client.get(CLUSTERS).await?, client.get(MACHINES).await?);
    let items = |list: &Json| list["items"].as_array().cloned().unwrap_or_default();
    let machines = items(&machines);
    Ok(items(&clusters).iter().filter(|cluster| is_available(cluster, &machines)).count())
}

fn is_available(cluster: &Json, machines: &[Json]) -> bool {
    let own = machines.iter().filter(|machine| machine["spec"]["clusterName"] == cluster["metadata"]["name"]);
    let good = own.clone().filter(|machine| {
        condition(machine, "Available")["status"] == "True"
            && machine["status"]["nodeRef"]["name"].is_string()
            && machine["spec"]["version"] == VERSION
    });
    let has = |kind: &str, status: &str| condition(cluster, kind)["status"] == status;
    own.count() == MACHINES_EACH
        && good.count() == MACHINES_EACH
        && ["Available", "ControlPlaneAvailable", "WorkersAvailable", "TopologyReconciled"]
            .iter()
            .all(|kind| has(kind, "True"))
        && ["RollingOut", "ScalingUp", "ScalingDown"].iter().all(|kind| has(kind, "False"))
        && condition(cluster, "TopologyReconciled")["observedGeneration"] == cluster["metadata"]["generation"]
}

/// A condition of an object, null if it has none of this type.
fn condition<'o>(object: &'o Json, kind: &str) -> &'o Json {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|condition| condition["type"] == kind).unwrap_or(&Json::Null)
}
