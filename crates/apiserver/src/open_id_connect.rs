//! Tokens of OpenID Connect issuers: verified with the issuer's published keys, mapped to users by the configuration.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use self::{key_set::KeySet, mapping::UserMapping};
use crate::{
    authentication::User,
    authentication_configuration::{AuthenticationConfiguration, JwtAuthenticator},
};

mod key_set;
mod mapping;

/// What an issuer may sign with.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];
/// A token that is not valid yet by so many seconds may come from a clock that is ahead.
const NOT_BEFORE_LEEWAY: f64 = 60.0;
/// A verified token is verified again after this time, so that removed keys stop counting.
const REMEMBER_FOR: Duration = Duration::from_secs(10);
/// Keys of an issuer are fetched at most this often, whatever tokens ask for.
const FETCH_FLOOR: Duration = Duration::from_secs(10);
/// So many verified tokens are remembered.
const REMEMBERED: usize = 4096;

/// The issuers a server trusts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedIssuers {
    issuers: Arc<Vec<TrustedIssuer>>,
    verified: Arc<Mutex<HashMap<[u8; 32], Verified>>>,
}

#[derive(Debug)]
struct TrustedIssuer {
    url: String,
    audiences: Vec<String>,
    keys: KeySet,
    mapping: UserMapping,
}

#[derive(Clone, Debug)]
struct Verified {
    user: User,
    until: SystemTime,
}

impl TrustedIssuers {
    /// # Errors
    /// If a client for an issuer cannot be made.
    pub(crate) fn new(configuration: &AuthenticationConfiguration) -> Result<Self, String> {
        Self::with_floor(configuration, FETCH_FLOOR)
    }

    fn with_floor(configuration: &AuthenticationConfiguration, floor: Duration) -> Result<Self, String> {
        let issuers = configuration.jwt.iter().map(|one| TrustedIssuer::new(one, floor));
        let issuers = issuers.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { issuers: Arc::new(issuers), verified: Arc::default() })
    }

    /// The user of a token; none for a token of no trusted issuer.
    ///
    /// # Errors
    /// Why a token of a trusted issuer is not accepted.
    pub(crate) async fn authenticate(&self, token: &str, now: SystemTime) -> Result<Option<User>, String> {
        if self.issuers.is_empty() {
            return Ok(None);
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(known) = known.filter(|known| now < known.until) {
            return Ok(Some(known.user));
        }
        // Whose token it is decides whose keys it is verified with; nothing else is read from it before.
        let claimed = jsonwebtoken::dangerous::insecure_decode_claims::<Map<String, Value>>(token);
        let Ok(claimed) = claimed else { return Ok(None) };
        let url = claimed.get("iss").and_then(Value::as_str).unwrap_or_default();
        let Some(issuer) = self.issuers.iter().find(|issuer| issuer.url == url) else { return Ok(None) };
        let claims =
            Box::pin(issuer.verify(token, now)).await.map_err(|error| format!("oidc: verify token: {error}"))?;
        let user = issuer.mapping.user(&claims)?;
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= REMEMBERED {
            verified.retain(|_, known| now < known.until);
            if verified.len() >= REMEMBERED {
                verified.clear();
            }
        }
        let end = SystemTime::UNIX_EPOCH
            + Duration::try_from_secs_f64(time(&claims, "exp").ok().flatten().unwrap_or(0.0)).unwrap_or_default();
        verified.insert(digest, Verified { user: user.clone(), until: end.min(now + REMEMBER_FOR) });
        Ok(Some(user))
    }
}

/// The seconds of a claim, which may also be written as a text.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, String> {
    let number = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => Some(number.clone()),
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        Some(_) => None,
    };
    let seconds = number.and_then(|number| number.as_f64()).ok_or("failed to unmarshal claims: a time is no number")?;
    Ok(Some(seconds))
}

impl TrustedIssuer {
    fn new(configuration: &JwtAuthenticator, floor: Duration) -> Result<Self, String> {
        let issuer = &configuration.issuer;
        Ok(Self {
            url: issuer.url.clone(),
            audiences: issuer.audiences.clone(),
            keys: KeySet::new(&issuer.url, &issuer.discovery_url, &issuer.certificate_authority, floor)?,
            mapping: UserMapping::new(configuration)?,
        })
    }

    /// The claims of a token with a good signature that is for one of the audiences now.
    async fn verify(&self, token: &str, now: SystemTime) -> Result<Map<String, Value>, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| format!("malformed jwt: {error}"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(format!("id token signed with unsupported algorithm {:?}", header.alg));
        }
        let mut validation = Validation::new(header.alg);
        // Time, issuer and audience are checked below, with the request's own time.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let keys = self.keys.find(header.kid.as_deref()).await?;
        let verified = keys.iter().find_map(|key| jsonwebtoken::decode(token, key, &validation).ok());
        let claims: Map<String, Value> =
            verified.ok_or("failed to verify signature: failed to verify id token signature")?.claims;
        if claims.get("iss").and_then(Value::as_str) != Some(&self.url) {
            return Err("id token issued by a different provider".to_owned());
        }
        let audiences: Vec<&str> = match claims.get("aud") {
            Some(Value::String(audience)) => vec![audience],
            Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !audiences.iter().any(|audience| self.audiences.iter().any(|own| own == audience)) {
            return Err(match &self.audiences[..] {
                [own] => format!("expected audience \"{own}\" got {audiences:?}").replace(", ", " "),
                own => format!("expected audience in {own:?} got {audiences:?}").replace("\", \"", "\" \""),
            });
        }
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        match time(&claims, "exp")? {
            Some(end) if end > now => {}
            Some(_) => return Err("token is expired".to_owned()),
            None => return Err("token has no expiry".to_owned()),
        }
        time(&claims, "iat")?;
        if time(&claims, "nbf")?.is_some_and(|start| start > now + NOT_BEFORE_LEEWAY) {
            return Err("current time before the nbf (not before) time".to_owned());
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
