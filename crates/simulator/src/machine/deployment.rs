//! MachineDeployments: which machine sets there should be, and with how many replicas.

use serde_json::{Value, json};

use crate::{
    kind::Kind,
    object::{DEPLOYMENT_LABEL, Object, joined_name, name_suffix},
    state::{ClusterState, Context},
    write::{Decision, MACHINE_DEPLOYMENT_MANAGER},
};

/// Label with the hash of the template a machine set was made from.
pub const TEMPLATE_HASH_LABEL: &str = "machine-template-hash";
/// Annotation that counts the machine sets of a deployment, as `kubectl rollout history` users know it.
const REVISION_ANNOTATION: &str = "machinedeployment.clusters.x-k8s.io/revision";
/// Annotations with the bounds of an autoscaler (`-min-size`, `-max-size`).
const AUTOSCALER_PREFIX: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group";

/// Hash of what makes machines roll when it changes. Labels, annotations, taints and timeouts are propagated in place.
pub fn template_hash(deployment: &Object) -> String {
    let spec = deployment.at("/spec/template/spec");
    let rolled = json!([spec["version"], spec["bootstrap"], spec["infrastructureRef"], spec["failureDomain"]]);
    name_suffix(&[&rolled.to_string()])
}

/// The machine sets of a deployment.
pub fn sets_of<'a>(state: &'a ClusterState, deployment: &Object) -> Vec<&'a Object> {
    state.sets.iter().filter(|it| it.owned_by(deployment.uid())).collect()
}

/// Machines of a deployment that are there.
pub fn machines_of<'a>(state: &'a ClusterState, deployment: &Object) -> Vec<&'a Object> {
    state.machines.iter().filter(|it| it.label(DEPLOYMENT_LABEL) == Some(deployment.name())).collect()
}

/// Whether all machines of a deployment run, are of its template, and as many as asked for.
pub fn is_rolled_out(state: &ClusterState, deployment: &Object) -> bool {
    let hash = template_hash(deployment);
    let machines = machines_of(state, deployment);
    i64::try_from(machines.len()).is_ok_and(|count| count == replicas(deployment))
        && machines.iter().all(|it| state.healthy(it) && it.label(TEMPLATE_HASH_LABEL) == Some(&hash))
}

/// Desired replicas, 1 where nothing is said.
pub fn replicas(object: &Object) -> i64 {
    object.number("/spec/replicas").unwrap_or(1).max(0)
}

/// Rolls each deployment's sets one step.
pub fn reconcile(state: &ClusterState, context: &Context<'_>, decision: &mut Decision) {
    if !state.infrastructure_provisioned() {
        return;
    }
    for deployment in state.deployments.iter().filter(|it| !it.deleting()) {
        match bounded_replicas(deployment) {
            Some(replicas) => {
                decision.patch(Kind::MachineDeployment, deployment, json!({"spec": {"replicas": replicas}}));
            }
            None => roll(state, context, deployment, decision),
        }
    }
    // Sets whose deployment is gone; a garbage collector would do it too, but none is needed this way.
    for set in &state.sets {
        let orphaned = !state.deployments.iter().any(|it| !it.deleting() && set.owned_by(it.uid()));
        if orphaned {
            decision.delete(Kind::MachineSet, set);
        }
    }
}

/// The replicas a deployment gets where they must be written: its autoscaler's minimum (as Cluster API defaults them, 1
/// without an autoscaler) where it has none, and its autoscaler's nearest bound where it is out of bounds.
fn bounded_replicas(deployment: &Object) -> Option<i64> {
    let bound = |name: &str| deployment.annotation(&format!("{AUTOSCALER_PREFIX}-{name}-size"))?.parse::<i64>().ok();
    let current = deployment.number("/spec/replicas");
    let wanted = match (bound("min"), bound("max")) {
        (Some(min), Some(max)) => current.unwrap_or(min).clamp(min, max.max(min)),
        _ => current.unwrap_or(1),
    };
    (current != Some(wanted)).then_some(wanted)
}

fn roll(state: &ClusterState, context: &Context<'_>, deployment: &Object, decision: &mut Decision) {
    let hash = template_hash(deployment);
    let desired = replicas(deployment);
    let sets = sets_of(state, deployment);
    let (new, old): (Vec<&Object>, Vec<&Object>) =
        sets.iter().partition(|it| !it.deleting() && it.label(TEMPLATE_HASH_LABEL) == Some(&hash));
    let surge = limit(deployment, "maxSurge", desired, 1);
    let unavailable = limit(deployment, "maxUnavailable", desired, 0);
    let total: i64 = sets.iter().map(|it| replicas(it)).sum();
    let Some(new) = new.first() else {
        let room = (desired + surge - total).clamp(0, desired);
        let first = if old.is_empty() { desired } else { room };
        decision.apply(
            Kind::MachineSet,
            MACHINE_DEPLOYMENT_MANAGER,
            set_body(state, deployment, &hash, first, sets.len()),
        );
        return;
    };
    let current = replicas(new);
    let mut wanted = current;
    if old.is_empty() || current > desired {
        wanted = desired;
    } else if current < desired {
        wanted += (desired + surge - total).clamp(0, desired - current);
    }
    let body = set_body(state, deployment, &hash, wanted, old.len());
    if wanted != current || needs_propagation(new, &body) {
        decision.apply(Kind::MachineSet, MACHINE_DEPLOYMENT_MANAGER, body);
    }
    scale_down_old(state, context, &old, new, desired - unavailable, decision);
}

/// Old sets give up machines as new ones become available, those that do not run first.
fn scale_down_old(
    state: &ClusterState,
    _context: &Context<'_>,
    old: &[&Object],
    new: &Object,
    needed: i64,
    decision: &mut Decision,
) {
    let healthy = |set: &Object| {
        i64::try_from(state.machines.iter().filter(|it| it.owned_by(set.uid()) && state.healthy(it)).count())
            .unwrap_or(0)
    };
    // What is not running serves nobody and goes at once; what runs goes as far as enough others run.
    let mut spare = old.iter().map(|it| healthy(it)).sum::<i64>() + healthy(new) - needed;
    for set in old {
        let before = replicas(set);
        let running = healthy(set).min(before);
        let give = running.min(spare.max(0));
        spare -= give;
        let after = running - give;
        if after < before {
            decision.patch(Kind::MachineSet, set, json!({"spec": {"replicas": after}}));
        }
        if before == 0 && !state.machines.iter().any(|it| it.owned_by(set.uid())) {
            decision.delete(Kind::MachineSet, set);
        }
    }
}

/// `maxSurge` or `maxUnavailable`: a number, or a percentage of the replicas (surge rounded up, unavailable down).
fn limit(deployment: &Object, field: &str, desired: i64, default: i64) -> i64 {
    match &deployment.at("/spec/rollout/strategy/rollingUpdate")[field] {
        Value::Number(number) => number.as_i64().unwrap_or(default),
        Value::String(text) => match text.strip_suffix('%').and_then(|it| it.parse::<i64>().ok()) {
            Some(percent) if field == "maxSurge" => (percent * desired + 99) / 100,
            Some(percent) => percent * desired / 100,
            None => text.parse().unwrap_or(default),
        },
        _ => default,
    }
    .max(0)
}

fn set_body(state: &ClusterState, deployment: &Object, hash: &str, replicas: i64, older: usize) -> Value {
    let name = joined_name(deployment.name(), hash);
    let mut template = deployment.at("/spec/template").clone();
    template["metadata"]["labels"][TEMPLATE_HASH_LABEL] = json!(hash);
    let mut selector = deployment.at("/spec/selector").clone();
    selector["matchLabels"][TEMPLATE_HASH_LABEL] = json!(hash);
    let mut labels = deployment.at("/metadata/labels").clone();
    labels[TEMPLATE_HASH_LABEL] = json!(hash);
    labels[DEPLOYMENT_LABEL] = json!(deployment.name());
    let stored = state.sets.iter().find(|it| it.name() == name);
    let revision =
        stored.and_then(|it| it.annotation(REVISION_ANNOTATION)).map_or_else(|| (older + 1).to_string(), str::to_owned);
    json!({
        "metadata": {
            "name": name, "namespace": state.namespace(), "labels": labels,
            "annotations": {REVISION_ANNOTATION: revision},
            "ownerReferences": [deployment.controller_reference(Kind::MachineDeployment)],
        },
        "spec": {"clusterName": state.name(), "replicas": replicas, "selector": selector, "template": template},
    })
}

/// Whether labels, annotations or in-place fields of the template changed.
fn needs_propagation(set: &Object, body: &Value) -> bool {
    let template = set.at("/spec/template");
    let wanted = &body["spec"]["template"];
    template["metadata"]["labels"] != wanted["metadata"]["labels"]
        || template["metadata"]["annotations"] != wanted["metadata"]["annotations"]
        || ["deletion", "minReadySeconds", "taints"]
            .iter()
            .any(|field| template["spec"][*field] != wanted["spec"][*field])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaled_deployment_begins_at_its_minimum_and_stays_within_its_bounds() {
        let deployment = |replicas: Value, bounds: Option<(&str, &str)>| {
            let annotations = bounds.map_or(json!({}), |(min, max)| {
                json!({format!("{AUTOSCALER_PREFIX}-min-size"): min, format!("{AUTOSCALER_PREFIX}-max-size"): max})
            });
            Object::new(json!({"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}}))
        };
        let written = |replicas, bounds| bounded_replicas(&deployment(replicas, bounds));
        assert_eq!(written(Value::Null, None), Some(1));
        assert_eq!(written(Value::Null, Some(("0", "6"))), Some(0));
        assert_eq!(written(json!(3), Some(("0", "6"))), None);
        assert_eq!(written(json!(9), Some(("0", "6"))), Some(6));
        assert_eq!(written(json!(9), None), None);
    }
}
