//! Comparing what is written with what should be: which parts of a cluster a change of the `Cluster` object touches.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ObservedState;
use crate::release::StackRelease;
use crate::render::{ADDON_LABEL_PREFIX, POOL_LABEL};

/// What differs between an observed and a desired `Cluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) version: bool,
    pub(super) class: bool,
    pub(super) control_plane_machines: bool,
    pub(super) worker_machines: bool,
    pub(super) infrastructure: bool,
    pub(super) control_plane_scale: Option<(u32, u32)>,
    pub(super) pools: BTreeMap<String, PoolDifference>,
    pub(super) enabled_addons: BTreeSet<String>,
    pub(super) disabled_addons: BTreeSet<String>,
    pub(super) resumed: bool,
    pub(super) paused: bool,
}

/// What differs in one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PoolDifference {
    Added { machines: u32 },
    Removed { machines: u32 },
    Changed(PoolChange),
}

/// How a pool that stays differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PoolChange {
    /// Machines of the pool now.
    pub(super) machines: u32,
    /// Whether all machines get another make.
    pub(super) make: bool,
    /// Machines that move to another zone.
    pub(super) moved: u32,
    pub(super) scale: Option<(u32, u32)>,
    pub(super) autoscaling: bool,
    pub(super) in_place: bool,
}

/// Compares. Both values are `Cluster` objects; `release` is the one the desired cluster uses.
pub(super) fn between(observed: &ObservedState, desired: &Value, release: &StackRelease) -> Difference {
    let empty = Value::Null;
    let before = observed.cluster.as_ref().unwrap_or(&empty);
    let (old, new) = (&before["spec"]["topology"], &desired["spec"]["topology"]);
    let mut difference = Difference {
        version: old["version"] != new["version"],
        class: old["classRef"]["name"] != new["classRef"]["name"],
        resumed: before["spec"]["paused"] == true && desired["spec"]["paused"] != true,
        paused: before["spec"]["paused"] != true && desired["spec"]["paused"] == true,
        ..Difference::default()
    };
    difference.control_plane_machines = difference.version || difference.class;
    difference.worker_machines = difference.version || difference.class;
    for variable in changed_variables(&old["variables"], &new["variables"], release) {
        let scope = release.variable_scope(&variable);
        difference.control_plane_machines |= scope.control_plane;
        // The cluster-wide value of a variable every pool overrides touches no machine.
        difference.worker_machines |= scope.workers && !is_overridden(&new["workers"], &variable);
        difference.infrastructure |= scope.infrastructure;
    }
    let replicas = number(&new["controlPlane"]["replicas"]);
    if observed.control_plane_count() != replicas {
        difference.control_plane_scale = Some((observed.control_plane_count(), replicas));
    }
    compare_pools(observed, new, release, &mut difference);
    let addons = |object: &Value| -> BTreeSet<String> {
        let labels = object["metadata"]["labels"].as_object();
        labels
            .into_iter()
            .flatten()
            .filter_map(|(name, _)| name.strip_prefix(ADDON_LABEL_PREFIX))
            .map(str::to_owned)
            .collect()
    };
    let (had, has) = (addons(before), addons(desired));
    difference.enabled_addons = has.difference(&had).cloned().collect();
    difference.disabled_addons = had.difference(&has).cloned().collect();
    difference
}

fn compare_pools(observed: &ObservedState, new: &Value, release: &StackRelease, difference: &mut Difference) {
    let before = observed.pools();
    let mut after: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for deployment in new["workers"]["machineDeployments"].as_array().into_iter().flatten() {
        let pool = deployment["metadata"]["labels"][POOL_LABEL].as_str().unwrap_or_default();
        after.entry(pool.to_owned()).or_default().push(deployment);
    }
    let total = |deployments: &[&Value]| deployments.iter().map(|deployment| observed.machines_of(deployment)).sum();
    for (pool, deployments) in &before {
        if !after.contains_key(pool) {
            difference.pools.insert(pool.clone(), PoolDifference::Removed { machines: total(deployments) });
        }
    }
    for (pool, deployments) in &after {
        let Some(known) = before.get(pool) else {
            let machines = deployments.iter().map(|deployment| number(&deployment["replicas"])).sum();
            difference.pools.insert(pool.clone(), PoolDifference::Added { machines });
            continue;
        };
        let machines = total(known);
        let mut change = PoolChange { machines, make: difference.worker_machines, ..PoolChange::default() };
        for deployment in deployments {
            let Some(old) = known.iter().find(|old| old["name"] == deployment["name"]) else { continue };
            let variables = ["variables", "overrides"];
            change.make |=
                !changed_variables(&old[variables[0]][variables[1]], &deployment[variables[0]][variables[1]], release)
                    .is_empty();
            if old["failureDomain"] != deployment["failureDomain"] {
                change.moved += observed.machines_of(old);
            }
            change.autoscaling |= old["metadata"]["annotations"] != deployment["metadata"]["annotations"];
            change.in_place |= !contains(&old["metadata"]["labels"], &deployment["metadata"]["labels"])
                || labels_removed(old, deployment)
                || !same_list(&old["taints"], &deployment["taints"]);
        }
        for old in known {
            if !deployments.iter().any(|deployment| deployment["name"] == old["name"]) {
                change.moved += observed.machines_of(old);
            }
        }
        let is_autoscaled = deployments.iter().any(|deployment| deployment.get("replicas").is_none());
        let wanted: u32 = deployments.iter().map(|deployment| number(&deployment["replicas"])).sum();
        if !is_autoscaled && wanted != machines {
            change.scale = Some((machines, wanted));
            // Machines that go are not replaced.
            change.moved = change.moved.min(wanted);
        }
        let unchanged = PoolChange { machines, ..PoolChange::default() };
        if change != unchanged {
            difference.pools.insert(pool.clone(), PoolDifference::Changed(change));
        }
    }
}

/// Labels that were set by Kogge and are gone. The API adds none to a topology, so every other label is Kogge's.
fn labels_removed(old: &Value, new: &Value) -> bool {
    let labels = old["metadata"]["labels"].as_object();
    labels.into_iter().flatten().any(|(name, _)| new["metadata"]["labels"].get(name).is_none())
}

fn same_list(left: &Value, right: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (left, right) = (list(left), list(right));
    left.len() == right.len() && right.iter().all(|item| left.iter().any(|other| contains(other, item)))
}

/// Names of the variables whose value differs, the class's defaults considered.
fn changed_variables(old: &Value, new: &Value, release: &StackRelease) -> Vec<String> {
    let table = |list: &Value| -> BTreeMap<String, Value> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(|item| Some((item["name"].as_str()?.to_owned(), item["value"].clone()))).collect()
    };
    let (old, new) = (table(old), table(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |of: &BTreeMap<String, Value>, name: &str| {
        of.get(name).cloned().or_else(|| release.variable_default(name).cloned())
    };
    names.into_iter().filter(|name| value(&old, name) != value(&new, name)).cloned().collect()
}

fn is_overridden(workers: &Value, variable: &str) -> bool {
    let deployments = workers["machineDeployments"].as_array();
    deployments.into_iter().flatten().all(|deployment| {
        let overrides = deployment["variables"]["overrides"].as_array();
        overrides.into_iter().flatten().any(|item| item["name"] == variable)
    })
}

/// Whether `observed` has everything `desired` says. Lists of named items are compared by name, other lists as a whole;
/// what is only in `observed` belongs to somebody else.
pub fn contains(observed: &Value, desired: &Value) -> bool {
    match (observed, desired) {
        (Value::Object(observed), Value::Object(desired)) => desired.iter().all(|(name, value)| {
            // An empty object or list says nothing, and servers drop it.
            observed.get(name).map_or_else(|| is_empty(value), |known| contains(known, value))
        }),
        (Value::Array(observed), Value::Array(desired)) if desired.iter().any(|item| item.get("name").is_some()) => {
            desired
                .iter()
                .all(|item| observed.iter().any(|known| known.get("name") == item.get("name") && contains(known, item)))
        }
        (Value::Array(observed), Value::Array(desired)) => {
            observed.len() == desired.len() && observed.iter().zip(desired).all(|(known, item)| contains(known, item))
        }
        _ => observed == desired,
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
        || *value == Value::Bool(false)
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}
