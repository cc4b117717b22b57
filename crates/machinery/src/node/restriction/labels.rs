//! The labels a node may give itself (Kubernetes' `k8s.io/kubelet/pkg/apis`): any of others, and of Kubernetes' own only
//! those that kubelets have always set.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Labels below these domains mean something to Kubernetes.
const OF_KUBERNETES: [&str; 2] = ["kubernetes.io", "k8s.io"];
/// Labels below these are for kubelets.
const OF_KUBELETS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Labels below this are for whoever isolates nodes, and never for nodes.
const ISOLATION: &str = "node-restriction.kubernetes.io";
/// Other labels kubelets set.
const KNOWN: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// Of the labels that differ, those a node may not touch, sorted.
pub(super) fn forbidden(new: &Map<String, Value>, old: &Map<String, Value>) -> Vec<String> {
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let changed = keys.into_iter().filter(|key| new.get(*key) != old.get(*key));
    changed.filter(|key| is_forbidden(key)).cloned().collect()
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let is_below =
        |parent: &str| domain.strip_suffix(parent).is_some_and(|child| child.is_empty() || child.ends_with('.'));
    let of_kubelets = KNOWN.contains(&label) || OF_KUBELETS.into_iter().any(is_below);
    is_below(ISOLATION) || (OF_KUBERNETES.into_iter().any(is_below) && !of_kubelets)
}
