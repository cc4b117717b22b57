//! Volumes made of what the cluster knows: fields of the pod, tokens, trust, certificates.

use std::collections::BTreeSet;

use kogge_machinery::object_meta::{label_key_messages, subdomain_messages};

use super::{
    super::{
        field::{Errors, Field},
        resources,
        text::{annotations, domain_path, label_selector, unreserved_path},
    },
    Source, key_to_path, mode, need,
};

fn downward_file(file: &Field<'_>, reported: &Field<'_>, errors: &mut Errors) {
    const FIELDS: [&str; 5] =
        ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
    let at = |name: &str| file.at(name).reported_at(reported, name);
    let path = at("path");
    if path.is_empty() {
        errors.required(&path, "");
    }
    unreserved_path(&path, errors);
    let (field, resource) = (at("fieldRef"), at("resourceFieldRef"));
    if field.is_set() {
        object_field(&field, &FIELDS, errors);
        if resource.is_set() {
            let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.show(reported, &"resource".into(), detail);
        }
    } else if resource.is_set() {
        resources::resource_field(&resource, true, errors);
    } else {
        errors.required(reported, "one of fieldRef and resourceFieldRef is required");
    }
    mode(&at("mode"), errors);
}

/// Fields of the pod as files.
pub(super) fn downward_api(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    mode(&source.at("defaultMode"), errors);
    for file in source.at("items").items() {
        downward_file(&file, source, errors);
    }
}

/// A field of the pod itself, one of those that can be asked for.
pub(in crate::builtin::validation) fn object_field(selector: &Field<'_>, allowed: &[&str], errors: &mut Errors) {
    const CONVERTIBLE: [&str; 14] = [
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.serviceAccountName",
        "spec.schedulerName",
        "status.phase",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    let (version, path) = (selector.at("apiVersion"), selector.at("fieldPath"));
    if version.is_empty() || path.is_empty() {
        errors.required(if version.is_empty() { &version } else { &path }, "");
        return;
    }
    let subscripted = path.text().strip_suffix("']").and_then(|rest| rest.split_once("['"));
    let subscripted = subscripted.filter(|(path, _)| !path.is_empty());
    let problem = match subscripted {
        _ if version.text() != "v1" => Some(format!("unsupported pod version: {}", version.text())),
        Some(("metadata.annotations" | "metadata.labels", _)) => None,
        Some(_) => Some(format!("field label does not support subscript: {}", path.text())),
        None if CONVERTIBLE.contains(&path.text()) || path.text() == "spec.host" => None,
        None => Some(format!("field label not supported: {}", path.text())),
    };
    if let Some(problem) = problem {
        errors.invalid_text(&path, &format!("error converting fieldPath: {problem}"));
        return;
    }
    if let Some((kind, key)) = subscripted {
        let key = if kind == "metadata.annotations" { key.to_lowercase() } else { key.to_owned() };
        for message in label_key_messages(&key) {
            errors.show(selector, &key.as_str().into(), &message);
        }
        return;
    }
    let name = if path.text() == "spec.host" { "spec.nodeName" } else { path.text() };
    if !allowed.contains(&name) {
        errors.not_supported(&path, allowed);
    }
}

/// Each path of a projected volume only once.
fn once<'o>(path: &Field<'o>, shown: &str, source: &Field<'_>, paths: &mut BTreeSet<&'o str>, errors: &mut Errors) {
    if !path.is_empty() && !paths.insert(path.text()) {
        errors.show(source, &shown.into(), "conflicting duplicate paths");
    }
}

/// A volume made of several sources.
pub(super) fn validate(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    mode(&source.at("defaultMode"), errors);
    let mut paths = BTreeSet::new();
    for part in source.at("sources").items() {
        let kinds =
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
        for kind in ["secret", "configMap"] {
            let named = part.at(kind);
            if named.is_set() {
                need(&named, &["name"], errors);
                for item in named.at("items").items() {
                    key_to_path(&item, errors);
                    once(&item.at("path"), named.at("name").text(), source, &mut paths, errors);
                }
            }
        }
        let downward = part.at("downwardAPI");
        for file in downward.at("items").items() {
            downward_file(&file, &downward, errors);
            once(&file.at("path"), file.at("path").text(), source, &mut paths, errors);
        }
        let token = part.at("serviceAccountToken");
        if token.is_set() {
            service_account_token(&token, source, errors);
        }
        let bundle = part.at("clusterTrustBundle");
        if bundle.is_set() {
            trust_bundle(&bundle, errors);
            once(&bundle.at("path"), bundle.at("path").text(), source, &mut paths, errors);
        }
        let certificate = part.at("podCertificate");
        if certificate.is_set() {
            pod_certificate(&certificate, errors);
            for name in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
                let path = certificate.at(name);
                once(&path, path.text(), source, &mut paths, errors);
            }
        }
        if kinds.iter().filter(|kind| part.at(kind).is_set()).count() > 1 {
            errors.forbidden(&part, "may not specify more than 1 volume type per source");
        }
    }
}

fn service_account_token(token: &Field<'_>, source: &Field<'_>, errors: &mut Errors) {
    let seconds = token.at("expirationSeconds");
    if seconds.count() < 600 {
        errors.invalid_number(&seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds.count() > 1 << 32 {
        errors.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
    }
    let path = token.at("path").reported_at(source, "path");
    if path.is_empty() {
        errors.required(&path, "");
    } else {
        unreserved_path(&path, errors);
    }
}

fn trust_bundle(bundle: &Field<'_>, errors: &mut Errors) {
    let (name, signer, selector) = (bundle.at("name"), bundle.at("signerName"), bundle.at("labelSelector"));
    match (name.is_set(), signer.is_set()) {
        (true, true) => errors.invalid(bundle, "only one of name and signerName may be used"),
        (true, false) => {
            if name.is_empty() {
                errors.required(&name, "must be a valid object name");
            }
            let own = name.text().rsplit(':').next().unwrap_or_default();
            for message in subdomain_messages(own, 253) {
                errors.invalid_text(&name, &format!("not a valid clustertrustbundlename: {message}"));
            }
            if selector.is_set() {
                errors.invalid(&selector, "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.is_empty() {
                errors.required(&signer, "must be a valid signer name");
            } else {
                domain_path(&signer, errors);
            }
            label_selector(&selector, errors);
        }
        (false, false) => errors.required(bundle, "either name or signerName must be specified"),
    }
    need(bundle, &["path"], errors);
    unreserved_path(&bundle.at("path"), errors);
}

fn pod_certificate(certificate: &Field<'_>, errors: &mut Errors) {
    const KEY_TYPES: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    let (signer, seconds) = (certificate.at("signerName"), certificate.at("maxExpirationSeconds"));
    domain_path(&signer, errors);
    annotations(&certificate.at("userAnnotations"), errors);
    if !KEY_TYPES.contains(&certificate.at("keyType").text()) {
        errors.not_supported(&certificate.at("keyType"), &KEY_TYPES);
    }
    let most = if signer.text().starts_with("kubernetes.io/") { 24 * 60 * 60 } else { 91 * 24 * 60 * 60 };
    if seconds.number().is_some_and(|seconds| seconds < 3600) {
        errors.invalid(&seconds, "if provided, maxExpirationSeconds must be >= 3600");
    }
    if seconds.number().is_some_and(|seconds| seconds > most) {
        errors.invalid(&seconds, &format!("if provided, maxExpirationSeconds must be <= {most}"));
    }
    let paths = ["credentialBundlePath", "keyPath", "certificateChainPath"].map(|name| certificate.at(name));
    if paths.iter().all(Field::is_empty) {
        let detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        errors.required(certificate, detail);
    }
    for path in paths.iter().filter(|path| !path.is_empty()) {
        unreserved_path(path, errors);
    }
}
