//! How long after a write begins its event is there, for every one of many watches.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{Method, Response};
use serde_json::json;
use tokio::task::JoinSet;

use super::client::{Access, Client, JSON};
use super::create_namespace;
use super::load::fill;
use super::object::Kind;
use super::side::Side;
use crate::report::Latencies;

const KIND: Kind = Kind::Machine;
/// Watches that share a connection, as the informers of one program do.
const WATCHES_PER_CONNECTION: usize = 25;
/// So many clients share the writes.
const WRITERS: usize = 16;
/// The value of the write that ends the watches of a namespace.
const LAST: u64 = u64::MAX;
/// How long after the last write the last event may come.
const PATIENCE: Duration = Duration::from_mins(1);

/// How much is written and watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Watches, each of one namespace, in turn.
    pub(super) watchers: usize,
    /// Namespaces, each with as many objects as there are writers.
    pub(super) namespaces: usize,
    /// Writes a second, to the namespaces in turn.
    pub(super) writes: u32,
    /// Bytes of text in each object.
    pub(super) bytes: usize,
    /// How long is written.
    pub(super) duration: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Outcome {
    /// One for each event that a watch got.
    pub(super) delays: Latencies,
    /// Writes that were answered, a second.
    pub(super) rate: f64,
    /// Processor time of the server for each second.
    pub(super) processors: f64,
}

/// Opens watches, writes, and takes the delays.
pub(super) async fn measure(access: &Access, server: &Side, load: Load) -> anyhow::Result<Outcome> {
    let client = access.client()?;
    let names: Vec<String> =
        (0..load.namespaces).map(|number| format!("watched-{}-{number}", load.namespaces)).collect();
    for name in &names {
        create_namespace(&client, name).await?;
        fill(access, KIND, name, WRITERS, load.bytes).await?;
    }
    let start = Instant::now();
    let mut readers = JoinSet::new();
    let mut connection = client.clone();
    for number in 0..load.watchers {
        if number % WATCHES_PER_CONNECTION == 0 {
            connection = access.client()?;
        }
        let collection = KIND.collection(&names[number % names.len()]);
        let list = connection.get(&collection).await?;
        let revision = list["metadata"]["resourceVersion"].as_str().context("a list without a revision")?;
        let path = format!("{collection}?watch=true&resourceVersion={revision}");
        readers.spawn(delays(connection.open(Method::GET, &path, JSON, None).await?, start));
    }

    let before = server.processor_time()?;
    let (written, elapsed) = write_all(access, &names, load, start).await?;
    let used = server.processor_time()?.saturating_sub(before);
    for name in &names {
        write(&client, &format!("{}/o-00000", KIND.collection(name)), LAST).await?;
    }
    let mut all = Latencies::default();
    let collect = async {
        while let Some(done) = readers.join_next().await {
            all.0.extend(done??);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, collect).await.context("events are missing a minute after the last write")??;
    let of_namespace = |number: usize| load.watchers / names.len() + usize::from(number < load.watchers % names.len());
    let expected: usize = written.iter().enumerate().map(|(number, written)| written * of_namespace(number)).sum();
    ensure!(all.0.len() == expected, "{} of {expected} events came", all.0.len());
    #[expect(clippy::cast_precision_loss)]
    let rate = written.iter().sum::<usize>() as f64 / elapsed.as_secs_f64();
    Ok(Outcome { delays: all, rate, processors: used.as_secs_f64() / elapsed.as_secs_f64() })
}

/// Writes at the rate asked for: how many writes each namespace got, in which time.
async fn write_all(
    access: &Access,
    names: &[String],
    load: Load,
    start: Instant,
) -> anyhow::Result<(Vec<usize>, Duration)> {
    let begin = Instant::now();
    let end = begin + load.duration;
    let period = Duration::from_secs(1) * u32::try_from(WRITERS)? / load.writes.max(1);
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let client = access.client()?;
        let paths: Vec<String> = names.iter().map(|name| format!("{}/o-{number:05}", KIND.collection(name))).collect();
        let first = begin + period * u32::try_from(number)? / u32::try_from(WRITERS)?;
        writers.spawn(async move {
            let mut ticks = tokio::time::interval_at(first.into(), period);
            let mut written = vec![0_usize; paths.len()];
            let mut answered = begin;
            // Beginning apart, so that the writers are not all in the same namespace.
            for place in number * paths.len() / WRITERS.. {
                let place = place % paths.len();
                if tokio::time::timeout_at(end.into(), ticks.tick()).await.is_err() || Instant::now() >= end {
                    break;
                }
                write(&client, &paths[place], u64::try_from(start.elapsed().as_micros())?).await?;
                written[place] += 1;
                answered = Instant::now();
            }
            anyhow::Ok((written, answered))
        });
    }
    let mut all = vec![0; names.len()];
    // The last answer may come after the end, where a server does not keep up.
    let mut last = end;
    while let Some(done) = writers.join_next().await {
        let (written, answered) = done??;
        for (sum, written) in all.iter_mut().zip(written) {
            *sum += written;
        }
        last = last.max(answered);
    }
    Ok((all, last - begin))
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
