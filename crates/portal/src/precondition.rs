//! What has to hold before a write is made.

use axum::http::StatusCode;
use kogge_api::kubernetes_cluster::KubernetesCluster;

use crate::problem_document::ProblemDocument;

/// What a caller has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// `If-Match: "VERSION"`: the document has this resource version.
    Version(String),
    /// `If-Match: *`: there is a document.
    Present,
    /// `If-None-Match: *`: there is none.
    Absent,
}

/// Whether what the caller has seen is still there.
pub(crate) fn check(
    precondition: Option<&Precondition>,
    previous: Option<&KubernetesCluster>,
) -> Result<(), ProblemDocument> {
    let holds = match (precondition, previous) {
        (None, _) | (Some(Precondition::Present), Some(_)) | (Some(Precondition::Absent), None) => true,
        (Some(Precondition::Version(seen)), Some(previous)) => {
            previous.metadata.resource_version.as_ref() == Some(seen)
        }
        (Some(Precondition::Version(_) | Precondition::Present), None) | (Some(Precondition::Absent), Some(_)) => false,
    };
    if holds {
        return Ok(());
    }
    let detail = match precondition {
        Some(Precondition::Absent) => "the cluster is there already",
        _ => "the cluster has changed since you read it; read it again",
    };
    Err(ProblemDocument::new(StatusCode::PRECONDITION_FAILED, detail))
}

/// A document with the unique id or resource version of the object it was read from replaces no other.
pub(crate) fn check_read_from(
    (uid, version): &(Option<String>, Option<String>),
    previous: &KubernetesCluster,
) -> Result<(), ProblemDocument> {
    let differs = |given: &Option<String>, present: &Option<String>| {
        given.as_ref().is_some_and(|given| !given.is_empty() && Some(given) != present.as_ref())
    };
    let detail = if differs(uid, &previous.metadata.uid) {
        "the document was read from another cluster of this name (metadata.uid); read it again or remove the field"
    } else if differs(version, &previous.metadata.resource_version) {
        "the cluster has changed since the document was read (metadata.resourceVersion); read it again or remove the field"
    } else {
        return Ok(());
    };
    Err(ProblemDocument::new(StatusCode::CONFLICT, detail))
}

/// A tenant is a namespace: its name is a DNS label (RFC 1123), and those that begin with `kube-` are Kubernetes' own.
pub(crate) fn check_tenant(tenant: &str) -> Result<(), ProblemDocument> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=63).contains(&tenant.len())
        && tenant.bytes().all(inner)
        && !tenant.starts_with('-')
        && !tenant.ends_with('-');
    let detail = if !is_label {
        format!(
            "`{tenant}` cannot be a tenant: a name has up to 63 lowercase letters, digits and `-`, no `-` at its ends"
        )
    } else if tenant.starts_with("kube-") {
        format!("`{tenant}` cannot be a tenant: names that begin with `kube-` are reserved")
    } else {
        return Ok(());
    };
    Err(ProblemDocument::new(StatusCode::BAD_REQUEST, detail))
}
