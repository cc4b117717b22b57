//! Rules on region, stack and the settings a profile may forbid.

use super::{FieldPath, FieldProblem, Review, did_you_mean, list};
use crate::problem::ProblemCode;

pub(super) fn check(review: &mut Review<'_>) {
    let spec = FieldPath::root().child("spec");
    region(review, &spec);
    stack(review, &spec);
    features(review, &spec);
}

fn region(review: &mut Review<'_>, spec: &FieldPath) {
    let (Some(profile), Some(region)) = (review.profile, &review.description.spec.provider.region) else { return };
    let offered: Vec<&str> = profile.spec.regions.iter().map(|region| region.name.as_str()).collect();
    if !offered.contains(&region.as_str()) {
        let message = format!(
            "region `{region}` is not offered by profile `{}`{}; offered: {}",
            review.profile_name(),
            did_you_mean(region, offered.iter().copied()),
            list(&offered)
        );
        review.add(
            FieldProblem::new(
                ProblemCode::ZoneNotOffered,
                &spec.child("provider").child("region"),
                Some(region.as_str().into()),
                "a region of the profile",
                message,
            )
            .accepting(list(&offered)),
        );
    }
}

fn stack(review: &mut Review<'_>, spec: &FieldPath) {
    let (Some(profile), Some(stack)) = (review.profile, &review.description.spec.stack) else { return };
    let offered = &profile.spec.stack;
    let path = spec.child("stack");
    if let Some(name) = stack.name.as_ref().filter(|name| **name != offered.name) {
        let message = format!(
            "stack `{name}` is not offered by profile `{}`{}; offered: {}",
            review.profile_name(),
            did_you_mean(name, [offered.name.as_str()]),
            offered.name
        );
        review.add(
            FieldProblem::new(
                ProblemCode::StackNotFound,
                &path.child("name"),
                Some(name.as_str().into()),
                "a stack of the profile",
                message,
            )
            .accepting(offered.name.as_str()),
        );
    }
    if let Some(version) =
        stack.version.as_ref().filter(|version| !offered.releases.is_empty() && !offered.releases.contains(version))
    {
        let message = format!(
            "release `{version}` of stack `{}` is not offered by profile `{}`; offered: {}",
            offered.name,
            review.profile_name(),
            list(&offered.releases)
        );
        review.add(
            FieldProblem::new(
                ProblemCode::StackNotFound,
                &path.child("version"),
                Some(version.as_str().into()),
                "a release the profile offers",
                message,
            )
            .accepting(list(&offered.releases)),
        );
    }
}

/// Settings that exist only where the profile has the capability.
fn features(review: &mut Review<'_>, spec: &FieldPath) {
    let Some(profile) = review.profile else { return };
    let has = &profile.spec.capabilities;
    let wanted = &review.description.spec;
    let network = spec.child("network");
    let advanced = spec.child("advanced");
    let asks = wanted.advanced.as_ref();
    let list = [
        (wanted.network.ipv6.is_some() && !has.dual_stack, network.child("ipv6"), "dualStack", "IPv6 beside IPv4"),
        (wanted.network.proxy.is_some() && !has.proxy, network.child("proxy"), "proxy", "an HTTP proxy"),
        (
            asks.is_some_and(|asks| asks.node_image.is_some()) && !has.node_image,
            advanced.child("nodeImage"),
            "nodeImage",
            "a choice of the image of the machines",
        ),
        (
            asks.is_some_and(|asks| asks.ssh_key_name.is_some()) && !has.ssh_key,
            advanced.child("sshKeyName"),
            "sshKey",
            "emergency access by a key",
        ),
        (
            asks.is_some_and(|asks| asks.health_check.is_some()) && !has.health_check,
            advanced.child("healthCheck"),
            "healthCheck",
            "an adjustable health check",
        ),
        (
            asks.is_some_and(|asks| asks.etcd_backup.is_some()) && !has.etcd_backup,
            advanced.child("etcdBackup"),
            "etcdBackup",
            "an adjustable backup",
        ),
        (
            !wanted.control_plane.machine_metadata.is_empty() && !has.machine_metadata,
            spec.child("controlPlane").child("machineMetadata"),
            "machineMetadata",
            "metadata on machines",
        ),
    ];
    for (missing, path, capability, what) in list {
        if missing {
            let problem = capability_missing(review, &path, capability, what);
            review.add(problem);
        }
    }
}

/// The finding that the profile lacks a capability.
pub(super) fn capability_missing(review: &Review<'_>, path: &FieldPath, capability: &str, what: &str) -> FieldProblem {
    FieldProblem::new(
        ProblemCode::CapabilityMissing,
        path,
        None,
        &format!("needs the capability {capability}"),
        format!(
            "profile `{}` does not offer {what} (capability {capability}); remove the field",
            review.profile_name()
        ),
    )
}
