//! Health, version and metrics: the paths beside the API.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use kogge_machinery::{
    negotiation::{self, ErrorEncoding},
    status_error::{ApiError, quote},
};
use serde_json::json;

use super::{
    answer::{error_response, serialize},
    header_text,
    query::Query,
    response,
};
use crate::{plane::Plane, token::ServiceAccountTokens};

/// The checks behind the health paths.
const CHECKS: [&str; 2] = ["ping", "store"];

/// Paths that are answered without credentials, those of the checks below them too.
pub(crate) const PUBLIC_PATHS: [&str; 4] = ["/livez", "/readyz", "/healthz", "/version"];

/// What everybody may see.
enum Public<'a> {
    Version,
    /// The endpoint, and the one check of it that is asked for.
    Health(&'a str, Option<&'a str>),
}

impl<'a> Public<'a> {
    fn of(path: &'a str, method: &Method) -> Option<Self> {
        if matches!(path, "/version" | "/version/") {
            return (method == Method::GET).then_some(Self::Version);
        }
        let (endpoint, check) = match path.trim_start_matches('/').split_once('/') {
            Some((endpoint, check)) => (endpoint, Some(check)),
            None => (path.trim_start_matches('/'), None),
        };
        let known =
            matches!(endpoint, "livez" | "readyz" | "healthz") && check.is_none_or(|check| CHECKS.contains(&check));
        known.then_some(Self::Health(endpoint, check))
    }
}

/// Whether everybody may see a path, also without credentials.
pub(crate) fn is_public(path: &str, method: &Method) -> bool {
    Public::of(path, method).is_some()
}

/// Answers the paths everybody may see; 404 for others.
pub(crate) fn public(plane: &Plane, path: &str, parts: &Parts) -> Response<Body> {
    match Public::of(path, &parts.method) {
        Some(Public::Version) => {
            let accept = header_text(parts, &header::ACCEPT).unwrap_or("*/*");
            match negotiation::check_routed(accept, &["application/json"]) {
                Ok(()) => version(plane),
                Err(error) => error_response(&error, ErrorEncoding::of(Some(accept))),
            }
        }
        Some(Public::Health(endpoint, check)) => {
            let verbose = Query::parse(&parts.uri).is_ok_and(|query| query.has("verbose"));
            health(plane, endpoint, check, verbose)
        }
        None => error_response(&ApiError::page_not_found(), ErrorEncoding::Json),
    }
}

/// What a path is answered with that has a verb where a resource belongs: it is read before anybody is asked for.
pub(crate) fn verb_alone(path: &str, parts: &Parts) -> Response<Body> {
    let asked = parts.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let why = format!(
        "Internal Server Error: {}: failed to create RequestInfo: unable to determine kind and namespace from url, {asked}\n",
        quote(&asked)
    );
    let why = why.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut answer = response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", why);
    answer.headers_mut().remove(header::CACHE_CONTROL);
    answer
}

fn health(plane: &Plane, endpoint: &str, only: Option<&str>, verbose: bool) -> Response<Body> {
    let mut failed = false;
    let mut report = String::new();
    for check in CHECKS.iter().filter(|check| only.is_none_or(|only| only == **check)) {
        let result = match *check {
            "store" => plane.server.store().health(),
            _ => Ok(()),
        };
        match result {
            Ok(()) => {
                let _ = writeln!(report, "[+]{check} ok");
            }
            Err(error) => {
                tracing::error!(check, %error, "health check failed");
                failed = true;
                let _ = writeln!(report, "[-]{check} failed: reason withheld");
            }
        }
    }
    if failed {
        let _ = writeln!(report, "{endpoint} check failed");
        return response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", report);
    }
    if verbose {
        let _ = writeln!(report, "{endpoint} check passed");
        return response(StatusCode::OK, "text/plain; charset=utf-8", report);
    }
    response(StatusCode::OK, "text/plain; charset=utf-8", "ok")
}

fn version(plane: &Plane) -> Response<Body> {
    let version = plane.kubernetes_version();
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let document = json!({
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": minor.parse::<u32>().map_or_else(|_| minor.to_owned(), |minor| minor.saturating_sub(1).to_string()),
        "gitVersion": *version,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, go_architecture()),
    });
    response(StatusCode::OK, "application/json", serialize(&document))
}

/// Clients expect Go's names of architectures.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What others need to verify tokens may be kept for an hour.
fn cacheable(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    answer
}

/// Answers the other paths, for authorized users.
pub(crate) fn private(plane: &Plane, path: &str, parts: &Parts) -> Result<Response<Body>, ApiError> {
    let accepts = |available: &str| {
        negotiation::check_routed(header_text(parts, &header::ACCEPT).unwrap_or_default(), &[available])
    };
    match path {
        "/" => {
            let mut paths: Vec<String> = [
                "/.well-known/openid-configuration",
                "/api",
                "/api/v1",
                "/apis",
                "/healthz",
                "/livez",
                "/metrics",
                "/openapi/v3",
                "/openid/v1/jwks",
                "/readyz",
                "/version",
            ]
            .map(str::to_owned)
            .to_vec();
            for resource in plane.registry().resource_types() {
                if !resource.group.is_empty() {
                    paths.push(format!("/apis/{}", resource.group));
                    paths.push(format!("/apis/{}/{}", resource.group, resource.version));
                }
            }
            paths.sort();
            paths.dedup();
            Ok(response(StatusCode::OK, "application/json", serialize(&json!({"paths": paths}))))
        }
        "/openid/v1/jwks" | "/openid/v1/jwks/" => {
            accepts("application/jwk-set+json")?;
            let keys = plane.server.service_account_tokens().key_set();
            Ok(cacheable(response(StatusCode::OK, "application/jwk-set+json", serialize(&keys))))
        }
        "/.well-known/openid-configuration" | "/.well-known/openid-configuration/" => {
            accepts("application/json")?;
            let host = parts.uri.authority().map(http::uri::Authority::as_str);
            let host = host.or_else(|| header_text(parts, &header::HOST)).unwrap_or("kubernetes.default.svc");
            let prefix =
                if plane.name().0.is_empty() { String::new() } else { format!("/clusters/{}", plane.name().0) };
            let base = format!("https://{host}{prefix}");
            let document = ServiceAccountTokens::discovery(plane.name(), &base);
            Ok(cacheable(response(StatusCode::OK, "application/json", serialize(&document))))
        }
        "/metrics" => {
            let text = plane.server.metrics().text(plane.store().revision());
            Ok(response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", text))
        }
        _ => Err(ApiError::page_not_found()),
    }
}

/// The verbs that are counted.
const VERBS: [&str; 9] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "unknown"];

/// Requests answered since the start, by verb and class of status.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: [[AtomicU64; 6]; VERBS.len()],
}

impl Metrics {
    pub(crate) fn count(&self, verb: &str, code: StatusCode) {
        let verb = VERBS.iter().position(|known| *known == verb).unwrap_or(VERBS.len() - 1);
        let class = usize::from(code.as_u16() / 100).min(5);
        self.counts[verb][class].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were answered with success.
    pub(crate) fn successes(&self) -> u64 {
        self.counts.iter().map(|classes| classes[2].load(Ordering::Relaxed)).sum()
    }

    /// In the text format of Prometheus.
    fn text(&self, revision: u64) -> String {
        let mut text = String::from(
            "# HELP apiserver_request_total Requests answered, by verb and class of status code.\n\
             # TYPE apiserver_request_total counter\n",
        );
        for (verb, classes) in VERBS.iter().zip(&self.counts) {
            for (class, count) in classes.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let _ = writeln!(text, "apiserver_request_total{{verb=\"{verb}\",code=\"{class}xx\"}} {count}");
                }
            }
        }
        let _ = write!(
            text,
            "# HELP apiserver_storage_revision Last committed revision of the plane.\n\
             # TYPE apiserver_storage_revision gauge\n\
             apiserver_storage_revision {revision}\n"
        );
        text
    }
}
