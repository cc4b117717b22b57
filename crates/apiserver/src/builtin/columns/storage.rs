//! Volumes, claims and storage classes.

use serde_json::{Value, json};

use super::{
    Printer, age, at, boolean, is_being_deleted, joined, list, network::name_or_default, scalar, text, text_or,
};

pub(super) fn printer(group: &str, plural: &str) -> Option<Printer> {
    Some(match (group, plural) {
        ("", "persistentvolumes") => Printer {
            columns: &[
                "Capacity",
                "Access Modes",
                "Reclaim Policy",
                "Status",
                "Claim",
                "StorageClass",
                "VolumeAttributesClass",
                "Reason",
                "Age",
                "+VolumeMode",
            ],
            cells: volume,
        },
        ("", "persistentvolumeclaims") => Printer {
            columns: &[
                "Status",
                "Volume",
                "Capacity",
                "Access Modes",
                "StorageClass",
                "VolumeAttributesClass",
                "Age",
                "+VolumeMode",
            ],
            cells: claim,
        },
        ("storage.k8s.io", "storageclasses") => Printer {
            columns: &["Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "?AllowVolumeExpansion", "Age"],
            cells: |object, now| {
                vec![
                    name_or_default(object, "storageclass.kubernetes.io/is-default-class").into(),
                    text(object, "/provisioner").into(),
                    text_or(object, "/reclaimPolicy", "Delete").into(),
                    text_or(object, "/volumeBindingMode", "Immediate").into(),
                    boolean(object, "/allowVolumeExpansion").into(),
                    age(object, now),
                ]
            },
        },
        ("storage.k8s.io", "volumeattributesclasses") => Printer {
            columns: &["DriverName", "Age"],
            cells: |object, now| vec![text(object, "/driverName").into(), age(object, now)],
        },
        ("storage.k8s.io", "volumeattachments") => Printer {
            columns: &["Attacher", "PV", "Node", "?Attached", "Age"],
            cells: |object, now| {
                vec![
                    text(object, "/spec/attacher").into(),
                    text(object, "/spec/source/persistentVolumeName").into(),
                    text(object, "/spec/nodeName").into(),
                    boolean(object, "/status/attached").into(),
                    age(object, now),
                ]
            },
        },
        ("storage.k8s.io", "csinodes") => Printer {
            columns: &["#Drivers", "Age"],
            cells: |object, now| vec![list(object, "/spec/drivers").len().into(), age(object, now)],
        },
        ("storage.k8s.io", "csidrivers") => Printer {
            columns: &[
                "?AttachRequired",
                "?PodInfoOnMount",
                "?StorageCapacity",
                "TokenRequests",
                "?RequiresRepublish",
                "Modes",
                "Age",
            ],
            cells: driver,
        },
        ("storage.k8s.io", "csistoragecapacities") => Printer {
            columns: &["StorageClassName", "Capacity"],
            cells: |object, _| {
                let capacity = scalar(object.get("capacity")).unwrap_or_else(|| "<unset>".to_owned());
                vec![text(object, "/storageClassName").into(), capacity.into()]
            },
        },
        _ => return None,
    })
}

/// `RWO,ROX`, each once, in the order Kubernetes lists them.
fn access_modes(object: &Value, pointer: &str) -> String {
    const MODES: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let modes = list(object, pointer);
    MODES
        .iter()
        .filter(|(mode, _)| modes.iter().any(|own| own == mode))
        .map(|(_, short)| *short)
        .collect::<Vec<_>>()
        .join(",")
}

/// The class of a volume or claim; an old annotation goes before the field.
fn class(object: &Value) -> &str {
    let annotation = at(object, "/metadata/annotations")
        .and_then(|annotations| annotations.get("volume.beta.kubernetes.io/storage-class")?.as_str())
        .unwrap_or_default();
    if annotation.is_empty() { text(object, "/spec/storageClassName") } else { annotation }
}

fn phase(object: &Value) -> &str {
    if is_being_deleted(object) { "Terminating" } else { text(object, "/status/phase") }
}

fn volume(object: &Value, now: i64) -> Vec<Value> {
    let claim = match at(object, "/spec/claimRef").filter(|claim| !claim.is_null()) {
        Some(claim) => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")),
        None => String::new(),
    };
    vec![
        scalar(at(object, "/spec/capacity/storage")).unwrap_or_else(|| "0".to_owned()).into(),
        access_modes(object, "/spec/accessModes").into(),
        text(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(object).into(),
        claim.into(),
        class(object).into(),
        text_or(object, "/spec/volumeAttributesClassName", "<unset>").into(),
        text(object, "/status/reason").into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", "<unset>").into(),
    ]
}

fn claim(object: &Value, now: i64) -> Vec<Value> {
    let bound = !text(object, "/spec/volumeName").is_empty();
    let capacity = scalar(at(object, "/status/capacity/storage")).unwrap_or_else(|| "0".to_owned());
    vec![
        phase(object).into(),
        text(object, "/spec/volumeName").into(),
        if bound { capacity.into() } else { json!("") },
        if bound { access_modes(object, "/status/accessModes").into() } else { json!("") },
        class(object).into(),
        text_or(object, "/spec/volumeAttributesClassName", "<unset>").into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", "<unset>").into(),
    ]
}

fn driver(object: &Value, now: i64) -> Vec<Value> {
    let modes = joined(list(object, "/spec/volumeLifecycleModes"), |mode| mode.as_str().unwrap_or_default());
    let requests = match at(object, "/spec/tokenRequests").and_then(Value::as_array) {
        Some(requests) => joined(requests, |request| text(request, "/audience")),
        None => "<unset>".to_owned(),
    };
    vec![
        at(object, "/spec/attachRequired").and_then(Value::as_bool).unwrap_or(true).into(),
        boolean(object, "/spec/podInfoOnMount").into(),
        boolean(object, "/spec/storageCapacity").into(),
        requests.into(),
        boolean(object, "/spec/requiresRepublish").into(),
        if modes.is_empty() { json!("<none>") } else { modes.into() },
        age(object, now),
    ]
}
