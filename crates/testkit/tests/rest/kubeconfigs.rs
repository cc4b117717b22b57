//! Short-lived kubeconfigs.

use kube::config::{KubeConfigOptions, Kubeconfig};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::caller::{description, post, put, ready, request, resting, send};

fn parsed(answer: &Value) -> Kubeconfig {
    Kubeconfig::from_yaml(answer["kubeconfig"].as_str().unwrap()).unwrap()
}

/// What a request with the kubeconfig's certificate to `path` is answered with.
async fn namespaces(mut kubeconfig: Kubeconfig, server: impl FnOnce(&str) -> String) -> Result<usize, u16> {
    let cluster = kubeconfig.clusters[0].cluster.as_mut().unwrap();
    cluster.server = cluster.server.as_deref().map(server);
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let request = kube::core::Request::new("/api/v1/namespaces").list(&kube::api::ListParams::default()).unwrap();
    match client.request::<Value>(request).await {
        Ok(list) => Ok(list["items"].as_array().unwrap().len()),
        Err(kube::Error::Api(status)) => Err(status.code),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_opens_its_own_cluster_for_the_time_asked_and_nothing_else() {
    let path = "/v1/tenants/keys/clusters/a";
    ready(path).await;
    put("/v1/tenants/keys/clusters/b?wait=120", &description()).await.expect(StatusCode::CREATED);
    let before = now();
    let answer = post(&format!("{path}/kubeconfigs"), &json!({"expirationSeconds": 3600})).await;
    let answer = answer.expect(StatusCode::CREATED);
    let expires = seconds(&answer["expiresAt"]);
    assert!((before + 3590..=now() + 3600).contains(&expires), "{answer}");

    let kubeconfig = parsed(&answer);
    assert!(namespaces(kubeconfig.clone(), str::to_owned).await.unwrap() >= 4);
    let other = namespaces(kubeconfig.clone(), |server| server.replace("/keys/a", "/keys/b")).await;
    assert_eq!(other, Err(401), "another cluster of the tenant");
    let management = namespaces(kubeconfig, |server| server.split_once("/clusters").unwrap().0.to_owned()).await;
    assert_eq!(management, Err(401), "the management plane");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_a_kubeconfig_is_good_for_has_bounds_and_its_request_is_checked() {
    let path = "/v1/tenants/key-times/clusters/a";
    let unfinished = "/v1/tenants/key-times/clusters/unfinished";
    resting(unfinished).await;
    let refused = post(&format!("{unfinished}/kubeconfigs"), &json!({})).await;
    insta::assert_json_snapshot!("a_kubeconfig_that_is_not_there_yet", refused.problem());

    ready(path).await;
    let keys = format!("{path}/kubeconfigs");
    for (asked, given) in [(json!({"expirationSeconds": 1}), 600), (json!({"expirationSeconds": u32::MAX}), 30 * 86400)]
    {
        let answer = post(&keys, &asked).await.expect(StatusCode::CREATED);
        let valid = seconds(&answer["expiresAt"]) - now();
        assert!((given - 30..=given).contains(&valid), "{asked}: {valid}");
    }
    let default = send(request(Method::POST, &keys)).await.expect(StatusCode::CREATED);
    assert!(seconds(&default["expiresAt"]) - now() > 86000, "a day without a body");
    for body in ["{", "[]", "{\"expirationSeconds\": -1}", "{\"expirationSeconds\": \"1h\"}", "{\"seconds\": 1}"] {
        let refused = send(request(Method::POST, &keys).body(body)).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        refused.problem();
    }
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn seconds(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}
