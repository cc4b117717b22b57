//! Tables of objects as they are serialised. Most of an object's bytes are in fields that no cell shows, and its metadata
//! go into the row as they are: so only what cells look at is parsed, and all else is passed over.

use serde_json::{Map, Value};

use super::{Cells, IncludeObject, table};
use crate::compact_json::Reader;
use crate::parallel::in_parts;
use crate::resource::ResourceType;

/// How a table without rows ends: keys are sorted, so the rows come last.
const END: &[u8] = b"]}";

/// A thread of its own is worth it for so many rows.
const ROWS_PER_THREAD: usize = 1000;

/// As [`table`], from objects serialised as JSON, to JSON: the same bytes. `with_metadata` is whether rows embed
/// metadata; rows with whole objects are not made here. The rows of long tables are made by all processors.
///
/// # Errors
/// If an object is no JSON object.
pub fn table_of_serialized<O: AsRef<[u8]> + Sync>(
    resource: &ResourceType,
    objects: &[O],
    list_metadata: Value,
    with_metadata: bool,
    version: &str,
    now: i64,
) -> serde_json::Result<Vec<u8>> {
    let cells = Cells::of(resource);
    let empty = table(resource, &[], list_metadata, IncludeObject::None, true, version, now);
    let mut head = serde_json::to_vec(&empty)?;
    head.truncate(head.len() - END.len());
    let rows = Rows { cells: &cells, fields: cells.fields(), with_metadata, version, now };
    let mut parts = in_parts(objects, ROWS_PER_THREAD, |part, objects| {
        // The first goes on with the head, so that it need not be copied.
        let mut written = if part == 0 { head.clone() } else { Vec::new() };
        rows.write(objects, &mut written).map(|()| written)
    })?;
    let others = parts.split_off(1);
    let mut bytes = parts.pop().unwrap_or_default();
    for other in others {
        bytes.push(b',');
        bytes.extend_from_slice(&other);
    }
    bytes.extend_from_slice(END);
    Ok(bytes)
}

/// What all rows of a table have in common.
struct Rows<'a> {
    cells: &'a Cells<'a>,
    /// See [`Cells::fields`].
    fields: Option<Vec<&'a str>>,
    with_metadata: bool,
    version: &'a str,
    now: i64,
}

impl Rows<'_> {
    /// Writes rows with commas between them.
    fn write<O: AsRef<[u8]>>(&self, objects: &[O], bytes: &mut Vec<u8>) -> serde_json::Result<()> {
        let version = self.version;
        let head =
            format!("{{\"apiVersion\":\"meta.k8s.io/{version}\",\"kind\":\"PartialObjectMetadata\",\"metadata\":");
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                bytes.push(b',');
            }
            let (metadata, shown) = self.read(object.as_ref())?;
            bytes.extend_from_slice(b"{\"cells\":");
            serde_json::to_writer(&mut *bytes, &self.cells.row(&shown, self.now))?;
            bytes.extend_from_slice(b",\"object\":");
            if self.with_metadata {
                bytes.extend_from_slice(head.as_bytes());
                bytes.extend_from_slice(metadata.unwrap_or(b"{}"));
                bytes.push(b'}');
            } else {
                bytes.extend_from_slice(b"null");
            }
            bytes.push(b'}');
        }
        Ok(())
    }

    /// The metadata of an object as they stand in it, and the object with what cells may look at.
    fn read<'o>(&self, object: &'o [u8]) -> serde_json::Result<(Option<&'o [u8]>, Value)> {
        let mut metadata = None;
        let mut shown = Map::new();
        let mut reader = Reader::new(object);
        reader.object(|name, reader| {
            let read = if name.is("metadata") {
                let begin = *reader;
                let read = self.metadata(reader)?;
                metadata = Some(reader.since(begin));
                read
            } else if self.cells.resource.counted.iter().any(|counted| name.is(counted)) && reader.is_at_object() {
                let mut counted = Map::new();
                reader.object(|name, reader| {
                    reader.value()?;
                    counted.insert(name.text()?.into_owned(), Value::Null);
                    Ok(())
                })?;
                counted.into()
            } else {
                let value = reader.value()?;
                if self.fields.as_ref().is_some_and(|fields| !fields.iter().any(|field| name.is(field))) {
                    return Ok(());
                }
                serde_json::from_slice(value)?
            };
            shown.insert(name.text()?.into_owned(), read);
            Ok(())
        })?;
        reader.end()?;
        Ok((metadata, shown.into()))
    }

    /// The metadata cells may look at.
    fn metadata(&self, reader: &mut Reader<'_>) -> serde_json::Result<Value> {
        let mut looked_at = Map::new();
        reader.object(|name, reader| {
            let value = reader.value()?;
            if self.cells.reads_metadata(name.0) {
                looked_at.insert(name.text()?.into_owned(), serde_json::from_slice(value)?);
            }
            Ok(())
        })?;
        Ok(looked_at.into())
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
        let mut counting = plain.clone();
        counting.counted = &["spec"];
        counting.cells = Some(|object, _| vec![object["spec"].as_object().map_or(0, Map::len).into()]);
        for resource in [plain, with_columns, anywhere, computed, counting] {
            for (include, with_metadata) in [(IncludeObject::Metadata, true), (IncludeObject::None, false)] {
                let metadata = json!({"resourceVersion": "7"});
                let expected = table(&resource, &objects, metadata.clone(), include, true, "v1", 1_767_225_600);
                let found = |objects: &[Vec<u8>]| {
                    let bytes =
                        table_of_serialized(&resource, objects, metadata.clone(), with_metadata, "v1", 1_767_225_600);
                    String::from_utf8(bytes.unwrap()).unwrap()
                };
                assert_eq!(found(&serialized), expected.to_string());
                let (begin, rows) =
                    expected.to_string().rsplit_once("\"rows\":[").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
                let rows = rows.strip_suffix("]}").unwrap();
                let long = found(&vec![serialized.clone(); ROWS_PER_THREAD + 7].concat());
                assert_eq!(long, format!("{begin}\"rows\":[{}]}}", vec![rows; ROWS_PER_THREAD + 7].join(",")));
            }
        }
        let resource = test_resource("example.com", "Widget", true);
        for count in [1, 3 * ROWS_PER_THREAD] {
            let mut objects = vec![b"{}".to_vec(); count];
            for damaged in ["[]", "", "{", "{\"a\"", "{\"metadata\":[]}", "{\"metadata\":{\"name\":\"a}}"] {
                objects[count / 2] = damaged.as_bytes().to_vec();
                assert!(table_of_serialized(&resource, &objects, json!({}), true, "v1", 0).is_err(), "{damaged}");
            }
        }
    }
}
