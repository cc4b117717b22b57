//! What a cluster is made of and how it is shared: nodes, namespaces, quotas, limits, priorities, runtimes, leases.

use std::collections::{BTreeMap, BTreeSet};

use kogge_machinery::status_error::{FieldError, FieldErrorKind};
use serde_json::{Value, json};

use super::{
    Change,
    field::{Errors, Field},
    resources,
    scheduling::{taints, tolerations},
    text::{label, labels, network, qualified_name, sloppy_network},
};

/// A Node, and what a kubelet says of it.
pub(super) fn validate_node(change: &Change<'_>, errors: &mut Errors) {
    const ONCE: &str = "except from \"\" to valid";
    let node = &change.new;
    let (spec, status) = (node.at("spec"), node.at("status"));
    let node_taints = spec.at("taints").reported_as("metadata.taints");
    taints(&node_taints, errors);
    for list in ["capacity", "allocatable"] {
        for (resource, value) in status.at(list).entries() {
            resources::amount(resource, &value.reported_as(&format!("status.{list}.{resource}")), errors);
        }
    }
    let networks = spec.at("podCIDRs");
    if change.subresource.is_empty() {
        networks.items().for_each(|item| network(&item, &[], errors));
        let families: Vec<bool> = networks.texts().map(|text| text.contains(':')).collect();
        let wrong = networks.texts().enumerate().find(|(_, text)| sloppy_network(text).is_none());
        let wrong = wrong.filter(|_| families.len() > 1);
        if let Some((index, text)) = wrong {
            let detail = format!(
                "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{index}]: <nil> (invalid CIDR \
                 address: {text})"
            );
            errors.push(FieldError::without_value(FieldErrorKind::Internal, networks.path(), &detail));
        }
        if wrong.is_some() || families.len() > 2 || (families.len() == 2 && families[0] == families[1]) {
            errors.invalid(&networks, "may specify no more than one CIDR for each IP family");
        }
    }
    let Some(old) = &change.old else { return };
    let mut seen = BTreeSet::new();
    for address in status.at("addresses").items() {
        let (kind, text) = (address.at("type").text(), address.at("address").text());
        if !seen.insert((kind, text)) {
            let shown = format!("{{\"Type\":{},\"Address\":{}}}", Value::from(kind), Value::from(text));
            errors.push(FieldError::with_text(FieldErrorKind::Duplicate, address.path(), &shown, ""));
        }
    }
    if change.subresource.is_empty() {
        // The rules of a change ask for these once more.
        taints(&node_taints, errors);
    }
    let known = old.at("spec.podCIDRs");
    if !known.is_empty() && !known.texts().eq(networks.texts()) {
        errors.forbidden(&networks, &format!("node updates may not change podCIDR {ONCE}"));
    }
    let (id, known) = (spec.at("providerID"), old.at("spec.providerID"));
    if !known.is_empty() && known.text() != id.text() {
        errors.forbidden(&id, &format!("node updates may not change providerID {ONCE}"));
    }
}

/// A Namespace.
pub(super) fn validate_namespace(change: &Change<'_>, errors: &mut Errors) {
    let list = change.new.at("spec.finalizers");
    for finalizer in list.items() {
        if change.old.is_none() {
            finalizer_name(&finalizer.reported_as(list.path()), errors);
        } else if change.subresource == "finalize" {
            finalizer_name(&finalizer, errors);
        }
    }
}

fn finalizer_name(finalizer: &Field<'_>, errors: &mut Errors) {
    qualified_name(finalizer, errors);
    if !finalizer.text().contains('/') && !matches!(finalizer.text(), "kubernetes" | "orphan" | "foregroundDeletion") {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.invalid_text(finalizer, detail);
    }
}

pub(super) fn validate_namespace_status(change: &Change<'_>, errors: &mut Errors) {
    let phase = change.new.at("status.phase");
    let deleted = change.new.at("metadata.deletionTimestamp").is_set();
    let (expected, when) = if deleted { ("Terminating", "is not empty") } else { ("Active", "is empty") };
    if phase.text() != expected {
        let place = phase.reported_as("status.Phase");
        errors.invalid_text(&place, &format!("may only be '{expected}' if `deletionTimestamp` {when}"));
    }
}

fn counted(map: &Field<'_>, errors: &mut Errors) {
    for (resource, value) in map.entries() {
        resources::quota_name(resource, &value, errors);
        resources::amount(resource, &value, errors);
    }
}

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];

fn scope_fits(scope: &str, resource: &str) -> bool {
    let of_work =
        ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"].contains(&resource);
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ if SCOPES.contains(&scope) => resource == "pods" || of_work,
        _ => true,
    }
}

fn conflicting(scopes: &BTreeSet<&str>) -> usize {
    [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]]
        .iter()
        .filter(|pair| pair.iter().all(|scope| scopes.contains(scope)))
        .count()
}

/// A ResourceQuota.
pub(super) fn validate_quota(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let (hard, scopes) = (spec.at("hard"), spec.at("scopes"));
    counted(&hard, errors);
    let is_standard = |resource: &str| !resource.contains('/') && !resource.starts_with("count/");
    for scope in scopes.texts() {
        if !SCOPES.contains(&scope) {
            errors.invalid(&scopes, "unsupported scope");
        }
        for (resource, _) in hard.entries() {
            if is_standard(resource) && !scope_fits(scope, resource) {
                errors.invalid(&scopes, "unsupported scope applied to resource");
            }
        }
    }
    for _ in 0..conflicting(&scopes.texts().collect()) {
        errors.invalid(&scopes, "conflicting scopes");
    }
    quota_selector(&spec, errors);
    if let Some(old) = &change.old {
        let set = |scopes: &Field<'_>| scopes.texts().map(str::to_owned).collect::<BTreeSet<String>>();
        if set(&scopes) != set(&old.at("spec.scopes")) {
            errors.invalid(&scopes, "field is immutable");
        }
    }
}

fn quota_selector(spec: &Field<'_>, errors: &mut Errors) {
    let selector = spec.at("scopeSelector");
    let place = selector.at("matchExpressions");
    let mut seen = BTreeSet::new();
    for requirement in place.items() {
        let at = |name: &str| requirement.at(name).reported_at(&place, name);
        let (scope, operator, values) = (at("scopeName"), at("operator"), at("values"));
        if !SCOPES.contains(&scope.text()) {
            errors.invalid_text(&scope, "unsupported scope");
        }
        for (resource, _) in spec.at("hard").entries() {
            if !resource.contains('/') && !scope_fits(scope.text(), resource) {
                let shown = json!({"MatchExpressions": place.value});
                errors.show(&place, &shown, "unsupported scope applied to resource");
            }
        }
        let fixed =
            !matches!(scope.text(), "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&scope.text());
        if fixed && operator.text() != "Exists" {
            errors.invalid_text(
                &operator,
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                 ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.required(&values, detail);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.invalid(&values, detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.invalid_text(&operator, "not a valid selector operator"),
        }
        seen.insert(scope.text());
    }
    for _ in 0..conflicting(&seen) {
        errors.show(&place, spec.at("scopes").value, "conflicting scopes");
    }
}

pub(super) fn validate_quota_status(change: &Change<'_>, errors: &mut Errors) {
    for list in ["hard", "used"] {
        counted(&change.new.at("status").at(list), errors);
    }
}

/// A LimitRange.
pub(super) fn validate_limits(change: &Change<'_>, errors: &mut Errors) {
    let mut kinds = BTreeSet::new();
    for limit in change.new.at("spec.limits").items() {
        let kind = limit.at("type");
        let before = errors.len();
        qualified_name(&kind, errors);
        let well_formed = errors.len() == before;
        if well_formed
            && !kind.text().contains('/')
            && !matches!(kind.text(), "Pod" | "Container" | "PersistentVolumeClaim")
        {
            errors.invalid_text(&kind, "must be a standard limit type or fully qualified");
        }
        if !kinds.insert(kind.text()) {
            errors.duplicate(&kind);
        }
        let of_pod = kind.text() == "Pod";
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            let given = limit.at(list);
            if of_pod && list.starts_with("default") {
                if !given.is_empty() {
                    errors.forbidden(&given, "may not be specified when `type` is 'Pod'");
                }
                continue;
            }
            for (resource, value) in given.entries() {
                if matches!(kind.text(), "Pod" | "Container") {
                    resources::container_name(resource, &value, errors);
                } else {
                    resources::name(resource, &value, errors);
                }
            }
        }
        let has_storage = |list: &str| limit.at(list).key("storage").is_set();
        if kind.text() == "PersistentVolumeClaim" && !has_storage("min") && !has_storage("max") {
            let detail = "either minimum or maximum storage value is required, but neither was provided";
            errors.required(&limit.at("limits"), detail);
        }
        compare_limits(&limit, errors);
    }
}

/// The least, the defaults and the most have to be in order.
fn compare_limits(limit: &Field<'_>, errors: &mut Errors) {
    let [least, most, default, request, ratio] =
        ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"].map(|list| limit.at(list));
    let of_pod = limit.at("type").text() == "Pod";
    let (least_of, most_of, ratio_of) =
        (resources::amounts(&least), resources::amounts(&most), resources::amounts(&ratio));
    let (default_of, request_of) =
        if of_pod { Default::default() } else { (resources::amounts(&default), resources::amounts(&request)) };
    let all = [&least_of, &most_of, &default_of, &request_of, &ratio_of];
    let names: BTreeSet<&str> = all.iter().flat_map(|amounts| amounts.keys().copied()).collect();
    for name in names {
        let get = |amounts: &BTreeMap<&str, _>| amounts.get(name).copied();
        let comparisons = [
            (get(&least_of), get(&most_of), &least, 0, "min value {} is greater than max value {}"),
            (get(&least_of), get(&request_of), &request, 1, "min value {} is greater than default request value {}"),
            (get(&request_of), get(&most_of), &request, 0, "default request value {} is greater than max value {}"),
            (
                get(&request_of),
                get(&default_of),
                &request,
                0,
                "default request value {} is greater than default limit value {}",
            ),
            (get(&least_of), get(&default_of), &default, 0, "min value {} is greater than default value {}"),
            (get(&default_of), get(&most_of), &default, 1, "default value {} is greater than max value {}"),
        ];
        for (lower, upper, place, shown, words) in comparisons {
            if let (Some((lower, lower_text)), Some((upper, upper_text))) = (lower, upper)
                && lower > upper
            {
                let detail = words.replacen("{}", lower_text, 1).replacen("{}", upper_text, 1);
                let shown = if shown == 0 { lower_text } else { upper_text };
                errors.show(&place.key(name), &shown.into(), &detail);
            }
        }
        if let Some((given, text)) = get(&ratio_of) {
            let place = ratio.key(name);
            if given.to_float() < 1.0 {
                errors.invalid(&place, &format!("ratio {text} is less than 1"));
            }
            if let (Some((least, _)), Some((most, _))) = (get(&least_of), get(&most_of)) {
                let limit = most.to_float() / least.to_float();
                if given.to_float() > limit {
                    errors.invalid(&place, &format!("ratio {text} is greater than max/min = {limit:.6}"));
                }
            }
        }
        if let (Some((default, default_text)), Some((given, text))) = (get(&default_of), get(&request_of))
            && default != given
            && !resources::is_overcommit_allowed(name)
        {
            let detail = format!("default value {default_text} must equal to defaultRequest value {text} in {name}");
            errors.invalid(&request.key(name), &detail);
        }
    }
}

/// A PriorityClass, which stays as it is.
pub(super) fn validate_priority(change: &Change<'_>, errors: &mut Errors) {
    const HIGHEST: i64 = 1_000_000_000;
    const SYSTEM: [(&str, i64); 2] =
        [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
    let class = &change.new;
    let (name, value, policy) = (class.at("metadata.name"), class.at("value"), class.at("preemptionPolicy"));
    if let Some(old) = &change.old {
        if value.count() != old.at("value").count() {
            errors.forbidden(&value, "may not be changed in an update.");
        }
        errors.immutable(&policy, &old.at("preemptionPolicy"));
        return;
    }
    if name.text().starts_with("system-") {
        let known = SYSTEM.iter().find(|(known, _)| *known == name.text());
        let problem = match known {
            None => Some(format!("{} is not a known system priority class", name.text())),
            Some((_, expected)) if value.count() != *expected => {
                Some(format!("value of {} PriorityClass must be {expected}", name.text()))
            }
            Some(_) if class.at("globalDefault").is_true() => {
                Some(format!("globalDefault of {} PriorityClass must be false", name.text()))
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {problem}"
            );
            errors.forbidden(&name, &detail);
        }
    } else if value.count() > HIGHEST {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.forbidden(&value, &detail);
    }
    if policy.is_set() {
        errors.one_of(&policy, &["PreemptLowerPriority", "Never"]);
    }
}

/// A RuntimeClass.
pub(super) fn validate_runtime(change: &Change<'_>, errors: &mut Errors) {
    let class = &change.new;
    let handler = class.at("handler");
    if let Some(old) = &change.old {
        errors.immutable(&handler, &old.at("handler"));
    }
    if handler.is_empty() {
        errors.required(&handler, "");
    } else {
        label(&handler, errors);
    }
    resources::of_overhead(&class.at("overhead.podFixed").reported_as("overhead"), errors);
    let scheduling = class.at("scheduling");
    labels(&scheduling.at("nodeSelector"), errors);
    tolerations(&scheduling.at("tolerations"), errors);
    let mut seen = BTreeSet::new();
    for toleration in scheduling.at("tolerations").items() {
        let key = ["key", "operator", "value", "effect"].map(|name| toleration.at(name).text());
        if !seen.insert(key) {
            errors.duplicate(&toleration);
        }
    }
}

/// A Lease.
pub(super) fn validate_lease(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let (seconds, transitions) = (spec.at("leaseDurationSeconds"), spec.at("leaseTransitions"));
    if seconds.number().is_some_and(|seconds| seconds <= 0) {
        errors.invalid(&seconds, "must be greater than 0");
    }
    errors.not_negative(&transitions);
    let (strategy, holder) = (spec.at("strategy"), spec.at("preferredHolder"));
    if strategy.is_set() {
        let place = strategy.reported_at(&strategy, "strategy");
        if strategy.text().contains('/') {
            qualified_name(&place, errors);
        } else if strategy.text() != "OldestEmulationVersion" {
            errors.not_supported(&place, &["OldestEmulationVersion"]);
        }
    }
    if !holder.is_empty() && strategy.is_empty() {
        errors.forbidden(&holder, "may only be specified if `strategy` is defined");
    }
}

/// A PodDisruptionBudget.
pub(super) fn validate_budget(change: &Change<'_>, errors: &mut Errors) {
    use super::text::{at_most_all, label_selector, number_or_percentage};
    let spec = change.new.at("spec");
    let (least, most) = (spec.at("minAvailable"), spec.at("maxUnavailable"));
    if least.is_set() && most.is_set() {
        let mut error = FieldError::invalid("spec", &Value::Null, "");
        // In the order of the real server's own type.
        error.message = format!(
            "Invalid value: {{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}: \
             minAvailable and maxUnavailable cannot be both set",
            least.value,
            spec.at("selector").value,
            most.value,
            spec.at("unhealthyPodEvictionPolicy").value
        );
        errors.push(error);
    }
    for number in [least, most].iter().filter(|number| number.is_set()) {
        number_or_percentage(number, errors);
        at_most_all(number, errors);
    }
    label_selector(&spec.at("selector"), errors);
    errors.known(&spec.at("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
}

pub(super) fn validate_budget_status(change: &Change<'_>, errors: &mut Errors) {
    let numbers = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    errors.none_negative(&change.new.at("status"), &numbers);
}
