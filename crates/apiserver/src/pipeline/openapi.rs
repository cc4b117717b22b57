//! OpenAPI v3: an index with a hash for each group version, and the documents.
//!
//! Documents of built-in groups are the same for every plane and version of the program, so they are made once for the
//! process; those of custom groups are made when asked for, which is rare, as clients cache them by their hash.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use kogge_machinery::{openapi, resource::SharedResourceType, status_error::ApiError};

use serde_json::json;

use super::{answer::serialize, header_text, query::Query, resource_metrics, response};
use crate::{plane::Plane, registry::references};

/// Answers `/openapi/v3`.
pub(crate) fn index(plane: &Plane, parts: &Parts) -> Response<Body> {
    let mut entries: Vec<(String, String)> = Vec::new();
    // Seen from the client the paths are below the plane's prefix.
    let own = parts.uri.path();
    let prefix = own.strip_suffix('/').unwrap_or(own).strip_suffix("/openapi/v3").unwrap_or_default();
    let of_metrics = resource_metrics::resource_types(plane);
    for resource in plane.registry().resource_types().into_iter().chain(of_metrics) {
        let path = path_of(&resource.group, &resource.version);
        if !entries.iter().any(|(known, _)| *known == path) {
            let hash = hash(plane, &resource.group, &resource.version);
            entries.push((path, hash));
        }
    }
    let mut document = openapi::index_document(&entries);
    if !prefix.is_empty()
        && let Some(paths) = document["paths"].as_object_mut()
    {
        for entry in paths.values_mut() {
            if let Some(relative) = entry["serverRelativeURL"].as_str() {
                entry["serverRelativeURL"] = format!("{prefix}{relative}").into();
            }
        }
    }
    // The real server gives the index no type and lets Go guess.
    response(StatusCode::OK, "text/plain; charset=utf-8", serialize(&document))
}

/// Answers `/openapi/v2`: a document without definitions.
///
/// Clients read schemas from version 3, but kubectl and Helm ask for version 2 before they apply a `List`, and refuse to
/// go on without a document. For kinds that are not in it they leave the validation to the server.
/// For other types than JSON and the protobuf kubectl asks for the answer is 406 with nothing else.
pub(crate) fn version_two(plane: &Plane, parts: &Parts) -> Response<Body> {
    const PROTOBUF: [&str; 2] = [
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    ];
    const TITLE: &str = "Kubernetes";
    let version = plane.kubernetes_version();
    let accept = header_text(parts, &header::ACCEPT).unwrap_or("*/*");
    let wanted = || accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    if wanted().any(|part| PROTOBUF.contains(&part)) {
        // gnostic's Document: swagger = 1, info = 2 {title = 1, version = 2}, paths = 8, definitions = 9.
        let mut info = Vec::new();
        for (tag, text) in [(0x0a, TITLE), (0x12, version.as_str())] {
            push_field(&mut info, tag, text.as_bytes());
        }
        let mut document = Vec::new();
        for (tag, bytes) in [(0x0a, &b"2.0"[..]), (0x12, &info), (0x42, &[]), (0x4a, &[])] {
            push_field(&mut document, tag, bytes);
        }
        // Clients cannot parse the name with the @ that they ask for.
        return response(StatusCode::OK, PROTOBUF[1], document);
    }
    if wanted().any(is_json) {
        let info = json!({"title": TITLE, "version": *version});
        let document = json!({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}});
        return response(StatusCode::OK, "application/json", serialize(&document));
    }
    let mut answer = without_type(StatusCode::NOT_ACCEPTABLE);
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
    answer
}

fn is_json(media_type: &str) -> bool {
    matches!(media_type, "" | "application/json" | "application/*" | "*/*")
}

/// An answer that is its status and nothing else.
fn without_type(status: StatusCode) -> Response<Body> {
    let mut answer = response(status, "text/plain", Body::empty());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

/// A length-delimited field shorter than 128 bytes.
fn push_field(message: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX).min(127);
    message.extend([tag, length]);
    message.extend_from_slice(&bytes[..usize::from(length)]);
}

/// Answers the document of one group version.
pub(crate) fn document(plane: &Plane, group: &str, version: &str, parts: &Parts) -> Result<Response<Body>, ApiError> {
    let mut resources = plane.registry().group_version(group, version);
    let of_metrics = resource_metrics::resource_types(plane).into_iter();
    resources.extend(of_metrics.filter(|resource| resource.group == group && resource.version == version));
    if resources.is_empty() {
        return Ok(without_type(StatusCode::NOT_FOUND));
    }
    // Who asks for the protobuf of the real server alone gets JSON all the same, which its clients can read.
    let accept = header_text(parts, &header::ACCEPT).unwrap_or("*/*");
    let media_types = || accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    if !media_types().any(|media_type| is_json(media_type) || media_type.contains("proto-openapi.spec.v3")) {
        let mut answer = without_type(StatusCode::NOT_ACCEPTABLE);
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        return Ok(answer);
    }
    let hash = hash(plane, group, version);
    let bytes = if resources.iter().any(|resource| resource.custom) {
        render(group, version, &resources)
    } else {
        built_in(group, version, &resources)
    };
    let mut answer = response(StatusCode::OK, "application/json", bytes);
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&format!("{hash:?}")) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    // With the hash in the address the document never changes.
    if Query::parse(&parts.uri)?.get("hash") == Some(&hash) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    }
    Ok(answer)
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn hash(plane: &Plane, group: &str, version: &str) -> String {
    let revision = plane.registry().group_version_revision(group, version);
    let uid = if revision == 0 { "" } else { plane.name().0.as_str() };
    let text = format!("{}/{group}/{version}/{uid}/{revision}", env!("CARGO_PKG_VERSION"));
    super::discovery::hex_digest(text.as_bytes())
}

fn render(group: &str, version: &str, resources: &[SharedResourceType]) -> Bytes {
    serialize(&openapi::group_version_document(group, version, &references(resources)))
}

fn built_in(group: &str, version: &str, resources: &[SharedResourceType]) -> Bytes {
    static DOCUMENTS: LazyLock<Mutex<HashMap<(String, String), Bytes>>> = LazyLock::new(Mutex::default);
    let key = (group.to_owned(), version.to_owned());
    let known = DOCUMENTS.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    known.unwrap_or_else(|| {
        let bytes = render(group, version, resources);
        DOCUMENTS.lock().unwrap_or_else(PoisonError::into_inner).insert(key, bytes.clone());
        bytes
    })
}
