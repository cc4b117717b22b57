//! How many requests run at once, whose turn it is when there are more, and how many watches a user may hold.
//!
//! As in the real server's priority and fairness with its default flow schemas: members of `system:masters` (and with
//! them all calls made inside the process) are exempt; reads and writes have seats of their own; who finds none waits in
//! a queue of their user, and a free seat goes to the users in turn. A full queue, or a long wait, is answered with 429.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Body;
use futures::StreamExt as _;
use http::{HeaderValue, Response, StatusCode, header};
use kogge_machinery::status_error::ApiError;
use tokio::sync::oneshot;

use crate::{authentication::User, store::PlaneName};

/// What clients may ask of the server at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Reads that run at once, watches not counted (the real server's `--max-requests-inflight`, 400).
    pub reads: usize,
    /// Writes that run at once (the real server's `--max-mutating-requests-inflight`, 200).
    pub writes: usize,
    /// Requests of one user that wait for a seat, reads and writes each; more are refused. Default 100.
    pub waiting_per_user: usize,
    /// The longest wait for a seat; then the request is refused. Default 15 s.
    pub wait: Duration,
    /// Watches one user may hold in a plane. Default 5,000.
    pub watches_per_user: usize,
    /// Longest body of a request in bytes. Default 3 MiB, as in the real server.
    pub body_bytes: usize,
    /// Longest head of a request in bytes: path and all header fields. Default 1 MiB, as in the real server.
    pub header_bytes: u32,
    /// The longest a request may take, watches and the like not counted. Default 60 s, as in the real server.
    pub time: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            reads: 400,
            writes: 200,
            waiting_per_user: 100,
            wait: Duration::from_secs(15),
            watches_per_user: 5000,
            body_bytes: 3 << 20,
            header_bytes: 1 << 20,
            time: Duration::from_mins(1),
        }
    }
}

/// The answer, unless it takes longer than a request may; the answer to a watch is there at once.
///
/// # Errors
/// 504 in the real server's words.
pub(crate) async fn in_time(
    limits: &RequestLimits,
    answer: impl Future<Output = Result<Response<Body>, ApiError>>,
) -> Result<Response<Body>, ApiError> {
    let late = |_| Err(ApiError::timeout("request did not complete within the allotted timeout", 0));
    tokio::time::timeout(limits.time, answer).await.unwrap_or_else(late)
}

/// Whose requests: a user of a plane.
type Flow = (PlaneName, String);

/// The seats of a server.
pub(crate) struct FlowControl {
    limits: RequestLimits,
    reads: Arc<Lane>,
    writes: Arc<Lane>,
    watches: Arc<Mutex<HashMap<Flow, usize>>>,
}

/// Why a request is refused: 429 with this many seconds to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy {
    retry_after_seconds: u32,
}

impl Busy {
    /// The answer in the real server's words, which are not a `Status`.
    pub(crate) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from("Too many requests, please try again later.\n"));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
        headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_seconds));
        response
    }
}

/// What a request holds while it runs; absent for exempt users.
#[must_use]
pub(crate) struct Permit {
    _seat: Option<Seat>,
    watch: Option<WatchPermit>,
}

impl Permit {
    /// Keeps a watch's permit until its body is gone, and gives the seat back.
    pub(crate) fn attach(self, response: Response<Body>) -> Response<Body> {
        let Some(permit) = self.watch else { return response };
        if !response.status().is_success() {
            return response;
        }
        response.map(|body| {
            Body::from_stream(body.into_data_stream().inspect(move |_| {
                let _ = &permit;
            }))
        })
    }
}

impl FlowControl {
    pub(crate) fn new(limits: RequestLimits) -> Self {
        Self {
            reads: Arc::new(Lane::new(limits.reads)),
            writes: Arc::new(Lane::new(limits.writes)),
            watches: Arc::default(),
            limits,
        }
    }

    pub(crate) fn limits(&self) -> &RequestLimits {
        &self.limits
    }

    /// Lets a request of this verb run, after its turn has come.
    ///
    /// # Errors
    /// Too many requests of the user wait already, or this one waited too long, or the user holds too many watches.
    pub(crate) async fn admit(&self, plane: &PlaneName, user: &User, verb: &str) -> Result<Permit, Busy> {
        if user.is_master() {
            return Ok(Permit { _seat: None, watch: None });
        }
        let flow = (plane.clone(), user.name.clone());
        if verb == "watch" {
            let watch = WatchPermit::take(&self.watches, flow, self.limits.watches_per_user)?;
            return Ok(Permit { _seat: None, watch: Some(watch) });
        }
        let lane = if matches!(verb, "get" | "list" | "head" | "options") { &self.reads } else { &self.writes };
        let seat = lane.seat(flow, &self.limits).await?;
        Ok(Permit { _seat: Some(seat), watch: None })
    }
}

/// One of the user's watches.
struct WatchPermit {
    watches: Arc<Mutex<HashMap<Flow, usize>>>,
    flow: Flow,
}

impl WatchPermit {
    fn take(watches: &Arc<Mutex<HashMap<Flow, usize>>>, flow: Flow, most: usize) -> Result<Self, Busy> {
        let mut held = lock(watches);
        let count = held.entry(flow.clone()).or_default();
        if *count >= most {
            return Err(Busy { retry_after_seconds: 10 });
        }
        *count += 1;
        Ok(Self { watches: watches.clone(), flow })
    }
}

impl Drop for WatchPermit {
    fn drop(&mut self) {
        let mut held = lock(&self.watches);
        if let Some(count) = held.get_mut(&self.flow) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.flow);
            }
        }
    }
}

/// Seats of one kind and who waits for them.
struct Lane {
    seats: usize,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    taken: usize,
    queues: HashMap<Flow, VecDeque<oneshot::Sender<Seat>>>,
    /// The users that wait, in the order of their turns.
    turns: VecDeque<Flow>,
}

/// The right to run. Dropping it passes it on.
struct Seat {
    lane: Arc<Lane>,
}

impl Lane {
    fn new(seats: usize) -> Self {
        Self { seats, state: Mutex::default() }
    }

    async fn seat(self: &Arc<Self>, flow: Flow, limits: &RequestLimits) -> Result<Seat, Busy> {
        let turn = {
            let mut state = lock(&self.state);
            if state.taken < self.seats {
                state.taken += 1;
                return Ok(Seat { lane: self.clone() });
            }
            let queue = state.queues.entry(flow.clone()).or_default();
            // Those that gave up leave their place when somebody looks.
            queue.retain(|waiting| !waiting.is_closed());
            if queue.len() >= limits.waiting_per_user {
                return Err(Busy { retry_after_seconds: 1 });
            }
            let (sender, turn) = oneshot::channel();
            queue.push_back(sender);
            if !state.turns.contains(&flow) {
                state.turns.push_back(flow);
            }
            turn
        };
        match tokio::time::timeout(limits.wait, turn).await {
            Ok(Ok(seat)) => Ok(seat),
            Ok(Err(_)) | Err(_) => Err(Busy { retry_after_seconds: 1 }),
        }
    }

    /// Who is next: the first of the user whose turn it is. The seat stays taken if there is somebody.
    fn next(&self) -> Option<oneshot::Sender<Seat>> {
        let mut state = lock(&self.state);
        while let Some(flow) = state.turns.pop_front() {
            let Some(queue) = state.queues.get_mut(&flow) else { continue };
            let next = loop {
                match queue.pop_front() {
                    Some(waiting) if waiting.is_closed() => {}
                    next => break next,
                }
            };
            if queue.is_empty() {
                state.queues.remove(&flow);
            } else {
                state.turns.push_back(flow);
            }
            if next.is_some() {
                return next;
            }
        }
        state.taken -= 1;
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(next) = self.lane.next() {
            // Should the other have given up in this moment, the seat comes back here and is passed on again.
            drop(next.send(Seat { lane: self.lane.clone() }));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn control(reads: usize, waiting_per_user: usize) -> FlowControl {
        FlowControl::new(RequestLimits { reads, waiting_per_user, watches_per_user: 2, ..RequestLimits::default() })
    }

    fn user(name: &str) -> User {
        User::new(name, Vec::new())
    }

    #[tokio::test]
    async fn free_seats_go_to_users_in_turn_and_full_queues_are_refused() {
        let control = control(1, 3);
        let plane = PlaneName::default();
        let (many, few) = (user("many"), user("few"));
        let running = control.admit(&plane, &many, "get").await.unwrap();
        let mut waiting: Vec<_> = [("many 1", &many), ("many 2", &many), ("many 3", &many), ("few 1", &few)]
            .into_iter()
            .map(|(name, user)| (name, Box::pin(control.admit(&plane, user, "list"))))
            .collect();
        for (_, waiting) in &mut waiting {
            assert!(waiting.now_or_never().is_none());
        }
        let refused = control.admit(&plane, &many, "get").await.err().unwrap();
        assert_eq!(refused.response().headers()[header::RETRY_AFTER], "1");
        assert!(control.admit(&plane, &many, "update").await.is_ok(), "writes have seats of their own");
        let master = User::new("root", vec![crate::authentication::MASTERS.to_owned()]);
        assert!(control.admit(&plane, &master, "get").await.is_ok(), "masters need no seat");
        drop(running);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let next = waiting.iter_mut().position(|(_, waiting)| waiting.now_or_never().is_some()).unwrap();
            order.push(waiting.remove(next).0);
        }
        assert_eq!(order, ["many 1", "few 1", "many 2", "many 3"]);
        assert_eq!(lock(&control.reads.state).taken, 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_seat_to_the_next() {
        let control = control(1, 3);
        let plane = PlaneName::default();
        let running = control.admit(&plane, &user("a"), "get").await.unwrap();
        let (first, second) = (user("a"), user("b"));
        let mut first = Box::pin(control.admit(&plane, &first, "get"));
        let mut second = Box::pin(control.admit(&plane, &second, "get"));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(running);
        // The first has its seat, but never looks.
        drop(first);
        assert!(second.now_or_never().is_some());
        assert_eq!(lock(&control.reads.state).taken, 0);
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_limit() {
        let limits = RequestLimits { reads: 1, wait: Duration::ZERO, ..RequestLimits::default() };
        let control = FlowControl::new(limits);
        let _running = control.admit(&PlaneName::default(), &user("a"), "get").await.unwrap();
        assert!(control.admit(&PlaneName::default(), &user("b"), "get").await.is_err());
    }

    #[tokio::test]
    async fn a_user_holds_so_many_watches_until_their_bodies_are_gone() {
        let control = control(1, 1);
        let plane = PlaneName::default();
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let permit = control.admit(&plane, &user("a"), "watch").await.unwrap();
            bodies.push(permit.attach(Response::new(Body::from("line\n"))));
        }
        assert!(control.admit(&plane, &user("a"), "watch").await.is_err());
        assert!(control.admit(&plane, &user("b"), "watch").await.is_ok());
        bodies.pop();
        assert!(control.admit(&plane, &user("a"), "watch").await.is_ok());
    }
}
