//! `pods/eviction`: the delete of a pod that its disruption budget has a say in.

use axum::body::Body;
use http::Response;
use jiff::Timestamp;
use kogge_machinery::{resource::GroupResource, selector::LabelSelector, status_error::ApiError};
use serde_json::{Value, json};

use super::{
    RequestContext,
    admission::{UnstoredCreate, kind},
    controller_write::change_object,
    delete::{DeleteOptions, check_preconditions, delete_object},
    get::load,
    object_completion::canonicalize,
    object_decoding::{BodyType, read_body},
    object_write::{WriteScope, Writer, timestamp, write_error},
    pod_subresources::{set_condition, success},
    presentation::{convert_to_stored, present_value},
};
use crate::{
    plane::{list_error, parse_stored},
    registry::ServedResource,
    store::{Change, Expected, ObjectKey, Scope, StoredObject, WriteError},
};

const EVICTION: BodyType = BodyType { api_version: "policy/v1", kind: "Eviction", go_type: Some("policy.Eviction") };
/// Field manager of what a budget is told, as of the real server.
const MANAGER: &str = "kube-apiserver";
/// A budget that knows of more evicted pods that are still there allows no other.
const MAXIMUM_DISRUPTED_PODS: usize = 2000;
const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";
const VIOLATION: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const SEVERAL_BUDGETS: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// Deletes a pod if its disruption budget allows it, and counts it against that.
pub(super) async fn evict(context: &mut RequestContext<'_>, request_body: Body) -> Result<Response<Body>, ApiError> {
    let eviction = read_body(context, EVICTION, request_body).await?;
    let writer = Writer::of(context)?;
    let body_kind = kind("policy", "v1", "Eviction");
    let create = UnstoredCreate { context, writer: &writer, subresource: "eviction", body_kind };
    let eviction = create.mutate(eviction).await?;
    if eviction["metadata"]["name"].as_str().unwrap_or_default() != context.name {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options: DeleteOptions = match eviction.get("deleteOptions").filter(|options| options.is_object()) {
        Some(options) => serde_json::from_value(options.clone())
            .map_err(|error| ApiError::bad_request(format!("deleteOptions: {error}")))?,
        None => DeleteOptions::default(),
    };
    if !options.dry_run() && context.query.dry_run()? {
        options.dry_run = Some(vec!["All".to_owned()]);
    }
    create.validate(&eviction).await?;
    loop {
        let stored = load(context)?;
        let pod = present_value(&context.served, &stored.json, stored.revision).await?;
        let mut budget = None;
        if !is_without_budget(&pod) {
            let mut matching = budgets_of(context, &pod)?;
            if matching.len() > 1 {
                return Err(ApiError::new(500, "", SEVERAL_BUDGETS));
            }
            budget = matching.pop();
        }
        let mut is_unhealthy = false;
        if let Some((key, known)) = &budget {
            is_unhealthy = goes_unhealthy(&pod, known);
            if !is_unhealthy {
                take_from(context, key, options.dry_run()).await?;
            }
        }
        // What was read as pending or not ready must still be that when it goes.
        let holds_for_revision = is_unhealthy || (is_pending(&pod) && !is_leaving(&pod));
        match remove(context, &stored, &options, holds_for_revision).await {
            Err(error) if error.code() == 409 && holds_for_revision && options.revision().is_none() => {
                if let Some((key, _)) = &budget {
                    return Err(still_processed(&key.name));
                }
            }
            result => {
                result?;
                return success(context);
            }
        }
    }
}

/// Marks a pod as disrupted and deletes it, if `of_revision` only in the state it was read in.
async fn remove(
    context: &RequestContext<'_>,
    stored: &StoredObject,
    options: &DeleteOptions,
    of_revision: bool,
) -> Result<(), ApiError> {
    let mut options = options.clone();
    if of_revision && options.revision().is_none() {
        options.set_revision(stored.revision);
    }
    if !options.dry_run() {
        let revision = mark_disrupted(context, &options).await?;
        if options.revision().is_some() {
            options.set_revision(revision);
        }
    }
    delete_object(context.plane, &context.served, &context.key(), &options, None).await.map(drop)
}

/// Says in the status of the pod why it goes; answers its revision.
async fn mark_disrupted(context: &RequestContext<'_>, options: &DeleteOptions) -> Result<u64, ApiError> {
    let served = &*context.served;
    loop {
        let stored = load(context)?;
        let pod = present_value(served, &stored.json, stored.revision).await?;
        check_preconditions(served, &pod, options)?;
        let mut disrupted = pod.clone();
        let condition = json!({
            "type": "DisruptionTarget", "status": "True",
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        });
        set_condition(&mut disrupted, &condition, &timestamp(Timestamp::now()));
        canonicalize(served, &mut disrupted);
        if disrupted == pod {
            return Ok(stored.revision);
        }
        let change = Change::Put(convert_to_stored(served, disrupted).await?);
        match context.plane.write(context.key(), change, Expected::Revision(stored.revision)).await {
            Ok(written) => return Ok(written.revision),
            Err(WriteError::Conflict { .. }) => {}
            Err(WriteError::Missing) => {
                return Err(ApiError::not_found(&served.resource.group_resource(), &context.name));
            }
            Err(error) => return Err(write_error(&error)),
        }
    }
}

fn is_pending(pod: &Value) -> bool {
    pod["status"]["phase"] == "Pending"
}

/// Whether no budget protects a pod, as it is no part of what works.
fn is_without_budget(pod: &Value) -> bool {
    is_pending(pod) || is_leaving(pod)
}

fn is_leaving(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        || pod["metadata"]["deletionTimestamp"].is_string()
}

/// The budgets that cover a pod.
fn budgets_of(context: &RequestContext<'_>, pod: &Value) -> Result<Vec<(ObjectKey, Value)>, ApiError> {
    let scope = Scope::Namespace(budgets(), context.namespace.clone());
    let page = context.plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
    let mut matching = Vec::new();
    for item in page.items {
        let budget: Value = parse_stored(&item.json)?;
        let selector = &budget["spec"]["selector"];
        // An absent selector covers no pod, an empty one all of them, and one that cannot be read none.
        if selector.is_object() && LabelSelector::from_object(selector).is_ok_and(|selector| selector.matches(pod)) {
            matching.push((item.key, budget));
        }
    }
    Ok(matching)
}

fn budgets() -> GroupResource {
    GroupResource { group: "policy".to_owned(), resource: "poddisruptionbudgets".to_owned() }
}

/// Whether a pod that is not ready may go without being counted: nothing that works is disrupted by that.
fn goes_unhealthy(pod: &Value, budget: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let is_ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let is_kept = number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0;
    !is_ready && (budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || is_kept)
}

async fn take_from(context: &RequestContext<'_>, key: &ObjectKey, dry_run: bool) -> Result<(), ApiError> {
    let Some(served) = context.plane.registry().find_stored(&key.resource) else { return Ok(()) };
    let served: &ServedResource = &served;
    let now = timestamp(context.now);
    let mut taken = Ok(());
    let take = |budget: &mut Value| {
        taken = take(budget, &context.name, &now);
        taken.is_ok() && !dry_run
    };
    change_object(context.plane, served, key, WriteScope::Status("status"), MANAGER, take).await?;
    taken
}

/// Counts the eviction of a pod against a budget.
fn take(budget: &mut Value, pod: &str, now: &str) -> Result<(), ApiError> {
    let name = budget["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let status = &budget["status"];
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let forbidden = |why: &str| {
        let resource = GroupResource { group: "policy".to_owned(), resource: "poddisruptionbudget".to_owned() };
        ApiError::forbidden(&resource, &name, why)
    };
    if number("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        return Err(still_processed(&name));
    }
    let allowed = number("disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if status["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MAXIMUM_DISRUPTED_PODS) {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if allowed == 0 {
        return Err(violation(0, &exhausted(&name, status)));
    }
    let observed = number("observedGeneration");
    let status = &mut budget["status"];
    status["disruptionsAllowed"] = (allowed - 1).into();
    status["disruptedPods"][pod] = now.into();
    if allowed == 1 {
        forbid_disruption(status, observed, now);
    }
    Ok(())
}

/// Why a budget allows no eviction.
fn exhausted(name: &str, status: &Value) -> String {
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let (desired, current) = (number("desiredHealthy"), number("currentHealthy"));
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let condition = conditions.find(|condition| condition["type"] == DISRUPTION_ALLOWED);
    let told = condition.filter(|condition| condition["status"] == "False").and_then(|condition| {
        let message = condition["message"].as_str().filter(|message| !message.is_empty())?;
        Some((condition["reason"].as_str().unwrap_or_default(), message))
    });
    match told {
        Some(("SyncFailed", message)) => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        ),
        _ if current <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
        }
        Some((reason, message)) => {
            format!("The disruption budget {name} does not allow evicting pods currently ({reason}): {message}")
        }
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

/// Says in a budget's conditions that it allows no further eviction.
fn forbid_disruption(status: &mut Value, observed_generation: i64, now: &str) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    let known = conditions.iter_mut().find(|condition| condition["type"] == DISRUPTION_ALLOWED);
    let since =
        known.as_ref().filter(|known| known["status"] == "False").map(|known| known["lastTransitionTime"].clone());
    let condition = json!({
        "type": DISRUPTION_ALLOWED,
        "status": "False",
        "observedGeneration": observed_generation,
        "lastTransitionTime": since.unwrap_or_else(|| now.into()),
        "reason": "InsufficientPods",
        "message": "",
    });
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

fn violation(retry_after_seconds: u32, why: &str) -> ApiError {
    ApiError::too_many_requests(VIOLATION, retry_after_seconds).with_cause("DisruptionBudget", why, "")
}

fn still_processed(budget: &str) -> ApiError {
    violation(10, &format!("The disruption budget {budget} is still being processed by the server."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_says_why_it_allows_nothing() {
        let status = |current: i64, reason: &str, message: &str| {
            json!({"desiredHealthy": 2, "currentHealthy": current, "conditions": [
                {"type": "DisruptionAllowed", "status": "False", "reason": reason, "message": message}]})
        };
        let texts = [status(0, "SyncFailed", "why"), status(2, "Other", "why"), status(3, "Other", "why")]
            .map(|status| exhausted("b", &status));
        assert_eq!(
            texts,
            [
                "The disruption budget b does not allow evicting pods currently because it failed sync: why",
                "The disruption budget b needs 2 healthy pods and has 2 currently",
                "The disruption budget b does not allow evicting pods currently (Other): why",
            ]
        );
        assert_eq!(
            exhausted("b", &status(3, "InsufficientPods", "")),
            "The disruption budget b does not allow evicting pods currently"
        );
    }
}
