//! What keeps pods running: Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers.

use std::collections::BTreeSet;

use kogge_machinery::selector::LabelSelector;
use serde_json::{Value, json};

use super::{
    Change,
    field::{Errors, Field, same},
    pods,
    storage::claim_spec,
    text::{at_most_all, bare_number, label, label_selector, number_or_percentage},
};

const NO_MATCH: &str = "`selector` does not match template `labels`";
const ABOVE_REPLICAS: &str = "cannot be greater than status.replicas";

/// A selector that is needed; `noun` is how the kind calls itself where it is empty.
fn selector(spec: &Field<'_>, noun: &str, errors: &mut Errors) {
    let selector = spec.at("selector");
    if selector.is_set() {
        label_selector(&selector, errors);
        if selector.at("matchLabels").is_empty() && selector.at("matchExpressions").is_empty() {
            errors.invalid(&selector, &format!("empty selector is invalid for {noun}"));
        }
    } else {
        errors.required(&selector, "");
    }
}

/// The labels of the template have to be those of the selector: an absent one selects nothing, an empty one is not asked.
/// Answers whether the selector can be read.
fn selects_template(spec: &Field<'_>, errors: &mut Errors) -> bool {
    let (selector, labels) = (spec.at("selector"), spec.at("template.metadata.labels"));
    let matches = match LabelSelector::from_object(selector.value) {
        _ if !selector.is_set() => false,
        Ok(parsed) => parsed.is_empty() || parsed.matches_labels(labels.value.as_object()),
        Err(_) => return false,
    };
    if !matches {
        errors.invalid(&labels, NO_MATCH);
    }
    true
}

/// The template of a workload, which its selector must select. Under a selector that cannot be read, which is refused in
/// the words of `wrong`, it is not looked at.
fn selected_template(spec: &Field<'_>, wrong: &str, noun: &str, errors: &mut Errors) {
    if !selects_template(spec, errors) {
        errors.invalid(&spec.at("selector"), wrong);
        return;
    }
    pods::validate_template(&spec.at("template"), None, errors);
    always_restarted(spec, noun, errors);
}

fn always_restarted(spec: &Field<'_>, noun: &str, errors: &mut Errors) {
    let template = spec.at("template.spec");
    let (policy, deadline) = (template.at("restartPolicy"), template.at("activeDeadlineSeconds"));
    if !matches!(policy.text(), "Always" | "") {
        errors.not_supported(&policy, &["Always"]);
    }
    if deadline.is_set() {
        errors.forbidden(&deadline, &format!("activeDeadlineSeconds in {noun} is not Supported"));
    }
}

/// The template of a StatefulSet's pods with the volumes its claims become, which go before its own of the same name.
fn with_claims(template: &Value, claims: &Value) -> Value {
    let mut template = template.clone();
    let claims = claims.as_array().map_or(&[][..], Vec::as_slice);
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut).filter(|_| !claims.is_empty()) else {
        return template;
    };
    let name = |of: &Value| of["name"].as_str().unwrap_or_default().to_owned();
    // Of two claims of one name the last counts.
    let mut names: Vec<String> = Vec::new();
    for claim in claims {
        let name = name(&claim["metadata"]);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let own = spec.remove("volumes").unwrap_or_default();
    let own = own.as_array().into_iter().flatten().filter(|volume| !names.contains(&name(volume))).cloned();
    let made = names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    let volumes: Vec<Value> = made.chain(own).collect();
    spec.insert("volumes".to_owned(), volumes.into());
    template
}

pub(super) fn validate_deployment(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    errors.not_negative(&spec.at("replicas"));
    selector(&spec, "deployment", errors);
    selected_template(&spec, "invalid label selector", "ReplicaSet", errors);
    deployment_strategy(&spec.at("strategy"), errors);
    errors.none_negative(&spec, &["minReadySeconds", "revisionHistoryLimit"]);
    let (deadline, ready) = (spec.at("progressDeadlineSeconds"), spec.at("minReadySeconds"));
    errors.not_negative(&deadline);
    if deadline.number().is_some_and(|seconds| seconds <= ready.count()) {
        errors.invalid(&deadline, "must be greater than minReadySeconds");
    }
    if let Some(old) = &change.old {
        errors.immutable(&spec.at("selector"), &old.at("spec.selector"));
    }
}

fn deployment_strategy(strategy: &Field<'_>, errors: &mut Errors) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.at("type").text() {
        "Recreate" => {
            if rolling.is_set() {
                errors.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" if !rolling.is_set() => {
            errors.required(&rolling, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.at("maxUnavailable"), rolling.at("maxSurge"));
            number_or_percentage(&unavailable, errors);
            number_or_percentage(&surge, errors);
            if bare_number(&unavailable) == 0 && bare_number(&surge) == 0 {
                errors.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
            }
            at_most_all(&unavailable, errors);
        }
        _ => errors.not_supported_value(strategy, &["Recreate", "RollingUpdate"]),
    }
}

pub(super) fn validate_replica_set(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    errors.none_negative(&spec, &["replicas", "minReadySeconds"]);
    selector(&spec, "deployment", errors);
    selected_template(&spec, "invalid label selector", "ReplicaSet", errors);
    if let Some(old) = &change.old {
        errors.immutable(&spec.at("selector"), &old.at("spec.selector"));
    }
}

pub(super) fn validate_replication_controller(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    errors.not_negative(&spec.at("minReadySeconds"));
    let (selector, template) = (spec.at("selector"), spec.at("template"));
    if selector.is_empty() {
        errors.required(&selector, "");
    }
    errors.not_negative(&spec.at("replicas"));
    if !template.is_set() {
        errors.required(&template, "");
        return;
    }
    let labels = template.at("metadata.labels");
    if selector.entries().any(|(key, value)| labels.key(key).value != value.value) {
        errors.invalid(&labels, NO_MATCH);
    }
    pods::validate_template(&template, None, errors);
    always_restarted(&spec, "ReplicationController", errors);
}

pub(super) fn validate_stateful_set(change: &Change<'_>, errors: &mut Errors) {
    const SEEN: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let spec = change.new.at("spec");
    let management = spec.at("podManagementPolicy");
    match management.text() {
        "OrderedReady" | "Parallel" => {}
        "" => errors.required(&management, ""),
        _ => errors.invalid(&management, "must be 'OrderedReady' or 'Parallel'"),
    }
    stateful_strategy(&spec.at("updateStrategy"), errors);
    let retention = spec.at("persistentVolumeClaimRetentionPolicy");
    for when in ["whenDeleted", "whenScaled"] {
        if retention.is_set() && !matches!(retention.at(when).text(), "Retain" | "Delete") {
            errors.not_supported(&retention.at(when), &["Retain", "Delete"]);
        }
    }
    let (claims, service) = (spec.at("volumeClaimTemplates"), spec.at("serviceName"));
    if change.old.is_none() {
        for claim in claims.items() {
            claim_spec(&claim.at("spec"), errors);
        }
    }
    errors.none_negative(&spec, &["replicas", "minReadySeconds", "ordinals.start"]);
    if change.old.is_none() && !service.is_empty() {
        label(&service, errors);
    }
    selector(&spec, "statefulset", errors);
    if selects_template(&spec, errors) {
        let template = with_claims(spec.at("template").value, claims.value);
        let template = Field::root(&template).reported_as("spec.template");
        pods::validate_template(&template, Some(&BTreeSet::new()), errors);
        pods::validate_template_metadata(&template, errors);
        always_restarted(&spec, "StatefulSet", errors);
    } else {
        errors.invalid(&spec.at("selector"), "");
    }
    let Some(old) = &change.old else { return };
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        if let Value::Object(members) = &mut spec {
            members.retain(|name, _| !SEEN.contains(&name.as_str()));
        }
        spec
    };
    if !same(&fixed(spec.value), &fixed(old.at("spec").value)) {
        errors.forbidden(
            &spec,
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

fn stateful_strategy(strategy: &Field<'_>, errors: &mut Errors) {
    let (kind, rolling) = (strategy.at("type"), strategy.at("rollingUpdate"));
    match kind.text() {
        "" => errors.required(strategy, ""),
        "OnDelete" => {
            if rolling.is_set() {
                errors.invalid(&rolling, "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        "RollingUpdate" => {
            errors.not_negative(&rolling.at("partition"));
            let unavailable = rolling.at("maxUnavailable");
            if unavailable.is_set() {
                number_or_percentage(&unavailable, errors);
                if bare_number(&unavailable) == 0 {
                    errors.invalid(&unavailable, "cannot be 0");
                }
                at_most_all(&unavailable, errors);
            }
        }
        _ => {
            errors.invalid(strategy, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
}

pub(super) fn validate_daemon_set(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let given = spec.at("selector");
    if let Some(old) = &change.old {
        errors.immutable(&given, &old.at("spec.selector"));
    }
    label_selector(&given, errors);
    let _ = selects_template(&spec, errors);
    if given.is_set() && given.at("matchLabels").is_empty() && given.at("matchExpressions").is_empty() {
        errors.invalid(&given, "empty selector is invalid for daemonset");
    }
    pods::validate_template(&spec.at("template"), None, errors);
    always_restarted(&spec, "DaemonSet", errors);
    errors.none_negative(&spec, &["minReadySeconds"]);
    let strategy = spec.at("updateStrategy");
    let rolling = strategy.at("rollingUpdate");
    match strategy.at("type").text() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => errors.required(&rolling, ""),
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.at("maxUnavailable"), rolling.at("maxSurge"));
            for number in [&unavailable, &surge] {
                number_or_percentage(number, errors);
            }
            for number in [&unavailable, &surge] {
                at_most_all(number, errors);
            }
            match (bare_number(&unavailable) != 0, bare_number(&surge) != 0) {
                (true, true) => errors.invalid(&surge, "may not be set when maxUnavailable is non-zero"),
                (false, false) => errors.required(&unavailable, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => errors.not_supported_value(&strategy, &["RollingUpdate", "OnDelete"]),
    }
    errors.not_negative(&spec.at("revisionHistoryLimit"));
}

pub(super) fn validate_controller_revision(change: &Change<'_>, errors: &mut Errors) {
    let (revision, data) = (change.new.at("revision"), change.new.at("data"));
    errors.not_negative(&revision);
    match &change.old {
        // Nobody knows what it means, so that it has to be what it was.
        Some(old) if data.value == old.at("data").value => {}
        Some(_) => errors.invalid(&data, "field is immutable"),
        None if !data.is_set() => errors.required(&data, "data is mandatory"),
        None if !data.value.is_object() => errors.required(&data, "data must be a valid JSON object"),
        None => {}
    }
}

/// Numbers of a status: none negative, and parts not greater than the whole.
fn replicas(status: &Field<'_>, parts: &[&str], others: &[&str], ready: &str, errors: &mut Errors) {
    let numbers: Vec<&str> = [&["replicas"], parts, others].concat();
    errors.none_negative(status, &numbers);
    let all = status.at("replicas").count();
    for part in parts.iter().map(|part| status.at(part)).filter(|part| part.count() > all) {
        errors.invalid(&part, ABOVE_REPLICAS);
    }
    let available = status.at("availableReplicas");
    if available.count() > status.at("readyReplicas").count() {
        errors.invalid(&available, &format!("cannot be greater than {ready}"));
    }
}

fn collisions(change: &Change<'_>, errors: &mut Errors) {
    let count = change.new.at("status.collisionCount");
    let before = change.old.as_ref().and_then(|old| old.at("status.collisionCount").number());
    if before.is_some_and(|before| !count.is_set() || count.count() < before) {
        errors.invalid_number(&count, "cannot be decremented");
    }
}

pub(super) fn validate_deployment_status(change: &Change<'_>, errors: &mut Errors) {
    let others = ["observedGeneration", "unavailableReplicas", "terminatingReplicas", "collisionCount"];
    let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    replicas(&change.new.at("status"), &parts, &others, "readyReplicas", errors);
    collisions(change, errors);
}

pub(super) fn validate_replica_set_status(change: &Change<'_>, errors: &mut Errors) {
    let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    let others = ["observedGeneration", "terminatingReplicas"];
    replicas(&change.new.at("status"), &parts, &others, "readyReplicas", errors);
}

pub(super) fn validate_stateful_set_status(change: &Change<'_>, errors: &mut Errors) {
    let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    let others = ["observedGeneration", "collisionCount"];
    replicas(&change.new.at("status"), &parts, &others, "status.readyReplicas", errors);
    collisions(change, errors);
}

pub(super) fn validate_daemon_set_status(change: &Change<'_>, errors: &mut Errors) {
    errors.none_negative(
        &change.new.at("status"),
        &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
    );
    collisions(change, errors);
}
