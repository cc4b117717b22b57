//! `KubernetesCluster`: the one description of a cluster that a customer writes, and its status.
//!
//! The description names no detail of a provider. Only a profile, flavors and zones come from the provider, and the
//! profile resolves them; so the same document with another profile gives the same cluster elsewhere. Everything a
//! production cluster needs (network policies, storage, health replacement, etcd care, certificate renewal) is always
//! on and therefore not a field.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::{rule, rule_at, structural};

mod addons;
mod machines;
mod network;
mod operation;
mod registries;
mod status;

pub use addons::{Addon, AddonOptions, Addons, GatewayApi, Harbor, HarborSizes, Ingress, MetricsServer};
pub use machines::{
    AntiAffinity, Autoscaling, ControlPlane, DEFAULT_WORKER_COUNT, MachineMetadata, Taint, TaintEffect, WorkerPool,
};
pub use network::{ApiServer, ApiServerAccess, Ipv6Network, Network, Proxy};
pub use operation::{
    Access, Advanced, AutoUpdate, Day, EtcdBackup, HealthCheck, Maintenance, MaintenanceWindow, OpenIdConnect,
};
pub use registries::{MirrorCapability, MirrorEndpoint, Registries, RegistryMirror, Trust};
pub use status::{
    ApiServerStatus, ClusterProblem, Condition, ControlPlaneStatus, KubernetesClusterStatus, KubernetesStatus,
    Operation, OperationState, OperationType, Phase, PlanSummary, ProblemObject, StackStatus, WorkerPoolStatus,
    condition,
};

/// The description of one Kubernetes cluster, independent of any provider.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kogge.dev",
    version = "v1alpha1",
    kind = "KubernetesCluster",
    plural = "kubernetesclusters",
    singular = "kubernetescluster",
    shortname = "kc",
    category = "kogge",
    namespaced,
    status = "KubernetesClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Kubernetes cluster, described independently of any provider. Name, profile and version are enough.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "What the cluster is doing"),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.kubernetes.version",
        description = "The Kubernetes version the control plane runs"
    ),
    printcolumn(
        name = "Control plane",
        type_ = "string",
        json_path = ".status.controlPlane.summary",
        description = "Ready and desired control plane machines"
    ),
    printcolumn(
        name = "Workers",
        type_ = "string",
        json_path = ".status.workersSummary",
        description = "Ready and desired worker machines"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Profile",
        type_ = "string",
        json_path = ".spec.provider.profile",
        description = "The provider profile the cluster runs on",
        priority = 1
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.apiServer.endpoint",
        description = "The address of the cluster's API server",
        priority = 1
    ),
    validation = kube::core::Rule::new(NAME_RULE)
        .message("metadata.name must be 1 to 20 lowercase letters, digits and single dashes, start with a letter and end with a letter or digit, and not be reserved (kubernetes, default, kube-system, kogge)"),
    validation = kube::core::Rule::new(STEP_RULE)
        .message("Kubernetes is upgraded one minor version at a time: wait until the cluster runs the version before")
)]
#[kube(crates(kube_core = "::kube::core"))]
#[serde(rename_all = "camelCase")]
#[schemars(transform = structural, extend("x-kubernetes-validations" = spec_rules()))]
pub struct KubernetesClusterSpec {
    /// Stops every change by Kogge: the cluster keeps running as it is, changes of the description wait until this is
    /// false again. Default false.
    #[serde(default)]
    pub paused: bool,
    /// Where the cluster runs: the provider's profile and the credentials for it.
    pub provider: Provider,
    /// The cluster stack (node image, cluster class and add-ons, tested together). Default: the profile's stack in the
    /// newest release that contains the requested Kubernetes version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackReference>,
    /// The Kubernetes version.
    pub kubernetes: Kubernetes,
    /// The machines of the control plane.
    #[serde(default)]
    pub control_plane: ControlPlane,
    /// The worker pools. Default: one pool called `default` with three machines.
    #[serde(default = "default_workers")]
    #[schemars(length(min = 1, max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub workers: Vec<WorkerPool>,
    /// Addresses and name resolution inside the cluster.
    #[serde(default)]
    pub network: Network,
    /// How the cluster's API server is reached.
    #[serde(default)]
    pub api_server: ApiServer,
    /// Optional services inside the cluster.
    #[serde(default)]
    pub addons: Addons,
    /// Where container images come from.
    #[serde(default)]
    pub registries: Registries,
    /// Additional certificate authorities the machines trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// When and how Kogge may work on the cluster by itself.
    #[serde(default)]
    pub maintenance: Maintenance,
    /// Who may sign in to the cluster beyond client certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// Settings for operators who know why; a profile may forbid each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
}

impl Default for KubernetesClusterSpec {
    /// What a document without any field would mean; profile and version are empty.
    fn default() -> Self {
        Self {
            paused: false,
            provider: Provider::default(),
            stack: None,
            kubernetes: Kubernetes::default(),
            control_plane: ControlPlane::default(),
            workers: default_workers(),
            network: Network::default(),
            api_server: ApiServer::default(),
            addons: Addons::default(),
            registries: Registries::default(),
            trust: None,
            maintenance: Maintenance::default(),
            access: None,
            advanced: None,
        }
    }
}

/// Rule: no version is asked for that is more than one minor version above the one that runs. The rule on the field
/// itself compares with the description before, which may have been ahead of what runs. It holds for changes of the
/// version only, so that no status is ever kept from being written.
const STEP_RULE: &str = "self.spec.kubernetes.version == oldSelf.spec.kubernetes.version || !has(oldSelf.status) || \
!has(oldSelf.status.kubernetes) || !has(oldSelf.status.kubernetes.version) || \
int(self.spec.kubernetes.version.split('.')[1]) <= int(oldSelf.status.kubernetes.version.split('.')[1]) + 1";

/// What a name of a cluster must look like, on top of what Kubernetes asks of every object name.
pub const NAME_RULE: &str = "self.metadata.name.matches('^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$') && \
!self.metadata.name.contains('--') && !(self.metadata.name in ['kubernetes', 'default', 'kube-system', 'kogge'])";

/// Names no cluster can have: they would collide with names Kubernetes or Kogge use in the same places.
pub const RESERVED_NAMES: [&str; 4] = ["kubernetes", "default", "kube-system", "kogge"];

fn default_workers() -> Vec<WorkerPool> {
    vec![WorkerPool { name: "default".into(), ..WorkerPool::default() }]
}

fn spec_rules() -> serde_json::Value {
    serde_json::json!([
        rule_at(
            ".workers",
            "self.workers.exists(w, has(w.autoscaling) ? w.autoscaling.max > 0 : !has(w.count) || w.count > 0)",
            "at least one worker machine is needed: give one pool a count above 0 or autoscaling with max above 0"
        ),
        rule(
            "self.workers.all(w, !has(w.count) || !has(w.autoscaling))",
            "a worker pool has either count or autoscaling, not both"
        ),
    ])
}

/// Where the cluster runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [crate::crd::immutable_optional("region")]))]
pub struct Provider {
    /// Name of a ProviderProfile. It decides what flavors, zones, versions and features there are. Cannot be changed.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [crate::crd::immutable("provider.profile")]))]
    pub profile: String,
    /// The Secret in the same namespace with the credentials for the provider. Default: a Secret with the name of the
    /// profile. Changed in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<LocalReference>,
    /// A region of the profile. Default: the profile's default region. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
}

/// The name of an object in the namespace of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A cluster stack and its release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct StackReference {
    /// Name of the stack. Default: the profile's stack. A change replaces the machines one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// Release of the stack. Default: the newest that contains the requested Kubernetes version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version: Option<String>,
}

/// The Kubernetes version of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kubernetes {
    /// The version, as a string in quotes: `"1.34"` or `"1.34.x"` for the newest patch release the profile offers, or
    /// an exact version such as `"v1.34.2"`. Never goes down, and up by one minor version at a time. A change replaces
    /// all machines one after the other, the control plane first.
    #[schemars(
        length(max = 32),
        regex(pattern = r"^v?1\.(0|[1-9][0-9]{0,3})(\.(x|0|[1-9][0-9]{0,3}))?$"),
        extend("x-kubernetes-validations" = version_rules())
    )]
    pub version: String,
    /// Accepts versions the profile marks as preview. Default false.
    #[serde(default)]
    pub allow_preview: bool,
}

fn version_rules() -> serde_json::Value {
    const MINOR: &str = "int(self.split('.')[1])";
    const OLD_MINOR: &str = "int(oldSelf.split('.')[1])";
    serde_json::json!([
        rule(
            &format!("{MINOR} >= {OLD_MINOR}"),
            "Kubernetes cannot be downgraded: the minor version must not be lower than before"
        ),
        rule(
            &format!("{MINOR} <= {OLD_MINOR} + 1"),
            "Kubernetes is upgraded one minor version at a time: set the next minor version first and wait until the cluster is Ready"
        ),
        rule(
            &format!(
                "{MINOR} != {OLD_MINOR} || self.split('.').size() < 3 || oldSelf.split('.').size() < 3 || \
                 self.endsWith('.x') || oldSelf.endsWith('.x') || int(self.split('.')[2]) >= int(oldSelf.split('.')[2])"
            ),
            "Kubernetes cannot be downgraded: the patch version must not be lower than before"
        ),
    ])
}

/// Labels or metadata: names to values.
pub type StringMap = BTreeMap<String, String>;
