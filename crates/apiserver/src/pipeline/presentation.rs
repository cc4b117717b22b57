//! Objects between their stored form and the version, representation and shape a client asked for.

use bytes::Bytes;
use jiff::Timestamp;
use kogge_machinery::{
    negotiation::{Answer, Representation},
    status_error::ApiError,
    table::{self, IncludeObject},
};
use serde_json::Value;

use super::{answer::Document, query::Query};
use crate::{builtin::event_conversion, registry::ServedResource};

/// A stored object in the served version, with the defaults of the current schema. Bytes that are right as they are
/// stored are passed on untouched.
pub(crate) fn present(served: &ServedResource, json: &Bytes, revision: u64) -> Result<Document, ApiError> {
    if revision > served.schema_revision && (served.single_version || begins_with_version(served, json)) {
        return Ok(Document::Bytes(json.clone()));
    }
    let value: Value =
        serde_json::from_slice(json).map_err(|error| ApiError::internal(format!("stored object: {error}")))?;
    if revision > served.schema_revision && value["apiVersion"] == served.resource.api_version().as_str() {
        return Ok(Document::Bytes(json.clone()));
    }
    Ok(Document::Value(convert_to_served(served, value)))
}

/// As [`present`], parsed.
pub(crate) fn present_value(served: &ServedResource, json: &Bytes, revision: u64) -> Result<Value, ApiError> {
    present(served, json, revision)?.into_value()
}

/// Keys are sorted, so nearly every object begins with its `apiVersion`.
fn begins_with_version(served: &ServedResource, json: &[u8]) -> bool {
    let resource = &served.resource;
    json.strip_prefix(b"{\"apiVersion\":\"")
        .and_then(|rest| {
            if resource.group.is_empty() {
                Some(rest)
            } else {
                rest.strip_prefix(resource.group.as_bytes())?.strip_prefix(b"/")
            }
        })
        .and_then(|rest| rest.strip_prefix(resource.version.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&b'"'))
}

fn convert_to_served(served: &ServedResource, mut value: Value) -> Value {
    if served.is("events.k8s.io", "events") {
        return event_conversion::to_events_group(value);
    }
    let api_version = served.resource.api_version();
    if value["apiVersion"] != api_version.as_str() {
        value["apiVersion"] = api_version.into();
    }
    if let Some(schema) = served.resource.schema.get().filter(|_| served.resource.custom) {
        schema.prune(&mut value);
        schema.apply_defaults(&mut value);
    }
    value
}

/// An object of the served version as it is stored.
pub(crate) fn convert_to_stored(served: &ServedResource, mut value: Value) -> Value {
    if served.is("events.k8s.io", "events") {
        return event_conversion::to_core_group(value);
    }
    if served.resource.version != served.resource.storage_version {
        value["apiVersion"] = if served.resource.group.is_empty() {
            served.resource.storage_version.clone().into()
        } else {
            format!("{}/{}", served.resource.group, served.resource.storage_version).into()
        };
    }
    value
}

/// What `includeObject` asks table rows to carry.
pub(crate) fn include_object(query: &Query) -> Result<IncludeObject, ApiError> {
    match query.get("includeObject") {
        None | Some("Metadata") => Ok(IncludeObject::Metadata),
        Some("Object") => Ok(IncludeObject::Object),
        Some("None") => Ok(IncludeObject::None),
        Some(other) => Err(ApiError::bad_request(format!(
            "unrecognized includeObject value: {other:?}: supported values: None, Metadata, Object"
        ))),
    }
}

/// One object in the representation the client asked for.
pub(crate) fn represent(
    served: &ServedResource,
    answer: &Answer,
    include: IncludeObject,
    with_columns: bool,
    object: Document,
    now: Timestamp,
) -> Result<Document, ApiError> {
    match answer.representation {
        Representation::Table => {
            let object = object.into_value()?;
            let metadata = serde_json::json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            Ok(Document::Value(table::table(
                &served.resource,
                &[object],
                metadata,
                include,
                with_columns,
                &answer.version,
                now.as_second(),
            )))
        }
        Representation::PartialObjectMetadata | Representation::PartialObjectMetadataList => {
            Ok(Document::Value(table::partial_object_metadata(&object.into_value()?, &answer.version)))
        }
        Representation::Object | Representation::AggregatedDiscovery => Ok(object),
    }
}
