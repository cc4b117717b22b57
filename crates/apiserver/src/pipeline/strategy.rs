//! What the real server decides by code and state when built-in kinds are written: first status, allocated addresses
//! and ports, generated selectors (the `PrepareForCreate` and `PrepareForUpdate` of Kubernetes' `pkg/registry`).
//!
//! Fixed defaults are not here, they are in [`crate::builtin::defaults`]. Objects reach this module before they are validated,
//! so nothing may be taken for granted about their shape.

use kogge_machinery::{resource::ResourceType, status_error::ApiError};
use serde_json::{Map, Value, json};

use super::service_allocation;
use crate::{builtin, plane::Plane};

/// Completes a new object of a built-in kind.
///
/// # Errors
/// If the plane cannot be read, or has no free address or port.
pub(crate) fn prepare_create(plane: &Plane, resource: &ResourceType, object: &mut Value) -> Result<(), ApiError> {
    if let Some(status) = builtin::defaults::initial_status(resource) {
        set(object, "status", status);
    }
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => {
            if let Some(spec) = made(object, "spec") {
                spec.insert("finalizers".to_owned(), json!(["kubernetes"]));
            }
        }
        ("", "pods") => {
            admit_pod(object);
            let class = quality_of_service(object);
            if let Some(status) = made(object, "status") {
                status.insert("qosClass".to_owned(), class.into());
            }
        }
        ("", "services") => service_allocation::allocate(plane, None, object)?,
        ("batch", "jobs") => generate_selector(object),
        _ => {}
    }
    Ok(())
}

/// What the real server's default admission plugins give a pod: its priority, and tolerations for nodes that are away for
/// five minutes.
fn admit_pod(object: &mut Value) {
    let Some(spec) = made(object, "spec") else { return };
    if spec.get("priorityClassName").is_none_or(|name| name.is_null() || name == "") {
        spec.entry("priority").or_insert_with(|| 0.into());
        spec.entry("preemptionPolicy").or_insert_with(|| "PreemptLowerPriority".into());
    }
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(tolerations) = tolerations.as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().any(|toleration| {
            let is = |field: &str, wanted: &str| {
                toleration[field].as_str().is_none_or(|text| text.is_empty() || text == wanted)
            };
            is("key", key) && is("effect", "NoExecute")
        });
        if !tolerated {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

/// Completes a changed object of a built-in kind: what was allocated stays where the change leaves it out.
///
/// # Errors
/// As [`prepare_create`].
pub(crate) fn prepare_update(
    plane: &Plane,
    resource: &ResourceType,
    old: &Value,
    object: &mut Value,
) -> Result<(), ApiError> {
    if (resource.group.as_str(), resource.plural.as_str()) == ("", "services") {
        service_allocation::keep(&old["spec"], object);
        service_allocation::allocate(plane, Some(old), object)?;
    }
    Ok(())
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// The object in a field, made where absent; none where something else is there.
pub(super) fn made<'o>(object: &'o mut Value, field: &str) -> Option<&'o mut Map<String, Value>> {
    let member = object.as_object_mut()?.entry(field).or_insert(Value::Null);
    if member.is_null() {
        *member = Value::Object(Map::new());
    }
    member.as_object_mut()
}

/// `status.qosClass` by requests and limits of processor and memory (`pkg/apis/core/helper/qos`).
fn quality_of_service(pod: &Value) -> &'static str {
    let containers = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let resources = &container["resources"];
        for name in ["cpu", "memory"] {
            let (request, limit) = (&resources["requests"][name], &resources["limits"][name]);
            any |= !request.is_null() || !limit.is_null();
            guaranteed &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A job selects its pods by its own uid unless it brings a selector.
fn generate_selector(job: &mut Value) {
    if job["spec"]["manualSelector"] == true || !job["spec"]["selector"].is_null() {
        return;
    }
    let (uid, name) = (job["metadata"]["uid"].clone(), job["metadata"]["name"].clone());
    let Some(spec) = made(job, "spec") else { return };
    spec.insert("selector".to_owned(), json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    let Some(template) = spec.get_mut("template") else { return };
    if let Some(metadata) = made(template, "metadata") {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if labels.is_null() {
            *labels = json!({});
        }
        if let Some(labels) = labels.as_object_mut() {
            for (label, value) in [
                ("batch.kubernetes.io/controller-uid", &uid),
                ("batch.kubernetes.io/job-name", &name),
                ("controller-uid", &uid),
                ("job-name", &name),
            ] {
                labels.insert(label.to_owned(), value.clone());
            }
        }
    }
}
