//! One version of an object as it lies in the records table: what happened, when, to which key, and the JSON.
//!
//! Layout, integers little endian: kind (1), terminating (1), milliseconds since 1970 (8), previous revision (8, 0 if
//! none), key, uid, count of owners (2) and each owner, each text with its length (2) before it; then the JSON.

use super::{EventKind, Facts};

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
    /// Whether `json` is encrypted.
    pub(super) sealed: bool,
    pub(super) json: &'a [u8],
}

/// In the first byte: the JSON is encrypted.
const SEALED: u8 = 0x80;

impl Record<'_> {
    /// The record as bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let owners: usize = self.facts.owners.iter().map(|owner| owner.len() + 2).sum();
        let length = 24 + self.key.len() + self.facts.uid.len() + owners + self.json.len();
        let mut bytes = Vec::with_capacity(length);
        let kind = match self.kind {
            EventKind::Added => 0,
            EventKind::Modified => 1,
            EventKind::Deleted => 2,
        };
        bytes.push(if self.sealed { kind | SEALED } else { kind });
        bytes.push(u8::from(self.facts.terminating));
        bytes.extend_from_slice(&self.milliseconds.to_le_bytes());
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        push(&mut bytes, self.key);
        push(&mut bytes, self.facts.uid.as_bytes());
        bytes.extend_from_slice(&short(self.facts.owners.len()).to_le_bytes());
        for owner in &self.facts.owners {
            push(&mut bytes, owner.as_bytes());
        }
        bytes.extend_from_slice(self.json);
        bytes
    }

    /// Reads a record; absent only if the file is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
        let (head, rest) = bytes.split_at_checked(18)?;
        let kind = match head[0] & !SEALED {
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
        Some(Record { kind, milliseconds, previous, key, facts, sealed: head[0] & SEALED != 0, json: rest })
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
            sealed: bool,
            json: Vec<u8>,
        ) {
            let facts = Facts { uid, owners, terminating };
            let record = Record { kind, milliseconds, previous, key: &key, facts, sealed, json: &json };
            let bytes = record.encode();
            prop_assert_eq!(Record::decode(&bytes), Some(record));
        }

        #[test]
        fn damaged_records_are_refused_without_panic(bytes: Vec<u8>) {
            let _ = Record::decode(&bytes);
        }
    }
}
