//! What the topology controller writes: missing and changed objects, in the order upgrades have to take.
//!
//! The control plane gets a new version first; a machine deployment keeps its version and templates until the control
//! plane is done, and then one machine deployment follows the other. So a change that touches both rolls each once.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::desired::{Desired, DesiredDeployment, DesiredObject, is_applied, known_desired, stamp};
use crate::{
    condition::Condition,
    kind::Kind,
    machine::deployment::is_rolled_out,
    object::{Object, TOPOLOGY_DEPLOYMENT_LABEL, TOPOLOGY_OWNED_LABEL},
    state::{ClusterState, InstanceStage},
    write::{Decision, TOPOLOGY_MANAGER},
};

const TYPE: &str = "TopologyReconciled";

/// Writes what the topology asks for, and says how far it is.
pub fn reconcile(state: &ClusterState, decision: &mut Decision) -> Condition {
    let desired = match known_desired(state).outcome {
        Ok(desired) => desired,
        Err(error) => return Condition::no(TYPE, "ReconcileFailed", error),
    };
    let version = state.cluster.text("/spec/topology/version");
    let mut pending = Vec::new();
    apply(state.infrastructure.as_ref(), Kind::SimulatedCluster, &desired.infrastructure, decision);
    control_plane(state, &desired, decision, &mut pending);
    let control_plane_done = control_plane_is_done(state, &desired.control_plane);
    let mut busy = state
        .deployments
        .iter()
        .filter(|it| !it.deleting() && !is_rolled_out(state, it))
        .map(|it| it.name().to_owned())
        .collect::<Vec<_>>();
    for wanted in &desired.deployments {
        deployment(state, wanted, control_plane_done, &mut busy, decision, &mut pending);
    }
    for extra in &state.deployments {
        let name = extra.label(TOPOLOGY_DEPLOYMENT_LABEL);
        if name.is_some_and(|name| !desired.deployments.iter().any(|it| it.topology_name == name)) {
            decision.delete(Kind::MachineDeployment, extra);
        }
    }
    health_checks(state, &desired, decision);
    references(state, &desired, decision);
    remove_unused_templates(state, &desired, decision);
    conclusion(state, version, &desired, &pending)
}

fn apply(stored: Option<&Object>, kind: Kind, body: &Value, decision: &mut Decision) {
    if stored.is_none_or(|stored| !stored.deleting() && !is_applied(stored, body)) {
        decision.apply(kind, TOPOLOGY_MANAGER, body.clone());
    }
}

fn apply_template(state: &ClusterState, template: &DesiredObject, decision: &mut Decision) {
    // Templates are named after their content: one that is there is right.
    if !state.templates.contains_key(&(template.kind, template.name().to_owned())) {
        decision.apply(template.kind, TOPOLOGY_MANAGER, template.body.clone());
    }
}

fn control_plane(state: &ClusterState, desired: &Desired, decision: &mut Decision, pending: &mut Vec<String>) {
    let stored = state.control_plane.as_ref();
    let mut body = Cow::Borrowed(&desired.control_plane);
    if let Some(stored) = stored {
        let upgrades = stored.at("/spec/version") != &body["spec"]["version"];
        let workers_behind = state.deployments.iter().any(|it| {
            !it.deleting()
                && (!is_rolled_out(state, it) || it.at("/spec/template/spec/version") != stored.at("/spec/version"))
                && desired.deployments.iter().any(|wanted| wanted.deployment["metadata"]["name"] == it.name())
        });
        if upgrades && workers_behind {
            // Workers may not fall two minors behind: they finish the last upgrade first.
            let held = body.to_mut();
            held["spec"]["version"] = stored.at("/spec/version").clone();
            stamp(held);
            pending.push(format!("  * KubeadmControlPlane {} pending upgrade", stored.name()));
        }
    }
    if stored.is_none_or(|stored| {
        stored.at("/spec/machineTemplate/spec/infrastructureRef/name") != desired.machine_template.name()
    }) {
        apply_template(state, &desired.machine_template, decision);
    }
    apply(stored, Kind::KubeadmControlPlane, &body, decision);
}

/// Whether all control plane machines are what the control plane object asks for, and it is what the topology asks for.
fn control_plane_is_done(state: &ClusterState, wanted: &Value) -> bool {
    let Some(control_plane) = &state.control_plane else { return false };
    let replicas = control_plane.number("/spec/replicas").unwrap_or(1);
    let hash = crate::control_plane::replicas::rollout_hash(control_plane);
    let machines: Vec<&Object> = state.control_plane_machines().collect();
    is_applied(control_plane, wanted)
        && i64::try_from(machines.len()).is_ok_and(|count| count == replicas)
        && machines.iter().all(|it| {
            !it.deleting()
                && state.stage(it) == InstanceStage::Running
                && crate::control_plane::replicas::is_up_to_date(control_plane, &hash, it)
        })
}

fn deployment(
    state: &ClusterState,
    wanted: &DesiredDeployment,
    control_plane_done: bool,
    busy: &mut Vec<String>,
    decision: &mut Decision,
    pending: &mut Vec<String>,
) {
    const TEMPLATE_FIELDS: [&str; 4] = ["version", "bootstrap", "infrastructureRef", "failureDomain"];
    let mut body = Cow::Borrowed(&wanted.deployment);
    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let stored = state.deployments.iter().find(|it| it.name() == name);
    let mut held = false;
    if let Some(stored) = stored {
        let template = stored.at("/spec/template/spec");
        let rolls = TEMPLATE_FIELDS.iter().any(|field| body["spec"]["template"]["spec"][*field] != template[*field]);
        // Nothing to roll without machines: then there is nothing to wait for either.
        let has_machines = state.machines.iter().any(|it| it.label(crate::object::DEPLOYMENT_LABEL) == Some(&name));
        held = rolls && (!control_plane_done || busy.iter().any(|it| *it != name) && has_machines);
        if held {
            let body = body.to_mut();
            for field in TEMPLATE_FIELDS {
                match template.get(field) {
                    Some(value) => body["spec"]["template"]["spec"][field] = value.clone(),
                    None => drop(body["spec"]["template"]["spec"].as_object_mut().map(|it| it.remove(field))),
                }
            }
            stamp(body);
            pending.push(format!("  * MachineDeployment {name} pending upgrade"));
        } else if rolls {
            busy.push(name);
        }
    }
    if !held {
        for template in &wanted.templates {
            apply_template(state, template, decision);
        }
    }
    apply(stored, Kind::MachineDeployment, &body, decision);
}

fn health_checks(state: &ClusterState, desired: &Desired, decision: &mut Decision) {
    let wanted: Vec<&Value> = desired
        .health_check
        .iter()
        .chain(desired.deployments.iter().filter_map(|it| it.health_check.as_ref()))
        .collect();
    for body in &wanted {
        let stored = state.health_checks.iter().find(|it| body["metadata"]["name"] == it.name());
        apply(stored, Kind::MachineHealthCheck, body, decision);
    }
    for extra in &state.health_checks {
        if extra.label(TOPOLOGY_OWNED_LABEL).is_some()
            && !wanted.iter().any(|it| it["metadata"]["name"] == extra.name())
        {
            decision.delete(Kind::MachineHealthCheck, extra);
        }
    }
}

fn references(state: &ClusterState, desired: &Desired, decision: &mut Decision) {
    let name = |body: &Value| body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let infrastructure = Kind::SimulatedCluster.reference(&name(&desired.infrastructure));
    let control_plane = Kind::KubeadmControlPlane.reference(&name(&desired.control_plane));
    let mut patch = json!({});
    if state.cluster.at("/spec/infrastructureRef") != &infrastructure {
        patch["spec"]["infrastructureRef"] = infrastructure;
    }
    if state.cluster.at("/spec/controlPlaneRef") != &control_plane {
        patch["spec"]["controlPlaneRef"] = control_plane;
    }
    if !state.cluster.has_finalizer(crate::state::CLUSTER_FINALIZER) {
        let mut finalizers = state.cluster.list("/metadata/finalizers").to_vec();
        finalizers.push(json!(crate::state::CLUSTER_FINALIZER));
        patch["metadata"] = json!({
            "finalizers": finalizers, "resourceVersion": state.cluster.text("/metadata/resourceVersion"),
            "labels": {crate::object::CLUSTER_NAME_LABEL: state.name(), TOPOLOGY_OWNED_LABEL: ""},
        });
    }
    if patch.as_object().is_some_and(|it| !it.is_empty()) {
        decision.patch(Kind::Cluster, &state.cluster, patch);
    }
}

/// Clones that nothing refers to any more.
fn remove_unused_templates(state: &ClusterState, desired: &Desired, decision: &mut Decision) {
    let referenced = |name: &str| {
        let machine_refers = |spec: &Value| {
            spec.pointer("/infrastructureRef/name").is_some_and(|it| it == name)
                || spec.pointer("/bootstrap/configRef/name").is_some_and(|it| it == name)
        };
        desired.machine_template.name() == name
            || desired.deployments.iter().any(|it| it.templates.iter().any(|template| template.name() == name))
            || state.control_plane.iter().any(|it| machine_refers(it.at("/spec/machineTemplate/spec")))
            || state.deployments.iter().chain(&state.sets).any(|it| machine_refers(it.at("/spec/template/spec")))
    };
    for ((kind, name), template) in &state.templates {
        if template.label(TOPOLOGY_OWNED_LABEL).is_some() && template.owned_by(state.cluster.uid()) && !referenced(name)
        {
            decision.delete(*kind, template);
        }
    }
}

fn conclusion(state: &ClusterState, version: &str, desired: &Desired, pending: &[String]) -> Condition {
    let mut lines = pending.to_vec();
    if let Some(control_plane) = &state.control_plane {
        let replicas = control_plane.number("/spec/replicas").unwrap_or(1);
        let behind = state.control_plane_machines().filter(|it| it.text("/spec/version") != version).count();
        if behind > 0 && control_plane.text("/spec/version") == version {
            let line = format!(
                "  * KubeadmControlPlane {} upgrading to version {version} ({behind} of {replicas} to go)",
                control_plane.name()
            );
            lines.insert(0, line);
        }
    }
    for deployment in state.deployments.iter().filter(|it| !it.deleting()) {
        let behind = state
            .machines
            .iter()
            .filter(|it| it.label(crate::object::DEPLOYMENT_LABEL) == Some(deployment.name()))
            .filter(|it| it.text("/spec/version") != version)
            .count();
        if behind > 0 && deployment.text("/spec/template/spec/version") == version {
            lines.push(format!(
                "  * MachineDeployment {} upgrading to version {version} ({behind} to go)",
                deployment.name()
            ));
        }
    }
    if !lines.is_empty() {
        return Condition::no(
            TYPE,
            "ClusterUpgrading",
            format!("Cluster is upgrading to {version}\n{}", lines.join("\n")),
        );
    }
    if state.control_plane.is_none() || state.deployments.len() < desired.deployments.len() {
        return Condition::no(TYPE, "ClusterCreating", "Cluster is being created");
    }
    Condition::yes(TYPE, "ReconcileSucceeded")
}
