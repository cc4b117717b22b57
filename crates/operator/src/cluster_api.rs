//! The Cluster API backend: what is read of its objects, kept in an index by cluster that watches feed.
//!
//! ```text
//!  watch Cluster, KubeadmControlPlane, MachineDeployment, Machine, infrastructure kinds of the stacks
//!     └─► object (thrown away) ─► summary ─► index[namespace/name] ─► work queue
//! ```
//!
//! Reconciliations read the index only, so a thousand clusters cost one watch per kind and no list.

pub mod index;
pub mod object;
pub mod watch;
