//! Deployments and ReplicaSets.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    event::Note,
    plane_state::{PlaneDecision, PlaneState, Resource, controller, is_finished, is_ready, pod_from},
};
use crate::{
    condition::seconds,
    object::{Object, joined_name, name_suffix},
};

const HASH_LABEL: &str = "pod-template-hash";

/// Moves every Deployment and ReplicaSet one step.
pub fn reconcile(state: &PlaneState, now: Timestamp, decision: &mut PlaneDecision) {
    for deployment in state.all(Resource::Deployment).iter().filter(|it| !it.deleting()) {
        roll(state, now, deployment, decision);
    }
    for set in state.all(Resource::ReplicaSet).iter().filter(|it| !it.deleting()) {
        let mut template = set.at("/spec/template").clone();
        template["metadata"]["labels"] = set.at("/spec/template/metadata/labels").clone();
        let pods = keep_count(state, now, Resource::ReplicaSet, set, &template, decision);
        let ready = pods.iter().filter(|it| is_ready(it)).count();
        let status = json!({
            "replicas": pods.len(), "fullyLabeledReplicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready,
            "observedGeneration": set.generation(),
        });
        decision.status(Resource::ReplicaSet, set, &status);
    }
}

/// Hash of a pod template, as a label value. Fields that are null count as absent: clients send them with some requests
/// (`creationTimestamp`) and leave them out of others that mean the same template.
pub fn template_hash(template: &Value) -> String {
    let mut template = template.clone();
    drop_nulls(&mut template);
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    let text = template.to_string();
    name_suffix(&[&text]) + &name_suffix(&["2", &text])
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Creates missing and deletes surplus pods of an owner with `spec.replicas`; the pods that stay.
fn keep_count<'a>(
    state: &'a PlaneState,
    now: Timestamp,
    resource: Resource,
    owner: &'a Object,
    template: &Value,
    decision: &mut PlaneDecision,
) -> Vec<&'a Object> {
    let mut pods: Vec<&Object> = state.pods_of(owner).filter(|it| !it.deleting() && !is_finished(it)).collect();
    let wanted = usize::try_from(owner.number("/spec/replicas").unwrap_or(1)).unwrap_or(0);
    for index in pods.len()..wanted {
        let suffix = name_suffix(&[owner.uid(), &now.as_nanosecond().to_string(), &index.to_string()]);
        let name = joined_name(owner.name(), &suffix);
        let note = Note::normal("replicaset-controller", "SuccessfulCreate", format!("Created pod: {name}"));
        decision.note(resource, owner, &note, now);
        decision.create.push(pod_from(template, resource, owner, &name));
    }
    if pods.len() > wanted {
        // Pods without a node and not ready first, then the youngest.
        pods.sort_by_key(|it| (!it.text("/spec/nodeName").is_empty(), is_ready(it), std::cmp::Reverse(it.created())));
        let surplus = pods.len() - wanted;
        for pod in pods.drain(..surplus) {
            let message = format!("Deleted pod: {}", pod.name());
            decision.note(resource, owner, &Note::normal("replicaset-controller", "SuccessfulDelete", message), now);
            decision.delete(Resource::Pod, pod);
        }
    }
    pods
}

fn roll(state: &PlaneState, now: Timestamp, deployment: &Object, decision: &mut PlaneDecision) {
    let hash = template_hash(deployment.at("/spec/template"));
    let desired = deployment.number("/spec/replicas").unwrap_or(1).max(0);
    let sets: Vec<&Object> =
        state.all(Resource::ReplicaSet).iter().filter(|it| it.owned_by(deployment.uid()) && !it.deleting()).collect();
    let (new, old): (Vec<&Object>, Vec<&Object>) = sets.iter().partition(|it| it.label(HASH_LABEL) == Some(&hash));
    let replicas = |set: &Object| set.number("/spec/replicas").unwrap_or(0);
    let ready = |set: &Object| i64::try_from(state.pods_of(set).filter(|it| is_ready(it)).count()).unwrap_or(0);
    let recreate = deployment.text("/spec/strategy/type") == "Recreate";
    let surge = if recreate { 0 } else { limit(deployment.at("/spec/strategy/rollingUpdate/maxSurge"), desired, true) };
    let unavailable =
        limit(deployment.at("/spec/strategy/rollingUpdate/maxUnavailable"), desired, false).max(i64::from(surge == 0));
    let total: i64 = sets.iter().map(|it| replicas(it)).sum();
    let old_pods = old.iter().any(|it| state.pods_of(it).next().is_some());
    let revision = sets.iter().filter_map(|it| it.annotation(REVISION)?.parse::<u64>().ok()).max().unwrap_or(0);
    match new.first() {
        None => {
            let first = if recreate && old_pods { 0 } else { (desired + surge - total).clamp(0, desired) };
            let set = set_body(deployment, &hash, first, revision + 1);
            if first > 0 {
                scaled(deployment, set["metadata"]["name"].as_str().unwrap_or_default(), 0, first, now, decision);
            }
            decision.create.push(set);
            decision.patch(
                Resource::Deployment,
                deployment,
                json!({"metadata": {"annotations": {REVISION: (revision + 1).to_string()}}}),
            );
        }
        Some(set) => {
            adopt_revision(deployment, set, revision, decision);
            let current = replicas(set);
            let live_old: i64 = old.iter().map(|it| replicas(it)).sum();
            let wanted = if recreate && old_pods {
                current
            } else if live_old == 0 || current > desired {
                desired
            } else {
                current + (desired + surge - total).clamp(0, (desired - current).max(0))
            };
            if wanted != current {
                scaled(deployment, set.name(), current, wanted, now, decision);
                decision.patch(Resource::ReplicaSet, set, json!({"spec": {"replicas": wanted}}));
            }
        }
    }
    let mut spare = sets.iter().map(|it| ready(it)).sum::<i64>() - (desired - unavailable);
    for set in &old {
        let before = replicas(set);
        let running = ready(set).min(before);
        let give = if recreate { running } else { running.min(spare.max(0)) };
        spare -= give;
        if before > 0 && running - give < before {
            scaled(deployment, set.name(), before, running - give, now, decision);
            decision.patch(Resource::ReplicaSet, set, json!({"spec": {"replicas": running - give}}));
        }
    }
    prune(deployment, &old, state, decision);
    deployment_status(state, now, deployment, &sets, new.first().copied(), desired, decision);
}

fn scaled(deployment: &Object, set: &str, from: i64, to: i64, now: Timestamp, decision: &mut PlaneDecision) {
    let direction = if to > from { "up" } else { "down" };
    let message = format!("Scaled {direction} replica set {set} from {from} to {to}");
    let note = Note::normal("deployment-controller", "ScalingReplicaSet", message);
    decision.note(Resource::Deployment, deployment, &note, now);
}

/// A template that comes back takes its replica set with it, which becomes the newest revision.
fn adopt_revision(deployment: &Object, set: &Object, newest: u64, decision: &mut PlaneDecision) {
    let own = set.annotation(REVISION).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    let revision = if own < newest { newest + 1 } else { own };
    let mut annotations = inherited_annotations(deployment);
    annotations.insert(REVISION.to_owned(), json!(revision.to_string()));
    annotations.retain(|key, value| set.annotation(key) != value.as_str());
    if !annotations.is_empty() {
        decision.patch(Resource::ReplicaSet, set, json!({"metadata": {"annotations": annotations}}));
    }
    if deployment.annotation(REVISION) != Some(&revision.to_string()) {
        let patch = json!({"metadata": {"annotations": {REVISION: revision.to_string()}}});
        decision.patch(Resource::Deployment, deployment, patch);
    }
}

/// What replica sets take over from their deployment, the cause of the change (`kubectl rollout history`) among it.
fn inherited_annotations(deployment: &Object) -> Map<String, Value> {
    let all = deployment.at("/metadata/annotations").as_object();
    let own = |key: &str| {
        key == "kubectl.kubernetes.io/last-applied-configuration" || key.starts_with("deployment.kubernetes.io/")
    };
    all.into_iter().flatten().filter(|(key, _)| !own(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

const REVISION: &str = "deployment.kubernetes.io/revision";

fn prune(deployment: &Object, old: &[&Object], state: &PlaneState, decision: &mut PlaneDecision) {
    let keep = usize::try_from(deployment.number("/spec/revisionHistoryLimit").unwrap_or(10)).unwrap_or(10);
    let mut empty: Vec<&&Object> = old
        .iter()
        .filter(|it| it.number("/spec/replicas").unwrap_or(0) == 0 && state.pods_of(it).next().is_none())
        .collect();
    empty.sort_by_key(|it| it.annotation(REVISION).and_then(|text| text.parse::<u64>().ok()));
    let surplus = empty.len().saturating_sub(keep);
    for set in &empty[..surplus] {
        decision.delete(Resource::ReplicaSet, set);
    }
}

fn set_body(deployment: &Object, hash: &str, replicas: i64, revision: u64) -> Value {
    let mut template = deployment.at("/spec/template").clone();
    template["metadata"]["labels"][HASH_LABEL] = json!(hash);
    let mut selector = deployment.at("/spec/selector").clone();
    selector["matchLabels"][HASH_LABEL] = json!(hash);
    let mut annotations = inherited_annotations(deployment);
    annotations.insert(REVISION.to_owned(), json!(revision.to_string()));
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "namespace": deployment.namespace(), "name": joined_name(deployment.name(), hash),
            "labels": template["metadata"]["labels"], "annotations": annotations,
            "ownerReferences": [controller(Resource::Deployment, deployment)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    })
}

/// A number or a percentage; the default is 25 %.
fn limit(value: &Value, desired: i64, up: bool) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or(0),
        other => {
            let percent = other.as_str().and_then(|it| it.strip_suffix('%')?.parse::<i64>().ok()).unwrap_or(25);
            if up { (desired * percent + 99) / 100 } else { desired * percent / 100 }
        }
    }
}

fn deployment_status(
    state: &PlaneState,
    now: Timestamp,
    deployment: &Object,
    sets: &[&Object],
    new: Option<&Object>,
    desired: i64,
    decision: &mut PlaneDecision,
) {
    let count = |set: &Object| {
        i64::try_from(state.pods_of(set).filter(|it| !it.deleting() && !is_finished(it)).count()).unwrap_or(0)
    };
    let ready: i64 =
        sets.iter().map(|set| i64::try_from(state.pods_of(set).filter(|it| is_ready(it)).count()).unwrap_or(0)).sum();
    let total: i64 = sets.iter().map(|set| count(set)).sum();
    let updated = new.map_or(0, count);
    let complete = ready >= desired && updated >= desired && total == desired;
    let old = |name: &str| deployment.condition(name);
    let condition = |name: &str, status: bool, reason: &str, message: String| {
        let status = if status { "True" } else { "False" };
        let same = old(name).filter(|it| it["status"] == status && it["reason"] == reason && it["message"] == message);
        let since = old(name)
            .filter(|it| it["status"] == status)
            .map_or(json!(seconds(now)), |it| it["lastTransitionTime"].clone());
        let updated = same.map_or(json!(seconds(now)), |it| it["lastUpdateTime"].clone());
        json!({"type": name, "status": status, "reason": reason, "message": message, "lastTransitionTime": since, "lastUpdateTime": updated})
    };
    let set_name = new.map_or("", Object::name);
    let conditions = [
        if ready >= desired {
            condition("Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.".into())
        } else {
            condition(
                "Available",
                false,
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.".into(),
            )
        },
        if complete {
            condition(
                "Progressing",
                true,
                "NewReplicaSetAvailable",
                format!("ReplicaSet \"{set_name}\" has successfully progressed."),
            )
        } else {
            condition("Progressing", true, "ReplicaSetUpdated", format!("ReplicaSet \"{set_name}\" is progressing."))
        },
    ];
    let status = json!({
        "observedGeneration": deployment.generation(), "replicas": total, "updatedReplicas": updated, "readyReplicas": ready,
        "availableReplicas": ready, "unavailableReplicas": (desired - ready).max(0), "conditions": conditions,
    });
    decision.status(Resource::Deployment, deployment, &status);
}
