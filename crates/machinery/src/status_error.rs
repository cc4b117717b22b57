//! Errors of the Kubernetes API: the `Status` bodies kubectl, client-go and kube-rs branch on.

use kube_core::Status;
use crate::resource::GroupResource;

/// An error answer, carried as the `Status` that goes on the wire.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct ApiError(pub Box<Status>);

/// Why a field is wrong; serialises as the cause reasons of `k8s.io/apimachinery/pkg/util/validation/field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldErrorKind { Required, Invalid, NotSupported, Duplicate, Forbidden, TypeInvalid, TooLong, TooMany, NotFound, Internal }

/// One wrong field: becomes a cause `{reason, field, message}`; `message` is in the real server's words,
/// e.g. `Invalid value: 4: must be odd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError { pub kind: FieldErrorKind, pub field: String, pub message: String }

impl ApiError {
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self { let _ = (code, reason, message.into()); todo!() }
    pub fn code(&self) -> u16 { self.0.code }
    pub fn status(&self) -> &Status { &self.0 }
    pub fn bad_request(message: impl Into<String>) -> Self { Self::new(400, "BadRequest", message) }
    pub fn unauthorized() -> Self { todo!() }
    pub fn forbidden(resource: &GroupResource, name: &str, message: &str) -> Self { let _ = (resource, name, message); todo!() }
    pub fn not_found(resource: &GroupResource, name: &str) -> Self { let _ = (resource, name); todo!() }
    /// Unknown path: "the server could not find the requested resource".
    pub fn unknown_path() -> Self { todo!() }
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self { let _ = (resource, name); todo!() }
    pub fn conflict(resource: &GroupResource, name: &str, message: &str) -> Self { let _ = (resource, name, message); todo!() }
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self { let _ = (group, kind, name, errors); todo!() }
    pub fn method_not_supported(resource: &GroupResource, verb: &str) -> Self { let _ = (resource, verb); todo!() }
    pub fn not_acceptable(supported: &[&str]) -> Self { let _ = supported; todo!() }
    pub fn unsupported_media_type(sent: &str, supported: &[&str]) -> Self { let _ = (sent, supported); todo!() }
    pub fn request_entity_too_large(message: impl Into<String>) -> Self { Self::new(413, "RequestEntityTooLarge", message) }
    pub fn expired(message: impl Into<String>) -> Self { Self::new(410, "Expired", message) }
    pub fn internal(message: impl Into<String>) -> Self { Self::new(500, "InternalError", message) }
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self { let _ = (message.into(), retry_after_seconds); todo!() }
    /// 504 Timeout with cause ResourceVersionTooLarge.
    pub fn resource_version_too_large(requested: u64, current: u64) -> Self { let _ = (requested, current); todo!() }
    /// 409 of server-side apply: one (manager text, field path) a conflict, cause reason FieldManagerConflict.
    pub fn apply_conflict(causes: &[(String, String)]) -> Self { let _ = causes; todo!() }
}
