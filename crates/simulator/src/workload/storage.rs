//! Claims and volumes, and disruption budgets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    event::Note,
    plane_state::{PlaneDecision, PlaneState, Resource, is_finished, is_ready},
    selects,
    system::PROVISIONER,
};
use crate::{
    clock::{Clock, Stage},
    object::Object,
};

/// Binds claims to new volumes of their StorageClass; deletes volumes whose claim is gone.
pub fn volumes(state: &PlaneState, clock: &Clock, now: Timestamp, decision: &mut PlaneDecision) {
    let classes = state.all(Resource::StorageClass);
    let default =
        classes.iter().find(|it| it.annotation("storageclass.kubernetes.io/is-default-class") == Some("true"));
    for claim in state.all(Resource::PersistentVolumeClaim).iter().filter(|it| !it.deleting()) {
        if claim.text("/status/phase") == "Bound" {
            continue;
        }
        if claim.at("/spec/storageClassName").is_null() {
            if let Some(default) = default {
                decision.patch(
                    Resource::PersistentVolumeClaim,
                    claim,
                    json!({"spec": {"storageClassName": default.name()}}),
                );
            }
            continue;
        }
        let Some(class) = classes.iter().find(|it| it.name() == claim.text("/spec/storageClassName")) else {
            pending(claim, decision);
            continue;
        };
        let user = state.all(Resource::Pod).iter().find(|pod| {
            pod.namespace() == claim.namespace()
                && !pod.text("/spec/nodeName").is_empty()
                && pod
                    .list("/spec/volumes")
                    .iter()
                    .any(|it| it.pointer("/persistentVolumeClaim/claimName").is_some_and(|name| name == claim.name()))
        });
        if class.text("/volumeBindingMode") == "WaitForFirstConsumer" && user.is_none() {
            if claim.text("/status/phase").is_empty() {
                let message = "waiting for first consumer to be created before binding";
                let note = Note::normal("persistentvolume-controller", "WaitForFirstConsumer", message);
                decision.note(Resource::PersistentVolumeClaim, claim, &note, now);
            }
            pending(claim, decision);
            continue;
        }
        let since = user.map_or(claim.created(), Object::created).max(claim.created());
        let at = since.saturating_add(clock.delay(Stage::VolumeCreate, claim.name())).unwrap_or(now);
        if at > now {
            decision.wake(at);
            pending(claim, decision);
            continue;
        }
        bind(state, claim, class, user, now, decision);
    }
    for volume in state.all(Resource::PersistentVolume) {
        let (namespace, name) = (volume.text("/spec/claimRef/namespace"), volume.text("/spec/claimRef/name"));
        let uid = volume.text("/spec/claimRef/uid");
        let claimed = state
            .all(Resource::PersistentVolumeClaim)
            .iter()
            .any(|it| it.uid() == uid && it.namespace() == namespace && it.name() == name);
        if !uid.is_empty() && !claimed {
            if volume.text("/spec/persistentVolumeReclaimPolicy") == "Delete" {
                decision.delete(Resource::PersistentVolume, volume);
            } else if volume.text("/status/phase") != "Released" {
                decision.status(Resource::PersistentVolume, volume, &json!({"phase": "Released"}));
            }
        }
    }
}

fn pending(claim: &Object, decision: &mut PlaneDecision) {
    if claim.text("/status/phase").is_empty() {
        decision.status(Resource::PersistentVolumeClaim, claim, &json!({"phase": "Pending"}));
    }
}

fn bind(
    state: &PlaneState,
    claim: &Object,
    class: &Object,
    user: Option<&Object>,
    now: Timestamp,
    decision: &mut PlaneDecision,
) {
    let name = format!("pvc-{}", claim.uid());
    let capacity = json!({"storage": claim.at("/spec/resources/requests/storage")});
    if !state.all(Resource::PersistentVolume).iter().any(|it| it.name() == name) {
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": class.text("/provisioner")}},
            "spec": {
                "accessModes": claim.at("/spec/accessModes"), "capacity": capacity, "storageClassName": class.name(),
                "persistentVolumeReclaimPolicy": class.at("/reclaimPolicy"), "volumeMode": "Filesystem",
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(), "name": claim.name(),
                    "uid": claim.uid(),
                },
                "csi": {"driver": class.text("/provisioner"), "volumeHandle": claim.uid(), "fsType": "ext4"},
            },
            "status": {"phase": "Bound"},
        });
        let zone = user
            .and_then(|pod| state.all(Resource::Node).iter().find(|it| it.name() == pod.text("/spec/nodeName")))
            .and_then(|it| it.label("topology.kubernetes.io/zone"));
        if let Some(zone) = zone {
            volume["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": zone});
        }
        decision.create.push(volume);
        let note =
            Note::normal(PROVISIONER, "ProvisioningSucceeded", format!("Successfully provisioned volume {name}"));
        decision.note(Resource::PersistentVolumeClaim, claim, &note, now);
        return;
    }
    if claim.text("/spec/volumeName") != name {
        let patch = json!({
            "metadata": {"annotations": {
                "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
                "volume.kubernetes.io/storage-provisioner": class.text("/provisioner"),
            }},
            "spec": {"volumeName": name},
        });
        decision.patch(Resource::PersistentVolumeClaim, claim, patch);
        return;
    }
    let status = json!({"phase": "Bound", "accessModes": claim.at("/spec/accessModes"), "capacity": capacity});
    decision.status(Resource::PersistentVolumeClaim, claim, &status);
}

/// Counts how many pods each disruption budget can spare.
pub fn disruption_budgets(state: &PlaneState, decision: &mut PlaneDecision) {
    for budget in state.all(Resource::PodDisruptionBudget).iter().filter(|it| !it.deleting()) {
        let pods: Vec<&Object> = state
            .all(Resource::Pod)
            .iter()
            .filter(|it| {
                it.namespace() == budget.namespace()
                    && !is_finished(it)
                    && selects(budget.at("/spec/selector"), it.at("/metadata/labels"))
            })
            .collect();
        let expected = i64::try_from(pods.len()).unwrap_or(0);
        let healthy = i64::try_from(pods.iter().filter(|it| is_ready(it)).count()).unwrap_or(0);
        let desired = match (budget.at("/spec/minAvailable"), budget.at("/spec/maxUnavailable")) {
            (Value::Null, Value::Null) => 0,
            (Value::Null, most) => expected - amount(most, expected),
            (least, _) => amount(least, expected),
        }
        .max(0);
        let allowed = (healthy - desired).max(0);
        let status = json!({
            "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": allowed, "expectedPods": expected,
            "observedGeneration": budget.generation(),
        });
        decision.status(Resource::PodDisruptionBudget, budget, &status);
    }
}

/// A number, or a percentage of `total` rounded up.
fn amount(value: &Value, total: i64) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or(0),
        other => {
            let percent = other.as_str().and_then(|it| it.strip_suffix('%')?.parse::<i64>().ok()).unwrap_or(0);
            (total * percent + 99) / 100
        }
    }
}
