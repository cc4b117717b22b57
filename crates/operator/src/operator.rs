//! Wiring: watches, index, queue and workers, from start to shutdown.

use std::sync::Arc;
use std::time::Duration;

use kogge_api::{KubernetesCluster, ProviderProfile};
use kogge_stacks::StackCatalogue;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster_api::index::{ClusterKey, Index, InvalidDescription};
use crate::cluster_api::watch::{Patience, Readiness, follow, for_each, watched_kinds};
use crate::kubernetes_cluster::controller::{Context, work};
use crate::queue::WorkQueue;

/// What the operator needs.
#[derive(Clone)]
pub struct OperatorOptions {
    /// The API with the descriptions and with Cluster API's objects.
    pub client: Client,
    /// The stack releases clusters can be made from. Default: those in the binary.
    pub catalogue: StackCatalogue,
    /// How many clusters are worked on at the same time. Default 16.
    pub concurrency: usize,
    /// A cluster is worked on at most once in this time, and a change waits at most this long. Default 200 ms.
    pub interval: Duration,
}

impl OperatorOptions {
    /// Defaults for a client.
    pub fn new(client: Client) -> Self {
        Self { client, catalogue: StackCatalogue::default(), concurrency: 16, interval: Duration::from_millis(200) }
    }
}

/// The operator could not go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// A task of the operator ended that should not have.
    #[error("a task of the operator stopped: {0}")]
    TaskStopped(String),
}

/// Runs the operator until `shutdown`.
///
/// Kinds that are not installed yet are waited for: reconciling begins when all have been listed.
///
/// # Errors
/// When a task panics. Errors of the API are retried, never returned.
pub async fn run(options: OperatorOptions, shutdown: CancellationToken) -> Result<(), OperatorError> {
    let OperatorOptions { client, catalogue, concurrency, interval } = options;
    let index = Arc::new(Index::default());
    let queue = Arc::new(WorkQueue::new(interval));
    let kinds = watched_kinds(&catalogue);
    let readiness = Arc::new(Readiness::new(kinds.len() + 2));
    // Ends the other tasks when one fails.
    let stop = shutdown.child_token();
    let mut tasks = JoinSet::new();
    tasks.spawn(follow_descriptions(client.clone(), index.clone(), queue.clone(), readiness.clone(), stop.clone()));
    tasks.spawn(follow_profiles(client.clone(), index.clone(), queue.clone(), readiness.clone(), stop.clone()));
    for kind in kinds {
        tasks.spawn(follow(client.clone(), kind, index.clone(), queue.clone(), readiness.clone(), stop.clone()));
    }
    let context = Arc::new(Context::new(client, catalogue, index, queue.clone()));
    for _ in 0..concurrency.max(1) {
        let (context, queue, readiness, stop) = (context.clone(), queue.clone(), readiness.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = readiness.wait() => {}
            }
            loop {
                let key = tokio::select! {
                    () = stop.cancelled() => return,
                    key = queue.next() => key,
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = work(&context, &key) => {}
                }
                queue.done(&key);
            }
        });
    }
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            result = Err(OperatorError::TaskStopped(error.to_string()));
        } else if !shutdown.is_cancelled() && result.is_ok() {
            result = Err(OperatorError::TaskStopped("a watch or worker ended by itself".to_owned()));
        }
        stop.cancel();
    }
    if shutdown.is_cancelled() { Ok(()) } else { result }
}

async fn follow_descriptions(
    client: Client,
    index: Arc<Index>,
    queue: Arc<WorkQueue<ClusterKey>>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) {
    type Guarded = DeserializeGuard<KubernetesCluster>;
    let api: Api<Guarded> = Api::all(client);
    let mut seen: Vec<ClusterKey> = Vec::new();
    let mut has_listed = false;
    let key_of =
        |object: &Guarded| ClusterKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() };
    let put = |object: Guarded| {
        let key = key_of(&object);
        let description = object.0.map_err(|invalid| InvalidDescription {
            uid: invalid.metadata.uid.clone(),
            generation: invalid.metadata.generation,
            error: invalid.error,
        });
        let description = description.map(|mut cluster| {
            cluster.metadata.managed_fields = None;
            cluster
        });
        index.put_description(key.clone(), description);
        queue.add(key.clone());
        key
    };
    let events = watcher(api, watcher::Config::default()).backoff(Patience::default());
    for_each(events, "KubernetesCluster", stop, |event| match event {
        watcher::Event::Init => seen.clear(),
        watcher::Event::InitApply(object) => seen.push(put(object)),
        watcher::Event::InitDone => {
            seen.sort();
            for key in index.description_keys() {
                if seen.binary_search(&key).is_err() {
                    index.remove_description(&key);
                    queue.add(key);
                }
            }
            seen = Vec::new();
            if !std::mem::replace(&mut has_listed, true) {
                readiness.listed();
            }
        }
        watcher::Event::Apply(object) => {
            put(object);
        }
        watcher::Event::Delete(object) => {
            let key = key_of(&object);
            index.remove_description(&key);
            queue.add(key);
        }
    })
    .await;
}

async fn follow_profiles(
    client: Client,
    index: Arc<Index>,
    queue: Arc<WorkQueue<ClusterKey>>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) {
    type Guarded = DeserializeGuard<ProviderProfile>;
    let api: Api<Guarded> = Api::all(client);
    let mut has_listed = false;
    let wake = |name: &str| index.clusters_of_profile(name).into_iter().for_each(|key| queue.add(key));
    let put = |object: Guarded| {
        let name = object.name_any();
        match object.0 {
            Ok(mut profile) => {
                profile.metadata.managed_fields = None;
                index.put_profile(name.clone(), profile);
                wake(&name);
            }
            Err(error) => tracing::warn!(profile = name, %error, "the profile cannot be read"),
        }
    };
    let events = watcher(api, watcher::Config::default()).backoff(Patience::default());
    for_each(events, "ProviderProfile", stop, |event| match event {
        watcher::Event::Init => {}
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => put(object),
        watcher::Event::InitDone => {
            if !std::mem::replace(&mut has_listed, true) {
                readiness.listed();
            }
        }
        watcher::Event::Delete(object) => {
            let name = object.name_any();
            index.remove_profile(&name);
            wake(&name);
        }
    })
    .await;
}
