//! What is wrong with a cluster, in one answer: problems, objects that are not ready, the cloud's last words, events.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kogge_api::kubernetes_cluster::{ClusterProblem, KubernetesCluster, Phase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tree::TreeNode;

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    /// What the cluster is doing.
    pub phase: Phase,
    /// What is known to be wrong, with who has to act.
    pub problems: Vec<ClusterProblem>,
    /// The innermost objects that are not ready.
    pub failing: Vec<FailingObject>,
    /// The last message of the cloud about an object that is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_message: Option<String>,
    /// The last events about the cluster and its objects, oldest first.
    pub events: Vec<EventSummary>,
}

/// An object that is not ready.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FailingObject {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// One word for why.
    pub reason: String,
    /// In words.
    pub message: String,
}

/// A Kubernetes event.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventSummary {
    /// When it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub time: Option<Timestamp>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// One word for what.
    pub reason: String,
    /// `Kind/name`.
    pub object: String,
    /// In words.
    pub message: String,
    /// How often.
    pub count: i32,
}

/// When an event was last seen.
pub(crate) fn event_time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    series
        .or(event.last_timestamp.as_ref().map(|time| time.0))
        .or(event.event_time.as_ref().map(|time| time.0))
        .or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

impl From<&Event> for EventSummary {
    fn from(event: &Event) -> Self {
        let object = &event.involved_object;
        Self {
            time: event_time(event),
            event_type: event.type_.clone().unwrap_or_default(),
            reason: event.reason.clone().unwrap_or_default(),
            object: format!(
                "{}/{}",
                object.kind.as_deref().unwrap_or_default(),
                object.name.as_deref().unwrap_or_default()
            ),
            message: event.message.clone().unwrap_or_default(),
            count: event.count.or(event.series.as_ref().and_then(|series| series.count)).unwrap_or(1),
        }
    }
}

/// Puts the answer together.
pub(crate) fn diagnose(cluster: &KubernetesCluster, tree: &TreeNode, events: &[Event]) -> Diagnostics {
    const EVENTS: usize = 20;
    let status = cluster.status.clone().unwrap_or_default();
    let mut failing = Vec::new();
    collect_failing(tree, &mut failing);
    let cloud_message = failing
        .iter()
        .rev()
        .find(|object| !object.message.is_empty() && !object.kind.starts_with("Kube"))
        .map(|object| object.message.clone());
    Diagnostics {
        phase: status.phase.unwrap_or_default(),
        problems: status.problems,
        failing,
        cloud_message,
        events: events[events.len().saturating_sub(EVENTS)..].iter().map(EventSummary::from).collect(),
    }
}

/// Objects that are not ready and have nothing below them that explains it.
fn collect_failing(node: &TreeNode, failing: &mut Vec<FailingObject>) -> bool {
    let mut explained = false;
    for child in &node.children {
        explained |= collect_failing(child, failing);
    }
    let not_ready = node.ready.as_deref().is_some_and(|ready| ready != "True");
    if not_ready && !explained {
        failing.push(FailingObject {
            kind: node.kind.clone(),
            name: node.name.clone(),
            reason: node.reason.clone(),
            message: node.message.clone(),
        });
    }
    not_ready || explained
}
