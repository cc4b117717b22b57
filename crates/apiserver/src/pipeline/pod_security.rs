//! The Pod Security Standards at the place of the real server's admission plugin `PodSecurity`: what is about to be stored is
//! complete and valid, and policies and webhooks have not seen it yet. What is decided is in
//! [`kogge_machinery::pod_security`].

use kogge_machinery::{
    pod_security::{self, Decision, LABEL_PREFIX, NamespaceDecision},
    resource::GroupResource,
    status_error::{ApiError, quote},
};
use serde_json::Value;

use super::{RequestContext, admission::contains, ephemeral_containers, object_write::WriteScope};
use crate::{
    plane::{list_error, parse_stored},
    store::{ObjectKey, Scope},
};

/// Refuses a pod that violates what its namespace enforces, and a namespace that names no policy; warns of both, and of what
/// makes such pods. `old` is absent for a create.
///
/// # Errors
/// 403 for a pod, 422 for a namespace.
pub(super) fn check(
    context: &RequestContext<'_>,
    scope: WriteScope,
    old: Option<&Value>,
    object: &Value,
) -> Result<(), ApiError> {
    let resource = &context.served.resource;
    let (group, plural) = (resource.group.as_str(), resource.plural.as_str());
    match (group, plural, scope) {
        ("", "namespaces", WriteScope::Main) => return check_namespace(context, old, object),
        ("", "pods", WriteScope::Main | WriteScope::Composed(ephemeral_containers::SUBRESOURCE)) => {
            let labels = policy_labels(context)?.ok_or_else(|| {
                ApiError::internal(format!("failed to lookup namespace {}", quote(&context.namespace)))
            })?;
            let decision = pod_security::admit_pod(&labels, object, old);
            let refusal = decision.refusal.clone();
            tell(context, decision);
            if let Some(refusal) = refusal {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                return Err(ApiError::forbidden(&resource.group_resource(), name, &refusal));
            }
        }
        (_, _, WriteScope::Main) if pod_security::embeds_pod(group, plural) => {
            let labels = policy_labels(context)?.unwrap_or_default();
            tell(context, pod_security::admit_controller(&labels, group, plural, object));
        }
        _ => {}
    }
    Ok(())
}

fn tell(context: &RequestContext<'_>, decision: Decision) {
    if let Some(warning) = decision.warning {
        context.admission_warnings.push(warning);
    }
    for (key, value) in decision.audit_annotations {
        context.audit_annotations.add(&key, value);
    }
}

/// The labels of the namespace of a request; empty if none names a policy, absent without the namespace.
fn policy_labels(context: &RequestContext<'_>) -> Result<Option<Value>, ApiError> {
    let resource = GroupResource { group: String::new(), resource: "namespaces".to_owned() };
    let key = ObjectKey { resource, namespace: String::new(), name: context.namespace.clone() };
    let Some(stored) = context.plane.get(&key)? else { return Ok(None) };
    // Most namespaces have none, and every pod asks.
    if !contains(&stored.json, LABEL_PREFIX.as_bytes()) {
        return Ok(Some(Value::Null));
    }
    let mut namespace = parse_stored(&stored.json)?;
    Ok(Some(namespace["metadata"]["labels"].take()))
}

fn check_namespace(context: &RequestContext<'_>, old: Option<&Value>, object: &Value) -> Result<(), ApiError> {
    let labels = |namespace: &'_ Value| namespace["metadata"]["labels"].clone();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match pod_security::admit_namespace(&labels(object), old.map(labels).as_ref()) {
        NamespaceDecision::Allow => {}
        NamespaceDecision::Refuse(errors) => return Err(ApiError::invalid("", "Namespace", name, &errors)),
        NamespaceDecision::CheckPods(enforce) => {
            let pods = GroupResource { group: String::new(), resource: "pods".to_owned() };
            let scope = Scope::Namespace(pods, name.to_owned());
            let page = context.plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
            let pods: Vec<Value> =
                page.items.iter().map(|pod| parse_stored(&pod.json)).collect::<Result<_, ApiError>>()?;
            for warning in pod_security::existing_pod_warnings(name, enforce, &pods) {
                context.admission_warnings.push(warning);
            }
        }
    }
    Ok(())
}
