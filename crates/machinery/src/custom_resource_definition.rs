//! CustomResourceDefinitions: validate, default, names and conditions, and the resource types they define.

use serde_json::Value;
use crate::{resource::ResourceType, status_error::FieldError};

/// Fills what the real server defaults (singular, listKind, conversion strategy None, ...).
pub fn apply_defaults(definition: &mut Value) { let _ = definition; todo!() }
/// Validates a CRD (v1) on create (`old` None) or update.
pub fn validate(definition: &Value, old: Option<&Value>) -> Vec<FieldError> { let _ = (definition, old); todo!() }
/// The status after the naming and establishing controllers: acceptedNames, storedVersions, conditions
/// NamesAccepted and Established (with `now`, RFC 3339). `taken` says whether a (group-wide) name is used by another CRD.
pub fn established_status(definition: &Value, now: &str, taken: &dyn Fn(&str) -> bool) -> Value { let _ = (definition, now, taken); todo!() }
/// One resource type for each served version of an established definition.
pub fn resource_types(definition: &Value) -> Vec<ResourceType> { let _ = definition; todo!() }
