//! The API as clients see it: in process, over TLS, and with the real kubectl.

mod access;
mod admission_policies;
mod admission_webhooks;
mod certificate_requests;
mod client;
mod conversion_webhooks;
mod definitions;
mod deletion;
mod hostile;
mod kube_controller;
mod kube_runtime;
mod kubectl;
mod limits;
mod lists;
mod objects;
mod ownership;
mod planes;
mod pods;
mod reviews;
mod watches;
mod webhook_server;
