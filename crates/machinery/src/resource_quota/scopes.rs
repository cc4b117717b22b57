//! Which objects a quota counts: its scopes, all of which have to match.

use serde_json::Value;

use super::{Evaluator, pods};

/// Whether all scopes of a quota match an object. Kinds that a scope knows nothing about never match it.
pub(super) fn match_all(quota: &Value, evaluator: &Evaluator, object: &Value) -> bool {
    let spec = &quota["spec"];
    let scopes = spec["scopes"].as_array().into_iter().flatten();
    let expressions = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    scopes.into_iter().all(|scope| matches(scope.as_str(), "Exists", &[], evaluator, object))
        && expressions.into_iter().all(|expression| {
            let values = expression["values"].as_array().map_or(&[][..], Vec::as_slice);
            let operator = expression["operator"].as_str().unwrap_or_default();
            matches(expression["scopeName"].as_str(), operator, values, evaluator, object)
        })
}

fn matches(scope: Option<&str>, operator: &str, values: &[Value], evaluator: &Evaluator, object: &Value) -> bool {
    match (evaluator, scope.unwrap_or_default()) {
        (Evaluator::Pods, "Terminating") => pods::is_terminating(object),
        (Evaluator::Pods, "NotTerminating") => !pods::is_terminating(object),
        (Evaluator::Pods, "BestEffort") => pods::is_best_effort(object),
        (Evaluator::Pods, "NotBestEffort") => !pods::is_best_effort(object),
        (Evaluator::Pods, "CrossNamespacePodAffinity") => looks_at_other_namespaces(object),
        (Evaluator::Pods, "PriorityClass") => {
            let class = object["spec"]["priorityClassName"].as_str().filter(|class| !class.is_empty());
            is_selected(operator, values, class.as_slice())
        }
        (Evaluator::PersistentVolumeClaims, "VolumeAttributesClass") => {
            let status = &object["status"];
            let classes: Vec<&str> = [
                &object["spec"]["volumeAttributesClassName"],
                &status["currentVolumeAttributesClassName"],
                &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
            ]
            .into_iter()
            .filter_map(|class| class.as_str().filter(|class| !class.is_empty()))
            .collect();
            is_selected(operator, values, &classes)
        }
        _ => false,
    }
}

/// Whether a requirement selects any of these names, or that there is none.
fn is_selected(operator: &str, values: &[Value], names: &[&str]) -> bool {
    let is_value = |name: &&str| values.iter().any(|value| value == *name);
    match operator {
        "Exists" => !names.is_empty(),
        "DoesNotExist" => names.is_empty(),
        "In" => names.iter().any(is_value),
        "NotIn" => names.is_empty() || names.iter().any(|name| !is_value(name)),
        _ => false,
    }
}

fn looks_at_other_namespaces(pod: &Value) -> bool {
    let of_others = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|namespaces| !namespaces.is_empty())
            || term["namespaceSelector"].is_object()
    };
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let affinity = &pod["spec"]["affinity"][kind];
        let terms = |list: &str| affinity[list].as_array().map_or(&[][..], Vec::as_slice).to_vec();
        terms("requiredDuringSchedulingIgnoredDuringExecution").iter().any(of_others)
            || terms("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|weighted| of_others(&weighted["podAffinityTerm"]))
    })
}
