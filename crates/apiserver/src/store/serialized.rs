//! An object serialised once, before its revision is known.
//!
//! The commit knows the revision, the caller's thread has the time to serialise: so the bytes are made with an empty
//! `metadata.resourceVersion` whose place is remembered, and the commit only puts the digits there. A large field is
//! compressed here, too.

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{CompressedField, EventKind, Facts, compression};

/// JSON with a gap for the revision, and what the store indexes.
#[derive(Clone, Debug)]
pub(super) struct SerializedObject {
    json: Vec<u8>,
    /// Where the revision's digits go, between the two quotes that are there already.
    gap: usize,
    /// The largest field, if it was compressed, and where its value is.
    compressed: Option<(CompressedField, Range<usize>)>,
    pub(super) facts: Facts,
}

const METADATA: &str = "metadata";
/// Uids and the number of owners are bounded by the record layout; Kubernetes stays far below.
const LONGEST_UID: usize = 1024;
const MOST_OWNERS: usize = 10_000;

impl SerializedObject {
    /// Serialises an object. Its largest field is compressed if it is large and `may_compress` says so.
    ///
    /// # Errors
    /// A text if the value or its metadata is not a JSON object.
    pub(super) fn new(value: &Value, may_compress: bool) -> Result<Self, String> {
        Self::with_places(value, may_compress, &mut Vec::with_capacity(8))
    }

    /// As [`Self::new`], and tells where the value of each field is, but for the metadata.
    fn with_places<'v>(
        value: &'v Value,
        may_compress: bool,
        places: &mut Vec<(&'v str, Range<usize>)>,
    ) -> Result<Self, String> {
        let fields = value.as_object().ok_or("not a JSON object")?;
        let fields = fields.iter().map(|(name, value)| (name.as_str(), Field::Value(value)));
        let mut object = Self::of_fields(fields, |name, place| places.push((name, place)))?;
        if may_compress
            && let Some((name, place)) = places.iter().max_by_key(|(_, place)| place.len())
            && let Some(block) = compression::compress(&object.json[place.clone()])
        {
            let field = CompressedField { name: (*name).to_owned(), block: block.into() };
            object.compressed = Some((field, place.clone()));
        }
        Ok(object)
    }

    /// Serialises an object, and the same with some fields in a later state. What both have is serialised and compressed once.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn with_later(
        value: &Value,
        later: &Map<String, Value>,
        may_compress: bool,
    ) -> Result<[Self; 2], String> {
        let mut places = Vec::new();
        let object = Self::with_places(value, may_compress, &mut places)?;
        let metadata = value.get(METADATA).map(|metadata| (METADATA, Field::Value(metadata)));
        let kept = places.iter().map(|(name, place)| (*name, Field::Json(&object.json[place.clone()])));
        let mut all: Vec<_> = kept.chain(metadata).filter(|(name, _)| !later.contains_key(*name)).collect();
        all.extend(later.iter().map(|(name, value)| (name.as_str(), Field::Value(value))));
        all.sort_unstable_by_key(|(name, _)| *name);
        let compressed = object.compressed.as_ref().map(|(field, _)| field);
        let compressed = compressed.filter(|field| !later.contains_key(&field.name));
        let mut place_after = None;
        let mut after = Self::of_fields(all.into_iter(), |name, place| {
            if compressed.is_some_and(|field| field.name == name) {
                place_after = Some(place);
            }
        })?;
        after.compressed = compressed.cloned().zip(place_after);
        Ok([object, after])
    }

    /// Serialises an object of fields in sorted order, and tells where the value of each is.
    fn of_fields<'a>(
        fields: impl Iterator<Item = (&'a str, Field<'a>)> + Clone,
        note: impl FnMut(&'a str, Range<usize>),
    ) -> Result<Self, String> {
        let no_metadata = Map::new();
        let metadata = match fields.clone().find(|(name, _)| *name == METADATA) {
            None => &no_metadata,
            Some((_, Field::Value(Value::Object(metadata)))) => metadata,
            Some(_) => return Err("metadata is not a JSON object".to_owned()),
        };
        let facts = facts(metadata)?;
        let mut json = Vec::with_capacity(1024);
        let mut gap = 0;
        let in_metadata = metadata.iter().map(|(name, value)| (name.as_str(), Field::Value(value)));
        // Sorted keys are what the maps have, so the two keys that are written by hand are put in their sorted place.
        let write_metadata = |json: &mut Vec<u8>| {
            let write_revision = |json: &mut Vec<u8>| {
                json.push(b'"');
                gap = json.len();
                json.push(b'"');
                Ok(())
            };
            write_fields(json, in_metadata, ("resourceVersion", write_revision), |_, _| {})
        };
        write_fields(&mut json, fields, (METADATA, write_metadata), note).map_err(|error| error.to_string())?;
        Ok(SerializedObject { json, gap, compressed: None, facts })
    }

    /// The line of a watch event with the JSON at this revision, and the JSON, which is a part of it.
    pub(super) fn at_revision(&self, kind: EventKind, revision: u64) -> (Bytes, Bytes) {
        let (before, after) = self.json.split_at(self.gap);
        event_line(kind, self.json.len() + 20, |line| {
            line.extend_from_slice(before);
            // Writing to a vector cannot fail.
            let _ = write!(line, "{revision}");
            line.extend_from_slice(after);
        })
    }

    /// The field that was compressed, if any, and where its value is in the JSON of this length, which has the revision.
    pub(super) fn compressed(&self, length: usize) -> Option<(&CompressedField, Range<usize>)> {
        let (field, place) = self.compressed.as_ref()?;
        let digits = if self.gap < place.start { length - self.json.len() } else { 0 };
        Some((field, place.start + digits..place.end + digits))
    }

    /// Length in bytes without the revision.
    pub(super) fn len(&self) -> usize {
        self.json.len()
    }
}

/// The line of a watch event around the JSON of about `length` bytes that `write` appends, and that JSON.
pub(super) fn event_line(kind: EventKind, length: usize, write: impl FnOnce(&mut Vec<u8>)) -> (Bytes, Bytes) {
    const END: &[u8] = b"}\n";
    let mut line = Vec::with_capacity(length + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.name().as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    let begin = line.len();
    write(&mut line);
    let end = line.len();
    line.extend_from_slice(END);
    let line = Bytes::from(line);
    let json = line.slice(begin..end);
    (line, json)
}

/// What stands in a field.
#[derive(Clone, Copy)]
enum Field<'a> {
    Value(&'a Value),
    /// Serialised already.
    Json(&'a [u8]),
}

/// Writes a JSON object of fields in sorted order. The one that is named `special` is written by a function, whether it is
/// among them or not. `note` is told where the value of each of the others is.
fn write_fields<'a>(
    json: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a str, Field<'a>)>,
    (special, write_special): (&'a str, impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>),
    mut note: impl FnMut(&'a str, Range<usize>),
) -> serde_json::Result<()> {
    let mut write_special = Some(write_special);
    json.push(b'{');
    let start = json.len();
    let write_name = |json: &mut Vec<u8>, name: &str| {
        if json.len() > start {
            json.push(b',');
        }
        serde_json::to_writer(&mut *json, name)?;
        json.push(b':');
        Ok::<(), serde_json::Error>(())
    };
    for (name, field) in fields {
        if name >= special
            && let Some(write_special) = write_special.take()
        {
            write_name(json, special)?;
            write_special(json)?;
        }
        if name == special {
            continue;
        }
        write_name(json, name)?;
        let begin = json.len();
        match field {
            Field::Value(value) => serde_json::to_writer(&mut *json, value)?,
            Field::Json(bytes) => json.extend_from_slice(bytes),
        }
        note(name, begin..json.len());
    }
    if let Some(write_special) = write_special {
        write_name(json, special)?;
        write_special(json)?;
    }
    json.push(b'}');
    Ok(())
}

fn facts(metadata: &Map<String, Value>) -> Result<Facts, String> {
    let uid = metadata.get("uid").and_then(Value::as_str).unwrap_or_default();
    let mut owners: Vec<String> = metadata
        .get("ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|reference| reference.get("uid").and_then(Value::as_str))
        .map(ToOwned::to_owned)
        .collect();
    owners.sort();
    owners.dedup();
    if owners.len() > MOST_OWNERS {
        return Err(format!("more than {MOST_OWNERS} owners"));
    }
    if owners.iter().map(String::as_str).chain([uid]).any(|uid| uid.len() > LONGEST_UID || uid.contains('\0')) {
        return Err("a uid that is too long or has a NUL byte".to_owned());
    }
    let terminating = metadata.get("deletionTimestamp").is_some_and(|timestamp| !timestamp.is_null());
    Ok(Facts { uid: uid.to_owned(), owners, terminating })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("(resourceVersion|metadata|[a-z\"]{0,4})", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_object_with_its_revision(
            mut fields in proptest::collection::btree_map("[a-z\"]{0,8}", values(), 0..4),
            metadata in proptest::option::of(proptest::collection::btree_map("(resourceVersion|labels|[a-z]{0,5}|z)", values(), 0..4)),
            revision: u64,
        ) {
            fields.remove("metadata");
            let mut object = Value::Object(fields.into_iter().collect());
            if let Some(mut metadata) = metadata {
                metadata.remove("uid");
                object["metadata"] = Value::Object(metadata.into_iter().collect());
            }
            let serialized = SerializedObject::new(&object, true).unwrap();
            object["metadata"]["resourceVersion"] = json!(revision.to_string());
            let (line, json) = serialized.at_revision(EventKind::Modified, revision);
            prop_assert_eq!(std::str::from_utf8(&json).unwrap(), object.to_string());
            let expected = format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n");
            prop_assert_eq!(std::str::from_utf8(&line).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        let refused = |value: Value| SerializedObject::new(&value, true).unwrap_err();
        assert_eq!(refused(json!([1])), "not a JSON object");
        assert_eq!(refused(json!({"metadata": 1})), "metadata is not a JSON object");
    }

    #[test]
    fn facts_are_read_from_the_metadata() {
        let object = json!({"metadata": {"uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"uid": "b"}, {"uid": "a"}, {"uid": "b"}, {}]}});
        let facts = SerializedObject::new(&object, true).unwrap().facts;
        assert_eq!(facts, Facts { uid: "u".into(), owners: vec!["a".into(), "b".into()], terminating: true });
    }
}
