//! Errors as RFC 9457 problem documents.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kogge_api::problem::ProblemCode;
use kogge_api::validation::FieldProblem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::request_id;

/// The media type of an error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemDocument {
    /// Names the kind of problem: `/v1/problems/CODE`.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The kind of problem in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Stable code from the catalogue.
    pub code: String,
    /// Names the request, also in the header `X-Request-Id`.
    pub request_id: String,
    /// One entry per wrong field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldError {
    /// JSON pointer (RFC 6901), such as `/spec/workers/0/count`.
    pub pointer: String,
    /// The field as people write it, such as `spec.workers[0].count`.
    pub field: String,
    /// Stable code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The value found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The rule that is broken.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// What would be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// The whole in one sentence.
    pub message: String,
    /// Line in the body, from 1, where it was YAML or JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in the body, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl From<&FieldProblem> for FieldError {
    fn from(problem: &FieldProblem) -> Self {
        Self {
            pointer: problem.pointer.clone(),
            field: problem.field.clone(),
            code: problem.code.as_str().to_owned(),
            value: problem.value.clone(),
            rule: problem.rule.clone(),
            accepted: problem.accepted.clone(),
            message: problem.message.clone(),
            line: None,
            column: None,
        }
    }
}

impl ProblemDocument {
    /// An error that its status explains; the code is the catalogue's for that status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let code = match status {
            StatusCode::UNAUTHORIZED => ProblemCode::Unauthenticated,
            StatusCode::NOT_FOUND => ProblemCode::NotFound,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => ProblemCode::PreconditionFailed,
            StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::DocumentTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => ProblemCode::InvalidDescription,
            StatusCode::SERVICE_UNAVAILABLE => ProblemCode::BackendUnavailable,
            status if status.is_client_error() => ProblemCode::BadRequest,
            _ => ProblemCode::InternalError,
        };
        Self::coded(status, code, detail)
    }

    /// An error of the catalogue.
    pub fn coded(status: StatusCode, code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            problem_type: format!("/v1/problems/{}", code.as_str()),
            title: code.definition().title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.as_str().to_owned(),
            request_id: request_id::current(),
            errors: Vec::new(),
        }
    }

    /// 422 with every wrong field. The code is that of the only problem, or the general one for several of different codes.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let known = errors.first().and_then(|first| first.code.parse::<ProblemCode>().ok());
        let code = known
            .filter(|code| errors.iter().all(|error| error.code == code.as_str()))
            .unwrap_or(ProblemCode::InvalidDescription);
        let detail = match errors.as_slice() {
            [only] if only.field.is_empty() => only.message.clone(),
            [only] => format!("{}: {}", only.field, only.message),
            many => format!("the description has {} problems", many.len()),
        };
        Self { errors, ..Self::coded(StatusCode::UNPROCESSABLE_ENTITY, code, detail) }
    }

    /// 401.
    pub(crate) fn unauthorized(given: bool) -> Self {
        let detail = if given { "the token is not valid here" } else { "send `Authorization: Bearer TOKEN`" };
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 404 of a path there is not.
    pub(crate) fn unknown_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such path; /openapi.json lists all there are")
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "the path does not take this method; /openapi.json lists what it takes",
        )
    }
}

impl IntoResponse for ProblemDocument {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(request = %self.request_id, status = self.status, detail = %self.detail, "request failed");
        }
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<kube::Error> for ProblemDocument {
    /// What the Kubernetes-style API answered, as far as it is the caller's business.
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::coded(
                StatusCode::SERVICE_UNAVAILABLE,
                ProblemCode::BackendUnavailable,
                format!("the management API does not answer: {error}"),
            );
        };
        let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match code {
            StatusCode::UNPROCESSABLE_ENTITY => {
                let causes = status.details.as_ref().map(|details| details.causes.clone()).unwrap_or_default();
                let errors: Vec<FieldError> = causes
                    .into_iter()
                    // That more may be found once the other causes are mended is true of every refusal.
                    .filter(|cause| !cause.message.contains("some validation rules were not checked"))
                    .map(|mut cause| {
                        // A refusal of the whole object names this field.
                        if cause.field == "<nil>" {
                            cause.field.clear();
                        }
                        cause
                    })
                    .map(|cause| FieldError {
                        pointer: pointer(&cause.field),
                        field: cause.field,
                        code: ProblemCode::InvalidDescription.as_str().to_owned(),
                        value: None,
                        rule: String::new(),
                        accepted: None,
                        message: cause.message,
                        line: None,
                        column: None,
                    })
                    .collect();
                if errors.is_empty() {
                    Self::coded(code, ProblemCode::InvalidDescription, status.message.clone())
                } else {
                    Self::invalid(errors)
                }
            }
            code if code.is_client_error() => Self::new(code, status.message.clone()),
            _ => Self::coded(
                StatusCode::SERVICE_UNAVAILABLE,
                ProblemCode::BackendUnavailable,
                format!("the management API failed: {}", status.message),
            ),
        }
    }
}

/// Makes problem documents of the refusals of the transport, such as a path that is no UTF-8.
pub(crate) async fn complete(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let detail = if text.is_empty() { status.canonical_reason().unwrap_or("refused") } else { &text };
    ProblemDocument::new(status, detail).into_response()
}

/// `spec.workers[0].labels[example.com/tier]` as `/spec/workers/0/labels/example.com~1tier` (RFC 6901). What stands in
/// brackets is an index or a key, and keys may have dots.
fn pointer(field: &str) -> String {
    let mut pointer = String::new();
    let mut in_brackets = false;
    for character in field.chars() {
        match character {
            '[' if !in_brackets => {
                in_brackets = true;
                pointer.push('/');
            }
            ']' if in_brackets => in_brackets = false,
            '.' if !in_brackets => pointer.push('/'),
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    let separator = if field.is_empty() || field.starts_with(['.', '[']) { "" } else { "/" };
    format!("{separator}{pointer}")
}

#[cfg(test)]
mod tests {
    use super::pointer;

    #[test]
    fn fields_become_pointers_whatever_their_keys_look_like() {
        for (field, expected) in [
            ("", ""),
            ("spec", "/spec"),
            ("spec.workers[0].count", "/spec/workers/0/count"),
            ("spec.workers[0].labels[example.com/tier]", "/spec/workers/0/labels/example.com~1tier"),
            ("metadata.labels[a~b].x", "/metadata/labels/a~0b/x"),
            ("[0].name", "/0/name"),
        ] {
            assert_eq!(pointer(field), expected, "{field}");
        }
    }
}
