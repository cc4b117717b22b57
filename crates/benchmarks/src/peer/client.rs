//! One client of a server: TLS with the administrator's certificate, one HTTP/2 connection.

use std::path::Path;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use bytes::Bytes;
use kube::config::Kubeconfig;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Identity, Method, Response};
use serde_json::Value;

/// Media type of objects and lists.
pub(super) const JSON: &str = "application/json";
/// Media type of the tables kubectl prints.
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// How a kubeconfig says to reach a server. Makes clients that share nothing with each other.
#[derive(Debug, Clone)]
pub(super) struct Access {
    server: String,
    authority_pem: String,
    authority: Certificate,
    identity: Identity,
}

/// One client; clones share its connection.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
}

impl Access {
    /// Reads the only cluster and the only user of a kubeconfig.
    pub(super) fn read(kubeconfig: &Path) -> anyhow::Result<Self> {
        let kubeconfig = serde_json::to_value(Kubeconfig::read_from(kubeconfig)?)?;
        let (cluster, user) = (&kubeconfig["clusters"][0]["cluster"], &kubeconfig["users"][0]["user"]);
        let authority = pem(cluster, "certificate-authority")?;
        let mut identity = pem(user, "client-certificate")?;
        identity.extend(pem(user, "client-key")?);
        Ok(Access {
            server: cluster["server"].as_str().context("no server")?.trim_end_matches('/').to_owned(),
            authority: Certificate::from_pem(&authority)?,
            authority_pem: String::from_utf8(authority)?,
            identity: Identity::from_pem(&identity)?,
        })
    }

    /// `https://HOST:PORT` of the server.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// The authority of the server's certificate.
    pub(super) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// A client with a connection of its own, opened by its first request.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let http = reqwest::Client::builder()
            .use_rustls_tls()
            .no_proxy()
            .tls_certs_only([self.authority.clone()])
            .identity(self.identity.clone())
            // As Go's clients have them; with smaller ones a long answer waits for window updates, on whichever server.
            .http2_initial_stream_window_size(4 << 20)
            .http2_initial_connection_window_size(1 << 30)
            .build()?;
        Ok(Client { http, server: self.server.clone() })
    }
}

/// PEM from base64 in a kubeconfig or from the file it names.
fn pem(part: &Value, field: &str) -> anyhow::Result<Vec<u8>> {
    if let Some(data) = part[format!("{field}-data")].as_str() {
        return Ok(base64::engine::general_purpose::STANDARD.decode(data)?);
    }
    let file = part[field].as_str().with_context(|| format!("the kubeconfig has no {field}"))?;
    Ok(std::fs::read(file)?)
}

impl Client {
    /// Sends a request and waits for the head of an answer that is a success.
    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> anyhow::Result<Response> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.server)).header(ACCEPT, accept);
        if let Some((media_type, body)) = body {
            request = request.header(CONTENT_TYPE, media_type).body(body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        if !status.is_success() {
            anyhow::bail!("{method} {path}: {status}: {}", answer.text().await?);
        }
        ensure!(answer.version() == reqwest::Version::HTTP_2, "{method} {path}: answered in {:?}", answer.version());
        Ok(answer)
    }

    /// Sends a request and reads its answer to the end.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> anyhow::Result<Bytes> {
        Ok(self.open(method, path, accept, body).await?.bytes().await?)
    }

    /// An object or a list.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.send(Method::GET, path, JSON, None).await?)?)
    }

    /// Creates an object in a collection.
    pub(super) async fn create(&self, collection: &str, object: &Value) -> anyhow::Result<Bytes> {
        self.send(Method::POST, collection, JSON, Some((JSON, serde_json::to_vec(object)?))).await
    }
}
