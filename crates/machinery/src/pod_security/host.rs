//! Checks of what a pod shares with its node: namespaces, ports, and hosts that the node itself calls.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pod::{Pod, Texts, Violation, items, named_containers, plural, quoted, setters, text};

/// No network, process or IPC namespace of the node.
pub(super) fn namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod.spec[field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    (!shared.is_empty()).then(|| Violation { reason: "host namespaces", detail: shared.join(", ") })
}

/// No ports of the node.
pub(super) fn ports(pod: &Pod<'_>) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let containers = pod.containers_that(|container| {
        let host_ports = items(&container["ports"]).filter_map(|port| port["hostPort"].as_i64());
        let taken: Vec<String> = host_ports.filter(|port| *port != 0).map(|port| port.to_string()).collect();
        let any = !taken.is_empty();
        ports.extend(taken);
        any
    });
    (!containers.is_empty()).then(|| Violation {
        reason: "hostPort",
        detail: format!(
            "{} {} {} {}",
            named_containers(&containers),
            plural("uses", "use", containers.len()),
            plural("hostPort", "hostPorts", ports.len()),
            ports.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// No other hosts in what the kubelet calls for a pod.
pub(super) fn probes(pod: &Pod<'_>) -> Option<Violation> {
    let mut containers = Texts::new();
    let mut hosts = Texts::new();
    for container in pod.containers() {
        let lifecycle = &container["lifecycle"];
        let handlers = [
            &container["livenessProbe"],
            &container["readinessProbe"],
            &container["startupProbe"],
            &lifecycle["postStart"],
            &lifecycle["preStop"],
        ];
        let called: Vec<&str> = handlers.into_iter().flat_map(called_hosts).filter(|host| !host.is_empty()).collect();
        if !called.is_empty() {
            containers.insert(text(container, "name"));
        }
        hosts.extend(called);
    }
    let names: Vec<&str> = containers.into_iter().collect();
    (!names.is_empty()).then(|| Violation {
        reason: "probe or lifecycle host",
        detail: format!(
            "{} {} {} {}",
            named_containers(&names),
            plural("uses", "use", names.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
            quoted(hosts)
        ),
    })
}

fn called_hosts(handler: &Value) -> [&str; 2] {
    [text(&handler["httpGet"], "host"), text(&handler["tcpSocket"], "host")]
}

/// No processes of a Windows node.
pub(super) fn windows_process(pod: &Pod<'_>) -> Option<Violation> {
    let is_host = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let containers = pod.containers_that(|container| is_host(&container["securityContext"]));
    let setters = setters(is_host(pod.security_context()), &containers);
    (!setters.is_empty()).then(|| Violation {
        reason: "hostProcess",
        detail: format!("{} must not set securityContext.windowsOptions.hostProcess=true", setters.join(" and ")),
    })
}
