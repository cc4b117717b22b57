//! Deletion of a cluster: workers, control plane, infrastructure, plane, finalizer. Secrets and templates follow by garbage
//! collection.

use crate::{
    kind::Kind,
    object::Object,
    state::{CLUSTER_FINALIZER, ClusterState},
    write::{Decision, PlaneWrite},
};

/// What the deletion waits for: reason and message of the `Deleting` condition.
pub fn stage(state: &ClusterState) -> (&'static str, String) {
    let workers = state.worker_machines().count();
    if workers > 0 || !state.deployments.is_empty() {
        let names: Vec<&str> = state.deployments.iter().map(Object::name).collect();
        let mut lines = Vec::new();
        if !names.is_empty() {
            lines.push(format!("* MachineDeployments: {}", names.join(", ")));
        }
        if workers > 0 {
            lines.push(format!("* Worker Machines: {workers}"));
        }
        return ("WaitingForWorkersDeletion", lines.join("\n"));
    }
    if let Some(control_plane) = &state.control_plane {
        return ("WaitingForControlPlaneDeletion", format!("* KubeadmControlPlane: {}", control_plane.name()));
    }
    if let Some(infrastructure) = &state.infrastructure {
        return ("WaitingForInfrastructureDeletion", format!("* SimulatedCluster: {}", infrastructure.name()));
    }
    ("DeletionCompleted", "Deletion completed".to_owned())
}

/// Moves the deletion one step.
pub fn reconcile(state: &ClusterState, decision: &mut Decision) {
    for check in &state.health_checks {
        decision.delete(Kind::MachineHealthCheck, check);
    }
    for deployment in &state.deployments {
        decision.delete(Kind::MachineDeployment, deployment);
    }
    for set in &state.sets {
        decision.delete(Kind::MachineSet, set);
    }
    for machine in state.worker_machines() {
        decision.delete(Kind::Machine, machine);
    }
    if state.worker_machines().next().is_some() || !state.deployments.is_empty() || !state.sets.is_empty() {
        return;
    }
    if let Some(control_plane) = &state.control_plane {
        decision.delete(Kind::KubeadmControlPlane, control_plane);
        return;
    }
    if state.machines.iter().any(|it| !it.name().is_empty()) {
        // The control plane object was removed by force; its machines still go in order.
        for machine in &state.machines {
            decision.delete(Kind::Machine, machine);
        }
        return;
    }
    if state.plane.exists {
        decision.plane.push(PlaneWrite::Close);
    }
    if let Some(infrastructure) = &state.infrastructure {
        decision.delete(Kind::SimulatedCluster, infrastructure);
        return;
    }
    decision.release(Kind::Cluster, &state.cluster, CLUSTER_FINALIZER);
}
