//! Lets claims, volumes and classes of attributes go that are deleted when nothing uses them any more: the counterpart of
//! the finalizers they get when they are made (Kubernetes' `pvcprotection`, `pvprotection` and `vacprotection` controllers).

use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde_json::Value;

use crate::{
    controller_loop::Controller,
    object_writer::ObjectWriter,
    pipeline::{CLAIM_PROTECTION, CLASS_PROTECTION, VOLUME_PROTECTION, WriteScope},
    plane::{Plane, list_error},
    store::{Event, EventKind, ObjectKey, PlaneName, Scope},
};

/// Field manager of the removals, as in the real controller manager.
const MANAGER: &str = "kube-controller-manager";

/// The controller of all planes. An item is a claim or a volume to look at, or the namespace of a pod that is gone.
#[derive(Debug, Default)]
pub(crate) struct StorageProtectionController;

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    /// A claim, a volume or a class that may be deleted.
    Storage(ObjectKey),
    /// The classes, one of which something may have used.
    Classes,
    /// The claims of a namespace, in which a pod is ending.
    Claims(String),
}

fn core(resource: &str) -> GroupResource {
    GroupResource { group: String::new(), resource: resource.to_owned() }
}

fn classes() -> GroupResource {
    GroupResource { group: "storage.k8s.io".to_owned(), resource: "volumeattributesclasses".to_owned() }
}

fn contains(json: &[u8], text: &str) -> bool {
    json.windows(text.len()).any(|window| window == text.as_bytes())
}

impl Controller for StorageProtectionController {
    type Item = Item;

    const NAME: &'static str = "storage protection controller";

    fn resume(&self, plane: &Plane) -> Result<Vec<Item>, ApiError> {
        let mut items = Vec::new();
        for resource in ["persistentvolumeclaims", "persistentvolumes"] {
            items.extend(deleted(plane, &Scope::Resource(core(resource)))?.into_iter().map(Item::Storage));
        }
        items.push(Item::Classes);
        Ok(items)
    }

    fn concerned(&self, _: &PlaneName, event: &Event) -> Vec<Item> {
        let key = &event.key;
        let json = &event.json;
        if key.resource == classes() && contains(json, "\"deletionTimestamp\"") {
            return vec![Item::Storage(key.clone())];
        }
        if !key.resource.group.is_empty() {
            return Vec::new();
        }
        let ended = event.kind == EventKind::Deleted || event.facts.terminating;
        match key.resource.resource.as_str() {
            "persistentvolumeclaims" | "persistentvolumes" if contains(json, "\"deletionTimestamp\"") => {
                vec![Item::Storage(key.clone())]
            }
            "pods" if ended && (contains(json, "\"persistentVolumeClaim\"") || contains(json, "\"ephemeral\"")) => {
                vec![Item::Claims(key.namespace.clone())]
            }
            "persistentvolumeclaims" | "persistentvolumes" if contains(json, "\"volumeAttributesClassName\"") => {
                vec![Item::Classes]
            }
            _ => Vec::new(),
        }
    }

    async fn process(&self, plane: &Plane, item: &Item) -> Result<Vec<Item>, ApiError> {
        let key = match item {
            Item::Claims(namespace) => {
                let scope = Scope::Namespace(core("persistentvolumeclaims"), namespace.clone());
                return Ok(deleted(plane, &scope)?.into_iter().map(Item::Storage).collect());
            }
            Item::Classes => {
                let waiting = deleted(plane, &Scope::Resource(classes()))?;
                return Ok(waiting.into_iter().map(Item::Storage).collect());
            }
            Item::Storage(key) => key,
        };
        let Some(object) = plane.get_value(key)? else { return Ok(Vec::new()) };
        let (in_use, finalizer) = match key.resource.resource.as_str() {
            "persistentvolumeclaims" => (is_claim_used(plane, key, &object)?, CLAIM_PROTECTION),
            "volumeattributesclasses" => (is_class_used(plane, &key.name)?, CLASS_PROTECTION),
            _ => (object["status"]["phase"] == "Bound", VOLUME_PROTECTION),
        };
        if in_use || !object["metadata"]["deletionTimestamp"].is_string() {
            return Ok(Vec::new());
        }
        let writer = ObjectWriter { plane, manager: MANAGER };
        writer
            .change(key, WriteScope::Main, |object| {
                let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() else { return false };
                let before = finalizers.len();
                finalizers.retain(|known| known != finalizer);
                finalizers.len() != before
            })
            .await?;
        Ok(Vec::new())
    }
}

/// Objects that wait to go.
fn deleted(plane: &Plane, scope: &Scope) -> Result<Vec<ObjectKey>, ApiError> {
    let page = plane.store().list(scope, None, 0, None).map_err(|error| list_error(&error))?;
    let waiting = page.items.into_iter().filter(|item| contains(&item.json, "\"deletionTimestamp\""));
    Ok(waiting.map(|item| item.key).collect())
}

/// Whether a claim or a volume has the class, or is to have it.
fn is_class_used(plane: &Plane, name: &str) -> Result<bool, ApiError> {
    for resource in ["persistentvolumeclaims", "persistentvolumes"] {
        let scope = Scope::Resource(core(resource));
        let page = plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
        let uses = |json: &[u8]| {
            let object: Value = serde_json::from_slice(json).unwrap_or_default();
            let status = &object["status"];
            [
                &object["spec"]["volumeAttributesClassName"],
                &status["currentVolumeAttributesClassName"],
                &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
            ]
            .into_iter()
            .any(|class| class == name)
        };
        if page.items.iter().any(|item| uses(&item.json)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a pod that is on a node mounts the claim: a kubelet starts none whose claim is being deleted. How far the pod
/// is does not matter, but for a claim that was made for it: that one goes as soon as the pod was shut down.
fn is_claim_used(plane: &Plane, key: &ObjectKey, claim: &Value) -> Result<bool, ApiError> {
    let scope = Scope::Namespace(core("pods"), key.namespace.clone());
    let page = plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
    let pods = page.items.iter().map(|item| serde_json::from_slice(&item.json).unwrap_or_default());
    Ok(pods.into_iter().any(|pod: Value| uses_claim(&pod, &key.name, claim)))
}

fn uses_claim(pod: &Value, claim_name: &str, claim: &Value) -> bool {
    let metadata = &pod["metadata"];
    let shut_down = metadata["deletionTimestamp"].is_string() && metadata["deletionGracePeriodSeconds"] == 0;
    let pod_name = metadata["name"].as_str().unwrap_or_default();
    let mut owners = claim["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let made_for_pod = owners.any(|owner| owner["controller"] == true && owner["uid"] == metadata["uid"]);
    let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty())
        && volumes.any(|volume| {
            let made = volume["ephemeral"].is_object()
                && format!("{pod_name}-{}", volume["name"].as_str().unwrap_or_default()) == claim_name;
            volume["persistentVolumeClaim"]["claimName"] == claim_name || (made && made_for_pod && !shut_down)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_used_by_pods_on_nodes_however_far_they_are() {
        let claim = json!({"metadata": {"name": "c"}});
        let pod = |node: &str, phase: &str| {
            json!({"metadata": {"name": "p"}, "status": {"phase": phase}, "spec": {"nodeName": node,
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}})
        };
        assert!(!uses_claim(&pod("", "Pending"), "c", &claim));
        assert!(uses_claim(&pod("n", "Running"), "c", &claim));
        assert!(uses_claim(&pod("n", "Succeeded"), "c", &claim));
        assert!(!uses_claim(&pod("n", "Running"), "other", &claim));
    }

    #[test]
    fn a_claim_made_for_a_pod_goes_when_it_was_shut_down() {
        let claim = json!({"metadata": {"ownerReferences": [{"uid": "u", "controller": true}]}});
        let mut pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": "n",
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]}});
        assert!(uses_claim(&pod, "p-v", &claim));
        assert!(!uses_claim(&pod, "p-v", &json!({})), "a claim of this name that is another's");
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        pod["metadata"]["deletionGracePeriodSeconds"] = 0.into();
        assert!(!uses_claim(&pod, "p-v", &claim));
    }
}
