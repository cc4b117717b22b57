//! PATCH of an object: JSON patch, merge patch, strategic merge patch and server-side apply.

use axum::body::Body;
use http::Response;
use kogge_machinery::{
    apply::{self, FieldManager},
    negotiation::{self, BodyEncoding},
    patch,
    resource::ResourceType,
    status_error::{ApiError, FieldError, quote},
    typed_object::{self, TypedKind},
};
use serde_json::Value;

use super::{
    RequestContext, body,
    create::{create_object, dedup_owners, place},
    get::object_response,
    object_completion::unknown_fields,
    object_decoding::{has_null_version, typed_kind},
    object_type::{check_name, check_place, nameless},
    object_write::{Merged, WriteScope, Writer, Written, modified, update_object},
    other_versions::ServedVersions,
    patched_object::Patch,
    query::FieldValidation,
    update::may_create,
};
use crate::registry::ServedResource;

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
    let bytes = body::read(body).await?;
    context.query.check_write_options()?;
    let decoded = body::decode(&bytes, encoding).and_then(|decoded| check_form(encoding, decoded));
    let decoded = decoded.map_err(|why| match encoding {
        BodyEncoding::StrategicMergePatch => why,
        BodyEncoding::ApplyYaml => {
            ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {why}"))
        }
        BodyEncoding::JsonPatch => {
            let why = why
                .to_string()
                .replace("Go value of type float64", "Go struct field jsonPatchOp.value of type float64");
            ApiError::bad_request(format!("error decoding patch: {why}"))
        }
        _ => ApiError::bad_request(format!("error decoding patch: {why}")),
    });
    // A patch is read when there is something to change.
    if decoded.is_err() && encoding != BodyEncoding::ApplyYaml && context.plane.get(&context.key())?.is_none() {
        return Err(ApiError::not_found(&context.served.resource.group_resource(), &context.name));
    }
    let decoded = decoded?;
    if encoding == BodyEncoding::ApplyYaml
        && !decoded.value.is_object()
        && let Some(why) = typed_object::object_problem(decoded.value.to_string().as_bytes(), typed_object::GO_MAP)
    {
        let why = format!("error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}");
        return Err(ApiError::bad_request(why));
    }
    Ok((encoding, decoded))
}

/// Patches that are merged are objects, or nothing.
fn check_form(encoding: BodyEncoding, decoded: body::Decoded) -> Result<body::Decoded, ApiError> {
    let merges = matches!(encoding, BodyEncoding::MergePatch | BodyEncoding::StrategicMergePatch);
    if !merges || matches!(decoded.value, Value::Object(_) | Value::Null) {
        return Ok(decoded);
    }
    let (kind, map) = (typed_object::json_kind(&decoded.value), typed_object::GO_MAP);
    Err(ApiError::bad_request(format!("json: cannot unmarshal {kind} into Go value of type {map}")))
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
    let nothing = Value::Object(serde_json::Map::new());
    let value = match (&decoded.value, encoding) {
        (Value::Null, BodyEncoding::StrategicMergePatch) => &nothing,
        (Value::Null, BodyEncoding::MergePatch) => return Err(ApiError::bad_request("Invalid JSON Patch")),
        (value, _) => value,
    };
    let mut findings = Vec::new();
    let result = update_object(context, context.key(), scope, &writer, dry_run, |old, _| {
        let apply_patch = || match encoding {
            BodyEncoding::JsonPatch => patch::json_patch(old, value),
            BodyEncoding::StrategicMergePatch => match served.resource.schema.get() {
                Some(schema) => patch::strategic_merge_patch(old, value, &schema.root),
                None => Ok(patch::merge_patch(old, value)),
            },
            _ => Ok(patch::merge_patch(old, value)),
        };
        let new = apply_patch()?;
        if !new.is_object() {
            return Err(ApiError::unprocessable());
        }
        if encoding != BodyEncoding::StrategicMergePatch
            && matches!(&new["apiVersion"], Value::Null | Value::String(_))
            && new["apiVersion"].as_str().is_none_or(str::is_empty)
            && (!served.resource.custom
                || new["kind"].as_str().is_some_and(|kind| !kind.is_empty()) && !has_null_version(&new))
        {
            if served.resource.custom {
                return Err(ApiError::internal("Object 'apiVersion' is missing in 'object has no apiVersion field'"));
            }
            // Of no version, the real server reads it as its internal type, which has none of the names.
            if validation != FieldValidation::Ignore {
                let names = new.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
                let unknown = names.filter(|name| !matches!(*name, "apiVersion" | "kind"));
                findings = unknown.map(|name| format!("unknown field {}", quote(name))).collect();
            }
            return Err(nameless(old["metadata"]["name"].as_str().unwrap_or_default()));
        }
        let patch = Patch { encoding, value, duplicates: &decoded.duplicates };
        let (mut new, found) = patch.decode_result(&served, new, validation, apply_patch)?;
        findings = found;
        check_place(&served, old, &new)?;
        findings.extend(dedup_owners(&mut new, " after mutating admission happens"));
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
    // Read as YAML, numbers are whole where they can be.
    typed_object::write_out_whole_numbers(&mut applied);
    check_applied_type(context, &applied)?;
    let schema = context.served.resource.schema.get();
    let root = schema.as_deref().map(|schema| &*schema.root);
    // Whether its values are of their types is looked at before what it is called, and so with all it says.
    let has_form = |value: &Value, of: fn(&Value) -> bool| value.is_null() || of(value);
    let is_whole =
        has_form(&applied["metadata"], Value::is_object) && has_form(&applied["metadata"]["name"], Value::is_string);
    if !is_whole || (scope == WriteScope::Main && applied.get("status").is_some()) {
        apply::check(&applied, root)?;
    }
    let namespace = applied["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let says_namespace = !namespace.is_empty();
    place(&context.served, &context.namespace, &mut applied)?;
    if says_namespace && !context.served.resource.namespaced {
        // Applied it is, and with that something has changed, though nothing comes of it.
        applied["metadata"]["namespace"] = namespace.into();
    }
    // What conflicts is said first.
    let mut named_right = Ok(());
    let says_name = match applied["metadata"].get("name") {
        // What is there already has its name; only what is created must be told.
        None => {
            applied["metadata"]["name"] = context.name.as_str().into();
            false
        }
        Some(Value::String(name)) => {
            named_right = check_name(name, &context.name);
            true
        }
        Some(_) => return Err(nameless(&context.name)),
    };
    let validation = context.query.field_validation()?;
    for finding in duplicate_fields(&decoded.duplicates, validation)? {
        context.warn(finding);
    }
    let force = context.query.flag("force");
    let writer = Writer { creates_through: scope, ..Writer::of(context)? };
    let dry_run = context.query.dry_run()?;
    let api_version = context.served.resource.api_version();
    let named = |error| named_as_sent(error, says_namespace, says_name);
    let empty = typed_kind(&context.served).map(TypedKind::empty);
    // A create can lose against another create, an update against a delete; then it is the other's turn.
    for _ in 0..8 {
        let served = context.served.clone();
        let updated = update_object(context, context.key(), scope, &writer, dry_run, |old, versions| {
            let manager =
                FieldManager { empty: empty.as_ref(), ..writer.field_manager(&served, &api_version, scope, versions) };
            let merged = apply::apply(Some(old), &applied, root, &manager, force).map_err(named)?;
            let merged = converted(&served, merged, &applied).map_err(named)?;
            named_right.clone().map(|()| Merged::Applied(merged))
        })
        .await;
        match updated {
            Err(error) if error.code() == 404 && (scope == WriteScope::Main || may_create(&context.served, scope)) => {}
            other => return other,
        }
        if let Some(uid) = applied["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()) {
            let message =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(ApiError::conflict(&context.served.resource.group_resource(), &context.name, &message));
        }
        let versions = ServedVersions::of(context.plane, &served);
        let manager = writer.field_manager(&served, &api_version, scope, &versions);
        let created = apply::apply(None, &applied, root, &manager, force).map_err(named)?;
        let mut created = converted(&served, created, &applied).map_err(named)?;
        if !says_name {
            return Err(nameless(&context.name));
        }
        named_right.clone()?;
        if let Some(metadata) = created["metadata"].as_object_mut() {
            // There is nothing yet that could have another revision.
            if !dry_run {
                metadata.remove("resourceVersion");
            }
            if !served.resource.namespaced {
                metadata.remove("namespace");
            }
        }
        match create_object(context, Merged::Applied(created), &writer).await {
            Err(error) if error.status().reason == "AlreadyExists" => {}
            other => return other,
        }
    }
    Err(modified(&context.served.resource.group_resource(), &context.name))
}

/// Brings what an apply made into the types of a built-in kind.
fn converted(served: &ServedResource, mut merged: Value, applied: &Value) -> Result<Value, ApiError> {
    let Some(typed) = typed_kind(served) else {
        // Metadata of embedded resources gets its form; what the schema does not know was refused.
        unknown_fields(served, &mut merged);
        return Ok(merged);
    };
    if typed.canonicalize_sent(&mut merged).wrong_values {
        typed.convert(&mut merged).map_err(|why| {
            let ResourceType { group, version, kind, .. } = &*served.resource;
            ApiError::new(
                500,
                "",
                format!(
                    "failed to convert new object ({}) to proper version: unable to convert unstructured object to \
                     {group}/{version}, Kind={kind}: {why}",
                    apply::describe(applied)
                ),
            )
        })?;
        typed.canonicalize_sent(&mut merged);
    }
    Ok(merged)
}

/// The message about a body of the wrong shape names the object as the body does: without what it does not say.
fn named_as_sent(error: ApiError, says_namespace: bool, says_name: bool) -> ApiError {
    let message = &error.status().message;
    let names_object = ["failed to create typed patch object", "failed to convert new object"]
        .iter()
        .any(|text| message.starts_with(text));
    if error.code() != 500 || !names_object {
        return error;
    }
    let parts = message.split_once(" (").and_then(|(start, rest)| Some((start, rest.split_once('/')?)));
    let Some((start, (namespace, rest))) = parts else { return error };
    let Some((name, rest)) = rest.split_once(';') else { return error };
    let namespace = if says_namespace { namespace } else { "" };
    let name = if says_name { name } else { "" };
    ApiError::new(500, "", format!("{start} ({namespace}/{name};{rest}"))
}

/// Warns of duplicate fields of what is applied, or refuses them. Unknown ones have no type, and are refused for that.
fn duplicate_fields(duplicates: &[String], validation: FieldValidation) -> Result<Vec<String>, ApiError> {
    let findings = duplicates.iter().map(|finding| format!("error converting YAML to JSON: {finding}"));
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict if !duplicates.is_empty() => {
            let findings: Vec<String> = findings.collect();
            Err(ApiError::bad_request(format!("error strict decoding YAML: {}", findings.join(", "))))
        }
        _ => Ok(findings.collect()),
    }
}

/// Checks that what is applied is of the type the path names.
fn check_applied_type(context: &RequestContext<'_>, applied: &Value) -> Result<(), ApiError> {
    let served = &*context.served;
    let text = |field: &str| applied[field].as_str().unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    if group.contains('/') {
        return Err(ApiError::bad_request("invalid object type: /, Kind="));
    }
    let is_served = || {
        group == served.resource.group
            && context.plane.registry().find(group, version, &served.resource.plural).is_some()
    };
    if applied.is_null() || (applied.is_object() && (kind.is_empty() || kind != served.resource.kind || !is_served())) {
        let version = if api_version.contains('/') || api_version.is_empty() {
            if api_version.is_empty() { "/".to_owned() } else { api_version.to_owned() }
        } else {
            format!("/{api_version}")
        };
        return Err(ApiError::bad_request(format!("invalid object type: {version}, Kind={kind}")));
    }
    Ok(())
}

fn invalid_options(error: FieldError) -> ApiError {
    ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[error])
}
