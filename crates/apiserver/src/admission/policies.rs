//! Putting a request before ValidatingAdmissionPolicies: which are concerned, with which parameters.

use std::sync::Arc;

use kogge_machinery::{
    admission::{
        Decision, Definition, Judgement, MatchResources, ParameterReference, Policy, PolicyBinding, ReviewRequest,
        VALIDATION_FAILURE, audit_annotations, denied_by_policy,
    },
    cel::{Authorizer, Bindings},
    rbac::Attributes as Question,
    status_error::ApiError,
};
use serde_json::Value;

use super::{
    Attributes, Versions, resource_of,
    webhooks::{Surroundings, invocation, with_review},
};
use crate::{
    authentication::User,
    pipeline::{Document, authorization, present_all},
    plane::{Plane, list_error, parse_stored},
    registry::ServedResource,
    store::{ObjectKey, Scope, StoredObject},
};

/// Denies a request that breaks a policy, and warns where a binding only warns.
pub(super) async fn validate(
    attributes: &Attributes<'_>,
    policies: &[(Arc<Policy>, Arc<PolicyBinding>)],
    old: Option<&Value>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    if policies.is_empty() {
        return Ok(());
    }
    let surroundings = Surroundings::of(attributes, object);
    let mut old_versions = old.map(|old| Versions::of(attributes.served, old));
    let mut versions = object.map(|object| Versions::of(attributes.served, object));
    let mut denied = None;
    // What the bindings of one policy, which are beside each other, give for the audit log.
    let mut published: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    for (policy, binding) in policies {
        let Some(asked) = invocation(attributes, &surroundings, &policy.definition.matching, object, old)? else {
            continue;
        };
        if !binding_matches(attributes, &surroundings, binding, object, old)? {
            continue;
        }
        let served = asked.served(attributes);
        if attributes.body_kind.is_none() {
            for versions in [&mut versions, &mut old_versions].into_iter().flatten() {
                versions.prepare(served).await?;
            }
        }
        let object = versions.as_ref().map(|versions| versions.in_version(served));
        let old = old_versions.as_ref().map(|versions| versions.in_version(served));
        let judgements = judgements(attributes, policy, binding, served, object, old).await?;
        let mut deny = |decision: &Decision| {
            if denied.is_none() {
                let resource = attributes.served.resource.group_resource();
                denied = Some(denied_by_policy(&resource, attributes.called(object), binding, decision));
            }
        };
        for judgement in judgements {
            for decision in &judgement.decisions {
                if binding.warns {
                    attributes.requester.warnings.push(binding.warning(decision));
                }
                if binding.audits {
                    attributes.requester.audit_annotations.add(VALIDATION_FAILURE, binding.audit_value(decision));
                }
                if binding.denies {
                    deny(decision);
                }
            }
            judgement.failed_annotations.iter().for_each(&mut deny);
            match published.last_mut() {
                Some((of, values)) if *of == policy.definition.name => values.extend(judgement.annotations),
                _ => published.push((&policy.definition.name, judgement.annotations)),
            }
        }
    }
    for (policy, values) in published {
        for (key, value) in audit_annotations(policy, &values) {
            attributes.requester.audit_annotations.add(&key, value);
        }
    }
    denied.map_or(Ok(()), Err)
}

/// What a policy says of a request, for each of the parameters of a binding. What keeps it from being applied denies the
/// request, whatever the binding does.
async fn judgements(
    attributes: &Attributes<'_>,
    policy: &Policy,
    binding: &PolicyBinding,
    served: &ServedResource,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<Vec<Judgement>, ApiError> {
    let definition = &policy.definition;
    Ok(match parameters(attributes, definition, binding).await? {
        Err(problem) if definition.ignore_failures => {
            tracing::warn!(policy = definition.name, binding = binding.name, %problem, "a policy can not be applied");
            Vec::new()
        }
        Err(problem) => {
            let decision = match problem {
                Misconfigured::Policy(_) => Decision::failure_of_policy(problem.to_string()),
                Misconfigured::Binding(_) => Decision::failure(problem.to_string(), 0),
            };
            vec![Judgement { failed_annotations: vec![decision], ..Judgement::default() }]
        }
        Ok(parameters) => parameters
            .iter()
            .map(|parameters| policy.judge(&bindings(attributes, served, object, old, parameters)))
            .collect(),
    })
}

/// Whether a binding puts a request that its policy is about before it.
pub(super) fn binding_matches(
    attributes: &Attributes<'_>,
    surroundings: &Surroundings,
    binding: &PolicyBinding,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<bool, ApiError> {
    match &binding.matching {
        None => Ok(true),
        // Without rules of its own a binding leaves the policy's as they are.
        Some(matching) if matching.rules.is_empty() => selectors_match(attributes, surroundings, matching, object, old),
        Some(matching) => Ok(invocation(attributes, surroundings, matching, object, old)?.is_some()),
    }
}

/// Whether the selectors of a binding without rules of its own match.
fn selectors_match(
    attributes: &Attributes<'_>,
    surroundings: &Surroundings,
    matching: &MatchResources,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<bool, ApiError> {
    let of_namespace = matching.namespace_selector.as_ref().map_err(|reason| ApiError::internal(reason.clone()))?;
    let of_object = matching.object_selector.as_ref().map_err(|reason| ApiError::internal(reason.clone()))?;
    let resource = resource_of(&attributes.served.resource);
    let excluded = matching.excluded.iter().any(|rule| rule.matches(&attributes.request(&resource)));
    let labels = if of_namespace.is_empty() { None } else { surroundings.namespace_labels.clone()? };
    let in_namespace = labels.is_none_or(|labels| of_namespace.matches_labels(Some(&labels)));
    let is_object = of_object.is_empty() || [object, old].into_iter().flatten().any(|object| of_object.matches(object));
    Ok(!excluded && in_namespace && is_object)
}

/// The variables of a policy's expressions.
pub(super) fn bindings(
    attributes: &Attributes<'_>,
    served: &ServedResource,
    object: Option<&Value>,
    old: Option<&Value>,
    parameters: &Value,
) -> Bindings {
    let null = Value::Null;
    let describe = |request: &ReviewRequest<'_>| request.description();
    let request = with_review(attributes, served, "", object, old, &describe);
    let mut namespace = match attributes.namespace {
        "" => Value::Null,
        _ if attributes.served.is_core("namespaces") => Value::Null,
        _ => attributes.namespace_object().unwrap_or_default(),
    };
    if let Some(metadata) = namespace["metadata"].as_object_mut() {
        for hidden in ["managedFields", "ownerReferences"] {
            metadata.remove(hidden);
        }
    }
    with_authorizer(attributes, Bindings::default())
        .with("object", object.unwrap_or(&null))
        .with("oldObject", old.unwrap_or(&null))
        .with("request", &request)
        .with("namespaceObject", &namespace)
        .with("params", parameters)
}

/// Lets expressions ask what the user of a request, or somebody else, may do in the plane.
pub(super) fn with_authorizer(attributes: &Attributes<'_>, bindings: Bindings) -> Bindings {
    let resource = &attributes.served.resource;
    let request = Question {
        group: &resource.group,
        resource: &resource.plural,
        subresource: attributes.subresource,
        namespace: attributes.namespace,
        name: attributes.name,
        ..Question::default()
    };
    let authorizer = PlaneAuthorizer(attributes.plane.clone());
    bindings.with_authorizer(Arc::new(authorizer), &attributes.requester.user.requester(), &request)
}

/// The access rules of a plane.
struct PlaneAuthorizer(Plane);

impl Authorizer for PlaneAuthorizer {
    fn authorize(
        &self,
        who: &kogge_machinery::rbac::Requester<'_>,
        question: &Question<'_>,
    ) -> Result<kogge_machinery::rbac::Decision, String> {
        let user = User::new(who.name, who.groups.to_vec());
        authorization::decide(&self.0, &user, question).map_err(|error| error.status().message.clone())
    }
}

/// What keeps a policy from being applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misconfigured {
    /// Whatever binds it.
    #[error("failed to configure policy: {0}")]
    Policy(String),
    /// By this binding.
    #[error("failed to configure binding: {0}")]
    Binding(String),
}

/// The parameters to judge a request with, in the version the policy names: one null for a policy without any. The inner error
/// says why there are none.
pub(super) async fn parameters(
    attributes: &Attributes<'_>,
    policy: &Definition,
    binding: &PolicyBinding,
) -> Result<Result<Vec<Value>, Misconfigured>, ApiError> {
    let Some((api_version, kind)) = &policy.parameter_kind else { return Ok(Ok(vec![Value::Null])) };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let Some(served) = attributes.plane.registry().find_version_of_kind(group, version, kind) else {
        let problem = format!("failed to find resource referenced by paramKind: '{group}/{version}, Kind={kind}'");
        return Ok(Err(Misconfigured::Policy(problem)));
    };
    let Some(reference) = &binding.parameters else { return Ok(Ok(vec![Value::Null])) };
    let found = match find(attributes, &served, reference)? {
        Ok(stored) => match present_all(&served, &stored).await {
            Ok(documents) => Ok(documents.into_iter().map(Document::into_value).collect::<Result<Vec<_>, _>>()?),
            // The real server never comes to know objects that it cannot convert.
            Err(_) => Err(format!(
                "paramKind kind `&ParamKind{{APIVersion:{api_version},Kind:{kind},}}` not yet synced to use for admission"
            )),
        },
        Err(problem) => Err(problem),
    };
    Ok(match found {
        Ok(found) if found.is_empty() && reference.deny_without => Err(Misconfigured::Binding(
            "no params found for policy binding with `Deny` parameterNotFoundAction".to_owned(),
        )),
        other => other.map_err(Misconfigured::Binding),
    })
}

/// The objects that a binding refers to, as they are stored.
fn find(
    attributes: &Attributes<'_>,
    served: &ServedResource,
    reference: &ParameterReference,
) -> Result<Result<Vec<StoredObject>, String>, ApiError> {
    let namespace = match (served.resource.namespaced, reference.namespace.as_str()) {
        (false, _) => "",
        (true, "") if attributes.namespace.is_empty() => {
            let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Ok(Err(why.to_owned()));
        }
        (true, "") => attributes.namespace,
        (true, namespace) => namespace,
    };
    if !reference.name.is_empty() {
        let (resource, name) = (served.stored_as.clone(), reference.name.clone());
        let key = ObjectKey { resource, namespace: namespace.to_owned(), name };
        return Ok(Ok(attributes.plane.get(&key)?.into_iter().collect()));
    }
    let selector = match &reference.selector {
        Ok(selector) => selector,
        Err(reason) => return Ok(Err(reason.clone())),
    };
    let scope = Scope::of(&served.stored_as, Some(namespace));
    let page = attributes.plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
    let mut selected = Vec::new();
    for item in page.items {
        // Labels are the same in every version.
        if selector.matches(&parse_stored(&item.json)?) {
            selected.push(item);
        }
    }
    Ok(Ok(selected))
}
