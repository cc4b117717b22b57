//! The objects of a cluster as a tree, by who owns whom; pure.

use std::collections::{BTreeMap, BTreeSet};

use kogge_api::contract;
use kogge_api::kubernetes_cluster::{KubernetesCluster, condition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One object, and those that belong to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TreeNode {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// `group/version`.
    pub api_version: String,
    /// `True`, `False` or `Unknown`; absent for an object that has no such condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// One word for why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// In words, unless all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The objects that belong to it.
    #[serde(default)]
    pub children: Vec<TreeNode>,
}

/// Builds the tree of a cluster from its objects, in any order. Objects whose owner is not among them hang at the root.
pub fn build(root: &KubernetesCluster, objects: &[Value]) -> TreeNode {
    let value = serde_json::to_value(root).unwrap_or_default();
    let mut node = describe(&value, &[condition::READY]);
    "KubernetesCluster".clone_into(&mut node.kind);
    "kogge.dev/v1alpha1".clone_into(&mut node.api_version);
    let root_uid = root.metadata.uid.clone().unwrap_or_default();

    let uids: BTreeSet<&str> = objects.iter().map(uid).chain([root_uid.as_str()]).collect();
    let mut of_owner: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for object in objects {
        let owner = contract::owner_uid(object)
            .filter(|owner| uids.contains(owner) && *owner != uid(object))
            .unwrap_or(&root_uid);
        of_owner.entry(owner).or_default().push(object);
    }
    let mut seen = BTreeSet::new();
    node.children = children(&root_uid, &of_owner, &mut seen);
    node
}

fn children<'a>(
    owner: &str,
    of_owner: &BTreeMap<&'a str, Vec<&'a Value>>,
    seen: &mut BTreeSet<&'a str>,
) -> Vec<TreeNode> {
    let mut nodes = Vec::new();
    for object in of_owner.get(owner).into_iter().flatten() {
        // Owners may form a circle if somebody wrote them by hand.
        if !seen.insert(uid(object)) {
            continue;
        }
        let mut node = describe(object, &["Available", "Ready"]);
        node.children = children(uid(object), of_owner, seen);
        nodes.push(node);
    }
    nodes
}

fn uid(object: &Value) -> &str {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

fn describe(object: &Value, condition_types: &[&str]) -> TreeNode {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut node = TreeNode {
        kind: text("/kind"),
        name: text("/metadata/name"),
        api_version: text("/apiVersion"),
        ..TreeNode::default()
    };
    if let Some(found) = condition_types.iter().find_map(|wanted| contract::find_condition(object, wanted)) {
        node.ready = Some(found.status.to_owned());
        node.since = found.last_transition_time.map(str::to_owned);
        if found.status != "True" {
            found.reason.clone_into(&mut node.reason);
            found.message.clone_into(&mut node.message);
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use kogge_api::KubernetesClusterSpec;
    use serde_json::json;

    fn object(kind: &str, name: &str, owner: Option<&str>) -> Value {
        json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": kind,
            "metadata": {
                "name": name, "uid": name,
                "ownerReferences": owner.map(|owner| vec![json!({"uid": owner, "controller": true})]),
            },
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NotYet", "message": "waits"}]},
        })
    }

    fn shape(node: &TreeNode) -> String {
        let children: Vec<String> = node.children.iter().map(shape).collect();
        format!("{}({})", node.name, children.join(" "))
    }

    #[test]
    fn every_object_hangs_at_its_owner_and_strangers_at_the_root() {
        let mut root = KubernetesCluster::new("shop", KubernetesClusterSpec::default());
        root.metadata.uid = Some("root".into());
        let objects = [
            object("Cluster", "c", Some("root")),
            object("Machine", "m", Some("kcp")),
            object("KubeadmControlPlane", "kcp", Some("c")),
            object("MachineSet", "lost", Some("elsewhere")),
            object("A", "a", Some("b")),
            object("B", "b", Some("a")),
        ];
        let tree = build(&root, &objects);
        assert_eq!(shape(&tree), "shop(c(kcp(m())) lost())");
        assert_eq!(tree.children[0].reason, "NotYet");
    }
}
