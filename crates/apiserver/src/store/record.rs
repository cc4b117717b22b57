//! One version of an object as it lies in the records table: what happened, when, to which key, and the JSON.
//!
//! Layout, integers little endian: kind (1), terminating (1), milliseconds since 1970 (8), previous revision (8, 0 if
//! none), key, uid, count of owners (2) and each owner, each text with its length (2) before it; then the JSON.

use std::borrow::Cow;

use super::encryption::{EncryptionKeys, place};
use super::{EventKind, Facts, compression};

/// How the JSON of a version is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    /// All of it is compressed; see [`compression`].
    Compressed,
    /// A part of it is.
    PartlyCompressed,
    /// See [`super::encryption`].
    Sealed,
}

/// A version, borrowed from a page of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) kind: EventKind,
    pub(super) milliseconds: i64,
    /// Revision of the version before this one, 0 if the object was absent.
    pub(super) previous: u64,
    /// The object's key without the plane.
    pub(super) key: &'a [u8],
    pub(super) facts: Facts,
    pub(super) form: Form,
    /// The JSON in this form.
    pub(super) content: &'a [u8],
}

/// In the first byte: the JSON is encrypted.
const SEALED: u8 = 0x80;
/// In the first byte: the JSON is compressed.
const COMPRESSED: u8 = 0x40;
/// In the first byte: a part of the JSON is compressed.
const PARTLY_COMPRESSED: u8 = 0x20;
/// The bits of the first byte that say in which form the JSON is.
const FORM: u8 = SEALED | COMPRESSED | PARTLY_COMPRESSED;

impl<'a> Record<'a> {
    /// The JSON; absent if it was encrypted with none of the keys or for another place, or the file is damaged.
    pub(super) fn json(&self, keys: Option<&EncryptionKeys>, plane: u64, revision: u64) -> Option<Cow<'a, [u8]>> {
        match self.form {
            Form::Plain => Some(Cow::Borrowed(self.content)),
            Form::Compressed => compression::decompress(self.content).map(Cow::Owned),
            Form::PartlyCompressed => compression::without_block(self.content).map(Cow::Owned),
            Form::Sealed => keys?.open(&place(plane, revision, self.key), self.content).map(Cow::Owned),
        }
    }

    /// Length of the JSON in bytes, about.
    pub(super) fn length(&self) -> usize {
        match self.form {
            Form::Plain | Form::Sealed => self.content.len(),
            Form::Compressed => compression::length(self.content).unwrap_or_default(),
            Form::PartlyCompressed => compression::length_without_block(self.content).unwrap_or_default(),
        }
    }

    /// The record as bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let owners: usize = self.facts.owners.iter().map(|owner| owner.len() + 2).sum();
        let length = 24 + self.key.len() + self.facts.uid.len() + owners + self.content.len();
        let mut bytes = Vec::with_capacity(length);
        let kind = match self.kind {
            EventKind::Added => 0,
            EventKind::Modified => 1,
            EventKind::Deleted => 2,
        };
        bytes.push(match self.form {
            Form::Plain => kind,
            Form::Compressed => kind | COMPRESSED,
            Form::PartlyCompressed => kind | PARTLY_COMPRESSED,
            Form::Sealed => kind | SEALED,
        });
        bytes.push(u8::from(self.facts.terminating));
        bytes.extend_from_slice(&self.milliseconds.to_le_bytes());
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        push(&mut bytes, self.key);
        push(&mut bytes, self.facts.uid.as_bytes());
        bytes.extend_from_slice(&short(self.facts.owners.len()).to_le_bytes());
        for owner in &self.facts.owners {
            push(&mut bytes, owner.as_bytes());
        }
        bytes.extend_from_slice(self.content);
        bytes
    }

    /// Reads a record; absent only if the file is damaged.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(18)?;
        let form = match head[0] & FORM {
            0 => Form::Plain,
            COMPRESSED => Form::Compressed,
            PARTLY_COMPRESSED => Form::PartlyCompressed,
            SEALED => Form::Sealed,
            _ => return None,
        };
        let kind = match head[0] & !FORM {
            0 => EventKind::Added,
            1 => EventKind::Modified,
            2 => EventKind::Deleted,
            _ => return None,
        };
        let milliseconds = i64::from_le_bytes(head[2..10].try_into().ok()?);
        let previous = u64::from_le_bytes(head[10..18].try_into().ok()?);
        let (key, rest) = pull(rest)?;
        let (uid, rest) = pull(rest)?;
        let (count, mut rest) = rest.split_at_checked(2)?;
        let mut owners = Vec::new();
        for _ in 0..u16::from_le_bytes(count.try_into().ok()?) {
            let (owner, after) = pull(rest)?;
            owners.push(text(owner)?);
            rest = after;
        }
        let facts = Facts { uid: text(uid)?, owners, terminating: head[1] == 1 };
        Some(Record { kind, milliseconds, previous, key, facts, form, content: rest })
    }
}

/// Lengths are bounded before a record is made (see `key::is_valid` and `serialized`), so nothing is cut here.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&short(part.len()).to_le_bytes());
    bytes.extend_from_slice(part);
}

fn pull(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(2)?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(length.try_into().ok()?)))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_survive_encoding(
            kind in prop_oneof![Just(EventKind::Added), Just(EventKind::Modified), Just(EventKind::Deleted)],
            milliseconds: i64,
            previous: u64,
            key: Vec<u8>,
            uid: String,
            owners: Vec<String>,
            terminating: bool,
            form in prop_oneof![
                Just(Form::Plain),
                Just(Form::Compressed),
                Just(Form::PartlyCompressed),
                Just(Form::Sealed)
            ],
            content: Vec<u8>,
        ) {
            let facts = Facts { uid, owners, terminating };
            let record = Record { kind, milliseconds, previous, key: &key, facts, form, content: &content };
            let bytes = record.encode();
            prop_assert_eq!(Record::decode(&bytes), Some(record));
        }

        #[test]
        fn damaged_records_are_refused_without_panic(bytes: Vec<u8>) {
            let record = Record::decode(&bytes);
            let _ = record.map(|record| record.json(None, 1, 1).map(|json| json.len()));
        }
    }
}
