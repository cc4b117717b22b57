//! What may change of a pod.

use kogge_machinery::{pod_resources, status_error::FieldError};
use serde_json::Value;

use super::{
    super::{
        Change,
        containers::untrimmed_image,
        field::{Errors, Field, same},
        scheduling::tolerations,
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
    // What is wrong with them is told twice, once of any pod and once of the change.
    tolerations(new, errors);
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
    let Some(old) = &change.old else { return };
    let (spec, before) = (change.new.at("spec"), old.at("spec"));
    annotations::check(&change.new.at("metadata.annotations"), &spec, errors);
    validate_spec(&spec, Some(&change.new), None, errors);
    if old.at("metadata.annotations").key(annotations::MIRROR).is_set() {
        return only("static pods cannot be resized", errors);
    }
    if before.at("os.name").text() == "windows" {
        return only("windows pods cannot be resized", errors);
    }
    let class = old.at("status.qosClass");
    let class = if class.is_empty() { pod_resources::quality_of_service(old.value) } else { class.text() };
    if class != pod_resources::quality_of_service(change.new.value) {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.show(&spec, change.new.at("status.qosClass").value, detail);
    }
    let running = old.at("status.containerStatuses");
    let running = running.items().find(|status| status.at("state.running").is_set());
    if running.is_some_and(|status| !status.at("resources").is_set()) {
        errors.forbidden(&spec, "Pod running on node without support for resize");
    }
    resize_of_pod(&spec.at("resources"), &before.at("resources"), &spec, errors);
    if !old.at("status.nodeAllocatableResourceClaimStatuses").is_empty() {
        errors.forbidden(&spec, "pods with node allocatable resource claims cannot be resized");
    }
    if !same_containers(&spec, &before, errors) {
        return;
    }
    let lists = ["initContainers", "containers"];
    for list in lists {
        for (container, known) in spec.at(list).items().zip(before.at(list).items()) {
            let (now, then) = (container.at("resources"), known.at("resources"));
            nothing_removed(&now, &then, "resource", errors);
        }
    }
    for (container, known) in spec.at("containers").items().zip(before.at("containers").items()) {
        if !same(&with_amounts_of(container.value, known.value), known.value) {
            errors.forbidden(&spec, "only cpu and memory resources are mutable");
        }
    }
    for (container, known) in spec.at("initContainers").items().zip(before.at("initContainers").items()) {
        if !same(&with_amounts_of(container.value, known.value), known.value) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            errors.forbidden(&container, detail);
        }
        let restarts = container.at("resizePolicy");
        let restarts = restarts.items().filter(|policy| policy.at("restartPolicy").text() == "RestartContainer");
        if container.at("restartPolicy").text() != "Always" && !same(container.value, known.value) {
            let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            restarts.for_each(|_| errors.forbidden(&container, detail));
        }
    }
}

/// Forgets what else is wrong. The real server calls the pod itself `[]`.
fn only(detail: &str, errors: &mut Errors) {
    errors.truncate(0);
    errors.push(FieldError::forbidden("[]", detail));
}

/// The resources of a pod as a whole: of those of them that are there none may go, and only amounts may change.
fn resize_of_pod(resources: &Field<'_>, known: &Field<'_>, spec: &Field<'_>, errors: &mut Errors) {
    let is_set = |resources: &Field<'_>| !resources.at("requests").is_empty() || !resources.at("limits").is_empty();
    if !is_set(resources) && !is_set(known) {
        return;
    }
    if known.is_set() {
        if !resources.is_set() {
            errors.forbidden(resources, "pod-level resources cannot be removed");
            return;
        }
        nothing_removed(resources, known, "pod-level resource", errors);
    }
    let nothing = Value::Object(serde_json::Map::new());
    let known = if known.is_set() { known.value } else { &nothing };
    if !same(&amounts_of(resources.value, known, true), known) {
        errors.forbidden(spec, "only cpu and memory resources are mutable at pod-level");
    }
}

/// Whether the containers are those that are there, in their order.
fn same_containers(spec: &Field<'_>, before: &Field<'_>, errors: &mut Errors) -> bool {
    let known_errors = errors.len();
    for name in ["containers", "initContainers"] {
        let (now, then) = (spec.at(name), before.at(name));
        if now.len() != then.len() {
            errors.forbidden(&now, &format!("{name} may not be added or removed on resize"));
            continue;
        }
        for (container, known) in now.items().zip(then.items()) {
            if container.at("name").text() != known.at("name").text() {
                let detail = format!("{name} may not be renamed or reordered on resize");
                errors.forbidden(&container.at("name"), &detail);
            }
        }
    }
    errors.len() == known_errors
}

fn nothing_removed(now: &Field<'_>, then: &Field<'_>, what: &str, errors: &mut Errors) {
    for list in ["requests", "limits"] {
        let amounts = now.at(list);
        if then.at(list).entries().any(|(name, _)| !amounts.key(name).is_set()) {
            errors.forbidden(&amounts, &format!("{what} {list} cannot be removed"));
        }
    }
}

/// A container with as much cpu and memory as another one.
fn with_amounts_of(container: &Value, known: &Value) -> Value {
    let mut container = container.clone();
    container["resources"] = amounts_of(&container["resources"], &known["resources"], false);
    container
}

/// Resources with as much cpu and memory as others; with their claims only if these are to be `kept`.
fn amounts_of(resources: &Value, known: &Value, kept: bool) -> Value {
    let mut mixed = serde_json::Map::new();
    for list in ["limits", "requests"] {
        let mut amounts = resources[list].as_object().cloned().unwrap_or_default();
        for name in ["cpu", "memory"] {
            match known[list].get(name) {
                Some(amount) => _ = amounts.insert(name.to_owned(), amount.clone()),
                None => _ = amounts.remove(name),
            }
        }
        mixed.insert(list.to_owned(), Value::Object(amounts));
    }
    if let Some(claims) = resources.get("claims").filter(|_| kept) {
        mixed.insert("claims".to_owned(), claims.clone());
    }
    Value::Object(mixed)
}
