//! Tenants, profiles and problem codes: what there is to choose from.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use kogge_api::problem::{CATALOGUE, Definition, ProblemCode};
use kogge_api::provider_profile::ProviderProfile;
use serde_json::{Value, json};

use crate::problem_document::ProblemDocument;
use crate::service::Service;

/// `GET /readyz`
pub(crate) async fn ready(State(service): State<Service>) -> Result<&'static str, ProblemDocument> {
    service.ready().await?;
    Ok("ok")
}

/// `GET /v1/tenants`
pub(crate) async fn tenant_list(State(service): State<Service>) -> Result<Json<Value>, ProblemDocument> {
    let items: Vec<Value> = service.tenants().await?.into_iter().map(|name| json!({ "name": name })).collect();
    Ok(Json(json!({ "items": items })))
}

/// `GET /v1/profiles`
pub(crate) async fn profile_list(State(service): State<Service>) -> Result<Json<Value>, ProblemDocument> {
    let items: Vec<ProviderProfile> = service.profiles().await?.into_iter().map(plain).collect();
    Ok(Json(json!({ "items": items })))
}

/// `GET /v1/profiles/{name}`
pub(crate) async fn profile_view(
    State(service): State<Service>,
    Path(name): Path<String>,
) -> Result<Json<ProviderProfile>, ProblemDocument> {
    Ok(Json(plain(service.profile(&name).await?)))
}

fn plain(mut profile: ProviderProfile) -> ProviderProfile {
    profile.metadata.managed_fields = None;
    profile
}

/// `GET /v1/problems`
pub(crate) async fn problem_list() -> Json<Value> {
    Json(json!({ "items": CATALOGUE.iter().map(summary).collect::<Vec<_>>() }))
}

/// `GET /v1/problems/{code}`
pub(crate) async fn problem_view(Path(code): Path<String>) -> Result<Json<Value>, ProblemDocument> {
    let Ok(code) = code.parse::<ProblemCode>() else {
        let detail = format!("there is no code `{code}`; /v1/problems lists all there are");
        return Err(ProblemDocument::new(StatusCode::NOT_FOUND, detail));
    };
    let definition = code.definition();
    let mut value = summary(definition);
    value["page"] = definition.page.into();
    Ok(Json(value))
}

fn summary(definition: &Definition) -> Value {
    json!({
        "code": definition.code.as_str(),
        "actor": definition.actor,
        "retryable": definition.retryable,
        "severity": definition.severity,
        "title": definition.title,
        "remedy": definition.remedy,
    })
}
