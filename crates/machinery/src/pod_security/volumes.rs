//! Checks of what a pod mounts.

use super::pod::{Pod, Texts, Violation, items, plural, quoted, text};

/// Sources that are no part of a node, nor of anybody else's storage.
const ALLOWED: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Those that are named when they are refused, in the order they are looked for.
const FORBIDDEN: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

/// No directories of the node.
pub(super) fn host_paths(pod: &Pod<'_>) -> Option<Violation> {
    let volumes: Vec<&str> = items(&pod.spec["volumes"])
        .filter(|volume| volume["hostPath"].is_object())
        .map(|volume| text(volume, "name"))
        .collect();
    (!volumes.is_empty()).then(|| Violation {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", volumes.len()), quoted(volumes)),
    })
}

/// Only [`ALLOWED`] sources.
pub(super) fn restricted(pod: &Pod<'_>) -> Option<Violation> {
    let mut volumes = Vec::new();
    let mut types = Texts::new();
    for volume in items(&pod.spec["volumes"]) {
        let has = |source: &&&str| volume[**source].is_object();
        if ALLOWED.iter().any(|source| has(&source)) {
            continue;
        }
        volumes.push(text(volume, "name"));
        types.insert(FORBIDDEN.iter().find(has).copied().unwrap_or("unknown"));
    }
    (!volumes.is_empty()).then(|| Violation {
        reason: "restricted volume types",
        detail: format!(
            "{} {} {} {} {}",
            plural("volume", "volumes", volumes.len()),
            quoted(volumes.iter().copied()),
            plural("uses", "use", volumes.len()),
            plural("restricted volume type", "restricted volume types", types.len()),
            quoted(types)
        ),
    })
}
