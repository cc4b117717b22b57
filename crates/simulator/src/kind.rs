//! The kinds the simulator reads and writes in the management plane.
//!
//! One closed enum instead of strings: a cache entry, a watch, a write and an owner reference all name a kind through
//! it, so that groups, plurals and contract versions are spelt in one place.

use serde_json::{Value, json};

/// Group of Cluster API's own kinds.
pub const CORE_GROUP: &str = "cluster.x-k8s.io";
/// Group of the kubeadm control plane provider.
pub const CONTROL_PLANE_GROUP: &str = "controlplane.cluster.x-k8s.io";
/// Group of the kubeadm bootstrap provider.
pub const BOOTSTRAP_GROUP: &str = "bootstrap.cluster.x-k8s.io";
/// Group of infrastructure providers.
pub const INFRASTRUCTURE_GROUP: &str = "infrastructure.cluster.x-k8s.io";
/// Group of the simulator's own kinds.
pub const SIMULATION_GROUP: &str = "simulation.kogge.dev";

/// A kind in the management plane that the simulator works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the variants are the kinds' own names
pub enum Kind {
    Cluster,
    ClusterClass,
    MachineDeployment,
    MachineSet,
    Machine,
    MachineHealthCheck,
    KubeadmControlPlane,
    KubeadmControlPlaneTemplate,
    KubeadmConfig,
    KubeadmConfigTemplate,
    SimulatedCluster,
    SimulatedClusterTemplate,
    SimulatedMachine,
    SimulatedMachineTemplate,
    Secret,
    Fault,
}

impl Kind {
    /// Every kind, in the order in which the simulator starts watching them.
    pub const ALL: [Self; 16] = [
        Self::ClusterClass,
        Self::KubeadmControlPlaneTemplate,
        Self::KubeadmConfigTemplate,
        Self::SimulatedClusterTemplate,
        Self::SimulatedMachineTemplate,
        Self::Fault,
        Self::Secret,
        Self::SimulatedCluster,
        Self::SimulatedMachine,
        Self::KubeadmConfig,
        Self::KubeadmControlPlane,
        Self::MachineHealthCheck,
        Self::MachineDeployment,
        Self::MachineSet,
        Self::Machine,
        Self::Cluster,
    ];

    /// The kind's name, e.g. `Machine`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::ClusterClass => "ClusterClass",
            Self::MachineDeployment => "MachineDeployment",
            Self::MachineSet => "MachineSet",
            Self::Machine => "Machine",
            Self::MachineHealthCheck => "MachineHealthCheck",
            Self::KubeadmControlPlane => "KubeadmControlPlane",
            Self::KubeadmControlPlaneTemplate => "KubeadmControlPlaneTemplate",
            Self::KubeadmConfig => "KubeadmConfig",
            Self::KubeadmConfigTemplate => "KubeadmConfigTemplate",
            Self::SimulatedCluster => "SimulatedCluster",
            Self::SimulatedClusterTemplate => "SimulatedClusterTemplate",
            Self::SimulatedMachine => "SimulatedMachine",
            Self::SimulatedMachineTemplate => "SimulatedMachineTemplate",
            Self::Secret => "Secret",
            Self::Fault => "Fault",
        }
    }

    /// The kind of that name, if the simulator knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// API group, empty for Secret.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Cluster
            | Self::ClusterClass
            | Self::MachineDeployment
            | Self::MachineSet
            | Self::Machine
            | Self::MachineHealthCheck => CORE_GROUP,
            Self::KubeadmControlPlane | Self::KubeadmControlPlaneTemplate => CONTROL_PLANE_GROUP,
            Self::KubeadmConfig | Self::KubeadmConfigTemplate => BOOTSTRAP_GROUP,
            Self::SimulatedCluster
            | Self::SimulatedClusterTemplate
            | Self::SimulatedMachine
            | Self::SimulatedMachineTemplate => INFRASTRUCTURE_GROUP,
            Self::Secret => "",
            Self::Fault => SIMULATION_GROUP,
        }
    }

    /// Served and stored version.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Secret => "v1",
            Self::Fault => "v1alpha1",
            _ => "v1beta2",
        }
    }

    /// `group/version`, as in an object's `apiVersion`.
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// Name in paths, e.g. `machines`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::ClusterClass => "clusterclasses",
            Self::MachineDeployment => "machinedeployments",
            Self::MachineSet => "machinesets",
            Self::Machine => "machines",
            Self::MachineHealthCheck => "machinehealthchecks",
            Self::KubeadmControlPlane => "kubeadmcontrolplanes",
            Self::KubeadmControlPlaneTemplate => "kubeadmcontrolplanetemplates",
            Self::KubeadmConfig => "kubeadmconfigs",
            Self::KubeadmConfigTemplate => "kubeadmconfigtemplates",
            Self::SimulatedCluster => "simulatedclusters",
            Self::SimulatedClusterTemplate => "simulatedclustertemplates",
            Self::SimulatedMachine => "simulatedmachines",
            Self::SimulatedMachineTemplate => "simulatedmachinetemplates",
            Self::Secret => "secrets",
            Self::Fault => "faults",
        }
    }

    /// Whether objects live in a namespace; only faults do not.
    pub const fn namespaced(self) -> bool {
        !matches!(self, Self::Fault)
    }

    /// A contract-versioned reference `{apiGroup, kind, name}`, as v1beta2 objects hold them.
    pub fn reference(self, name: &str) -> Value {
        json!({"apiGroup": self.group(), "kind": self.name(), "name": name})
    }

    /// Path of the collection, or of one object where `name` is given.
    pub fn path(self, namespace: &str, name: Option<&str>) -> String {
        let mut path = match self.group() {
            "" => "/api/v1".to_owned(),
            group => format!("/apis/{group}/{}", self.version()),
        };
        if self.namespaced() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(self.plural());
        if let Some(name) = name {
            path.push('/');
            path.push_str(name);
        }
        path
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
