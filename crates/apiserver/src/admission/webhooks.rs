//! Asking webhooks: which are concerned, in which version of the object, and in which order.

use std::sync::Arc;

use futures::future::join_all;
use kogge_machinery::{
    admission::{
        self, MatchResources, MatchResult, Operation, Response, ReviewRequest, Webhook, WebhookKind, conditions_match,
    },
    cel::Bindings,
    patch::{self, JsonPatchError},
    status_error::{ApiError, quote},
};
use serde_json::{Map, Value};

use super::{
    Attributes, Versions, kind_of,
    mutation::{Reinvocations, Subject},
    policies::with_authorizer,
    resource_of,
};
use crate::{
    pipeline::{conversion_problem, readable_type, set_type},
    registry::ServedResource,
};

/// Why a webhook's answer ends the request, or would.
enum CallError {
    /// It could not be asked; `failurePolicy` decides.
    Failed(String),
    /// It denied the request, or something else is wrong.
    Refused(ApiError),
}

/// What selectors look at beside the object itself, read once a request.
pub(super) struct Surroundings {
    /// The labels of the namespace, or why there are none to look at. No namespace matches every selector.
    pub(super) namespace_labels: Result<Option<Map<String, Value>>, ApiError>,
    /// The resource in other served versions, or another group.
    equivalents: Vec<Arc<ServedResource>>,
}

impl Surroundings {
    pub(super) fn of(attributes: &Attributes<'_>, object: Option<&Value>) -> Self {
        let equivalents = attributes.plane.registry().equivalents(attributes.served);
        Self { namespace_labels: attributes.namespace_labels(object), equivalents }
    }
}

/// How a webhook is to be asked.
#[derive(Clone)]
pub(super) struct Invocation {
    /// The version of the resource its rules are about, if not the requested one.
    pub(super) equivalent: Option<Arc<ServedResource>>,
}

impl Invocation {
    pub(super) fn served<'a>(&'a self, attributes: &Attributes<'a>) -> &'a ServedResource {
        self.equivalent.as_deref().unwrap_or(attributes.served)
    }
}

/// Whether selectors and rules put a request before a webhook or a policy.
pub(super) fn invocation(
    attributes: &Attributes<'_>,
    surroundings: &Surroundings,
    matching: &MatchResources,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<Option<Invocation>, ApiError> {
    let resource = resource_of(&attributes.served.resource);
    let equivalent = if matching.rules.iter().any(|rule| rule.matches(&attributes.request(&resource))) {
        None
    } else {
        // Earlier rules count before earlier versions.
        let other = matching.match_equivalent.then(|| {
            matching.rules.iter().find_map(|rule| {
                let others = surroundings.equivalents.iter();
                others.clone().find(|other| rule.matches(&attributes.request(&resource_of(&other.resource)))).cloned()
            })
        });
        match other.flatten() {
            Some(other) => Some(other),
            None => return Ok(None),
        }
    };
    let excluded = resource_of(&equivalent.as_deref().unwrap_or(attributes.served).resource);
    if matching.excluded.iter().any(|rule| rule.matches(&attributes.request(&excluded))) {
        return Ok(None);
    }
    // From here on the rules match, so what goes wrong counts.
    match &matching.namespace_selector {
        Err(reason) => return Err(ApiError::internal(reason.clone())),
        Ok(selector) if selector.is_empty() => {}
        Ok(selector) => match &surroundings.namespace_labels {
            Err(error) => return Err(error.clone()),
            Ok(Some(labels)) if !selector.matches_labels(Some(labels)) => return Ok(None),
            Ok(_) => {}
        },
    }
    match &matching.object_selector {
        Err(reason) => return Err(ApiError::internal(reason.clone())),
        Ok(selector) if selector.is_empty() => {}
        // The options of a connection have no metadata, and so no labels that anything could be said about.
        Ok(_) if attributes.operation == Operation::Connect => return Ok(None),
        Ok(selector) if [object, old].into_iter().flatten().any(|object| selector.matches(object)) => {}
        Ok(_) => return Ok(None),
    }
    Ok(Some(Invocation { equivalent }))
}

/// Whether the conditions send a request to a webhook.
fn conditions_hold(
    attributes: &Attributes<'_>,
    webhook: &Webhook,
    served: &ServedResource,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<bool, ApiError> {
    if webhook.match_conditions.is_empty() {
        return Ok(true);
    }
    let null = Value::Null;
    let described =
        with_review(attributes, served, "", object, old, &|request: &ReviewRequest<'_>| request.description());
    let bindings = with_authorizer(attributes, Bindings::default())
        .with("object", object.unwrap_or(&null))
        .with("oldObject", old.unwrap_or(&null))
        .with("request", &described);
    match conditions_match(&webhook.match_conditions, webhook.ignore_failures, &bindings) {
        MatchResult::Matches => Ok(true),
        MatchResult::Excluded => Ok(false),
        MatchResult::Failed(reason) => {
            Err(ApiError::forbidden(&attributes.served.resource.group_resource(), attributes.name, &reason))
        }
    }
}

/// Calls `action` with what a review in the version of `served` tells.
pub(super) fn with_review<T>(
    attributes: &Attributes<'_>,
    served: &ServedResource,
    uid: &str,
    object: Option<&Value>,
    old: Option<&Value>,
    action: &dyn Fn(&ReviewRequest<'_>) -> T,
) -> T {
    let requester = attributes.requester;
    action(&ReviewRequest {
        uid,
        kind: &attributes.body_kind.clone().unwrap_or_else(|| kind_of(&served.resource)),
        resource: &resource_of(&served.resource),
        request_kind: &attributes.kind(),
        request_resource: &resource_of(&attributes.served.resource),
        subresource: attributes.subresource,
        name: attributes.name,
        namespace: attributes.namespace,
        operation: attributes.operation,
        user_info: &requester.user.user_info(),
        object,
        old_object: old,
        dry_run: requester.dry_run,
        options: &requester.options(attributes.operation),
    })
}

async fn call(
    attributes: &Attributes<'_>,
    webhook: &Webhook,
    kind: WebhookKind,
    served: &ServedResource,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<Response, CallError> {
    if attributes.requester.dry_run && !webhook.allows_dry_run {
        return Err(CallError::Refused(admission::dry_run_unsupported(&webhook.name)));
    }
    let Some(version) = webhook.review_version else {
        return Err(CallError::Failed(
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)"
                .to_owned(),
        ));
    };
    let client =
        webhook.client.as_ref().map_err(|reason| CallError::Failed(format!("could not get REST client: {reason}")))?;
    let uid = uuid::Uuid::new_v4().to_string();
    let review = with_review(attributes, served, &uid, object, old, &|request| admission::review(version, request));
    let clients = attributes.plane.server.webhook_clients();
    let answer = clients
        .post(client, webhook.timeout, &review)
        .await
        .map_err(|reason| CallError::Failed(format!("failed to call webhook: {reason}")))?;
    let response =
        admission::response(kind, version, &uid, &answer).map_err(|error| CallError::Failed(error.to_string()))?;
    for warning in &response.warnings {
        attributes.requester.warnings.push(warning.as_str());
    }
    if response.allowed {
        Ok(response)
    } else {
        Err(CallError::Refused(admission::denied(&webhook.name, response.result.as_ref())))
    }
}

/// What a call's failure means for the request: an error, or nothing where failures are ignored.
fn judge(attributes: &Attributes<'_>, webhook: &Webhook, error: CallError) -> Result<(), ApiError> {
    match error {
        CallError::Refused(error) => Err(error),
        CallError::Failed(reason) => {
            let text = format!("failed calling webhook {}: {reason}", quote(&webhook.name));
            let plane = attributes.plane.name();
            if webhook.ignore_failures {
                tracing::warn!(%plane, webhook = webhook.name, reason, "failed to call a webhook, going on");
                Ok(())
            } else {
                tracing::warn!(%plane, webhook = webhook.name, reason, "failed to call a webhook");
                Err(ApiError::internal(text))
            }
        }
    }
}

/// Puts an object before the mutating webhooks, one after the other; `again` only before those that asked to see what
/// changed since. Tells whether one changed the object.
pub(super) async fn mutate(
    subject: &mut Subject<'_>,
    webhooks: &[Arc<Webhook>],
    calls: &mut Reinvocations<usize>,
    again: bool,
) -> Result<bool, ApiError> {
    let attributes = subject.attributes;
    let mut changed = false;
    calls.begin(again, &subject.current);
    for (index, webhook) in webhooks.iter().enumerate() {
        if again && !calls.wants(&index) {
            continue;
        }
        let Some(invocation) = subject.invocation(&webhook.matching)? else { continue };
        subject.prepare(&invocation).await?;
        let served = invocation.served(attributes);
        let (current, old) = (&subject.current, subject.old(&invocation));
        if !conditions_hold(attributes, webhook, served, Some(current), old)? {
            continue;
        }
        let patch = match call(attributes, webhook, WebhookKind::Mutating, served, Some(current), old).await {
            Ok(response) => response.patch,
            Err(error) => {
                judge(attributes, webhook, error)?;
                None
            }
        };
        if let Some(patch) = patch {
            let new = patch::apply_json_patch(current, &patch).map_err(|error| match error {
                JsonPatchError::Apply(why) => ApiError::internal(why),
                JsonPatchError::Decode(error) => ApiError::internal(error.status().message.clone()),
            })?;
            let new = completed(attributes, served, retyped(attributes, served, new)?)?;
            if new != subject.current {
                calls.require_all();
                changed = true;
                subject.change(new);
            }
        }
        if webhook.reinvoke {
            calls.note(index);
        }
    }
    calls.end(&subject.current);
    Ok(changed)
}

/// A patched object of a built-in kind, which still is of its type, or says none.
fn retyped(attributes: &Attributes<'_>, served: &ServedResource, mut object: Value) -> Result<Value, ApiError> {
    let resource = &served.resource;
    if resource.custom || attributes.body_kind.is_some() {
        return Ok(object);
    }
    readable_type(&object).map_err(ApiError::internal)?;
    set_type(&mut object, &resource.api_version(), &resource.kind);
    match conversion_problem(resource, &object) {
        None => Ok(object),
        Some(why) if why.starts_with("converting") => Err(ApiError::new(500, "", why)),
        Some(why) => Err(ApiError::internal(why)),
    }
}

/// A patched object with defaults filled in, and of a built-in kind with unknown fields gone.
pub(super) fn completed(
    attributes: &Attributes<'_>,
    served: &ServedResource,
    mut object: Value,
) -> Result<Value, ApiError> {
    if !object.is_object() {
        return Err(ApiError::internal("the patch of a webhook does not leave an object"));
    }
    if attributes.body_kind.is_none() {
        if let Some(schema) = served.resource.schema.get() {
            if !served.resource.custom {
                schema.prune(&mut object);
            }
            schema.apply_defaults(&mut object);
        }
        if !served.resource.custom {
            crate::builtin::defaults::apply(&served.resource, &mut object);
        }
    }
    Ok(object)
}

/// Puts a delete before the mutating webhooks, which have nothing to change.
pub(super) async fn mutate_delete(
    attributes: &Attributes<'_>,
    webhooks: &[Arc<Webhook>],
    old: &Value,
) -> Result<(), ApiError> {
    let surroundings = Surroundings::of(attributes, None);
    let mut versions = Versions::of(attributes.served, old);
    for webhook in webhooks {
        let Some(invocation) = invocation(attributes, &surroundings, &webhook.matching, None, Some(old))? else {
            continue;
        };
        let served = invocation.served(attributes);
        versions.prepare(served).await?;
        let old = Some(versions.in_version(served));
        if !conditions_hold(attributes, webhook, served, None, old)? {
            continue;
        }
        match call(attributes, webhook, WebhookKind::Mutating, served, None, old).await {
            Ok(Response { patch: Some(_), .. }) => {
                return Err(ApiError::internal(format!(
                    "admission webhook {} attempted to modify the object, which is not supported for this operation",
                    quote(&webhook.name)
                )));
            }
            Ok(_) => {}
            Err(error) => judge(attributes, webhook, error)?,
        }
    }
    Ok(())
}

/// Puts a request before the validating webhooks, all at once.
pub(super) async fn validate(
    attributes: &Attributes<'_>,
    webhooks: &[Arc<Webhook>],
    old: Option<&Value>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    if webhooks.is_empty() {
        return Ok(());
    }
    let surroundings = Surroundings::of(attributes, object);
    let mut old_versions = old.map(|old| Versions::of(attributes.served, old));
    let mut versions = object.map(|object| Versions::of(attributes.served, object));
    let mut invocations = Vec::new();
    for webhook in webhooks {
        let Some(invocation) = invocation(attributes, &surroundings, &webhook.matching, object, old)? else { continue };
        let served = invocation.served(attributes);
        if attributes.body_kind.is_none() {
            for versions in [&mut versions, &mut old_versions].into_iter().flatten() {
                versions.prepare(served).await?;
            }
        }
        let object = versions.as_ref().map(|versions| versions.in_version(served));
        let old = old_versions.as_ref().map(|versions| versions.in_version(served));
        if conditions_hold(attributes, webhook, served, object, old)? {
            invocations.push((webhook, invocation));
        }
    }
    let calls = invocations.iter().map(|(webhook, invocation)| {
        let served = invocation.served(attributes);
        let object = versions.as_ref().map(|versions| versions.in_version(served));
        let old = old_versions.as_ref().map(|versions| versions.in_version(served));
        async move {
            match call(attributes, webhook, WebhookKind::Validating, served, object, old).await {
                Ok(_) => Ok(()),
                Err(error) => judge(attributes, webhook, error),
            }
        }
    });
    join_all(calls).await.into_iter().collect()
}
