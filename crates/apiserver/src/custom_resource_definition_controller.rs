//! The end of a CustomResourceDefinition: its objects are deleted, and when the last is gone its finalizer goes.
//!
//! Everything else real controllers do with definitions (names, Established) follows each write at once.

use std::time::Duration;

use futures::StreamExt as _;
use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde_json::Value;

use crate::{
    pipeline::{
        CLEANUP_FINALIZER, DEFINITION_MANAGER as MANAGER, DeleteOptions, WriteScope, change_object, delete_object,
        set_terminating, settle, stored_definitions, timestamp,
    },
    plane::{Plane, list_error, parse_stored},
    registry::is_established,
    server::{Server, WeakServer},
    store::{Change, Expected, ObjectKey, PlaneName, Scope, Watch, WriteError},
};

/// A wait for the last objects looks again after this time whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Goes on with definitions that were being deleted or settled when the server ended.
pub(crate) async fn resume(server: &Server) {
    let now = jiff::Timestamp::now();
    for plane in server.planes() {
        let definitions = match stored_definitions(&plane) {
            Ok(definitions) => definitions,
            Err(error) => {
                tracing::warn!(%error, "failed to go on with the definitions of a plane");
                continue;
            }
        };
        for (definition, revision) in definitions {
            if definition["metadata"]["deletionTimestamp"].is_string() {
                server.clean_up_definition(&plane, definition["metadata"]["name"].as_str().unwrap_or_default());
            } else {
                settle(&plane, &definition, revision, now).await;
            }
        }
    }
}

/// Deletes the objects of a definition, waits until they are gone and removes the finalizer.
pub(crate) async fn clean_up(server: &WeakServer, plane: &PlaneName, definition: &str) {
    loop {
        // The server is held only while something is done, so waiting here does not keep it open.
        let Some(plane) = server.upgrade().and_then(|server| server.plane(plane)) else { return };
        let waiting = match step(&plane, definition).await {
            Ok(None) => return,
            Ok(Some(changes)) => Some(changes),
            Err(error) => {
                tracing::warn!(definition, %error, "failed to delete the objects of a definition");
                None
            }
        };
        drop(plane);
        match waiting {
            Some(mut changes) => drop(tokio::time::timeout(LOOK_AGAIN, changes.next()).await),
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Deletes what is there. Returns what to wait for, or none when the definition is done with.
async fn step(plane: &Plane, definition: &str) -> Result<Option<Watch>, ApiError> {
    let key = ObjectKey { resource: definitions(), namespace: String::new(), name: definition.to_owned() };
    tell_beginning(plane, &key).await;
    let Some(stored) = plane.get(&key)? else { return Ok(None) };
    let mut object: Value = parse_stored(&stored.json)?;
    if !is_ending(&object) {
        return Ok(None);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let instances =
        GroupResource { group: text(&object["spec"]["group"]), resource: text(&object["spec"]["names"]["plural"]) };
    let scope = Scope::Resource(instances.clone());
    let page = plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
    if let (Some(served), false) = (plane.registry().find_stored(&instances), page.items.is_empty()) {
        for item in &page.items {
            match delete_object(plane, &served, &item.key, &DeleteOptions::default(), None).await {
                Err(error) if error.code() != 404 => return Err(error),
                _ => {}
            }
        }
    }
    let left = plane.store().count(&scope).map_err(|error| ApiError::internal(error.to_string()))?;
    if left > 0 {
        let watch = plane.store().watch(scope, page.revision).map_err(|error| ApiError::internal(error.to_string()))?;
        return Ok(Some(watch));
    }
    let last = object.clone();
    if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
        finalizers.retain(|finalizer| finalizer != CLEANUP_FINALIZER);
    }
    let (reason, message) = if is_established(&object) {
        ("InstanceDeletionCompleted", "removed all instances")
    } else {
        ("NeverEstablished", "resource was never established")
    };
    set_terminating(&mut object, "False", reason, message, &timestamp(jiff::Timestamp::now()));
    let others = object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    // What goes is what was stored, as watches show it.
    let change = if others { Change::Put(object) } else { Change::Delete(last) };
    match plane.write(key.clone(), change, Expected::Revision(stored.revision)).await {
        Ok(_) | Err(WriteError::Missing | WriteError::PlaneGone) => Ok(None),
        Err(WriteError::Conflict { .. }) => {
            // Somebody changed the definition meanwhile: look again at once.
            let watch = plane.store().watch(Scope::Resource(definitions()), stored.revision);
            watch.map(Some).map_err(|error| ApiError::internal(error.to_string()))
        }
        Err(error) => Err(ApiError::internal(error.to_string())),
    }
}

/// Whether a definition waits for the end of its objects.
fn is_ending(definition: &Value) -> bool {
    let metadata = &definition["metadata"];
    let mut finalizers = metadata["finalizers"].as_array().into_iter().flatten();
    metadata["deletionTimestamp"].is_string() && finalizers.any(|finalizer| finalizer == CLEANUP_FINALIZER)
}

/// Says in a definition that its objects are being deleted.
async fn tell_beginning(plane: &Plane, key: &ObjectKey) {
    let Some(served) = plane.registry().find_stored(&key.resource) else { return };
    let now = timestamp(jiff::Timestamp::now());
    let (reason, message) = ("InstanceDeletionInProgress", "CustomResource deletion is in progress");
    let change =
        |definition: &mut Value| is_ending(definition) && set_terminating(definition, "True", reason, message, &now);
    match change_object(plane, &served, key, WriteScope::Status("status"), MANAGER, change).await {
        Err(error) if error.code() != 404 => {
            tracing::warn!(definition = key.name, %error, "failed to tell that the objects of a definition are deleted");
        }
        _ => {}
    }
}

fn definitions() -> GroupResource {
    GroupResource { group: "apiextensions.k8s.io".to_owned(), resource: "customresourcedefinitions".to_owned() }
}
