//! Controllers that keep clusters as described.
//!
//! ```text
//!  KubernetesCluster ─► validate ─► plan ─► apply ─► Cluster, ClusterClass, templates (Cluster API)
//!        ▲                                                    │
//!        └── status: phase, operation, problems ◄── index ◄── watches
//! ```
//!
//! Everything goes through a `kube::Client`; what is behind it (the embedded server or a management cluster) makes no
//! difference. State is in the API alone: killed at any point, the operator ends where it would have ended.
#![deny(missing_docs)]

pub mod cluster_api;
pub mod definitions;
pub mod kubernetes_cluster;
pub mod operator;
pub mod queue;

pub use definitions::{InstallError, install_custom_resource_definitions};
pub use operator::{OperatorError, OperatorOptions, run};
