//! What may change of a pod.

use serde_json::Value;

use super::{
    super::{
        Change,
        containers::untrimmed_image,
        field::{Errors, Field, same},
    },
    annotations, validate_spec,
};

/// What may change of a pod: images, deadlines, additional tolerations, fewer gates; and while it waits for a gate, where
/// it can go.
pub(super) fn validate_update(pod: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    annotations::check_update(pod, old, errors);
    let (spec, before) = (pod.at("spec"), old.at("spec"));
    for list in ["containers", "initContainers"] {
        let (now, then) = (spec.at(list), before.at(list));
        if now.len() != then.len() {
            errors.forbidden(&now, "pod updates may not add or remove containers");
            return;
        }
        for container in now.items() {
            if container.at("image").is_empty() {
                errors.required(&container.at("image"), "");
            }
            untrimmed_image(&container, errors);
        }
    }
    let (deadline, earlier) = (spec.at("activeDeadlineSeconds"), before.at("activeDeadlineSeconds"));
    match (deadline.number(), earlier.number()) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            errors.invalid(&deadline, "must be between 0 and 2147483647, inclusive");
            return;
        }
        (Some(seconds), Some(most)) if seconds > most => {
            errors.invalid(&deadline, "must be less than or equal to previous value");
            return;
        }
        (None, Some(_)) => errors.invalid(&deadline, "must not update from a positive integer to nil value"),
        _ => {}
    }
    tolerations_only_added(&spec.at("tolerations"), &before.at("tolerations"), errors);
    for gate in spec.at("schedulingGates").items().map(|gate| gate.at("name")) {
        if !before.at("schedulingGates").items().any(|known| known.at("name").text() == gate.text()) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.text());
            errors.forbidden(&gate, &detail);
        }
    }
    let gated = !before.at("schedulingGates").is_empty();
    if gated {
        gated_update(&spec, &before, errors);
    }
    if !same(&without_mutable(spec.value, gated), &without_mutable(before.value, gated)) {
        errors.forbidden(
            &spec,
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        );
    }
}

fn tolerations_only_added(new: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let untimed = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(fields) = toleration.as_object_mut() {
            fields.remove("tolerationSeconds");
        }
        toleration
    };
    for known in old.items() {
        let known = untimed(known.value);
        if !new.items().any(|toleration| same(&untimed(toleration.value), &known)) {
            errors.forbidden(new, "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
}

/// A pod that waits may be bound to fewer nodes, never to others.
fn gated_update(spec: &Field<'_>, before: &Field<'_>, errors: &mut Errors) {
    let selector = spec.at("nodeSelector");
    if before.at("nodeSelector").entries().any(|(key, value)| selector.key(key).value != value.value) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.invalid(&selector, detail);
    }
    let path = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let (terms, known) = (spec.at(path), before.at(path));
    if !known.is_empty() && known.len() != terms.len() {
        errors.invalid(&terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (term, known) in terms.items().zip(known.items()) {
        let added = ["matchExpressions", "matchFields"].iter().all(|list| {
            let (now, then) = (term.at(list), known.at(list));
            now.len() >= then.len() && now.items().zip(then.items()).all(|(now, then)| same(now.value, then.value))
        });
        let was_empty = known.at("matchExpressions").is_empty() && known.at("matchFields").is_empty();
        let is_empty = term.at("matchExpressions").is_empty() && term.at("matchFields").is_empty();
        if !added || (was_empty && !is_empty) {
            errors.invalid(&term, "only additions are allowed (no mutations or deletions)");
        }
    }
}

fn without_mutable(spec: &Value, gated: bool) -> Value {
    let mut spec = spec.clone();
    let Value::Object(members) = &mut spec else { return spec };
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        members.remove(field);
    }
    if members.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        members.insert("terminationGracePeriodSeconds".to_owned(), 1.into());
    }
    if gated {
        members.remove("nodeSelector");
        if let Some(affinity) = members.get_mut("affinity").and_then(Value::as_object_mut) {
            affinity.remove("nodeAffinity");
        }
    }
    for list in ["containers", "initContainers"] {
        for container in members.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(container) = container {
                container.remove("image");
            }
        }
    }
    spec
}

/// A pod whose ephemeral containers are changed: those that are there stay as they are.
pub(in crate::builtin::validation) fn validate_ephemeral_containers(change: &Change<'_>, errors: &mut Errors) {
    let Some(old) = &change.old else { return };
    let (spec, before) = (change.new.at("spec"), old.at("spec"));
    validate_spec(&spec, Some(&change.new), None, errors);
    annotations::check_update(&change.new, old, errors);
    let list = spec.at("ephemeralContainers");
    for known in before.at("ephemeralContainers").items() {
        let name = known.at("name").text();
        let done = match list.items().find(|container| container.at("name").text() == name) {
            None => "removed",
            Some(container) if !same(container.value, known.value) => "changed",
            Some(_) => continue,
        };
        errors.forbidden(&list, &format!("existing ephemeral containers {name:?} may not be {done}\n"));
    }
}

/// Resources of a pod that is there.
pub(in crate::builtin::validation) fn validate_resize(change: &Change<'_>, errors: &mut Errors) {
    validate_spec(&change.new.at("spec"), Some(&change.new), None, errors);
}
