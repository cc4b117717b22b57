//! The workload controllers of all planes in one set of tasks: a change in a plane puts it on a queue, and whoever is free
//! loads it, decides and writes until nothing is to be done. An idle plane costs nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream};
use kogge_apiserver::{
    plane::Plane,
    server::Server,
    store::{PlaneEvent, PlaneName},
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    jobs, kubelet, network,
    plane_state::{PlaneDecision, PlaneState, Resource},
    replicas, scheduler, sets, storage,
};
use crate::{
    clock::Clock,
    object::Object,
    queue::Queue,
    reconciler::{is_missing, send},
};

/// Changes of a plane within this time are looked at together.
const GATHER: Duration = Duration::from_millis(10);
/// Decisions in a row for one plane before others get their turn.
const ROUNDS: usize = 40;
/// Where a plane was when nothing was left to do: a plane that has not moved since needs no second look.
#[derive(Clone)]
struct Settled {
    position: Position,
    due: Option<jiff::Timestamp>,
}

/// A point in the life of a plane. A plane that is made again counts from the beginning, but has other namespaces.
#[derive(Clone, PartialEq)]
struct Position {
    first_namespace: String,
    revision: String,
}

type SettledPlanes = Arc<Mutex<HashMap<PlaneName, Settled>>>;

/// Planes worked on at the same time.
const WORKERS: usize = 4;

/// One step of all controllers of a plane. Pure.
pub fn decide(state: &PlaneState, clock: &Clock, now: jiff::Timestamp) -> PlaneDecision {
    let mut decision = PlaneDecision::default();
    storage::namespaces(state, &mut decision);
    replicas::reconcile(state, now, &mut decision);
    sets::daemon_sets(state, &mut decision);
    sets::stateful_sets(state, &mut decision);
    jobs::reconcile(state, now, &mut decision);
    scheduler::reconcile(state, now, &mut decision);
    storage::volumes(state, clock, now, &mut decision);
    kubelet::reconcile(state, clock, now, &mut decision);
    network::reconcile(state, clock, now, &mut decision);
    storage::disruption_budgets(state, &mut decision);
    decision
}

/// Runs the controllers of all workload planes until dropped.
pub(crate) async fn run(server: Server, clock: Clock) {
    let queue: Arc<Queue<PlaneName>> = Arc::default();
    let mut changes = server.watch_planes();
    let enqueue_all = |queue: &Queue<PlaneName>| {
        for plane in server.planes() {
            if !plane.name().0.is_empty() {
                queue.add(plane.name().clone());
            }
        }
    };
    enqueue_all(&queue);
    let settled = SettledPlanes::default();
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(server.clone(), clock.clone(), queue.clone(), settled.clone()));
    }
    while let Some(change) = changes.next().await {
        match change {
            PlaneEvent::Missed => enqueue_all(&queue),
            PlaneEvent::Changed(plane, event) => {
                let of_interest = !matches!(event.key.resource.resource.as_str(), "events" | "leases");
                if !plane.0.is_empty() && of_interest {
                    queue.add_after(plane, GATHER);
                }
            }
        }
    }
}

async fn work(server: Server, clock: Clock, queue: Arc<Queue<PlaneName>>, settled: SettledPlanes) {
    loop {
        let name = queue.next().await;
        if let Some(plane) = server.plane(&name) {
            match settle(&server, &plane, &clock, &settled).await {
                Ok(wait) => {
                    if let Some(wait) = wait {
                        queue.add_after(name.clone(), wait);
                    }
                }
                Err(error) => {
                    // A plane that is being deleted answers with errors until it is gone.
                    if server.plane(&name).is_some() {
                        tracing::debug!(plane = %name, %error, "failed to settle a plane, trying again");
                        queue.add_after(name.clone(), Duration::from_millis(500));
                    }
                }
            }
        }
        if server.plane(&name).is_none() {
            locked(&settled).remove(&name);
        }
        queue.done(&name);
    }
}

fn locked(settled: &SettledPlanes) -> MutexGuard<'_, HashMap<PlaneName, Settled>> {
    // Each value is whole at any time, so a panic elsewhere spoils nothing.
    settled.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decides and writes until nothing is to be done; how long until something becomes due by itself.
async fn settle(
    server: &Server,
    plane: &Plane,
    clock: &Clock,
    settled: &SettledPlanes,
) -> Result<Option<Duration>, String> {
    let client = plane.client();
    let until = |due: Option<jiff::Timestamp>, now: jiff::Timestamp| {
        due.map(|at| at.duration_since(now).unsigned_abs().max(Duration::from_millis(5)))
    };
    let known = locked(settled).get(plane.name()).cloned();
    if let Some(known) = known {
        let now = clock.now();
        let current = position(&client).await.map_err(|error| error.to_string())?;
        // The changes that led here were our own, or were seen by the last look.
        if current == known.position && known.due.is_none_or(|due| due > now) {
            return Ok(until(known.due, now));
        }
    }
    for _ in 0..ROUNDS {
        // Read before the objects: what changes while they are read is a reason for another look.
        let position = position(&client).await.map_err(|error| error.to_string())?;
        let state = load(server, &client).await.map_err(|error| error.to_string())?;
        let now = clock.now();
        let decision = decide(&state, clock, now);
        if decision.is_quiet() {
            locked(settled).insert(plane.name().clone(), Settled { position, due: decision.wake_at });
            return Ok(until(decision.wake_at, now));
        }
        write(plane, &client, decision).await?;
    }
    Ok(Some(Duration::from_millis(200)))
}

/// Where a plane is: any of its lists says it, and the shortest list says it cheapest.
async fn position(client: &kube::Client) -> Result<Position, kube::Error> {
    let list = send(client, "GET", "/api/v1/namespaces?limit=1", None).await?;
    let text = |pointer: &str| list.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Position { first_namespace: text("/items/0/metadata/uid"), revision: text("/metadata/resourceVersion") })
}

async fn load(server: &Server, client: &kube::Client) -> Result<PlaneState, kube::Error> {
    let mut state = PlaneState::default();
    state.authority = server.certificate_authority_pem();
    for resource in Resource::ALL {
        let mut list = send(client, "GET", &resource.list_path(), None).await?;
        let objects = match list["items"].take() {
            Value::Array(items) => items.into_iter().map(Object).collect(),
            _ => Vec::new(),
        };
        state.set(resource, objects);
    }
    let configuration = send(client, "GET", "/api/v1/namespaces/kube-system/configmaps/kubeadm-config", None).await;
    let text = configuration.ok().and_then(|it| it["data"]["ClusterConfiguration"].as_str().map(str::to_owned));
    let parsed: Option<Value> = text.and_then(|text| serde_saphyr::from_str(&text).ok());
    let network = parsed.as_ref().and_then(|it| it.pointer("/networking/serviceSubnet")?.as_str());
    network.unwrap_or("10.96.0.0/12").clone_into(&mut state.service_network);
    Ok(state)
}

async fn write(plane: &Plane, client: &kube::Client, decision: PlaneDecision) -> Result<(), String> {
    if !decision.create.is_empty() {
        create(plane, decision.create).await;
    }
    let mut requests: Vec<PlaneRequest> = Vec::new();
    for (path, body) in decision.patch {
        requests.push(PlaneRequest { method: "PATCH", path, body: Some(("application/merge-patch+json", body)) });
    }
    for (path, body) in decision.post {
        requests.push(PlaneRequest { method: "POST", path, body: Some(("application/json", body)) });
    }
    for path in decision.delete {
        requests.push(PlaneRequest { method: "DELETE", path, body: None });
    }
    let mut answers =
        stream::iter(requests.into_iter().map(|request| answer(client.clone(), request))).buffer_unordered(16);
    let mut failed = None;
    while let Some((answer, path)) = answers.next().await {
        match answer {
            Err(error) if !is_missing(&error) && !is_conflict(&error) => failed = Some(format!("{path}: {error}")),
            _ => {}
        }
    }
    failed.map_or(Ok(()), Err)
}

/// A request to a plane.
struct PlaneRequest {
    method: &'static str,
    path: String,
    body: Option<(&'static str, Value)>,
}

async fn answer(client: kube::Client, request: PlaneRequest) -> (Result<Value, kube::Error>, String) {
    let body = request.body.as_ref().map(|(media_type, body)| (*media_type, body));
    (send(&client, request.method, &request.path, body).await, request.path)
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Creates in one transaction; if one object is refused (a template a user got wrong), the others one by one.
async fn create(plane: &Plane, objects: Vec<Value>) {
    if plane.apply_all(objects.clone()).await.is_ok() {
        return;
    }
    for object in objects {
        let name = object["metadata"]["name"].clone();
        if let Err(error) = plane.apply_all(vec![object]).await {
            tracing::debug!(plane = %plane.name(), %name, %error, "failed to create an object");
        }
    }
}
