//! Conditions, one function each, as Kubernetes defines them.

use jiff::{Timestamp, TimestampRound, Unit};
use kogge_api::kubernetes_cluster::{Condition, KubernetesClusterStatus, Phase, condition};
use kogge_api::kubernetes_version::{self, KubernetesVersion};
use kogge_api::plan::{Action, Effect};
use kogge_api::problem::ProblemCode;
use serde_json::Value;

use super::StatusInput;
use crate::cluster_api::object;

struct Conclusion {
    condition_type: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

/// All conditions. Those that did not change keep their time.
pub(super) fn all(
    input: &StatusInput<'_>,
    previous: &KubernetesClusterStatus,
    status: &KubernetesClusterStatus,
    settled: bool,
) -> Vec<Condition> {
    let conclusions = [
        ready(status, settled),
        accepted(input),
        from_cluster(input, condition::INFRASTRUCTURE_READY, "InfrastructureReady"),
        control_plane_ready(input, status),
        workers_ready(status),
        upgrade_available(input),
        single_point_of_failure(input),
        problem(
            status,
            condition::CREDENTIALS_INVALID,
            &[ProblemCode::CredentialsInvalid, ProblemCode::CredentialsExpired],
        ),
        problem(status, condition::QUOTA_INSUFFICIENT, &[ProblemCode::QuotaExceeded]),
        paused(input),
    ];
    let generation = input.cluster.metadata.generation;
    let now = input.now.round(TimestampRound::new().smallest(Unit::Second)).unwrap_or(input.now);
    conclusions.into_iter().map(|conclusion| conclusion.since(previous, generation, now)).collect()
}

impl Conclusion {
    fn new(
        condition_type: &'static str,
        holds: Option<bool>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let status = match holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        Self { condition_type, status, reason: reason.into(), message: message.into() }
    }

    fn since(self, previous: &KubernetesClusterStatus, generation: Option<i64>, now: Timestamp) -> Condition {
        let known = previous.conditions.iter().find(|known| known.condition_type == self.condition_type);
        let last_transition_time = match known {
            Some(known) if known.status == self.status => known.last_transition_time,
            _ => now,
        };
        Condition {
            condition_type: self.condition_type.to_owned(),
            status: self.status.to_owned(),
            observed_generation: generation,
            last_transition_time,
            reason: self.reason,
            message: self.message,
        }
    }
}

fn ready(status: &KubernetesClusterStatus, settled: bool) -> Conclusion {
    let phase = status.phase.unwrap_or_default();
    let is_ready = settled && phase == Phase::Ready;
    let first = status.problems.first();
    let reason = match first {
        Some(problem) if !is_ready => problem.code.clone(),
        _ => phase.to_string(),
    };
    let message = match (first, &status.operation) {
        _ if is_ready => String::new(),
        (Some(problem), _) => problem.message.clone(),
        (None, Some(operation)) => operation.message.clone(),
        (None, None) => String::new(),
    };
    Conclusion::new(condition::READY, Some(is_ready), reason, message)
}

fn accepted(input: &StatusInput<'_>) -> Conclusion {
    match input.refusals.first() {
        None => Conclusion::new(condition::ACCEPTED, Some(true), "Accepted", ""),
        Some(refusal) => {
            Conclusion::new(condition::ACCEPTED, Some(false), refusal.code.as_str(), refusal.message.clone())
        }
    }
}

/// A condition Cluster API knows under its own name.
fn from_cluster(input: &StatusInput<'_>, condition_type: &'static str, theirs: &str) -> Conclusion {
    let found = input.objects.cluster.as_deref().map(object::conditions).unwrap_or_default();
    match object::condition(&found, theirs) {
        Some(found) => {
            let holds = match found.status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            };
            let reason = if found.reason.is_empty() { theirs } else { &found.reason };
            Conclusion::new(condition_type, holds, reason, found.message.clone())
        }
        None => Conclusion::new(condition_type, Some(false), "NotCreated", ""),
    }
}

fn control_plane_ready(input: &StatusInput<'_>, status: &KubernetesClusterStatus) -> Conclusion {
    let machines = status.control_plane.clone().unwrap_or_default();
    let is_initialized = input.objects.cluster.as_deref().is_some_and(|cluster| {
        cluster.pointer("/status/initialization/controlPlaneInitialized") == Some(&Value::Bool(true))
    });
    let holds = is_initialized && machines.ready >= machines.desired && machines.up_to_date >= machines.desired;
    let reason = match (is_initialized, holds) {
        (false, _) => "NotInitialized",
        (true, false) => "MachinesNotReady",
        (true, true) => "MachinesReady",
    };
    let message =
        format!("{} of {} machines ready, {} as described", machines.ready, machines.desired, machines.up_to_date);
    Conclusion::new(condition::CONTROL_PLANE_READY, Some(holds), reason, message)
}

fn workers_ready(status: &KubernetesClusterStatus) -> Conclusion {
    let waiting: Vec<String> = status
        .workers
        .iter()
        .filter(|pool| pool.ready < pool.desired || pool.up_to_date < pool.desired)
        .map(|pool| {
            format!("{}: {} of {} ready, {} as described", pool.name, pool.ready, pool.desired, pool.up_to_date)
        })
        .collect();
    let holds = waiting.is_empty() && !status.workers.is_empty();
    let reason = if holds { "MachinesReady" } else { "MachinesNotReady" };
    Conclusion::new(condition::WORKERS_READY, Some(holds), reason, waiting.join("; "))
}

fn upgrade_available(input: &StatusInput<'_>) -> Conclusion {
    let waiting = input.plan.steps.iter().find_map(|step| match (&step.effect, step.action) {
        (Effect::Deferred { until }, Action::UpgradeControlPlane) => Some((step, until)),
        _ => None,
    });
    match waiting {
        Some((step, until)) => {
            let change = step.causes.first().map(ToString::to_string).unwrap_or_default();
            Conclusion::new(condition::UPGRADE_AVAILABLE, Some(true), "Waiting", format!("{change}, waits for {until}"))
        }
        None => match newest_upgrade(input) {
            Some(version) => {
                let message = format!("{version} is offered");
                Conclusion::new(condition::UPGRADE_AVAILABLE, Some(true), "NewerVersionOffered", message)
            }
            None => Conclusion::new(condition::UPGRADE_AVAILABLE, Some(false), "UpToDate", ""),
        },
    }
}

/// The newest version the cluster could be brought to in one step.
fn newest_upgrade(input: &StatusInput<'_>) -> Option<KubernetesVersion> {
    let cluster = input.objects.cluster.as_deref()?;
    let running: KubernetesVersion = cluster.pointer("/spec/topology/version")?.as_str()?.parse().ok()?;
    let profile = &input.profile?.spec;
    let is_allowed = |offer: &&kubernetes_version::Offer<'_>| {
        (input.cluster.spec.kubernetes.allow_preview || !offer.details.preview)
            && offer.version > running
            && kubernetes_version::can_upgrade(profile, running, offer.version)
    };
    kubernetes_version::offers(profile).iter().rev().find(is_allowed).map(|offer| offer.version)
}

fn single_point_of_failure(input: &StatusInput<'_>) -> Conclusion {
    let is_single = input.cluster.spec.control_plane.count == 1;
    let (reason, message) = if is_single {
        ("SingleMachine", "the control plane has one machine; when it fails, the API is gone until it is replaced")
    } else {
        ("SeveralMachines", "")
    };
    Conclusion::new(condition::SINGLE_POINT_OF_FAILURE, Some(is_single), reason, message)
}

fn problem(status: &KubernetesClusterStatus, condition_type: &'static str, codes: &[ProblemCode]) -> Conclusion {
    let found = status.problems.iter().find(|problem| codes.iter().any(|code| code.as_str() == problem.code));
    match found {
        Some(problem) => Conclusion::new(condition_type, Some(true), problem.code.clone(), problem.message.clone()),
        None => Conclusion::new(condition_type, Some(false), "NoProblem", ""),
    }
}

fn paused(input: &StatusInput<'_>) -> Conclusion {
    let is_paused = input.cluster.spec.paused;
    let reason = if is_paused { "Paused" } else { "NotPaused" };
    Conclusion::new(condition::PAUSED, Some(is_paused), reason, "")
}
