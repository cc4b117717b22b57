//! meta.k8s.io Table and PartialObjectMetadata representations.

use serde_json::Value;
use crate::resource::ResourceType;

/// What a row embeds (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeObject { Metadata, Object, None }

/// A Table of `objects` (JSON objects). `now` in seconds since the epoch turns date cells into ages.
/// `list_metadata` is the list's metadata (resourceVersion, continue, remainingItemCount) or the object's for one.
pub fn table(resource: &ResourceType, objects: &[Value], list_metadata: Value, include: IncludeObject, with_columns: bool, version: &str, now: i64) -> Value { let _ = (resource, objects, list_metadata, include, with_columns, version, now); todo!() }
/// `PartialObjectMetadata` of an object.
pub fn partial_object_metadata(object: &Value, version: &str) -> Value { let _ = (object, version); todo!() }
/// kubectl's age format: 5s, 3m12s, 2d3h, 3y40d.
pub fn human_duration(seconds: i64) -> String { let _ = seconds; todo!() }
