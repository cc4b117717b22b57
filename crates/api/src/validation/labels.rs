//! Rules on labels, taints and metadata: the syntax of Kubernetes, and what belongs to the system.

use super::{FieldPath, FieldProblem, Review, duplicates};
use crate::kubernetes_cluster::{MachineMetadata, StringMap, WorkerPool};
use crate::problem::ProblemCode::InvalidDescription;

pub(super) fn metadata(review: &mut Review<'_>, path: &FieldPath, entries: &MachineMetadata) {
    if entries.len() > 128 {
        let message = format!("{} entries; at most 128 are possible", entries.len());
        review.add(
            FieldProblem::new(InvalidDescription, path, None, "at most 128 entries", message)
                .accepting("at most 128 entries"),
        );
    }
    for (key, value) in entries {
        if key.is_empty() || key.chars().count() > 255 || value.chars().count() > 255 {
            review.add(FieldProblem::new(
                InvalidDescription,
                &path.key(key),
                None,
                "names and values of at most 255 characters",
                "name or value is empty or longer than 255 characters".into(),
            ));
        }
    }
}

pub(super) fn labels(review: &mut Review<'_>, path: &FieldPath, labels: &StringMap) {
    for (key, value) in labels {
        if let Err(reason) = label_key(key) {
            invalid(review, &path.key(key), key, "the syntax of label names", &reason);
        } else if is_system(key) {
            system_key(review, &path.key(key), key, "label");
        } else if !is_label_value(value) {
            let reason = format!(
                "`{value}` is not a label value: at most 63 letters, digits, `-`, `_`, `.`, starting and ending with a letter or digit"
            );
            invalid(review, &path.key(key), value, "the syntax of label values", &reason);
        }
    }
}

pub(super) fn taints(review: &mut Review<'_>, path: &FieldPath, pool: &WorkerPool) {
    for (position, taint) in pool.taints.iter().enumerate() {
        let at = path.index(position);
        if let Err(reason) = label_key(&taint.key) {
            invalid(review, &at.child("key"), &taint.key, "the syntax of label names", &reason);
        } else if is_system(&taint.key) {
            system_key(review, &at.child("key"), &taint.key, "taint");
        } else if !is_label_value(&taint.value) {
            let reason = format!("`{}` is not a taint value: at most 63 letters, digits, `-`, `_`, `.`", taint.value);
            invalid(review, &at.child("value"), &taint.value, "the syntax of label values", &reason);
        }
    }
    for (position, first) in duplicates(pool.taints.iter().map(|taint| (taint.key.as_str(), taint.effect as u8))) {
        let reason = format!("key and effect are those of taints[{first}]");
        invalid(review, &path.index(position), &pool.taints[position].key, "each key once for each effect", &reason);
    }
}

fn invalid(review: &mut Review<'_>, path: &FieldPath, value: &str, rule: &str, message: &str) {
    review.add(FieldProblem::new(InvalidDescription, path, Some(value.into()), rule, message.into()));
}

fn system_key(review: &mut Review<'_>, path: &FieldPath, key: &str, what: &str) {
    let message = format!(
        "{what} `{key}` belongs to the system; use a domain of your own, such as example.com/{}",
        key.rsplit('/').next().unwrap_or(key)
    );
    review.add(
        FieldProblem::new(InvalidDescription, path, Some(key.into()), "not under kubernetes.io or k8s.io", message)
            .accepting("a domain of your own"),
    );
}

/// Names under these domains are set by Kubernetes itself.
fn is_system(key: &str) -> bool {
    key.split_once('/').is_some_and(|(domain, _)| {
        ["kubernetes.io", "k8s.io"]
            .iter()
            .any(|system| domain == *system || domain.strip_suffix(system).is_some_and(|rest| rest.ends_with('.')))
    })
}

/// The syntax of qualified names: `[domain/]name`.
fn label_key(key: &str) -> Result<(), String> {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    if name.is_empty() || !is_label_value(name) {
        return Err(format!(
            "`{key}` is not a label name: at most 63 letters, digits, `-`, `_`, `.` after an optional domain and a slash"
        ));
    }
    if let Some(domain) = domain.filter(|domain| !is_domain(domain)) {
        return Err(format!("`{domain}` in `{key}` is not a domain name in lowercase"));
    }
    Ok(())
}

/// The syntax of label values; the empty one is allowed.
fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// The syntax of DNS subdomains.
pub(super) fn is_domain(domain: &str) -> bool {
    domain.len() <= 253
        && domain.split('.').all(|label| {
            let bytes = label.as_bytes();
            (1..=63).contains(&bytes.len())
                && bytes[0] != b'-'
                && bytes[bytes.len() - 1] != b'-'
                && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
        })
}
