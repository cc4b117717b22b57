//! What clients may ask of a listener, and what is written down about it.

use std::time::{Duration, SystemTime};

use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kogge_apiserver::{
    certificates::issue_client_certificate,
    server::{AuditOptions, RequestLimits, Server, ServerOptions, Storage},
};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::planes::{client_of, listen};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

async fn open(directory: &tempfile::TempDir, limits: RequestLimits) -> Server {
    let audit = Some(AuditOptions::new(directory.path().join("audit.log")));
    let data = Storage::Directory(directory.path().to_owned());
    Server::open(ServerOptions { data, audit, limits, ..ServerOptions::default() }).await.unwrap()
}

/// A client of the user `anna`, who is no master, but bound to the role `cluster-admin`.
async fn anna(server: &Server, url: &str) -> Client {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "anna"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "anna"}],
    });
    server.management().apply_all(vec![binding]).await.unwrap();
    let authority = &server.certificates().client_authority;
    let (now, hour) = (SystemTime::now(), Duration::from_hours(1));
    let anna =
        issue_client_certificate(&authority.certificate_pem, &authority.key_pem, "anna", &["crew"], hour, now).unwrap();
    client_of(server, url, Some(&anna)).await
}

async fn send(client: &Client, request: http::request::Builder, body: &Value) -> (StatusCode, http::HeaderMap, String) {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = request.header(header::CONTENT_TYPE, "application/json").header(header::USER_AGENT, "test");
    let answer = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn requests_that_ask_too_much_are_refused_in_the_words_of_the_real_server() {
    let directory = tempfile::tempdir().unwrap();
    let limits =
        RequestLimits { body_bytes: 2000, header_bytes: 20_000, watches_per_user: 1, ..RequestLimits::default() };
    let server = open(&directory, limits).await;
    let listener = listen(&server).await;
    let client = anna(&server, &listener.url).await;

    let large =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"a": "x".repeat(3000)}});
    let (code, _, text) = send(&client, Request::post(SECRETS), &large).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code.as_u16(), &status["reason"], &status["message"]),
        (413, &json!("RequestEntityTooLarge"), &json!("Request entity too large: limit is 2000"))
    );
    let long = Request::get("/api/v1/namespaces").header("x-long", "x".repeat(30_000));
    let refused = client.send(long.body(Body::empty()).unwrap()).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 431));

    let watch = || Request::get("/api/v1/secrets?watch=true").body(Body::empty()).unwrap();
    let first = client.send(watch()).await.unwrap();
    assert_eq!(first.status(), 200);
    let (code, headers, text) = send(&client, Request::get("/api/v1/secrets?watch=true"), &Value::Null).await;
    assert_eq!((code.as_u16(), text.as_str()), (429, "Too many requests, please try again later.\n"));
    assert!(headers.contains_key(header::RETRY_AFTER));
    let root = client_of(&server, &listener.url, Some(&server.certificates().admin.clone())).await;
    let mut masters = Vec::new();
    for _ in 0..3 {
        masters.push(root.send(watch()).await.unwrap());
    }
    assert!(masters.iter().all(|answer| answer.status() == 200), "masters are exempt");
}

#[tokio::test]
async fn policies_write_what_they_find_to_the_audit_log() {
    let directory = tempfile::tempdir().unwrap();
    let server = open(&directory, RequestLimits::default()).await;
    let listener = listen(&server).await;
    let client = anna(&server, &listener.url).await;
    let group = "admissionregistration.k8s.io/v1";
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}]);
    let policy = json!({
        "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "careful"},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "variables": [{"name": "size", "expression": "string(size(object.metadata.name))"}],
            "validations": [
                {"expression": "true"},
                {"expression": "object.metadata.name != 'x'", "message": "not <x> & so on"},
                {"expression": "object.metadata.name != 'x'", "message": "the first one stays"},
            ],
            "auditAnnotations": [
                {"key": "size", "valueExpression": "'name has ' + variables.size"},
                {"key": "none", "valueExpression": "null"},
                {"key": "empty", "valueExpression": "' '"},
            ],
        }
    });
    let binding = |name: &str, actions: Value| {
        let spec = json!({"policyName": "careful", "validationActions": actions});
        json!({"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": spec})
    };
    let bindings = vec![policy, binding("one", json!(["Warn", "Audit"])), binding("two", json!(["Audit"]))];
    server.management().apply_all(bindings).await.unwrap();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
    let (code, headers, _) = send(&client, Request::post(SECRETS), &secret).await;
    assert_eq!(code.as_u16(), 201);
    let warnings: Vec<_> = headers.get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    listener.stop().await;

    let log = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let annotations: Vec<Value> = events.map(|mut event| event["annotations"].take()).collect();
    insta::assert_json_snapshot!(json!({"annotations": annotations, "warnings": warnings}));
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_and_nothing_of_what_a_secret_holds() {
    let directory = tempfile::tempdir().unwrap();
    let server = open(&directory, RequestLimits::default()).await;
    let listener = listen(&server).await;
    let client = anna(&server, &listener.url).await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"password": "hunter2"}});
    let (code, headers, created) = send(&client, Request::post(SECRETS), &secret).await;
    assert_eq!(code.as_u16(), 201);
    let created: Value = serde_json::from_str(&created).unwrap();
    assert!(headers.contains_key("audit-id"));
    send(&client, Request::get(format!("{SECRETS}/y")), &Value::Null).await;
    assert_eq!(send(&client, Request::post(SECRETS), &secret).await.0.as_u16(), 409);
    let mut changed = secret.clone();
    changed["metadata"]["uid"] = "u".into();
    changed["metadata"]["resourceVersion"] = "1".into();
    assert_eq!(send(&client, Request::put(format!("{SECRETS}/x")), &changed).await.0.as_u16(), 409);
    let through = Request::get("/nothing/here").header("x-forwarded-for", "1.2.3.4, no, 5.6.7.8");
    send(&client, through, &Value::Null).await;
    let stranger = client_of(&server, &listener.url, None).await;
    let unknown = Request::get(format!("{SECRETS}/x")).header(header::AUTHORIZATION, "Bearer unknown");
    assert_eq!(send(&stranger, unknown, &Value::Null).await.0.as_u16(), 401);
    let as_bert = Request::delete(format!("{SECRETS}/x")).header("impersonate-user", "bert");
    assert_eq!(send(&client, as_bert, &Value::Null).await.0.as_u16(), 403);
    assert_eq!(send(&client, Request::delete(format!("{SECRETS}/x")), &Value::Null).await.0.as_u16(), 200);
    send(&client, Request::get("/metrics"), &Value::Null).await;
    send(&client, Request::get("/readyz"), &Value::Null).await;
    let watch = Request::get(format!("{SECRETS}?watch=true&timeoutSeconds=1"));
    assert_eq!(send(&client, watch, &Value::Null).await.0.as_u16(), 200);
    listener.stop().await;

    let log = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    assert!(!log.contains("hunter2") && !log.contains("aHVudGVyMg"));
    let log = log.replace(created["metadata"]["uid"].as_str().unwrap(), "(uid)");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            for field in ["auditID", "requestReceivedTimestamp", "stageTimestamp"] {
                assert!(event[field].take().is_string());
            }
            event["user"]["extra"].take();
            event
        })
        .collect();
    insta::assert_json_snapshot!(lines);
}
