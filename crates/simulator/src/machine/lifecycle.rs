//! What every living machine needs: its bootstrap configuration and data, its instance, its provider id.

use serde_json::{Value, json};

use crate::{
    cloud::instance::{Indices, advance},
    condition::{Condition, merged},
    kind::Kind,
    object::{
        CLONED_FROM_GROUP_KIND_ANNOTATION, CLONED_FROM_NAME_ANNOTATION, CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL,
        Object, SET_LABEL,
    },
    state::{ClusterState, Context, InstanceStage, SIMULATED_MACHINE_FINALIZER, is_control_plane},
    write::{CONTROL_PLANE_MANAGER, Decision, MACHINE_SET_MANAGER, SecretContent, Write},
};

/// Moves every machine that is not being deleted.
pub fn reconcile(state: &ClusterState, context: &Context<'_>, decision: &mut Decision) {
    let mut indices = Indices::of(state);
    for machine in state.machines.iter().filter(|it| !it.deleting()) {
        if !state.configs.contains_key(machine.name()) {
            create_config(state, machine, decision);
        }
        let bootstrap_ready = state.secrets.contains(machine.name());
        if !bootstrap_ready {
            create_bootstrap_data(state, machine, decision);
        }
        match state.instance(machine) {
            None => create_instance(state, machine, decision),
            Some(instance) if !instance.deleting() => {
                advance(state, context, machine, instance, bootstrap_ready, &mut indices, decision);
            }
            Some(_) => {}
        }
    }
}

/// The names of the templates a machine is made from: bootstrap (workers only) and infrastructure.
fn sources(state: &ClusterState, machine: &Object) -> Option<(String, String)> {
    if is_control_plane(machine) {
        let control_plane = state.control_plane.as_ref()?;
        return Some((
            String::new(),
            control_plane.text("/spec/machineTemplate/spec/infrastructureRef/name").to_owned(),
        ));
    }
    let set = state.sets.iter().find(|it| machine.label(SET_LABEL) == Some(it.name()))?;
    let spec = |pointer: &str| set.text(&format!("/spec/template/spec/{pointer}")).to_owned();
    Some((spec("bootstrap/configRef/name"), spec("infrastructureRef/name")))
}

fn metadata(state: &ClusterState, machine: &Object) -> Value {
    let mut labels = machine.at("/metadata/labels").clone();
    labels[CLUSTER_NAME_LABEL] = json!(state.name());
    let mut owner = machine.controller_reference(Kind::Machine);
    owner["blockOwnerDeletion"] = json!(true);
    json!({"name": machine.name(), "namespace": state.namespace(), "labels": labels, "ownerReferences": [owner]})
}

fn manager(machine: &Object) -> &'static str {
    if is_control_plane(machine) { CONTROL_PLANE_MANAGER } else { MACHINE_SET_MANAGER }
}

fn create_config(state: &ClusterState, machine: &Object, decision: &mut Decision) {
    let Some((template, _)) = sources(state, machine) else { return };
    let mut metadata = metadata(state, machine);
    let spec = if is_control_plane(machine) {
        let mut spec =
            state.control_plane.as_ref().map(|it| it.at("/spec/kubeadmConfigSpec").clone()).unwrap_or_default();
        // A machine either initialises the control plane or joins it; the other half is left out, as the real controller does.
        let unused = if state.control_plane_initialized() { "initConfiguration" } else { "joinConfiguration" };
        if let Some(fields) = spec.as_object_mut() {
            fields.remove(unused);
        }
        spec
    } else {
        let Some(template) = state.templates.get(&(Kind::KubeadmConfigTemplate, template)) else { return };
        metadata["annotations"] = cloned_from(template, Kind::KubeadmConfigTemplate);
        template.at("/spec/template/spec").clone()
    };
    let spec = if spec.is_object() { spec } else { json!({}) };
    decision.apply(Kind::KubeadmConfig, manager(machine), json!({"metadata": metadata, "spec": spec}));
}

fn create_instance(state: &ClusterState, machine: &Object, decision: &mut Decision) {
    let Some((_, template)) = sources(state, machine) else { return };
    let Some(template) = state.templates.get(&(Kind::SimulatedMachineTemplate, template)) else { return };
    let mut metadata = metadata(state, machine);
    metadata["annotations"] = cloned_from(template, Kind::SimulatedMachineTemplate);
    metadata["finalizers"] = json!([SIMULATED_MACHINE_FINALIZER]);
    let spec = template.at("/spec/template/spec").clone();
    let spec = if spec.is_object() { spec } else { json!({}) };
    decision.apply(Kind::SimulatedMachine, manager(machine), json!({"metadata": metadata, "spec": spec}));
}

fn cloned_from(template: &Object, kind: Kind) -> Value {
    json!({
        CLONED_FROM_NAME_ANNOTATION: template.name(),
        CLONED_FROM_GROUP_KIND_ANNOTATION: format!("{}.{}", kind.name(), kind.group()),
    })
}

/// Why bootstrap data cannot be made yet.
fn bootstrap_blocker(state: &ClusterState, machine: &Object) -> Option<(&'static str, &'static str)> {
    if !state.infrastructure_provisioned() {
        Some((
            "WaitingForClusterInfrastructureReady",
            "Waiting for Cluster status.initialization.infrastructureProvisioned to be true",
        ))
    } else if !state.control_plane_initialized()
        && state.control_plane_machines().next().is_none_or(|first| first.name() != machine.name())
    {
        Some(("WaitingForControlPlaneInitialized", "Waiting for Cluster control plane to be initialized"))
    } else {
        None
    }
}

fn create_bootstrap_data(state: &ClusterState, machine: &Object, decision: &mut Decision) {
    let Some(config) = state.configs.get(machine.name()) else { return };
    if bootstrap_blocker(state, machine).is_some() {
        return;
    }
    let role = match (machine.label(CONTROL_PLANE_LABEL).is_some(), state.control_plane_initialized()) {
        (true, false) => "kubeadm init",
        (true, true) => "kubeadm join --control-plane",
        (false, _) => "kubeadm join",
    };
    let data = format!(
        "## template: jinja\n#cloud-config\n\nruncmd:\n  - '{role} --config /run/kubeadm/kubeadm.yaml  && echo success > \
         /run/cluster-api/bootstrap-success.complete'\n"
    );
    decision.writes.push(Write::Secret {
        name: machine.name().to_owned(),
        content: SecretContent::Bootstrap(data),
        owner: config.controller_reference(Kind::KubeadmConfig),
    });
}

/// What is written when nothing else is to be done: statuses of bootstrap configurations, and what a machine's spec takes
/// over from its parts. The returned machines carry what was written, for the statuses that follow.
pub fn settle(state: &ClusterState, context: &Context<'_>, decision: &mut Decision) {
    for machine in state.machines.iter().filter(|it| !it.deleting()) {
        let has_data = state.secrets.contains(machine.name());
        if let Some(config) = state.configs.get(machine.name()).filter(|it| !it.deleting()) {
            config_status(state, context, machine, config, has_data, decision);
        }
        let mut spec = json!({});
        if has_data && machine.text("/spec/bootstrap/dataSecretName") != machine.name() {
            spec["bootstrap"]["dataSecretName"] = json!(machine.name());
        }
        if let Some(instance) =
            state.instance(machine).filter(|it| InstanceStage::of(Some(it)) > InstanceStage::Building)
        {
            let provider_id = instance.text("/spec/providerID");
            if !provider_id.is_empty() && machine.text("/spec/providerID") != provider_id {
                spec["providerID"] = json!(provider_id);
            }
        }
        if spec.as_object().is_some_and(|it| !it.is_empty()) {
            decision.patch(Kind::Machine, machine, json!({"spec": spec}));
        }
    }
}

fn config_status(
    state: &ClusterState,
    context: &Context<'_>,
    machine: &Object,
    config: &Object,
    has_data: bool,
    decision: &mut Decision,
) {
    let conclusions = if has_data {
        [Condition::yes("DataSecretAvailable", "Available"), Condition::yes("Ready", "Ready")]
    } else {
        let (reason, message) = bootstrap_blocker(state, machine).unwrap_or(("NotAvailable", ""));
        [
            Condition::no("DataSecretAvailable", reason, message),
            Condition::no("Ready", "NotReady", format!("* DataSecretAvailable: {message}")),
        ]
    };
    let mut all = conclusions.to_vec();
    all.push(Condition::yes("CertificatesAvailable", "Available"));
    all.push(Condition::no("Paused", "NotPaused", ""));
    let mut status = json!({
        "conditions": merged(config, &all, context.now), "observedGeneration": config.generation(),
    });
    if has_data {
        status["initialization"] = json!({"dataSecretCreated": true});
        status["dataSecretName"] = json!(machine.name());
    }
    decision.status(Kind::KubeadmConfig, config, &status);
}
