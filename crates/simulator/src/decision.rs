//! The whole decision for one cluster: its objects, the faults and the time in, writes and the next look out.
//!
//! Pure and level-triggered: it looks at what is there, never at what happened. What changes the world (machines, templates,
//! instances) is decided first; statuses that only describe it are written once nothing else is to be done, so a burst of steps
//! costs one status write per object.

use crate::{
    cloud::network,
    cluster,
    condition::Condition,
    control_plane,
    machine::{deletion, deployment, health_check, lifecycle, set, status},
    object::PAUSED_ANNOTATION,
    state::{ClusterState, Context},
    topology,
    workload::system::wants_metrics_server,
    write::{Decision, PlaneWrite},
};

/// Decides what is to be done for a cluster now. The new statuses, and what the topology asks for, are left in the state.
pub fn decide(state: &mut ClusterState, context: &Context<'_>) -> Decision {
    let mut decision = Decision::default();
    if state.cluster.flag("/spec/paused") || state.cluster.annotation(PAUSED_ANNOTATION).is_some() {
        cluster::status::write_paused(state, context, &mut decision);
        return decision;
    }
    let health = health_check::check(state, context, &mut decision);
    let topology = if state.cluster.deleting() {
        cluster::deletion::reconcile(state, &mut decision);
        Condition::no("TopologyReconciled", "Deleting", "Cluster is deleting")
    } else {
        state.desired = Some(topology::desired::known_desired(state));
        topology::reconcile::reconcile(state, &mut decision)
    };
    let unhealthy = health.remediated();
    network::reconcile(state, context, &mut decision);
    control_plane::replicas::reconcile(state, context, &unhealthy, &mut decision);
    if !state.cluster.deleting() {
        deployment::reconcile(state, context, &mut decision);
        set::reconcile(state, context, &unhealthy, &mut decision);
        lifecycle::reconcile(state, context, &mut decision);
    }
    deletion::reconcile(state, context, &mut decision);
    addons(state, &mut decision);
    if !decision.is_quiet() {
        return decision;
    }
    lifecycle::settle(state, context, &mut decision);
    health.write_statuses(state, &mut decision);
    status::machines(state, context, &health, &mut decision);
    status::sets_and_deployments(state, context, &mut decision);
    control_plane::status::write(state, context, &mut decision);
    cluster::status::write(state, context, topology, &mut decision);
    decision
}

/// Brings the add-ons of a cluster that is up to what its labels ask for.
fn addons(state: &ClusterState, decision: &mut Decision) {
    let installed = wants_metrics_server(&state.cluster);
    if state.plane.exists && !state.cluster.deleting() && state.plane.metrics_server != installed {
        decision.plane.push(PlaneWrite::MetricsServer { installed });
    }
}
