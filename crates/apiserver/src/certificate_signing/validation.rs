//! What is refused of CertificateSigningRequests (Kubernetes' `pkg/apis/certificates/validation`).

use std::collections::BTreeSet;

use kogge_machinery::{
    object_meta::{dns_1123_label_messages, subdomain_messages},
    status_error::{FieldError, quote},
};
use serde_json::{Value, json};

use super::{request::Request, text};

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const CONDITIONS: &str = "status.conditions";
const LONGEST_DOMAIN: usize = 253;
/// A domain, a slash, and the name of an object in a namespace.
const LONGEST_SIGNER: usize = LONGEST_DOMAIN + 1 + 63 + 1 + 253;

/// The wrong fields of a request; `old` is what an update changes.
pub(crate) fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old.is_none_or(|old| old["spec"] != object["spec"]) {
        specification(object, &mut errors);
    }
    conditions(object, &mut errors);
    if let Some(old) = old {
        for kind in ["Approved", "Denied", "Failed"] {
            if of_type(object, kind).len() < of_type(old, kind).len() {
                let detail = format!("updates may not remove a condition of type \"{kind}\"");
                errors.push(FieldError::forbidden(CONDITIONS, &detail));
            }
        }
        let before = text(&old["status"]["certificate"]);
        if !before.is_empty() && before != text(&object["status"]["certificate"]) {
            let detail = "updates may not modify existing certificate content";
            errors.push(FieldError::forbidden("status.certificate", detail));
        }
    }
    if let Some(wrong) = wrong_certificate(text(&object["status"]["certificate"])) {
        errors.push(FieldError::invalid("status.certificate", &json!("<certificate data>"), &wrong));
    }
    errors
}

/// What `/status` may not do with an approval: that is `/approval`'s.
pub(crate) fn validate_status_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let added =
        ["Approved", "Denied"].into_iter().filter(|kind| of_type(object, kind).len() > of_type(old, kind).len());
    added
        .map(|kind| FieldError::forbidden(CONDITIONS, &format!("updates may not add a condition of type \"{kind}\"")))
        .collect()
}

pub(crate) fn of_type<'o>(object: &'o Value, kind: &str) -> Vec<&'o Value> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter(|condition| condition["type"] == kind).collect()
}

fn specification(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    if let Err(wrong) = Request::of(object) {
        errors.push(FieldError::invalid("spec.request", &spec["request"], &wrong));
    }
    let usages = spec["usages"].as_array().map_or(&[][..], Vec::as_slice);
    if usages.is_empty() {
        errors.push(FieldError::required("spec.usages", ""));
    }
    let mut seen = BTreeSet::new();
    for (index, usage) in usages.iter().enumerate() {
        let path = format!("spec.usages[{index}]");
        if !USAGES.contains(&text(usage)) {
            errors.push(FieldError::not_supported(&path, usage, &USAGES));
        }
        if !seen.insert(text(usage)) {
            errors.push(FieldError::duplicate(path, usage));
        }
    }
    signer_name(text(&spec["signerName"]), errors);
    if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|seconds| *seconds < 600) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid("spec.expirationSeconds", &json!(seconds), detail));
    }
}

fn signer_name(name: &str, errors: &mut Vec<FieldError>) {
    let path = "spec.signerName";
    if name == "kubernetes.io/legacy-unknown" {
        let detail = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(path, &json!(name), detail));
        return;
    }
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let [domain, path_segment] = name.split('/').collect::<Vec<_>>()[..] else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, &json!(name), detail));
        return;
    };
    if domain.len() > LONGEST_DOMAIN {
        errors.push(FieldError::too_long(path, LONGEST_DOMAIN));
    }
    // Of several wrong labels the first one says enough.
    let labels = |segment: &str, messages: fn(&str) -> Vec<String>| -> Vec<FieldError> {
        let wrong = segment.split('.').map(|label| (label, messages(label))).find(|(_, messages)| !messages.is_empty());
        let (label, messages) = wrong.unwrap_or_default();
        let shown = |message| format!("validating label {}: {message}", quote(label));
        messages.into_iter().map(|message| FieldError::invalid(path, &json!(segment), &shown(message))).collect()
    };
    errors.extend(labels(domain, dns_1123_label_messages));
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, &json!(domain), detail));
    }
    errors.extend(labels(path_segment, |label| subdomain_messages(label, LONGEST_DOMAIN)));
    if name.len() > LONGEST_SIGNER {
        errors.push(FieldError::too_long(path, LONGEST_SIGNER));
    }
}

fn conditions(object: &Value, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    let list = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, condition) in list.iter().enumerate() {
        let path = |field: &str| format!("{CONDITIONS}[{index}].{field}");
        let kind = text(&condition["type"]);
        if kind.is_empty() {
            errors.push(FieldError::required(path("type"), ""));
        }
        let supported: &[&str] = match kind {
            "Approved" | "Denied" | "Failed" => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        match text(&condition["status"]) {
            "" => errors.push(FieldError::required(path("status"), "")),
            status if !supported.contains(&status) => {
                errors.push(FieldError::not_supported(path("status"), &json!(status), supported));
            }
            _ => {}
        }
        let excluded = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if seen.contains(excluded) && !excluded.is_empty() {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(CONDITIONS, &json!(kind), detail));
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(path("type"), &json!(kind)));
        }
    }
}

/// What is wrong with issued certificates, base64 of PEM.
fn wrong_certificate(encoded: &str) -> Option<String> {
    use base64::Engine as _;
    if encoded.is_empty() {
        return None;
    }
    let pem = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    let mut blocks = 0;
    for block in x509_parser::pem::Pem::iter_from_buffer(&pem) {
        let Ok(block) = block else { break };
        if block.label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found \"{}\"", block.label));
        }
        if let Err(error) = block.parse_x509() {
            return Some(format!("x509: {error}"));
        }
        blocks += 1;
    }
    (blocks == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}
