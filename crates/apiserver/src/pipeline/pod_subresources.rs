//! Subresources of pods: log and eviction here, binding in its own module.

use axum::body::Body;
use http::{Response, StatusCode, header};
use kogge_machinery::{resource::GroupResource, selector::LabelSelector, status_error::ApiError};
use kube_core::response::StatusCause;
use serde_json::{Value, json};

use super::{
    RequestContext,
    admission::{SubresourceCreate, kind},
    answer::{Document, document_response},
    delete::{DeleteOptions, delete_object},
    get::load,
    object_decoding::{BodyType, read_body},
    object_write::{Writer, timestamp, write_error},
    pod_binding,
    presentation::present_value,
    response,
};
use crate::{
    audit::Succeeded,
    plane::{list_error, parse_stored},
    server::LogRequest,
    store::{Change, Expected, ObjectKey, Scope, WriteError},
};

/// Answers a request for a subresource of a pod.
pub(crate) async fn handle(
    context: &mut RequestContext<'_>,
    subresource: &str,
    verb: &'static str,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    match (subresource, verb) {
        ("log", "get" | "watch") => log(context).await,
        ("binding", "create") => pod_binding::create(context, body).await,
        ("eviction", "create") => evict(context, body).await,
        ("exec" | "attach" | "portforward", _) => Err(out_of_reach(context, subresource).await),
        _ => Err(ApiError::unknown_path()),
    }
}

/// Why nobody gets at what runs in a pod.
async fn out_of_reach(context: &RequestContext<'_>, subresource: &str) -> ApiError {
    let stored = match load(context) {
        Ok(stored) => stored,
        Err(error) => return error,
    };
    let pod = match present_value(&context.served, &stored.json, stored.revision).await {
        Ok(pod) => pod,
        Err(error) => return error,
    };
    if subresource != "portforward"
        && let Err(error) = container_of(context, &pod)
    {
        return error;
    }
    ApiError::bad_request(if has_host(&pod) {
        format!("pods on this server run nowhere, so {subresource} is not supported")
    } else {
        format!("pod {} does not have a host assigned", context.name)
    })
}

fn has_host(pod: &Value) -> bool {
    pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty())
}

/// The container a request is about: the one it names, or the only one there is.
fn container_of<'p>(context: &RequestContext<'_>, pod: &'p Value) -> Result<&'p str, ApiError> {
    let names = |list: &str| {
        pod["spec"][list].as_array().into_iter().flatten().filter_map(|container| container["name"].as_str())
    };
    let all: Vec<&str> = ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(names).collect();
    if let Some(wanted) = context.query.get("container").filter(|container| !container.is_empty()) {
        return all
            .into_iter()
            .find(|name| *name == wanted)
            .ok_or_else(|| ApiError::bad_request(format!("container {wanted} is not valid for pod {}", context.name)));
    }
    match names("containers").collect::<Vec<&str>>().as_slice() {
        [only] => Ok(only),
        [] => Ok(""),
        _ => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            context.name,
            all.join(" ")
        ))),
    }
}

/// The text of the hook in the server's options, or of nothing. Of a pod without a node there is none.
async fn log(context: &RequestContext<'_>) -> Result<Response<Body>, ApiError> {
    let stored = load(context)?;
    let pod = present_value(&context.served, &stored.json, stored.revision).await?;
    let container = container_of(context, &pod)?;
    if !has_host(&pod) {
        let mut nothing = response(StatusCode::NO_CONTENT, "", Body::empty());
        nothing.headers_mut().remove(header::CONTENT_TYPE);
        return Ok(nothing);
    }
    let text = match &context.plane.server.options().pod_logs {
        Some(hook) => hook(&LogRequest { plane: context.plane.name(), pod: &pod, container }),
        None => String::new(),
    };
    let wanted = context.query.number("tailLines")?.and_then(|lines| usize::try_from(lines).ok());
    let text = match wanted {
        Some(wanted) => {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(wanted)..].iter().flat_map(|line| [*line, "\n"]).collect()
        }
        None => text,
    };
    Ok(response(StatusCode::OK, "text/plain", text))
}

const EVICTION: BodyType = BodyType { api_version: "policy/v1", kind: "Eviction", go_type: "policy.Eviction" };

/// The answer to a create that leaves nothing to show.
pub(super) fn success(context: &RequestContext<'_>) -> Result<Response<Body>, ApiError> {
    let status = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success", "code": 201});
    let mut response = document_response(&context.answer, StatusCode::CREATED, Document::Value(status))?;
    response.extensions_mut().insert(Succeeded(Value::Null));
    Ok(response)
}

/// Brings a condition of a pod up to date. `condition` has everything but its times.
pub(super) fn set_condition(pod: &mut Value, condition: &Value, now: &str) {
    let conditions = &mut pod["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    let known = conditions.iter_mut().find(|known| known["type"] == condition["type"]);
    let since = known
        .as_ref()
        .filter(|known| known["status"] == condition["status"])
        .map(|known| known["lastTransitionTime"].clone());
    let mut condition = condition.clone();
    condition["lastProbeTime"] = Value::Null;
    condition["lastTransitionTime"] = since.unwrap_or_else(|| now.into());
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// Deletes a pod if its disruption budgets allow it, and counts it against them.
async fn evict(context: &mut RequestContext<'_>, request_body: Body) -> Result<Response<Body>, ApiError> {
    let eviction = read_body(context, EVICTION, request_body).await?;
    if eviction["metadata"]["name"].as_str().is_some_and(|name| !name.is_empty() && name != context.name) {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let writer = Writer::of(context)?;
    let body_kind = kind("policy", "v1", "Eviction");
    let create = SubresourceCreate { context, writer: &writer, subresource: "eviction", body_kind };
    let eviction = create.mutate(eviction).await?;
    create.validate(&eviction).await?;
    let stored = load(context)?;
    let pod = present_value(&context.served, &stored.json, stored.revision).await?;
    let options: DeleteOptions = match eviction.get("deleteOptions").filter(|options| options.is_object()) {
        Some(options) => serde_json::from_value(options.clone())
            .map_err(|error| ApiError::bad_request(format!("deleteOptions: {error}")))?,
        None => DeleteOptions::default(),
    };
    let dry_run = context.query.dry_run()?;
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let is_leaving = pod["metadata"]["deletionTimestamp"].is_string();
    if !ended && !is_leaving {
        take_from_budget(context, &pod, dry_run).await?;
    }
    if !dry_run {
        delete_object(context.plane, &context.served, &context.key(), &options, None).await?;
    }
    success(context)
}

async fn take_from_budget(context: &RequestContext<'_>, pod: &Value, dry_run: bool) -> Result<(), ApiError> {
    let budgets = GroupResource { group: "policy".to_owned(), resource: "poddisruptionbudgets".to_owned() };
    let store = context.plane.store();
    let scope = Scope::Namespace(budgets, context.namespace.clone());
    let page = store.list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
    let mut matching: Vec<ObjectKey> = Vec::new();
    for item in page.items {
        let budget: Value = parse_stored(&item.json)?;
        // An absent selector covers no pod, an empty one all of them.
        if budget["spec"]["selector"].is_object()
            && LabelSelector::from_object(&budget["spec"]["selector"])?.matches(pod)
        {
            matching.push(item.key);
        }
    }
    match matching.as_slice() {
        [] => Ok(()),
        [key] => take_from(context, key, dry_run).await,
        _ => Err(ApiError::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )),
    }
}

async fn take_from(context: &RequestContext<'_>, key: &ObjectKey, dry_run: bool) -> Result<(), ApiError> {
    loop {
        let Some(stored) = context.plane.get(key)? else { return Ok(()) };
        let mut budget: Value = parse_stored(&stored.json)?;
        let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
        let allowed = number("disruptionsAllowed");
        if allowed <= 0 {
            let mut error =
                ApiError::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0);
            if let Some(details) = &mut error.0.details {
                details.causes.push(StatusCause {
                    reason: "DisruptionBudget".to_owned(),
                    message: format!(
                        "The disruption budget {} needs {} healthy pods and has {} currently",
                        key.name,
                        number("desiredHealthy"),
                        number("currentHealthy")
                    ),
                    field: String::new(),
                });
            }
            return Err(error);
        }
        if dry_run {
            return Ok(());
        }
        budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
        budget["status"]["disruptedPods"][&context.name] = timestamp(context.now).into();
        match context.plane.write(key.clone(), Change::Put(budget), Expected::Revision(stored.revision)).await {
            Ok(_) => return Ok(()),
            Err(WriteError::Conflict { .. } | WriteError::Missing) => {}
            Err(error) => return Err(write_error(&error)),
        }
    }
}
