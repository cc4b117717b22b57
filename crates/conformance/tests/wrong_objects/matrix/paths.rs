//! Odd paths and headers, byte by byte as no client writes them.
//!
//! Left out is what the HTTP library of the embedded server answers by itself, in its own words and before anybody sees the
//! request: bytes that belong into no request line or header, and lengths that are none.

use super::super::case::{Case, Sender};
use super::{JSON, request};

/// Paths that are read.
const PATHS: &[&str] = &[
    "//",
    "/api//v1",
    "/api/v1/",
    "//api/v1",
    "/api/v1//namespaces",
    "/api/v1/namespaces/?fieldSelector=metadata.name%3Dmatrix",
    "/api/v1/namespaces/matrix/",
    "/api/v1/namespaces/matrix//secrets",
    "/api/v1/namespaces//secrets",
    "/api/v1/./namespaces",
    "/api/v1/namespaces/../namespaces",
    "/API/v1",
    "/api/V1",
    "/api/v1/NAMESPACES",
    "/api/v1/namespaces/matrix/secrets/",
    "/api/v1/namespaces/matrix/secrets/a/",
    "/api/v1/namespaces/matrix/secrets//a",
    "/api/v1/namespaces/matrix/secrets/a%2Fb",
    "/api/v1/namespaces/matrix/secrets/a%2fb",
    "/api/v1/namespaces/matrix/secrets/%61",
    "/api/v1/namespaces/matrix/secrets/a%00",
    "/api/v1/namespaces/matrix/secrets/a%20b",
    "/api/v1/namespaces/matrix/secrets/a+b",
    "/api/v1/namespaces/matrix/secrets/%E2%82%AC",
    "/api/v1/namespaces/matrix/secrets/%ff",
    "/api/v1/namespaces/matrix/secrets/a%ffb%fe%fd",
    "/api/v1/namespaces/%ff/secrets",
    "/api/v1/namespaces/%ff",
    "/api/v1/%ff",
    "/%ff",
    "/api/v1/namespaces/matrix/secrets/a?",
    "/api/v1/namespaces/matrix/secrets?",
    "/api/v1/namespaces/matrix/secrets/..",
    "/api/v1/namespaces/matrix/secrets/.",
    "/api/v1/namespaces/matrix/secrets/%2e%2e",
    "/api/v1/namespaces/matrix/secrets/%2E",
    "/api/v1/namespaces/matrix/secrets/a;b",
    "/api/v1/namespaces/matrix/secrets/a,b",
    "/api/v1/namespaces/matrix/secrets/a%zz",
    "/api/v1/namespaces/matrix/secrets/a?x=%zz",
    "/api/v1/namespaces/matrix/secrets/a?%",
    "/api/v1/namespaces/matrix/secrets/a?&&",
    "/api/v1/namespaces/matrix/secrets/a?=",
    "/api/v1/namespaces/matrix/secrets?limit=1;x=2",
    "/api/v1/namespaces/matrix/secrets?labelSelector=a%3Db&labelSelector=c",
    "/api/v1/namespaces/matrix/secrets?watch&timeoutSeconds=1",
    "/api/v1/namespaces/matrix/secrets?limit",
    "/apis/",
    "/apis/apps/",
    "/apis/apps/v1/",
    "/apis//v1",
    "/apis/apps//deployments",
    "/openapi/v3/",
    "/openapi/v3/apis/apps/v1/",
    "/openapi/v2/",
    "/version/",
    "/healthz/",
    "/readyz/ping/",
    "/livez/nope",
    "/healthz/ping",
    "/readyz?exclude=ping",
    "/metrics/",
    "/logs/",
    "/debug/pprof",
    "/swagger.json",
    "/ui",
    "/api/v2",
    "/apis/apps/v2",
    "/apis/apps/v1/nothing",
    "/apis/apps/v1/namespaces/matrix/nothing/x",
    "/api/v1/nodes/nope/proxy",
    "/api/v1/nodes/nope/proxy/",
    "/api/v1/namespaces/matrix/pods/nope/proxy",
    "/api/v1/namespaces/matrix/services/nope/proxy",
    "/api/v1/namespaces/matrix/services/nope/proxy/x",
    "/api/v1/namespaces/matrix/pods/nope/log?follow=true",
    "/api/v1/watch",
    "/api/v1/watch/",
    "/api/v1/watch/nope",
    "/api/v1/watch/pods/?timeoutSeconds=1&labelSelector=no",
    "/api/v1/watch/namespaces/matrix?timeoutSeconds=1",
    "/api/v1/watch/namespaces/matrix/pods/a/b",
    "/apis/apps/v1/watch",
    "/apis/apps/v1/watch/",
    "/api/v1/proxy",
    "/api/v1/namespaces/matrix/finalize",
    "/.well-known/",
    "/.well-known/openid-configuration/",
    "/openid/v1/jwks/",
    "/favicon.ico",
    "/robots.txt",
    "/clusters",
    "/apis/matrix.example.com/v1/",
    "/apis/matrix.example.com/v1/wares",
    "/apis/matrix.example.com/v1/wares/",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/a/",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares//a",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/a/b/c",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/a/status/x",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/%61",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/%ff",
    "/apis/matrix.example.com/v2/wares",
    "/apis/matrix.example.com/",
    "/apis/matrix.example.com/v1/watch",
    "/apis/matrix.example.com/v1/watch/",
    "/apis/matrix.example.com/v1/namespaces/nope/wares",
    "/api/v1/namespaces/nope/secrets",
    "/api/v1/namespaces/nope/secrets/x",
    "/api/v1/namespaces/%20/secrets",
    "/api/v1/namespaces/A_/secrets",
];

/// Paths that odd methods are tried at.
const METHOD_PATHS: &[&str] = &[
    "/api/v1/namespaces/matrix/secrets",
    "/api/v1/namespaces/matrix/secrets/",
    "/api/v1/namespaces/matrix/secrets/nope",
    "/api/v1/namespaces/matrix/secrets/%ff",
    "/api/v1/namespaces/matrix/",
    "/api/v1/namespaces/matrix/services/nope/proxy",
    "/api/v1/watch",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/",
    "/version",
    "/healthz",
    "/nope",
];

const METHODS: [&str; 8] = ["POST", "PUT", "DELETE", "PATCH", "get", "FOO", "HEAD", "OPTIONS"];

/// Headers that requests for an object and for the version of the server have.
const HEADERS: &[&[(&str, &str)]] = &[
    &[("host", "other")],
    &[("host", "")],
    &[("accept-encoding", "gzip")],
    &[("audit-id", "a b")],
    &[("authorization", "Basic x")],
    &[("authorization", "Bearer")],
    &[("authorization", "Bearer ")],
    &[("authorization", "Bearer  x")],
    &[("authorization", "Bearer x")],
    &[("authorization", "bearer x y")],
    &[("authorization", "")],
    &[("expect", "100-continue")],
    &[("expect", "x")],
    &[("if-none-match", "*")],
    &[("if-match", "x")],
    &[("impersonate-group", "x")],
    &[("impersonate-uid", "x")],
    &[("impersonate-extra-a", "x")],
    &[("impersonate-extra-%zz", "x"), ("impersonate-user", "x")],
    &[("impersonate-user", "")],
    &[("impersonate-user", "x")],
    &[("impersonate-user", "x"), ("impersonate-group", "")],
    &[("impersonate-user", "x"), ("impersonate-group", "system:masters")],
    &[("impersonate-user", "system:serviceaccount:a")],
    &[("impersonate-user", "system:serviceaccount:a:b")],
    &[("impersonate-user", "system:serviceaccount:A_:b")],
    &[("impersonate-user", "system:anonymous")],
    &[("origin", "http://x")],
    &[("range", "bytes=0-3")],
    &[("user-agent", "")],
    &[("x-http-method-override", "DELETE")],
];

/// Lengths of a header.
const LENGTHS: [usize; 3] = [9_000, 60_000, 200_000];

pub(super) fn all() -> Vec<Case> {
    let reads = PATHS.iter().map(|path| wire("GET", path));
    let long = format!("/api/v1/namespaces/matrix/secrets/{}", "x".repeat(300));
    let methods = METHOD_PATHS.iter().flat_map(|path| METHODS.map(|method| (method, *path)));
    // Nothing that is there is deleted: these are no dry runs.
    let methods = methods.filter(|(method, path)| *method != "DELETE" || path.contains("nope"));
    let mut cases: Vec<Case> =
        reads.chain([wire("GET", &long)]).chain(methods.map(|(method, path)| wire(method, path))).collect();
    for path in ["/api/v1/namespaces/matrix/secrets/a", "/version"] {
        for headers in HEADERS {
            cases.push(with_headers(path, headers, Sender::Wire, ""));
            // Elsewhere nobody is let in without credentials, as some installations of the real server do.
            if path == "/version" {
                cases.push(with_headers(path, headers, Sender::WireWithoutCredentials, " without credentials"));
            }
        }
        for length in LENGTHS {
            let mut case = wire("GET", path);
            case.name = format!("matrix of paths: GET {path} with a header of {length} bytes");
            case.headers.push(("x", "y".repeat(length)));
            cases.push(case);
        }
    }
    cases
}

fn wire(method: &'static str, path: &str) -> Case {
    let (content_type, body) = if ["POST", "PUT", "PATCH"].contains(&method) { (JSON, "{}") } else { ("", "") };
    let shown = if path.len() > 200 { "a long path" } else { path };
    let mut case = request(format!("matrix of paths: {method} {shown}"), method, path, content_type, body);
    case.headers.push(("accept", JSON.to_owned()));
    case.sender = Sender::Wire;
    case.without_body = !path.contains("/namespaces/") && !path.contains("nope");
    case
}

fn with_headers(path: &str, headers: &[(&'static str, &str)], sender: Sender, by: &str) -> Case {
    let mut case = wire("GET", path);
    case.name = format!("matrix of paths: GET {path}{by} with {headers:?}");
    case.headers.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    case.sender = sender;
    case
}
