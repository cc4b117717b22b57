//! MachineSets: as many machines as replicas, and what changes in place on the ones that are there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{deployment::replicas, naming::new_name};
use crate::{
    kind::Kind,
    object::{DELETE_MACHINE_ANNOTATION, Object, SET_LABEL, merge_difference},
    state::{ClusterState, Context, MACHINE_FINALIZER},
    write::{Decision, MACHINE_SET_MANAGER},
};

/// Creates missing machines, deletes surplus and unhealthy ones.
pub fn reconcile(state: &ClusterState, context: &Context<'_>, unhealthy: &BTreeSet<String>, decision: &mut Decision) {
    for set in state.sets.iter().filter(|it| !it.deleting()) {
        let all: Vec<&Object> = state.machines.iter().filter(|it| it.owned_by(set.uid())).collect();
        let mut alive: Vec<&Object> = all.iter().filter(|it| !it.deleting()).copied().collect();
        propagate(set, &alive, decision);
        alive.retain(|machine| {
            let remediated = unhealthy.contains(machine.name());
            if remediated {
                decision.delete(Kind::Machine, machine);
            }
            !remediated
        });
        let wanted = usize::try_from(replicas(set)).unwrap_or(0);
        if alive.len() < wanted {
            let mut taken = BTreeSet::new();
            for _ in alive.len()..wanted {
                let name = new_name(state, &taken, set.name(), set.uid(), context.now);
                decision.apply(Kind::Machine, MACHINE_SET_MANAGER, machine_body(state, set, &name));
                taken.insert(name);
            }
        } else if alive.len() > wanted {
            alive.sort_by_key(|it| deletion_order(state, it));
            for machine in &alive[..alive.len() - wanted] {
                decision.delete(Kind::Machine, machine);
            }
        }
    }
    // Machines whose set is gone.
    for machine in state.worker_machines().filter(|it| it.label(SET_LABEL).is_some()) {
        if !state.sets.iter().any(|it| !it.deleting() && machine.owned_by(it.uid())) {
            decision.delete(Kind::Machine, machine);
        }
    }
}

/// Who goes first: machines marked by a user, then those without a ready node, then the youngest.
fn deletion_order(state: &ClusterState, machine: &Object) -> (bool, bool, std::cmp::Reverse<jiff::Timestamp>, String) {
    (
        machine.annotation(DELETE_MACHINE_ANNOTATION).is_none(),
        state.healthy(machine),
        std::cmp::Reverse(machine.created()),
        machine.name().to_owned(),
    )
}

fn machine_body(state: &ClusterState, set: &Object, name: &str) -> Value {
    let mut labels = set.at("/spec/template/metadata/labels").clone();
    labels[SET_LABEL] = json!(set.name());
    let mut metadata = json!({
        "name": name, "namespace": state.namespace(), "labels": labels, "finalizers": [MACHINE_FINALIZER],
        "ownerReferences": [set.controller_reference(Kind::MachineSet)],
    });
    if let Some(annotations) = set.at("/spec/template/metadata").get("annotations") {
        metadata["annotations"] = annotations.clone();
    }
    let mut spec = set.at("/spec/template/spec").clone();
    spec["bootstrap"] = json!({"configRef": Kind::KubeadmConfig.reference(name)});
    spec["infrastructureRef"] = Kind::SimulatedMachine.reference(name);
    json!({"metadata": metadata, "spec": spec})
}

fn propagate(set: &Object, machines: &[&Object], decision: &mut Decision) {
    let template = set.at("/spec/template");
    let mut labels = template["metadata"]["labels"].clone();
    labels[SET_LABEL] = json!(set.name());
    for machine in machines {
        let mut patch = json!({});
        if let Some(difference) = merge_difference(machine.at("/metadata/labels"), &labels) {
            patch["metadata"]["labels"] = difference;
        }
        for field in ["deletion", "minReadySeconds", "taints"] {
            let wanted = template["spec"].get(field).unwrap_or(&Value::Null);
            let current = machine.at("/spec").get(field).unwrap_or(&Value::Null);
            if wanted != current {
                patch["spec"][field] = wanted.clone();
            }
        }
        if patch.as_object().is_some_and(|it| !it.is_empty()) {
            decision.patch(Kind::Machine, machine, patch);
        }
    }
}
