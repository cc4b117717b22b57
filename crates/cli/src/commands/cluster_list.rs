//! `kogge cluster list`

use kogge_api::kubernetes_cluster::KubernetesCluster;
use reqwest::Method;
use serde_json::Value;

use crate::arguments::{ListArguments, OutputFormat};
use crate::outcome::CommandError;
use crate::rest_client::{Body, RestClient};
use crate::{rendering, terminal};

/// Lists clusters.
///
/// # Errors
/// As the server answers.
pub async fn run(client: &RestClient, arguments: ListArguments) -> Result<(), CommandError> {
    let mut clients = vec![client.clone()];
    if arguments.all_tenants {
        let tenants: Value = client.call(Method::GET, "/v1/tenants", Body::Empty).await?;
        let names = tenants["items"].as_array().into_iter().flatten().filter_map(|tenant| tenant["name"].as_str());
        clients = names.map(|name| client.for_tenant(name)).collect();
    }
    let mut clusters = Vec::new();
    for client in &clients {
        let page: Value = client.call(Method::GET, &client.clusters_path(""), Body::Empty).await?;
        clusters.extend(page["items"].as_array().cloned().unwrap_or_default());
    }
    let text = match arguments.output.output {
        OutputFormat::Table => table(&clusters, arguments.all_tenants, jiff::Timestamp::now()),
        format => rendering::document(format, &serde_json::json!({ "items": clusters }), String::new)?,
    };
    if text.is_empty() {
        terminal::say(&format!("no clusters in tenant {}", client.tenant()));
    }
    terminal::print(&text)
}

/// Clusters for people; empty if there are none.
pub fn table(clusters: &[Value], tenants: bool, now: jiff::Timestamp) -> String {
    let rows: Vec<Vec<String>> = clusters
        .iter()
        .filter_map(|cluster| serde_json::from_value::<KubernetesCluster>(cluster.clone()).ok())
        .map(|cluster| {
            let status = cluster.status.unwrap_or_default();
            let mut row = vec![cluster.metadata.namespace.unwrap_or_default()];
            row.truncate(usize::from(tenants));
            row.extend([
                cluster.metadata.name.unwrap_or_default(),
                status.phase.unwrap_or_default().to_string(),
                status.kubernetes.and_then(|kubernetes| kubernetes.version).unwrap_or_else(|| "-".into()),
                status
                    .control_plane
                    .map_or_else(|| "-".into(), |machines| format!("{}/{}", machines.ready, machines.desired)),
                status.workers_summary.unwrap_or_else(|| "-".into()),
                cluster.spec.provider.profile,
                rendering::age(cluster.metadata.creation_timestamp.map(|time| time.0), now),
                status.problems.first().map_or_else(String::new, |problem| problem.code.clone()),
            ]);
            row
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let header = ["TENANT", "NAME", "PHASE", "VERSION", "CONTROL PLANE", "WORKERS", "PROFILE", "AGE", "PROBLEM"];
    rendering::table(&header[usize::from(!tenants)..], &rows)
}
