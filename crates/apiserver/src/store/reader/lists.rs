//! Lists of a scope, now or at an older revision. Keys are read in their order, versions in that of their revisions, in which
//! they lie in the file.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;

use kogge_machinery::parallel::in_parts;
use redb::AccessGuard;

use super::{ReadError, Snapshot};
use crate::store::damage::damaged;
use crate::store::record::Record;
use crate::store::written_list::{WrittenList, WrittenPart};
use crate::store::{ListPage, ObjectKey, PlaneState, Scope, Shared, StoredObject, key};

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

/// A version so many revisions behind the last one read is looked up; what is between nearer ones is passed over.
const LONGEST_STEP: u64 = 16;

/// A thread of its own is worth it for so many versions.
const VERSIONS_PER_THREAD: usize = 1000;

/// The objects that changed after a revision, by key: the revision of their version at it, or none if they were absent.
type Undo = BTreeMap<Vec<u8>, Option<u64>>;

impl Snapshot {
    /// The versions written at many revisions, in their order.
    fn versions(&self, revisions: &[u64]) -> Result<Vec<StoredObject>, ListError> {
        let parts = self.each_version(revisions, |part: &mut Vec<_>, place, revision, record| {
            let key = key::decode_local(record.key).ok_or_else(|| damaged("an unreadable key"))?;
            part.push((place, self.stored_object(key, revision, record)?));
            Ok::<_, ListError>(())
        })?;
        let mut versions: Vec<Option<StoredObject>> = vec![None; revisions.len()];
        for (place, version) in parts.into_iter().flatten() {
            versions[place] = Some(version);
        }
        let missing = || ListError::from(damaged("an object without its version"));
        versions.into_iter().map(|version| version.ok_or_else(missing)).collect()
    }

    /// Reads the versions written at many revisions, of which it takes one after the other as they lie in the file, many by all
    /// processors. `read` gets the place of each among the revisions, and what its thread has made of those before.
    fn each_version<P: Default + Send, E: From<ListError> + Send>(
        &self,
        revisions: &[u64],
        read: impl Fn(&mut P, usize, u64, &Record<'_>) -> Result<(), E> + Sync,
    ) -> Result<Vec<P>, E> {
        let mut ascending: Vec<(u64, usize)> =
            revisions.iter().enumerate().map(|(place, revision)| (*revision, place)).collect();
        ascending.sort_unstable();
        in_parts(&ascending, VERSIONS_PER_THREAD, |revisions| {
            let mut part = P::default();
            let mut rows = AscendingRows::of(self);
            for &(revision, place) in revisions {
                let row = rows.at(revision).map_err(ListError::from)?;
                let record =
                    Record::decode(row.value()).ok_or_else(|| ListError::from(damaged("an unreadable version")))?;
                read(&mut part, place, revision, &record)?;
            }
            Ok(part)
        })
    }

    /// What has to be undone of a scope.
    fn undo(&self, revision: u64, scope: &Scope) -> Result<Undo, ReadError> {
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

/// Reads versions at ascending revisions. Those that were written one after the other lie side by side: going on to the next
/// row costs a tenth of looking one up.
struct AscendingRows<'s> {
    snapshot: &'s Snapshot,
    rows: Option<redb::Range<'static, (u64, u64), &'static [u8]>>,
    /// The revision of the last row.
    last: u64,
}

impl<'s> AscendingRows<'s> {
    fn of(snapshot: &'s Snapshot) -> Self {
        Self { snapshot, rows: None, last: 0 }
    }

    /// The row of a revision greater than all before.
    fn at(&mut self, revision: u64) -> Result<AccessGuard<'static, &'static [u8]>, ReadError> {
        if self.rows.is_none() || revision - self.last > LONGEST_STEP {
            let plane = self.snapshot.plane;
            self.rows = Some(self.snapshot.tables.records.range((plane, revision)..=(plane, u64::MAX))?);
        }
        for row in self.rows.iter_mut().flatten() {
            let (at, value) = row?;
            self.last = at.value().1;
            match self.last.cmp(&revision) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(value),
                Ordering::Greater => break,
            }
        }
        Err(damaged("an object without its version"))
    }
}

pub(in crate::store) fn write_list<E: From<ListError> + Send>(
    shared: &Shared,
    plane: &PlaneState,
    scope: &Scope,
    at_revision: Option<u64>,
    write: impl Fn(u64, &[u8], &mut Vec<u8>) -> Result<(), E> + Sync,
) -> Result<WrittenList, E> {
    let (snapshot, revision, undo) = at(shared, plane, scope, at_revision)?;
    let mut wanted = Vec::new();
    let collected = collect(&snapshot, scope, None, undo, |_, at| {
        wanted.push(at);
        Ok(true)
    });
    collected.map_err(ListError::from)?;
    let parts = snapshot.each_version(&wanted, |part: &mut WrittenPart, place, revision, record| {
        let json = snapshot.json_in_place(revision, record).map_err(ListError::from)?;
        part.add(place, |bytes| write(revision, &json, bytes))
    })?;
    Ok(WrittenList::new(revision, parts))
}

/// A snapshot, the revision it is to be read at, and what has changed since.
fn at(
    shared: &Shared,
    plane: &PlaneState,
    scope: &Scope,
    revision: Option<u64>,
) -> Result<(Snapshot, u64, Undo), ListError> {
    let snapshot = Snapshot::of(shared, plane)?;
    let revision = revision.unwrap_or(snapshot.revision);
    if revision > snapshot.revision {
        return Err(ListError::Future { requested: revision, current: snapshot.revision });
    }
    if revision < snapshot.oldest {
        return Err(ListError::Expired { requested: revision, oldest: snapshot.oldest });
    }
    let undo = if revision == snapshot.revision { BTreeMap::new() } else { snapshot.undo(revision, scope)? };
    Ok((snapshot, revision, undo))
}

pub(in crate::store) fn list(
    shared: &Shared,
    plane: &PlaneState,
    scope: &Scope,
    start_after: Option<&ObjectKey>,
    limit: usize,
    at_revision: Option<u64>,
) -> Result<ListPage, ListError> {
    let (snapshot, revision, undo) = at(shared, plane, scope, at_revision)?;
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
pub(in crate::store) fn count_after(
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
    undo: Undo,
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
