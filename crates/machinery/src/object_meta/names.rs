//! Names, label keys and label values: the rules and words of `k8s.io/apimachinery/pkg/api/validate/content`.

use crate::resource::ResourceType;

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_1035_FORMAT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_KEY_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '";

/// How a kind's names are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameRule {
    /// DNS-1123 subdomain of at most this many bytes.
    Subdomain(usize),
    /// DNS-1123 subdomain to which jobs add 11 characters, and must themselves fit in 63.
    OfJobs,
    /// DNS-1123 subdomain, as the real server generates checks of it: with a text of their own for the length.
    LongName,
    /// DNS-1123 label.
    Label,
    /// Anything that can stand in a path.
    PathSegment,
    /// What the kind's own rules say.
    Own,
}

fn rule(resource: &ResourceType) -> NameRule {
    if resource.custom {
        return NameRule::Subdomain(253);
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace" | "Service") | ("apps", "StatefulSet") => NameRule::Label,
        ("batch", "CronJob") => NameRule::OfJobs,
        ("", "ReplicationController") => NameRule::LongName,
        ("", "Event")
        | ("policy", "PodDisruptionBudget")
        | ("rbac.authorization.k8s.io" | "apiregistration.k8s.io" | "certificates.k8s.io", _) => NameRule::PathSegment,
        ("networking.k8s.io", "IPAddress") => NameRule::Own,
        _ => NameRule::Subdomain(253),
    }
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [first, .., last] | [first @ last] if is_lower_alphanumeric(*first) && is_lower_alphanumeric(*last))
        && bytes.iter().all(|byte| is_lower_alphanumeric(*byte) || *byte == b'-')
}

fn is_subdomain_text(text: &str) -> bool {
    text.split('.').all(is_label_text)
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_label_key_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [first, .., last] | [first @ last] if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// The same in the words for labels, which are newer.
fn too_many_bytes(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// What is wrong with `text` as a DNS-1123 subdomain.
pub fn subdomain_messages(text: &str, limit: usize) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > limit {
        messages.push(too_long(limit));
    }
    if !is_subdomain_text(text) {
        messages.push(format!("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN_FORMAT}')"));
    }
    messages
}

/// What is wrong with `text` as a DNS-1123 label.
pub fn dns_1123_label_messages(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > 63 {
        messages.push(too_long(63));
    }
    if !is_label_text(text) {
        messages.push(if is_subdomain_text(text) {
            "must not contain dots".to_owned()
        } else {
            format!("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL_FORMAT}')")
        });
    }
    messages
}

/// What is wrong with `text` as a DNS-1035 label.
pub fn dns_1035_messages(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > 63 {
        messages.push(too_long(63));
    }
    if !(is_label_text(text) && text.starts_with(|first: char| first.is_ascii_lowercase())) {
        messages.push(format!("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{DNS_1035_FORMAT}')"));
    }
    messages
}

/// What is wrong with `text` as a segment of a path (Kubernetes' `IsPathSegmentName`).
pub fn path_segment_messages(text: &str, prefix: bool) -> Vec<String> {
    if !prefix && matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    ['/', '%']
        .iter()
        .filter(|illegal| text.contains(**illegal))
        .map(|illegal| format!("may not contain '{illegal}'"))
        .collect()
}

/// What is wrong with a label key (a "qualified name", also the rule of finalizers), one text a violation.
pub fn label_key_messages(key: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let parts: Vec<&str> = key.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                messages.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > 253 {
                    messages.push(format!("prefix part {}", too_many_bytes(253)));
                }
                messages.extend(
                    subdomain_messages(prefix, usize::MAX).iter().map(|message| format!("prefix part {message}")),
                );
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {LABEL_KEY_RULE}{LABEL_KEY_FORMAT}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        messages.push(format!("name part {}", too_many_bytes(63)));
    }
    if !is_label_key_text(name) {
        messages.push(format!("name part {LABEL_KEY_RULE}{LABEL_KEY_FORMAT}')"));
    }
    messages
}

/// What is wrong with a label value, one text a violation.
pub fn label_value_messages(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > 63 {
        messages.push(too_many_bytes(63));
    }
    if !(value.is_empty() || is_label_key_text(value)) {
        messages.push(format!("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({LABEL_KEY_FORMAT})?')"));
    }
    messages
}

/// What comes of a prefix for the check of a name: a generated suffix follows, so a dash at its end is fine. Upstream replaces
/// the last two bytes, which is the same for every text whose last but one byte is valid.
pub(crate) fn with_masked_dash(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut kept: String = rest.to_owned();
            kept.pop();
            kept.push('a');
            kept
        }
        _ => prefix.to_owned(),
    }
}

/// What is wrong with a name (or, with `prefix`, a generateName), one text a violation.
pub(super) fn name_messages(resource: &ResourceType, name: &str, prefix: bool) -> Vec<String> {
    let masked = if prefix { with_masked_dash(name) } else { name.to_owned() };
    match rule(resource) {
        NameRule::Subdomain(limit) => subdomain_messages(&masked, limit),
        NameRule::OfJobs => {
            const LIMIT: usize = 52;
            let mut messages = subdomain_messages(&masked, 253);
            if name.len() > LIMIT {
                messages.push(format!("must be no more than {LIMIT} characters"));
            }
            messages
        }
        // Of such a kind only the name that comes of it is looked at.
        NameRule::LongName if prefix => Vec::new(),
        NameRule::LongName => {
            let of_length = "must be no more than 253 characters";
            let messages = subdomain_messages(&masked, 253).into_iter();
            messages.map(|message| if message == of_length { too_many_bytes(253) } else { message }).collect()
        }
        NameRule::Label => dns_1123_label_messages(&masked),
        NameRule::PathSegment => path_segment_messages(name, prefix),
        NameRule::Own => Vec::new(),
    }
}

/// What is wrong with a name, or None: DNS-1123 subdomain for most kinds, DNS-1123 label for namespaces,
/// services and stateful sets, any path segment for RBAC kinds, at most 52 characters for CronJobs.
pub fn validate_name(resource: &ResourceType, name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("name or generateName is required".to_owned());
    }
    let messages = name_messages(resource, name, false);
    if messages.is_empty() { None } else { Some(messages.join(", ")) }
}

/// Characters of generated names: no vowels, so that no word appears by chance, and no look-alikes.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name from `metadata.generateName`: the prefix cut to 58 bytes and five characters. `random` gives the characters'
/// indices, modulo 27: draw each uniformly from a multiple of 27.
pub fn generate_name(prefix: &str, random: [u8; 5]) -> String {
    let mut end = prefix.len().min(58);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let suffix = random.iter().map(|index| char::from(ALPHABET[usize::from(*index) % ALPHABET.len()]));
    prefix[..end].chars().chain(suffix).collect()
}
