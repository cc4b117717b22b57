//! Every type that is sent, and every type that is asked for, at every endpoint.

use super::super::case::Case;
use super::{APPLY, JSON, MERGE, PATCH, STRATEGIC, TARGETS, request};

const CONTENT_TYPES: &[&str] = &[
    JSON,
    "application/json; charset=utf-8",
    "application/yaml",
    "text/plain",
    "",
    MERGE,
    PATCH,
    STRATEGIC,
    APPLY,
    "application/apply-patch+cbor",
    "application/cbor",
    "application/vnd.kubernetes.protobuf",
    "application/json;q",
    "APPLICATION/JSON",
    "application/*",
    "a/b;c=d;e",
    "application/json, text/plain",
    "*/*",
];

/// Without protobuf: the embedded server writes none, which every client that offers it allows.
const ACCEPTS: &[&str] = &[
    JSON,
    "*/*",
    "text/html",
    "application/yaml",
    "application/cbor",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v2;g=meta.k8s.io",
    "application/json;as=Table",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;as=Foo;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v1;g=meta.k8s.io, application/json",
    "application/json;q=0",
    "application/json;q=0, application/yaml",
    "application/json;q=0.5, application/yaml;q=0.6",
    "application/json;q=x",
    "text/html, */*;q=0.1",
    "",
    "garbage",
    "application/json;stream=watch",
    "application/json;charset=utf-8",
    "application/json;pretty=1",
    "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io",
    "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
    "application/*",
    "APPLICATION/JSON",
];

/// Paths that are read.
const READ: &[&str] = &[
    "/api/v1/namespaces/matrix/secrets",
    "/api/v1/namespaces/matrix/secrets/a",
    "/api/v1/namespaces/matrix/secrets/nope",
    "/api/v1/namespaces/matrix/secrets?watch=1&timeoutSeconds=1&resourceVersion=x",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/a",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/a/status",
    "/apis/matrix.example.com/v1/namespaces/matrix/wares/a/scale",
    "/apis/apps/v1/namespaces/matrix/deployments/a/scale",
    "/api/v1/namespaces/matrix/pods/nope/log",
    "/api",
    "/apis/apps",
    "/apis/apps/v1",
    "/apis/matrix.example.com/v1",
    "/apis/nope/v1",
    "/healthz",
    "/livez/ping",
    "/logs",
    "/nope",
];

/// Paths whose answers say much about either server itself, so that only code and type are compared. Documents of `OpenAPI` and
/// metrics are not among them: they would take longer than everything else.
const READ_HEAD: &[&str] =
    &["/", "/.well-known/openid-configuration", "/api/v1", "/apis", "/openapi/v3", "/readyz?verbose", "/version"];

pub(super) fn all() -> Vec<Case> {
    let sent = CONTENT_TYPES.iter().flat_map(|content_type| sent(content_type));
    sent.chain(ACCEPTS.iter().flat_map(|accept| asked_for(accept))).collect()
}

fn sent(content_type: &str) -> Vec<Case> {
    let requests = TARGETS.iter().flat_map(|target| {
        let (at, path, new) = (target.at, target.path(), target.named("new").to_string());
        [
            ("create", "POST", format!("{at}?dryRun=All"), new.clone()),
            ("create of nothing", "POST", format!("{at}?dryRun=All"), String::new()),
            ("update", "PUT", format!("{path}?dryRun=All"), new.clone()),
            ("patch", "PATCH", format!("{path}?dryRun=All&fieldManager=x"), new),
            ("delete", "DELETE", format!("{at}/nope?dryRun=All"), "{}".to_owned()),
        ]
        .map(|request| (target, request))
    });
    requests
        // The real server ends the connection where a custom resource comes as protobuf.
        .filter(|(target, (endpoint, ..))| {
            !(target.custom && content_type.ends_with("protobuf") && ["create", "update"].contains(endpoint))
        })
        .map(|(target, (endpoint, method, path, body))| {
            let name = format!("matrix of types: {} {endpoint} of type {content_type:?}", target.title);
            request(name, method, path, content_type, body)
        })
        .collect()
}

fn asked_for(accept: &str) -> Vec<Case> {
    let read = |path: &&'static str| ("GET", *path, "", String::new());
    let [secrets, wares, _] = &TARGETS;
    let (secret, ware) = (format!("{}/a?dryRun=All", secrets.at), format!("{}/a?dryRun=All", wares.at));
    let collection = format!("{}?dryRun=All", secrets.at);
    let changes = [
        ("POST", collection.as_str(), JSON, secrets.named("new").to_string()),
        ("DELETE", &secret, "", String::new()),
        ("DELETE", &collection, "", String::new()),
        ("PATCH", &ware, MERGE, "{}".to_owned()),
        ("PATCH", &ware, "text/plain", "{}".to_owned()),
    ];
    let requests = READ.iter().map(read).chain(READ_HEAD.iter().map(read)).chain(changes);
    requests
        .map(|(method, path, content_type, body)| {
            let what = if content_type == "text/plain" { " of a wrong type" } else { "" };
            let name = format!("matrix of types: {method} {path}{what} accepting {accept:?}");
            let mut case = request(name, method, path, content_type, body);
            case.headers.push(("accept", accept.to_owned()));
            case.without_body = READ_HEAD.contains(&path);
            case
        })
        .collect()
}
