//! DaemonSets and StatefulSets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    event::Note,
    plane_state::{PlaneDecision, PlaneState, Resource, controller, is_finished, is_ready, pod_from},
    replicas::template_hash,
    scheduler::{affinity_allows, tolerates},
};
use crate::object::{Object, joined_name, name_suffix};

const REVISION_LABEL: &str = "controller-revision-hash";

/// Moves every DaemonSet one step: one pod on each node that its template accepts.
pub fn daemon_sets(state: &PlaneState, now: Timestamp, decision: &mut PlaneDecision) {
    for set in state.all(Resource::DaemonSet).iter().filter(|it| !it.deleting()) {
        let (template, hash) = revision(set);
        let nodes: Vec<&Object> =
            state.all(Resource::Node).iter().filter(|it| !it.deleting() && accepts(&template["spec"], it)).collect();
        let pods: Vec<&Object> = state.pods_of(set).collect();
        let mut replacing = pods.iter().any(|it| it.deleting());
        let (mut current, mut ready, mut updated) = (0, 0, 0);
        for node in &nodes {
            let mut here = pods.iter().filter(|it| it.text("/spec/nodeName") == node.name() && !is_finished(it));
            match here.next() {
                None => {
                    let mut pod = pod_from(
                        &template,
                        Resource::DaemonSet,
                        set,
                        &joined_name(set.name(), &name_suffix(&[set.uid(), node.uid(), &hash])),
                    );
                    pod["spec"]["nodeName"] = json!(node.name());
                    told(
                        Resource::DaemonSet,
                        set,
                        "SuccessfulCreate",
                        format!("Created pod: {}", pod["metadata"]["name"].as_str().unwrap_or_default()),
                        now,
                        decision,
                    );
                    decision.create.push(pod);
                }
                Some(pod) => {
                    current += 1;
                    ready += usize::from(is_ready(pod));
                    if pod.label(REVISION_LABEL) == Some(&hash) {
                        updated += 1;
                    } else if !replacing && set.text("/spec/updateStrategy/type") != "OnDelete" {
                        replacing = true;
                        delete_pod(set, pod, now, decision);
                    }
                }
            }
        }
        for pod in &pods {
            if !pod.deleting() && (is_finished(pod) || !nodes.iter().any(|it| it.name() == pod.text("/spec/nodeName")))
            {
                delete_pod(set, pod, now, decision);
            }
        }
        let status = json!({
            "currentNumberScheduled": current, "desiredNumberScheduled": nodes.len(), "numberReady": ready,
            "numberAvailable": ready, "numberUnavailable": nodes.len() - ready, "numberMisscheduled": 0,
            "updatedNumberScheduled": updated, "observedGeneration": set.generation(),
        });
        decision.status(Resource::DaemonSet, set, &status);
    }
}

fn delete_pod(set: &Object, pod: &Object, now: Timestamp, decision: &mut PlaneDecision) {
    told(Resource::DaemonSet, set, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()), now, decision);
    decision.delete(Resource::Pod, pod);
}

/// The template with its revision label, and the revision.
fn revision(set: &Object) -> (Value, String) {
    let hash = template_hash(set.at("/spec/template"));
    let mut template = set.at("/spec/template").clone();
    template["metadata"]["labels"][REVISION_LABEL] = json!(hash);
    (template, hash)
}

fn accepts(spec: &Value, node: &Object) -> bool {
    // Pods of DaemonSets tolerate what happens to nodes.
    let ignored =
        ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/unschedulable"];
    let taints = node.list("/spec/taints").iter();
    let tolerated = taints
        .filter(|it| it["effect"] != "PreferNoSchedule" && !ignored.iter().any(|key| it["key"] == *key))
        .all(|taint| tolerates(spec, taint));
    tolerated && affinity_allows(spec, node)
}

/// Moves every StatefulSet one step: pods by ordinal, each after the one before is ready.
pub fn stateful_sets(state: &PlaneState, now: Timestamp, decision: &mut PlaneDecision) {
    for set in state.all(Resource::StatefulSet).iter().filter(|it| !it.deleting()) {
        let (template, hash) = revision(set);
        let desired = set.number("/spec/replicas").unwrap_or(1).max(0);
        let parallel = set.text("/spec/podManagementPolicy") == "Parallel";
        let pods: Vec<&Object> = state.pods_of(set).collect();
        let find = |ordinal: i64| pods.iter().find(|it| it.name() == format!("{}-{ordinal}", set.name()));
        let mut blocked = false;
        for ordinal in 0..desired {
            if blocked && !parallel {
                break;
            }
            match find(ordinal) {
                None => {
                    create(set, &template, ordinal, now, decision);
                    blocked = true;
                }
                Some(pod) => blocked |= !is_ready(pod),
            }
        }
        let ordinal_of =
            |pod: &Object| pod.name().rsplit('-').next().and_then(|it| it.parse::<i64>().ok()).unwrap_or(-1);
        // Downwards and one at a time: surplus pods, then pods of an older revision.
        let surplus = pods.iter().filter(|it| ordinal_of(it) >= desired).max_by_key(|it| ordinal_of(it));
        let remove = |pod: &Object, decision: &mut PlaneDecision| {
            if !pod.deleting() {
                let message = format!("delete Pod {} in StatefulSet {} successful", pod.name(), set.name());
                told(Resource::StatefulSet, set, "SuccessfulDelete", message, now, decision);
                decision.delete(Resource::Pod, pod);
            }
        };
        if let Some(pod) = surplus {
            remove(pod, decision);
        } else if !blocked && pods.iter().all(|it| is_ready(it)) && set.text("/spec/updateStrategy/type") != "OnDelete"
        {
            let partition = set.number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
            let outdated =
                pods.iter().filter(|it| it.label(REVISION_LABEL) != Some(&hash) && ordinal_of(it) >= partition);
            if let Some(pod) = outdated.max_by_key(|it| ordinal_of(it)) {
                remove(pod, decision);
            }
        }
        let ready = pods.iter().filter(|it| is_ready(it)).count();
        let updated = pods.iter().filter(|it| it.label(REVISION_LABEL) == Some(&hash)).count();
        let revision = format!("{}-{hash}", set.name());
        let status = json!({
            "replicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready, "currentReplicas": updated,
            "updatedReplicas": updated, "currentRevision": revision, "updateRevision": revision, "collisionCount": 0,
            "observedGeneration": set.generation(),
        });
        decision.status(Resource::StatefulSet, set, &status);
    }
}

fn create(set: &Object, template: &Value, ordinal: i64, now: Timestamp, decision: &mut PlaneDecision) {
    let name = format!("{}-{ordinal}", set.name());
    let mut pod = pod_from(template, Resource::StatefulSet, set, &name);
    pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
    pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
    pod["spec"]["hostname"] = json!(name);
    pod["spec"]["subdomain"] = set.at("/spec/serviceName").clone();
    if pod["spec"]["subdomain"].is_null() {
        pod["spec"].as_object_mut().map(|it| it.remove("subdomain"));
    }
    for claim in set.list("/spec/volumeClaimTemplates") {
        let template_name = claim["metadata"]["name"].as_str().unwrap_or_default();
        let claim_name = format!("{template_name}-{name}");
        let mut volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        volumes.push(json!({"name": template_name, "persistentVolumeClaim": {"claimName": claim_name}}));
        pod["spec"]["volumes"] = Value::Array(volumes);
        let mut metadata = json!({
            "namespace": set.namespace(), "name": claim_name, "labels": set.at("/spec/selector/matchLabels"),
        });
        if set.text("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted") == "Delete" {
            metadata["ownerReferences"] = json!([controller(Resource::StatefulSet, set)]);
        }
        let message = format!("create Claim {claim_name} Pod {name} in StatefulSet {} success", set.name());
        told(Resource::StatefulSet, set, "SuccessfulCreate", message, now, decision);
        decision.create.push(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim["spec"],
        }));
    }
    let message = format!("create Pod {name} in StatefulSet {} successful", set.name());
    told(Resource::StatefulSet, set, "SuccessfulCreate", message, now, decision);
    decision.create.push(pod);
}

fn told(
    resource: Resource,
    set: &Object,
    reason: &'static str,
    message: String,
    now: Timestamp,
    decision: &mut PlaneDecision,
) {
    let component = if resource == Resource::DaemonSet { "daemonset-controller" } else { "statefulset-controller" };
    decision.note(resource, set, &Note::normal(component, reason, message), now);
}
