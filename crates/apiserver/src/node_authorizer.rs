//! What nodes may read: the Node authorizer, which is asked before roles and bindings.
//!
//! What a node is related to is looked up in the store when it asks: the pods of one namespace for what pods refer to, and
//! at most the volumes of the cluster beside. Nothing is kept for it, so that a plane without nodes that ask pays nothing.

use kogge_machinery::{
    node::{
        authorizer::{Opinion, ROLE, RelatedKind, opinion, unrelated},
        references,
    },
    rbac::{Attributes, Decision, RoleRef},
    resource::GroupResource,
    status_error::ApiError,
};
use serde_json::Value;

use crate::{
    authentication::User,
    plane::{Plane, list_error, parse_stored},
    rbac::bootstrap,
    store::{ObjectKey, Scope},
};

/// The decision about what a node asks; none for users who are no node. One that does not allow leaves it to roles and
/// bindings.
///
/// # Errors
/// If the plane cannot be read.
pub(crate) fn decide(plane: &Plane, user: &User, attributes: &Attributes<'_>) -> Result<Option<Decision>, ApiError> {
    let Some(node) = user.node_name() else { return Ok(None) };
    let (allowed, reason) = match opinion(node, attributes) {
        Opinion::Allowed => (true, String::new()),
        Opinion::None(reason) => (false, reason),
        Opinion::ByRules => (rules_allow(attributes), String::new()),
        Opinion::IfRelated(kind) => {
            let related = Relations { plane, node }.hold(kind, attributes.namespace, attributes.name)?;
            (related, if related { String::new() } else { unrelated(node) })
        }
    };
    Ok(Some(Decision { allowed, reason }))
}

/// The rules every API starts with; what is stored under the name of the role is for bindings.
fn rules_allow(attributes: &Attributes<'_>) -> bool {
    let role = RoleRef { kind: "ClusterRole".to_owned(), name: ROLE.to_owned(), ..RoleRef::default() };
    let rules = bootstrap::policy().referenced_rules(&role, "");
    rules.is_ok_and(|rules| rules.iter().any(|rule| rule.allows(attributes)))
}

fn core(resource: &str) -> GroupResource {
    GroupResource { group: String::new(), resource: resource.to_owned() }
}

/// What one node is related to.
struct Relations<'a> {
    plane: &'a Plane,
    node: &'a str,
}

impl Relations<'_> {
    fn hold(&self, kind: RelatedKind, namespace: &str, name: &str) -> Result<bool, ApiError> {
        if namespace.is_empty() == kind.is_namespaced() {
            return Ok(false);
        }
        let names_node = |resource: GroupResource| -> Result<bool, ApiError> {
            Ok(self.object(resource, namespace, name)?.is_some_and(|object| object["spec"]["nodeName"] == self.node))
        };
        let of_group = |group: &str, resource: &str| GroupResource { group: group.to_owned(), ..core(resource) };
        match kind {
            RelatedKind::Pod => names_node(core("pods")),
            RelatedKind::VolumeAttachment => names_node(of_group("storage.k8s.io", "volumeattachments")),
            RelatedKind::ResourceSlice => names_node(of_group("resource.k8s.io", "resourceslices")),
            RelatedKind::PersistentVolume => {
                let volume = self.object(core("persistentvolumes"), "", name)?;
                volume.map_or(Ok(false), |volume| self.claims(&volume))
            }
            RelatedKind::Secret => Ok(self.pods_refer(kind, namespace, name)? || self.volumes_name(namespace, name)?),
            RelatedKind::ConfigMap
            | RelatedKind::PersistentVolumeClaim
            | RelatedKind::ResourceClaim
            | RelatedKind::ServiceAccount => self.pods_refer(kind, namespace, name),
        }
    }

    fn object(&self, resource: GroupResource, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        let key = ObjectKey { resource, namespace: namespace.to_owned(), name: name.to_owned() };
        self.plane.get_value(&key)
    }

    /// Whether a pod on the node refers to an object.
    fn pods_refer(&self, kind: RelatedKind, namespace: &str, name: &str) -> Result<bool, ApiError> {
        if namespace.is_empty() || name.is_empty() {
            return Ok(false);
        }
        let scope = Scope::Namespace(core("pods"), namespace.to_owned());
        self.any(&scope, self.node, |pod| {
            Ok(pod["spec"]["nodeName"] == self.node && references::pod_refers_to(pod, kind, name))
        })
    }

    /// Whether a volume that a pod on the node claims needs a Secret.
    fn volumes_name(&self, namespace: &str, name: &str) -> Result<bool, ApiError> {
        self.any(&Scope::Resource(core("persistentvolumes")), name, |volume| {
            Ok(references::secrets_of_volume(volume).contains(&(namespace, name)) && self.claims(volume)?)
        })
    }

    /// Whether a pod on the node uses the claim of a volume.
    fn claims(&self, volume: &Value) -> Result<bool, ApiError> {
        let Some((namespace, name)) = references::claim_of_volume(volume) else { return Ok(false) };
        self.pods_refer(RelatedKind::PersistentVolumeClaim, namespace, name)
    }

    /// Whether a stored object that has `text` somewhere is one. Names need no escapes in JSON, so that one without it need
    /// not be parsed.
    fn any(
        &self,
        scope: &Scope,
        text: &str,
        is_one: impl Fn(&Value) -> Result<bool, ApiError>,
    ) -> Result<bool, ApiError> {
        let page = self.plane.store().list(scope, None, 0, None).map_err(|error| list_error(&error))?;
        for item in page.items {
            if memchr::memmem::find(&item.json, text.as_bytes()).is_some() && is_one(&parse_stored(&item.json)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
