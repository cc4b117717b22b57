//! Control plane machines: the first initialises, the others follow one by one, and no step may cost the etcd quorum.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    kind::Kind,
    machine::naming::new_name,
    object::{
        CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL, CONTROL_PLANE_NAME_LABEL, DELETE_MACHINE_ANNOTATION, Object,
        merge_difference, name_suffix,
    },
    state::{CONTROL_PLANE_FINALIZER, ClusterState, Context, MACHINE_FINALIZER},
    write::{CONTROL_PLANE_MANAGER, Decision, SecretContent, Write},
};

/// Annotation on a machine with the hash of the template and configuration it was made from.
pub const ROLLOUT_HASH_ANNOTATION: &str = "simulation.kogge.dev/control-plane-hash";

/// Hash of what makes control plane machines roll beside the version.
pub fn rollout_hash(control_plane: &Object) -> String {
    name_suffix(&[
        control_plane.text("/spec/machineTemplate/spec/infrastructureRef/name"),
        &control_plane.at("/spec/kubeadmConfigSpec").to_string(),
        control_plane.text("/spec/rollout/after"),
    ])
}

/// Whether a machine is what the control plane object asks for.
pub fn is_up_to_date(control_plane: &Object, hash: &str, machine: &Object) -> bool {
    machine.text("/spec/version") == control_plane.text("/spec/version")
        && machine.annotation(ROLLOUT_HASH_ANNOTATION) == Some(hash)
}

/// Names and contents of the cluster's secrets beside bootstrap data.
pub fn secrets(cluster: &str) -> [(String, SecretContent); 5] {
    [
        (format!("{cluster}-ca"), SecretContent::CertificateAuthority("kubernetes")),
        (format!("{cluster}-etcd"), SecretContent::CertificateAuthority("kubernetes")),
        (format!("{cluster}-proxy"), SecretContent::CertificateAuthority("kubernetes")),
        (format!("{cluster}-sa"), SecretContent::ServiceAccountKey),
        (format!("{cluster}-kubeconfig"), SecretContent::Kubeconfig),
    ]
}

/// Moves the control plane one step.
pub fn reconcile(state: &ClusterState, context: &Context<'_>, unhealthy: &BTreeSet<String>, decision: &mut Decision) {
    let Some(control_plane) = &state.control_plane else { return };
    if control_plane.deleting() {
        delete(state, control_plane, decision);
        return;
    }
    if !state.infrastructure_provisioned() {
        return;
    }
    if !certificates(state, control_plane, decision) {
        return;
    }
    let machines: Vec<&Object> = state.control_plane_machines().collect();
    propagate(control_plane, &machines, decision);
    match next_step(state, control_plane, &machines, unhealthy) {
        Step::Create => create(state, context, control_plane, &machines, decision),
        Step::Delete(machine) => decision.delete(Kind::Machine, machine),
        Step::Wait => {}
    }
}

/// Whether all secrets are there; creates the missing ones. The kubeconfig comes after the authority that signs it.
fn certificates(state: &ClusterState, control_plane: &Object, decision: &mut Decision) -> bool {
    let authority = format!("{}-ca", state.name());
    let mut complete = true;
    for (name, content) in secrets(state.name()) {
        if !state.secrets.contains(&name) {
            complete = false;
            if content != SecretContent::Kubeconfig || state.secrets.contains(&authority) {
                decision.writes.push(Write::Secret {
                    name,
                    content,
                    owner: control_plane.controller_reference(Kind::KubeadmControlPlane),
                });
            }
        }
    }
    complete
}

#[derive(Debug, PartialEq)]
enum Step<'a> {
    Create,
    Delete(&'a Object),
    Wait,
}

fn next_step<'a>(
    state: &ClusterState,
    control_plane: &Object,
    machines: &[&'a Object],
    unhealthy: &BTreeSet<String>,
) -> Step<'a> {
    let desired = usize::try_from(control_plane.number("/spec/replicas").unwrap_or(1)).unwrap_or(1);
    if machines.is_empty() {
        return if desired > 0 { Step::Create } else { Step::Wait };
    }
    if machines.iter().any(|it| it.deleting()) {
        return Step::Wait;
    }
    let running = machines.iter().filter(|it| state.healthy(it)).count();
    if let Some(sick) = machines.iter().find(|it| unhealthy.contains(it.name())) {
        // Replacing a member must leave a majority of the others; before initialisation there is no quorum to lose.
        let others = running - usize::from(state.healthy(sick));
        let quorum_kept = others * 2 > machines.len() - 1 && others > 0;
        return if quorum_kept || !state.control_plane_initialized() { Step::Delete(sick) } else { Step::Wait };
    }
    if running < machines.len() {
        return Step::Wait;
    }
    let hash = rollout_hash(control_plane);
    let outdated: Vec<&'a Object> =
        machines.iter().filter(|it| !is_up_to_date(control_plane, &hash, it)).copied().collect();
    if !outdated.is_empty() {
        let surge = usize::from(
            control_plane.number("/spec/rollout/strategy/rollingUpdate/maxSurge") != Some(0) || desired < 3,
        );
        return if machines.len() < desired + surge { Step::Create } else { pick(&outdated, machines) };
    }
    match machines.len().cmp(&desired) {
        std::cmp::Ordering::Less => Step::Create,
        std::cmp::Ordering::Equal => Step::Wait,
        std::cmp::Ordering::Greater => pick(machines, machines),
    }
}

/// Whom to delete: a machine marked by a user, else the oldest in the zone with the most machines.
fn pick<'a>(candidates: &[&'a Object], machines: &[&Object]) -> Step<'a> {
    let count = |zone: &str| machines.iter().filter(|it| it.text("/spec/failureDomain") == zone).count();
    candidates
        .iter()
        .min_by_key(|it| {
            (
                it.annotation(DELETE_MACHINE_ANNOTATION).is_none(),
                std::cmp::Reverse(count(it.text("/spec/failureDomain"))),
                it.created(),
                it.name(),
            )
        })
        .map_or(Step::Wait, |it| Step::Delete(it))
}

fn create(
    state: &ClusterState,
    context: &Context<'_>,
    control_plane: &Object,
    machines: &[&Object],
    decision: &mut Decision,
) {
    let name = new_name(state, &BTreeSet::new(), control_plane.name(), control_plane.uid(), context.now);
    let hash = rollout_hash(control_plane);
    let mut labels = labels(state, control_plane);
    labels[CLUSTER_NAME_LABEL] = json!(state.name());
    let mut spec = json!({
        "clusterName": state.name(), "version": control_plane.at("/spec/version"),
        "bootstrap": {"configRef": Kind::KubeadmConfig.reference(&name)},
        "infrastructureRef": Kind::SimulatedMachine.reference(&name),
    });
    if let Some(zone) = zone(state, context, control_plane, &hash, machines) {
        spec["failureDomain"] = json!(zone);
    }
    if let Some(deletion) = control_plane.at("/spec/machineTemplate/spec").get("deletion") {
        spec["deletion"] = deletion.clone();
    }
    let mut annotations = control_plane.at("/spec/machineTemplate/metadata/annotations").clone();
    annotations[ROLLOUT_HASH_ANNOTATION] = json!(hash);
    let body = json!({
        "metadata": {
            "name": name, "namespace": state.namespace(), "labels": labels, "annotations": annotations,
            "finalizers": [MACHINE_FINALIZER],
            "ownerReferences": [control_plane.controller_reference(Kind::KubeadmControlPlane)],
        },
        "spec": spec,
    });
    decision.apply(Kind::Machine, CONTROL_PLANE_MANAGER, body);
}

fn labels(state: &ClusterState, control_plane: &Object) -> Value {
    let mut labels = control_plane.at("/spec/machineTemplate/metadata/labels").clone();
    labels[CLUSTER_NAME_LABEL] = json!(state.name());
    labels[CONTROL_PLANE_LABEL] = json!("");
    labels[CONTROL_PLANE_NAME_LABEL] = json!(control_plane.name());
    labels
}

/// The zone with the fewest machines that are up to date, then with the fewest at all; zones that are down come last.
fn zone(
    state: &ClusterState,
    context: &Context<'_>,
    control_plane: &Object,
    hash: &str,
    machines: &[&Object],
) -> Option<String> {
    let domains = state.infrastructure.as_ref()?.list("/status/failureDomains");
    let mut counts: BTreeMap<&str, (bool, usize, usize)> = domains
        .iter()
        .filter(|it| it["controlPlane"] == true)
        .filter_map(|it| it["name"].as_str())
        .map(|name| {
            let scope = crate::fault::Scope { zone: name, pool: "control-plane", ..state.cluster_scope() };
            (name, (context.faults.zone_down(&scope), 0, 0))
        })
        .collect();
    for machine in machines {
        if let Some(count) = counts.get_mut(machine.text("/spec/failureDomain")) {
            count.1 += usize::from(is_up_to_date(control_plane, hash, machine));
            count.2 += 1;
        }
    }
    counts.into_iter().min_by_key(|(name, count)| (*count, *name)).map(|(name, _)| name.to_owned())
}

fn propagate(control_plane: &Object, machines: &[&Object], decision: &mut Decision) {
    let wanted = control_plane.at("/spec/machineTemplate/metadata/labels");
    let deletion = control_plane.at("/spec/machineTemplate/spec/deletion");
    for machine in machines.iter().filter(|it| !it.deleting()) {
        let mut patch = json!({});
        let mut labels = wanted.clone();
        labels[CONTROL_PLANE_LABEL] = json!("");
        labels[CONTROL_PLANE_NAME_LABEL] = json!(control_plane.name());
        labels[CLUSTER_NAME_LABEL] = control_plane.at("/metadata/labels")[CLUSTER_NAME_LABEL].clone();
        if let Some(difference) = merge_difference(machine.at("/metadata/labels"), &labels) {
            patch["metadata"]["labels"] = difference;
        }
        if machine.at("/spec/deletion") != deletion {
            patch["spec"]["deletion"] = deletion.clone();
        }
        if patch.as_object().is_some_and(|it| !it.is_empty()) {
            decision.patch(Kind::Machine, machine, patch);
        }
    }
}

/// Workers go first, then all control plane machines, then the object.
fn delete(state: &ClusterState, control_plane: &Object, decision: &mut Decision) {
    if state.worker_machines().next().is_some() {
        return;
    }
    for machine in state.control_plane_machines() {
        decision.delete(Kind::Machine, machine);
    }
    if state.control_plane_machines().next().is_none() {
        decision.release(Kind::KubeadmControlPlane, control_plane, CONTROL_PLANE_FINALIZER);
    }
}
