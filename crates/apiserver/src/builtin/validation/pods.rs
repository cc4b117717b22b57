//! Pod specs, alone and in templates.

use std::collections::BTreeSet;

use kogge_machinery::status_error::FieldError;
use serde_json::{Value, json};

use super::{list, not_found, pointer, services::PORT_RANGE, text};

const LABEL_DETAIL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                            start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                            validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
        && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
}

/// A name that must be there, be a label and be new.
fn name<'o>(item: &'o Value, path: &str, seen: &mut BTreeSet<&'o str>, errors: &mut Vec<FieldError>) {
    let name = text(item, "/name");
    let field = format!("{path}.name");
    if name.is_empty() {
        errors.push(FieldError::required(field, ""));
    } else if !is_label(name) {
        errors.push(FieldError::invalid(field, &json!(name), LABEL_DETAIL));
    } else if !seen.insert(name) {
        errors.push(FieldError::duplicate(field, &json!(name)));
    }
}

/// Checks the pod spec at a dotted path of the object.
pub(super) fn validate_spec(object: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(spec) = object.pointer(&pointer(path)) else {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
        return;
    };
    let mut volumes = BTreeSet::new();
    for (index, volume) in list(spec, "/volumes").iter().enumerate() {
        name(volume, &format!("{path}.volumes[{index}]"), &mut volumes, errors);
    }
    // A StatefulSet's pods get a volume for each of its claim templates.
    volumes.extend(list(object, "/spec/volumeClaimTemplates").iter().map(|claim| text(claim, "/metadata/name")));
    if list(spec, "/containers").is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut names = BTreeSet::new();
    for field in ["initContainers", "containers"] {
        for (index, container) in list(spec, &format!("/{field}")).iter().enumerate() {
            let path = format!("{path}.{field}[{index}]");
            name(container, &path, &mut names, errors);
            validate_container(container, &path, &volumes, errors);
        }
    }
    let policy = text(spec, "/restartPolicy");
    if !matches!(policy, "" | "Always" | "OnFailure" | "Never") {
        let supported = ["Always", "Never", "OnFailure"];
        errors.push(FieldError::not_supported(format!("{path}.restartPolicy"), &json!(policy), &supported));
    }
    let dns = text(spec, "/dnsPolicy");
    if !matches!(dns, "" | "ClusterFirstWithHostNet" | "ClusterFirst" | "Default" | "None") {
        let supported = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
        errors.push(FieldError::not_supported(format!("{path}.dnsPolicy"), &json!(dns), &supported));
    }
}

fn validate_container(container: &Value, path: &str, volumes: &BTreeSet<&str>, errors: &mut Vec<FieldError>) {
    let image = text(container, "/image");
    if image.is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(format!("{path}.image"), &json!(image), detail));
    }
    let pull_policy = text(container, "/imagePullPolicy");
    if !matches!(pull_policy, "" | "Always" | "IfNotPresent" | "Never") {
        let supported = ["Always", "IfNotPresent", "Never"];
        errors.push(FieldError::not_supported(format!("{path}.imagePullPolicy"), &json!(pull_policy), &supported));
    }
    for (index, port) in list(container, "/ports").iter().enumerate() {
        match port.get("containerPort").and_then(Value::as_i64) {
            None | Some(0) => errors.push(FieldError::required(format!("{path}.ports[{index}].containerPort"), "")),
            Some(number) if !(1..=65535).contains(&number) => {
                let field = format!("{path}.ports[{index}].containerPort");
                errors.push(FieldError::invalid(field, &json!(number), PORT_RANGE));
            }
            Some(_) => {}
        }
    }
    for (index, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let volume = text(mount, "/name");
        if volume.is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        } else if !volumes.contains(volume) {
            errors.push(not_found(format!("{path}.name"), &json!(volume)));
        }
        if text(mount, "/mountPath").is_empty() {
            errors.push(FieldError::required(format!("{path}.mountPath"), ""));
        }
    }
    for (index, variable) in list(container, "/env").iter().enumerate() {
        if text(variable, "/name").is_empty() {
            errors.push(FieldError::required(format!("{path}.env[{index}].name"), ""));
        }
    }
    for (resource, request) in container.pointer("/resources/requests").and_then(Value::as_object).into_iter().flatten()
    {
        let limit = container.pointer("/resources/limits").and_then(|limits| limits.get(resource));
        if let (Some(request), Some(limit)) = (amount(request), limit.and_then(amount))
            && request > limit
        {
            let shown = container.pointer("/resources/requests").and_then(|requests| requests.get(resource));
            let limit = container.pointer("/resources/limits").and_then(|limits| limits.get(resource));
            let detail = format!(
                "must be less than or equal to {resource} limit of {}",
                limit.and_then(Value::as_str).unwrap_or_default()
            );
            errors.push(FieldError::invalid(
                format!("{path}.resources.requests"),
                shown.unwrap_or(&Value::Null),
                &detail,
            ));
        }
    }
}

/// A canonical quantity as a number, exact enough to compare.
fn amount(quantity: &Value) -> Option<f64> {
    let text = quantity.as_str()?;
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.' && character != '-');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let scale = match unit {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * scale)
}

/// Of a pod that exists, only images, deadlines, tolerations and scheduling gates may change.
pub(super) fn validate_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Value::Object(members) = &mut spec {
            for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"] {
                members.remove(field);
            }
            // Set by binding, by the resize and by the ephemeralcontainers endpoint.
            for field in ["nodeName", "ephemeralContainers", "nodeSelector", "affinity"] {
                members.remove(field);
            }
            for field in ["containers", "initContainers"] {
                for container in members.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Value::Object(container) = container {
                        container.remove("image");
                        container.remove("resources");
                    }
                }
            }
        }
        spec
    };
    if fixed(object) != fixed(old) {
        errors.push(FieldError::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}
