//! The operation: what is being done, and how far it honestly is.

use jiff::{SignedDuration, Timestamp};
use kogge_api::kubernetes_cluster::{KubernetesClusterStatus, Operation, OperationState, OperationType};
use kogge_api::plan::{Action, Effect, Plan};
use serde_json::Value;

use super::{StatusInput, control_plane, workers};
use crate::cluster_api::object::condition;

/// The operation after this run. `settled` tells that all agrees with the description.
pub(super) fn next(input: &StatusInput<'_>, previous: &KubernetesClusterStatus, settled: bool) -> Option<Operation> {
    let known = previous.operation.clone();
    let is_deleting = input.cluster.metadata.deletion_timestamp.is_some();
    let running = known.as_ref().filter(|operation| operation.finished_at.is_none());
    if input.cluster.spec.paused && !is_deleting && input.objects.cluster.is_some() {
        return known.map(|operation| held(operation, input));
    }
    let operation_type = if is_deleting {
        OperationType::Delete
    } else if !input.refusals.is_empty() && input.objects.cluster.is_none() {
        let failed = begin(OperationType::Create, input.now);
        let started_at = known.as_ref().and_then(|known| known.started_at).or(failed.started_at);
        let finished_at = known.as_ref().and_then(|known| known.finished_at).or(Some(input.now));
        let message = "the description cannot be carried out; see problems".to_owned();
        return Some(Operation { state: OperationState::Failed, started_at, finished_at, message, ..failed });
    } else if let Some(running) = running {
        // A creation stays a creation, whatever is changed meanwhile.
        match (running.operation_type, input.executed) {
            (OperationType::Create, _) | (_, false) => running.operation_type,
            (_, true) => of_plan(input.plan),
        }
    } else if input.executed {
        if input.objects.cluster.is_none() { OperationType::Create } else { of_plan(input.plan) }
    } else if settled {
        return known;
    } else if is_failed_creation(known.as_ref()) {
        OperationType::Create
    } else if input.objects.cluster.is_none() {
        return known.or_else(|| waiting(input));
    } else if has_missing_machines(input) {
        OperationType::Heal
    } else {
        return known.or_else(|| Some(begin(OperationType::Create, input.now)));
    };
    let continues = running.filter(|running| running.operation_type == operation_type);
    let mut operation = continues.cloned().unwrap_or_else(|| begin(operation_type, input.now));
    operation.message = message(input);
    if operation_type == OperationType::Upgrade && !settled && !input.plan.kubernetes_version.is_empty() {
        let (count, version) = (upgraded_machines(input), &input.plan.kubernetes_version);
        operation.message = format!("{}, {count} on {version}", operation.message);
    }
    if settled {
        operation.state = OperationState::Succeeded;
        operation.progress = 100;
        operation.finished_at = Some(input.now);
        operation.estimate = None;
        return Some(operation);
    }
    operation.state = OperationState::Running;
    let progress = progress(input, operation_type);
    if continues.is_none() || progress > operation.progress {
        // Never backwards within one operation: a machine that fails shows in the counts and the problems.
        operation.progress = progress.max(operation.progress);
        operation.estimate = estimate(operation.started_at, input.now, operation.progress);
    }
    Some(operation)
}

/// An operation of a paused cluster: one that is over stays as it ended, one under way waits where it is. To pause is
/// itself none, as nothing of the cluster changes.
fn held(operation: Operation, input: &StatusInput<'_>) -> Operation {
    if operation.finished_at.is_some() {
        return operation;
    }
    Operation { state: OperationState::Pending, estimate: None, message: message(input), ..operation }
}

fn begin(operation_type: OperationType, now: Timestamp) -> Operation {
    Operation { operation_type, state: OperationState::Running, started_at: Some(now), ..Operation::default() }
}

fn waiting(input: &StatusInput<'_>) -> Option<Operation> {
    let until = input.plan.steps.iter().find_map(|step| match &step.effect {
        Effect::Deferred { until } => Some(until.clone()),
        _ => None,
    })?;
    Some(Operation { message: format!("waits for {until}"), ..Operation::default() })
}

fn is_failed_creation(known: Option<&Operation>) -> bool {
    known.is_some_and(|known| known.operation_type == OperationType::Create && known.state == OperationState::Failed)
}

fn has_missing_machines(input: &StatusInput<'_>) -> bool {
    let control_plane = control_plane(input);
    control_plane.ready < control_plane.desired || workers(input).iter().any(|pool| pool.ready < pool.desired)
}

/// What a plan amounts to: its weightiest action.
fn of_plan(plan: &Plan) -> OperationType {
    let has = |actions: &[Action]| {
        plan.steps.iter().any(|step| actions.contains(&step.action) && !matches!(step.effect, Effect::Deferred { .. }))
    };
    if has(&[Action::CreateCluster]) {
        OperationType::Create
    } else if has(&[Action::UpgradeControlPlane, Action::UpgradePool]) {
        OperationType::Upgrade
    } else if has(&[Action::ReplaceControlPlane, Action::ReplacePool]) {
        OperationType::Update
    } else if has(&[Action::ScaleControlPlane, Action::ScalePool, Action::AddPool, Action::RemovePool]) {
        OperationType::Scale
    } else {
        OperationType::Update
    }
}

/// Whether the counts speak of what was last asked for: right after a change they still praise the old state.
fn counts_are_current(input: &StatusInput<'_>) -> bool {
    let Some(cluster) = input.objects.cluster.as_deref().filter(|_| !input.executed) else { return false };
    let found = super::conditions_of(cluster);
    let observed = condition(&found, "TopologyReconciled").and_then(|topology| topology.observed_generation);
    let is_reconciled = observed.is_none() || observed >= cluster["metadata"]["generation"].as_i64();
    is_reconciled && input.objects.control_plane.as_ref().is_some_and(|group| group.is_current)
}

/// Machines that run the version asked for and are available.
fn upgraded_machines(input: &StatusInput<'_>) -> u32 {
    // Of the plan, for the object may still have the version before.
    let planned = Some(input.plan.kubernetes_version.as_str()).filter(|version| !version.is_empty());
    let cluster = input.objects.cluster.as_deref();
    let applied = || cluster.and_then(|cluster| cluster.pointer("/spec/topology/version")).and_then(Value::as_str);
    let version = planned.or_else(applied);
    let machines = input.objects.machines.values();
    let done = machines.filter(|machine| {
        machine.is_available && machine.deleted_at.is_none() && machine.version.as_deref() == version
    });
    u32::try_from(done.count()).unwrap_or(u32::MAX)
}

/// Share of what is done, 0 to 99: 100 is said only when all agrees.
fn progress(input: &StatusInput<'_>, operation_type: OperationType) -> u8 {
    let control_plane = control_plane(input);
    let pools = workers(input);
    let desired = control_plane.desired + pools.iter().map(|pool| pool.desired).sum::<u32>();
    let done = |ready: u32, up_to_date: u32, desired: u32| ready.min(up_to_date).min(desired);
    let finished = done(control_plane.ready, control_plane.up_to_date, control_plane.desired)
        + pools.iter().map(|pool| done(pool.ready, pool.up_to_date, pool.desired)).sum::<u32>();
    let (finished, total) = match operation_type {
        OperationType::Delete => {
            let remaining = u32::try_from(input.objects.machines.len()).unwrap_or(u32::MAX);
            (desired.saturating_sub(remaining), desired + 1)
        }
        // Network and the first control plane machine are milestones of their own.
        OperationType::Create => {
            let milestone = |name: &str| {
                let status =
                    input.objects.cluster.as_deref().and_then(|cluster| cluster.pointer("/status/initialization"));
                u32::from(status.is_some_and(|status| status[name] == Value::Bool(true)))
            };
            (milestone("infrastructureProvisioned") + milestone("controlPlaneInitialized") + finished, desired + 2)
        }
        _ if input.executed => (0, desired),
        OperationType::Upgrade => (upgraded_machines(input).min(desired), desired),
        _ if counts_are_current(input) => (finished, desired),
        _ => (0, desired),
    };
    let percent = if total == 0 { 0 } else { u64::from(finished) * 100 / u64::from(total) };
    u8::try_from(percent.min(99)).unwrap_or(99)
}

/// When it will be done if it goes on as so far; nothing before a tenth is done.
fn estimate(started: Option<Timestamp>, now: Timestamp, progress: u8) -> Option<Timestamp> {
    if progress < 10 {
        return None;
    }
    let elapsed = now.duration_since(started?).as_secs();
    let total = elapsed.checked_mul(100)? / i64::from(progress);
    started?.checked_add(SignedDuration::from_secs(total)).ok()
}

fn message(input: &StatusInput<'_>) -> String {
    let control_plane = control_plane(input);
    let pools = workers(input);
    let (ready, desired) =
        pools.iter().fold((0, 0), |(ready, desired), pool| (ready + pool.ready, desired + pool.desired));
    if input.cluster.metadata.deletion_timestamp.is_some() {
        return match input.objects.machines.len() {
            0 => "all machines are gone, its network and load balancer follow".to_owned(),
            1 => "1 machine remains".to_owned(),
            count => format!("{count} machines remain"),
        };
    }
    let text = format!(
        "{} of {} control plane and {ready} of {desired} worker machines ready",
        control_plane.ready, control_plane.desired
    );
    let old = control_plane.desired.saturating_sub(control_plane.up_to_date)
        + pools.iter().map(|pool| pool.desired.saturating_sub(pool.up_to_date)).sum::<u32>();
    if old > 0 && control_plane.up_to_date + pools.iter().map(|pool| pool.up_to_date).sum::<u32>() > 0 {
        return format!("{text}, {old} not yet as described");
    }
    text
}
