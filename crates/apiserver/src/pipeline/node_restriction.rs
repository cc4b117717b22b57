//! What nodes may write, at the place of the real server's admission plugin `NodeRestriction`: before webhooks and
//! policies, on what was sent and has got its defaults, and not yet on what is made of it.

use kogge_machinery::{
    admission::Operation,
    node::restriction::{self, Cluster, Write},
    rbac::Attributes,
    resource::GroupResource,
    status_error::ApiError,
};
use serde_json::Value;

use super::{authorization::decide, object_write::WriteScope};
use crate::{
    admission::Requester, authentication::User, certificate_signing::CertificateRequest, plane::Plane,
    registry::ServedResource, store::ObjectKey,
};

/// A write as [`restriction::Write`] has it.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) operation: Operation,
    pub(super) subresource: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) object: Option<&'a Value>,
    pub(super) old: Option<&'a Value>,
}

/// Whether writes of somebody are looked at: no write of theirs may then be passed over for changing nothing.
pub(super) fn concerns(requester: Option<&Requester>) -> bool {
    requester.is_some_and(|requester| requester.user.node_name().is_some())
}

/// Refuses what is not for a node to write. Everybody else writes what they are authorized to.
///
/// # Errors
/// As [`restriction::check`].
pub(super) fn check(
    plane: &Plane,
    served: &ServedResource,
    requester: Option<&Requester>,
    written: Written<'_>,
) -> Result<(), ApiError> {
    let Some((user, node)) = requester.and_then(|requester| Some((&requester.user, requester.user.node_name()?)))
    else {
        return Ok(());
    };
    let Written { operation, subresource, namespace, name, object, old } = written;
    let resource = &served.resource.group_resource();
    let write = Write { node, operation, resource, subresource, namespace, name, object, old };
    restriction::check(&write, &PlaneOfUser { plane, user })
}

/// As [`check`], for a changed object that was not restored yet to what its endpoint may change.
///
/// # Errors
/// As [`restriction::check`].
pub(super) fn check_update(
    plane: &Plane,
    served: &ServedResource,
    requester: Option<&Requester>,
    scope: WriteScope,
    old: &Value,
    object: &Value,
) -> Result<(), ApiError> {
    let text = |field: &str| old["metadata"][field].as_str().unwrap_or_default();
    let written = Written {
        operation: Operation::Update,
        subresource: scope.subresource(),
        namespace: text("namespace"),
        name: text("name"),
        object: Some(object),
        old: Some(old),
    };
    check(plane, served, requester, written)
}

struct PlaneOfUser<'a> {
    plane: &'a Plane,
    user: &'a User,
}

impl Cluster for PlaneOfUser<'_> {
    fn object(&self, resource: &GroupResource, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        let key = ObjectKey { resource: resource.clone(), namespace: namespace.to_owned(), name: name.to_owned() };
        self.plane.get_value(&key)
    }

    fn may(&self, attributes: &Attributes<'_>) -> Result<bool, ApiError> {
        Ok(decide(self.plane, self.user, attributes)?.allowed)
    }

    fn common_name(&self, request: &Value) -> Result<String, String> {
        CertificateRequest::of(request).map(|request| request.common_name().to_owned())
    }
}
