//! Putting a request before MutatingAdmissionPolicies: which are concerned, with which parameters, and what they make of
//! the object.

use std::sync::Arc;

use kogge_machinery::{
    admission::{MatchResult, MutatingPolicy, ObjectPatch, PolicyBinding},
    status_error::{ApiError, quote},
    typed_object::TypedKind,
};
use kube_core::response::StatusCause;
use serde_json::Value;

use super::{
    Attributes,
    mutation::{Reinvocations, Subject},
    policies::{Misconfigured, binding_matches, bindings, parameters},
    webhooks::{Invocation, completed},
};
use crate::registry::ServedResource;

/// A policy, a binding and the name of the parameters, by their places.
pub(super) type Key = (usize, String);

/// One policy with one of the parameters of a binding.
struct Call<'p> {
    key: Key,
    policy: &'p MutatingPolicy,
    binding: &'p PolicyBinding,
    invocation: Invocation,
    parameters: Value,
}

/// What keeps a policy from being applied.
struct Failure {
    message: String,
    reason: &'static str,
}

/// Lets policies change an object, one after the other; `again` only those that asked to see what changed since. Tells
/// whether one was applied.
pub(super) async fn mutate(
    subject: &mut Subject<'_>,
    policies: &[(Arc<MutatingPolicy>, Arc<PolicyBinding>)],
    calls: &mut Reinvocations<Key>,
    again: bool,
) -> Result<bool, ApiError> {
    if policies.is_empty() {
        return Ok(false);
    }
    let attributes = subject.attributes;
    let mut failures: Vec<Failure> = Vec::new();
    let mut applied = false;
    calls.begin(again, &subject.current);
    for Call { key, policy, binding, invocation, parameters } in concerned(subject, policies, &mut failures).await? {
        let served = invocation.served(attributes);
        subject.prepare(&invocation).await?;
        let variables = |subject: &Subject<'_>| {
            bindings(attributes, served, Some(&subject.current), subject.old(&invocation), &parameters)
        };
        let mut fail = |message: &str| failures.extend(failure(policy, binding, message));
        match policy.definition.conditions_match(&variables(subject)) {
            MatchResult::Matches => {}
            MatchResult::Excluded => continue,
            MatchResult::Failed(message) => {
                fail(&message);
                continue;
            }
        }
        if again && !calls.wants(&key) {
            continue;
        }
        let before = subject.current.clone();
        for index in 0..policy.mutations() {
            let schema = if attributes.body_kind.is_some() { None } else { served.resource.schema.get() };
            let patch = policy.patch(index, &variables(subject));
            let patched = patch.and_then(|patch| {
                let root = schema.as_ref().map(|schema| &*schema.root);
                patch.apply_to(&subject.current, root).map(|object| (patch, object))
            });
            match patched {
                Ok((patch, object)) => {
                    let object = decoded(attributes, served, &patch, object)?;
                    subject.change(completed(attributes, served, object)?);
                    applied = true;
                }
                Err(message) => fail(&message),
            }
        }
        if before != subject.current {
            calls.require_all();
        }
        if policy.reinvoke {
            calls.note(key);
        }
    }
    if applied {
        // As in the real server a policy that wants so sees its own result, too.
        calls.require_all();
    }
    calls.end(&subject.current);
    if failures.is_empty() { Ok(applied) } else { Err(denied(subject, &failures)) }
}

/// The policies a request is to be put before, with their parameters.
async fn concerned<'p>(
    subject: &Subject<'_>,
    policies: &'p [(Arc<MutatingPolicy>, Arc<PolicyBinding>)],
    failures: &mut Vec<Failure>,
) -> Result<Vec<Call<'p>>, ApiError> {
    let attributes = subject.attributes;
    let mut calls = Vec::new();
    for (place, (policy, binding)) in policies.iter().enumerate() {
        let Some(invocation) = subject.invocation(&policy.definition.matching)? else { continue };
        let (object, old) = (Some(&subject.current), subject.requested_old());
        if !binding_matches(attributes, &subject.surroundings, binding, object, old)? {
            continue;
        }
        match parameters(attributes, &policy.definition, binding).await? {
            Ok(found) => calls.extend(found.into_iter().map(|parameters| Call {
                key: (place, format!("{}/{}", parameters["metadata"]["namespace"], parameters["metadata"]["name"])),
                policy,
                binding,
                invocation: invocation.clone(),
                parameters,
            })),
            Err(problem) if policy.definition.ignore_failures => {
                let (policy, binding) = (&policy.definition.name, &binding.name);
                tracing::warn!(policy, binding, %problem, "a mutating policy can not be applied");
            }
            Err(problem) => {
                let name = &policy.definition.name;
                let who = match problem {
                    Misconfigured::Policy(_) => format!("policy {}", quote(name)),
                    Misconfigured::Binding(_) => format!("policy '{name}' with binding '{}'", binding.name),
                };
                let message = format!("{who} denied request: {problem}");
                // A policy is told of once, not for each of its bindings.
                if failures.last().is_none_or(|last| last.message != message) {
                    failures.push(Failure { message, reason: "Forbidden" });
                }
            }
        }
    }
    Ok(calls)
}

/// A failure to evaluate an expression, if the policy does not ignore it.
fn failure(policy: &MutatingPolicy, binding: &PolicyBinding, message: &str) -> Option<Failure> {
    let (name, binding) = (&policy.definition.name, &binding.name);
    if policy.definition.ignore_failures {
        tracing::warn!(policy = name, binding, message, "a mutating policy can not be applied");
        return None;
    }
    Some(Failure {
        message: format!("policy '{name}' with binding '{binding}' denied request: {message}"),
        reason: "Invalid",
    })
}

/// A patched object as Go's types have it.
///
/// # Errors
/// 500 where a JSON patch makes something else of the object than one of its kind, or gives it unknown fields.
fn decoded(
    attributes: &Attributes<'_>,
    served: &ServedResource,
    patch: &ObjectPatch,
    mut object: Value,
) -> Result<Value, ApiError> {
    let typed = match &attributes.body_kind {
        Some(kind) => {
            let version =
                if kind.group.is_empty() { kind.version.clone() } else { format!("{}/{}", kind.group, kind.version) };
            TypedKind::of(&version, &kind.name)
        }
        None if served.resource.custom => None,
        None => TypedKind::of(&served.resource.api_version(), &served.resource.kind),
    };
    let Some(typed) = typed else { return Ok(object) };
    let before = object.clone();
    let fit = typed.canonicalize(&mut object);
    if fit.wrong_values || (fit.unknown_fields && matches!(patch, ObjectPatch::JsonPatch(_))) {
        let decoded = typed.decode(before.to_string().as_bytes()).map_err(ApiError::internal)?;
        if !decoded.findings.is_empty() && matches!(patch, ObjectPatch::JsonPatch(_)) {
            return Err(ApiError::internal(format!("strict decoding error: {}", decoded.findings.join(", "))));
        }
        object = decoded.object;
        for name in ["apiVersion", "kind"] {
            object[name] = before[name].clone();
        }
    }
    Ok(object)
}

/// The answer to a request that policies could not be applied to.
fn denied(subject: &Subject<'_>, failures: &[Failure]) -> ApiError {
    let attributes = subject.attributes;
    let resource = attributes.served.resource.group_resource();
    let name = attributes.called(Some(&subject.current));
    let mut error = ApiError::forbidden(&resource, name, "admission request denied by policy");
    if let Some(first) = failures.first() {
        error.0.message.clone_from(&first.message);
        first.reason.clone_into(&mut error.0.reason);
    }
    if let Some(details) = &mut error.0.details {
        details.causes.extend(failures.iter().map(|failure| StatusCause {
            reason: String::new(),
            message: failure.message.clone(),
            field: String::new(),
        }));
    }
    error
}
