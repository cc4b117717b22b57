//! FlowSchemas and PriorityLevelConfigurations.

use kogge_machinery::object_meta::{dns_1123_label_messages, subdomain_messages};
use kogge_machinery::status_error::FieldError;

use super::{
    Change,
    field::{Errors, Field},
    text::{label, subdomain},
};

const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// A FlowSchema.
pub(super) fn validate_schema(change: &Change<'_>, errors: &mut Errors) {
    const MAX_PRECEDENCE: i64 = 10_000;
    let spec = change.new.at("spec");
    let precedence = spec.at("matchingPrecedence");
    if precedence.count() <= 0 {
        errors.invalid_number(&precedence, "must be a positive value");
    }
    if precedence.count() > MAX_PRECEDENCE {
        errors.invalid(&precedence, &format!("must not be greater than {MAX_PRECEDENCE}"));
    }
    if precedence.count() == 1 && change.new.at("metadata.name").text() != "exempt" {
        errors.invalid(&precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let method = spec.at("distinguisherMethod");
    if method.is_set() && !matches!(method.at("type").text(), "ByNamespace" | "ByUser") {
        let shown = serde_json::json!({"Type": method.at("type").text()});
        let place = method.at("type");
        errors.push(FieldError::not_supported(place.path(), &shown, &["ByNamespace", "ByUser"]));
    }
    let level = spec.at("priorityLevelConfiguration.name");
    if level.is_empty() {
        errors.required(&level, "must reference a priority level");
    } else {
        errors.messages(&level, subdomain_messages(level.text(), 253));
    }
    for rule in spec.at("rules").items() {
        let (subjects, resources, others) =
            (rule.at("subjects"), rule.at("resourceRules"), rule.at("nonResourceRules"));
        if subjects.is_empty() {
            errors.required(&subjects, "subjects must contain at least one value");
        }
        subjects.items().for_each(|subject| validate_subject(&subject, errors));
        if resources.is_empty() && others.is_empty() {
            let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
            errors.required(&rule, detail);
        }
        resources.items().for_each(|rule| resource_rule(&rule, errors));
        others.items().for_each(|rule| path_rule(&rule, errors));
    }
}

fn validate_subject(subject: &Field<'_>, errors: &mut Errors) {
    const KINDS: [(&str, &str); 3] = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = subject.at("kind");
    let Some((_, own)) = KINDS.iter().find(|(name, _)| *name == kind.text()) else {
        errors.not_supported(&kind, &["Group", "ServiceAccount", "User"]);
        return;
    };
    let named = subject.at(own);
    let name = named.at("name");
    if !named.is_set() {
        errors.required(&named, &format!("{own} is required when subject kind is '{}'", kind.text()));
    } else if name.is_empty() {
        errors.required(&name, "");
    } else if *own == "serviceAccount" && name.text() != "*" {
        subdomain(&name, errors);
    }
    if named.is_set() && *own == "serviceAccount" {
        let namespace = named.at("namespace");
        if namespace.is_empty() {
            errors.required(&namespace, "must specify namespace for service account");
        } else {
            label(&namespace, errors);
        }
    }
    for (other, field) in KINDS.iter().filter(|(_, field)| field != own) {
        if subject.at(field).is_set() {
            errors.forbidden(&subject.at(field), &format!("{field} is forbidden when subject kind is not '{other}'"));
        }
    }
}

/// A list in which `*` stands alone. `noun` names what it holds.
fn wildcards(list: &Field<'_>, empty: &str, noun: &str, errors: &mut Errors) -> bool {
    if list.is_empty() {
        errors.required(list, empty);
        return false;
    }
    let any = list.texts().any(|text| text == "*");
    if any && list.len() > 1 {
        errors.invalid(list, &format!("if '*' is present, must not specify other {noun}"));
    }
    !any
}

fn verbs(rule: &Field<'_>, errors: &mut Errors) {
    let verbs = rule.at("verbs");
    if wildcards(&verbs, "verbs must contain at least one value", "verbs", errors)
        && !verbs.texts().all(|verb| VERBS.contains(&verb))
    {
        errors.push(FieldError::not_supported(verbs.path(), verbs.value, &VERBS));
    }
}

fn resource_rule(rule: &Field<'_>, errors: &mut Errors) {
    verbs(rule, errors);
    let needed = |what: &str| format!("resource rules must supply at least one {what}");
    wildcards(&rule.at("apiGroups"), &needed("api group"), "api groups", errors);
    wildcards(&rule.at("resources"), &needed("resource"), "resources", errors);
    let namespaces = rule.at("namespaces");
    if namespaces.is_empty() && rule.at("clusterScope").is_true() {
        return;
    }
    let empty = "resource rules that are not cluster scoped must supply at least one namespace";
    if wildcards(&namespaces, empty, "namespaces", errors) {
        for namespace in namespaces.items() {
            for message in dns_1123_label_messages(namespace.text()) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {message}");
                errors.invalid_text(&namespace, &detail);
            }
        }
    }
}

fn path_rule(rule: &Field<'_>, errors: &mut Errors) {
    verbs(rule, errors);
    let paths = rule.at("nonResourceURLs");
    let empty = "nonResourceURLs must contain at least one value";
    if !wildcards(&paths, empty, "non-resource URLs", errors) {
        return;
    }
    for path in paths.items() {
        let text = path.text();
        let stars = text.matches('*').count();
        let problem = match text {
            "" => "must not be empty",
            "/" => continue,
            _ if !text.starts_with('/') => "must start with slash",
            _ if text.contains(' ') => "must not contain white-space",
            _ if text.contains("//") => "must not contain double slash",
            _ if stars > 1 || (stars == 1 && !text.ends_with("/*")) => "wildcard can only do suffix matching",
            _ => continue,
        };
        errors.invalid_text(&path, problem);
    }
}

/// A PriorityLevelConfiguration.
pub(super) fn validate_level(change: &Change<'_>, errors: &mut Errors) {
    let (spec, name) = (change.new.at("spec"), change.new.at("metadata.name"));
    let (kind, limited, exempt) = (spec.at("type"), spec.at("limited"), spec.at("exempt"));
    if (name.text() == "exempt") != (kind.text() == "Exempt") {
        errors.invalid_text(&kind, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind.text() {
        "Exempt" => {
            if limited.is_set() {
                errors.forbidden(&limited, "must be nil if the type is not Limited");
            }
            shares(&exempt, "must be a non-negative integer", errors);
        }
        "Limited" => {
            if exempt.is_set() {
                errors.forbidden(&exempt, "must be nil if the type is Limited");
            }
            if limited.is_set() {
                validate_limited(&limited, errors);
            } else {
                errors.required(&limited, "must not be empty when type is Limited");
            }
        }
        _ => errors.one_of(&kind, &["Exempt", "Limited"]),
    }
}

fn shares(level: &Field<'_>, negative: &str, errors: &mut Errors) {
    let (shares, percent) = (level.at("nominalConcurrencyShares"), level.at("lendablePercent"));
    if shares.count() < 0 {
        errors.invalid(&shares, negative);
    }
    if percent.number().is_some_and(|percent| !(0..=100).contains(&percent)) {
        errors.invalid(&percent, "must be between 0 and 100, inclusive");
    }
}

fn validate_limited(limited: &Field<'_>, errors: &mut Errors) {
    shares(limited, "must be a non-negative integer", errors);
    let (response, borrowing) = (limited.at("limitResponse"), limited.at("borrowingLimitPercent"));
    let (kind, queuing) = (response.at("type"), response.at("queuing"));
    match kind.text() {
        "Reject" => {
            if queuing.is_set() {
                errors.forbidden(&queuing, "must be nil if limited.limitResponse.type is not Limited");
            }
        }
        "Queue" if queuing.is_set() => validate_queuing(&queuing, errors),
        "Queue" => errors.required(&queuing, "must not be empty if limited.limitResponse.type is Limited"),
        _ => errors.one_of(&kind, &["Queue", "Reject"]),
    }
    if borrowing.count() < 0 {
        errors.invalid(&borrowing, "if specified, must be a non-negative integer");
    }
}

fn validate_queuing(queuing: &Field<'_>, errors: &mut Errors) {
    const MAX_QUEUES: i64 = 10_000_000;
    let [length, queues, hand] = ["queueLengthLimit", "queues", "handSize"].map(|name| queuing.at(name));
    for number in [&length, &queues, &hand].into_iter().filter(|number| number.count() <= 0) {
        errors.invalid_number(number, "must be positive");
    }
    if queues.count() > MAX_QUEUES {
        errors.invalid(&queues, &format!("must not be greater than {MAX_QUEUES}"));
    }
    if hand.count() > queues.count() && hand.count() > 0 {
        errors.invalid(&hand, &format!("should not be greater than queues ({})", queues.count()));
    }
}
