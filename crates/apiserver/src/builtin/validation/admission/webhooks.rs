//! ValidatingWebhookConfigurations and MutatingWebhookConfigurations.

use std::collections::BTreeSet;

use kogge_machinery::{
    admission::Expressions,
    object_meta::{dns_1035_messages, subdomain_messages},
    status_error::{FieldErrorKind, quote},
};

use super::{
    Change, Errors, FAILURE_POLICIES, Field, MATCH_POLICIES, REINVOCATION_POLICIES, conditions, label_selector, rule,
    same,
};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
/// Those a webhook may say it has.
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const MAXIMUM_TIMEOUT_SECONDS: i64 = 30;

/// What an update need not mend, since it was there before.
#[derive(Clone, Copy, Default)]
struct Tolerated {
    conditions: bool,
    side_effects: bool,
    review_versions: bool,
    names: bool,
    label_values: bool,
}

impl Tolerated {
    fn of(change: &Change<'_>) -> Self {
        let Some(old) = &change.old else { return Self::default() };
        let (old, new) = (old.at("webhooks"), change.new.at("webhooks"));
        let old_webhooks: Vec<Field<'_>> = old.items().collect();
        let is_known = |version: &str| REVIEW_VERSIONS.contains(&version);
        let unknown_versions = |webhook: &Field<'_>| {
            let versions = webhook.at("admissionReviewVersions");
            !versions.is_empty() && !versions.texts().any(is_known)
        };
        let wrong_selectors = |webhook: &Field<'_>| {
            let mut errors = Errors::default();
            label_selector(&webhook.at("namespaceSelector"), &mut errors);
            label_selector(&webhook.at("objectSelector"), &mut errors);
            errors.len() > 0
        };
        let mut names = BTreeSet::new();
        Self {
            conditions: old.len() == new.len()
                && old_webhooks
                    .iter()
                    .zip(new.items())
                    .all(|(old, new)| same(old.at("matchConditions").value, new.at("matchConditions").value)),
            side_effects: old_webhooks
                .iter()
                .any(|webhook| !NO_SIDE_EFFECTS.contains(&webhook.at("sideEffects").text())),
            review_versions: old_webhooks.iter().any(unknown_versions),
            names: !old_webhooks.iter().all(|webhook| names.insert(webhook.at("name").text())),
            label_values: old_webhooks.iter().any(wrong_selectors),
        }
    }
}

/// A webhook configuration.
pub(in super::super) fn validate_webhooks(change: &Change<'_>, errors: &mut Errors) {
    let tolerated = Tolerated::of(change);
    let mut names = BTreeSet::new();
    for webhook in change.new.at("webhooks").items() {
        validate_webhook(&webhook, tolerated, errors);
        review_versions(&webhook.at("admissionReviewVersions"), tolerated, errors);
        let name = webhook.at("name");
        if !tolerated.names && !name.text().is_empty() && !names.insert(name.text()) {
            errors.duplicate(&name);
        }
    }
}

fn validate_webhook(webhook: &Field<'_>, tolerated: Tolerated, errors: &mut Errors) {
    full_name(&webhook.at("name"), errors);
    webhook.at("rules").items().for_each(|item| rule(&item, errors));
    errors.known(&webhook.at("failurePolicy"), &FAILURE_POLICIES);
    errors.known(&webhook.at("matchPolicy"), &MATCH_POLICIES);
    let (effects, allowed) =
        (webhook.at("sideEffects"), if tolerated.side_effects { &SIDE_EFFECTS[..] } else { &NO_SIDE_EFFECTS });
    if effects.is_set() {
        errors.known(&effects, allowed);
    } else {
        errors.required(&effects, &format!("must specify one of {}", allowed.join(", ")));
    }
    let timeout = webhook.at("timeoutSeconds");
    if timeout.number().is_some_and(|seconds| !(1..=MAXIMUM_TIMEOUT_SECONDS).contains(&seconds)) {
        errors.invalid(&timeout, "the timeout value must be between 1 and 30 seconds");
    }
    for name in ["namespaceSelector", "objectSelector"] {
        selector(&webhook.at(name), tolerated, errors);
    }
    errors.known(&webhook.at("reinvocationPolicy"), &REINVOCATION_POLICIES);
    client(&webhook.at("clientConfig"), errors);
    if !tolerated.conditions {
        conditions(&webhook.at("matchConditions"), &Expressions::new(false, false), errors);
    }
}

fn selector(field: &Field<'_>, tolerated: Tolerated, errors: &mut Errors) {
    let mut found = Errors::default();
    label_selector(field, &mut found);
    for error in found.into_inner() {
        let of_value = error.kind == FieldErrorKind::Invalid && error.field.contains(".values[");
        if !(tolerated.label_values && of_value) {
            errors.push(error);
        }
    }
}

fn full_name(name: &Field<'_>, errors: &mut Errors) {
    let messages = subdomain_messages(name.text(), 253);
    if name.text().is_empty() {
        errors.required(name, "");
    } else if !messages.is_empty() {
        errors.invalid(name, &messages.join(","));
    } else if name.text().split('.').count() < 3 {
        errors.invalid(name, "should be a domain with at least three segments separated by dots");
    }
}

fn client(client: &Field<'_>, errors: &mut Errors) {
    let (url, service) = (client.at("url"), client.at("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => validate_url(&url, errors),
        (false, true) => validate_service(&service, errors),
        _ => errors.required(client, "exactly one of url or service is required"),
    }
}

fn validate_url(url: &Field<'_>, errors: &mut Errors) {
    const FORM: &str = "; desired format: https://host[/path]";
    let text = url.text();
    if let Some(why) = no_url(text) {
        errors.required(url, &format!("url must be a valid URL: parse {}: {why}{FORM}", quote(text)));
        return;
    }
    let mut refuse = |value: &str, detail: &str| errors.show(url, &value.into(), detail);
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    if scheme != "https" {
        refuse(scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        refuse(host, &format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        refuse(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        refuse(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        refuse(query, "query parameters are not permitted in the URL");
    }
}

/// Why Go takes a text for no URL at all.
fn no_url(text: &str) -> Option<String> {
    if text.chars().any(|character| character.is_ascii_control()) {
        return Some("net/url: invalid control character in URL".to_owned());
    }
    let (at, _) = text.match_indices('%').find(|(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })?;
    Some(format!("invalid URL escape {}", quote(&text[at..text.floor_char_boundary(at + 3)])))
}

fn validate_service(service: &Field<'_>, errors: &mut Errors) {
    // The real server takes the one for the other where it looks, so that it names the wrong one.
    for (name, reported) in [("namespace", "name"), ("name", "namespace")] {
        if service.at(name).text().is_empty() {
            errors.required(&service.at(reported), "");
        }
    }
    let port = service.at("port");
    if !(1..=65535).contains(&port.count()) {
        errors.invalid_number(&port, "port is not valid: must be between 1 and 65535, inclusive");
    }
    let path = service.at("path");
    match path.text() {
        "" | "/" => {}
        "//" => errors.invalid(&path, "segment[0] may not be empty"),
        given => {
            if !given.starts_with('/') {
                errors.invalid(&path, "must start with a '/'");
            }
            let mut characters = given.chars();
            characters.next();
            let rest = characters.as_str();
            for (index, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
                if step.is_empty() {
                    errors.invalid(&path, &format!("segment[{index}] may not be empty"));
                    continue;
                }
                for message in subdomain_messages(step, 253) {
                    errors.invalid(&path, &format!("segment[{index}]: {message}"));
                }
            }
        }
    }
}

fn review_versions(versions: &Field<'_>, tolerated: Tolerated, errors: &mut Errors) {
    if versions.is_empty() {
        errors.required(versions, &format!("must specify one of {}", REVIEW_VERSIONS.join(", ")));
        return;
    }
    let mut seen = BTreeSet::new();
    for version in versions.items() {
        if seen.insert(version.text()) {
            errors.messages(&version, dns_1035_messages(version.text()));
        } else {
            errors.invalid(&version, "duplicate version");
        }
    }
    if !tolerated.review_versions && !REVIEW_VERSIONS.iter().any(|known| seen.contains(known)) {
        errors.invalid(versions, &format!("must include at least one of {}", REVIEW_VERSIONS.join(", ")));
    }
}
