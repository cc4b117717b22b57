//! From differences to steps: one step per part of the cluster that is touched, in the order Cluster API goes through
//! them (control plane before workers), each with the fields that cause it.

use kogge_api::kubernetes_cluster::KubernetesClusterSpec;
use kogge_api::plan::{Action, Change, Effect, ObjectReference, Step};
use serde_json::{Value, json};

use super::ClusterPlanInput;
use super::difference::{Difference, PoolChange, PoolDifference};
use crate::description::{changes, pool_of};
use crate::render::{CLUSTER_API_VERSION, addon_label};

/// Selects the changes whose field a function accepts.
type Causes<'a> = dyn Fn(&dyn Fn(&str) -> bool) -> Vec<Change> + 'a;

/// A step about the cluster as a whole.
pub(super) fn on_cluster(input: &ClusterPlanInput<'_>, action: Action, causes: Vec<Change>, effect: Effect) -> Step {
    let name = input.cluster.metadata.name.as_deref().unwrap_or_default();
    Step { action, object: cluster_reference(name), pool: None, causes, effect }
}

/// The `Cluster` of a name.
pub(super) fn cluster_reference(name: &str) -> ObjectReference {
    ObjectReference { api_version: CLUSTER_API_VERSION.to_owned(), kind: "Cluster".to_owned(), name: name.to_owned() }
}

/// All steps of one write of the `Cluster`; at least one.
pub(super) fn all(
    input: &ClusterPlanInput<'_>,
    applied: Option<&KubernetesClusterSpec>,
    effective: &KubernetesClusterSpec,
    difference: &Difference,
    desired: &Value,
) -> Vec<Step> {
    let mut changes = changes(applied, effective);
    resolve_version(input, desired, &mut changes);
    note_rollout(input, desired, &mut changes);
    let causes = |select: &dyn Fn(&str) -> bool| -> Vec<Change> {
        changes.iter().filter(|change| select(&change.field)).cloned().collect()
    };
    let whole = |action, causes, effect| on_cluster(input, action, causes, effect);
    if input.observed.cluster.is_none() {
        return creation(input, effective, difference, &changes);
    }
    let mut steps = Vec::new();
    if difference.resumed {
        steps.push(whole(Action::Resume, causes(&|field| field == "spec.paused"), Effect::None));
    }
    let control_plane_machines = input.observed.control_plane_count();
    if difference.control_plane_machines {
        let action = if difference.version { Action::UpgradeControlPlane } else { Action::ReplaceControlPlane };
        let effect = Effect::RollingReplacement { machines: control_plane_machines };
        steps.push(whole(action, causes(&makes_control_plane), effect));
    }
    if let Some((from, to)) = difference.control_plane_scale {
        let causes = causes(&|field| field == "spec.controlPlane.count");
        steps.push(whole(Action::ScaleControlPlane, causes, Effect::Scale { from, to }));
    }
    if difference.infrastructure {
        steps.push(whole(Action::UpdateInPlace, causes(&changes_infrastructure), Effect::InPlace));
    }
    for (pool, added) in &difference.pools {
        if let PoolDifference::Added { machines } = added {
            let causes = vec![Change { field: format!("spec.workers[{pool}]"), from: None, to: Some(json!(pool)) }];
            let step = whole(Action::AddPool, causes, Effect::Create { machines: *machines });
            steps.push(Step { pool: Some(pool.clone()), ..step });
        }
    }
    for (pool, changed) in &difference.pools {
        if let PoolDifference::Changed(change) = changed {
            for step in pool_steps(input, pool, change, difference.version, &causes) {
                steps.push(Step { pool: Some(pool.clone()), ..step });
            }
        }
    }
    steps.extend(addon_steps(input, effective, difference, &changes));
    for (pool, removed) in &difference.pools {
        if let PoolDifference::Removed { machines } = removed {
            let causes = vec![Change { field: format!("spec.workers[{pool}]"), from: Some(json!(pool)), to: None }];
            let step = whole(Action::RemovePool, causes, Effect::Delete { machines: *machines });
            steps.push(Step { pool: Some(pool.clone()), ..step });
        }
    }
    let unexplained = causes(&|field| {
        field != "spec.paused"
            && !field.starts_with("spec.addons.")
            && !steps.iter().any(|step| step.causes.iter().any(|cause| cause.field == field))
            && !pool_of(field).is_some_and(|pool| {
                matches!(
                    difference.pools.get(pool),
                    Some(PoolDifference::Added { .. } | PoolDifference::Removed { .. })
                )
            })
    });
    if !unexplained.is_empty() {
        steps.push(whole(Action::UpdateInPlace, unexplained, Effect::None));
    }
    if difference.paused {
        steps.push(whole(Action::Pause, causes(&|field| field == "spec.paused"), Effect::None));
    }
    if steps.is_empty() {
        steps.push(whole(Action::CorrectDrift, Vec::new(), Effect::InPlace));
    }
    steps
}

fn creation(
    input: &ClusterPlanInput<'_>,
    effective: &KubernetesClusterSpec,
    difference: &Difference,
    changes: &[Change],
) -> Vec<Step> {
    let essential = [
        "spec.provider.profile",
        "spec.kubernetes.version",
        "spec.controlPlane.count",
        "spec.controlPlane.machineFlavor",
    ];
    let causes = changes.iter().filter(|change| essential.contains(&change.field.as_str())).cloned().collect();
    let machines = effective.control_plane.count;
    let mut steps = vec![on_cluster(input, Action::CreateCluster, causes, Effect::Create { machines })];
    for pool in &effective.workers {
        let causes = changes.iter().filter(|change| {
            pool_of(&change.field) == Some(&pool.name)
                && [".count", ".machineFlavor", ".autoscaling.min", ".autoscaling.max"]
                    .iter()
                    .any(|suffix| change.field.ends_with(suffix))
        });
        steps.push(Step {
            pool: Some(pool.name.clone()),
            ..on_cluster(
                input,
                Action::AddPool,
                causes.cloned().collect(),
                Effect::Create { machines: pool.initial_count() },
            )
        });
    }
    steps.extend(addon_steps(input, effective, difference, changes));
    steps
}

fn pool_steps(
    input: &ClusterPlanInput<'_>,
    pool: &str,
    change: &PoolChange,
    is_upgrade: bool,
    causes: &Causes<'_>,
) -> Vec<Step> {
    let of_pool = |field: &str, names: &[&str]| {
        pool_of(field) == Some(pool)
            && names
                .iter()
                .any(|name| field.split("].").nth(1).is_some_and(|rest| rest.split(['.', '[']).next() == Some(name)))
    };
    let step = |action, causes, effect| on_cluster(input, action, causes, effect);
    let mut steps = Vec::new();
    let replaced = if change.make { change.machines } else { change.moved };
    if change.make || change.moved > 0 {
        let action = if is_upgrade { Action::UpgradePool } else { Action::ReplacePool };
        let make = ["machineFlavor", "antiAffinity", "rootDiskGiB", "machineMetadata", "zones"];
        let causes = causes(&|field| makes_every_machine(field) || of_pool(field, &make));
        steps.push(step(action, causes, Effect::RollingReplacement { machines: replaced }));
    }
    if let Some((from, to)) = change.scale {
        let causes = causes(&|field| of_pool(field, &["count", "autoscaling"]));
        steps.push(step(Action::ScalePool, causes, Effect::Scale { from, to }));
    } else if change.autoscaling {
        let causes = causes(&|field| of_pool(field, &["count", "autoscaling"]));
        steps.push(step(Action::ScalePool, causes, Effect::InPlace));
    }
    if change.in_place {
        let causes = causes(&|field| of_pool(field, &["labels", "taints"]));
        steps.push(step(Action::UpdateInPlace, causes, Effect::InPlace));
    }
    steps
}

fn addon_steps(
    input: &ClusterPlanInput<'_>,
    effective: &KubernetesClusterSpec,
    difference: &Difference,
    changes: &[Change],
) -> Vec<Step> {
    let mut steps = Vec::new();
    for addon in effective.addons.all() {
        let label = addon_label(addon.name);
        let prefix = format!("spec.addons.{}.", addon.name);
        let causes: Vec<Change> = changes.iter().filter(|change| change.field.starts_with(&prefix)).cloned().collect();
        let (action, effect) = if difference.enabled_addons.contains(&label) {
            (Action::EnableAddon, Effect::Create { machines: 0 })
        } else if difference.disabled_addons.contains(&label) {
            (Action::DisableAddon, Effect::Delete { machines: 0 })
        } else if addon.enabled && !causes.is_empty() {
            (Action::UpdateAddon, Effect::InPlace)
        } else if !causes.is_empty() && input.observed.cluster.is_some() {
            (Action::UpdateAddon, Effect::None)
        } else {
            continue;
        };
        let enabled = format!("{prefix}enabled");
        let relevant: Vec<Change> = match action {
            Action::UpdateAddon => causes,
            _ => causes.into_iter().filter(|change| change.field == enabled).collect(),
        };
        steps.push(on_cluster(input, action, relevant, effect));
    }
    steps
}

/// Shows the exact versions instead of what the description says, which may be the same text for two of them.
fn resolve_version(input: &ClusterPlanInput<'_>, desired: &Value, changes: &mut Vec<Change>) {
    const FIELD: &str = "spec.kubernetes.version";
    let written: Vec<Change> = changes.extract_if(.., |change| change.field == FIELD).collect();
    let from = input.observed.version().map(|version| json!(version.to_string()));
    let to = desired["spec"]["topology"]["version"].clone();
    if from.as_ref() == Some(&to) {
        // Another way to write the same version: nothing happens, but it is remembered.
        changes.extend(written);
    } else {
        changes.push(Change { field: FIELD.to_owned(), from, to: Some(to) });
    }
    changes.sort_by(|left, right| left.field.cmp(&right.field));
}

fn note_rollout(input: &ClusterPlanInput<'_>, desired: &Value, changes: &mut Vec<Change>) {
    let token = |topology: &Value| {
        let variables = topology["variables"].as_array();
        variables.into_iter().flatten().find(|item| item["name"] == "rolloutToken").map(|item| item["value"].clone())
    };
    let from = input.observed.topology().and_then(token);
    let to = token(&desired["spec"]["topology"]);
    if from != to {
        let field = format!("metadata.annotations[{}]", kogge_api::ROLLOUT_ANNOTATION);
        changes.push(Change { field, from, to });
    }
}

/// Fields that are built into every machine.
fn makes_every_machine(field: &str) -> bool {
    const PREFIXES: [&str; 7] = [
        "metadata.annotations[",
        "spec.kubernetes.version",
        "spec.stack.",
        "spec.network.proxy",
        "spec.registries",
        "spec.trust",
        "spec.advanced.",
    ];
    PREFIXES.iter().any(|prefix| field.starts_with(prefix))
        && !field.starts_with("spec.advanced.healthCheck")
        && !field.starts_with("spec.advanced.etcdBackup")
}

/// Fields that are built into control plane machines.
fn makes_control_plane(field: &str) -> bool {
    makes_every_machine(field)
        || field.starts_with("spec.access")
        || field == "spec.apiServer.certSANs"
        || (field.starts_with("spec.controlPlane.")
            && field != "spec.controlPlane.count"
            && !field.starts_with("spec.controlPlane.zones"))
}

/// Fields that change at the provider, without a new machine.
fn changes_infrastructure(field: &str) -> bool {
    [
        "spec.apiServer.access",
        "spec.apiServer.allowedCIDRs",
        "spec.network.dnsServers",
        "spec.provider.",
        "spec.controlPlane.zones",
    ]
    .iter()
    .any(|prefix| field.starts_with(prefix))
}
