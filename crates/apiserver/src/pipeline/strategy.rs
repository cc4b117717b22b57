//! What the real server decides by code and state when built-in kinds are written: first status, allocated addresses
//! and ports, generated selectors (the `PrepareForCreate` and `PrepareForUpdate` of Kubernetes' `pkg/registry`).
//!
//! Fixed defaults are not here, they are in [`crate::builtin::defaults`]. Objects reach this module before they are validated,
//! so nothing may be taken for granted about their shape.

use kogge_machinery::{pod_resources, resource::ResourceType, status_error::ApiError};
use serde_json::{Map, Value, json};

use super::{
    claim_sources, disabled_features, object_write::WriteScope, pod_subresources::set_condition, query::parse_integer,
    service_allocation,
};
use crate::{builtin, plane::Plane};

/// Completes a new object of a built-in kind.
///
/// # Errors
/// If the plane cannot be read, or has no free address or port.
pub(crate) fn prepare_create(
    plane: &Plane,
    resource: &ResourceType,
    scope: WriteScope,
    object: &mut Value,
    now: &str,
) -> Result<(), ApiError> {
    if let Some(status) = builtin::defaults::initial_status(resource) {
        set(object, "status", status);
    }
    disabled_features::drop_fields(resource, None, object);
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => {
            if let Some(spec) = made(object, "spec") {
                let finalizers = spec.entry("finalizers").or_insert(Value::Null);
                match finalizers.as_array_mut() {
                    Some(finalizers) if finalizers.iter().any(|known| known == "kubernetes") => {}
                    Some(finalizers) => finalizers.push("kubernetes".into()),
                    None => *finalizers = json!(["kubernetes"]),
                }
            }
        }
        ("", "serviceaccounts") => only_names_of_secrets(object),
        ("", "persistentvolumeclaims") => claim_sources::normalize(None, object),
        ("", "pods") => {
            let class = pod_resources::quality_of_service(object);
            if let Some(status) = made(object, "status") {
                status.insert("qosClass".to_owned(), class.into());
            }
            if object["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
                let condition = json!({
                    "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                });
                set_condition(object, &condition, now);
            }
        }
        // Whoever creates one by its status gets no addresses: that store of the real server has no hook for it.
        ("", "services") if scope == WriteScope::Main => {
            service_allocation::allocate(plane, None, object)?;
            service_allocation::forget_unused(object);
        }
        ("", "persistentvolumes") => {
            if let Some(status) = made(object, "status") {
                status.insert("lastPhaseTransitionTime".to_owned(), now.into());
            }
        }
        ("apps", "daemonsets") => set_template_generation(object, template_generation(object).max(1)),
        ("batch", "jobs") => {
            // Labels of the template that became the job's own as a default are one map with them in the real server.
            let template = &object["spec"]["template"]["metadata"]["labels"];
            let shared = template.is_object() && object["metadata"]["labels"] == *template;
            generate_selector(object);
            if shared {
                object["metadata"]["labels"] = object["spec"]["template"]["metadata"]["labels"].clone();
            }
        }
        _ => {}
    }
    Ok(())
}

/// An account knows its Secrets by name, whatever else a reference may say.
fn only_names_of_secrets(account: &mut Value) {
    for secret in account.get_mut("secrets").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(reference) = secret.as_object_mut() {
            reference.retain(|field, _| field == "name");
        }
    }
}

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const ROLLBACK_REVISION: &str = "deprecated.deployment.rollback.to";

/// Why annotations that are numbers in the real server's own type cannot be read, if they cannot.
pub(crate) fn annotation_problem(resource: &ResourceType, object: &Value) -> Option<String> {
    let number = |annotation: &str| {
        object["metadata"]["annotations"][annotation].as_str().map(|text| (text, parse_integer(text)))
    };
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("apps", "daemonsets") => number(TEMPLATE_GENERATION)?.1.err(),
        ("apps", "deployments") => match number(ROLLBACK_REVISION)? {
            (text, Err(why)) if !text.is_empty() => {
                Some(format!("failed to parse annotation[{ROLLBACK_REVISION}]={text} as int64: {why}"))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The template generation a DaemonSet gives itself. In the real server's own type it is a number, 0 unless it is given, and
/// who writes it owns the annotation it is published as, whatever comes of it then.
pub(crate) fn given_template_generation(resource: &ResourceType, object: &Value) -> Option<i64> {
    let is_daemon_set = (resource.group.as_str(), resource.plural.as_str()) == ("apps", "daemonsets");
    is_daemon_set.then(|| template_generation(object))
}

fn template_generation(object: &Value) -> i64 {
    let annotation = object["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
    annotation.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Publishes the template generation of a DaemonSet.
pub(crate) fn set_template_generation(object: &mut Value, generation: i64) {
    if let Some(metadata) = made(object, "metadata") {
        let annotations = metadata.entry("annotations").or_insert(Value::Null);
        if annotations.is_null() {
            *annotations = json!({});
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(TEMPLATE_GENERATION.to_owned(), generation.to_string().into());
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
    now: &str,
) -> Result<(), ApiError> {
    disabled_features::drop_fields(resource, Some(old), object);
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "serviceaccounts") => only_names_of_secrets(object),
        ("", "persistentvolumeclaims") => claim_sources::normalize(Some(old), object),
        ("", "services") => {
            service_allocation::keep(&old["spec"], object);
            service_allocation::allocate(plane, Some(old), object)?;
            service_allocation::forget_unused(object);
            service_allocation::forget_balancer(old, object);
        }
        ("", "persistentvolumes") => {
            let (before, after) = (&old["status"], &object["status"]);
            let moved = before["phase"] != after["phase"];
            if !moved && after["lastPhaseTransitionTime"].is_null() && !before["lastPhaseTransitionTime"].is_null() {
                object["status"]["lastPhaseTransitionTime"] = before["lastPhaseTransitionTime"].clone();
            } else if moved
                && (after["lastPhaseTransitionTime"].is_null()
                    || before["lastPhaseTransitionTime"] == after["lastPhaseTransitionTime"])
            {
                object["status"]["lastPhaseTransitionTime"] = now.into();
            }
        }
        ("", "pods") => keep_of_status(&old["status"], object),
        ("scheduling.k8s.io", "priorityclasses") => {
            // It stays what it was when the class was made.
            object["metadata"]["generation"] = old["metadata"]["generation"].clone();
        }
        ("apps", "daemonsets") => {
            let known = template_generation(old);
            let changed = old["spec"]["template"] != object["spec"]["template"];
            set_template_generation(object, known + i64::from(changed));
        }
        _ => {}
    }
    Ok(())
}

/// What clients cannot take from the status of a pod by leaving it out.
fn keep_of_status(old: &Value, pod: &mut Value) {
    let Some(status) = made(pod, "status") else { return };
    for field in ["qosClass", "observedGeneration"] {
        let is_empty = match status.get(field) {
            None | Some(Value::Null) => true,
            Some(value) => value == "" || value == 0,
        };
        if is_empty && !old[field].is_null() {
            status.insert(field.to_owned(), old[field].clone());
        }
    }
    let known = old["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(before) = known.iter().find(|known| known["type"] == condition["type"]) else { continue };
        let generation = &before["observedGeneration"];
        if let Some(condition) = condition.as_object_mut()
            && !generation.is_null()
            && condition.get("observedGeneration").is_none_or(|known| known.is_null() || known == 0)
        {
            condition.insert("observedGeneration".to_owned(), generation.clone());
        }
    }
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
