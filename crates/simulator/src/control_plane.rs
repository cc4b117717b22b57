//! The control plane of a cluster: its machines one by one, its certificates and its status.

pub mod certificates;
pub mod replicas;
pub mod status;
