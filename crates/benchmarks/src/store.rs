//! Scenario `store`: the revision store alone, on a file, every commit synced.

pub(crate) mod crash;

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use kogge_apiserver::store::{Change, Expected, ObjectKey, PlaneName, PlaneStore, Scope, Store, StoreOptions, Write};
use kogge_machinery::resource::GroupResource;
use serde_json::{Value, json};

use crate::report::{Latencies, Report, per_second, processor_time, resident_kib};

/// Options of the scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds per write measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Objects in the store for the read and memory measurements
    #[arg(long, default_value_t = 200_000)]
    objects: usize,
    /// Planes for the idle measurement
    #[arg(long, default_value_t = 1000)]
    planes: usize,
    /// Times the writing process is killed
    #[arg(long, default_value_t = 100)]
    crashes: usize,
    /// Bytes of an object, about
    #[arg(long, default_value_t = 2048)]
    bytes: usize,
}

/// Runs the scenario.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let how = format!(
        "One redb file in the temporary directory, every commit synced before it is acknowledged, default options.\n\
         Objects of about {} bytes. Writes: each writer updates its own object, one after the other.",
        arguments.bytes
    );
    let mut report = Report::begin("store", &how)?;
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for writers in [1, 16, 128] {
        let path = directory.path().join(format!("writes-{writers}.redb"));
        runtime.block_on(writes(&mut report, &path, arguments, writers))?;
    }
    runtime.block_on(idle_planes(&mut report, &directory.path().join("planes.redb"), arguments))?;
    runtime.block_on(reads(&mut report, &directory.path().join("reads.redb"), arguments))?;
    drop(runtime);
    crash::measure(&mut report, &directory.path().join("crash.redb"), arguments.crashes)?;
    report.end()
}

fn resource() -> GroupResource {
    GroupResource { group: "example.dev".to_owned(), resource: "ships".to_owned() }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { resource: resource(), namespace: "default".to_owned(), name: name.to_owned() }
}

fn object(name: &str, value: u64, bytes: usize) -> Value {
    json!({
        "apiVersion": "example.dev/v1",
        "kind": "Ship",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
        "spec": {"value": value, "text": "x".repeat(bytes.saturating_sub(150))},
    })
}

async fn writes(report: &mut Report, path: &Path, arguments: &Arguments, writers: usize) -> anyhow::Result<()> {
    let store = Store::open(path, StoreOptions::default())?;
    let start = Instant::now();
    let end = start + Duration::from_secs(arguments.seconds);
    let bytes = arguments.bytes;
    let tasks: Vec<_> = (0..writers)
        .map(|writer| tokio::spawn(write_until(store.management(), writer.to_string(), end, bytes)))
        .collect();
    let mut latencies = Latencies::default();
    for task in tasks {
        latencies.0.extend(task.await??);
    }
    let rate = per_second(latencies.0.len(), start.elapsed());
    report.figure(&format!("writes, {writers} writers"), &rate)?;
    let (median, late) = (latencies.quantile(0.5), latencies.quantile(0.99));
    report.figure(&format!("  latency p50 / p99, {writers} writers"), &format!("{median:.1?} / {late:.1?}"))
}

async fn write_until(plane: PlaneStore, name: String, end: Instant, bytes: usize) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut expected = Expected::Absent;
    let mut value = 0;
    while Instant::now() < end {
        let begin = Instant::now();
        let written = plane.write(key(&name), Change::Put(object(&name, value, bytes)), expected).await?;
        latencies.push(begin.elapsed());
        expected = Expected::Revision(written.revision);
        value += 1;
    }
    Ok(latencies)
}

async fn idle_planes(report: &mut Report, path: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    const WATCHES: usize = 24;
    let store = Store::open(path, StoreOptions::default())?;
    let before = resident_kib();
    let begin = Instant::now();
    let mut watches = Vec::new();
    for number in 0..arguments.planes {
        let plane = store.create_plane(&PlaneName(format!("tenant/{number}")), json!({})).await?;
        for resource in 0..WATCHES {
            let resource = GroupResource { group: String::new(), resource: format!("kind{resource}s") };
            let mut watch = plane.watch(Scope::Resource(resource), plane.revision())?;
            // Polled once, as a watch that waits is.
            anyhow::ensure!(watch.next().now_or_never().is_none(), "an idle plane has an event");
            watches.push(watch);
        }
    }
    let planes = arguments.planes;
    report
        .figure(&format!("making {planes} planes with {WATCHES} watches each"), &format!("{:.1?}", begin.elapsed()))?;
    if let (Some(before), Some(after)) = (before, resident_kib()) {
        let each = after.saturating_sub(before) / (planes as u64).max(1);
        report.bounded("memory of an idle plane with its watches", &format!("{each} KiB"), "1024 KiB", each < 1024)?;
    }
    let before = processor_time();
    tokio::time::sleep(Duration::from_secs(1)).await;
    if let (Some(before), Some(after)) = (before, processor_time()) {
        let used = after.saturating_sub(before);
        report.figure("processor time of all planes in an idle second", &format!("{used:.1?}"))?;
    }
    Ok(())
}

async fn reads(report: &mut Report, path: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let store = Store::open(path, StoreOptions::default())?;
    let plane = store.management();
    let (objects, bytes) = (arguments.objects, arguments.bytes);
    let names: Vec<String> = (0..objects).map(|number| format!("ship-{number:07}")).collect();
    let begin = Instant::now();
    for chunk in names.chunks(500) {
        let writes = chunk.iter().map(|name| Write {
            key: key(name),
            change: Change::Put(object(name, 0, bytes)),
            expected: Expected::Absent,
        });
        plane.write_many(writes.collect()).await?;
    }
    report.figure(&format!("creating {objects} objects, 500 a transaction"), &per_second(objects, begin.elapsed()))?;
    let memory = resident_kib().unwrap_or_default() / 1024;
    report.bounded(&format!("memory with {objects} objects"), &format!("{memory} MiB"), "1024 MiB", memory < 1024)?;
    let size = std::fs::metadata(path)?.len() >> 20;
    report.figure("  file", &format!("{size} MiB"))?;

    let begin = Instant::now();
    let mut gets = 0;
    while begin.elapsed() < Duration::from_secs(1) {
        // A large stride, so that one read does not warm the page of the next.
        let name = &names[gets * 7919 % objects];
        anyhow::ensure!(plane.get(&key(name))?.is_some(), "{name} is not there");
        gets += 1;
    }
    report.figure("get, one reader", &per_second(gets, begin.elapsed()))?;

    let begin = Instant::now();
    let mut listed = 0;
    let mut after = None;
    loop {
        let page = plane.list(&Scope::Resource(resource()), after.as_ref(), 500, None)?;
        listed += page.items.len();
        after = page.next;
        if after.is_none() || begin.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
    report.figure("objects listed in pages of 500, one reader", &per_second(listed, begin.elapsed()))?;

    let begin = Instant::now();
    let all = plane.list(&Scope::Plane, None, 0, None)?.items.len();
    report.figure("objects listed at once, one reader", &per_second(all, begin.elapsed()))?;

    drop((plane, store));
    let begin = Instant::now();
    drop(Store::open(path, StoreOptions::default())?);
    report.figure("opening the store again after a clean end", &format!("{:.1?}", begin.elapsed()))
}
