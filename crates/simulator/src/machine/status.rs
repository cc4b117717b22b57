//! Statuses of machines, machine sets and machine deployments, with the conditions of Cluster API's v1beta2 contract.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    deletion,
    deployment::{TEMPLATE_HASH_LABEL, machines_of, replicas, sets_of, template_hash},
    health_check::Health,
};
use crate::{
    condition::{AggregateReasons, Condition, Status, aggregate, merged, seconds},
    control_plane::replicas::{is_up_to_date, rollout_hash},
    kind::Kind,
    object::{DEPLOYMENT_LABEL, Object, SET_LABEL},
    state::{ClusterState, Context, InstanceStage, is_control_plane},
    workload::node::node_info,
    write::Decision,
};

/// Writes the status of every machine, and puts it into the state for the statuses that build on it.
pub fn machines(state: &mut ClusterState, context: &Context<'_>, health: &Health, decision: &mut Decision) {
    let statuses: Vec<Value> =
        state.machines.iter().map(|machine| machine_status(state, context, health, machine, decision)).collect();
    for (machine, status) in state.machines.iter_mut().zip(statuses) {
        decision.status(Kind::Machine, machine, &status);
        machine.set_status(status);
    }
}

fn machine_status(
    state: &ClusterState,
    context: &Context<'_>,
    health: &Health,
    machine: &Object,
    decision: &mut Decision,
) -> Value {
    let instance = state.instance(machine);
    let stage = state.stage(machine);
    let provisioned = instance.is_some_and(|it| it.flag("/status/initialization/provisioned"))
        || machine.flag("/status/initialization/infrastructureProvisioned");
    let has_data =
        state.secrets.contains(machine.name()) || machine.flag("/status/initialization/bootstrapDataSecretCreated");
    let conditions = conditions(state, context, health, machine, decision);
    let has_node = stage.has_node() || (machine.deleting() && !machine.text("/status/nodeRef/name").is_empty());
    let phase = if machine.deleting() {
        "Deleting"
    } else if has_node {
        "Running"
    } else if provisioned {
        "Provisioned"
    } else if has_data {
        "Provisioning"
    } else {
        "Pending"
    };
    let mut status = json!({
        "conditions": conditions, "phase": phase, "observedGeneration": machine.generation(),
        "initialization": {"infrastructureProvisioned": provisioned, "bootstrapDataSecretCreated": has_data},
    });
    let old = machine.at("/status");
    status["lastUpdated"] =
        if old["phase"] == phase { old["lastUpdated"].clone() } else { json!(seconds(context.now)) };
    if has_node {
        status["nodeRef"] = json!({"name": machine.name()});
        status["nodeInfo"] = node_info(machine.text("/spec/version"), machine.uid());
    }
    for field in ["deletion", "certificatesExpiryDate"] {
        if let Some(value) = old.get(field) {
            status[field] = value.clone();
        }
    }
    if let Some(instance) = instance {
        for field in ["addresses", "failureDomain"] {
            if let Some(value) = instance.at("/status").get(field) {
                status[field] = value.clone();
            }
        }
    }
    if is_control_plane(machine) && has_node && status.get("certificatesExpiryDate").is_none() {
        let expiry = context.now.saturating_add(jiff::SignedDuration::from_hours(365 * 24)).unwrap_or(context.now);
        status["certificatesExpiryDate"] = json!(seconds(expiry));
    }
    status
}

fn conditions(
    state: &ClusterState,
    context: &Context<'_>,
    health: &Health,
    machine: &Object,
    decision: &mut Decision,
) -> Value {
    let mut all = vec![bootstrap(state, machine), infrastructure(state, machine)];
    all.extend(node(state, machine));
    if health.checked.contains(machine.name()) {
        all.extend(health_check(health, machine));
    }
    if is_control_plane(machine) {
        all.extend(control_plane_components(state.stage(machine)));
    }
    let deleting = machine.deleting().then(|| deletion::stage(state, context, machine));
    let ready = summary(&all, deleting.as_ref());
    all.push(match &deleting {
        Some(stage) => Condition::new("Deleting", Status::True, stage.reason, stage.message.clone()),
        None => Condition::no("Deleting", "NotDeleting", ""),
    });
    all.push(available(context, machine, &ready, decision));
    all.push(ready);
    all.push(up_to_date(state, machine));
    all.push(Condition::no("Updating", "NotUpdating", ""));
    all.push(Condition::no("Paused", "NotPaused", ""));
    let mut result = merged(machine, &all, context.now);
    // Conditions that no longer apply disappear instead of staying at their last value.
    if let Some(conditions) = result.as_array_mut() {
        let applies = |it: &Value| all.iter().any(|new| it["type"] == new.condition_type);
        conditions
            .retain(|it| applies(it) || (it["type"] != "OwnerRemediated" && it["type"] != "HealthCheckSucceeded"));
    }
    result
}

fn bootstrap(state: &ClusterState, machine: &Object) -> Condition {
    const TYPE: &str = "BootstrapConfigReady";
    if state.secrets.contains(machine.name()) {
        return Condition::yes(TYPE, "Ready");
    }
    match state.configs.get(machine.name()) {
        None if machine.deleting() => Condition::no(TYPE, "ObjectDeleted", "KubeadmConfig has been deleted"),
        None => Condition::no(TYPE, "ObjectDoesNotExist", "KubeadmConfig does not exist"),
        Some(config) => {
            let message = config.condition("Ready").and_then(|it| it["message"].as_str()).unwrap_or_default();
            let message = if message.is_empty() {
                "KubeadmConfig status.initialization.dataSecretCreated is false"
            } else {
                message
            };
            Condition::no(TYPE, "NotReady", message)
        }
    }
}

fn infrastructure(state: &ClusterState, machine: &Object) -> Condition {
    const TYPE: &str = "InfrastructureReady";
    let Some(instance) = state.instance(machine) else {
        return if machine.deleting() {
            Condition::no(TYPE, "ObjectDeleted", "SimulatedMachine has been deleted")
        } else {
            Condition::no(TYPE, "ObjectDoesNotExist", "SimulatedMachine does not exist")
        };
    };
    match instance.condition("Ready") {
        Some(ready) => Condition::new(
            TYPE,
            Status::of(Some(ready)),
            ready["reason"].as_str().unwrap_or("NotReady"),
            ready["message"].as_str().unwrap_or_default(),
        ),
        None => Condition::no(TYPE, "NotReady", "SimulatedMachine status.initialization.provisioned is false"),
    }
}

fn node(state: &ClusterState, machine: &Object) -> [Condition; 2] {
    let both = |status: Status, healthy: &str, ready: &str, message: String| {
        [
            Condition::new("NodeHealthy", status, healthy, message.clone()),
            Condition::new("NodeReady", status, ready, message),
        ]
    };
    match state.stage(machine) {
        InstanceStage::Running => {
            [Condition::yes("NodeHealthy", "NodeHealthy"), Condition::yes("NodeReady", "NodeReady")]
        }
        InstanceStage::Joining => {
            let message = "* Node.Ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                           message:Network plugin returns error: cni plugin not initialized";
            both(Status::False, "NodeNotHealthy", "NodeNotReady", message.to_owned())
        }
        InstanceStage::Lost => [
            Condition::unknown(
                "NodeHealthy",
                "NodeHealthyUnknown",
                "* Node.AllConditions: Kubelet stopped posting node status.",
            ),
            Condition::unknown("NodeReady", "NodeReadyUnknown", "* Node.Ready: Kubelet stopped posting node status."),
        ],
        InstanceStage::None | InstanceStage::Building if !state.control_plane_initialized() => {
            let message = if state.infrastructure_provisioned() {
                "Waiting for Cluster control plane to be initialized"
            } else {
                "Waiting for Cluster status.initialization.infrastructureProvisioned to be true"
            };
            both(Status::Unknown, "InspectionFailed", "InspectionFailed", message.to_owned())
        }
        _ if machine.deleting() && !machine.text("/status/nodeRef/name").is_empty() => {
            both(Status::False, "NodeDeleted", "NodeDeleted", format!("Node {} has been deleted", machine.name()))
        }
        InstanceStage::Booting => {
            let provider = state.instance(machine).map_or("", |it| it.text("/spec/providerID"));
            let message = format!("Waiting for a Node with spec.providerID {provider} to exist");
            both(Status::Unknown, "InspectionFailed", "InspectionFailed", message)
        }
        _ => {
            let message = "Waiting for SimulatedMachine to report spec.providerID".to_owned();
            both(Status::Unknown, "InspectionFailed", "InspectionFailed", message)
        }
    }
}

fn health_check(health: &Health, machine: &Object) -> Vec<Condition> {
    match health.unhealthy.get(machine.name()) {
        None => vec![Condition::yes("HealthCheckSucceeded", "HealthCheckSucceeded")],
        Some(found) => {
            let mut all = vec![Condition::no("HealthCheckSucceeded", found.reason, found.message.clone())];
            if found.remediated {
                all.push(Condition::no("OwnerRemediated", "WaitingForRemediation", "Waiting for remediation"));
            }
            all
        }
    }
}

fn control_plane_components(stage: InstanceStage) -> Vec<Condition> {
    const PODS: [(&str, &str); 4] = [
        ("APIServerPodHealthy", "kube-apiserver"),
        ("ControllerManagerPodHealthy", "kube-controller-manager"),
        ("SchedulerPodHealthy", "kube-scheduler"),
        ("EtcdPodHealthy", "etcd"),
    ];
    let (status, reason, message) = match stage {
        InstanceStage::Running | InstanceStage::Joining => (Status::True, "Running", ""),
        InstanceStage::Lost => (Status::Unknown, "InspectionFailed", "Node is unreachable"),
        _ => (Status::Unknown, "InspectionFailed", "Waiting for a Node to exist"),
    };
    let mut all: Vec<Condition> =
        PODS.iter().map(|(condition_type, _)| Condition::new(condition_type, status, reason, message)).collect();
    let healthy = if status == Status::True { "Healthy" } else { "InspectionFailed" };
    all.push(Condition::new("EtcdMemberHealthy", status, healthy, message));
    let set = if status == Status::True { "Set" } else { "InspectionFailed" };
    all.push(Condition::new("NodeKubeadmLabelsAndTaintsSet", status, set, message));
    all
}

/// `Ready`: everything else is well, or a line for each that is not.
fn summary(all: &[Condition], deleting: Option<&deletion::DeletionStage>) -> Condition {
    let mut worst = Status::True;
    let mut lines = Vec::new();
    if let Some(stage) = deleting {
        worst = Status::False;
        lines.push(format!("* Deleting: Machine deletion in progress, stage: {}", stage.reason));
    }
    let components = |condition: &Condition| {
        condition.condition_type.ends_with("PodHealthy") || condition.condition_type == "EtcdMemberHealthy"
    };
    for condition in all {
        // NodeHealthy speaks for the node; its details would say the same twice.
        if condition.status == Status::True
            || matches!(condition.condition_type, "NodeReady" | "OwnerRemediated" | "NodeKubeadmLabelsAndTaintsSet")
        {
            continue;
        }
        if condition.status == Status::False || worst == Status::True {
            worst = condition.status;
        }
        if !components(condition) {
            let message =
                if condition.message.is_empty() { condition.reason.as_str() } else { condition.message.as_str() };
            let message = if message.starts_with("* ") {
                format!("\n  {}", message.replace('\n', "\n  "))
            } else {
                format!(" {message}")
            };
            lines.push(format!("* {}:{message}", condition.condition_type));
        }
    }
    if let Some(condition) = all.iter().find(|it| components(it) && it.status != Status::True) {
        lines.push(format!("* Control plane components: {}", condition.message));
        lines.push(format!("* EtcdMemberHealthy: {}", condition.message));
    }
    let reason = match worst {
        Status::True => "Ready",
        Status::False => "NotReady",
        Status::Unknown => "ReadyUnknown",
    };
    Condition::new("Ready", worst, reason, lines.join("\n"))
}

fn available(context: &Context<'_>, machine: &Object, ready: &Condition, decision: &mut Decision) -> Condition {
    if ready.status != Status::True {
        return Condition::no("Available", "NotReady", "");
    }
    let wait = machine.number("/spec/minReadySeconds").unwrap_or(0);
    if wait > 0 {
        let since = machine
            .condition("Ready")
            .filter(|it| it["status"] == "True")
            .and_then(|it| it["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok())
            .unwrap_or(context.now);
        #[expect(clippy::cast_precision_loss, reason = "seconds of a timeout")]
        let at = since.saturating_add(context.clock.timeout(wait as f64)).unwrap_or(context.now);
        if at > context.now {
            decision.wake(at);
            return Condition::no("Available", "WaitingForMinReadySeconds", "");
        }
    }
    Condition::yes("Available", "Available")
}

fn up_to_date(state: &ClusterState, machine: &Object) -> Condition {
    let mut lines = Vec::new();
    if is_control_plane(machine) {
        if let Some(control_plane) = &state.control_plane {
            let hash = rollout_hash(control_plane);
            let wanted = control_plane.text("/spec/version");
            if machine.text("/spec/version") != wanted {
                lines.push(format!("* Version {}, {wanted} required", machine.text("/spec/version")));
            } else if !is_up_to_date(control_plane, &hash, machine) {
                lines.push("* SimulatedMachine or KubeadmConfig is not up-to-date".to_owned());
            }
        }
    } else if let Some(deployment) =
        state.deployments.iter().find(|it| machine.label(DEPLOYMENT_LABEL) == Some(it.name()))
    {
        let wanted = deployment.text("/spec/template/spec/version");
        if machine.text("/spec/version") != wanted {
            lines.push(format!("* Version {}, {wanted} required", machine.text("/spec/version")));
        } else if machine.label(TEMPLATE_HASH_LABEL) != Some(&template_hash(deployment)) {
            lines.push("* SimulatedMachine or KubeadmConfig is not up-to-date".to_owned());
        }
    }
    if lines.is_empty() {
        Condition::yes("UpToDate", "UpToDate")
    } else {
        Condition::no("UpToDate", "NotUpToDate", lines.join("\n"))
    }
}

/// Replica counts of machines.
pub struct Counts {
    replicas: usize,
    ready: usize,
    available: usize,
    up_to_date: usize,
}

impl Counts {
    /// Counts these machines.
    pub fn of<'a>(machines: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut counts = Self { replicas: 0, ready: 0, available: 0, up_to_date: 0 };
        for machine in machines {
            counts.replicas += 1;
            counts.ready += usize::from(machine.is_true("Ready"));
            counts.available += usize::from(machine.is_true("Available"));
            counts.up_to_date += usize::from(machine.is_true("UpToDate"));
        }
        counts
    }

    /// Adds the counts to a status.
    pub fn write(&self, status: &mut Value) {
        status["replicas"] = json!(self.replicas);
        status["readyReplicas"] = json!(self.ready);
        status["availableReplicas"] = json!(self.available);
        status["upToDateReplicas"] = json!(self.up_to_date);
    }

    /// Machines that are available.
    pub fn available(&self) -> i64 {
        i64::try_from(self.available).unwrap_or(i64::MAX)
    }
}

/// The conditions machine sets, deployments and control planes have in common.
pub fn replica_conditions(machines: &[&Object], desired: i64, deleting: bool, what: &str) -> Vec<Condition> {
    let count = i64::try_from(machines.iter().filter(|it| !it.deleting()).count()).unwrap_or(0);
    let all = i64::try_from(machines.len()).unwrap_or(0);
    let wanted = if deleting { 0 } else { desired };
    let mut conditions = vec![
        aggregate("MachinesReady", "Ready", machines.iter().copied(), AggregateReasons::READY, "Machine"),
        aggregate("MachinesUpToDate", "UpToDate", machines.iter().copied(), AggregateReasons::UP_TO_DATE, "Machine"),
        if count < wanted {
            Condition::new(
                "ScalingUp",
                Status::True,
                "ScalingUp",
                format!("Scaling up from {count} to {wanted} replicas"),
            )
        } else {
            Condition::no("ScalingUp", "NotScalingUp", "")
        },
        if all > wanted {
            Condition::new(
                "ScalingDown",
                Status::True,
                "ScalingDown",
                format!("Scaling down from {all} to {wanted} replicas"),
            )
        } else {
            Condition::no("ScalingDown", "NotScalingDown", "")
        },
        Condition::no("Paused", "NotPaused", ""),
    ];
    let remediated: Vec<&Object> =
        machines.iter().copied().filter(|it| it.condition("OwnerRemediated").is_some()).collect();
    conditions.push(if remediated.is_empty() {
        Condition::no("Remediating", "NotRemediating", "")
    } else {
        let names: Vec<&str> = remediated.iter().map(|it| it.name()).collect();
        Condition::new(
            "Remediating",
            Status::True,
            "Remediating",
            format!("* Machine {}: Waiting for remediation", names.join(", ")),
        )
    });
    conditions.push(if deleting {
        Condition::new("Deleting", Status::True, "Deleting", format!("Deleting {all} replicas of the {what}"))
    } else {
        Condition::no("Deleting", "NotDeleting", "")
    });
    conditions
}

/// Writes the statuses of machine sets and deployments, and puts them into the state.
pub fn sets_and_deployments(state: &mut ClusterState, context: &Context<'_>, decision: &mut Decision) {
    let sets: Vec<Value> = state.sets.iter().map(|set| set_status(state, context, set)).collect();
    for (set, status) in state.sets.iter_mut().zip(sets) {
        decision.status(Kind::MachineSet, set, &status);
        set.set_status(status);
    }
    let deployments: Vec<Value> = state.deployments.iter().map(|it| deployment_status(state, context, it)).collect();
    for (deployment, status) in state.deployments.iter_mut().zip(deployments) {
        decision.status(Kind::MachineDeployment, deployment, &status);
        deployment.set_status(status);
    }
}

fn set_status(state: &ClusterState, context: &Context<'_>, set: &Object) -> Value {
    let machines: Vec<&Object> = state.machines.iter().filter(|it| it.label(SET_LABEL) == Some(set.name())).collect();
    let conditions = replica_conditions(&machines, replicas(set), set.deleting(), "MachineSet");
    let mut status = json!({
        "conditions": merged(set, &conditions, context.now), "observedGeneration": set.generation(),
        "selector": selector_text(set),
    });
    Counts::of(machines).write(&mut status);
    status
}

fn deployment_status(state: &ClusterState, context: &Context<'_>, deployment: &Object) -> Value {
    let machines = machines_of(state, deployment);
    let desired = replicas(deployment);
    let mut conditions = replica_conditions(&machines, desired, deployment.deleting(), "MachineDeployment");
    let counts = Counts::of(machines.iter().copied());
    let needed = desired;
    conditions.push(if deployment.deleting() {
        Condition::no("Available", "NotAvailable", "Deletion in progress")
    } else if counts.available() >= needed {
        Condition::yes("Available", "Available")
    } else {
        let message = format!("{} available replicas, at least {needed} required (spec.strategy.rollout.maxUnavailable is 0, spec.replicas is {desired})", counts.available());
        Condition::no("Available", "NotAvailable", message)
    });
    let outdated = machines.iter().filter(|it| !it.is_true("UpToDate")).count();
    let rolling = outdated > 0;
    conditions.push(if rolling {
        Condition::new(
            "RollingOut",
            Status::True,
            "RollingOut",
            format!("Rolling out {outdated} not up-to-date replicas"),
        )
    } else {
        Condition::no("RollingOut", "NotRollingOut", "")
    });
    let phase = if deployment.deleting() {
        "Deleting"
    } else if counts.available() >= desired && !rolling {
        if i64::try_from(counts.replicas).unwrap_or(0) > desired { "ScalingDown" } else { "Running" }
    } else if sets_of(state, deployment).is_empty() || counts.available() < desired {
        "ScalingUp"
    } else {
        "ScalingDown"
    };
    let mut status = json!({
        "conditions": merged(deployment, &conditions, context.now), "observedGeneration": deployment.generation(),
        "selector": selector_text(deployment), "phase": phase,
    });
    counts.write(&mut status);
    status
}

/// A selector in the text form of `/scale`.
pub fn selector_text(object: &Object) -> String {
    let labels = object.at("/spec/selector/matchLabels").as_object();
    let pairs =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(",")
}
