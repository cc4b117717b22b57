//! The status: what is true of a cluster, from the description, the observed objects, the plan and what was found wrong.
//! Pure; time is an argument.
//!
//! Two promises shape it: never `Ready` when it is not (every count, version and condition must agree, and have agreed
//! for a moment), and never in progress for ever (what does not move becomes a problem).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kogge_api::kubernetes_cluster::{
    ApiServerStatus, ControlPlaneStatus, KubernetesClusterStatus, KubernetesStatus, LocalReference, OperationState,
    Phase, PlanSummary, StackStatus, WorkerPoolStatus,
};
use kogge_api::plan::{Action, Effect, Plan, Step};
use kogge_api::problem::ProblemCode;
use kogge_api::{KubernetesCluster, ProviderProfile};
use kogge_stacks::render::POOL_LABEL;
use serde_json::Value;

use super::problem::{Finding, no_progress, problems, still_not_booting};
use crate::cluster_api::index::ClusterObjects;
use crate::cluster_api::object::{MachineGroup, Replicas, condition, is_true};

mod conditions;
mod operation;
#[cfg(test)]
mod tests;

/// How long everything must agree before a cluster is called `Ready`. Objects of different kinds arrive by different
/// watches; for a moment a new make can look finished because the machines' news is still on its way.
pub const SETTLING_TIME: SignedDuration = SignedDuration::from_millis(250);

/// What a status is made from.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The description with its last status.
    pub cluster: &'a KubernetesCluster,
    /// What there is in Cluster API.
    pub objects: &'a ClusterObjects,
    /// The plan of this run, executed or not.
    pub plan: &'a Plan,
    /// The profile, if there is one.
    pub profile: Option<&'a ProviderProfile>,
    /// Whether the plan's writes have just been made.
    pub executed: bool,
    /// What is wrong with the objects.
    pub findings: &'a [Finding],
    /// What forbids to carry out the description.
    pub refusals: &'a [Finding],
    /// Since when everything agrees without a break.
    pub settled_since: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// Whether everything agrees with the description: the precondition of `Ready`.
pub fn is_settled(input: &StatusInput<'_>) -> bool {
    let objects = input.objects;
    let Some(cluster) = objects.cluster.as_deref() else { return false };
    let is_work = |step: &Step| step.action != Action::RetireStack && !matches!(step.effect, Effect::Deferred { .. });
    let has_work = input.executed || input.plan.steps.iter().any(is_work);
    if has_work || !input.refusals.is_empty() || input.cluster.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let generation = cluster["metadata"]["generation"].as_i64();
    let found = conditions_of(cluster);
    let topology = condition(&found, "TopologyReconciled");
    let is_current = topology.is_some_and(|topology| {
        topology.status == "True" && topology.observed_generation.is_none_or(|observed| Some(observed) >= generation)
    });
    let is_quiet =
        ["RollingOut", "ScalingUp", "ScalingDown", "Remediating", "Deleting"].iter().all(|name| !is_true(&found, name));
    let version = cluster.pointer("/spec/topology/version").and_then(Value::as_str);
    let agrees = |group: &MachineGroup, desired: Option<u32>| {
        let replicas = &group.replicas;
        group.is_current
            && group.version.as_deref() == version
            && desired.is_none_or(|desired| replicas.desired == desired)
            && [replicas.existing, replicas.ready, replicas.up_to_date, replicas.available]
                .iter()
                .all(|count| *count == replicas.desired)
    };
    let wanted = topology_replicas(cluster);
    let control_plane = cluster.pointer("/spec/topology/controlPlane/replicas").and_then(Value::as_u64);
    let control_plane = control_plane.and_then(|count| u32::try_from(count).ok());
    let groups = &objects.machine_deployments;
    is_current
        && is_quiet
        && is_true(&found, "Available")
        && objects.control_plane.as_ref().is_some_and(|group| agrees(group, control_plane))
        && groups.len() == wanted.len()
        && groups.values().all(|group| wanted.get(&group.topology_name).is_some_and(|desired| agrees(group, *desired)))
        && objects.machines.values().all(|machine| machine.deleted_at.is_none())
}

/// Computes the status.
pub fn status(input: &StatusInput<'_>) -> KubernetesClusterStatus {
    let previous = input.cluster.status.clone().unwrap_or_default();
    let is_deleting = input.cluster.metadata.deletion_timestamp.is_some();
    let agrees = is_settled(input);
    let held = input.settled_since.map(|since| input.now.duration_since(since));
    let settled = agrees && (previous.phase == Some(Phase::Ready) || held.is_some_and(|held| held >= SETTLING_TIME));

    let mut wrong: Vec<Finding> = input.refusals.iter().chain(input.findings).cloned().collect();
    if !settled && !wrong.iter().any(|finding| finding.code == ProblemCode::MachineNotBooting) {
        wrong.extend(still_not_booting(input.objects, &previous.problems));
    }
    let operation = operation::next(input, &previous, settled);
    if let Some(running) = &operation
        && running.state == OperationState::Running
        && wrong.is_empty()
        && let Some(started) = running.started_at
    {
        let name = input.cluster.metadata.name.as_deref().unwrap_or_default();
        wrong.extend(no_progress(input.objects, name, started, input.now));
    }
    if !settled && wrong.is_empty() && !is_deleting {
        wrong.extend(missing_machines(input, operation.as_ref()));
    }
    let problems = problems(&wrong, &previous.problems, input.now);
    let is_blocked =
        wrong.iter().any(|finding| finding.code.definition().severity == kogge_api::problem::Severity::Error);
    let operation = operation.map(|mut operation| {
        if operation.state == OperationState::Running && is_blocked {
            operation.state = OperationState::Blocked;
        }
        operation
    });

    let control_plane = control_plane(input);
    let workers = workers(input);
    let (ready, desired) =
        workers.iter().fold((0, 0), |(ready, desired), pool| (ready + pool.ready, desired + pool.desired));
    let phase = phase(input, &previous, settled, is_blocked);
    let mut status = KubernetesClusterStatus {
        observed_generation: input.cluster.metadata.generation,
        phase: Some(phase),
        workers_summary: (!workers.is_empty()).then(|| format!("{ready}/{desired}")),
        kubernetes: Some(kubernetes(input, &control_plane, &previous)),
        api_server: api_server(input),
        kubeconfig_secret_ref: kubeconfig(input),
        stack: stack(input),
        plan: plan_summary(input, &previous, settled),
        control_plane: Some(control_plane),
        conditions: Vec::new(),
        workers,
        problems,
        operation,
    };
    status.conditions = conditions::all(input, &previous, &status, settled);
    status
}

fn phase(input: &StatusInput<'_>, previous: &KubernetesClusterStatus, settled: bool, is_blocked: bool) -> Phase {
    let exists = input.objects.cluster.is_some();
    let has_been_ready = was_made(previous);
    if input.cluster.metadata.deletion_timestamp.is_some() {
        Phase::Deleting
    } else if !input.refusals.is_empty() && !exists {
        Phase::Failed
    } else if input.cluster.spec.paused {
        Phase::Paused
    } else if settled {
        if is_blocked { Phase::Degraded } else { Phase::Ready }
    } else if !has_been_ready {
        if exists || input.executed { Phase::Provisioning } else { Phase::Pending }
    } else if is_blocked || !is_changing(input, previous) {
        // The grace in which agreement must hold is no change of its own.
        if previous.phase == Some(Phase::Updating) && !is_blocked { Phase::Updating } else { Phase::Degraded }
    } else {
        Phase::Updating
    }
}

/// Whether the cluster has been made once: its creation succeeded, however it fared later.
fn was_made(previous: &KubernetesClusterStatus) -> bool {
    use kogge_api::kubernetes_cluster::OperationType;
    previous.operation.as_ref().is_some_and(|operation| {
        operation.operation_type != OperationType::Create || operation.state == OperationState::Succeeded
    })
}

fn is_changing(input: &StatusInput<'_>, previous: &KubernetesClusterStatus) -> bool {
    input.executed || previous.operation.as_ref().is_some_and(|operation| operation.finished_at.is_none())
}

/// Machines are missing although nothing is being changed and nothing says why.
fn missing_machines(
    input: &StatusInput<'_>,
    operation: Option<&kogge_api::kubernetes_cluster::Operation>,
) -> Option<Finding> {
    use kogge_api::kubernetes_cluster::OperationType;
    if !operation.is_some_and(|operation| operation.operation_type == OperationType::Heal) {
        return None;
    }
    let workers = workers(input);
    let (ready, desired) =
        workers.iter().fold((0, 0), |(ready, desired), pool| (ready + pool.ready, desired + pool.desired));
    let finding = |code, message| Some(super::validate::finding(input.cluster, code, message));
    let control_plane = control_plane(input);
    if control_plane.ready < control_plane.desired {
        let message = format!("{} of {} control plane machines are ready", control_plane.ready, control_plane.desired);
        finding(ProblemCode::ControlPlaneUnavailable, message)
    } else if ready < desired {
        finding(ProblemCode::WorkersUnavailable, format!("{ready} of {desired} worker machines are ready"))
    } else {
        None
    }
}

fn control_plane(input: &StatusInput<'_>) -> ControlPlaneStatus {
    let cluster = input.objects.cluster.as_deref();
    let wanted =
        cluster.and_then(|cluster| cluster.pointer("/spec/topology/controlPlane/replicas")).and_then(Value::as_u64);
    let desired = wanted.and_then(|count| u32::try_from(count).ok()).unwrap_or(input.cluster.spec.control_plane.count);
    let replicas = input.objects.control_plane.as_ref().map(|group| group.replicas.clone()).unwrap_or_default();
    let machines = input.objects.machines.values().filter(|machine| machine.is_control_plane);
    let versions = machines.filter_map(|machine| machine.version.as_deref());
    let running = input.objects.control_plane.as_ref().and_then(|group| group.running_version.clone());
    ControlPlaneStatus {
        desired,
        ready: replicas.ready,
        up_to_date: replicas.up_to_date,
        version: running.or_else(|| lowest(versions)),
        summary: Some(format!("{}/{desired}", replicas.ready)),
    }
}

fn workers(input: &StatusInput<'_>) -> Vec<WorkerPoolStatus> {
    let cluster = input.objects.cluster.as_deref();
    let pool_of = cluster.map(pools_by_deployment).unwrap_or_default();
    let wanted = cluster.map(topology_replicas).unwrap_or_default();
    let mut pools: BTreeMap<String, (Replicas, Vec<&str>)> = BTreeMap::new();
    for (deployment, pool) in &pool_of {
        let entry = pools.entry(pool.clone()).or_default();
        let group = input.objects.machine_deployments.values().find(|group| group.topology_name == *deployment);
        let replicas = group.map(|group| group.replicas.clone()).unwrap_or_default();
        entry.0.desired += wanted.get(deployment).copied().flatten().unwrap_or(replicas.desired);
        entry.0.ready += replicas.ready;
        entry.0.up_to_date += replicas.up_to_date;
        let machines = input.objects.machines.values().filter(|machine| machine.topology_name == *deployment);
        entry.1.extend(machines.filter_map(|machine| machine.version.as_deref()));
    }
    if cluster.is_none() {
        for pool in &input.cluster.spec.workers {
            pools.entry(pool.name.clone()).or_default().0.desired = pool.initial_count();
        }
    }
    let status = |(name, (replicas, versions)): (String, (Replicas, Vec<&str>))| WorkerPoolStatus {
        name,
        desired: replicas.desired,
        ready: replicas.ready,
        up_to_date: replicas.up_to_date,
        version: lowest(versions.into_iter()),
    };
    let mut list: Vec<WorkerPoolStatus> = pools.into_iter().map(status).collect();
    // In the order of the description, as people look for them; what goes away comes last.
    let described = &input.cluster.spec.workers;
    list.sort_by_key(|pool| described.iter().position(|known| known.name == pool.name).unwrap_or(usize::MAX));
    list
}

fn kubernetes(
    input: &StatusInput<'_>,
    control_plane: &ControlPlaneStatus,
    previous: &KubernetesClusterStatus,
) -> KubernetesStatus {
    let target = Some(input.plan.kubernetes_version.clone()).filter(|version| !version.is_empty());
    let known = previous.kubernetes.clone().unwrap_or_default();
    KubernetesStatus {
        version: control_plane.version.clone().or(known.version),
        target_version: target.or(known.target_version),
    }
}

fn api_server(input: &StatusInput<'_>) -> Option<ApiServerStatus> {
    let endpoint = input.objects.cluster.as_deref()?.pointer("/spec/controlPlaneEndpoint")?;
    let host = endpoint["host"].as_str().filter(|host| !host.is_empty())?;
    let port = endpoint["port"].as_u64().unwrap_or(6443);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Some(ApiServerStatus { endpoint: Some(format!("https://{host}:{port}")) })
}

fn kubeconfig(input: &StatusInput<'_>) -> Option<LocalReference> {
    let cluster = input.objects.cluster.as_deref()?;
    let is_initialized = cluster.pointer("/status/initialization/controlPlaneInitialized") == Some(&Value::Bool(true));
    let name = input.cluster.metadata.name.as_deref()?;
    is_initialized.then(|| LocalReference { name: kogge_api::contract::kubeconfig_secret(name) })
}

fn stack(input: &StatusInput<'_>) -> Option<StackStatus> {
    let cluster = input.objects.cluster.as_deref()?;
    let class = cluster.pointer("/spec/topology/classRef/name")?.as_str()?;
    let annotations = cluster.pointer("/metadata/annotations")?;
    let applied = annotations.get(kogge_stacks::description::APPLIED_DESCRIPTION_ANNOTATION)?.as_str()?;
    let applied: Value = serde_json::from_str(applied).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(StackStatus {
        name: text(&applied["stack"]["name"]),
        version: text(&applied["stack"]["version"]),
        cluster_class: Some(class.to_owned()),
    })
}

/// The plan under way: the new one if it is being executed, else the known one with its steps ticked off when done.
fn plan_summary(input: &StatusInput<'_>, previous: &KubernetesClusterStatus, settled: bool) -> Option<PlanSummary> {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    if input.executed || !input.plan.is_executable() {
        return Some(PlanSummary {
            steps: count(input.plan.steps.len()),
            completed: 0,
            replaced_machines: input.plan.machines_replaced(),
            summary: input.plan.steps.iter().map(ToString::to_string).collect(),
        });
    }
    let mut known = previous.plan.clone()?;
    if settled {
        known.completed = known.steps;
    }
    Some(known)
}

/// Machines wanted per machine deployment of the topology; nothing where an autoscaler decides.
fn topology_replicas(cluster: &Value) -> BTreeMap<String, Option<u32>> {
    let list = cluster.pointer("/spec/topology/workers/machineDeployments").and_then(Value::as_array);
    let replicas = |item: &Value| item["replicas"].as_u64().and_then(|count| u32::try_from(count).ok());
    list.into_iter().flatten().filter_map(|item| Some((item["name"].as_str()?.to_owned(), replicas(item)))).collect()
}

fn pools_by_deployment(cluster: &Value) -> BTreeMap<String, String> {
    let list = cluster.pointer("/spec/topology/workers/machineDeployments").and_then(Value::as_array);
    let pool =
        |item: &Value| item["metadata"]["labels"][POOL_LABEL].as_str().or(item["name"].as_str()).map(str::to_owned);
    list.into_iter().flatten().filter_map(|item| Some((item["name"].as_str()?.to_owned(), pool(item)?))).collect()
}

fn lowest<'a>(versions: impl Iterator<Item = &'a str>) -> Option<String> {
    let parsed = versions.filter_map(|text| text.parse::<kogge_api::kubernetes_version::KubernetesVersion>().ok());
    parsed.min().map(|version| version.to_string())
}

fn conditions_of(cluster: &Value) -> Vec<crate::cluster_api::object::Condition> {
    crate::cluster_api::object::conditions(cluster)
}
