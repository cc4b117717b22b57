//! SimulatedMachines: instances from request to running node.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    address::nth_address,
    network::{node_network, slow_words, zones},
};
use crate::{
    clock::Stage,
    condition::{Condition, merged},
    fault::{Scope, slowness_delay},
    kind::Kind,
    object::{Object, name_suffix, stable_hash},
    state::{ClusterState, Context, InstanceStage, SIMULATED_MACHINE_FINALIZER, is_control_plane},
    workload::node::node_spec,
    write::{Decision, PlaneWrite},
};

/// Indices of instances within their cluster; an index gives the node its address and pod network.
#[derive(Clone, Debug, Default)]
pub struct Indices {
    taken: BTreeSet<i64>,
    /// Instances requested by the decision under way, which the count of existing ones does not know yet.
    requested: u32,
}

impl Indices {
    /// The indices that are taken.
    pub fn of(state: &ClusterState) -> Self {
        let taken = state.instances.values().filter_map(|it| it.number("/status/nodeIndex")).collect();
        Self { taken, requested: 0 }
    }

    fn take(&mut self) -> i64 {
        let free = (0..i64::MAX).find(|index| !self.taken.contains(index)).unwrap_or_default();
        self.taken.insert(free);
        self.requested += 1;
        free
    }
}

/// Where an instance is in its life, while a decision moves it on.
struct Progress {
    stage: InstanceStage,
    since: Timestamp,
    refusal: Option<Condition>,
}

/// Moves an instance as far as the time, the faults and its bootstrap data allow; registers its node.
pub fn advance(
    state: &ClusterState,
    context: &Context<'_>,
    machine: &Object,
    instance: &Object,
    bootstrap_ready: bool,
    indices: &mut Indices,
    decision: &mut Decision,
) {
    let mut status = instance.at("/status").clone();
    if status.is_null() {
        status = json!({});
    }
    let zone = zone(state, machine, instance, &status, indices);
    let image = instance.text("/spec/image");
    let scope = Scope { zone: &zone, image, ..state.scope(machine) };
    let mut progress = Progress {
        stage: InstanceStage::of(Some(instance)),
        since: instance.time("/status/stageSince").unwrap_or(context.now),
        refusal: None,
    };
    while let Some(next) =
        step(state, context, machine, &scope, bootstrap_ready.then_some(indices.requested), &mut progress, decision)
    {
        if next == InstanceStage::Building {
            status["nodeIndex"] = json!(indices.take());
            status["failureDomain"] = json!(zone);
            status["instanceID"] = json!(instance_id(instance.uid()));
        }
        if next == InstanceStage::Booting {
            status["initialization"]["provisioned"] = json!(true);
            status["addresses"] = addresses(state, machine, status["nodeIndex"].as_i64().unwrap_or_default());
        }
        progress.stage = next;
        progress.since = context.now;
    }
    if progress.stage != InstanceStage::None {
        status["stage"] = json!(progress.stage.as_str());
        if InstanceStage::of(Some(instance)) != progress.stage {
            status["stageSince"] = json!(progress.since.to_string());
        }
        let building = progress.stage == InstanceStage::Building;
        status["instanceState"] = json!(if building { "BUILD" } else { "ACTIVE" });
    }
    let mut conditions = vec![ready_condition(context, &scope, &progress), Condition::no("Paused", "NotPaused", "")];
    conditions.extend(boot_condition(context, machine, instance, &scope, &progress, decision));
    status["conditions"] = merged(instance, &conditions, context.now);
    status["observedGeneration"] = json!(instance.generation());
    let mut stored = instance.clone();
    stored.set_status(status.clone());
    if progress.stage.has_node() {
        register(state, machine, &stored, progress.stage, &mut status, decision);
    }
    decision.status(Kind::SimulatedMachine, instance, &status);
    if progress.stage > InstanceStage::Building && instance.text("/spec/providerID").is_empty() {
        let provider_id = provider_id(&zone, instance.name());
        decision.patch(Kind::SimulatedMachine, instance, json!({"spec": {"providerID": provider_id}}));
    }
}

/// The provider id of an instance.
pub fn provider_id(zone: &str, name: &str) -> String {
    format!("simulated:///{zone}/{name}")
}

/// One step onwards, or nothing if the instance has to wait; what it waits for is noted.
fn step(
    state: &ClusterState,
    context: &Context<'_>,
    machine: &Object,
    scope: &Scope<'_>,
    // How many instances were requested before in this decision; nothing while there is no bootstrap data.
    requested: Option<u32>,
    progress: &mut Progress,
    decision: &mut Decision,
) -> Option<InstanceStage> {
    let mut due = |stage: Stage, extra: jiff::SignedDuration| {
        let at =
            progress.since.saturating_add(context.clock.delay(stage, machine.name()) + extra).unwrap_or(context.now);
        if at > context.now {
            decision.wake(at);
        }
        at <= context.now
    };
    let slow = context.faults.slowness(scope).map(|seconds| slowness_delay(context.clock, seconds)).unwrap_or_default();
    match progress.stage {
        InstanceStage::None => {
            if !state.infrastructure_provisioned() {
                let message = "Waiting for Cluster status.initialization.infrastructureProvisioned to be true";
                progress.refusal = Some(Condition::no("Ready", "WaitingForClusterInfrastructureReady", message));
                None
            } else if let Some(requested) = requested {
                match context.faults.create_refusal(scope, |target| (context.used)(target) + requested) {
                    Some(refusal) => {
                        progress.refusal = Some(Condition::no("Ready", refusal.reason, refusal.message));
                        None
                    }
                    None => Some(InstanceStage::Building),
                }
            } else {
                let message = "Waiting for bootstrap data to be available";
                progress.refusal = Some(Condition::no("Ready", "WaitingForBootstrapData", message));
                None
            }
        }
        InstanceStage::Building => {
            let answered = context.faults.api_refusal(scope).is_none();
            (answered && due(Stage::InstanceCreate, slow)).then_some(InstanceStage::Booting)
        }
        InstanceStage::Booting => {
            if context.faults.never_boots(scope)
                || context.faults.zone_down(scope)
                || !due(Stage::InstanceBoot, jiff::SignedDuration::ZERO)
            {
                return None;
            }
            if is_control_plane(machine) && !state.plane.exists {
                let version = machine.text("/spec/version").to_owned();
                if !decision.plane.iter().any(|it| matches!(it, PlaneWrite::Open { .. })) {
                    decision.plane.push(PlaneWrite::Open { version });
                }
                return Some(InstanceStage::Joining);
            }
            state.plane.exists.then_some(InstanceStage::Joining)
        }
        InstanceStage::Joining => due(Stage::NodeReady, jiff::SignedDuration::ZERO).then_some(InstanceStage::Running),
        InstanceStage::Running => context.faults.node_lost(scope).then_some(InstanceStage::Lost),
        InstanceStage::Lost => (!context.faults.node_lost(scope)).then_some(InstanceStage::Running),
        InstanceStage::Deleting => None,
    }
}

/// Whether the instance came up, said only where it did not in twice the time it takes: the cloud can see that on the
/// instance's console long before a health check gives the machine up.
fn boot_condition(
    context: &Context<'_>,
    machine: &Object,
    instance: &Object,
    scope: &Scope<'_>,
    progress: &Progress,
    decision: &mut Decision,
) -> Option<Condition> {
    if progress.stage == InstanceStage::Booting && context.faults.never_boots(scope) {
        let expected = context.clock.delay(Stage::InstanceBoot, machine.name());
        let known_at = progress.since.saturating_add(expected * 2).unwrap_or(context.now);
        if known_at <= context.now {
            let message = "Instance is ACTIVE, but does not boot: its console shows no operating system";
            return Some(Condition::no("Booted", "BootTimeout", message));
        }
        decision.wake(known_at);
    }
    let was_stuck = instance.list("/status/conditions").iter().any(|it| it["type"] == "Booted");
    let has_booted = progress.stage.has_node();
    match (was_stuck, has_booted) {
        (true, true) => Some(Condition::yes("Booted", "Booted")),
        (true, false) if !context.faults.never_boots(scope) => Some(Condition::no("Booted", "Booting", "")),
        _ => None,
    }
}

fn ready_condition(context: &Context<'_>, scope: &Scope<'_>, progress: &Progress) -> Condition {
    if let Some(refusal) = &progress.refusal {
        return refusal.clone();
    }
    if let Some(refusal) = context.faults.api_refusal(scope) {
        return Condition::no("Ready", refusal.reason, refusal.message);
    }
    if context.faults.zone_down(scope) {
        let message =
            format!("Instance is unreachable: the compute hosts of availability zone {} are down", scope.zone);
        return Condition::no("Ready", "ZoneUnavailable", message);
    }
    if progress.stage == InstanceStage::Building {
        return match context.faults.slowness(scope) {
            Some(seconds) => Condition::no("Ready", "CloudAPISlow", slow_words(seconds)),
            None => Condition::no("Ready", "NotProvisioned", "Instance is being created (BUILD)"),
        };
    }
    Condition::yes("Ready", "Ready")
}

fn register(
    state: &ClusterState,
    machine: &Object,
    instance: &Object,
    stage: InstanceStage,
    status: &mut Value,
    decision: &mut Decision,
) {
    let spec = node_spec(state, machine, instance, stage);
    let hash = json!(name_suffix(&[&format!("{spec:?}")]));
    if status["nodeHash"] == hash {
        return;
    }
    let known = status["nodeHash"].is_string();
    status["nodeHash"] = hash;
    if known {
        decision.plane.push(PlaneWrite::UpdateNode(Box::new(spec)));
        return;
    }
    let nodes = decision.plane.iter_mut().find_map(|it| match it {
        PlaneWrite::Nodes(nodes) => Some(nodes),
        _ => None,
    });
    match nodes {
        Some(nodes) => nodes.push(spec),
        None => decision.plane.push(PlaneWrite::Nodes(vec![spec])),
    }
}

fn zone(state: &ClusterState, machine: &Object, instance: &Object, status: &Value, indices: &Indices) -> String {
    let chosen = [machine.text("/spec/failureDomain"), status["failureDomain"].as_str().unwrap_or_default()];
    if let Some(zone) = chosen.into_iter().find(|it| !it.is_empty()) {
        return zone.to_owned();
    }
    let zones = state.infrastructure.as_ref().map(zones).unwrap_or_default();
    let spread = usize::try_from(stable_hash(&[instance.name()]) % 1024).unwrap_or_default() + indices.taken.len();
    zones.get(spread % zones.len().max(1)).map_or_else(String::new, |it| (*it).to_owned())
}

fn addresses(state: &ClusterState, machine: &Object, index: i64) -> Value {
    // The first ten addresses belong to router, DHCP and load balancer.
    const RESERVED: u128 = 10;
    let network = state.infrastructure.as_ref().map_or("", node_network);
    let address = u128::try_from(index).ok().and_then(|index| nth_address(network, RESERVED + index));
    let mut all = vec![json!({"type": "InternalDNS", "address": machine.name()})];
    if let Some(address) = address {
        all.insert(0, json!({"type": "InternalIP", "address": address.to_string()}));
    }
    Value::Array(all)
}

/// An id in the form clouds use, that depends only on the object.
fn instance_id(uid: &str) -> String {
    let high = stable_hash(&["instance", uid]);
    let low = stable_hash(&["instance-low", uid]);
    uuid::Builder::from_random_bytes([high.to_be_bytes(), low.to_be_bytes()].concat().try_into().unwrap_or([0; 16]))
        .into_uuid()
        .to_string()
}

/// Deletes an instance whose object is being deleted.
pub fn delete(context: &Context<'_>, scope: &Scope<'_>, instance: &Object, decision: &mut Decision) {
    let mut status = instance.at("/status").clone();
    if let Some(refusal) = context.faults.api_refusal(scope) {
        let conclusions = [Condition::no("Ready", refusal.reason, refusal.message)];
        status["conditions"] = merged(instance, &conclusions, context.now);
        decision.status(Kind::SimulatedMachine, instance, &status);
        return;
    }
    let stage = InstanceStage::of(Some(instance));
    let slow = context.faults.slowness(scope).map(|seconds| slowness_delay(context.clock, seconds)).unwrap_or_default();
    let delay = context.clock.delay(Stage::InstanceDelete, instance.name()) + slow;
    let begun = match stage {
        InstanceStage::Deleting => instance.time("/status/stageSince").unwrap_or(context.now),
        _ => context.now,
    };
    let at = begun.saturating_add(delay).unwrap_or(context.now);
    if stage == InstanceStage::None || at <= context.now {
        decision.release(Kind::SimulatedMachine, instance, SIMULATED_MACHINE_FINALIZER);
        return;
    }
    decision.wake(at);
    if stage != InstanceStage::Deleting {
        status["stage"] = json!(InstanceStage::Deleting.as_str());
        status["stageSince"] = json!(context.now.to_string());
        status["instanceState"] = json!("DELETING");
        let condition = Condition::no("Ready", "Deleting", "Instance is being deleted");
        status["conditions"] = merged(instance, &[condition], context.now);
        decision.status(Kind::SimulatedMachine, instance, &status);
    }
}
