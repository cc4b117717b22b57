//! What the real server refuses of built-in kinds beyond their types: Kubernetes' `pkg/apis/*/validation`, in its words and
//! its order.
//!
//! A kind has [`Rules`]: functions that read a [`field::Field`] and report to [`field::Errors`]. A kind without rules is
//! held to its published schema. Values are shown as the real server's own types print them; the diff of two of them is
//! left out of messages.

use kogge_machinery::{
    custom_resource_definition,
    object_meta::MetadataRounds,
    rbac,
    resource::ResourceType,
    status_error::{FieldError, FieldErrorKind},
    typed_object::{EmptyContainers, TypedKind},
};
use serde_json::Value;

use self::field::{Errors, Field};
use super::{autoscaler_conversion, resource_type_of};
use crate::{certificate_signing, trust};

mod admission;
mod api_services;
mod autoscaling;
mod cluster;
mod configuration;
mod containers;
mod cron;
mod cron_jobs;
mod endpoints;
mod events;
pub(crate) mod field;
mod flow_control;
mod jobs;
mod networking;
mod pods;
mod resources;
mod scheduling;
mod security;
mod services;
mod storage;
pub(crate) mod text;
mod volumes;
mod warnings;
mod workloads;

pub use warnings::warnings;

/// A write under validation.
struct Change<'o> {
    new: Field<'o>,
    /// What an update changes.
    old: Option<Field<'o>>,
    /// The endpoint; empty for the object itself.
    subresource: &'o str,
}

type Check = fn(&Change<'_>, &mut Errors);

/// How a kind is judged.
struct Rules {
    /// Of the object itself, and of what is changed through any other endpoint than those below.
    object: Check,
    /// Of `/status`.
    status: Check,
}

impl Rules {
    const fn new(object: Check) -> Self {
        Self { object, status: |_, _| {} }
    }

    const fn with_status(object: Check, status: Check) -> Self {
        Self { object, status }
    }
}

/// The rules of a kind.
fn rules(resource: &ResourceType) -> Option<Rules> {
    Some(match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => Rules::with_status(pods::validate, pods::validate_status),
        ("", "podtemplates") => Rules::new(|change, errors| {
            pods::validate_template(&change.new.at("template"), None, errors);
        }),
        ("", "services") => Rules::with_status(services::validate, services::validate_status),
        ("", "endpoints") => Rules::new(endpoints::validate_endpoints),
        ("", "configmaps") => Rules::new(configuration::validate_config_map),
        ("", "secrets") => Rules::new(configuration::validate_secret),
        ("", "events") => Rules::new(events::validate_core),
        ("", "nodes") => Rules::with_status(cluster::validate_node, cluster::validate_node),
        ("", "namespaces") => Rules::with_status(cluster::validate_namespace, cluster::validate_namespace_status),
        ("", "resourcequotas") => Rules::with_status(cluster::validate_quota, cluster::validate_quota_status),
        ("", "limitranges") => Rules::new(cluster::validate_limits),
        ("", "persistentvolumes") => Rules::new(storage::validate_volume),
        ("", "persistentvolumeclaims") => Rules::with_status(storage::validate_claim, storage::validate_claim_status),
        ("", "replicationcontrollers") => {
            Rules::with_status(workloads::validate_replication_controller, workloads::validate_replica_set_status)
        }
        ("events.k8s.io", "events") => Rules::new(events::validate_newer),
        ("apps", "deployments") => {
            Rules::with_status(workloads::validate_deployment, workloads::validate_deployment_status)
        }
        ("apps", "replicasets") => {
            Rules::with_status(workloads::validate_replica_set, workloads::validate_replica_set_status)
        }
        ("apps", "statefulsets") => {
            Rules::with_status(workloads::validate_stateful_set, workloads::validate_stateful_set_status)
        }
        ("apps", "daemonsets") => {
            Rules::with_status(workloads::validate_daemon_set, workloads::validate_daemon_set_status)
        }
        ("apps", "controllerrevisions") => Rules::new(workloads::validate_controller_revision),
        ("batch", "jobs") => Rules::with_status(jobs::validate, jobs::validate_status),
        ("batch", "cronjobs") => Rules::new(cron_jobs::validate),
        ("autoscaling", "horizontalpodautoscalers") => {
            Rules::with_status(autoscaling::validate, autoscaling::validate_status)
        }
        ("networking.k8s.io", "ingresses") => {
            Rules::with_status(networking::validate_ingress, networking::validate_ingress_status)
        }
        ("networking.k8s.io", "ingressclasses") => Rules::new(networking::validate_ingress_class),
        ("networking.k8s.io", "networkpolicies") => Rules::new(networking::validate_network_policy),
        ("networking.k8s.io", "ipaddresses") => Rules::new(networking::validate_address),
        ("networking.k8s.io", "servicecidrs") => Rules::new(networking::validate_service_network),
        ("policy", "poddisruptionbudgets") => {
            Rules::with_status(cluster::validate_budget, cluster::validate_budget_status)
        }
        ("apiregistration.k8s.io", "apiservices") => Rules::new(api_services::validate),
        ("coordination.k8s.io", "leases") => Rules::new(cluster::validate_lease),
        ("discovery.k8s.io", "endpointslices") => Rules::new(endpoints::validate_slice),
        ("scheduling.k8s.io", "priorityclasses") => Rules::new(cluster::validate_priority),
        ("node.k8s.io", "runtimeclasses") => Rules::new(cluster::validate_runtime),
        ("storage.k8s.io", "storageclasses") => Rules::new(storage::validate_class),
        ("storage.k8s.io", "volumeattributesclasses") => Rules::new(storage::validate_attributes_class),
        ("storage.k8s.io", "volumeattachments") => Rules::new(storage::validate_attachment),
        ("storage.k8s.io", "csinodes") => Rules::new(storage::validate_csi_node),
        ("storage.k8s.io", "csidrivers") => Rules::new(storage::validate_csi_driver),
        ("storage.k8s.io", "csistoragecapacities") => Rules::new(storage::validate_capacity),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            Rules::new(admission::validate_webhooks)
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => {
            Rules::with_status(admission::validate_policy, admission::validate_policy_status)
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            Rules::new(admission::validate_binding)
        }
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => {
            Rules::new(admission::validate_mutating_policy)
        }
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings") => {
            Rules::new(admission::validate_mutating_binding)
        }
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => Rules::new(flow_control::validate_schema),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => Rules::new(flow_control::validate_level),
        _ => return None,
    })
}

/// The wrong fields of an object, completed with defaults, of a built-in kind; `old` is what an update changes through
/// `subresource` (empty for the object itself). Messages show parts of it with its empty lists and maps. Metadata is judged
/// elsewhere.
pub fn validate(
    resource: &ResourceType,
    (object, empty): (&Value, &EmptyContainers),
    old: Option<&Value>,
    subresource: &str,
) -> Vec<FieldError> {
    if autoscaler_conversion::is_older(resource)
        && let Some(newer) = resource_type_of(&resource.group, &resource.plural)
    {
        let old = old.cloned().map(autoscaler_conversion::to_newer);
        let object = autoscaler_conversion::to_newer(object.clone());
        return validate(newer, (&object, empty), old.as_ref(), subresource);
    }
    let of_schema = resource.schema.get().map(|schema| schema.validate(object, old)).unwrap_or_default();
    let of_schema = of_schema.into_iter().filter(|error| !error.field.starts_with("metadata"));
    let Some(own) = own_errors(resource, (object, empty), old, subresource) else { return of_schema.collect() };
    // The kind's own rules say what has to be there and what is allowed, so that of the schema only the types are left.
    let of_types =
        of_schema.filter(|error| matches!(error.kind, FieldErrorKind::TypeInvalid | FieldErrorKind::Invalid));
    of_types.chain(own).collect()
}

/// What is wrong with the addresses of a Service that is to have some, before it is given what is missing.
pub fn address_errors(service: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Errors::of(TypedKind::of("v1", "Service"), EmptyContainers::default());
    services::addresses(&Field::root(service), old.map(Field::root).as_ref(), &mut errors);
    errors.into_inner()
}

/// How often a kind looks at the metadata of a changed object.
pub fn metadata_rounds(resource: &ResourceType, subresource: &str) -> MetadataRounds {
    let rounds = |as_change, as_whole| MetadataRounds { as_change, as_whole };
    let plural = resource.plural.as_str();
    if plural == "events" {
        return rounds(usize::from(resource.group == "events.k8s.io"), 0);
    }
    if plural == "poddisruptionbudgets" {
        return rounds(0, 0);
    }
    if subresource == "status" {
        return rounds(1, 0);
    }
    match (resource.group.as_str(), plural) {
        ("", "persistentvolumes") => rounds(0, 2),
        ("admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io", _)
        | ("", "limitranges")
        | ("discovery.k8s.io", "endpointslices")
        | ("storage.k8s.io", "csinodes" | "volumeattachments") => rounds(0, 1),
        (
            "",
            "configmaps"
            | "endpoints"
            | "namespaces"
            | "nodes"
            | "persistentvolumeclaims"
            | "pods"
            | "secrets"
            | "serviceaccounts",
        )
        | ("apps", "controllerrevisions")
        | ("batch", "jobs")
        | ("certificates.k8s.io" | "node.k8s.io" | "rbac.authorization.k8s.io", _)
        | ("networking.k8s.io", "ingresses" | "ingressclasses" | "ipaddresses")
        | ("storage.k8s.io", "csistoragecapacities" | "storageclasses" | "volumeattributesclasses") => rounds(1, 1),
        _ => rounds(1, 0),
    }
}

/// The group errors of a kind are reported under. Events of both groups are one type in the real server.
pub fn reported_group(resource: &ResourceType) -> &str {
    if (resource.group.as_str(), resource.plural.as_str()) == ("events.k8s.io", "events") {
        ""
    } else {
        &resource.group
    }
}

/// What the rules of a kind find; none of a kind without rules.
fn own_errors(
    resource: &ResourceType,
    (object, empty): (&Value, &EmptyContainers),
    old: Option<&Value>,
    subresource: &str,
) -> Option<Vec<FieldError>> {
    if let Some(rules) = rules(resource) {
        let change = Change { new: Field::root(object), old: old.map(Field::root), subresource };
        let check = match (resource.plural.as_str(), subresource) {
            (_, "status") => rules.status,
            ("pods", "ephemeralcontainers") => pods::validate_ephemeral_containers,
            ("pods", "resize") => pods::validate_resize,
            _ => rules.object,
        };
        let mut errors = Errors::of(TypedKind::of(&resource.api_version(), &resource.kind), empty.clone());
        check(&change, &mut errors);
        return Some(errors.into_inner());
    }
    Some(match (resource.group.as_str(), resource.plural.as_str()) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            // A write of the status alone is not judged, so that stored versions can be migrated.
            let of_status = |old: &Value| old["spec"] == object["spec"] && old["status"] != object["status"];
            if old.is_some_and(of_status) {
                return Some(Vec::new());
            }
            let restored = empty.restored("", object);
            let mut errors = custom_resource_definition::validate(object, restored.as_ref().unwrap_or(object), old);
            trust::add_conversion_error(object, old, &mut errors);
            errors
        }
        (certificate_signing::GROUP, certificate_signing::RESOURCE) => {
            certificate_signing::validation::validate(object, old)
        }
        (rbac::GROUP, plural) => {
            let mut errors = Errors::default();
            for selector in Field::root(object).at("aggregationRule.clusterRoleSelectors").items() {
                text::label_selector(&selector, &mut errors);
            }
            let mut found = rbac::validation::validate(plural, object, old);
            found.extend(errors.into_inner());
            found
        }
        ("", "serviceaccounts") => Vec::new(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
