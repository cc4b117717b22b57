//! Whether a user may do what a request asks.

pub(crate) use kogge_machinery::rbac::{Attributes, Decision};
use kogge_machinery::{
    resource::GroupResource,
    status_error::{ApiError, quote},
};

use crate::{authentication::User, node_authorizer, plane::Plane};

/// The decision: members of `system:masters` may do everything, nodes what the Node authorizer says, and everybody what
/// the plane's roles and bindings say.
///
/// # Errors
/// If the plane cannot be read.
pub(crate) fn decide(plane: &Plane, user: &User, attributes: &Attributes<'_>) -> Result<Decision, ApiError> {
    if user.is_master() {
        return Ok(Decision { allowed: true, reason: String::new() });
    }
    let of_node = node_authorizer::decide(plane, user, attributes)?;
    if let Some(decision) = of_node.as_ref().filter(|decision| decision.allowed) {
        return Ok(decision.clone());
    }
    let by_rules =
        plane.state.access_rules.ask(plane.store(), |policy| policy.authorize(&user.requester(), attributes))?;
    if by_rules.allowed {
        return Ok(by_rules);
    }
    let reasons = of_node.into_iter().chain([by_rules]).map(|decision| decision.reason);
    let reasons: Vec<String> = reasons.filter(|reason| !reason.is_empty()).collect();
    Ok(Decision { allowed: false, reason: reasons.join("\n") })
}

/// # Errors
/// 403 in the real server's words.
pub(crate) fn authorize(plane: &Plane, user: &User, attributes: &Attributes<'_>) -> Result<(), ApiError> {
    let decision = decide(plane, user, attributes)?;
    if decision.allowed { Ok(()) } else { Err(forbidden(user, attributes, &decision.reason)) }
}

/// The 403 of a request, with the reason of the decision where it has one.
pub(crate) fn forbidden(user: &User, attributes: &Attributes<'_>, reason: &str) -> ApiError {
    let Attributes { verb, group, resource, subresource, namespace, name, path, .. } = *attributes;
    let user = quote(&user.name);
    let mut message = if let Some(path) = path {
        format!("User {user} cannot {verb} path {}", quote(path))
    } else {
        let full = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {}", quote(namespace))
        };
        let (full, group) = (quote(&full), quote(group));
        format!("User {user} cannot {verb} resource {full} in API group {group} {place}")
    };
    // A browser must not take the text for HTML.
    message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if !reason.is_empty() {
        message = format!("{message}: {reason}");
    }
    let (group, resource, name) = if path.is_some() { ("", "", "") } else { (group, resource, name) };
    ApiError::forbidden(&GroupResource { group: group.to_owned(), resource: resource.to_owned() }, name, &message)
}
