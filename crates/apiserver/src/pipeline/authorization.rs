//! Whether a user may do what a request asks.

use kogge_machinery::{resource::GroupResource, status_error::ApiError};

use crate::authentication::User;

/// What is asked, as `SubjectAccessReview` describes it. Either the resource fields or `path` are set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Path of a non-resource request.
    pub(crate) path: &'a str,
}

/// The decision: members of `system:masters` may do everything, every authenticated user may ask who they are and what
/// they may do.
pub(crate) fn is_allowed(user: &User, attributes: &Attributes<'_>) -> bool {
    let asks_about_itself = attributes.verb == "create"
        && matches!(
            (attributes.group, attributes.resource),
            ("authentication.k8s.io", "selfsubjectreviews")
                | ("authorization.k8s.io", "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
        );
    let discovers = attributes.resource.is_empty()
        && attributes.verb == "get"
        && (matches!(attributes.path, "/api" | "/apis" | "/openapi" | "/healthz" | "/livez" | "/readyz" | "/version")
            || ["/api/", "/apis/", "/openapi/"].iter().any(|prefix| attributes.path.starts_with(prefix)));
    user.is_master() || asks_about_itself || discovers
}

/// # Errors
/// 403 in the real server's words.
pub(crate) fn authorize(user: &User, attributes: &Attributes<'_>) -> Result<(), ApiError> {
    if is_allowed(user, attributes) {
        return Ok(());
    }
    let Attributes { verb, group, resource, subresource, namespace, name, path, .. } = *attributes;
    if resource.is_empty() {
        let message = format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name);
        return Err(ApiError::new(403, "Forbidden", message));
    }
    let full = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    let message = format!("User {:?} cannot {verb} resource {full:?} in API group {group:?} {place}", user.name);
    Err(ApiError::forbidden(&GroupResource { group: group.to_owned(), resource: resource.to_owned() }, name, &message))
}
