//! The running of a cluster: maintenance, sign-in, and settings for operators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalReference;

/// When and how Kogge may work on the cluster by itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// The time in which Kogge may replace machines by itself. Default: the profile's, else any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<MaintenanceWindow>,
    /// What Kogge updates by itself.
    #[serde(default)]
    pub auto_update: AutoUpdate,
    /// How long a machine waits for its pods to leave before it is removed all the same, such as `15m` or `1h30m`; at
    /// most 24 hours. Default `15m`.
    #[serde(default = "default_drain_timeout")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(h|m|s))+$"))]
    pub drain_timeout: String,
}

fn default_drain_timeout() -> String {
    "15m".into()
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { window: None, auto_update: AutoUpdate::default(), drain_timeout: default_drain_timeout() }
    }
}

/// A weekly time window of at least 30 minutes; an end before the begin means the next day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    crate::crd::rule(WINDOW_RULE, "maintenance.window must be at least 30 minutes long"),
]))]
pub struct MaintenanceWindow {
    /// Begin, `HH:MM` in 24 hours.
    #[schemars(length(max = 5), regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub begin: String,
    /// End, `HH:MM` in 24 hours.
    #[schemars(length(max = 5), regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub end: String,
    /// Time zone by its name in the IANA database, such as `Europe/Berlin`. Default `UTC`.
    #[serde(default = "coordinated_universal_time")]
    #[schemars(length(min = 1, max = 64))]
    pub timezone: String,
    /// The days on which the window begins. Default: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Day>,
}

const WINDOW_RULE: &str = "!self.begin.matches('^[0-9]{2}:[0-9]{2}$') || !self.end.matches('^[0-9]{2}:[0-9]{2}$') || \
(int(self.end.substring(0, 2)) * 60 + int(self.end.substring(3, 5)) + 1440 \
- int(self.begin.substring(0, 2)) * 60 - int(self.begin.substring(3, 5))) % 1440 >= 30";

fn coordinated_universal_time() -> String {
    "UTC".into()
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// What Kogge updates by itself, inside the maintenance window.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoUpdate {
    /// New patch releases of Kubernetes. Default true for a version without patch (`"1.34"`), else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_patch: Option<bool>,
    /// New node images. Default true.
    #[serde(default = "node_image_by_default")]
    pub node_image: bool,
}

fn node_image_by_default() -> bool {
    true
}

impl Default for AutoUpdate {
    fn default() -> Self {
        Self { kubernetes_patch: None, node_image: true }
    }
}

/// Who may sign in to the cluster beyond client certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Access {
    /// Sign-in by OpenID Connect. A change replaces the control plane machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OpenIdConnect>,
}

/// Sign-in by OpenID Connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenIdConnect {
    /// Address of the issuer, `https://` only.
    #[serde(rename = "issuerURL")]
    #[schemars(length(max = 2048), regex(pattern = r"^https://[^/@\s?#]+(/[^\s?#]*)?$"))]
    pub issuer_url: String,
    /// The client the tokens are issued for.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 253))]
    pub client_id: String,
    /// Claim that becomes the user name. Default `sub`.
    #[serde(default = "subject_claim")]
    #[schemars(length(min = 1, max = 253))]
    pub username_claim: String,
    /// Claim that becomes the groups. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub groups_claim: Option<String>,
}

fn subject_claim() -> String {
    "sub".into()
}

/// Settings for operators who know why; a profile may forbid each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// The image of the machines. Default: the stack's. A change replaces the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub node_image: Option<String>,
    /// A key, known to the provider under this name, for emergency access. A change replaces the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ssh_key_name: Option<String>,
    /// When a machine counts as failed and is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Backup of the cluster's state outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_backup: Option<EtcdBackup>,
}

/// When a machine counts as failed and is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// How long a new machine may take to become a node, such as `20m`. Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(h|m|s))+$"))]
    pub node_startup_timeout: Option<String>,
    /// How long a node may be unhealthy, such as `5m`. Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(h|m|s))+$"))]
    pub unhealthy_timeout: Option<String>,
    /// Replaces machines only while at most so many of a pool are unhealthy: a number or a percentage such as `40%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^([0-9]{1,4}|([0-9]|[1-9][0-9]|100)%)$"))]
    pub max_unhealthy: Option<String>,
}

/// Backup of the cluster's state outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtcdBackup {
    /// When, in the syntax of cron (five fields, UTC). Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^\S+ \S+ \S+ \S+ \S+$"))]
    pub schedule: Option<String>,
    /// How long backups are kept, such as `14d`. Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(d|h|m|s))+$"))]
    pub retention: Option<String>,
    /// Secret in the same namespace that describes the object store. Default: the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<LocalReference>,
}
