//! Status of the Cluster: phase, replica counts and the conditions that sum up everything below.

use serde_json::{Value, json};

use super::deletion;
use crate::{
    condition::{AggregateReasons, Condition, Status, aggregate, merged},
    kind::Kind,
    machine::{deployment::replicas, status::Counts},
    object::Object,
    state::{ClusterState, Context},
    write::Decision,
};

/// Writes the status. `topology` is what the topology controller concluded.
pub fn write(state: &ClusterState, context: &Context<'_>, topology: Condition, decision: &mut Decision) {
    let status = status(state, context, topology);
    decision.status(Kind::Cluster, &state.cluster, &status);
}

/// Marks a paused cluster; nothing else of it is touched.
pub fn write_paused(state: &ClusterState, context: &Context<'_>, decision: &mut Decision) {
    let mut status = state.cluster.at("/status").clone();
    if status.is_null() {
        status = json!({});
    }
    let message = if state.cluster.flag("/spec/paused") {
        "Cluster spec.paused is set to true"
    } else {
        "Cluster has the cluster.x-k8s.io/paused annotation"
    };
    let conclusions = [
        Condition::new("Paused", Status::True, "Paused", message),
        Condition::no("TopologyReconciled", "Paused", message),
    ];
    status["conditions"] = merged(&state.cluster, &conclusions, context.now);
    status["observedGeneration"] = json!(state.cluster.generation());
    decision.status(Kind::Cluster, &state.cluster, &status);
}

fn status(state: &ClusterState, context: &Context<'_>, topology: Condition) -> Value {
    let cluster = &state.cluster;
    let provisioned =
        state.infrastructure_provisioned() || cluster.flag("/status/initialization/infrastructureProvisioned");
    let initialized =
        state.control_plane_initialized() || cluster.flag("/status/initialization/controlPlaneInitialized");
    let has_endpoint = !cluster.text("/spec/controlPlaneEndpoint/host").is_empty();
    let phase = if cluster.deleting() {
        "Deleting"
    } else if provisioned && has_endpoint {
        "Provisioned"
    } else if state.infrastructure.is_some() {
        "Provisioning"
    } else {
        "Pending"
    };
    let mut control_plane = json!({
        "desiredReplicas": state.control_plane.as_ref().map_or(0, replicas),
    });
    Counts::of(state.control_plane_machines()).write(&mut control_plane);
    let mut workers = json!({"desiredReplicas": state.deployments.iter().map(replicas).sum::<i64>()});
    Counts::of(state.worker_machines()).write(&mut workers);
    let mut status = json!({
        "conditions": conditions(state, context, topology, initialized), "phase": phase,
        "observedGeneration": cluster.generation(),
        "initialization": {"infrastructureProvisioned": provisioned, "controlPlaneInitialized": initialized},
        "controlPlane": control_plane, "workers": workers,
    });
    if let Some(domains) = state.infrastructure.as_ref().and_then(|it| it.at("/status").get("failureDomains")) {
        status["failureDomains"] = domains.clone();
    }
    status
}

fn conditions(state: &ClusterState, context: &Context<'_>, topology: Condition, initialized: bool) -> Value {
    let cluster = &state.cluster;
    let machines = |control_plane: bool| -> Vec<&Object> {
        if control_plane { state.control_plane_machines().collect() } else { state.worker_machines().collect() }
    };
    let (all_control_plane, all_workers) = (machines(true), machines(false));
    let mut all = vec![
        infrastructure(state),
        control_plane_available(state),
        if initialized {
            Condition::yes("ControlPlaneInitialized", "Initialized")
        } else {
            Condition::no("ControlPlaneInitialized", "NotInitialized", "Control plane not yet initialized")
        },
        workers_available(state),
        aggregate(
            "ControlPlaneMachinesReady",
            "Ready",
            all_control_plane.iter().copied(),
            AggregateReasons::READY,
            "Machine",
        ),
        aggregate("WorkerMachinesReady", "Ready", all_workers.iter().copied(), AggregateReasons::READY, "Machine"),
        aggregate(
            "ControlPlaneMachinesUpToDate",
            "UpToDate",
            all_control_plane,
            AggregateReasons::UP_TO_DATE,
            "Machine",
        ),
        aggregate("WorkerMachinesUpToDate", "UpToDate", all_workers, AggregateReasons::UP_TO_DATE, "Machine"),
        if initialized && state.plane.exists {
            Condition::yes("RemoteConnectionProbe", "ProbeSucceeded")
        } else {
            Condition::no("RemoteConnectionProbe", "ProbeFailed", "Remote connection not established yet")
        },
        Condition::no("Paused", "NotPaused", ""),
    ];
    for (name, off) in [
        ("RollingOut", "NotRollingOut"),
        ("ScalingUp", "NotScalingUp"),
        ("ScalingDown", "NotScalingDown"),
        ("Remediating", "NotRemediating"),
    ] {
        all.push(any_of(state, name, off));
    }
    all.push(if cluster.deleting() {
        let (reason, message) = deletion::stage(state);
        Condition::new("Deleting", Status::True, reason, message)
    } else {
        Condition::no("Deleting", "NotDeleting", "")
    });
    all.push(topology);
    all.push(available(&all));
    merged(cluster, &all, context.now)
}

fn infrastructure(state: &ClusterState) -> Condition {
    const TYPE: &str = "InfrastructureReady";
    match &state.infrastructure {
        None if state.cluster.deleting() => Condition::no(TYPE, "ObjectDeleted", "SimulatedCluster has been deleted"),
        None => Condition::no(TYPE, "ObjectDoesNotExist", "SimulatedCluster does not exist"),
        Some(object) => match object.condition("Ready") {
            Some(ready) => Condition::new(
                TYPE,
                Status::of(Some(ready)),
                ready["reason"].as_str().unwrap_or("NotReady"),
                ready["message"].as_str().unwrap_or_default(),
            ),
            None => Condition::no(TYPE, "NotReady", "SimulatedCluster status.initialization.provisioned is false"),
        },
    }
}

fn control_plane_available(state: &ClusterState) -> Condition {
    const TYPE: &str = "ControlPlaneAvailable";
    match &state.control_plane {
        None if state.cluster.deleting() => {
            Condition::no(TYPE, "ObjectDeleted", "KubeadmControlPlane has been deleted")
        }
        None => Condition::no(TYPE, "ObjectDoesNotExist", "KubeadmControlPlane does not exist"),
        Some(object) => {
            let source = object.condition("Available");
            Condition::new(
                TYPE,
                Status::of(source),
                source.and_then(|it| it["reason"].as_str()).unwrap_or("NotAvailable"),
                source.and_then(|it| it["message"].as_str()).unwrap_or_default(),
            )
        }
    }
}

fn workers_available(state: &ClusterState) -> Condition {
    let reasons =
        AggregateReasons { good: "Available", bad: "NotAvailable", unknown: "AvailableUnknown", none: "NoWorkers" };
    aggregate("WorkersAvailable", "Available", &state.deployments, reasons, "MachineDeployment")
}

/// `True` if it is for the control plane or any machine deployment, with a line for each.
fn any_of(state: &ClusterState, name: &'static str, off: &str) -> Condition {
    let lines: Vec<String> = state
        .control_plane
        .iter()
        .map(|it| (Kind::KubeadmControlPlane, it))
        .chain(state.deployments.iter().map(|it| (Kind::MachineDeployment, it)))
        .filter(|(_, object)| object.is_true(name))
        .map(|(kind, object)| {
            let message = object.condition(name).and_then(|it| it["message"].as_str()).unwrap_or_default();
            format!("* {kind} {}: {message}", object.name())
        })
        .collect();
    if lines.is_empty() {
        Condition::no(name, off, "")
    } else {
        Condition::new(name, Status::True, name, lines.join("\n"))
    }
}

fn available(all: &[Condition]) -> Condition {
    let mut lines = Vec::new();
    let mut worst = Status::True;
    for condition in all {
        let bad = match condition.condition_type {
            "InfrastructureReady" | "ControlPlaneAvailable" | "WorkersAvailable" | "RemoteConnectionProbe" => {
                condition.status != Status::True
            }
            // A topology on its way does not make a cluster unavailable, one that cannot be applied does.
            "TopologyReconciled" => {
                condition.status != Status::True && !matches!(condition.reason.as_str(), "ClusterUpgrading" | "Paused")
            }
            "Deleting" => condition.status == Status::True,
            _ => false,
        };
        if bad {
            let status = if condition.status == Status::True { Status::False } else { condition.status };
            if status == Status::False || worst == Status::True {
                worst = status;
            }
            let message =
                if condition.message.is_empty() { condition.reason.as_str() } else { condition.message.as_str() };
            let message = if message.starts_with("* ") {
                format!("\n  {}", message.replace('\n', "\n  "))
            } else {
                format!(" {message}")
            };
            lines.push(format!("* {}:{message}", condition.condition_type));
        }
    }
    match worst {
        Status::True => Condition::yes("Available", "Available"),
        Status::False => Condition::no("Available", "NotAvailable", lines.join("\n")),
        Status::Unknown => Condition::unknown("Available", "AvailableUnknown", lines.join("\n")),
    }
}
