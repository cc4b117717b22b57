//! The tables of the file, and making or reading them at start.

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::{Value, json};

use super::counts::Counts;
use super::encryption::{self, EncryptionKeys};
use super::record::{Form, Record};
use super::watch::Hub;
use super::{OpenError, PlaneName, PlaneState};

/// The file's layout; raise it when the layout changes.
const FORMAT: u64 = 4;
/// Earlier layouts that need no change to be read: in the first no value is encrypted, in the first two none is compressed, in the
/// third none in part.
const EARLIER_FORMATS: RangeInclusive<u64> = 1..=3;

/// `format`, `next plane`, `encryption key`: the id of the key that encrypts.
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
/// Plane name to JSON `{id, metadata}`.
const PLANES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("planes");
/// Plane id to (last revision, oldest kept revision).
pub(super) const REVISIONS: TableDefinition<'static, u64, (u64, u64)> = TableDefinition::new("revisions");
/// Object key to the revision of its current version.
pub(super) const OBJECTS: TableDefinition<'static, &[u8], u64> = TableDefinition::new("objects");
/// (plane id, revision) to the version written at it: the objects' values and the change log.
pub(super) const RECORDS: TableDefinition<'static, (u64, u64), &[u8]> = TableDefinition::new("records");
/// Plane id and uid to the object key (without plane).
pub(super) const UIDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("uids");
/// Plane id, owner's uid and the dependent's key.
pub(super) const DEPENDENTS: TableDefinition<'static, &[u8], ()> = TableDefinition::new("dependents");
/// Object keys with a deletion timestamp.
pub(super) const TERMINATING: TableDefinition<'static, &[u8], ()> = TableDefinition::new("terminating");

/// The first revision of a plane. 0 is reserved, as it means "any" in the Kubernetes API.
const FIRST_REVISION: u64 = 1;

fn failed(error: impl std::fmt::Display) -> OpenError {
    OpenError::Open(error.to_string())
}

/// Reads the planes of the file, making it a store if it is empty. A store is only read: what is not written need not
/// be synced.
pub(super) fn initialise(database: &Database, keys: Option<&EncryptionKeys>) -> Result<Vec<PlaneState>, OpenError> {
    let found = match database.begin_read().map_err(failed)?.open_table(META) {
        Ok(meta) => meta.get("format").map_err(failed)?.map(|value| value.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(failed(error)),
    };
    match found {
        None => make(database).map_err(failed)?,
        Some(FORMAT) => {}
        Some(found) if EARLIER_FORMATS.contains(&found) => {}
        Some(found) => return Err(OpenError::Format { found, expected: FORMAT }),
    }
    check_key(database, keys)?;
    if found.is_some_and(|found| EARLIER_FORMATS.contains(&found)) {
        note(database, &[("format", FORMAT)])?;
    }
    let transaction = database.begin_read().map_err(failed)?;
    let planes = transaction.open_table(PLANES).map_err(failed)?;
    let revisions = transaction.open_table(REVISIONS).map_err(failed)?;
    let mut states = Vec::new();
    for row in planes.iter().map_err(failed)? {
        let (name, document) = row.map_err(failed)?;
        let mut document: Value = serde_json::from_slice(document.value()).map_err(failed)?;
        let id = document["id"].as_u64().ok_or_else(|| failed("a plane without id"))?;
        let (revision, oldest) =
            revisions.get(id).map_err(failed)?.ok_or_else(|| failed("a plane without revision"))?.value();
        let name = PlaneName(name.value().to_owned());
        states.push(plane_state(id, name, document["metadata"].take(), revision, oldest));
    }
    Ok(states)
}

/// The id of the key the file's Secrets are encrypted with; none if they are not, or it is not a store yet.
fn key_id(database: &Database) -> Result<Option<u64>, OpenError> {
    match database.begin_read().map_err(failed)?.open_table(META) {
        Ok(meta) => Ok(meta.get("encryption key").map_err(failed)?.map(|value| value.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Refuses a store whose key is not there, and notes the key that encrypts from now on.
fn check_key(database: &Database, keys: Option<&EncryptionKeys>) -> Result<(), OpenError> {
    let known = key_id(database)?;
    if let Some(id) = known
        && !keys.is_some_and(|keys| keys.has(id))
    {
        return Err(OpenError::EncryptionKey { id });
    }
    let Some(keys) = keys.filter(|keys| known != Some(keys.id())) else { return Ok(()) };
    note(database, &[("format", FORMAT), ("encryption key", keys.id())])
}

/// Writes facts about the file.
fn note(database: &Database, facts: &[(&str, u64)]) -> Result<(), OpenError> {
    let note = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            for (name, value) in facts {
                meta.insert(*name, *value)?;
            }
        }
        Ok(transaction.commit()?)
    };
    note().map_err(failed)
}

/// Whether a store has Secrets that the first key has not encrypted.
pub(super) fn must_be_encrypted(database: &Database, keys: &EncryptionKeys) -> Result<bool, OpenError> {
    let known = key_id(database)?;
    if known.is_some_and(|id| !keys.has(id)) {
        // Opening it will say so.
        return Ok(false);
    }
    let is_store =
        !matches!(database.begin_read().map_err(failed)?.open_table(META), Err(redb::TableError::TableDoesNotExist(_)));
    Ok(is_store && known != Some(keys.id()))
}

/// Copies a store into an empty file, with its Secrets encrypted with the first key. In a file of its own, as what was
/// written unencrypted, or with the key of before, would stay in the free pages of the old one.
pub(super) fn copy_encrypted(from: &Database, to: &Database, keys: &EncryptionKeys) -> Result<(), OpenError> {
    let copy = || -> Result<(), redb::Error> {
        let source = from.begin_read()?;
        let target = to.begin_write()?;
        copy_table(&source, &target, META)?;
        copy_table(&source, &target, PLANES)?;
        copy_table(&source, &target, REVISIONS)?;
        copy_table(&source, &target, OBJECTS)?;
        copy_table(&source, &target, UIDS)?;
        copy_table(&source, &target, DEPENDENTS)?;
        copy_table(&source, &target, TERMINATING)?;
        {
            let mut records = target.open_table(RECORDS)?;
            for row in source.open_table(RECORDS)?.iter()? {
                let (at, value) = row?;
                let (plane, revision) = at.value();
                let unreadable = || redb::Error::Corrupted(format!("record of plane {plane} at revision {revision}"));
                let mut record = Record::decode(value.value()).ok_or_else(unreadable)?;
                if !encryption::is_encrypted_key(record.key) {
                    records.insert(at.value(), value.value())?;
                    continue;
                }
                let json = record.json(Some(keys), plane, revision).ok_or_else(unreadable)?;
                let sealed = keys.seal(&encryption::place(plane, revision, record.key), &json);
                let sealed = sealed.ok_or_else(unreadable)?;
                record.form = Form::Sealed;
                record.content = &sealed;
                records.insert(at.value(), record.encode().as_slice())?;
            }
            let mut meta = target.open_table(META)?;
            meta.insert("format", FORMAT)?;
            meta.insert("encryption key", keys.id())?;
        }
        Ok(target.commit()?)
    };
    copy().map_err(failed)
}

fn copy_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    source: &redb::ReadTransaction,
    target: &redb::WriteTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<(), redb::Error> {
    let mut table = target.open_table(definition)?;
    for row in source.open_table(definition)?.iter()? {
        let (key, value) = row?;
        table.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// Makes all tables and the management plane, in one transaction.
fn make(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("next plane", 0)?;
    }
    transaction.open_table(OBJECTS)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(UIDS)?;
    transaction.open_table(DEPENDENTS)?;
    transaction.open_table(TERMINATING)?;
    insert_plane(&transaction, &PlaneName::default(), &json!({}))?;
    transaction.commit()?;
    Ok(())
}

fn plane_state(id: u64, name: PlaneName, metadata: Value, revision: u64, oldest: u64) -> PlaneState {
    PlaneState {
        id,
        name,
        revision: AtomicU64::new(revision),
        oldest: AtomicU64::new(oldest),
        opened: revision,
        history_bytes: AtomicU64::new(0),
        deleted: AtomicBool::new(false),
        metadata: Mutex::new(metadata.into()),
        hub: Mutex::new(Hub::new(revision)),
        counts: Mutex::new(Counts::new(revision)),
    }
}

/// Stores a new plane; the caller knows that the name is free.
pub(super) fn insert_plane(
    transaction: &redb::WriteTransaction,
    name: &PlaneName,
    metadata: &Value,
) -> Result<PlaneState, redb::Error> {
    let mut meta = transaction.open_table(META)?;
    // Ids are never used again, so that a plane made under the name of a deleted one shares nothing with it.
    let id = meta.get("next plane")?.map_or(0, |value| value.value());
    meta.insert("next plane", id + 1)?;
    transaction.open_table(REVISIONS)?.insert(id, (FIRST_REVISION, FIRST_REVISION))?;
    put_metadata(transaction, id, name, metadata)?;
    Ok(plane_state(id, name.clone(), metadata.clone(), FIRST_REVISION, FIRST_REVISION))
}

/// Stores a plane's metadata.
pub(super) fn put_metadata(
    transaction: &redb::WriteTransaction,
    id: u64,
    name: &PlaneName,
    metadata: &Value,
) -> Result<(), redb::Error> {
    let document = json!({"id": id, "metadata": metadata}).to_string();
    transaction.open_table(PLANES)?.insert(name.0.as_str(), document.as_bytes())?;
    Ok(())
}

/// Removes a plane and everything in it.
pub(super) fn remove_plane(transaction: &redb::WriteTransaction, id: u64, name: &PlaneName) -> Result<(), redb::Error> {
    transaction.open_table(PLANES)?.remove(name.0.as_str())?;
    transaction.open_table(REVISIONS)?.remove(id)?;
    let (first, last) = (id.to_be_bytes(), (id + 1).to_be_bytes());
    let range = first.as_slice()..last.as_slice();
    transaction.open_table(OBJECTS)?.retain_in(range.clone(), |_, _| false)?;
    transaction.open_table(UIDS)?.retain_in(range.clone(), |_, _| false)?;
    transaction.open_table(DEPENDENTS)?.retain_in(range.clone(), |_, ()| false)?;
    transaction.open_table(TERMINATING)?.retain_in(range, |_, ()| false)?;
    transaction.open_table(RECORDS)?.retain_in((id, 0)..(id + 1, 0), |_, _| false)?;
    Ok(())
}
