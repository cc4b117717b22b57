//! What a plan refuses: changes that cannot be made to a running cluster, and removals nobody confirmed.

use kogge_api::CONFIRM_REMOVAL_ANNOTATION;
use kogge_api::kubernetes_cluster::{ApiServerAccess, KubernetesClusterSpec};
use kogge_api::plan::{Action, Change, Effect, Step};
use kogge_api::problem::ProblemCode;
use serde_json::json;

use super::{ClusterPlanInput, steps};
use crate::description::changes;

/// Fields that are decided when a cluster is made.
const IMMUTABLE: [&str; 6] = [
    "spec.provider.profile",
    "spec.provider.region",
    "spec.network.nodeCIDR",
    "spec.network.podCIDR",
    "spec.network.serviceCIDR",
    "spec.network.externalNetwork",
];

/// The word with which lowering the number of control plane machines is confirmed.
const CONTROL_PLANE: &str = "control-plane";

/// A refused step.
pub(super) fn step(input: &ClusterPlanInput<'_>, code: ProblemCode, field: &str, reason: String) -> Step {
    let cause = Change { field: field.to_owned(), from: None, to: None };
    steps::on_cluster(input, Action::Refuse, vec![cause], Effect::Refused { code, reason })
}

/// All refusals of a change from what was applied to what is described.
pub(super) fn all(
    input: &ClusterPlanInput<'_>,
    effective: &KubernetesClusterSpec,
    applied: Option<&KubernetesClusterSpec>,
) -> Vec<Step> {
    let Some(applied) = applied else { return Vec::new() };
    let mut refused = Vec::new();
    for change in changes(Some(applied), effective) {
        if IMMUTABLE.contains(&change.field.as_str()) || change.field.starts_with("spec.network.ipv6") {
            let reason = format!("{} cannot be changed after creation; create a new cluster instead", change.field);
            refused.push(Step { causes: vec![change], ..step(input, ProblemCode::ImmutableField, "", reason) });
        }
    }
    let internal = |spec: &KubernetesClusterSpec| spec.api_server.effective_access() == ApiServerAccess::Internal;
    if internal(applied) != internal(effective) {
        let reason =
            "apiServer.access cannot be changed from or to Internal after creation; create a new cluster instead";
        refused.push(step(input, ProblemCode::ImmutableField, "spec.apiServer.access", reason.to_owned()));
    }

    let annotations = input.cluster.metadata.annotations.as_ref();
    let confirmed = annotations.and_then(|annotations| annotations.get(CONFIRM_REMOVAL_ANNOTATION));
    let is_confirmed = |name: &str| confirmed.is_some_and(|list| list.split(',').any(|item| item.trim() == name));
    for pool in input.observed.pools().keys() {
        if !effective.workers.iter().any(|kept| kept.name == *pool) && !is_confirmed(pool) {
            let change = Change { field: format!("spec.workers[{pool}]"), from: Some(json!(pool)), to: None };
            let reason = format!(
                "removing pool `{pool}` deletes its machines and what is stored on them; confirm it with the annotation \
                 {CONFIRM_REMOVAL_ANNOTATION}: {pool}"
            );
            refused.push(Step {
                pool: Some(pool.clone()),
                causes: vec![change],
                ..step(input, ProblemCode::ConfirmationRequired, "", reason)
            });
        }
    }
    let (from, to) = (applied.control_plane.count, effective.control_plane.count);
    if to < from && !is_confirmed(CONTROL_PLANE) {
        let change =
            Change { field: "spec.controlPlane.count".to_owned(), from: Some(json!(from)), to: Some(json!(to)) };
        let reason = format!(
            "fewer control plane machines tolerate fewer failures; confirm it with the annotation \
             {CONFIRM_REMOVAL_ANNOTATION}: {CONTROL_PLANE}"
        );
        refused.push(Step { causes: vec![change], ..step(input, ProblemCode::ConfirmationRequired, "", reason) });
    }
    refused
}
