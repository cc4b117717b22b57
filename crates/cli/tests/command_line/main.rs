//! The binary as its users have it: `kogge up` in a process of its own, and everything else as its client.

mod bad_input;
mod conformance;
mod explain;
mod faults;
mod helm;
mod import;
mod kubectl;
mod life_of_a_cluster;
mod managers;
mod rest;
mod restart;
mod session;
