//! Writes of CertificateSigningRequests: whose they are, what each endpoint changes, and who may approve and sign.

use kogge_machinery::status_error::{ApiError, quote};
use serde_json::{Value, json};

use super::{
    RequestContext,
    authorization::{Attributes, decide},
    object_write::{Merged, WriteScope, timestamp},
};
use crate::certificate_signing::{
    CertificateRequest, GROUP, KUBE_APISERVER_CLIENT, RESOURCE,
    validation::{of_type, validate, validate_status_update},
};

/// Writes the requesting user into a new request.
///
/// # Errors
/// 403 for a client certificate of `system:masters`.
pub(crate) fn prepare_create(context: &RequestContext<'_>, merged: &mut Merged) -> Result<(), ApiError> {
    if !context.served.is(GROUP, RESOURCE) {
        return Ok(());
    }
    let object = merged.object_mut();
    if let Some(spec) = object["spec"].as_object_mut() {
        let user = &context.user;
        for field in ["username", "uid", "groups", "extra"] {
            spec.remove(field);
        }
        spec.insert("username".to_owned(), user.name.as_str().into());
        spec.insert("groups".to_owned(), json!(user.groups));
        if !user.uid.is_empty() {
            spec.insert("uid".to_owned(), user.uid.as_str().into());
        }
        if !user.extra.is_empty() {
            spec.insert("extra".to_owned(), json!(user.extra));
        }
    }
    if object["spec"]["signerName"] == KUBE_APISERVER_CLIENT
        && let Ok(request) = CertificateRequest::of(object)
        && request.organizations().iter().any(|group| group == crate::authentication::MASTERS)
    {
        let message = format!("use of {KUBE_APISERVER_CLIENT} signer with system:masters group is not allowed");
        return Err(forbidden(context, object, &message));
    }
    Ok(())
}

/// Keeps what an endpoint does not change, and stamps conditions.
///
/// # Errors
/// 422 for approvals through `/status`.
pub(crate) fn prepare_update(
    context: &RequestContext<'_>,
    scope: WriteScope,
    old: &Value,
    merged: &mut Merged,
) -> Result<(), ApiError> {
    if !context.served.is(GROUP, RESOURCE) {
        return Ok(());
    }
    let object = merged.object_mut();
    object["spec"] = old["spec"].clone();
    match scope {
        WriteScope::Status("approval") => {
            stamp(object, old, &timestamp(context.now));
            let conditions = object["status"]["conditions"].take();
            object["status"] = old["status"].clone();
            if !object["status"].is_object() {
                object["status"] = json!({});
            }
            if !conditions.is_null() {
                object["status"]["conditions"] = conditions;
            }
        }
        WriteScope::Status(_) => {
            for kind in ["Approved", "Denied"] {
                keep_conditions(object, old, kind);
            }
            stamp(object, old, &timestamp(context.now));
            let mut errors = validate_status_update(object, old);
            if !errors.is_empty() {
                errors.extend(validate(object, Some(old)));
                let resource = &context.served.resource;
                return Err(ApiError::invalid(&resource.group, &resource.kind, &context.name, &errors));
            }
        }
        WriteScope::Main | WriteScope::Composed(_) => object["status"] = old["status"].clone(),
    }
    Ok(())
}

/// Asks whether the user may approve or sign, once the update is known to be valid.
///
/// # Errors
/// 403 for users who may not.
pub(crate) fn authorize(
    context: &RequestContext<'_>,
    scope: WriteScope,
    old: &Value,
    new: &Value,
) -> Result<(), ApiError> {
    if !context.served.is(GROUP, RESOURCE) {
        return Ok(());
    }
    let (status, known) = (&new["status"], &old["status"]);
    let verb = match scope {
        WriteScope::Status("approval") => "approve",
        WriteScope::Status(_) if ["certificate", "conditions"].iter().any(|field| status[field] != known[field]) => {
            "sign"
        }
        _ => return Ok(()),
    };
    let signer = old["spec"]["signerName"].as_str().unwrap_or_default();
    if may(context, verb, signer)? {
        return Ok(());
    }
    let message = format!("user not permitted to {verb} requests with signerName {}", quote(signer));
    Err(forbidden(context, old, &message))
}

/// Whether the user may `approve` or `sign` for a signer, by its name or all of its domain.
fn may(context: &RequestContext<'_>, verb: &str, signer: &str) -> Result<bool, ApiError> {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer, &format!("{domain}/*")] {
        let attributes = Attributes { verb, group: GROUP, resource: "signers", name, ..Attributes::default() };
        if decide(context.plane, &context.user, &attributes)?.allowed {
            return Ok(true);
        }
    }
    Ok(false)
}

fn forbidden(context: &RequestContext<'_>, object: &Value, message: &str) -> ApiError {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    ApiError::forbidden(&context.served.resource.group_resource(), name, message)
}

/// Conditions of a type stay as they were, unless some were added or removed, which is refused later.
fn keep_conditions(object: &mut Value, old: &Value, kind: &str) {
    let known: Vec<Value> = of_type(old, kind).into_iter().cloned().collect();
    if of_type(object, kind).len() != known.len() {
        return;
    }
    let conditions = object["status"]["conditions"].as_array_mut().into_iter().flatten();
    let same = conditions.filter(|condition| condition["type"] == kind);
    for (condition, known) in same.zip(known) {
        *condition = known;
    }
}

fn stamp(object: &mut Value, old: &Value, now: &str) {
    for condition in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if !condition.is_object() {
            continue;
        }
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.into();
        }
        if condition["lastTransitionTime"].is_null() {
            let kind = condition["type"].as_str().unwrap_or_default();
            let same = of_type(old, kind).into_iter().find(|known| known["status"] == condition["status"]);
            let known = same.map(|known| known["lastTransitionTime"].clone()).filter(Value::is_string);
            condition["lastTransitionTime"] = known.unwrap_or_else(|| now.into());
        }
    }
}
