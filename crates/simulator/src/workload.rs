//! Workload clusters: the nodes and system workloads of a cluster's plane, and what happens to what users create there.

pub mod drain;
pub mod event;
pub mod jobs;
pub mod kubelet;
pub mod network;
pub mod node;
pub mod plane_state;
pub(crate) mod plane_view;
pub mod replicas;
pub mod runner;
pub mod scheduler;
pub mod sets;
pub mod storage;
pub mod system;
pub mod usage;

use serde_json::Value;

/// Whether a label selector (`matchLabels`, `matchExpressions`) selects these labels. An empty selector selects everything, a
/// missing one nothing.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    if !selector.is_object() {
        return false;
    }
    let by_labels = selector["matchLabels"]
        .as_object()
        .is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions = selector["matchExpressions"].as_array();
    by_labels && expressions.is_none_or(|all| all.iter().all(|it| matches_expression(it, labels)))
}

/// Whether one `{key, operator, values}` holds for these labels.
pub fn matches_expression(expression: &Value, labels: &Value) -> bool {
    let value = labels.get(expression["key"].as_str().unwrap_or_default());
    let listed = || expression["values"].as_array().is_some_and(|values| value.is_some_and(|it| values.contains(it)));
    let number = |it: &Value| it.as_str().and_then(|text| text.parse::<i64>().ok());
    let first = || expression["values"].get(0).and_then(number);
    match expression["operator"].as_str() {
        Some("In") => listed(),
        Some("NotIn") => !listed(),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        Some("Gt") => value.and_then(number).zip(first()).is_some_and(|(value, limit)| value > limit),
        Some("Lt") => value.and_then(number).zip(first()).is_some_and(|(value, limit)| value < limit),
        _ => false,
    }
}

/// What `kubectl logs` shows of a simulated pod: that nothing really runs.
pub fn pod_log_text(plane: &str, pod: &Value, container: &str) -> String {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let image = pod["spec"]["containers"]
        .as_array()
        .and_then(|all| all.iter().find(|it| it["name"] == container))
        .and_then(|it| it["image"].as_str())
        .unwrap_or_default();
    format!(
        "This is a simulated pod: cluster {plane} has no real machines, so container {container} ({image}) of pod \
         {namespace}/{name} is shown as running but runs nowhere and writes no log.\n"
    )
}
