//! Fits an imported description to what its profile offers, and says so.

use super::FindingKind::{Changed, NeedsDecision};
use super::findings::{Finding, FindingKind};
use super::parameter_file::Parameter;
use crate::kubernetes_cluster::KubernetesClusterSpec;
use crate::provider_profile::{Flavor, FlavorName, ProviderProfileSpec};

/// Replaces what the profile does not offer by the nearest it does.
pub(super) fn fit(
    parameters: &[Parameter],
    profile: &ProviderProfileSpec,
    spec: &mut KubernetesClusterSpec,
    findings: &mut Vec<Finding>,
) {
    let mut say = |parameter: &str, kind: FindingKind, message: String| {
        let line = parameters.iter().rev().find(|found| found.key == parameter).map_or(0, |found| found.line);
        findings.push(Finding { kind, line, parameter: parameter.into(), message });
    };
    version(profile, spec, &mut say);
    zones(profile, spec, &mut say);

    let diskful = |name: &Option<String>| name.as_deref().and_then(|name| profile.flavor(name)).is_some_and(has_disk);
    if let Some(name) = &spec.control_plane.machine_flavor {
        spec.control_plane.machine_flavor =
            Some(flavor(profile, name, true, "OPENSTACK_CONTROL_PLANE_MACHINE_FLAVOR", &mut say));
    }
    if spec.control_plane.root_disk_gib.is_some() && diskful(&spec.control_plane.machine_flavor) {
        spec.control_plane.root_disk_gib = None;
        say("CONTROL_PLANE_ROOT_DISKSIZE", Changed, "the flavor has a disk of its own, which is used".into());
    }
    for pool in &mut spec.workers {
        if let Some(name) = &pool.machine_flavor {
            pool.machine_flavor = Some(flavor(profile, name, false, "OPENSTACK_NODE_MACHINE_FLAVOR", &mut say));
        }
        if pool.root_disk_gib.is_some() && diskful(&pool.machine_flavor) {
            pool.root_disk_gib = None;
            say("WORKER_ROOT_DISKSIZE", Changed, "the flavor has a disk of its own, which is used".into());
        }
    }
    if let Some(network) = &spec.network.external_network
        && !profile.defaults.external_networks.contains(network)
    {
        let message = match profile.defaults.external_networks.as_slice() {
            [] => format!("the profile names no external network; `{network}` is left out"),
            [first, ..] => format!("`{network}` is no external network of the profile; its default {first} is used"),
        };
        say("OPENSTACK_EXTERNAL_NETWORK_ID", Changed, message);
        spec.network.external_network = None;
    }
    if spec.network.dns_servers == profile.defaults.dns_servers {
        spec.network.dns_servers.clear();
    }
}

fn has_disk(flavor: &Flavor) -> bool {
    flavor.root_disk_gib > 0
}

/// `1.28.11` as (1, 28); what comes after the minor version is the stack's.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn version(
    profile: &ProviderProfileSpec,
    spec: &mut KubernetesClusterSpec,
    say: &mut impl FnMut(&str, FindingKind, String),
) {
    const PARAMETER: &str = "KUBERNETES_VERSION";
    let asked = spec.kubernetes.version.clone();
    let mut offered: Vec<(u32, u32)> = profile
        .versions
        .iter()
        .filter(|offered| !offered.preview)
        .filter_map(|offered| minor(&offered.version))
        .collect();
    offered.sort_unstable();
    offered.dedup();
    let exact = profile.versions.iter().any(|offered| offered.version.trim_start_matches('v') == asked);
    let parsed = minor(&asked);
    let floating = matches!(asked.parse(), Ok(crate::kubernetes_version::VersionRequest::Minor(_)));
    if let Some((major, number)) = parsed.filter(|parsed| offered.contains(parsed)) {
        if exact {
            say(
                PARAMETER,
                Changed,
                format!("{asked} stays exact; write \"{major}.{number}\" to get the newest patch release"),
            );
        } else {
            spec.kubernetes.version = format!("{major}.{number}");
            if !floating {
                say(
                    PARAMETER,
                    Changed,
                    format!(
                        "patch release {asked} is not offered; the description asks for the newest of {major}.{number}"
                    ),
                );
            }
        }
        return;
    }
    // The oldest that is not older, since workloads were made for the old one; else the newest there is.
    let nearest = parsed
        .and_then(|parsed| offered.iter().find(|offered| **offered >= parsed))
        .or(offered.last())
        .map(|(major, minor)| format!("{major}.{minor}"));
    let Some(nearest) = nearest else {
        say(PARAMETER, NeedsDecision, "the profile offers no version".into());
        return;
    };
    let was = if asked.is_empty() { "no version was given".to_owned() } else { format!("{asked} is not offered") };
    spec.kubernetes.version.clone_from(&nearest);
    say(
        PARAMETER,
        NeedsDecision,
        format!(
            "{was}; the description asks for {nearest}, the nearest that is. Check that your workloads are ready for it"
        ),
    );
}

fn zones(
    profile: &ProviderProfileSpec,
    spec: &mut KubernetesClusterSpec,
    say: &mut impl FnMut(&str, FindingKind, String),
) {
    let known = profile.zone_names(spec.provider.region.as_deref());
    for pool in &mut spec.workers {
        let before = pool.zones.len();
        let unknown: Vec<String> = pool.zones.iter().filter(|zone| !known.contains(&zone.as_str())).cloned().collect();
        pool.zones.retain(|zone| known.contains(&zone.as_str()));
        if !pool.zones.is_empty() {
            say(
                "OPENSTACK_FAILURE_DOMAIN",
                Changed,
                "it is the zone of the workers; the control plane is spread over the profile's zones".into(),
            );
        }
        if pool.zones.len() < before {
            say(
                "OPENSTACK_FAILURE_DOMAIN",
                Changed,
                format!(
                    "the profile has no zone {}; the machines are spread over {}",
                    unknown.join(", "),
                    known.join(", ")
                ),
            );
        }
    }
}

/// The flavor itself, or the smallest of the profile that is no smaller.
fn flavor(
    profile: &ProviderProfileSpec,
    name: &str,
    control_plane: bool,
    parameter: &str,
    say: &mut impl FnMut(&str, FindingKind, String),
) -> String {
    if profile.flavor(name).is_some() {
        return name.to_owned();
    }
    let size = name.parse::<FlavorName>().ok().map(|parsed| (parsed.cpus, parsed.memory_gib));
    let fitting = size.and_then(|(vcpus, memory)| {
        profile
            .flavors
            .iter()
            .filter(|flavor| !control_plane || flavor.control_plane)
            .filter(|flavor| flavor.vcpus >= vcpus && flavor.memory_gib >= memory)
            .min_by(|left, right| {
                (left.vcpus, left.memory_gib)
                    .partial_cmp(&(right.vcpus, right.memory_gib))
                    .unwrap_or(std::cmp::Ordering::Equal)
            })
    });
    let default = if control_plane { profile.default_control_plane_flavor() } else { profile.default_worker_flavor() };
    let (chosen, why) = match (fitting, default) {
        (Some(flavor), _) => (flavor.name.clone(), "the smallest that is no smaller"),
        (None, Some(flavor)) => (flavor.name.clone(), "the profile's default"),
        (None, None) => return name.to_owned(),
    };
    say(parameter, Changed, format!("the profile has no flavor {name}; the description has {chosen}, {why}"));
    chosen
}
