//! Status of the KubeadmControlPlane.

use serde_json::{Value, json};

use super::replicas::{is_up_to_date, rollout_hash, secrets};
use crate::{
    condition::{Condition, Status, merged},
    kind::Kind,
    machine::status::{Counts, replica_conditions},
    object::{CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL, Object},
    state::{ClusterState, Context, InstanceStage},
    write::Decision,
};

/// Writes the status, and puts it into the state.
pub fn write(state: &mut ClusterState, context: &Context<'_>, decision: &mut Decision) {
    let Some(control_plane) = &state.control_plane else { return };
    let status = status(state, context, control_plane);
    decision.status(Kind::KubeadmControlPlane, control_plane, &status);
    if let Some(control_plane) = &mut state.control_plane {
        control_plane.set_status(status);
    }
}

fn status(state: &ClusterState, context: &Context<'_>, control_plane: &Object) -> Value {
    let machines: Vec<&Object> = state.control_plane_machines().collect();
    let desired = control_plane.number("/spec/replicas").unwrap_or(1);
    let hash = rollout_hash(control_plane);
    let initialized = state.control_plane_initialized();
    let missing: Vec<String> =
        secrets(state.name()).into_iter().map(|(name, _)| name).filter(|name| !state.secrets.contains(name)).collect();
    let mut conditions = replica_conditions(&machines, desired, control_plane.deleting(), "KubeadmControlPlane");
    if control_plane.deleting() {
        conditions.retain(|it| it.condition_type != "Deleting");
        let workers = state.worker_machines().count();
        conditions.push(if workers > 0 {
            let message = format!("KubeadmControlPlane deletion blocked because following objects still exist:\n* {workers} worker Machines");
            Condition::new("Deleting", Status::True, "WaitingForWorkersDeletion", message)
        } else {
            let message = format!("Deleting {} Machines", machines.len());
            Condition::new("Deleting", Status::True, "WaitingForMachineDeletion", message)
        });
    }
    conditions.push(if missing.is_empty() {
        Condition::yes("CertificatesAvailable", "Available")
    } else {
        Condition::no(
            "CertificatesAvailable",
            "NotAvailable",
            format!("Secrets not yet created: {}", missing.join(", ")),
        )
    });
    conditions.push(if initialized {
        Condition::yes("Initialized", "Initialized")
    } else {
        Condition::no("Initialized", "NotInitialized", "Waiting for the first control plane machine to be initialized")
    });
    let outdated = machines.iter().filter(|it| !is_up_to_date(control_plane, &hash, it)).count();
    conditions.push(if outdated > 0 {
        Condition::new(
            "RollingOut",
            Status::True,
            "RollingOut",
            format!("Rolling out {outdated} not up-to-date replicas"),
        )
    } else {
        Condition::no("RollingOut", "NotRollingOut", "")
    });
    conditions.extend(health(state, &machines, initialized));
    conditions.push(available(state, &machines, control_plane, initialized));
    let version = machines
        .iter()
        .filter(|it| state.stage(it).has_node())
        .map(|it| it.text("/spec/version"))
        .min_by_key(|it| version_key(it));
    let mut status = json!({
        "conditions": merged(control_plane, &conditions, context.now),
        "observedGeneration": control_plane.generation(),
        "initialization": {"controlPlaneInitialized": initialized},
        "selector": format!("{CLUSTER_NAME_LABEL}={},{CONTROL_PLANE_LABEL}", state.name()),
    });
    if let Some(version) = version {
        status["version"] = json!(version);
    }
    Counts::of(machines).write(&mut status);
    status
}

fn version_key(version: &str) -> Vec<u64> {
    version.trim_start_matches('v').split('.').map(|it| it.parse().unwrap_or_default()).collect()
}

fn health(state: &ClusterState, machines: &[&Object], initialized: bool) -> [Condition; 2] {
    let both = |status: Status, reason: &str, etcd: String, components: String| {
        [
            Condition::new("EtcdClusterHealthy", status, reason, etcd),
            Condition::new("ControlPlaneComponentsHealthy", status, reason, components),
        ]
    };
    if !initialized {
        let message = "Waiting for Cluster control plane to be initialized".to_owned();
        return both(Status::Unknown, "InspectionFailed", message.clone(), message);
    }
    let unknown: Vec<&str> =
        machines.iter().filter(|it| state.stage(it) == InstanceStage::Lost).map(|it| it.name()).collect();
    let joining: Vec<&str> = machines.iter().filter(|it| !state.stage(it).has_node()).map(|it| it.name()).collect();
    if let Some(names) = [&unknown, &joining].into_iter().find(|it| !it.is_empty()) {
        let why = if unknown.is_empty() { "Waiting for a Node to exist" } else { "Node is unreachable" };
        let line = |what: &str| format!("* Machine {}:\n  * {what}: {why}", names.join(", "));
        return both(Status::Unknown, "HealthUnknown", line("EtcdMemberHealthy"), line("Control plane components"));
    }
    both(Status::True, "Healthy", String::new(), String::new())
}

fn available(state: &ClusterState, machines: &[&Object], control_plane: &Object, initialized: bool) -> Condition {
    const TYPE: &str = "Available";
    if control_plane.deleting() {
        return Condition::no(TYPE, "NotAvailable", "* Control plane metadata.deletionTimestamp is set");
    }
    if !initialized {
        return Condition::no(TYPE, "NotAvailable", "* Control plane not yet initialized");
    }
    let members = machines.iter().filter(|it| state.stage(it).has_node()).count();
    let healthy =
        machines.iter().filter(|it| matches!(state.stage(it), InstanceStage::Running | InstanceStage::Joining)).count();
    let quorum = members / 2 + 1;
    if healthy >= quorum {
        return Condition::yes(TYPE, "Available");
    }
    let message = format!(
        "* {healthy} of {members} etcd members are healthy, at least {quorum} healthy members required for etcd quorum"
    );
    Condition::no(TYPE, "NotAvailable", message)
}
