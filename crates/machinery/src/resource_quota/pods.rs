//! How pods are counted, and which changes leave room for others.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    pod_resources::{self, Bound},
    quantity::Amount,
    resource::GroupResource,
    resource_list::ResourceList,
};

/// Where these are tracked, every container has to name them.
const REQUIRED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

pub(super) fn tracks(name: &str) -> bool {
    let own = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    matches!(name, "count/pods" | "pods")
        || matches!(own, "cpu" | "memory" | "ephemeral-storage")
        || name.starts_with("hugepages-")
        || name.strip_prefix("requests.").is_some_and(|own| own.starts_with("hugepages-") || is_extended(own))
}

/// Whether a resource is none of Kubernetes' own, or a class of devices.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") || name.starts_with("deviceclass.resource.kubernetes.io/")
}

/// Whether a pod ends by itself.
pub(super) fn is_terminating(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

/// Whether a pod neither asks for processor or memory nor limits them.
pub(super) fn is_best_effort(pod: &Value) -> bool {
    if let Some(class) = pod["status"]["qosClass"].as_str().filter(|class| !class.is_empty()) {
        return class == "BestEffort";
    }
    pod_resources::quality_of_service(pod) == "BestEffort"
}

/// The amounts under the names quotas have for them.
fn named(requests: &ResourceList, limits: &ResourceList) -> ResourceList {
    let mut named = ResourceList::default();
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            named.set(name, request.clone());
            named.set(format!("requests.{name}"), request.clone());
        }
        if let Some(limit) = limits.get(name) {
            named.set(format!("limits.{name}"), limit.clone());
        }
    }
    for (name, request) in requests.iter() {
        if name.starts_with("hugepages-") {
            named.set(name, request.clone());
            named.set(format!("requests.{name}"), request.clone());
        } else if is_extended(name) && !name.starts_with("requests.") {
            named.set(format!("requests.{name}"), request.clone());
        }
    }
    named
}

pub(super) fn usage(pod: &Value, now: Timestamp) -> ResourceList {
    let mut usage = ResourceList::default();
    if is_counted(pod, now) {
        usage = named(&pod_resources::taken(pod, Bound::Requests), &pod_resources::taken(pod, Bound::Limits));
        usage.set("pods", Amount::count(1));
    }
    usage.set("count/pods", Amount::count(1));
    usage
}

/// Whether a pod still takes something: not when it has ended, or should long be gone.
fn is_counted(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return false;
    }
    let metadata = &pod["metadata"];
    let deletion = metadata["deletionTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let grace = metadata["deletionGracePeriodSeconds"].as_i64();
    let gone = deletion.zip(grace).and_then(|(at, seconds)| at.checked_add(SignedDuration::from_secs(seconds)).ok());
    gone.is_none_or(|gone| now <= gone)
}

pub(super) fn missing(tracked: &[&str], pod: &Value) -> Option<String> {
    if pod_resources::has_own_resources(pod) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in pod_resources::containers(pod) {
        let amounts = |bound: Bound| ResourceList::of(&container["resources"][bound.field()]);
        let has = named(&amounts(Bound::Requests), &amounts(Bound::Limits));
        for name in tracked.iter().filter(|name| REQUIRED.contains(name) && has.get(name).is_none()) {
            missing.entry(name).or_default().insert(container["name"].as_str().unwrap_or_default());
        }
    }
    if missing.is_empty() {
        return None;
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(name, containers)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")))
        .collect();
    Some(format!("must specify {}", parts.join("; ")))
}

/// Whether a change of an object may leave room for others, so that its quotas are to be counted again.
pub fn frees(resource: &GroupResource, old: &Value, new: &Value, now: Timestamp) -> bool {
    if !resource.group.is_empty() {
        return false;
    }
    match resource.resource.as_str() {
        "pods" => {
            is_terminating(old) != is_terminating(new)
                || is_counted(old, now) && !is_counted(new, now)
                || are_containers_resized(old, new)
        }
        "services" => {
            let exposed = |service: &Value| {
                let kind = service["spec"]["type"].as_str().unwrap_or_default();
                matches!(kind, "NodePort" | "LoadBalancer").then(|| kind.to_owned())
            };
            exposed(old) != exposed(new)
        }
        "persistentvolumeclaims" => true,
        _ => false,
    }
}

fn are_containers_resized(old: &Value, new: &Value) -> bool {
    ["containerStatuses", "initContainerStatuses"].into_iter().any(|list| {
        let statuses = |pod: &Value| pod["status"][list].as_array().cloned().unwrap_or_default();
        let after = statuses(new);
        statuses(old).iter().any(|before| {
            let same = after.iter().find(|after| after["name"] == before["name"]);
            same.is_some_and(|after| after["resources"] != before["resources"])
        })
    })
}
