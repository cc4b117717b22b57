//! Which node a pod goes to, and why none.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    event::Note,
    matches_expression,
    plane_state::{PlaneDecision, PlaneState, Resource, is_finished},
    selects,
};
use crate::{condition::seconds, object::Object};

/// Places every pod that has no node yet.
pub fn reconcile(state: &PlaneState, now: Timestamp, decision: &mut PlaneDecision) {
    let mut usage: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for pod in state.all(Resource::Pod).iter().filter(|it| !is_finished(it)) {
        let (cpu, memory) = requests(pod);
        let entry = usage.entry(pod.text("/spec/nodeName")).or_default();
        *entry = (entry.0 + cpu, entry.1 + memory, entry.2 + 1);
    }
    // Pods placed in this pass count for the next ones.
    let mut placed: Vec<(&Object, String)> = Vec::new();
    let mut waiting: Vec<&Object> = state
        .all(Resource::Pod)
        .iter()
        .filter(|it| it.text("/spec/nodeName").is_empty() && !it.deleting() && !is_finished(it))
        .filter(|it| it.list("/spec/schedulingGates").is_empty())
        .collect();
    waiting.sort_by_key(|it| (std::cmp::Reverse(it.number("/spec/priority").unwrap_or(0)), it.created()));
    for pod in waiting {
        let (cpu, memory) = requests(pod);
        let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
        let mut best: Option<(u64, u64, &Object)> = None;
        for node in state.all(Resource::Node) {
            if let Some(reason) = refusal(state, pod, node, &usage, &placed) {
                *refusals.entry(reason).or_default() += 1;
                continue;
            }
            let used = usage.get(node.name()).copied().unwrap_or_default();
            let here = state.all(Resource::Pod).iter().filter(|it| it.text("/spec/nodeName") == node.name());
            let same = placed.iter().filter(|(other, on)| on == node.name() && same_owner(other, pod)).count()
                + here.filter(|it| same_owner(it, pod)).count();
            let score = (u64::try_from(same).unwrap_or(u64::MAX), used.2, node);
            if best.is_none_or(|best| (score.0, score.1, score.2.name()) < (best.0, best.1, best.2.name())) {
                best = Some(score);
            }
        }
        if let Some((_, _, node)) = best {
            let entry = usage.entry(node.name()).or_default();
            *entry = (entry.0 + cpu, entry.1 + memory, entry.2 + 1);
            placed.push((pod, node.name().to_owned()));
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"namespace": pod.namespace(), "name": pod.name()},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node.name()},
            });
            decision.post.push((Resource::Pod.path(pod.namespace(), pod.name()) + "/binding", binding));
            let message = format!("Successfully assigned {}/{} to {}", pod.namespace(), pod.name(), node.name());
            decision.note(Resource::Pod, pod, &Note::normal("default-scheduler", "Scheduled", message), now);
        } else {
            unschedulable(pod, state.all(Resource::Node).len(), &refusals, now, decision);
        }
    }
}

fn same_owner(a: &Object, b: &Object) -> bool {
    let owner = |it: &Object| it.text("/metadata/ownerReferences/0/uid").to_owned();
    !owner(a).is_empty() && owner(a) == owner(b)
}

fn refusal(
    state: &PlaneState,
    pod: &Object,
    node: &Object,
    usage: &BTreeMap<&str, (u64, u64, u64)>,
    placed: &[(&Object, String)],
) -> Option<String> {
    let spec = pod.at("/spec");
    if node.flag("/spec/unschedulable")
        && !tolerates(spec, &json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}))
    {
        return Some("node(s) were unschedulable".to_owned());
    }
    let untolerated =
        node.list("/spec/taints").iter().find(|it| it["effect"] != "PreferNoSchedule" && !tolerates(spec, it));
    if let Some(taint) = untolerated {
        return Some(format!(
            "node(s) had untolerated taint {{{}: {}}}",
            taint["key"].as_str().unwrap_or_default(),
            taint["value"].as_str().unwrap_or_default()
        ));
    }
    if !affinity_allows(spec, node) {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    let (cpu, memory) = requests(pod);
    let used = usage.get(node.name()).copied().unwrap_or_default();
    if used.2 + 1 > node.text("/status/allocatable/pods").parse().unwrap_or(110) {
        return Some("Too many pods".to_owned());
    }
    if used.0 + cpu > milli(node.text("/status/allocatable/cpu")) {
        return Some("Insufficient cpu".to_owned());
    }
    if used.1 + memory > bytes(node.text("/status/allocatable/memory")) {
        return Some("Insufficient memory".to_owned());
    }
    let rules = pod.list("/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution");
    let conflict = rules.iter().any(|rule| {
        let key = rule["topologyKey"].as_str().unwrap_or_default();
        let domain = node.label(key);
        let in_domain =
            |name: &str| state.all(Resource::Node).iter().any(|it| it.name() == name && it.label(key) == domain);
        let hit = |other: &Object| {
            other.namespace() == pod.namespace() && selects(&rule["labelSelector"], other.at("/metadata/labels"))
        };
        state
            .all(Resource::Pod)
            .iter()
            .any(|it| !it.text("/spec/nodeName").is_empty() && hit(it) && in_domain(it.text("/spec/nodeName")))
            || placed.iter().any(|(other, on)| hit(other) && in_domain(on))
    });
    conflict.then(|| "node(s) didn't match pod anti-affinity rules".to_owned())
}

/// Whether a pod spec tolerates a taint.
pub fn tolerates(spec: &Value, taint: &Value) -> bool {
    spec["tolerations"].as_array().is_some_and(|all| {
        all.iter().any(|it| {
            let effect = it["effect"].as_str().unwrap_or_default();
            let key = it["key"].as_str().unwrap_or_default();
            (effect.is_empty() || taint["effect"] == effect)
                && (key.is_empty() || taint["key"] == key)
                && (it["operator"] == "Exists"
                    || (!key.is_empty()
                        && it["value"].as_str().unwrap_or_default() == taint["value"].as_str().unwrap_or_default()))
        })
    })
}

/// Whether node selector and required node affinity of a pod spec accept a node.
pub fn affinity_allows(spec: &Value, node: &Object) -> bool {
    let labels = node.at("/metadata/labels");
    let selector = spec["nodeSelector"]
        .as_object()
        .is_none_or(|all| all.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let terms = spec.pointer("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms");
    let fields = json!({"metadata.name": node.name()});
    let holds = |term: &Value| {
        let all = |field: &str, against: &Value| {
            term[field].as_array().is_none_or(|rules| rules.iter().all(|rule| matches_expression(rule, against)))
        };
        all("matchExpressions", labels) && all("matchFields", &fields)
    };
    selector && terms.and_then(Value::as_array).is_none_or(|terms| terms.iter().any(holds))
}

/// Requested millicores and bytes of memory.
fn requests(pod: &Object) -> (u64, u64) {
    let mut sum = (0, 0);
    for container in pod.list("/spec/containers") {
        let request = &container["resources"]["requests"];
        sum.0 += milli(request["cpu"].as_str().unwrap_or_default());
        sum.1 += bytes(request["memory"].as_str().unwrap_or_default());
    }
    sum
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "quantities are bounded by what parses")]
pub(super) fn milli(text: &str) -> u64 {
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().unwrap_or(0),
        None => (text.parse::<f64>().unwrap_or(0.0) * 1000.0) as u64,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "quantities are bounded by what parses")]
pub(super) fn bytes(text: &str) -> u64 {
    const UNITS: [(&str, f64); 10] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("m", 1e-3),
        ("", 1.0),
    ];
    UNITS
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit)?.parse::<f64>().ok().map(|number| (number * factor) as u64))
        .unwrap_or(0)
}

fn unschedulable(
    pod: &Object,
    nodes: usize,
    refusals: &BTreeMap<String, usize>,
    now: Timestamp,
    decision: &mut PlaneDecision,
) {
    let reasons: Vec<String> = refusals.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let message = if nodes == 0 {
        "no nodes available to schedule pods".to_owned()
    } else {
        format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
    };
    let old = pod.condition("PodScheduled");
    if old.is_some_and(|it| it["status"] == "False" && it["message"] == message.as_str()) {
        return;
    }
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastTransitionTime": seconds(now), "lastProbeTime": null,
    });
    decision.status(Resource::Pod, pod, &json!({"phase": "Pending", "conditions": [condition]}));
    decision.note(Resource::Pod, pod, &Note::warning("default-scheduler", "FailedScheduling", message), now);
}
