#![no_main]
//! A store loses nothing that it has acknowledged, wherever the disk dies and whatever of the last writes a power cut leaves on
//! it, torn ones too; what it has not is there as a whole or not at all. A damaged file is refused or read as far as it goes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kogge_apiserver::store::{Change, Durability, Expected, ObjectKey, Scope, Store, StoreOptions, Write};
use kogge_machinery::resource::GroupResource;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

#[derive(Arbitrary, Debug)]
enum Step {
    /// One transaction: (object, size of its value, deleted). Sizes are in steps of 97 bytes.
    Write(Vec<(u8, u8, bool)>),
    Compact,
    /// The disk dies after so many writes of the next transaction; then there is a power cut.
    Crash {
        after: u8,
        object: u8,
        kept: Vec<u8>,
    },
}

#[derive(Arbitrary, Debug)]
struct Damage {
    place: u32,
    bytes: Vec<u8>,
}

/// A disk in memory that knows what is synced.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    synced: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    writes_left: Option<u8>,
}

impl Platters {
    fn spend(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the disk died"))?;
        }
        Ok(())
    }
}

impl Disk {
    fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Platters { synced: bytes.clone(), current: bytes, ..Platters::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Platters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left: of each write since the last sync so many 255ths as `kept` says.
    fn after_power_cut(&self, kept: &[u8]) -> Self {
        let platters = self.lock();
        let mut bytes = platters.synced.clone();
        bytes.resize(platters.current.len(), 0);
        for (index, (offset, data)) in platters.unsynced.iter().enumerate() {
            let kept = data.len() * usize::from(kept.get(index).copied().unwrap_or(0)) / 255;
            let end = (offset + kept).min(bytes.len());
            if end > *offset {
                bytes[*offset..end].copy_from_slice(&data[..end - offset]);
            }
        }
        Self::of(bytes)
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platters = self.lock();
        let end = usize::try_from(offset).ok().and_then(|start| Some((start, start.checked_add(out.len())?)));
        let bytes = end.and_then(|(start, end)| platters.current.get(start..end));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platters = self.lock();
        platters.spend()?;
        // A damaged length asks for any space; disks have less.
        let len = usize::try_from(len).ok().filter(|len| *len < 64 << 20).ok_or(io::ErrorKind::StorageFull)?;
        platters.current.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platters = self.lock();
        platters.spend()?;
        platters.synced = platters.current.clone();
        platters.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platters = self.lock();
        platters.spend()?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = platters.current.get_mut(start..start + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(data);
        platters.unsynced.push((start, data.to_vec()));
        Ok(())
    }
}

fn options() -> StoreOptions {
    StoreOptions {
        durability: Durability::Immediate,
        cache_bytes: 1 << 20,
        history_changes: 6,
        clock: Arc::new(|| Timestamp::UNIX_EPOCH),
        ..StoreOptions::default()
    }
}

fn scope() -> GroupResource {
    GroupResource { group: "example.dev".to_owned(), resource: "ships".to_owned() }
}

/// Name to revision and text.
type Objects = BTreeMap<String, (u64, String)>;

fn objects(store: &Store) -> Option<Objects> {
    let page = store.management().list(&Scope::Plane, None, 0, None).ok()?;
    let text = |json: &[u8]| String::from_utf8(json.to_vec()).ok();
    page.items.into_iter().map(|item| Some((item.key.name, (item.revision, text(&item.json)?)))).collect()
}

/// A transaction, and what is there after it.
fn transaction(before: &Objects, revision: u64, wanted: &[(u8, u8, bool)]) -> (Vec<Write>, Objects) {
    let mut after = before.clone();
    let mut writes = Vec::new();
    for ((object, size, delete), revision) in wanted.iter().take(8).zip(revision + 1..) {
        let name = (object % 8).to_string();
        let expected = after.get(&name).map_or(Expected::Absent, |(revision, _)| Expected::Revision(*revision));
        let mut value = json!({"metadata": {"name": name}, "value": "x".repeat(usize::from(*size) * 97)});
        let key = ObjectKey { resource: scope(), namespace: "n".to_owned(), name: name.clone() };
        let delete = *delete && expected != Expected::Absent;
        let change = if delete { Change::Delete(value.clone()) } else { Change::Put(value.clone()) };
        writes.push(Write { key, change, expected });
        value["metadata"]["resourceVersion"] = json!(revision.to_string());
        if delete {
            after.remove(&name)
        } else {
            after.insert(name, (revision, value.to_string()))
        };
    }
    (writes, after)
}

async fn run(steps: Vec<Step>, damages: Vec<Damage>) {
    let mut disk = Disk::default();
    let mut store = Store::with_backend(disk.clone(), options()).expect("a new store opens");
    let mut known = Objects::new();
    for step in steps {
        match step {
            Step::Write(wanted) => {
                let (writes, after) = transaction(&known, store.management().revision(), &wanted);
                store.management().write_many(&writes).await.expect("what is expected is there");
                known = after;
            }
            Step::Compact => store.compact(Timestamp::UNIX_EPOCH).await.expect("the disk is well"),
            Step::Crash { after: writes_left, object, kept } => {
                disk.lock().writes_left = Some(writes_left % 64);
                let wanted = [(object, object, object & 8 != 0), (object.wrapping_add(1), 9, false)];
                let (writes, after) = transaction(&known, store.management().revision(), &wanted);
                let acknowledged = store.management().write_many(&writes).await.is_ok();
                drop(store);
                disk = disk.after_power_cut(&kept);
                store = Store::with_backend(disk.clone(), options()).expect("a store opens after a power cut");
                if objects(&store).as_ref() == Some(&after) {
                    known = after;
                } else {
                    assert!(!acknowledged, "an acknowledged transaction is lost");
                }
            }
        }
        assert_eq!(objects(&store).as_ref(), Some(&known));
    }
    drop(store);
    let mut bytes = disk.lock().current.clone();
    for Damage { place, bytes: damage } in &damages {
        let start = *place as usize % bytes.len().max(1);
        for (byte, damage) in bytes[start..].iter_mut().zip(damage) {
            *byte = *damage;
        }
    }
    if let Ok(store) = Store::with_backend(Disk::of(bytes), options()) {
        let found = objects(&store);
        let (writes, _) = transaction(&found.unwrap_or_default(), store.management().revision(), &[(1, 1, false)]);
        let _ = store.management().write_many(&writes).await;
    }
}

fuzz_target!(
    init: {
        // Panics over damage are caught and answered as storage errors; one that is not ends the process all the same.
        std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    },
    |input: (Vec<Step>, Vec<Damage>)| {
        let (mut steps, damages) = input;
        steps.truncate(40);
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime is made").block_on(run(steps, damages));
    }
);
