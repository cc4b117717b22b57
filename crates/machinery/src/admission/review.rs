//! AdmissionReview: the question to a webhook and its answer.

use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD};
use kube_core::{Status, response::StatusSummary};
use serde_json::{Value, json};

use super::{GroupVersionName, Operation, WebhookKind};
use crate::{
    review_shape,
    status_error::{ApiError, quote},
    typed_object::{self, json_kind},
};

/// What a review tells of a request.
#[derive(Clone, Copy, Debug)]
pub struct ReviewRequest<'a> {
    /// Identifies the review.
    pub uid: &'a str,
    /// Kind of the object as it is sent.
    pub kind: &'a GroupVersionName,
    /// Resource of the object as it is sent.
    pub resource: &'a GroupVersionName,
    /// Kind of the object as it was requested.
    pub request_kind: &'a GroupVersionName,
    /// Resource as it was requested.
    pub request_resource: &'a GroupVersionName,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty where it is still to be generated.
    pub name: &'a str,
    /// Empty for what has none.
    pub namespace: &'a str,
    /// What is done.
    pub operation: Operation,
    /// `username`, `uid`, `groups` and `extra` of who asks.
    pub user_info: &'a Value,
    /// The new object; none for a delete.
    pub object: Option<&'a Value>,
    /// The old object; none for a create.
    pub old_object: Option<&'a Value>,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
    /// `CreateOptions`, `UpdateOptions` or `DeleteOptions`.
    pub options: &'a Value,
}

impl ReviewRequest<'_> {
    /// The request without the objects, as expressions see it in `request`.
    pub fn description(&self) -> Value {
        let mut request = json!({
            "kind": self.kind.as_kind(),
            "resource": self.resource.as_resource(),
            "requestKind": self.request_kind.as_kind(),
            "requestResource": self.request_resource.as_resource(),
            "operation": self.operation.name(),
            "userInfo": self.user_info,
            "dryRun": self.dry_run,
            "options": self.options,
        });
        for (field, value) in [
            ("subResource", self.subresource),
            ("requestSubResource", self.subresource),
            ("name", self.name),
            ("namespace", self.namespace),
        ] {
            if !value.is_empty() {
                request[field] = value.into();
            }
        }
        request
    }
}

/// The review to send. `version` is `v1` or `v1beta1`.
pub fn review(version: &str, request: &ReviewRequest<'_>) -> Value {
    let mut asked = request.description();
    asked["uid"] = request.uid.into();
    asked["object"] = request.object.cloned().unwrap_or_default();
    asked["oldObject"] = request.old_object.cloned().unwrap_or_default();
    json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": asked})
}

/// A webhook's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// Whether the request may go on.
    pub allowed: bool,
    /// Operations of a JSON patch; none if the object stays as it is.
    pub patch: Option<Value>,
    /// Why it may not.
    pub result: Option<Value>,
    /// Texts for the client.
    pub warnings: Vec<String>,
    /// Facts for the audit log, without the prefix of the webhook's name.
    pub audit_annotations: Vec<(String, String)>,
}

/// What is wrong with an answer, in the words of the real server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// It is no review.
    #[error("failed to call webhook: {0}")]
    Undecodable(String),
    /// It is none to the question.
    #[error("received invalid webhook response: {0}")]
    Invalid(String),
    /// Its patch is none.
    #[error("received undecodable patch in webhook response: {0}")]
    Patch(String),
    /// Its patch is of another type than the one there is.
    #[error("unsupported patch type {}", quote(.0))]
    PatchType(String),
}

/// Reads the answer to the review `uid` of `version`.
///
/// # Errors
/// What is wrong with the answer.
pub fn response(kind: WebhookKind, version: &str, uid: &str, review: &Value) -> Result<Response, ResponseError> {
    review_shape::check(&review_shape::ADMISSION, version, review).map_err(ResponseError::Undecodable)?;
    let bytes = patch_bytes(&review["response"])?;
    let mut response = checked_response(kind, version, uid, review).map_err(ResponseError::Invalid)?;
    // Nobody looks at the patch of a request that is denied.
    if let (WebhookKind::Mutating, true, Some(bytes)) = (kind, response.allowed, bytes) {
        response.patch = decoded_patch(&bytes).map_err(ResponseError::Patch)?;
        let patch_type = review["response"]["patchType"].as_str().unwrap_or_default();
        if version == "v1" && response.patch.is_some() && patch_type != "JSONPatch" {
            return Err(ResponseError::PatchType(patch_type.to_owned()));
        }
    }
    Ok(response)
}

/// The operations of a patch; none where it has none.
fn decoded_patch(bytes: &[u8]) -> Result<Option<Value>, String> {
    let patch = typed_object::read_anything(bytes)?.object;
    let unfit = |value: &Value, go_type: &str| {
        let kind = json_kind(value);
        format!("json: cannot unmarshal {kind} into Go value of type jsonpatch.{go_type}")
    };
    match &patch {
        Value::Null => return Ok(None),
        Value::Array(operations) if operations.is_empty() => return Ok(None),
        Value::Array(operations) => {
            if let Some(other) = operations.iter().find(|operation| !operation.is_object() && !operation.is_null()) {
                return Err(unfit(other, "Operation"));
            }
        }
        other => return Err(unfit(other, "Patch")),
    }
    Ok(Some(patch))
}

/// The decoded patch, if there is one.
fn patch_bytes(response: &Value) -> Result<Option<Vec<u8>>, ResponseError> {
    let Some(text) = response["patch"].as_str().filter(|text| !text.is_empty()) else { return Ok(None) };
    STANDARD.decode(text).map(Some).map_err(|error| {
        // Go names the byte that does not belong there, or where the last group of four begins.
        let at = match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.trim_end_matches('=').len() / 4 * 4,
        };
        ResponseError::Undecodable(format!("illegal base64 data at input byte {at}"))
    })
}

fn checked_response(kind: WebhookKind, version: &str, uid: &str, review: &Value) -> Result<Response, String> {
    let response = &review["response"];
    if !response.is_object() {
        return Err("webhook response was absent".to_owned());
    }
    let text = |name: &str| response[name].as_str().unwrap_or_default();
    if version == "v1" {
        if text("uid") != uid {
            return Err(format!("expected response.uid={}, got {}", quote(uid), quote(text("uid"))));
        }
        let (api_version, kind) = (review["apiVersion"].as_str(), review["kind"].as_str());
        if api_version != Some("admission.k8s.io/v1") || kind != Some("AdmissionReview") {
            let (group, version) = api_version.unwrap_or_default().rsplit_once('/').unwrap_or_default();
            return Err(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {group}/{version}, Kind={}",
                kind.unwrap_or_default()
            ));
        }
    }
    if let Some(error) = kind_rules(kind, version, text("patch"), response["patchType"].as_str()) {
        return Err(error);
    }
    Ok(Response {
        allowed: response["allowed"].as_bool().unwrap_or(false),
        patch: None,
        result: response.get("status").filter(|result| result.is_object()).cloned(),
        warnings: response["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|warning| warning.as_str().map(str::to_owned))
            .collect(),
        audit_annotations: response["auditAnnotations"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
    })
}

fn kind_rules(kind: WebhookKind, version: &str, patch: &str, patch_type: Option<&str>) -> Option<String> {
    if version != "v1" {
        return None;
    }
    let text = match (kind, patch.is_empty(), patch_type) {
        (WebhookKind::Mutating, false, None) => "webhook returned response.patch but not response.patchType",
        (WebhookKind::Mutating, true, Some(_)) => "webhook returned response.patchType but not response.patch",
        (WebhookKind::Mutating, false, Some("")) => "webhook returned invalid response.patchType of \"\"",
        (WebhookKind::Validating, false, _) => "validating webhook may not return response.patch",
        (WebhookKind::Validating, true, Some(_)) => "validating webhook may not return response.patchType",
        _ => return None,
    };
    Some(text.to_owned())
}

/// The answer to a client whose request a webhook denied: the webhook's own status, at least 400.
pub fn denied(webhook: &str, result: Option<&Value>) -> ApiError {
    let readable = |result: &Value| {
        let mut result = result.clone();
        // Whatever it says as its status, the request failed. Numbers out of bounds go with what they are part of.
        ["status", "details", "code"].into_iter().find_map(|member| {
            result.as_object_mut()?.remove(member);
            serde_json::from_value(result.clone()).ok()
        })
    };
    let mut status: Status = result.and_then(readable).unwrap_or_default();
    if status.code < 400 {
        status.code = 400;
    }
    status.status = Some(StatusSummary::Failure);
    let who = format!("admission webhook {} denied the request", quote(webhook));
    status.message = if !status.message.is_empty() {
        format!("{who}: {}", status.message)
    } else if !status.reason.is_empty() {
        format!("{who}: {}", status.reason)
    } else {
        format!("{who} without explanation")
    };
    ApiError(Box::new(status))
}

/// 400 for a dry run that a webhook with side effects would see.
pub fn dry_run_unsupported(webhook: &str) -> ApiError {
    ApiError::bad_request(format!("admission webhook {} does not support dry run", quote(webhook)))
}
