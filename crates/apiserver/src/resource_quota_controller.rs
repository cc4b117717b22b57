//! Keeps the status of ResourceQuotas: what they limit, and how much of it is there (`pkg/controller/resourcequota` of
//! Kubernetes).
//!
//! What is created is charged as it is written; here room is found again when something goes, and a quota that is new or
//! changed is counted.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use kogge_machinery::{
    resource::GroupResource,
    resource_list::ResourceList,
    resource_quota::{self, Evaluator},
    status_error::ApiError,
};
use serde_json::Value;

use crate::{
    controller_loop::Controller,
    object_writer::ObjectWriter,
    pipeline::WriteScope,
    plane::{Plane, list_error, parse_stored, read_error},
    store::{Event, EventKind, ObjectKey, PlaneName, Scope},
};

/// Field manager of the status, as in the real controller manager.
const MANAGER: &str = "kube-controller-manager";

/// The controller of all planes.
#[derive(Debug, Default)]
pub(crate) struct ResourceQuotaController {
    /// Namespaces that may have quotas: changes in others are passed over.
    namespaces: Mutex<HashMap<PlaneName, HashSet<String>>>,
}

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    /// A quota is to be counted.
    Quota(ObjectKey),
    /// In a namespace, something of a resource has gone or takes less.
    Freed(String, GroupResource),
}

/// The resource of quotas.
pub(crate) fn quotas() -> GroupResource {
    GroupResource { group: String::new(), resource: "resourcequotas".to_owned() }
}

fn is_quotas(resource: &GroupResource) -> bool {
    resource.group.is_empty() && resource.resource == "resourcequotas"
}

impl ResourceQuotaController {
    fn with_namespaces<R>(&self, plane: &PlaneName, act: impl FnOnce(&mut HashSet<String>) -> R) -> R {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = namespaces.get_mut(plane) {
            return act(known);
        }
        act(namespaces.entry(plane.clone()).or_default())
    }

    fn may_have_quotas(&self, plane: &PlaneName, namespace: &str) -> bool {
        let namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        !namespace.is_empty() && namespaces.get(plane).is_some_and(|known| known.contains(namespace))
    }
}

impl Controller for ResourceQuotaController {
    type Item = Item;

    const NAME: &'static str = "resource quota controller";

    fn resume(&self, plane: &Plane) -> Result<Vec<Item>, ApiError> {
        let keys = all(plane)?;
        self.with_namespaces(plane.name(), |known| known.extend(keys.iter().map(|key| key.namespace.clone())));
        Ok(keys.into_iter().map(Item::Quota).collect())
    }

    fn concerned(&self, plane: &PlaneName, event: &Event) -> Vec<Item> {
        let key = &event.key;
        if is_quotas(&key.resource) && event.kind != EventKind::Deleted {
            let is_limited_otherwise = || {
                let hard = |json: &[u8]| {
                    let quota: Value = serde_json::from_slice(json).unwrap_or_default();
                    ResourceList::of(&quota["spec"]["hard"])
                };
                event.previous.as_deref().is_none_or(|previous| hard(previous) != hard(&event.json))
            };
            self.with_namespaces(plane, |known| known.insert(key.namespace.clone()));
            // What is written in a status comes from here, from charges, or from somebody who wants it.
            return if is_limited_otherwise() { vec![Item::Quota(key.clone())] } else { Vec::new() };
        }
        if event.kind == EventKind::Added || !self.may_have_quotas(plane, &key.namespace) {
            return Vec::new();
        }
        let frees = event.kind == EventKind::Deleted
            || event.previous.as_deref().is_some_and(|previous| frees(&key.resource, previous, &event.json));
        if frees { vec![Item::Freed(key.namespace.clone(), key.resource.clone())] } else { Vec::new() }
    }

    async fn process(&self, plane: &Plane, item: &Item) -> Result<Vec<Item>, ApiError> {
        match item {
            Item::Quota(key) => {
                let is_done = recount(plane, key).await?;
                Ok(if is_done { Vec::new() } else { vec![item.clone()] })
            }
            Item::Freed(namespace, resource) => {
                let page = plane.store().list(&Scope::Namespace(quotas(), namespace.clone()), None, 0, None);
                let page = page.map_err(|error| list_error(&error))?;
                if page.items.is_empty() {
                    // One that is made from now on is told of after this.
                    self.with_namespaces(plane.name(), |known| known.remove(namespace));
                    return Ok(Vec::new());
                }
                let Some(evaluator) = Evaluator::of(resource) else { return Ok(Vec::new()) };
                let mut concerned = Vec::new();
                for stored in page.items {
                    let quota = parse_stored(&stored.json)?;
                    if resource_quota::names(&quota["status"]["hard"]).any(|name| evaluator.tracks(name)) {
                        concerned.push(Item::Quota(stored.key));
                    }
                }
                Ok(concerned)
            }
        }
    }
}

/// Whether a change of an object leaves room for others.
fn frees(resource: &GroupResource, previous: &[u8], json: &[u8]) -> bool {
    let may_free = resource.group.is_empty()
        && matches!(resource.resource.as_str(), "pods" | "services" | "persistentvolumeclaims");
    if !may_free {
        return false;
    }
    let parsed = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap_or_default();
    resource_quota::frees(resource, &parsed(previous), &parsed(json), Timestamp::now())
}

/// Every quota of a plane.
fn all(plane: &Plane) -> Result<Vec<ObjectKey>, ApiError> {
    let page = plane.store().list(&Scope::Resource(quotas()), None, 0, None).map_err(|error| list_error(&error))?;
    Ok(page.items.into_iter().map(|quota| quota.key).collect())
}

/// Counts every quota of a plane: some things cease to count without a change, as pods do whose nodes are lost.
///
/// # Errors
/// Errors of the store, and what an update of a status refuses.
pub(crate) async fn recount_all(plane: &Plane) -> Result<(), ApiError> {
    for key in all(plane)? {
        // One that is changed meanwhile will be right the next time.
        recount(plane, &key).await?;
    }
    Ok(())
}

/// Counts what there is of all that a quota limits. Answers false if the quota was changed meanwhile.
async fn recount(plane: &Plane, key: &ObjectKey) -> Result<bool, ApiError> {
    // Who creates something waits, so that it does not win each time.
    let _turn = plane.server.quota_turns().take(plane.name(), [key.namespace.as_str()]).await;
    // Before what it counts is read: what is created later changes its revision, too.
    let Some(stored) = plane.get(key)? else { return Ok(true) };
    let quota = parse_stored(&stored.json)?;
    let mut counted = ResourceList::default();
    for resource in resource_quota::resources_counted_by(resource_quota::names(&quota["spec"]["hard"])) {
        counted.add(&count(plane, &key.namespace, &resource, &quota)?);
    }
    let Some(status) = resource_quota::refreshed_status(&quota, counted) else { return Ok(true) };
    let mut is_current = true;
    let writer = ObjectWriter { plane, manager: MANAGER };
    writer
        .change(key, WriteScope::Status("status"), |object| {
            is_current = object["metadata"]["resourceVersion"] == quota["metadata"]["resourceVersion"];
            if is_current {
                object["status"] = status.clone();
            }
            is_current
        })
        .await?;
    Ok(is_current)
}

/// What the objects of one resource use of a quota; nothing is known of a resource that is not served.
fn count(plane: &Plane, namespace: &str, resource: &GroupResource, quota: &Value) -> Result<ResourceList, ApiError> {
    let served = plane.registry().find_stored(resource).filter(|served| served.resource.namespaced);
    let (Some(served), Some(evaluator)) = (served, Evaluator::of(resource)) else { return Ok(ResourceList::default()) };
    let scope = Scope::Namespace(served.stored_as.clone(), namespace.to_owned());
    if matches!(evaluator, Evaluator::Objects(_)) {
        let number = plane.store().count(&scope).map_err(|error| read_error(&error))?;
        return Ok(resource_quota::usage_of_number(quota, &evaluator, number));
    }
    let page = plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
    let objects: Vec<Value> = page.items.iter().map(|item| parse_stored(&item.json)).collect::<Result<_, _>>()?;
    Ok(resource_quota::usage(quota, &evaluator, objects.iter(), Timestamp::now()))
}

#[cfg(test)]
mod tests;
