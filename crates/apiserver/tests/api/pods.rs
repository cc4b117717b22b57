//! Pods: grace, binding, eviction and logs.

use std::sync::Arc;

use kogge_apiserver::server::{Server, ServerOptions};
use serde_json::{Value, json};

use crate::client::{Client, open};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "a"}},
        "spec": {"containers": [{"name": "main", "image": "x"}], "terminationGracePeriodSeconds": 7},
    })
}

async fn bound(client: &Client, name: &str) {
    client.post(PODS, &pod(name)).await.ok();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}});
    let path = format!("{PODS}/{name}/binding");
    assert_eq!(client.post(&path, &binding).await.code, 201);
    assert_eq!(client.post(&path, &binding).await.code, 409, "a pod is bound once");
}

#[tokio::test]
async fn a_bound_pod_is_deleted_by_its_kubelet_and_at_once_by_force() {
    let client = open().await;
    bound(&client, "a").await;
    let path = format!("{PODS}/a");
    let read = client.get(&path).await.ok();
    assert_eq!((&read["spec"]["nodeName"], &read["status"]["phase"]), (&json!("n"), &json!("Pending")));
    let marked = client.delete(&path, &json!({})).await.ok();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 7);
    assert_eq!(client.delete(&path, &json!({"gracePeriodSeconds": 0})).await.code, 200);
    assert_eq!(client.get(&path).await.code, 404);
    client.post(PODS, &pod("b")).await.ok();
    client.delete(&format!("{PODS}/b"), &json!({})).await.ok();
    assert_eq!(client.get(&format!("{PODS}/b")).await.code, 404, "a pod on no node goes at once");
}

#[tokio::test]
async fn a_pod_takes_ephemeral_containers_and_keeps_each_of_them() {
    let client = open().await;
    bound(&client, "a").await;
    let endpoint = format!("{PODS}/a/ephemeralcontainers");
    assert_eq!(client.get(&endpoint).await.ok()["kind"], "Pod");
    let debug = json!({"name": "debugger", "image": "busybox", "targetContainerName": "main"});
    let patch = json!({"metadata": {"labels": {"not": "taken"}}, "spec": {"ephemeralContainers": [debug], "nodeName": "other"}});
    let pod = client.patch(&endpoint, "strategic-merge", &patch).await.ok();
    let added = &pod["spec"]["ephemeralContainers"];
    assert_eq!((&added[0]["name"], added.as_array().unwrap().len()), (&json!("debugger"), 1));
    assert_eq!((&pod["spec"]["nodeName"], &pod["metadata"]["labels"]), (&json!("n"), &json!({"app": "a"})));

    let mut refused = Vec::new();
    for (index, list) in [
        json!([{"name": "debugger", "image": "alpine"}]),
        json!([]),
        json!([added[0], {"name": "main", "image": "x"}, {"image": "x"}, {"name": "none"}]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut changed = pod.clone();
        changed["spec"]["ephemeralContainers"] = list;
        let answer = client.put(&endpoint, &changed).await;
        assert_eq!(answer.code, 422, "{index}");
        refused.push(answer.error());
    }
    insta::assert_snapshot!(refused.join("\n"));
    assert_eq!(client.get(&format!("{PODS}/a")).await.ok()["spec"]["ephemeralContainers"], *added);
}

#[tokio::test]
async fn metadata_that_became_empty_is_left_out() {
    let client = open().await;
    let mut created = pod("a");
    created["metadata"]["annotations"] = json!({});
    let created = client.post(PODS, &created).await.ok();
    assert_eq!(created["metadata"].get("annotations"), None);
    let bare = client.patch(&format!("{PODS}/a"), "merge", &json!({"metadata": {"labels": {"app": null}}})).await.ok();
    assert_eq!(bare["metadata"].get("labels"), None);
}

#[tokio::test]
async fn an_eviction_respects_the_disruption_budget() {
    let client = open().await;
    for name in ["a", "b"] {
        bound(&client, name).await;
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        client.patch(&format!("{PODS}/{name}/status"), "merge", &ready).await.ok();
    }
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}},
    });
    client.post(budgets, &budget).await.ok();
    let status = json!({"status": {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "observedGeneration": 1}});
    client.patch(&format!("{budgets}/p/status"), "merge", &status).await.ok();
    let evict = async |name: &str| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        client.post(&format!("{PODS}/{name}/eviction"), &eviction).await
    };
    assert_eq!(evict("a").await.code, 201);
    assert!(client.get(&format!("{PODS}/a")).await.ok()["metadata"]["deletionTimestamp"].is_string());
    insta::assert_snapshot!(evict("b").await.error(), @r#"
    429 TooManyRequests: Cannot evict pod as it would violate the pod's disruption budget.
      DisruptionBudget : The disruption budget p does not allow evicting pods currently
    "#);
}

#[tokio::test]
async fn logs_come_from_the_hook() {
    let options = ServerOptions {
        pod_logs: Some(Arc::new(|request| {
            format!(
                "{}/{} on {:?}\nnothing runs\n",
                request.pod["metadata"]["name"].as_str().unwrap(),
                request.container,
                request.plane.0
            )
        })),
        ..ServerOptions::default()
    };
    let server = Server::open(options).await.unwrap();
    let client = Client { kube: server.management().client(), _server: server };
    bound(&client, "a").await;
    assert_eq!(client.get(&format!("{PODS}/a/log")).await.ok(), "a/main on \"\"\nnothing runs\n");
    assert_eq!(client.get(&format!("{PODS}/a/log?tailLines=1")).await.ok(), "nothing runs\n");
    assert_eq!(client.get(&format!("{PODS}/a/log?container=none")).await.code, 400);
}
