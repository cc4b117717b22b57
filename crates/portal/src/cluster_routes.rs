//! The routes of clusters.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kogge_api::kubernetes_cluster::{KubernetesCluster, Phase};
use kogge_api::plan::Plan;
use kogge_api::validation::FieldProblem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::body;
use crate::diagnostics::{Diagnostics, diagnose};
use crate::kubeconfig::Kubeconfig;
use crate::precondition::Precondition;
use crate::problem_document::{FieldError, ProblemDocument};
use crate::service::{Service, Written};
use crate::tree::TreeNode;

/// Query parameters of writes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WriteParameters {
    /// Only check; store nothing.
    #[serde(default)]
    dry_run: bool,
    /// Answer once the cluster is Ready (or gone), at most after this many seconds.
    wait: Option<u64>,
}

/// A plan, and what else is to say about the description.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PlanAnswer {
    #[serde(flatten)]
    plan: Plan,
    /// Findings that are no errors.
    findings: Vec<FieldError>,
}

/// `GET /v1/tenants/{tenant}/clusters`
pub(crate) async fn cluster_list(
    State(service): State<Service>,
    Path(tenant): Path<String>,
) -> Result<Json<Value>, ProblemDocument> {
    Ok(Json(json!({ "items": service.cluster_list(&tenant).await? })))
}

/// `GET /v1/tenants/{tenant}/clusters/{name}`
pub(crate) async fn cluster_view(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ProblemDocument> {
    let cluster = service.cluster(&tenant, &name).await?;
    let mut response = document(StatusCode::OK, &cluster, &[]);
    if is_seen(&headers, entity_tag(&cluster).as_deref()) {
        // RFC 9110, section 15.4.5: the headers of the answer without its body.
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    Ok(response)
}

/// `PUT /v1/tenants/{tenant}/clusters/{name}`
pub(crate) async fn cluster_replace(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
    parameters: Result<Query<WriteParameters>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, ProblemDocument> {
    let parameters = query(parameters)?;
    let mut proposed = body::cluster(&headers, &body::bytes(body)?, &name)?;
    body::named(&mut proposed, &tenant, &name)?;
    let precondition = precondition(&headers)?;
    let written = service.cluster_replace(&tenant, &name, proposed, precondition, parameters.dry_run).await?;
    answer_written(&service, &tenant, &name, written, &parameters).await
}

/// `PATCH /v1/tenants/{tenant}/clusters/{name}`
pub(crate) async fn cluster_update(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
    parameters: Result<Query<WriteParameters>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, ProblemDocument> {
    let parameters = query(parameters)?;
    let patch = body::merge_patch(&headers, &body::bytes(body)?)?;
    let precondition = precondition(&headers)?;
    let written = service.cluster_update(&tenant, &name, &patch, precondition, parameters.dry_run).await?;
    answer_written(&service, &tenant, &name, written, &parameters).await
}

/// `DELETE /v1/tenants/{tenant}/clusters/{name}`
pub(crate) async fn cluster_delete(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
    parameters: Result<Query<WriteParameters>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ProblemDocument> {
    let parameters = query(parameters)?;
    service.cluster_delete(&tenant, &name, precondition(&headers)?, parameters.dry_run).await?;
    if parameters.dry_run {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(parameters.wait.unwrap_or(0).min(3600));
    loop {
        match service.cluster(&tenant, &name).await {
            Err(gone) if gone.status == 404 => return Ok(StatusCode::NO_CONTENT.into_response()),
            Err(error) => return Err(error),
            // It goes on by itself; the document says how far it is.
            Ok(cluster) if tokio::time::Instant::now() >= deadline => {
                return Ok(document(StatusCode::ACCEPTED, &cluster, &[]));
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// `POST /v1/tenants/{tenant}/clusters/{name}/plan`
pub(crate) async fn cluster_plan(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Json<PlanAnswer>, ProblemDocument> {
    let bytes = body::bytes(body)?;
    let proposal = if bytes.iter().all(u8::is_ascii_whitespace) {
        None
    } else {
        let mut proposal = body::cluster(&headers, &bytes, &name)?;
        body::named(&mut proposal, &tenant, &name)?;
        Some(proposal)
    };
    let (plan, findings) = service.plan(&tenant, &name, proposal).await?;
    Ok(Json(PlanAnswer { plan, findings: findings.iter().map(FieldError::from).collect() }))
}

/// What a kubeconfig shall be like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct KubeconfigRequest {
    /// How long it is good for, in seconds; default a day, between ten minutes and thirty days.
    expiration_seconds: Option<u64>,
}

/// `POST /v1/tenants/{tenant}/clusters/{name}/kubeconfigs`
pub(crate) async fn kubeconfig_create(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<(StatusCode, Json<Kubeconfig>), ProblemDocument> {
    let bytes = body::bytes(body)?;
    let request: KubeconfigRequest = if bytes.is_empty() {
        KubeconfigRequest::default()
    } else {
        // By way of an object: serde would take a list for the fields in their order.
        let fields = serde_json::from_slice(&bytes).map(Value::Object);
        fields.and_then(serde_json::from_value).map_err(|error| {
            ProblemDocument::new(StatusCode::BAD_REQUEST, format!("the body is not understood: {error}"))
        })?
    };
    let valid_for = Duration::from_secs(request.expiration_seconds.unwrap_or(86400));
    Ok((StatusCode::CREATED, Json(service.kubeconfig(&tenant, &name, valid_for).await?)))
}

/// `GET /v1/tenants/{tenant}/clusters/{name}/tree`
pub(crate) async fn cluster_tree(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<Json<TreeNode>, ProblemDocument> {
    Ok(Json(service.tree(&tenant, &name).await?))
}

/// `GET /v1/tenants/{tenant}/clusters/{name}/diagnostics`
pub(crate) async fn cluster_diagnostics(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<Json<Diagnostics>, ProblemDocument> {
    let cluster = service.cluster(&tenant, &name).await?;
    let tree = service.tree(&tenant, &name).await?;
    let events = service.events(&tenant, &name).await?;
    Ok(Json(diagnose(&cluster, &tree, &events)))
}

fn query(
    parameters: Result<Query<WriteParameters>, axum::extract::rejection::QueryRejection>,
) -> Result<WriteParameters, ProblemDocument> {
    match parameters {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(ProblemDocument::new(
            StatusCode::BAD_REQUEST,
            format!("{}; known are dryRun and wait", rejection.body_text()),
        )),
    }
}

/// Answers a write: at once, or with `wait` once the cluster is Ready or cannot become so.
async fn answer_written(
    service: &Service,
    tenant: &str,
    name: &str,
    written: Written,
    parameters: &WriteParameters,
) -> Result<Response, ProblemDocument> {
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut cluster = written.cluster;
    if let Some(seconds) = parameters.wait.filter(|_| !parameters.dry_run) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds.min(3600));
        while !settled(&cluster) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            cluster = service.cluster(tenant, name).await?;
        }
    }
    Ok(document(status, &cluster, &written.warnings))
}

fn settled(cluster: &KubernetesCluster) -> bool {
    cluster.status.as_ref().is_some_and(|status| {
        status.observed_generation == cluster.metadata.generation
            && matches!(status.phase, Some(Phase::Ready | Phase::Failed | Phase::Paused))
    })
}

/// Whether `If-None-Match` (RFC 9110, section 13.1.2: a list of tags, compared weakly, or `*`) names the document.
fn is_seen(headers: &HeaderMap, tag: Option<&str>) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|given| given == "*" || Some(given.strip_prefix("W/").unwrap_or(given)) == tag)
}

/// The strong entity tag of a document: its resource version.
fn entity_tag(cluster: &KubernetesCluster) -> Option<String> {
    cluster.metadata.resource_version.as_ref().map(|version| format!("\"{version}\""))
}

fn document(status: StatusCode, cluster: &KubernetesCluster, warnings: &[FieldProblem]) -> Response {
    let mut response = (status, Json(cluster)).into_response();
    let headers = response.headers_mut();
    if let Some(tag) = entity_tag(cluster).and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        headers.insert(header::ETAG, tag);
    }
    // RFC 7234, section 5.5: 299 is a persistent warning; the text has to be ASCII.
    for warning in warnings.iter().filter(|warning| !warning.is_error()) {
        let text: String =
            warning.to_string().chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{}\"", text.replace('"', "'"))) {
            headers.append(header::WARNING, value);
        }
    }
    response
}

fn precondition(headers: &HeaderMap) -> Result<Option<Precondition>, ProblemDocument> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    if let Some(none_match) = text(header::IF_NONE_MATCH) {
        if none_match == "*" {
            return Ok(Some(Precondition::Absent));
        }
        return Err(ProblemDocument::new(StatusCode::BAD_REQUEST, "a write takes If-None-Match: * only"));
    }
    match text(header::IF_MATCH) {
        None => Ok(None),
        Some("*") => Ok(Some(Precondition::Present)),
        Some(tag) => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(|| {
                ProblemDocument::new(
                    StatusCode::BAD_REQUEST,
                    "If-Match takes one entity tag as the server gave it, or *",
                )
            })?;
            Ok(Some(Precondition::Version(version.to_owned())))
        }
    }
}
