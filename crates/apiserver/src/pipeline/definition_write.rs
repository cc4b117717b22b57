//! Writes of CustomResourceDefinitions. A definition is stored as it was sent; its names and conditions are settled by a
//! second write, as kube-apiserver's controllers do, but before the first is answered: whoever reads next finds it
//! Established. With a create, both are one transaction, so a crash leaves none that is not settled.

use kogge_machinery::{
    custom_resource_definition::{self, NamePool},
    resource::GroupResource,
    status_error::ApiError,
};
use serde_json::{Map, Value, json};

use super::{
    controller_write::change_object,
    object_completion::track_update,
    object_write::{WriteScope, Writer, timestamp},
};
use crate::{
    plane::{Plane, list_error},
    registry::ServedResource,
    store::{Change, Expected, ObjectKey, Scope, StoredObject, Write, WriteError},
    trust,
};

/// The finalizer that keeps a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether objects of this type are CustomResourceDefinitions.
pub(crate) fn is_definition(served: &ServedResource) -> bool {
    served.is(GROUP, PLURAL)
}

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";
/// Who writes the status in the real server.
pub(crate) const MANAGER: &str = "kube-apiserver";

/// Gives a definition the status its `spec` asks for, short of what has to be settled with other definitions.
pub(crate) fn prepare(definition: &mut Value, old: Option<&Value>) {
    if old.is_none() {
        definition["status"] = json!({"acceptedNames": {"kind": "", "plural": ""}});
    }
    custom_resource_definition::note_storage_version(definition);
}

/// The status once names are settled with the other definitions of the group; none where it is that already.
fn settled_status(plane: &Plane, definition: &Value, now: &str) -> Option<Value> {
    if definition["metadata"]["deletionTimestamp"].is_string() {
        return None;
    }
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    let taken = |pool: NamePool, name: &str| plane.registry().name_taken(group, pool, name);
    let mut status = custom_resource_definition::established_status(definition, now, &taken);
    if trust::conversion_problem(definition).is_some() {
        custom_resource_definition::withhold_establishment(definition, &mut status, now);
    }
    (status != definition["status"]).then_some(status)
}

/// Settles the status within the write that creates a definition, for seeds.
pub(crate) fn settle_at_once(plane: &Plane, definition: &mut Value, now: &str) {
    if let Some(status) = settled_status(plane, definition, now) {
        definition["status"] = status;
    }
}

/// Stores a new definition and settles it, in one transaction where admission has no say in the second write. Returns what
/// the first one stored.
///
/// # Errors
/// As [`Plane::write`].
pub(crate) async fn create(
    plane: &Plane,
    served: &ServedResource,
    key: ObjectKey,
    mut definition: Value,
    now: &str,
) -> Result<StoredObject, WriteError> {
    let settled = match settled_status(plane, &definition, now) {
        Some(status) => settled_fields(plane, served, &mut definition, status, now).await,
        None => None,
    };
    let put = Write { key: key.clone(), change: Change::Put(definition), expected: Expected::Absent };
    let mut writes = vec![put];
    writes.extend(settled.map(|fields| Write { key, change: Change::PutFields(fields), expected: Expected::Present }));
    let written = plane.write_many(&mut writes).await.map_err(|(_, error)| error)?;
    // Taking a tree of some hundred kilobytes apart takes a while; who asked gets the answer first.
    tokio::spawn(async { drop(writes) });
    written.into_iter().next().ok_or_else(|| WriteError::Storage("the writer gave no answer".to_owned()))
}

/// Settles a definition, stored at `revision`, by a write of its own, if there is anything to settle.
pub(crate) async fn settle(plane: &Plane, definition: &Value, revision: u64, now: jiff::Timestamp) {
    let Some(served) = plane.registry().find(GROUP, "v1", PLURAL) else { return };
    let name = definition["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let key = ObjectKey { resource: served.stored_as.clone(), namespace: String::new(), name };
    let now = timestamp(now);
    let Some(status) = settled_status(plane, definition, &now) else { return };
    let mut settled = definition.clone();
    if let Some(mut fields) = settled_fields(plane, &served, &mut settled, status, &now).await {
        if let Some(settled) = settled.as_object_mut() {
            settled.append(&mut fields);
        }
        if plane.write(key.clone(), Change::Put(settled), Expected::Revision(revision)).await.is_ok() {
            return;
        }
    }
    // Webhooks want to see it, or somebody was faster.
    let change = |definition: &mut Value| match settled_status(plane, definition, &now) {
        Some(status) => {
            definition["status"] = status;
            true
        }
        None => false,
    };
    match change_object(plane, &served, &key, WriteScope::Status("status"), MANAGER, change).await {
        Err(error) if error.code() != 404 => {
            tracing::warn!(definition = key.name, %error, "failed to settle the names of a definition");
        }
        _ => {}
    }
}

/// The fields of a definition, without its `spec`, that has got another status, as by an update of the status by the server.
/// The `spec` is nearly all of a definition, and neither looked at nor copied. None where admission has a say in the write.
async fn settled_fields(
    plane: &Plane,
    served: &ServedResource,
    definition: &mut Value,
    status: Value,
    now: &str,
) -> Option<Map<String, Value>> {
    if plane.admission().current().is_some() {
        return None;
    }
    let spec = definition["spec"].take();
    let mut settled = definition.clone();
    settled["status"] = status;
    let writer = Writer::own(MANAGER, now.to_owned());
    track_update(plane, served, Some(definition), &mut settled, WriteScope::Status("status"), &writer).await;
    definition["spec"] = spec;
    let Value::Object(mut fields) = settled else { return None };
    fields.remove("spec");
    Some(fields)
}

/// All definitions of a plane with their revisions, read one by one as they are looked at.
///
/// # Errors
/// If the definitions cannot be read.
pub(crate) fn stored_definitions(plane: &Plane) -> Result<impl Iterator<Item = (Value, u64)> + Send, ApiError> {
    let definitions = GroupResource { group: GROUP.to_owned(), resource: PLURAL.to_owned() };
    let page = plane.store().list(&Scope::Resource(definitions), None, 0, None).map_err(|error| list_error(&error))?;
    Ok(page.items.into_iter().filter_map(|item| Some((serde_json::from_slice(&item.json).ok()?, item.revision))))
}

/// Adds what the first delete of a definition adds: the finalizer and the condition Terminating.
pub(crate) fn mark_terminating(definition: &mut Value, now: &str) {
    let metadata = &mut definition["metadata"];
    let has_finalizer = metadata["finalizers"]
        .as_array()
        .is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER));
    if !has_finalizer {
        match metadata["finalizers"].as_array_mut() {
            Some(finalizers) => finalizers.push(CLEANUP_FINALIZER.into()),
            None => metadata["finalizers"] = json!([CLEANUP_FINALIZER]),
        }
    }
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_terminating(definition, "True", "InstanceDeletionPending", message, now);
}

/// Sets the condition Terminating, whose time moves with its status only. Says whether anything changed.
pub(crate) fn set_terminating(definition: &mut Value, status: &str, reason: &str, message: &str, now: &str) -> bool {
    let mut condition = json!({
        "type": "Terminating",
        "status": status,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    });
    if !definition["status"].is_object() {
        definition["status"] = json!({});
    }
    if !definition["status"]["conditions"].is_array() {
        definition["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = definition["status"]["conditions"].as_array_mut() else { return false };
    match conditions.iter_mut().find(|known| known["type"] == "Terminating") {
        None => conditions.push(condition),
        Some(known) => {
            if known["status"] == condition["status"] {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            if *known == condition {
                return false;
            }
            *known = condition;
        }
    }
    true
}
