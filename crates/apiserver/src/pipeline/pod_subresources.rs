//! Subresources of pods: log here, binding and eviction in their own modules.

use axum::body::Body;
use http::{Response, StatusCode, header};
use kogge_machinery::status_error::ApiError;
use serde_json::{Value, json};

use super::{
    RequestContext,
    answer::{Document, document_response},
    connect::{container_of, has_host},
    eviction,
    get::load,
    pod_binding,
    presentation::present_value,
    response,
};
use crate::{audit::Succeeded, server::LogRequest};

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
        ("eviction", "create") => eviction::evict(context, body).await,
        _ => Err(ApiError::unknown_path()),
    }
}

/// The text of the hook in the server's options, or of nothing. Of a pod without a node there is none.
async fn log(context: &RequestContext<'_>) -> Result<Response<Body>, ApiError> {
    let stored = load(context)?;
    let pod = present_value(&context.served, &stored.json, stored.revision).await?;
    let container = container_of(&pod, context.query.get("container").unwrap_or_default())?;
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
