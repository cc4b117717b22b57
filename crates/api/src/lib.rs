//! Kogge's object types and everything that can be decided about them without a network.
//!
//! The description a customer writes ([`KubernetesCluster`]), what a provider offers ([`ProviderProfile`]), their
//! schemas with defaults and rules ([`crd`]), the one validation all interfaces share ([`mod@validation`]), the reading of
//! documents with source positions ([`document`]), the catalogue of problems ([`problem`]) and the paths into Cluster API
//! objects that Kogge relies on ([`contract`]). No I/O and no clock: time is an argument.
#![deny(missing_docs)]

pub mod clusterctl_import;
pub mod contract;
pub mod crd;
pub mod document;
pub mod document_writer;
pub mod kubernetes_cluster;
pub mod kubernetes_version;
pub mod plan;
pub mod problem;
pub mod provider_profile;
pub mod server_answer;
pub mod suggestion;
pub mod validation;

pub use kubernetes_cluster::{KubernetesCluster, KubernetesClusterSpec, KubernetesClusterStatus};
pub use provider_profile::{ProviderProfile, ProviderProfileSpec};

/// The API group of every Kogge object.
pub const GROUP: &str = "kogge.dev";
/// The served and stored version of every Kogge object.
pub const VERSION: &str = "v1alpha1";
/// Finalizer that the operator keeps on a [`KubernetesCluster`] until nothing of it is left in the cloud.
pub const CLUSTER_FINALIZER: &str = "kogge.dev/cluster";
/// Label on every object made for a cluster; its value is the name of the [`KubernetesCluster`].
pub const CLUSTER_LABEL: &str = "kogge.dev/cluster";
/// Annotation with which a user confirms that machines and their local data may go: a comma separated list of the
/// names of the worker pools to remove, and `control-plane` to lower the number of control plane machines.
pub const CONFIRM_REMOVAL_ANNOTATION: &str = "kogge.dev/confirm-removal";
/// Annotation with which a user asks for new machines without any other change; any new value replaces all machines
/// once. The value is free, by convention a timestamp.
pub const ROLLOUT_ANNOTATION: &str = "kogge.dev/rollout";
/// The field manager under which Kogge's own writes are recorded.
pub const FIELD_MANAGER: &str = "kogge";
