//! The REST API against a running world: every route, and every way to be refused.
//!
//! All tests share one world; each works in tenants of its own.

#[path = "rest/caller.rs"]
mod caller;
#[path = "rest/errors.rs"]
mod errors;
#[path = "rest/event_stream.rs"]
mod event_stream;
#[path = "rest/kubeconfigs.rs"]
mod kubeconfigs;
#[path = "rest/life.rs"]
mod life;
#[path = "rest/openapi.rs"]
mod openapi;
#[path = "rest/views.rs"]
mod views;
#[path = "rest/writes.rs"]
mod writes;
