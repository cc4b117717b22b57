//! HorizontalPodAutoscalers.

use std::collections::BTreeSet;

use kogge_machinery::quantity::Quantity;
use serde_json::json;

use super::{
    Change,
    field::{Errors, Field},
    resources,
    text::{label, path_segment},
};

const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

pub(super) fn validate(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let (least, most) = (spec.at("minReplicas"), spec.at("maxReplicas"));
    let known_zero = change.old.as_ref().is_some_and(|old| old.at("spec.minReplicas").number() == Some(0));
    let bound = i64::from(!known_zero);
    if least.number().is_some_and(|least| least < bound) {
        errors.invalid(&least, &format!("must be greater than or equal to {bound}"));
    }
    match most.count() {
        0 => errors.required(&most, "must be set and greater than 0"),
        ..0 => errors.invalid(&most, "must be greater than or equal to 1"),
        _ => {}
    }
    if least.number().is_some_and(|least| most.count() < least) {
        errors.invalid_number(&most, "must be greater than or equal to `minReplicas`");
    }
    let target = spec.at("scaleTargetRef");
    let unchanged = |old: &Field<'_>| {
        let known = old.at("spec.scaleTargetRef");
        ["apiVersion", "kind"].iter().all(|name| known.at(name).text() == target.at(name).text())
    };
    // Of the core group only one kind can be scaled. What was accepted before stays.
    let group = match target.at("kind").text() {
        _ if change.old.as_ref().is_some_and(unchanged) => Group::Any,
        "ReplicationController" => Group::Optional,
        _ => Group::Required,
    };
    reference(&target, group, errors);
    for metric in spec.at("metrics").items() {
        validate_metric(&metric, errors);
    }
    let counts_other = |kind: &str| spec.at("metrics").items().any(|metric| metric.at("type").text() == kind);
    if least.number() == Some(0) && !counts_other("Object") && !counts_other("External") {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.forbidden(&spec.at("metrics"), detail);
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = spec.at("behavior").at(direction);
        if rules.is_set() {
            scaling_rules(&rules, errors);
        }
    }
}

/// Whether an apiVersion has to name a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Any,
    Optional,
    Required,
}

fn reference(place: &Field<'_>, group: Group, errors: &mut Errors) {
    for name in ["kind", "name"] {
        let field = place.at(name);
        if field.is_empty() {
            errors.required(&field, "");
        } else {
            path_segment(&field, errors);
        }
    }
    let version = place.at("apiVersion");
    let slashes = version.text().matches('/').count();
    if group == Group::Any {
        return;
    }
    if slashes > 1 {
        errors.invalid_text(&version, &format!("unexpected GroupVersion string: {}", version.text()));
    } else if slashes == 0 && group == Group::Required {
        errors.invalid_text(&version, "apiVersion must specify API group");
    }
}

fn validate_metric(metric: &Field<'_>, errors: &mut Errors) {
    let kind = metric.at("type");
    if kind.is_empty() {
        errors.required(&kind, "must specify a metric source type");
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind.text()).map(|(_, field)| *field);
    if expected.is_none() {
        errors.not_supported(&kind, &TYPES);
    }
    let mut present = BTreeSet::new();
    for (_, field) in SOURCES {
        let source = metric.at(field);
        if source.is_set() {
            present.insert(field);
            if present.len() == 1 {
                validate_source(field, &source, errors);
            }
        }
    }
    match expected {
        Some(field) if !metric.at(field).is_set() => {
            errors.required(&metric.at(field), "must populate information for the given metric source");
        }
        Some(_) => {}
        None => errors.not_supported(&kind, &TYPES),
    }
    if present.len() != 1 {
        for field in present.into_iter().filter(|field| Some(*field) != expected) {
            errors.forbidden(&metric.at(field), "must populate the given metric source only");
        }
    }
}

fn validate_source(field: &str, source: &Field<'_>, errors: &mut Errors) {
    let target = source.at("target");
    let [value, average, utilization] = ["value", "averageValue", "averageUtilization"].map(|name| target.at(name));
    match field {
        "object" => {
            reference(&source.at("describedObject"), Group::Optional, errors);
            metric_name(source, errors);
            validate_target(&target, errors);
            if !value.is_set() && !average.is_set() {
                errors.required(&average, "must set either a target value or averageValue");
            }
        }
        "external" => {
            metric_name(source, errors);
            validate_target(&target, errors);
            if !value.is_set() && !average.is_set() {
                errors.required(&average, "must set either a target value for metric or a per-pod target");
            }
            if value.is_set() && average.is_set() {
                errors.forbidden(&value, "may not set both a target value for metric and a per-pod target");
            }
        }
        "pods" => {
            metric_name(source, errors);
            validate_target(&target, errors);
            if !average.is_set() {
                errors.required(&average, "must specify a positive target averageValue");
            }
        }
        _ => {
            let (name, container) = (source.at("name"), source.at("container"));
            if name.is_empty() {
                errors.required(&name, "must specify a resource name");
            } else if field == "containerResource" {
                resources::container_name(name.text(), &name, errors);
            }
            if field == "containerResource" {
                if container.is_empty() {
                    errors.required(&container, "must specify a container");
                } else {
                    label(&container, errors);
                }
            }
            validate_target(&target, errors);
            if !utilization.is_set() && !average.is_set() {
                errors.required(&utilization, "must set either a target raw value or a target utilization");
            }
            if utilization.is_set() && average.is_set() {
                errors.forbidden(&average, "may not set both a target raw value and a target utilization");
            }
        }
    }
}

fn metric_name(source: &Field<'_>, errors: &mut Errors) {
    let name = source.at("metric.name");
    if name.is_empty() {
        errors.required(&name, "must specify a metric name");
    } else {
        path_segment(&name, errors);
    }
}

fn validate_target(target: &Field<'_>, errors: &mut Errors) {
    let kind = target.at("type");
    if kind.is_empty() {
        errors.required(&kind, "must specify a metric target type");
    }
    if !matches!(kind.text(), "Utilization" | "Value" | "AverageValue") {
        errors.invalid_text(&kind, "must be either Utilization, Value, or AverageValue");
    }
    for name in ["value", "averageValue"] {
        if target.at(name).amount().is_some_and(|amount| !amount.is_positive()) {
            errors.invalid(&target.at(name), "must be positive");
        }
    }
    let utilization = target.at("averageUtilization");
    if utilization.number().is_some_and(|percent| percent < 1) {
        errors.invalid(&utilization, "must be greater than 0");
    }
}

fn scaling_rules(rules: &Field<'_>, errors: &mut Errors) {
    const MAX_WINDOW: i64 = 3600;
    const MAX_PERIOD: i64 = 1800;
    let (window, policies, tolerance) =
        (rules.at("stabilizationWindowSeconds"), rules.at("policies"), rules.at("tolerance"));
    if window.count() < 0 {
        errors.invalid(&window, "must be greater than or equal to zero");
    }
    if window.count() > MAX_WINDOW {
        errors.invalid(&window, &format!("must be less than or equal to {MAX_WINDOW}"));
    }
    errors.known(&rules.at("selectPolicy"), &["Disabled", "Max", "Min"]);
    if policies.is_empty() {
        errors.required(&policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let (kind, value, period) = (policy.at("type"), policy.at("value"), policy.at("periodSeconds"));
        if !matches!(kind.text(), "Pods" | "Percent") {
            errors.not_supported(&kind, &["Percent", "Pods"]);
        }
        for number in [&value, &period] {
            if number.count() <= 0 {
                errors.show(number, &json!(number.count()), "must be greater than zero");
            }
        }
        if period.count() > MAX_PERIOD {
            errors.invalid(&period, &format!("must be less than or equal to {MAX_PERIOD}"));
        }
    }
    if tolerance.amount().is_some_and(Quantity::is_negative) {
        errors.invalid(&tolerance, "must be greater than or equal to 0");
    }
}

pub(super) fn validate_status(change: &Change<'_>, errors: &mut Errors) {
    errors.none_negative(&change.new.at("status"), &["currentReplicas", "desiredReplicas"]);
}
