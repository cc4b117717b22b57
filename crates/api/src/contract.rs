//! The paths into Cluster API objects (contract v1beta2) that Kogge reads, spelt once.
//!
//! Cluster API objects are handled as plain JSON: the infrastructure kinds come from a stack, so no code knows them. The
//! contract is what all providers keep; the operator and the portal read it through this module.

use serde_json::Value;

/// Group of Cluster, Machine, MachineDeployment, MachineSet.
pub const GROUP: &str = "cluster.x-k8s.io";
/// Version of the contract and of the core objects.
pub const VERSION: &str = "v1beta2";
/// `apiVersion` of the core objects.
pub const API_VERSION: &str = "cluster.x-k8s.io/v1beta2";
/// Label on every object of a cluster; the value is the name of the Cluster.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// Label on control plane machines; the value is empty.
pub const CONTROL_PLANE_LABEL: &str = "cluster.x-k8s.io/control-plane";
/// Label with the name of the machine deployment in the topology.
pub const TOPOLOGY_DEPLOYMENT_LABEL: &str = "topology.cluster.x-k8s.io/deployment-name";

/// Name of the Secret with an administrator's kubeconfig in the key `value`.
pub fn kubeconfig_secret(cluster: &str) -> String {
    format!("{cluster}-kubeconfig")
}

/// Name of the Secret with the cluster's certificate authority, in the keys `tls.crt` and `tls.key`.
pub fn ca_secret(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// A condition of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionView<'a> {
    /// Type.
    pub condition_type: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// One word for why.
    pub reason: &'a str,
    /// One sentence; for infrastructure the cloud's own words.
    pub message: &'a str,
    /// Generation it speaks of.
    pub observed_generation: Option<i64>,
    /// When the status last changed, RFC 3339.
    pub last_transition_time: Option<&'a str>,
}

/// All conditions of an object.
pub fn conditions(object: &Value) -> impl Iterator<Item = ConditionView<'_>> {
    object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten().filter_map(|condition| {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        Some(ConditionView {
            condition_type: text("type")?,
            status: text("status")?,
            reason: text("reason").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            observed_generation: condition.get("observedGeneration").and_then(Value::as_i64),
            last_transition_time: text("lastTransitionTime"),
        })
    })
}

/// One condition of an object.
pub fn find_condition<'a>(object: &'a Value, condition_type: &str) -> Option<ConditionView<'a>> {
    conditions(object).find(|condition| condition.condition_type == condition_type)
}

/// The unique id of the object that controls this one, else of its first owner.
pub fn owner_uid(object: &Value) -> Option<&str> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array)?;
    let controller = owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true));
    controller.or_else(|| owners.first()).and_then(|owner| owner.get("uid")).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_paths_of_the_contract_are_read_and_missing_ones_are_no_error() {
        let deployment = json!({
            "metadata": {"ownerReferences": [{"uid": "a"}, {"uid": "b", "controller": true}]},
            "status": {"conditions": [
                {"type": "Available", "status": "False", "reason": "NotAvailable", "message": "2 of 3", "observedGeneration": 4},
                {"reason": "without a type"},
            ]},
        });
        assert_eq!(owner_uid(&deployment), Some("b"));
        let available = find_condition(&deployment, "Available").unwrap();
        assert_eq!((available.status, available.message, available.observed_generation), ("False", "2 of 3", Some(4)));
        assert_eq!(conditions(&deployment).count(), 1);
        assert_eq!(find_condition(&json!({}), "Ready"), None);
        assert_eq!(owner_uid(&json!({})), None);
    }
}
