//! Objects between their stored form and the version, representation and shape a client asked for.

use bytes::Bytes;
use jiff::Timestamp;
use kogge_machinery::{
    negotiation::{Answer, Representation},
    resource::ResourceType,
    status_error::ApiError,
    table::{self, IncludeObject},
    typed_object::TypedKind,
};
use serde_json::Value;

use super::{answer::Document, object_completion::canonicalize_stored, query::Query};
use crate::{
    builtin::{self, autoscaler_conversion, event_conversion},
    plane::parse_stored,
    registry::ServedResource,
    store::StoredObject,
};

/// A stored object in the served version, with the defaults of the current schema. Bytes that are right as they are
/// stored are passed on untouched; only another version of a kind with a conversion webhook waits for anything.
pub(crate) async fn present(served: &ServedResource, json: &Bytes, revision: u64) -> Result<Document, ApiError> {
    let value = match as_stored(served, json, revision)? {
        Stored::AsServed => return Ok(Document::Bytes(json.clone())),
        Stored::Other(value) => value,
    };
    let value = match &served.converter {
        None => value,
        // In a box, so that reads of what needs no webhook do not carry the state of its call.
        Some(converter) => Box::pin(converter.convert(value, &served.resource.api_version())).await?,
    };
    Ok(Document::Value(convert_to_served(served, value)))
}

/// As [`present`], for lists, watches and answers to writes, which share what a webhook made of each state.
pub(crate) async fn present_shared(served: &ServedResource, json: &Bytes, revision: u64) -> Result<Document, ApiError> {
    let value = match as_stored(served, json, revision)? {
        Stored::AsServed => return Ok(Document::Bytes(json.clone())),
        Stored::Other(value) => value,
    };
    let value = match &served.converter {
        None => value,
        Some(converter) => {
            let mut presented = converter.convert_shared(vec![value], &served.resource.api_version()).await?;
            presented.pop().unwrap_or_default()
        }
    };
    Ok(Document::Value(convert_to_served(served, value)))
}

enum Stored {
    /// Its bytes are what is served.
    AsServed,
    Other(Value),
}

fn as_stored(served: &ServedResource, json: &[u8], revision: u64) -> Result<Stored, ApiError> {
    if is_as_served(served, json, revision) {
        return Ok(Stored::AsServed);
    }
    let value: Value = parse_stored(json)?;
    let is_served = revision > served.schema_revision && value["apiVersion"] == served.resource.api_version().as_str();
    Ok(if is_served { Stored::AsServed } else { Stored::Other(value) })
}

/// As [`present`], parsed.
pub(crate) async fn present_value(served: &ServedResource, json: &Bytes, revision: u64) -> Result<Value, ApiError> {
    present(served, json, revision).await?.into_value()
}

/// As [`present_shared`], for many objects with few calls of a webhook.
pub(crate) async fn present_all(served: &ServedResource, stored: &[StoredObject]) -> Result<Vec<Document>, ApiError> {
    let Some(converter) = &served.converter else {
        let mut documents = Vec::with_capacity(stored.len());
        for object in stored {
            documents.push(present_shared(served, &object.json, object.revision).await?);
        }
        return Ok(documents);
    };
    let api_version = served.resource.api_version();
    let mut documents = Vec::with_capacity(stored.len());
    let (mut places, mut values) = (Vec::new(), Vec::new());
    for (index, object) in stored.iter().enumerate() {
        if is_as_served(served, &object.json, object.revision) {
            documents.push(Document::Bytes(object.json.clone()));
            continue;
        }
        let value = parse_stored(&object.json)?;
        places.push(index);
        values.push(value);
        documents.push(Document::Value(Value::Null));
    }
    let presented = converter.convert_shared(values, &api_version).await?;
    for (index, value) in places.into_iter().zip(presented) {
        documents[index] = Document::Value(convert_to_served(served, value));
    }
    Ok(documents)
}

/// Whether stored JSON is known to be what is served, without parsing it.
pub(crate) fn is_as_served(served: &ServedResource, json: &[u8], revision: u64) -> bool {
    revision > served.schema_revision
        && (served.single_version || begins_with_version(&served.resource, &served.resource.version, json))
}

/// Whether stored JSON is known to be in this version of its kind: keys are sorted, so nearly every object begins with its
/// `apiVersion`.
pub(crate) fn begins_with_version(resource: &ResourceType, version: &str, json: &[u8]) -> bool {
    json.strip_prefix(b"{\"apiVersion\":\"")
        .and_then(|rest| {
            if resource.group.is_empty() {
                Some(rest)
            } else {
                rest.strip_prefix(resource.group.as_bytes())?.strip_prefix(b"/")
            }
        })
        .and_then(|rest| rest.strip_prefix(version.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&b'"'))
}

fn convert_to_served(served: &ServedResource, mut value: Value) -> Value {
    if served.is("events.k8s.io", "events") {
        let mut event = event_conversion::to_events_group(value);
        canonicalize_stored(served, &mut event);
        return event;
    }
    if autoscaler_conversion::is_older(&served.resource) {
        let mut autoscaler = autoscaler_conversion::to_older(value);
        canonicalize_stored(served, &mut autoscaler);
        return autoscaler;
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
///
/// # Errors
/// What the conversion webhook refuses.
pub(crate) async fn convert_to_stored(served: &ServedResource, mut value: Value) -> Result<Value, ApiError> {
    if served.is("events.k8s.io", "events") {
        let mut event = event_conversion::to_core_group(value);
        if let Some(typed) = TypedKind::of("v1", "Event") {
            typed.canonicalize_stored(&mut event);
        }
        return Ok(event);
    }
    if autoscaler_conversion::is_older(&served.resource) {
        let mut autoscaler = autoscaler_conversion::to_newer(value);
        if let Some(newer) = builtin::resource_type_of(&served.resource.group, &served.resource.plural) {
            builtin::defaults::apply(newer, &mut autoscaler);
        }
        if let Some(typed) = TypedKind::of("autoscaling/v2", "HorizontalPodAutoscaler") {
            typed.canonicalize_stored(&mut autoscaler);
        }
        return Ok(autoscaler);
    }
    if served.resource.version != served.resource.storage_version {
        let stored = served.resource.stored_api_version();
        match &served.converter {
            Some(converter) => value = converter.convert(value, &stored).await?,
            None => value["apiVersion"] = stored.into(),
        }
        // Reads of the storage version take what is stored as it is, so that it has to be complete.
        if let Some(schema) = served.storage_schema.get() {
            schema.prune(&mut value);
            schema.apply_defaults(&mut value);
        }
    }
    Ok(value)
}

/// What `includeObject` asks table rows to carry; only tables look at it.
pub(crate) fn include_object(query: &Query, answer: &Answer) -> Result<IncludeObject, ApiError> {
    match query.get("includeObject").filter(|_| answer.representation == Representation::Table) {
        None | Some("Metadata") => Ok(IncludeObject::Metadata),
        Some("Object") => Ok(IncludeObject::Object),
        Some("None") => Ok(IncludeObject::None),
        Some(other) => Err(ApiError::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', \
             'None', or empty"
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
            // What a dry run creates has no revision.
            let metadata = match &object["metadata"]["resourceVersion"] {
                Value::Null => serde_json::json!({}),
                revision => serde_json::json!({"resourceVersion": revision}),
            };
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
