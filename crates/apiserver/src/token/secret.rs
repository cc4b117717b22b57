//! Tokens in Secrets of type `kubernetes.io/service-account-token`: the older kind, which does not end by itself.
//!
//! Kubernetes makes them only for who asks with such a Secret; tools outside of a cluster still do. The token is valid
//! while the Secret holds it and the ServiceAccount is there, so deleting the Secret revokes it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{read, uid};
use crate::{
    authentication::{AUTHENTICATED, User},
    controller_loop::Controller,
    object_writer::{ObjectWriter, Propagation},
    pipeline::{WriteScope, service_account_groups},
    plane::{Plane, list_error, parse_stored},
    store::{Event, EventKind, ObjectKey, PlaneName, Scope},
};

/// The type of the Secrets.
pub(crate) const TYPE: &str = "kubernetes.io/service-account-token";
/// Names the ServiceAccount.
pub(crate) const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// The issuer of all such tokens.
pub(super) const ISSUER: &str = "kubernetes/serviceaccount";
/// Field manager of the tokens, as in the real controller manager.
const MANAGER: &str = "kube-controller-manager";

/// The claims of a token in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SecretClaims {
    iss: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    account_uid: String,
    sub: String,
}

/// The user of a token whose signature is good.
///
/// # Errors
/// Why it does not count any more, in the real server's words.
pub(super) fn user(plane: &Plane, claims: &SecretClaims, token: &str) -> Result<User, String> {
    let secret = read(plane, "secrets", &claims.namespace, &claims.secret)?;
    let secret = secret.filter(|secret| !secret["metadata"]["deletionTimestamp"].is_string());
    let secret = secret.ok_or("Token has been invalidated")?;
    let held = STANDARD.decode(secret["data"]["token"].as_str().unwrap_or_default()).unwrap_or_default();
    if held != token.as_bytes() {
        return Err("Token does not match server's copy".to_owned());
    }
    let account = read(plane, "serviceaccounts", &claims.namespace, &claims.account)?;
    let account = account.filter(|account| !account["metadata"]["deletionTimestamp"].is_string());
    let account = account.ok_or("ServiceAccount has been deleted")?;
    if uid(&account) != claims.account_uid {
        return Err(format!("ServiceAccount UID ({}) does not match claim ({})", uid(&account), claims.account_uid));
    }
    let mut groups = service_account_groups(&claims.namespace);
    groups.push(AUTHENTICATED.to_owned());
    let name = format!("system:serviceaccount:{}:{}", claims.namespace, claims.account);
    Ok(User { uid: claims.account_uid.clone(), ..User::new(name, groups) })
}

/// Fills the Secrets of all planes with tokens, and deletes those whose ServiceAccount is gone. Its items are the keys of
/// Secrets, and of ServiceAccounts that were deleted.
#[derive(Debug, Default)]
pub(crate) struct TokenController;

impl Controller for TokenController {
    type Item = ObjectKey;

    const NAME: &'static str = "service account token controller";

    fn resume(&self, plane: &Plane) -> Result<Vec<ObjectKey>, ApiError> {
        token_secrets(plane, &Scope::Resource(core("secrets")))
    }

    fn concerned(&self, _: &PlaneName, event: &Event) -> Vec<ObjectKey> {
        if !event.key.resource.group.is_empty() {
            return Vec::new();
        }
        let gone = event.kind == EventKind::Deleted;
        match (event.key.resource.resource.as_str(), gone) {
            ("secrets", false) | ("serviceaccounts", true) => vec![event.key.clone()],
            _ => Vec::new(),
        }
    }

    async fn process(&self, plane: &Plane, key: &ObjectKey) -> Result<Vec<ObjectKey>, ApiError> {
        if key.resource.resource == "serviceaccounts" {
            return token_secrets(plane, &Scope::Namespace(core("secrets"), key.namespace.clone()));
        }
        let Some(stored) = plane.get(key)? else { return Ok(Vec::new()) };
        if !mentions_type(&stored.json) {
            return Ok(Vec::new());
        }
        let secret: Value = parse_stored(&stored.json)?;
        if secret["type"] != TYPE || secret["metadata"]["deletionTimestamp"].is_string() {
            return Ok(Vec::new());
        }
        let annotations = &secret["metadata"]["annotations"];
        let name = annotations[ACCOUNT_NAME].as_str().unwrap_or_default();
        let account = read(plane, "serviceaccounts", &key.namespace, name).map_err(ApiError::internal)?;
        let bound = annotations[ACCOUNT_UID].as_str().filter(|bound| !bound.is_empty());
        let account = account.filter(|account| bound.is_none_or(|bound| bound == uid(account)));
        let writer = ObjectWriter { plane, manager: MANAGER };
        let Some(account) = account else {
            writer.delete(key, uid(&secret), Some(stored.revision), Propagation::Background).await?;
            return Ok(Vec::new());
        };
        let tokens = plane.server.service_account_tokens();
        let claims = SecretClaims {
            iss: ISSUER.to_owned(),
            namespace: key.namespace.clone(),
            secret: key.name.clone(),
            account: name.to_owned(),
            account_uid: uid(&account).to_owned(),
            sub: format!("system:serviceaccount:{}:{name}", key.namespace),
        };
        let token = tokens.sign(&claims).map_err(|error| ApiError::internal(error.to_string()))?;
        let authority = plane.server.certificate_authority_pem();
        let fields = [("ca.crt", authority.as_str()), ("namespace", key.namespace.as_str()), ("token", token.as_str())];
        writer.change(key, WriteScope::Main, |secret| fill(secret, &claims, &fields)).await?;
        Ok(Vec::new())
    }
}

/// Adds what a Secret lacks; says whether anything.
fn fill(secret: &mut Value, claims: &SecretClaims, fields: &[(&str, &str)]) -> bool {
    if secret["type"] != TYPE || secret["metadata"]["annotations"][ACCOUNT_NAME] != claims.account.as_str() {
        return false;
    }
    let mut changed = false;
    if secret["metadata"]["annotations"][ACCOUNT_UID] != claims.account_uid.as_str() {
        secret["metadata"]["annotations"][ACCOUNT_UID] = claims.account_uid.as_str().into();
        changed = true;
    }
    if !secret["data"].is_object() {
        secret["data"] = Value::Object(Map::new());
    }
    for (field, text) in fields {
        if secret["data"][*field].as_str().is_none_or(str::is_empty) {
            secret["data"][*field] = STANDARD.encode(text).into();
            changed = true;
        }
    }
    changed
}

fn core(resource: &str) -> GroupResource {
    GroupResource { group: String::new(), resource: resource.to_owned() }
}

fn mentions_type(json: &[u8]) -> bool {
    json.windows(TYPE.len()).any(|window| window == TYPE.as_bytes())
}

fn token_secrets(plane: &Plane, scope: &Scope) -> Result<Vec<ObjectKey>, ApiError> {
    let page = plane.store().list(scope, None, 0, None).map_err(|error| list_error(&error))?;
    Ok(page.items.into_iter().filter(|item| mentions_type(&item.json)).map(|item| item.key).collect())
}
