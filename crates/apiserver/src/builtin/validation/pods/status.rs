//! What a kubelet or a controller says of a pod.

use kogge_machinery::{
    object_meta::subdomain_messages,
    status_error::{FieldError, FieldErrorKind},
};
use serde_json::{Value, json};

use super::super::{
    Change,
    field::{Errors, Field},
    text::{address, is_address, qualified_name},
};

/// What a kubelet or a controller says of a pod.
pub(in crate::builtin::validation) fn validate_status(change: &Change<'_>, errors: &mut Errors) {
    let Some(old) = &change.old else { return };
    let (status, before) = (change.new.at("status"), old.at("status"));
    for condition in status.at("conditions").items() {
        if condition.at("observedGeneration").count() < 0 {
            errors.invalid(&condition.at("observedGeneration"), "must be a non-negative integer");
        }
        let kind = condition.at("type");
        if !matches!(kind.text(), "PodScheduled" | "Ready" | "Initialized") {
            qualified_name(&kind.reported_at(&condition, "Type"), errors);
        }
    }
    let nominated = status.at("nominatedNodeName");
    if !nominated.is_empty() && nominated.text() != before.at("nominatedNodeName").text() {
        errors.messages(&nominated, subdomain_messages(nominated.text(), 253));
        if !old.at("spec.nodeName").is_empty() {
            errors.forbidden(&nominated, "may not be set on pods that are already bound to a node");
        }
    }
    if status.at("observedGeneration").count() < 0 {
        errors.invalid(&status.at("observedGeneration"), "must be a non-negative integer");
    }
    errors.immutable(&status.at("qosClass"), &before.at("qosClass"));
    for (list, may_restart) in
        [("containerStatuses", true), ("initContainerStatuses", true), ("ephemeralContainerStatuses", false)]
    {
        let policy = old.at("spec.restartPolicy");
        ended_stays_ended(&status.at(list), &before.at(list), if may_restart { policy.text() } else { "" }, errors);
    }
    for (list, legacy) in [("podIPs", ""), ("hostIPs", "hostIP")] {
        addresses(&status, &before, list, legacy, errors);
    }
}

fn ended_stays_ended(new: &Field<'_>, old: &Field<'_>, policy: &str, errors: &mut Errors) {
    if policy == "Always" {
        return;
    }
    for known in old.items() {
        let ended = known.at("state.terminated");
        let restarts = policy == "OnFailure" && ended.at("exitCode").count() != 0;
        if !ended.is_set() || restarts {
            continue;
        }
        let name = known.at("name").text();
        let revived =
            new.items().any(|status| status.at("name").text() == name && !status.at("state.terminated").is_set());
        if revived {
            let index = known.path().rsplit_once('[').map_or("0]", |(_, index)| index);
            let place = format!("{}[{index}.state", new.path());
            errors.push(FieldError::forbidden(place, "may not be transitioned to non-terminated state"));
        }
    }
}

fn addresses(status: &Field<'_>, before: &Field<'_>, list: &str, legacy: &str, errors: &mut Errors) {
    let (now, then) = (status.at(list), before.at(list));
    let known: Vec<&str> = then.items().map(|item| item.at("ip").text()).collect();
    let first = now.items().next();
    if let Some(first) = first.filter(|_| !legacy.is_empty()).map(|first| first.at("ip"))
        && first.text() != status.at(legacy).text()
    {
        errors.invalid(&first, &format!("must be equal to `{legacy}`"));
    }
    for item in now.items() {
        address(&item.at("ip").reported_as(item.path()), &known, errors);
    }
    let texts: Vec<&str> = now.items().map(|item| item.at("ip").text()).collect();
    if texts.len() < 2 {
        return;
    }
    let wrong = texts.iter().position(|text| !is_address(text));
    if let Some(index) = wrong {
        let detail = format!("failed to check for dual stack with error:invalid IP[{index}]: {}", texts[index]);
        errors.push(FieldError::without_value(FieldErrorKind::Internal, now.path(), &detail));
    }
    let is_version_6 = |text: &&str| text.contains(':');
    let both = texts.iter().any(is_version_6) && !texts.iter().all(is_version_6);
    if wrong.is_some() || !both || texts.len() > 2 {
        let shown: Value = texts.iter().map(|text| json!({"IP": text})).collect();
        errors.show(&now, &shown, "may specify no more than one IP for each IP family");
    }
}
