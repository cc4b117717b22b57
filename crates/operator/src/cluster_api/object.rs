//! What is kept of Cluster API objects: the few fields plans and statuses depend on, by the paths of its v1beta2 contract.

use jiff::Timestamp;
use kogge_api::contract::{self, CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL, TOPOLOGY_DEPLOYMENT_LABEL};
use kube::core::DynamicObject;
use serde_json::Value;

/// A condition of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Type, for example `Available`.
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word for why.
    pub reason: String,
    /// A sentence; for infrastructure the cloud's own words.
    pub message: String,
    /// Generation it speaks of.
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    pub since: Option<Timestamp>,
}

/// Machines of a control plane or machine deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Asked for.
    pub desired: u32,
    /// Existing.
    pub existing: u32,
    /// Existing and ready.
    pub ready: u32,
    /// Existing and of the current make.
    pub up_to_date: u32,
    /// Existing and available.
    pub available: u32,
}

/// A KubeadmControlPlane, or another control plane by the contract, or a MachineDeployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineGroup {
    /// Name of the object.
    pub name: String,
    /// Name of the machine deployment in the topology; empty for control planes.
    pub topology_name: String,
    /// Version asked for.
    pub version: Option<String>,
    /// Lowest version running, where the object tells.
    pub running_version: Option<String>,
    /// Machines.
    pub replicas: Replicas,
    /// Whether the status speaks of the current generation.
    pub is_current: bool,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// A Machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Name of the object, and of the node.
    pub name: String,
    /// Whether it belongs to the control plane.
    pub is_control_plane: bool,
    /// Name of its machine deployment in the topology; empty for control planes.
    pub topology_name: String,
    /// Version asked for.
    pub version: Option<String>,
    /// Version its kubelet reports.
    pub kubelet_version: Option<String>,
    /// Whether it became a node.
    pub has_node: bool,
    /// Whether it is available.
    pub is_available: bool,
    /// Since when it is being deleted.
    pub deleted_at: Option<Timestamp>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// The infrastructure behind a machine or the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Infrastructure {
    /// Kind, for example `OpenStackMachine`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// Finds a condition by its type.
pub fn condition<'a>(conditions: &'a [Condition], condition_type: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.condition_type == condition_type)
}

/// Whether a condition is there and `True`.
pub fn is_true(conditions: &[Condition], condition_type: &str) -> bool {
    condition(conditions, condition_type).is_some_and(|condition| condition.status == "True")
}

/// Conditions of an object, to keep.
pub fn conditions(data: &Value) -> Vec<Condition> {
    contract::conditions(data)
        .map(|condition| Condition {
            condition_type: condition.condition_type.to_owned(),
            status: condition.status.to_owned(),
            reason: condition.reason.to_owned(),
            message: condition.message.to_owned(),
            observed_generation: condition.observed_generation,
            since: condition.last_transition_time.and_then(|time| time.parse().ok()),
        })
        .collect()
}

impl MachineGroup {
    /// Summarises a control plane or machine deployment.
    pub fn read(object: &DynamicObject) -> Self {
        let data = &object.data;
        let count = |pointer: &str| number(data, pointer);
        let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let generation = object.metadata.generation;
        let observed = data.pointer("/status/observedGeneration").and_then(Value::as_i64);
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            topology_name: label(object, TOPOLOGY_DEPLOYMENT_LABEL),
            version: text("/spec/version").or_else(|| text("/spec/template/spec/version")),
            running_version: text("/status/version"),
            replicas: Replicas {
                desired: count("/spec/replicas"),
                existing: count("/status/replicas"),
                ready: count("/status/readyReplicas"),
                up_to_date: count("/status/upToDateReplicas"),
                available: count("/status/availableReplicas"),
            },
            is_current: observed.is_none() || generation.is_none() || observed >= generation,
            conditions: conditions(data),
        }
    }
}

impl Machine {
    /// Summarises a Machine.
    pub fn read(object: &DynamicObject) -> Self {
        let data = &object.data;
        let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let conditions = conditions(data);
        let labels = object.metadata.labels.as_ref();
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            is_control_plane: labels.is_some_and(|labels| labels.contains_key(CONTROL_PLANE_LABEL)),
            topology_name: label(object, TOPOLOGY_DEPLOYMENT_LABEL),
            version: text("/spec/version"),
            kubelet_version: text("/status/nodeInfo/kubeletVersion"),
            has_node: data.pointer("/status/nodeRef/name").is_some(),
            is_available: is_true(&conditions, "Available") || is_true(&conditions, "Ready"),
            deleted_at: object.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            conditions,
        }
    }
}

impl Infrastructure {
    /// Summarises an object of the infrastructure provider.
    pub fn read(object: &DynamicObject, kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: object.metadata.name.clone().unwrap_or_default(),
            is_deleting: object.metadata.deletion_timestamp.is_some(),
            conditions: conditions(&object.data),
        }
    }
}

/// The whole object as a value, without the bookkeeping of field managers, which is its largest part.
pub fn whole(object: DynamicObject, api_version: &str, kind: &str) -> Value {
    let mut metadata = object.metadata;
    metadata.managed_fields = None;
    let mut value = object.data;
    if !value.is_object() {
        value = Value::Object(serde_json::Map::new());
    }
    value["apiVersion"] = Value::from(api_version);
    value["kind"] = Value::from(kind);
    // Metadata came as JSON and goes back to it.
    value["metadata"] = serde_json::to_value(metadata).unwrap_or_default();
    value
}

/// Name of the cluster an object belongs to.
pub fn cluster_name(object: &DynamicObject) -> Option<String> {
    let name = label(object, CLUSTER_NAME_LABEL);
    if !name.is_empty() {
        return Some(name);
    }
    object.data.pointer("/spec/clusterName").and_then(Value::as_str).map(str::to_owned)
}

fn label(object: &DynamicObject, name: &str) -> String {
    object.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned().unwrap_or_default()
}

fn number(data: &Value, pointer: &str) -> u32 {
    data.pointer(pointer).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}
