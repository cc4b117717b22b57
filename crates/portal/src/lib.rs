//! The REST API `/v1`: the simple way in, for people with an HTTP client and no Kubernetes.
//!
//! Thin handlers over one service layer ([`service`]) that speaks to a `kube::Client` and does not know what is behind
//! it. The body of a cluster is the same document as the custom resource; errors are RFC 9457 problem documents.

#![deny(missing_docs)]

mod authentication;
pub mod body;
mod cluster_routes;
pub mod diagnostics;
mod event_stream;
pub mod kubeconfig;
mod merge_patch;
pub mod openapi;
pub mod precondition;
pub mod problem_document;
mod profile_routes;
mod request_id;
pub mod service;
pub mod tree;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use kogge_stacks::StackCatalogue;
use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use problem_document::ProblemDocument;
use service::Service;

/// The largest request body, in bytes.
pub const BODY_LIMIT: usize = 10 * 1024 * 1024 - 1;

/// What the REST API is made of.
#[derive(Clone)]
pub struct PortalOptions {
    /// Client of the API that holds the objects.
    pub client: Client,
    /// Bearer token every request has to carry.
    pub token: String,
    /// The stack releases plans are made with.
    pub catalogue: StackCatalogue,
}

/// The routes, for any transport.
pub fn router(options: PortalOptions) -> Router {
    let service = Service::new(options.client, options.catalogue);
    let clusters = "/v1/tenants/{tenant}/clusters";
    let cluster = "/v1/tenants/{tenant}/clusters/{name}";
    let signed_in = Router::new()
        .route("/v1/tenants", get(profile_routes::tenant_list))
        .route("/v1/profiles", get(profile_routes::profile_list))
        .route("/v1/profiles/{name}", get(profile_routes::profile_view))
        .route("/v1/problems", get(profile_routes::problem_list))
        .route("/v1/problems/{code}", get(profile_routes::problem_view))
        .route(clusters, get(cluster_routes::cluster_list))
        .route(
            cluster,
            get(cluster_routes::cluster_view)
                .put(cluster_routes::cluster_replace)
                .patch(cluster_routes::cluster_update)
                .delete(cluster_routes::cluster_delete),
        )
        .route(&format!("{cluster}/plan"), post(cluster_routes::cluster_plan))
        .route(&format!("{cluster}/kubeconfigs"), post(cluster_routes::kubeconfig_create))
        .route(&format!("{cluster}/events"), get(event_stream::cluster_events))
        .route(&format!("{cluster}/tree"), get(cluster_routes::cluster_tree))
        .route(&format!("{cluster}/diagnostics"), get(cluster_routes::cluster_diagnostics))
        .with_state(service.clone())
        .layer(from_fn_with_state(authentication::Token::new(&options.token), authentication::require_token));
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(profile_routes::ready))
        .route("/openapi.json", get(|| async { axum::Json(openapi::document()) }))
        .with_state(service)
        .merge(signed_in)
        .fallback(|| async { ProblemDocument::unknown_route() })
        .method_not_allowed_fallback(|| async { ProblemDocument::method_not_allowed() })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(problem_document::complete))
        .layer(from_fn(request_id::name_request))
}

/// A failed listener.
#[derive(Debug, thiserror::Error)]
#[error("failed to serve the REST API: {0}")]
pub struct ServeError(#[from] std::io::Error);

/// Serves the routes until `shutdown`; open event streams are ended then.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> Result<(), ServeError> {
    let ended = shutdown.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.cancelled().await });
    tokio::select! {
        result = async { server.await } => Ok(result?),
        // Event streams never end by themselves; a second of grace is enough for everything else.
        () = async { ended.cancelled().await; tokio::time::sleep(std::time::Duration::from_secs(1)).await } => Ok(()),
    }
}
