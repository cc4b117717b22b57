//! Errors of the Kubernetes API: the `Status` bodies kubectl, client-go and kube-rs branch on.
//!
//! Reasons, codes, messages and details are those of `k8s.io/apimachinery/pkg/api/errors`: clients decide by `reason`
//! and `code`, people read `message`, and `kubectl apply` prints the causes.

mod field_error;

use std::fmt::Write as _;

use kube_core::Status;
use kube_core::response::{StatusCause, StatusDetails, StatusSummary};
use serde_json::{Map, Value};

pub use self::field_error::{FieldError, FieldErrorKind, quote};
use crate::resource::GroupResource;

/// An error answer, carried as the `Status` that goes on the wire.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct ApiError(pub Box<Status>);

fn details(group: &str, kind: &str, name: &str) -> StatusDetails {
    StatusDetails {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}

fn cause(reason: &str, message: &str, field: &str) -> StatusCause {
    StatusCause { reason: reason.to_owned(), message: message.to_owned(), field: field.to_owned() }
}

fn qualified(group: &str, kind: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}

/// Errors as Kubernetes' `NewAggregate` shows them: one as it is, several in brackets, each text once; nothing for none.
pub fn aggregate(errors: impl IntoIterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for error in errors {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    }
    match distinct.as_slice() {
        [] => String::new(),
        [single] => single.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

impl ApiError {
    /// An error without details. `code` is the HTTP status, `reason` one of `metav1.StatusReason`.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Status {
            status: Some(StatusSummary::Failure),
            code,
            message: message.into(),
            metadata: None,
            reason: reason.to_owned(),
            details: None,
        }))
    }

    fn with_details(code: u16, reason: &str, message: impl Into<String>, details: StatusDetails) -> Self {
        let mut error = Self::new(code, reason, message);
        error.0.details = Some(details);
        error
    }

    fn of_resource(code: u16, reason: &str, resource: &GroupResource, name: &str, message: impl Into<String>) -> Self {
        Self::with_details(code, reason, message, details(&resource.group, &resource.resource, name))
    }

    /// The HTTP status.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The typed body; [`Self::body`] is what goes on the wire.
    pub fn status(&self) -> &Status {
        &self.0
    }

    /// Machine-readable reason, e.g. `NotFound`.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Seconds for a `Retry-After` header, where the error asks for a retry.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.0.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0)
    }

    /// The `Status` object as it goes on the wire, with `apiVersion`, `kind` and empty `metadata`.
    pub fn body(&self) -> Value {
        status_body(&self.0)
    }

    /// Adds a cause to the details.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        self.0.details.get_or_insert_with(|| details("", "", "")).causes.push(cause(reason, message, field));
        self
    }

    /// Asks the client to try again later.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.details.get_or_insert_with(|| details("", "", "")).retry_after_seconds = seconds;
        self
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401 in the words of the real server's authentication filter.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 `pods "x" is forbidden: MESSAGE`; without a name `pods is forbidden: ...`, without a resource
    /// `forbidden: ...`.
    pub fn forbidden(resource: &GroupResource, name: &str, message: &str) -> Self {
        let text = if resource.group.is_empty() && resource.resource.is_empty() {
            format!("forbidden: {message}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {message}")
        } else {
            format!("{resource} {} is forbidden: {message}", quote(name))
        };
        Self::of_resource(403, "Forbidden", resource, name, text)
    }

    /// 404 `widgets.example.com "x" not found`.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        let text = format!("{resource} {} not found", quote(name));
        Self::of_resource(404, "NotFound", resource, name, text)
    }

    /// 404 of a path below a served group and version that names nothing.
    pub fn unknown_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::with_details(404, "NotFound", message, details("", "", ""))
    }

    /// 404 of any other path. The real server answers it with a text and not with a `Status`: see [`Self::plain_text`].
    pub fn page_not_found() -> Self {
        Self::new(404, "", "404 page not found\n")
    }

    /// The body of an error that is no `Status` but this text.
    pub fn plain_text(&self) -> Option<&str> {
        (self.0.code == 404 && self.0.reason.is_empty()).then_some(self.0.message.as_str())
    }

    /// 409 of a create.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        let text = format!("{resource} {} already exists", quote(name));
        Self::of_resource(409, "AlreadyExists", resource, name, text)
    }

    /// 409 of a create whose generated names were all taken.
    pub fn generate_name_conflict(resource: &GroupResource, name: &str) -> Self {
        let text = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            quote(name)
        );
        Self::of_resource(409, "AlreadyExists", resource, name, text).with_retry_after(1)
    }

    /// 409 `Operation cannot be fulfilled on widgets.example.com "x": MESSAGE`.
    pub fn conflict(resource: &GroupResource, name: &str, message: &str) -> Self {
        let text = format!("Operation cannot be fulfilled on {resource} {}: {message}", quote(name));
        Self::of_resource(409, "Conflict", resource, name, text)
    }

    /// 409 of a write that carries an old resourceVersion: the text every Kubernetes controller logs.
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422 `Widget.example.com "x" is invalid: spec.a: Required value`, a bracketed list for several distinct errors,
    /// with one cause an error.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let mut message = format!("{} {} is invalid", qualified(group, kind), quote(name));
        if !errors.is_empty() {
            let _ = write!(message, ": {}", aggregate(errors.iter().map(ToString::to_string)));
        }
        let mut status = details(group, kind, name);
        status.causes = errors.iter().map(|error| cause(error.kind.reason(), &error.message, &error.field)).collect();
        Self::with_details(422, "Invalid", message, status)
    }

    /// 422 of a JSON patch that does not apply; the real server keeps to itself why.
    pub fn unprocessable() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::with_details(422, "Invalid", message, details("", "", ""))
    }

    /// 405 of a built-in path.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::with_details(405, "MethodNotAllowed", message, details("", "", ""))
    }

    /// 405 `VERB is not supported on resources of kind "widgets.example.com"`.
    pub fn method_not_supported(resource: &GroupResource, verb: &str) -> Self {
        let text = format!("{verb} is not supported on resources of kind {}", quote(&resource.to_string()));
        Self::of_resource(405, "MethodNotAllowed", resource, "", text)
    }

    /// 406 listing what can be answered.
    pub fn not_acceptable(supported: &[&str]) -> Self {
        Self::new(
            406,
            "NotAcceptable",
            format!("only the following media types are accepted: {}", supported.join(", ")),
        )
    }

    /// 406 of a path that answers only in these media types.
    pub fn unroutable_answer(available: &[&str]) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
        Self::with_details(406, "NotAcceptable", message, details("", "", ""))
    }

    /// 415 of a patch to a built-in path, which says only that.
    pub fn unroutable_media_type() -> Self {
        Self::with_details(415, "UnsupportedMediaType", "415: Unsupported Media Type", details("", "", ""))
    }

    /// 415 listing what can be read. `sent` is not repeated to the client, as in the real server.
    pub fn unsupported_media_type(_sent: &str, supported: &[&str]) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                supported.join(", ")
            ),
        )
    }

    /// 413.
    pub fn request_entity_too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: {}", message.into()))
    }

    /// 410 Expired: a resourceVersion or continue token that is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 500 `Internal error occurred: MESSAGE`.
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(500, "InternalError", format!("Internal error occurred: {message}")).with_cause("", &message, "")
    }

    /// 503.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 504 `Timeout: MESSAGE`.
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {message}")).with_retry_after(retry_after_seconds)
    }

    /// 429.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message).with_retry_after(retry_after_seconds)
    }

    /// 504 Timeout with cause ResourceVersionTooLarge: a revision from the future, which the client should retry.
    pub fn resource_version_too_large(requested: u64, current: u64) -> Self {
        Self::timeout(&format!("Too large resource version: {requested}, current: {current}"), 1).with_cause(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    }

    /// 409 of server-side apply. Each conflict is (manager, field path): the manager as the real server prints it
    /// (`"m" using v1`, `"m" with subresource "status" using v1`), the path in field-path form (`.spec.a`).
    pub fn apply_conflict(causes: &[(String, String)]) -> Self {
        let message = if let [(manager, path)] = causes {
            format!("Apply failed with 1 conflict: conflict with {manager}: {path}")
        } else {
            let mut managers: Vec<&str> = Vec::new();
            for (manager, _) in causes {
                if !managers.contains(&manager.as_str()) {
                    managers.push(manager);
                }
            }
            let mut lines = Vec::with_capacity(causes.len() + managers.len());
            for manager in managers {
                lines.push(format!("conflicts with {manager}:"));
                let paths = causes.iter().filter(|(other, _)| other == manager);
                lines.extend(paths.map(|(_, path)| format!("- {path}")));
            }
            format!("Apply failed with {} conflicts: {}", causes.len(), lines.join("\n"))
        };
        let mut status = details("", "", "");
        status.causes = causes
            .iter()
            .map(|(manager, path)| cause("FieldManagerConflict", &format!("conflict with {manager}"), path))
            .collect();
        Self::with_details(409, "Conflict", message, status)
    }
}

/// The `Status` of a completed deletion: `kubectl delete` waits for `details.uid` to disappear.
pub fn deleted_status(resource: &GroupResource, name: &str, uid: &str) -> Value {
    let mut status_details = details(&resource.group, &resource.resource, name);
    uid.clone_into(&mut status_details.uid);
    status_body(&Status { details: Some(status_details), ..Status::success() })
}

/// A typed `Status` as the object on the wire: kube's type leaves out `apiVersion` and `kind`.
pub fn status_body(status: &Status) -> Value {
    let mut body = match serde_json::to_value(status) {
        Ok(Value::Object(body)) => body,
        _ => Map::new(),
    };
    body.insert("apiVersion".to_owned(), "v1".into());
    body.insert("kind".to_owned(), "Status".into());
    if body.get("metadata").is_none_or(Value::is_null) {
        body.insert("metadata".to_owned(), Value::Object(Map::new()));
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use insta::assert_json_snapshot;

    use super::*;

    fn widgets() -> GroupResource {
        GroupResource { group: "example.com".to_owned(), resource: "widgets".to_owned() }
    }

    #[test]
    fn every_error_body_is_the_one_of_the_real_server() {
        let one = FieldError::required("spec.a", "");
        let two = FieldError::invalid("spec.b", &Value::from(4), "must be odd");
        let conflict = |field: &str| ("\"m\" using v1".to_owned(), field.to_owned());
        let bodies: Vec<Value> = [
            ApiError::not_found(&widgets(), "x"),
            ApiError::already_exists(&widgets(), "x"),
            ApiError::generate_name_conflict(&widgets(), "x-abcde"),
            ApiError::modified(&widgets(), "x"),
            ApiError::invalid("example.com", "Widget", "x", std::slice::from_ref(&one)),
            ApiError::invalid("", "Pod", "x", &[one.clone(), two, one]),
            ApiError::forbidden(&widgets(), "x", "no"),
            ApiError::forbidden(&widgets(), "", "no"),
            ApiError::forbidden(&GroupResource { group: String::new(), resource: String::new() }, "", "no"),
            ApiError::unauthorized(),
            ApiError::unknown_path(),
            ApiError::method_not_supported(&widgets(), "deletecollection"),
            ApiError::not_acceptable(&["application/json", "application/yaml"]),
            ApiError::unroutable_answer(&["application/json"]),
            ApiError::unsupported_media_type("text/plain", &["application/json"]),
            ApiError::request_entity_too_large("limit is 3145728"),
            ApiError::expired("too old resource version: 1 (5)"),
            ApiError::internal("boom"),
            ApiError::service_unavailable("not ready"),
            ApiError::too_many_requests("slow down", 2),
            ApiError::resource_version_too_large(9, 5),
            ApiError::apply_conflict(&[conflict(".spec.a")]),
            ApiError::apply_conflict(&[conflict(".spec.a"), conflict(".spec.b")]),
        ]
        .iter()
        .map(ApiError::body)
        .collect();
        assert_json_snapshot!(bodies);
        assert_json_snapshot!(deleted_status(&widgets(), "x", "u-1"));
    }

    #[test]
    fn quoting_is_go_quoting() {
        assert_eq!(quote("a\"b\\c\n\u{1}é\u{7f}"), "\"a\\\"b\\\\c\\n\\x01é\\x7f\"");
    }
}
