//! Reading from redb's snapshots: single objects, lists now or at an older revision, and the indices.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use kogge_machinery::parallel::in_parts;
use redb::{ReadOnlyTable, ReadableDatabase};

use super::encryption::EncryptionKeys;
use super::record::Record;
use super::tables::{DEPENDENTS, OBJECTS, RECORDS, REVISIONS, TERMINATING, UIDS};
use super::{Facts, ListPage, ObjectKey, PlaneState, Scope, Shared, StoredObject, key, lock_read, lock_write};

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

/// Why a list was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The revision is older than the kept history.
    #[error("revision {requested} is too old, changes are kept since {oldest}")]
    Expired {
        /// What was asked for.
        requested: u64,
        /// The oldest that can be listed.
        oldest: u64,
    },
    /// The revision is not reached yet.
    #[error("revision {requested} is not reached yet, the last one is {current}")]
    Future {
        /// What was asked for.
        requested: u64,
        /// The plane's last revision.
        current: u64,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        ReadError::Storage(error.into().to_string())
    }
}

fn damaged(what: &str) -> ReadError {
    ReadError::Storage(format!("the file is damaged: {what}"))
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

/// A version so many revisions behind the last one read is looked up; what is between nearer ones is passed over.
const LONGEST_STEP: u64 = 16;

/// A thread of its own is worth it for so many versions.
const VERSIONS_PER_THREAD: usize = 1000;

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

    /// The versions written at many revisions, in their order; those of many by all processors.
    fn versions(&self, revisions: &[u64]) -> Result<Vec<StoredObject>, ReadError> {
        let mut by_revision: Vec<(u64, usize)> =
            revisions.iter().enumerate().map(|(index, revision)| (*revision, index)).collect();
        by_revision.sort_unstable();
        let parts = in_parts(&by_revision, VERSIONS_PER_THREAD, |_, part| self.ascending_versions(part))?;
        let mut versions: Vec<Option<StoredObject>> = vec![None; revisions.len()];
        for (index, version) in parts.into_iter().flatten() {
            versions[index] = Some(version);
        }
        versions.into_iter().map(|version| version.ok_or_else(|| damaged("an object without its version"))).collect()
    }

    /// The versions written at ascending revisions, each with what came with its revision. Those that were written one after
    /// the other lie side by side: going on to the next row costs a tenth of looking one up.
    fn ascending_versions(&self, revisions: &[(u64, usize)]) -> Result<Vec<(usize, StoredObject)>, ReadError> {
        let mut versions = Vec::with_capacity(revisions.len());
        let mut rows = None;
        let mut place = 0;
        for &(revision, index) in revisions {
            if rows.is_none() || revision - place > LONGEST_STEP {
                rows = Some(self.tables.records.range((self.plane, revision)..=(self.plane, u64::MAX))?);
            }
            for row in rows.iter_mut().flatten() {
                let (at, value) = row?;
                place = at.value().1;
                if place < revision {
                    continue;
                }
                let record = Record::decode(value.value()).filter(|_| place == revision);
                let record = record.ok_or_else(|| damaged("an object without its version"))?;
                let key = key::decode_local(record.key).ok_or_else(|| damaged("an unreadable key"))?;
                versions.push((index, self.stored_object(key, revision, &record)?));
                break;
            }
        }
        Ok(versions)
    }

    fn stored_object(&self, key: ObjectKey, revision: u64, record: &Record<'_>) -> Result<StoredObject, ReadError> {
        let written_at = Timestamp::from_millisecond(record.milliseconds).unwrap_or_default();
        Ok(StoredObject { key, revision, written_at, json: self.json(revision, record)?, compressed: None })
    }

    /// The JSON of a record of this plane.
    pub(super) fn json(&self, revision: u64, record: &Record<'_>) -> Result<Bytes, ReadError> {
        let json = record.json(self.tables.keys.as_deref(), self.plane, revision);
        match json.ok_or_else(|| damaged("a secret that none of the keys opens"))? {
            Cow::Borrowed(json) => Ok(Bytes::copy_from_slice(json)),
            Cow::Owned(json) => Ok(json.into()),
        }
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

    /// For the objects within the bounds that changed after `revision`: the revision of their version at `revision`,
    /// or none if they were absent.
    fn undo(&self, revision: u64, scope: &Scope) -> Result<BTreeMap<Vec<u8>, Option<u64>>, ReadError> {
        let mut undo = BTreeMap::new();
        self.changes(revision + 1, self.revision, |_, record| {
            if key::is_within(record.key, scope) {
                let full_key = key::in_plane(self.plane, record.key);
                undo.entry(full_key).or_insert((record.previous != 0).then_some(record.previous));
            }
            Ok(true)
        })?;
        Ok(undo)
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

pub(super) fn list(
    shared: &Shared,
    plane: &PlaneState,
    scope: &Scope,
    start_after: Option<&ObjectKey>,
    limit: usize,
    at_revision: Option<u64>,
) -> Result<ListPage, ListError> {
    let snapshot = Snapshot::of(shared, plane)?;
    let revision = at_revision.unwrap_or(snapshot.revision);
    if revision > snapshot.revision {
        return Err(ListError::Future { requested: revision, current: snapshot.revision });
    }
    if revision < snapshot.oldest {
        return Err(ListError::Expired { requested: revision, oldest: snapshot.oldest });
    }
    let undo = if revision == snapshot.revision { BTreeMap::new() } else { snapshot.undo(revision, scope)? };
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut wanted = Vec::new();
    let mut more = false;
    collect(&snapshot, scope, start_after, undo, |_, at| {
        more = wanted.len() == limit;
        if !more {
            wanted.push(at);
        }
        Ok(!more)
    })?;
    let items = snapshot.versions(&wanted)?;
    let next = items.last().filter(|_| more).map(|last| last.key.clone());
    Ok(ListPage { revision, items, next })
}

/// How many objects of the scope follow a key, as they were at a revision. Counts them one by one.
pub(super) fn count_after(
    shared: &Shared,
    plane: &PlaneState,
    scope: &Scope,
    start_after: &ObjectKey,
    revision: u64,
) -> Result<u64, ReadError> {
    let snapshot = Snapshot::of(shared, plane)?;
    let is_known = (snapshot.oldest..snapshot.revision).contains(&revision);
    let undo = if is_known { snapshot.undo(revision, scope)? } else { BTreeMap::new() };
    let mut count = 0;
    collect(&snapshot, scope, Some(start_after), undo, |_, _| {
        count += 1;
        Ok(true)
    })?;
    Ok(count)
}

/// Calls `take` with each key and revision of the scope in order, after undoing the later changes, until it says no.
fn collect(
    snapshot: &Snapshot,
    scope: &Scope,
    start_after: Option<&ObjectKey>,
    undo: BTreeMap<Vec<u8>, Option<u64>>,
    mut take: impl FnMut(&[u8], u64) -> Result<bool, ReadError>,
) -> Result<(), ReadError> {
    let (mut first, last) = key::bounds(snapshot.plane, scope);
    if let Some(start_after) = start_after {
        let mut after = key::encode(snapshot.plane, start_after);
        // The smallest key that is greater.
        after.push(0);
        first = first.max(after);
    }
    if first >= last {
        return Ok(());
    }
    let mut undo = undo.into_iter().skip_while(|(full_key, _)| *full_key < first).peekable();
    for row in snapshot.tables.objects.range(first.as_slice()..last.as_slice())? {
        let (full_key, at) = row?;
        while let Some((gone, at)) = next_before(&mut undo, full_key.value()) {
            if !take_version(&gone, at, &mut take)? {
                return Ok(());
            }
        }
        let go_on = match undo.next_if(|(changed, _)| changed.as_slice() == full_key.value()) {
            Some((changed, at)) => take_version(&changed, at, &mut take)?,
            None => take(full_key.value(), at.value())?,
        };
        if !go_on {
            return Ok(());
        }
    }
    for (gone, at) in undo {
        if !take_version(&gone, at, &mut take)? {
            break;
        }
    }
    Ok(())
}

fn next_before(
    undo: &mut Peekable<impl Iterator<Item = (Vec<u8>, Option<u64>)>>,
    full_key: &[u8],
) -> Option<(Vec<u8>, Option<u64>)> {
    undo.next_if(|(changed, _)| changed.as_slice() < full_key)
}

fn take_version(
    full_key: &[u8],
    at: Option<u64>,
    take: &mut impl FnMut(&[u8], u64) -> Result<bool, ReadError>,
) -> Result<bool, ReadError> {
    at.map_or(Ok(true), |at| take(full_key, at))
}
