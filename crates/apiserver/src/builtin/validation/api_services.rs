//! APIServices: which server answers for a version of a group (kube-aggregator's `apiregistration/validation`).

use kogge_machinery::{
    object_meta::{dns_1035_messages, path_segment_messages, subdomain_messages},
    status_error::quote,
};
use serde_json::Value;

use super::{
    Change,
    field::{Errors, Field},
};

/// An APIService that is created or changed.
pub(super) fn validate(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let (group, version) = (spec.at("group"), spec.at("version"));
    let (name, wanted) = (change.new.at("metadata.name"), format!("{}.{}", version.text(), group.text()));
    // One that cannot stand in a path is refused for that.
    let is_name = !name.is_empty() && path_segment_messages(name.text(), false).is_empty();
    if is_name && name.text() != wanted {
        errors.invalid_text(&name, &format!("must be `spec.version+\".\"+spec.group`: {}", quote(&wanted)));
    }
    if group.is_empty() {
        if version.text() != "v1" {
            errors.required(&group, "only v1 may have an empty group and it better be legacy kube");
        }
    } else {
        errors.messages(&group, subdomain_messages(group.text(), 253));
    }
    errors.messages(&version, dns_1035_messages(version.text()));
    for (name, limit) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let priority = spec.at(name);
        if !(1..=limit).contains(&priority.count()) {
            errors.invalid_number(&priority, &format!("must be positive and less than {limit}"));
        }
    }
    let (service, bundle, insecure) = (spec.at("service"), spec.at("caBundle"), spec.at("insecureSkipTLSVerify"));
    if !service.is_set() {
        if !bundle.is_empty() {
            let shown = format!("{} bytes", decoded_length(&bundle));
            errors.show(&bundle, &Value::from(shown), "local APIServices may not have a caBundle");
        }
        if insecure.is_true() {
            errors.invalid(&insecure, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for name in ["namespace", "name"] {
        if service.at(name).is_empty() {
            errors.required(&service.at(name), "");
        }
    }
    let port = service.at("port");
    if !(1..=65_535).contains(&port.count()) {
        errors.invalid_number(&port, "port is not valid: must be between 1 and 65535, inclusive");
    }
    if insecure.is_true() && !bundle.is_empty() {
        errors.invalid(&insecure, "may not be true if caBundle is present");
    }
}

/// How many bytes base64 stands for.
fn decoded_length(text: &Field<'_>) -> usize {
    let text = text.text();
    text.trim_end_matches('=').len() * 3 / 4
}
