//! The end of a namespace: everything in it is deleted, finalizers respected; when nothing is left, it goes.
//!
//! One task serves all planes. While something is left, the namespace's conditions say what.

mod conditions;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use jiff::Timestamp;
use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde_json::Value;

use self::conditions::Remains;
use crate::{
    controller_loop::Controller,
    object_writer::{ObjectWriter, Propagation},
    pipeline::WriteScope,
    plane::{Plane, list_error, parse_stored, read_error},
    store::{Event, EventKind, ObjectKey, PlaneName, Scope, StoredObject},
};

/// Field manager of the controller's changes, as in the real controller manager.
const MANAGER: &str = "kube-controller-manager";
/// The finalizer in `spec` this controller takes away at the end.
const FINALIZER: &str = "kubernetes";
/// So many objects are read at a time.
const PAGE: usize = 500;
/// So many deletes share transactions.
const CONCURRENT_DELETES: usize = 64;

/// The controller of the namespaces of all planes. Its items are their names.
#[derive(Debug, Default)]
pub(crate) struct NamespaceController {
    /// Namespaces that wait until what is in them is gone.
    terminating: Mutex<HashSet<(PlaneName, String)>>,
}

impl Controller for NamespaceController {
    type Item = String;

    const NAME: &'static str = "namespace controller";

    fn resume(&self, plane: &Plane) -> Result<Vec<String>, ApiError> {
        let terminating = plane.store().terminating().map_err(|error| read_error(&error))?;
        let names: Vec<String> =
            terminating.into_iter().filter(|key| is_namespaces(&key.resource)).map(|key| key.name).collect();
        let mut known = self.terminating.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(names.iter().map(|name| (plane.name().clone(), name.clone())));
        Ok(names)
    }

    fn concerned(&self, plane: &PlaneName, event: &Event) -> Vec<String> {
        let is_namespace = is_namespaces(&event.key.resource);
        let gone = event.kind == EventKind::Deleted;
        if is_namespace && event.facts.terminating && !gone {
            let mut known = self.terminating.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert((plane.clone(), event.key.name.clone()));
            return vec![event.key.name.clone()];
        }
        if !gone {
            return Vec::new();
        }
        let mut known = self.terminating.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            Vec::new()
        } else if is_namespace {
            known.remove(&(plane.clone(), event.key.name.clone()));
            Vec::new()
        } else if known.contains(&(plane.clone(), event.key.namespace.clone())) {
            vec![event.key.namespace.clone()]
        } else {
            Vec::new()
        }
    }

    async fn process(&self, plane: &Plane, name: &String) -> Result<Vec<String>, ApiError> {
        let key = ObjectKey { resource: namespaces(), namespace: String::new(), name: name.clone() };
        let Some(namespace) = plane.get_value(&key)? else { return Ok(Vec::new()) };
        if !namespace["metadata"]["deletionTimestamp"].is_string() || !has_finalizer(&namespace) {
            return Ok(Vec::new());
        }
        let writer = ObjectWriter { plane, manager: MANAGER };
        let remains = delete_content(&writer, &namespace).await?;
        let uid = namespace["metadata"]["uid"].clone();
        let has_conditions = namespace["status"]["conditions"].is_array();
        if !remains.are_none() || has_conditions {
            let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let tell = |object: &mut Value| object["metadata"]["uid"] == uid && remains.write_to(object, &now);
            writer.change(&key, WriteScope::Status("status"), tell).await?;
        }
        if !remains.are_none() {
            if remains.in_time {
                return Err(ApiError::internal("some content remains in the namespace"));
            }
            if remains.failures.is_empty() {
                return Ok(Vec::new());
            }
            return Err(ApiError::internal(remains.failures.join(", ")));
        }
        let finish = |object: &mut Value| object["metadata"]["uid"] == uid && remove_finalizer(object);
        writer.change(&key, WriteScope::Composed("finalize"), finish).await?;
        Ok(Vec::new())
    }
}

fn namespaces() -> GroupResource {
    GroupResource { group: String::new(), resource: "namespaces".to_owned() }
}

fn is_namespaces(resource: &GroupResource) -> bool {
    resource.group.is_empty() && resource.resource == "namespaces"
}

fn has_finalizer(namespace: &Value) -> bool {
    namespace["spec"]["finalizers"]
        .as_array()
        .is_some_and(|finalizers| finalizers.iter().any(|entry| entry == FINALIZER))
}

fn remove_finalizer(namespace: &mut Value) -> bool {
    if !has_finalizer(namespace) {
        return false;
    }
    if let Some(spec) = namespace["spec"].as_object_mut()
        && let Some(finalizers) = spec.get_mut("finalizers").and_then(Value::as_array_mut)
    {
        finalizers.retain(|entry| entry != FINALIZER);
        if finalizers.is_empty() {
            spec.remove("finalizers");
        }
    }
    true
}

/// Deletes what is in a namespace and says what is still there after that. As long as there are Pods, they are all that
/// is deleted: what they live on, and the policies they live under, outlast them.
async fn delete_content(writer: &ObjectWriter<'_>, namespace: &Value) -> Result<Remains, ApiError> {
    let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
    let pods = GroupResource { group: String::new(), resource: "pods".to_owned() };
    let grace = longest_grace(writer.plane, &Scope::Namespace(pods.clone(), name.to_owned()))?;
    let of_pods = delete_resources(writer, name, &BTreeSet::from([pods.clone()])).await?;
    if of_pods.resources.is_empty() {
        let mut others = namespaced_resources(writer.plane);
        others.remove(&pods);
        let mut remains = delete_resources(writer, name, &others).await?;
        remains.failures.extend(of_pods.failures);
        return Ok(remains);
    }
    // The conditions count nothing yet, as with the real controller.
    let mut remains = Remains { waits_for_pods: true, failures: of_pods.failures, ..Remains::default() };
    if of_pods.finalizers.is_empty() {
        let deleted = namespace["metadata"]["deletionTimestamp"].as_str().and_then(|text| text.parse().ok());
        let now = Timestamp::now();
        remains.in_time = now.duration_since(deleted.unwrap_or(now)).as_secs() < grace;
        if !remains.in_time {
            let overdue = format!("unexpected items still remain in namespace: {name} for gvr: /v1, Resource=pods");
            remains.overdue.push(overdue);
        }
    }
    Ok(remains)
}

/// The longest time a Pod that has not ended is left to end, in seconds.
fn longest_grace(plane: &Plane, pods: &Scope) -> Result<i64, ApiError> {
    let page = plane.store().list(pods, None, 0, None).map_err(|error| list_error(&error))?;
    let mut longest = 0;
    for item in page.items {
        let pod = parse_stored(&item.json)?;
        if !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            longest = longest.max(pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(0));
        }
    }
    Ok(longest)
}

/// Deletes a namespace's objects of these resources and says what is still there after that.
async fn delete_resources(
    writer: &ObjectWriter<'_>,
    namespace: &str,
    resources: &BTreeSet<GroupResource>,
) -> Result<Remains, ApiError> {
    let store = writer.plane.store();
    let mut remains = Remains::default();
    // Two passes over what is there: most objects are gone after the first, and only the second counts.
    for counts in [false, true] {
        for resource in resources {
            let scope = Scope::Namespace(resource.clone(), namespace.to_owned());
            let mut after: Option<ObjectKey> = None;
            loop {
                let page = store.list(&scope, after.as_ref(), PAGE, None).map_err(|error| list_error(&error))?;
                if counts {
                    remains.count(resource, &page.items)?;
                } else {
                    remains.failures.extend(delete_all(writer, &page.items).await?);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
    }
    Ok(remains)
}

/// Deletes objects that are not being deleted yet, or that nothing keeps any more; returns what failed.
async fn delete_all(writer: &ObjectWriter<'_>, objects: &[StoredObject]) -> Result<Vec<String>, ApiError> {
    let mut to_delete = Vec::new();
    for object in objects {
        let metadata = parse_stored(&object.json)?["metadata"].take();
        let is_held = metadata["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
            || metadata["deletionGracePeriodSeconds"] != 0;
        if !metadata["deletionTimestamp"].is_string() || !is_held {
            to_delete.push((&object.key, metadata["uid"].as_str().unwrap_or_default().to_owned()));
        }
    }
    let deletes: Vec<_> = to_delete
        .into_iter()
        .map(|(key, uid)| async move { (key, writer.delete(key, &uid, None, Propagation::Background).await) })
        .collect();
    let results: Vec<_> = futures::stream::iter(deletes).buffer_unordered(CONCURRENT_DELETES).collect().await;
    Ok(results.into_iter().filter_map(|(key, result)| result.err().map(|error| format!("{key}: {error}"))).collect())
}

impl Remains {
    fn count(&mut self, resource: &GroupResource, objects: &[StoredObject]) -> Result<(), ApiError> {
        for object in objects {
            *self.resources.entry(format!("{}.{}", resource.resource, resource.group)).or_default() += 1;
            for finalizer in parse_stored(&object.json)?["metadata"]["finalizers"].as_array().into_iter().flatten() {
                *self.finalizers.entry(finalizer.as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// What namespaced objects are stored under in a plane, built-in and custom.
fn namespaced_resources(plane: &Plane) -> BTreeSet<GroupResource> {
    let types = plane.registry().resource_types();
    types
        .iter()
        .filter(|resource| resource.namespaced)
        .filter_map(|resource| plane.registry().find_stored(&resource.group_resource()))
        .map(|served| served.stored_as.clone())
        .collect()
}

#[cfg(test)]
mod tests;
