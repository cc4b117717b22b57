//! Services and what is behind and before them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Printer, age, at, first_of, integer, joined, labels, list, scalar, selector, text, text_or};

pub(super) fn printer(group: &str, plural: &str) -> Option<Printer> {
    Some(match (group, plural) {
        ("", "services") => {
            Printer { columns: &["Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"], cells: service }
        }
        ("", "endpoints") => Printer {
            columns: &["Endpoints", "Age"],
            cells: |object, now| vec![endpoints(object).into(), age(object, now)],
        },
        ("discovery.k8s.io", "endpointslices") => {
            Printer { columns: &["AddressType", "Ports", "Endpoints", "Age"], cells: endpoint_slice }
        }
        ("networking.k8s.io", "ingresses") => {
            Printer { columns: &["Class", "Hosts", "Address", "Ports", "Age"], cells: ingress }
        }
        ("networking.k8s.io", "ingressclasses") => Printer {
            columns: &["Name", "Controller", "Parameters", "Age"],
            cells: |object, now| {
                let parameters = match at(object, "/spec/parameters").filter(|given| !given.is_null()) {
                    None => "<none>".to_owned(),
                    Some(given) => {
                        let group = text(given, "/apiGroup");
                        let dot = if group.is_empty() { "" } else { "." };
                        format!("{}{dot}{group}/{}", text(given, "/kind"), text(given, "/name"))
                    }
                };
                vec![
                    name_or_default(object, "ingressclass.kubernetes.io/is-default-class").into(),
                    text(object, "/spec/controller").into(),
                    parameters.into(),
                    age(object, now),
                ]
            },
        },
        ("networking.k8s.io", "networkpolicies") => Printer {
            columns: &["Pod-Selector", "Age"],
            cells: |object, now| vec![selector(object, "/spec/podSelector").into(), age(object, now)],
        },
        ("networking.k8s.io", "servicecidrs") => Printer {
            columns: &["CIDRs", "Age"],
            cells: |object, now| {
                let cidrs = joined(list(object, "/spec/cidrs"), |cidr| cidr.as_str().unwrap_or_default());
                vec![cidrs.into(), age(object, now)]
            },
        },
        ("networking.k8s.io", "ipaddresses") => Printer {
            columns: &["ParentRef", "Age"],
            cells: |object, now| {
                let parent = match at(object, "/spec/parentRef").filter(|parent| !parent.is_null()) {
                    None => "<none>".to_owned(),
                    Some(parent) => ["/resource", "/namespace", "/name"]
                        .map(|field| text(parent, field))
                        .into_iter()
                        .filter(|part| !part.is_empty())
                        .collect::<Vec<_>>()
                        .join("/"),
                };
                vec![parent.into(), age(object, now)]
            },
        },
        _ => return None,
    })
}

/// The name, marked where an annotation makes the object its kind's default.
pub(super) fn name_or_default(object: &Value, annotation: &str) -> String {
    let name = text(object, "/metadata/name");
    let default =
        at(object, "/metadata/annotations").and_then(|annotations| annotations.get(annotation)).and_then(Value::as_str)
            == Some("true");
    if default { format!("{name} (default)") } else { name.to_owned() }
}

/// Addresses of a load balancer, sorted.
fn load_balancer(object: &Value) -> String {
    let addresses: BTreeSet<&str> = list(object, "/status/loadBalancer/ingress")
        .iter()
        .map(|ingress| text_or(ingress, "/ip", text(ingress, "/hostname")))
        .filter(|address| !address.is_empty())
        .collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}

fn service(object: &Value, now: i64) -> Vec<Value> {
    let external_ips = joined(list(object, "/spec/externalIPs"), |ip| ip.as_str().unwrap_or_default());
    let balancer = load_balancer(object);
    let external = match text(object, "/spec/type") {
        "ClusterIP" | "NodePort" if external_ips.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external_ips,
        "LoadBalancer" => match (balancer.is_empty(), external_ips.is_empty()) {
            (true, true) => "<pending>".to_owned(),
            (true, false) => external_ips,
            (false, true) => balancer,
            (false, false) => format!("{balancer},{external_ips}"),
        },
        "ExternalName" => text(object, "/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    };
    let ports: Vec<String> = list(object, "/spec/ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (integer(port, "/port"), text_or(port, "/protocol", "TCP"));
            match integer(port, "/nodePort") {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    vec![
        text(object, "/spec/type").into(),
        text_or(object, "/spec/clusterIPs/0", text_or(object, "/spec/clusterIP", "<none>")).into(),
        external.into(),
        if ports.is_empty() { "<none>".into() } else { ports.join(",").into() },
        age(object, now),
        labels(object, "/spec/selector").into(),
    ]
}

fn endpoints(object: &Value) -> String {
    let mut addresses = Vec::new();
    for subset in list(object, "/subsets") {
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            addresses.extend(list(subset, "/addresses").iter().map(|address| text(address, "/ip").to_owned()));
        }
        for port in ports {
            addresses.extend(list(subset, "/addresses").iter().map(|address| {
                let (ip, port) = (text(address, "/ip"), integer(port, "/port"));
                if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
            }));
        }
    }
    let none = if list(object, "/subsets").is_empty() { "<none>" } else { "" };
    first_of(&addresses, 3, ",", none)
}

fn endpoint_slice(object: &Value, now: i64) -> Vec<Value> {
    let ports: Vec<String> = list(object, "/ports")
        .iter()
        .map(|port| scalar(port.get("port")).or_else(|| scalar(port.get("name"))).unwrap_or_else(|| "*".to_owned()))
        .collect();
    let addresses: Vec<String> = list(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    vec![
        text(object, "/addressType").into(),
        first_of(&ports, 3, ",", "<unset>").into(),
        first_of(&addresses, 3, ",", "<unset>").into(),
        age(object, now),
    ]
}

fn ingress(object: &Value, now: i64) -> Vec<Value> {
    let hosts: Vec<String> = list(object, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host").to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    vec![
        text_or(object, "/spec/ingressClassName", "<none>").into(),
        first_of(&hosts, 3, ",", "*").into(),
        load_balancer(object).into(),
        if list(object, "/spec/tls").is_empty() { "80" } else { "80, 443" }.into(),
        age(object, now),
    ]
}
