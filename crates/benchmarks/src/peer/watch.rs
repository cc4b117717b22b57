//! How long after a write begins its event is there, for every one of many watches.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{Method, Response};
use serde_json::json;
use tokio::task::JoinSet;

use super::client::{Access, Client, JSON};
use super::load::fill;
use super::object::Kind;
use crate::report::Latencies;

/// Watches that share a connection, as the informers of one program do.
const WATCHES_PER_CONNECTION: usize = 25;
/// So many clients share the writes.
const WRITERS: usize = 16;
/// The value of the write that ends the watches.
const LAST: u64 = u64::MAX;
/// How long after the last write the last event may come.
const PATIENCE: Duration = Duration::from_mins(1);

/// What was measured.
#[derive(Debug)]
pub(super) struct Outcome {
    /// One for each write and watch.
    pub(super) delays: Latencies,
    /// Writes that were answered, a second.
    pub(super) rate: f64,
}

/// Opens `watchers` watches of one namespace, writes there `writes` times a second for so long, and takes the delays.
pub(super) async fn measure(
    access: &Access,
    kind: Kind,
    bytes: usize,
    watchers: usize,
    writes: u32,
    duration: Duration,
) -> anyhow::Result<Outcome> {
    fill(access, kind, "watched", WRITERS, bytes).await?;
    let collection = kind.collection("watched");
    let list = access.client()?.get(&collection).await?;
    let revision = list["metadata"]["resourceVersion"].as_str().context("a list without a revision")?;
    let path = format!("{collection}?watch=true&resourceVersion={revision}");
    let start = Instant::now();
    let mut readers = JoinSet::new();
    let mut connection = None;
    for number in 0..watchers {
        if number % WATCHES_PER_CONNECTION == 0 {
            connection = Some(access.client()?);
        }
        let client = connection.as_ref().context("the first watch makes a connection")?;
        readers.spawn(delays(client.open(Method::GET, &path, JSON, None).await?, start));
    }

    let begin = Instant::now();
    let period = Duration::from_secs(1) * u32::try_from(WRITERS)? / writes.max(1);
    let mut senders = JoinSet::new();
    for number in 0..WRITERS {
        let client = access.client()?;
        let path = format!("{collection}/o-{number:05}");
        let first = begin + period * u32::try_from(number)? / u32::try_from(WRITERS)?;
        senders.spawn(async move {
            let mut ticks = tokio::time::interval_at(first.into(), period);
            let mut written = 0_usize;
            loop {
                ticks.tick().await;
                if begin.elapsed() >= duration {
                    return anyhow::Ok(written);
                }
                write(&client, &path, u64::try_from(start.elapsed().as_micros())?).await?;
                written += 1;
            }
        });
    }
    let mut written = 0;
    while let Some(done) = senders.join_next().await {
        written += done??;
    }
    let elapsed = begin.elapsed();
    write(&access.client()?, &format!("{collection}/o-00000"), LAST).await?;
    let mut all = Latencies::default();
    let collect = async {
        while let Some(done) = readers.join_next().await {
            all.0.extend(done??);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, collect).await.context("events are missing a minute after the last write")??;
    ensure!(all.0.len() == written * watchers, "{} of {written} x {watchers} events came", all.0.len());
    #[expect(clippy::cast_precision_loss)]
    let rate = written as f64 / elapsed.as_secs_f64();
    Ok(Outcome { delays: all, rate })
}

async fn write(client: &Client, path: &str, sent: u64) -> anyhow::Result<()> {
    let change = json!({"metadata": {"annotations": {"sent": sent.to_string()}}});
    let body = Some(("application/merge-patch+json", serde_json::to_vec(&change)?));
    client.send(Method::PATCH, path, JSON, body).await?;
    Ok(())
}

/// Reads events until the last write's.
async fn delays(mut answer: Response, start: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut delays = Vec::new();
    let mut rest = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let arrived = start.elapsed();
        rest.extend_from_slice(&chunk);
        let mut begin = 0;
        while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = &rest[begin..begin + length];
            begin += length + 1;
            match sent(line) {
                Some(LAST) => return Ok(delays),
                Some(sent) => delays.push(arrived.saturating_sub(Duration::from_micros(sent))),
                None => anyhow::bail!("not an event of a write: {}", String::from_utf8_lossy(line)),
            }
        }
        rest.drain(..begin);
    }
    anyhow::bail!("a watch ended before the last write")
}

/// The number after `"sent":"`; ownership of the field is written `"f:sent":{}`.
fn sent(json: &[u8]) -> Option<u64> {
    const FIELD: &[u8] = b"\"sent\":\"";
    let at = json.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let digits = json[at..].split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
