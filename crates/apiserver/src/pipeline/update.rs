//! PUT of an object.

use axum::body::Body;
use http::Response;
use kogge_machinery::{
    negotiation,
    status_error::{ApiError, FieldError},
};
use serde_json::Value;

use super::{
    RequestContext, body,
    create::{create_object, dedup_owners, place},
    get::object_response,
    object_completion::clean_fields,
    object_decoding::decode_resource,
    object_type::{check_name, check_type},
    object_write::{Merged, WriteScope, Writer, update_object},
};
use crate::{plane::parse_stored, registry::ServedResource};

/// Answers an update of the object itself.
pub(crate) async fn update(context: &mut RequestContext<'_>, body: Body) -> Result<Response<Body>, ApiError> {
    update_scope(context, body, WriteScope::Main).await
}

/// Answers an update through the given endpoint.
pub(crate) async fn update_scope(
    context: &mut RequestContext<'_>,
    body: Body,
    scope: WriteScope,
) -> Result<Response<Body>, ApiError> {
    let object = read_object(context, body).await?;
    let resource = &context.served.resource;
    let versioned = object["metadata"]["resourceVersion"].as_str().is_some_and(|version| !matches!(version, "" | "0"));
    let may_create = may_create(&context.served, scope);
    if !versioned && needs_revision(resource) {
        let error = FieldError::invalid("metadata.resourceVersion", &Value::from(0), "must be specified for an update");
        match super::get::load(context) {
            // The identity comes first, as a precondition of the store.
            Ok(stored) => {
                let old = parse_stored(&stored.json)?;
                check_identity(context, &old, &object)?;
                // The real server names the resource, not the kind, in this one message.
                return Err(ApiError::invalid(&resource.group, &resource.plural, &context.name, &[error]));
            }
            Err(missing) if missing.code() == 404 && may_create => {}
            // A missing object is reported as missing, whatever else is wrong.
            Err(error) => return Err(error),
        }
    }
    let writer = Writer { creates_through: scope, ..Writer::of(context)? };
    let dry_run = context.query.dry_run()?;
    let updated = update_object(context, context.key(), scope, &writer, dry_run, |old, _| {
        check_identity(context, old, &object)?;
        Ok(Merged::Untracked(object.clone()))
    })
    .await;
    let written = match updated {
        Err(error) if error.code() == 404 && may_create => {
            // Nothing that is not there has the identity that is named.
            check_identity(context, &Value::Null, &object)?;
            let mut object = object;
            if !dry_run && let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            create_object(context, Merged::Untracked(object), &writer).await?
        }
        other => other?,
    };
    object_response(context, written.code, written.object)
}

/// Kinds that cannot be updated unconditionally (`AllowUnconditionalUpdate`).
pub(super) fn needs_revision(resource: &kogge_machinery::resource::ResourceType) -> bool {
    resource.custom
        || matches!(
            (resource.group.as_str(), resource.plural.as_str()),
            ("coordination.k8s.io", "leases")
                | ("apiextensions.k8s.io", "customresourcedefinitions")
                | ("node.k8s.io", "runtimeclasses")
                | ("policy", "poddisruptionbudgets")
                | ("storage.k8s.io", "csidrivers" | "csinodes" | "csistoragecapacities" | "volumeattachments")
                | (kogge_machinery::admission::GROUP, _)
        )
}

/// The uid a PUT names is a precondition of the store, and refused in the store's words.
fn check_identity(context: &RequestContext<'_>, old: &Value, new: &Value) -> Result<(), ApiError> {
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let (named, found) = (uid(new), uid(old));
    if named.is_empty() || named == found {
        return Ok(());
    }
    let resource = &context.served.resource;
    let has_group = resource.custom || matches!(&*resource.group, "apiextensions.k8s.io" | "apiregistration.k8s.io");
    let group = if has_group { format!("{}/", resource.group) } else { String::new() };
    let namespace = if resource.namespaced { format!("{}/", context.namespace) } else { String::new() };
    // A dry run is judged before the store puts its prefix to the key.
    let prefix = if context.query.dry_run()? { "" } else { "/registry" };
    // Where the real server keeps them, for reasons of its past.
    let place = match resource.plural.as_str() {
        "services" if !resource.custom => "services/specs",
        "endpoints" if !resource.custom => "services/endpoints",
        "nodes" if resource.group.is_empty() => "minions",
        "replicationcontrollers" if !resource.custom => "controllers",
        "ingresses" if !resource.custom => "ingress",
        plural => plural,
    };
    let message = format!(
        "StorageError: invalid object, Code: 4, Key: {prefix}/{group}{place}/{namespace}{}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {named}, UID in object meta: {found}",
        context.name
    );
    Err(ApiError::conflict(&resource.group_resource(), &context.name, &message))
}

/// The object of a PUT body, cleaned and checked to be the one the path names.
pub(crate) async fn read_object(context: &mut RequestContext<'_>, body: Body) -> Result<Value, ApiError> {
    let encoding = negotiation::body_encoding(context.content_type(), false, context.served.resource.custom)?;
    let bytes = body::read(body).await?;
    context.query.check_write_options()?;
    let validation = context.query.field_validation()?;
    let (mut object, mut findings) = decode_resource(&context.served, &bytes, encoding, validation)?;
    drop(bytes);
    context.audit_annotations.object(&object);
    check_type(&context.served, &object)?;
    clean_fields(&context.served, &mut object, &mut findings, validation)?;
    for finding in findings {
        context.warn(finding);
    }
    place(&context.served, &context.namespace, &mut object)?;
    check_name(object["metadata"]["name"].as_str().unwrap_or_default(), &context.name)?;
    if let Some(warning) = dedup_owners(&mut object, "") {
        context.warn(warning);
    }
    Ok(object)
}

/// Whether a PUT here creates what is not there, an apply too; so does one of the status, of the one kind that has a status
/// and leave to be created like that.
pub(super) fn may_create(served: &ServedResource, scope: WriteScope) -> bool {
    let resource = &served.resource;
    let endpoint = scope == WriteScope::Main || matches!(scope, WriteScope::Status(_));
    !resource.custom && endpoint && creates_on_update(&resource.group, &resource.plural)
}

/// Built-in kinds whose strategy allows a PUT to create.
fn creates_on_update(group: &str, plural: &str) -> bool {
    matches!(
        (group, plural),
        ("" | "events.k8s.io", "events")
            | ("", "endpoints" | "limitranges" | "services")
            | ("coordination.k8s.io", "leases")
            | ("node.k8s.io", "runtimeclasses")
            | ("rbac.authorization.k8s.io", _)
    )
}
