//! The controller of `KubernetesCluster`.
//!
//! ```text
//!  dereference (index) → validate → plan → apply (client) → status (always)
//! ```
//!
//! Only `apply` and the writing of the status talk to the API; everything between is decided by pure functions on
//! values. Every step may be repeated, and a crash between any two loses nothing: the next run starts from what is there.

pub mod apply;
pub mod controller;
pub mod events;
pub mod problem;
pub mod status;
pub mod validate;
