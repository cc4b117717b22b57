//! The built-in kinds: what a Kubernetes API serves before anybody defines a resource of their own.
//!
//! Names, verbs, scopes and subresources are data (`schemas/resources.json`, written by `schemas/generator` from the
//! published discovery of Kubernetes), and so are the schemas. What the real server keeps in hand-written code per kind
//! is in the modules below: which fields can be selected, what is defaulted, validated and printed.
//!
//! Every plane serves all of them. A workload cluster needs Pods and Nodes, and users of a management plane expect
//! `kubectl get nodes` to answer with an empty list, not with an unknown resource.

use std::{
    cell::LazyCell,
    sync::{Arc, LazyLock},
};

use kogge_machinery::{
    resource::{ResourceType, ScalePaths, SharedResourceType, SubresourceType},
    schema::LazySchema,
};
use serde::Deserialize;

pub mod autoscaler_conversion;
mod columns;
pub mod defaults;
pub mod event_conversion;
pub(crate) mod published;
pub mod schemas;
pub mod validation;

/// One group version of `schemas/resources.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CatalogueGroupVersion {
    group_version: String,
    resources: Vec<CatalogueResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CatalogueResource {
    name: String,
    kind: String,
    definition: String,
    singular_name: String,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    namespaced: bool,
    verbs: Vec<String>,
    #[serde(default)]
    subresources: Vec<CatalogueSubresource>,
}

#[derive(Deserialize)]
struct CatalogueSubresource {
    name: String,
    kind: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    version: String,
    verbs: Vec<String>,
}

static RESOURCE_TYPES: LazyLock<Vec<SharedResourceType>> = LazyLock::new(|| {
    let catalogue: Vec<CatalogueGroupVersion> = serde_json::from_str(include_str!("../schemas/resources.json"))
        .expect("the embedded catalogue is written by the generator and parsed by a test");
    catalogue
        .into_iter()
        .flat_map(|entry| {
            let group_version = entry.group_version;
            entry.resources.into_iter().map(move |resource| Arc::new(resource_type(&group_version, resource)))
        })
        .collect()
});

/// All built-in kinds, the core group first. Where a kind is served in two versions the stored one comes first. The same values for every plane; a schema
/// is compiled when a request first needs it.
pub fn resource_types() -> &'static [SharedResourceType] {
    &RESOURCE_TYPES
}

/// Compiles the schemas of the kinds that every plane has objects of from the start, together: their definitions, which are
/// in one group version, are unpacked once.
pub(crate) fn compile_first_kinds() {
    const GROUP_VERSION: &str = "v1";
    let definitions = LazyCell::new(|| schemas::compilable(GROUP_VERSION));
    for plural in ["configmaps", "namespaces", "serviceaccounts", "services"] {
        let Some(resource) = resource_type_of("", plural) else { continue };
        let definition = format!("io.k8s.api.core.{GROUP_VERSION}.{}", resource.kind);
        resource.schema.get_or_compile(|| schemas::compile_from(definitions.as_ref()?, &definition));
    }
}

/// The built-in kind of a group and plural resource name, in the version it is stored in.
pub fn resource_type_of(group: &str, plural: &str) -> Option<&'static SharedResourceType> {
    RESOURCE_TYPES.iter().find(|resource| resource.group == group && resource.plural == plural)
}

fn resource_type(group_version: &str, entry: CatalogueResource) -> ResourceType {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let status_subresource = entry.subresources.iter().any(|subresource| subresource.name == "status");
    let scale = entry.subresources.iter().any(|subresource| subresource.name == "scale").then(|| ScalePaths {
        spec_replicas_path: ".spec.replicas".to_owned(),
        status_replicas_path: ".status.replicas".to_owned(),
        label_selector_path: Some(".spec.selector".to_owned()),
    });
    let subresources = entry
        .subresources
        .into_iter()
        .filter(|subresource| subresource.name != "status" && subresource.name != "scale")
        .map(|subresource| SubresourceType {
            name: subresource.name,
            kind: subresource.kind,
            group: if subresource.version.is_empty() { group.to_owned() } else { subresource.group },
            version: if subresource.version.is_empty() { version.to_owned() } else { subresource.version },
            verbs: subresource.verbs,
        })
        .collect();
    let (columns, cells) = columns::of(group, &entry.name, &entry.kind);
    let compiled_from = (group_version.to_owned(), entry.definition);
    let documented_by = compiled_from.clone();
    ResourceType {
        group: group.to_owned(),
        version: version.to_owned(),
        list_kind: format!("{}List", entry.kind),
        singular: entry.singular_name,
        short_names: entry.short_names,
        categories: entry.categories,
        namespaced: entry.namespaced,
        verbs: entry.verbs,
        storage_version: if group == "autoscaling" { "v2" } else { version }.to_owned(),
        status_subresource,
        scale,
        subresources,
        columns,
        cells: Some(cells),
        counted: columns::counted(group, &entry.name),
        selectable_fields: selectable_fields(group, &entry.name).iter().map(|field| format!(".{field}")).collect(),
        custom: false,
        has_generation: has_generation(group, &entry.name),
        deprecation_warning: deprecation_warning(group, &entry.name).map(str::to_owned),
        schema: LazySchema::new(
            move || schemas::compile(&compiled_from.0, &compiled_from.1),
            move || schemas::document(&documented_by.0, &documented_by.1),
        ),
        kind: entry.kind,
        plural: entry.name,
    }
}

/// Fields a field selector may name beside `metadata.name` and `metadata.namespace`
/// (`AddFieldLabelConversionFunc` calls of Kubernetes' `pkg/apis`).
///
/// Two of them are not plain paths: `source` of an Event is `source.component` or else `reportingComponent`, and
/// `status.successful` of a Job is `status.succeeded`.
fn selectable_fields(group: &str, plural: &str) -> &'static [&'static str] {
    match (group, plural) {
        ("", "pods") => &[
            "spec.hostNetwork",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.nominatedNodeName",
            "status.phase",
            "status.podIP",
            "status.podIPs",
        ],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "namespaces") => &["status.phase"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "replicationcontrollers") => &["status.replicas"],
        ("", "events") => &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "events") => &[
            "reason",
            "regarding.apiVersion",
            "regarding.fieldPath",
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.resourceVersion",
            "regarding.uid",
            "reportingController",
            "type",
        ],
        ("batch", "jobs") => &["status.successful"],
        ("certificates.k8s.io", "certificatesigningrequests") => &["spec.signerName"],
        _ => &[],
    }
}

/// Kinds whose strategy in Kubernetes' `pkg/registry` counts `metadata.generation`.
fn has_generation(group: &str, plural: &str) -> bool {
    match group {
        "" => matches!(plural, "pods" | "podtemplates" | "replicationcontrollers"),
        "apps" => plural != "controllerrevisions",
        "admissionregistration.k8s.io"
        | "apiextensions.k8s.io"
        | "batch"
        | "flowcontrol.apiserver.k8s.io"
        | "policy"
        | "discovery.k8s.io"
        | "scheduling.k8s.io" => true,
        "networking.k8s.io" => matches!(plural, "networkpolicies" | "ingresses" | "ingressclasses"),
        "storage.k8s.io" => plural == "csidrivers",
        _ => false,
    }
}

fn deprecation_warning(group: &str, plural: &str) -> Option<&'static str> {
    match (group, plural) {
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        ("", "endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_lists_every_built_in_kind() {
        let lines: Vec<String> = resource_types()
            .iter()
            .map(|resource| {
                let mut below: Vec<&str> =
                    resource.subresources.iter().map(|subresource| subresource.name.as_str()).collect();
                if resource.status_subresource {
                    below.push("status");
                }
                if resource.scale.is_some() {
                    below.push("scale");
                }
                format!(
                    "{} {} [{}]{}{} {}",
                    resource.api_version(),
                    resource.plural,
                    resource.short_names.join(","),
                    if resource.namespaced { " namespaced" } else { "" },
                    if resource.has_generation { " generation" } else { "" },
                    below.join(",")
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
