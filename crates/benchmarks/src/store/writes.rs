//! Writes a second and their latency, by the number of writers.

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use kogge_apiserver::store::{Change, Expected, PlaneStore, Store, StoreOptions};

use super::{Arguments, key, object};
use crate::report::{Latencies, Report, per_second};

/// What one sync costs here: the bound of everything below.
pub(super) fn sync(report: &mut Report, directory: &Path) -> anyhow::Result<()> {
    const PAGE: [u8; 4096] = [7; 4096];
    let mut file = std::fs::File::create(directory.join("sync"))?;
    for what in ["sync of 4 KiB, file grows", "sync of 4 KiB, file as it is"] {
        file.rewind()?;
        let mut latencies = Latencies::default();
        for _ in 0..200 {
            file.write_all(&PAGE)?;
            let begin = Instant::now();
            file.sync_data()?;
            latencies.0.push(begin.elapsed());
        }
        let (median, late) = (latencies.quantile(0.5), latencies.quantile(0.99));
        report.figure(&format!("{what}, p50 / p99"), &format!("{median:.1?} / {late:.1?}"))?;
    }
    Ok(())
}

/// Creates, updates and deletes with this many writers.
pub(super) async fn measure(
    report: &mut Report,
    path: &Path,
    arguments: &Arguments,
    writers: usize,
) -> anyhow::Result<()> {
    let store = Store::open(path, StoreOptions::default())?;
    for kind in [Kind::Create, Kind::Update, Kind::Delete] {
        let time = Duration::from_secs(arguments.seconds);
        let bytes = arguments.bytes;
        let start = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| tokio::spawn(write(store.management(), kind, writer, start + time, bytes)))
            .collect();
        let mut latencies = Latencies::default();
        for task in tasks {
            latencies.0.extend(task.await??);
        }
        let rate = per_second(latencies.0.len(), start.elapsed());
        let what = format!("{kind:?}, {writers} writers").to_lowercase();
        let (median, late) = (latencies.quantile(0.5), latencies.quantile(0.99));
        report.figure(&format!("{what}: rate; p50 / p99"), &format!("{rate}; {median:.1?} / {late:.1?}"))?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Create,
    Update,
    Delete,
}

/// Writes until the time is over or, for deletes, everything this writer created is gone.
async fn write(
    plane: PlaneStore,
    kind: Kind,
    writer: usize,
    end: Instant,
    bytes: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut value = 0;
    // Updates go round a hundred of the writer's objects.
    let mut known = Vec::new();
    if kind != Kind::Create {
        while let Some(found) = plane.get(&key(&format!("{writer}-{}", known.len())))? {
            known.push(found.revision);
            if kind == Kind::Update && known.len() == 100 {
                break;
            }
        }
    }
    while Instant::now() < end {
        let index = usize::try_from(value)?;
        let (index, expected) = match kind {
            Kind::Create => (index, Expected::Absent),
            Kind::Update => (index % known.len(), Expected::Revision(known[index % known.len()])),
            Kind::Delete if index == known.len() => break,
            Kind::Delete => (index, Expected::Revision(known[index])),
        };
        let name = format!("{writer}-{index}");
        let object = object(&name, value, bytes);
        let change = if kind == Kind::Delete { Change::Delete(object) } else { Change::Put(object) };
        let begin = Instant::now();
        let written = plane.write(key(&name), change, expected).await?;
        latencies.push(begin.elapsed());
        if kind == Kind::Update {
            known[index] = written.revision;
        }
        value += 1;
    }
    Ok(latencies)
}
