//! Who am I, may I, and the paths beside the API.

use serde_json::json;

use crate::client::open;

#[tokio::test]
async fn reviews_are_answered_and_not_stored() {
    let client = open().await;
    let who = client
        .post(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}),
        )
        .await;
    assert_eq!(who.code, 201);
    assert_eq!(
        who.ok()["status"]["userInfo"],
        json!({"username": "system:admin", "groups": ["system:masters", "system:authenticated"]})
    );
    let review = |kind: &str, spec: serde_json::Value| json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
    let attributes = json!({"verb": "delete", "resource": "nodes"});
    let may_i = client
        .post(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            &review("SelfSubjectAccessReview", json!({"resourceAttributes": attributes})),
        )
        .await
        .ok();
    assert_eq!(may_i["status"]["allowed"], true);
    let may_they = client
        .post(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            &review("SubjectAccessReview", json!({"user": "anna", "resourceAttributes": attributes})),
        )
        .await
        .ok();
    assert_eq!(may_they["status"]["allowed"], false);
    let rules = client
        .post(
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            &review("SelfSubjectRulesReview", json!({"namespace": "default"})),
        )
        .await
        .ok();
    assert_eq!(rules["status"]["resourceRules"][0]["verbs"], json!(["*"]));
    let token = client
        .post(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "x"}}),
        )
        .await
        .ok();
    assert_eq!(token["status"], json!({"user": {}, "error": "invalid bearer token"}));
    assert_eq!(client.get("/apis/authentication.k8s.io/v1/tokenreviews").await.code, 405);
}

#[tokio::test]
async fn health_version_and_metrics_answer() {
    let client = open().await;
    for path in ["/livez", "/readyz", "/healthz", "/livez/ping"] {
        assert_eq!(client.get(path).await.ok(), "ok", "{path}");
    }
    assert!(client.get("/readyz?verbose").await.ok().as_str().unwrap().ends_with("readyz check passed\n"));
    let version = client.get("/version").await.ok();
    assert_eq!(
        (&version["major"], &version["minor"], &version["gitVersion"]),
        (&json!("1"), &json!("36"), &json!("v1.36.0"))
    );
    let metrics = client.get("/metrics").await.ok();
    assert!(metrics.as_str().unwrap().contains("apiserver_request_total{verb=\"get\",code=\"2xx\"}"));
    assert_eq!(client.get("/nothing").await.error(), "404: 404 page not found\n");
    assert!(client.get("/").await.ok()["paths"].as_array().unwrap().contains(&json!("/api/v1")));
}

#[tokio::test]
async fn an_administrator_may_act_as_somebody_else() {
    let client = open().await;
    let send =
        async |path: &str, headers: &[(&str, &str)]| client.send(http::Method::GET, path, headers, Vec::new()).await;
    let refused = send("/api/v1/nodes", &[("impersonate-user", "anna"), ("impersonate-group", "developers")]).await;
    assert_eq!(
        refused.error(),
        r#"403 Forbidden: nodes is forbidden: User "anna" cannot list resource "nodes" in API group "" at the cluster scope"#
    );
    assert_eq!(send("/apis", &[("impersonate-user", "anna")]).await.code, 200, "discovery is for everybody");
    assert_eq!(send("/metrics", &[("impersonate-user", "anna")]).await.code, 403);
    assert_eq!(send("/api/v1/nodes", &[("impersonate-group", "developers")]).await.code, 400);
    let masters = [("impersonate-user", "root"), ("impersonate-group", "system:masters")];
    assert_eq!(send("/api/v1/nodes", &masters).await.code, 200);
}
