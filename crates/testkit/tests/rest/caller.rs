//! A caller of the REST API of the one world of these tests.

use std::sync::LazyLock;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// `http://HOST:PORT`, with a world behind it that lives as long as the process.
static WORLD: LazyLock<String> = LazyLock::new(|| {
    let (sender, receiver) = std::sync::mpsc::channel();
    // Every test has a runtime of its own that ends with it; the world has to outlive them.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = kogge_testkit::start().await.unwrap();
            sender.send((world.portal_url(), world.api_url())).unwrap();
            panic!("{}", world.failed().await);
        });
    });
    let (portal, _) = receiver.recv().unwrap();
    portal
});

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// The document, after the status was looked at.
    #[track_caller]
    pub(crate) fn expect(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status.as_u16(), "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem document without its request id, which is checked to be that of the header.
    #[track_caller]
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let mut problem = self.json();
        assert_eq!(problem["status"], self.status);
        let id = problem.as_object_mut().unwrap().remove("requestId").unwrap();
        assert_eq!(id, self.header("x-request-id"));
        assert_ne!(id, "");
        problem
    }
}

pub(crate) fn url(path: &str) -> String {
    format!("{}{path}", *WORLD)
}

/// A request with the token.
pub(crate) fn request(method: Method, path: &str) -> RequestBuilder {
    reqwest::Client::new().request(method, url(path)).bearer_auth(kogge_testkit::TOKEN)
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    Answer::read(request.send().await.unwrap()).await
}

pub(crate) async fn get(path: &str) -> Answer {
    send(request(Method::GET, path)).await
}

pub(crate) async fn put(path: &str, body: &Value) -> Answer {
    send(request(Method::PUT, path).json(&named(path, body))).await
}

pub(crate) async fn patch(path: &str, body: &Value) -> Answer {
    let request = request(Method::PATCH, path).header("content-type", "application/merge-patch+json");
    send(request.body(body.to_string())).await
}

pub(crate) async fn post(path: &str, body: &Value) -> Answer {
    let body = if body["kind"].is_string() { named(path, body) } else { body.clone() };
    send(request(Method::POST, path).json(&body)).await
}

pub(crate) async fn delete(path: &str) -> Answer {
    send(request(Method::DELETE, path)).await
}

/// A description with the name its path ends with, unless it has one.
pub(crate) fn named(path: &str, body: &Value) -> Value {
    let mut body = body.clone();
    let name = path.split("/clusters/").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    if body["metadata"]["name"].is_null() {
        body["metadata"]["name"] = name.into();
    }
    body
}

/// The minimal description, without its name.
pub(crate) fn description() -> Value {
    json!({
        "apiVersion": "kogge.dev/v1alpha1",
        "kind": "KubernetesCluster",
        "spec": {"provider": {"profile": "sim"}, "kubernetes": {"version": "1.34"}},
    })
}

/// A description that nobody works on, so that its document stays as it is.
pub(crate) fn paused() -> Value {
    let mut description = description();
    description["spec"]["paused"] = true.into();
    description
}

/// Stores a paused cluster and waits until its status is written. Gives its document.
pub(crate) async fn resting(path: &str) -> Value {
    let stored = put(&format!("{path}?wait=60"), &paused()).await.expect(StatusCode::CREATED);
    assert_eq!(stored["status"]["phase"], "Paused", "{stored:#}");
    // The last words about it may still be on their way.
    let mut last = stored;
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let now = get(path).await.expect(StatusCode::OK);
        if now == last {
            return now;
        }
        last = now;
    }
}

/// Stores a cluster and waits until it is Ready.
pub(crate) async fn ready(path: &str) -> Value {
    let stored = put(&format!("{path}?wait=120"), &description()).await.expect(StatusCode::CREATED);
    assert_eq!(stored["status"]["phase"], "Ready", "{stored:#}");
    stored
}
