//! Controllers that play Cluster API, an infrastructure provider and workload clusters.
//!
//! The operator writes real Cluster API objects; this crate does with them what Cluster API and a cloud would do. The middle
//! is pure: `decision::decide` turns the objects of one cluster, the faults and the time into writes and the next time
//! to look. Around it is a cache of all objects, a queue of clusters and thin I/O.

pub mod clock;
pub mod condition;
pub mod definitions;
pub mod fault;
pub mod kind;
pub mod object;
