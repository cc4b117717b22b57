//! Mutating and validating webhooks, over HTTPS.

use kogge_apiserver::server::{Server, ServerOptions};
use serde_json::{Value, json};

use crate::{
    client::{Client, WIDGETS, config_map, open, widget, widgets},
    webhook_server::{WebhookServer, admission_answer, patch_answer},
};

const REGISTRATIONS: &str = "/apis/admissionregistration.k8s.io/v1";

fn rule(operations: &[&str], group: &str, versions: &[&str], resources: &[&str]) -> Value {
    json!({"operations": operations, "apiGroups": [group], "apiVersions": versions, "resources": resources})
}

fn webhook(name: &str, client: &Value, rules: &[Value]) -> Value {
    json!({
        "name": format!("{name}.example.com"),
        "clientConfig": client,
        "rules": rules,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    })
}

async fn configure(client: &Client, kind: &str, name: &str, webhooks: Vec<Value>) {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": format!("{kind}WebhookConfiguration"),
        "metadata": {"name": name},
        "webhooks": webhooks,
    });
    let plural = format!("{}webhookconfigurations", kind.to_lowercase());
    client.post(&format!("{REGISTRATIONS}/{plural}"), &configuration).await.ok();
}

/// The answer of most tests: `/deny` denies, `/size` sets a size, `/label` adds a label, everything else allows.
fn usual(path: &str, review: &Value) -> Value {
    match path {
        "/deny" => admission_answer(&json!({
            "allowed": false,
            "warnings": ["think again"],
            "status": {"code": 422, "reason": "Invalid", "message": "not on a Sunday"},
        })),
        "/silent" => admission_answer(&json!({"allowed": false})),
        "/size" => patch_answer(&json!([{"op": "add", "path": "/spec/size", "value": "large"}])),
        "/label" if review["request"]["object"]["metadata"]["labels"].is_null() => patch_answer(&json!([
            {"op": "add", "path": "/metadata/labels", "value": {"seen": "true"}},
            {"op": "add", "path": "/spec/unknown", "value": 1},
        ])),
        "/broken" => json!({"kind": "Nonsense"}),
        _ => admission_answer(&json!({"allowed": true})),
    }
}

#[tokio::test]
async fn a_review_tells_everything_of_a_request() {
    let server = WebhookServer::start(usual).await;
    let client = open().await;
    client.define_widgets().await;
    let rules = [rule(&["*"], "example.com", &["*"], &["widgets", "widgets/scale"])];
    configure(&client, "Validating", "all", vec![webhook("all", &server.client_config("/all"), &rules)]).await;
    let created =
        client.post(&format!("{WIDGETS}?dryRun=All&fieldManager=me"), &widget("a", &json!({"replicas": 1}))).await;
    assert_eq!(created.code, 201);
    client.post(WIDGETS, &widget("a", &json!({"replicas": 1}))).await.ok();
    client.patch(&format!("{WIDGETS}/a/scale"), "merge", &json!({"spec": {"replicas": 3}})).await.ok();
    client.patch(&format!("{WIDGETS}/a/status"), "merge", &json!({"status": {"replicas": 3}})).await.ok();
    client.delete(&format!("{WIDGETS}/a"), &json!({"propagationPolicy": "Background"})).await.ok();
    let mut reviews: Vec<Value> = server.asked().into_iter().map(|(_, review)| review).collect();
    assert_eq!(reviews.len(), 4, "the status is in no rule");
    reviews.remove(1);
    for review in &mut reviews {
        let request = &mut review["request"];
        request["uid"] = "U".into();
        for object in ["object", "oldObject"] {
            if let Some(metadata) = request[object].pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
                for volatile in ["uid", "creationTimestamp"] {
                    if metadata.contains_key(volatile) {
                        metadata[volatile] = "*".into();
                    }
                }
            }
        }
    }
    insta::assert_json_snapshot!(reviews);
}

#[tokio::test]
async fn what_webhooks_refuse_is_told_in_the_words_of_the_real_server() {
    let server = WebhookServer::start(usual).await;
    let client = open().await;
    client.define_widgets().await;
    let mut answers = Vec::new();
    let uids = regex::Regex::new("uid=\"[0-9a-f-]{36}\"").unwrap();
    let unreachable = json!({"url": "https://127.0.0.1:1/nobody", "caBundle": server.ca_bundle});
    let service =
        json!({"service": {"namespace": "default", "name": "gone", "path": "/x"}, "caBundle": server.ca_bundle});
    for (kind, client_config) in [
        ("Validating", server.client_config("/deny")),
        ("Mutating", server.client_config("/silent")),
        ("Mutating", server.client_config("/broken")),
        ("Validating", server.client_config("/size")),
        ("Mutating", unreachable),
        ("Mutating", service),
        ("Validating", json!({"url": format!("https://{}/untrusted", server.address)})),
    ] {
        let rules = [rule(&["CREATE"], "example.com", &["v1"], &["*"])];
        configure(&client, kind, "one", vec![webhook("one", &client_config, &rules)]).await;
        let answer = client.post(WIDGETS, &widget("a", &json!({}))).await;
        let text = answer.error().replace(&server.address.to_string(), "HOOK");
        let text = uids.replace(&text, "uid=\"U\"").into_owned();
        answers.push(format!("{text} {:?}", answer.warnings()));
        let plural = format!("{}webhookconfigurations", kind.to_lowercase());
        client.delete(&format!("{REGISTRATIONS}/{plural}/one"), &json!({})).await.ok();
    }
    client.post(WIDGETS, &widget("a", &json!({}))).await.ok();
    insta::assert_snapshot!(answers.join("\n"));
}

#[tokio::test]
async fn failures_may_be_ignored_and_dry_runs_spare_webhooks_with_side_effects() {
    let server = WebhookServer::start(usual).await;
    let client = open().await;
    client.define_widgets().await;
    let rules = [rule(&["CREATE"], "example.com", &["v1"], &["widgets"])];
    let mut lenient = webhook("lenient", &json!({"url": "https://127.0.0.1:1/nobody"}), &rules);
    lenient["failurePolicy"] = "Ignore".into();
    let mut careful = webhook("careful", &server.client_config("/careful"), &rules);
    careful["sideEffects"] = "NoneOnDryRun".into();
    configure(&client, "Mutating", "lenient", vec![lenient, careful]).await;
    client.post(&format!("{WIDGETS}?dryRun=All"), &widget("a", &json!({}))).await.ok();
    assert_eq!(server.asked()[0].1["request"]["dryRun"], true);
}

#[tokio::test]
async fn mutated_objects_are_pruned_defaulted_and_owned_by_nobody() {
    let server = WebhookServer::start(usual).await;
    let client = open().await;
    client.define_widgets().await;
    let rules = [rule(&["CREATE", "UPDATE"], "example.com", &["v1"], &["widgets"])];
    let mut first = webhook("first", &server.client_config("/watching"), &rules);
    first["reinvocationPolicy"] = "IfNeeded".into();
    // Configurations are asked in the order of their names, however they came.
    configure(&client, "Mutating", "b", vec![webhook("second", &server.client_config("/label"), &rules)]).await;
    configure(&client, "Mutating", "a", vec![first]).await;
    let created = client.post(&format!("{WIDGETS}?fieldManager=me"), &widget("a", &json!({"replicas": 1}))).await.ok();
    assert_eq!(created["metadata"]["labels"], json!({"seen": "true"}));
    assert_eq!(created["spec"], json!({"replicas": 1, "size": "small"}), "unknown fields are gone");
    assert_eq!(server.paths(), ["/watching", "/label", "/watching"], "asked again about what others changed");
    let owned = created["metadata"]["managedFields"].to_string();
    assert!(owned.contains("f:replicas") && !owned.contains("f:labels"), "{owned}");
    // A write that changes nothing is put before webhooks all the same: they may want something new.
    client.patch(&format!("{WIDGETS}/a"), "merge", &json!({"metadata": {"labels": null}})).await.ok();
    let path = format!("{WIDGETS}/a?fieldManager=you&force=true");
    let applied = client.patch(&path, "apply", &widget("a", &json!({"replicas": 1}))).await.ok();
    assert_eq!(applied["metadata"]["labels"], json!({"seen": "true"}));
    // What a webhook adds counts as a change, even where nothing of it is stored.
    assert_eq!(applied["metadata"]["generation"], 2);
}

#[tokio::test]
async fn selectors_and_conditions_decide_who_is_asked() {
    let server = WebhookServer::start(usual).await;
    let client = open().await;
    client.define_widgets().await;
    client.post("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue", "labels": {"colour": "blue"}}})).await.ok();
    let rules = [rule(&["*"], "example.com", &["v1"], &["widgets"])];
    let hook = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut hook = webhook(name, &server.client_config(&format!("/{name}")), &rules);
        change(&mut hook);
        hook
    };
    configure(&client, "Validating", "some", vec![
        hook("blue-namespaces", &|hook| hook["namespaceSelector"] = json!({"matchLabels": {"colour": "blue"}})),
        hook("big-objects", &|hook| hook["objectSelector"] = json!({"matchExpressions": [{"key": "big", "operator": "Exists"}]})),
        hook("large", &|hook| hook["matchConditions"] = json!([
            {"name": "large", "expression": "object.spec.size == 'large'"},
            {"name": "admin", "expression": "request.userInfo.username == 'system:admin' && request.namespace != ''"},
        ])),
        hook("failing", &|hook| hook["matchConditions"] = json!([
            {"name": "absent", "expression": "request.operation == 'DELETE' && oldObject.spec.absent == 1"},
        ])),
        hook("nothing", &|hook| hook["rules"][0]["scope"] = "Cluster".into()),
    ])
    .await;
    client.post(WIDGETS, &widget("a", &json!({}))).await.ok();
    assert_eq!(server.paths(), Vec::<String>::new());
    client.post(WIDGETS, &widget("b", &json!({"size": "large"}))).await.ok();
    assert_eq!(server.paths(), ["/large"]);
    let mut big = widget("c", &json!({}));
    big["metadata"]["labels"] = json!({"big": "yes"});
    client.post("/apis/example.com/v1/namespaces/blue/widgets", &big).await.ok();
    let mut asked = server.paths();
    asked.sort();
    assert_eq!(asked, ["/big-objects", "/blue-namespaces"]);
    // Deletes of a collection are asked about one by one; an expression that fails forbids.
    let failed = client.delete(WIDGETS, &json!({})).await;
    assert_eq!(failed.code, 403, "{:#}", failed.body);
    insta::assert_snapshot!(failed.error());
}

/// kube-apiserver asks before it marks such a pod and before it removes it, and more often where its cache is late.
#[tokio::test]
async fn webhooks_are_asked_about_both_steps_of_a_pod_that_goes_at_once() {
    let server = WebhookServer::start(usual).await;
    let client = open().await;
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "x"}]}});
    client.post("/api/v1/namespaces/default/pods", &pod).await.ok();
    let rules = [rule(&["DELETE"], "", &["v1"], &["pods"])];
    configure(&client, "Validating", "pods", vec![webhook("pods", &server.client_config("/allow"), &rules)]).await;
    client.delete("/api/v1/namespaces/default/pods/p", &json!({"gracePeriodSeconds": 0})).await.ok();
    let grace_periods: Vec<Value> = server
        .asked()
        .iter()
        .map(|(_, review)| review["request"]["oldObject"]["metadata"]["deletionGracePeriodSeconds"].clone())
        .collect();
    assert_eq!(grace_periods, [Value::Null, json!(0)]);
}

#[tokio::test]
async fn a_webhook_for_another_version_gets_the_object_in_that_version() {
    let server = WebhookServer::start(|path, review| match path {
        "/old" => patch_answer(&json!([{"op": "add", "path": "/spec/size", "value": "large"}])),
        _ => usual(path, review),
    })
    .await;
    let client = open().await;
    let mut definition = widgets();
    let mut old = definition["spec"]["versions"][0].clone();
    old["name"] = "v1beta1".into();
    old["storage"] = false.into();
    definition["spec"]["versions"].as_array_mut().unwrap().push(old);
    client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.ok();
    let rules = [rule(&["*"], "example.com", &["v1beta1"], &["widgets"])];
    let mut exact = webhook("exact", &server.client_config("/exact"), &rules);
    exact["matchPolicy"] = "Exact".into();
    configure(&client, "Mutating", "old", vec![webhook("old", &server.client_config("/old"), &rules), exact]).await;
    let created = client.post(WIDGETS, &widget("a", &json!({}))).await.ok();
    assert_eq!(
        (created["apiVersion"].as_str(), created["spec"]["size"].as_str()),
        (Some("example.com/v1"), Some("large"))
    );
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    let request = &asked[0].1["request"];
    assert_eq!(request["object"]["apiVersion"], "example.com/v1beta1");
    assert_eq!(request["kind"]["version"], "v1beta1");
    assert_eq!(request["requestKind"]["version"], "v1");
}

#[tokio::test]
async fn a_service_is_where_the_server_was_told_it_is() {
    let webhooks = WebhookServer::start(usual).await;
    let services = [("default/hook:443".to_owned(), format!("https://{}", webhooks.address))].into();
    let server = Server::open(ServerOptions { webhook_services: services, ..ServerOptions::default() }).await.unwrap();
    let client = Client { kube: server.management().client(), _server: server };
    let service =
        json!({"service": {"namespace": "default", "name": "hook", "path": "/x"}, "caBundle": webhooks.ca_bundle});
    let rules = [rule(&["CREATE"], "", &["v1"], &["configmaps"])];
    configure(&client, "Validating", "all", vec![webhook("all", &service, &rules)]).await;
    client.post(crate::client::CONFIG_MAPS, &config_map("a")).await.ok();
    assert_eq!(webhooks.paths(), ["/x"]);
}

#[tokio::test]
async fn wrong_configurations_are_refused_with_every_reason() {
    let client = open().await;
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "wrong"},
        "webhooks": [
            {
                "name": "short",
                "clientConfig": {"url": "http://user@example.com/x?y#z"},
                "rules": [{"operations": ["*", "READ"], "apiGroups": [], "apiVersions": [""], "resources": ["*", "pods", "*/*"], "scope": "World"}],
                "sideEffects": "Some",
                "failurePolicy": "Retry",
                "timeoutSeconds": 31,
                "admissionReviewVersions": ["v2"],
                "matchConditions": [{"name": "a", "expression": "objekt.x"}, {"name": "a", "expression": "1 +"}, {"name": "", "expression": ""}],
            },
            {"name": "two.example.com", "clientConfig": {"service": {"name": "", "namespace": "a", "path": "x//y", "port": 70000}}, "admissionReviewVersions": []},
            {"name": "two.example.com", "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1", "v1"]},
        ],
    });
    let answer = client.post(&format!("{REGISTRATIONS}/mutatingwebhookconfigurations"), &configuration).await;
    insta::assert_snapshot!(answer.error());
}
