//! Who writes an admission policy with parameters, or binds one to some, may read them (Kubernetes'
//! `pkg/registry/admissionregistration/*/authz.go`).

use kogge_machinery::{
    admission::GROUP,
    resource::GroupResource,
    status_error::{ApiError, FieldError},
};
use serde_json::Value;

use super::{
    RequestContext,
    authorization::{Attributes, decide},
};
use crate::{authentication::User, store::ObjectKey};

/// Refuses a valid policy or binding whose parameters the user may not read. `old` is absent for a create.
///
/// # Errors
/// 422 at the place that names the parameters.
pub(crate) fn check(context: &RequestContext<'_>, object: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let resource = &context.served.resource;
    if resource.group != GROUP || context.user.is_master() {
        return Ok(());
    }
    let (field, problem) = match resource.plural.as_str() {
        "validatingadmissionpolicies" | "mutatingadmissionpolicies" => {
            ("spec.paramKind", policy_problem(context, object, old)?)
        }
        "validatingadmissionpolicybindings" => {
            ("spec.paramRef", binding_problem(context, object, "validatingadmissionpolicies")?)
        }
        "mutatingadmissionpolicybindings" => {
            ("spec.paramRef", binding_problem(context, object, "mutatingadmissionpolicies")?)
        }
        _ => return Ok(()),
    };
    problem.map_or(Ok(()), |problem| {
        let name = text(&object["metadata"], "name");
        Err(ApiError::invalid(&resource.group, &resource.kind, name, &[FieldError::forbidden(field, &problem)]))
    })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn policy_problem(
    context: &RequestContext<'_>,
    policy: &Value,
    old: Option<&Value>,
) -> Result<Option<String>, ApiError> {
    let kind = &policy["spec"]["paramKind"];
    if !kind.is_object() || old.is_some_and(|old| old["spec"]["paramKind"] == *kind) {
        return Ok(None);
    }
    let (group, resource) = resolved(context, kind);
    let resource = resource.unwrap_or_else(|| "*".to_owned());
    let wanted =
        Attributes { verb: "get", group, resource: &resource, namespace: "*", name: "*", ..Attributes::default() };
    let allowed = decide(context.plane, &context.user, &wanted)?.allowed;
    Ok((!allowed).then(|| {
        let (user, name, version) = (shown(&context.user), text(kind, "kind"), text(kind, "apiVersion"));
        format!(
            "user {user} must have \"get\" permission on all objects of the referenced paramKind (kind={name}, \
             apiVersion={version})"
        )
    }))
}

fn binding_problem(context: &RequestContext<'_>, binding: &Value, policies: &str) -> Result<Option<String>, ApiError> {
    let reference = &binding["spec"]["paramRef"];
    if !reference.is_object() {
        return Ok(None);
    }
    let policy_name = text(&binding["spec"], "policyName");
    let key = ObjectKey {
        resource: GroupResource { group: GROUP.to_owned(), resource: policies.to_owned() },
        namespace: String::new(),
        name: policy_name.to_owned(),
    };
    let policy: Option<Value> = context.plane.get(&key)?.and_then(|stored| serde_json::from_slice(&stored.json).ok());
    let kind = policy.as_ref().map_or(&Value::Null, |policy| &policy["spec"]["paramKind"]);
    let (group, resource) = if kind.is_object() { resolved(context, kind) } else { ("*", None) };
    let verb = if text(reference, "name").is_empty() { "list" } else { "get" };
    let wanted = Attributes {
        verb,
        group,
        resource: resource.as_deref().unwrap_or("*"),
        namespace: text(reference, "namespace"),
        name: text(reference, "name"),
        ..Attributes::default()
    };
    if decide(context.plane, &context.user, &wanted)?.allowed {
        return Ok(None);
    }
    let user = shown(&context.user);
    let without = format!(
        "to determine minimum required permissions and user {user} does not have \"{verb}\" permission for all groups, \
         versions and resources"
    );
    Ok(Some(if policy.is_none() {
        format!("unable to get policy {policy_name} {without}")
    } else if kind.is_object() && resource.is_none() {
        let kind = format!("&{{{} {}}}", text(kind, "apiVersion"), text(kind, "kind"));
        format!("unable to resolve paramKind {kind} {without}")
    } else {
        format!("user {user} does not have \"{verb}\" permission on the object referenced by paramRef")
    }))
}

/// The group of a kind, and its resource if there is such a kind.
fn resolved<'v>(context: &RequestContext<'_>, kind: &'v Value) -> (&'v str, Option<String>) {
    let api_version = text(kind, "apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let served = context.plane.registry().find_version_of_kind(group, version, text(kind, "kind"));
    (group, served.map(|served| served.resource.plural.clone()))
}

/// A user as the real server writes its own type.
fn shown(user: &User) -> String {
    let extra: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}
