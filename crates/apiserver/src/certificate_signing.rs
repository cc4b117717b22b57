//! CertificateSigningRequests: what they ask for, who approves it by itself, and signing with the plane's authority.
//!
//! What Kubernetes' controller manager does (`pkg/controller/certificates`): requests of kubelets for their client
//! certificates are approved if their user may make them (`certificatesigningrequests/nodeclient`); approved requests
//! to the signers of Kubernetes are signed. The certificate then authenticates on this plane.

use kogge_machinery::{rbac::Attributes, resource::GroupResource, status_error::ApiError};
use serde_json::{Value, json};

use self::{certificate::sign, request::Request};
use crate::{
    authentication::User,
    controller_loop::Controller,
    object_writer::{ObjectWriter, Propagation},
    pipeline::{WriteScope, authorization::decide},
    plane::{Plane, list_error, parse_stored},
    store::{Event, EventKind, ObjectKey, PlaneName, Scope},
};

mod certificate;
pub(crate) mod request;
pub(crate) mod subject;
pub(crate) mod validation;

pub(crate) use request::{KUBE_APISERVER_CLIENT, Request as CertificateRequest};

/// The API group of the kind.
pub(crate) const GROUP: &str = "certificates.k8s.io";
/// Plural resource name.
pub(crate) const RESOURCE: &str = "certificatesigningrequests";
/// Field manager of approvals and certificates, as in the real controller manager.
const MANAGER: &str = "kube-controller-manager";
/// How long finished requests are kept, and unanswered ones.
const FINISHED: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
const UNANSWERED: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// An authority that signs requests.
pub(crate) struct SigningAuthority {
    /// The first of the plane's client authorities, PEM.
    pub(crate) certificate_pem: String,
    /// PKCS#8 PEM.
    pub(crate) key_pem: String,
}

/// Approves and signs the requests of all planes. Its items are their names.
#[derive(Debug, Default)]
pub(crate) struct CertificateController;

impl Controller for CertificateController {
    type Item = String;

    const NAME: &'static str = "certificate controller";

    fn resume(&self, plane: &Plane) -> Result<Vec<String>, ApiError> {
        Ok(all(plane)?.into_iter().map(|(key, _)| key.name).collect())
    }

    fn concerned(&self, _: &PlaneName, event: &Event) -> Vec<String> {
        let resource = &event.key.resource;
        let concerned = resource.resource == RESOURCE && resource.group == GROUP && event.kind != EventKind::Deleted;
        if concerned { vec![event.key.name.clone()] } else { Vec::new() }
    }

    async fn process(&self, plane: &Plane, name: &String) -> Result<Vec<String>, ApiError> {
        let key = ObjectKey { resource: group_resource(), namespace: String::new(), name: name.clone() };
        let Some(object) = plane.get_value(&key)? else { return Ok(Vec::new()) };
        if !text(&object["status"]["certificate"]).is_empty() || has_condition(&object, "Denied") {
            return Ok(Vec::new());
        }
        let Ok(request) = Request::of(&object) else { return Ok(Vec::new()) };
        let writer = ObjectWriter { plane, manager: MANAGER };
        if !has_condition(&object, "Approved") {
            if let Some(message) = approval(plane, &object, &request)? {
                approve(&writer, &key, &object, message).await?;
            }
            return Ok(Vec::new());
        }
        if has_condition(&object, "Failed") || !request.is_of_known_signer() {
            return Ok(Vec::new());
        }
        if let Err(reason) = request.check_signer_rules() {
            fail(&writer, &key, &object, &reason).await?;
            return Ok(Vec::new());
        }
        // A plane gets its authority's key from whoever made it, after a restart a little later.
        let authority = plane.signing_authority();
        let authority = authority.ok_or_else(|| ApiError::internal("the plane has no signing authority yet"))?;
        let certificate = sign(&request, &authority, jiff::Timestamp::now()).map_err(ApiError::internal)?;
        issue(&writer, &key, &object, &certificate).await?;
        Ok(Vec::new())
    }
}

/// The message of the approval, where the request's user may have it without anybody's consent.
fn approval(plane: &Plane, object: &Value, request: &Request) -> Result<Option<&'static str>, ApiError> {
    if !request.is_of_kubelet_client() {
        return Ok(None);
    }
    let spec = &object["spec"];
    let groups: Vec<String> =
        spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let user = User::new(text(&spec["username"]), groups);
    let own = (request.common_name() == user.name)
        .then_some(("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."));
    let any = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");
    for (subresource, message) in own.into_iter().chain([any]) {
        let attributes =
            Attributes { verb: "create", group: GROUP, resource: RESOURCE, subresource, ..Attributes::default() };
        if decide(plane, &user, &attributes)?.allowed {
            return Ok(Some(message));
        }
    }
    Ok(None)
}

async fn approve(writer: &ObjectWriter<'_>, key: &ObjectKey, seen: &Value, message: &str) -> Result<(), ApiError> {
    let condition = json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message});
    add_condition(writer, key, seen, "approval", condition).await
}

async fn fail(writer: &ObjectWriter<'_>, key: &ObjectKey, seen: &Value, reason: &str) -> Result<(), ApiError> {
    let condition = json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": reason});
    add_condition(writer, key, seen, "status", condition).await
}

async fn add_condition(
    writer: &ObjectWriter<'_>,
    key: &ObjectKey,
    seen: &Value,
    subresource: &'static str,
    mut condition: Value,
) -> Result<(), ApiError> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    condition["lastUpdateTime"] = now.as_str().into();
    condition["lastTransitionTime"] = now.into();
    let uid = &seen["metadata"]["uid"];
    writer
        .change(key, WriteScope::Status(subresource), |object| {
            let kind = text(&condition["type"]).to_owned();
            if object["metadata"]["uid"] != *uid || has_condition(object, &kind) || has_condition(object, "Denied") {
                return false;
            }
            match object["status"]["conditions"].as_array_mut() {
                Some(conditions) => conditions.push(condition.clone()),
                None => object["status"]["conditions"] = json!([condition]),
            }
            true
        })
        .await
}

async fn issue(writer: &ObjectWriter<'_>, key: &ObjectKey, seen: &Value, pem: &str) -> Result<(), ApiError> {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(pem);
    let uid = &seen["metadata"]["uid"];
    writer
        .change(key, WriteScope::Status("status"), |object| {
            let open = object["metadata"]["uid"] == *uid && text(&object["status"]["certificate"]).is_empty();
            if open {
                object["status"]["certificate"] = encoded.as_str().into();
            }
            open
        })
        .await
}

/// Deletes requests of a plane that nobody needs any more at `now`: an hour after they were finished, a day after they
/// were made and left unanswered.
///
/// # Errors
/// If the plane cannot be read or written.
pub(crate) async fn clean(plane: &Plane, now: jiff::Timestamp) -> Result<(), ApiError> {
    let writer = ObjectWriter { plane, manager: MANAGER };
    for (key, object) in all(plane)? {
        if is_over(&object, now) {
            writer.delete(&key, text(&object["metadata"]["uid"]), None, Propagation::Background).await?;
        }
    }
    Ok(())
}

fn is_over(object: &Value, now: jiff::Timestamp) -> bool {
    let older = |at: &Value, than: jiff::SignedDuration| {
        text(at).parse::<jiff::Timestamp>().is_ok_and(|at| now.duration_since(at) > than)
    };
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let issued = !text(&object["status"]["certificate"]).is_empty();
    let finished = conditions.iter().any(|condition| {
        let counts = match text(&condition["type"]) {
            "Denied" | "Failed" => true,
            "Approved" => issued,
            _ => false,
        };
        counts && older(&condition["lastUpdateTime"], FINISHED)
    });
    finished || (conditions.is_empty() && older(&object["metadata"]["creationTimestamp"], UNANSWERED))
}

fn all(plane: &Plane) -> Result<Vec<(ObjectKey, Value)>, ApiError> {
    let page = plane.store().list(&Scope::Resource(group_resource()), None, 0, None);
    let items = page.map_err(|error| list_error(&error))?.items;
    items.into_iter().map(|item| Ok((item.key, parse_stored(&item.json)?))).collect()
}

fn group_resource() -> GroupResource {
    GroupResource { group: GROUP.to_owned(), resource: RESOURCE.to_owned() }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a condition of this type is there; all that matter here can only be `True`.
fn has_condition(object: &Value, kind: &str) -> bool {
    object["status"]["conditions"]
        .as_array()
        .is_some_and(|conditions| conditions.iter().any(|condition| condition["type"] == kind))
}

#[cfg(test)]
mod tests;
