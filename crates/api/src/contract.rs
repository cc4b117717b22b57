//! The paths into Cluster API objects (contract v1beta2) that Kogge relies on, and nothing more of them.
//!
//! Cluster API objects are handled as plain JSON: the infrastructure kinds come from a stack, so no code knows them. The
//! contract is what all providers keep, and this module is the only place where its paths are spelt for readers.

use serde_json::Value;

/// Group of Cluster, Machine, MachineDeployment, MachineSet.
pub const GROUP: &str = "cluster.x-k8s.io";
/// Version of the contract and of the core objects.
pub const VERSION: &str = "v1beta2";
/// Suffix of the groups of all providers.
pub const GROUP_SUFFIX: &str = ".cluster.x-k8s.io";
/// Label on every object of a cluster; the value is the name of the Cluster.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// Label on control plane machines; the value is empty.
pub const CONTROL_PLANE_LABEL: &str = "cluster.x-k8s.io/control-plane";
/// Label on what a cluster topology owns; the value is empty.
pub const TOPOLOGY_OWNED_LABEL: &str = "topology.cluster.x-k8s.io/owned";
/// Label with the name of a machine deployment in the topology.
pub const TOPOLOGY_DEPLOYMENT_LABEL: &str = "topology.cluster.x-k8s.io/deployment-name";
/// Annotation that stops reconciliation of one object.
pub const PAUSED_ANNOTATION: &str = "cluster.x-k8s.io/paused";
/// Type of the Secrets that Cluster API makes.
pub const SECRET_TYPE: &str = "cluster.x-k8s.io/secret";

/// Name of the Secret with an administrator's kubeconfig in the key `value`.
pub fn kubeconfig_secret(cluster: &str) -> String {
    format!("{cluster}-kubeconfig")
}

/// Name of the Secret with the cluster's certificate authority in the keys `tls.crt` and `tls.key`.
pub fn ca_secret(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// The plain types of conditions of the core objects.
pub mod condition {
    /// The object works as a whole.
    pub const AVAILABLE: &str = "Available";
    /// The object is ready.
    pub const READY: &str = "Ready";
    /// The infrastructure is there.
    pub const INFRASTRUCTURE_READY: &str = "InfrastructureReady";
    /// The topology has been carried out.
    pub const TOPOLOGY_RECONCILED: &str = "TopologyReconciled";
    /// The API server has answered once.
    pub const CONTROL_PLANE_INITIALIZED: &str = "ControlPlaneInitialized";
    /// The control plane works.
    pub const CONTROL_PLANE_AVAILABLE: &str = "ControlPlaneAvailable";
    /// The workers work.
    pub const WORKERS_AVAILABLE: &str = "WorkersAvailable";
    /// Machines are being replaced.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Machines are being added.
    pub const SCALING_UP: &str = "ScalingUp";
    /// Machines are being removed.
    pub const SCALING_DOWN: &str = "ScalingDown";
    /// Failed machines are being replaced.
    pub const REMEDIATING: &str = "Remediating";
    /// The object is being removed.
    pub const DELETING: &str = "Deleting";
    /// Reconciliation is stopped.
    pub const PAUSED: &str = "Paused";
    /// Conditions that are good when `False`; all others are good when `True`.
    pub const NEGATIVE: [&str; 6] = [ROLLING_OUT, SCALING_UP, SCALING_DOWN, REMEDIATING, DELETING, PAUSED];
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
    /// One sentence.
    pub message: &'a str,
    /// When the status last changed, RFC 3339.
    pub last_transition_time: Option<&'a str>,
}

impl ConditionView<'_> {
    /// Whether it says that all is well.
    pub fn is_good(&self) -> bool {
        let good = if condition::NEGATIVE.contains(&self.condition_type) { "False" } else { "True" };
        self.status == good
    }
}

/// Whether an API group belongs to Cluster API or one of its providers.
pub fn is_cluster_api(group: &str) -> bool {
    group == GROUP || group.ends_with(GROUP_SUFFIX)
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
            last_transition_time: text("lastTransitionTime"),
        })
    })
}

/// One condition of an object.
pub fn find_condition<'a>(object: &'a Value, condition_type: &str) -> Option<ConditionView<'a>> {
    conditions(object).find(|condition| condition.condition_type == condition_type)
}

/// Whether a condition of an object is `True`; `None` when there is none.
pub fn is_true(object: &Value, condition_type: &str) -> Option<bool> {
    find_condition(object, condition_type).map(|condition| condition.status == "True")
}

/// The condition that sums an object up: `Ready`, else `Available`.
pub fn summary(object: &Value) -> Option<ConditionView<'_>> {
    find_condition(object, condition::READY).or_else(|| find_condition(object, condition::AVAILABLE))
}

/// Numbers of machines as all of Cluster API's groups of machines show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Machines that should be there.
    pub desired: u32,
    /// Machines that are there.
    pub total: u32,
    /// Machines that are ready.
    pub ready: u32,
    /// Machines that are ready and have been for long enough.
    pub available: u32,
    /// Machines that are as described.
    pub up_to_date: u32,
}

/// The numbers of a KubeadmControlPlane, MachineDeployment, MachineSet or other group of machines.
pub fn replicas(object: &Value) -> Replicas {
    let status = |name: &str| number(object, &format!("/status/{name}"));
    Replicas {
        desired: number(object, "/spec/replicas").unwrap_or_default(),
        total: status("replicas").unwrap_or_default(),
        ready: status("readyReplicas").unwrap_or_default(),
        available: status("availableReplicas").unwrap_or_default(),
        up_to_date: status("upToDateReplicas").unwrap_or_default(),
    }
}

/// The numbers of the control plane or the workers as a Cluster sums them up; `part` is `controlPlane` or `workers`.
pub fn cluster_replicas(cluster: &Value, part: &str) -> Replicas {
    let status = |name: &str| number(cluster, &format!("/status/{part}/{name}")).unwrap_or_default();
    Replicas {
        desired: status("desiredReplicas"),
        total: status("replicas"),
        ready: status("readyReplicas"),
        available: status("availableReplicas"),
        up_to_date: status("upToDateReplicas"),
    }
}

fn number(object: &Value, pointer: &str) -> Option<u32> {
    object.pointer(pointer).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

/// `status.phase` of a Cluster or Machine.
pub fn phase(object: &Value) -> Option<&str> {
    object.pointer("/status/phase").and_then(Value::as_str)
}

/// Address of the API server of a Cluster, once it is known.
pub fn control_plane_endpoint(cluster: &Value) -> Option<(&str, u16)> {
    let host =
        cluster.pointer("/spec/controlPlaneEndpoint/host").and_then(Value::as_str).filter(|host| !host.is_empty())?;
    let port = cluster.pointer("/spec/controlPlaneEndpoint/port").and_then(Value::as_u64)?;
    Some((host, u16::try_from(port).ok()?))
}

/// Name of the node of a Machine, once it has one.
pub fn node_name(machine: &Value) -> Option<&str> {
    machine.pointer("/status/nodeRef/name").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// Whether the last change of the object's description has been seen by its controller.
pub fn is_observed(object: &Value) -> bool {
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    generation.is_none_or(|generation| observed.is_some_and(|observed| observed >= generation))
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
            "metadata": {"generation": 3, "ownerReferences": [{"uid": "a"}, {"uid": "b", "controller": true}]},
            "spec": {"replicas": 3},
            "status": {
                "observedGeneration": 2, "replicas": 4, "readyReplicas": 2, "availableReplicas": 1, "upToDateReplicas": 3,
                "conditions": [
                    {"type": "Available", "status": "False", "reason": "NotAvailable", "message": "2 of 3"},
                    {"type": "RollingOut", "status": "False", "reason": "NotRollingOut"},
                ],
            },
        });
        assert_eq!(replicas(&deployment), Replicas { desired: 3, total: 4, ready: 2, available: 1, up_to_date: 3 });
        assert_eq!(
            summary(&deployment).map(|condition| (condition.reason, condition.is_good())),
            Some(("NotAvailable", false))
        );
        assert_eq!(
            find_condition(&deployment, condition::ROLLING_OUT).map(|condition| condition.is_good()),
            Some(true)
        );
        assert_eq!(owner_uid(&deployment), Some("b"));
        assert!(!is_observed(&deployment));
        let empty = json!({});
        assert_eq!((replicas(&empty), summary(&empty), owner_uid(&empty)), (Replicas::default(), None, None));
        assert_eq!((control_plane_endpoint(&empty), node_name(&empty), phase(&empty)), (None, None, None));
    }
}
