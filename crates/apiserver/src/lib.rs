//! The embedded Kubernetes API server: many isolated planes in one process, stored in one file.
//!
//! What the API means is in `kogge-machinery`; this crate stores, serves, authenticates and runs the loops every
//! Kubernetes API has (garbage collection, namespaces, CRD registry).

pub mod builtin;
pub mod server;
pub mod store;
