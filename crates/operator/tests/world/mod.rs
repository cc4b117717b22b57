//! A world for the operator: the embedded server, the kinds of Cluster API without schemas, and a stand-in that does in
//! one go what Cluster API does over minutes.

use std::time::Duration;

use kogge_api::KubernetesCluster;
use kogge_api::kubernetes_cluster::Phase;
use kogge_apiserver::server::{Server, ServerOptions};
use kogge_operator::{OperatorOptions, install_custom_resource_definitions, run};
use kube::api::{ApiResource, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const NAMESPACE: &str = "default";

/// Group, kind, plural.
const KINDS: [(&str, &str, &str); 11] = [
    ("cluster.x-k8s.io", "Cluster", "clusters"),
    ("cluster.x-k8s.io", "ClusterClass", "clusterclasses"),
    ("cluster.x-k8s.io", "MachineDeployment", "machinedeployments"),
    ("cluster.x-k8s.io", "Machine", "machines"),
    ("controlplane.cluster.x-k8s.io", "KubeadmControlPlane", "kubeadmcontrolplanes"),
    ("controlplane.cluster.x-k8s.io", "KubeadmControlPlaneTemplate", "kubeadmcontrolplanetemplates"),
    ("bootstrap.cluster.x-k8s.io", "KubeadmConfigTemplate", "kubeadmconfigtemplates"),
    ("infrastructure.cluster.x-k8s.io", "SimulatedCluster", "simulatedclusters"),
    ("infrastructure.cluster.x-k8s.io", "SimulatedClusterTemplate", "simulatedclustertemplates"),
    ("infrastructure.cluster.x-k8s.io", "SimulatedMachine", "simulatedmachines"),
    ("infrastructure.cluster.x-k8s.io", "SimulatedMachineTemplate", "simulatedmachinetemplates"),
];

pub struct World {
    pub client: Client,
    _server: Server,
}

impl World {
    pub async fn new() -> Self {
        let server = Server::open(ServerOptions::default()).await.unwrap();
        let client = server.management().client();
        install_custom_resource_definitions(&client).await.unwrap();
        for (group, kind, plural) in KINDS {
            let definition = json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.{group}"), "annotations": {"api-approved.kubernetes.io": "unapproved"}},
                "spec": {
                    "group": group,
                    "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                    "scope": "Namespaced",
                    "versions": [{
                        "name": "v1beta2", "served": true, "storage": true, "subresources": {"status": {}},
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                    }],
                },
            });
            let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&gvk));
            api.create(&PostParams::default(), &serde_json::from_value(definition).unwrap()).await.unwrap();
        }
        let profiles: Api<kogge_api::ProviderProfile> = Api::all(client.clone());
        profiles.create(&PostParams::default(), &kogge_api::provider_profile::simulation()).await.unwrap();
        Self { client, _server: server }
    }

    pub fn clusters(&self) -> Api<KubernetesCluster> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        api(&self.client, kind)
    }

    pub async fn describe(&self, spec: Value) {
        let object = json!({
            "apiVersion": "kogge.dev/v1alpha1", "kind": "KubernetesCluster", "metadata": {"name": "demo"}, "spec": spec,
        });
        let parameters = PatchParams::apply("test").force();
        self.clusters().patch("demo", &parameters, &Patch::Apply(&object)).await.unwrap();
    }

    /// The operator; it dies when the handle is aborted, as a process that is killed.
    pub fn operator(&self) -> JoinHandle<()> {
        let mut options = OperatorOptions::new(self.client.clone());
        options.interval = Duration::from_millis(20);
        tokio::spawn(async move { run(options, CancellationToken::new()).await.unwrap() })
    }

    /// Stands in for Cluster API.
    pub fn cluster_api(&self) -> JoinHandle<()> {
        let client = self.client.clone();
        tokio::spawn(async move {
            loop {
                // Conflicts with what is being deleted are met again in the next round.
                let _ = play(&client).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
    }

    pub async fn cluster(&self) -> KubernetesCluster {
        self.clusters().get("demo").await.unwrap()
    }

    pub async fn wait(&self, what: &str, holds: impl Fn(&KubernetesCluster) -> bool) -> KubernetesCluster {
        for _ in 0..600 {
            let cluster = self.cluster().await;
            if holds(&cluster) {
                return cluster;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never {what}: {}", serde_json::to_string_pretty(&self.cluster().await.status).unwrap());
    }

    pub async fn wait_ready(&self) -> KubernetesCluster {
        self.wait("Ready", |cluster| {
            cluster.status.as_ref().is_some_and(|status| {
                status.phase == Some(Phase::Ready) && status.observed_generation == cluster.metadata.generation
            })
        })
        .await
    }

    /// The revision of the whole plane: it moves with every write.
    pub async fn revision(&self) -> String {
        self.clusters().list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap()
    }

    /// Everything the operator made, without what differs from run to run.
    pub async fn made(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (_, kind, _) in KINDS {
            for object in self.api(kind).list(&ListParams::default()).await.unwrap() {
                let mut value = serde_json::to_value(&object).unwrap();
                let metadata = &object.metadata;
                value["metadata"] = json!({"name": metadata.name, "labels": metadata.labels});
                value["status"] = Value::Null;
                all.push(value);
            }
        }
        all
    }
}

pub fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let (group, ..) = KINDS.iter().find(|(_, known, _)| *known == kind).unwrap();
    Api::namespaced_with(
        client.clone(),
        NAMESPACE,
        &ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1beta2", kind)),
    )
}

async fn play(client: &Client) -> Result<(), kube::Error> {
    let clusters = api(client, "Cluster");
    let all = clusters.list(&ListParams::default()).await?;
    if all.items.is_empty() {
        for kind in ["KubeadmControlPlane", "MachineDeployment"] {
            api(client, kind).delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        }
    }
    for cluster in all {
        if cluster.data["spec"]["paused"] == true {
            continue;
        }
        let name = cluster.metadata.name.clone().unwrap();
        let topology = &cluster.data["spec"]["topology"];
        let version = &topology["version"];
        let count = &topology["controlPlane"]["replicas"];
        let label = json!({"cluster.x-k8s.io/cluster-name": name});
        put(
            client,
            "KubeadmControlPlane",
            &format!("{name}-cp"),
            &label,
            &json!({"replicas": count, "version": version}),
            count,
            version,
        )
        .await?;
        let deployments = topology["workers"]["machineDeployments"].as_array().cloned().unwrap_or_default();
        let mut kept = Vec::new();
        for deployment in &deployments {
            let topology_name = deployment["name"].as_str().unwrap();
            let mut labels = label.clone();
            labels["topology.cluster.x-k8s.io/deployment-name"] = json!(topology_name);
            let object = format!("{name}-{topology_name}");
            let spec = json!({"replicas": deployment["replicas"], "template": {"spec": {"version": version}}});
            put(client, "MachineDeployment", &object, &labels, &spec, &deployment["replicas"], &Value::Null).await?;
            kept.push(object);
        }
        for existing in api(client, "MachineDeployment").list(&ListParams::default()).await? {
            let existing = existing.metadata.name.unwrap();
            if !kept.contains(&existing) {
                api(client, "MachineDeployment").delete(&existing, &DeleteParams::default()).await?;
            }
        }
        let generation = cluster.metadata.generation;
        let condition = |name: &str, status: &str| json!({"type": name, "status": status, "reason": name, "message": "", "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({
            "observedGeneration": generation,
            "initialization": {"infrastructureProvisioned": true, "controlPlaneInitialized": true},
            "conditions": [
                condition("Available", "True"), condition("TopologyReconciled", "True"), condition("InfrastructureReady", "True"),
                condition("RollingOut", "False"), condition("ScalingUp", "False"), condition("ScalingDown", "False"),
            ],
        });
        if cluster.data["status"] != status {
            clusters.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
        }
    }
    Ok(())
}

async fn put(
    client: &Client,
    kind: &str,
    name: &str,
    labels: &Value,
    spec: &Value,
    count: &Value,
    version: &Value,
) -> Result<(), kube::Error> {
    let api = api(client, kind);
    let group = if kind == "KubeadmControlPlane" { "controlplane.cluster.x-k8s.io" } else { "cluster.x-k8s.io" };
    let known = api.get_opt(name).await?;
    if known.as_ref().is_none_or(|known| known.data["spec"] != *spec) {
        let object = json!({"apiVersion": format!("{group}/v1beta2"), "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec});
        api.patch(name, &PatchParams::apply("cluster-api").force(), &Patch::Apply(&object)).await?;
    }
    let known = api.get(name).await?;
    let mut status = json!({
        "observedGeneration": known.metadata.generation, "replicas": count, "readyReplicas": count,
        "upToDateReplicas": count, "availableReplicas": count,
    });
    if version.is_string() {
        status["version"] = version.clone();
    }
    if known.data["status"] != status {
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
    }
    Ok(())
}
