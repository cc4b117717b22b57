//! OpenAPI: version 3 with an index that has a hash for each group version, and version 2 in one document.
//!
//! Documents are made when asked for, which is rare, as clients keep them by their hash. Those of built-in groups are the
//! published ones; those of custom groups are made from their definitions.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use kogge_machinery::{openapi, resource::SharedResourceType, status_error::ApiError};

use super::{answer::serialize, discovery::hex_digest, header_text, query::Query, resource_metrics, response};
use crate::{builtin::published, plane::Plane, registry::references};

/// Answers `/openapi/v3`.
pub(crate) fn index(plane: &Plane, parts: &Parts) -> Response<Body> {
    let mut entries: Vec<(String, String)> =
        published::digests().iter().map(|(path, digest)| (path.clone(), hash_published(plane, digest))).collect();
    // Seen from the client the paths are below the plane's prefix.
    let own = parts.uri.path();
    let prefix = own.strip_suffix('/').unwrap_or(own).strip_suffix("/openapi/v3").unwrap_or_default();
    let of_metrics = resource_metrics::resource_types(plane);
    for resource in plane.registry().resource_types().into_iter().chain(of_metrics) {
        let path = path_of(&resource.group, &resource.version);
        if !entries.iter().any(|(known, _)| *known == path) {
            let hash = hash_custom(plane, &resource.group, &resource.version);
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

/// Answers `/openapi/v2`: all kinds in one document, as JSON or as the protobuf that Go clients ask for.
///
/// Of other types the answer is 406 with nothing else. The document is made for each request, as few clients ask for it
/// (Argo CD, Terraform, and kubectl before it applies a `List`), and nothing of it is kept.
pub(crate) fn version_two(plane: &Plane, parts: &Parts) -> Response<Body> {
    const PROTOBUF: [&str; 2] = [
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    ];
    let accept = header_text(parts, &header::ACCEPT).unwrap_or("*/*");
    let wanted = || accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    let as_protobuf = wanted().any(|part| PROTOBUF.contains(&part));
    let mut answer = if as_protobuf || wanted().any(is_json) {
        let mut resources = plane.registry().resource_types();
        resources.retain(|resource| resource.custom);
        resources.extend(resource_metrics::resource_types(plane));
        let tag = format!("\"{}\"", hash_version_two(plane, &resources));
        let mut answer = if is_known(parts, &tag) {
            without_type(StatusCode::NOT_MODIFIED)
        } else {
            let mut document = published::version_two(&minor(plane));
            document.add(&references(&resources));
            if as_protobuf {
                // Clients cannot parse the name with the @ that they ask for.
                response(StatusCode::OK, PROTOBUF[1], document.to_protobuf())
            } else {
                response(StatusCode::OK, "application/json", document.to_json())
            }
        };
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            answer.headers_mut().insert(header::ETAG, tag);
        }
        answer
    } else {
        without_type(StatusCode::NOT_ACCEPTABLE)
    };
    for name in ["Accept-Encoding", "Accept"] {
        answer.headers_mut().append(header::VARY, HeaderValue::from_static(name));
    }
    answer
}

/// Whether the client has the document of this tag.
fn is_known(parts: &Parts, tag: &str) -> bool {
    let known = header_text(parts, &header::IF_NONE_MATCH).unwrap_or_default();
    known.split(',').any(|known| [tag, "*"].contains(&known.trim().trim_start_matches("W/")))
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

/// What there is below `/openapi/v3/` where no document is.
pub(crate) fn no_document() -> Response<Body> {
    without_type(StatusCode::NOT_FOUND)
}

/// Answers the document that describes `path`: a group version, a group, or something else that is published.
pub(crate) fn document(plane: &Plane, path: &str, parts: &Parts) -> Result<Response<Body>, ApiError> {
    let digest = published::digests().get(path);
    let custom = if digest.is_none() { custom_version(plane, path) } else { None };
    let hash = match (digest, &custom) {
        (Some(digest), _) => hash_published(plane, digest),
        (None, Some((group, version, _))) => hash_custom(plane, group, version),
        (None, None) => return Ok(no_document()),
    };
    // Who asks for the protobuf of the real server alone gets JSON all the same, which its clients can read.
    let accept = header_text(parts, &header::ACCEPT).unwrap_or("*/*");
    let media_types = || accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    if !media_types().any(|media_type| is_json(media_type) || media_type.contains("proto-openapi.spec.v3")) {
        let mut answer = without_type(StatusCode::NOT_ACCEPTABLE);
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        return Ok(answer);
    }
    let tag = format!("{hash:?}");
    let query = Query::parse(&parts.uri)?;
    let asked = query.get("hash").filter(|asked| !asked.is_empty());
    let mut answer = if asked.is_some_and(|asked| *asked != hash) {
        let mut answer = response(StatusCode::MOVED_PERMANENTLY, "application/json", Body::empty());
        if let Ok(location) = HeaderValue::from_str(&format!("{}?hash={hash}", parts.uri.path())) {
            answer.headers_mut().insert(header::LOCATION, location);
        }
        answer
    } else if is_known(parts, &tag) {
        without_type(StatusCode::NOT_MODIFIED)
    } else {
        let bytes = match custom {
            Some((group, version, resources)) => {
                openapi::group_version_document(group, version, &references(&resources)).into()
            }
            None => published::document(path, &minor(plane)).unwrap_or_default(),
        };
        response(StatusCode::OK, "application/json", bytes)
    };
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    // With the hash in the address the document never changes.
    if asked.is_some_and(|asked| *asked == hash) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let in_a_year = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(365 * 24);
        if let Ok(expires) = HeaderValue::from_str(&in_a_year.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()) {
            headers.insert(header::EXPIRES, expires);
        }
    }
    Ok(answer)
}

/// The group, version and kinds that are not built in and that `path` names.
fn custom_version<'a>(plane: &Plane, path: &'a str) -> Option<(&'a str, &'a str, Vec<SharedResourceType>)> {
    let (group, version) = path.strip_prefix("apis/")?.split_once('/')?;
    let mut resources = plane.registry().group_version(group, version);
    let of_metrics = resource_metrics::resource_types(plane).into_iter();
    resources.extend(of_metrics.filter(|resource| resource.group == group && resource.version == version));
    if resources.is_empty() { None } else { Some((group, version, resources)) }
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `1.36` of `v1.36.3`.
fn minor(plane: &Plane) -> String {
    let version = plane.kubernetes_version();
    version.trim_start_matches('v').split('.').take(2).collect::<Vec<_>>().join(".")
}

fn hash_published(plane: &Plane, digest: &str) -> String {
    hex_digest(format!("{digest}/{}", minor(plane)).as_bytes())
}

/// Of the kinds that are not built in, with the built-in ones.
fn hash_version_two(plane: &Plane, resources: &[SharedResourceType]) -> String {
    let versions: BTreeSet<(&str, &str)> =
        resources.iter().map(|resource| (resource.group.as_str(), resource.version.as_str())).collect();
    let hashes = versions.into_iter().map(|(group, version)| hash_custom(plane, group, version));
    let built_in = hash_published(plane, published::version_two_digest());
    hex_digest([built_in].into_iter().chain(hashes).collect::<Vec<_>>().join("/").as_bytes())
}

fn hash_custom(plane: &Plane, group: &str, version: &str) -> String {
    let revision = plane.registry().group_version_revision(group, version);
    let uid = if revision == 0 { "" } else { plane.name().0.as_str() };
    let text = format!("{}/{group}/{version}/{uid}/{revision}", env!("CARGO_PKG_VERSION"));
    hex_digest(text.as_bytes())
}
