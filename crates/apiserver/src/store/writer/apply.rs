//! Checking and putting writes into the tables of an open transaction.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use jiff::Timestamp;
use redb::{ReadableTable, Table, WriteTransaction};

use super::super::record::Record;
use super::super::tables::{DEPENDENTS, OBJECTS, RECORDS, REVISIONS, TERMINATING, UIDS};
use super::super::{Event, EventKind, Expected, Facts, PlaneState, StoredObject, TransactionError, WriteError, key};
use super::PreparedWrite;

/// The tables a write touches, open in one transaction.
pub(super) struct Tables<'txn> {
    objects: Table<'txn, &'static [u8], u64>,
    records: Table<'txn, (u64, u64), &'static [u8]>,
    revisions: Table<'txn, u64, (u64, u64)>,
    uids: Table<'txn, &'static [u8], &'static [u8]>,
    dependents: Table<'txn, &'static [u8], ()>,
    terminating: Table<'txn, &'static [u8], ()>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Tables {
            objects: transaction.open_table(OBJECTS)?,
            records: transaction.open_table(RECORDS)?,
            revisions: transaction.open_table(REVISIONS)?,
            uids: transaction.open_table(UIDS)?,
            dependents: transaction.open_table(DEPENDENTS)?,
            terminating: transaction.open_table(TERMINATING)?,
        })
    }

    /// Whether all expectations hold, each on the state the earlier writes leave; `revision` is the plane's last.
    pub(super) fn check(
        &self,
        plane: u64,
        revision: u64,
        writes: &[PreparedWrite],
    ) -> Result<Result<(), TransactionError>, redb::Error> {
        let mut earlier: HashMap<&[u8], Option<u64>> = HashMap::new();
        for (index, write) in writes.iter().enumerate() {
            let current = match earlier.get(write.local_key.as_slice()) {
                Some(current) => *current,
                None => self.objects.get(key::in_plane(plane, &write.local_key).as_slice())?.map(|found| found.value()),
            };
            if let Err(source) = check_one(write.expected, current) {
                return Ok(Err(TransactionError { index, source }));
            }
            if writes.len() > 1 {
                let written = revision + 1 + index as u64;
                earlier.insert(&write.local_key, (!write.delete).then_some(written));
            }
        }
        Ok(Ok(()))
    }

    /// Puts a write whose expectation holds.
    pub(super) fn put(
        &mut self,
        plane: u64,
        revision: u64,
        write: &PreparedWrite,
        now: Timestamp,
    ) -> Result<(StoredObject, Event), redb::Error> {
        let full_key = key::in_plane(plane, &write.local_key);
        let replaced = if write.delete {
            self.objects.remove(full_key.as_slice())?.map(|found| found.value())
        } else {
            self.objects.insert(full_key.as_slice(), revision)?.map(|found| found.value())
        };
        let mut previous = None;
        let mut facts_before = Facts::default();
        if let Some(replaced) = replaced {
            let found = self.records.get((plane, replaced))?;
            let record = found.as_ref().and_then(|found| Record::decode(found.value()));
            let record = record.ok_or_else(|| damaged(plane, replaced))?;
            previous = Some(Bytes::copy_from_slice(record.json));
            facts_before = record.facts;
        }
        let kind = match (write.delete, replaced) {
            (true, _) => EventKind::Deleted,
            (false, None) => EventKind::Added,
            (false, Some(_)) => EventKind::Modified,
        };
        let json = write.object.at_revision(revision);
        let facts = write.object.facts.clone();
        let record = Record {
            kind,
            milliseconds: now.as_millisecond(),
            previous: replaced.unwrap_or(0),
            key: &write.local_key,
            facts: facts.clone(),
            json: &json,
        };
        self.records.insert((plane, revision), record.encode().as_slice())?;
        let facts_after = if write.delete { Facts::default() } else { facts.clone() };
        self.index(plane, &write.local_key, &full_key, &facts_before, &facts_after)?;
        let json = Bytes::from(json);
        let written_at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        let object = StoredObject { key: write.key.clone(), revision, written_at, json: json.clone() };
        let previous_facts = facts_before;
        Ok((object, Event { kind, revision, key: write.key.clone(), json, previous, facts, previous_facts }))
    }

    /// Brings the indices from what was known of the object to what is.
    fn index(
        &mut self,
        plane: u64,
        local_key: &[u8],
        full_key: &[u8],
        before: &Facts,
        after: &Facts,
    ) -> Result<(), redb::Error> {
        if before.uid != after.uid {
            if !before.uid.is_empty() {
                self.uids.remove(key::in_plane(plane, before.uid.as_bytes()).as_slice())?;
            }
            if !after.uid.is_empty() {
                self.uids.insert(key::in_plane(plane, after.uid.as_bytes()).as_slice(), local_key)?;
            }
        }
        if before.owners != after.owners {
            for owner in before.owners.iter().filter(|owner| !after.owners.contains(owner)) {
                self.dependents.remove(key::dependent(plane, owner, local_key).as_slice())?;
            }
            for owner in after.owners.iter().filter(|owner| !before.owners.contains(owner)) {
                self.dependents.insert(key::dependent(plane, owner, local_key).as_slice(), ())?;
            }
        }
        if before.terminating != after.terminating {
            if after.terminating {
                self.terminating.insert(full_key, ())?;
            } else {
                self.terminating.remove(full_key)?;
            }
        }
        Ok(())
    }

    /// Stores the plane's last revision: always in the transaction of the change, so that none is used twice.
    pub(super) fn put_revision(&mut self, plane: &PlaneState, revision: u64) -> Result<(), redb::Error> {
        self.revisions.insert(plane.id, (revision, plane.oldest.load(Ordering::Relaxed)))?;
        Ok(())
    }
}

fn check_one(expected: Expected, current: Option<u64>) -> Result<(), WriteError> {
    match (expected, current) {
        (Expected::Absent, None) => Ok(()),
        (Expected::Absent, Some(_)) => Err(WriteError::Exists),
        (Expected::Revision(_), None) => Err(WriteError::Missing),
        (Expected::Revision(expected), Some(current)) if expected == current => Ok(()),
        (Expected::Revision(expected), Some(current)) => Err(WriteError::Conflict { expected, current }),
    }
}

fn damaged(plane: u64, revision: u64) -> redb::Error {
    redb::Error::Corrupted(format!("no readable record of plane {plane} at revision {revision}"))
}
