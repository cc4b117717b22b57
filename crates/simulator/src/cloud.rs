//! The simulated cloud: instances, networks, flavors and addresses.

pub mod address;
pub mod flavor;
pub mod instance;
pub mod network;
