//! The OpenAPI document and what is served are the same.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::caller::{get, request, send};

/// Paths in the source of the router.
fn routed() -> BTreeSet<String> {
    let source = include_str!("../../../portal/src/lib.rs");
    let cluster = "/v1/tenants/{tenant}/clusters/{name}";
    let mut paths = BTreeSet::new();
    for call in source.split(".route(").skip(1) {
        let argument = call.trim_start().split(',').next().unwrap();
        paths.insert(match argument.trim_start_matches('&') {
            "cluster" => cluster.to_owned(),
            "clusters" => cluster.trim_end_matches("/{name}").to_owned(),
            text => text.trim_start_matches("format!(").trim_matches([')', '"']).replace("{cluster}", cluster),
        });
    }
    paths
}

#[tokio::test]
async fn the_document_is_the_checked_in_one_and_names_exactly_what_is_routed() {
    let served = send(reqwest::Client::new().get(crate::caller::url("/openapi.json"))).await.expect(StatusCode::OK);
    let checked_in: Value = serde_json::from_str(include_str!("../../../portal/openapi.json")).unwrap();
    assert!(served == checked_in, "crates/portal/openapi.json is out of date");
    let documented: BTreeSet<String> = served["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(documented, routed());
}

#[tokio::test]
async fn every_path_takes_exactly_the_methods_the_document_names() {
    let document = get("/openapi.json").await.expect(StatusCode::OK);
    for (path, item) in document["paths"].as_object().unwrap() {
        let concrete =
            path.replace("{tenant}", "methods").replace("{name}", "absent").replace("{code}", "QuotaExceeded");
        for method in ["get", "put", "post", "patch", "delete"] {
            let request = request(method.to_uppercase().parse::<Method>().unwrap(), &concrete);
            let answer = send(request.header("content-type", "application/json").body("no document")).await;
            assert_eq!(answer.status != 405, item.get(method).is_some(), "{method} {path}: {}", answer.text);
            if answer.status >= 400 {
                answer.problem();
            }
        }
    }
}

#[tokio::test]
async fn only_the_paths_the_document_says_so_of_are_open() {
    let document = get("/openapi.json").await.expect(StatusCode::OK);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let request =
                reqwest::Client::new().request(method.to_uppercase().parse().unwrap(), crate::caller::url(path));
            let answer = send(request).await;
            let open = operation["security"] == serde_json::json!([]);
            assert_eq!(answer.status != 401, open, "{method} {path}: {}", answer.text);
        }
    }
}
