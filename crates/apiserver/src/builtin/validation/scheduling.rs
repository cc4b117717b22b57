//! Where pods may run: affinity, tolerations, spreading, node selectors.

use std::collections::BTreeSet;

use kogge_machinery::{
    object_meta::{label_value_messages, subdomain_messages},
    status_error::{FieldError, FieldErrorKind},
};
use serde_json::Value;

use super::{
    field::{Errors, Field},
    text::{label, label_selector, qualified_name},
};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// The affinity of a pod.
pub(super) fn affinity(affinity: &Field<'_>, errors: &mut Errors) {
    let of_nodes = affinity.at("nodeAffinity");
    let required = of_nodes.at("requiredDuringSchedulingIgnoredDuringExecution");
    if required.is_set() {
        node_selector(&required, false, errors);
    }
    for term in of_nodes.at("preferredDuringSchedulingIgnoredDuringExecution").items() {
        weight(&term, errors);
        node_selector_term(&term.at("preference"), true, errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let of_pods = affinity.at(kind);
        for term in of_pods.at("requiredDuringSchedulingIgnoredDuringExecution").items() {
            pod_term(&term, errors);
        }
        for term in of_pods.at("preferredDuringSchedulingIgnoredDuringExecution").items() {
            weight(&term, errors);
            pod_term(&term.at("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Field<'_>, errors: &mut Errors) {
    if !(1..=100).contains(&term.at("weight").count()) {
        errors.invalid_number(&term.at("weight"), "must be in the range 1-100");
    }
}

/// A selector of nodes, which needs a term.
pub(super) fn node_selector(selector: &Field<'_>, any_value: bool, errors: &mut Errors) {
    let terms = selector.at("nodeSelectorTerms");
    if terms.is_empty() {
        errors.required(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_selector_term(&term, any_value, errors);
    }
}

fn node_selector_term(term: &Field<'_>, any_value: bool, errors: &mut Errors) {
    const NO_OPERATOR: &str = "not a valid selector operator";
    for requirement in term.at("matchExpressions").items() {
        let (operator, values) = (requirement.at("operator"), requirement.at("values"));
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if values.len() != 1 => {
                errors.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => errors.invalid_text(&operator, NO_OPERATOR),
        }
        qualified_name(&requirement.at("key"), errors);
        for value in values.items().filter(|_| !any_value) {
            errors.messages(&value, label_value_messages(value.text()));
        }
    }
    for requirement in term.at("matchFields").items() {
        let (operator, values) = (requirement.at("operator"), requirement.at("values"));
        match operator.text() {
            "In" | "NotIn" if values.len() != 1 => {
                let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.required(&values, detail);
            }
            "In" | "NotIn" => {}
            _ => errors.invalid_text(&operator, NO_OPERATOR),
        }
        if requirement.at("key").text() == "metadata.name" {
            for value in values.items() {
                errors.messages(&value, subdomain_messages(value.text(), 253));
            }
        } else {
            errors.invalid_text(&requirement.at("key"), "not a valid field selector key");
        }
    }
}

fn pod_term(term: &Field<'_>, errors: &mut Errors) {
    label_selector(&term.at("labelSelector"), errors);
    label_selector(&term.at("namespaceSelector"), errors);
    for namespace in term.at("namespaces").items() {
        label(&namespace.reported_at(term, "namespace"), errors);
    }
    label_keys(term, errors);
    let key = term.at("topologyKey");
    if key.is_empty() {
        errors.required(&key, "can not be empty");
    }
    qualified_name(&key, errors);
}

/// `matchLabelKeys` and `mismatchLabelKeys` beside a selector.
fn label_keys(term: &Field<'_>, errors: &mut Errors) {
    let selector = term.at("labelSelector");
    let (matching, mismatching) = (term.at("matchLabelKeys"), term.at("mismatchLabelKeys"));
    for keys in [&matching, &mismatching] {
        if keys.is_empty() {
            continue;
        }
        if !selector.is_set() {
            errors.forbidden(keys, "must not be specified when labelSelector is not set");
            continue;
        }
        for key in keys.items() {
            qualified_name(&key, errors);
        }
    }
    let mut selected: BTreeSet<&str> = selector.at("matchLabels").entries().map(|(key, _)| key).collect();
    for expression in selector.at("matchExpressions").items() {
        let key = expression.at("key").text();
        if let Some(index) = matching.texts().position(|other| other == key).filter(|_| selected.contains(key)) {
            let place = expression.at("key").reported_as(&format!("{}[{index}]", term.path()));
            errors.invalid_text(&place, "exists in both matchLabelKeys and labelSelector");
        }
        selected.insert(key);
    }
    for key in matching.items().filter(|key| mismatching.texts().any(|other| other == key.text())) {
        errors.invalid_text(&key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// How pods are spread over domains.
pub(super) fn spread(constraints: &Field<'_>, errors: &mut Errors) {
    let all: Vec<Field<'_>> = constraints.items().collect();
    for (index, constraint) in all.iter().enumerate() {
        errors.positive(&constraint.at("maxSkew"));
        let (key, action) = (constraint.at("topologyKey"), constraint.at("whenUnsatisfiable"));
        if key.is_empty() {
            errors.required(&key, "can not be empty");
        }
        if !matches!(action.text(), "DoNotSchedule" | "ScheduleAnyway") {
            errors.not_supported(&action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let again = |other: &Field<'_>| {
            other.at("topologyKey").text() == key.text() && other.at("whenUnsatisfiable").text() == action.text()
        };
        if all[index + 1..].iter().any(again) {
            let shown = format!("{{{}, {}}}", key.text(), action.text());
            let place = format!("{}.{{topologyKey, whenUnsatisfiable}}", constraint.path());
            errors.push(FieldError::duplicate(place, &shown.into()));
        }
        let domains = constraint.at("minDomains");
        if domains.is_set() {
            errors.positive(&domains);
            if action.text() != "DoNotSchedule" {
                let text = action.text();
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {text}");
                errors.invalid(&domains, &detail);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            errors.known(&constraint.at(policy), &["Honor", "Ignore"]);
        }
        label_keys(constraint, errors);
        label_selector(&constraint.at("labelSelector"), errors);
    }
}

/// Tolerations of taints.
pub(super) fn tolerations(list: &Field<'_>, errors: &mut Errors) {
    for toleration in list.items() {
        let [key, operator, value, effect] = ["key", "operator", "value", "effect"].map(|name| toleration.at(name));
        if !key.is_empty() {
            qualified_name(&key, errors);
        }
        if key.is_empty() && operator.text() != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid_text(&operator, detail);
        }
        if toleration.at("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            errors.invalid_text(&effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        let about_value = value.reported_at(&toleration, "operator");
        match operator.text() {
            "Equal" | "" => {
                let messages = label_value_messages(value.text());
                if !messages.is_empty() {
                    errors.invalid_text(&about_value, &messages.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.invalid_text(&about_value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            "Lt" | "Gt" => errors.not_supported(&operator, &["Equal", "Exists", "Lt", "Gt"]),
            _ => errors.not_supported(&operator, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            errors.known(&effect, &EFFECTS);
        }
    }
}

/// Taints of a node; reported where the real server does.
pub(super) fn taints(list: &Field<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for taint in list.items() {
        let [key, value, effect, added] = ["key", "value", "effect", "timeAdded"].map(|name| taint.at(name));
        qualified_name(&key, errors);
        let messages = label_value_messages(value.text());
        if !messages.is_empty() {
            errors.invalid_text(&value, &messages.join(";"));
        }
        errors.one_of(&effect, &EFFECTS);
        if !seen.insert((effect.text(), key.text())) {
            let texts = [("Key", key), ("Value", value), ("Effect", effect)];
            let shown = texts.map(|(name, field)| format!("\"{name}\":{}", Value::from(field.text()))).join(",");
            let shown = format!("{shown},\"TimeAdded\":{}", added.value);
            errors.push(FieldError::with_text(
                FieldErrorKind::Duplicate,
                taint.path(),
                &format!("{{{shown}}}"),
                "taints must be unique by key and effect pair",
            ));
        }
    }
}
