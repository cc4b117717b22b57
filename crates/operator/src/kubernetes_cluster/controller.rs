//! The driver: one run for one cluster, step by step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{Timestamp, TimestampRound, Unit};
use k8s_openapi::api::core::v1::Secret;
use kogge_api::contract;
use kogge_api::kubernetes_cluster::KubernetesClusterStatus;
use kogge_api::plan::{Action, Effect, Plan};
use kogge_api::problem::ProblemCode;
use kogge_api::{CLUSTER_FINALIZER, FIELD_MANAGER, KubernetesCluster};
use kogge_stacks::{ClusterPlanInput, StackCatalogue, plan};
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client, Resource};
use serde_json::json;

use super::apply::{ApplyError, apply};
use super::problem::{Finding, findings};
use super::status::{SETTLING_TIME, StatusInput, is_settled, status};
use super::{events, validate};
use crate::cluster_api::index::{ClusterKey, Index, Role, Snapshot};
use crate::queue::WorkQueue;

/// How often a cluster is looked at although nothing happens: maintenance windows open, operations stall.
const RESYNC: Duration = Duration::from_mins(5);
/// How often a cluster is looked at that is not as it should be: what does not happen wakes nobody.
const ATTENTION: Duration = Duration::from_secs(5);
/// How long a failed run waits before the next, doubled up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// A run failed; it is repeated.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The finalizer could not be put on or taken off.
    #[error("failed to change the finalizer: {0}")]
    ChangeFinalizer(#[source] Box<kube::Error>),
    /// It could not be made sure that the Cluster is gone.
    #[error("failed to look for the Cluster: {0}")]
    LookForCluster(#[source] Box<kube::Error>),
    /// The plan could not be executed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The status could not be written.
    #[error("failed to write the status: {0}")]
    WriteStatus(#[source] Box<kube::Error>),
}

/// What runs share.
pub struct Context {
    client: Client,
    catalogue: StackCatalogue,
    index: Arc<Index>,
    queue: Arc<WorkQueue<ClusterKey>>,
    recorder: Recorder,
    memory: Mutex<HashMap<ClusterKey, Memory>>,
}

/// What is remembered of a cluster between runs; losing it costs a moment, never correctness.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    settled_since: Option<Timestamp>,
    failures: u32,
}

impl Context {
    /// A context for a client.
    pub fn new(
        client: Client,
        catalogue: StackCatalogue,
        index: Arc<Index>,
        queue: Arc<WorkQueue<ClusterKey>>,
    ) -> Self {
        let reporter = Reporter { controller: "kogge".to_owned(), instance: None };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, catalogue, index, queue, recorder, memory: Mutex::new(HashMap::new()) }
    }

    fn memory(&self, key: &ClusterKey, change: impl FnOnce(&mut Memory)) -> Memory {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = memory.entry(key.clone()).or_default();
        change(entry);
        *entry
    }

    fn forget(&self, key: &ClusterKey) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.queue.forget(key);
    }
}

/// Works on one cluster and asks for the next run.
pub async fn work(context: &Context, key: &ClusterKey) {
    match reconcile(context, key).await {
        Ok(next) => {
            context.memory(key, |memory| memory.failures = 0);
            match next {
                Next::After(delay) => context.queue.add_after(key.clone(), delay),
                Next::Gone => context.forget(key),
            }
        }
        Err(error) => {
            let memory = context.memory(key, |memory| memory.failures = (memory.failures + 1).min(16));
            let delay = (FIRST_RETRY * 2_u32.pow(memory.failures - 1)).min(LONGEST_RETRY);
            tracing::warn!(cluster = %key, %error, ?delay, "reconciliation failed, trying again");
            context.queue.add_after(key.clone(), delay);
        }
    }
}

/// When to look again.
enum Next {
    After(Duration),
    Gone,
}

async fn reconcile(context: &Context, key: &ClusterKey) -> Result<Next, ReconcileError> {
    let now = Timestamp::now();
    let now = now.round(TimestampRound::new().smallest(Unit::Millisecond)).unwrap_or(now);
    let snapshot = context.index.snapshot(key);
    let Some(description) = snapshot.description.clone() else { return Ok(Next::Gone) };
    let cluster = match description.as_ref() {
        Ok(cluster) => cluster,
        Err(invalid) => {
            // Waits for a change: nobody can act on a description that cannot be read.
            tracing::warn!(cluster = %key, error = invalid.error, "the stored description cannot be read");
            return Ok(Next::After(RESYNC));
        }
    };
    if cluster.metadata.deletion_timestamp.is_none() && !has_finalizer(cluster) {
        let stored = set_finalizer(context, cluster, true).await?;
        context.index.put_description(key.clone(), Ok(stored));
        context.queue.add(key.clone());
        return Ok(Next::After(RESYNC));
    }
    let prepared = prepare(context, key, cluster, &snapshot, now);
    let is_deleting = cluster.metadata.deletion_timestamp.is_some();
    if is_deleting && !has_finalizer(cluster) {
        return Ok(Next::After(RESYNC));
    }
    let (applied, failure) = execute(context, &prepared.plan).await;
    let gone = is_deleting && failure.is_none() && snapshot.objects.cluster.is_none();
    if gone && is_really_gone(context, key).await? {
        let mut last = cluster.clone();
        last.status = None;
        set_finalizer(context, &last, false).await?;
        return Ok(Next::Gone);
    }
    let mut found = prepared.findings;
    found.extend(failure.as_ref().and_then(|failure| refused_by_backend(cluster, failure)));
    let mut input = StatusInput {
        cluster,
        objects: &snapshot.objects,
        plan: &prepared.plan,
        profile: snapshot.profile.as_deref(),
        executed: applied && concerns_cluster(&prepared.plan),
        findings: &found,
        refusals: &prepared.refusals,
        settled_since: None,
        now,
    };
    let agrees = is_settled(&input);
    let memory = context.memory(key, |memory| {
        memory.settled_since = if agrees { memory.settled_since.or(Some(now)) } else { None };
    });
    input.settled_since = memory.settled_since;
    let mut next = status(&input);
    complete_endpoint(context, cluster, &mut next).await;
    write_status(context, key, cluster, next, applied.then_some(&prepared.plan)).await?;
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    Ok(Next::After(delay(&prepared.plan, memory.settled_since, now)))
}

struct Prepared {
    plan: Plan,
    findings: Vec<Finding>,
    refusals: Vec<Finding>,
}

/// Validates and plans (no client required).
fn prepare(
    context: &Context,
    key: &ClusterKey,
    cluster: &KubernetesCluster,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Prepared {
    let is_deleting = cluster.metadata.deletion_timestamp.is_some();
    let exists = snapshot.objects.cluster.is_some();
    let profile = snapshot.profile.as_deref();
    let mut refusals = if is_deleting {
        Vec::new()
    } else {
        validate::refusals(cluster, profile, &snapshot.profile_names, exists, now)
    };
    let default = kogge_api::provider_profile::ProviderProfileSpec::default();
    let mut plan_of_run = Plan {
        cluster: cluster.metadata.name.clone().unwrap_or_default(),
        namespace: cluster.metadata.namespace.clone().unwrap_or_default(),
        ..Plan::default()
    };
    if refusals.is_empty() {
        let mut observed = snapshot.observed();
        let profile = profile.map_or(&default, |profile| &profile.spec);
        let catalogue = &context.catalogue;
        plan_of_run = plan(&ClusterPlanInput { cluster, profile, catalogue, observed: &observed, now });
        // Looking for classes nobody uses goes through all clusters, so only who has nothing else to do looks.
        let kept = usize::from(!is_deleting);
        if plan_of_run.is_empty() && snapshot.classes.len() > kept {
            observed.unused_classes = context.index.unused_classes(key);
            plan_of_run = plan(&ClusterPlanInput { cluster, profile, catalogue, observed: &observed, now });
        }
        for step in &plan_of_run.steps {
            if let Effect::Refused { code, reason } = &step.effect {
                refusals.push(validate::finding(cluster, *code, reason.clone()));
            }
        }
    }
    Prepared { plan: plan_of_run, findings: findings(&snapshot.objects, is_deleting, now), refusals }
}

/// Executes the plan. Tells whether something was written, and what went wrong.
async fn execute(context: &Context, plan: &Plan) -> (bool, Option<ApplyError>) {
    if plan.writes.is_empty() {
        return (false, None);
    }
    match apply(&context.client, plan).await {
        Ok(stored) => {
            for object in stored {
                learn(context, object);
            }
            (true, None)
        }
        Err(error) => (false, Some(error)),
    }
}

/// Takes what was just stored into the index, so that the next run need not wait for the watch.
fn learn(context: &Context, object: DynamicObject) {
    let Some(types) = object.types.clone() else { return };
    let role = match types.kind.as_str() {
        "Cluster" => Role::Cluster,
        "ClusterClass" => Role::ClusterClass,
        _ => return,
    };
    context.index.put(role, &types.kind, &types.api_version, object);
}

/// The problem behind a failed write, if it is one a person can do something about.
fn refused_by_backend(cluster: &KubernetesCluster, failure: &ApplyError) -> Option<Finding> {
    let message = failure.to_string();
    let code = match failure.source() {
        // A conflict or a namespace that goes away passes by itself.
        kube::Error::Api(status) if status.code == 409 => return None,
        kube::Error::Api(status) if status.code == 404 => ProblemCode::BackendUnavailable,
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            ProblemCode::BackendRefused
        }
        _ => ProblemCode::BackendUnavailable,
    };
    Some(validate::finding(cluster, code, message))
}

/// Whether a plan does something to the cluster, and not only tidies up around it.
fn concerns_cluster(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.action != Action::RetireStack)
}

/// When to look again without being woken.
fn delay(plan: &Plan, settled_since: Option<Timestamp>, now: Timestamp) -> Duration {
    if let Some(since) = settled_since
        && let Ok(left) = Duration::try_from(SETTLING_TIME - now.duration_since(since))
        && !left.is_zero()
    {
        return left;
    }
    let opens = plan.steps.iter().filter_map(|step| match &step.effect {
        Effect::Deferred { until } => until.parse::<Timestamp>().ok(),
        _ => None,
    });
    let wait = opens.min().and_then(|opens| Duration::try_from(opens.duration_since(now)).ok());
    let longest = if settled_since.is_some() { RESYNC } else { ATTENTION };
    wait.map_or(longest, |wait| wait.min(longest))
}

fn has_finalizer(cluster: &KubernetesCluster) -> bool {
    cluster.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == CLUSTER_FINALIZER)
}

fn api(context: &Context, cluster: &KubernetesCluster) -> Api<KubernetesCluster> {
    Api::namespaced(context.client.clone(), cluster.metadata.namespace.as_deref().unwrap_or_default())
}

/// Puts the finalizer on or takes it off. The resource version makes sure that nobody else's is lost.
async fn set_finalizer(
    context: &Context,
    cluster: &KubernetesCluster,
    present: bool,
) -> Result<KubernetesCluster, ReconcileError> {
    let mut finalizers = cluster.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != CLUSTER_FINALIZER);
    if present {
        finalizers.push(CLUSTER_FINALIZER.to_owned());
    }
    let patch = json!({"metadata": {
        "finalizers": finalizers,
        "resourceVersion": cluster.metadata.resource_version,
        "uid": cluster.metadata.uid,
    }});
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api(context, cluster).patch(name, &parameters, &Patch::Merge(&patch)).await {
        Ok(stored) => Ok(stored),
        Err(kube::Error::Api(status)) if status.code == 404 && !present => Ok(cluster.clone()),
        Err(error) => Err(ReconcileError::ChangeFinalizer(Box::new(error))),
    }
}

/// Asks the API itself: the index may not have heard of a Cluster that was made a moment ago.
async fn is_really_gone(context: &Context, key: &ClusterKey) -> Result<bool, ReconcileError> {
    let kind = kube::core::GroupVersionKind::gvk(contract::GROUP, contract::VERSION, "Cluster");
    let resource = kube::api::ApiResource::from_gvk(&kind);
    let clusters: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &key.namespace, &resource);
    let found = clusters.get_opt(&key.name).await.map_err(|error| ReconcileError::LookForCluster(Box::new(error)))?;
    match found {
        None => Ok(true),
        Some(object) => {
            context.index.put(Role::Cluster, "Cluster", contract::API_VERSION, object);
            context.queue.add(key.clone());
            Ok(false)
        }
    }
}

/// Where several clusters share a listener, host and port are not the whole address; the kubeconfig has it.
async fn complete_endpoint(context: &Context, cluster: &KubernetesCluster, next: &mut KubernetesClusterStatus) {
    let known =
        cluster.status.as_ref().and_then(|status| status.api_server.as_ref()).and_then(|known| known.endpoint.clone());
    let Some(endpoint) = next.api_server.as_mut().and_then(|server| server.endpoint.as_mut()) else { return };
    let had_kubeconfig = cluster.status.as_ref().is_some_and(|status| status.kubeconfig_secret_ref.is_some());
    if let Some(known) = known.filter(|known| had_kubeconfig && known.starts_with(endpoint.as_str())) {
        *endpoint = known;
        return;
    }
    let Some(reference) = &next.kubeconfig_secret_ref else { return };
    let namespace = cluster.metadata.namespace.as_deref().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    match secrets.get_opt(&reference.name).await {
        Ok(Some(secret)) => {
            let kubeconfig = secret.data.as_ref().and_then(|data| data.get("value"));
            let text = kubeconfig.map(|value| String::from_utf8_lossy(&value.0).into_owned()).unwrap_or_default();
            if let Some(server) = server_of(&text) {
                *endpoint = server;
            }
        }
        // Asked again when the kubeconfig is there.
        Ok(None) => next.kubeconfig_secret_ref = None,
        Err(error) => {
            tracing::debug!(%error, "the kubeconfig could not be read");
            next.kubeconfig_secret_ref = None;
        }
    }
}

/// The first server of a kubeconfig, YAML or JSON.
fn server_of(kubeconfig: &str) -> Option<String> {
    let (_, rest) = kubeconfig.split_once("server")?;
    let from = rest.find("http")?;
    let address: String = rest[from..]
        .chars()
        .take_while(|character| !character.is_whitespace() && !"\"',}".contains(*character))
        .collect();
    Some(address)
}

/// Writes the status if it says something new, and tells about it in events.
async fn write_status(
    context: &Context,
    key: &ClusterKey,
    cluster: &KubernetesCluster,
    next: KubernetesClusterStatus,
    executed: Option<&Plan>,
) -> Result<(), ReconcileError> {
    let events = events::of_change(cluster.status.as_ref(), &next, executed);
    if cluster.status.as_ref() != Some(&next) {
        let patch = json!([{"op": "add", "path": "/status", "value": next}]);
        let operations = serde_json::from_value(patch).unwrap_or_default();
        let patch: Patch<KubernetesCluster> = Patch::Json(operations);
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match api(context, cluster).patch_status(name, &parameters, &patch).await {
            Ok(stored) => context.index.put_description(key.clone(), Ok(stored)),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(ReconcileError::WriteStatus(Box::new(error))),
        }
    }
    if cluster.metadata.deletion_timestamp.is_none() || executed.is_some_and(has_deletion) {
        let reference = cluster.object_ref(&());
        for event in events {
            if let Err(error) = context.recorder.publish(&event, &reference).await {
                tracing::debug!(%error, "an event could not be published");
            }
        }
    }
    Ok(())
}

fn has_deletion(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.action == Action::DeleteCluster)
}

#[cfg(test)]
mod tests {
    use super::server_of;

    #[test]
    fn the_server_is_found_in_both_spellings_of_a_kubeconfig() {
        let yaml = "clusters:\n- cluster:\n    server: https://127.0.0.1:7443/clusters/a/b\n  name: b\n";
        let json = "{\"clusters\":[{\"cluster\":{\"server\":\"https://10.0.0.1:6443\"},\"name\":\"b\"}]}";
        assert_eq!(server_of(yaml).as_deref(), Some("https://127.0.0.1:7443/clusters/a/b"));
        assert_eq!(server_of(json).as_deref(), Some("https://10.0.0.1:6443"));
    }
}
