//! ObjectMeta rules of create, update and delete: names, generateName, immutable fields, generation, finalizers.
//!
//! These are the strategies of `k8s.io/apiserver/pkg/registry/rest` (BeforeCreate, BeforeUpdate, BeforeDelete) and of
//! custom resources. They run on every write, so they change objects in place and never copy one as a whole, except for
//! `/status`, where everything but the status comes from the stored object.

mod names;
mod validation;

use serde_json::{Map, Value};

use crate::resource::ResourceType;
use crate::status_error::{ApiError, FieldError, FieldErrorKind};

pub(crate) use names::with_masked_dash;
pub use names::{
    dns_1035_messages, dns_1123_label_messages, generate_name, label_key_messages, label_value_messages,
    path_segment_messages, subdomain_messages, validate_name,
};
pub(crate) use validation::embedded_metadata_errors;
pub use validation::{
    MetadataRounds, dedup_owner_references, finalizer_warnings, validate_changed_metadata, validate_field_manager,
    validate_metadata,
};
pub(crate) use validation::{validate_annotations, validate_labels};

/// The metadata of an object, or an empty one.
fn metadata(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata").and_then(Value::as_object)
}

/// The metadata to change; made where it is absent.
///
/// # Errors
/// 400 when the object or its metadata is not a JSON object.
fn metadata_mut(object: &mut Value) -> Result<&mut Map<String, Value>, ApiError> {
    let object =
        object.as_object_mut().ok_or_else(|| ApiError::bad_request("the object provided is not a JSON object"))?;
    let metadata = object.entry("metadata").or_insert(Value::Null);
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    metadata
        .as_object_mut()
        .ok_or_else(|| ApiError::bad_request("the metadata of the object provided is not a JSON object"))
}

fn text<'a>(metadata: Option<&'a Map<String, Value>>, key: &str) -> &'a str {
    metadata.and_then(|metadata| metadata.get(key)).and_then(Value::as_str).unwrap_or_default()
}

/// Takes `key` over from `from`, or removes it where `from` has none.
fn restore(target: &mut Map<String, Value>, from: Option<&Map<String, Value>>, key: &str) {
    match from.and_then(|from| from.get(key)) {
        Some(value) => {
            target.insert(key.to_owned(), value.clone());
        }
        None => {
            target.remove(key);
        }
    }
}

/// Makes the object's namespace the one of the request: fills an absent one and removes one from a cluster-scoped object.
/// `request_namespace` is empty for cluster-scoped kinds.
///
/// # Errors
/// 400 when they differ.
pub fn ensure_namespace(object: &mut Value, request_namespace: &str) -> Result<(), ApiError> {
    let metadata = metadata_mut(object)?;
    let own = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if own == request_namespace {
        if own.is_empty() {
            metadata.remove("namespace");
        }
        return Ok(());
    }
    if request_namespace.is_empty() {
        metadata.remove("namespace");
    } else if own.is_empty() {
        metadata.insert("namespace".to_owned(), request_namespace.into());
    } else {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Makes the object's name the one of the URL of a PUT or an apply; fills an absent one.
///
/// # Errors
/// 400 when they differ.
pub fn ensure_name(object: &mut Value, request_name: &str) -> Result<(), ApiError> {
    let metadata = metadata_mut(object)?;
    let own = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    if own.is_empty() {
        metadata.insert("name".to_owned(), request_name.into());
    } else if own != request_name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({own}) does not match the name on the URL ({request_name})"
        )));
    }
    Ok(())
}

/// Prepares an object for creation: wipes server-owned metadata, sets `uid`, `creationTimestamp` (`now`, RFC 3339) and
/// generation, drops status where it is a subresource. The name must be set (see [`generate_name`]); managedFields stay
/// for the ownership rules to judge.
///
/// # Errors
/// 400 for a body that is no object.
pub fn prepare_create(resource: &ResourceType, object: &mut Value, uid: &str, now: &str) -> Result<(), ApiError> {
    let metadata = metadata_mut(object)?;
    for key in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(key);
    }
    omit_empty(metadata);
    metadata.insert("uid".to_owned(), uid.into());
    metadata.insert("creationTimestamp".to_owned(), now.into());
    drop_empty_lists(metadata);
    // Drivers are counted from the first change only, and from the number they bring.
    let is_driver = (resource.group.as_str(), resource.plural.as_str()) == ("storage.k8s.io", "csidrivers");
    if (resource.custom || resource.has_generation) && !is_driver {
        metadata.insert("generation".to_owned(), 1.into());
    }
    // A kubelet says what its node can hold when it registers it.
    let keeps_status = (resource.group.as_str(), resource.plural.as_str()) == ("", "nodes");
    if resource.status_subresource
        && !keeps_status
        && let Some(object) = object.as_object_mut()
    {
        object.remove("status");
    }
    Ok(())
}

/// Optimistic concurrency: `metadata.resourceVersion` and `metadata.uid` of the new object, where present, must be those
/// of the stored one; absent ones are filled in.
///
/// # Errors
/// 422 when a custom kind sends no resourceVersion, 409 when the resourceVersion differs. Another uid stays, to be refused
/// with whatever else is wrong ([`validate_changed_metadata`]).
pub fn check_preconditions(resource: &ResourceType, old: &Value, new: &mut Value) -> Result<(), ApiError> {
    let old_metadata = metadata(old);
    let name = text(old_metadata, "name");
    let current = text(old_metadata, "resourceVersion");
    let new_metadata = metadata_mut(new)?;
    match new_metadata.get("resourceVersion").and_then(Value::as_str).unwrap_or_default() {
        "" | "0" if resource.custom => {
            // the real server names the resource, not the kind, in this one message
            let error =
                FieldError::invalid("metadata.resourceVersion", &Value::from(0), "must be specified for an update");
            return Err(ApiError::invalid(&resource.group, &resource.plural, name, &[error]));
        }
        "" | "0" => {}
        version if version == current => {}
        _ => return Err(ApiError::modified(&resource.group_resource(), name)),
    }
    if new_metadata.get("uid").and_then(Value::as_str).unwrap_or_default().is_empty() {
        restore(new_metadata, old_metadata, "uid");
    }
    restore(new_metadata, old_metadata, "resourceVersion");
    Ok(())
}

/// Takes out lists and maps without content, which metadata never shows.
fn drop_empty_lists(metadata: &mut Map<String, Value>) {
    for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = metadata.get(key).is_some_and(|value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        });
        if empty {
            metadata.remove(key);
        }
    }
}

/// Restores what an update cannot change. What it must not try to change stays, to be refused with whatever else is wrong
/// ([`validate_changed_metadata`]).
fn guard_metadata(resource: &ResourceType, old: &Value, new: &mut Value) -> Result<(), ApiError> {
    check_preconditions(resource, old, new)?;
    let old_metadata = metadata(old);
    let new_metadata = metadata_mut(new)?;
    drop_empty_lists(new_metadata);
    restore(new_metadata, old_metadata, "creationTimestamp");
    restore(new_metadata, old_metadata, "generation");
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if old_metadata.and_then(|metadata| metadata.get(key)).is_some_and(|value| !value.is_null()) {
            restore(new_metadata, old_metadata, key);
        } else if new_metadata.get(key).is_some_and(Value::is_null) {
            new_metadata.remove(key);
        }
    }
    Ok(())
}

/// What an update must not try to change of metadata.
fn immutable_metadata(old: &Value, new: &Value) -> Vec<FieldError> {
    let (old, new) = (metadata(old), metadata(new));
    let mut errors = Vec::new();
    for key in ["name", "namespace", "uid"] {
        if text(new, key) != text(old, key) {
            errors.push(FieldError::invalid(format!("metadata.{key}"), &text(new, key).into(), "field is immutable"));
        }
    }
    let value = |metadata: Option<&Map<String, Value>>, key: &str| {
        metadata.and_then(|metadata| metadata.get(key)).cloned().unwrap_or_default()
    };
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        let changed = value(new, key);
        if changed != value(old, key) {
            errors.push(FieldError::invalid(format!("metadata.{key}"), &changed, "field is immutable"));
        }
    }
    if !text(old, "deletionTimestamp").is_empty() {
        let known = finalizers(old);
        let mut extra: Vec<&str> = finalizers(new);
        extra.retain(|finalizer| !known.contains(finalizer));
        extra.sort_unstable();
        extra.dedup();
        if !extra.is_empty() {
            let listed: Vec<String> = extra.iter().map(|finalizer| crate::status_error::quote(finalizer)).collect();
            errors.push(FieldError::without_value(
                FieldErrorKind::Forbidden,
                "metadata.finalizers",
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    listed.join(", ")
                ),
            ));
        }
    }
    errors
}

fn finalizers(metadata: Option<&Map<String, Value>>) -> Vec<&str> {
    let list = metadata.and_then(|metadata| metadata.get("finalizers")).and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Whether two objects are equal outside `metadata`: what decides the generation.
fn equal_outside_metadata(left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    let others = |object: &Map<String, Value>| object.len() - usize::from(object.contains_key("metadata"));
    others(left) == others(right)
        && left.iter().all(|(key, value)| key == "metadata" || right.get(key).is_some_and(|other| other == value))
}

/// Prepares an update of the main endpoint: checks preconditions (see [`check_preconditions`]), restores server-owned
/// metadata and, where it is a subresource, status from `old`, then bumps the generation when anything outside metadata
/// still differs. Labels and annotations never bump it, except on Deployments, as upstream.
///
/// # Errors
/// 409 for preconditions; 422 for a missing resourceVersion of a custom kind; 400 for a body that is no object.
pub fn prepare_update(resource: &ResourceType, old: &Value, new: &mut Value) -> Result<(), ApiError> {
    guard_metadata(resource, old, new)?;
    omit_empty(metadata_mut(new)?);
    let Some(old_object) = old.as_object() else { return Ok(()) };
    if let Some(new_object) = new.as_object_mut()
        && resource.status_subresource
    {
        restore(new_object, Some(old_object), "status");
    }
    if !(resource.custom || resource.has_generation) {
        return Ok(());
    }
    if is_counted(resource, old_object, new) {
        bump_generation(metadata_mut(new)?);
    }
    Ok(())
}

/// Whether a change moves the generation.
fn is_counted(resource: &ResourceType, old: &Map<String, Value>, new: &Value) -> bool {
    let annotations =
        |object: &Map<String, Value>| object.get("metadata").and_then(|value| value.get("annotations")).cloned();
    let labels = |object: &Map<String, Value>| object.get("metadata").and_then(|value| value.get("labels")).cloned();
    new.as_object().is_some_and(|new| {
        !equal_outside_metadata(old, new)
            || match resource.kind.as_str() {
                "Deployment" => resource.group == "apps" && annotations(old) != annotations(new),
                "EndpointSlice" => resource.group == "discovery.k8s.io" && labels(old) != labels(new),
                _ => false,
            }
    })
}

/// Takes back what [`prepare_update`] counted where nothing is left of the change in the form objects are stored in.
pub fn withdraw_generation(resource: &ResourceType, old: &Value, new: &mut Value) {
    let Some(old_object) = old.as_object() else { return };
    let moved = old["metadata"]["generation"] != new["metadata"]["generation"];
    if moved
        && !is_counted(resource, old_object, new)
        && let Ok(metadata) = metadata_mut(new)
    {
        restore(metadata, old_object.get("metadata").and_then(Value::as_object), "generation");
    }
}

/// Makes the generation of an object one more than it was before a change.
pub fn count_change(old: &Value, new: &mut Value) {
    let known = old["metadata"]["generation"].as_i64().unwrap_or(0);
    if let Ok(metadata) = metadata_mut(new) {
        metadata.insert("generation".to_owned(), known.saturating_add(1).into());
    }
}

/// Empty lists and maps of metadata are as good as absent and left out, as `omitempty` does upstream.
fn omit_empty(metadata: &mut Map<String, Value>) {
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let is_empty = match metadata.get(field) {
            Some(Value::Object(entries)) => entries.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            _ => false,
        };
        if is_empty {
            metadata.remove(field);
        }
    }
}

fn bump_generation(metadata: &mut Map<String, Value>) {
    let generation = metadata.get("generation").and_then(Value::as_i64).unwrap_or(0);
    metadata.insert("generation".to_owned(), generation.saturating_add(1).into());
}

/// Built-in groups whose `/status` also takes labels, annotations and finalizers (kubelets label their Node that way);
/// the other groups reset metadata as custom kinds do.
const STATUS_TAKES_METADATA: [&str; 5] = ["", "apps", "batch", "autoscaling", "policy"];

/// Whether `/status` of a kind takes labels, annotations and finalizers, too.
pub fn status_takes_metadata(resource: &ResourceType) -> bool {
    !resource.custom
        && (STATUS_TAKES_METADATA.contains(&resource.group.as_str())
            || matches!(
                resource.plural.as_str(),
                "ingresses" | "customresourcedefinitions" | "certificatesigningrequests"
            ))
}

/// The metadata `/status` of such a kind leaves as it is nevertheless.
pub fn status_leaves_metadata(resource: &ResourceType) -> &'static [&'static str] {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => &["deletionTimestamp", "ownerReferences"],
        ("apps", "Deployment") => &["labels"],
        _ => &[],
    }
}

/// Prepares an update of `/status`: everything but status and managedFields comes from `old`; the generation stays.
/// Some built-in kinds also take labels, annotations and finalizers, as upstream.
///
/// # Errors
/// As [`prepare_update`].
pub fn prepare_status_update(resource: &ResourceType, old: &Value, new: &mut Value) -> Result<(), ApiError> {
    let takes_metadata = status_takes_metadata(resource);
    if takes_metadata {
        guard_metadata(resource, old, new)?;
    } else {
        check_preconditions(resource, old, new)?;
    }
    let (Some(old_object), Some(new_object)) = (old.as_object(), new.as_object_mut()) else { return Ok(()) };
    let status = new_object.remove("status");
    let mut new_metadata = match new_object.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    new_object.clear();
    for (key, value) in old_object {
        if key != "status" && key != "metadata" {
            new_object.insert(key.clone(), value.clone());
        }
    }
    let old_metadata = metadata(old);
    if takes_metadata {
        for name in status_leaves_metadata(resource) {
            restore(&mut new_metadata, old_metadata, name);
        }
        omit_empty(&mut new_metadata);
    } else {
        let given: Vec<_> = ["managedFields", "uid"].iter().filter_map(|key| new_metadata.remove_entry(*key)).collect();
        new_metadata = old_metadata
            .map(|metadata| {
                metadata
                    .iter()
                    .filter(|(key, _)| *key != "managedFields")
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect()
            })
            .unwrap_or_default();
        new_metadata.extend(given);
    }
    new_object.insert("metadata".to_owned(), Value::Object(new_metadata));
    if let Some(status) = status {
        new_object.insert("status".to_owned(), status);
    }
    Ok(())
}

/// Marks an object with finalizers as being deleted: deletionTimestamp (`now`, RFC 3339), deletionGracePeriodSeconds, one
/// more generation where the object has one. Returns false, and changes nothing, when it is marked already.
pub fn mark_deleting(object: &mut Value, now: &str, grace_period_seconds: i64) -> bool {
    let Ok(metadata) = metadata_mut(object) else { return false };
    if metadata.get("deletionTimestamp").is_some_and(|value| !value.is_null()) {
        return false;
    }
    metadata.insert("deletionTimestamp".to_owned(), now.into());
    metadata.insert("deletionGracePeriodSeconds".to_owned(), grace_period_seconds.into());
    if metadata.get("generation").and_then(Value::as_i64).unwrap_or(0) > 0 {
        bump_generation(metadata);
    }
    true
}

/// Whether a terminating object has lost its last finalizer, so that it is to be removed instead of stored.
pub fn is_finalized(object: &Value) -> bool {
    let metadata = metadata(object);
    !text(metadata, "deletionTimestamp").is_empty() && finalizers(metadata).is_empty()
}

#[cfg(test)]
pub(crate) use tests::resource as test_resource;

#[cfg(test)]
mod tests;
