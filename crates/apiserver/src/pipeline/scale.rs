//! The `/scale` subresource: a `Scale` object made from two or three fields of any scalable kind.

use axum::body::Body;
use http::{Response, StatusCode};
use kogge_machinery::{
    negotiation::{BodyEncoding, Representation},
    patch,
    resource::{ResourceType, ScalePaths},
    status_error::{ApiError, FieldError, quote},
    table,
};
use serde_json::{Map, Value, json};

use super::{
    RequestContext,
    answer::{Document, document_response},
    get::load,
    object_decoding::{BodyType, read_body},
    object_type::check_name,
    object_write::{Merged, WriteScope, Writer, update_object},
    patch::read_patch,
    patched_object::Patch,
    presentation::{include_object, present_value},
    subresources,
};

const SCALE: BodyType = BodyType { api_version: "autoscaling/v1", kind: "Scale", go_type: Some("autoscaling.Scale") };

/// Answers a request for the scale of an object.
pub(crate) async fn handle(
    context: &mut RequestContext<'_>,
    paths: &ScalePaths,
    verb: &str,
    request_body: Body,
) -> Result<Response<Body>, ApiError> {
    let scale = match verb {
        "get" => {
            let stored = load(context)?;
            let object = present_value(&context.served, &stored.json, stored.revision).await?;
            if context.served.resource.custom && replicas_of(paths, &object).is_none() {
                let path = &paths.spec_replicas_path;
                return Err(ApiError::internal(format!("the spec replicas field {} does not exist", quote(path))));
            }
            scale_of(paths, &object)
        }
        "update" => {
            let read = read_body(context, SCALE, request_body).await;
            let sent = read.map_err(|why| if context.served.resource.custom { unreadable(why) } else { why })?;
            check_place(context, &sent)?;
            write(context, paths, |_| Ok(sent.clone())).await?
        }
        "patch" => {
            let (encoding, decoded) = read_patch(context, request_body).await?;
            let validation = context.query.field_validation()?;
            let change = Patch { encoding, value: &decoded.value, duplicates: &decoded.duplicates };
            let mut findings = Vec::new();
            // The decoder of custom resources knows this type alone.
            let of = if context.served.resource.custom { BodyType { go_type: None, ..SCALE } } else { SCALE };
            if encoding == BodyEncoding::MergePatch && decoded.value.is_null() {
                return Err(ApiError::bad_request("Invalid JSON Patch"));
            }
            let scale = write(context, paths, |current| {
                let apply_patch = || match encoding {
                    BodyEncoding::JsonPatch => patch::json_patch(current, &decoded.value),
                    _ if decoded.value.is_null() => Ok(current.clone()),
                    // A Scale has no lists, so a strategic patch and an apply of it are merges.
                    _ => Ok(patch::merge_patch(current, &decoded.value)),
                };
                let (scale, found) = change.decode_body(of, apply_patch()?, validation, apply_patch)?;
                findings = found;
                check_place(context, &scale)?;
                Ok(scale)
            })
            .await;
            for finding in findings {
                context.warn(finding);
            }
            scale?
        }
        _ => return Err(subresources::wrong_method(context, verb)),
    };
    answer(context, scale)
}

/// A Scale in the representation the client asked for.
fn answer(context: &RequestContext<'_>, scale: Value) -> Result<Response<Body>, ApiError> {
    let resource = &context.served.resource;
    let document = match context.answer.representation {
        Representation::PartialObjectMetadataList => {
            let package = if resource.custom { "v1" } else { "autoscaling" };
            let message = format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*{package}.Scale)"
            );
            return Err(ApiError::new(406, "NotAcceptable", message));
        }
        Representation::PartialObjectMetadata => table::partial_object_metadata(&scale, &context.answer.version),
        Representation::Table => {
            let shown = ResourceType { columns: table::scale_columns(), cells: None, ..ResourceType::clone(resource) };
            let metadata = json!({"resourceVersion": scale["metadata"]["resourceVersion"]});
            let include = include_object(&context.query, &context.answer)?;
            let (version, now) = (&context.answer.version, context.now.as_second());
            let mut table = table::table(&shown, &[scale], metadata, include, true, version, now);
            if !resource.custom {
                // The columns of built-in kinds are declared elsewhere, more simply.
                table["columnDefinitions"][0]["format"] = "".into();
                table["columnDefinitions"][3]["type"] = "string".into();
            }
            table
        }
        Representation::Object | Representation::AggregatedDiscovery => scale,
    };
    document_response(&context.answer, StatusCode::OK, Document::Value(document))
}

/// The real server cannot say what is wrong with the scale of a custom resource, and says why it cannot.
fn unreadable(why: ApiError) -> ApiError {
    if why.code() != 400 {
        return why;
    }
    ApiError::bad_request("no kind is registered for the type v1.Scale in scheme \"pkg/runtime/scheme.go:111\"")
}

async fn write(
    context: &RequestContext<'_>,
    paths: &ScalePaths,
    mut change: impl FnMut(&Value) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    let writer = Writer::of(context)?;
    let dry_run = context.query.dry_run()?;
    let resource = &context.served.resource;
    let written = update_object(context, context.key(), WriteScope::Composed("scale"), &writer, dry_run, |old, _| {
        let mut current = scale_of(paths, old);
        let unset = resource.custom && replicas_of(paths, old).is_none();
        if unset {
            current["spec"]["replicas"] = UNSET.into();
        }
        let owners = owners_of_replicas(paths, old);
        if !owners.is_empty() {
            current["metadata"]["managedFields"] = owners.into();
        }
        let wanted = change(&current)?;
        let replicas = wanted_replicas(resource, &context.name, &wanted)?;
        if unset && replicas == UNSET {
            let path = quote(&paths.spec_replicas_path);
            return Err(ApiError::bad_request(format!("the spec replicas field {path} cannot be empty")));
        }
        let mut new = old.clone();
        for field in ["resourceVersion", "uid"] {
            if let Some(named) = wanted["metadata"][field].as_str().filter(|text| !text.is_empty()) {
                new["metadata"][field] = named.into();
            }
        }
        set(&mut new, &paths.spec_replicas_path, replicas.into());
        Ok(Merged::Untracked(new))
    })
    .await?;
    Ok(scale_of(paths, &written.object.into_value()?))
}

/// Who owns the replicas, as a Scale says it while it is changed.
fn owners_of_replicas(paths: &ScalePaths, object: &Value) -> Vec<Value> {
    let owns = |entry: &&Value| {
        let mut segments = paths.spec_replicas_path.split('.').filter(|segment| !segment.is_empty());
        segments.try_fold(&entry["fieldsV1"], |fields, segment| fields.get(format!("f:{segment}"))).is_some()
    };
    let entries = object["metadata"]["managedFields"].as_array();
    let owners = entries.into_iter().flatten().filter(owns).cloned().map(|mut entry| {
        entry["apiVersion"] = SCALE.api_version.into();
        entry["fieldsV1"] = json!({"f:spec": {"f:replicas": {}}});
        entry
    });
    owners.collect()
}

/// What the real server puts for replicas a custom resource does not have, to see whether a change sets them.
const UNSET: i64 = i32::MIN as i64;

/// A Scale that says a name or namespace has to say that of the path.
fn check_place(context: &RequestContext<'_>, scale: &Value) -> Result<(), ApiError> {
    let said = |field: &str| scale["metadata"][field].as_str().filter(|text| !text.is_empty());
    if said("namespace").is_some_and(|namespace| namespace != context.namespace) {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    check_name(said("name").unwrap_or_default(), &context.name)
}

fn wanted_replicas(resource: &ResourceType, name: &str, scale: &Value) -> Result<i64, ApiError> {
    let replicas = match &scale["spec"]["replicas"] {
        // A Scale without replicas asks for none: the zero value of the real server's type.
        Value::Null => 0,
        value => value.as_i64().ok_or_else(|| ApiError::bad_request("spec.replicas must be an integer"))?,
    };
    // The schema of a custom resource tells what its replicas may be.
    if resource.custom || (0..=i64::from(i32::MAX)).contains(&replicas) {
        return Ok(replicas);
    }
    let error = FieldError::invalid("spec.replicas", &replicas.into(), "must be greater than or equal to 0");
    Err(ApiError::invalid("autoscaling", "Scale", name, &[error]))
}

/// The replicas an object asks for, where it says so.
fn replicas_of<'a>(paths: &ScalePaths, object: &'a Value) -> Option<&'a Value> {
    at(object, &paths.spec_replicas_path).filter(|value| value.is_i64() || value.is_u64())
}

/// The `Scale` of an object.
pub(crate) fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let from = &object["metadata"];
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = from.get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let mut spec = Map::new();
    // Zero is left out, as by the real server's type.
    if let Some(replicas) = replicas_of(paths, object).filter(|replicas| **replicas != 0) {
        spec.insert("replicas".to_owned(), replicas.clone());
    }
    let mut status = json!({"replicas": at(object, &paths.status_replicas_path).and_then(Value::as_i64).unwrap_or(0)});
    if let Some(selector) = paths.label_selector_path.as_deref().and_then(|path| at(object, path)) {
        let text = match selector {
            Value::String(text) => text.clone(),
            other => selector_text(other),
        };
        if !text.is_empty() {
            status["selector"] = text.into();
        }
    }
    json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec, "status": status})
}

/// Sets the replicas an object asks for.
pub(crate) fn set_replicas(paths: &ScalePaths, object: &mut Value, replicas: Value) {
    set(object, &paths.spec_replicas_path, replicas);
}

/// A label selector object (or the plain map of a ReplicationController) as `a=b,c in (d,e)`.
pub(crate) fn selector_text(selector: &Value) -> String {
    let is_structured = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let labels = if is_structured { &selector["matchLabels"] } else { selector };
    let mut parts: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let values = values.join(",");
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    parts.join(",")
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|segment| !segment.is_empty()).try_fold(object, |value, segment| value.get(segment))
}

fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for segment in path.split('.').filter(|segment| !segment.is_empty()) {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[segment];
    }
    *place = value;
}
