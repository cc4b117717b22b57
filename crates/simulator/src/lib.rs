//! Controllers that play Cluster API, an infrastructure provider and workload clusters.
//!
//! The operator writes real Cluster API objects; this crate does with them what Cluster API and a cloud would do. The middle
//! is pure: [`decision::decide`] turns the objects of one cluster, the faults and the time into writes and the next time
//! to look. Around it are a cache of all objects ([`world`]), a queue of clusters ([`queue`]) and thin I/O.

#![deny(missing_docs)]
// `state` and `status`, `stage` and `state` are Cluster API's own words.
#![allow(clippy::similar_names)]

pub mod clock;
pub mod cloud;
pub mod cluster;
pub mod condition;
pub mod control_plane;
pub mod decision;
pub mod definitions;
pub mod fault;
pub mod kind;
mod lost_machines;
pub mod machine;
pub mod object;
pub mod queue;
mod reconciler;
mod simulator;
pub mod state;
pub mod topology;
pub mod workload;
pub mod world;
pub mod write;

pub use self::{
    definitions::install_custom_resource_definitions,
    simulator::{SimulatorError, SimulatorOptions, run},
    workload::{pod_log_text, usage::usage},
};
