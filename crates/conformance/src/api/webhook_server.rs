//! The webhooks of the scenarios, served over HTTPS for the server that is judged to call.
//!
//! One server a run, with an authority of its own; each scenario has its webhooks below its name.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, StatusCode, Uri, header::CONTENT_TYPE};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::webhook::Webhook;

/// Why webhooks cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeWebhooksError {
    /// The address cannot be listened on.
    #[error("webhooks cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: IpAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No certificate could be made.
    #[error("no certificate for webhooks: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate cannot be served.
    #[error("the certificate for webhooks cannot be served: {0}")]
    Tls(String),
}

#[derive(Default)]
struct Shared {
    /// By path: how it answers, and what it was asked.
    webhooks: Mutex<BTreeMap<String, (Webhook, Vec<Value>)>>,
}

/// A running server. It ends with its last handle.
#[derive(Clone)]
pub struct WebhookServer {
    address: SocketAddr,
    ca_bundle: String,
    shared: Arc<Shared>,
    _ends: Arc<DropGuard>,
}

impl std::fmt::Debug for WebhookServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WebhookServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl WebhookServer {
    /// Serves on a free port of an address at which the judged server reaches this process.
    ///
    /// # Errors
    /// See [`ServeWebhooksError`].
    pub async fn start(address: IpAddr) -> Result<Self, ServeWebhooksError> {
        let listen = |source| ServeWebhooksError::Listen { address, source };
        let (config, authority) = certificate(address)?;
        let listener = TcpListener::bind((address, 0)).await.map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let shared = Arc::<Shared>::default();
        let router = Router::new().fallback(review).with_state(shared.clone());
        let end = CancellationToken::new();
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), router, end.clone()));
        let ca_bundle = STANDARD.encode(authority);
        Ok(Self { address: bound, ca_bundle, shared, _ends: Arc::new(end.drop_guard()) })
    }

    /// Where the webhooks of a scenario begin; a webhook's name follows after a slash.
    pub fn url(&self, scenario: &str) -> String {
        format!("https://{}/{scenario}", self.address)
    }

    /// The authority to trust, as a `caBundle`.
    pub fn ca_bundle(&self) -> &str {
        &self.ca_bundle
    }

    /// Puts up a webhook of a scenario.
    pub fn put(&self, scenario: &str, name: &str, webhook: Webhook) {
        let mut webhooks = self.shared.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        webhooks.insert(format!("/{scenario}/{name}"), (webhook, Vec::new()));
    }

    /// Takes what a webhook was asked since the last time, in order.
    pub fn take_reviews(&self, scenario: &str, name: &str) -> Vec<Value> {
        let mut webhooks = self.shared.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = webhooks.get_mut(&format!("/{scenario}/{name}"));
        entry.map(|(_, reviews)| std::mem::take(reviews)).unwrap_or_default()
    }

    /// Takes down the webhooks of a scenario.
    pub fn remove(&self, scenario: &str) {
        let prefix = format!("/{scenario}/");
        let mut webhooks = self.shared.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        webhooks.retain(|path, _| !path.starts_with(&prefix));
    }
}

/// What serves as `address`, and the authority behind it (PEM).
fn certificate(address: IpAddr) -> Result<(rustls::ServerConfig, String), ServeWebhooksError> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "Kogge conformance webhooks");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let serving = CertificateParams::new(vec![address.to_string()])?.signed_by(&key, &authority)?;
    let tls = |error: &dyn std::error::Error| ServeWebhooksError::Tls(error.to_string());
    let chain = vec![CertificateDer::from(serving)];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(|error| tls(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| tls(&error))?;
    Ok((config, authority.pem()))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, router: Router, end: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (acceptor, router, end) = (acceptor.clone(), router.clone(), end.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            tokio::select! {
                () = end.cancelled() => {}
                _ = connection => {}
            }
        });
    }
}

async fn review(State(shared): State<Arc<Shared>>, uri: Uri, body: Bytes) -> Response {
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let webhook = {
        let mut webhooks = shared.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((webhook, reviews)) = webhooks.get_mut(uri.path()) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        reviews.push(asked.clone());
        webhook.clone()
    };
    if let Some(delay) = webhook.delay {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let code = webhook.code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::OK);
    let mut response = match &webhook.text {
        Some(text) => (code, [(CONTENT_TYPE, "application/json")], text.clone()).into_response(),
        None => (code, Json(webhook.reply(&asked))).into_response(),
    };
    for (name, value) in &webhook.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
