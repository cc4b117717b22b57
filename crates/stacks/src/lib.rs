//! Cluster stacks: what a provider's clusters are made of, and the way from a description to Cluster API objects.
//!
//! ```text
//!  files of a stack  ──► StackRelease ─┐
//!  KubernetesCluster, ProviderProfile ┴─► render ──► desired objects ─┐
//!  observed Cluster API objects ──────────────────────────────────────┴─► plan ──► Plan (shown, then executed)
//! ```
//!
//! Everything is pure: whoever reads a stack from a folder or a registry passes its files in.

#![deny(missing_docs)]

pub mod catalogue;
pub mod description;
pub mod maintenance;
pub mod plan;
pub mod release;
pub mod render;

pub use catalogue::StackCatalogue;
pub use plan::{ClusterPlanInput, ObservedState, plan};
pub use release::StackRelease;
