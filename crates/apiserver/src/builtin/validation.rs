//! What the real server refuses of built-in kinds beyond their types: the parts of Kubernetes' `pkg/apis/*/validation`
//! that users meet.
//!
//! Not every rule of the real server is here; an object that passes may still be one it would refuse. What is refused
//! here, it refuses too, in the same words.

use kogge_machinery::{
    admission::{validate_policy, validate_policy_binding, validate_webhook_configuration},
    resource::ResourceType,
    selector::LabelSelector,
    status_error::{FieldError, FieldErrorKind},
};
use serde_json::{Value, json};

use crate::certificate_signing;

mod configuration;
mod pods;
mod services;

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
const IMMUTABLE: &str = "field is immutable";

/// The wrong fields of an object, completed with defaults, of a built-in kind; `old` is what an update changes.
pub fn validate(resource: &ResourceType, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "configmaps" | "secrets") => configuration::validate(object, old, &mut errors),
        ("", "services") => services::validate(object, old, &mut errors),
        ("", "pods") => {
            pods::validate_spec(object, "spec", &mut errors);
            if let Some(old) = old {
                pods::validate_update(object, old, &mut errors);
            }
        }
        ("", "events") => {
            let (namespace, named) = (text(object, "/metadata/namespace"), text(object, "/involvedObject/namespace"));
            let expected = if named.is_empty() { "default" } else { named };
            if namespace != expected {
                let detail = "does not match event.namespace";
                errors.push(FieldError::invalid("involvedObject.namespace", &named.into(), detail));
            }
        }
        ("", "persistentvolumeclaims") => claim(object, old, &mut errors),
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            workload(&resource.kind, object, old, &mut errors);
        }
        ("batch", "jobs") => {
            job_template(object, "spec.template", &mut errors);
            if old.is_some_and(|old| old.pointer("/spec/template/spec") != object.pointer("/spec/template/spec")) {
                let template = object.pointer("/spec/template").unwrap_or(&Value::Null);
                errors.push(FieldError::invalid("spec.template", template, IMMUTABLE));
            }
        }
        ("batch", "cronjobs") => {
            if text(object, "/spec/schedule").is_empty() {
                errors.push(FieldError::required("spec.schedule", ""));
            }
            job_template(object, "spec.jobTemplate.spec.template", &mut errors);
        }
        (certificate_signing::GROUP, certificate_signing::RESOURCE) => {
            errors.extend(certificate_signing::validation::validate(object, old));
        }
        (kogge_machinery::rbac::GROUP, plural) => {
            errors.extend(kogge_machinery::rbac::validation::validate(plural, object, old));
        }
        ("storage.k8s.io", "storageclasses") => storage_class(object, old, &mut errors),
        ("autoscaling", "horizontalpodautoscalers") => autoscaler(object, &mut errors),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            errors.extend(validate_webhook_configuration(object, old));
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => errors.extend(validate_policy(object, old)),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            errors.extend(validate_policy_binding(object));
        }
        _ => {}
    }
    errors
}

fn text<'o>(object: &'o Value, pointer: &str) -> &'o str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'o>(object: &'o Value, pointer: &str) -> &'o [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The JSON pointer of a dotted field path.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

fn not_negative(object: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(value) = object.pointer(&pointer(path)).filter(|value| value.as_i64().is_some_and(|number| number < 0))
    {
        errors.push(FieldError::invalid(path, value, NOT_NEGATIVE));
    }
}

/// Kinds that own pods by a selector that may not change and must match what they make.
fn workload(kind: &str, object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    not_negative(object, "spec.replicas", errors);
    let selector = object.pointer("/spec/selector").filter(|selector| !selector.is_null());
    let empty = |selector: &Value| {
        selector.pointer("/matchLabels").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty)
            && list(selector, "/matchExpressions").is_empty()
    };
    match selector {
        None => errors.push(FieldError::required("spec.selector", "")),
        Some(selector) if empty(selector) => {
            let detail = format!("empty selector is invalid for {}", kind.to_lowercase());
            errors.push(FieldError::invalid("spec.selector", selector, &detail));
        }
        Some(selector) => match LabelSelector::from_object(selector) {
            Err(error) => {
                errors.push(FieldError::invalid("spec.selector", selector, &error.status().message));
            }
            Ok(parsed) => {
                let labels = object.pointer("/spec/template/metadata/labels").unwrap_or(&Value::Null);
                if !parsed.matches_labels(labels.as_object()) {
                    let detail = "`selector` does not match template `labels`";
                    let shown = if labels.is_null() { json!({}) } else { labels.clone() };
                    errors.push(FieldError::invalid("spec.template.metadata.labels", &shown, detail));
                }
            }
        },
    }
    pods::validate_spec(object, "spec.template.spec", errors);
    let policy = object.pointer("/spec/template/spec/restartPolicy").unwrap_or(&Value::Null);
    if policy.as_str().is_some_and(|policy| policy != "Always") {
        errors.push(FieldError::not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    let Some(old) = old else { return };
    if kind == "StatefulSet" {
        stateful_set_update(object, old, errors);
    } else if old.pointer("/spec/selector") != object.pointer("/spec/selector") {
        let shown = selector.cloned().unwrap_or_default();
        errors.push(FieldError::invalid("spec.selector", &shown, IMMUTABLE));
    }
}

fn stateful_set_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    const MUTABLE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Value::Object(members) = &mut spec {
            members.retain(|name, _| !MUTABLE.contains(&name.as_str()));
        }
        spec
    };
    if fixed(object) != fixed(old) {
        errors.push(FieldError::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
}

fn job_template(object: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let spec = format!("{path}.spec");
    pods::validate_spec(object, &spec, errors);
    if matches!(text(object, &pointer(&format!("{spec}.restartPolicy"))), "Always" | "") {
        errors.push(FieldError::required(format!("{spec}.restartPolicy"), "valid values: \"OnFailure\", \"Never\""));
    }
}

fn claim(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if list(object, "/spec/accessModes").is_empty() {
        errors.push(FieldError::required("spec.accessModes", "at least 1 access mode is required"));
    }
    if object.pointer("/spec/resources/requests/storage").is_none() {
        errors.push(FieldError::required("spec.resources[storage]", ""));
    }
    let Some(old) = old else { return };
    let fixed = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Value::Object(members) = &mut spec {
            // Filled in when the claim is bound.
            for name in ["resources", "volumeName", "volumeAttributesClassName"] {
                members.remove(name);
            }
            if text(old, "/spec/storageClassName").is_empty() {
                members.remove("storageClassName");
            }
        }
        spec
    };
    if fixed(object) != fixed(old) {
        errors.push(FieldError::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
}

fn storage_class(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if text(object, "/provisioner").is_empty() {
        errors.push(FieldError::required("provisioner", ""));
    }
    let Some(old) = old else { return };
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if old.get(field) != object.get(field) {
            errors.push(FieldError::forbidden(field, &format!("updates to {field} are forbidden.")));
        }
    }
    if old.get("volumeBindingMode") != object.get("volumeBindingMode") {
        errors.push(FieldError::invalid("volumeBindingMode", &object["volumeBindingMode"], IMMUTABLE));
    }
}

fn autoscaler(object: &Value, errors: &mut Vec<FieldError>) {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let (least, most) = (number("/spec/minReplicas"), number("/spec/maxReplicas"));
    if least < 1 {
        errors.push(FieldError::invalid("spec.minReplicas", &json!(least), "must be greater than or equal to 1"));
    }
    if most < 1 {
        errors.push(FieldError::invalid("spec.maxReplicas", &json!(most), "must be greater than 0"));
    }
    if most < least {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid("spec.maxReplicas", &json!(most), detail));
    }
    for field in ["kind", "name"] {
        if text(object, &format!("/spec/scaleTargetRef/{field}")).is_empty() {
            errors.push(FieldError::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
}

fn not_found(field: String, value: &Value) -> FieldError {
    FieldError::with_value(FieldErrorKind::NotFound, field, value, "")
}

#[cfg(test)]
mod tests;
