//! What pods and volumes refer to, and so what a node may have that runs them (`pkg/api/v1/pod` and
//! `pkg/api/v1/persistentvolume` of Kubernetes).

use serde_json::Value;

use super::{MIRROR_POD_ANNOTATION, authorizer::RelatedKind};
use crate::status_error::quote;

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn items<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value[field].as_array().into_iter().flatten()
}

/// Whether the pod only shows what a kubelet runs by a file of its own. It gives its node nothing.
pub fn is_mirror_pod(pod: &Value) -> bool {
    pod["metadata"]["annotations"].get(MIRROR_POD_ANNOTATION).is_some()
}

/// Whether a pod makes its node one that may have this object of the pod's namespace. Never, of the kinds that pods do not
/// refer to.
pub fn pod_refers_to(pod: &Value, kind: RelatedKind, name: &str) -> bool {
    if name.is_empty() || is_mirror_pod(pod) {
        return false;
    }
    match kind {
        RelatedKind::Secret => secrets(pod).contains(&name),
        RelatedKind::ConfigMap => config_maps(pod).contains(&name),
        RelatedKind::ServiceAccount => text(&pod["spec"], "serviceAccountName") == name,
        RelatedKind::PersistentVolumeClaim => {
            items(&pod["spec"], "volumes").any(|volume| claim_of(pod, volume).as_deref() == Some(name))
        }
        RelatedKind::ResourceClaim => {
            let extended = &pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"];
            extended == name || items(&pod["spec"], "resourceClaims").any(|claim| resource_claim(pod, claim) == name)
        }
        RelatedKind::Pod
        | RelatedKind::PersistentVolume
        | RelatedKind::VolumeAttachment
        | RelatedKind::ResourceSlice => false,
    }
}

/// The claim a volume of a pod uses, also the one that was made for it.
pub fn claim_of(pod: &Value, volume: &Value) -> Option<String> {
    if volume["persistentVolumeClaim"].is_object() {
        return Some(text(&volume["persistentVolumeClaim"], "claimName").to_owned());
    }
    volume["ephemeral"].is_object().then(|| format!("{}-{}", text(&pod["metadata"], "name"), text(volume, "name")))
}

/// The name of a claim of a pod, empty while there is none.
fn resource_claim<'v>(pod: &'v Value, claim: &'v Value) -> &'v str {
    if claim["resourceClaimName"].is_string() {
        return text(claim, "resourceClaimName");
    }
    if !claim["resourceClaimTemplateName"].is_string() {
        return "";
    }
    let mut made = items(&pod["status"], "resourceClaimStatuses");
    made.find(|status| status["name"] == claim["name"]).map_or("", |status| text(status, "resourceClaimName"))
}

/// What all containers of a pod take into their environment from a kind of objects.
fn environment<'v>(pod: &'v Value, all: &'static str, one: &'static str) -> impl Iterator<Item = &'v str> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let containers = lists.into_iter().flat_map(|list| items(&pod["spec"], list));
    containers.flat_map(move |container| {
        let whole = items(container, "envFrom").map(move |source| text(&source[all], "name"));
        whole.chain(items(container, "env").map(move |variable| text(&variable["valueFrom"][one], "name")))
    })
}

/// The Secrets a pod names.
fn secrets(pod: &Value) -> Vec<&str> {
    let spec = &pod["spec"];
    let of_volumes = items(spec, "volumes").flat_map(|volume| {
        let by_reference = ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"]
            .into_iter()
            .map(|source| text(&volume[source]["secretRef"], "name"));
        let projected = items(&volume["projected"], "sources").map(|source| text(&source["secret"], "name"));
        let direct = [
            text(&volume["azureFile"], "secretName"),
            text(&volume["secret"], "secretName"),
            text(&volume["csi"]["nodePublishSecretRef"], "name"),
        ];
        by_reference.chain(projected).chain(direct)
    });
    let to_pull = items(spec, "imagePullSecrets").map(|reference| text(reference, "name"));
    let all = to_pull.chain(environment(pod, "secretRef", "secretKeyRef")).chain(of_volumes);
    all.filter(|name| !name.is_empty()).collect()
}

/// The ConfigMaps a pod names.
fn config_maps(pod: &Value) -> Vec<&str> {
    let of_volumes = items(&pod["spec"], "volumes").flat_map(|volume| {
        let projected = items(&volume["projected"], "sources").map(|source| text(&source["configMap"], "name"));
        projected.chain([text(&volume["configMap"], "name")])
    });
    let all = environment(pod, "configMapRef", "configMapKeyRef").chain(of_volumes);
    all.filter(|name| !name.is_empty()).collect()
}

/// Namespace and name of the claim a volume is for, once it is for one.
pub fn claim_of_volume(volume: &Value) -> Option<(&str, &str)> {
    let claim = &volume["spec"]["claimRef"];
    claim.is_object().then(|| (text(claim, "namespace"), text(claim, "name")))
}

fn named(reference: &Value) -> (&str, &str) {
    (text(reference, "namespace"), text(reference, "name"))
}

/// Namespaces and names of the Secrets that kubelets need for a volume.
pub fn secrets_of_volume(volume: &Value) -> Vec<(&str, &str)> {
    let spec = &volume["spec"];
    let of_claim = text(&spec["claimRef"], "namespace");
    // Where the volume names no namespace, these mean that of its claim.
    let older = ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi"].map(|source| named(&spec[source]["secretRef"]));
    let azure = (text(&spec["azureFile"], "secretNamespace"), text(&spec["azureFile"], "secretName"));
    let by_default = older.into_iter().chain([azure]);
    let in_claim = by_default.map(|(namespace, name)| (if namespace.is_empty() { of_claim } else { namespace }, name));
    let others = ["cinder", "storageos"].map(|source| named(&spec[source]["secretRef"]));
    let of_nodes = ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"];
    let found = in_claim.chain(others).chain(of_nodes.map(|field| named(&spec["csi"][field])));
    found.filter(|(_, name)| !name.is_empty()).collect()
}

/// The resource a pod refers to, in the words of who is told that it must not; none if it refers to nothing.
///
/// # Errors
/// For a volume of a sort that is not known.
pub fn referenced_resource(pod: &Value) -> Result<Option<&'static str>, String> {
    const WITHOUT: [&str; 22] = [
        "awsElasticBlockStore",
        "azureDisk",
        "cephfs",
        "cinder",
        "downwardAPI",
        "emptyDir",
        "fc",
        "flexVolume",
        "flocker",
        "gcePersistentDisk",
        "gitRepo",
        "hostPath",
        "image",
        "iscsi",
        "nfs",
        "photonPersistentDisk",
        "portworxVolume",
        "quobyte",
        "rbd",
        "scaleIO",
        "storageos",
        "vsphereVolume",
    ];
    const WITH: [(&str, &str); 7] = [
        ("configMap", "configmaps (via configmap volumes)"),
        ("secret", "secrets (via secret volumes)"),
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ];
    let spec = &pod["spec"];
    if !text(spec, "serviceAccountName").is_empty() {
        return Ok(Some("serviceaccounts"));
    }
    if !secrets(pod).is_empty() {
        return Ok(Some("secrets"));
    }
    if !config_maps(pod).is_empty() {
        return Ok(Some("configmaps"));
    }
    if items(spec, "resourceClaims").next().is_some() {
        return Ok(Some("resourceclaims"));
    }
    for volume in items(spec, "volumes") {
        let has = |source: &str| volume[source].is_object();
        if WITHOUT.into_iter().any(has) {
            continue;
        }
        if let Some((_, resource)) = WITH.into_iter().find(|(source, _)| has(source)) {
            return Ok(Some(resource));
        }
        let name = quote(text(volume, "name"));
        if !has("projected") {
            return Err(format!("unknown volume type for volume  {name}"));
        }
        if let Some(resource) = projected_resource(&volume["projected"], &name)? {
            return Ok(Some(resource));
        }
    }
    Ok(None)
}

fn projected_resource(projected: &Value, name: &str) -> Result<Option<&'static str>, String> {
    const SOURCES: [(&str, &str); 5] = [
        ("configMap", "configmaps (via projected volumes)"),
        ("secret", "secrets (via projected volumes)"),
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    for source in items(projected, "sources") {
        if let Some((_, resource)) = SOURCES.into_iter().find(|(field, _)| source[*field].is_object()) {
            return Ok(Some(resource));
        }
        if !source["downwardAPI"].is_object() {
            return Err(format!("unknown source for projected volume {name}"));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_a_pod_names_is_related_and_nothing_of_a_mirror_pod() {
        let mut pod = json!({
            "metadata": {"name": "p"},
            "spec": {
                "serviceAccountName": "account",
                "imagePullSecrets": [{"name": "s1"}],
                "initContainers": [{"envFrom": [{"secretRef": {"name": "s2"}}, {"configMapRef": {"name": "c1"}}]}],
                "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "s3"}}}]}],
                "ephemeralContainers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "c2"}}}, {"value": "x"}]}],
                "resourceClaims": [
                    {"name": "one", "resourceClaimName": "r1"},
                    {"name": "two", "resourceClaimTemplateName": "t"},
                    {"name": "three", "resourceClaimTemplateName": "t"},
                ],
                "volumes": [
                    {"secret": {"secretName": "s4"}},
                    {"azureFile": {"secretName": "s5"}},
                    {"csi": {"nodePublishSecretRef": {"name": "s6"}}},
                    {"iscsi": {"secretRef": {"name": "s7"}}},
                    {"projected": {"sources": [{"secret": {"name": "s8"}}, {"configMap": {"name": "c3"}}]}},
                    {"configMap": {"name": "c4"}},
                    {"persistentVolumeClaim": {"claimName": "v1"}},
                    {"name": "made", "ephemeral": {}},
                ],
            },
            "status": {
                "resourceClaimStatuses": [{"name": "two", "resourceClaimName": "r2"}],
                "extendedResourceClaimStatus": {"resourceClaimName": "r3"},
            },
        });
        let of_kinds = [
            (RelatedKind::Secret, &["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"][..]),
            (RelatedKind::ConfigMap, &["c1", "c2", "c3", "c4"]),
            (RelatedKind::ResourceClaim, &["r1", "r2", "r3"]),
            (RelatedKind::PersistentVolumeClaim, &["v1", "p-made"]),
            (RelatedKind::ServiceAccount, &["account"]),
        ];
        let all = |pod: &Value, kind| {
            let names = of_kinds.iter().flat_map(|(_, names)| *names).copied().chain(["", "t", "x"]);
            names.filter(|name| pod_refers_to(pod, kind, name)).collect::<Vec<_>>()
        };
        for (kind, names) in of_kinds {
            assert_eq!(all(&pod, kind), names, "{kind:?}");
        }
        pod["metadata"]["annotations"][MIRROR_POD_ANNOTATION] = "".into();
        assert!(of_kinds.iter().all(|(kind, _)| all(&pod, *kind).is_empty()));
    }

    #[test]
    fn the_secrets_of_a_volume_are_where_it_says_or_with_its_claim() {
        let found = |source: Value| {
            let mut spec = source;
            spec["claimRef"] = json!({"namespace": "team", "name": "c"});
            let volume = json!({"spec": spec});
            secrets_of_volume(&volume).iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect::<Vec<_>>()
        };
        assert_eq!(found(json!({"azureFile": {"secretName": "s"}})), ["team/s"]);
        assert_eq!(found(json!({"azureFile": {"secretName": "s", "secretNamespace": "n"}})), ["n/s"]);
        assert_eq!(found(json!({"rbd": {"secretRef": {"name": "s"}}})), ["team/s"]);
        assert_eq!(found(json!({"rbd": {"secretRef": {"name": "s", "namespace": "n"}}})), ["n/s"]);
        assert_eq!(found(json!({"cinder": {"secretRef": {"name": "s"}}})), ["/s"]);
        let of_driver = json!({"csi": {
            "controllerPublishSecretRef": {"name": "a", "namespace": "n"},
            "nodeStageSecretRef": {"name": "b", "namespace": "n"},
            "nodeExpandSecretRef": {"name": "c", "namespace": "n"},
        }});
        assert_eq!(found(of_driver), ["n/b", "n/c"]);
    }
}
