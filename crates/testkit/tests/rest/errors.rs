//! Every way to be refused: one body (RFC 9457), one code, one request id, and nothing stored.

use std::fmt::Write as _;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::caller::{Answer, description, get, named, patch, post, put, request, send, url};

const PATH: &str = "/v1/tenants/refused/clusters/a";

async fn put_text(media_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    send(request(Method::PUT, PATH).header("content-type", media_type).body(body)).await
}

#[tokio::test]
async fn refusals_of_requests() {
    let mut answers = Vec::new();
    let mut note = |what: &str, answer: Answer| answers.push(json!({"request": what, "answer": answer.problem()}));
    let plain = reqwest::Client::new();
    note("no token", send(plain.get(url(PATH))).await);
    let unauthorized = send(plain.get(url(PATH)).bearer_auth("wrong")).await;
    assert_eq!(unauthorized.header("www-authenticate"), "Bearer");
    note("a wrong token", unauthorized);
    note("an unknown path", get("/v2").await);
    note("an unknown cluster", get(PATH).await);
    note("another method", send(request(Method::POST, PATH)).await);
    note("a path that is no UTF-8", get("/v1/tenants/%ff/clusters").await);
    note("a tenant that cannot be", put("/v1/tenants/Shop/clusters/a", &description()).await);
    note("a tenant of Kubernetes", put("/v1/tenants/kube-system/clusters/a", &description()).await);
    note("an unknown parameter", put(&format!("{PATH}?dryrun=true"), &description()).await);
    note("a parameter of another type", put(&format!("{PATH}?wait=long"), &description()).await);
    note("another media type", put_text("text/html", "<p>").await);
    note("a patch of another media type", {
        let patch = request(Method::PATCH, PATH).header("content-type", "application/json-patch+json");
        send(patch.body("[]")).await
    });
    note("a patch that is no object", patch(PATH, &json!([])).await);
    note("a patch that is no JSON", {
        let patch = request(Method::PATCH, PATH).header("content-type", "application/merge-patch+json");
        send(patch.body("{")).await
    });
    insta::assert_json_snapshot!(answers);
    assert_eq!(get(PATH).await.status, 404);
}

#[tokio::test]
async fn refusals_of_documents() {
    let mut answers = Vec::new();
    let mut note = |what: &str, answer: Answer| answers.push(json!({"document": what, "answer": answer.problem()}));
    note("empty", put_text("application/yaml", "").await);
    note("no UTF-8", put_text("application/yaml", b"spec: \xff\xfe".to_vec()).await);
    note("malformed YAML", put_text("application/yaml", "spec:\n  - a\n b: [").await);
    note("malformed JSON", put_text("application/json", "{\"spec\": ").await);
    let two = format!("{d}---\n{d}", d = serde_saphyr::to_string(&named(PATH, &description())).unwrap());
    note("two documents", put_text("application/yaml", two).await);
    note("another kind", put(PATH, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})).await);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{items}]").unwrap();
    }
    note("a YAML bomb", put_text("application/yaml", bomb).await);
    note("10 MiB", put_text("application/yaml", "#".repeat(10 * 1024 * 1024)).await);
    note("another name", put(PATH, &named("/clusters/b", &description())).await);
    insta::assert_json_snapshot!(answers);
    assert_eq!(get(PATH).await.status, 404);
}

#[tokio::test]
async fn refusals_of_descriptions_name_field_value_rule_line_and_column() {
    let text = "apiVersion: kogge.dev/v1alpha1
kind: KubernetesCluster
metadata:
  name: a
spec:
  provider: {profile: sim}
  kubernetes:
    version: 1.30
  controlPlane:
    cuont: 2
  workers:
    - name: a
      count: many
";
    let wrong_types = put_text("application/yaml", text).await;
    assert_eq!(wrong_types.status, 422);
    insta::assert_json_snapshot!("wrong_types", wrong_types.problem());

    let with = |spec: Value| {
        let mut description = description();
        for (name, value) in spec.as_object().unwrap() {
            description["spec"][name] = value.clone();
        }
        description
    };
    let mut answers = Vec::new();
    for spec in [
        json!({"provider": {"profile": "simm"}}),
        json!({"kubernetes": {"version": "1.29"}}),
        json!({"kubernetes": {"version": "one"}}),
        json!({"controlPlane": {"count": 2}}),
        json!({"controlPlane": {"zones": ["sim-a", "sim-x"]}}),
        json!({"workers": [{"name": "a"}, {"name": "a", "machineFlavor": "SCS-1V-1"}]}),
        json!({"network": {"nodeCIDR": "10.8.0.1/20", "podCIDR": "10.96.0.0/16"}}),
    ] {
        let refused = put(PATH, &with(spec.clone())).await;
        assert_eq!(refused.status, 422, "{spec}: {}", refused.text);
        answers.push(json!({"spec": spec, "answer": refused.problem()}));
    }
    insta::assert_json_snapshot!("broken_rules", answers);

    let long = "/v1/tenants/refused/clusters/a-very-long-name-for-a-cluster";
    insta::assert_json_snapshot!("a_long_name", put(long, &description()).await.problem());
    assert_eq!(get("/v1/tenants/refused/clusters").await.expect(StatusCode::OK), json!({"items": []}));
    let plan = post(&format!("{PATH}/plan"), &with(json!({"workers": []}))).await;
    assert_eq!(plan.status, 422, "a plan refuses what a write does");
    assert_eq!(plan.problem()["errors"][0]["pointer"], "/spec/workers");
}

/// What only the API server looks at comes back in the same form.
#[tokio::test]
async fn refusals_of_the_server_behind_have_pointers_too() {
    let mut answers = Vec::new();
    for metadata in [
        json!({"labels": {"example.com/team": "not a label!"}}),
        json!({"labels": {"-": "x"}}),
        json!({"annotations": {"example.com/large": "x".repeat(300_000)}}),
        json!({"finalizers": ["no finalizer"]}),
    ] {
        let mut described = description();
        described["metadata"] = metadata.clone();
        let refused = put(PATH, &described).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        answers.push(refused.problem());
    }
    insta::assert_json_snapshot!(answers);
    assert_eq!(get(PATH).await.status, 404);
}

#[tokio::test]
async fn every_answer_has_the_request_id_of_the_caller_or_one_of_its_own() {
    let with = |id: &'static str| send(request(Method::GET, PATH).header("x-request-id", id));
    assert_eq!(with("ticket-4711").await.header("x-request-id"), "ticket-4711");
    assert_eq!(with("ticket-4711").await.json()["requestId"], "ticket-4711");
    let long: &'static str = Box::leak("x".repeat(129).into_boxed_str());
    for odd in ["", "two words", long] {
        let answer = with(odd).await;
        let id = answer.header("x-request-id");
        assert!(!id.is_empty() && id != odd, "{odd:?} became {id:?}");
        answer.problem();
    }
    assert_ne!(get("/livez").await.header("x-request-id"), "");
    assert_ne!(get(PATH).await.header("x-request-id"), get(PATH).await.header("x-request-id"));
}
