//! Control plane and worker machines of a description.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StringMap;
use crate::crd::{rule, rule_at};

/// Number of machines of a worker pool that gives neither `count` nor `autoscaling`.
pub const DEFAULT_WORKER_COUNT: u32 = 3;

/// Names and values the provider attaches to the machines: at most 128 entries of at most 255 characters.
pub type MachineMetadata = StringMap;

/// The machines of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(".zones", "!has(self.zones) || size(self.zones) <= self.count", "controlPlane.zones must not list more zones than there are machines (controlPlane.count)"),
]))]
pub struct ControlPlane {
    /// Number of machines: 1, 3, 5 or 7. One machine is a single point of failure and shown as such. Changed one
    /// machine at a time. Ignored, with a warning, where the provider hosts the control plane. Default 3.
    #[serde(default = "default_control_plane_count")]
    #[schemars(extend("minimum" = 1, "maximum" = 7, "x-kubernetes-validations" = [
        rule("self % 2 == 1", "controlPlane.count must be odd (1, 3, 5 or 7), so that etcd keeps a majority when a machine fails"),
    ]))]
    pub count: u32,
    /// Flavor of the machines. Default: the profile's, with local SSD as etcd needs it. A change replaces the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub machine_flavor: Option<String>,
    /// Zones the machines are spread over. Default: all zones of the region. A change replaces machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub zones: Vec<String>,
    /// Whether machines may share a physical host. Default `Required` with several machines, else `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,
    /// Size of the root disk in GiB, for flavors without a disk of their own. Default: the stack's. A change replaces
    /// the machines.
    #[serde(default, rename = "rootDiskGiB", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 1, "maximum" = 65536))]
    pub root_disk_gib: Option<u32>,
    /// Names and values the provider attaches to the machines. A change replaces the machines.
    #[serde(default, skip_serializing_if = "MachineMetadata::is_empty")]
    #[schemars(extend("maxProperties" = 128, "additionalProperties" = {"type": "string", "maxLength": 255}))]
    pub machine_metadata: MachineMetadata,
}

fn default_control_plane_count() -> u32 {
    3
}

impl Default for ControlPlane {
    fn default() -> Self {
        Self {
            count: default_control_plane_count(),
            machine_flavor: None,
            zones: Vec::new(),
            anti_affinity: None,
            root_disk_gib: None,
            machine_metadata: MachineMetadata::new(),
        }
    }
}

impl ControlPlane {
    /// The anti-affinity in force: as given, else `Required` with several machines and `Disabled` with one.
    pub fn effective_anti_affinity(&self) -> AntiAffinity {
        self.anti_affinity.unwrap_or(if self.count > 1 { AntiAffinity::Required } else { AntiAffinity::Disabled })
    }
}

/// Whether machines of a group may share a physical host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AntiAffinity {
    /// Every machine on a host of its own; a machine without such a host is not created.
    Required,
    /// On hosts of their own where there are enough.
    #[default]
    Preferred,
    /// Anywhere.
    Disabled,
}

/// A group of equal worker machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPool {
    /// Name of the pool, unique in the cluster. A pool under a new name is a new pool.
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$"))]
    pub name: String,
    /// Number of machines. Default 3 unless `autoscaling` is given; exclusive with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 5000))]
    pub count: Option<u32>,
    /// Lets the load decide the number of machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Flavor of the machines. Default: the profile's. A change replaces the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub machine_flavor: Option<String>,
    /// Zones of the machines; with several, the machines are spread evenly. Default: all zones of the region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub zones: Vec<String>,
    /// Whether machines may share a physical host. Default `Preferred`.
    #[serde(default)]
    pub anti_affinity: AntiAffinity,
    /// Size of the root disk in GiB, for flavors without a disk of their own. Default: the stack's. A change replaces
    /// the machines.
    #[serde(default, rename = "rootDiskGiB", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 1, "maximum" = 65536))]
    pub root_disk_gib: Option<u32>,
    /// Labels of the nodes. Changed in place. Names under `kubernetes.io` and `k8s.io` belong to the system.
    #[serde(default, skip_serializing_if = "StringMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 64,
        "additionalProperties" = {"type": "string", "maxLength": 63},
    ))]
    pub labels: StringMap,
    /// Taints of the nodes. Changed in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key", "effect"]))]
    pub taints: Vec<Taint>,
    /// Names and values the provider attaches to the machines. A change replaces the machines.
    #[serde(default, skip_serializing_if = "MachineMetadata::is_empty")]
    #[schemars(extend("maxProperties" = 128, "additionalProperties" = {"type": "string", "maxLength": 255}))]
    pub machine_metadata: MachineMetadata,
}

impl WorkerPool {
    /// Machines to start with: `count`, else the lower bound of `autoscaling`, else [`DEFAULT_WORKER_COUNT`].
    pub fn initial_count(&self) -> u32 {
        match (self.count, &self.autoscaling) {
            (Some(count), _) => count,
            (None, Some(autoscaling)) => autoscaling.min,
            (None, None) => DEFAULT_WORKER_COUNT,
        }
    }

    /// The most machines the pool can have: `count`, or the upper bound of `autoscaling`.
    pub fn maximum_count(&self) -> u32 {
        match &self.autoscaling {
            Some(autoscaling) => autoscaling.max,
            None => self.initial_count(),
        }
    }
}

/// Bounds between which the load decides the number of machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    rule("self.min <= self.max", "autoscaling.min must not exceed autoscaling.max"),
]))]
pub struct Autoscaling {
    /// Fewest machines.
    #[schemars(extend("minimum" = 0, "maximum" = 5000))]
    pub min: u32,
    /// Most machines.
    #[schemars(extend("minimum" = 0, "maximum" = 5000))]
    pub max: u32,
}

/// Keeps pods away from the nodes of a pool unless they tolerate it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Taint {
    /// Key of the taint, in the syntax of a label name.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// Value of the taint. Default empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub value: String,
    /// What happens to pods that do not tolerate the taint.
    pub effect: TaintEffect,
}

/// What happens to pods that do not tolerate a taint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TaintEffect {
    /// They are not placed on the node.
    #[default]
    NoSchedule,
    /// They are placed on the node only if there is no other.
    PreferNoSchedule,
    /// They are not placed on the node, and running ones are evicted.
    NoExecute,
}
