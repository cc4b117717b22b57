use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::FutureExt as _;
use http::StatusCode;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use super::*;
use crate::{
    certificates::ServerCertificates,
    server::{Server, ServerOptions},
    tls,
};

/// A key of the issuer.
struct Key {
    id: &'static str,
    pair: KeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        Self { id, pair: KeyPair::generate().unwrap() }
    }

    fn public(&self) -> Value {
        let (x, y) = self.pair.der_bytes()[1..].split_at(32);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": encode(x), "y": encode(y)})
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }
}

/// An OpenID Connect issuer on a local port.
#[derive(Clone, Default)]
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    fetches: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
    authority: String,
    _listening: Option<Arc<DropGuard>>,
}

impl Issuer {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificates = ServerCertificates::load_or_create(None, &[], SystemTime::now()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let issuer = Self {
            url: format!("https://{}", listener.local_addr().unwrap()),
            authority: certificates.serving_authority.certificate_pem.clone(),
            _listening: Some(Arc::new(shutdown.clone().drop_guard())),
            ..Self::default()
        };
        let (url, served) = (issuer.url.clone(), Self { _listening: None, ..issuer.clone() });
        let discovery = move || async move { json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string() };
        let keys = move || async move {
            served.fetches.fetch_add(1, Ordering::SeqCst);
            if served.broken.load(Ordering::SeqCst) {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            let mut keys = served.keys.lock().unwrap().clone();
            keys.push(json!({"kty": "XYZ", "kid": "of a kind that comes later"}));
            Ok(json!({"keys": keys}).to_string())
        };
        let router = Router::new().route("/.well-known/openid-configuration", get(discovery)).route("/keys", get(keys));
        let config = tls::server_config(&certificates.serving).unwrap();
        let answer = move |request| router.clone().oneshot(request).map(Result::unwrap);
        tokio::spawn(tls::serve(listener, config, answer, 128 << 10, shutdown));
        issuer
    }

    fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.public()).collect();
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn configuration(&self) -> AuthenticationConfiguration {
        let document = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
            "jwt": [{
                "issuer": {"url": self.url, "audiences": ["kogge"], "certificateAuthority": self.authority},
                "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}, "groups": {"claim": "groups", "prefix": ""}},
            }],
        });
        AuthenticationConfiguration::from_yaml(&document.to_string()).unwrap()
    }

    /// Claims of a token that ends in an hour; `id` makes tokens differ.
    fn claims(&self, id: &str) -> Value {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        json!({"iss": self.url, "aud": "kogge", "sub": "anna", "groups": ["crew"], "jti": id, "iat": now, "exp": now + 3600})
    }
}

#[tokio::test]
async fn keys_rotate_and_outlive_a_broken_issuer() {
    let issuer = Issuer::start().await;
    let (first, second, third) = (Key::new("1"), Key::new("2"), Key::new("3"));
    let trusted = TrustedIssuers::with_floor(&issuer.configuration(), Duration::ZERO).unwrap();
    let name = async |key: &Key, id: &str| {
        let token = key.sign(&issuer.claims(id));
        trusted.authenticate(&token, SystemTime::now()).await.map(|user| user.unwrap().name)
    };
    let known = Ok("oidc:anna".to_owned());
    let unknown = Err("oidc: verify token: failed to verify signature: failed to verify id token signature".to_owned());
    issuer.broken.store(true, Ordering::SeqCst);
    assert_eq!(name(&first, "a").await, Err("oidc: verify token: authenticator not initialized".to_owned()));
    issuer.broken.store(false, Ordering::SeqCst);
    issuer.publish(&[&first]);
    assert_eq!(name(&first, "a").await, known);
    let fetches = issuer.fetches();
    assert_eq!(
        (name(&first, "b").await, issuer.fetches()),
        (known.clone(), fetches),
        "a known key is not fetched again"
    );
    issuer.publish(&[&second]);
    assert_eq!(name(&second, "c").await, known);
    assert_eq!(name(&first, "d").await, unknown, "withdrawn");
    issuer.broken.store(true, Ordering::SeqCst);
    assert_eq!((name(&third, "e").await, name(&second, "f").await), (unknown.clone(), known));
    let patient = TrustedIssuers::with_floor(&issuer.configuration(), Duration::from_hours(1)).unwrap();
    issuer.broken.store(false, Ordering::SeqCst);
    let before = issuer.fetches();
    for id in ["g", "h", "i"] {
        let token = third.sign(&issuer.claims(id));
        assert!(patient.authenticate(&token, SystemTime::now()).await.is_err());
    }
    assert_eq!(issuer.fetches(), before + 1, "unknown keys do not make the server ask again and again");
}

#[tokio::test]
async fn a_token_counts_for_its_audience_while_it_is_valid() {
    let issuer = Issuer::start().await;
    let key = Key::new("1");
    issuer.publish(&[&key]);
    let trusted = TrustedIssuers::new(&issuer.configuration()).unwrap();
    let now = SystemTime::now();
    let with = |field: &str, value: Value| {
        let mut claims = issuer.claims(field);
        claims[field] = value;
        key.sign(&claims)
    };
    let hour = Duration::from_hours(1);
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut refusals = Vec::new();
    for (token, at) in [
        (with("aud", json!(["other"])), now),
        (with("aud", json!(["other", "kogge"])), now),
        (with("a", json!(1)), now + 2 * hour),
        (with("nbf", json!(9_999_999_999_u64)), now),
        (with("nbf", json!(seconds + 30)), now),
        (with("nbf", json!(seconds + 90)), now),
        (with("exp", json!(null)), now),
        (with("exp", json!((seconds + 90).to_string())), now),
        (with("exp", json!("soon")), now),
        (with("sub", json!(null)), now),
        (with("iss", json!("https://other.example")), now),
        ("a.b.c".to_owned(), now),
    ] {
        refusals.push(match trusted.authenticate(&token, at).await {
            Ok(Some(user)) => user.user_info().to_string(),
            Ok(None) => "not a token of this issuer".to_owned(),
            Err(error) => error,
        });
    }
    insta::assert_snapshot!(refusals.join("\n"));
}

#[tokio::test]
async fn the_management_plane_knows_users_of_its_issuers() {
    let issuer = Issuer::start().await;
    let key = Key::new("1");
    issuer.publish(&[&key]);
    let options = ServerOptions { authentication: issuer.configuration(), ..ServerOptions::default() };
    let server = Server::open(options).await.unwrap();
    let plane = crate::store::PlaneName("default/w".to_owned());
    server.create_plane(&plane, crate::server::PlaneOptions::default()).await.unwrap();
    let token = key.sign(&issuer.claims("a"));
    let ask = async |prefix: &str, path: &str| {
        let request = http::Request::get(format!("{prefix}{path}")).header("authorization", format!("Bearer {token}"));
        let response = server.answer(request.body(axum::body::Body::empty()).unwrap()).await;
        let code = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
        (code, serde_json::from_slice::<Value>(&body).unwrap()["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask("", "/api").await.0, 200);
    assert_eq!(
        ask("", "/api/v1/nodes").await,
        (
            403,
            r#"nodes is forbidden: User "oidc:anna" cannot list resource "nodes" in API group "" at the cluster scope"#
                .to_owned()
        )
    );
    assert_eq!(ask("/clusters/default/w", "/api").await, (401, "Unauthorized".to_owned()));
}
