//! Closed loops: so many clients, each with a connection of its own, each sending its next request when the last is answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::{Access, Client, JSON};
use super::object::Kind;

/// Media type of an apply.
const APPLY: &str = "application/apply-patch+yaml";

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
    /// GET of the client's own object.
    Get,
    /// GET of all objects of the namespace `hundred`.
    List,
}

/// Clients and the objects they made.
#[derive(Debug)]
pub(super) struct Clients {
    connections: Vec<Client>,
    kind: Kind,
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
    /// Connects clients; each applies its own object.
    pub(super) async fn connect(access: &Access, count: usize, kind: Kind, bytes: usize) -> anyhow::Result<Self> {
        let connections = (0..count).map(|_| access.client()).collect::<anyhow::Result<Vec<_>>>()?;
        let clients = Clients { connections, kind, bytes, created: Arc::default() };
        // One round of applies; the deadline is over before the second.
        clients.run(Operation::Apply, Duration::ZERO).await?;
        Ok(clients)
    }

    /// Runs all clients for so long (`Delete`: until nothing is left), and waits for every answer.
    pub(super) async fn run(&self, operation: Operation, duration: Duration) -> anyhow::Result<Outcome> {
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, client) in self.connections.iter().enumerate() {
            let worker = Worker {
                client: client.clone(),
                kind: self.kind,
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
    bytes: usize,
    number: usize,
    created: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    /// At least once, then until `end`.
    async fn repeat(self, operation: Operation, end: Instant) -> anyhow::Result<usize> {
        let collection = self.kind.collection("load");
        let own = format!("own-{}", self.number);
        let path = format!("{collection}/{own}");
        let mut object = match operation {
            Operation::Update => self.client.get(&path).await?,
            Operation::Apply => self.kind.object(&own, 0, self.bytes),
            _ => Value::Null,
        };
        let mut answered = 0;
        loop {
            // Values that no earlier round wrote, so that every write changes something.
            let value = || json!(format!("{end:?} {answered}"));
            match operation {
                Operation::Create => {
                    let name = format!("c-{}-{answered}", self.number);
                    self.client.create(&collection, &self.kind.object(&name, answered as u64, self.bytes)).await?;
                    self.created.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                }
                Operation::Update => {
                    object["metadata"]["annotations"]["sent"] = value();
                    let body = Some((JSON, serde_json::to_vec(&object)?));
                    object = serde_json::from_slice(&self.client.send(Method::PUT, &path, JSON, body).await?)?;
                }
                Operation::Apply => {
                    object["metadata"]["annotations"]["sent"] = value();
                    let path = format!("{path}?fieldManager=benchmark&force=true");
                    let body = Some((APPLY, serde_json::to_vec(&object)?));
                    self.client.send(Method::PATCH, &path, JSON, body).await?;
                }
                Operation::Delete => {
                    let name = self.created.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(name) = name else { return Ok(answered) };
                    self.client.send(Method::DELETE, &format!("{collection}/{name}"), JSON, None).await?;
                }
                Operation::Get => {
                    self.client.send(Method::GET, &path, JSON, None).await?;
                }
                Operation::List => {
                    self.client.send(Method::GET, &self.kind.collection("hundred"), JSON, None).await?;
                }
            }
            answered += 1;
            if Instant::now() >= end && !matches!(operation, Operation::Delete) {
                return Ok(answered);
            }
        }
    }
}
