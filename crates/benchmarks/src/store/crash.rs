//! `kill -9` while a child process writes: every write it reported as acknowledged must be there afterwards.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use kogge_apiserver::store::{Change, Expected, PlaneName, PlaneStore, Scope, Store, StoreOptions};
use serde_json::{Value, json};

use super::{key, object};
use crate::report::Report;

const WRITERS: u64 = 16;

/// What the child is told.
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArguments {
    /// The store's file
    path: PathBuf,
}

fn open(path: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(path, StoreOptions { history_changes: 10_000_000, ..StoreOptions::default() })?)
}

fn plane_name(writer: u64) -> PlaneName {
    PlaneName(if writer.is_multiple_of(2) { String::new() } else { "tenant/cluster".to_owned() })
}

/// Writes until it is killed.
pub(crate) fn child(arguments: &ChildArguments) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().build()?.block_on(async {
        let store = open(&arguments.path)?;
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let plane = store.create_plane(&plane_name(writer), json!({})).await?;
            tasks.push(tokio::spawn(write_for_ever(plane, writer)));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

async fn write_for_ever(plane: PlaneStore, writer: u64) -> anyhow::Result<()> {
    let name = writer.to_string();
    let mut current = plane.get(&key(&name))?;
    loop {
        let value = current.as_ref().map_or(Ok(0), |found| value_of(&found.json))? + 1;
        let expected = current.as_ref().map_or(Expected::Absent, |found| Expected::Revision(found.revision));
        let written = plane.write(key(&name), Change::Put(object(&name, value, 1024)), expected).await?;
        let line = format!("{writer} {value} {}\n", written.revision);
        std::io::stdout().write_all(line.as_bytes())?;
        current = Some(written);
    }
}

fn value_of(json: &[u8]) -> anyhow::Result<u64> {
    let object: Value = serde_json::from_slice(json)?;
    let value = object["data"]["a-value"].as_str().ok_or_else(|| anyhow::anyhow!("an object without its value"))?;
    Ok(value.parse()?)
}

/// Kills the child so often, and looks after each time.
pub(crate) fn measure(report: &mut Report, path: &Path, crashes: usize) -> anyhow::Result<()> {
    let mut acknowledged: HashMap<u64, u64> = HashMap::new();
    let mut revisions: HashSet<(u64, u64)> = HashSet::new();
    let (mut lost, mut reused, mut wrong_events) = (0, 0, 0);
    let mut seen: HashMap<PlaneName, u64> = HashMap::new();
    let mut slowest_open = Duration::ZERO;
    for crash in 0..crashes {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("store-crash-child")
            .arg(path)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| anyhow::anyhow!("the child has no output"))?;
        let kill_at = 20 + crash * 97 % 1500;
        for (count, line) in BufReader::new(output).lines().enumerate() {
            let line = line?;
            let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            let [writer, value, revision] = numbers[..] else { anyhow::bail!("the child said {line:?}") };
            reused += usize::from(!revisions.insert((writer % 2, revision)));
            acknowledged.insert(writer, value);
            if count == kill_at {
                child.kill()?;
            }
        }
        let status = child.wait()?;
        anyhow::ensure!(!status.success() && status.code().is_none(), "the child ended by itself: {status}");
        let begin = Instant::now();
        let store = open(path)?;
        slowest_open = slowest_open.max(begin.elapsed());
        for (writer, value) in &acknowledged {
            let plane = store.plane(&plane_name(*writer)).ok_or_else(|| anyhow::anyhow!("a plane is gone"))?;
            let found = plane.get(&key(&writer.to_string()))?;
            let found = found.map_or(Ok(0), |found| value_of(&found.json))?;
            lost += usize::from(found < *value);
        }
        for plane in store.planes() {
            let seen = seen.entry(plane.name().clone()).or_insert(1);
            let mut watch = plane.watch(Scope::Plane, *seen)?;
            while let Some(Some(event)) = watch.next().now_or_never() {
                let revision = event?.revision;
                wrong_events += usize::from(revision != *seen + 1);
                *seen = revision;
            }
            wrong_events += usize::from(*seen != plane.revision());
        }
    }
    report.figure("acknowledged writes before kills", &revisions.len().to_string())?;
    report.bounded(&format!("acknowledged writes lost in {crashes} kills"), &lost.to_string(), "0", lost == 0)?;
    report.bounded("revisions acknowledged twice", &reused.to_string(), "0", reused == 0)?;
    report.bounded("watch events lost or doubled", &wrong_events.to_string(), "0", wrong_events == 0)?;
    report.figure("slowest opening after a kill", &format!("{slowest_open:.1?}"))
}
