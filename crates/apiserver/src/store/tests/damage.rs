//! A file in which the disk, or somebody else, has written.

use redb::StorageBackend as _;
use redb::backends::InMemoryBackend;

use super::*;

const PAGE: usize = 4096;

/// A store's file after an orderly end, with trees of several pages.
async fn file() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = Store::open(&path, options()).unwrap();
    let planes = [store.management(), store.create_plane(&PlaneName("a/b".to_owned()), json!({})).await.unwrap()];
    for plane in &planes {
        let write = |number: u32| {
            let name = number.to_string();
            let value = json!({"metadata": {"name": name, "uid": name}, "value": "x".repeat(700)});
            Write { key: key("ships", "n", &name), change: Change::Put(value), expected: Expected::Absent }
        };
        plane.write_many(&(0..30).map(write).collect::<Vec<_>>()).await.unwrap();
    }
    drop((planes, store));
    std::fs::read(path).unwrap()
}

/// Does with a store what can be done with one; errors are welcome, but a store that writes no more says so.
async fn use_all(store: &Store) {
    for plane in store.planes() {
        let _ = plane.list(&Scope::Plane, None, 0, None);
        let _ = plane.write_list(&Scope::Plane, None, |_, _, _| Ok::<_, ListError>(()));
        let _ = (plane.count(&Scope::Plane), plane.terminating(), plane.absent_owners());
        let _ = (plane.get(&key("ships", "n", "7")), plane.get_by_uid("7"), plane.dependents("7"));
        let _ = plane.written_before(&Scope::Plane, Timestamp::MAX);
        if let Ok(mut watch) = plane.watch(Scope::Plane, 1) {
            while let Some(Some(_)) = watch.next().now_or_never() {}
        }
        let _ = plane.write(key("ships", "n", "new"), put("new", 1), Expected::Absent).await;
        let last = plane.write(key("ships", "n", "7"), Change::Delete(json!({})), Expected::Present).await;
        if let Err(WriteError::Storage(_)) = last {
            // The one that meets the damage may be answered before the damage is noted.
            let refused = plane.write(key("ships", "n", "new"), put("new", 2), Expected::Present).await;
            assert!(refused.is_err() && store.health().is_err(), "{last:?} {refused:?}");
        }
    }
    let _ = store.compact(Timestamp::UNIX_EPOCH).await;
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_read_as_far_as_it_goes() {
    let file = file().await;
    let is_used = |begin: &usize| file[*begin..begin + PAGE].iter().any(|byte| *byte != 0);
    let pages: Vec<usize> = (0..file.len()).step_by(PAGE).filter(is_used).collect();
    let mut damages: Vec<(usize, Vec<u8>)> = Vec::new();
    for page in &pages {
        // Another kind of page; other counts; keys and children elsewhere; nothing at all.
        damages.extend([1, 2, 9].map(|kind| (*page, vec![kind])));
        damages.extend([(page + 2, vec![0xff; 2]), (page + 8, vec![0xff; 200]), (*page, vec![0; PAGE])]);
    }
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    damages.extend((0..400).map(|_| {
        let place = pages[random(pages.len())] + random(PAGE - 8);
        (place, (0..=random(8)).map(|_| u8::try_from(random(256)).unwrap()).collect())
    }));
    let mut refused = Vec::new();
    for (place, bytes) in damages {
        let medium = InMemoryBackend::new();
        medium.set_len(file.len() as u64).unwrap();
        medium.write(0, &file).unwrap();
        medium.write(place as u64, &bytes).unwrap();
        match Store::with_backend(medium, options()) {
            Ok(store) => use_all(&store).await,
            Err(error) => refused.push(error.to_string()),
        }
    }
    let told = "failed to open the store: the file is damaged, an earlier copy of it must take its place: ";
    assert!(refused.iter().any(|text| text.starts_with(told)), "{refused:#?}");
}
