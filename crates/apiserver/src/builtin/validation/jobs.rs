//! Jobs and CronJobs.

use std::collections::BTreeSet;

use kogge_machinery::{
    object_meta::dns_1123_label_messages,
    selector::LabelSelector,
    status_error::{FieldError, quote},
};
use serde_json::{Map, Value};

use super::{
    Change,
    field::{Errors, Field, same},
    pods,
    text::{domain_path, label_selector, qualified_name},
};

mod indexes;

const INDEXED: &str = "Indexed";
const MAX_INDEXES: i64 = 100_000;

/// A Job that is created or changed.
pub(super) fn validate(change: &Change<'_>, errors: &mut Errors) {
    let job = &change.new;
    let spec = job.at("spec");
    generated_selector(job, errors);
    selecting_spec(&spec, errors);
    let (name, completions) = (job.at("metadata.name"), spec.at("completions").count());
    if spec.at("completionMode").text() == INDEXED && completions > 0 {
        let last = format!("{}-{}", name.text(), completions - 1);
        if !dns_1123_label_messages(&last).is_empty() {
            errors.invalid(&name, &format!("will not able to create pod with invalid DNS label: {last}"));
        }
    }
    if let Some(old) = &change.old {
        // The rules of a change ask for all of the spec once more.
        selecting_spec(&spec, errors);
        validate_update(&spec, old, errors);
    }
}

/// The spec of a Job, and how it selects its pods.
fn selecting_spec(spec: &Field<'_>, errors: &mut Errors) {
    job_spec(spec, errors);
    let selector = spec.at("selector");
    if selector.is_set() {
        label_selector(&selector, errors);
    } else {
        errors.required(&selector, "");
    }
    let labels = spec.at("template.metadata.labels");
    let parsed = LabelSelector::from_object(selector.value);
    if let Ok(parsed) = parsed
        && (!selector.is_set() || !parsed.matches_labels(labels.value.as_object()))
    {
        errors.invalid(&labels, "`selector` does not match template `labels`");
    }
}

fn generated_selector(job: &Field<'_>, errors: &mut Errors) {
    let spec = job.at("spec");
    if spec.at("manualSelector").is_true() || !spec.at("selector").is_set() {
        return;
    }
    let (uid, name) = (job.at("metadata.uid").text(), job.at("metadata.name").text());
    let expected = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    let metadata = spec.at("template.metadata");
    for (key, value) in expected {
        let label = metadata.at("labels").key(key);
        if !label.is_set() {
            errors.required(&label, &format!("must be '{value}'"));
        } else if label.text() != value {
            let shown = metadata.at("labels");
            errors.push(FieldError::invalid(label.path(), shown.value, &format!("must be '{value}'")));
        }
    }
    let own: Map<String, Value> = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let selector = spec.at("selector");
    if LabelSelector::from_object(selector.value).is_ok_and(|parsed| !parsed.matches_labels(Some(&own))) {
        errors.invalid(&selector, "`selector` not auto-generated");
    }
}

pub(super) fn job_spec(spec: &Field<'_>, errors: &mut Errors) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    errors.none_negative(spec, &numbers);
    let [parallelism, completions, .., per_index, failed] = numbers.map(|name| spec.at(name));
    if failed.is_set() && !per_index.is_set() {
        errors.required(&per_index, "when maxFailedIndexes is specified");
    }
    let manager = spec.at("managedBy");
    if manager.is_set() {
        domain_path(&manager, errors);
        if manager.text().len() > 63 {
            errors.too_long(&manager, 63);
        }
    }
    let mode = spec.at("completionMode");
    errors.known(&mode, &["NonIndexed", INDEXED]);
    if mode.text() == INDEXED {
        indexed(&parallelism, &completions, &per_index, &failed, errors);
    } else if !mode.is_set() || mode.text() == "NonIndexed" {
        for field in [&per_index, &failed].into_iter().filter(|field| field.is_set()) {
            errors.invalid(field, "requires indexed completion mode");
        }
    }
    if spec.at("podFailurePolicy").is_set() {
        failure_policy(spec, errors);
    }
    let success = spec.at("successPolicy");
    if success.is_set() {
        if mode.text() == INDEXED {
            success_policy(&success, completions.count(), errors);
        } else {
            errors.invalid(&success, "requires indexed completion mode");
        }
    }
    let replacement = spec.at("podReplacementPolicy");
    if spec.at("podFailurePolicy").is_set() {
        errors.known(&replacement, &["Failed"]);
    } else {
        errors.known(&replacement, &["Failed", "TerminatingOrFailed"]);
    }
    pods::validate_template(&spec.at("template"), None, errors);
    let restart = spec.at("template.spec.restartPolicy");
    match restart.text() {
        "Always" | "" => errors.required(&restart, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.at("podFailurePolicy").is_set() => {
            errors.invalid(&restart, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => errors.not_supported(&restart, &["OnFailure", "Never"]),
    }
}

fn indexed(
    parallelism: &Field<'_>,
    completions: &Field<'_>,
    per_index: &Field<'_>,
    failed: &Field<'_>,
    errors: &mut Errors,
) {
    const MANY: i64 = 10_000;
    if !completions.is_set() {
        errors.required(completions, "when completion mode is Indexed");
    }
    if parallelism.count() > MAX_INDEXES {
        let detail = format!("must be less than or equal to {MAX_INDEXES} when completion mode is Indexed");
        errors.invalid(parallelism, &detail);
    }
    if completions.is_set() && failed.count() > completions.count() {
        errors.invalid(failed, "must be less than or equal to completions");
    }
    if failed.count() > MAX_INDEXES {
        errors.invalid(failed, &format!("must be less than or equal to {MAX_INDEXES}"));
    }
    if completions.count() > MAX_INDEXES && per_index.is_set() {
        if !failed.is_set() {
            errors.required(failed, &format!("must be specified when completions is above {MAX_INDEXES}"));
        }
        for field in [parallelism, failed].into_iter().filter(|field| field.count() > MANY) {
            let detail = format!(
                "must be less than or equal to {MANY} when completions are above {MAX_INDEXES} and used with backoff limit \
                 per index"
            );
            errors.invalid(field, &detail);
        }
    }
}

fn listed(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn failure_policy(spec: &Field<'_>, errors: &mut Errors) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    let rules = spec.at("podFailurePolicy.rules");
    if rules.len() > 20 {
        errors.too_many(&rules, 20);
    }
    let names: BTreeSet<String> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| {
            let list = spec.at("template.spec").at(list);
            list.items().map(|container| container.at("name").text().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    for rule in rules.items() {
        let (action, codes, conditions) = (rule.at("action"), rule.at("onExitCodes"), rule.at("onPodConditions"));
        match action.text() {
            "" => errors.required(&action, &listed(&ACTIONS)),
            "FailIndex" if !spec.at("backoffLimitPerIndex").is_set() => {
                errors.invalid(&action, "requires the backoffLimitPerIndex to be set");
            }
            _ => errors.known(&action, &ACTIONS),
        }
        if codes.is_set() {
            exit_codes(&codes, &names, errors);
        }
        pod_conditions(&conditions, errors);
        let detail = match (codes.is_set(), !conditions.is_empty()) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        errors.invalid_without_value(&rule, detail);
    }
}

fn pod_conditions(conditions: &Field<'_>, errors: &mut Errors) {
    const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
    if conditions.len() > 20 {
        errors.too_many(conditions, 20);
    }
    for pattern in conditions.items() {
        qualified_name(&pattern.at("type"), errors);
        let status = pattern.at("status");
        if status.is_empty() {
            errors.required(&status, &listed(&STATUSES));
        } else {
            errors.known(&status, &STATUSES);
        }
    }
}

fn exit_codes(codes: &Field<'_>, names: &BTreeSet<String>, errors: &mut Errors) {
    const OPERATORS: [&str; 2] = ["In", "NotIn"];
    let (operator, container, values) = (codes.at("operator"), codes.at("containerName"), codes.at("values"));
    if operator.is_empty() {
        errors.required(&operator, &listed(&OPERATORS));
    } else {
        errors.known(&operator, &OPERATORS);
    }
    if container.is_set() && !names.contains(container.text()) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.invalid(&container, detail);
    }
    if values.is_empty() {
        errors.invalid(&values, "at least one value is required");
    } else if values.len() > 255 {
        errors.too_many(&values, 255);
    }
    let mut seen = BTreeSet::new();
    for value in values.items() {
        if operator.text() == "In" && value.count() == 0 {
            errors.invalid(&value, "must not be 0 for the In operator");
        }
        if !seen.insert(value.count()) {
            errors.duplicate(&value);
        }
    }
    let numbers: Vec<i64> = values.items().map(|value| value.count()).collect();
    if !numbers.is_sorted() {
        errors.invalid(&values, "must be ordered");
    }
}

fn success_policy(policy: &Field<'_>, completions: i64, errors: &mut Errors) {
    let rules = policy.at("rules");
    if rules.is_empty() {
        errors.required(&rules, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        errors.too_many(&rules, 20);
    }
    for rule in rules.items() {
        let (count, indexes) = (rule.at("succeededCount"), rule.at("succeededIndexes"));
        if !count.is_set() && !indexes.is_set() {
            errors.required(&rule, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let total = match indexes::total(indexes.text(), completions) {
            Ok(total) => total,
            Err(problem) => {
                errors.invalid(&indexes, &format!("error parsing succeededIndexes: {problem}"));
                0
            }
        };
        errors.not_negative(&count);
        if count.count() > completions {
            let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.invalid(&count, &detail);
        }
        if indexes.is_set() && count.count() > total {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.invalid(&count, &detail);
        }
    }
}

fn validate_update(spec: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let before = old.at("spec");
    let (completions, known) = (spec.at("completions"), before.at("completions"));
    if spec.at("completionMode").text() != INDEXED {
        errors.immutable(&completions, &known);
    } else if completions.is_set() && completions.count() != known.count() {
        let parallelism = spec.at("parallelism");
        if completions.count() != parallelism.count() {
            errors.invalid(&completions, "can only be modified in tandem with spec.parallelism");
        }
    }
    errors.immutable(&spec.at("selector"), &before.at("selector"));
    template_unchanged(spec, old, errors);
    for name in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        errors.immutable(&spec.at(name), &before.at(name));
    }
}

/// The template stays as it is. While a Job is suspended and has no pods, where they will run and with what may change.
fn template_unchanged(spec: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let (template, before) = (spec.at("template"), old.at("spec.template"));
    let status = old.at("status");
    let never_started = !status.at("startTime").is_set() || condition_holds(old, "Suspended");
    if !(old.at("spec.suspend").is_true() && never_started && status.at("active").count() == 0) {
        errors.immutable(&template, &before);
        return;
    }
    let now = template.at("spec");
    if !same(now.value, &with_mutable(before.at("spec").value, now.value)) {
        errors.invalid(&now, "field is immutable");
    }
}
/// What pods were to be like, with what may change of it as `new` says: a place to run, and resources.
fn with_mutable(old: &Value, new: &Value) -> Value {
    let mut spec = old.clone();
    let Value::Object(members) = &mut spec else { return spec };
    let take = |members: &mut Map<String, Value>, from: &Value, name: &str| match from.get(name) {
        Some(value) => _ = members.insert(name.to_owned(), value.clone()),
        None => _ = members.remove(name),
    };
    for name in ["nodeSelector", "tolerations", "schedulingGates"] {
        take(members, new, name);
    }
    let mut affinity = old["affinity"].as_object().cloned().unwrap_or_default();
    take(&mut affinity, &new["affinity"], "nodeAffinity");
    if affinity.is_empty() && new["affinity"].is_null() {
        members.remove("affinity");
    } else {
        members.insert("affinity".to_owned(), affinity.into());
    }
    for list in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = members.get_mut(list) else { continue };
        let new = new[list].as_array().filter(|new| new.len() == containers.len());
        for (container, new) in containers.iter_mut().zip(new.into_iter().flatten()) {
            if let Some(container) = container.as_object_mut().filter(|known| known.get("name") == new.get("name")) {
                take(container, new, "resources");
            }
        }
    }
    spec
}

/// Whether a condition of a Job is true.
fn condition_holds(job: &Field<'_>, kind: &str) -> bool {
    job.at("status.conditions")
        .items()
        .any(|condition| condition.at("type").text() == kind && condition.at("status").text() == "True")
}

/// What a controller says of a Job.
pub(super) fn validate_status(change: &Change<'_>, errors: &mut Errors) {
    let status = change.new.at("status");
    errors.none_negative(&status, &["active", "succeeded", "failed", "ready", "terminating"]);
    let mut seen = BTreeSet::new();
    for list in ["succeeded", "failed"] {
        for uid in status.at("uncountedTerminatedPods").at(list).items() {
            if uid.is_empty() {
                errors.invalid(&uid, "must not be empty");
            } else if !seen.insert(uid.text()) {
                errors.duplicate(&uid);
            }
        }
    }
    let now = |kind: &str| condition_holds(&change.new, kind);
    let then = |kind: &str| change.old.as_ref().is_some_and(|old| condition_holds(old, kind));
    let conditions = status.at("conditions");
    let complete = now("Complete");
    let finished = complete || now("Failed");
    let newly_finished = finished && !then("Complete") && !then("Failed");
    for (wrong, detail) in [
        (complete && now("Failed"), "cannot set Complete=True and Failed=true conditions"),
        (complete && now("FailureTarget"), "cannot set Complete=True and FailureTarget=true conditions"),
        (
            now("Failed") && !then("Failed") && !now("FailureTarget"),
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            complete && !then("Complete") && !now("SuccessCriteriaMet"),
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (now("SuccessCriteriaMet") && now("Failed"), "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (
            now("SuccessCriteriaMet") && now("FailureTarget"),
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
    ] {
        if wrong {
            errors.invalid_without_value(&conditions, detail);
        }
    }
    let (completed, started) = (status.at("completionTime"), status.at("startTime"));
    if completed.is_set() && !complete {
        errors.invalid(&completed, "cannot set completionTime when there is no Complete=True condition");
    }
    if !completed.is_set() && complete && newly_finished {
        errors.required(&completed, "completionTime is required for Complete jobs");
    }
    if completed.is_set() && started.is_set() && completed.text() < started.text() {
        errors.invalid(&completed, "must be equal to or after `startTime`");
    }
    if newly_finished {
        if status.at("active").count() > 0 {
            errors.invalid(&status.at("active"), "active>0 is invalid for finished job");
        }
        if !started.is_set() {
            errors.required(&started, "startTime is required for finished job");
        }
        if status.at("terminating").count() > 0 {
            errors.invalid(&status.at("terminating"), "terminating>0 is invalid for finished job");
        }
    }
    if status.at("ready").is_set() && status.at("ready").count() > status.at("active").count() {
        errors.invalid(&status.at("ready"), "cannot set more ready pods than active");
    }
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if then(kind) && !now(kind) {
            let detail = format!("cannot disable the terminal {kind}=True condition");
            errors.invalid_without_value(&conditions, &detail);
        }
    }
    let Some(old) = &change.old else { return };
    indexes::validate_status(&change.new, old, errors);
    let (known, suspended) = (old.at("status.startTime"), change.new.at("spec.suspend").is_true());
    let suspension = |job: &Field<'_>, status: &str| {
        let conditions = job.at("status.conditions");
        conditions.items().any(|one| one.at("type").text() == "Suspended" && one.at("status").text() == status)
    };
    let is_resuming = suspension(old, "True") && suspension(&change.new, "False");
    if known.is_set() && known.text() != started.text() && !suspended && !is_resuming {
        errors.invalid(&started, "field is immutable for unsuspended job once set");
    }
    for name in ["failed", "succeeded"] {
        let count = status.at(name);
        if count.count() < old.at("status").at(name).count() {
            errors.invalid_number(&count, &format!("cannot decrease the {name} counter"));
        }
    }
}
