//! Tables and partial metadata of objects as they are serialised. Most of an object's bytes are in fields that no cell
//! shows, and its metadata go into the row as they are: so only what cells look at is parsed.

use serde_json::{Map, Value};

use super::{Cells, IncludeObject, Shown, empty_table};
use crate::compact_json::{Reader, damaged, member};
use crate::resource::ResourceType;

/// The rows of a table, from objects serialised as JSON, to JSON: the bytes of [`super::table`].
#[derive(Debug)]
pub struct SerializedRows<'a> {
    cells: Cells<'a>,
    shown: Shown,
    include: IncludeObject,
    version: &'a str,
    now: i64,
}

impl<'a> SerializedRows<'a> {
    /// What a table ends with after its rows: keys are sorted, so the rows come last.
    pub const TAIL: &'static str = "]}";

    /// What tables of a kind have in common, see [`super::table`].
    pub fn new(resource: &'a ResourceType, include: IncludeObject, version: &'a str, now: i64) -> Self {
        let cells = Cells::of(resource);
        Self { shown: cells.shown(), cells, include, version, now }
    }

    /// What a table begins with before its rows, which have commas between them.
    pub fn head(&self, list_metadata: Value) -> String {
        let mut head = empty_table(&self.cells, list_metadata, true, self.version).to_string();
        head.truncate(head.len() - Self::TAIL.len());
        head
    }

    /// Appends the row of an object.
    ///
    /// # Errors
    /// If it is no JSON object, or its metadata are none; a part of a row may have been appended then.
    pub fn write(&self, object: &[u8], bytes: &mut Vec<u8>) -> serde_json::Result<()> {
        let (metadata, shown) = self.read(object)?;
        bytes.extend_from_slice(b"{\"cells\":");
        serde_json::to_writer(&mut *bytes, &self.cells.row(&shown, self.now))?;
        bytes.extend_from_slice(b",\"object\":");
        match self.include {
            IncludeObject::Metadata => write_partial(metadata, self.version, bytes),
            IncludeObject::Object => bytes.extend_from_slice(object),
            IncludeObject::None => bytes.extend_from_slice(b"null"),
        }
        bytes.push(b'}');
        Ok(())
    }

    /// The metadata of an object as they stand in it, and the object with what cells look at.
    fn read<'o>(&self, object: &'o [u8]) -> serde_json::Result<(Option<&'o [u8]>, Value)> {
        let mut metadata = None;
        let mut shown = Map::new();
        let mut reader = Reader::new(object);
        reader.object(|name, reader| {
            let begin = *reader;
            let is_metadata = name.is("metadata");
            if is_metadata && !reader.is_at_object() {
                return Err(damaged());
            }
            if let Some(value) = self.shown.member(name.0).read(reader)? {
                shown.insert(name.text()?.into_owned(), value);
            }
            if is_metadata {
                metadata = Some(reader.since(begin));
            }
            Ok(())
        })?;
        reader.end()?;
        Ok((metadata, shown.into()))
    }
}

/// Appends the `PartialObjectMetadata` of an object serialised as JSON: the bytes of [`super::partial_object_metadata`].
///
/// # Errors
/// If the JSON is damaged.
pub fn write_partial_object_metadata(object: &[u8], version: &str, bytes: &mut Vec<u8>) -> serde_json::Result<()> {
    let metadata = member(object, "metadata")?;
    write_partial(metadata, version, bytes);
    Ok(())
}

fn write_partial(metadata: Option<&[u8]>, version: &str, bytes: &mut Vec<u8>) {
    for part in ["{\"apiVersion\":\"meta.k8s.io/", version, "\",\"kind\":\"PartialObjectMetadata\",\"metadata\":"] {
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(metadata.unwrap_or(b"{}"));
    bytes.push(b'}');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object_meta::test_resource;
    use crate::resource::PrinterColumn;
    use crate::table::{partial_object_metadata, table};

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
        let mut counting = plain.clone();
        counting.counted = &["spec"];
        counting.cells = Some(|object, _| vec![object["spec"].as_object().map_or(0, Map::len).into()]);
        for resource in [plain, with_columns, anywhere, computed, counting] {
            for include in [IncludeObject::Metadata, IncludeObject::Object, IncludeObject::None] {
                let metadata = json!({"resourceVersion": "7"});
                let expected = table(&resource, &objects, metadata.clone(), include, true, "v1", 1_767_225_600);
                let rows = SerializedRows::new(&resource, include, "v1", 1_767_225_600);
                let written = serialized.iter().map(|object| {
                    let mut bytes = Vec::new();
                    rows.write(object, &mut bytes).unwrap();
                    String::from_utf8(bytes).unwrap()
                });
                let written = written.collect::<Vec<_>>().join(",");
                assert_eq!(rows.head(metadata) + &written + SerializedRows::TAIL, expected.to_string());
            }
        }
        for (object, serialized) in objects.iter().zip(&serialized) {
            let mut written = Vec::new();
            write_partial_object_metadata(serialized, "v1beta1", &mut written).unwrap();
            let expected = partial_object_metadata(object, "v1beta1").to_string();
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
        let resource = test_resource("example.com", "Widget", true);
        let rows = SerializedRows::new(&resource, IncludeObject::Metadata, "v1", 0);
        for damaged in ["[]", "", "{", "{\"a\"", "{\"metadata\":[]}", "{\"metadata\":{\"name\":\"a}}"] {
            assert!(rows.write(damaged.as_bytes(), &mut Vec::new()).is_err(), "{damaged}");
        }
    }
}
