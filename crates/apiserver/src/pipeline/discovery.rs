//! Discovery documents, legacy and aggregated.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use kogge_machinery::{
    discovery,
    negotiation::{self, Endpoint, Representation},
    request_path::RequestPath,
    status_error::ApiError,
};
use sha2::{Digest as _, Sha256};

use super::{
    answer::{Document, document_response, serialize},
    header_text, resource_metrics, response,
};
use crate::{plane::Plane, registry::references};

/// Answers `/api`, `/apis` and what is directly below them.
pub(crate) fn document(plane: &Plane, path: &RequestPath, parts: &Parts) -> Result<Response<Body>, ApiError> {
    let mut all = plane.registry().discovered_types();
    all.extend(resource_metrics::resource_types(plane));
    let endpoint = match path {
        RequestPath::CoreVersions => Endpoint::Discovery,
        RequestPath::GroupVersion { group, version } => {
            let found = all.iter().find(|resource| resource.group == *group && resource.version == *version);
            let found = found.ok_or_else(|| crate::registry::Registry::unknown_path(group))?;
            if found.custom { Endpoint::Group } else { Endpoint::Version }
        }
        RequestPath::Group { group } if !all.iter().any(|resource| resource.group == *group) => {
            return Err(ApiError::page_not_found());
        }
        RequestPath::Group { .. } => Endpoint::Group,
        _ => Endpoint::Groups,
    };
    let answer = negotiation::negotiate_answer_at(
        endpoint,
        header_text(parts, &header::ACCEPT),
        None,
        header_text(parts, &header::USER_AGENT),
    )?;
    let all = references(&all);
    let document = match path {
        RequestPath::CoreVersions | RequestPath::Groups
            if answer.representation == Representation::AggregatedDiscovery =>
        {
            let core = *path == RequestPath::CoreVersions;
            return with_entity_tag(&discovery::aggregated(core, &answer.version, &all), &answer.content_type, parts);
        }
        RequestPath::CoreVersions => discovery::core_versions(&server_address(parts)),
        RequestPath::Groups => discovery::group_list(&all),
        RequestPath::Group { group } => discovery::group(group, &all).ok_or_else(ApiError::page_not_found)?,
        RequestPath::GroupVersion { group, version } => discovery::resource_list(group, version, &all)
            .ok_or_else(|| crate::registry::Registry::unknown_path(group))?,
        _ => return Err(ApiError::page_not_found()),
    };
    document_response(&answer, StatusCode::OK, Document::Value(document))
}

/// Clients ask again with the tag they know and are told that nothing changed.
fn with_entity_tag(
    document: &serde_json::Value,
    content_type: &str,
    parts: &Parts,
) -> Result<Response<Body>, ApiError> {
    let bytes = serialize(document);
    let tag = format!("\"{}\"", hex_digest(&bytes));
    let known = header_text(parts, &header::IF_NONE_MATCH)
        .is_some_and(|known| known.split(',').any(|known| known.trim() == tag));
    let mut answer = if known {
        response(StatusCode::NOT_MODIFIED, content_type, Body::empty())
    } else {
        response(StatusCode::OK, content_type, bytes)
    };
    let value = HeaderValue::from_str(&tag).map_err(|error| ApiError::internal(error.to_string()))?;
    answer.headers_mut().insert(header::ETAG, value);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}

/// SHA-256 in capital hexadecimal digits.
pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn server_address(parts: &Parts) -> String {
    header_text(parts, &header::HOST).map_or_else(
        || parts.uri.authority().map_or_else(|| "localhost".to_owned(), ToString::to_string),
        str::to_owned,
    )
}
