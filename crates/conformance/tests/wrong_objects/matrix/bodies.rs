//! Every odd body at every endpoint that reads one.

use super::super::case::Case;
use super::{APPLY, JSON, MERGE, PATCH, STRATEGIC, TARGETS, Target, request};

const BODIES: &[&str] = &[
    "",
    "null",
    "[]",
    "\"x\"",
    "1",
    "{",
    "{}",
    r#"{"a":1}"#,
    r#"{"apiVersion":1}"#,
    r#"{"kind":"Pod","apiVersion":"v1"}"#,
    r#"{"kind":"Secret","apiVersion":"v2"}"#,
    r#"{"kind":"Secret","apiVersion":"a/b/c"}"#,
    r#"{"kind":1}"#,
    r#"{"metadata":1}"#,
    r#"{"metadata":{"name":1}}"#,
    r#"{"metadata":{"labels":{"a":1}}}"#,
    r#"{"metadata":null}"#,
    r#"{"metadata":{"name":"a","name":"b"}}"#,
    "\u{feff}{}",
    r#"{"metadata":{"name":"a"}} x"#,
    r#"{"metadata":{"name":"a"}}{}"#,
    "a: b",
    "---\n{}",
    r#"{"data":{"a":null}}"#,
    r#"{"metadata":{"name":"\ud800"}}"#,
    r#"{"metadata":{"name":"x","creationTimestamp":"y"}}"#,
    r#"{"metadata":{"name":"x","generation":"1"}}"#,
    r#"{"metadata":{"name":"x","generation":1.5}}"#,
    r#"{"metadata":{"name":"x","generation":1e3}}"#,
    r#"{"metadata":{"name":"x","ownerReferences":{}}}"#,
    r#"{"metadata":{"name":"x","finalizers":"a"}}"#,
    r#"{"metadata":{"name":"x","managedFields":[{"manager":1}]}}"#,
    r#"{"metadata":{"name":"x","managedFields":[{"manager":"a","operation":"Foo"}]}}"#,
    r#"{"metadata":{"name":"x","namespace":"other"}}"#,
    r#"{"metadata":{"name":"x","uid":"q"}}"#,
    r#"{"metadata":{"name":"x","resourceVersion":"q"}}"#,
    r#"{"metadata":{"name":"x","resourceVersion":"1"}}"#,
    r#"{"metadata":{"name":"x","deletionTimestamp":"2020-01-01T00:00:00Z"}}"#,
    r#"{"metadata":{"name":"a/b"}}"#,
    r#"{"metadata":{"name":"."}}"#,
    r#"{"metadata":{"name":"%"}}"#,
    r#"{"spec":{"a":"x"}}"#,
    r#"{"spec":{"a":null}}"#,
    r#"{"spec":{"b":1},"metadata":{"name":"x"}}"#,
    r#"{"Metadata":{"name":"x"}}"#,
    r#"{"spec":[]}"#,
    r#"{"spec":{"replicas":"1"}}"#,
    r#"{"spec":{"replicas":1.0}}"#,
    r#"{"spec":{"replicas":99999999999}}"#,
    r#"{"spec":{"template":null}}"#,
    r#"{"status":1}"#,
];

/// Kinds whose lists of causes come from a body without anything, in an order of their own.
const EMPTY: &[&str] = &[
    "/apis/events.k8s.io/v1/namespaces/matrix/events",
    "/api/v1/namespaces/matrix/events",
    "/apis/batch/v1/namespaces/matrix/jobs",
    "/apis/networking.k8s.io/v1/namespaces/matrix/ingresses",
    "/apis/policy/v1/namespaces/matrix/poddisruptionbudgets",
    "/apis/authentication.k8s.io/v1/tokenreviews",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
];

pub(super) fn all() -> Vec<Case> {
    let targets = TARGETS.iter().flat_map(|target| BODIES.iter().flat_map(|body| cases(target, body)));
    let empty = EMPTY.iter().map(|at| {
        let path = format!("{at}?dryRun=All");
        request(format!("matrix of bodies: POST {at} {{}}"), "POST", path, JSON, "{}")
    });
    targets.chain(empty).collect()
}

fn cases(target: &Target, body: &str) -> Vec<Case> {
    let (at, path) = (target.at, target.path());
    let mut endpoints = vec![
        ("create", "POST", format!("{at}?dryRun=All"), JSON),
        ("create strictly", "POST", format!("{at}?dryRun=All&fieldValidation=Strict"), JSON),
        ("update", "PUT", format!("{path}?dryRun=All"), JSON),
        ("merge", "PATCH", format!("{path}?dryRun=All"), MERGE),
        ("apply", "PATCH", format!("{path}?dryRun=All&fieldManager=f&force=1"), APPLY),
        ("json patch", "PATCH", format!("{path}?dryRun=All"), PATCH),
        ("strategic merge", "PATCH", format!("{path}?dryRun=All"), STRATEGIC),
        // The options in a body are all there are, so nothing that exists: it would not be a dry run.
        ("delete", "DELETE", format!("{at}/nope?dryRun=All"), JSON),
    ];
    if target.scaled {
        endpoints.extend([
            ("merge status", "PATCH", format!("{path}/status?dryRun=All"), MERGE),
            ("update status", "PUT", format!("{path}/status?dryRun=All"), JSON),
            ("update scale", "PUT", format!("{path}/scale?dryRun=All"), JSON),
            ("merge scale", "PATCH", format!("{path}/scale?dryRun=All"), MERGE),
        ]);
    }
    let named = endpoints.into_iter().map(|(endpoint, method, path, content_type)| {
        let name = format!("matrix of bodies: {} {endpoint} {body:?}", target.title);
        request(name, method, path, content_type, body)
    });
    named.collect()
}
