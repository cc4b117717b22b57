//! Ingresses and their classes, network policies, addresses and networks of Services.

use kogge_machinery::object_meta::subdomain_messages;

use super::{
    Change,
    field::{Errors, Field},
    services::ingress_points,
    text::{
        address, domain_path, label, label_selector, masked, network, path_segment, port_name_messages, port_number,
        sloppy_address, sloppy_network, subdomain, wildcard_subdomain,
    },
};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// An Ingress.
pub(super) fn validate_ingress(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let (rules, backend, class) = (spec.at("rules"), spec.at("defaultBackend"), spec.at("ingressClassName"));
    if rules.is_empty() && !backend.is_set() {
        errors.show(&spec, rules.value, "either `defaultBackend` or `rules` must be specified");
    }
    if backend.is_set() {
        ingress_backend(&backend, errors);
    }
    let old_rules_may_be_wrong = change.old.is_some();
    for rule in rules.items() {
        ingress_host(&rule.at("host"), errors);
        let http = rule.at("http");
        let wildcard = rule.at("host").text().contains('*');
        if http.is_set() && !(wildcard && old_rules_may_be_wrong) {
            if http.at("paths").is_empty() {
                errors.required(&http.at("paths"), "");
            }
            http.at("paths").items().for_each(|path| ingress_path(&path, errors));
        }
    }
    for tls in spec.at("tls").items() {
        for host in tls.at("hosts").items() {
            if host.text().contains('*') { wildcard_subdomain(&host, errors) } else { subdomain(&host, errors) }
        }
        if !tls.at("secretName").is_empty() {
            subdomain(&tls.at("secretName"), errors);
        }
    }
    if class.is_set() {
        subdomain(&class, errors);
    }
    let annotation = change.new.at("metadata.annotations").key(CLASS_ANNOTATION);
    if change.old.is_none() && annotation.is_set() && class.is_set() && annotation.text() != class.text() {
        let place = annotation.reported_as(&format!("annotations.{CLASS_ANNOTATION}"));
        errors.invalid(&place, "must match `ingressClassName` when both are specified");
    }
}

fn ingress_host(host: &Field<'_>, errors: &mut Errors) {
    if host.is_empty() {
        return;
    }
    if sloppy_address(host.text()).is_some() {
        errors.invalid(host, "must be a DNS name, not an IP address");
    }
    if host.text().contains('*') {
        wildcard_subdomain(host, errors);
    } else {
        subdomain(host, errors);
    }
}

fn ingress_path(rule: &Field<'_>, errors: &mut Errors) {
    let (kind, path) = (rule.at("pathType"), rule.at("path"));
    if !kind.is_set() {
        errors.required(&kind, "pathType must be specified");
        return;
    }
    let absolute = path.text().starts_with('/');
    match kind.text() {
        "Exact" | "Prefix" => {
            if !absolute {
                errors.invalid_text(&path, "must be an absolute path");
            }
            for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
                if path.text().contains(sequence) {
                    errors.invalid(&path, &format!("must not contain '{sequence}'"));
                }
            }
            for ending in ["/..", "/."] {
                if path.text().ends_with(ending) {
                    errors.invalid(&path, &format!("cannot end with '{ending}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !path.is_empty() && !absolute {
                errors.invalid(&path, "must be an absolute path");
            }
        }
        _ => errors.not_supported(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    ingress_backend(&rule.at("backend"), errors);
}

fn ingress_backend(backend: &Field<'_>, errors: &mut Errors) {
    let (resource, service) = (backend.at("resource"), backend.at("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => errors.show(backend, &"".into(), "cannot set both resource and service backends"),
        (true, false) => typed_reference(&resource, errors),
        (false, false) => errors.show(backend, &"".into(), "resource or service backend is required"),
        (false, true) => {
            let (name, number, port) = (service.at("name"), service.at("port.number"), service.at("port.name"));
            if name.is_empty() {
                errors.required(&name, "");
            } else {
                label(&name, errors);
            }
            match (!port.is_empty(), number.count() != 0) {
                (true, true) => errors.show(backend, &"".into(), "cannot set both port name & port number"),
                (true, false) => errors.messages(&port, port_name_messages(port.text())),
                (false, true) => port_number(&number, errors),
                (false, false) => errors.required(backend, "port name or number is required"),
            }
        }
    }
}

/// Group, kind and name of something.
fn typed_reference(reference: &Field<'_>, errors: &mut Errors) {
    if reference.at("apiGroup").is_set() {
        subdomain(&reference.at("apiGroup"), errors);
    }
    for name in ["kind", "name"] {
        let field = reference.at(name);
        if field.is_empty() {
            errors.required(&field, "");
        } else {
            path_segment(&field, errors);
        }
    }
}

pub(super) fn validate_ingress_status(change: &Change<'_>, errors: &mut Errors) {
    let before = change.old.as_ref().map(|old| old.at("status.loadBalancer.ingress"));
    ingress_points(&change.new.at("status.loadBalancer.ingress"), before.as_ref(), errors);
}

/// An IngressClass.
pub(super) fn validate_ingress_class(change: &Change<'_>, errors: &mut Errors) {
    const MAX_BYTES: usize = 250;
    let spec = change.new.at("spec");
    let (controller, parameters) = (spec.at("controller"), spec.at("parameters"));
    if let Some(old) = &change.old {
        errors.immutable(&controller, &old.at("spec.controller"));
    }
    if controller.text().len() > MAX_BYTES {
        errors.too_long(&controller, MAX_BYTES);
    }
    domain_path(&controller, errors);
    if !parameters.is_set() {
        return;
    }
    typed_reference(&parameters, errors);
    let (scope, namespace) = (parameters.at("scope"), parameters.at("namespace"));
    match scope.text() {
        "Namespace" if namespace.is_set() => label(&namespace, errors),
        "Namespace" => errors.required(&namespace, "`parameters.scope` is set to 'Namespace'"),
        "Cluster" => {
            if namespace.is_set() {
                errors.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'");
            }
        }
        _ if !scope.is_set() => errors.required(&scope, ""),
        _ => errors.not_supported(&scope, &["Cluster", "Namespace"]),
    }
}

/// A NetworkPolicy.
pub(super) fn validate_network_policy(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let old = change.old.as_ref().map(|old| old.at("spec"));
    let known: Vec<String> = old.iter().flat_map(blocks).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    label_selector(&spec.at("podSelector"), errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.at(direction).items() {
            rule.at("ports").items().for_each(|port| policy_port(&port, errors));
            rule.at(peers).items().for_each(|peer| policy_peer(&peer, &known, errors));
        }
    }
    let types = spec.at("policyTypes");
    if types.len() > 2 {
        errors.invalid(&types, "may not specify more than two policyTypes");
        return;
    }
    for kind in types.items() {
        errors.known(&kind, &["Ingress", "Egress"]);
    }
}

/// Networks a policy names.
fn blocks(spec: &Field<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.at(direction).items() {
            for block in rule.at(peers).items().map(|peer| peer.at("ipBlock")) {
                found.push(block.at("cidr").text().to_owned());
                found.extend(block.at("except").texts().map(str::to_owned));
            }
        }
    }
    // What is not there names none.
    found.retain(|network| !network.is_empty());
    found
}

fn policy_port(rule: &Field<'_>, errors: &mut Errors) {
    let (protocol, port, end) = (rule.at("protocol"), rule.at("port"), rule.at("endPort"));
    errors.known(&protocol, &["TCP", "UDP", "SCTP"]);
    if !port.is_set() {
        if end.is_set() {
            errors.invalid(&end, "may not be specified when `port` is not specified");
        }
    } else if port.value.is_string() {
        if end.is_set() {
            errors.invalid(&end, "may not be specified when `port` is non-numeric");
        }
        errors.messages(&port, port_name_messages(port.text()));
    } else {
        port_number(&port, errors);
        if end.is_set() {
            if end.count() < port.count() {
                errors.show(&end, port.value, "must be greater than or equal to `port`");
            }
            port_number(&end, errors);
        }
    }
}

fn policy_peer(peer: &Field<'_>, known: &[&str], errors: &mut Errors) {
    let (pods, namespaces, block) = (peer.at("podSelector"), peer.at("namespaceSelector"), peer.at("ipBlock"));
    label_selector(&pods, errors);
    label_selector(&namespaces, errors);
    if block.is_set() {
        ip_block(&block, known, errors);
    }
    let selectors = usize::from(pods.is_set()) + usize::from(namespaces.is_set());
    if selectors == 0 && !block.is_set() {
        errors.required(peer, "must specify a peer");
    } else if selectors > 0 && block.is_set() {
        errors.forbidden(peer, "may not specify both ipBlock and another peer");
    }
}

fn ip_block(block: &Field<'_>, known: &[&str], errors: &mut Errors) {
    let whole = block.at("cidr");
    if whole.is_empty() {
        errors.required(&whole, "");
        return;
    }
    network(&whole, known, errors);
    let Some((address, length)) = sloppy_network(whole.text()) else { return };
    for part in block.at("except").items() {
        network(&part, known, errors);
        let Some((inner, inner_length)) = sloppy_network(part.text()) else { continue };
        let inside = inner.is_ipv4() == address.is_ipv4()
            && masked(inner, length) == masked(address, length)
            && inner_length > length;
        if !inside {
            errors.invalid(&part, "must be a strict subset of `cidr`");
        }
    }
}

/// An IPAddress and what it belongs to.
pub(super) fn validate_address(change: &Change<'_>, errors: &mut Errors) {
    let parent = change.new.at("spec.parentRef");
    if let Some(old) = &change.old {
        errors.immutable(&parent, &old.at("spec.parentRef"));
        return;
    }
    let name = change.new.at("metadata.name");
    if !name.is_empty() {
        address(&name, &[], errors);
    }
    if !parent.is_set() {
        errors.required(&parent, "");
        return;
    }
    if !parent.at("group").is_empty() {
        errors.messages(&parent.at("group"), subdomain_messages(parent.at("group").text(), 253));
    }
    for name in ["resource", "name"] {
        let field = parent.at(name);
        if field.is_empty() {
            errors.required(&field, "");
        } else {
            path_segment(&field, errors);
        }
    }
    path_segment(&parent.at("namespace"), errors);
}

/// A ServiceCIDR.
pub(super) fn validate_service_network(change: &Change<'_>, errors: &mut Errors) {
    let networks = change.new.at("spec.cidrs");
    if let Some(old) = &change.old {
        errors.immutable(&networks, &old.at("spec.cidrs"));
        return;
    }
    if networks.is_empty() {
        errors.required(&networks, "at least one CIDR required");
        return;
    }
    if networks.len() > 2 {
        let shown = serde_json::json!({"CIDRs": networks.value});
        errors.show(&networks, &shown, "may only hold up to 2 values");
        return;
    }
    let before = errors.len();
    networks.items().for_each(|item| network(&item, &[], errors));
    let families: Vec<bool> = networks.texts().map(|text| text.contains(':')).collect();
    if errors.len() == before && families.len() == 2 && families[0] == families[1] {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.invalid(&networks, detail);
    }
}
