//! Scenario `cluster`: one cluster from the request to Ready, and the same request once more.

use std::time::{Duration, Instant};

use anyhow::ensure;
use kogge::rest_client::{Body, RestClient};
use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::{Latencies, Report};
use crate::server_process::ServerProcess;

/// Options of the scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Clusters, made one after the other
    #[arg(long, default_value_t = 7)]
    runs: usize,
}

/// The description of a cluster with three control plane machines and three workers.
pub(crate) fn description(name: &str) -> Value {
    json!({
        "apiVersion": "kogge.dev/v1alpha1",
        "kind": "KubernetesCluster",
        "metadata": {"name": name},
        "spec": {
            "provider": {"profile": "sim"},
            "kubernetes": {"version": "1.35"},
            "controlPlane": {"count": 3},
            "workers": [{"name": "workers", "count": 3}],
        },
    })
}

/// Creates or replaces a cluster.
pub(crate) async fn put(client: &RestClient, name: &str) -> anyhow::Result<Value> {
    let path = client.clusters_path(&format!("/{name}"));
    client
        .call(Method::PUT, &path, Body::Json(&description(name)))
        .await
        .map_err(|error| anyhow::anyhow!("{}", error.render()))
}

/// Runs the scenario.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut report = Report::begin(
        "cluster",
        "`kogge up --speed max` as a process of its own. From before the PUT of a cluster of 3 control plane machines and 3\n\
         workers until GET shows phase Ready, polled every 5 ms. Writes: revisions of the management plane from before to\n\
         two seconds after an identical PUT, once the cluster has been Ready for ten seconds.",
    )?;
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::spawn(&folder.path().join("data"))?;
    server.ready().await?;
    let (rest, kubernetes) = (server.rest().await?, server.kubernetes().await?);
    let mut latencies = Latencies::default();
    for run in 0..arguments.runs.max(1) {
        let name = format!("run-{run}");
        let begin = Instant::now();
        put(&rest, &name).await?;
        wait_until_ready(&rest, &name).await?;
        latencies.0.push(begin.elapsed());
        if run == 0 {
            report.figure("PUT to Ready, first cluster of the process", &format!("{:.2?}", begin.elapsed()))?;
        }
    }
    let median = latencies.quantile(0.5);
    report.bounded(
        &format!("PUT to Ready, median of {}", latencies.0.len()),
        &format!("{median:.2?}"),
        "2 s",
        median < Duration::from_secs(2),
    )?;
    report.figure("  slowest", &format!("{:.2?}", latencies.quantile(1.0)))?;

    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = revision(&kubernetes).await?;
    let begin = Instant::now();
    put(&rest, "run-0").await?;
    report.figure("identical PUT", &format!("{:.1?}", begin.elapsed()))?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let writes = revision(&kubernetes).await? - before;
    report.bounded("writes after an identical PUT", &writes.to_string(), "0", writes == 0)?;
    report.end()
}

async fn wait_until_ready(rest: &RestClient, name: &str) -> anyhow::Result<()> {
    let path = rest.clusters_path(&format!("/{name}"));
    let begin = Instant::now();
    loop {
        let found: Value =
            rest.call(Method::GET, &path, Body::Empty).await.map_err(|error| anyhow::anyhow!("{}", error.render()))?;
        if found["status"]["phase"] == "Ready" {
            return Ok(());
        }
        ensure!(begin.elapsed() < Duration::from_mins(1), "{name} is not Ready after 60 s: {}", found["status"]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Revision of the management plane: every write of any object counts it up.
pub(crate) async fn revision(client: &kube::Client) -> anyhow::Result<u64> {
    let namespaces: Api<DynamicObject> =
        Api::all_with(client.clone(), &kube::api::ApiResource::erase::<k8s_openapi::api::core::v1::Namespace>(&()));
    let list = namespaces.list(&ListParams::default()).await?;
    Ok(list.metadata.resource_version.unwrap_or_default().parse()?)
}
