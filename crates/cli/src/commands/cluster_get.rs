//! `kogge cluster get NAME`

use std::fmt::Write as _;

use kogge_api::kubernetes_cluster::KubernetesCluster;

use crate::arguments::GetArguments;
use crate::outcome::CommandError;
use crate::progress::{current, problem_line, summary};
use crate::rest_client::RestClient;
use crate::{rendering, terminal};

/// Shows one cluster.
///
/// # Errors
/// As the server answers.
pub async fn run(client: &RestClient, arguments: GetArguments) -> Result<(), CommandError> {
    let cluster = current(client, &arguments.name).await?;
    terminal::print(&rendering::document(arguments.output.output, &cluster, || {
        describe(&cluster, jiff::Timestamp::now())
    })?)
}

/// A cluster for people.
pub fn describe(cluster: &KubernetesCluster, now: jiff::Timestamp) -> String {
    let status = cluster.status.clone().unwrap_or_default();
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<15}{value}");
    };
    row("Name", cluster.metadata.name.as_deref().unwrap_or_default());
    row("Tenant", cluster.metadata.namespace.as_deref().unwrap_or_default());
    row("State", &summary(cluster));
    row("Profile", &cluster.spec.provider.profile);
    let kubernetes = status.kubernetes.clone().unwrap_or_default();
    let version = match (&kubernetes.version, &kubernetes.target_version) {
        (Some(running), Some(target)) if running != target => format!("{running}, on its way to {target}"),
        (Some(running), _) => format!("{running} (asked for: {})", cluster.spec.kubernetes.version),
        (None, _) => format!("{} (asked for)", cluster.spec.kubernetes.version),
    };
    row("Kubernetes", &version);
    row("API server", status.api_server.and_then(|api| api.endpoint).as_deref().unwrap_or("-"));
    if let Some(stack) = &status.stack {
        row("Stack", &format!("{} {}", stack.name, stack.version));
    }
    let created = cluster.metadata.creation_timestamp.as_ref().map(|time| time.0);
    row("Age", &rendering::age(created, now));
    if let Some(control_plane) = &status.control_plane {
        let version = control_plane.version.clone().unwrap_or_default();
        let mut rows = vec![pool_row(
            "control plane",
            control_plane.ready,
            control_plane.desired,
            control_plane.up_to_date,
            version,
        )];
        rows.extend(status.workers.iter().map(|pool| {
            pool_row(&pool.name, pool.ready, pool.desired, pool.up_to_date, pool.version.clone().unwrap_or_default())
        }));
        let _ = write!(text, "\n{}", rendering::table(&["MACHINES", "READY", "UP TO DATE", "VERSION"], &rows));
    }
    if !status.problems.is_empty() {
        text.push('\n');
        for problem in &status.problems {
            let _ = writeln!(text, "{}", problem_line(problem).trim_start());
        }
    }
    text
}

fn pool_row(name: &str, ready: u32, desired: u32, up_to_date: u32, version: String) -> Vec<String> {
    vec![name.to_owned(), format!("{ready}/{desired}"), up_to_date.to_string(), version]
}
