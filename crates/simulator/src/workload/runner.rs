//! The workload controllers of all planes in one set of tasks: a change in a plane puts it on a queue, and whoever is free
//! takes in what changed, decides and writes until nothing is to be done. An idle plane costs nothing.

use std::{
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
    plane_state::{PlaneDecision, PlaneState},
    plane_view::{KnownPlanes, PlaneView, Position, Settled, ViewError},
    replicas, scheduler, sets, storage,
};
use crate::{
    clock::Clock,
    queue::Queue,
    reconciler::{is_missing, send},
};

/// Changes of a plane within this time are looked at together.
const GATHER: Duration = Duration::from_millis(10);
/// Decisions in a row for one plane before others get their turn.
const ROUNDS: usize = 40;
/// Planes worked on at the same time.
const WORKERS: usize = 4;

/// One step of all controllers of a plane. Pure.
pub fn decide(state: &PlaneState, clock: &Clock, now: jiff::Timestamp) -> PlaneDecision {
    let mut decision = PlaneDecision::default();
    replicas::reconcile(state, now, &mut decision);
    sets::daemon_sets(state, now, &mut decision);
    sets::stateful_sets(state, now, &mut decision);
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
    let known = Arc::<Mutex<KnownPlanes>>::default();
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(server.clone(), clock.clone(), queue.clone(), known.clone()));
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

async fn work(server: Server, clock: Clock, queue: Arc<Queue<PlaneName>>, known: Arc<Mutex<KnownPlanes>>) {
    loop {
        let name = queue.next().await;
        if let Some(plane) = server.plane(&name) {
            match settle(&plane, &clock, &known).await {
                Ok(wait) => {
                    if let Some(wait) = wait {
                        queue.add_after(name.clone(), wait);
                    }
                }
                Err(error) => {
                    // A plane that is being deleted answers with errors until it is gone.
                    if server.plane(&name).is_some() {
                        tracing::warn!(plane = %name, %error, "failed to settle a plane, trying again");
                        queue.add_after(name.clone(), Duration::from_millis(500));
                    }
                }
            }
        }
        if server.plane(&name).is_none() {
            locked(&known).forget(&name);
        }
        queue.done(&name);
    }
}

fn locked(known: &Mutex<KnownPlanes>) -> MutexGuard<'_, KnownPlanes> {
    // Each value is whole at any time, so a panic elsewhere spoils nothing.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decides and writes until nothing is to be done; how long until something becomes due by itself.
async fn settle(plane: &Plane, clock: &Clock, known: &Mutex<KnownPlanes>) -> Result<Option<Duration>, SettleError> {
    let until = |due: Option<jiff::Timestamp>, now: jiff::Timestamp| {
        due.map(|at| at.duration_since(now).unsigned_abs().max(Duration::from_millis(5)))
    };
    let settled = locked(known).settled(plane.name());
    if let Some(settled) = settled {
        let now = clock.now();
        // The changes that led here were our own, or were seen by the last look.
        if settled.position == Position::of(plane) && settled.due.is_none_or(|due| due > now) {
            return Ok(until(settled.due, now));
        }
    }
    let view = locked(known).take(plane);
    let mut view = match view {
        Some(view) => view,
        None => PlaneView::open(plane)?,
    };
    for _ in 0..ROUNDS {
        view.follow()?;
        let now = clock.now();
        let decision = decide(&view.state, clock, now);
        if decision.is_quiet() {
            let settled = Settled { position: view.position(), due: decision.wake_at };
            let mut known = locked(known);
            known.settle(plane.name(), settled);
            known.keep(plane.name(), view);
            return Ok(until(settled.due, now));
        }
        write(plane, &view.client, decision).await.map_err(SettleError::Write)?;
    }
    locked(known).keep(plane.name(), view);
    Ok(Some(Duration::from_millis(200)))
}

/// Why a plane could not be settled; it is tried again.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("failed to write: {0}")]
    Write(String),
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
