//! Discovery documents: legacy v1 and aggregated v2 / v2beta1.
//!
//! Clients choose what to call by them: kubectl maps `kc` to a resource, RESTMappers map a kind to a path. Groups come in
//! the order of the real server's aggregator (a short name taken twice goes to the first), versions by Kubernetes version
//! priority, resources by name.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::resource::ResourceType;

/// Built-in groups in the order the real server lists them; groups of custom kinds follow by name.
const GROUP_ORDER: [&str; 20] = [
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// `APIVersions`, the answer of `/api`. `server_address` is `host:port` as clients reach it.
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// Resources by group, in the order groups are listed.
fn groups<'a>(resources: &[&'a ResourceType]) -> Vec<(&'a str, Vec<&'a ResourceType>)> {
    let mut by_group: BTreeMap<(usize, &str), Vec<&ResourceType>> = BTreeMap::new();
    for resource in resources {
        let position = GROUP_ORDER.iter().position(|group| *group == resource.group).unwrap_or(GROUP_ORDER.len());
        by_group.entry((position, &resource.group)).or_default().push(resource);
    }
    by_group.into_iter().map(|((_, group), resources)| (group, resources)).collect()
}

/// The versions of one group's resources, preferred first.
fn versions<'a>(resources: &[&'a ResourceType]) -> Vec<&'a str> {
    let mut versions: Vec<&str> = resources.iter().map(|resource| resource.version.as_str()).collect();
    versions.sort_by(|left, right| compare_versions(right, left));
    versions.dedup();
    versions
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn group_entry(group: &str, resources: &[&ResourceType]) -> Value {
    let versions: Vec<Value> = versions(resources)
        .iter()
        .map(|version| json!({"groupVersion": group_version(group, version), "version": version}))
        .collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

/// `APIGroupList`, the answer of `/apis`: every group but the core one.
pub fn group_list(resources: &[&ResourceType]) -> Value {
    let entries: Vec<Value> = groups(resources)
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, resources)| group_entry(group, resources))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": entries})
}

/// `APIGroup`, the answer of `/apis/GROUP`; None when nothing of the group is served.
pub fn group(group: &str, resources: &[&ResourceType]) -> Option<Value> {
    let own: Vec<&ResourceType> = resources.iter().filter(|resource| resource.group == group).copied().collect();
    if own.is_empty() {
        return None;
    }
    let mut entry = group_entry(group, &own);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = "v1".into();
    Some(entry)
}

/// The kind a subresource's body has.
struct SubresourceKind<'a> {
    name: &'a str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    verbs: Vec<&'a str>,
}

/// Every subresource by name: status and scale where the kind has them, then its own.
fn subresources(resource: &ResourceType) -> Vec<SubresourceKind<'_>> {
    let readable = || vec!["get", "patch", "update"];
    let mut all: Vec<SubresourceKind<'_>> = resource
        .subresources
        .iter()
        .map(|subresource| {
            let own = subresource.version.is_empty();
            SubresourceKind {
                name: &subresource.name,
                group: if own { &resource.group } else { &subresource.group },
                version: if own { &resource.version } else { &subresource.version },
                kind: &subresource.kind,
                verbs: subresource.verbs.iter().map(String::as_str).collect(),
            }
        })
        .collect();
    let declared = |name: &str| resource.subresources.iter().any(|subresource| subresource.name == name);
    if resource.status_subresource && !declared("status") {
        all.push(SubresourceKind {
            name: "status",
            group: &resource.group,
            version: &resource.version,
            kind: &resource.kind,
            verbs: readable(),
        });
    }
    if resource.scale.is_some() && !declared("scale") {
        all.push(SubresourceKind {
            name: "scale",
            group: "autoscaling",
            version: "v1",
            kind: "Scale",
            verbs: readable(),
        });
    }
    if !resource.custom {
        all.sort_by(|left, right| left.name.cmp(right.name));
    }
    all
}

/// Changes when objects of this kind come to be stored in another version (`StorageVersionHash`).
fn storage_version_hash(resource: &ResourceType) -> String {
    let stored = resource.storage_version.rsplit('/').next().unwrap_or_default();
    // What the real server stores some kinds as, which is not what their group says.
    let (group, stored) = match (resource.group.as_str(), resource.kind.as_str()) {
        ("events.k8s.io", _) => ("", "v1"),
        ("apiextensions.k8s.io", "CustomResourceDefinition")
        | ("admissionregistration.k8s.io", "MutatingAdmissionPolicy" | "MutatingAdmissionPolicyBinding") => {
            (resource.group.as_str(), "v1beta1")
        }
        (group, _) => (group, stored),
    };
    let digest = Sha256::digest(format!("{group}/{stored}/{}", resource.kind));
    STANDARD.encode(&digest[..8])
}

/// The resources of one group-version by name.
fn sorted<'a>(group: &str, version: &str, resources: &[&'a ResourceType]) -> Vec<&'a ResourceType> {
    let mut own: Vec<&ResourceType> =
        resources.iter().filter(|resource| resource.group == group && resource.version == version).copied().collect();
    own.sort_by(|left, right| left.plural.cmp(&right.plural));
    own
}

/// `APIResourceList`, the answer of `/api/v1` or `/apis/GROUP/VERSION`; None when nothing of it is served.
pub fn resource_list(group: &str, version: &str, resources: &[&ResourceType]) -> Option<Value> {
    let own = sorted(group, version, resources);
    if own.is_empty() {
        return None;
    }
    let mut entries = Vec::new();
    for resource in own {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = resource.short_names.clone().into();
        }
        if !resource.categories.is_empty() {
            entry["categories"] = resource.categories.clone().into();
        }
        // What cannot be watched is not stored.
        if resource.verbs.iter().any(|verb| *verb == "watch") {
            entry["storageVersionHash"] = storage_version_hash(resource).into();
        }
        entries.push(entry);
        for subresource in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, subresource.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": subresource.kind,
                "verbs": subresource.verbs,
            });
            if subresource.group != group || subresource.version != version {
                entry["group"] = subresource.group.into();
                entry["version"] = subresource.version.into();
            }
            entries.push(entry);
        }
    }
    let mut list = json!({
        "kind": "APIResourceList",
        "groupVersion": group_version(group, version),
        "resources": entries,
    });
    // That of the core group is as old as the first clients, and says no version.
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

/// The kind an endpoint answers with. Built-in endpoints leave group and version out where they are their own.
fn response_kind(resource: &ResourceType, group: &str, version: &str, kind: &str) -> Value {
    if !resource.custom && group == resource.group && version == resource.version {
        return json!({"group": "", "version": "", "kind": kind});
    }
    json!({"group": group, "version": version, "kind": kind})
}

fn aggregated_resource(resource: &ResourceType) -> Value {
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": response_kind(resource, &resource.group, &resource.version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = resource.short_names.clone().into();
    }
    if !resource.categories.is_empty() {
        entry["categories"] = resource.categories.clone().into();
    }
    let subresources: Vec<Value> = subresources(resource)
        .iter()
        .map(|subresource| {
            json!({
                "subresource": subresource.name,
                "responseKind":
                    response_kind(resource, subresource.group, subresource.version, subresource.kind),
                "verbs": subresource.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

/// APIGroupDiscoveryList of the core group (`/api`) or all others (`/apis`), `discovery_version` `v2` or `v2beta1`.
pub fn aggregated(core: bool, discovery_version: &str, resources: &[&ResourceType]) -> Value {
    let items: Vec<Value> = groups(resources)
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, resources)| {
            let versions: Vec<Value> = versions(resources)
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = sorted(group, version, resources)
                        .iter()
                        .map(|resource| aggregated_resource(resource))
                        .collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{discovery_version}"),
        "metadata": {},
        "items": items,
    })
}

/// `v2beta1` as (stability, major, minor): the greater the better; None for a name that is no Kubernetes version.
fn parse_version(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    if let Some((major, minor)) = rest.split_once("beta") {
        Some((1, digits(major)?, digits(minor)?))
    } else if let Some((major, minor)) = rest.split_once("alpha") {
        Some((0, digits(major)?, digits(minor)?))
    } else {
        Some((2, digits(rest)?, 0))
    }
}

/// Kubernetes version priority: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > others alphabetically. Greater is preferred.
pub fn compare_versions(left: &str, right: &str) -> Ordering {
    match (parse_version(left), parse_version(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => right.cmp(left),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_json_snapshot;

    use super::*;
    use crate::object_meta::test_resource;
    use crate::resource::{ScalePaths, SubresourceType};

    fn resources() -> Vec<ResourceType> {
        let mut pod = test_resource("", "Pod", false);
        pod.verbs = ["create", "get"].map(str::to_owned).to_vec();
        pod.short_names = vec!["po".to_owned()];
        pod.subresources = vec![SubresourceType {
            name: "eviction".to_owned(),
            kind: "Eviction".to_owned(),
            group: "policy".to_owned(),
            version: "v1".to_owned(),
            verbs: vec!["create".to_owned()],
        }];
        let mut deployment = test_resource("apps", "Deployment", false);
        deployment.scale = Some(ScalePaths {
            spec_replicas_path: ".spec.replicas".to_owned(),
            status_replicas_path: ".status.replicas".to_owned(),
            label_selector_path: None,
        });
        let mut widget = test_resource("example.com", "Widget", true);
        widget.version = "v1beta1".to_owned();
        widget.status_subresource = false;
        widget.namespaced = false;
        widget.categories = vec!["all".to_owned()];
        vec![widget, test_resource("example.com", "Widget", true), deployment, pod]
    }

    #[test]
    fn discovery_documents_are_those_kubectl_reads() {
        let resources = resources();
        let all: Vec<&ResourceType> = resources.iter().collect();
        assert_json_snapshot!("core_versions", core_versions("127.0.0.1:7443"));
        assert_json_snapshot!("group_list", group_list(&all));
        assert_json_snapshot!("group", group("example.com", &all));
        assert_json_snapshot!("core_resources", resource_list("", "v1", &all));
        assert_json_snapshot!("apps_resources", resource_list("apps", "v1", &all));
        assert_json_snapshot!("aggregated_core", aggregated(true, "v2", &all));
        assert_json_snapshot!("aggregated_groups", aggregated(false, "v2beta1", &all));
        assert_eq!((group("none", &all), resource_list("apps", "v9", &all)), (None, None));
    }

    #[test]
    fn typed_clients_read_every_document() {
        use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIGroupList, APIResourceList, APIVersions};
        use kube_core::discovery::v2::APIGroupDiscoveryList;

        let resources = resources();
        let all: Vec<&ResourceType> = resources.iter().collect();
        serde_json::from_value::<APIVersions>(core_versions("127.0.0.1:7443")).unwrap();
        serde_json::from_value::<APIGroupList>(group_list(&all)).unwrap();
        serde_json::from_value::<APIGroup>(group("apps", &all).unwrap()).unwrap();
        serde_json::from_value::<APIResourceList>(resource_list("", "v1", &all).unwrap()).unwrap();
        let groups: APIGroupDiscoveryList = serde_json::from_value(aggregated(false, "v2", &all)).unwrap();
        let names = groups.items.iter().filter_map(|item| item.metadata.as_ref()?.name.clone());
        assert_eq!(names.collect::<Vec<_>>(), ["apps", "example.com"]);
    }

    #[test]
    fn versions_are_ranked_by_stability_then_number() {
        let mut versions = ["v1alpha1", "foo", "v10", "v1", "v2beta1", "v1beta2", "v11alpha2", "bar", "v1beta10"];
        versions.sort_by(|left, right| compare_versions(right, left));
        assert_eq!(versions, ["v10", "v1", "v2beta1", "v1beta10", "v1beta2", "v11alpha2", "v1alpha1", "bar", "foo"]);
    }
}
