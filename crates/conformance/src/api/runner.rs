//! Runs one scenario against one server and cleans up after it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Clients;
use super::normalization::normalize;
use super::open_watch::OpenWatch;
use super::scenario::{Scenario, Step, Until, fixtures};
use super::substitution::{Variables, substitute, substitute_value};
use super::transcript::Transcript;
use super::webhook_server::WebhookServer;

/// How long a single request may take before the server counts as dead.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
const UNTIL_SECONDS: u64 = 180;

/// Why a scenario has no transcript.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The request could not be put together.
    #[error("`{request}` is no request: {message}")]
    Request {
        /// Method and path.
        request: String,
        /// Why.
        message: String,
    },
    /// The connection failed.
    #[error("`{request}` was not answered: {message}")]
    Send {
        /// Method and path.
        request: String,
        /// Why.
        message: String,
    },
    /// The server did not answer in time.
    #[error("`{0}` was not answered within {limit:?}", limit = REQUEST_TIMEOUT)]
    Slow(String),
    /// What a step waits for did not happen.
    #[error("`{request}` did not come to {awaited} within {seconds} seconds; at last it answered {last}")]
    Until {
        /// Method and path.
        request: String,
        /// What was awaited.
        awaited: String,
        /// How long.
        seconds: u64,
        /// The last answer.
        last: String,
    },
    /// The server that is judged cannot reach webhooks of this process.
    #[error("the server has no address at which it reaches webhooks of this process")]
    NoWebhooks,
    /// The webhooks of the scenario could not be served.
    #[error("{0}")]
    Webhooks(String),
    /// A beginning of the scenario failed.
    #[error("the scenario could not be prepared: `{request}` answered {answer}")]
    Prepare {
        /// Method and path.
        request: String,
        /// What it answered.
        answer: String,
    },
}

/// One request and its answer, before normalization.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Method and path as the scenario has them.
    pub request: String,
    /// HTTP status code; 0 for further events of a watch that is open.
    pub code: u16,
    /// Headers of the answer, names in lower case.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The answer: JSON, a text, or `{"events": [...], "end": ...}` of a watch.
    pub body: Value,
    /// The step it comes from.
    pub step: Step,
}

struct Run<'a> {
    clients: &'a Clients,
    variables: Variables,
    watches: BTreeMap<String, OpenWatch>,
    /// The server of the scenario's webhooks, and their name there.
    webhooks: Option<(&'a WebhookServer, &'a str)>,
    /// Paths of what was created, in order.
    created: Vec<String>,
    /// Paths of what was written, and the last resourceVersion of each.
    written: BTreeMap<String, String>,
}

struct Answer {
    code: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: Body,
}

/// Runs `scenario` under the name `id`, which no other scenario on the server may have, and normalizes the answers. What
/// it created is deleted again, whatever happens. A scenario with webhooks needs the server of `webhooks`.
///
/// # Errors
/// See [`RunError`]. Answers nobody expected are no errors but part of the transcript.
pub async fn run_scenario(
    clients: &Clients,
    scenario: &Scenario,
    id: &str,
    webhooks: Option<&WebhookServer>,
) -> Result<Transcript, RunError> {
    let mut variables: Variables = scenario.variables.clone();
    let namespace = format!("parity-{id}");
    variables.insert("ns".to_owned(), namespace.clone());
    variables.insert("id".to_owned(), id.to_owned());
    if let Some(server) = webhooks {
        variables.insert("webhooks".to_owned(), server.url(id));
        variables.insert("ca".to_owned(), server.ca_bundle().to_owned());
        for (name, webhook) in &scenario.webhooks {
            server.put(id, name, webhook.clone());
        }
    }
    let webhooks = webhooks.map(|server| (server, id));
    let (watches, written) = (BTreeMap::new(), BTreeMap::new());
    let mut run = Run { clients, variables, watches, webhooks, created: Vec::new(), written };
    let exchanges = run.all_steps(scenario, &namespace).await;
    run.clean_up().await;
    if let Some((server, id)) = webhooks {
        server.remove(id);
    }
    Ok(normalize(&exchanges?, id, &scenario.source))
}

impl Run<'_> {
    async fn all_steps(&mut self, scenario: &Scenario, namespace: &str) -> Result<Vec<Exchange>, RunError> {
        let namespaced = Step {
            request: Some("POST /api/v1/namespaces".to_owned()),
            body: Some(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})),
            ..Step::default()
        };
        self.prepare(&namespaced).await?;
        self.wait_for_authority(namespace).await?;
        let fixtures = fixtures();
        for step in scenario.with.iter().filter_map(|name| fixtures.get(name)).flatten() {
            self.prepare(step).await?;
        }
        let mut exchanges = Vec::new();
        for step in &scenario.steps {
            if let Some(exchange) = self.step(step).await?
                && !step.silent
            {
                exchanges.push(exchange);
            }
        }
        Ok(exchanges)
    }

    /// Where a controller puts the server's authority into every namespace, it does so a moment later: into the middle of
    /// what a scenario counts and watches.
    async fn wait_for_authority(&mut self, namespace: &str) -> Result<(), RunError> {
        let authority = |namespace: &str, until| Step {
            request: Some(format!("GET /api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt")),
            until,
            ..Step::default()
        };
        let is_published = self.step(&authority("default", None)).await?.is_some_and(|exchange| exchange.code == 200);
        if is_published {
            self.prepare(&authority(namespace, Some(Until::Code(200)))).await?;
        }
        Ok(())
    }

    async fn prepare(&mut self, step: &Step) -> Result<(), RunError> {
        match self.step(step).await? {
            Some(exchange) if exchange.code >= 300 => {
                Err(RunError::Prepare { request: exchange.request, answer: short(exchange.code, &exchange.body) })
            }
            _ => Ok(()),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<Option<Exchange>, RunError> {
        if let Some(pause) = step.pause {
            sleep(Duration::from_millis(pause)).await;
        }
        if let Some((server, id)) = &self.webhooks {
            for (name, webhook) in &step.webhooks {
                server.put(id, name, webhook.clone());
            }
        }
        let exchange = |code, headers, body| {
            let read = || step.read.as_ref().map(|name| format!("read {name}"));
            let asked = || step.asked.as_ref().map(|name| format!("asked {name}"));
            let request = step.request.clone().or_else(read).or_else(asked);
            Exchange { request: request.unwrap_or_default(), code, headers, body, step: step.clone() }
        };
        if let Some(name) = &step.read {
            let events = match self.watches.get_mut(name) {
                Some(watch) => watch.events(step).await,
                None => json!("no such watch"),
            };
            return Ok(Some(exchange(0, BTreeMap::new(), events)));
        }
        if let (Some(name), Some((server, id))) = (&step.asked, &self.webhooks) {
            return Ok(Some(exchange(0, BTreeMap::new(), server.take_reviews(id, name).into())));
        }
        let Some(request) = &step.request else { return Ok(None) };
        if self.webhooks.is_some() {
            self.wait_for_caches(request).await?;
        }
        if step.events.is_some() || step.background.is_some() {
            let deadline = Instant::now() + Duration::from_secs(UNTIL_SECONDS);
            let (answer, code, headers) = loop {
                let answer = self.send(request, step).await?;
                let (code, headers) = (answer.code, answer.headers.clone());
                if code == 200 {
                    break (answer, code, headers);
                }
                let body = whole(answer, request).await?;
                if !is_starting(code, &body) || Instant::now() > deadline {
                    return Ok(Some(exchange(code, headers, body)));
                }
                sleep(Duration::from_millis(50)).await;
            };
            let mut watch = OpenWatch::read(answer.body);
            let body = match &step.background {
                Some(name) => {
                    self.watches.insert(name.clone(), watch);
                    Value::Null
                }
                None => watch.events(step).await,
            };
            return Ok(Some(exchange(code, headers, body)));
        }
        let seconds = step.seconds.unwrap_or(UNTIL_SECONDS);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let answer = self.send(request, step).await?;
            let (code, headers) = (answer.code, answer.headers.clone());
            let body = whole(answer, request).await?;
            let done = !is_starting(code, &body) && step.until.as_ref().is_none_or(|until| is_met(until, code, &body));
            if !done && Instant::now() < deadline {
                sleep(Duration::from_millis(50)).await;
                continue;
            }
            if !done {
                return Err(RunError::Until {
                    request: request.clone(),
                    awaited: format!("{:?}", step.until),
                    seconds,
                    last: short(code, &body),
                });
            }
            self.remember(request, step, code, &body);
            return Ok(Some(exchange(code, headers, body)));
        }
    }

    /// Sends a request, again if it met a connection that the server was just closing.
    async fn send(&self, request: &str, step: &Step) -> Result<Answer, RunError> {
        match self.send_once(request, step).await {
            Err(RunError::Send { message, .. }) if message.contains("connection closed before message completed") => {
                self.send_once(request, step).await
            }
            other => other,
        }
    }

    async fn send_once(&self, request: &str, step: &Step) -> Result<Answer, RunError> {
        let concrete = substitute(request, &self.variables);
        let failed = |message: String| RunError::Request { request: concrete.clone(), message };
        let (method, path) = concrete.split_once(' ').ok_or_else(|| failed("no path".to_owned()))?;
        let mut builder = Request::builder().method(method).uri(path);
        let headers: BTreeMap<&str, String> =
            step.headers.iter().map(|(name, value)| (name.as_str(), substitute(value, &self.variables))).collect();
        let body = self.body(step).map_err(&failed)?;
        if !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"))
            && (body.is_some() || method == "PATCH")
        {
            builder = builder.header("Content-Type", content_type(method, step.patch.as_deref()));
        }
        for (name, value) in &headers {
            // An empty type stands for none at all.
            if !value.is_empty() || !name.eq_ignore_ascii_case("content-type") {
                builder = builder.header(*name, value);
            }
        }
        let brings_its_own = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        let client = if brings_its_own { &self.clients.without_credentials } else { &self.clients.administrator };
        let request = builder.body(Body::from(body.unwrap_or_default())).map_err(|error| failed(error.to_string()))?;
        match tokio::time::timeout(REQUEST_TIMEOUT, client.send(request)).await {
            Err(_) => Err(RunError::Slow(concrete)),
            Ok(Err(error)) => Err(RunError::Send { request: concrete, message: with_sources(&error) }),
            Ok(Ok(response)) => {
                let (parts, body) = response.into_parts();
                Ok(Answer { code: parts.status.as_u16(), headers: header_map(&parts.headers), body })
            }
        }
    }

    fn body(&self, step: &Step) -> Result<Option<Vec<u8>>, String> {
        if let Some(body) = &step.body {
            return Ok(Some(substitute_value(body, &self.variables).to_string().into_bytes()));
        }
        if let Some(text) = &step.text {
            let text = substitute(text, &self.variables);
            return Ok(Some(match &step.fill {
                Some(fill) => text.replace('@', &fill.text.repeat(fill.times)).into_bytes(),
                None => text.into_bytes(),
            }));
        }
        let encoded = step.base64.as_ref().map(|text| text.split_whitespace().collect::<String>());
        encoded
            .map(|text| base64::engine::general_purpose::STANDARD.decode(text))
            .transpose()
            .map_err(|error| error.to_string())
    }

    /// Saves what later steps need, and what has to be deleted at the end.
    fn remember(&mut self, request: &str, step: &Step, code: u16, body: &Value) {
        for (name, pointer) in &step.save {
            let text = match body.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => continue,
            };
            self.variables.insert(name.clone(), text);
        }
        if code >= 300 || request.contains("dryRun") {
            return;
        }
        let concrete = substitute(request, &self.variables);
        let Some((method, path)) = concrete.split_once(' ') else { return };
        let path = path.split('?').next().unwrap_or(path);
        if method != "GET"
            && let (Some(name), Some(version)) =
                (text_at(body, "/metadata/name"), text_at(body, "/metadata/resourceVersion"))
        {
            let object = if method == "POST" { format!("{path}/{name}") } else { path.to_owned() };
            self.written.insert(object, version.to_owned());
        }
        if code != 201 {
            return;
        }
        match (method, text_at(body, "/metadata/name")) {
            ("POST", Some(name)) if body.pointer("/metadata/uid").is_some() => {
                self.created.push(format!("{path}/{name}"));
            }
            ("PATCH" | "PUT", Some(_)) => self.created.push(path.to_owned()),
            _ => {}
        }
    }

    /// kube-apiserver changes what its cache holds, and starts again where the cache was late: webhooks are then asked
    /// twice. So its cache has to hold what was written before it is changed again.
    async fn wait_for_caches(&self, request: &str) -> Result<(), RunError> {
        let concrete = substitute(request, &self.variables);
        let Some(("PUT" | "PATCH" | "DELETE", path)) = concrete.split_once(' ') else { return Ok(()) };
        let path = path.split('?').next().unwrap_or(path);
        let parent = path.rsplit_once('/').map_or(path, |(parent, _)| parent);
        let written = self.written.iter().filter(|(object, _)| {
            object.as_str() == parent
                || object.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let reads: Vec<String> =
            written.map(|(object, version)| format!("GET {object}?resourceVersion={version}")).collect();
        for read in reads {
            // Gone meanwhile, or refused to whom the scenario has become: nothing to wait for.
            whole(self.send(&read, &Step::default()).await?, &read).await?;
        }
        Ok(())
    }

    /// Deletes what was created, last first; finalizers are taken away, since nobody else would.
    async fn clean_up(&mut self) {
        self.watches.clear();
        for path in std::mem::take(&mut self.created).into_iter().rev() {
            let delete = Step { body: Some(json!({"propagationPolicy": "Background"})), ..Step::default() };
            let Ok(answer) = self.send(&format!("DELETE {path}"), &delete).await else { continue };
            let Ok(body) = whole(answer, &path).await else { continue };
            let own = body.pointer("/metadata/finalizers").is_some() && !path.contains("/customresourcedefinitions/");
            if own {
                let patch = Step { body: Some(json!({"metadata": {"finalizers": null}})), ..Step::default() };
                // Somebody else may have been faster, which is as good.
                let _ = self.send(&format!("PATCH {path}"), &patch).await;
            }
        }
    }
}

fn text_at<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer).and_then(Value::as_str)
}

/// An error and what caused it, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn content_type(method: &str, patch: Option<&str>) -> &'static str {
    match (method, patch) {
        ("PATCH", Some("json")) => "application/json-patch+json",
        ("PATCH", Some("strategic")) => "application/strategic-merge-patch+json",
        ("PATCH", Some("apply")) => "application/apply-patch+yaml",
        ("PATCH", _) => "application/merge-patch+json",
        _ => "application/json",
    }
}

fn header_map(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        found.entry(name.as_str().to_owned()).or_default().push(value);
    }
    found
}

async fn whole(answer: Answer, request: &str) -> Result<Value, RunError> {
    let collected = tokio::time::timeout(REQUEST_TIMEOUT, answer.body.collect()).await;
    let bytes = match collected {
        Err(_) => return Err(RunError::Slow(request.to_owned())),
        Ok(Err(error)) => {
            return Err(RunError::Send { request: request.to_owned(), message: error.to_string() });
        }
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    if answer.headers.get("content-encoding").is_none_or(|values| *values != ["gzip"]) {
        return Ok(parse(&bytes));
    }
    let mut raw = Vec::new();
    GzDecoder::new(&*bytes)
        .read_to_end(&mut raw)
        .map_err(|error| RunError::Send { request: request.to_owned(), message: error.to_string() })?;
    Ok(parse(&raw.into()))
}

/// JSON, or else the text; bytes that are neither only say so.
pub(super) fn parse(bytes: &Bytes) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Value::String(text.to_owned()),
        _ => Value::String("<bytes>".to_owned()),
    })
}

fn is_met(until: &Until, code: u16, body: &Value) -> bool {
    match until {
        Until::Code(wanted) => *wanted == code,
        Until::Body(values) => {
            values.iter().all(|(pointer, wanted)| body.pointer(pointer).unwrap_or(&Value::Null) == wanted)
        }
    }
}

/// Whether the real server has not yet read a collection that it serves anew, and will in a moment.
fn is_starting(code: u16, body: &Value) -> bool {
    code == 429 && body.to_string().contains("storage is (re)initializing")
}

fn short(code: u16, body: &Value) -> String {
    let text = body.pointer("/message").map_or_else(|| body.to_string(), ToString::to_string);
    format!("{code} {}", text.chars().take(500).collect::<String>())
}
