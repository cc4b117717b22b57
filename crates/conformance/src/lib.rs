//! Conformance: suites that judge a running server by its answers, with nothing but a kubeconfig.
//!
//! [`api`] holds a Kubernetes API against the recorded answers of a real kube-apiserver, or two servers against each other.

#![deny(missing_docs)]

pub mod api;
