//! SimulatedClusters: networks, zones and the API endpoint of a cluster.

use serde_json::{Value, json};

use crate::{
    clock::Stage,
    condition::{Condition, merged},
    fault::slowness_delay,
    kind::Kind,
    object::Object,
    state::{ClusterState, Context, SIMULATED_CLUSTER_FINALIZER},
    write::Decision,
};

/// Zones of the simulated cloud, for a cluster that names none.
const DEFAULT_ZONES: [&str; 3] = ["sim-a", "sim-b", "sim-c"];

/// Zones the control plane of a SimulatedCluster is spread over, at least one.
pub fn zones(infrastructure: &Object) -> Vec<&str> {
    let zones: Vec<&str> = infrastructure.list("/spec/controlPlaneZones").iter().filter_map(Value::as_str).collect();
    if zones.is_empty() { DEFAULT_ZONES.to_vec() } else { zones }
}

/// The network node addresses are taken from.
pub fn node_network(infrastructure: &Object) -> &str {
    match infrastructure.text("/spec/network/nodeCIDR") {
        "" => "10.8.0.0/20",
        network => network,
    }
}

/// Brings networks and endpoint up, keeps the `Ready` condition true to what the cloud says, takes all down at the end.
pub fn reconcile(state: &ClusterState, context: &Context<'_>, decision: &mut Decision) {
    let Some(infrastructure) = &state.infrastructure else { return };
    let scope = state.cluster_scope();
    let refusal = context.faults.api_refusal(&scope);
    let slow = context.faults.slowness(&scope);
    let extra = slow.map(|seconds| slowness_delay(context.clock, seconds)).unwrap_or_default();
    let since = infrastructure.time("/status/stageSince").unwrap_or(context.now);
    let mut status = infrastructure.at("/status").clone();
    if status.is_null() {
        status = json!({});
    }
    let mut stage = infrastructure.text("/status/stage").to_owned();
    let mut enter = |name: &str, status: &mut Value| {
        status["stage"] = json!(name);
        status["stageSince"] = json!(context.now.to_string());
        name.clone_into(&mut stage);
    };
    let first_stage = infrastructure.text("/status/stage");
    let due =
        |stage: Stage| since.saturating_add(context.clock.delay(stage, state.name()) + extra).unwrap_or(context.now);
    if infrastructure.deleting() {
        if refusal.is_none() {
            if first_stage != "Deleting" {
                enter("Deleting", &mut status);
                decision.wake(context.now);
            } else if due(Stage::ClusterInfrastructureDelete) <= context.now {
                decision.release(Kind::SimulatedCluster, infrastructure, SIMULATED_CLUSTER_FINALIZER);
                return;
            } else {
                decision.wake(due(Stage::ClusterInfrastructureDelete));
            }
        }
    } else if refusal.is_none() {
        match first_stage {
            "" => {
                enter("Building", &mut status);
                // Without delay there is no need for a second look.
                let at =
                    context.now.saturating_add(context.clock.delay(Stage::ClusterInfrastructure, state.name()) + extra);
                match at {
                    Ok(at) if at > context.now => decision.wake(at),
                    _ => enter("Ready", &mut status),
                }
            }
            "Building" if due(Stage::ClusterInfrastructure) <= context.now => enter("Ready", &mut status),
            "Building" => decision.wake(due(Stage::ClusterInfrastructure)),
            _ => {}
        }
    }
    let ready = stage == "Ready";
    if ready {
        status["initialization"]["provisioned"] = json!(true);
        status["failureDomains"] =
            zones(infrastructure).iter().map(|zone| json!({"name": zone, "controlPlane": true})).collect();
    }
    let condition = match (&refusal, slow) {
        (Some(refusal), _) => Condition::no("Ready", refusal.reason, refusal.message.clone()),
        (None, Some(seconds)) if ready => {
            let mut condition = Condition::yes("Ready", "CloudAPISlow");
            condition.message = slow_words(seconds);
            condition
        }
        (None, Some(seconds)) => Condition::no("Ready", "CloudAPISlow", slow_words(seconds)),
        (None, None) if stage == "Deleting" => {
            Condition::no("Ready", "Deleting", "Networks and load balancer are being deleted")
        }
        (None, None) if ready => Condition::yes("Ready", "Ready"),
        (None, None) => Condition::no("Ready", "NotProvisioned", "Networks and load balancer are being created"),
    };
    status["conditions"] = merged(infrastructure, &[condition, Condition::no("Paused", "NotPaused", "")], context.now);
    status["observedGeneration"] = json!(infrastructure.generation());
    decision.status(Kind::SimulatedCluster, infrastructure, &status);
    endpoint(state, context, infrastructure, ready, decision);
}

/// What users see of a slow cloud.
pub fn slow_words(seconds: u32) -> String {
    format!("The cloud's API is slow: requests take {seconds} s longer than usual")
}

fn endpoint(
    state: &ClusterState,
    context: &Context<'_>,
    infrastructure: &Object,
    ready: bool,
    decision: &mut Decision,
) {
    if !ready || infrastructure.deleting() {
        return;
    }
    let endpoint = json!({"host": context.endpoint.host, "port": context.endpoint.port});
    // The listener's port may be another one after a restart, so the endpoint follows it.
    if infrastructure.at("/spec/controlPlaneEndpoint") != &endpoint {
        decision.patch(Kind::SimulatedCluster, infrastructure, json!({"spec": {"controlPlaneEndpoint": endpoint}}));
    }
    if state.cluster.at("/spec/controlPlaneEndpoint") != &endpoint {
        decision.patch(Kind::Cluster, &state.cluster, json!({"spec": {"controlPlaneEndpoint": endpoint}}));
    }
}
