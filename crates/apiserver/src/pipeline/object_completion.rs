//! What is made of an object between decoding and committing: prune, default, metadata, strategy, ownership, admission.

use std::sync::Arc;

use kogge_machinery::{
    apply, custom_resource_definition, object_meta,
    schema::Schema,
    status_error::{ApiError, quote},
    typed_object::{self, EmptyContainers, TypedKind},
};
use serde_json::{Value, json};

use super::{
    admission::Review,
    builtin_admission, definition_write, ephemeral_containers, limit_ranges, node_restriction,
    object_decoding::typed_kind,
    object_type::{check_unchanged_type, unreadable},
    object_validation::validate,
    object_write::{Merged, WriteScope, Writer},
    other_versions::ServedVersions,
    pod_resize,
    query::FieldValidation,
    strategy,
};
use crate::{
    builtin::{self, autoscaler_conversion},
    plane::Plane,
    registry::ServedResource,
};

/// Records who owns what an update or create changed. As in the real server, a failing conversion between versions does
/// not stop the write: the object is then stored without ownership.
pub(crate) async fn track_update(
    plane: &Plane,
    served: &ServedResource,
    old: Option<&Value>,
    object: &mut Value,
    scope: WriteScope,
    writer: &Writer,
) {
    let schema = served.resource.schema.get();
    let root = schema.as_deref().map(|schema| &*schema.root);
    let api_version = served.resource.api_version();
    let versions = ServedVersions::of(plane, served);
    let empty = if old.is_none() { typed_kind(served).map(TypedKind::empty) } else { None };
    let mut manager = writer.field_manager(served, &api_version, scope, &versions);
    manager.empty = empty.as_ref();
    let tracked = versions.run(|| apply::track_update(old, object, root, &manager)).await;
    if let (WriteScope::Composed("scale"), Some(paths)) = (scope, &served.resource.scale) {
        apply::separate_replicas(object, &paths.spec_replicas_path, &api_version);
    }
    if let Err(error) = &tracked {
        tracing::warn!(%error, "an object is stored without managedFields");
    }
    let differs = |field: &&str| object.get(*field) != old.and_then(|old| old.get(*field));
    if tracked.is_err()
        || fields_left_out(served, object, scope).any(|field| differs(&field)) && !apply::fits(object, root)
    {
        drop_managed_fields(object);
    }
}

/// The fields of a custom resource that a write to this endpoint leaves as they are. They count for its ownership all the
/// same: nobody owns anything of what cannot be compared.
fn fields_left_out<'a>(served: &ServedResource, object: &'a Value, scope: WriteScope) -> impl Iterator<Item = &'a str> {
    let (custom, status) = (served.resource.custom, served.resource.status_subresource);
    let fields = object.as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str));
    fields.filter(move |field| match scope {
        _ if !custom => false,
        WriteScope::Main => status && *field == "status",
        WriteScope::Status(_) | WriteScope::Composed(_) => {
            !["apiVersion", "kind", "metadata", "status"].contains(field)
        }
    })
}

fn drop_managed_fields(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}

/// Removes the fields a custom object's schema does not know, and adds them to what the client is to be warned of. Built-in
/// kinds lose theirs in decoding.
///
/// # Errors
/// 400 for metadata that is none, and for unknown or duplicate fields with `fieldValidation=Strict`.
pub(crate) fn clean_fields(
    served: &ServedResource,
    object: &mut Value,
    findings: &mut Vec<String>,
    validation: FieldValidation,
) -> Result<(), ApiError> {
    if !served.resource.custom {
        return Ok(());
    }
    findings.extend(unknown_fields(served, object));
    typed_object::canonicalize_metadata(&mut object["metadata"]).map_err(|why| unreadable(served, object, &why))?;
    if let Some(error) = schema_of(served, object).and_then(|schema| schema.embedded_type_error(object)) {
        return Err(unreadable(served, object, &error.to_string()));
    }
    if validation == FieldValidation::Ignore {
        findings.clear();
    }
    if validation == FieldValidation::Strict && !findings.is_empty() {
        return Err(unreadable(served, object, &format!("strict decoding error: {}", findings.join(", "))));
    }
    Ok(())
}

/// The schema of an object: that of its resource, unless a custom object says that it is of another kind.
pub(crate) fn schema_of(served: &ServedResource, object: &Value) -> Option<Arc<Schema>> {
    let resource = &served.resource;
    if resource.custom && object["kind"] != *resource.kind { None } else { resource.schema.get() }
}

/// Removes the unknown fields of a custom object, and says which they were: those of metadata first. Of an object of another
/// kind nothing but its metadata is known.
pub(crate) fn unknown_fields(served: &ServedResource, object: &mut Value) -> Vec<String> {
    let unknown = if let Some(schema) = schema_of(served, object) {
        schema.prune(object)
    } else if let (Some(schema), Some(metadata)) = (served.resource.schema.get(), object.get_mut("metadata")) {
        let mut alone = json!({"metadata": metadata.take()});
        let unknown = schema.prune(&mut alone);
        *metadata = alone["metadata"].take();
        unknown
    } else {
        Vec::new()
    };
    let (of_metadata, others): (Vec<_>, Vec<_>) = unknown.iter().partition(|path| path.starts_with("metadata."));
    of_metadata.into_iter().chain(others).map(|path| format!("unknown field {}", quote(path))).collect()
}

/// The defaults of a kind: of its schema, and of its code. In custom resources nulls that were `applied` stay, and are refused.
fn apply_defaults(served: &ServedResource, object: &mut Value, applied: bool) {
    if let Some(schema) = schema_of(served, object) {
        if applied && served.resource.custom {
            schema.fill_defaults(object);
        } else {
            schema.apply_defaults(object);
        }
    }
    if definition_write::is_definition(served) {
        custom_resource_definition::apply_defaults(object);
    } else if !served.resource.custom {
        builtin::defaults::apply(&served.resource, object);
    }
}

/// Completes a new object as far as its sender is concerned: defaults and ownership. What the server adds comes later
/// ([`finish_create`]), when admission has seen the object. Answers it with the empty lists and maps it was sent with.
pub(crate) async fn begin_create(
    plane: &Plane,
    served: &ServedResource,
    merged: Merged,
    writer: &Writer,
) -> (Value, EmptyContainers) {
    let (mut object, tracked) = match merged {
        Merged::Untracked(object) => (object, false),
        Merged::Applied(object) => (object, true),
    };
    let empty = take_empty_containers(served, &mut object);
    apply_defaults(served, &mut object, tracked);
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            metadata.remove(field);
        }
    }
    canonicalize_completed(served, &mut object, &empty);
    if !tracked {
        if let Some(generation) = strategy::given_template_generation(&served.resource, &object) {
            strategy::set_template_generation(&mut object, generation);
        }
        track_update(plane, served, None, &mut object, writer.creates_through, writer).await;
    }
    (object, empty)
}

/// Notes the empty lists and maps an object of a built-in kind was sent with, and takes them out.
fn take_empty_containers(served: &ServedResource, object: &mut Value) -> EmptyContainers {
    if served.resource.custom {
        return EmptyContainers::default();
    }
    let found = EmptyContainers::of(object);
    // Defaults of an autoscaler are for what is absent only; those of a definition take empty for absent, and it is large.
    let defaults_tell = matches!(&*served.resource.group, "autoscaling" | "apiextensions.k8s.io");
    if !found.is_empty() && !defaults_tell {
        canonicalize(served, object);
    }
    found
}

/// Completes a new object with what the server adds, except for committing it.
///
/// # Errors
/// 422 with every wrong field.
pub(crate) fn finish_create(
    plane: &Plane,
    served: &ServedResource,
    (mut object, empty): (Value, &EmptyContainers),
    writer: &Writer,
    uid: &str,
) -> Result<Value, ApiError> {
    let resource = &served.resource;
    object_meta::prepare_create(resource, &mut object, uid, &writer.now)?;
    if resource.custom {
        // Nothing is written in code for custom kinds.
    } else if definition_write::is_definition(served) {
        definition_write::prepare(&mut object, None);
    } else {
        if served.is_core("namespaces") {
            // A label carries the name, which may have been generated.
            builtin::defaults::apply(resource, &mut object);
        }
        if autoscaler_conversion::is_older(resource) {
            autoscaler_conversion::keep_notes(None, &mut object, autoscaler_conversion::OF_STATUS);
        }
        strategy::prepare_create(plane, resource, writer.creates_through, &mut object, &writer.now)?;
        let template_labels = "spec.template.metadata.labels";
        if (resource.group.as_str(), resource.plural.as_str()) == ("batch", "jobs")
            && object["metadata"]["labels"].is_null()
            && empty.restored(template_labels, &Value::Null).is_some()
        {
            // An empty map of labels is the job's own as well as its template's, and has what is generated in both.
            let labels = object["spec"]["template"]["metadata"]["labels"].clone();
            object["metadata"]["labels"] = labels;
        }
    }
    canonicalize_stored(served, &mut object);
    if !(writer.valid_definitions && definition_write::is_definition(served)) {
        validate(served, (&object, empty), None, WriteScope::Main, &writer.warnings)?;
    }
    limit_ranges::check(plane, served, None, &object)?;
    if (resource.group.as_str(), resource.plural.as_str()) == ("batch", "jobs") {
        // What was generated for the template is a default of the job's own labels, as soon as it is read.
        builtin::defaults::apply(resource, &mut object);
    }
    Ok(object)
}

/// As [`canonicalize`], for an object that is about to be stored.
pub(crate) fn canonicalize_stored(served: &ServedResource, object: &mut Value) {
    if let Some(typed) = typed_kind(served) {
        typed.canonicalize_stored(object);
    }
}

/// Gives an object of a built-in kind the form Go's types have, and so the metadata of all others.
pub(crate) fn canonicalize(served: &ServedResource, object: &mut Value) {
    match typed_kind(served) {
        Some(typed) => _ = typed.canonicalize(object),
        // What does not fit was refused when the object was decoded.
        None => _ = typed_object::canonicalize_metadata(&mut object["metadata"]),
    }
}

/// As [`canonicalize`], for an object that was decoded with these empty lists and maps.
fn canonicalize_completed(served: &ServedResource, object: &mut Value, empty: &EmptyContainers) {
    match typed_kind(served) {
        // Schemas have lost nothing but such lists and maps since.
        Some(typed) if !empty.any_in_schemas() => _ = typed.canonicalize_completed(object),
        _ => canonicalize(served, object),
    }
}

/// Completes a changed object as far as its sender is concerned: defaults and ownership. What the server restores and adds
/// comes later ([`prepare_update`]), when mutating admission has seen the object.
///
/// # Errors
/// 409 for other identities, 403 for what a node may not change.
async fn begin_update(
    plane: &Plane,
    served: &ServedResource,
    old: &Value,
    merged: Merged,
    scope: WriteScope,
    writer: &Writer,
) -> Result<(Value, EmptyContainers), ApiError> {
    let (mut object, tracked) = match merged {
        Merged::Untracked(object) => (object, false),
        Merged::Applied(object) => (object, true),
    };
    let empty = take_empty_containers(served, &mut object);
    if served.resource.custom
        && object["metadata"]["managedFields"].as_array().is_some_and(Vec::is_empty)
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        // Their metadata is read anew before anybody asks whether ownership is to be forgotten.
        metadata.remove("managedFields");
    }
    let mut of_another_kind = false;
    if served.resource.custom && scope != WriteScope::Main {
        // Nothing but the status is read of it.
        for field in ["apiVersion", "kind"] {
            of_another_kind |= object[field] != old[field];
            object[field] = old[field].clone();
        }
    }
    check_unchanged_type(served, old, &object)?;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        // One that names none is where its path says.
        match old["metadata"].get("namespace").filter(|_| served.resource.namespaced) {
            Some(namespace) => _ = metadata.insert("namespace".to_owned(), namespace.clone()),
            None => _ = metadata.remove("namespace"),
        }
    }
    apply_defaults(served, &mut object, tracked);
    canonicalize_completed(served, &mut object, &empty);
    node_restriction::check_update(plane, served, writer.requester.as_ref(), scope, old, &object)?;
    // What the server puts back or adds is not what the writer changed.
    if !tracked {
        keep_notes(served, old, &mut object, scope);
        if let Some(given) = strategy::given_template_generation(&served.resource, &object) {
            strategy::set_template_generation(&mut object, given);
        }
        // Where empty amounts were sent, the default comes when the object is read again, so that nobody owns it.
        let defaulted_later = served.is_core("nodes") && empty.restored("status.allocatable", &Value::Null).is_some();
        if defaulted_later && let Some(status) = object["status"].as_object_mut() {
            status.remove("allocatable");
        }
        match with_empty_list_items(served, &object, &empty) {
            Some(mut sent) => {
                track_update(plane, served, Some(old), &mut sent, scope, writer).await;
                object["metadata"]["managedFields"] = sent["metadata"]["managedFields"].take();
            }
            None => track_update(plane, served, Some(old), &mut object, scope, writer).await,
        }
        if of_another_kind {
            drop_managed_fields(&mut object);
        }
        if defaulted_later {
            apply_defaults(served, &mut object, tracked);
        }
    }
    Ok((object, empty))
}

/// Takes out of the limits of a LimitRange what is empty by default, and so in what was stored.
fn without_default_amounts(limits: &mut Value) {
    for limit in limits.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if limit.get("type").is_some_and(|kind| kind == "Container") {
            let amounts = |name: &String| matches!(name.as_str(), "default" | "defaultRequest");
            limit.retain(|name, value| !amounts(name) || value.as_object().is_none_or(|amounts| !amounts.is_empty()));
        }
    }
}

/// The object with the empty lists and maps it was sent with, where they are within lists that are owned as a whole; nothing
/// if there are none. The real server compares such lists as Go values, to which what is empty is not what is absent, as it
/// is in all that was stored (`listReflect.EqualsUsing` of structured-merge-diff).
fn with_empty_list_items(served: &ServedResource, object: &Value, empty: &EmptyContainers) -> Option<Value> {
    if empty.is_empty() || served.resource.custom {
        return None;
    }
    let schema = schema_of(served, object)?;
    let mut sent = None;
    for path in apply::atomic_lists(object, Some(&*schema.root)) {
        let pointer = path.replace(['.', '['], "/").replace(']', "");
        let Some(mut restored) = empty.restored(&path, object.pointer(&pointer)?) else { continue };
        if served.is_core("limitranges") {
            without_default_amounts(&mut restored);
        }
        if let Some(list) = sent.get_or_insert_with(|| object.clone()).pointer_mut(&pointer) {
            *list = restored;
        }
    }
    sent
}

/// Where the endpoint changes one part of an older autoscaler, it leaves the annotations that hold the other.
fn keep_notes(served: &ServedResource, old: &Value, object: &mut Value, scope: WriteScope) {
    if autoscaler_conversion::is_older(&served.resource) {
        let kept = match scope {
            WriteScope::Status(_) => autoscaler_conversion::OF_SPEC,
            WriteScope::Main | WriteScope::Composed(_) => autoscaler_conversion::OF_STATUS,
        };
        autoscaler_conversion::keep_notes(Some(old), object, kept);
    }
}

/// What the server adds to a changed object, and restores of what the endpoint does not change. Mutating webhooks are asked
/// before: they see what was sent.
fn prepare_update(
    plane: &Plane,
    served: &ServedResource,
    old: &Value,
    object: &mut Value,
    scope: WriteScope,
    now: &str,
) -> Result<(), ApiError> {
    let resource = &served.resource;
    if scope == WriteScope::Composed(ephemeral_containers::SUBRESOURCE) {
        ephemeral_containers::prepare_update(old, object);
    }
    if scope == WriteScope::Composed(pod_resize::SUBRESOURCE) {
        pod_resize::prepare_update(old, object);
    }
    match scope {
        WriteScope::Status(_) => object_meta::prepare_status_update(resource, old, object)?,
        WriteScope::Main | WriteScope::Composed(_) => {
            object_meta::prepare_update(resource, old, object)?;
        }
    }
    keep_notes(served, old, object, scope);
    if definition_write::is_definition(served) {
        if scope == WriteScope::Main {
            definition_write::prepare(object, Some(old));
        }
    } else if !resource.custom {
        strategy::prepare_update(plane, resource, old, object, now)?;
        // Only `/finalize` changes the finalizers of a namespace.
        if scope != WriteScope::Composed("finalize") && served.is_core("namespaces") && object["spec"].is_object() {
            object["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
        }
    }
    Ok(())
}

/// Completes a changed object, except for what is to be said of it as a whole (warnings, validating admission) and for
/// committing it.
///
/// # Errors
/// 422 with every wrong field, 409 for other identities, and what admission refuses.
pub(crate) async fn complete_update(
    plane: &Plane,
    served: &ServedResource,
    old: &Value,
    merged: Merged,
    scope: WriteScope,
    writer: &Writer,
    review: Option<&Review<'_>>,
) -> Result<Value, ApiError> {
    let (mut object, empty) = begin_update(plane, served, old, merged, scope, writer).await?;
    if scope == WriteScope::Main && !served.resource.custom {
        builtin_admission::admit(plane, &served.resource, Some(old), &mut object)?;
    }
    if let Some(review) = review {
        let mutated = review.mutate(Some(old), object).await?;
        object = mutated.object;
        if mutated.patched {
            check_unchanged_type(served, old, &object)?;
            canonicalize(served, &mut object);
        }
    }
    prepare_update(plane, served, old, &mut object, scope, &writer.now)?;
    canonicalize_stored(served, &mut object);
    if scope == WriteScope::Main && !served.resource.custom {
        object_meta::withdraw_generation(&served.resource, old, &mut object);
        // Compared as Go values, to which what is empty is not what is absent, as it is in all that was stored.
        let compared = match (&*served.resource.group, &*served.resource.plural) {
            ("networking.k8s.io", "networkpolicies") => Some("spec"),
            ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
                Some("webhooks")
            }
            _ => None,
        };
        if compared.is_some_and(|part| empty.restored(part, &object[part]).is_some()) {
            object_meta::count_change(old, &mut object);
        }
    }
    validate(served, (&object, &empty), Some(old), scope, &writer.warnings)?;
    if served.resource.custom && object["status"].is_null() {
        // An applied null that was not refused, since nothing was there before, either.
        object.as_object_mut().map(|object| object.remove("status"));
    }
    if scope == WriteScope::Composed(pod_resize::SUBRESOURCE) {
        limit_ranges::check(plane, served, Some(old), &object)?;
    }
    if scope == WriteScope::Main && served.is_core("persistentvolumeclaims") {
        limit_ranges::check(plane, served, Some(old), &object)?;
        builtin_admission::check_expansion(plane, &served.resource, old, &object)?;
    }
    Ok(object)
}
