//! ObjectMeta rules of create, update and delete: names, generateName, immutable fields, generation, finalizers.

use serde_json::Value;
use crate::{resource::ResourceType, status_error::{ApiError, FieldError}};

/// DNS-1123 subdomain / label and other name rules; `kind_rule` by kind (RBAC names allow more, services DNS-1035, ...).
pub fn validate_name(resource: &ResourceType, name: &str) -> Option<String> { let _ = (resource, name); todo!() }
/// Whole-metadata validation: labels, annotations size, finalizers, ownerReferences, managedFields shape.
pub fn validate_metadata(resource: &ResourceType, object: &Value) -> Vec<FieldError> { let _ = (resource, object); todo!() }
/// prefix cut to 58 + 5 characters; `random` gives the characters' indices.
pub fn generate_name(prefix: &str, random: [u8; 5]) -> String { let _ = (prefix, random); todo!() }
/// Prepares an object for creation: wipes server-owned metadata, sets uid, creationTimestamp, generation, drops status
/// where it is a subresource.
pub fn prepare_create(resource: &ResourceType, object: &mut Value, uid: &str, now: &str) -> Result<(), ApiError> { let _ = (resource, object, uid, now); todo!() }
/// Prepares an update of the main endpoint: restores server-owned metadata and status from `old`, bumps generation.
pub fn prepare_update(resource: &ResourceType, old: &Value, new: &mut Value) -> Result<(), ApiError> { let _ = (resource, old, new); todo!() }
/// Prepares an update of `/status`: everything but status and managedFields comes from `old`.
pub fn prepare_status_update(resource: &ResourceType, old: &Value, new: &mut Value) -> Result<(), ApiError> { let _ = (resource, old, new); todo!() }
