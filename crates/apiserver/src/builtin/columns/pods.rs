//! Pods and nodes.

use serde_json::{Value, json};

use super::{
    Printer, age, at, boolean, condition, containers, has_condition, integer, is_being_deleted, labels, list, since,
    text, text_or,
};

pub(super) fn printer(group: &str, plural: &str) -> Option<Printer> {
    Some(match (group, plural) {
        ("", "pods") => Printer {
            columns: &["Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"],
            cells: pod,
        },
        ("", "podtemplates") => Printer {
            columns: &["Containers", "Images", "Pod Labels"],
            cells: |object, _| {
                let [names, images] = containers(object, "/template/spec/containers");
                vec![names, images, labels(object, "/template/metadata/labels").into()]
            },
        },
        ("", "nodes") => Printer {
            columns: &[
                "Status",
                "Roles",
                "Age",
                "Version",
                "+Internal-IP",
                "+External-IP",
                "+OS-Image",
                "+Kernel-Version",
                "+Container-Runtime",
            ],
            cells: node,
        },
        _ => return None,
    })
}

/// What the containers of a pod add up to.
struct PodSummary {
    ready: i64,
    restarts: i64,
    last_restart: String,
    reason: String,
}

/// A sidecar: an init container that keeps running.
fn is_sidecar(pod: &Value, name: &str) -> bool {
    list(pod, "/spec/initContainers")
        .iter()
        .any(|container| text(container, "/name") == name && text(container, "/restartPolicy") == "Always")
}

fn later<'o>(left: &'o str, right: &'o str) -> &'o str {
    // Both RFC 3339 in UTC with seconds, so text order is time order.
    if left < right { right } else { left }
}

fn terminated_reason(state: &Value, prefix: &str) -> String {
    let reason = text(state, "/reason");
    let signal = integer(state, "/signal");
    if !reason.is_empty() {
        format!("{prefix}{reason}")
    } else if signal != 0 {
        format!("{prefix}Signal:{signal}")
    } else {
        format!("{prefix}ExitCode:{}", integer(state, "/exitCode"))
    }
}

/// Walks the init containers until one that is not done; answers whether there is one.
fn summarise_init(pod: &Value, summary: &mut PodSummary, sidecars: &mut PodSummary) -> bool {
    let total = list(pod, "/spec/initContainers").len();
    for (index, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
        let sidecar = is_sidecar(pod, text(status, "/name"));
        let finished = text(status, "/lastState/terminated/finishedAt");
        summary.restarts += integer(status, "/restartCount");
        let latest = later(&summary.last_restart, finished).to_owned();
        summary.last_restart = latest;
        if sidecar {
            sidecars.restarts += integer(status, "/restartCount");
            sidecars.last_restart = later(&sidecars.last_restart, finished).to_owned();
        }
        let terminated = at(status, "/state/terminated").filter(|state| !state.is_null());
        if terminated.is_some_and(|state| integer(state, "/exitCode") == 0) {
            continue;
        }
        if sidecar && boolean(status, "/started") {
            summary.ready += i64::from(boolean(status, "/ready"));
            continue;
        }
        let waiting = text(status, "/state/waiting/reason");
        summary.reason = match terminated {
            Some(state) => terminated_reason(state, "Init:"),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{index}/{total}"),
        };
        return true;
    }
    false
}

fn summarise(pod: &Value) -> PodSummary {
    let phase = text(pod, "/status/phase");
    let mut summary = PodSummary {
        ready: 0,
        restarts: 0,
        last_restart: String::new(),
        reason: text_or(pod, "/status/reason", phase).to_owned(),
    };
    if condition(pod, "PodScheduled").is_some_and(|condition| text(condition, "/reason") == "SchedulingGated") {
        "SchedulingGated".clone_into(&mut summary.reason);
    }
    let mut sidecars = PodSummary { ready: 0, restarts: 0, last_restart: String::new(), reason: String::new() };
    let initializing = summarise_init(pod, &mut summary, &mut sidecars);
    if !initializing || has_condition(pod, "Initialized") {
        summary.restarts = sidecars.restarts;
        summary.last_restart = sidecars.last_restart;
        let mut running = false;
        let mut error = None;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            summary.restarts += integer(status, "/restartCount");
            let finished = text(status, "/lastState/terminated/finishedAt");
            let latest = later(&summary.last_restart, finished).to_owned();
            summary.last_restart = latest;
            let waiting = text(status, "/state/waiting/reason");
            let state = |name: &str| at(status, name).filter(|state| !state.is_null());
            if !waiting.is_empty() {
                waiting.clone_into(&mut summary.reason);
            } else if let Some(terminated) = state("/state/terminated") {
                summary.reason = terminated_reason(terminated, "");
                if integer(terminated, "/exitCode") != 0 {
                    error = Some(summary.reason.clone());
                }
            } else if boolean(status, "/ready") && state("/state/running").is_some() {
                running = true;
                summary.ready += 1;
            }
        }
        if summary.reason == "Completed" {
            if running && has_condition(pod, "Ready") {
                "Running".clone_into(&mut summary.reason);
            } else if let Some(error) = error {
                summary.reason = error;
            } else if running {
                "NotReady".clone_into(&mut summary.reason);
            }
        }
    }
    if is_being_deleted(pod) {
        if text(pod, "/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.reason);
        }
    }
    summary
}

fn pod(pod: &Value, now: i64) -> Vec<Value> {
    let summary = summarise(pod);
    let sidecars = list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
        .count();
    let total = list(pod, "/spec/containers").len() + sidecars;
    let restarts = if summary.restarts != 0 && !summary.last_restart.is_empty() {
        let ago = kogge_machinery::table::age(&summary.last_restart, now);
        format!("{} ({ago} ago)", summary.restarts)
    } else {
        summary.restarts.to_string()
    };
    let gates = list(pod, "/spec/readinessGates");
    let passed = gates.iter().filter(|gate| has_condition(pod, text(gate, "/conditionType"))).count();
    let ip = text_or(pod, "/status/podIPs/0/ip", text_or(pod, "/status/podIP", "<none>"));
    vec![
        format!("{}/{total}", summary.ready).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        ip.into(),
        text_or(pod, "/spec/nodeName", "<none>").into(),
        text_or(pod, "/status/nominatedNodeName", "<none>").into(),
        if gates.is_empty() { json!("<none>") } else { format!("{passed}/{}", gates.len()).into() },
    ]
}

fn node(node: &Value, now: i64) -> Vec<Value> {
    let mut status = match condition(node, "Ready") {
        Some(condition) if text(condition, "/status") == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if boolean(node, "/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = at(node, "/metadata/labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(label, value)| match label.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if label == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let address = |kind: &str| {
        list(node, "/status/addresses")
            .iter()
            .find(|address| text(address, "/type") == kind)
            .map_or("<none>", |address| text(address, "/address"))
    };
    let architecture = text(node, "/status/nodeInfo/architecture");
    let mut kernel = text_or(node, "/status/nodeInfo/kernelVersion", "<unknown>").to_owned();
    if !architecture.is_empty() {
        kernel = format!("{kernel} ({architecture})");
    }
    vec![
        status.into(),
        if roles.is_empty() { "<none>".into() } else { roles.join(",").into() },
        since(node, "/metadata/creationTimestamp", now).into(),
        text(node, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        text_or(node, "/status/nodeInfo/osImage", "<unknown>").into(),
        kernel.into(),
        text_or(node, "/status/nodeInfo/containerRuntimeVersion", "<unknown>").into(),
    ]
}
