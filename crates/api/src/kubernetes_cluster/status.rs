//! What is true of a cluster, as observed. Every controller that writes it follows one rule: never Ready when it is not,
//! never in progress for ever.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalReference;
use crate::crd::structural;

/// What is true of a cluster, as observed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = structural)]
pub struct KubernetesClusterStatus {
    /// The generation of the description this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for what the cluster is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The operation that runs, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// What is wrong at the moment, the most severe first. Empty when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub problems: Vec<ClusterProblem>,
    /// Conditions as Kubernetes defines them; see the module [`condition`] for their types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Kubernetes as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesStatus>,
    /// The API server of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ApiServerStatus>,
    /// Secret in the same namespace with an administrator's kubeconfig in the key `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_ref: Option<LocalReference>,
    /// The machines of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<ControlPlaneStatus>,
    /// The worker pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub workers: Vec<WorkerPoolStatus>,
    /// Ready and desired worker machines of all pools, `5/6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_summary: Option<String>,
    /// The cluster stack in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackStatus>,
    /// The plan the operation carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
}

/// One word for what a cluster is doing. The set is closed: a client may rely on there being no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum Phase {
    /// Accepted; nothing has been made yet.
    #[default]
    Pending,
    /// The cluster is being made for the first time.
    Provisioning,
    /// All machines run as described and the API server answers.
    Ready,
    /// The cluster works; a change (scaling, upgrade, new machines) is on its way.
    Updating,
    /// The cluster works in part, or a change does not get on; `problems` says why.
    Degraded,
    /// Changes are stopped by `spec.paused`.
    Paused,
    /// The cluster and all that belongs to it are being removed.
    Deleting,
    /// The cluster cannot be made or run as described; nothing happens until the description or the provider changes.
    Failed,
}

impl Phase {
    /// The word as it stands in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Provisioning => "Provisioning",
            Self::Ready => "Ready",
            Self::Updating => "Updating",
            Self::Degraded => "Degraded",
            Self::Paused => "Paused",
            Self::Deleting => "Deleting",
            Self::Failed => "Failed",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A piece of work on a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What is being done.
    #[serde(rename = "type")]
    pub operation_type: OperationType,
    /// How far it is.
    pub state: OperationState,
    /// Completed share in percent, 0 to 100.
    #[serde(default)]
    #[schemars(extend("minimum" = 0, "maximum" = 100))]
    pub progress: u8,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// When it will probably have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub estimate: Option<Timestamp>,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum OperationType {
    /// The cluster is made.
    #[default]
    Create,
    /// The number of machines changes.
    Scale,
    /// The Kubernetes version changes.
    Upgrade,
    /// Something else of the description changes.
    Update,
    /// Failed machines are replaced.
    Heal,
    /// The cluster is removed.
    Delete,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum OperationState {
    /// Waits for its turn, such as the maintenance window.
    #[default]
    Pending,
    /// Gets on.
    Running,
    /// Does not get on; `problems` says why. Kogge keeps trying what can be retried.
    Blocked,
    /// Done.
    Succeeded,
    /// Given up: it cannot succeed as described.
    Failed,
}

/// Something that is wrong, with who can do what about it. `kogge explain CODE` has a page on each code.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterProblem {
    /// Code from the catalogue, such as `QuotaExceeded`.
    pub code: String,
    /// Who can solve it.
    pub actor: crate::problem::Actor,
    /// Whether Kogge keeps trying, so that it may go away by itself or once its cause is removed.
    pub retryable: bool,
    /// What happened, with the cloud's own words where there are any.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Since when it has been so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// The object that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ProblemObject>,
}

/// The object a problem is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ProblemObject {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
}

/// A condition as `metav1.Condition` defines it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type, such as `Ready`.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// The generation of the description the condition speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Timestamp,
    /// One word for why.
    pub reason: String,
    /// One sentence for people.
    #[serde(default)]
    pub message: String,
}

/// The types of conditions of a cluster.
pub mod condition {
    /// The cluster runs as described.
    pub const READY: &str = "Ready";
    /// Network, load balancer and the like are there.
    pub const INFRASTRUCTURE_READY: &str = "InfrastructureReady";
    /// All control plane machines run as described.
    pub const CONTROL_PLANE_READY: &str = "ControlPlaneReady";
    /// All worker machines run as described.
    pub const WORKERS_READY: &str = "WorkersReady";
    /// All add-ons run as described.
    pub const ADDONS_READY: &str = "AddonsReady";
    /// The description is accepted for the profile.
    pub const ACCEPTED: &str = "Accepted";
    /// A newer version is offered.
    pub const UPGRADE_AVAILABLE: &str = "UpgradeAvailable";
    /// The control plane has a single machine.
    pub const SINGLE_POINT_OF_FAILURE: &str = "SinglePointOfFailure";
    /// Certificates end soon.
    pub const CERTIFICATES_EXPIRE_SOON: &str = "CertificatesExpireSoon";
    /// The provider refuses the credentials.
    pub const CREDENTIALS_INVALID: &str = "CredentialsInvalid";
    /// The quota of the project is too small for the description.
    pub const QUOTA_INSUFFICIENT: &str = "QuotaInsufficient";
    /// Changes are stopped by `spec.paused`.
    pub const PAUSED: &str = "Paused";
}

/// Kubernetes as it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesStatus {
    /// The version the control plane runs, exact, such as `v1.34.2`. During an upgrade the old one until the control
    /// plane is through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^v1\.[0-9]{1,4}\.[0-9]{1,4}$"))]
    pub version: Option<String>,
    /// The exact version the description stands for at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_version: Option<String>,
}

/// The API server of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ApiServerStatus {
    /// Its address, `https://host:port`, with a path where several share one listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// The machines of the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlaneStatus {
    /// Machines that should be there.
    #[serde(default)]
    pub desired: u32,
    /// Machines that are ready.
    #[serde(default)]
    pub ready: u32,
    /// Machines that are as described.
    #[serde(default)]
    pub up_to_date: u32,
    /// Version of the machines, the lowest if they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Ready and desired machines, `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// The machines of a worker pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// Name of the pool.
    pub name: String,
    /// Machines that should be there.
    #[serde(default)]
    pub desired: u32,
    /// Machines that are ready.
    #[serde(default)]
    pub ready: u32,
    /// Machines that are as described.
    #[serde(default)]
    pub up_to_date: u32,
    /// Version of the machines, the lowest if they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The cluster stack in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StackStatus {
    /// Name of the stack.
    pub name: String,
    /// Release of the stack.
    pub version: String,
    /// Name of the ClusterClass made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_class: Option<String>,
}

/// A plan in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSummary {
    /// Steps of the plan.
    #[serde(default)]
    pub steps: u32,
    /// Steps that are done.
    #[serde(default)]
    pub completed: u32,
    /// Machines the plan replaces.
    #[serde(default)]
    pub replaced_machines: u32,
    /// The steps in one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub summary: Vec<String>,
}
