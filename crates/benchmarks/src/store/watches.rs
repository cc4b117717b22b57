//! How long after a write its event arrives, with many watches of the same objects.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use kogge_apiserver::server::{Server, ServerOptions, Storage};
use kogge_apiserver::store::{Change, Expected, Scope, Store, StoreOptions, Watch};
use tokio::task::JoinHandle;

use super::{Arguments, key, object, resource};
use crate::report::{Latencies, Report, per_second, processor_time};

/// So many tasks share the writes.
const WRITERS: usize = 50;
/// The value of the write that ends the watchers.
const LAST: u64 = u64::MAX;

/// Watches of the store, then watches through the API.
pub(super) async fn measure(report: &mut Report, directory: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let store = Store::open(directory.join("watches.redb"), StoreOptions::default())?;
    let start = Instant::now();
    let watchers = (0..arguments.watchers).map(|_| store.management().watch(Scope::Resource(resource()), 1));
    let watchers =
        watchers.map(|watch| Ok(tokio::spawn(delays_of_events(watch?, start)))).collect::<anyhow::Result<_>>();
    let plane = store.management();
    let bytes = arguments.bytes;
    let write = async |name: String, sent: u64| {
        let found = plane.get(&key(&name))?;
        let expected = found.map_or(Expected::Absent, |found| Expected::Revision(found.revision));
        plane.write(key(&name), Change::Put(object(&name, sent, bytes)), expected).await?;
        anyhow::Ok(())
    };
    pace(report, "store", arguments, start, write, watchers?).await?;

    let options = ServerOptions { data: Storage::Directory(directory.join("watches")), ..ServerOptions::default() };
    let client = Server::open(options).await?.management().client();
    let start = Instant::now();
    let mut watchers = Vec::new();
    for _ in 0..arguments.watchers {
        let request = http::Request::get("/api/v1/configmaps?watch=true&resourceVersion=1");
        let answer = client.send(request.body(kube::client::Body::empty())?).await?;
        watchers.push(tokio::spawn(delays_of_lines(answer.into_body(), start)));
    }
    let write = async |name: String, sent: u64| {
        let mut object = object(&name, sent, bytes);
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("uid");
        }
        let request = http::Request::patch(format!(
            "/api/v1/namespaces/default/configmaps/{name}?fieldManager=benchmark&force=true"
        ));
        let request = request.header(http::header::CONTENT_TYPE, "application/apply-patch+yaml");
        client.request::<serde_json::Value>(request.body(serde_json::to_vec(&object)?)?).await?;
        anyhow::Ok(())
    };
    pace(report, "API", arguments, start, write, watchers).await
}

async fn delays_of_events(mut watch: Watch, start: Instant) -> Vec<Duration> {
    let mut delays = Vec::new();
    while let Some(Ok(event)) = watch.next().await {
        match value_in(&event.json) {
            Some(LAST) => break,
            Some(sent) => delays.push(start.elapsed().saturating_sub(Duration::from_micros(sent))),
            None => {}
        }
    }
    delays
}

async fn delays_of_lines(mut body: kube::client::Body, start: Instant) -> Vec<Duration> {
    let mut delays = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(chunk) = frame.into_data() else { continue };
        for line in chunk.split(|byte| *byte == b'\n') {
            match value_in(line) {
                Some(LAST) => return delays,
                Some(sent) => delays.push(start.elapsed().saturating_sub(Duration::from_micros(sent))),
                None => {}
            }
        }
    }
    delays
}

/// Writes at the rate asked for, each write with the time it began at, then one that ends the watchers, and reports.
async fn pace<W: AsyncFn(String, u64) -> anyhow::Result<()>>(
    report: &mut Report,
    what: &str,
    arguments: &Arguments,
    start: Instant,
    write: W,
    watchers: Vec<JoinHandle<Vec<Duration>>>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let before = processor_time();
    let period = Duration::from_secs(1) * u32::try_from(WRITERS)? / u32::try_from(arguments.writes.max(1))?;
    let end = begin + Duration::from_secs(arguments.seconds);
    let writers = (0..WRITERS).map(|writer| {
        let write = &write;
        async move {
            let mut ticks = tokio::time::interval_at((begin + period * u32::try_from(writer)? / 50).into(), period);
            let mut count = 0;
            while Instant::now() < end {
                ticks.tick().await;
                write(writer.to_string(), u64::try_from(start.elapsed().as_micros())?).await?;
                count += 1;
            }
            anyhow::Ok(count)
        }
    });
    let counts = futures::future::try_join_all(writers).await?;
    write("0".to_owned(), LAST).await?;
    let elapsed = begin.elapsed();
    let watching = watchers.len();
    let mut delays = Latencies::default();
    for watcher in watchers {
        delays.0.extend(watcher.await?);
    }
    let written: usize = counts.into_iter().sum();
    anyhow::ensure!(delays.0.len() == written * watching, "{} of {written} x {watching} events came", delays.0.len());
    let rate = per_second(written, elapsed);
    let (median, late) = (delays.quantile(0.5), delays.quantile(0.99));
    let figure = format!("{median:.1?} / {late:.1?}");
    report.figure(&format!("watch delay, {watching} watchers of the {what}, {rate}: p50 / p99"), &figure)?;
    if let (Some(before), Some(after)) = (before, processor_time()) {
        let share = after.saturating_sub(before).as_secs_f64() / begin.elapsed().as_secs_f64();
        report.figure("  processors used", &format!("{share:.2}"))?;
    }
    Ok(())
}

/// The number after `"a-value":"`, which is near the beginning of an object, as fields are sorted.
fn value_in(json: &[u8]) -> Option<u64> {
    const FIELD: &[u8] = b"\"a-value\":\"";
    let head = &json[..json.len().min(200)];
    let at = head.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let digits = json[at..].split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
