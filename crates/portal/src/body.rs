//! Reading request bodies: JSON or YAML, whole or not at all.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use kogge_api::document::{self, LocatedProblem, Object};
use kogge_api::kubernetes_cluster::KubernetesCluster;
use kogge_api::problem::ProblemCode;
use serde_json::Value;

use crate::problem_document::{FieldError, ProblemDocument};

/// The bytes of a body.
///
/// # Errors
/// 413 for a body over [`crate::BODY_LIMIT`], 400 for one that ends early.
pub fn bytes(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ProblemDocument> {
    body.map_err(|rejection| {
        let text = rejection.body_text();
        let status = rejection.into_response().status();
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            ProblemDocument::coded(status, ProblemCode::DocumentTooLarge, "a body has less than 10 MiB")
        } else {
            ProblemDocument::new(StatusCode::BAD_REQUEST, format!("the body could not be read: {text}"))
        }
    })
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// The description in a body, whose name may be left to the path.
///
/// # Errors
/// 415 for another media type than JSON or YAML; 400 for text that is neither; 422 with all wrong fields.
pub fn cluster(headers: &HeaderMap, bytes: &[u8], name: &str) -> Result<KubernetesCluster, ProblemDocument> {
    let media_type = media_type(headers);
    let known = ["", "application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];
    if !known.contains(&media_type) {
        return Err(ProblemDocument::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("`{media_type}` is not read here; send application/json or application/yaml"),
        ));
    }
    let mut documents = document::read_addressed("body", bytes, name).map_err(|error| located(&error.problems))?;
    if documents.len() != 1 {
        return Err(ProblemDocument::new(
            StatusCode::BAD_REQUEST,
            format!("the body has {} documents; send one", documents.len()),
        ));
    }
    match documents.remove(0).object {
        Object::Cluster(cluster) => Ok(*cluster),
        Object::Profile(_) | Object::Other(_) => {
            Err(ProblemDocument::new(StatusCode::BAD_REQUEST, "the body is no KubernetesCluster of kogge.dev/v1alpha1"))
        }
    }
}

/// Text that is no document at all is a bad request; a document that cannot be is unprocessable.
fn located(problems: &[LocatedProblem]) -> ProblemDocument {
    let errors: Vec<FieldError> = problems
        .iter()
        .map(|located| FieldError {
            line: located.span.as_ref().map(|span| span.line),
            column: located.span.as_ref().map(|span| span.column),
            ..FieldError::from(&located.problem)
        })
        .collect();
    let malformed = [ProblemCode::MalformedDocument, ProblemCode::DocumentTooLarge];
    let first = problems.first().map(|located| located.problem.code);
    let mut problem = ProblemDocument::invalid(errors);
    if first.is_some_and(|code| malformed.contains(&code)) {
        problem.status = if first == Some(ProblemCode::DocumentTooLarge) { 413 } else { 400 };
    }
    problem
}

/// Fills in the tenant from the path.
///
/// # Errors
/// 400 if the document has another name or tenant.
pub fn named(cluster: &mut KubernetesCluster, tenant: &str, name: &str) -> Result<(), ProblemDocument> {
    let differs = |what: &str, said: &str, path: &str| {
        ProblemDocument::new(
            StatusCode::BAD_REQUEST,
            format!("the document's metadata.{what} is `{said}`, the path says `{path}`"),
        )
    };
    let metadata = &mut cluster.metadata;
    match metadata.name.as_deref() {
        Some(said) if !said.is_empty() && said != name => return Err(differs("name", said, name)),
        _ => metadata.name = Some(name.to_owned()),
    }
    match metadata.namespace.as_deref() {
        Some(said) if !said.is_empty() && said != tenant => return Err(differs("namespace", said, tenant)),
        _ => metadata.namespace = Some(tenant.to_owned()),
    }
    Ok(())
}

/// A description from JSON that is the result of a patch.
///
/// # Errors
/// 422 with all wrong fields.
pub fn typed(value: &Value) -> Result<KubernetesCluster, ProblemDocument> {
    match document::from_value(value) {
        Ok(Object::Cluster(cluster)) => Ok(*cluster),
        Ok(_) => Err(ProblemDocument::new(StatusCode::BAD_REQUEST, "a patch cannot change apiVersion or kind")),
        Err(problems) => Err(ProblemDocument::invalid(problems.iter().map(FieldError::from).collect())),
    }
}

/// A JSON merge patch (RFC 7396); its media type or plain JSON.
///
/// # Errors
/// 415 for another media type, 400 for text that is no JSON object.
pub fn merge_patch(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, ProblemDocument> {
    let media_type = media_type(headers);
    if !["", "application/merge-patch+json", "application/json"].contains(&media_type) {
        return Err(ProblemDocument::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("`{media_type}` is not read here; send application/merge-patch+json"),
        ));
    }
    let malformed =
        |detail: String| ProblemDocument::coded(StatusCode::BAD_REQUEST, ProblemCode::MalformedDocument, detail);
    let patch: Value =
        serde_json::from_slice(bytes).map_err(|error| malformed(format!("the body is no JSON: {error}")))?;
    if patch.is_object() { Ok(patch) } else { Err(malformed("a merge patch of a cluster is a JSON object".into())) }
}
