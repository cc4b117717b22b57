//! Reading from redb's snapshots: single objects and the indices.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use redb::{ReadOnlyTable, ReadableDatabase};

use super::damage::damaged;
use super::encryption::EncryptionKeys;
use super::record::Record;
use super::tables::{DEPENDENTS, OBJECTS, RECORDS, REVISIONS, TERMINATING, UIDS};
use super::{Facts, ObjectKey, PlaneState, Scope, Shared, StoredObject, key, lock_read, lock_write};

mod lists;

pub use self::lists::ListError;
pub(super) use self::lists::{count_after, list, write_list};

/// Why nothing could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The plane was deleted.
    #[error("the plane is gone")]
    PlaneGone,
    /// The disk failed, or the file is damaged.
    #[error("failed to read the store: {0}")]
    Storage(String),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        ReadError::Storage(error.into().to_string())
    }
}

/// The tables of one snapshot of the file. Readers share the newest: to begin a transaction and to open its tables costs
/// more than to read an object.
pub(super) struct SnapshotTables {
    revisions: ReadOnlyTable<u64, (u64, u64)>,
    objects: ReadOnlyTable<&'static [u8], u64>,
    records: ReadOnlyTable<(u64, u64), &'static [u8]>,
    uids: ReadOnlyTable<&'static [u8], &'static [u8]>,
    dependents: ReadOnlyTable<&'static [u8], ()>,
    terminating: ReadOnlyTable<&'static [u8], ()>,
    keys: Option<Arc<EncryptionKeys>>,
}

/// The newest snapshot, if somebody has read since the last commit.
#[derive(Default)]
pub(super) struct NewestSnapshot {
    /// Counts the commits.
    generation: u64,
    tables: Option<Arc<SnapshotTables>>,
}

impl SnapshotTables {
    fn newest(shared: &Shared) -> Result<Arc<Self>, ReadError> {
        let generation = {
            let newest = lock_read(&shared.newest);
            if let Some(tables) = &newest.tables {
                return Ok(Arc::clone(tables));
            }
            newest.generation
        };
        let transaction = shared.database.begin_read()?;
        let tables = Arc::new(SnapshotTables {
            revisions: transaction.open_table(REVISIONS)?,
            objects: transaction.open_table(OBJECTS)?,
            records: transaction.open_table(RECORDS)?,
            uids: transaction.open_table(UIDS)?,
            dependents: transaction.open_table(DEPENDENTS)?,
            terminating: transaction.open_table(TERMINATING)?,
            keys: shared.options.encryption.clone(),
        });
        let mut newest = lock_write(&shared.newest);
        // A commit in between has made this one old: good for who asked before it, but not for others.
        if newest.generation == generation {
            newest.tables = Some(Arc::clone(&tables));
        }
        Ok(tables)
    }
}

/// After each commit, before anybody learns of it: later readers see it, and the pages of older snapshots become free.
pub(super) fn forget_snapshot(shared: &Shared) {
    let mut newest = lock_write(&shared.newest);
    newest.generation += 1;
    let old = newest.tables.take();
    drop(newest);
    drop(old);
}

/// One snapshot of a plane.
pub(super) struct Snapshot {
    tables: Arc<SnapshotTables>,
    plane: u64,
    pub(super) revision: u64,
    pub(super) oldest: u64,
}

impl Snapshot {
    pub(super) fn of(shared: &Shared, plane: &PlaneState) -> Result<Self, ReadError> {
        let tables = SnapshotTables::newest(shared)?;
        let bounds = tables.revisions.get(plane.id)?.map(|row| row.value());
        let (revision, oldest) = bounds.ok_or(ReadError::PlaneGone)?;
        Ok(Snapshot { tables, plane: plane.id, revision, oldest })
    }

    /// Counts the keys of a scope.
    pub(super) fn count(&self, scope: &Scope) -> Result<u64, ReadError> {
        let (first, last) = key::bounds(self.plane, scope);
        let mut count = 0;
        for row in self.tables.objects.range(first.as_slice()..last.as_slice())? {
            row?;
            count += 1;
        }
        Ok(count)
    }

    /// The version written at a revision.
    fn version(&self, key: ObjectKey, revision: u64) -> Result<StoredObject, ReadError> {
        let found = self.tables.records.get((self.plane, revision))?;
        let record = found.as_ref().and_then(|found| Record::decode(found.value()));
        let record = record.ok_or_else(|| damaged("an object without its version"))?;
        self.stored_object(key, revision, &record)
    }

    fn stored_object(&self, key: ObjectKey, revision: u64, record: &Record<'_>) -> Result<StoredObject, ReadError> {
        let written_at = Timestamp::from_millisecond(record.milliseconds).unwrap_or_default();
        Ok(StoredObject { key, revision, written_at, json: self.json(revision, record)?, compressed: None })
    }

    /// The JSON of a record of this plane.
    pub(super) fn json(&self, revision: u64, record: &Record<'_>) -> Result<Bytes, ReadError> {
        match self.json_in_place(revision, record)? {
            Cow::Borrowed(json) => Ok(Bytes::copy_from_slice(json)),
            Cow::Owned(json) => Ok(json.into()),
        }
    }

    /// As [`Self::json`], not copied where it lies in the file as it is.
    fn json_in_place<'r>(&self, revision: u64, record: &Record<'r>) -> Result<Cow<'r, [u8]>, ReadError> {
        let json = record.json(self.tables.keys.as_deref(), self.plane, revision);
        json.ok_or_else(|| damaged("a secret that none of the keys opens"))
    }

    /// The JSON and facts written at a revision.
    pub(super) fn state(&self, revision: u64) -> Result<(Bytes, Facts), ReadError> {
        let found = self.tables.records.get((self.plane, revision))?;
        let record = found.as_ref().and_then(|found| Record::decode(found.value()));
        let record = record.ok_or_else(|| damaged("a change without its version"))?;
        Ok((self.json(revision, &record)?, record.facts))
    }

    /// Calls `take` with each kept change from `first` to `last` until it returns false.
    pub(super) fn changes(
        &self,
        first: u64,
        last: u64,
        mut take: impl FnMut(u64, &Record<'_>) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        for row in self.tables.records.range((self.plane, first)..=(self.plane, last))? {
            let (at, value) = row?;
            let record = Record::decode(value.value()).ok_or_else(|| damaged("an unreadable change"))?;
            if !take(at.value().1, &record)? {
                break;
            }
        }
        Ok(())
    }
}

pub(super) fn get(shared: &Shared, plane: &PlaneState, object: &ObjectKey) -> Result<Option<StoredObject>, ReadError> {
    if !key::is_valid(object) {
        return Ok(None);
    }
    let snapshot = Snapshot::of(shared, plane)?;
    let revision = snapshot.tables.objects.get(key::encode(plane.id, object).as_slice())?.map(|row| row.value());
    revision.map(|revision| snapshot.version(object.clone(), revision)).transpose()
}

pub(super) fn get_by_uid(shared: &Shared, plane: &PlaneState, uid: &str) -> Result<Option<StoredObject>, ReadError> {
    let snapshot = Snapshot::of(shared, plane)?;
    let table = &snapshot.tables.uids;
    let Some(local_key) = table.get(key::in_plane(plane.id, uid.as_bytes()).as_slice())? else { return Ok(None) };
    let object = key::decode_local(local_key.value()).ok_or_else(|| damaged("an unreadable key"))?;
    let revision = snapshot.tables.objects.get(key::encode(plane.id, &object).as_slice())?.map(|row| row.value());
    revision.map(|revision| snapshot.version(object, revision)).transpose()
}

pub(super) fn dependents(shared: &Shared, plane: &PlaneState, owner: &str) -> Result<Vec<ObjectKey>, ReadError> {
    if owner.contains('\0') {
        return Ok(Vec::new());
    }
    let snapshot = Snapshot::of(shared, plane)?;
    let table = &snapshot.tables.dependents;
    let first = key::dependents_of(plane.id, owner);
    let last = key::end_of_prefix(&first);
    let mut dependents = Vec::new();
    for row in table.range(first.as_slice()..last.as_slice())? {
        let (row, _) = row?;
        let object = key::decode_local(&row.value()[first.len()..]);
        dependents.push(object.ok_or_else(|| damaged("an unreadable key"))?);
    }
    Ok(dependents)
}

pub(super) fn absent_owners(shared: &Shared, plane: &PlaneState) -> Result<Vec<String>, ReadError> {
    let snapshot = Snapshot::of(shared, plane)?;
    let (dependents, uids) = (&snapshot.tables.dependents, &snapshot.tables.uids);
    let (first, last) = key::bounds(plane.id, &Scope::Plane);
    let mut absent = Vec::new();
    let mut seen = Vec::new();
    for row in dependents.range(first.as_slice()..last.as_slice())? {
        let (row, _) = row?;
        let owner = row.value().split_at(8).1.split(|byte| *byte == 0).next().unwrap_or_default();
        if seen != owner {
            seen = owner.to_vec();
            if uids.get(key::in_plane(plane.id, owner).as_slice())?.is_none() {
                absent.push(String::from_utf8_lossy(owner).into_owned());
            }
        }
    }
    Ok(absent)
}

pub(super) fn terminating(shared: &Shared, plane: &PlaneState) -> Result<Vec<ObjectKey>, ReadError> {
    let snapshot = Snapshot::of(shared, plane)?;
    let table = &snapshot.tables.terminating;
    let (first, last) = key::bounds(plane.id, &Scope::Plane);
    let mut keys = Vec::new();
    for row in table.range(first.as_slice()..last.as_slice())? {
        let (row, _) = row?;
        keys.push(key::decode_local(&row.value()[8..]).ok_or_else(|| damaged("an unreadable key"))?);
    }
    Ok(keys)
}

pub(super) fn written_before(
    shared: &Shared,
    plane: &PlaneState,
    scope: &Scope,
    time: Timestamp,
) -> Result<Vec<StoredObject>, ReadError> {
    let snapshot = Snapshot::of(shared, plane)?;
    let (first, last) = key::bounds(plane.id, scope);
    let mut objects = Vec::new();
    for row in snapshot.tables.objects.range(first.as_slice()..last.as_slice())? {
        let (full_key, at) = row?;
        let found = snapshot.tables.records.get((plane.id, at.value()))?;
        let record = found.as_ref().and_then(|found| Record::decode(found.value()));
        if record.is_some_and(|record| record.milliseconds < time.as_millisecond()) {
            let object = key::decode_local(full_key.value().split_at(8).1);
            objects.push(snapshot.version(object.ok_or_else(|| damaged("an unreadable key"))?, at.value())?);
        }
    }
    Ok(objects)
}
