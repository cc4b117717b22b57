//! The observed state a plan starts from, taken from Cluster API objects.

use std::collections::BTreeMap;

use kogge_api::kubernetes_cluster::KubernetesClusterSpec;
use serde_json::Value;

use crate::description::APPLIED_DESCRIPTION_ANNOTATION;
use crate::render::{POOL_LABEL, content_of};
use kogge_api::kubernetes_version::KubernetesVersion;

/// What is known of a cluster's Cluster API objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedState {
    /// The `Cluster`, if there is one.
    pub cluster: Option<Value>,
    /// Versions machines run or are being brought to, from the control plane and the machine deployments.
    pub machine_versions: Vec<KubernetesVersion>,
    /// Machines of each machine deployment, by its name in the topology.
    pub replicas: BTreeMap<String, u32>,
    /// Content of the ClusterClasses in the namespace, by name; empty content where Kogge left none.
    pub published_classes: BTreeMap<String, String>,
    /// ClusterClasses of Kogge in the namespace that no cluster uses.
    pub unused_classes: Vec<String>,
}

impl ObservedState {
    /// Reads the state from the objects of one cluster. `control_plane` and `machine_deployments` are those of the
    /// cluster, `classes` all ClusterClasses of the namespace; unused classes are left to the caller, who alone knows
    /// the other clusters.
    pub fn from_objects(
        cluster: Option<&Value>,
        control_plane: Option<&Value>,
        machine_deployments: &[Value],
        classes: &[Value],
    ) -> Self {
        let mut state = Self { cluster: cluster.cloned(), ..Self::default() };
        let version = |object: &Value, pointer: &str| -> Option<KubernetesVersion> {
            object.pointer(pointer).and_then(Value::as_str).and_then(|text| text.parse().ok())
        };
        if let Some(control_plane) = control_plane {
            state.machine_versions.extend(version(control_plane, "/status/version"));
            state.machine_versions.extend(version(control_plane, "/spec/version"));
        }
        for deployment in machine_deployments {
            state.machine_versions.extend(version(deployment, "/spec/template/spec/version"));
            let labels = &deployment["metadata"]["labels"];
            if let Some(name) = labels["topology.cluster.x-k8s.io/deployment-name"].as_str() {
                state.replicas.insert(name.to_owned(), number(&deployment["spec"]["replicas"]));
            }
        }
        for class in classes {
            let name = class["metadata"]["name"].as_str().unwrap_or_default();
            state.published_classes.insert(name.to_owned(), content_of(class).unwrap_or_default().to_owned());
        }
        state
    }

    /// The completed description the cluster was last written with.
    pub fn applied_description(&self) -> Option<KubernetesClusterSpec> {
        let text =
            self.cluster.as_ref()?.pointer("/metadata/annotations")?.get(APPLIED_DESCRIPTION_ANNOTATION)?.as_str()?;
        serde_json::from_str(text).ok()
    }

    /// The version the cluster was last asked to run.
    pub fn version(&self) -> Option<KubernetesVersion> {
        self.topology()?["version"].as_str()?.parse().ok()
    }

    /// Name of the ClusterClass in use.
    pub fn class_name(&self) -> Option<&str> {
        self.topology()?["classRef"]["name"].as_str()
    }

    /// Whether some machine is still on its way to the version in use.
    pub fn is_upgrading(&self) -> bool {
        self.version().is_some_and(|version| self.machine_versions.iter().any(|machine| *machine != version))
    }

    pub(super) fn topology(&self) -> Option<&Value> {
        self.cluster.as_ref()?.pointer("/spec/topology")
    }

    /// Control plane machines as last asked for.
    pub(super) fn control_plane_count(&self) -> u32 {
        self.topology().map_or(0, |topology| number(&topology["controlPlane"]["replicas"]))
    }

    /// Machine deployments of the topology by pool, in the order of the object.
    pub(super) fn pools(&self) -> BTreeMap<String, Vec<&Value>> {
        let mut pools: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        let deployments = self.topology().and_then(|topology| topology["workers"]["machineDeployments"].as_array());
        for deployment in deployments.into_iter().flatten() {
            // What others added to the topology is theirs.
            if let Some(pool) = deployment["metadata"]["labels"][POOL_LABEL].as_str() {
                pools.entry(pool.to_owned()).or_default().push(deployment);
            }
        }
        pools
    }

    /// Machines of a machine deployment of the topology: as asked for, else (autoscaled) as there are.
    pub(super) fn machines_of(&self, deployment: &Value) -> u32 {
        let name = deployment["name"].as_str().unwrap_or_default();
        match deployment["replicas"].as_u64() {
            Some(replicas) => u32::try_from(replicas).unwrap_or(u32::MAX),
            None => self.replicas.get(name).copied().unwrap_or(0),
        }
    }
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}
