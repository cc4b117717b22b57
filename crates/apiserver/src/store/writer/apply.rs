//! Checking and putting writes into the tables of an open transaction.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use jiff::Timestamp;
use redb::{ReadableTable, Table, WriteTransaction};

use super::super::compression;
use super::super::encryption::{self, EncryptionKeys};
use super::super::record::{Form, Record};
use super::super::serialized::SerializedObject;
use super::super::tables::{DEPENDENTS, OBJECTS, RECORDS, REVISIONS, TERMINATING, UIDS};
use super::super::{Event, EventKind, Expected, Facts, PlaneState, StoredObject, TransactionError, WriteError, key};
use super::PreparedWrite;

/// The tables a write touches, open in one transaction.
pub(super) struct Tables<'txn> {
    transaction: &'txn WriteTransaction,
    keys: Option<&'txn EncryptionKeys>,
    objects: Table<'txn, &'static [u8], u64>,
    records: Table<'txn, (u64, u64), &'static [u8]>,
    // The indices are opened by the first write that changes them: most updates change none.
    uids: Option<Table<'txn, &'static [u8], &'static [u8]>>,
    dependents: Option<Table<'txn, &'static [u8], ()>>,
    terminating: Option<Table<'txn, &'static [u8], ()>>,
    /// What was put last: the next write may replace it.
    last: Option<Last>,
}

/// A version this transaction has put.
struct Last {
    plane: u64,
    revision: u64,
    json: Bytes,
    facts: Facts,
}

/// The table, opened if it is not open yet.
fn opened<'table, 'txn, K: redb::Key + 'static, V: redb::Value + 'static>(
    table: &'table mut Option<Table<'txn, K, V>>,
    transaction: &'txn WriteTransaction,
    definition: redb::TableDefinition<'_, K, V>,
) -> Result<&'table mut Table<'txn, K, V>, redb::Error> {
    match table {
        Some(table) => Ok(table),
        None => Ok(table.insert(transaction.open_table(definition)?)),
    }
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(
        transaction: &'txn WriteTransaction,
        keys: Option<&'txn EncryptionKeys>,
    ) -> Result<Self, redb::Error> {
        Ok(Tables {
            transaction,
            keys,
            objects: transaction.open_table(OBJECTS)?,
            records: transaction.open_table(RECORDS)?,
            uids: None,
            dependents: None,
            terminating: None,
            last: None,
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
        let last = self.last.take().filter(|last| last.plane == plane && Some(last.revision) == replaced);
        if let Some(last) = last {
            previous = Some(last.json);
            facts_before = last.facts;
        } else if let Some(replaced) = replaced {
            let found = self.records.get((plane, replaced))?;
            let record = found.as_ref().and_then(|found| Record::decode(found.value()));
            let record = record.ok_or_else(|| damaged(plane, replaced))?;
            let json = record.json(self.keys, plane, replaced).ok_or_else(|| damaged(plane, replaced))?;
            previous = Some(Bytes::copy_from_slice(&json));
            facts_before = record.facts;
        }
        let kind = match (write.delete, replaced) {
            (true, _) => EventKind::Deleted,
            (false, None) => EventKind::Added,
            (false, Some(_)) => EventKind::Modified,
        };
        let (line, json) = write.object.at_revision(kind, revision);
        let facts = write.object.facts.clone();
        let (form, content) = match self.keys.filter(|_| encryption::is_encrypted(&write.key)) {
            None => compressed(&write.object, &json),
            Some(keys) => {
                let sealed = keys.seal(&encryption::place(plane, revision, &write.local_key), &json);
                let failed = || redb::Error::Io(std::io::Error::other("a Secret could not be encrypted"));
                (Form::Sealed, Some(sealed.ok_or_else(failed)?))
            }
        };
        let record = Record {
            kind,
            milliseconds: now.as_millisecond(),
            previous: replaced.unwrap_or(0),
            key: &write.local_key,
            facts: facts.clone(),
            form,
            content: content.as_deref().unwrap_or(&json),
        };
        self.records.insert((plane, revision), record.encode().as_slice())?;
        let facts_after = if write.delete { Facts::default() } else { facts.clone() };
        self.index(plane, &write.local_key, &full_key, &facts_before, &facts_after)?;
        self.last = Some(Last { plane, revision, json: json.clone(), facts: facts.clone() });
        let written_at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        let compressed = write.object.compressed(json.len()).map(|(field, _)| field.clone());
        let object = StoredObject { key: write.key.clone(), revision, written_at, json: json.clone(), compressed };
        let previous_facts = facts_before;
        Ok((object, Event { kind, revision, key: write.key.clone(), line, json, previous, facts, previous_facts }))
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
        let transaction = self.transaction;
        if before.uid != after.uid {
            let uids = opened(&mut self.uids, transaction, UIDS)?;
            if !before.uid.is_empty() {
                uids.remove(key::in_plane(plane, before.uid.as_bytes()).as_slice())?;
            }
            if !after.uid.is_empty() {
                uids.insert(key::in_plane(plane, after.uid.as_bytes()).as_slice(), local_key)?;
            }
        }
        if before.owners != after.owners {
            let dependents = opened(&mut self.dependents, transaction, DEPENDENTS)?;
            for owner in before.owners.iter().filter(|owner| !after.owners.contains(owner)) {
                dependents.remove(key::dependent(plane, owner, local_key).as_slice())?;
            }
            for owner in after.owners.iter().filter(|owner| !before.owners.contains(owner)) {
                dependents.insert(key::dependent(plane, owner, local_key).as_slice(), ())?;
            }
        }
        if before.terminating != after.terminating {
            let terminating = opened(&mut self.terminating, transaction, TERMINATING)?;
            if after.terminating {
                terminating.insert(full_key, ())?;
            } else {
                terminating.remove(full_key)?;
            }
        }
        Ok(())
    }

    /// Stores the planes' last revisions: always in the transaction of the changes, so that none is used twice.
    pub(super) fn put_revisions<'a>(
        self,
        planes: impl Iterator<Item = (&'a PlaneState, u64)>,
    ) -> Result<(), redb::Error> {
        let mut revisions = self.transaction.open_table(REVISIONS)?;
        for (plane, revision) in planes {
            revisions.insert(plane.id, (revision, plane.oldest.load(Ordering::Relaxed)))?;
        }
        Ok(())
    }
}

/// The form an object takes that is not encrypted, and what it is in this form where that is not its JSON.
fn compressed(object: &SerializedObject, json: &[u8]) -> (Form, Option<Vec<u8>>) {
    let in_part = object.compressed(json.len());
    if let Some((field, part)) = in_part
        && json.len() - part.len() < compression::LARGE
        && let Some(content) = compression::with_block(json, part, &field.block)
    {
        return (Form::PartlyCompressed, Some(content));
    }
    match compression::compress(json) {
        None => (Form::Plain, None),
        content => (Form::Compressed, content),
    }
}

fn check_one(expected: Expected, current: Option<u64>) -> Result<(), WriteError> {
    match (expected, current) {
        (Expected::Absent, None) | (Expected::Present, Some(_)) => Ok(()),
        (Expected::Absent, Some(_)) => Err(WriteError::Exists),
        (Expected::Revision(_) | Expected::Present, None) => Err(WriteError::Missing),
        (Expected::Revision(expected), Some(current)) if expected == current => Ok(()),
        (Expected::Revision(expected), Some(current)) => Err(WriteError::Conflict { expected, current }),
    }
}

fn damaged(plane: u64, revision: u64) -> redb::Error {
    redb::Error::Corrupted(format!("no readable record of plane {plane} at revision {revision}"))
}
