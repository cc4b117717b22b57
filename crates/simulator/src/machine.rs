//! Machines and what owns them: deployments, sets, their lives from request to deletion, and health checks.

pub mod deletion;
pub mod deployment;
pub mod health_check;
pub mod lifecycle;
pub mod naming;
pub mod set;
pub mod status;
