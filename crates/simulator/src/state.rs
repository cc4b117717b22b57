//! Everything one decision looks at: the objects of one cluster, and what was observed on its plane.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    clock::Clock,
    fault::{FaultTarget, Faults, Scope},
    kind::Kind,
    object::{CONTROL_PLANE_LABEL, Object, TOPOLOGY_DEPLOYMENT_LABEL},
    topology::desired::KnownDesired,
};

/// Finalizer of Cluster.
pub const CLUSTER_FINALIZER: &str = "cluster.cluster.x-k8s.io";
/// Finalizer of Machine.
pub const MACHINE_FINALIZER: &str = "machine.cluster.x-k8s.io";
/// Finalizer of KubeadmControlPlane.
pub const CONTROL_PLANE_FINALIZER: &str = "kubeadm.controlplane.cluster.x-k8s.io";
/// Finalizer of SimulatedCluster.
pub const SIMULATED_CLUSTER_FINALIZER: &str = "simulatedcluster.infrastructure.cluster.x-k8s.io";
/// Finalizer of SimulatedMachine.
pub const SIMULATED_MACHINE_FINALIZER: &str = "simulatedmachine.infrastructure.cluster.x-k8s.io";

/// How far an instance came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceStage {
    /// Nothing was requested from the cloud yet.
    None,
    /// The cloud builds it.
    Building,
    /// It is active and boots.
    Booting,
    /// Its node registered and waits for the network plugin.
    Joining,
    /// Its node is ready.
    Running,
    /// Its node stopped answering.
    Lost,
    /// The cloud deletes it.
    Deleting,
}

impl InstanceStage {
    /// The value in `status.stage`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Building => "Building",
            Self::Booting => "Booting",
            Self::Joining => "Joining",
            Self::Running => "Running",
            Self::Lost => "Lost",
            Self::Deleting => "Deleting",
        }
    }

    /// The stage a SimulatedMachine shows.
    pub fn of(instance: Option<&Object>) -> Self {
        match instance.map(|it| it.text("/status/stage")) {
            Some("Building") => Self::Building,
            Some("Booting") => Self::Booting,
            Some("Joining") => Self::Joining,
            Some("Running") => Self::Running,
            Some("Lost") => Self::Lost,
            Some("Deleting") => Self::Deleting,
            _ => Self::None,
        }
    }

    /// Whether a node exists at this stage.
    pub const fn has_node(self) -> bool {
        matches!(self, Self::Joining | Self::Running | Self::Lost)
    }
}

/// A pod on a node that is drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOnNode {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether it is already terminating.
    pub deleting: bool,
    /// Message of the disruption budget that forbids to evict it now.
    pub blocked: Option<String>,
}

/// What was observed on the cluster's plane before the decision.
#[derive(Clone, Debug, Default)]
pub struct PlaneObservation {
    /// Whether the plane is there.
    pub exists: bool,
    /// Whether metrics-server is installed on it.
    pub metrics_server: bool,
    /// Pods to evict, by node, for the nodes of machines that are being drained.
    pub pods: BTreeMap<String, Vec<PodOnNode>>,
}

/// All objects of one cluster.
#[derive(Clone, Debug)]
pub struct ClusterState {
    /// The Cluster.
    pub cluster: Object,
    /// Its ClusterClass, if found.
    pub class: Option<Object>,
    /// Templates of the class, and those cloned from them for this cluster.
    pub templates: BTreeMap<(Kind, String), Object>,
    /// Its SimulatedCluster.
    pub infrastructure: Option<Object>,
    /// Its KubeadmControlPlane.
    pub control_plane: Option<Object>,
    /// MachineDeployments by name.
    pub deployments: Vec<Object>,
    /// MachineSets by name.
    pub sets: Vec<Object>,
    /// Machines by name.
    pub machines: Vec<Object>,
    /// KubeadmConfigs by name.
    pub configs: BTreeMap<String, Object>,
    /// SimulatedMachines by name.
    pub instances: BTreeMap<String, Object>,
    /// MachineHealthChecks.
    pub health_checks: Vec<Object>,
    /// Names of the cluster's Secrets.
    pub secrets: BTreeSet<String>,
    /// What was observed on the plane.
    pub plane: PlaneObservation,
    /// What the topology asks for, if an earlier decision has computed it.
    pub desired: Option<KnownDesired>,
}

/// The address under which planes are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host:port`, without a path.
    pub base_url: String,
    /// Host part.
    pub host: String,
    /// Port part.
    pub port: u16,
}

/// What decisions need beside the objects.
pub struct Context<'a> {
    /// Durations.
    pub clock: &'a Clock,
    /// The time of this decision.
    pub now: Timestamp,
    /// Faults that are set.
    pub faults: &'a Faults,
    /// Instances that exist within a fault's target.
    pub used: &'a (dyn Fn(&FaultTarget) -> u32 + Sync),
    /// Where planes are served.
    pub endpoint: &'a Endpoint,
}

impl ClusterState {
    /// A state with nothing but the cluster.
    pub fn of(cluster: Object) -> Self {
        Self {
            cluster,
            class: None,
            templates: BTreeMap::new(),
            infrastructure: None,
            control_plane: None,
            deployments: Vec::new(),
            sets: Vec::new(),
            machines: Vec::new(),
            configs: BTreeMap::new(),
            instances: BTreeMap::new(),
            health_checks: Vec::new(),
            secrets: BTreeSet::new(),
            plane: PlaneObservation::default(),
            desired: None,
        }
    }

    /// Sorts an object into its place; kinds that belong to no cluster are ignored.
    pub fn insert(&mut self, kind: Kind, object: Object) {
        let name = object.name().to_owned();
        match kind {
            Kind::Cluster => self.cluster = object,
            Kind::ClusterClass => self.class = Some(object),
            Kind::SimulatedCluster => self.infrastructure = Some(object),
            Kind::KubeadmControlPlane => self.control_plane = Some(object),
            Kind::MachineDeployment => self.deployments.push(object),
            Kind::MachineSet => self.sets.push(object),
            Kind::Machine => self.machines.push(object),
            Kind::MachineHealthCheck => self.health_checks.push(object),
            Kind::KubeadmConfig => drop(self.configs.insert(name, object)),
            Kind::SimulatedMachine => drop(self.instances.insert(name, object)),
            Kind::Secret => drop(self.secrets.insert(name)),
            Kind::KubeadmControlPlaneTemplate
            | Kind::KubeadmConfigTemplate
            | Kind::SimulatedClusterTemplate
            | Kind::SimulatedMachineTemplate => drop(self.templates.insert((kind, name), object)),
            Kind::Fault => {}
        }
    }

    /// Cluster name.
    pub fn name(&self) -> &str {
        self.cluster.name()
    }

    /// Cluster namespace.
    pub fn namespace(&self) -> &str {
        self.cluster.namespace()
    }

    /// Control plane machines.
    pub fn control_plane_machines(&self) -> impl Iterator<Item = &Object> {
        self.machines.iter().filter(|it| is_control_plane(it))
    }

    /// Worker machines.
    pub fn worker_machines(&self) -> impl Iterator<Item = &Object> {
        self.machines.iter().filter(|it| !is_control_plane(it))
    }

    /// The instance of a machine.
    pub fn instance(&self, machine: &Object) -> Option<&Object> {
        self.instances.get(machine.name())
    }

    /// How far the instance of a machine came.
    pub fn stage(&self, machine: &Object) -> InstanceStage {
        InstanceStage::of(self.instance(machine))
    }

    /// Whether a machine runs and nobody deletes it.
    pub fn healthy(&self, machine: &Object) -> bool {
        !machine.deleting() && self.stage(machine) == InstanceStage::Running
    }

    /// Whether the cloud made the cluster's networks and endpoint.
    pub fn infrastructure_provisioned(&self) -> bool {
        self.infrastructure.as_ref().is_some_and(|it| it.flag("/status/initialization/provisioned"))
    }

    /// Whether the first control plane machine came up at any time.
    pub fn control_plane_initialized(&self) -> bool {
        self.control_plane.as_ref().is_some_and(|it| it.flag("/status/initialization/controlPlaneInitialized"))
            || self.control_plane_machines().any(|it| self.stage(it).has_node())
    }

    /// Where faults look for a machine.
    pub fn scope<'a>(&'a self, machine: &'a Object) -> Scope<'a> {
        let zone = match machine.text("/spec/failureDomain") {
            "" => self.instance(machine).map_or("", |it| it.text("/status/failureDomain")),
            zone => zone,
        };
        let pool = if is_control_plane(machine) {
            "control-plane"
        } else {
            machine.label(TOPOLOGY_DEPLOYMENT_LABEL).unwrap_or_default()
        };
        Scope {
            namespace: self.namespace(),
            cluster: self.name(),
            zone,
            machine: machine.name(),
            pool,
            ..Scope::default()
        }
    }

    /// Where faults look for the cluster as a whole.
    pub fn cluster_scope(&self) -> Scope<'_> {
        Scope { namespace: self.namespace(), cluster: self.name(), ..Scope::default() }
    }
}

/// Whether a machine is a control plane machine.
pub fn is_control_plane(machine: &Object) -> bool {
    machine.label(CONTROL_PLANE_LABEL).is_some()
}
