//! The client of the REST API: the only way the command line talks to a server.

use futures::{Stream, StreamExt as _};
use reqwest::{Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arguments::ConnectionArguments;
use crate::data_directory::DataDirectory;
use crate::event_stream::{EventStreamDecoder, ServerSentEvent};
use crate::outcome::{CommandError, Exit, ProblemDocument};

/// A server and who we are to it.
#[derive(Debug, Clone)]
pub struct RestClient {
    http: reqwest::Client,
    base: String,
    token: String,
    tenant: String,
}

/// How a document is sent.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(&'a Value),
    /// A JSON merge patch (RFC 7396).
    MergePatch(&'a Value),
}

impl RestClient {
    /// Finds the server: `--server` with `--token`, else the `kogge up` of the data directory.
    ///
    /// # Errors
    /// Exit code 5 with what to do, if no server is known.
    pub fn connect(arguments: &ConnectionArguments) -> Result<Self, CommandError> {
        let (base, token) = if let Some(server) = &arguments.server {
            let Some(token) = &arguments.token else {
                return Err(CommandError::new(Exit::Unreachable, "--server needs a token")
                    .hint("give it with --token or KOGGE_TOKEN"));
            };
            (server.trim_end_matches('/').to_owned(), token.clone())
        } else {
            let data = DataDirectory::locate(arguments.data.as_deref())
                .map_err(|error| CommandError::new(Exit::Unreachable, error.to_string()))?;
            let (Some(endpoints), Some(token)) = (data.endpoints(), data.token()) else {
                return Err(CommandError::new(
                    Exit::Unreachable,
                    format!("no `kogge up` runs on {}", data.path().display()),
                )
                .hint("start one with `kogge up`, or name another with --data DIR or --server URL"));
            };
            (endpoints.portal, token)
        };
        Self::new(base, token, arguments.tenant.clone())
    }

    /// A client of a known server.
    ///
    /// # Errors
    /// Exit code 1 if TLS cannot be set up.
    pub fn new(base: String, token: String, tenant: String) -> Result<Self, CommandError> {
        let http = reqwest::Client::builder()
            .connect_timeout(std::time::Duration::from_secs(10))
            .user_agent(concat!("kogge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| CommandError::new(Exit::Failed, format!("failed to set up the client: {error}")))?;
        Ok(Self { http, base, token, tenant })
    }

    /// The tenant of this client.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The same client for another tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), ..self.clone() }
    }

    /// `/v1/tenants/TENANT/clusters`, followed by `rest` (empty, or starting with `/`).
    pub fn clusters_path(&self, rest: &str) -> String {
        format!("/v1/tenants/{}/clusters{rest}", self.tenant)
    }

    fn request(&self, method: Method, path: &str, body: Body<'_>) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        match body {
            Body::Empty => request,
            Body::Json(value) => request.json(value),
            Body::MergePatch(value) => request.json(value).header(header::CONTENT_TYPE, "application/merge-patch+json"),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, CommandError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        let mut problem: ProblemDocument = serde_json::from_slice(&body).unwrap_or_default();
        problem.status = status.as_u16();
        if problem.title.is_empty() {
            problem.title = format!("the server answered {status}");
        }
        let error = CommandError::from(problem);
        Err(if status == StatusCode::UNAUTHORIZED { error.hint("is the token the server's own?") } else { error })
    }

    fn unreachable(&self, error: &reqwest::Error) -> CommandError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        CommandError::new(Exit::Unreachable, format!("no answer from {}: {cause}", self.base))
            .hint("is `kogge up` still running?")
    }

    /// Sends a request and reads the JSON answer.
    ///
    /// # Errors
    /// The server's problem document, or exit code 5 if there was no answer.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<T, CommandError> {
        let response = self.send(self.request(method, path, body)).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            CommandError::new(Exit::Failed, format!("the server's answer to {path} is not understood: {error}"))
                .hint("do the versions of client and server match?")
        })
    }

    /// Sends a request and takes the answer as text.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_text(&self, method: Method, path: &str, body: Body<'_>) -> Result<String, CommandError> {
        let response = self.send(self.request(method, path, body)).await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    /// Follows a stream of server-sent events; it ends when the server ends it.
    ///
    /// # Errors
    /// As [`Self::call`], and as an item where the connection breaks.
    pub async fn events(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<ServerSentEvent, CommandError>> + use<>, CommandError> {
        let request = self.request(Method::GET, path, Body::Empty).header(header::ACCEPT, "text/event-stream");
        let response = self.send(request).await?;
        let client = self.clone();
        let mut decoder = EventStreamDecoder::default();
        Ok(response.bytes_stream().flat_map(move |chunk| {
            let events: Vec<_> = match chunk {
                Ok(bytes) => decoder.push(&bytes).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(client.unreachable(&error))],
            };
            futures::stream::iter(events)
        }))
    }
}
