//! Tables of objects as they are serialised. Most of an object's bytes are in fields that no cell shows, and its metadata
//! go into the row as they are: so only what cells look at is parsed.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Cells, IncludeObject, table};
use crate::resource::ResourceType;

/// How a table without rows ends: keys are sorted, so the rows come last.
const END: &[u8] = b"]}";

/// As [`table`], from objects serialised as JSON, to JSON: the same bytes. `with_metadata` is whether rows embed
/// metadata; rows with whole objects are not made here.
///
/// # Errors
/// If an object is no JSON object.
pub fn table_of_serialized<'o>(
    resource: &ResourceType,
    objects: impl Iterator<Item = &'o [u8]>,
    list_metadata: Value,
    with_metadata: bool,
    version: &str,
    now: i64,
) -> serde_json::Result<Vec<u8>> {
    let cells = Cells::of(resource);
    let fields = cells.fields();
    let empty = table(resource, &[], list_metadata, IncludeObject::None, true, version, now);
    let mut bytes = serde_json::to_vec(&empty)?;
    bytes.truncate(bytes.len() - END.len());
    let head = format!("{{\"apiVersion\":\"meta.k8s.io/{version}\",\"kind\":\"PartialObjectMetadata\",\"metadata\":");
    for (index, object) in objects.enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        let mut deserializer = serde_json::Deserializer::from_slice(object);
        let parts = deserializer.deserialize_map(ObjectParts { fields: fields.as_deref() })?;
        bytes.extend_from_slice(b"{\"cells\":");
        serde_json::to_writer(&mut bytes, &cells.row(&parts.shown, now))?;
        bytes.extend_from_slice(b",\"object\":");
        if with_metadata {
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(parts.metadata.map_or("{}", RawValue::get).as_bytes());
            bytes.push(b'}');
        } else {
            bytes.extend_from_slice(b"null");
        }
        bytes.push(b'}');
    }
    bytes.extend_from_slice(END);
    Ok(bytes)
}

/// What is read of an object.
struct Parts<'de> {
    metadata: Option<&'de RawValue>,
    /// The object with what cells may look at.
    shown: Value,
}

struct ObjectParts<'f> {
    /// The fields to parse beside `metadata`; absent for all.
    fields: Option<&'f [&'f str]>,
}

impl<'de> Visitor<'de> for ObjectParts<'_> {
    type Value = Parts<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
        let mut metadata = None;
        let mut shown = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "metadata" {
                let raw: &'de RawValue = map.next_value()?;
                let parsed = ShownMetadata.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
                shown.insert(key, parsed.map_err(serde::de::Error::custom)?);
                metadata = Some(raw);
            } else if self.fields.is_none_or(|fields| fields.contains(&key.as_str())) {
                shown.insert(key, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Parts { metadata, shown: Value::Object(shown) })
    }
}

/// Parses metadata without ownership, which is long and which no cell shows.
struct ShownMetadata;

impl<'de> DeserializeSeed<'de> for ShownMetadata {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ShownMetadata {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut shown = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "managedFields" {
                map.next_value::<IgnoredAny>()?;
            } else {
                shown.insert(key, map.next_value()?);
            }
        }
        Ok(Value::Object(shown))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object_meta::test_resource;
    use crate::resource::PrinterColumn;

    #[test]
    fn a_table_of_serialized_objects_is_the_table_of_the_objects() {
        let column = |name: &str, json_path: &str| PrinterColumn {
            name: name.to_owned(),
            column_type: "string".to_owned(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            json_path: json_path.to_owned(),
        };
        let objects = [
            json!({
                "apiVersion": "example.com/v1",
                "kind": "Widget",
                "metadata": {
                    "name": "a\"b",
                    "creationTimestamp": "2025-12-31T23:00:00Z",
                    "annotations": {"x/y": "ü"},
                    "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
                },
                "spec": {"size": "large", "text": "long"},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }),
            json!({"metadata": {"name": "b"}, "spec": {"size": 5}, "status": null}),
        ];
        let serialized: Vec<Vec<u8>> = objects.iter().map(|object| serde_json::to_vec(object).unwrap()).collect();
        let plain = test_resource("example.com", "Widget", true);
        let mut with_columns = plain.clone();
        with_columns.columns = vec![
            column("Size", ".spec.size"),
            column("Ready", ".status.conditions[?(@.type==\"Ready\")].status"),
            column("Note", ".metadata.annotations.x/y"),
        ];
        let mut anywhere = with_columns.clone();
        anywhere.columns.push(column("Deep", "..size"));
        let mut computed = plain.clone();
        computed.cells = Some(|object, now| vec![format!("{} {now}", object["spec"]["text"]).into()]);
        for resource in [plain, with_columns, anywhere, computed] {
            for (include, with_metadata) in [(IncludeObject::Metadata, true), (IncludeObject::None, false)] {
                let metadata = json!({"resourceVersion": "7"});
                let expected = table(&resource, &objects, metadata.clone(), include, true, "v1", 1_767_225_600);
                let list = serialized.iter().map(Vec::as_slice);
                let found = table_of_serialized(&resource, list, metadata, with_metadata, "v1", 1_767_225_600).unwrap();
                assert_eq!(String::from_utf8(found).unwrap(), expected.to_string());
            }
        }
        let resource = test_resource("example.com", "Widget", true);
        assert!(table_of_serialized(&resource, [&b"[]"[..]].into_iter(), json!({}), true, "v1", 0).is_err());
    }
}
