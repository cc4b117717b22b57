//! Creating, replacing, changing and deleting, without surprises.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::caller::{delete, description, get, named, patch, paused, put, request, resting, send};

#[tokio::test]
async fn a_second_put_of_the_same_document_writes_nothing() {
    let path = "/v1/tenants/twice/clusters/a";
    let first = resting(path).await;
    assert_eq!(first["metadata"]["namespace"], "twice");
    assert_eq!(first["spec"]["controlPlane"]["count"], 3, "defaults are shown");

    let second = put(path, &paused()).await;
    assert_eq!(second.expect(StatusCode::OK), first);
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(second.header("etag"), format!("\"{version}\""));

    let yaml = request(Method::PUT, path).header("content-type", "application/yaml");
    let third = send(yaml.body(serde_saphyr::to_string(&named(path, &paused())).unwrap())).await;
    assert_eq!(third.expect(StatusCode::OK), first, "YAML is the same document");
    assert_eq!(put(path, &first).await.expect(StatusCode::OK), first, "so is what was read");
    let unnamed = send(request(Method::PUT, path).json(&paused())).await;
    assert_eq!(unnamed.expect(StatusCode::OK), first, "the path names it");
}

#[tokio::test]
async fn a_put_keeps_what_others_wrote_and_replaces_what_the_user_said() {
    let path = "/v1/tenants/replace/clusters/a";
    let first = resting(path).await;
    let finalizers = first["metadata"]["finalizers"].clone();
    assert!(finalizers.is_array(), "{first:#}");
    let mut changed = paused();
    changed["spec"]["workers"] = json!([{"name": "web", "count": 2}, {"name": "default"}]);
    changed["metadata"] = json!({"labels": {"team": "shop"}});
    let second = put(path, &changed).await.expect(StatusCode::OK);
    assert_eq!(second["metadata"]["finalizers"], finalizers);
    assert_eq!(second["metadata"]["labels"], json!({"team": "shop"}));
    assert_eq!(second["spec"]["workers"][0]["count"], 2);
    assert_eq!(second["metadata"]["generation"], 2);
    assert_eq!(second["metadata"].get("managedFields"), None);
}

#[tokio::test]
async fn preconditions_protect_what_somebody_else_wrote() {
    let path = "/v1/tenants/conditions/clusters/a";
    let conditional = |method: Method, header: &'static str, value: String| {
        let request = request(method.clone(), path).header(header, value);
        send(if method == Method::PUT { request.json(&named(path, &paused())) } else { request.body("{}") })
    };
    let absent = conditional(Method::PUT, "if-match", "*".into()).await;
    assert_eq!(absent.status, 412, "{}", absent.text);
    assert_eq!(get(path).await.status, 404);
    let created = conditional(Method::PUT, "if-none-match", "*".into()).await;
    assert_eq!(created.status, 201, "{}", created.text);

    let seen = format!("\"{}\"", resting_again(path).await["metadata"]["resourceVersion"].as_str().unwrap());
    for (method, header, value, status) in [
        (Method::PUT, "if-none-match", "*", 412),
        (Method::PUT, "if-none-match", "\"1\"", 400),
        (Method::PUT, "if-match", "\"1\"", 412),
        (Method::PUT, "if-match", "1", 400),
        (Method::PUT, "if-match", &seen, 200),
        (Method::PATCH, "if-match", "\"1\"", 412),
        (Method::PATCH, "if-match", &seen, 200),
        (Method::DELETE, "if-match", "\"1\"", 412),
        (Method::GET, "if-none-match", "\"1\"", 200),
        (Method::GET, "if-none-match", "*", 304),
        (Method::GET, "if-none-match", &seen, 304),
        (Method::GET, "if-none-match", &format!("\"1\", W/{seen}"), 304),
    ] {
        let answer = conditional(method.clone(), header, value.into()).await;
        assert_eq!(answer.status, status, "{method} {header}: {value}: {}", answer.text);
        if status == 304 {
            assert_eq!((answer.header("etag"), answer.text.as_str()), (seen.as_str(), ""));
        } else if status >= 400 {
            answer.problem();
        }
    }
    let gone = conditional(Method::DELETE, "if-match", seen).await;
    assert!(gone.status == 202 || gone.status == 204, "{}", gone.text);
}

async fn resting_again(path: &str) -> Value {
    let mut last = Value::Null;
    loop {
        let now = get(path).await.expect(StatusCode::OK);
        if now == last && now["status"]["phase"] == "Paused" {
            return now;
        }
        last = now;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_patch_merges_and_a_pinned_version_is_a_precondition() {
    let path = "/v1/tenants/merge/clusters/a";
    let first = resting(path).await;
    let change = json!({"metadata": {"labels": {"team": "shop"}}, "spec": {"maintenance": {"drainTimeout": "5m"}}});
    let second = patch(path, &change).await.expect(StatusCode::OK);
    assert_eq!(second["metadata"]["labels"]["team"], "shop");
    assert_eq!(second["spec"]["maintenance"]["drainTimeout"], "5m");
    assert_eq!(second["spec"]["kubernetes"], first["spec"]["kubernetes"]);
    let third = patch(path, &json!({"metadata": {"labels": {"team": null}}})).await.expect(StatusCode::OK);
    assert_eq!(third["metadata"]["labels"].get("team"), None);

    let stale =
        json!({"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "spec": {"paused": false}});
    let refused = patch(path, &stale).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(refused.problem()["code"], "PreconditionFailed");
    let mut stale = first.clone();
    stale["spec"]["paused"] = false.into();
    let refused = put(path, &stale).await;
    assert_eq!(refused.status, 409, "a document that was read earlier: {}", refused.text);
    stale["metadata"]["resourceVersion"] = "".into();
    stale["metadata"]["uid"] = "another".into();
    assert_eq!(put(path, &stale).await.status, 409);

    let renamed = patch(path, &json!({"metadata": {"name": "b"}})).await;
    assert_eq!(renamed.status, 400, "{}", renamed.text);
    let other_kind = patch(path, &json!({"kind": "ProviderProfile"})).await;
    assert!((400..500).contains(&other_kind.status), "{}", other_kind.text);
    let refused = patch(path, &json!({"spec": {"network": {"podCIDR": "172.20.0.0/14"}}})).await;
    assert_eq!(refused.status, 422);
    insta::assert_json_snapshot!(refused.problem());
    let status = patch(path, &json!({"status": {"phase": "Ready"}})).await.expect(StatusCode::OK);
    assert_eq!(status["status"]["phase"], "Paused", "a status is not the user's to write");
    assert_eq!(patch("/v1/tenants/merge/clusters/b", &json!({})).await.status, 404);
}

#[tokio::test]
async fn a_dry_run_answers_as_the_write_would_and_stores_nothing() {
    let path = "/v1/tenants/dry/clusters/a";
    let dry = format!("{path}?dryRun=true");
    let created = put(&dry, &paused()).await.expect(StatusCode::CREATED);
    assert_eq!(created["metadata"]["name"], "a");
    assert_eq!(get(path).await.status, 404);
    let tenants = get("/v1/tenants").await.expect(StatusCode::OK);
    assert!(!tenants["items"].as_array().unwrap().contains(&json!({"name": "dry"})), "{tenants}");

    let stored = resting(path).await;
    let mut changed = paused();
    changed["spec"]["workers"] = json!([{"name": "default", "count": 7}]);
    assert_eq!(put(&dry, &changed).await.expect(StatusCode::OK)["spec"]["workers"][0]["count"], 7);
    let patched = patch(&dry, &json!({"spec": {"paused": false}})).await.expect(StatusCode::OK);
    assert_eq!(patched["spec"]["paused"], json!(false));
    changed["spec"]["workers"][0]["count"] = (-1).into();
    assert_eq!(put(&dry, &changed).await.status, 422);
    assert_eq!(delete(&dry).await.status, 204);
    assert_eq!(get(path).await.expect(StatusCode::OK), stored);
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let (one, two) = ("/v1/tenants/one/clusters", "/v1/tenants/two/clusters");
    let mut first = paused();
    first["metadata"] = json!({"labels": {"of": "one"}});
    put(&format!("{one}/a"), &first).await.expect(StatusCode::CREATED);
    for path in ["", "/tree", "/diagnostics", "/events"] {
        assert_eq!(get(&format!("{two}/a{path}")).await.status, 404, "{path}");
    }
    assert_eq!(patch(&format!("{two}/a"), &json!({"spec": {"paused": false}})).await.status, 404);
    assert_eq!(delete(&format!("{two}/a")).await.status, 404);
    assert_eq!(send(request(Method::POST, &format!("{two}/a/plan"))).await.status, 404);
    assert_eq!(send(request(Method::POST, &format!("{two}/a/kubeconfigs"))).await.status, 404);

    put(&format!("{two}/a"), &paused()).await.expect(StatusCode::CREATED);
    let labels = |list: Value| list["items"][0]["metadata"]["labels"].clone();
    assert_eq!(labels(get(one).await.expect(StatusCode::OK)), json!({"of": "one"}));
    assert_eq!(labels(get(two).await.expect(StatusCode::OK)), Value::Null);
    assert_eq!(delete(&format!("{two}/a?wait=60")).await.status, 204);
    assert_eq!(get(&format!("{two}/a")).await.status, 404);
    assert_eq!(get(&format!("{one}/a")).await.status, 200);
    let mut elsewhere = description();
    elsewhere["metadata"] = json!({"namespace": "two"});
    assert_eq!(put(&format!("{one}/a"), &elsewhere).await.status, 400);
}
