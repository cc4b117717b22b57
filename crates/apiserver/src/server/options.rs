//! How a server is opened: where its data is, what it says it is, and what stands in for kubelets.

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;

use crate::{
    audit::AuditOptions,
    authentication_configuration::AuthenticationConfiguration,
    pipeline::RequestLimits,
    store::{PlaneName, StoreOptions},
    webhook_client::ServiceAddresses,
};

/// Where a server keeps its objects and certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// Nowhere: they end with the process.
    #[default]
    Memory,
    /// In this directory, made if absent: `kogge.redb` and `pki/`.
    Directory(PathBuf),
}

/// What the hook for `pods/log` is asked.
#[derive(Clone, Copy, Debug)]
pub struct LogRequest<'a> {
    /// The plane of the pod.
    pub plane: &'a PlaneName,
    /// The pod, as `v1`.
    pub pod: &'a Value,
    /// The container, which exists in the pod.
    pub container: &'a str,
}

/// Gives the log of a container.
pub type PodLogs = Arc<dyn Fn(&LogRequest<'_>) -> String + Send + Sync>;

/// What something uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of processors, in thousand-millionths of one.
    pub nanocores: u64,
    /// Of memory.
    pub bytes: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            nanocores: self.nanocores.saturating_add(other.nanocores),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What the hook for `metrics.k8s.io` is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Measured<'a> {
    /// A container of a running pod.
    Container {
        /// The pod, as `v1`.
        pod: &'a Value,
        /// The container, which exists in the pod.
        container: &'a str,
    },
    /// A node, beside its pods.
    Node {
        /// The node, as `v1`.
        node: &'a Value,
    },
}

/// What the hook for `metrics.k8s.io` is asked.
#[derive(Clone, Copy, Debug)]
pub struct UsageRequest<'a> {
    /// The plane.
    pub plane: &'a PlaneName,
    /// What is measured.
    pub measured: Measured<'a>,
    /// When.
    pub at: jiff::Timestamp,
}

/// Tells what a container or a node uses.
pub type PodUsage = Arc<dyn Fn(&UsageRequest<'_>) -> Usage + Send + Sync>;

/// How to open a server.
#[derive(Clone)]
pub struct ServerOptions {
    /// Where it keeps its data.
    pub data: Storage,
    /// What `/version` answers on the management plane, e.g. `v1.36.0`.
    pub kubernetes_version: String,
    /// Host names and addresses of the serving certificate beside those of the local machine.
    pub host_names: Vec<String>,
    /// Gives the text of `kubectl logs`; without it logs are empty.
    pub pod_logs: Option<PodLogs>,
    /// Tells what pods use, for `kubectl top` in planes that have the APIService of metrics-server; without it no plane serves
    /// `metrics.k8s.io`.
    pub pod_usage: Option<PodUsage>,
    /// Issuers whose tokens count on the management plane, beside its own.
    pub authentication: AuthenticationConfiguration,
    /// Whether every namespace is given its ServiceAccount `default` and its ConfigMap `kube-root-ca.crt`, as by a controller
    /// manager.
    pub namespace_content: bool,
    /// Tuning of the store.
    pub store: StoreOptions,
    /// Where the Services of webhooks are, as there is no Service network: `NAMESPACE/NAME:PORT` to `https://HOST:PORT`.
    pub webhook_services: ServiceAddresses,
    /// What clients may ask at once.
    pub limits: RequestLimits,
    /// Where requests through listeners are logged; without it they are not.
    pub audit: Option<AuditOptions>,
}

impl Default for ServerOptions {
    /// In memory, version `v1.36.0`, without namespace content and audit log, with the default limits.
    fn default() -> Self {
        Self {
            data: Storage::Memory,
            kubernetes_version: "v1.36.0".to_owned(),
            host_names: Vec::new(),
            pod_logs: None,
            pod_usage: None,
            authentication: AuthenticationConfiguration::default(),
            namespace_content: false,
            store: StoreOptions::default(),
            webhook_services: ServiceAddresses::new(),
            limits: RequestLimits::default(),
            audit: None,
        }
    }
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ServerOptions")
            .field("data", &self.data)
            .field("kubernetes_version", &self.kubernetes_version)
            .field("host_names", &self.host_names)
            .finish_non_exhaustive()
    }
}
