//! PATCH of an object: JSON patch, merge patch, strategic merge patch and server-side apply.

use axum::body::Body;
use http::Response;
use kogge_machinery::{
    apply,
    negotiation::{self, BodyEncoding},
    patch,
    status_error::{ApiError, FieldError},
};
use serde_json::Value;

use super::{
    RequestContext, body,
    create::{create_object, place},
    get::object_response,
    object_write::{Merged, WriteScope, Writer, Written, check_type, clean_fields, modified, update_object},
    other_versions::ServedVersions,
};

/// Answers a patch of the object itself.
pub(crate) async fn patch(context: &mut RequestContext<'_>, body: Body) -> Result<Response<Body>, ApiError> {
    patch_scope(context, body, WriteScope::Main).await
}

/// Answers a patch through the given endpoint.
pub(crate) async fn patch_scope(
    context: &mut RequestContext<'_>,
    body: Body,
    scope: WriteScope,
) -> Result<Response<Body>, ApiError> {
    let (encoding, decoded) = read_patch(context, body).await?;
    let written = if encoding == BodyEncoding::ApplyYaml {
        server_side_apply(context, decoded, scope).await?
    } else {
        merge(context, encoding, decoded, scope).await?
    };
    object_response(context, written.code, written.object)
}

/// The patch of a request and its kind.
pub(crate) async fn read_patch(
    context: &RequestContext<'_>,
    body: Body,
) -> Result<(BodyEncoding, body::Decoded), ApiError> {
    let encoding = negotiation::body_encoding(context.content_type(), true, context.served.resource.custom)?;
    if encoding != BodyEncoding::ApplyYaml && context.query.has("force") {
        return Err(invalid_options(FieldError::forbidden("force", "may not be specified for non-apply patch")));
    }
    Ok((encoding, body::decode(&body::read(body).await?, encoding)?))
}

async fn merge(
    context: &mut RequestContext<'_>,
    encoding: BodyEncoding,
    decoded: body::Decoded,
    scope: WriteScope,
) -> Result<Written, ApiError> {
    let writer = Writer::of(context)?;
    let dry_run = context.query.dry_run()?;
    let validation = context.query.field_validation()?;
    let served = context.served.clone();
    let mut findings = Vec::new();
    let result = update_object(context, context.key(), scope, &writer, dry_run, |old, _| {
        let mut new = match encoding {
            BodyEncoding::JsonPatch => patch::json_patch(old, &decoded.value)?,
            BodyEncoding::StrategicMergePatch => match served.resource.schema.get() {
                Some(schema) => patch::strategic_merge_patch(old, &decoded.value, &schema.root)?,
                None => patch::merge_patch(old, &decoded.value),
            },
            _ => patch::merge_patch(old, &decoded.value),
        };
        if !new.is_object() {
            return Err(ApiError::bad_request("the patch does not leave an object"));
        }
        findings = clean_fields(&served, &mut new, &decoded.duplicates, validation)?;
        Ok(Merged::Untracked(new))
    })
    .await;
    for finding in findings {
        context.warn(finding);
    }
    result
}

async fn server_side_apply(
    context: &mut RequestContext<'_>,
    decoded: body::Decoded,
    scope: WriteScope,
) -> Result<Written, ApiError> {
    if context.query.field_manager()?.is_none() {
        return Err(invalid_options(FieldError::required("fieldManager", "is required for apply patch")));
    }
    let mut applied = decoded.value;
    check_type(&context.served, &applied)?;
    place(&context.served, &context.namespace, &mut applied)?;
    match applied["metadata"]["name"].as_str() {
        None | Some("") => applied["metadata"]["name"] = context.name.as_str().into(),
        Some(name) if name == context.name => {}
        Some(name) => {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                context.name
            )));
        }
    }
    let validation = context.query.field_validation()?;
    for finding in clean_fields(&context.served, &mut applied, &decoded.duplicates, validation)? {
        context.warn(finding);
    }
    restrict_to_scope(context.served.resource.status_subresource, scope, &mut applied);
    let force = context.query.flag("force");
    let writer = Writer::of(context)?;
    let dry_run = context.query.dry_run()?;
    let schema = context.served.resource.schema.get();
    let root = schema.as_deref().map(|schema| &*schema.root);
    let api_version = context.served.resource.api_version();
    // A create can lose against another create, an update against a delete; then it is the other's turn.
    for _ in 0..8 {
        let served = context.served.clone();
        let updated = update_object(context, context.key(), scope, &writer, dry_run, |old, versions| {
            let manager = writer.field_manager(&served, &api_version, scope, versions);
            apply::apply(Some(old), &applied, root, &manager, force).map(Merged::Applied).map_err(blame_the_body)
        })
        .await;
        match updated {
            Err(error) if error.code() == 404 && scope == WriteScope::Main => {}
            other => return other,
        }
        let metadata = &applied["metadata"];
        if ["uid", "resourceVersion"].iter().any(|field| metadata[field].as_str().is_some_and(|text| !text.is_empty()))
        {
            return Err(modified(&context.served.resource.group_resource(), &context.name));
        }
        let versions = ServedVersions::of(context.plane, &served);
        let manager = writer.field_manager(&served, &api_version, scope, &versions);
        let created = apply::apply(None, &applied, root, &manager, force).map_err(blame_the_body)?;
        match create_object(context, Merged::Applied(created), &writer).await {
            Err(error) if error.status().reason == "AlreadyExists" => {}
            other => return other,
        }
    }
    Err(modified(&context.served.resource.group_resource(), &context.name))
}

/// The real server answers a body of the wrong shape with 500. It is the client's error, and clients that retry on 5xx
/// would do so for ever.
fn blame_the_body(error: ApiError) -> ApiError {
    let wrong_shape = error.code() == 500 && error.status().message.starts_with("failed to create typed patch object");
    if wrong_shape { ApiError::bad_request(error.to_string()) } else { error }
}

/// Fields the endpoint does not write are not applied, so that nobody comes to own them through it.
fn restrict_to_scope(status_subresource: bool, scope: WriteScope, applied: &mut Value) {
    let Some(fields) = applied.as_object_mut() else { return };
    match scope {
        WriteScope::Status(_) => {
            fields.retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
            if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|field, _| {
                    matches!(field.as_str(), "name" | "namespace" | "uid" | "resourceVersion" | "managedFields")
                });
            }
        }
        WriteScope::Main if status_subresource => {
            fields.remove("status");
        }
        WriteScope::Main | WriteScope::Composed(_) => {}
    }
}

fn invalid_options(error: FieldError) -> ApiError {
    ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[error])
}
