//! Binding of pods to nodes, which is what a scheduler does: through the pod, or through the collection of bindings.
//!
//! It is no update like others (`BindingREST` of Kubernetes): nobody owns what it changes, and the generation stays.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use kogge_machinery::{
    resource::GroupResource,
    status_error::{ApiError, FieldError},
};
use serde_json::{Value, json};

use super::{
    RequestContext,
    admission::{UnstoredCreate, kind},
    create::place,
    object_completion::canonicalize_stored,
    object_decoding::{BodyType, read_body},
    object_write::{ATTEMPTS, Writer, modified, timestamp, write_error},
    pod_subresources::{set_condition, success},
    presentation::{convert_to_stored, present_value},
    strategy::made,
    topology_labels,
};
use crate::{
    registry::ServedResource,
    store::{Change, Expected, ObjectKey, WriteError},
};

const BINDING: BodyType = BodyType { api_version: "v1", kind: "Binding", go_type: Some("core.Binding") };

/// Answers a create through the pod.
pub(super) async fn create(context: &mut RequestContext<'_>, request_body: Body) -> Result<Response<Body>, ApiError> {
    let mut binding = read_binding(context, request_body).await?;
    if binding["target"]["kind"] == "Node" {
        let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
        topology_labels::copy(context.plane, &node, &mut binding)?;
    }
    let pods = context.served.clone();
    bind(context, &pods, "binding", binding).await
}

/// Answers a create in the collection, where the body names the pod. A uid is no precondition there.
pub(super) async fn create_in_collection(
    context: &mut RequestContext<'_>,
    request_body: Body,
) -> Result<Response<Body>, ApiError> {
    let mut binding = read_binding(context, request_body).await?;
    if let Some(metadata) = binding["metadata"].as_object_mut() {
        metadata.remove("uid");
    }
    text(&binding["metadata"]["name"]).clone_into(&mut context.name);
    let pods = context.plane.registry().find("", "v1", "pods").ok_or_else(ApiError::unknown_path)?;
    bind(context, &pods, "", binding).await
}

async fn read_binding(context: &mut RequestContext<'_>, request_body: Body) -> Result<Value, ApiError> {
    context.query.check_write_options()?;
    let mut binding = read_body(context, BINDING, request_body).await?;
    place(&context.served, &context.namespace, &mut binding)?;
    Ok(binding)
}

async fn bind(
    context: &RequestContext<'_>,
    pods: &Arc<ServedResource>,
    subresource: &str,
    binding: Value,
) -> Result<Response<Body>, ApiError> {
    let writer = Writer::of(context)?;
    let create = UnstoredCreate { context, writer: &writer, subresource, body_kind: kind("", "v1", "Binding") };
    let binding = create.mutate(binding).await?;
    if binding["metadata"]["name"].as_str().unwrap_or_default() != context.name {
        return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
    }
    check_target(&binding["target"])?;
    create.validate(&binding).await?;
    if context.name.is_empty() {
        return Err(ApiError::bad_request("Name parameter required."));
    }
    let resource = pods.resource.group_resource();
    let key = ObjectKey {
        resource: pods.stored_as.clone(),
        namespace: context.namespace.clone(),
        name: context.name.clone(),
    };
    let not_found = || ApiError::not_found(&resource, &context.name);
    let (now, dry_run) = (timestamp(context.now), context.query.dry_run()?);
    for _ in 0..ATTEMPTS {
        let stored = context.plane.get(&key)?.ok_or_else(not_found)?;
        let mut pod = present_value(pods, &stored.json, stored.revision).await?;
        check_preconditions(&resource, &binding["metadata"], &pod["metadata"])?;
        assign(&mut pod, &binding, &now)?;
        if dry_run {
            return success(context);
        }
        canonicalize_stored(pods, &mut pod);
        let change = Change::Put(convert_to_stored(pods, pod).await?);
        match context.plane.write(key.clone(), change, Expected::Revision(stored.revision)).await {
            Ok(_) => return success(context),
            Err(WriteError::Conflict { .. }) => {}
            Err(WriteError::Missing) => return Err(not_found()),
            Err(error) => return Err(write_error(&error)),
        }
    }
    Err(modified(&resource, &context.name))
}

/// 500 for what a pod cannot be bound to: the real server has no kind of error for it.
fn check_target(target: &Value) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    if !matches!(text(&target["kind"]), "" | "Node") {
        errors.push(FieldError::not_supported("target.kind", &target["kind"], &["Node", "<empty>"]));
    }
    if text(&target["name"]).is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match told.as_slice() {
        [] => Ok(()),
        [only] => Err(ApiError::new(500, "", only.clone())),
        several => Err(ApiError::new(500, "", format!("[{}]", several.join(", ")))),
    }
}

/// 409 where the pod is another one, or at another revision, than the binding names.
fn check_preconditions(resource: &GroupResource, wanted: &Value, found: &Value) -> Result<(), ApiError> {
    for (field, label) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let (wanted, found_value) = (text(&wanted[field]), text(&found[field]));
        if !wanted.is_empty() && wanted != found_value {
            let (namespace, name) = (text(&found["namespace"]), text(&found["name"]));
            let message = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/pods/{namespace}/{name}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: {label} in precondition: {wanted}, {label} in object meta: \
                 {found_value}"
            );
            return Err(ApiError::conflict(resource, name, &message));
        }
    }
    Ok(())
}

/// Puts a pod on the node, with what the binding says of it.
///
/// # Errors
/// 409 for a pod that is on one already, or is not to get there.
fn assign(pod: &mut Value, binding: &Value, now: &str) -> Result<(), ApiError> {
    let name = text(&pod["metadata"]["name"]).to_owned();
    let node = text(&pod["spec"]["nodeName"]);
    let gates = pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    let problem = if pod["metadata"]["deletionTimestamp"].is_string() {
        Some(format!("pod {name} is being deleted, cannot be assigned to a host"))
    } else if !node.is_empty() {
        Some(format!("pod {name} is already assigned to node {node:?}"))
    } else if gates {
        Some(format!("pod {name} has non-empty .spec.schedulingGates"))
    } else {
        None
    };
    if let Some(problem) = problem {
        let bindings = GroupResource { group: String::new(), resource: "pods/binding".to_owned() };
        return Err(ApiError::conflict(&bindings, &name, &problem));
    }
    if let Some(spec) = made(pod, "spec") {
        spec.insert("nodeName".to_owned(), binding["target"]["name"].clone());
    }
    for field in ["annotations", "labels"] {
        let Some(given) = binding["metadata"][field].as_object().filter(|given| !given.is_empty()) else { continue };
        if let Some(own) = made(&mut pod["metadata"], field) {
            own.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    if let Some(status) = made(pod, "status") {
        status.remove("nominatedNodeName");
    }
    set_condition(pod, &json!({"type": "PodScheduled", "status": "True"}), now);
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
