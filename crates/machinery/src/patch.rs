//! JSON patch, JSON merge patch and strategic merge patch.

use serde_json::Value;
use crate::{schema::SchemaNode, status_error::ApiError};

/// RFC 6902 with Kubernetes' deviations (`test` null on a missing path succeeds; more than 10,000 operations is 413).
pub fn json_patch(object: &Value, patch: &Value) -> Result<Value, ApiError> { let _ = (object, patch); todo!() }
/// RFC 7396.
pub fn merge_patch(object: &Value, patch: &Value) -> Value { let _ = (object, patch); todo!() }
/// Strategic merge patch of a built-in kind (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList`, `$setElementOrder`, merge keys).
pub fn strategic_merge_patch(object: &Value, patch: &Value, schema: &SchemaNode) -> Result<Value, ApiError> { let _ = (object, patch, schema); todo!() }
