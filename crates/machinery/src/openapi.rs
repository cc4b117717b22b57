//! OpenAPI v3 documents, one per group-version, as kubectl reads them.

use serde_json::Value;
use crate::resource::ResourceType;

/// The document of `/openapi/v3/apis/GROUP/VERSION` (or `/openapi/v3/api/v1`): paths with
/// `x-kubernetes-group-version-kind`, `fieldValidation` parameters, and component schemas.
pub fn group_version_document(group: &str, version: &str, resources: &[&ResourceType]) -> Value { let _ = (group, version, resources); todo!() }
/// The index at `/openapi/v3` from (path, hash) pairs.
pub fn index_document(entries: &[(String, String)]) -> Value { let _ = entries; todo!() }
