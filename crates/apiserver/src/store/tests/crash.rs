//! `kill -9` in the middle of writes: a child process writes and reports each acknowledged write through a pipe.
//!
//! `KOGGE_CRASH_ROUNDS` sets how often the child is killed (10).

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

const CHILD: &str = "KOGGE_CRASH_CHILD";
const WRITERS: u64 = 8;

fn planes() -> [PlaneName; 2] {
    [PlaneName::default(), PlaneName("a/b".to_owned())]
}

fn open(path: &PathBuf) -> Store {
    Store::open(path, StoreOptions { history_changes: 1_000_000, ..StoreOptions::default() }).unwrap()
}

/// Not a test of its own: what the child process does, until it is killed.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(async {
        let store = open(&PathBuf::from(path));
        let planes = [store.management(), store.create_plane(&planes()[1], json!({})).await.unwrap()];
        let writers = (0..WRITERS).map(|writer| {
            let plane = planes[usize::try_from(writer % 2).unwrap()].clone();
            tokio::spawn(write_for_ever(plane, writer))
        });
        futures::future::join_all(writers.collect::<Vec<_>>()).await;
    });
}

/// Puts the values 1, 2, 3, ... into its own object, and goes on where it was after a crash.
async fn write_for_ever(plane: PlaneStore, writer: u64) {
    let object = key("ships", "n", &writer.to_string());
    loop {
        let current = plane.get(&object).unwrap();
        let value = current.as_ref().map_or(0, |found| value_of(&found.json)) + 1;
        let expected = current.map_or(Expected::Absent, |found| Expected::Revision(found.revision));
        let written = plane.write(object.clone(), put(&object.name, value), expected).await.unwrap();
        let acknowledged = format!("ack {writer} {value} {}\n", written.revision);
        std::io::stdout().write_all(acknowledged.as_bytes()).unwrap();
    }
}

fn value_of(json: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(json).unwrap()["value"].as_u64().unwrap()
}

#[test]
fn no_acknowledged_write_is_lost_to_kill_9_and_watches_resume() {
    let rounds: u64 = std::env::var("KOGGE_CRASH_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let mut acknowledged: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut used: HashSet<(u64, u64)> = HashSet::new();
    let mut seen = [1, 1];
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut count = 0;
        // To the end of the pipe: what was acknowledged before the kill counts, even if it is read after it.
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            // The test harness's own first line has no newline of its own.
            let Some((_, numbers)) = line.split_once("ack ") else { continue };
            let numbers: Vec<u64> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
            let [writer, value, revision] = numbers[..] else { continue };
            assert!(used.insert((writer % 2, revision)), "revision {revision} was acknowledged twice");
            acknowledged.insert(writer, (value, revision));
            count += 1;
            if count == 50 + round * 37 % 300 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let store = open(&path);
        for (writer, (value, revision)) in &acknowledged {
            let plane = store.plane(&planes()[usize::try_from(writer % 2).unwrap()]).unwrap();
            let found = plane.get(&key("ships", "n", &writer.to_string())).unwrap().unwrap();
            assert!(
                value_of(&found.json) >= *value && found.revision >= *revision,
                "write {value} of {writer} is lost"
            );
        }
        for (name, seen) in planes().iter().zip(&mut seen) {
            let plane = store.plane(name).unwrap();
            let mut watch = plane.watch(Scope::Plane, *seen).unwrap();
            while let Some(Some(event)) = watch.next().now_or_never() {
                assert_eq!(event.unwrap().revision, *seen + 1, "a change was lost or told twice");
                *seen += 1;
            }
            assert_eq!(*seen, plane.revision());
        }
    }
    assert_eq!(acknowledged.len() as u64, WRITERS);
}
