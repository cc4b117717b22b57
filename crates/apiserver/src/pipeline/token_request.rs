//! `serviceaccounts/token`: a ServiceAccount's token on request.

use std::collections::HashSet;

use axum::body::Body;
use http::{Response, StatusCode};
use kogge_machinery::{
    apply::{self, FieldManager},
    object_meta::ensure_namespace,
    resource::GroupResource,
    status_error::{ApiError, FieldError, quote},
    typed_object::TypedKind,
};
use serde_json::{Value, json};

use super::{
    RequestContext,
    admission::{UnstoredCreate, kind},
    answer::{Document, document_response},
    object_decoding::{BodyType, read_body},
    object_write::{Writer, timestamp},
    other_versions::ServedVersions,
};
use crate::{
    builtin,
    store::ObjectKey,
    token::{self, Claims, KubernetesClaims, ObjectClaim},
};

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
const API_VERSION: &str = "authentication.k8s.io/v1";
/// Seconds a token is valid unless asked otherwise.
const DEFAULT_LIFETIME: i64 = 60 * 60;
/// What kubelets ask for in the name of clients that may not know how to renew a token.
const RENEWED_LIFETIME: i64 = DEFAULT_LIFETIME + 7;
/// What such clients get.
const EXTENDED_LIFETIME: i64 = 365 * 24 * 60 * 60;

/// Answers a request for a token of the ServiceAccount the path names.
///
/// # Errors
/// 404 without the ServiceAccount or the object the token is to be bound to, 409 where that has another uid, 422 for a
/// lifetime out of range.
pub(crate) async fn create(context: &mut RequestContext<'_>, body: Body) -> Result<Response<Body>, ApiError> {
    let of = BodyType { api_version: API_VERSION, kind: KIND, go_type: Some("authentication.TokenRequest") };
    let mut request = read_body(context, of, body).await?;
    if !request["metadata"].is_object() {
        request["metadata"] = json!({});
    }
    ensure_namespace(&mut request, &context.namespace)?;
    default_lifetime(&mut request);
    let writer = Writer::of(context)?;
    own(context, &writer, &mut request).await?;
    let body_kind = kind(GROUP, "v1", KIND);
    let create = UnstoredCreate { context, writer: &writer, subresource: "token", body_kind };
    let mut request = create.mutate(request).await?;
    let named = text(&request, &["metadata", "name"]);
    if !named.is_empty() && named != context.name {
        let detail = "must match the service account name if specified";
        let error = FieldError::invalid("metadata.name", &json!(named), detail);
        return Err(ApiError::invalid(GROUP, KIND, &context.name, &[error]));
    }
    let account = read(context, "serviceaccounts", &context.namespace, &context.name)?;
    let account_uid = text(&account, &["metadata", "uid"]).to_owned();
    let named_uid = text(&request, &["metadata", "uid"]);
    if !named_uid.is_empty() && named_uid != account_uid {
        let message = format!(
            "the UID in the token request ({named_uid}) does not match the UID of the service account ({account_uid})"
        );
        let resource = GroupResource { group: GROUP.to_owned(), resource: KIND.to_owned() };
        return Err(ApiError::conflict(&resource, &context.name, &message));
    }
    complete(context, &mut request, &account_uid);
    let lifetime = request["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_LIFETIME);
    let out_of_range = match lifetime {
        ..600 => Some("may not specify a duration less than 10 minutes"),
        4_294_967_297.. => Some("may not specify a duration larger than 2^32 seconds"),
        _ => None,
    };
    if let Some(detail) = out_of_range {
        let error = FieldError::invalid("spec.expirationSeconds", &json!(lifetime), detail);
        return Err(ApiError::invalid(GROUP, KIND, "", &[error]));
    }
    create.validate(&request).await?;
    let mut kubernetes = KubernetesClaims {
        namespace: context.namespace.clone(),
        serviceaccount: ObjectClaim { name: context.name.clone(), uid: account_uid },
        ..KubernetesClaims::default()
    };
    if request["spec"]["boundObjectRef"].is_object() {
        bind(context, &request["spec"]["boundObjectRef"], &mut kubernetes)?;
    }
    let audiences: Vec<String> = request["spec"]["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let issuer = token::issuer(context.plane.name());
    let now = context.now.as_second();
    let mut valid = lifetime;
    if kubernetes.pod.is_some() && lifetime == RENEWED_LIFETIME && audiences.iter().all(|audience| *audience == issuer)
    {
        kubernetes.warnafter = Some(now + lifetime);
        valid = EXTENDED_LIFETIME;
    }
    let claims = Claims {
        aud: audiences,
        exp: now + valid,
        iat: now,
        iss: issuer,
        jti: uuid::Uuid::new_v4().to_string(),
        nbf: now,
        sub: format!("system:serviceaccount:{}:{}", context.namespace, context.name),
        kubernetes,
    };
    let signed = context.plane.server.service_account_tokens().sign(&claims);
    let signed = signed.map_err(|error| ApiError::internal(format!("failed to generate token: {error}")))?;
    let expires = jiff::Timestamp::from_second(now + lifetime).unwrap_or(jiff::Timestamp::MAX);
    request["status"] = json!({"token": signed, "expirationTimestamp": timestamp(expires)});
    if let Some(typed) = TypedKind::of(API_VERSION, KIND) {
        typed.canonicalize_stored(&mut request);
    }
    document_response(&context.answer, StatusCode::CREATED, Document::Value(request))
}

/// Records who asked, as for any object that is written.
async fn own(context: &RequestContext<'_>, writer: &Writer, request: &mut Value) -> Result<(), ApiError> {
    const DEFINITION: &str = "io.k8s.api.authentication.v1.TokenRequest";
    // It is published where it is served, below a ServiceAccount.
    let schema = builtin::schemas::compile("v1", DEFINITION);
    let versions = ServedVersions::of(context.plane, &context.served);
    let empty = TypedKind::of(API_VERSION, KIND).map(TypedKind::empty);
    let manager = FieldManager {
        empty: empty.as_ref(),
        name: &writer.manager,
        api_version: API_VERSION,
        subresource: "token",
        status_subresource: false,
        resets_spec: false,
        status_takes_metadata: false,
        status_leaves_metadata: &[],
        now: &writer.now,
        versions: &versions,
    };
    let root = schema.as_deref().map(|schema| &*schema.root);
    versions.run(|| apply::track_update(None, request, root, &manager)).await
}

fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    path.iter().fold(value, |value, field| &value[*field]).as_str().unwrap_or_default()
}

/// As decoding does, before anybody is asked.
fn default_lifetime(request: &mut Value) {
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    if request["spec"]["expirationSeconds"].is_null() {
        request["spec"]["expirationSeconds"] = DEFAULT_LIFETIME.into();
    }
}

/// Fills in what the request leaves open.
fn complete(context: &RequestContext<'_>, request: &mut Value, uid: &str) {
    let known: HashSet<&str> = HashSet::from(["apiVersion", "kind", "metadata", "spec"]);
    if let Some(fields) = request.as_object_mut() {
        fields.retain(|field, _| known.contains(field.as_str()));
    }
    request["metadata"]["name"] = context.name.as_str().into();
    request["metadata"]["namespace"] = context.namespace.as_str().into();
    request["metadata"]["uid"] = uid.into();
    request["metadata"]["creationTimestamp"] = timestamp(context.now).into();
    let spec = &mut request["spec"];
    if spec["audiences"].as_array().is_none_or(Vec::is_empty) {
        spec["audiences"] = json!([token::issuer(context.plane.name())]);
    }
    // Go writes the pointer also where there is none.
    if spec["boundObjectRef"].is_null() {
        spec["boundObjectRef"] = Value::Null;
    }
    request["status"] = json!({"token": "", "expirationTimestamp": null});
}

/// Binds the token to the Pod, Secret or Node of the request.
fn bind(context: &RequestContext<'_>, reference: &Value, claims: &mut KubernetesClaims) -> Result<(), ApiError> {
    let (version, kind, name) =
        (text(reference, &["apiVersion"]), text(reference, &["kind"]), text(reference, &["name"]));
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let (resource, namespace) = match (group, kind) {
        ("", "Pod") => ("pods", context.namespace.as_str()),
        ("", "Secret") => ("secrets", context.namespace.as_str()),
        ("", "Node") => ("nodes", ""),
        _ => {
            let shown = format!("{group}/{version}, Kind={kind}");
            return Err(ApiError::bad_request(format!("cannot bind token to object of type {shown}")));
        }
    };
    if name.is_empty() {
        return Err(ApiError::bad_request("Name parameter required."));
    }
    let object = read(context, resource, namespace, name)?;
    let claim = |object: &Value| ObjectClaim {
        name: text(object, &["metadata", "name"]).to_owned(),
        uid: text(object, &["metadata", "uid"]).to_owned(),
    };
    let bound = claim(&object);
    match kind {
        "Pod" => {
            if text(&object, &["spec", "serviceAccountName"]) != context.name {
                return Err(ApiError::bad_request(format!(
                    "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
                    quote(&context.name)
                )));
            }
            let node = text(&object, &["spec", "nodeName"]);
            if !node.is_empty() {
                claims.node = match read(context, "nodes", "", node) {
                    Ok(node) => Some(claim(&node)),
                    Err(error) if error.code() == 404 => {
                        Some(ObjectClaim { name: node.to_owned(), uid: String::new() })
                    }
                    Err(error) => return Err(error),
                };
            }
            claims.pod = Some(bound.clone());
        }
        "Secret" => claims.secret = Some(bound.clone()),
        _ => claims.node = Some(bound.clone()),
    }
    let wanted = text(reference, &["uid"]);
    if !wanted.is_empty() && wanted != bound.uid {
        let message = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        let resource = GroupResource { group: group.to_owned(), resource: kind.to_owned() };
        return Err(ApiError::conflict(&resource, name, &message));
    }
    Ok(())
}

fn read(context: &RequestContext<'_>, resource: &str, namespace: &str, name: &str) -> Result<Value, ApiError> {
    let resource = GroupResource { group: String::new(), resource: resource.to_owned() };
    let key = ObjectKey { resource: resource.clone(), namespace: namespace.to_owned(), name: name.to_owned() };
    context.plane.get_value(&key)?.ok_or_else(|| ApiError::not_found(&resource, name))
}
