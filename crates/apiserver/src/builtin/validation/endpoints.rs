//! Endpoints and EndpointSlices.

use std::collections::BTreeSet;

use kogge_machinery::object_meta::{label_value_messages, subdomain_messages};

use super::{
    Change,
    field::{Errors, Field, same},
    text::{address, endpoint_address, label, labels, port_number, qualified_name, subdomain},
};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// Endpoints, and updates that leave wrong ones as they are.
pub(super) fn validate_endpoints(change: &Change<'_>, errors: &mut Errors) {
    let subsets = change.new.at("subsets");
    if change.old.as_ref().is_some_and(|old| same(old.at("subsets").value, subsets.value)) {
        return;
    }
    for subset in subsets.items() {
        let (ready, waiting, ports) = (subset.at("addresses"), subset.at("notReadyAddresses"), subset.at("ports"));
        if ready.is_empty() && waiting.is_empty() {
            errors.required(&subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for point in ready.items().chain(waiting.items()) {
            address(&point.at("ip"), &[], errors);
            if !point.at("hostname").is_empty() {
                label(&point.at("hostname"), errors);
            }
            if point.at("nodeName").is_set() {
                subdomain(&point.at("nodeName"), errors);
            }
            endpoint_address(&point.at("ip"), errors);
        }
        let several = ports.len() > 1;
        for item in ports.items() {
            let (name, protocol) = (item.at("name"), item.at("appProtocol"));
            if !name.is_empty() {
                label(&name, errors);
            } else if several {
                errors.required(&name, "");
            }
            port_number(&item.at("port"), errors);
            errors.one_of(&item.at("protocol"), &PROTOCOLS);
            if protocol.is_set() {
                qualified_name(&protocol, errors);
            }
        }
    }
}

/// An EndpointSlice.
pub(super) fn validate_slice(change: &Change<'_>, errors: &mut Errors) {
    const MAX_PORTS: usize = 20_000;
    let slice = &change.new;
    let (kind, ports) = (slice.at("addressType"), slice.at("ports"));
    errors.one_of(&kind, &["FQDN", "IPv4", "IPv6"]);
    if ports.len() > MAX_PORTS {
        errors.too_many(&ports, MAX_PORTS);
    } else {
        slice_ports(&ports, errors);
    }
    let endpoints = slice.at("endpoints");
    let before = errors.len();
    slice_endpoints(&endpoints, kind.text(), errors);
    if let Some(old) = &change.old {
        if same(old.at("endpoints").value, endpoints.value) {
            errors.truncate(before);
        }
        errors.immutable(&kind, &old.at("addressType"));
    }
}

fn slice_ports(ports: &Field<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for item in ports.items() {
        let (name, protocol) = (item.at("name"), item.at("appProtocol"));
        if !name.is_empty() {
            label(&name, errors);
        }
        if !names.insert(name.text()) {
            errors.duplicate(&name);
        }
        if item.at("protocol").is_set() {
            errors.known(&item.at("protocol"), &PROTOCOLS);
        } else {
            errors.required(&item.at("protocol"), "");
        }
        if protocol.is_set() {
            qualified_name(&protocol, errors);
        }
    }
}

fn slice_endpoints(endpoints: &Field<'_>, kind: &str, errors: &mut Errors) {
    const MAX_ENDPOINTS: usize = 1000;
    const MAX_ADDRESSES: usize = 100;
    const MAX_HINTS: usize = 8;
    if endpoints.len() > MAX_ENDPOINTS {
        errors.too_many(endpoints, MAX_ENDPOINTS);
        return;
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.at("addresses");
        if addresses.is_empty() {
            errors.required(&addresses, "must contain at least 1 address");
        } else if addresses.len() > MAX_ADDRESSES {
            errors.too_many(&addresses, MAX_ADDRESSES);
        }
        for item in addresses.items() {
            match kind {
                "IPv4" | "IPv6" if address(&item, &[], errors) => {
                    if item.text().contains(':') != (kind == "IPv6") {
                        errors.show(&addresses, item.value, &format!("must be an {kind} address"));
                    }
                    endpoint_address(&item, errors);
                }
                "FQDN" => domain_name(&item, errors),
                _ => {}
            }
        }
        if endpoint.at("nodeName").is_set() {
            subdomain(&endpoint.at("nodeName"), errors);
        }
        labels(&endpoint.at("deprecatedTopology"), errors);
        if endpoint.at("hostname").is_set() {
            label(&endpoint.at("hostname"), errors);
        }
        for (list, of_zones) in [("forZones", true), ("forNodes", false)] {
            let list = endpoint.at("hints").at(list);
            if list.len() > MAX_HINTS {
                errors.too_many(&list, MAX_HINTS);
                continue;
            }
            let mut seen = BTreeSet::new();
            for name in list.items().map(|hint| hint.at("name")) {
                if !seen.insert(name.text()) {
                    errors.duplicate(&name);
                }
                let messages =
                    if of_zones { label_value_messages(name.text()) } else { subdomain_messages(name.text(), 253) };
                errors.messages(&name, messages);
            }
        }
    }
}

fn domain_name(field: &Field<'_>, errors: &mut Errors) {
    let text = field.text().strip_suffix('.').unwrap_or(field.text());
    let messages = subdomain_messages(text, 253);
    if field.is_empty() {
        errors.required(field, "");
    } else if !messages.is_empty() {
        errors.show(field, &text.into(), &messages.join(","));
    } else if !text.contains('.') {
        errors.show(field, &text.into(), "should be a domain with at least two segments separated by dots");
    }
}
