//! Creating many objects at once, as when a plane is seeded.

use std::{collections::HashSet, sync::Arc};

use kogge_machinery::{rbac::GROUP, resource::GroupResource, status_error::ApiError};
use serde_json::Value;

use super::{
    admission::admit,
    builtin_admission,
    create::place,
    definition_write, limit_ranges,
    object_completion::{begin_create, canonicalize, canonicalize_stored, clean_fields, finish_create},
    object_write::{Merged, WriteScope, Writer, timestamp, write_error},
    presentation::convert_to_stored,
    query::FieldValidation,
    quota_charge::{self, Charge, Refused},
};
use crate::{
    plane::Plane,
    rbac,
    registry::ServedResource,
    store::{Change, Expected, ObjectKey, Write, WriteError},
};

/// Who owns seeded fields.
const MANAGER: &str = "kogge";

/// See [`Plane::apply_all`].
pub(crate) async fn create_all(plane: &Plane, objects: Vec<Value>) -> Result<usize, ApiError> {
    let of_access = |object: &Value| object["apiVersion"].as_str().is_some_and(|version| version.starts_with(GROUP));
    if objects.iter().any(of_access) {
        rbac::settle(plane, true).await?;
    }
    create_all_as(plane, objects, MANAGER).await
}

/// As [`create_all`], with the fields owned by `manager`.
pub(crate) async fn create_all_as(plane: &Plane, objects: Vec<Value>, manager: &str) -> Result<usize, ApiError> {
    let (first, rest): (Vec<Value>, Vec<Value>) = objects.into_iter().partition(|object| {
        matches!(object["kind"].as_str(), Some("CustomResourceDefinition" | "Namespace"))
            && matches!(object["apiVersion"].as_str(), Some("apiextensions.k8s.io/v1" | "v1"))
    });
    Ok(create_transaction(plane, first, manager).await? + create_transaction(plane, rest, manager).await?)
}

async fn create_transaction(plane: &Plane, objects: Vec<Value>, manager: &str) -> Result<usize, ApiError> {
    let writer = Writer::own(manager, timestamp(jiff::Timestamp::now()));
    let mut pending = Vec::with_capacity(objects.len());
    let mut charges = Vec::with_capacity(objects.len());
    let mut seen = HashSet::new();
    for object in objects {
        if let Some((write, charge)) = prepare(plane, object, &writer).await?
            && seen.insert(write.key.clone())
        {
            pending.push(write);
            charges.push(charge);
        }
    }
    loop {
        if pending.is_empty() {
            return Ok(0);
        }
        let count = pending.len();
        let due: Vec<&Charge> = charges.iter().flatten().collect();
        match quota_charge::write_many(plane, &due, pending).await {
            Ok(_) => return Ok(count),
            // Somebody else made this one meanwhile: the others are still to be made.
            Err((mut others, Refused::Store(index, WriteError::Exists))) => {
                others.remove(index);
                charges.remove(index);
                pending = others;
            }
            Err((_, Refused::Store(_, error))) => return Err(write_error(&error)),
            Err((_, Refused::Forbidden(error))) => return Err(error),
        }
    }
}

/// The write that creates an object with its charge, or none if it is there.
async fn prepare(
    plane: &Plane,
    mut object: Value,
    writer: &Writer,
) -> Result<Option<(Write, Option<Charge>)>, ApiError> {
    let served = find(plane, &object)?;
    // Seeds carry the status they are to start with, which a create would drop.
    let status = object.get("status").cloned();
    canonicalize(&served, &mut object);
    clean_fields(&served, &mut object, &mut Vec::new(), FieldValidation::Strict)?;
    let namespace = if served.resource.namespaced {
        object["metadata"]["namespace"]
            .as_str()
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or("default")
            .to_owned()
    } else {
        String::new()
    };
    place(&served, &namespace, &mut object)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let key = ObjectKey { resource: served.stored_as.clone(), namespace, name };
    if plane.get(&key)?.is_some() {
        return Ok(None);
    }
    let uid = uuid::Uuid::new_v4().to_string();
    let (mut object, empty) = begin_create(plane, &served, Merged::Untracked(object), writer).await;
    admit(plane, &served, None, &object)?;
    limit_ranges::set_defaults(plane, &served, &mut object)?;
    builtin_admission::admit(plane, &served.resource, None, &mut object)?;
    let mut object = finish_create(plane, &served, (object, &empty), writer, &uid)?;
    if definition_write::is_definition(&served) {
        definition_write::settle_at_once(plane, &mut object, &writer.now);
    } else if let Some(status) = status {
        object["status"] = status;
        canonicalize_stored(&served, &mut object);
    }
    let charge = Charge::of(plane, &served, WriteScope::Main, None, &object)?;
    let object = convert_to_stored(&served, object).await?;
    Ok(Some((Write { key, change: Change::Put(object), expected: Expected::Absent }, charge)))
}

fn find(plane: &Plane, object: &Value) -> Result<Arc<ServedResource>, ApiError> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = plane
        .registry()
        .resource_types()
        .into_iter()
        .find(|resource| resource.kind == kind && resource.group == group && resource.version == version)
        .ok_or_else(|| ApiError::bad_request(format!("no matches for kind {kind:?} in version {api_version:?}")))?;
    plane.registry().find(group, version, &resource.plural).ok_or_else(|| {
        ApiError::not_found(&GroupResource { group: group.to_owned(), resource: resource.plural.clone() }, "")
    })
}
