//! The edge of the management side: loads a cluster, observes its plane, decides, and does what was decided.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures::{StreamExt, stream};
use http::Request;
use kogge_apiserver::{
    plane::{Plane, PlaneError, PlaneOptions},
    server::Server,
    store::PlaneName,
};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    control_plane::certificates::{KubeconfigInput, SecretError, secret_data, secret_text},
    decision::decide,
    kind::Kind,
    object::{CLUSTER_NAME_LABEL, Object},
    queue::Queue,
    state::{ClusterState, Context, Endpoint, PlaneObservation},
    workload::{
        drain,
        node::{NodeSpec, node_object, status, taints},
        system,
    },
    world::{ClusterKey, World},
    write::{PlaneWrite, SecretContent, Write},
};

const METRICS_SERVER_PATH: &str = "/apis/apps/v1/namespaces/kube-system/deployments/metrics-server";
const METRICS_SERVER_SERVICE_PATH: &str = "/api/v1/namespaces/kube-system/services/metrics-server";
const METRICS_API_SERVICE_PATH: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io";
/// Writes of one decision that are under way at the same time.
const PARALLEL_WRITES: usize = 32;
/// Decisions in a row for one cluster before others get their turn.
const ROUNDS: usize = 64;

/// Why a cluster could not be moved on; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("failed to write {kind} {name}: {source}")]
    Write { kind: Kind, name: String, source: Box<kube::Error> },
    #[error("failed to make the secret {name}: {source}")]
    Secret { name: String, source: SecretError },
    #[error("failed to open the plane: {0}")]
    Plane(#[from] PlaneError),
    #[error("failed to write to the plane: {0}")]
    Seed(String),
    #[error("failed to reach the plane: {0}")]
    Client(#[from] Box<kube::Error>),
    #[error("a request could not be built: {0}")]
    Request(#[from] http::Error),
    #[error("the plane is not there yet")]
    PlaneMissing,
}

/// All that reconciling needs. Shared by the workers.
pub(crate) struct Reconciler {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) endpoint: Endpoint,
    pub(crate) world: Arc<World>,
    pub(crate) queue: Arc<Queue<ClusterKey>>,
    /// On which planes metrics-server is installed, as far as it was asked.
    pub(crate) metrics_server: Mutex<BTreeMap<PlaneName, bool>>,
}

impl Reconciler {
    /// Works on clusters until cancelled.
    pub(crate) async fn work(self: Arc<Self>) {
        let mut failures: BTreeMap<ClusterKey, u32> = BTreeMap::new();
        loop {
            let key = self.queue.next().await;
            match self.reconcile(&key).await {
                Ok(()) => drop(failures.remove(&key)),
                Err(error) => {
                    let count = failures.entry(key.clone()).or_default();
                    *count = (*count + 1).min(8);
                    let delay = Duration::from_millis(20 << *count);
                    if *count > 2 {
                        tracing::warn!(cluster = %key, %error, "failed to reconcile, trying again");
                    } else {
                        tracing::debug!(cluster = %key, %error, "failed to reconcile, trying again");
                    }
                    self.queue.add_after(key.clone(), delay);
                }
            }
            self.queue.done(&key);
        }
    }

    async fn reconcile(&self, key: &ClusterKey) -> Result<(), ReconcileError> {
        let _visit = self.world.visit(key);
        let mut desired = None;
        for _ in 0..ROUNDS {
            let Some(mut state) = self.world.state(key) else {
                return self.close_orphaned_plane(key).await;
            };
            state.plane = self.observe(&state).await?;
            state.desired = desired;
            let faults = self.world.faults();
            let used = |target: &crate::fault::FaultTarget| self.world.instances(target);
            let now = self.clock.now();
            let context = Context { clock: &self.clock, now, faults: &faults, used: &used, endpoint: &self.endpoint };
            let decision = decide(&mut state, &context);
            desired = state.desired.take();
            if let Some(at) = decision.wake_at {
                let delay = at.duration_since(now);
                self.queue.add_after(key.clone(), delay.unsigned_abs().max(Duration::from_millis(1)));
            }
            if decision.is_quiet() {
                return Ok(());
            }
            for write in decision.plane {
                self.write_plane(&state, write).await?;
            }
            let namespace = key.namespace.as_str();
            let mut results = stream::iter(decision.writes)
                .map(|write| self.write(&state, namespace, write))
                .buffer_unordered(PARALLEL_WRITES);
            let mut failed = None;
            while let Some(result) = results.next().await {
                if let Err(error) = result {
                    failed = Some(error);
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        self.queue.add(key.clone());
        Ok(())
    }

    fn plane_name(key_namespace: &str, name: &str) -> PlaneName {
        PlaneName(format!("{key_namespace}/{name}"))
    }

    /// The plane of a cluster that is gone goes too, even if the simulator was not running then.
    async fn close_orphaned_plane(&self, key: &ClusterKey) -> Result<(), ReconcileError> {
        let name = Self::plane_name(&key.namespace, &key.name);
        locked(&self.metrics_server).remove(&name);
        if self.server.plane(&name).is_some() {
            self.server.delete_plane(&name).await?;
        }
        Ok(())
    }

    async fn observe(&self, state: &ClusterState) -> Result<PlaneObservation, ReconcileError> {
        let Some(plane) = self.server.plane(&Self::plane_name(state.namespace(), state.name())) else {
            return Ok(PlaneObservation::default());
        };
        let metrics_server = self.metrics_server_installed(&plane).await?;
        let mut observation = PlaneObservation { exists: true, metrics_server, pods: BTreeMap::new() };
        let draining: Vec<&str> = state
            .machines
            .iter()
            .filter(|it| it.deleting() && !it.text("/status/deletion/nodeDrainStartTime").is_empty())
            .filter(|it| !state.cluster.deleting() && state.stage(it).has_node())
            .map(Object::name)
            .collect();
        if !draining.is_empty() {
            observation.pods = drain::pods_on_nodes(&plane.client(), &draining).await.map_err(Box::new)?;
        }
        Ok(observation)
    }

    /// Asked of the plane once, then remembered: only this reconciler installs and removes add-ons.
    async fn metrics_server_installed(&self, plane: &Plane) -> Result<bool, ReconcileError> {
        if let Some(installed) = locked(&self.metrics_server).get(plane.name()) {
            return Ok(*installed);
        }
        let found = send(&plane.client(), "GET", METRICS_SERVER_PATH, None).await;
        let installed = match found {
            Ok(_) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(Box::new(error).into()),
        };
        locked(&self.metrics_server).insert(plane.name().clone(), installed);
        Ok(installed)
    }

    async fn change_metrics_server(
        &self,
        state: &ClusterState,
        plane: &Plane,
        installed: bool,
    ) -> Result<(), ReconcileError> {
        if installed {
            let version = plane.kubernetes_version();
            let objects = system::metrics_server(&self.facts(state, plane.name(), &version));
            plane.apply_all(objects).await.map_err(|error| ReconcileError::Seed(error.to_string()))?;
        } else {
            let client = plane.client();
            let options = json!({"propagationPolicy": "Background"});
            for path in [METRICS_API_SERVICE_PATH, METRICS_SERVER_SERVICE_PATH, METRICS_SERVER_PATH] {
                match send(&client, "DELETE", path, Some(("application/json", &options))).await {
                    Err(error) if !is_missing(&error) => return Err(Box::new(error).into()),
                    _ => {}
                }
            }
        }
        locked(&self.metrics_server).insert(plane.name().clone(), installed);
        Ok(())
    }

    async fn write_plane(&self, state: &ClusterState, write: PlaneWrite) -> Result<(), ReconcileError> {
        let name = Self::plane_name(state.namespace(), state.name());
        let plane = || self.server.plane(&name).ok_or(ReconcileError::PlaneMissing);
        match write {
            PlaneWrite::Open { version } => self.open_plane(state, &name, version).await?,
            PlaneWrite::Nodes(nodes) => {
                let plane = plane()?;
                let now = self.clock.now();
                let mut objects = Vec::new();
                for node in &nodes {
                    objects.push(node_object(node, now));
                    if node.control_plane {
                        objects.extend(system::static_pods(node));
                    }
                }
                let expected = objects.len();
                let created =
                    plane.apply_all(objects).await.map_err(|error| ReconcileError::Seed(error.to_string()))?;
                if created < expected {
                    for node in &nodes {
                        self.update_node(&plane.client(), node).await?;
                    }
                }
            }
            PlaneWrite::UpdateNode(node) => self.update_node(&plane()?.client(), &node).await?,
            PlaneWrite::Cordon(node) => drain::cordon(&plane()?.client(), &node).await.map_err(Box::new)?,
            PlaneWrite::Evict { namespace, name } => {
                drain::evict(&plane()?.client(), &namespace, &name).await.map_err(Box::new)?;
            }
            PlaneWrite::RemoveNode(node) => drain::remove_node(&plane()?.client(), &node).await.map_err(Box::new)?,
            PlaneWrite::MetricsServer { installed } => {
                self.change_metrics_server(state, &plane()?, installed).await?;
            }
            PlaneWrite::Close => {
                locked(&self.metrics_server).remove(&name);
                if self.server.plane(&name).is_some() {
                    self.server.delete_plane(&name).await?;
                }
            }
        }
        Ok(())
    }

    async fn open_plane(&self, state: &ClusterState, name: &PlaneName, version: String) -> Result<(), ReconcileError> {
        let authority = self.read_authority(state).await?;
        let client_ca_pem = secret_text(&authority, "tls.crt");
        let client_ca_key_pem = secret_text(&authority, "tls.key");
        let facts = self.facts(state, name, &version);
        let service_network = Some(facts.service_network.clone());
        let options =
            PlaneOptions { kubernetes_version: version.clone(), client_ca_pem, client_ca_key_pem, service_network };
        let plane = self.server.create_plane(name, options).await?;
        plane.apply_all(system::objects(&facts)).await.map_err(|error| ReconcileError::Seed(error.to_string()))?;
        Ok(())
    }

    fn facts(&self, state: &ClusterState, plane: &PlaneName, version: &str) -> system::ClusterFacts {
        let server = format!("{}/clusters/{plane}", self.endpoint.base_url);
        system::ClusterFacts::of(state, version, &server, &self.server.certificate_authority_pem())
    }

    async fn read_authority(&self, state: &ClusterState) -> Result<Value, ReconcileError> {
        let name = format!("{}-ca", state.name());
        let request = Request::get(Kind::Secret.path(state.namespace(), Some(&name))).body(Vec::new())?;
        self.client.request(request).await.map_err(|source| ReconcileError::Write {
            kind: Kind::Secret,
            name,
            source: Box::new(source),
        })
    }

    async fn update_node(&self, client: &Client, node: &NodeSpec) -> Result<(), ReconcileError> {
        let full = node_object(node, self.clock.now());
        let patch = json!({
            "metadata": {"labels": full["metadata"]["labels"]},
            "spec": {"taints": taints(node)},
        });
        let path = format!("/api/v1/nodes/{}", node.name);
        let found = send(client, "PATCH", &path, Some(("application/merge-patch+json", &patch))).await;
        if found.as_ref().is_err_and(is_missing) {
            return Ok(());
        }
        found.map_err(Box::new)?;
        let patch = json!({"status": status(node, self.clock.now())});
        let path = format!("{path}/status");
        send(client, "PATCH", &path, Some(("application/merge-patch+json", &patch))).await.map_err(Box::new)?;
        Ok(())
    }

    async fn write(&self, state: &ClusterState, namespace: &str, write: Write) -> Result<(), ReconcileError> {
        let (kind, name, result) = match write {
            Write::Apply { kind, manager, body } => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let path = format!("{}?fieldManager={manager}&force=true", kind.path(namespace, Some(&name)));
                (kind, name, send(&self.client, "PATCH", &path, Some(("application/apply-patch+yaml", &body))).await)
            }
            Write::Patch { kind, namespace, name, status, body } => {
                let mut path = kind.path(&namespace, Some(&name));
                if status {
                    path.push_str("/status");
                }
                (kind, name, send(&self.client, "PATCH", &path, Some(("application/merge-patch+json", &body))).await)
            }
            Write::Delete { kind, namespace, name, uid } => {
                let options = json!({"propagationPolicy": "Background", "preconditions": {"uid": uid}});
                let path = kind.path(&namespace, Some(&name));
                let result = send(&self.client, "DELETE", &path, Some(("application/json", &options))).await;
                if result.as_ref().is_ok_and(|answer| answer["kind"] == "Status") {
                    self.world.forget(kind, &namespace, &name);
                    return Ok(());
                }
                (kind, name, result)
            }
            Write::Secret { name, content, owner } => {
                let result = self.create_secret(state, &name, &content, owner).await?;
                (Kind::Secret, name, result)
            }
        };
        match result {
            Ok(object) => {
                self.world.put(kind, object);
                Ok(())
            }
            Err(error) if is_missing(&error) => {
                self.world.forget(kind, namespace, &name);
                Ok(())
            }
            Err(source) => Err(ReconcileError::Write { kind, name, source: Box::new(source) }),
        }
    }

    async fn create_secret(
        &self,
        state: &ClusterState,
        name: &str,
        content: &SecretContent,
        owner: Value,
    ) -> Result<Result<Value, kube::Error>, ReconcileError> {
        let authority = match content {
            SecretContent::Kubeconfig => Some(self.read_authority(state).await?),
            _ => None,
        };
        let server = format!("{}/clusters/{}/{}", self.endpoint.base_url, state.namespace(), state.name());
        let server_authority = self.server.certificate_authority_pem();
        let input = authority.as_ref().map(|authority| KubeconfigInput {
            cluster: state.name(),
            server: &server,
            server_authority: &server_authority,
            authority,
        });
        let data = secret_data(content, input.as_ref(), SystemTime::now())
            .map_err(|source| ReconcileError::Secret { name: name.to_owned(), source })?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "cluster.x-k8s.io/secret",
            "metadata": {
                "name": name, "namespace": state.namespace(), "labels": {CLUSTER_NAME_LABEL: state.name()},
                "ownerReferences": [owner],
            },
            "data": data,
        });
        let path = Kind::Secret.path(state.namespace(), None);
        let created = send(&self.client, "POST", &path, Some(("application/json", &secret))).await;
        if matches!(&created, Err(kube::Error::Api(status)) if status.code == 409) {
            // Somebody's own authority (a custom CA, or what an earlier run made) is kept.
            let path = Kind::Secret.path(state.namespace(), Some(name));
            return Ok(send(&self.client, "GET", &path, None).await);
        }
        Ok(created)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each value is whole at any time, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a request and reads its JSON answer.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    path: &str,
    body: Option<(&str, &Value)>,
) -> Result<Value, kube::Error> {
    let mut request = Request::builder().method(method).uri(path);
    let mut bytes = Vec::new();
    if let Some((media_type, body)) = body {
        request = request.header(http::header::CONTENT_TYPE, media_type);
        bytes = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
    }
    client.request(request.body(bytes).map_err(kube::Error::HttpError)?).await
}

/// Whether an error says that the object is not there.
pub(crate) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
