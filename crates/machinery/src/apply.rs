//! Server-side apply and field ownership (`metadata.managedFields`).

use serde_json::Value;
use crate::{schema::SchemaNode, status_error::ApiError};

/// Who writes, when, and where.
#[derive(Clone, Debug)]
pub struct FieldManager<'a> {
    /// Manager name (`fieldManager`, or the User-Agent up to `/`).
    pub name: &'a str,
    /// `apiVersion` of the write.
    pub api_version: &'a str,
    /// Empty, or `status`, `scale`.
    pub subresource: &'a str,
    /// RFC 3339, seconds.
    pub now: &'a str,
}

/// Applies `applied` onto `live` (None creates). Returns the merged object with managedFields.
/// # Errors
/// 400 for managedFields in the body, 409 with one cause a conflicting field unless `force`.
pub fn apply(live: Option<&Value>, applied: &Value, schema: Option<&SchemaNode>, manager: &FieldManager<'_>, force: bool) -> Result<Value, ApiError> { let _ = (live, applied, schema, manager, force); todo!() }
/// Records ownership of an Update (create, put, patch): returns `new` with managedFields computed from `live` and `new`.
pub fn track_update(live: Option<&Value>, new: Value, schema: Option<&SchemaNode>, manager: &FieldManager<'_>) -> Value { let _ = (live, new, schema, manager); todo!() }
/// Whether two objects differ only in `managedFields[].time` (such a write is no write).
pub fn equal_except_managed_time(left: &Value, right: &Value) -> bool { let _ = (left, right); todo!() }
