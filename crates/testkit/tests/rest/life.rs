//! A whole life: planned, created, waited for, scaled, upgraded, deleted.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::caller::{delete, description, get, patch, post, put, ready, request, send};

/// Action, object kind and effect of each step.
fn steps(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap_or_else(|| panic!("{plan:#}"));
    steps.iter().map(|step| format!("{} {} {}", step["action"], step["object"]["kind"], step["effect"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_planned_created_changed_and_deleted() {
    let path = "/v1/tenants/life/clusters/shop";
    let plan = format!("{path}/plan");
    assert_eq!(send(request(Method::POST, &plan)).await.status, 404, "nothing is stored, nothing proposed");
    let creation = post(&plan, &description()).await.expect(StatusCode::OK);
    // An old version may be warned of; that depends on the day.
    let findings = creation["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["code"] == "VersionOutOfSupport"), "{findings:?}");
    insta::assert_json_snapshot!("plan_of_a_creation", steps(&creation));
    assert_eq!(get(path).await.status, 404, "a plan stores nothing");

    let stored = ready(path).await;
    assert_eq!(stored["status"]["controlPlane"]["ready"], 3, "{stored:#}");
    let nothing = send(request(Method::POST, &plan)).await.expect(StatusCode::OK);
    assert_eq!(nothing["steps"], json!([]), "{nothing:#}");

    let mut larger = description();
    larger["spec"]["workers"] = json!([{"name": "default", "count": 4}]);
    let scale = post(&plan, &larger).await.expect(StatusCode::OK);
    insta::assert_json_snapshot!("plan_of_a_scaling", scale["steps"]);
    let scaled = put(&format!("{path}?wait=120"), &larger).await.expect(StatusCode::OK);
    assert_eq!((&scaled["status"]["phase"], &scaled["status"]["workersSummary"]), (&json!("Ready"), &json!("4/4")));

    let skipped = patch(path, &json!({"spec": {"kubernetes": {"version": "1.36"}}})).await;
    assert_eq!(skipped.status, 422);
    insta::assert_json_snapshot!("an_upgrade_that_skips", skipped.problem());
    let upgrade = json!({"spec": {"kubernetes": {"version": "1.35"}}});
    let upgraded = patch(&format!("{path}?wait=180"), &upgrade).await.expect(StatusCode::OK);
    assert_eq!(upgraded["status"]["phase"], "Ready", "{upgraded:#}");
    assert!(upgraded["status"]["kubernetes"]["version"].as_str().unwrap().starts_with("v1.35."), "{upgraded:#}");

    let gone = delete(&format!("{path}?wait=120")).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(get(path).await.status, 404);
    assert_eq!(delete(path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_is_over_answers_with_how_far_it_is() {
    let path = "/v1/tenants/wait/clusters/shop";
    let started = put(&format!("{path}?wait=0"), &description()).await.expect(StatusCode::CREATED);
    assert_ne!(started["status"]["phase"], "Ready");
    let going = delete(path).await;
    assert!(going.status == 202 || going.status == 204, "{}", going.text);
    if going.status == 202 {
        assert!(going.json()["metadata"]["deletionTimestamp"].is_string());
    }
}
