//! Rules on the control plane and the worker pools.

use super::labels::{labels, metadata, taints};
use super::provider::capability_missing;
use super::{FieldPath, FieldProblem, Review, did_you_mean, duplicates, is_label, list};
use crate::kubernetes_cluster::{AntiAffinity, WorkerPool};
use crate::problem::ProblemCode::{
    CapabilityMissing, FlavorNotOffered, InvalidDescription, LimitExceeded, SinglePointOfFailure, SlowEtcdDisk,
    ZoneNotOffered,
};
use crate::provider_profile::Flavor;

/// Fewest processors and least memory (GiB) kubeadm and etcd run on.
const ETCD_MINIMUM: (u32, f64) = (2, 4.0);

pub(super) fn check(review: &mut Review<'_>) {
    let spec = FieldPath::root().child("spec");
    control_plane(review, &spec.child("controlPlane"));
    workers(review, &spec.child("workers"));
}

fn control_plane(review: &mut Review<'_>, path: &FieldPath) {
    let machines = &review.description.spec.control_plane;
    let count = machines.count;
    if !matches!(count, 1 | 3 | 5 | 7) {
        let reason = if count > 0 && count.is_multiple_of(2) {
            format!(
                "{count} control plane machines tolerate no more failures than {}: the number must be odd",
                count - 1
            )
        } else {
            format!("{count} control plane machines are not possible")
        };
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("count"),
                Some(count.into()),
                "1, 3, 5 or 7",
                format!("{reason}; use 1, 3, 5 or 7"),
            )
            .accepting("1, 3, 5, 7"),
        );
    } else if count == 1 {
        review.add(
            FieldProblem::new(
                SinglePointOfFailure,
                &path.child("count"),
                Some(1.into()),
                "several control plane machines",
                "one control plane machine is a single point of failure; use 3 for a control plane that survives the loss of one".into(),
            )
            .accepting("3, 5, 7"),
        );
    }
    zones(review, &path.child("zones"), &machines.zones);
    if machines.zones.len() > count as usize {
        review.add(FieldProblem::new(
            InvalidDescription,
            &path.child("zones"),
            Some(machines.zones.clone().into()),
            "at most as many zones as machines",
            format!("{} zones for {count} control plane machines; list at most {count}", machines.zones.len()),
        ));
    }
    metadata(review, &path.child("machineMetadata"), &machines.machine_metadata);
    if review.profile.is_some_and(|profile| profile.spec.capabilities.hosted_control_plane) {
        hosted_control_plane(review, path);
        return;
    }
    control_plane_flavor(review, path);
    root_disk(review, path, machines.machine_flavor.as_deref(), machines.root_disk_gib, true);
    anti_affinity(review, path, machines.anti_affinity);
    required_hosts(review, path);
}

/// A provider that runs the control plane does not let its machines be chosen; that is a warning, not an error.
fn hosted_control_plane(review: &mut Review<'_>, path: &FieldPath) {
    let machines = &review.description.spec.control_plane;
    let ignored = [
        ("machineFlavor", machines.machine_flavor.is_some()),
        ("zones", !machines.zones.is_empty()),
        ("antiAffinity", machines.anti_affinity.is_some()),
        ("rootDiskGiB", machines.root_disk_gib.is_some()),
    ];
    let name = review.profile_name().to_owned();
    for (field, given) in ignored {
        if given {
            let mut problem = FieldProblem::new(
                CapabilityMissing,
                &path.child(field),
                None,
                "the provider runs the control plane",
                format!("profile `{name}` runs the control plane itself; {field} has no effect"),
            );
            problem.severity = crate::problem::Severity::Warning;
            review.add(problem);
        }
    }
}

fn control_plane_flavor(review: &mut Review<'_>, path: &FieldPath) {
    let Some(profile) = review.profile else { return };
    let machines = &review.description.spec.control_plane;
    let path = path.child("machineFlavor");
    let large_enough = |flavor: &&Flavor| {
        flavor.control_plane && flavor.vcpus >= ETCD_MINIMUM.0 && flavor.memory_gib >= ETCD_MINIMUM.1
    };
    if let Some(name) = &machines.machine_flavor {
        let Some(flavor) = known_flavor(review, &path, name) else { return };
        if !large_enough(&flavor) {
            let fitting: Vec<&str> =
                profile.spec.flavors.iter().filter(large_enough).map(|flavor| flavor.name.as_str()).collect();
            review.add(
                FieldProblem::new(
                    FlavorNotOffered,
                    &path,
                    Some(name.as_str().into()),
                    "at least 2 processors and 4 GiB, allowed for control planes",
                    format!("flavor `{name}` is not suited for a control plane; choose from: {}", list(&fitting)),
                )
                .accepting(list(&fitting)),
            );
            return;
        }
        flavor_in_zones(review, &path, flavor, &machines.zones);
    }
    let chosen = match &machines.machine_flavor {
        Some(name) => profile.spec.flavor(name),
        None => profile.spec.default_control_plane_flavor(),
    };
    if let Some(flavor) = chosen.filter(|flavor| machines.count > 1 && !flavor.local_ssd) {
        let fast: Vec<&str> = profile
            .spec
            .flavors
            .iter()
            .filter(|flavor| flavor.local_ssd && large_enough(flavor))
            .map(|flavor| flavor.name.as_str())
            .collect();
        review.add(
            FieldProblem::new(
                SlowEtcdDisk,
                &path,
                Some(flavor.name.as_str().into()),
                "a flavor with local SSD",
                format!(
                    "flavor `{}` has no local SSD, which etcd needs under load; with local SSD: {}",
                    flavor.name,
                    list(&fast)
                ),
            )
            .accepting(list(&fast)),
        );
    }
}

/// `Required` with more machines than hosts can never be met. Only where the profile tells the number of hosts.
fn required_hosts(review: &mut Review<'_>, path: &FieldPath) {
    let Some(profile) = review.profile else { return };
    let machines = &review.description.spec.control_plane;
    if machines.effective_anti_affinity() != AntiAffinity::Required {
        return;
    }
    let Some(region) = profile.spec.region(review.description.spec.provider.region.as_deref()) else { return };
    let chosen = region.zones.iter().filter(|zone| machines.zones.is_empty() || machines.zones.contains(&zone.name));
    let hosts: Option<u32> =
        chosen.map(|zone| zone.hosts).try_fold(0u32, |sum, hosts| Some(sum.saturating_add(hosts?)));
    if let Some(hosts) = hosts.filter(|hosts| *hosts < machines.count) {
        let message = format!(
            "{} control plane machines on hosts of their own need {} hosts, but the zones have {hosts}; set antiAffinity to Preferred or lower the count",
            machines.count, machines.count
        );
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("antiAffinity"),
                Some("Required".into()),
                "a host for each machine",
                message,
            )
            .accepting("Preferred, Disabled"),
        );
    }
}

fn workers(review: &mut Review<'_>, path: &FieldPath) {
    let pools = &review.description.spec.workers;
    let most_pools = review.profile.map_or(20, |profile| profile.spec.limits.max_pools.min(20)) as usize;
    if pools.is_empty() || pools.len() > most_pools {
        review.add(
            FieldProblem::new(
                if pools.is_empty() { InvalidDescription } else { LimitExceeded },
                path,
                None,
                &format!("1 to {most_pools} pools"),
                format!("{} worker pools; there can be 1 to {most_pools}", pools.len()),
            )
            .accepting(format!("1 to {most_pools} pools")),
        );
    }
    for (position, first) in duplicates(pools.iter().map(|pool| pool.name.as_str())) {
        let name = &pools[position].name;
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.index(position).child("name"),
                Some(name.as_str().into()),
                "unique in the cluster",
                format!("the name `{name}` is already that of spec.workers[{first}]; pools need different names"),
            )
            .accepting("a name no other pool has"),
        );
    }
    for (position, pool) in pools.iter().enumerate() {
        worker_pool(review, &path.index(position), pool);
    }
    let maximum: u64 = pools.iter().map(|pool| u64::from(pool.maximum_count())).sum();
    if maximum == 0 && !pools.is_empty() {
        review.add(
            FieldProblem::new(
                InvalidDescription,
                path,
                None,
                "at least one worker machine",
                "no pool has a machine; give one a count above 0 or autoscaling with max above 0".into(),
            )
            .accepting("a count of 1 or more"),
        );
    }
    if let Some(limit) =
        review.profile.map(|profile| profile.spec.limits.max_workers).filter(|limit| maximum > u64::from(*limit))
    {
        let message =
            format!("{maximum} worker machines; profile `{}` allows {limit} for a cluster", review.profile_name());
        review.add(
            FieldProblem::new(LimitExceeded, path, None, "the profile's limit of worker machines", message)
                .accepting(format!("at most {limit} machines in all pools together")),
        );
    }
}

fn worker_pool(review: &mut Review<'_>, path: &FieldPath, pool: &WorkerPool) {
    if !is_label(&pool.name, 15) {
        let rule =
            "1 to 15 lowercase letters, digits and dashes, starting with a letter, ending with a letter or digit";
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("name"),
                Some(pool.name.as_str().into()),
                rule,
                format!("`{}` is not a name for a pool; it must be {rule}", pool.name),
            )
            .accepting(rule),
        );
    }
    if pool.count.is_some() && pool.autoscaling.is_some() {
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("count"),
                pool.count.map(Into::into),
                "either count or autoscaling",
                format!("pool `{}` has both count and autoscaling; remove one", pool.name),
            )
            .accepting("no count, or no autoscaling"),
        );
    }
    if let Some(bounds) = pool.autoscaling {
        let at = path.child("autoscaling");
        if bounds.min > bounds.max {
            review.add(
                FieldProblem::new(
                    InvalidDescription,
                    &at.child("min"),
                    Some(bounds.min.into()),
                    "min at most max",
                    format!("min {} exceeds max {}", bounds.min, bounds.max),
                )
                .accepting(format!("0 to {}", bounds.max)),
            );
        }
        if review.profile.is_some_and(|profile| !profile.spec.capabilities.autoscaling) {
            let problem = capability_missing(review, &at, "autoscaling", "autoscaling");
            review.add(problem);
        }
    }
    if let Some(limit) =
        review.profile.map(|profile| profile.spec.limits.max_pool_size).filter(|limit| pool.maximum_count() > *limit)
    {
        let at = if pool.autoscaling.is_some() { path.child("autoscaling").child("max") } else { path.child("count") };
        let message = format!(
            "{} machines in pool `{}`; profile `{}` allows {limit}",
            pool.maximum_count(),
            pool.name,
            review.profile_name()
        );
        review.add(
            FieldProblem::new(
                LimitExceeded,
                &at,
                Some(pool.maximum_count().into()),
                "the profile's limit for a pool",
                message,
            )
            .accepting(format!("0 to {limit}")),
        );
    }
    let flavor_path = path.child("machineFlavor");
    if let Some(name) = &pool.machine_flavor
        && let Some(flavor) = known_flavor(review, &flavor_path, name)
    {
        flavor_in_zones(review, &flavor_path, flavor, &pool.zones);
    }
    zones(review, &path.child("zones"), &pool.zones);
    root_disk(review, path, pool.machine_flavor.as_deref(), pool.root_disk_gib, false);
    let required = (pool.anti_affinity == AntiAffinity::Required).then_some(AntiAffinity::Required);
    anti_affinity(review, path, required);
    metadata(review, &path.child("machineMetadata"), &pool.machine_metadata);
    if !pool.machine_metadata.is_empty()
        && review.profile.is_some_and(|profile| !profile.spec.capabilities.machine_metadata)
    {
        let problem =
            capability_missing(review, &path.child("machineMetadata"), "machineMetadata", "metadata on machines");
        review.add(problem);
    }
    labels(review, &path.child("labels"), &pool.labels);
    taints(review, &path.child("taints"), pool);
}

/// Only `Required` needs the capability: the other two can always be met.
fn anti_affinity(review: &mut Review<'_>, path: &FieldPath, asked: Option<AntiAffinity>) {
    if asked == Some(AntiAffinity::Required)
        && review.profile.is_some_and(|profile| !profile.spec.capabilities.anti_affinity)
    {
        let problem =
            capability_missing(review, &path.child("antiAffinity"), "antiAffinity", "machines on hosts of their own")
                .accepting("Preferred, Disabled");
        review.add(problem);
    }
}

fn known_flavor<'a>(review: &mut Review<'a>, path: &FieldPath, name: &str) -> Option<&'a Flavor> {
    let profile = review.profile?;
    let found = profile.spec.flavor(name);
    if found.is_none() {
        let offered: Vec<&str> = profile.spec.flavors.iter().map(|flavor| flavor.name.as_str()).collect();
        let message = format!(
            "flavor `{name}` is not offered by profile `{}`{}; offered: {}",
            review.profile_name(),
            super::flavors::hint(name, &profile.spec.flavors),
            list(&offered)
        );
        review.add(
            FieldProblem::new(FlavorNotOffered, path, Some(name.into()), "a flavor of the profile", message)
                .accepting(list(&offered)),
        );
    }
    found
}

fn flavor_in_zones(review: &mut Review<'_>, path: &FieldPath, flavor: &Flavor, zones: &[String]) {
    if flavor.zones.is_empty() {
        return;
    }
    // Without zones of their own the machines go to whatever zones have the flavor.
    if let Some(zone) = zones.iter().find(|zone| !flavor.zones.contains(zone)) {
        let message =
            format!("flavor `{}` is not available in zone `{zone}`; it is in: {}", flavor.name, list(&flavor.zones));
        review.add(
            FieldProblem::new(
                FlavorNotOffered,
                path,
                Some(flavor.name.as_str().into()),
                "available in the chosen zones",
                message,
            )
            .accepting(format!("a flavor of zone {zone}, or zones {}", list(&flavor.zones))),
        );
    }
}

fn zones(review: &mut Review<'_>, path: &FieldPath, zones: &[String]) {
    for (position, _) in duplicates(zones) {
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.index(position),
                Some(zones[position].as_str().into()),
                "each zone once",
                format!("zone `{}` is listed twice", zones[position]),
            )
            .accepting("each zone once"),
        );
    }
    let Some(profile) = review.profile else { return };
    let Some(region) = profile.spec.region(review.description.spec.provider.region.as_deref()) else { return };
    let offered: Vec<&str> = region.zones.iter().map(|zone| zone.name.as_str()).collect();
    for (position, zone) in zones.iter().enumerate() {
        if !offered.contains(&zone.as_str()) {
            let message = format!(
                "zone `{zone}` does not exist in region `{}` of profile `{}`{}; offered: {}",
                region.name,
                review.profile_name(),
                did_you_mean(zone, offered.iter().copied()),
                list(&offered)
            );
            review.add(
                FieldProblem::new(
                    ZoneNotOffered,
                    &path.index(position),
                    Some(zone.as_str().into()),
                    "a zone of the region",
                    message,
                )
                .accepting(list(&offered)),
            );
        }
    }
}

/// A root disk can be sized only where the flavor brings none, and holds at least the image.
fn root_disk(review: &mut Review<'_>, path: &FieldPath, flavor: Option<&str>, size: Option<u32>, control_plane: bool) {
    let Some(profile) = review.profile else { return };
    let chosen = match flavor {
        Some(name) => profile.spec.flavor(name),
        None if control_plane => profile.spec.default_control_plane_flavor(),
        None => profile.spec.default_worker_flavor(),
    };
    let Some(chosen) = chosen else { return };
    if let Some(size) = size {
        let at = path.child("rootDiskGiB");
        let least = profile.spec.limits.min_root_disk_gib;
        let (rule, message, accepted): (_, _, String) = if chosen.root_disk_gib > 0 {
            (
                "only with flavors without a disk of their own",
                format!(
                    "flavor `{}` has a disk of {} GiB; remove rootDiskGiB or choose a flavor without a disk",
                    chosen.name, chosen.root_disk_gib
                ),
                "no rootDiskGiB".into(),
            )
        } else if size < least {
            (
                "holds the image",
                format!("a root disk of {size} GiB does not hold the image; use at least {least}"),
                format!("{least} or more"),
            )
        } else {
            return;
        };
        review.add(FieldProblem::new(InvalidDescription, &at, Some(size.into()), rule, message).accepting(accepted));
    } else if chosen.root_disk_gib == 0 && !profile.spec.capabilities.root_volume {
        let with_disk: Vec<&str> = profile
            .spec
            .flavors
            .iter()
            .filter(|flavor| flavor.root_disk_gib > 0)
            .map(|flavor| flavor.name.as_str())
            .collect();
        let message = format!(
            "flavor `{}` has no disk and profile `{}` offers no root volumes; choose from: {}",
            chosen.name,
            review.profile_name(),
            list(&with_disk)
        );
        let at = path.child("machineFlavor");
        review.add(
            FieldProblem::new(
                CapabilityMissing,
                &at,
                Some(chosen.name.as_str().into()),
                "needs the capability rootVolume",
                message,
            )
            .accepting(list(&with_disk)),
        );
    }
}
