//! Services.

use std::collections::BTreeSet;

use kogge_machinery::{object_meta::subdomain_messages, status_error::FieldError};
use serde_json::Value;

use super::{
    Change,
    field::{Errors, Field},
    text::{
        address, endpoint_address, label, labels, network, port, port_number, qualified_name, sloppy_address, subdomain,
    },
};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

fn is_headless(service: &Field<'_>) -> bool {
    service.at("spec.clusterIPs").texts().eq(["None"])
}

fn is_balanced(service: &Field<'_>) -> bool {
    service.at("spec.type").text() == "LoadBalancer"
}

fn is_external_name(service: &Field<'_>) -> bool {
    service.at("spec.type").text() == "ExternalName"
}

/// Whether a Service has a port for checks of its health.
fn needs_health_check(service: &Field<'_>) -> bool {
    is_balanced(service) && service.at("spec.externalTrafficPolicy").text() == "Local"
}

/// A Service that is created or changed, and whose [`addresses`] are right.
pub(super) fn validate(change: &Change<'_>, errors: &mut Errors) {
    let service = &change.new;
    if let Some(old) = &change.old {
        addresses_update(service, old, errors);
        families_update(service, old, errors);
        let (class, before) = (service.at("spec.loadBalancerClass"), old.at("spec.loadBalancerClass"));
        if is_balanced(old) && is_balanced(service) && class.value != before.value {
            errors.invalid(&class, "may not change once set");
        }
        load_balancer_class(service, errors);
        let health = service.at("spec.healthCheckNodePort");
        let moved = health.count() != old.at("spec.healthCheckNodePort").count();
        if needs_health_check(old) && needs_health_check(service) && moved {
            errors.forbidden(&health, "field is immutable");
        }
    }
    let (mode, hints) =
        (service.at("metadata.annotations").key("service.kubernetes.io/topology-mode"), topology_hints(service));
    if mode.is_set() && hints.is_set() && mode.text() != hints.text() {
        let detail = "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified";
        errors.invalid(&mode, detail);
    }
    kind(service, errors);
    affinity(&service.at("spec"), errors);
    let known: Vec<&str> = change.old.iter().flat_map(|old| old.at("spec.externalIPs").texts()).collect();
    for external in service.at("spec.externalIPs").items() {
        if address(&external, &known, errors) {
            endpoint_address(&external, errors);
        }
    }
    errors.one_of(&service.at("spec.type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    numbers_of_ports(service, errors);
    source_ranges(service, change.old.as_ref(), errors);
    let allocate = service.at("spec.allocateLoadBalancerNodePorts");
    if allocate.is_set() && !is_balanced(service) {
        errors.forbidden(&allocate, "may only be used when `type` is 'LoadBalancer'");
    }
    if !allocate.is_set() && is_balanced(service) {
        errors.required(&allocate.reported_as("allocateLoadBalancerNodePorts"), "");
    }
    load_balancer_class(service, errors);
    traffic(service, errors);
}

fn topology_hints<'o>(service: &Field<'o>) -> Field<'o> {
    service.at("metadata.annotations").key("service.kubernetes.io/topology-aware-hints")
}

fn kind(service: &Field<'_>, errors: &mut Errors) {
    let spec = service.at("spec");
    let (ports, headless) = (spec.at("ports"), is_headless(service));
    if ports.is_empty() && !headless && !is_external_name(service) {
        errors.required(&ports, "");
    }
    match spec.at("type").text() {
        kind @ ("LoadBalancer" | "NodePort") if headless => {
            let first = spec.at("clusterIP").reported_as("spec.clusterIPs[0]");
            errors.invalid(&first, &format!("may not be set to 'None' for {kind} services"));
        }
        "ExternalName" => {
            for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !spec.at(name).is_empty() {
                    errors.forbidden(&spec.at(name), "may not be set for ExternalName services");
                }
            }
            let name = spec.at("externalName");
            match name.text().strip_suffix('.').unwrap_or(name.text()) {
                "" => errors.required(&name, ""),
                text => {
                    for message in subdomain_messages(text, 253) {
                        errors.show(&name, &text.into(), &message);
                    }
                }
            }
        }
        _ => {}
    }
    let mut names = BTreeSet::new();
    let several = ports.len() > 1;
    for item in ports.items() {
        let (name, protocol) = (item.at("name"), item.at("appProtocol"));
        if name.is_empty() {
            if several {
                errors.required(&name, "");
            }
        } else {
            label(&name, errors);
            if !names.insert(name.text()) {
                errors.duplicate(&name);
            }
        }
        port_number(&item.at("port"), errors);
        errors.one_of(&item.at("protocol"), &PROTOCOLS);
        port(&item.at("targetPort"), errors);
        if protocol.is_set() {
            qualified_name(&protocol, errors);
        }
    }
    labels(&spec.at("selector"), errors);
}

fn affinity(spec: &Field<'_>, errors: &mut Errors) {
    const MAX_SECONDS: i64 = 24 * 60 * 60;
    let (affinity, config) = (spec.at("sessionAffinity"), spec.at("sessionAffinityConfig"));
    errors.one_of(&affinity, &["ClientIP", "None"]);
    match affinity.text() {
        "ClientIP" => {
            let (client, seconds) = (config.at("clientIP"), config.at("clientIP.timeoutSeconds"));
            match [&config, &client, &seconds].into_iter().find(|field| !field.is_set()) {
                Some(missing) => errors.required(missing, "when session affinity type is ClientIP"),
                None if !(1..=MAX_SECONDS).contains(&seconds.count()) => {
                    errors.invalid(&seconds, &format!("must be greater than 0 and less than {MAX_SECONDS}"));
                }
                None => {}
            }
        }
        "None" if config.is_set() => errors.forbidden(&config, "must not be set when session affinity is None"),
        _ => {}
    }
}

/// The addresses of a Service and their families.
pub(super) fn addresses(service: &Field<'_>, old: Option<&Field<'_>>, errors: &mut Errors) {
    let spec = service.at("spec");
    let (address_field, all) = (spec.at("clusterIP"), spec.at("clusterIPs"));
    let (families, policy) = (spec.at("ipFamilies"), spec.at("ipFamilyPolicy"));
    match (address_field.is_empty(), all.texts().next()) {
        (false, None) => errors.required(&all, ""),
        (false, Some(first)) if first != address_field.text() => {
            errors.invalid(&all, "first value must match `clusterIP`");
        }
        (true, Some(_)) => errors.invalid(&all, "must be empty when `clusterIP` is not specified"),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for family in families.items() {
        errors.known(&family, &["IPv4", "IPv6"]);
        if !seen.insert(family.text()) {
            errors.duplicate(&family);
        }
    }
    errors.known(&policy, &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    let known: Vec<&str> = old.iter().flat_map(|old| old.at("spec.clusterIPs").texts()).collect();
    let mut wrong = false;
    for (index, item) in all.items().enumerate() {
        if index == 0 && item.text() == "None" {
            if all.len() > 1 {
                wrong = true;
                errors.invalid(&all, "'None' must be the first and only value");
            }
        } else {
            wrong |= !address(&item, &known, errors);
        }
    }
    if all.len() > 2 {
        errors.invalid(&all, "may only hold up to 2 values");
    }
    if wrong {
        return;
    }
    let is_six: Vec<bool> = all.texts().map(|text| text.contains(':')).collect();
    if is_six.len() > 1 && !(is_six.contains(&true) && is_six.contains(&false)) {
        errors.invalid(&all, "may specify no more than one IP for each IP family");
    }
    for (index, (item, family)) in all.items().zip(families.texts()).enumerate() {
        let expects_six = family == "IPv6";
        if !is_headless(service) && matches!(family, "IPv4" | "IPv6") && is_six[index] != expects_six {
            errors.invalid(&item, &format!("expected an {family} value as indicated by `ipFamilies[{index}]`"));
        }
    }
}

fn addresses_update(service: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let (now, then) = (service.at("spec.clusterIPs"), old.at("spec.clusterIPs"));
    let policy = service.at("spec.ipFamilyPolicy");
    let both_headless = is_headless(service) && is_headless(old);
    if is_external_name(service) || is_external_name(old) || both_headless {
        return;
    }
    let place = |index: usize| now.reported_as(&format!("{}[{index}]", now.path()));
    if now.len() == then.len() {
        for (index, _) in now.texts().zip(then.texts()).enumerate().filter(|(_, (now, then))| now != then) {
            errors.invalid(&place(index), "may not change once set");
        }
        return;
    }
    let released = then.len() > now.len();
    if released && now.is_empty() {
        errors.invalid(&place(0), "primary clusterIP can not be unset");
    }
    let (first, before) = (now.texts().next(), then.texts().next());
    if first.is_some() && before.is_some() && first != before {
        errors.invalid(&place(0), "may not change once set");
    }
    if released && now.len() == 1 && policy.text() != "SingleStack" {
        errors.invalid(&policy, "must be set to 'SingleStack' when releasing the secondary clusterIP");
    }
}

fn families_update(service: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let (now, then) = (service.at("spec.ipFamilies"), old.at("spec.ipFamilies"));
    let policy = service.at("spec.ipFamilyPolicy");
    if is_external_name(service) || is_external_name(old) || is_headless(service) || is_headless(old) {
        return;
    }
    let place = now.reported_as(&format!("{}[0]", now.path()));
    if now.len() == then.len() {
        for _ in now.texts().zip(then.texts()).filter(|(now, then)| now != then) {
            errors.invalid(&place, "may not change once set");
        }
        return;
    }
    let released = then.len() > now.len();
    if released && service.at("spec.clusterIPs").is_empty() {
        errors.invalid(&place, "primary ipFamily can not be unset");
    }
    let (first, before) = (now.texts().next(), then.texts().next());
    if first.is_some() && before.is_some() && first != before {
        errors.show(&place, service.at("spec.clusterIPs").value, "may not change once set");
    }
    if released && now.len() == 1 && policy.text() != "SingleStack" {
        errors.invalid(&policy, "must be set to 'SingleStack' when releasing the secondary ipFamily");
    }
}

fn numbers_of_ports(service: &Field<'_>, errors: &mut Errors) {
    let (mut on_nodes, mut own) = (BTreeSet::new(), BTreeSet::new());
    let in_cluster = service.at("spec.type").text() == "ClusterIP";
    for item in service.at("spec.ports").items() {
        let (protocol, node) = (item.at("protocol").text(), item.at("nodePort"));
        if node.count() != 0 {
            if in_cluster {
                errors.forbidden(&node, "may not be used when `type` is 'ClusterIP'");
            }
            if !on_nodes.insert((protocol, node.count())) {
                errors.duplicate(&node);
            }
        }
        let number = item.at("port").count();
        if !own.insert((protocol, number)) {
            errors.push(duplicate_port(&item, protocol, number));
        }
    }
}

/// The real server prints a value of its own type here, with only these two fields in it.
fn duplicate_port(item: &Field<'_>, protocol: &str, number: i64) -> FieldError {
    let mut error = FieldError::duplicate(item.path(), &Value::Null);
    let protocol = Value::from(protocol);
    error.message = format!(
        "Duplicate value: {{\"Name\":\"\",\"Protocol\":{protocol},\"AppProtocol\":null,\"Port\":{number},\
         \"TargetPort\":0,\"NodePort\":0}}"
    );
    error
}

fn source_ranges(service: &Field<'_>, old: Option<&Field<'_>>, errors: &mut Errors) {
    const ONLY_BALANCED: &str = "may only be used when `type` is 'LoadBalancer'";
    let given = service.at("spec.loadBalancerSourceRanges");
    let annotation = service.at("metadata.annotations").key(SOURCE_RANGES);
    if !given.is_empty() {
        let place = given.reported_as("spec.LoadBalancerSourceRanges");
        if !is_balanced(service) {
            errors.forbidden(&place, ONLY_BALANCED);
        }
        let known: Vec<&str> =
            old.iter().flat_map(|old| old.at("spec.loadBalancerSourceRanges").texts()).map(str::trim).collect();
        for range in place.items() {
            let trimmed = Value::from(range.text().trim());
            network(&Field::root(&trimmed).reported_as(range.path()), &known, errors);
        }
    } else if annotation.is_set() {
        if !is_balanced(service) {
            errors.forbidden(&annotation, ONLY_BALANCED);
        }
        let before = old.map(|old| old.at("metadata.annotations").key(SOURCE_RANGES).text());
        let text = annotation.text().trim();
        for range in text.split(',').filter(|_| !text.is_empty() && before != Some(annotation.text())) {
            let trimmed = Value::from(range.trim());
            network(&Field::root(&trimmed).reported_as(annotation.path()), &[], errors);
        }
    }
}

fn load_balancer_class(service: &Field<'_>, errors: &mut Errors) {
    let class = service.at("spec.loadBalancerClass");
    if !class.is_set() {
        return;
    }
    if is_balanced(service) {
        qualified_name(&class, errors);
    } else {
        errors.forbidden(&class, "may only be used when `type` is 'LoadBalancer'");
    }
}

fn traffic(service: &Field<'_>, errors: &mut Errors) {
    let spec = service.at("spec");
    let kind = spec.at("type").text();
    let (external, health) = (spec.at("externalTrafficPolicy"), spec.at("healthCheckNodePort"));
    let reachable =
        matches!(kind, "LoadBalancer" | "NodePort") || (kind == "ClusterIP" && !spec.at("externalIPs").is_empty());
    if reachable {
        errors.one_of(&external, &["Cluster", "Local"]);
    } else if !external.is_empty() {
        errors.invalid(&external, "may only be set for externally-accessible services");
    }
    if needs_health_check(service) {
        if health.count() == 0 {
            errors.required(&health, "");
        } else {
            port_number(&health, errors);
        }
    } else if health.count() != 0 {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.invalid(&health, detail);
    }
    let internal = spec.at("internalTrafficPolicy");
    if !internal.is_set() && matches!(kind, "NodePort" | "LoadBalancer" | "ClusterIP") {
        errors.required(&internal, "");
    }
    errors.known(&internal, &["Cluster", "Local"]);
    errors.known(&spec.at("trafficDistribution"), &["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

/// What a load balancer says of a Service.
pub(super) fn validate_status(change: &Change<'_>, errors: &mut Errors) {
    let ingress = change.new.at("status.loadBalancer.ingress");
    if !is_balanced(&change.new) && !ingress.is_empty() {
        errors.forbidden(&ingress, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    let before = change.old.as_ref().map(|old| old.at("status.loadBalancer.ingress"));
    ingress_points(&ingress, before.as_ref(), errors);
    for point in ingress.items() {
        let (ip, mode) = (point.at("ip"), point.at("ipMode"));
        if !mode.is_set() && !ip.is_empty() {
            errors.required(&mode, "must be specified when `ip` is set");
        } else if mode.is_set() && ip.is_empty() {
            errors.forbidden(&mode, "may not be specified when `ip` is not set");
        } else {
            errors.known(&mode, &["Proxy", "VIP"]);
        }
    }
}

/// Addresses and names of a load balancer, of Services and of Ingresses.
pub(super) fn ingress_points(points: &Field<'_>, before: Option<&Field<'_>>, errors: &mut Errors) {
    let known: Vec<&str> = before.iter().flat_map(|list| list.items()).map(|point| point.at("ip").text()).collect();
    for point in points.items() {
        let (ip, name) = (point.at("ip"), point.at("hostname"));
        if !ip.is_empty() {
            address(&ip, &known, errors);
        }
        if !name.is_empty() {
            subdomain(&name, errors);
            if sloppy_address(name.text()).is_some() {
                errors.invalid(&name, "must be a DNS name, not an IP address");
            }
        }
    }
}

/// Warnings about a Service: what is ignored, deprecated, or written in an odd way.
pub(super) fn warnings(service: &Field<'_>) -> Vec<String> {
    let spec = service.at("spec");
    let mut warnings = Vec::new();
    if topology_hints(service).is_set() {
        warnings.push(
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
             service.kubernetes.io/topology-mode instead"
                .to_owned(),
        );
    }
    let headless = spec.at("type").text() == "ClusterIP" && spec.at("clusterIP").text() == "None";
    let externals = !spec.at("externalIPs").is_empty();
    if headless {
        for (given, what) in [
            (!spec.at("loadBalancerIP").is_empty(), "spec.loadBalancerIP"),
            (externals, "spec.externalIPs"),
            (spec.at("sessionAffinity").text() != "None", "spec.SessionAffinity"),
        ] {
            if given {
                warnings.push(format!("{what} is ignored for headless services"));
            }
        }
    }
    if externals && !headless && !is_external_name(service) {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    if is_external_name(service) && externals {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !is_external_name(service) && !spec.at("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.at("trafficDistribution").text() == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}
