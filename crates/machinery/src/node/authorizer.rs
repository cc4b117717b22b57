//! What nodes may ask for (Kubernetes' `plugin/pkg/auth/authorizer/node`).
//!
//! A node never is refused here: where this has no opinion, roles and bindings may still allow what it asks.

use crate::{rbac::Attributes, selector::FieldRequirement, status_error::quote};

/// The role whose rules hold for what is not divided among nodes.
pub const ROLE: &str = "system:node";
/// Where the leases of nodes are.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

/// A kind of objects of which a node may have only those that are related to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelatedKind {
    /// That a pod on the node, or a volume such a pod claims, names.
    Secret,
    /// That a pod on the node names.
    ConfigMap,
    /// That a pod on the node uses.
    PersistentVolumeClaim,
    /// That is bound to such a claim.
    PersistentVolume,
    /// That a pod on the node uses.
    ResourceClaim,
    /// That a pod on the node runs as.
    ServiceAccount,
    /// On the node.
    Pod,
    /// To the node.
    VolumeAttachment,
    /// Of the node.
    ResourceSlice,
}

impl RelatedKind {
    /// Whether objects of the kind are in namespaces.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::PersistentVolume | Self::VolumeAttachment | Self::ResourceSlice)
    }
}

/// What is to be said about a request of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It may.
    Allowed,
    /// It may if the object it names is related to the node, else as [`Self::None`] with the reason [`unrelated`].
    IfRelated(RelatedKind),
    /// It may if the rules of [`ROLE`] say so, else as [`Self::None`] without a reason.
    ByRules,
    /// Nothing. The reason is told to who is refused in the end; it may be empty.
    None(String),
}

fn none(reason: &str) -> Opinion {
    Opinion::None(reason.to_owned())
}

/// Why a node may not have an object.
pub fn unrelated(node: &str) -> String {
    format!("no relationship found between node '{node}' and this object")
}

/// What is to be said about a request of a node, whose name may be empty.
pub fn opinion(node: &str, attributes: &Attributes<'_>) -> Opinion {
    if node.is_empty() {
        return Opinion::None(format!("unknown node for user {}", quote(super::USER_PREFIX)));
    }
    if attributes.path.is_some() {
        return Opinion::ByRules;
    }
    match (attributes.group, attributes.resource) {
        ("", "secrets") => read_one(RelatedKind::Secret, attributes),
        ("", "configmaps") => read_one(RelatedKind::ConfigMap, attributes),
        ("", "persistentvolumeclaims") if attributes.subresource == "status" => match attributes.verb {
            "update" | "patch" => related(RelatedKind::PersistentVolumeClaim, attributes),
            _ => none("can only get/update/patch this type"),
        },
        ("", "persistentvolumeclaims") => get(RelatedKind::PersistentVolumeClaim, attributes),
        ("", "persistentvolumes") => get(RelatedKind::PersistentVolume, attributes),
        ("resource.k8s.io", "resourceclaims") => get(RelatedKind::ResourceClaim, attributes),
        ("storage.k8s.io", "volumeattachments") => get(RelatedKind::VolumeAttachment, attributes),
        ("", "serviceaccounts") => service_account(attributes),
        ("coordination.k8s.io", "leases") => lease(node, attributes),
        ("storage.k8s.io", "csinodes") => csi_node(node, attributes),
        ("resource.k8s.io", "resourceslices") => resource_slice(node, attributes),
        ("", "nodes") => node_object(node, attributes),
        ("", "pods") => pod(node, attributes),
        // A feature that is off.
        ("certificates.k8s.io", "podcertificaterequests") => none(""),
        _ => Opinion::ByRules,
    }
}

fn related(kind: RelatedKind, attributes: &Attributes<'_>) -> Opinion {
    if attributes.name.is_empty() { none("No Object name found") } else { Opinion::IfRelated(kind) }
}

fn get(kind: RelatedKind, attributes: &Attributes<'_>) -> Opinion {
    match (attributes.verb, attributes.subresource) {
        ("get", "") => related(kind, attributes),
        ("get", _) => none("cannot get subresource"),
        _ => none("can only get individual resources of this type"),
    }
}

fn read_one(kind: RelatedKind, attributes: &Attributes<'_>) -> Opinion {
    match attributes.verb {
        "get" | "list" | "watch" if !attributes.subresource.is_empty() => none("cannot read subresource"),
        "get" | "list" | "watch" if attributes.namespace.is_empty() => {
            none("can only read namespaced object of this type")
        }
        "get" | "list" | "watch" => related(kind, attributes),
        _ => none("can only read resources of this type"),
    }
}

fn service_account(attributes: &Attributes<'_>) -> Opinion {
    match (attributes.verb, attributes.subresource) {
        ("get", "") => read_one(RelatedKind::ServiceAccount, attributes),
        ("create", "token") if !attributes.name.is_empty() => Opinion::IfRelated(RelatedKind::ServiceAccount),
        ("create", _) if !attributes.name.is_empty() => none("can only create token subresource of serviceaccount"),
        _ => none("can only create tokens for individual service accounts"),
    }
}

fn lease(node: &str, attributes: &Attributes<'_>) -> Opinion {
    match attributes.verb {
        "get" | "create" | "update" | "patch" | "delete" => {}
        _ => return none("can only get, create, update, patch, or delete a node lease"),
    }
    if attributes.namespace != LEASE_NAMESPACE {
        return Opinion::None(format!("can only access leases in the {} system namespace", quote(LEASE_NAMESPACE)));
    }
    // The name of what is created is known to admission only.
    if attributes.verb != "create" && attributes.name != node {
        return none("can only access node lease with the same name as the requesting node");
    }
    Opinion::Allowed
}

fn csi_node(node: &str, attributes: &Attributes<'_>) -> Opinion {
    match attributes.verb {
        "get" | "create" | "update" | "patch" | "delete" => {}
        _ => return none("can only get, create, update, patch, or delete a CSINode"),
    }
    if !attributes.subresource.is_empty() {
        return none("cannot authorize CSINode subresources");
    }
    if attributes.verb != "create" && attributes.name != node {
        return none("can only access CSINode with the same name as the requesting node");
    }
    Opinion::Allowed
}

/// Whether a selector leaves only what is of the node.
fn selects(attributes: &Attributes<'_>, field: &str, node: &str) -> bool {
    let is_it =
        |requirement: &FieldRequirement| requirement.equal && requirement.field == field && requirement.value == node;
    attributes.field_selector.iter().any(is_it)
}

fn resource_slice(node: &str, attributes: &Attributes<'_>) -> Opinion {
    if !attributes.subresource.is_empty() {
        return none("cannot authorize ResourceSlice subresources");
    }
    match attributes.verb {
        "create" => Opinion::Allowed,
        "get" | "update" | "patch" | "delete" => related(RelatedKind::ResourceSlice, attributes),
        "watch" | "list" | "deletecollection" if selects(attributes, "spec.nodeName", node) => Opinion::Allowed,
        "watch" | "list" | "deletecollection" => {
            none("can only list/watch/deletecollection resourceslices with nodeName field selector")
        }
        _ => none(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, \
             deletecollection",
        ),
    }
}

fn node_object(node: &str, attributes: &Attributes<'_>) -> Opinion {
    match (attributes.subresource, attributes.verb) {
        // Which node it is, admission looks at.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Opinion::Allowed,
        ("", "get" | "list" | "watch") => match attributes.name {
            name if name == node => Opinion::Allowed,
            "" => Opinion::None(format!("node '{node}' cannot read all nodes, only its own Node object")),
            other => Opinion::None(format!("node '{node}' cannot read '{other}', only its own Node object")),
        },
        _ => none(""),
    }
}

fn pod(node: &str, attributes: &Attributes<'_>) -> Opinion {
    match (attributes.subresource, attributes.verb) {
        ("", "get") => get(RelatedKind::Pod, attributes),
        ("", "list" | "watch") if selects(attributes, "spec.nodeName", node) => Opinion::Allowed,
        ("", "list" | "watch") if !attributes.name.is_empty() => Opinion::IfRelated(RelatedKind::Pod),
        ("", "list" | "watch") => none("can only list/watch pods with spec.nodeName field selector"),
        // Whose pods they are, admission looks at.
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Opinion::Allowed,
        _ => none(""),
    }
}
