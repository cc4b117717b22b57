//! Names and amounts of resources: of containers, pods, quotas and limits.

use std::collections::{BTreeMap, BTreeSet};

use kogge_machinery::{
    object_meta::label_key_messages,
    quantity::Quantity,
    status_error::{FieldError, FieldErrorKind},
};
use serde_json::Value;

use super::{
    field::{Errors, Field},
    text::label,
};

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const QUOTA: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const WHOLE: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const HUGE_PAGES: &str = "hugepages-";

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && label_key_messages(&format!("requests.{name}")).is_empty()
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

fn is_quota_name(name: &str) -> bool {
    QUOTA.contains(&name) || is_huge_pages(name) || name.starts_with("requests.hugepages-")
}

/// Whether more may be promised than there is.
pub(super) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// The name of a resource, reported at `place`.
pub(super) fn name(name: &str, place: &Field<'_>, errors: &mut Errors) {
    let messages = label_key_messages(name);
    let well_formed = messages.is_empty();
    for message in messages {
        errors.show(place, &name.into(), &message);
    }
    if well_formed && !name.contains('/') && !is_quota_name(name) && name != "storage" {
        errors.show(place, &name.into(), "must be a standard resource type or fully qualified");
    }
}

/// The name of a resource a container can use.
pub(super) fn container_name(text: &str, place: &Field<'_>, errors: &mut Errors) {
    name(text, place, errors);
    if !text.contains('/') {
        if !CONTAINER.contains(&text) && !is_huge_pages(text) {
            errors.show(place, &text.into(), "must be a standard resource for containers");
        }
    } else if !is_native(text) && !is_extended(text) {
        errors.show(place, &text.into(), "doesn't follow extended resource name standard");
    }
}

/// The name of a resource that can be given to a pod as a whole.
fn pod_name(text: &str, place: &Field<'_>, errors: &mut Errors) {
    let before = errors.len();
    name(text, place, errors);
    if errors.len() == before && !matches!(text, "cpu" | "memory") && !is_huge_pages(text) {
        let error = FieldError::not_supported(place.path(), &text.into(), &["cpu", "hugepages-", "memory"]);
        errors.push(error);
    }
}

/// The name of a resource that can be counted.
pub(super) fn quota_name(text: &str, place: &Field<'_>, errors: &mut Errors) {
    name(text, place, errors);
    if !text.contains('/') && !is_quota_name(text) {
        errors.show(place, &text.into(), "must be a standard resource for quota");
    }
}

/// An amount of a resource: not negative, and whole where it counts things.
pub(super) fn amount(resource: &str, value: &Field<'_>, errors: &mut Errors) {
    let Some(amount) = value.amount() else { return };
    if amount.is_negative() {
        errors.invalid(value, "must be greater than or equal to 0");
    }
    if (WHOLE.contains(&resource) || is_extended(resource)) && !amount.is_whole() {
        errors.invalid(value, "must be an integer");
    }
}

fn huge_pages(resource: &str, value: &Field<'_>, errors: &mut Errors) {
    let Some(page) = resource.strip_prefix(HUGE_PAGES) else { return };
    let page = Quantity::of(&page.into()).filter(|page| page.is_positive() && page.is_whole());
    let fits = value.amount().zip(page).is_some_and(|(amount, page)| amount.is_multiple_of(page));
    if !fits {
        let detail = format!("{} is not positive integer multiple of {resource}", value.text());
        errors.invalid(value, &detail);
    }
}

/// Requests and limits of a container.
pub(super) fn of_container(requirements: &Field<'_>, claims: &BTreeSet<&str>, errors: &mut Errors) {
    requirements_of(requirements, container_name, claims, errors);
}

/// Requests and limits of a pod as a whole.
pub(super) fn of_pod(requirements: &Field<'_>, errors: &mut Errors) {
    if requirements.at("claims").is_set() {
        errors.forbidden(&requirements.at("claims"), "claims may not be set for Resources at pod-level");
    }
    requirements_of(requirements, pod_name, &BTreeSet::new(), errors);
}

/// Limits without requests, as the overhead of a runtime.
pub(super) fn of_overhead(overhead: &Field<'_>, errors: &mut Errors) {
    for (resource, value) in overhead.entries() {
        let place = value.reported_as(&format!("{}.limits[{resource}]", overhead.path()));
        container_name(resource, &place, errors);
        amount(resource, &place, errors);
        huge_pages(resource, &place, errors);
    }
}

fn requirements_of(
    requirements: &Field<'_>,
    name: fn(&str, &Field<'_>, &mut Errors),
    claims: &BTreeSet<&str>,
    errors: &mut Errors,
) {
    let (limits, requests) = (requirements.at("limits"), requirements.at("requests"));
    for (resource, value) in limits.entries() {
        name(resource, &value, errors);
        amount(resource, &value, errors);
        huge_pages(resource, &value, errors);
    }
    for (resource, value) in requests.entries() {
        name(resource, &value, errors);
        amount(resource, &value, errors);
        let limit = limits.key(resource);
        match (value.amount(), limit.amount()) {
            (Some(request), Some(most)) if request != most && !is_overcommit_allowed(resource) => {
                let detail = format!("must be equal to {resource} limit of {}", limit.text());
                errors.show(&requests, value.value, &detail);
            }
            (Some(request), Some(most)) if request > most => {
                let detail = format!("must be less than or equal to {resource} limit of {}", limit.text());
                errors.show(&requests, value.value, &detail);
            }
            (_, None) if !is_overcommit_allowed(resource) => {
                errors.required(&limits, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
        huge_pages(resource, &value, errors);
    }
    let resources = || limits.entries().chain(requests.entries()).map(|(resource, _)| resource);
    if resources().any(is_huge_pages) && !resources().any(|resource| matches!(resource, "cpu" | "memory")) {
        errors.forbidden(requirements, "HugePages require cpu or memory");
    }
    claim_names(&requirements.at("claims"), claims, errors);
}

fn claim_names(claims: &Field<'_>, known: &BTreeSet<&str>, errors: &mut Errors) {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for claim in claims.items() {
        let (name, request) = (claim.at("name").text(), claim.at("request"));
        if name.is_empty() {
            errors.required(&claim, "");
            continue;
        }
        let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{}", request.text()) };
        if !request.is_empty() {
            label(&request, errors);
        }
        let whole_of_part = request.is_empty() && names.iter().any(|other| other.split('/').next() == Some(name));
        if names.contains(name) || whole_of_part || !names.insert(key.clone()) {
            let shown = if names.contains(name) { name } else { &key };
            errors.push(FieldError::duplicate(claim.path(), &shown.into()));
        }
        if !known.contains(name) {
            let list = known.iter().copied().collect::<Vec<_>>().join(", ");
            let ending = if known.is_empty() { " which is empty".to_owned() } else { format!(": {list}") };
            let detail = format!("must be one of the names in pod.spec.resourceClaims{ending}");
            let error = FieldError::with_value(FieldErrorKind::NotFound, claim.path(), &name.into(), &detail);
            errors.push(error);
        }
    }
}

/// A resource of a container, as a variable or a file shows it.
pub(super) fn resource_field(selector: &Field<'_>, in_volume: bool, errors: &mut Errors) {
    const FIELDS: [&str; 6] = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    const UNITS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let (container, resource, divisor) =
        (selector.at("containerName"), selector.at("resource"), selector.at("divisor"));
    let name = resource.text();
    let pages = name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if in_volume && container.is_empty() {
        errors.required(&container, "");
    } else if name.is_empty() {
        errors.required(&resource, "");
    } else if !FIELDS.contains(&name) && !pages {
        errors.not_supported(&resource, &FIELDS);
    }
    let written = match divisor.value {
        Value::Null => return,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if divisor.amount().is_none_or(|amount| !amount.is_positive() && !amount.is_negative()) {
        return;
    }
    let kind = match name {
        "limits.cpu" | "requests.cpu" => {
            if !matches!(written.as_str(), "1" | "1m") {
                let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
                errors.show(&divisor, &name.into(), detail);
            }
            return;
        }
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        _ if pages => "hugepages",
        _ => return,
    };
    if !UNITS.contains(&written.as_str()) {
        let detail = format!("only divisor's values {} are supported with the {kind} resource", UNITS.join(", "));
        errors.show(&divisor, &name.into(), &detail);
    }
}

/// The amounts of a map of resources.
pub(super) fn amounts<'o>(map: &Field<'o>) -> BTreeMap<&'o str, (Quantity, &'o str)> {
    let entries = map.entries().filter_map(|(name, value)| Some((name, (value.amount()?, value.text()))));
    entries.collect()
}
