//! A server with a running simulator, and short ways to look at both.

use std::time::Duration;

use http::Request;
use kogge_apiserver::{
    server::{Server, ServerOptions},
    store::PlaneName,
};
use kogge_simulator::{SimulatorOptions, clock::Speed, kind::Kind};
use kube::Client;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Path prefix of Cluster API's kinds in the namespace of the tests.
pub(crate) const CORE: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default";

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) client: Client,
    stop: DropGuard,
}

impl World {
    /// A simulator at full speed, with the fixture's class and cluster applied.
    pub(crate) async fn with_cluster() -> Self {
        let world = Self::start(Speed::Max).await;
        for object in fixture() {
            world.apply(&object).await;
        }
        world
    }

    pub(crate) async fn start(speed: Speed) -> Self {
        let server = Server::open(ServerOptions {
            pod_logs: Some(std::sync::Arc::new(|request| {
                kogge_simulator::pod_log_text(&request.plane.0, request.pod, request.container)
            })),
            pod_usage: Some(std::sync::Arc::new(kogge_simulator::usage)),
            ..ServerOptions::default()
        })
        .await
        .unwrap();
        let client = server.management().client();
        kogge_simulator::install_custom_resource_definitions(&client).await.unwrap();
        let stop = Self::run(&server, speed);
        Self { server, client, stop }
    }

    fn run(server: &Server, speed: Speed) -> DropGuard {
        let stop = CancellationToken::new();
        let mut options = SimulatorOptions::new(server.clone(), "https://127.0.0.1:7443");
        options.speed = speed;
        tokio::spawn(kogge_simulator::run(options, stop.clone()));
        stop.drop_guard()
    }

    /// Ends the simulator wherever it is, and starts another one.
    pub(crate) fn restart(&mut self, speed: Speed) {
        self.stop = Self::run(&self.server, speed);
    }

    /// Every object of the management plane's simulated kinds and of the cluster's plane, with its revision.
    pub(crate) async fn revisions(&self) -> Vec<String> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let root =
                if kind.group().is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", kind.api_version()) };
            all.extend(self.list(&format!("{root}/{}", kind.plural())).await);
        }
        for path in ["/api/v1/pods", "/api/v1/nodes", "/apis/apps/v1/deployments", "/apis/apps/v1/daemonsets"] {
            all.extend(self.plane_list(path).await);
        }
        let shown = |it: &Value| format!("{} {}", it["metadata"]["name"], it["metadata"]["resourceVersion"]);
        all.iter().map(shown).collect()
    }

    pub(crate) async fn request(
        &self,
        client: &Client,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Value, kube::Error> {
        let mut request = Request::builder().method(method).uri(path);
        let bytes = body.map_or_else(Vec::new, |(_, body)| serde_json::to_vec(body).unwrap());
        if let Some((media_type, _)) = body {
            request = request.header("content-type", media_type);
        }
        client.request(request.body(bytes).unwrap()).await
    }

    pub(crate) async fn apply(&self, object: &Value) {
        let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
        let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase()).replace("classs", "classes");
        let scope = object["metadata"]["namespace"].as_str().map_or_else(String::new, |it| format!("namespaces/{it}/"));
        let path = format!(
            "/apis/{group}/{version}/{scope}{plural}/{}?fieldManager=test&force=true",
            object["metadata"]["name"].as_str().unwrap()
        );
        self.request(&self.client, "PATCH", &path, Some(("application/apply-patch+yaml", object))).await.unwrap();
    }

    pub(crate) async fn patch(&self, path: &str, patch: Value) {
        self.request(&self.client, "PATCH", path, Some(("application/merge-patch+json", &patch))).await.unwrap();
    }

    pub(crate) async fn delete(&self, path: &str) {
        self.request(&self.client, "DELETE", path, None).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        match self.request(&self.client, "GET", path, None).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).await.unwrap()["items"].as_array().unwrap().clone()
    }

    pub(crate) async fn cluster(&self) -> Value {
        self.get(&format!("{CORE}/clusters/first")).await.unwrap_or_default()
    }

    pub(crate) fn plane(&self) -> Client {
        self.server.plane(&PlaneName("default/first".into())).expect("the plane is there").client()
    }

    pub(crate) async fn plane_list(&self, path: &str) -> Vec<Value> {
        self.request(&self.plane(), "GET", path, None).await.unwrap()["items"].as_array().unwrap().clone()
    }

    pub(crate) async fn plane_get(&self, path: &str) -> Value {
        self.request(&self.plane(), "GET", path, None).await.unwrap_or_default()
    }

    pub(crate) async fn plane_create(&self, path: &str, object: &Value) {
        self.request(&self.plane(), "POST", path, Some(("application/json", object))).await.unwrap();
    }

    /// Waits until the cluster shows what `holds` asks for.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        self.until_async(what, async || holds(&self.cluster().await)).await;
    }

    pub(crate) async fn until_async(&self, what: &str, holds: impl AsyncFn() -> bool) {
        for _ in 0..1200 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let machines: Vec<String> = self
            .list(&format!("{CORE}/machines"))
            .await
            .iter()
            .map(|it| format!("{} {} {}", it["metadata"]["name"], it["status"]["phase"], condition(it, "Ready")))
            .collect();
        panic!("{what} did not come true: {:#}\n{}", self.cluster().await["status"], machines.join("\n"));
    }

    pub(crate) async fn until_available(&self) {
        self.until("Available", is_settled).await;
    }
}

pub(crate) fn fixture() -> Vec<Value> {
    serde_saphyr::from_str(include_str!("class.yaml")).unwrap()
}

pub(crate) fn condition(object: &Value, name: &str) -> Value {
    object["status"]["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|it| it["type"] == name))
        .cloned()
        .unwrap_or(json!(null))
}

pub(crate) fn is_settled(cluster: &Value) -> bool {
    let is = |name: &str, status: &str| condition(cluster, name)["status"] == status;
    is("Available", "True")
        && is("TopologyReconciled", "True")
        && ["RollingOut", "ScalingUp", "ScalingDown", "Remediating"].iter().all(|name| is(name, "False"))
        && condition(cluster, "TopologyReconciled")["observedGeneration"] == cluster["metadata"]["generation"]
        && cluster["status"]["workers"]["availableReplicas"] == cluster["status"]["workers"]["desiredReplicas"]
        && cluster["status"]["controlPlane"]["availableReplicas"]
            == cluster["status"]["controlPlane"]["desiredReplicas"]
}
