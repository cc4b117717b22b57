//! The store's promises, on a live store.

use std::io::Write as _;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use kogge_machinery::resource::GroupResource;
use serde_json::json;

use super::*;

mod crash;
mod damage;
mod model;

fn options() -> StoreOptions {
    StoreOptions { clock: Arc::new(|| Timestamp::UNIX_EPOCH), ..StoreOptions::default() }
}

fn resource(name: &str) -> GroupResource {
    GroupResource { group: "example.dev".to_owned(), resource: name.to_owned() }
}

fn key(resource_name: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { resource: resource(resource_name), namespace: namespace.to_owned(), name: name.to_owned() }
}

fn put(name: &str, value: impl Into<Value>) -> Change {
    Change::Put(json!({"metadata": {"name": name}, "value": value.into()}))
}

fn text(json: &Bytes) -> &str {
    std::str::from_utf8(json).unwrap()
}

/// What a watch has ready, without waiting: `KIND revision name json`, and its end.
fn ready(watch: &mut Watch) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(Some(item)) = watch.next().now_or_never() {
        lines.push(match item {
            Ok(event) => format!("{:?} {} {} {}", event.kind, event.revision, event.key.name, text(&event.json)),
            Err(end) => format!("end: {end}"),
        });
    }
    lines
}

#[tokio::test]
async fn a_write_is_refused_unless_it_finds_what_it_expects() {
    let plane = Store::in_memory(options()).unwrap().management();
    let object = key("ships", "a", "x");
    let missing = plane.write(object.clone(), put("x", 0), Expected::Revision(1)).await;
    assert_eq!(missing, Err(WriteError::Missing));
    let created = plane.write(object.clone(), put("x", 1), Expected::Absent).await.unwrap();
    assert_eq!(
        (created.revision, text(&created.json)),
        (2, r#"{"metadata":{"name":"x","resourceVersion":"2"},"value":1}"#)
    );
    assert_eq!(plane.write(object.clone(), put("x", 2), Expected::Absent).await, Err(WriteError::Exists));
    let updated = plane.write(object.clone(), put("x", 3), Expected::Revision(2)).await.unwrap();
    assert_eq!(updated.revision, 3);
    let conflict = plane.write(object.clone(), put("x", 4), Expected::Revision(2)).await;
    assert_eq!(conflict, Err(WriteError::Conflict { expected: 2, current: 3 }));
    assert_eq!(plane.get(&object).unwrap(), Some(updated));
    let last = Change::Delete(json!({"metadata": {"name": "x"}, "value": 5}));
    let deleted = plane.write(object.clone(), last, Expected::Revision(3)).await.unwrap();
    assert_eq!(text(&deleted.json), r#"{"metadata":{"name":"x","resourceVersion":"4"},"value":5}"#);
    assert_eq!((plane.get(&object).unwrap(), plane.revision()), (None, 4));
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing_and_sees_its_own_writes() {
    let plane = Store::in_memory(options()).unwrap().management();
    let write = |name: &str, expected| Write { key: key("ships", "a", name), change: put(name, 0), expected };
    let refused = plane.write_many(&[write("x", Expected::Absent), write("x", Expected::Absent)]).await;
    assert_eq!(refused, Err(TransactionError { index: 1, source: WriteError::Exists }));
    assert_eq!((plane.get(&key("ships", "a", "x")).unwrap(), plane.revision()), (None, 1));
    let refused = plane.write_many(&[write("x", Expected::Present), write("x", Expected::Absent)]).await;
    assert_eq!(refused.unwrap_err().source, WriteError::Missing);
    let written = plane.write_many(&[write("x", Expected::Absent), write("x", Expected::Present)]).await;
    assert_eq!(written.unwrap().iter().map(|object| object.revision).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn lists_are_ordered_paged_and_scoped() {
    let plane = Store::in_memory(options()).unwrap().management();
    for (kind, namespace, name) in
        [("ships", "b", "1"), ("ships", "a", "2"), ("ships", "a", "1"), ("shipsx", "a", "0"), ("ports", "", "p")]
    {
        plane.write(key(kind, namespace, name), put(name, 0), Expected::Absent).await.unwrap();
    }
    let names = |page: &ListPage| page.items.iter().map(|item| item.key.to_string()).collect::<Vec<_>>();
    let ships = Scope::of(&resource("ships"), None);
    let first = plane.list(&ships, None, 2, None).unwrap();
    assert_eq!(names(&first), ["ships.example.dev a/1", "ships.example.dev a/2"]);
    assert_eq!(
        (first.revision, plane.count_after(&ships, &key("ships", "a", "2"), 6), &first.next),
        (6, Ok(1), &Some(key("ships", "a", "2")))
    );
    let second = plane.list(&ships, first.next.as_ref(), 2, Some(first.revision)).unwrap();
    assert_eq!((names(&second), second.next), (vec!["ships.example.dev b/1".to_owned()], None));
    assert_eq!(names(&plane.list(&Scope::of(&resource("ships"), Some("a")), None, 0, None).unwrap()).len(), 2);
    assert_eq!(plane.count(&Scope::Plane), Ok(5));
}

/// A list that is written as one text, each object with its revision.
fn written(plane: &PlaneStore, scope: &Scope, revision: u64) -> String {
    let list = plane.write_list(scope, Some(revision), |revision, json, bytes| {
        write!(bytes, "{revision} {}", std::str::from_utf8(json).unwrap()).unwrap();
        Ok::<_, ListError>(())
    });
    let list = list.unwrap();
    assert_eq!(list.revision, revision);
    String::from_utf8(list.join("[", "]")).unwrap()
}

/// What [`written`] makes of the objects of a list.
fn joined(page: &ListPage) -> String {
    let objects = page.items.iter().map(|item| format!("{} {}", item.revision, text(&item.json)));
    format!("[{}]", objects.collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn long_lists_are_written_in_the_order_of_their_keys() {
    let plane = Store::in_memory(options()).unwrap().management();
    // Neither the order of the keys nor every revision.
    let writes = (0..5000).map(|number: u64| {
        let (kind, name) =
            (["ships", "ports"][usize::from(number.is_multiple_of(7))], (number * 7919 % 5000).to_string());
        Write { key: key(kind, "n", &name), change: put(&name, number), expected: Expected::Absent }
    });
    plane.write_many(&writes.collect::<Vec<_>>()).await.unwrap();
    let scope = Scope::of(&resource("ships"), None);
    for revision in [plane.revision(), 3000] {
        let page = plane.list(&scope, None, 0, Some(revision)).unwrap();
        assert_eq!(written(&plane, &scope, revision), joined(&page));
    }
    let refused = plane.write_list(&scope, None, |revision, _, _| {
        if revision == 2222 { Err(ListError::Future { requested: revision, current: 1 }) } else { Ok(()) }
    });
    assert_eq!(refused.unwrap_err(), ListError::Future { requested: 2222, current: 1 });
}

#[tokio::test]
async fn a_page_continues_at_the_revision_it_began() {
    let plane = Store::in_memory(options()).unwrap().management();
    for name in ["a", "b", "c"] {
        plane.write(key("ships", "n", name), put(name, 1), Expected::Absent).await.unwrap();
    }
    let scope = Scope::of(&resource("ships"), Some("n"));
    let before = plane.list(&scope, None, 0, None).unwrap();
    plane.write(key("ships", "n", "b"), Change::Delete(json!({})), Expected::Revision(3)).await.unwrap();
    plane.write(key("ships", "n", "b"), put("b", 2), Expected::Absent).await.unwrap();
    plane.write(key("ships", "n", "c"), Change::Delete(json!({})), Expected::Revision(4)).await.unwrap();
    plane.write(key("ships", "n", "bb"), put("bb", 1), Expected::Absent).await.unwrap();
    assert_eq!(plane.list(&scope, None, 0, Some(before.revision)).unwrap(), before);
    let future = plane.list(&scope, None, 0, Some(99));
    assert_eq!(future, Err(ListError::Future { requested: 99, current: 8 }));
}

#[tokio::test]
async fn a_watch_replays_the_log_and_goes_on_live() {
    let store = Store::in_memory(options()).unwrap();
    let plane = store.management();
    plane.write(key("ships", "a", "x"), put("x", 1), Expected::Absent).await.unwrap();
    plane.write(key("ports", "a", "p"), put("p", 1), Expected::Absent).await.unwrap();
    plane.write(key("ships", "b", "y"), put("y", 1), Expected::Absent).await.unwrap();
    let mut all = plane.watch(Scope::of(&resource("ships"), None), 1).unwrap();
    let mut some = plane.watch(Scope::of(&resource("ships"), Some("a")), 2).unwrap();
    assert_eq!((all.synced_revision(), some.synced_revision()), (1, 2));
    assert_eq!(ready(&mut some), [""; 0]);
    assert_eq!(some.synced_revision(), 4);
    plane.write(key("ships", "a", "x"), Change::Delete(json!({"metadata": {}})), Expected::Revision(2)).await.unwrap();
    assert_eq!(
        ready(&mut all),
        [
            r#"Added 2 x {"metadata":{"name":"x","resourceVersion":"2"},"value":1}"#,
            r#"Added 4 y {"metadata":{"name":"y","resourceVersion":"4"},"value":1}"#,
            r#"Deleted 5 x {"metadata":{"resourceVersion":"5"}}"#,
        ]
    );
    assert_eq!(ready(&mut some), [r#"Deleted 5 x {"metadata":{"resourceVersion":"5"}}"#]);
    plane.write(key("ports", "a", "p"), put("p", 2), Expected::Revision(3)).await.unwrap();
    assert_eq!((all.synced_revision(), ready(&mut all)), (6, vec![]));
    let future = plane.watch(Scope::Plane, 7).unwrap_err();
    assert_eq!(future, WatchError::Future { requested: 7, current: 6 });
}

#[tokio::test]
async fn a_slow_watch_reads_the_log_again_and_ends_only_when_that_has_forgotten() {
    for (watch_queue, watch_queue_bytes) in [(3, usize::MAX), (usize::MAX, 300)] {
        slow_watch(StoreOptions { watch_queue, watch_queue_bytes, ..options() }).await;
    }
}

async fn slow_watch(options: StoreOptions) {
    let store = Store::in_memory(options).unwrap();
    let plane = store.management();
    let mut slow = plane.watch(Scope::Plane, 1).unwrap();
    for name in 0..1000 {
        plane.write(key("ships", "a", &name.to_string()), put("x", name), Expected::Absent).await.unwrap();
    }
    let names: Vec<String> = ready(&mut slow).iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
    assert_eq!(names, (0..1000).map(|name| name.to_string()).collect::<Vec<_>>());
    for name in 1000..1010 {
        plane.write(key("ships", "a", &name.to_string()), put("x", name), Expected::Absent).await.unwrap();
    }
    store.compact(Timestamp::UNIX_EPOCH + Duration::from_hours(1)).await.unwrap();
    assert_eq!(ready(&mut slow), ["end: revision 1001 is too old, changes are kept since 1011"]);
    assert_eq!(slow.next().await, None);
}

#[tokio::test]
async fn compaction_forgets_by_age_and_by_count_but_keeps_every_object() {
    let milliseconds = Arc::new(AtomicU64::new(0));
    let clock: Clock = {
        let milliseconds = Arc::clone(&milliseconds);
        Arc::new(move || {
            Timestamp::from_millisecond(i64::try_from(milliseconds.load(Ordering::Relaxed)).unwrap()).unwrap()
        })
    };
    let store = Store::in_memory(StoreOptions { clock, history_changes: 100, ..options() }).unwrap();
    let plane = store.management();
    let mut revision = 0;
    for value in 0..10 {
        milliseconds.store(value * 60_000, Ordering::Relaxed);
        let expected = if revision == 0 { Expected::Absent } else { Expected::Revision(revision) };
        revision = plane.write(key("ships", "a", "x"), put("x", value), expected).await.unwrap().revision;
    }
    let now = Timestamp::from_millisecond(9 * 60_000).unwrap();
    store.compact(now).await.unwrap();
    // Five minutes are kept: what was written at minute 5 and later.
    assert_eq!(plane.oldest_revision(), 6);
    let at_oldest = plane.list(&Scope::Plane, None, 0, Some(6)).unwrap();
    assert_eq!(text(&at_oldest.items[0].json), r#"{"metadata":{"name":"x","resourceVersion":"6"},"value":4}"#);
    let expired = plane.list(&Scope::Plane, None, 0, Some(5));
    assert_eq!(expired, Err(ListError::Expired { requested: 5, oldest: 6 }));
    assert_eq!(plane.watch(Scope::Plane, 5).unwrap_err(), WatchError::Expired { requested: 5, oldest: 6 });
    assert_eq!(ready(&mut plane.watch(Scope::Plane, 6).unwrap()).len(), 5);

    for value in 0..400 {
        plane.write(key("ships", "b", &value.to_string()), put("x", value), Expected::Absent).await.unwrap();
    }
    store.compact(now).await.unwrap();
    assert_eq!(plane.oldest_revision(), plane.revision() - 100);
    assert_eq!(plane.list(&Scope::Plane, None, 0, None).unwrap().items.len(), 401);
}

#[tokio::test]
async fn compaction_forgets_by_size() {
    let store = Store::in_memory(StoreOptions { history_bytes: 10_000, ..options() }).unwrap();
    let plane = store.management();
    let large = |byte: char| {
        let text = byte.to_string().repeat(1000);
        put("x", text)
    };
    let mut revision = plane.write(key("ships", "a", "x"), large('a'), Expected::Absent).await.unwrap().revision;
    for _ in 0..8 {
        let written = plane.write(key("ships", "a", "x"), large('b'), Expected::Revision(revision)).await.unwrap();
        revision = written.revision;
    }
    store.compact(Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(plane.oldest_revision(), 1);
    for _ in 0..8 {
        let written = plane.write(key("ships", "a", "x"), large('c'), Expected::Revision(revision)).await.unwrap();
        revision = written.revision;
    }
    store.compact(Timestamp::UNIX_EPOCH).await.unwrap();
    // Each version is a little over a thousand bytes: nine of them fit.
    assert_eq!(plane.revision() - plane.oldest_revision(), 9);
}

#[tokio::test]
async fn planes_share_nothing_and_end_with_their_watches() {
    let store = Store::in_memory(options()).unwrap();
    let name = PlaneName("a/b".to_owned());
    let plane = store.create_plane(&name, json!({"version": "v1.36.0"})).await.unwrap();
    let again = store.create_plane(&name, json!({})).await.unwrap();
    assert_eq!((again.metadata()["version"].as_str(), plane.revision()), (Some("v1.36.0"), 1));
    plane.write(key("ships", "a", "x"), put("x", 1), Expected::Absent).await.unwrap();
    assert_eq!((store.management().get(&key("ships", "a", "x")).unwrap(), store.management().revision()), (None, 1));
    let mut watch = plane.watch(Scope::Plane, 2).unwrap();
    store.delete_plane(&name).await.unwrap();
    assert_eq!(ready(&mut watch), ["end: the plane is gone"]);
    assert_eq!(plane.write(key("ships", "a", "y"), put("y", 1), Expected::Absent).await, Err(WriteError::PlaneGone));
    assert_eq!(plane.get(&key("ships", "a", "x")), Err(ReadError::PlaneGone));
    assert_eq!(store.delete_plane(&name).await, Err(PlaneError::Gone));
    assert_eq!(store.delete_plane(&PlaneName::default()).await, Err(PlaneError::Management));
    let new = store.create_plane(&name, json!({})).await.unwrap();
    assert_eq!((new.count(&Scope::Plane), plane.is_deleted()), (Ok(0), true));
}

#[tokio::test]
async fn the_indices_follow_uids_owners_and_deletion() {
    let plane = Store::in_memory(options()).unwrap().management();
    let object = |owners: &[&str], terminating: bool| {
        let owners: Vec<Value> = owners.iter().map(|uid| json!({"uid": uid})).collect();
        let deletion = terminating.then_some("2026-01-01T00:00:00Z");
        Change::Put(json!({"metadata": {"uid": "u", "ownerReferences": owners, "deletionTimestamp": deletion}}))
    };
    let x = key("ships", "a", "x");
    plane.write(x.clone(), object(&["o", "p"], false), Expected::Absent).await.unwrap();
    assert_eq!(plane.get_by_uid("u").unwrap().map(|found| found.key), Some(x.clone()));
    assert_eq!(
        (plane.dependents("o"), plane.absent_owners()),
        (Ok(vec![x.clone()]), Ok(vec!["o".to_owned(), "p".to_owned()]))
    );
    plane.write(x.clone(), object(&["p"], true), Expected::Revision(2)).await.unwrap();
    assert_eq!(
        (plane.dependents("o"), plane.dependents("p"), plane.terminating()),
        (Ok(vec![]), Ok(vec![x.clone()]), Ok(vec![x.clone()]))
    );
    plane.write(x.clone(), Change::Delete(json!({})), Expected::Revision(3)).await.unwrap();
    assert_eq!((plane.get_by_uid("u"), plane.dependents("p"), plane.terminating()), (Ok(None), Ok(vec![]), Ok(vec![])));
}

#[tokio::test]
async fn a_loop_over_all_planes_sees_the_changes_of_each() {
    let store = Store::in_memory(options()).unwrap();
    let mut changes = store.watch_planes();
    let plane = store.create_plane(&PlaneName("a/b".to_owned()), json!({})).await.unwrap();
    plane.write(key("ships", "a", "x"), put("x", 1), Expected::Absent).await.unwrap();
    store.management().write(key("ships", "a", "y"), put("y", 1), Expected::Absent).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        if let Some(PlaneEvent::Changed(plane, event)) = changes.next().await {
            seen.push(format!("{plane}: {}", event.key));
        }
    }
    assert_eq!(seen, ["a/b: ships.example.dev a/x", ": ships.example.dev a/y"]);
}

/// A loop that looks once at a plane when it is told of a change there, and then not again before the next one.
#[tokio::test]
async fn a_loop_that_is_told_of_a_change_finds_it_in_the_watch_of_its_plane() {
    struct Look {
        watch: Mutex<Watch>,
        seen: Mutex<Vec<String>>,
    }
    impl std::task::Wake for Look {
        fn wake(self: Arc<Self>) {
            lock(&self.seen).extend(ready(&mut lock(&self.watch)));
        }
    }
    let store = Store::in_memory(options()).unwrap();
    let plane = store.management();
    let watch = Mutex::new(plane.watch(Scope::Plane, plane.revision()).unwrap());
    let look = Arc::new(Look { watch, seen: Mutex::default() });
    let mut changes = store.watch_planes();
    assert!(changes.poll_next_unpin(&mut Context::from_waker(&Arc::clone(&look).into())).is_pending());
    plane.write(key("ships", "a", "x"), put("x", 1), Expected::Absent).await.unwrap();
    assert_eq!(lock(&look.seen).len(), 1);
}

#[tokio::test]
async fn malformed_writes_are_refused_before_they_are_queued() {
    let plane = Store::in_memory(options()).unwrap().management();
    let refused = plane.write(key("ships", "a\0b", "x"), put("x", 1), Expected::Absent).await;
    assert!(matches!(refused, Err(WriteError::Malformed(_))), "{refused:?}");
    let refused = plane.write(key("ships", "a", "x"), Change::Put(json!(1)), Expected::Absent).await;
    assert_eq!(refused, Err(WriteError::Malformed("not a JSON object".to_owned())));
    assert_eq!(plane.get(&key("ships", "a\0b", "x")), Ok(None));
}

#[tokio::test]
async fn a_file_is_opened_once_and_by_its_format_and_keeps_its_planes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = Store::open(&path, options()).unwrap();
    assert!(matches!(Store::open(&path, options()), Err(OpenError::InUse)));
    let name = PlaneName("a/b".to_owned());
    let plane = store.create_plane(&name, json!({"version": "v1"})).await.unwrap();
    plane.set_metadata(json!({"version": "v2"})).await.unwrap();
    plane.write(key("ships", "a", "x"), put("x", 1), Expected::Absent).await.unwrap();
    drop((store, plane));
    let plane = Store::open(&path, options()).unwrap().plane(&name).unwrap();
    assert_eq!((plane.metadata()["version"].as_str(), plane.revision()), (Some("v2"), 2));
    assert_eq!(ready(&mut plane.watch(Scope::Plane, 1).unwrap()).len(), 1);

    std::fs::write(directory.path().join("other"), "not a store").unwrap();
    assert!(matches!(Store::open(directory.path().join("other"), options()), Err(OpenError::Open(_))));
}

fn keys(bytes: &[u8]) -> Arc<EncryptionKeys> {
    use base64::Engine as _;
    let lines = bytes.iter().map(|byte| base64::engine::general_purpose::STANDARD.encode([*byte; 32]));
    Arc::new(EncryptionKeys::parse(&lines.collect::<Vec<_>>().join("\n")).unwrap())
}

#[tokio::test]
async fn secrets_are_not_in_the_file_and_need_their_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let secret = |name: &str| ObjectKey {
        resource: GroupResource { group: String::new(), resource: "secrets".to_owned() },
        namespace: "a".to_owned(),
        name: name.to_owned(),
    };
    let content = |value: &str| Change::Put(json!({"data": {"password": value}}));
    let open = |encryption| Store::open(&path, StoreOptions { encryption, ..options() });
    let is_in_file = |text: &str| {
        let file = std::fs::read(&path).unwrap();
        file.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let check = |store: &Store| {
        let plane = store.management();
        let listed = plane.list(&Scope::Plane, None, 0, None).unwrap().items;
        assert_eq!(listed.len(), 3);
        assert!(text(&plane.get(&secret("x")).unwrap().unwrap().json).contains("hunter3"));
        let told = ready(&mut plane.watch(Scope::Plane, 1).unwrap());
        assert!(told[0].contains("hunter2") && told[1].contains("hunter3"), "{told:?}");
    };

    let plane = open(None).unwrap().management();
    plane.write(secret("x"), content("hunter2"), Expected::Absent).await.unwrap();
    plane.write(secret("x"), content("hunter3"), Expected::Revision(2)).await.unwrap();
    plane.write(key("ships", "a", "x"), content("public"), Expected::Absent).await.unwrap();
    drop(plane);
    assert!(is_in_file("hunter2") && is_in_file("hunter3"));

    // What was there is encrypted when the first key is given, the log included.
    let store = open(Some(keys(&[1]))).unwrap();
    store.management().write(secret("y"), content("hunter4"), Expected::Absent).await.unwrap();
    check(&store);
    drop(store);
    assert!(is_in_file("public") && !is_in_file("hunter"));
    for wrong in [None, Some(keys(&[2]))] {
        let error = open(wrong).unwrap_err();
        assert!(matches!(error, OpenError::EncryptionKey { .. }), "{error}");
    }
    let both = open(Some(keys(&[2, 1]))).unwrap();
    check(&both);
    drop(both);
    // With the second key in its place the first is not needed any more.
    let store = open(Some(keys(&[2]))).unwrap();
    check(&store);
    drop(store);
    assert!(matches!(open(Some(keys(&[1]))), Err(OpenError::EncryptionKey { .. })));
    assert!(!is_in_file("hunter"));
}
