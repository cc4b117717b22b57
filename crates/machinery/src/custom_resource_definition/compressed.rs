//! The text that the schemas of a definition are compiled from at first use.

use std::sync::Arc;

use serde_json::Value;

use crate::compact_json::{Reader, member};

/// The JSON of a definition's `spec` as it is stored, compressed: a small part of the memory of the parsed schemas, most of which
/// are never used, and shared by all versions. Cheap to clone.
#[derive(Clone)]
pub struct CompressedDefinition(Arc<[u8]>);

impl std::fmt::Debug for CompressedDefinition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CompressedDefinition")
    }
}

impl CompressedDefinition {
    /// Compresses the `spec` of a definition's compact JSON, as it was serialised by this program. Nothing if there is none.
    pub fn of(definition: &[u8]) -> Self {
        let spec = member(definition, "spec").ok().flatten().unwrap_or_default();
        Self(lz4_flex::compress_prepend_size(spec).into())
    }

    /// What the JSON of a `spec` was compressed to elsewhere: an LZ4 block with the length of the JSON (4 bytes, little endian)
    /// before it.
    pub fn from_block(block: Arc<[u8]>) -> Self {
        Self(block)
    }

    /// `schema.openAPIV3Schema` of a version.
    pub(super) fn schema(&self, version: &str) -> Option<Value> {
        let spec = lz4_flex::decompress_size_prepended(&self.0).ok()?;
        let schema = schema_of_version(&spec, version).ok()??;
        serde_json::from_slice(schema).ok()
    }
}

/// Finds the schema without parsing the others.
fn schema_of_version<'j>(spec: &'j [u8], wanted: &str) -> serde_json::Result<Option<&'j [u8]>> {
    let Some(versions) = member(spec, "versions")? else { return Ok(None) };
    let mut found = None;
    Reader::new(versions).array(|reader| {
        let version = reader.value()?;
        let name = member(version, "name")?.map(serde_json::from_slice::<&str>).transpose()?;
        if found.is_none() && name == Some(wanted) {
            found = member(version, "schema")?;
        }
        Ok(())
    })?;
    found.map_or(Ok(None), |schema| member(schema, "openAPIV3Schema"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_of_each_version_is_found() {
        let definition = json!({"metadata": {"name": "\"versions\""}, "spec": {"group": "a", "versions": [
            {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object"}}, "served": true},
            {"name": "v2", "served": true},
            {"name": "v3", "schema": null},
            {"name": "v4", "schema": {"openAPIV3Schema": {"properties": {"name": {"default": "v2]}"}}}}},
        ]}, "status": {"spec": []}});
        let compressed = CompressedDefinition::of(definition.to_string().as_bytes());
        assert_eq!(compressed.schema("v1"), Some(json!({"type": "object"})));
        assert_eq!(compressed.schema("v4"), Some(json!({"properties": {"name": {"default": "v2]}"}}})));
        assert_eq!(["v2", "v3", "v5", ""].map(|version| compressed.schema(version)), [const { None }; 4]);
        for damaged in
            ["", "[]", "{}", "{\"spec\":[]}", "{\"spec\":{\"versions\":{}}}", "{\"spec\":{\"versions\":[1]}}"]
        {
            assert_eq!(CompressedDefinition::of(damaged.as_bytes()).schema("v1"), None);
        }
        assert_eq!(CompressedDefinition::from_block([1, 2].as_slice().into()).schema("v1"), None);
    }
}
