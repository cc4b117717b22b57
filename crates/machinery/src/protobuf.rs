//! Kubernetes protobuf request bodies (`k8s\0` envelope) to JSON, table-driven.

use serde_json::Value;
use crate::status_error::ApiError;

/// Decodes a body of `application/vnd.kubernetes.protobuf` into the JSON object with apiVersion and kind.
/// # Errors
/// 400 for a malformed body, 415 for a kind the tables do not know.
pub fn decode(body: &[u8]) -> Result<Value, ApiError> { let _ = body; todo!() }
