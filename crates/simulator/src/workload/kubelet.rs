//! What the kubelets of simulated nodes do: pods start, run, end and stop, after the time such things take.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    event::Note,
    plane_state::{PlaneDecision, PlaneState, Resource, is_finished},
};
use crate::{
    clock::{Clock, Stage},
    cloud::address::nth_address,
    condition::seconds,
    object::{Object, equal_as_stored, stable_hash},
};

/// How long a pod stays on a node that does not answer, as the default tolerations say.
const UNREACHABLE_SECONDS: f64 = 300.0;

/// Moves every pod that has a node.
pub fn reconcile(state: &PlaneState, clock: &Clock, now: Timestamp, decision: &mut PlaneDecision) {
    let mut taken: Vec<String> = state
        .all(Resource::Pod)
        .iter()
        .map(|it| it.text("/status/podIP").to_owned())
        .filter(|it| !it.is_empty())
        .collect();
    for pod in state.all(Resource::Pod) {
        let Some(node) = state.all(Resource::Node).iter().find(|it| it.name() == pod.text("/spec/nodeName")) else {
            let orphaned = !pod.text("/spec/nodeName").is_empty();
            if orphaned || (pod.deleting() && pod.text("/spec/nodeName").is_empty()) {
                decision.delete.push(now_path(pod));
            }
            continue;
        };
        let lost = node.condition("Ready").is_some_and(|it| it["status"] == "Unknown");
        if lost {
            unreachable(pod, node, clock, now, decision);
        } else if pod.deleting() {
            stop(pod, clock, now, decision);
        } else if !is_finished(pod) {
            run(state, pod, node, clock, now, &mut taken, decision);
        }
    }
}

/// Path that removes a pod without waiting for its kubelet.
fn now_path(pod: &Object) -> String {
    Resource::Pod.path(pod.namespace(), pod.name()) + "?gracePeriodSeconds=0"
}

fn due(since: Timestamp, delay: SignedDuration, now: Timestamp, decision: &mut PlaneDecision) -> bool {
    let at = since.saturating_add(delay).unwrap_or(now);
    if at > now {
        decision.wake(at);
    }
    at <= now
}

fn unreachable(pod: &Object, node: &Object, clock: &Clock, now: Timestamp, decision: &mut PlaneDecision) {
    if pod.is_true("Ready") {
        let mut status = pod.at("/status").clone();
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            if condition["type"] == "Ready" {
                condition["status"] = json!("False");
                condition["lastTransitionTime"] = json!(seconds(now));
            }
        }
        decision.status(Resource::Pod, pod, &json!({"conditions": status["conditions"]}));
    }
    let stays = pod.annotation("kubernetes.io/config.mirror").is_some()
        || pod.list("/metadata/ownerReferences").iter().any(|it| it["kind"] == "DaemonSet");
    let since = node.condition("Ready").and_then(|it| it["lastTransitionTime"].as_str()?.parse().ok()).unwrap_or(now);
    if !stays && due(since, clock.timeout(UNREACHABLE_SECONDS), now, decision) && !pod.deleting() {
        let message = format!("Marking for deletion Pod {}/{}", pod.namespace(), pod.name());
        let note = Note::normal("taint-eviction-controller", "TaintManagerEviction", message);
        decision.note(Resource::Pod, pod, &note, now);
        decision.delete(Resource::Pod, pod);
    }
}

fn stop(pod: &Object, clock: &Clock, now: Timestamp, decision: &mut PlaneDecision) {
    // deletionTimestamp is the request's time plus the grace period.
    let grace = SignedDuration::from_secs(pod.number("/metadata/deletionGracePeriodSeconds").unwrap_or(0));
    let asked = pod.time("/metadata/deletionTimestamp").and_then(|it| it.checked_sub(grace).ok()).unwrap_or(now);
    if due(asked, clock.delay(Stage::PodStop, pod.name()).min(grace), now, decision) {
        for container in pod.list("/spec/containers").iter().filter(|_| !is_finished(pod)) {
            let name = container["name"].as_str().unwrap_or_default();
            let note = Note::normal("kubelet", "Killing", format!("Stopping container {name}"))
                .from_node(pod.text("/spec/nodeName"))
                .about_container(name);
            decision.note(Resource::Pod, pod, &note, now);
        }
        decision.delete.push(now_path(pod));
    }
}

fn run(
    state: &PlaneState,
    pod: &Object,
    node: &Object,
    clock: &Clock,
    now: Timestamp,
    taken: &mut Vec<String>,
    decision: &mut PlaneDecision,
) {
    let started = pod.time("/status/startTime");
    if pod.text("/status/phase") == "Running" {
        if starts_ephemeral(pod, node, now, decision) || resizes(pod, decision) {
            return;
        }
        // Nothing runs that could fail or wait for input: what may end, ends well.
        let ends = matches!(pod.text("/spec/restartPolicy"), "Never" | "OnFailure");
        if !pod.is_true("Ready") {
            // The node answers again.
            decision.status(Resource::Pod, pod, &json!({"conditions": conditions(started.unwrap_or(now), now, true)}));
        } else if ends && due(started.unwrap_or(now), clock.delay(Stage::PodRun, pod.name()), now, decision) {
            finish(pod, now, decision);
        }
        return;
    }
    if !volumes_bound(state, pod) {
        return;
    }
    let Some(begun) = started else {
        if clock.delay(Stage::PodStart, pod.name()) > SignedDuration::ZERO {
            let status = json!({
                "phase": "Pending", "startTime": seconds(now), "hostIP": host_address(node),
                "conditions": conditions(now, now, false), "containerStatuses": container_statuses(pod, now, State::Waiting),
            });
            decision.status(Resource::Pod, pod, &status);
            decision.wake(now.saturating_add(clock.delay(Stage::PodStart, pod.name())).unwrap_or(now));
            return;
        }
        start(pod, node, now, now, taken, decision);
        return;
    };
    if due(begun, clock.delay(Stage::PodStart, pod.name()), now, decision) {
        start(pod, node, begun, now, taken, decision);
    }
}

fn volumes_bound(state: &PlaneState, pod: &Object) -> bool {
    pod.list("/spec/volumes").iter().all(|volume| {
        let Some(claim) = volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str) else {
            return true;
        };
        state
            .all(Resource::PersistentVolumeClaim)
            .iter()
            .any(|it| it.namespace() == pod.namespace() && it.name() == claim && it.text("/status/phase") == "Bound")
    })
}

fn host_address(node: &Object) -> Value {
    node.list("/status/addresses")
        .iter()
        .find(|it| it["type"] == "InternalIP")
        .map_or(Value::Null, |it| it["address"].clone())
}

fn start(
    pod: &Object,
    node: &Object,
    begun: Timestamp,
    now: Timestamp,
    taken: &mut Vec<String>,
    decision: &mut PlaneDecision,
) {
    let host = host_address(node);
    let address = if pod.flag("/spec/hostNetwork") {
        host.as_str().unwrap_or_default().to_owned()
    } else {
        let network = node.text("/spec/podCIDR");
        let free = (2..254)
            .filter_map(|index| nth_address(network, index))
            .map(|it| it.to_string())
            .find(|it| !taken.contains(it));
        free.unwrap_or_default()
    };
    taken.push(address.clone());
    let mut status = json!({
        "phase": "Running", "startTime": seconds(begun), "hostIP": host, "hostIPs": [{"ip": host}],
        "conditions": conditions(begun, now, true), "containerStatuses": container_statuses(pod, now, State::Running),
    });
    if !address.is_empty() {
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
    }
    decision.status(Resource::Pod, pod, &status);
    for container in pod.list("/spec/containers") {
        note_start(pod, container, node, now, decision);
    }
}

fn note_start(pod: &Object, container: &Value, node: &Object, now: Timestamp, decision: &mut PlaneDecision) {
    let (name, image) =
        (container["name"].as_str().unwrap_or_default(), container["image"].as_str().unwrap_or_default());
    for (reason, message) in [
        ("Pulled", format!("Container image \"{image}\" already present on machine")),
        ("Created", format!("Created container: {name}")),
        ("Started", format!("Started container {name}")),
    ] {
        let note = Note::normal("kubelet", reason, message).from_node(node.name()).about_container(name);
        decision.note(Resource::Pod, pod, &note, now);
    }
}

/// Starts the ephemeral containers that `kubectl debug` has put into a running pod; false where all are started.
fn starts_ephemeral(pod: &Object, node: &Object, now: Timestamp, decision: &mut PlaneDecision) -> bool {
    let mut statuses = pod.list("/status/ephemeralContainerStatuses").to_vec();
    let started = statuses.len();
    for container in pod.list("/spec/ephemeralContainers") {
        if !statuses.iter().any(|status| status["name"] == container["name"]) {
            statuses.push(ephemeral_status(pod, container, now, State::Running));
            note_start(pod, container, node, now, decision);
        }
    }
    if statuses.len() == started {
        return false;
    }
    decision.status(Resource::Pod, pod, &json!({"ephemeralContainerStatuses": statuses}));
    true
}

/// Gives running containers what they were resized to, which a node always has; false where all have what they ask for.
fn resizes(pod: &Object, decision: &mut PlaneDecision) -> bool {
    let mut statuses = pod.list("/status/containerStatuses").to_vec();
    let mut changed = false;
    for status in statuses.iter_mut().filter(|status| status["state"]["running"].is_object()) {
        let Some(container) = pod.list("/spec/containers").iter().find(|it| it["name"] == status["name"]) else {
            continue;
        };
        let before = status.clone();
        give_resources(status, container);
        changed |= !equal_as_stored(&before, status);
    }
    if changed {
        decision.status(Resource::Pod, pod, &json!({"containerStatuses": statuses}));
    }
    changed
}

/// Says in the status of a running container that it has what it asks for.
fn give_resources(status: &mut Value, container: &Value) {
    let resources = container["resources"].as_object().cloned().unwrap_or_default();
    if let Some(requests) = resources.get("requests") {
        status["allocatedResources"] = requests.clone();
    }
    status["resources"] = Value::Object(resources);
}

/// No probe belongs to an ephemeral container, so it is never called ready.
fn ephemeral_status(pod: &Object, container: &Value, now: Timestamp, state: State) -> Value {
    let mut status = container_status(pod, container, now, state);
    status["ready"] = json!(false);
    if let Some(status) = status.as_object_mut() {
        status.remove("started");
    }
    status
}

fn finish(pod: &Object, now: Timestamp, decision: &mut PlaneDecision) {
    let mut all = conditions(pod.time("/status/startTime").unwrap_or(now), now, false);
    for condition in all.as_array_mut().into_iter().flatten() {
        if condition["status"] == "False" {
            condition["reason"] = json!("PodCompleted");
        }
    }
    let mut status = json!({
        "phase": "Succeeded", "conditions": all, "containerStatuses": container_statuses(pod, now, State::Terminated),
    });
    let ephemeral = pod.list("/spec/ephemeralContainers").iter();
    let ephemeral: Vec<Value> = ephemeral.map(|it| ephemeral_status(pod, it, now, State::Terminated)).collect();
    if !ephemeral.is_empty() {
        status["ephemeralContainerStatuses"] = json!(ephemeral);
    }
    decision.status(Resource::Pod, pod, &status);
}

fn conditions(begun: Timestamp, now: Timestamp, ready: bool) -> Value {
    let condition = |name: &str, status: bool, at: Timestamp| json!({"type": name, "status": if status { "True" } else { "False" }, "lastTransitionTime": seconds(at), "lastProbeTime": null});
    json!([
        condition("PodScheduled", true, begun),
        condition("PodReadyToStartContainers", ready, begun),
        condition("Initialized", true, begun),
        condition("ContainersReady", ready, now),
        condition("Ready", ready, now),
    ])
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    Running,
    Terminated,
}

fn container_statuses(pod: &Object, now: Timestamp, state: State) -> Value {
    pod.list("/spec/containers").iter().map(|container| container_status(pod, container, now, state)).collect()
}

fn container_status(pod: &Object, container: &Value, now: Timestamp, state: State) -> Value {
    let image = container["image"].as_str().unwrap_or_default();
    let name = container["name"].as_str().unwrap_or_default();
    let digest = format!(
        "{:016x}{:016x}{:016x}{:016x}",
        stable_hash(&[image]),
        stable_hash(&[image, "2"]),
        stable_hash(&[image, "3"]),
        stable_hash(&[image, "4"])
    );
    let id = format!(
        "containerd://{:016x}{:016x}{:016x}{:016x}",
        stable_hash(&[pod.uid(), name]),
        stable_hash(&[name, pod.uid()]),
        stable_hash(&[pod.uid()]),
        stable_hash(&[name])
    );
    let repository = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(image, |(it, _)| it);
    let mut status = json!({
        "name": name, "image": image, "imageID": "", "restartCount": 0, "ready": state == State::Running,
        "started": state == State::Running,
    });
    status["state"] = match state {
        State::Waiting => json!({"waiting": {"reason": "ContainerCreating"}}),
        State::Running => json!({"running": {"startedAt": seconds(now)}}),
        State::Terminated => json!({"terminated": {
            "exitCode": 0, "reason": "Completed", "startedAt": pod.at("/status/startTime"), "finishedAt": seconds(now), "containerID": id}}),
    };
    if state != State::Waiting {
        status["imageID"] = json!(format!("{repository}@sha256:{digest}"));
        status["containerID"] = json!(id);
    }
    if state == State::Running {
        give_resources(&mut status, container);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_containers_have_what_they_are_resized_to() {
        let mut pod = json!({
            "metadata": {"namespace": "n", "name": "p"},
            "spec": {"containers": [
                {"name": "one", "image": "x", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}},
                {"name": "two", "image": "x", "resources": {}},
            ]},
        });
        let statuses = container_statuses(&Object::new(pod.clone()), Timestamp::UNIX_EPOCH, State::Running);
        pod["status"] = json!({"phase": "Running", "containerStatuses": statuses});
        let mut decision = PlaneDecision::default();
        assert!(!resizes(&Object::new(pod.clone()), &mut decision));
        assert!(decision.is_quiet());
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("200m");
        assert!(resizes(&Object::new(pod), &mut decision));
        let (path, patch) = &decision.patch[0];
        assert_eq!(path, "/api/v1/namespaces/n/pods/p/status");
        let given = &patch["status"]["containerStatuses"][0];
        assert_eq!(given["allocatedResources"], json!({"cpu": "200m"}));
        assert_eq!(given["resources"], json!({"requests": {"cpu": "200m"}, "limits": {"cpu": "1"}}));
        assert_eq!(patch["status"]["containerStatuses"][1]["resources"], json!({}));
    }
}
