//! Calling webhooks over HTTPS: one connection pool for each trusted bundle, errors in the words of client-go.
//!
//! There is no Service network here: a `clientConfig.service` is looked up in the map of the server's options. The
//! certificate must be for `NAME.NAMESPACE.svc` all the same, as clusters have it.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::header::CONTENT_TYPE;
use kogge_machinery::{
    status_error::quote,
    webhook::{ClientConfig, Target},
};
use reqwest::{Certificate, Client, redirect::Policy};
use serde_json::Value;

mod answer;

/// Clients that are kept at most; webhooks of many tenants must not fill the memory.
const CLIENTS: usize = 256;
/// So many redirects are followed, as Go's client does.
const REDIRECTS: usize = 10;
/// What a webhook may answer, in bytes.
const ANSWER_LIMIT: usize = 16 << 20;

/// Where Services are: `NAMESPACE/NAME:PORT` to `https://HOST:PORT`.
pub type ServiceAddresses = BTreeMap<String, String>;

/// Whom a client trusts, and which name it gives to an address.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    ca_bundle: Vec<u8>,
    resolved: Option<(String, SocketAddr)>,
}

/// The clients of a server's webhooks.
#[derive(Default)]
pub(crate) struct WebhookClients {
    services: ServiceAddresses,
    clients: Mutex<HashMap<ClientKey, Client>>,
}

impl std::fmt::Debug for WebhookClients {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WebhookClients").field("services", &self.services).finish_non_exhaustive()
    }
}

/// A request's URL as the webhook's configuration has it (for messages) and as it is called.
struct Address {
    shown: String,
    called: String,
    resolved: Option<(String, SocketAddr)>,
}

impl WebhookClients {
    pub(crate) fn new(services: ServiceAddresses) -> Self {
        Self { services, clients: Mutex::default() }
    }

    /// Posts a review and gives the answer.
    ///
    /// # Errors
    /// Why there is none: `Post "URL": dial tcp ...`.
    pub(crate) async fn post(&self, config: &ClientConfig, timeout: Duration, review: &Value) -> Result<Value, String> {
        let address = self.address(&config.target, timeout).await?;
        let failed = |why: String| format!("Post {}: {why}", quote(&address.shown));
        let client = self.client(&config.ca_bundle, address.resolved.clone()).map_err(failed)?;
        let request = client.post(&address.called).json(review).header("Accept", "application/json, */*");
        let answered = tokio::time::timeout(timeout, async {
            let mut response = request.send().await?;
            let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let media_type = media_type.map(str::to_owned);
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > ANSWER_LIMIT {
                    return Ok(None);
                }
                body.extend_from_slice(&chunk);
            }
            Ok::<_, reqwest::Error>(Some((response.status().as_u16(), media_type, body)))
        });
        match answered.await {
            Err(_) => Err(failed("context deadline exceeded".to_owned())),
            Ok(Err(error)) => Err(failed(reason_of(&error, &address.called))),
            Ok(Ok(None)) => Err(failed("http: response body too large".to_owned())),
            Ok(Ok(Some((status, media_type, body)))) => answer::read(status, media_type.as_deref(), &body),
        }
    }

    async fn address(&self, target: &Target, timeout: Duration) -> Result<Address, String> {
        let query = format!("timeout={}s", timeout.as_secs().max(1));
        match target {
            Target::Url(url) => {
                let shown = format!("{url}?{query}");
                Ok(Address { called: shown.clone(), shown, resolved: None })
            }
            Target::Service { namespace, name, port, path } => {
                let host = format!("{name}.{namespace}.svc");
                let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
                let shown = format!("https://{host}:{port}{slash}{path}?{query}");
                let failed = |why: String| format!("Post {}: {why}", quote(&shown));
                let Some(known) = self.services.get(&format!("{namespace}/{name}:{port}")) else {
                    return Err(failed(format!("service {} not found", quote(name))));
                };
                let authority = known.trim_start_matches("https://").split('/').next().unwrap_or_default();
                let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:443") };
                let socket = tokio::net::lookup_host(&authority).await.ok().and_then(|mut found| found.next());
                let Some(socket) = socket else {
                    return Err(failed(format!("dial tcp: lookup {authority}: no such host")));
                };
                let called = format!("https://{host}:{}{slash}{path}?{query}", socket.port());
                Ok(Address { shown, called, resolved: Some((host, socket)) })
            }
        }
    }

    fn client(&self, ca_bundle: &[u8], resolved: Option<(String, SocketAddr)>) -> Result<Client, String> {
        let key = ClientKey { ca_bundle: ca_bundle.to_vec(), resolved };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        // As the real server: HTTP/1.1, whose connections spread over the webhook's replicas, and ten redirects.
        let mut builder = Client::builder().no_proxy().http1_only().redirect(Policy::limited(REDIRECTS));
        if !key.ca_bundle.is_empty() {
            let bundle = Certificate::from_pem_bundle(&key.ca_bundle)
                .ok()
                .filter(|bundle| !bundle.is_empty())
                .ok_or("unable to load root certificates: unable to parse bytes as PEM block")?;
            builder = builder.tls_certs_only(bundle);
        }
        if let Some((host, socket)) = &key.resolved {
            builder = builder.resolve(host, *socket);
        }
        let client = builder.build().map_err(|error| error.to_string())?;
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// Why a request got no answer, as Go says it.
fn reason_of(error: &reqwest::Error, url: &str) -> String {
    if error.is_timeout() {
        return "context deadline exceeded".to_owned();
    }
    let authority = url.split('/').nth(2).unwrap_or_default();
    let mut deepest = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    let port = if authority.contains(':') { "" } else { ":443" };
                    return format!("dial tcp {authority}{port}: connect: connection refused");
                }
                std::io::ErrorKind::ConnectionReset => return "read: connection reset by peer".to_owned(),
                std::io::ErrorKind::UnexpectedEof => return "EOF".to_owned(),
                _ => {}
            }
        }
        deepest = cause.to_string();
        source = cause.source();
    }
    let host = authority.split(':').next().unwrap_or_default();
    if deepest.contains("UnknownIssuer") {
        "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
    } else if deepest.contains("NotValidForName") || deepest.contains("not valid for name") {
        format!(
            "tls: failed to verify certificate: x509: certificate is not valid for any names, but wanted to match {host}"
        )
    } else if deepest.contains("Expired") || deepest.contains("expired") {
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".to_owned()
    } else if deepest.contains("failed to lookup") {
        format!("dial tcp: lookup {host}: no such host")
    } else {
        deepest
    }
}
