//! Tokens of ServiceAccounts: signed by the server's own key, and valid as long as what they are bound to exists.
//!
//! All planes share the key; issuer and audience name the plane, so a token of one plane is a stranger on another. A
//! signature is checked once and then remembered; whether the ServiceAccount (and the Pod, Secret or Node the token is
//! bound to) still is there is looked at for every request.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kogge_machinery::{resource::GroupResource, status_error::quote};
use rcgen::PublicKeyData as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::secret::SecretClaims;
use crate::{
    authentication::{AUTHENTICATED, Authenticated, CREDENTIAL_ID, Remarks, User},
    certificates::CertificateError,
    plane::Plane,
    store::{ObjectKey, PlaneName},
};

pub(crate) mod secret;

/// The issuer of the management plane's tokens, the real server's usual one.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// What Kubernetes says of a signature that is none, whatever is wrong with it.
const INVALID_SIGNATURE: &str = "go-jose/go-jose: error in cryptographic primitive";
/// Clocks may differ by so many seconds.
const LEEWAY: i64 = 60;
/// So many verified tokens are remembered.
const REMEMBERED: usize = 4096;

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) aud: Vec<String>,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) iss: String,
    /// Identity of the token.
    pub(crate) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(crate) kubernetes: KubernetesClaims,
    pub(crate) nbf: i64,
    pub(crate) sub: String,
}

/// What Kubernetes adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KubernetesClaims {
    pub(crate) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<ObjectClaim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<ObjectClaim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<ObjectClaim>,
    pub(crate) serviceaccount: ObjectClaim,
    /// When a client should have renewed the token, which is valid longer for old clients' sake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warnafter: Option<i64>,
}

/// An object a token is for or bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectClaim {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

/// What is read of a token before its signature is checked: whose it is.
#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

/// Signs and verifies the tokens of all planes.
pub(crate) struct ServiceAccountTokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    /// JWK of the public key.
    public: Value,
    key_id: String,
    /// Claims with a good signature, by digest of the token.
    verified: Mutex<HashMap<[u8; 32], Arc<VerifiedClaims>>>,
}

/// Claims of a token whose signature is good.
enum VerifiedClaims {
    Bound(Box<Claims>),
    Secret(SecretClaims),
}

impl std::fmt::Debug for ServiceAccountTokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServiceAccountTokens").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The issuer of a plane's tokens, which is also their usual audience.
pub(crate) fn issuer(plane: &PlaneName) -> String {
    if plane.0.is_empty() { ISSUER.to_owned() } else { format!("{ISSUER}/clusters/{}", plane.0) }
}

impl ServiceAccountTokens {
    /// With a P-256 key, PKCS#8 PEM.
    ///
    /// # Errors
    /// If it is no such key.
    pub(crate) fn new(key_pem: &str) -> Result<Self, CertificateError> {
        let pair = rcgen::KeyPair::from_pem(key_pem)?;
        let unreadable = |error: jsonwebtoken::errors::Error| CertificateError::Parse(error.to_string());
        let signing = EncodingKey::from_ec_pem(key_pem.as_bytes()).map_err(unreadable)?;
        // An uncompressed point: 4, then both coordinates.
        let point = pair.der_bytes();
        let coordinates = point.strip_prefix(&[4]).filter(|coordinates| coordinates.len() == 64);
        let (x, y) = coordinates
            .map(|coordinates| coordinates.split_at(32))
            .ok_or_else(|| CertificateError::Parse("the service account key is not on the curve P-256".to_owned()))?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let verifying = DecodingKey::from_ec_components(&x, &y).map_err(unreadable)?;
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(pair.subject_public_key_info()));
        let public = json!({"use": "sig", "kty": "EC", "kid": key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y});
        Ok(Self { signing, verifying, public, key_id, verified: Mutex::default() })
    }

    /// The token with these claims.
    ///
    /// # Errors
    /// What the signing library says.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        let header = Header { typ: None, kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.signing)
    }

    /// The keys clients verify tokens with (`/openid/v1/jwks`).
    pub(crate) fn key_set(&self) -> Value {
        json!({"keys": [self.public]})
    }

    /// `/.well-known/openid-configuration` of a plane that is reached at `base`, e.g. `https://127.0.0.1:7443`.
    pub(crate) fn discovery(plane: &PlaneName, base: &str) -> Value {
        json!({
            "issuer": issuer(plane),
            "jwks_uri": format!("{base}/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The ServiceAccount of a token that is for one of `audiences` (none: for the plane's API); none for a token that
    /// this plane has not issued.
    ///
    /// # Errors
    /// Why a token of this plane is not accepted, in the real server's words.
    pub(crate) async fn authenticate(
        &self,
        plane: &Plane,
        token: &str,
        audiences: &[String],
        now: SystemTime,
        remarks: &mut Remarks,
    ) -> Result<Option<Authenticated>, String> {
        let Some(claims) = self.claims(plane.name(), token)? else { return Ok(None) };
        let own = [issuer(plane.name())];
        let wanted = if audiences.is_empty() { &own[..] } else { audiences };
        let named = match &*claims {
            VerifiedClaims::Bound(claims) => &claims.aud[..],
            // Tokens of Secrets name no audience and are for the API alone.
            VerifiedClaims::Secret(_) => &own[..],
        };
        if let VerifiedClaims::Secret(claims) = &*claims {
            remarks.audit_annotations.push(("authentication.k8s.io/legacy-token", claims.subject().to_owned()));
        }
        let audiences: Vec<String> = named.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        if audiences.is_empty() {
            let show = |list: &[String]| list.iter().map(|text| quote(text)).collect::<Vec<_>>().join(" ");
            return Err(format!(
                "token audiences [{}] is invalid for the target audiences [{}]",
                show(named),
                show(wanted)
            ));
        }
        let claims = match &*claims {
            VerifiedClaims::Bound(claims) => claims,
            VerifiedClaims::Secret(claims) => {
                let user = secret::user(plane, claims, token, now, remarks).await?;
                return Ok(Some(Authenticated { user, audiences }));
            }
        };
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(seconds).unwrap_or(i64::MAX);
        if claims.exp < now - LEEWAY {
            return Err("service account token has expired".to_owned());
        }
        if claims.nbf > now + LEEWAY {
            return Err("service account token is not valid yet".to_owned());
        }
        if claims.iat > now + LEEWAY {
            return Err("service account token is issued in the future".to_owned());
        }
        check_bound_objects(plane, &claims.kubernetes, now)?;
        Ok(Some(Authenticated { user: user(claims), audiences }))
    }

    /// The claims of a token with this plane's issuer, or that of Secrets, and a good signature.
    fn claims(&self, plane: &PlaneName, token: &str) -> Result<Option<Arc<VerifiedClaims>>, String> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        let issuer = issuer(plane);
        if let Some(claims) = known {
            let ours = match &*claims {
                VerifiedClaims::Bound(claims) => claims.iss == issuer,
                VerifiedClaims::Secret(_) => true,
            };
            return Ok(ours.then_some(claims));
        }
        let claimed = jsonwebtoken::dangerous::insecure_decode_claims::<Issuer>(token).map(|claimed| claimed.iss);
        let of_secret = match claimed {
            Ok(claimed) if claimed == issuer => false,
            Ok(claimed) if claimed == secret::ISSUER => true,
            _ => return Ok(None),
        };
        // What cannot be read is nobody's token, to the real server too.
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Ok(None) };
        if header.kid.as_ref().is_some_and(|kid| !kid.is_empty() && *kid != self.key_id) {
            return Err("invalid signature, no keys found".to_owned());
        }
        let mut validation = Validation::new(Algorithm::ES256);
        // Time and audience are checked for every request, with the request's own time.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let unverified = |_: jsonwebtoken::errors::Error| INVALID_SIGNATURE.to_owned();
        let key = &self.verifying;
        let claims = Arc::new(if of_secret {
            VerifiedClaims::Secret(jsonwebtoken::decode(token, key, &validation).map_err(unverified)?.claims)
        } else {
            VerifiedClaims::Bound(Box::new(jsonwebtoken::decode(token, key, &validation).map_err(unverified)?.claims))
        });
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(digest, claims.clone());
        Ok(Some(claims))
    }
}

/// The user a token stands for.
fn user(claims: &Claims) -> User {
    let KubernetesClaims { namespace, node, pod, serviceaccount, .. } = &claims.kubernetes;
    let mut extra = BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", claims.jti)])]);
    for (kind, object) in [("node", node), ("pod", pod)] {
        for (field, value) in object.iter().flat_map(|object| [("name", &object.name), ("uid", &object.uid)]) {
            if !value.is_empty() {
                extra.insert(format!("authentication.kubernetes.io/{kind}-{field}"), vec![value.clone()]);
            }
        }
    }
    User {
        name: format!("system:serviceaccount:{namespace}:{}", serviceaccount.name),
        uid: serviceaccount.uid.clone(),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            AUTHENTICATED.to_owned(),
        ],
        extra,
    }
}

fn check_bound_objects(plane: &Plane, claims: &KubernetesClaims, now: i64) -> Result<(), String> {
    let namespace = &claims.namespace;
    let account = &claims.serviceaccount;
    let found = read(plane, "serviceaccounts", namespace, &account.name)?
        .ok_or_else(|| format!("serviceaccounts {} not found", quote(&account.name)))?;
    if uid(&found) != account.uid {
        return Err(format!("service account UID ({}) does not match claim ({})", uid(&found), account.uid));
    }
    if is_deleted(&found, now) {
        return Err(format!("service account {namespace}/{} has been deleted", account.name));
    }
    // The node of a token that is bound to a pod is information, not a condition.
    let node = claims.node.as_ref().filter(|_| claims.pod.is_none());
    let bound = [
        ("secrets", "secret", "service account secret", namespace.as_str(), claims.secret.as_ref()),
        ("pods", "pod", "service account pod", namespace.as_str(), claims.pod.as_ref()),
        ("nodes", "node", "service account node", "", node),
    ];
    for (resource, kind, claim, namespace, object) in bound {
        let Some(object) = object else { continue };
        let found = read(plane, resource, namespace, &object.name)?.filter(|found| !is_deleted(found, now));
        let found = found.ok_or("service account token has been invalidated")?;
        if uid(&found) != object.uid {
            return Err(format!("{kind} UID ({}) does not match {claim} ref claim ({})", uid(&found), object.uid));
        }
    }
    Ok(())
}

fn read(plane: &Plane, resource: &str, namespace: &str, name: &str) -> Result<Option<Value>, String> {
    let resource = GroupResource { group: String::new(), resource: resource.to_owned() };
    let key = ObjectKey { resource, namespace: namespace.to_owned(), name: name.to_owned() };
    let stored = plane.store().get(&key).map_err(|error| error.to_string())?;
    stored.map(|stored| serde_json::from_slice(&stored.json).map_err(|error| error.to_string())).transpose()
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// Whether an object has been being deleted for longer than clocks may differ.
fn is_deleted(object: &Value, now: i64) -> bool {
    let at = object["metadata"]["deletionTimestamp"].as_str();
    at.and_then(|at| at.parse::<jiff::Timestamp>().ok()).is_some_and(|at| at.as_second() < now - LEEWAY)
}
