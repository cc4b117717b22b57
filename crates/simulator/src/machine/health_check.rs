//! MachineHealthChecks: which machines are unhealthy, and whether they may be replaced.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    condition::{Condition, merged},
    kind::Kind,
    object::{Object, REMEDIATE_ANNOTATION},
    state::{ClusterState, Context, InstanceStage},
    write::Decision,
};

/// Why a machine is unhealthy: reason and message of its `HealthCheckSucceeded` condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
    /// Whether it may be replaced now.
    pub remediated: bool,
}

/// What all health checks of a cluster say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Unhealthy machines by name.
    pub unhealthy: BTreeMap<String, Unhealthy>,
    /// Machines some check looks at.
    pub checked: BTreeSet<String>,
    /// New statuses of the checks, by index in [`ClusterState::health_checks`].
    statuses: Vec<Value>,
}

impl Health {
    /// Names of the machines to be replaced.
    pub fn remediated(&self) -> BTreeSet<String> {
        self.unhealthy.iter().filter(|(_, it)| it.remediated).map(|(name, _)| name.clone()).collect()
    }

    /// Writes the statuses of the checks.
    pub fn write_statuses(&self, state: &ClusterState, decision: &mut Decision) {
        for (check, status) in state.health_checks.iter().zip(&self.statuses) {
            decision.status(Kind::MachineHealthCheck, check, status);
        }
    }
}

/// Looks at all machines; wakes the decision when the next timeout runs out.
pub fn check(state: &ClusterState, context: &Context<'_>, decision: &mut Decision) -> Health {
    let mut health = Health::default();
    for definition in &state.health_checks {
        let targets: Vec<&Object> = state.machines.iter().filter(|it| selected(definition, it)).collect();
        let mut found = Vec::new();
        for machine in &targets {
            health.checked.insert(machine.name().to_owned());
            match verdict(state, context, definition, machine) {
                Verdict::Healthy => {}
                Verdict::Until(at) => decision.wake(at),
                Verdict::Unhealthy(reason, message) => found.push((machine.name().to_owned(), reason, message)),
            }
        }
        let allowed = allowed_unhealthy(definition, targets.len());
        let remediated = found.len() <= allowed;
        let condition = if remediated {
            Condition::yes("RemediationAllowed", "RemediationAllowed")
        } else {
            Condition::no(
                "RemediationAllowed",
                "TooManyUnhealthy",
                format!(
                    "Remediation is not allowed, the number of not started or unhealthy machines exceeds maxUnhealthy (total: {}, unhealthy: {}, maxUnhealthy: {allowed})",
                    targets.len(),
                    found.len()
                ),
            )
        };
        let names: Vec<&str> = targets.iter().map(|it| it.name()).collect();
        health.statuses.push(json!({
            "conditions": merged(definition, &[condition, Condition::no("Paused", "NotPaused", "")], context.now),
            "expectedMachines": targets.len(), "currentHealthy": targets.len() - found.len(),
            "remediationsAllowed": allowed.saturating_sub(found.len()), "targets": names,
            "observedGeneration": definition.generation(),
        }));
        for (name, reason, message) in found {
            health.unhealthy.insert(name, Unhealthy { reason, message, remediated });
        }
    }
    health
}

fn selected(definition: &Object, machine: &Object) -> bool {
    let labels = definition.at("/spec/selector/matchLabels").as_object();
    labels.is_some_and(|labels| labels.iter().all(|(key, value)| machine.label(key) == value.as_str()))
}

enum Verdict {
    Healthy,
    Until(Timestamp),
    Unhealthy(&'static str, String),
}

fn verdict(state: &ClusterState, context: &Context<'_>, definition: &Object, machine: &Object) -> Verdict {
    if machine.annotation(REMEDIATE_ANNOTATION).is_some() {
        return Verdict::Unhealthy(
            "HasRemediateAnnotation",
            "Health check failed: marked for remediation via cluster.x-k8s.io/remediate-machine annotation".to_owned(),
        );
    }
    if machine.deleting() {
        return Verdict::Healthy;
    }
    let stage = state.stage(machine);
    let due = |since: Option<Timestamp>, seconds: i64| {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a timeout")]
        let timeout = context.clock.timeout(seconds as f64);
        since.unwrap_or_default().saturating_add(timeout).unwrap_or(Timestamp::MAX)
    };
    let since = state.instance(machine).and_then(|it| it.time("/status/stageSince"));
    if stage == InstanceStage::Lost {
        let timeout = definition
            .list("/spec/checks/unhealthyNodeConditions")
            .iter()
            .filter(|it| it["type"] == "Ready" && it["status"] == "Unknown")
            .find_map(|it| it["timeoutSeconds"].as_i64())
            .unwrap_or(300);
        let at = due(since, timeout);
        return if at <= context.now {
            let message = format!(
                "Health check failed: Condition Ready on Node is reporting status Unknown for more than {}",
                words(timeout)
            );
            Verdict::Unhealthy("UnhealthyNode", message)
        } else {
            Verdict::Until(at)
        };
    }
    if stage.has_node() || !state.infrastructure_provisioned() || !state.control_plane_initialized() {
        return Verdict::Healthy;
    }
    // 0 switches the start-up check off, as in Cluster API.
    let timeout = definition.number("/spec/checks/nodeStartupTimeoutSeconds").unwrap_or(600);
    let begun = state
        .control_plane
        .as_ref()
        .and_then(|it| it.condition("Initialized"))
        .and_then(|it| it["lastTransitionTime"].as_str()?.parse().ok())
        .map_or(machine.created(), |initialized: Timestamp| initialized.max(machine.created()));
    let at = due(Some(begun), timeout);
    if timeout == 0 {
        Verdict::Healthy
    } else if at <= context.now {
        Verdict::Unhealthy(
            "NodeStartupTimeout",
            format!("Health check failed: Node failed to report startup in {}", words(timeout)),
        )
    } else {
        Verdict::Until(at)
    }
}

/// Seconds as Go prints a duration, e.g. `5m0s`.
fn words(seconds: i64) -> String {
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, rest) => format!("{rest}s"),
        (0, minutes, rest) => format!("{minutes}m{rest}s"),
        (hours, minutes, rest) => format!("{hours}h{minutes}m{rest}s"),
    }
}

fn allowed_unhealthy(definition: &Object, total: usize) -> usize {
    match definition.at("/spec/remediation/triggerIf/unhealthyLessThanOrEqualTo") {
        Value::Number(number) => number.as_u64().and_then(|it| usize::try_from(it).ok()).unwrap_or(total),
        Value::String(text) => {
            let percent = text.strip_suffix('%').and_then(|it| it.parse::<usize>().ok());
            percent.map_or_else(|| text.parse().unwrap_or(total), |percent| percent * total / 100)
        }
        _ => total,
    }
}
