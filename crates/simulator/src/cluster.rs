//! The Cluster itself: what its status sums up, and the order in which it goes.

pub mod deletion;
pub mod status;
