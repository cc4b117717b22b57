//! Memory of a server that holds many objects, all of which many informers follow.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, Response};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::client::{Access, JSON};
use super::comparison::Value;
use super::load::fill;
use super::object::Kind;
use super::side::{Side, Which};
use super::{Arguments, Measurement, create_namespace, start};

const NAMESPACE: &str = "many";
/// Informers that share a connection, as those of one program do.
const INFORMERS_PER_CONNECTION: usize = 10;
/// Informers that read the objects at the same time; all of them follow what comes after.
const READING: usize = 4;
/// How long the servers may clean up after the informers have read everything.
const SETTLE: Duration = Duration::from_secs(10);
/// How long a change may take to reach all informers.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the write that ends the informers has in it.
const LAST: u64 = u64::MAX;

/// Fills a server, starts informers the way client-go does (a streaming list), and takes the server's memory.
pub(super) async fn measure(
    measurement: &mut Measurement<'_>,
    which: Which,
    folder: &Path,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let kind = Kind::Machine;
    let (server, _) = Side::start(which, folder).await?;
    let access = Access::read(server.kubeconfig())?;
    let client = access.client()?;
    start::establish(&client, &start::definitions()?).await?;
    create_namespace(&client, NAMESPACE).await?;
    fill(&access, kind, NAMESPACE, arguments.stored, arguments.stored_bytes).await?;

    let path = format!(
        "{}?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan",
        kind.collection(NAMESPACE)
    );
    let reading = Arc::new(Semaphore::new(READING));
    let (synced, mut all_synced) = watch::channel(0_usize);
    let mut informers = JoinSet::new();
    let mut connection = client.clone();
    for number in 0..arguments.informers {
        if number % INFORMERS_PER_CONNECTION == 0 {
            connection = access.client()?;
        }
        let (client, path, reading, synced) = (connection.clone(), path.clone(), Arc::clone(&reading), synced.clone());
        informers.spawn(async move {
            let permit = reading.acquire_owned().await?;
            let mut informer = Informer::new(client.open(Method::GET, &path, JSON, None).await?);
            let objects = informer.until(b"\"k8s.io/initial-events-end\":\"true\"").await?;
            drop(permit);
            synced.send_modify(|count| *count += 1);
            informer.until(format!("\"sent\":\"{LAST}\"").as_bytes()).await?;
            anyhow::Ok(objects)
        });
    }
    tokio::select! {
        done = all_synced.wait_for(|count| *count == arguments.informers) => drop(done?),
        Some(ended) = informers.join_next() => {
            ended??;
            bail!("an informer ended before its time");
        }
    }
    tokio::time::sleep(SETTLE).await;
    let what = format!(
        "{} objects of {} KiB and {} informers",
        arguments.stored,
        arguments.stored_bytes / 1024,
        arguments.informers
    );
    measurement.add(&format!("{what}: memory"), Value::Memory { kib: server.memory_kib()? }, Some(5.0))?;
    measurement.add(&format!("{what}: largest memory"), Value::Memory { kib: server.peak_memory_kib()? }, None)?;
    measurement.add(&format!("{what}: processor time"), Value::Time(server.processor_time()?), None)?;

    // They are not only connected, they follow.
    let change = json!({"metadata": {"annotations": {"sent": LAST.to_string()}}});
    let body = Some(("application/merge-patch+json", serde_json::to_vec(&change)?));
    client.send(Method::PATCH, &format!("{}/o-00000", kind.collection(NAMESPACE)), JSON, body).await?;
    let ends = async {
        while let Some(ended) = informers.join_next().await {
            let objects = ended??;
            anyhow::ensure!(objects == arguments.stored, "an informer has read {objects} objects");
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, ends).await.context("a change has not reached all informers")?
}

/// A watch that counts the lines it reads and keeps none.
struct Informer {
    answer: Response,
    line: Vec<u8>,
}

impl Informer {
    fn new(answer: Response) -> Self {
        Informer { answer, line: Vec::new() }
    }

    /// Reads until a line that contains `text`; gives how many lines came before.
    async fn until(&mut self, text: &[u8]) -> anyhow::Result<usize> {
        let mut lines = 0;
        let mut found = false;
        while let Some(chunk) = self.answer.chunk().await? {
            for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                self.line.extend_from_slice(part);
                if !part.ends_with(b"\n") {
                    continue;
                }
                // What is looked for is in the metadata, before or behind the long text.
                found = found || self.line.windows(text.len()).any(|window| window == text);
                lines += usize::from(!found);
                self.line.clear();
            }
            if found {
                return Ok(lines);
            }
        }
        bail!("a watch ended")
    }
}
