//! Nobody grants what they do not have: writes of roles and bindings, as in Kubernetes' `pkg/registry/rbac`.

use kogge_machinery::{
    rbac::{self, GROUP, PolicyRule, RoleRef},
    status_error::ApiError,
};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{
    RequestContext,
    authorization::{Attributes, decide},
};

/// Refuses a role whose rules the user does not have and a binding to such a role, unless the user may `escalate` or
/// `bind`. `old` is absent for a create.
///
/// # Errors
/// 403 with the missing rules; 404 for a binding to a role that is not there.
pub(crate) fn check(context: &RequestContext<'_>, object: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let resource = &context.served.resource;
    if resource.group != GROUP || context.user.is_master() || old.is_some_and(|old| only_collection(old, object)) {
        return Ok(());
    }
    if resource.plural.ends_with("bindings") { binding(context, object) } else { role(context, object, old) }
}

/// Whether only fields differ that the garbage collector changes.
fn only_collection(old: &Value, new: &Value) -> bool {
    let strip = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for field in ["ownerReferences", "finalizers", "managedFields"] {
                metadata.remove(field);
            }
        }
        object
    };
    strip(old) == strip(new)
}

fn role(context: &RequestContext<'_>, role: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let resource = &context.served.resource;
    let attributes = Attributes {
        verb: "escalate",
        group: GROUP,
        resource: &resource.plural,
        namespace: &context.namespace,
        name: &context.name,
        ..Attributes::default()
    };
    if decide(context.plane, &context.user, &attributes)?.allowed {
        return Ok(());
    }
    let name = role["metadata"]["name"].as_str().unwrap_or_default();
    let rules = Vec::<PolicyRule>::deserialize(&role["rules"]).unwrap_or_default();
    confirm(context, &rules)?.map_err(|message| refused(context, name, &message))?;
    let aggregates = |role: &Value| {
        let selectors = role.pointer("/aggregationRule/clusterRoleSelectors").and_then(Value::as_array);
        selectors.is_some_and(|selectors| !selectors.is_empty())
    };
    if aggregates(role) || old.is_some_and(aggregates) {
        let everything: Vec<PolicyRule> = Vec::deserialize(json!([
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ]))
        .unwrap_or_default();
        let message = "must have cluster-admin privileges to use the aggregationRule";
        confirm(context, &everything)?.map_err(|_| refused(context, name, message))?;
    }
    Ok(())
}

fn binding(context: &RequestContext<'_>, binding: &Value) -> Result<(), ApiError> {
    let mut role = RoleRef::deserialize(&binding["roleRef"]).unwrap_or_default();
    if role.api_group.is_empty() {
        GROUP.clone_into(&mut role.api_group);
    }
    let resource = match role.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        _ => "",
    };
    let attributes = Attributes {
        verb: "bind",
        group: &role.api_group,
        resource,
        namespace: &context.namespace,
        name: &role.name,
        ..Attributes::default()
    };
    if !resource.is_empty() && decide(context.plane, &context.user, &attributes)?.allowed {
        return Ok(());
    }
    let rules = context
        .plane
        .state
        .access_rules
        .ask(context.plane.store(), |policy| policy.referenced_rules(&role, &context.namespace).cloned())?;
    let rules = rules.map_err(|message| match resource {
        "" => ApiError::internal(message),
        _ => ApiError::new(404, "NotFound", message),
    })?;
    let name = binding["metadata"]["name"].as_str().unwrap_or_default();
    confirm(context, &rules)?.map_err(|message| refused(context, name, &message))
}

/// Whether the user has all of these rules in the namespace of the request; else the message of the refusal.
fn confirm(context: &RequestContext<'_>, wanted: &[PolicyRule]) -> Result<Result<(), String>, ApiError> {
    let requester = context.user.requester();
    context.plane.state.access_rules.ask(context.plane.store(), |policy| {
        let (owned, error) = policy.rules_for(&requester, &context.namespace);
        let missing = rbac::covers(&owned, wanted);
        if missing.is_empty() { Ok(()) } else { Err(rbac::escalation_message(&requester, &missing, error.as_deref())) }
    })
}

fn refused(context: &RequestContext<'_>, name: &str, message: &str) -> ApiError {
    ApiError::forbidden(&context.served.resource.group_resource(), name, message)
}
