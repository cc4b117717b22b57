//! Following a cluster.

use kogge::event_stream::{EventStreamDecoder, ServerSentEvent};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::caller::{delete, get, patch, request, resting};

struct Follower {
    response: Response,
    decoder: EventStreamDecoder,
    events: std::collections::VecDeque<ServerSentEvent>,
}

impl Follower {
    async fn open(path: &str) -> Self {
        let response = request(Method::GET, &format!("{path}/events")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, decoder: EventStreamDecoder::default(), events: std::collections::VecDeque::new() }
    }

    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(event) = self.events.pop_front() {
                return (event.name, serde_json::from_str(&event.data).unwrap());
            }
            let chunk = tokio::time::timeout(std::time::Duration::from_mins(1), self.response.chunk()).await;
            let chunk = chunk.expect("an event comes").unwrap().expect("the stream goes on");
            self.events.extend(self.decoder.push(&chunk));
        }
    }

    /// The next event of a name that fits.
    async fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (found, data) = self.next().await;
            if found == name && fits(&data) {
                return data;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_the_present_state_every_change_and_the_end_even_when_it_reconnects() {
    let path = "/v1/tenants/follow/clusters/a";
    assert_eq!(get(&format!("{path}/events")).await.status, 404);
    let stored = resting(path).await;
    let mut follower = Follower::open(path).await;
    assert_eq!(follower.next().await, ("status".into(), stored.clone()));

    let label = |value: &str| json!({"metadata": {"labels": {"step": value}}});
    patch(path, &label("one")).await;
    follower.until("status", |document| document["metadata"]["labels"]["step"] == "one").await;
    drop(follower);
    patch(path, &label("two")).await;
    let mut follower = Follower::open(path).await;
    let (name, document) = follower.next().await;
    assert_eq!((name.as_str(), &document["metadata"]["labels"]["step"]), ("status", &json!("two")));

    patch(path, &json!({"spec": {"paused": false}})).await;
    let event = follower.until("event", |_| true).await;
    for field in ["time", "type", "reason", "object", "message"] {
        assert!(event[field].is_string(), "{field}: {event}");
    }
    follower.until("status", |document| document["status"]["phase"] == "Ready").await;
    delete(path).await;
    follower.until("deleted", |_| true).await;
    assert_eq!(get(&format!("{path}/events")).await.status, 404);
}
