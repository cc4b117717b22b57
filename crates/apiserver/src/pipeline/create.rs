//! POST of an object to a collection.

use axum::body::Body;
use http::{Response, StatusCode};
use kogge_machinery::{
    admission::Operation, negotiation, object_meta, resource::GroupResource, status_error::ApiError,
};
use rand::Rng as _;
use serde_json::Value;

use super::{
    RequestContext,
    admission::{Review, admit},
    answer::Document,
    app_armor, body, builtin_admission, certificate_request, definition_write, escalation,
    get::object_response,
    limit_ranges, node_restriction,
    object_completion::{begin_create, canonicalize, clean_fields, finish_create},
    object_decoding::decode_resource,
    object_type::check_type,
    object_write::{Merged, WriteScope, Writer, Written, prune_admitted, write_error, write_out_numbers},
    pod_security, policy_access,
    presentation::{convert_to_stored, present_shared},
    quota_charge::{self, Charge},
    reviews,
};
use crate::{
    builtin,
    registry::ServedResource,
    store::{Change, Expected, StoredObject, Write, WriteError},
};

/// So many generated names may be taken before a create gives up.
const GENERATED_NAMES: usize = 8;

/// Answers a create.
pub(crate) async fn create(context: &mut RequestContext<'_>, body: Body) -> Result<Response<Body>, ApiError> {
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
    if reviews::is_review(&context.served) {
        canonicalize(&context.served, &mut object);
        return reviews::answer(context, &object).await;
    }
    if let Some(warning) = dedup_owners(&mut object, "") {
        context.warn(warning);
    }
    let writer = Writer::of(context)?;
    let written = create_object(context, Merged::Untracked(object), &writer).await?;
    object_response(context, written.code, written.object)
}

/// Puts the namespace of the path into the object.
///
/// # Errors
/// 400 where the object names another one, or names a revision.
pub(crate) fn place(served: &ServedResource, namespace: &str, object: &mut Value) -> Result<(), ApiError> {
    if object.get("metadata").is_none_or(Value::is_null) {
        object["metadata"] = Value::Object(serde_json::Map::new());
    }
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return Err(ApiError::bad_request("metadata must be an object"));
    };
    let named = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if served.resource.namespaced {
        if !named.is_empty() && named != namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata.insert("namespace".to_owned(), namespace.into());
    } else {
        metadata.remove("namespace");
    }
    Ok(())
}

/// Tells what is unwise about an accepted object.
pub(super) fn warn(context: &RequestContext<'_>, object: &Value, old: Option<&Value>) {
    let resource = &context.served.resource;
    let warnings = if resource.custom {
        object_meta::finalizer_warnings(object, old)
    } else {
        builtin::validation::warnings(resource, object, old)
    };
    for warning in warnings {
        context.admission_warnings.push(warning);
    }
}

/// Removes owner references that are there twice; answers what the client is told of that. `when` is nothing, or when they
/// were found.
pub(super) fn dedup_owners(object: &mut Value, when: &str) -> Option<String> {
    let repeated = object_meta::dedup_owner_references(object);
    (!repeated.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may \
             reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            repeated.join(", ")
        )
    })
}

fn admit_builtin(context: &RequestContext<'_>, object: &mut Value) -> Result<(), ApiError> {
    builtin_admission::admit(context.plane, &context.served.resource, None, object)?;
    if context.served.is_core("nodes") {
        builtin_admission::taint_new_node(object);
    }
    Ok(())
}

/// Creates an object, with a generated name where it asks for one.
///
/// # Errors
/// 409 if the name is taken, and what completing refuses.
pub(crate) async fn create_object(
    context: &RequestContext<'_>,
    mut merged: Merged,
    writer: &Writer,
) -> Result<Written, ApiError> {
    let served = &*context.served;
    let resource = &served.resource;
    certificate_request::prepare_create(context, &mut merged)?;
    if served.terminating {
        let name = merged.object()["metadata"]["name"].as_str().unwrap_or_default();
        let why = "create not allowed while custom resource definition is terminating";
        return Err(ApiError::forbidden(&resource.group_resource(), name, why));
    }
    let dry_run = context.query.dry_run()?;
    // Only the store minds a revision, if it is one, after everybody else; so a dry run gives it back.
    let revision =
        merged.object_mut()["metadata"].as_object_mut().and_then(|metadata| metadata.remove("resourceVersion"));
    let revision = revision.filter(|revision| revision.as_str().is_some_and(|text| !text.is_empty()));
    let names_revision = revision.as_ref().and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
    let (mut object, empty) = begin_create(context.plane, served, merged, writer).await;
    admit(context.plane, served, None, &object)?;
    let given_name = object["metadata"]["name"].as_str().unwrap_or_default();
    let given_key = context.key_of(given_name);
    let written = node_restriction::Written {
        operation: Operation::Create,
        subresource: "",
        namespace: &context.namespace,
        name: given_name,
        object: Some(&object),
        old: None,
    };
    node_restriction::check(context.plane, served, writer.requester.as_ref(), written)?;
    let review =
        Review::of(context.plane, served, &given_key, Operation::Create, WriteScope::Main, writer.requester.as_ref());
    limit_ranges::set_defaults(context.plane, served, &mut object)?;
    admit_builtin(context, &mut object)?;
    if let Some(review) = &review {
        let mutated = review.mutate(None, object).await?;
        object = mutated.object;
        check_type(served, &object)?;
        place(served, &context.namespace, &mut object)?;
        // As the real server's chain is run again where a webhook changed something.
        if mutated.patched {
            admit_builtin(context, &mut object)?;
        }
    }
    if served.is_core("pods") {
        for warning in app_armor::fields_of_annotations(&mut object) {
            context.admission_warnings.push(warning);
        }
    }
    escalation::check(context, &object, None)?;
    let fixed_name = object["metadata"]["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    let prefix = object["metadata"]["generateName"].as_str().filter(|prefix| !prefix.is_empty()).map(str::to_owned);
    let attempts = if fixed_name.is_some() { 1 } else { GENERATED_NAMES };
    let mut begun = Some(object);
    for attempt in 1..=attempts {
        // Only a generated name can be taken and tried again: the last (mostly the only) attempt needs no copy.
        let candidate = if attempt == attempts { begun.take() } else { begun.clone() };
        let Some(mut candidate) = candidate else { break };
        let name = match (&fixed_name, &prefix) {
            (Some(name), _) => name.clone(),
            (None, Some(prefix)) => {
                let mut random = [0; 5];
                rand::rng().fill(&mut random);
                object_meta::generate_name(prefix, random)
            }
            (None, None) if served.is_core("limitranges") => uuid::Uuid::new_v4().to_string(),
            // Refused for it, with whatever else is wrong, when it is validated.
            (None, None) => String::new(),
        };
        if !name.is_empty() {
            candidate["metadata"]["name"] = name.as_str().into();
        }
        let uid = uuid::Uuid::new_v4().to_string();
        let mut object = finish_create(context.plane, served, (candidate, &empty), writer, &uid)?;
        policy_access::check(context, &object, None)?;
        warn(context, &object, None);
        pod_security::check(context, WriteScope::Main, None, &object)?;
        builtin_admission::validate(context.plane, resource, None, &object)?;
        if let Some(review) = &review {
            review.validate(None, &object).await?;
            prune_admitted(served, &mut object);
        }
        write_out_numbers(served, &mut object);
        let charge = Charge::of(context.plane, served, WriteScope::Main, None, &object)?;
        let key = context.key_of(&name);
        if dry_run {
            if let Some(charge) = &charge {
                charge.check(context.plane)?;
            }
            if let Some(existing) = context.plane.get(&key)? {
                return Err(taken(&resource.group_resource(), &name, prefix.is_some(), Some(&existing)));
            }
            if let Some(revision) = revision {
                object["metadata"]["resourceVersion"] = revision;
            }
            return Ok(Written { object: Document::Value(object), code: StatusCode::CREATED });
        }
        if names_revision.is_some_and(|revision| revision != 0) {
            return Err(ApiError::new(500, "", "resourceVersion should not be set on objects to be created"));
        }
        let object = convert_to_stored(served, object).await?;
        let written = if definition_write::is_definition(served) {
            definition_write::create(context.plane, served, key, object, &writer.now).await
        } else {
            let write = Write { key, change: Change::Put(object), expected: Expected::Absent };
            quota_charge::write(context.plane, charge, write).await?
        };
        match written {
            Ok(written) => {
                let object = present_shared(served, &written.json, written.revision).await?;
                return Ok(Written { object, code: StatusCode::CREATED });
            }
            Err(WriteError::Exists) if fixed_name.is_none() && attempt < attempts => {}
            Err(WriteError::Exists) => {
                let existing = context.plane.get(&context.key_of(&name))?;
                return Err(taken(&resource.group_resource(), &name, prefix.is_some(), existing.as_ref()));
            }
            Err(error) => return Err(write_error(&error)),
        }
    }
    Err(ApiError::internal("no free name could be generated"))
}

/// 409 of a name that somebody has. Of one beside which there is what it could have been generated from, the real server says
/// that it found no other.
fn taken(resource: &GroupResource, name: &str, is_generated: bool, existing: Option<&StoredObject>) -> ApiError {
    let mut error = if is_generated {
        // Said of the kind that is stored: events have one group there.
        let is_event = resource.group == "events.k8s.io" && resource.resource == "events";
        let group = if is_event { String::new() } else { resource.group.clone() };
        ApiError::generate_name_conflict(&GroupResource { group, ..resource.clone() }, name)
    } else {
        ApiError::already_exists(resource, name)
    };
    let existing: Option<Value> = existing.and_then(|stored| serde_json::from_slice(&stored.json).ok());
    if existing.is_some_and(|existing| existing["metadata"]["deletionTimestamp"].is_string()) {
        error.0.message.insert_str(0, "object is being deleted: ");
    }
    error
}
