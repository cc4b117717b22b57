//! What there is to see: tenants, profiles, problem codes, trees, diagnoses.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::caller::{get, put, ready, resting, url};

#[tokio::test]
async fn tenants_are_there_with_their_first_cluster_and_system_namespaces_are_none() {
    put("/v1/tenants/seen/clusters/a", &crate::caller::paused()).await.expect(StatusCode::CREATED);
    let tenants = get("/v1/tenants").await.expect(StatusCode::OK);
    let items = tenants["items"].as_array().unwrap();
    assert!(items.contains(&json!({"name": "seen"})) && items.contains(&json!({"name": "default"})), "{tenants}");
    assert!(!tenants.to_string().contains("kube-"), "{tenants}");
    let none = get("/v1/tenants/never-seen/clusters").await.expect(StatusCode::OK);
    assert_eq!(none, json!({"items": []}));
    let list = get("/v1/tenants/seen/clusters").await.expect(StatusCode::OK);
    let one = get("/v1/tenants/seen/clusters/a").await.expect(StatusCode::OK);
    assert_eq!(list["items"][0]["spec"], one["spec"]);
    assert_eq!((&one["apiVersion"], &one["kind"]), (&json!("kogge.dev/v1alpha1"), &json!("KubernetesCluster")));
}

#[tokio::test]
async fn profiles_and_problem_codes_are_listed_and_explained() {
    let list = get("/v1/profiles").await.expect(StatusCode::OK);
    let profile = get("/v1/profiles/sim").await.expect(StatusCode::OK);
    assert_eq!(list["items"][0]["spec"], profile["spec"]);
    assert!(profile["metadata"].get("managedFields").is_none());
    insta::assert_json_snapshot!("an_unknown_profile", get("/v1/profiles/simm").await.problem());

    let codes = get("/v1/problems").await.expect(StatusCode::OK);
    assert_eq!(codes["items"].as_array().unwrap().len(), kogge_api::problem::CATALOGUE.len());
    let code = get("/v1/problems/quotaexceeded").await.expect(StatusCode::OK);
    assert!(code["page"].as_str().unwrap().starts_with("# QuotaExceeded\n"));
    insta::assert_json_snapshot!("an_unknown_code", get("/v1/problems/QuotaExeeded").await.problem());
}

#[tokio::test]
async fn liveness_needs_no_token() {
    for path in ["/livez", "/readyz"] {
        let answer = reqwest::get(url(path)).await.unwrap();
        assert_eq!((answer.status(), answer.text().await.unwrap().as_str()), (StatusCode::OK, "ok"));
    }
}

/// Kinds and readiness, without the names that differ from run to run.
fn shape(node: &Value, depth: usize, lines: &mut Vec<String>) {
    let ready = node["ready"].as_str().unwrap_or("-");
    lines.push(format!(
        "{}{} {} {ready}",
        "  ".repeat(depth),
        node["apiVersion"].as_str().unwrap(),
        node["kind"].as_str().unwrap()
    ));
    for child in node["children"].as_array().unwrap() {
        shape(child, depth + 1, lines);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_shows_what_a_cluster_consists_of_and_a_diagnosis_of_a_good_one_finds_nothing() {
    let path = "/v1/tenants/views/clusters/a";
    ready(path).await;
    let tree = get(&format!("{path}/tree")).await.expect(StatusCode::OK);
    assert_eq!(tree["name"], "a");
    let mut lines = Vec::new();
    shape(&tree, 0, &mut lines);
    insta::assert_snapshot!("the_tree_of_a_ready_cluster", lines.join("\n"));
    let diagnostics = get(&format!("{path}/diagnostics")).await.expect(StatusCode::OK);
    assert_eq!(
        (&diagnostics["phase"], &diagnostics["problems"], &diagnostics["failing"]),
        (&json!("Ready"), &json!([]), &json!([]))
    );
    assert!(!diagnostics["events"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diagnosis_names_the_problem_of_a_paused_cluster() {
    let path = "/v1/tenants/views/clusters/paused";
    resting(path).await;
    let diagnostics = get(&format!("{path}/diagnostics")).await.expect(StatusCode::OK);
    assert_eq!(diagnostics["phase"], "Paused");
    assert_eq!(get("/v1/tenants/views/clusters/absent/diagnostics").await.status, 404);
    assert_eq!(get("/v1/tenants/views/clusters/absent/tree").await.status, 404);
}
