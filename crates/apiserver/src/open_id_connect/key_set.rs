//! The public keys of an issuer: fetched when first needed, again for a key that is not known or after a while, never
//! more often than a floor interval. While the issuer does not answer, the known keys stay good.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::{DecodingKey, jwk::Jwk};
use reqwest::{Certificate, Client, redirect::Policy};
use serde_json::Value;

/// Keys are fetched again after this time, so that an issuer can withdraw one.
const AGE: Duration = Duration::from_mins(30);
/// An issuer has this long to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest document of an issuer, in bytes.
const LONGEST: usize = 1024 * 1024;

/// The keys of one issuer.
pub(super) struct KeySet {
    client: Client,
    issuer: String,
    discovery_url: String,
    /// Least time between two fetches.
    floor: Duration,
    known: ArcSwapOption<Keys>,
    /// When keys were last asked for; held while asking, so that one request asks for all that wait.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

struct Keys {
    keys: Vec<(Option<String>, DecodingKey)>,
    fetched: Instant,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeySet").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Keys {
    /// Keys that may have signed a token with this key id: the one of that name, or all if it names none.
    fn find(&self, id: Option<&str>) -> Vec<DecodingKey> {
        let wanted = |known: &Option<String>| id.is_none() || known.as_deref() == id;
        self.keys.iter().filter(|(known, _)| wanted(known)).map(|(_, key)| key.clone()).collect()
    }
}

impl KeySet {
    /// The keys of the issuer at `issuer`, whose discovery document is there too unless `discovery_url` says where.
    /// `authority` is PEM, or empty for the system's authorities.
    ///
    /// # Errors
    /// If the client cannot be made.
    pub(super) fn new(issuer: &str, discovery_url: &str, authority: &str, floor: Duration) -> Result<Self, String> {
        let failed = |error: reqwest::Error| format!("failed to make a client of the issuer {issuer}: {error}");
        let mut client = Client::builder().timeout(TIMEOUT).https_only(true).redirect(Policy::limited(3));
        if !authority.is_empty() {
            client = client.tls_certs_only(Certificate::from_pem_bundle(authority.as_bytes()).map_err(failed)?);
        }
        let discovery_url = if discovery_url.is_empty() {
            format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
        } else {
            discovery_url.to_owned()
        };
        Ok(Self {
            client: client.build().map_err(failed)?,
            issuer: issuer.to_owned(),
            discovery_url,
            floor,
            known: ArcSwapOption::empty(),
            asked: tokio::sync::Mutex::new(None),
        })
    }

    /// Keys that may have signed a token with this key id.
    ///
    /// # Errors
    /// While no keys could be fetched at all.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Vec<DecodingKey>, String> {
        if let Some(known) = self.known.load_full().filter(|known| known.fetched.elapsed() < AGE) {
            let keys = known.find(id);
            if !keys.is_empty() {
                return Ok(keys);
            }
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have asked meanwhile.
        let recently = asked.is_some_and(|at| at.elapsed() < self.floor);
        if !recently {
            *asked = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => self.known.store(Some(Arc::new(Keys { keys, fetched: Instant::now() }))),
                Err(error) => tracing::warn!(issuer = self.issuer, error, "failed to fetch the keys of an issuer"),
            }
        }
        match self.known.load_full() {
            Some(known) => Ok(known.find(id)),
            None => Err("authenticator not initialized".to_owned()),
        }
    }

    async fn fetch(&self) -> Result<Vec<(Option<String>, DecodingKey)>, String> {
        let discovery = self.get(&self.discovery_url).await?;
        let issuer = discovery["issuer"].as_str().unwrap_or_default();
        if issuer != self.issuer {
            return Err(format!(
                "issuer did not match the issuer returned by provider, expected {:?} got {issuer:?}",
                self.issuer
            ));
        }
        let url = discovery["jwks_uri"].as_str().ok_or("the discovery document has no jwks_uri")?;
        let set = self.get(url).await?;
        // Keys of kinds that are not known here are no reason to refuse the others.
        let keys = set["keys"].as_array().into_iter().flatten().filter_map(|key| {
            let key: Jwk = serde_json::from_value(key.clone()).ok()?;
            Some((key.common.key_id.clone(), DecodingKey::from_jwk(&key).ok()?))
        });
        Ok(keys.collect())
    }

    async fn get(&self, url: &str) -> Result<Value, String> {
        let failed = |error: reqwest::Error| error.to_string();
        let mut response =
            self.client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST {
                return Err(format!("{url}: the document is longer than {LONGEST} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }
}
