//! Machines on their way out: drain, instance, node, finalizer, in the order of Cluster API.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    cloud::instance,
    condition::seconds,
    kind::Kind,
    object::Object,
    state::{ClusterState, Context, InstanceStage, MACHINE_FINALIZER},
    write::{Decision, PlaneWrite},
};

/// Annotation that switches draining off for one machine.
const EXCLUDE_DRAIN_ANNOTATION: &str = "machine.cluster.x-k8s.io/exclude-node-draining";

/// What a machine's deletion waits for: reason and message of its `Deleting` condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionStage {
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

/// Moves every machine that is being deleted one step.
pub fn reconcile(state: &ClusterState, context: &Context<'_>, decision: &mut Decision) {
    for machine in state.machines.iter().filter(|it| it.deleting()) {
        let instance = state.instance(machine);
        if needs_drain(state, context, machine) {
            drain(state, context, machine, decision);
            continue;
        }
        match instance {
            Some(found) if found.deleting() => {
                instance::delete(context, &state.scope(machine), found, decision);
            }
            Some(found) => decision.delete(Kind::SimulatedMachine, found),
            None if machine.has_finalizer(MACHINE_FINALIZER) => {
                if !state.cluster.deleting() && state.plane.exists {
                    decision.plane.push(PlaneWrite::RemoveNode(machine.name().to_owned()));
                }
                decision.release(Kind::Machine, machine, MACHINE_FINALIZER);
            }
            None => {}
        }
    }
    // Instances whose machine is gone.
    for (name, orphan) in &state.instances {
        if !state.machines.iter().any(|it| it.name() == name) {
            if orphan.deleting() {
                instance::delete(context, &state.cluster_scope(), orphan, decision);
            } else {
                decision.delete(Kind::SimulatedMachine, orphan);
            }
        }
    }
}

/// Whether pods still have to leave the machine's node. The nodes of a cluster that is deleted as a whole are not drained,
/// nor are nodes that do not answer.
pub fn needs_drain(state: &ClusterState, context: &Context<'_>, machine: &Object) -> bool {
    let may = machine.deleting()
        && !state.cluster.deleting()
        && state.plane.exists
        && state.stage(machine) == InstanceStage::Running
        && !state.instance(machine).is_some_and(Object::deleting)
        && machine.annotation(EXCLUDE_DRAIN_ANNOTATION).is_none();
    if !may {
        return false;
    }
    let Some(started) = drain_started(machine) else { return true };
    let timed_out = drain_deadline(context, machine, started).is_some_and(|deadline| deadline <= context.now);
    let empty = state.plane.pods.get(machine.name()).is_some_and(Vec::is_empty);
    !timed_out && !empty
}

fn drain_started(machine: &Object) -> Option<Timestamp> {
    machine.time("/status/deletion/nodeDrainStartTime")
}

fn drain_deadline(context: &Context<'_>, machine: &Object, started: Timestamp) -> Option<Timestamp> {
    // No timeout, or 0, means to wait for ever.
    let timeout = machine.number("/spec/deletion/nodeDrainTimeoutSeconds").filter(|it| *it > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "seconds of a timeout")]
    let timeout = context.clock.timeout(timeout as f64);
    started.saturating_add(timeout).ok()
}

fn drain(state: &ClusterState, context: &Context<'_>, machine: &Object, decision: &mut Decision) {
    let started = drain_started(machine);
    if started.is_none() {
        decision.plane.push(PlaneWrite::Cordon(machine.name().to_owned()));
        let mut status = machine.at("/status").clone();
        status["deletion"]["nodeDrainStartTime"] = json!(seconds(context.now));
        decision.status(Kind::Machine, machine, &status);
        return;
    }
    for pod in state.plane.pods.get(machine.name()).map_or(&[][..], Vec::as_slice) {
        if !pod.deleting && pod.blocked.is_none() {
            decision.plane.push(PlaneWrite::Evict { namespace: pod.namespace.clone(), name: pod.name.clone() });
        }
    }
    // Pods leave without any change in the management plane, so this is the one place that looks again and again.
    let pause = context.clock.timeout(20.0).clamp(SignedDuration::from_millis(50), SignedDuration::from_secs(2));
    decision.wake(context.now.saturating_add(pause).unwrap_or(context.now));
    if let Some(deadline) = started.and_then(|started| drain_deadline(context, machine, started)) {
        decision.wake(deadline);
    }
}

/// What the deletion of a machine waits for now.
pub fn stage(state: &ClusterState, context: &Context<'_>, machine: &Object) -> DeletionStage {
    if needs_drain(state, context, machine) {
        let pods = state.plane.pods.get(machine.name()).map_or(&[][..], Vec::as_slice);
        let mut message =
            format!("Drain not completed yet (started at {}):", machine.text("/status/deletion/nodeDrainStartTime"));
        let list = |pods: &[&crate::state::PodOnNode]| {
            let names: Vec<String> = pods.iter().take(3).map(|it| format!("{}/{}", it.namespace, it.name)).collect();
            let more = pods.len().saturating_sub(3);
            names.join(", ") + &if more > 0 { format!(", ... ({more} more)") } else { String::new() }
        };
        let leaving: Vec<_> = pods.iter().filter(|it| it.blocked.is_none()).collect();
        let blocked: Vec<_> = pods.iter().filter(|it| it.blocked.is_some()).collect();
        if !leaving.is_empty() {
            message.push_str("\n* Pods ");
            message.push_str(&list(&leaving));
            message.push_str(": deletionTimestamp set, but still not removed from the Node");
        }
        if let Some(reason) = blocked.first().and_then(|it| it.blocked.as_deref()) {
            message.push_str("\n* Pods ");
            message.push_str(&list(&blocked));
            message.push_str(": cannot evict pod as it would violate the pod's disruption budget. ");
            message.push_str(reason);
        }
        return DeletionStage { reason: "DrainingNode", message };
    }
    match state.instance(machine) {
        Some(instance) => {
            let trouble =
                instance.condition("Ready").filter(|it| it["reason"] != "Deleting" && it["status"] == "False");
            let detail = trouble.and_then(|it| it["message"].as_str()).filter(|it| !it.is_empty());
            DeletionStage {
                reason: "WaitingForInfrastructureDeletion",
                message: detail.map_or_else(String::new, |it| format!("* SimulatedMachine: {it}")),
            }
        }
        None => DeletionStage { reason: "DeletionCompleted", message: "Deletion completed".to_owned() },
    }
}
