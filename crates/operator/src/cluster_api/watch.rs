//! Watches that feed the index and wake the clusters concerned.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt, pin_mut};
use kogge_api::contract;
use kogge_stacks::StackCatalogue;
use kube::api::ApiResource;
use kube::core::{DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::index::{ClusterKey, Index, Role};
use crate::queue::WorkQueue;

/// Counts watches that have not listed yet. Nothing is decided before all have: an object that is merely not known yet
/// looks like one that does not exist.
#[derive(Debug)]
pub struct Readiness {
    missing: AtomicUsize,
    changed: Notify,
}

impl Readiness {
    /// Waits for as many watches.
    pub fn new(watches: usize) -> Self {
        Self { missing: AtomicUsize::new(watches), changed: Notify::new() }
    }

    /// One watch has listed.
    pub fn listed(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.changed.notify_waiters();
        }
    }

    /// Returns once all watches have listed.
    pub async fn wait(&self) {
        loop {
            let changed = self.changed.notified();
            if self.missing.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// A kind to watch.
#[derive(Clone, Debug)]
pub struct WatchedKind {
    /// What part of the index it feeds.
    pub role: Role,
    /// The resource.
    pub resource: ApiResource,
}

/// The kinds of Cluster API, and of the infrastructure of the stacks.
pub fn watched_kinds(catalogue: &StackCatalogue) -> Vec<WatchedKind> {
    let kind = |role, group: &str, version: &str, kind: &str| WatchedKind {
        role,
        resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)),
    };
    let mut kinds = vec![
        kind(Role::ClusterClass, contract::GROUP, contract::VERSION, "ClusterClass"),
        kind(Role::Cluster, contract::GROUP, contract::VERSION, "Cluster"),
        kind(Role::ControlPlane, "controlplane.cluster.x-k8s.io", "v1beta2", "KubeadmControlPlane"),
        kind(Role::MachineDeployment, contract::GROUP, contract::VERSION, "MachineDeployment"),
        kind(Role::Machine, contract::GROUP, contract::VERSION, "Machine"),
    ];
    let mut infrastructure: Vec<_> = catalogue
        .releases()
        .iter()
        .flat_map(|release| release.machine_kinds().into_iter().chain([release.cluster_kind()]))
        .collect();
    infrastructure.sort();
    infrastructure.dedup();
    kinds.extend(infrastructure.iter().map(|it| kind(Role::Infrastructure, &it.group, &it.version, &it.kind)));
    kinds
}

/// Follows one kind until shut down.
pub async fn follow(
    client: Client,
    watched: WatchedKind,
    index: Arc<Index>,
    queue: Arc<WorkQueue<ClusterKey>>,
    readiness: Arc<Readiness>,
    shutdown: CancellationToken,
) {
    let api: Api<DynamicObject> = Api::all_with(client, &watched.resource);
    let (role, resource) = (watched.role, watched.resource);
    let mut seen: HashSet<(String, String)> = HashSet::new();
    let mut has_listed = false;
    let wake = |keys: Vec<ClusterKey>| keys.into_iter().for_each(|key| queue.add(key));
    let events = watcher(api, watcher::Config::default()).backoff(Patience::default());
    for_each(events, &resource.kind, shutdown, |event| match event {
        watcher::Event::Init => seen.clear(),
        watcher::Event::InitApply(object) => {
            let namespace = object.metadata.namespace.clone().unwrap_or_default();
            seen.insert((namespace, object.metadata.name.clone().unwrap_or_default()));
            wake(index.put(role, &resource.kind, &resource.api_version, object));
        }
        watcher::Event::InitDone => {
            wake(index.retain(role, &resource.kind, &seen));
            seen = HashSet::new();
            if !std::mem::replace(&mut has_listed, true) {
                readiness.listed();
            }
        }
        watcher::Event::Apply(object) => wake(index.put(role, &resource.kind, &resource.api_version, object)),
        watcher::Event::Delete(object) => wake(index.remove(role, &resource.kind, &object)),
    })
    .await;
}

/// Feeds events to a function until shut down, and logs what goes wrong on the way; the watch goes on by itself.
pub async fn for_each<K>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>>,
    kind: &str,
    shutdown: CancellationToken,
    mut handle: impl FnMut(watcher::Event<K>),
) {
    pin_mut!(events);
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => handle(event),
            Some(Err(error)) => tracing::warn!(kind, %error, "watch failed, trying again"),
            None => return,
        }
    }
}

/// How long a failed watch waits before it tries again: 0.2 s, doubling up to 10 s, so that kinds installed after the
/// operator are found soon.
#[derive(Debug, Default)]
pub struct Patience {
    failures: u32,
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = (self.failures + 1).min(7);
        Some(Duration::from_millis(100 << self.failures).min(Duration::from_secs(10)))
    }
}

impl kube::runtime::utils::Backoff for Patience {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
