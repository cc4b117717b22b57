//! What cannot be changed after creation, and what must be confirmed because machines and their data go.

use kube_core::ResourceExt;
use serde_json::Value;

use super::{FieldPath, FieldProblem, Review};
use crate::CONFIRM_REMOVAL_ANNOTATION;
use crate::kubernetes_cluster::ApiServerAccess;
use crate::problem::ProblemCode::{ConfirmationRequired, ImmutableField};

/// Name under which the control plane stands in a confirmation.
const CONTROL_PLANE: &str = "control-plane";

pub(super) fn check(review: &mut Review<'_>) {
    let Some(previous) = review.previous else { return };
    let spec = FieldPath::root().child("spec");
    let (new, old) = (&review.description.spec, &previous.spec);
    let network = spec.child("network");
    let text = |value: &Option<String>| value.as_deref().map(Value::from);
    let ranges = |ranges: &Option<crate::kubernetes_cluster::Ipv6Network>| {
        serde_json::to_value(ranges).ok().filter(|value| !value.is_null())
    };
    let fields = [
        (
            spec.child("provider").child("profile"),
            Some(new.provider.profile.as_str().into()),
            Some(old.provider.profile.as_str().into()),
        ),
        (spec.child("provider").child("region"), text(&new.provider.region), text(&old.provider.region)),
        (
            network.child("nodeCIDR"),
            Some(new.network.node_cidr.as_str().into()),
            Some(old.network.node_cidr.as_str().into()),
        ),
        (
            network.child("podCIDR"),
            Some(new.network.pod_cidr.as_str().into()),
            Some(old.network.pod_cidr.as_str().into()),
        ),
        (
            network.child("serviceCIDR"),
            Some(new.network.service_cidr.as_str().into()),
            Some(old.network.service_cidr.as_str().into()),
        ),
        (network.child("ipv6"), ranges(&new.network.ipv6), ranges(&old.network.ipv6)),
        (network.child("externalNetwork"), text(&new.network.external_network), text(&old.network.external_network)),
    ];
    for (path, new, old) in fields {
        if new != old {
            let problem = changed(&path, new, old.as_ref());
            review.add(problem);
        }
    }
    let internal =
        |spec: &crate::KubernetesClusterSpec| spec.api_server.effective_access() == ApiServerAccess::Internal;
    if internal(new) != internal(old) {
        let access =
            |spec: &crate::KubernetesClusterSpec| serde_json::to_value(spec.api_server.effective_access()).ok();
        let problem = changed(&spec.child("apiServer").child("access"), access(new), access(old).as_ref());
        review.add(problem);
    }
}

fn changed(path: &FieldPath, new: Option<Value>, old: Option<&Value>) -> FieldProblem {
    let (message, accepted) = match old {
        Some(old) => {
            (format!("cannot be changed after creation: it is {old}; create a new cluster instead"), old.to_string())
        }
        None => ("cannot be set after creation; create a new cluster instead".into(), "no value".into()),
    };
    FieldProblem::new(ImmutableField, path, new, "fixed at creation", message).accepting(accepted)
}

/// Removing a pool, or control plane machines, takes the local data with it: the user says so in an annotation.
pub(super) fn check_confirmation(review: &mut Review<'_>) {
    let Some(previous) = review.previous else { return };
    let confirmed: Vec<&str> = review
        .description
        .annotations()
        .get(CONFIRM_REMOVAL_ANNOTATION)
        .map(|list| list.split(',').map(str::trim).collect())
        .unwrap_or_default();
    let (new, old) = (&review.description.spec, &previous.spec);
    let mut missing = Vec::new();
    for pool in &old.workers {
        let gone = !new.workers.iter().any(|kept| kept.name == pool.name);
        if gone && !confirmed.contains(&pool.name.as_str()) {
            let message = format!("worker pool `{}` would be removed with its machines", pool.name);
            missing.push((FieldPath::root().child("spec").child("workers"), message, pool.name.clone()));
        }
    }
    if new.control_plane.count < old.control_plane.count && !confirmed.contains(&CONTROL_PLANE) {
        let message = format!(
            "the control plane would shrink from {} to {} machines",
            old.control_plane.count, new.control_plane.count
        );
        missing.push((
            FieldPath::root().child("spec").child("controlPlane").child("count"),
            message,
            CONTROL_PLANE.into(),
        ));
    }
    for (path, message, word) in missing {
        let accepted = format!("annotation {CONFIRM_REMOVAL_ANNOTATION}: \"{word}\"");
        review.add(
            FieldProblem::new(
                ConfirmationRequired,
                &path,
                None,
                "a confirmation",
                format!("{message}; if you mean it, add the {accepted}"),
            )
            .accepting(accepted),
        );
    }
}

/// The words that confirm every removal a change brings, for interfaces where the user confirms in another way.
pub fn confirmation(description: &crate::KubernetesCluster, previous: &crate::KubernetesCluster) -> Vec<String> {
    let (new, old) = (&description.spec, &previous.spec);
    let gone = old.workers.iter().filter(|pool| !new.workers.iter().any(|kept| kept.name == pool.name));
    let mut words: Vec<String> = gone.map(|pool| pool.name.clone()).collect();
    if new.control_plane.count < old.control_plane.count {
        words.push(CONTROL_PLANE.into());
    }
    words
}
