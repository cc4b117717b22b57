//! Kubernetes API rules as pure functions on JSON values.
//!
//! The embedded server (`kogge-apiserver`) is transport, storage and loops; everything the Kubernetes API *means*
//! (what a schema prunes, what a patch does, who owns a field after an apply, how a table row looks) is here, so it can
//! be tested by properties and fuzzed without a runtime. Nothing in this crate does I/O or reads a clock: time and
//! randomness are arguments. It knows no Kogge kind; kinds reach it as [`resource::ResourceType`] values.

#![deny(missing_docs)]

pub mod admission;
pub mod apply;
pub mod cel;
mod compact_json;
mod compile_cache;
pub mod conversion;
pub mod custom_resource;
pub mod custom_resource_definition;
pub mod discovery;
mod go_types;
pub mod json_path;
pub mod limit_range;
pub mod negotiation;
pub mod nesting;
pub mod node;
pub mod object_meta;
pub mod openapi;
pub mod parallel;
pub mod patch;
pub mod pod_resources;
pub mod pod_security;
pub mod protobuf;
pub mod quantity;
pub mod rbac;
pub mod request_path;
pub mod resource;
pub mod resource_list;
pub mod resource_quota;
mod review_shape;
pub mod schema;
pub mod selector;
pub mod status_error;
pub mod table;
pub mod typed_object;
pub mod webhook;
pub mod yaml;
