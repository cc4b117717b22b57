//! The real components start and say what they are.

use kogge_testkit::real::RealApiServer;

#[tokio::test]
async fn the_real_api_server_is_the_pinned_version_with_its_controllers() {
    let Some(server) = RealApiServer::start("the real API server was not started").await else { return };
    let kubeconfig = kube::config::Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
    let client = kube::Client::try_from(config.await.unwrap()).unwrap();
    let version = client.apiserver_version().await.unwrap();
    assert_eq!(version.git_version, "v1.36.3");

    let request = |method: &str, path: &str, body: serde_json::Value| {
        let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        request.body(body.to_string().into_bytes()).unwrap()
    };
    let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone"}});
    client.request_text(request("POST", "/api/v1/namespaces", namespace)).await.unwrap();
    client.request_text(request("DELETE", "/api/v1/namespaces/gone", serde_json::json!({}))).await.unwrap();
    let get = || client.request_text(request("GET", "/api/v1/namespaces/gone", serde_json::json!({})));
    while get().await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
