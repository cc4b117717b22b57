//! Closed loops: so many clients, each with a connection of its own, each sending its next request when the last is answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::Method;
use tokio::task::JoinSet;

use super::client::{Access, Client, JSON};
use super::object::Kind;

/// Media type of an apply.
const APPLY: &str = "application/apply-patch+yaml";

/// So many objects of a namespace are read one by one.
pub(super) const FILLED: usize = 100;

/// What a client repeats.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    /// POST of a new object.
    Create,
    /// PUT of the client's own object as the last answer had it, one annotation changed; a conflict would be an error.
    Update,
    /// Forced server-side apply of the client's own object, one annotation changed.
    Apply,
    /// DELETE of an object that `Create` made.
    Delete,
    /// GET of one of the objects that [`fill`] made.
    Get,
    /// GET of all objects of the namespace.
    List,
}

/// Clients and the objects they made.
#[derive(Debug)]
pub(super) struct Clients {
    connections: Vec<Client>,
    kind: Kind,
    /// Where the objects are.
    collection: String,
    bytes: usize,
    /// Names of what was created and not deleted.
    created: Arc<Mutex<Vec<String>>>,
}

/// How many requests were answered, in which time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) answered: usize,
    pub(super) elapsed: Duration,
}

impl Outcome {
    /// Answers a second.
    #[expect(clippy::cast_precision_loss)]
    pub(super) fn rate(self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

impl Clients {
    /// Clients of the objects of a namespace, which connect with their first request.
    pub(super) fn new(
        access: &Access,
        namespace: &str,
        count: usize,
        kind: Kind,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let connections = (0..count).map(|_| access.client()).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Clients { connections, kind, collection: kind.collection(namespace), bytes, created: Arc::default() })
    }

    /// Sends one request with each client, so that all are connected; for `Update` and `Apply` this must be `Apply`, which
    /// makes their objects.
    pub(super) async fn connect(&self, operation: Operation) -> anyhow::Result<()> {
        // The deadline is over before the second round.
        self.run(operation, Duration::ZERO).await?;
        Ok(())
    }

    /// Runs all clients for so long (`Delete`: until nothing is left), and waits for every answer.
    pub(super) async fn run(&self, operation: Operation, duration: Duration) -> anyhow::Result<Outcome> {
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, client) in self.connections.iter().enumerate() {
            let worker = Worker {
                client: client.clone(),
                kind: self.kind,
                collection: self.collection.clone(),
                bytes: self.bytes,
                number,
                created: Arc::clone(&self.created),
            };
            tasks.spawn(worker.repeat(operation, begin + duration));
        }
        let mut answered = 0;
        while let Some(done) = tasks.join_next().await {
            answered += done??;
        }
        Ok(Outcome { answered, elapsed: begin.elapsed() })
    }
}

/// Creates objects `o-00000` and so on in a namespace, by several clients.
pub(super) async fn fill(
    access: &Access,
    kind: Kind,
    namespace: &str,
    count: usize,
    bytes: usize,
) -> anyhow::Result<()> {
    const CLIENTS: usize = 32;
    let mut tasks = JoinSet::new();
    for number in 0..CLIENTS {
        let client = access.client()?;
        let collection = kind.collection(namespace);
        tasks.spawn(async move {
            for object in (number..count).step_by(CLIENTS) {
                client.create(&collection, &kind.object(&format!("o-{object:05}"), 0, bytes)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

struct Worker {
    client: Client,
    kind: Kind,
    collection: String,
    bytes: usize,
    number: usize,
    created: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    /// At least once, then until `end`.
    async fn repeat(self, operation: Operation, end: Instant) -> anyhow::Result<usize> {
        let collection = &self.collection;
        let own = format!("own-{}", self.number);
        let path = format!("{collection}/{own}");
        let apply_path = format!("{path}?fieldManager=benchmark&force=true");
        let get_path = format!("{collection}/o-{:05}", self.number % FILLED);
        // What is sent again and again is not serialised again: the generator shares the processors with the server.
        let mut body: Bytes = match operation {
            Operation::Update => self.client.send(Method::GET, &path, JSON, None).await?,
            Operation::Apply => serde_json::to_vec(&self.kind.object(&own, 0, self.bytes))?.into(),
            _ => Bytes::new(),
        };
        let mut answered = 0;
        loop {
            match operation {
                Operation::Create => {
                    let name = format!("c-{}-{answered}", self.number);
                    self.client.create(collection, &self.kind.object(&name, answered as u64, self.bytes)).await?;
                    self.created.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                }
                Operation::Update => {
                    let changed =
                        with_sent(&body, &fresh(end, answered)).context("an answer without the annotation")?;
                    body = self.client.send(Method::PUT, &path, JSON, Some((JSON, changed))).await?;
                }
                Operation::Apply => {
                    let changed = with_sent(&body, &fresh(end, answered)).context("no annotation to change")?;
                    self.client.send(Method::PATCH, &apply_path, JSON, Some((APPLY, changed))).await?;
                }
                Operation::Delete => {
                    let name = self.created.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(name) = name else { return Ok(answered) };
                    self.client.send(Method::DELETE, &format!("{collection}/{name}"), JSON, None).await?;
                }
                Operation::Get => {
                    self.client.send(Method::GET, &get_path, JSON, None).await?;
                }
                Operation::List => {
                    self.client.send(Method::GET, collection, JSON, None).await?;
                }
            }
            answered += 1;
            if Instant::now() >= end && !matches!(operation, Operation::Delete) {
                return Ok(answered);
            }
        }
    }
}

/// A value that no earlier round wrote, so that every write changes something.
fn fresh(end: Instant, number: usize) -> String {
    // The end of a round tells it from others.
    format!("{end:?} {number}").replace('"', "")
}

/// An object with another value of the annotation `sent`.
fn with_sent(object: &[u8], value: &str) -> Option<Vec<u8>> {
    const FIELD: &[u8] = b"\"sent\":\"";
    let begin = object.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let end = begin + object[begin..].iter().position(|byte| *byte == b'"')?;
    Some([&object[..begin], value.as_bytes(), &object[end..]].concat())
}
