//! Random histories against a model, on a disk that dies in the middle of writes.

use proptest::prelude::*;

use super::*;

/// A disk in memory that keeps what was synced, and of the rest only what a power cut happens to leave.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    synced: Vec<u8>,
    current: Vec<u8>,
    /// Since the last sync, in order: where and what.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// So many writes work until the disk dies.
    writes_left: Option<u32>,
    /// It does not die then, but is full.
    fills: bool,
}

impl Platters {
    fn spend(&mut self) -> std::io::Result<()> {
        match &mut self.writes_left {
            None => Ok(()),
            Some(0) if self.fills => Err(std::io::ErrorKind::StorageFull.into()),
            Some(0) => Err(std::io::Error::other("the disk died")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl Disk {
    fn die_after(&self, writes: u32) {
        lock(&self.0).writes_left = Some(writes);
    }

    /// What is on the disk after a power cut: of each unsynced write nothing, all or only the beginning.
    fn after_power_cut(&self, mut luck: u64) -> Disk {
        let platters = lock(&self.0);
        let mut bytes = platters.synced.clone();
        bytes.resize(platters.current.len(), 0);
        for (offset, data) in &platters.unsynced {
            luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let kept = match luck >> 62 {
                0 => 0,
                1 => data.len() / 2,
                _ => data.len(),
            };
            let end = (offset + kept).min(bytes.len());
            if end > *offset {
                bytes[*offset..end].copy_from_slice(&data[..end - offset]);
            }
        }
        Disk(Arc::new(Mutex::new(Platters { synced: bytes.clone(), current: bytes, ..Platters::default() })))
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(lock(&self.0).current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(&lock(&self.0).current[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        let mut platters = lock(&self.0);
        platters.spend()?;
        platters.current.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        let mut platters = lock(&self.0);
        platters.spend()?;
        platters.synced = platters.current.clone();
        platters.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let mut platters = lock(&self.0);
        platters.spend()?;
        let start = usize::try_from(offset).unwrap();
        platters.current[start..start + data.len()].copy_from_slice(data);
        platters.unsynced.push((start, data.to_vec()));
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// (plane, [(object, delete, expects what is there)])
    Write(usize, Vec<(usize, bool, bool)>),
    Compact,
    /// Empties and makes the plane anew.
    Replace(usize),
    /// The process dies at rest.
    Crash(u64),
    /// The disk dies so many writes into the next transaction.
    CrashWithin(u32, u64, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..2_usize, proptest::collection::vec((0..4_usize, any::<bool>(), prop::bool::weighted(0.9)), 1..4))
        .prop_map(|(plane, writes)| Step::Write(plane, writes));
    let step = prop_oneof![
        20 => write,
        2 => Just(Step::Compact),
        1 => Just(Step::Replace(1)),
        2 => any::<u64>().prop_map(Step::Crash),
        2 => (0..40_u32, any::<u64>(), 0..2_usize).prop_map(|(writes, luck, plane)| Step::CrashWithin(writes, luck, plane)),
    ];
    proptest::collection::vec(step, 1..40)
}

/// (kind, revision, key, json, previous)
type Told = (EventKind, u64, ObjectKey, String, Option<String>);

#[derive(Clone, Debug, Default)]
struct ModelPlane {
    objects: BTreeMap<ObjectKey, (u64, String)>,
    history: Vec<Told>,
}

impl ModelPlane {
    fn revision(&self) -> u64 {
        self.history.last().map_or(1, |told| told.1)
    }

    fn at(&self, revision: u64) -> BTreeMap<ObjectKey, (u64, String)> {
        let mut objects = BTreeMap::new();
        for (kind, at, key, json, _) in self.history.iter().take_while(|told| told.1 <= revision) {
            match kind {
                EventKind::Deleted => objects.remove(key),
                _ => objects.insert(key.clone(), (*at, json.clone())),
            };
        }
        objects
    }

    /// Applies the writes to a copy; none if one finds what it does not expect.
    fn written(&self, writes: &[Write]) -> Option<ModelPlane> {
        let mut plane = self.clone();
        for (index, write) in writes.iter().enumerate() {
            let revision = plane.revision() + 1;
            let current = plane.objects.get(&write.key).cloned();
            let expected = current.as_ref().map_or(Expected::Absent, |(revision, _)| Expected::Revision(*revision));
            if write.expected != expected && (write.expected != Expected::Present || current.is_none()) {
                return None;
            }
            let before = index.checked_sub(1).map(|before| &writes[before].change);
            let mut value = match (&write.change, before) {
                (Change::Put(value) | Change::Delete(value), _) => value.clone(),
                (Change::PutFields(fields), Some(Change::Put(value))) => {
                    let mut value = value.clone();
                    fields.iter().for_each(|(name, later)| value[name] = later.clone());
                    value
                }
                (Change::PutFields(_), _) => unreachable!("a put comes before"),
            };
            value["metadata"]["resourceVersion"] = json!(revision.to_string());
            let json = value.to_string();
            let previous = current.map(|(_, json)| json);
            let kind = match (&write.change, &previous) {
                (Change::Delete(_), _) => EventKind::Deleted,
                (Change::Put(_) | Change::PutFields(_), None) => EventKind::Added,
                (Change::Put(_) | Change::PutFields(_), Some(_)) => EventKind::Modified,
            };
            if kind == EventKind::Deleted {
                plane.objects.remove(&write.key);
            } else {
                plane.objects.insert(write.key.clone(), (revision, json.clone()));
            }
            plane.history.push((kind, revision, write.key.clone(), json, previous));
        }
        Some(plane)
    }
}

fn told(watch: &mut Watch) -> Vec<Told> {
    let mut all = Vec::new();
    while let Some(Some(item)) = watch.next().now_or_never() {
        let event = item.expect("the history is kept");
        let previous = event.previous.as_ref().map(|json| text(json).to_owned());
        all.push((event.kind, event.revision, event.key.clone(), text(&event.json).to_owned(), previous));
    }
    all
}

fn names() -> [PlaneName; 2] {
    [PlaneName::default(), PlaneName("a/b".to_owned())]
}

fn open(disk: &Disk) -> Store {
    Store::with_backend(disk.clone(), StoreOptions { history_changes: 6, watch_queue: 3, ..options() }).unwrap()
}

/// Lists and watches from every kept revision agree with the model.
fn check(store: &Store, model: &[ModelPlane; 2]) {
    for (name, model) in names().iter().zip(model) {
        let plane = store.plane(name).unwrap();
        assert_eq!(plane.revision(), model.revision());
        let oldest = plane.oldest_revision();
        for revision in oldest..=model.revision() {
            let page = plane.list(&Scope::Plane, None, 0, Some(revision)).unwrap();
            let listed: BTreeMap<_, _> = page
                .items
                .iter()
                .map(|item| (item.key.clone(), (item.revision, text(&item.json).to_owned())))
                .collect();
            assert_eq!(listed, model.at(revision), "the list at {revision}");
            assert_eq!(written(&plane, &Scope::Plane, revision), joined(&page), "the written list at {revision}");
            for scope in [Scope::Resource(resource("ships")), Scope::of(&resource("ships"), Some("n"))] {
                assert_eq!(plane.count_at(&scope, revision), Ok(listed.len() as u64), "the count at {revision}");
            }
            let expected: Vec<_> = model.history.iter().filter(|told| told.1 > revision).cloned().collect();
            assert_eq!(told(&mut plane.watch(Scope::Plane, revision).unwrap()), expected, "the watch from {revision}");
        }
        if oldest > 1 {
            let expired = plane.list(&Scope::Plane, None, 0, Some(oldest - 1));
            assert!(matches!(expired, Err(ListError::Expired { .. })), "{expired:?}");
        }
    }
}

fn writes(model: &ModelPlane, wanted: &[(usize, bool, bool)], counter: &mut u64) -> Vec<Write> {
    let mut ahead = model.clone();
    let mut writes = Vec::new();
    for (object, delete, honest) in wanted {
        *counter += 1;
        let object = key("ships", "n", &object.to_string());
        let current = ahead.objects.get(&object).map(|(revision, _)| *revision);
        let expected = match (current, honest) {
            (Some(revision), true) => Expected::Revision(revision),
            (Some(_), false) | (None, true) => Expected::Absent,
            (None, false) => Expected::Revision(1),
        };
        // Compressed in part, as a whole, or not.
        let (padding, more) = match *counter % 5 {
            0 => (17 << 10, 1),
            1 => (9 << 10, 9 << 10),
            _ => (700, 1),
        };
        let (padding, more) = ("x".repeat(padding), "y".repeat(more));
        let value = json!({"metadata": {"uid": object.name}, "value": *counter, "padding": padding, "more": more});
        let deletes = *delete && current.is_some();
        let mut made = Vec::new();
        if !deletes && counter.is_multiple_of(3) {
            let later = json!({"metadata": {"uid": object.name, "labels": {"a": "b"}}, "status": *counter});
            let change = Change::PutFields(later.as_object().unwrap().clone());
            made.push(Write { key: object.clone(), change: Change::Put(value), expected });
            made.push(Write { key: object, change, expected: Expected::Present });
        } else {
            let change = if deletes { Change::Delete(value) } else { Change::Put(value) };
            made.push(Write { key: object, change, expected });
        }
        ahead = ahead.written(&made).unwrap_or(ahead);
        writes.append(&mut made);
    }
    writes
}

async fn run(steps: Vec<Step>) {
    let mut disk = Disk::default();
    let mut store = open(&disk);
    store.create_plane(&names()[1], json!({})).await.unwrap();
    let mut model = [ModelPlane::default(), ModelPlane::default()];
    let mut counter = 0;
    let follow = |store: &Store, model: &[ModelPlane; 2]| {
        let plane = store.management();
        (plane.watch(Scope::Plane, plane.revision()).unwrap(), model[0].history.len())
    };
    let mut live = follow(&store, &model);
    for step in steps {
        match step {
            Step::Write(plane, wanted) => {
                let writes = writes(&model[plane], &wanted, &mut counter);
                let expected = model[plane].written(&writes);
                let result = store.plane(&names()[plane]).unwrap().write_many(&writes).await;
                assert_eq!(result.is_ok(), expected.is_some(), "{result:?}");
                model[plane] = expected.unwrap_or(model[plane].clone());
                // Reads now and then only, so that the queue of three overflows between.
                if counter.is_multiple_of(3) {
                    store.compact(Timestamp::UNIX_EPOCH).await.unwrap();
                    if live.0.synced_revision() >= store.management().oldest_revision() {
                        assert_eq!(told(&mut live.0), model[0].history[live.1..]);
                    }
                    live = follow(&store, &model);
                }
            }
            Step::Compact => store.compact(Timestamp::UNIX_EPOCH).await.unwrap(),
            Step::Replace(plane) => {
                store.delete_plane(&names()[plane]).await.unwrap();
                store.create_plane(&names()[plane], json!({})).await.unwrap();
                model[plane] = ModelPlane::default();
            }
            Step::Crash(luck) => {
                store.compact(Timestamp::UNIX_EPOCH).await.unwrap();
                disk.die_after(0);
                drop((live, store));
                disk = disk.after_power_cut(luck);
                store = open(&disk);
                live = follow(&store, &model);
            }
            Step::CrashWithin(after, luck, plane) => {
                store.compact(Timestamp::UNIX_EPOCH).await.unwrap();
                disk.die_after(after);
                let writes = writes(&model[plane], &[(0, false, true), (1, true, true)], &mut counter);
                let after = model[plane].written(&writes).unwrap();
                let result = store.plane(&names()[plane]).unwrap().write_many(&writes).await;
                if let Err(error) = &result {
                    assert!(matches!(error.source, WriteError::Storage(_)), "{error}");
                    assert!(store.health().is_err());
                    let again = store.plane(&names()[plane]).unwrap().write_many(&writes).await;
                    assert!(matches!(again.unwrap_err().source, WriteError::Storage(_)));
                }
                drop((live, store));
                disk = disk.after_power_cut(luck);
                store = open(&disk);
                // Unacknowledged, the transaction is there as a whole or not at all; acknowledged, it is there.
                let reached = store.plane(&names()[plane]).unwrap().revision();
                if result.is_ok() || reached != model[plane].revision() {
                    model[plane] = after;
                }
                live = follow(&store, &model);
            }
        }
        store.compact(Timestamp::UNIX_EPOCH).await.ok();
        check(&store, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_writes_and_crashes_loses_doubles_or_reuses_a_revision(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(steps));
    }
}

/// Without luck: one transaction, and a power cut before each of the disk's writes and syncs that make it.
#[tokio::test]
async fn a_transaction_is_there_as_a_whole_or_not_at_all_wherever_the_disk_dies() {
    let disk = Disk::default();
    let before = {
        let store = open(&disk);
        let mut model = ModelPlane::default();
        for (object, delete) in [(0, false), (1, false), (0, false), (1, true), (2, false)] {
            let writes = writes(&model, &[(object, delete, true)], &mut 0);
            store.management().write_many(&writes).await.unwrap();
            model = model.written(&writes).unwrap();
        }
        model
    };
    let writes = writes(&before, &[(0, true, true), (1, false, true), (2, false, true)], &mut 100);
    let after = before.written(&writes).unwrap();
    let mut boundaries = 0;
    for boundary in 0.. {
        let disk = disk.after_power_cut(0);
        let store = open(&disk);
        disk.die_after(boundary);
        let result = store.management().write_many(&writes).await;
        drop(store);
        let died = result.is_err();
        for luck in [0, 1, u64::MAX, u64::from(boundary).wrapping_mul(0x9e37_79b9_7f4a_7c15)] {
            let store = open(&disk.after_power_cut(luck));
            let is_there = store.management().revision() == after.revision();
            assert!(is_there || died, "an acknowledged transaction is lost");
            let plane = store.management();
            let expected = if is_there { &after } else { &before };
            let found = plane.list(&Scope::Plane, None, 0, None).unwrap();
            let found: BTreeMap<_, _> =
                found.items.into_iter().map(|item| (item.key, (item.revision, text(&item.json).to_owned()))).collect();
            assert_eq!((plane.revision(), &found), (expected.revision(), &expected.objects));
        }
        if !died {
            break;
        }
        boundaries += 1;
    }
    assert!(boundaries > 5, "only {boundaries} writes");
}

/// A disk that is full stays full for a store that has met that; whoever opens it anew, with room, finds what was
/// acknowledged and goes on.
#[tokio::test]
async fn a_full_disk_ends_the_store_and_the_next_one_goes_on() {
    for boundary in 0..4 {
        let disk = Disk::default();
        let store = open(&disk);
        let plane = store.management();
        plane.write(key("ships", "n", "kept"), put("kept", 1), Expected::Absent).await.unwrap();
        assert!(store.health().is_ok() && store.failed().now_or_never().is_none());
        {
            let mut platters = lock(&disk.0);
            (platters.fills, platters.writes_left) = (true, Some(boundary));
        }
        let refused = plane.write(key("ships", "n", "lost"), put("lost", 1), Expected::Absent).await;
        assert!(matches!(refused, Err(WriteError::Storage(_))), "{refused:?}");
        let failure = store.failed().now_or_never().expect("the failure is noted before the writer is answered");
        assert_eq!((failure.cause, store.health()), (FailureCause::Full, Err(failure.message)));
        // Room again: what redb has written before it failed is not known, so this store does not go on.
        lock(&disk.0).writes_left = None;
        let refused = plane.write(key("ships", "n", "lost"), put("lost", 1), Expected::Absent).await;
        assert!(matches!(refused, Err(WriteError::Storage(_))), "{refused:?}");
        drop((plane, store));
        let plane = open(&disk).management();
        assert!(plane.get(&key("ships", "n", "kept")).unwrap().is_some());
        plane.write(key("ships", "n", "next"), put("next", 1), Expected::Absent).await.unwrap();
        assert_eq!(told(&mut plane.watch(Scope::Plane, 1).unwrap()).len() as u64, plane.revision() - 1);
    }
}
