//! Webhook configurations, admission policies and their bindings (`pkg/apis/admissionregistration/validation`).

use std::collections::BTreeSet;

use kogge_machinery::{
    admission::{Expressions, Purpose},
    object_meta::{path_segment_messages, subdomain_messages},
};

use super::{
    Change,
    field::{Errors, Field, same},
    text::{has_form, label_selector, qualified_name},
};

mod policies;
mod webhooks;

pub(super) use policies::{
    validate_binding, validate_mutating_binding, validate_mutating_policy, validate_policy, validate_policy_status,
};
pub(super) use webhooks::validate_webhooks;

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const MAXIMUM_CONDITIONS: usize = 64;

/// What decides which requests a policy or a binding is about.
fn match_resources(field: &Field<'_>, errors: &mut Errors) {
    let policy = field.at("matchPolicy");
    if policy.is_set() {
        errors.known(&policy, &MATCH_POLICIES);
    } else {
        errors.required(&policy, "");
    }
    for name in ["namespaceSelector", "objectSelector"] {
        let selector = field.at(name);
        if selector.is_set() {
            label_selector(&selector, errors);
        } else {
            errors.required(&selector, "");
        }
    }
    for name in ["resourceRules", "excludeResourceRules"] {
        for named in field.at(name).items() {
            resource_names(&named.at("resourceNames"), errors);
            rule(&named, errors);
        }
    }
}

fn resource_names(names: &Field<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for name in names.items() {
        errors.messages(&name, path_segment_messages(name.text(), false));
        if !seen.insert(name.text()) {
            errors.duplicate(&name);
        }
    }
}

/// A rule with operations.
fn rule(rule: &Field<'_>, errors: &mut Errors) {
    for (name, what) in [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = rule.at(name);
        if list.is_empty() {
            errors.required(&list, "");
        }
        if list.len() > 1 && list.texts().any(|text| text == "*") {
            errors.invalid(&list, &format!("if '*' is present, must not specify other {what}"));
        }
        for item in list.items() {
            if name == "operations" && !OPERATIONS.contains(&item.text()) {
                errors.not_supported(&item, &OPERATIONS);
            } else if name == "apiVersions" && item.text().is_empty() {
                errors.required(&item, "");
            }
        }
    }
    resources(&rule.at("resources"), errors);
    errors.known(&rule.at("scope"), &["*", "Cluster", "Namespaced"]);
}

/// The resources of a rule, with or without subresources.
fn resources(list: &Field<'_>, errors: &mut Errors) {
    if list.is_empty() {
        errors.required(list, "");
    }
    let (mut all_below, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
    let mut ends_plain = false;
    for item in list.items() {
        let given = item.text();
        if given.is_empty() {
            errors.required(&item, "");
            continue;
        }
        let Some((resource, subresource)) = given.split_once('/') else {
            ends_plain = given != "*";
            continue;
        };
        for (is_covered, pattern) in [
            (all_below.contains(resource), format!("{resource}/*")),
            (everywhere.contains(subresource), format!("*/{subresource}")),
        ] {
            if is_covered {
                errors.invalid(&item, &format!("if '{pattern}' is present, must not specify {given}"));
            }
        }
        if subresource == "*" {
            all_below.insert(resource);
        }
        if resource == "*" {
            everywhere.insert(subresource);
        }
    }
    let has = |pattern: &str| list.texts().any(|item| item == pattern);
    if list.len() > 1 && has("*/*") {
        errors.invalid(list, "if '*/*' is present, must not specify other resources");
    }
    if has("*") && ends_plain {
        errors.invalid(list, "if '*' is present, must not specify other resources without subresources");
    }
}

/// Conditions beyond rules; they may refer to what `expressions` know, but for `variables`.
fn conditions(conditions: &Field<'_>, expressions: &Expressions, errors: &mut Errors) {
    if conditions.len() > MAXIMUM_CONDITIONS {
        errors.too_many(conditions, MAXIMUM_CONDITIONS);
    }
    let mut names = BTreeSet::new();
    for condition in conditions.items() {
        let expression = condition.at("expression");
        let trimmed = expression.text().trim();
        if trimmed.is_empty() {
            errors.required(&expression, "");
        } else if let Err(problem) = expressions.check(Purpose::Condition, trimmed) {
            errors.show(&expression, &trimmed.into(), &problem);
        }
        let name = condition.at("name");
        if name.text().is_empty() {
            errors.required(&name, "");
            continue;
        }
        qualified_name(&name, errors);
        if !names.insert(name.text()) {
            errors.duplicate(&name);
        }
    }
}
