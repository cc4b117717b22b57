//! Forms that texts of built-in kinds have to have: names, ports, percentages, addresses (`k8s.io/apimachinery/pkg/util/validation`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kogge_machinery::object_meta::{
    dns_1123_label_messages, label_key_messages, label_value_messages, path_segment_messages, subdomain_messages,
};
use kogge_machinery::status_error::FieldError;
use regex::Regex;
use serde_json::Value;

use super::field::{Errors, Field};

const MAX_SUBDOMAIN: usize = 253;
/// Range of ports.
pub(super) const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";
const SUBDOMAIN_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// The words for a text that does not have the form of an expression.
fn form(rule: &str, expression: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{rule} (regex used for validation is '{expression}')");
    }
    let quoted: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{expression}')", quoted.join(" or "))
}

/// A text as an expression has it, from end to end.
pub(super) fn has_form(text: &str, expression: &str) -> bool {
    Regex::new(&format!("^(?:{expression})$")).is_ok_and(|expression| expression.is_match(text))
}

/// A DNS-1123 label.
pub(super) fn label(field: &Field<'_>, errors: &mut Errors) {
    errors.messages(field, dns_1123_label_messages(field.text()));
}

/// A DNS-1123 subdomain.
pub(super) fn subdomain(field: &Field<'_>, errors: &mut Errors) {
    errors.messages(field, subdomain_messages(field.text(), MAX_SUBDOMAIN));
}

/// A DNS-1123 subdomain in which underscores are tolerated.
pub(super) fn lenient_subdomain(field: &Field<'_>, text: &str, errors: &mut Errors) {
    const LABEL: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let expression = format!("{LABEL}(\\.{LABEL})*");
    if text.len() > MAX_SUBDOMAIN {
        errors.show(field, &text.into(), "must be no more than 253 characters");
    }
    if !has_form(text, &expression) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and \
                    must start and end with an alphanumeric character";
        errors.show(field, &text.into(), &form(rule, &expression, &["example.com"]));
    }
}

/// A subdomain that begins with `*.`.
pub(super) fn wildcard_subdomain(field: &Field<'_>, errors: &mut Errors) {
    let expression = format!("\\*\\.{SUBDOMAIN_FORMAT}");
    if !has_form(field.text(), &expression) {
        let rule = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist \
                    of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        errors.invalid_text(field, &form(rule, &expression, &["*.example.com"]));
    }
}

/// The form of label keys, conditions and resources.
pub(super) fn qualified_name(field: &Field<'_>, errors: &mut Errors) {
    errors.messages(field, label_key_messages(field.text()));
}

/// A name that can stand in a path.
pub(super) fn path_segment(field: &Field<'_>, errors: &mut Errors) {
    errors.messages(field, path_segment_messages(field.text(), false));
}

/// The keys and values of a map of labels; all are reported at the map.
pub(super) fn labels(field: &Field<'_>, errors: &mut Errors) {
    for (key, value) in field.entries() {
        for message in label_key_messages(key) {
            errors.show(field, &key.into(), &message);
        }
        for message in label_value_messages(value.text()) {
            errors.show(field, &value.text().into(), &message);
        }
    }
}

/// A map of annotations: keys, and the size of all.
pub(super) fn annotations(field: &Field<'_>, errors: &mut Errors) {
    const MAX_BYTES: usize = 256 * 1024;
    let mut bytes = 0;
    for (key, value) in field.entries() {
        for message in label_key_messages(&key.to_lowercase()) {
            errors.show(field, &key.into(), &message);
        }
        bytes += key.len() + value.text().len();
    }
    if bytes > MAX_BYTES {
        errors.too_long(field, MAX_BYTES);
    }
}

/// A label selector, where there is one.
pub(super) fn label_selector(field: &Field<'_>, errors: &mut Errors) {
    labels(&field.at("matchLabels"), errors);
    for requirement in field.at("matchExpressions").items() {
        let values = requirement.at("values");
        match requirement.at("operator").text() {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.invalid_text(&requirement.at("operator"), "not a valid selector operator"),
        }
        qualified_name(&requirement.at("key"), errors);
        for value in values.items() {
            errors.messages(&value, label_value_messages(value.text()));
        }
    }
}

/// A key of a ConfigMap or Secret.
pub(super) fn config_key_messages(key: &str) -> Vec<String> {
    const FORMAT: &str = "[-._a-zA-Z0-9]+";
    let mut messages = Vec::new();
    if key.len() > MAX_SUBDOMAIN {
        messages.push("must be no more than 253 characters".to_owned());
    }
    if key.is_empty() || !key.chars().all(|character| character.is_ascii_alphanumeric() || "-._".contains(character)) {
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        messages.push(form(rule, FORMAT, &["key.name", "KEY_NAME", "key-name"]));
    }
    match key {
        "." | ".." => messages.push(format!("must not be '{key}'")),
        _ if key.starts_with("..") => messages.push("must not start with '..'".to_owned()),
        _ => {}
    }
    messages
}

/// The name of an environment variable.
pub(super) fn variable_name(field: &Field<'_>, errors: &mut Errors) {
    if !field.text().chars().all(|character| (' '..='~').contains(&character) && character != '=') {
        let rule = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        errors.invalid_text(field, rule);
    }
}

/// The number of a port, 0 where absent.
pub(super) fn port_number(field: &Field<'_>, errors: &mut Errors) {
    if !(1..=65535).contains(&field.count()) {
        errors.invalid_number(field, PORT_RANGE);
    }
}

/// The name of a port.
pub(super) fn port_name_messages(name: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if name.len() > 15 {
        messages.push("must be no more than 15 characters");
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        messages.push("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        messages.push("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        messages.push("must not begin or end with a hyphen");
    }
    messages.into_iter().map(str::to_owned).collect()
}

/// A port by number or by name.
pub(super) fn port(field: &Field<'_>, errors: &mut Errors) {
    match field.value {
        Value::String(name) => errors.messages(field, port_name_messages(name)),
        _ => port_number(field, errors),
    }
}

/// An `IntOrString` that is a number or a percentage, not negative.
pub(super) fn number_or_percentage(field: &Field<'_>, errors: &mut Errors) {
    match field.value {
        Value::String(text) if percentage(text).is_none() => {
            let rule = "a valid percent string must be a numeric string followed by an ending '%'";
            errors.invalid(field, &form(rule, "[0-9]+%", &["1%", "93%"]));
        }
        _ => errors.not_negative(field),
    }
}

/// The number of a percentage.
fn percentage(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().unwrap_or(i64::MAX))
}

/// A percentage over all.
pub(super) fn at_most_all(field: &Field<'_>, errors: &mut Errors) {
    if percentage(field.text()).is_some_and(|percentage| percentage > 100) {
        errors.invalid(field, "must not be greater than 100%");
    }
}

/// The number of an `IntOrString`, with or without `%`.
pub(super) fn bare_number(field: &Field<'_>) -> i64 {
    percentage(field.text()).or_else(|| field.number()).unwrap_or_else(|| field.text().parse().unwrap_or_default())
}

/// An address as older versions read it: leading zeros allowed.
pub(super) fn sloppy_address(text: &str) -> Option<IpAddr> {
    let four = || {
        let numbers: Vec<u8> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let unsigned = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        <[u8; 4]>::try_from(numbers).ok().filter(|_| unsigned).map(|numbers| IpAddr::V4(Ipv4Addr::from(numbers)))
    };
    text.parse::<IpAddr>().ok().or_else(four)
}

/// An address; `known` are those that were accepted before. Tells whether it is one.
pub(super) fn address(field: &Field<'_>, known: &[&str], errors: &mut Errors) -> bool {
    let text = field.text();
    if known.contains(&text) {
        return true;
    }
    let before = errors.len();
    if sloppy_address(text).is_none() {
        errors.invalid_text(field, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    } else {
        match text.parse::<IpAddr>() {
            Err(_) => errors.invalid_text(field, "must not have leading 0s"),
            Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
                errors.invalid_text(field, "must not be an IPv4-mapped IPv6 address");
            }
            Ok(_) => {}
        }
    }
    errors.len() == before
}

/// Whether a text is an address in any form.
pub(super) fn is_address(text: &str) -> bool {
    sloppy_address(text).is_some()
}

/// An address where something can be reached.
pub(super) fn endpoint_address(field: &Field<'_>, errors: &mut Errors) {
    let text = field.text();
    let Some(address) = sloppy_address(text) else {
        errors.invalid_text(field, "must be a valid IP address");
        return;
    };
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(address) => (address.is_link_local(), address.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(address) => (address.is_unicast_link_local(), address.segments()[0] & 0xff0f == 0xff02),
    };
    if address.is_unspecified() {
        errors.invalid_text(field, &format!("may not be unspecified ({text})"));
    }
    if address.is_loopback() {
        errors.invalid_text(field, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        errors.invalid_text(field, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        errors.invalid_text(field, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// A network in CIDR form: its address and the length of its prefix.
pub(super) fn sloppy_network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let address = sloppy_address(address)?;
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| digits)?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

/// The first address of a network.
pub(super) fn masked(address: IpAddr, length: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0)).into()
        }
    }
}

/// A network in CIDR form; `known` are those that were accepted before.
pub(super) fn network(field: &Field<'_>, known: &[&str], errors: &mut Errors) {
    let text = field.text();
    if known.contains(&text) {
        return;
    }
    let Some((address, length)) = sloppy_network(text) else {
        errors.invalid_text(field, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        return;
    };
    let (written, prefix) = text.split_once('/').unwrap_or_default();
    if written.parse::<IpAddr>().is_err() || (prefix.len() > 1 && prefix.starts_with('0')) {
        errors.invalid_text(field, "must not have leading 0s in IP or prefix length");
    } else if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        errors.invalid_text(field, "must not have an IPv4-mapped IPv6 address");
    } else if masked(address, length) != address {
        errors.invalid_text(field, "must not have bits set beyond the prefix length");
    }
}

/// A path below a domain: `acme.io/foo`.
pub(super) fn domain_path(field: &Field<'_>, errors: &mut Errors) {
    errors.extend(domain_path_errors(field.path(), field.text()));
}

/// What is wrong with the text of `field` as a path below a domain.
pub(crate) fn domain_path_errors(field: &str, text: &str) -> Vec<FieldError> {
    const PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
    if text.is_empty() {
        return vec![FieldError::required(field, "")];
    }
    let Some((domain, path)) = text.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty())
    else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![FieldError::invalid(field, &text.into(), detail)];
    };
    let wrong_domain = subdomain_messages(domain, MAX_SUBDOMAIN);
    let wrong_path = (!has_form(path, PATH)).then(|| form("Invalid path", PATH, &[]));
    let of_domain = wrong_domain.into_iter().map(|message| FieldError::invalid(field, &domain.into(), &message));
    of_domain.chain(wrong_path.map(|message| FieldError::invalid(field, &path.into(), &message))).collect()
}

/// The name of an HTTP header.
pub(super) fn header_name_message(name: &str) -> Option<String> {
    const FORMAT: &str = "[-A-Za-z0-9]+";
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
    (!has_form(name, FORMAT)).then(|| form(rule, FORMAT, &["X-Header-Name"]))
}

/// A path below a directory: relative and without `..`.
pub(super) fn relative_path(field: &Field<'_>, errors: &mut Errors) {
    if field.text().starts_with('/') {
        errors.invalid_text(field, "must be a relative path");
    }
    no_backsteps(field, errors);
}

/// As [`relative_path`], and not a name the kubelet keeps for itself.
pub(super) fn unreserved_path(field: &Field<'_>, errors: &mut Errors) {
    relative_path(field, errors);
    if field.text().starts_with("..") && !field.text().starts_with("../") {
        errors.invalid_text(field, "must not start with '..'");
    }
}

/// A path without `..`.
pub(super) fn no_backsteps(field: &Field<'_>, errors: &mut Errors) {
    if field.text().split('/').any(|part| part == "..") {
        errors.invalid_text(field, "must not contain '..'");
    }
}
