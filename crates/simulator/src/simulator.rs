//! Starting the simulator: definitions, faults, watches, workers.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::TryStreamExt;
use kogge_apiserver::server::Server;
use kube::{
    Api, Client,
    core::{DynamicObject, GroupVersionKind, discovery::ApiResource},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, Speed},
    control_plane::certificates::moved_kubeconfig,
    fault::FaultSpec,
    kind::Kind,
    lost_machines,
    object::{CLUSTER_NAME_LABEL, Object},
    queue::Queue,
    reconciler::{Reconciler, send},
    state::Endpoint,
    workload,
    world::{Affected, ClusterKey, World},
};

/// Field manager of faults given as options.
const FAULT_MANAGER: &str = "kogge-simulator";

/// How to run the simulator.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// The embedded server; clusters are on its management plane, each gets a plane of its own.
    pub server: Server,
    /// URL under which clients reach the server, e.g. `https://127.0.0.1:7443`.
    pub base_url: String,
    /// How fast things happen.
    pub speed: Speed,
    /// Faults to set at the start; those that are set already are kept.
    pub faults: Vec<FaultSpec>,
    /// Seed of all jitter.
    pub seed: u64,
    /// Clusters worked on at the same time.
    pub workers: usize,
}

impl SimulatorOptions {
    /// Options with speed 1, no faults, seed 0 and 16 workers.
    pub fn new(server: Server, base_url: impl Into<String>) -> Self {
        Self { server, base_url: base_url.into(), speed: Speed::Times(1.0), faults: Vec::new(), seed: 0, workers: 16 }
    }
}

/// Why the simulator could not run.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The simulator's threads could not be started.
    #[error("failed to start the threads of the simulator: {0}")]
    Threads(#[source] std::io::Error),
    /// The base URL is not `https://HOST:PORT`.
    #[error("base URL {0:?} is not https://HOST:PORT")]
    BaseUrl(String),
    /// A fault given as an option could not be set.
    #[error("failed to set the fault {name}: {source}")]
    Fault {
        /// Its name.
        name: String,
        /// What the server said.
        source: Box<kube::Error>,
    },
}

/// Runs the simulator until `shutdown`, on threads of its own: a cloud that builds a thousand clusters keeps nobody waiting who
/// asks how they are. Its object types have to be there: see
/// [`crate::install_custom_resource_definitions`].
///
/// Level-triggered: stopped or killed at any point, the next run goes on from what is stored. Dropping the future stops it at
/// its tasks' next step.
///
/// # Errors
/// When it cannot start; once it runs, failures are logged and tried again.
pub async fn run(options: SimulatorOptions, shutdown: CancellationToken) -> Result<(), SimulatorError> {
    let threads = Threads::start().map_err(SimulatorError::Threads)?;
    match threads.spawn(simulate(options, shutdown)).await {
        Ok(result) => result,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only who drops the threads cancels the task, and that is this function.
            Err(_) => Ok(()),
        },
    }
}

/// A runtime that may be dropped within another one.
struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> std::io::Result<Self> {
        Builder::new_multi_thread().thread_name("simulator").enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match &self.0 {
            Some(runtime) => runtime.spawn(future),
            None => unreachable!("it is there until this is dropped"),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn simulate(options: SimulatorOptions, shutdown: CancellationToken) -> Result<(), SimulatorError> {
    let endpoint = endpoint(&options.base_url)?;
    let client = options.server.management().client();
    for fault in &options.faults {
        set_fault(&client, fault).await?;
    }
    let world = Arc::new(World::default());
    let queue: Arc<Queue<ClusterKey>> = Arc::default();
    let clock = Clock::system(options.speed, options.seed);
    let mut tasks = JoinSet::new();
    let (synced, mut ready) = mpsc::channel(Kind::ALL.len());
    for kind in Kind::ALL {
        tasks.spawn(watch(kind, client.clone(), world.clone(), queue.clone(), synced.clone()));
    }
    drop(synced);
    let reconciler = Arc::new(Reconciler {
        server: options.server.clone(),
        client: client.clone(),
        clock: clock.clone(),
        endpoint,
        world: world.clone(),
        queue: queue.clone(),
        metrics_server: Mutex::default(),
    });
    let workers = options.workers.max(1);
    let work = async move {
        for _ in Kind::ALL {
            // A watch that ends early has reported, or never will; nothing to wait for then.
            let _ = ready.recv().await;
        }
        // Before the clusters' endpoints follow: who sees a new endpoint finds the kubeconfig that belongs to it.
        let clusters = world.clusters(None);
        move_kubeconfigs(&client, &reconciler.endpoint, &clusters).await;
        for key in clusters {
            queue.add(key);
        }
        close_planes_without_cluster(&options.server, &world).await;
        let mut running = JoinSet::new();
        for _ in 0..workers {
            running.spawn(reconciler.clone().work());
        }
        running.spawn(lost_machines::choose(client, world));
        running.spawn(workload::runner::run(options.server.clone(), clock));
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker of the simulator ended");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
    tasks.shutdown().await;
    Ok(())
}

fn endpoint(base_url: &str) -> Result<Endpoint, SimulatorError> {
    let wrong = || SimulatorError::BaseUrl(base_url.to_owned());
    let url: http::Uri = base_url.parse().map_err(|_| wrong())?;
    let host = url.host().ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_u16().unwrap_or(443);
    Ok(Endpoint { base_url: base_url.trim_end_matches('/').to_owned(), host, port })
}

/// Makes the kubeconfigs of all clusters lead to where the server listens now.
async fn move_kubeconfigs(client: &Client, endpoint: &Endpoint, clusters: &[ClusterKey]) {
    for key in clusters {
        let path = Kind::Secret.path(&key.namespace, Some(&format!("{}-kubeconfig", key.name)));
        let Ok(secret) = send(client, "GET", &path, None).await else { continue };
        let server = format!("{}/clusters/{}/{}", endpoint.base_url, key.namespace, key.name);
        let Some(data) = moved_kubeconfig(&secret, &server) else { continue };
        let patch = json!({"data": data});
        if let Err(error) = send(client, "PATCH", &path, Some(("application/merge-patch+json", &patch))).await {
            tracing::warn!(cluster = %key, %error, "failed to bring a kubeconfig to the new address");
        }
    }
}

async fn set_fault(client: &Client, fault: &FaultSpec) -> Result<(), SimulatorError> {
    let object = fault.object();
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let path = format!("{}?fieldManager={FAULT_MANAGER}&force=true", Kind::Fault.path("", Some(&name)));
    send(client, "PATCH", &path, Some(("application/apply-patch+yaml", &object)))
        .await
        .map(drop)
        .map_err(|source| SimulatorError::Fault { name, source: Box::new(source) })
}

/// Planes whose cluster was removed while the simulator was not running.
async fn close_planes_without_cluster(server: &Server, world: &World) {
    for plane in server.planes() {
        let name = plane.name().clone();
        let gone = name
            .0
            .split_once('/')
            .is_some_and(|(namespace, cluster)| world.get(Kind::Cluster, namespace, cluster).is_none());
        drop(plane);
        if gone && let Err(error) = server.delete_plane(&name).await {
            tracing::warn!(plane = %name, %error, "failed to delete the plane of a cluster that is gone");
        }
    }
}

async fn watch(kind: Kind, client: Client, world: Arc<World>, queue: Arc<Queue<ClusterKey>>, synced: mpsc::Sender<()>) {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(kind.group(), kind.version(), kind.name()),
        kind.plural(),
    );
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut config = watcher::Config::default().streaming_lists();
    if kind == Kind::Secret {
        config = config.labels(CLUSTER_NAME_LABEL);
    }
    let mut synced = Some(synced);
    let mut listed: BTreeSet<(String, String)> = BTreeSet::new();
    loop {
        let mut events = Box::pin(watcher(api.clone(), config.clone()));
        loop {
            match events.try_next().await {
                Ok(Some(event)) => match event {
                    Event::Init => listed.clear(),
                    Event::InitApply(object) => {
                        listed.insert((
                            object.metadata.namespace.clone().unwrap_or_default(),
                            object.metadata.name.clone().unwrap_or_default(),
                        ));
                        notify(world.put(kind, value(object)), &world, &queue);
                    }
                    Event::InitDone => {
                        for affected in world.retain(kind, &listed) {
                            notify(affected, &world, &queue);
                        }
                        listed.clear();
                        if let Some(synced) = synced.take() {
                            let _ = synced.send(()).await;
                        }
                    }
                    Event::Apply(object) => notify(world.put(kind, value(object)), &world, &queue),
                    Event::Delete(object) => notify(world.remove(kind, &Object::new(value(object))), &world, &queue),
                },
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%kind, %error, "a watch failed, trying again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }
}

fn value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn notify(affected: Affected, world: &World, queue: &Queue<ClusterKey>) {
    match affected {
        Affected::Nothing => {}
        Affected::Cluster(key) => queue.add(key),
        Affected::Namespace(namespace) => world.clusters(Some(&namespace)).into_iter().for_each(|key| queue.add(key)),
        Affected::All => world.clusters(None).into_iter().for_each(|key| queue.add(key)),
    }
}
