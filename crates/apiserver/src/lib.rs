//! The embedded Kubernetes API server: many isolated planes in one process, stored in one file.
//!
//! What the API means is in `kogge-machinery`; this crate stores, serves, authenticates and runs the loops every
//! Kubernetes API has (garbage collection, namespaces, CRD registry).

#![deny(missing_docs)]

mod admission;
pub mod audit;
pub mod authentication;
pub mod authentication_configuration;
mod background;
pub mod builtin;
mod certificate_signing;
pub mod certificates;
mod connection_buffer;
mod controller_loop;
mod conversion;
mod custom_resource_definition_controller;
mod definition_names;
mod event_expiry;
mod garbage_collector;
mod in_process_client;
mod namespace_content;
mod namespace_controller;
mod node_authorizer;
mod object_writer;
mod open_id_connect;
mod pipeline;
pub mod plane;
mod policy_status_controller;
mod quota_turns;
mod rbac;
mod registry;
mod resource_quota_controller;
pub mod server;
mod storage_protection_controller;
pub mod store;
pub mod tls;
mod token;
mod trust;
mod webhook_client;
mod work_queue;
mod write_timeout;
