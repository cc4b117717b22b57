//! Review kinds: who am I, and may I. They are answered, not stored.

use axum::body::Body;
use http::{Response, StatusCode};
use kogge_machinery::status_error::{ApiError, FieldError};
use serde_json::{Value, json};

use super::{
    RequestContext,
    answer::{Document, document_response},
    authorization::{Attributes, is_allowed},
};
use crate::{authentication::User, registry::ServedResource};

/// Whether a type is only asked and never stored.
pub(crate) fn is_review(served: &ServedResource) -> bool {
    matches!(
        (served.resource.group.as_str(), served.resource.plural.as_str()),
        ("authentication.k8s.io", "selfsubjectreviews" | "tokenreviews")
            | (
                "authorization.k8s.io",
                "selfsubjectaccessreviews"
                    | "selfsubjectrulesreviews"
                    | "subjectaccessreviews"
                    | "localsubjectaccessreviews"
            )
    )
}

/// Answers a review.
///
/// # Errors
/// 422 for a review that asks nothing.
pub(crate) fn answer(context: &RequestContext<'_>, review: &Value) -> Result<Response<Body>, ApiError> {
    let resource = &context.served.resource;
    let spec = &review["spec"];
    let status = match resource.plural.as_str() {
        "selfsubjectreviews" => json!({"userInfo": context.user.user_info()}),
        "tokenreviews" => json!({"authenticated": false, "user": {}, "error": "no token is accepted by this server"}),
        "selfsubjectrulesreviews" => rules(&context.user),
        "selfsubjectaccessreviews" => access(context, &context.user, spec)?,
        _ => {
            let user = User {
                name: spec["user"].as_str().unwrap_or_default().to_owned(),
                groups: spec["groups"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            };
            if user.name.is_empty() && user.groups.is_empty() {
                let error = FieldError::invalid(
                    "spec.user",
                    &Value::from(""),
                    "at least one of user or group must be specified",
                );
                return Err(ApiError::invalid(&resource.group, &resource.kind, "", &[error]));
            }
            access(context, &user, spec)?
        }
    };
    let mut metadata = json!({"creationTimestamp": null});
    if let Some(namespace) = Some(&context.namespace).filter(|namespace| !namespace.is_empty()) {
        metadata["namespace"] = namespace.as_str().into();
    }
    let mut answer = json!({
        "apiVersion": resource.api_version(),
        "kind": resource.kind,
        "metadata": metadata,
        "status": status,
    });
    if !spec.is_null() {
        answer["spec"] = spec.clone();
    }
    document_response(&context.answer, StatusCode::CREATED, Document::Value(answer))
}

fn access(context: &RequestContext<'_>, user: &User, spec: &Value) -> Result<Value, ApiError> {
    let text = |value: &'_ Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let allowed = if resource.is_object() {
        let [verb, group, plural, subresource, namespace, name] =
            ["verb", "group", "resource", "subresource", "namespace", "name"].map(|field| text(resource, field));
        is_allowed(
            user,
            &Attributes {
                verb: &verb,
                group: &group,
                resource: &plural,
                subresource: &subresource,
                namespace: &namespace,
                name: &name,
                path: "",
            },
        )
    } else if path.is_object() {
        let (verb, path) = (text(path, "verb"), text(path, "path"));
        is_allowed(user, &Attributes { verb: &verb, path: &path, ..Attributes::default() })
    } else {
        let resource = &context.served.resource;
        let error = FieldError::invalid(
            "spec.resourceAttributes",
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        );
        return Err(ApiError::invalid(&resource.group, &resource.kind, "", &[error]));
    };
    let mut status = json!({"allowed": allowed});
    if user.is_master() {
        status["reason"] = "member of system:masters".into();
    }
    Ok(status)
}

fn rules(user: &User) -> Value {
    let mut resources = vec![
        json!({"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]}),
        json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]}),
    ];
    let mut paths = vec![json!({
        "verbs": ["get"],
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version"],
    })];
    if user.is_master() {
        resources.insert(0, json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        paths.insert(0, json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}
