//! ClusterClass topologies: from `Cluster.spec.topology` to the objects of one cluster.
//!
//! Patched copies of the class's templates are named after their content, so a change rotates the name (which is what rolls
//! machines) and a second run finds what the first one made.

pub mod desired;
pub mod expression;
pub mod patches;
pub mod reconcile;
pub mod variables;
