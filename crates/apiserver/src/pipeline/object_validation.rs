//! What is wrong with a completed object: its metadata, and what its schema or, for built-in kinds, their own rules say.

use std::sync::atomic::Ordering;

use kogge_machinery::{
    custom_resource, nesting, object_meta,
    schema::Unchanged,
    status_error::{ApiError, FieldError, FieldErrorKind},
    typed_object::EmptyContainers,
};
use serde_json::Value;

use super::object_write::WriteScope;
use crate::{admission::Warnings, builtin, certificate_signing, registry::ServedResource};

/// Refuses an object that is wrong or nested too deeply; `old` is what an update changes through an
/// endpoint. Messages show parts of it with the empty lists and maps it was sent with. Rules of a custom kind that are broken
/// where nothing was changed are warned of.
///
/// # Errors
/// 422 with every wrong field, 400 for the depth.
pub(super) fn validate(
    served: &ServedResource,
    (object, empty): (&Value, &EmptyContainers),
    old: Option<&Value>,
    scope: WriteScope,
    warnings: &Warnings,
) -> Result<(), ApiError> {
    let resource = &served.resource;
    if nesting::is_deeper_than(object, nesting::MAXIMUM_DEPTH) {
        let maximum = nesting::MAXIMUM_DEPTH;
        return Err(ApiError::bad_request(format!("the object is nested more than {maximum} levels deep")));
    }
    let errors = if resource.custom {
        let endpoint = match scope {
            WriteScope::Status(_) => custom_resource::Endpoint::Status,
            WriteScope::Main | WriteScope::Composed(_) => custom_resource::Endpoint::Main,
        };
        let faults = custom_resource::faults(resource, object, old, endpoint, unchanged(served, old));
        if !faults.tolerated.is_empty() {
            served.tolerates.store(true, Ordering::Relaxed);
        }
        faults.tolerated.iter().for_each(|fault| warnings.push(format!("{}: {}", fault.field, fault.message)));
        faults.errors
    } else {
        let mut errors = if let Some(old) = old {
            let rounds = builtin::validation::metadata_rounds(resource, scope.subresource());
            object_meta::validate_changed_metadata(resource, object, old, rounds)
        } else {
            object_meta::validate_metadata(resource, object)
        };
        errors.extend(builtin::validation::validate(resource, (object, empty), old, scope.subresource()));
        // What the rules of a kind do not ask of its metadata is asked when nothing else is wrong.
        let asked_later = |error: &FieldError| match resource.group.as_str() {
            certificate_signing::GROUP => error.field == "metadata.name" && error.kind != FieldErrorKind::Required,
            "policy" => error.field.starts_with("metadata"),
            "" => resource.kind == "Event" && error.field.starts_with("metadata"),
            _ => false,
        };
        if old.is_none() && !errors.iter().all(asked_later) {
            errors.retain(|error| !asked_later(error));
        }
        errors
    };
    if errors.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let group = if resource.custom { &*resource.group } else { builtin::validation::reported_group(resource) };
    // A custom resource is called what it calls itself.
    let own_kind = object["kind"].as_str().filter(|_| resource.custom);
    Err(ApiError::invalid(group, own_kind.unwrap_or(&resource.kind), name, &errors))
}

/// Whether an old object may break rules: it was written before they were there, or others that were are tolerated.
fn unchanged(served: &ServedResource, old: Option<&Value>) -> Unchanged {
    let revision = |old: &Value| old["metadata"]["resourceVersion"].as_str()?.parse::<u64>().ok();
    let is_older = old.and_then(revision).is_some_and(|revision| revision <= served.schema_revision);
    if is_older || served.tolerates.load(Ordering::Relaxed) { Unchanged::All } else { Unchanged::Transitions }
}
