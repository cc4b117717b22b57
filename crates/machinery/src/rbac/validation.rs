//! What is refused of Roles, ClusterRoles and bindings (Kubernetes' `pkg/apis/rbac/validation`).

use serde_json::{Value, json};

use super::GROUP;
use crate::{
    object_meta::{path_segment_messages, subdomain_messages},
    selector::LabelSelector,
    status_error::FieldError,
};

/// The wrong fields of an object of this plural resource, whose types are right; `old` is what an update changes.
pub fn validate(resource: &str, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match resource {
        "roles" => rules(object, true, &mut errors),
        "clusterroles" => {
            rules(object, false, &mut errors);
            aggregation_rule(object, &mut errors);
        }
        "rolebindings" | "clusterrolebindings" => {
            binding(object, resource == "rolebindings", &mut errors);
            if let Some(old) = old
                && old.get("roleRef") != object.get("roleRef")
            {
                let text = |field: &str| object["roleRef"][field].as_str().unwrap_or_default();
                // With the names of the real server's own type.
                let shown = json!({"APIGroup": text("apiGroup"), "Kind": text("kind"), "Name": text("name")});
                errors.push(FieldError::invalid("roleRef", &shown, "cannot change roleRef"));
            }
        }
        _ => {}
    }
    errors
}

fn rules(role: &Value, namespaced: bool, errors: &mut Vec<FieldError>) {
    for (index, rule) in role["rules"].as_array().into_iter().flatten().enumerate() {
        let path = |field: &str| format!("rules[{index}].{field}");
        let empty = |field: &str| rule[field].as_array().is_none_or(Vec::is_empty);
        if empty("verbs") {
            errors.push(FieldError::required(path("verbs"), "verbs must contain at least one value"));
        }
        if !empty("nonResourceURLs") {
            let mut wrong = |detail: &str| {
                errors.push(FieldError::invalid(path("nonResourceURLs"), &rule["nonResourceURLs"], detail));
            };
            if namespaced {
                wrong("namespaced rules cannot apply to non-resource URLs");
            }
            if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
                wrong("rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if empty("apiGroups") {
            errors.push(FieldError::required(path("apiGroups"), "resource rules must supply at least one api group"));
        }
        if empty("resources") {
            errors.push(FieldError::required(path("resources"), "resource rules must supply at least one resource"));
        }
    }
}

fn aggregation_rule(role: &Value, errors: &mut Vec<FieldError>) {
    let Some(aggregation) = role.get("aggregationRule").filter(|aggregation| !aggregation.is_null()) else { return };
    let path = "aggregationRule.clusterRoleSelectors";
    let selectors = aggregation["clusterRoleSelectors"].as_array().map_or(&[][..], Vec::as_slice);
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(path, detail));
    }
    for (index, selector) in selectors.iter().enumerate() {
        if LabelSelector::from_object(selector).is_err() {
            // The real server shows the selector it could not make of it.
            errors.push(FieldError::invalid(format!("{path}[{index}]"), &Value::Null, "invalid label selector."));
        }
    }
}

fn binding(binding: &Value, namespaced: bool, errors: &mut Vec<FieldError>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let role = &binding["roleRef"];
    if role["apiGroup"] != GROUP {
        errors.push(FieldError::not_supported("roleRef.apiGroup", &json!(text(&role["apiGroup"])), &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text(&role["kind"]).as_str()) {
        errors.push(FieldError::not_supported("roleRef.kind", &json!(text(&role["kind"])), kinds));
    }
    let name = text(&role["name"]);
    if name.is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    for wrong in path_segment_messages(&name, false) {
        errors.push(FieldError::invalid("roleRef.name", &json!(name), &wrong));
    }
    for (index, one) in binding["subjects"].as_array().into_iter().flatten().enumerate() {
        subject(one, namespaced, &format!("subjects[{index}]"), errors);
    }
}

fn subject(subject: &Value, namespaced: bool, path: &str, errors: &mut Vec<FieldError>) {
    let text = |field: &str| subject[field].as_str().unwrap_or_default();
    if text("name").is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    }
    let mut unsupported = |field: &str, supported: &[&str]| {
        errors.push(FieldError::not_supported(format!("{path}.{field}"), &json!(text(field)), supported));
    };
    match text("kind") {
        "ServiceAccount" => {
            let name = Some(text("name")).filter(|name| !name.is_empty());
            for wrong in name.into_iter().flat_map(|name| subdomain_messages(name, 253)) {
                errors.push(FieldError::invalid(format!("{path}.name"), &json!(text("name")), &wrong));
            }
            if !text("apiGroup").is_empty() {
                errors.push(FieldError::not_supported(format!("{path}.apiGroup"), &json!(text("apiGroup")), &[""]));
            }
            if !namespaced && text("namespace").is_empty() {
                errors.push(FieldError::required(format!("{path}.namespace"), ""));
            }
        }
        "User" | "Group" if text("apiGroup") != GROUP => unsupported("apiGroup", &[GROUP]),
        "User" | "Group" => {}
        _ => unsupported("kind", &["ServiceAccount", "User", "Group"]),
    }
}
