//! The description in effect: what the user wrote, completed by what the cluster already has and what the profile gives.
//!
//! Choices the user left open are made once. When a provider later changes the defaults of a profile, existing clusters
//! keep what they were made with; nobody's machines are replaced because a default moved.

use std::collections::BTreeMap;

use kogge_api::kubernetes_cluster::{KubernetesClusterSpec, StackReference};
use kogge_api::plan::Change;
use kogge_api::provider_profile::ProviderProfileSpec;
use serde_json::Value;

/// Annotation on the Cluster: the description in effect when it was last written, as JSON.
pub const APPLIED_DESCRIPTION_ANNOTATION: &str = "kogge.dev/applied-description";

/// A description names something its profile does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompleteDescriptionError {
    /// The region does not exist.
    #[error("the profile has no region `{0}`")]
    UnknownRegion(String),
    /// The profile has no flavor to fall back on.
    #[error("the profile has no default flavor for {0}; name one")]
    NoDefaultFlavor(&'static str),
}

/// Completes a description. `applied` is the completed description the cluster was last written with, if it exists.
///
/// # Errors
/// When the profile cannot fill a gap.
pub fn complete(
    spec: &KubernetesClusterSpec,
    profile: &ProviderProfileSpec,
    applied: Option<&KubernetesClusterSpec>,
) -> Result<KubernetesClusterSpec, CompleteDescriptionError> {
    let mut effective = spec.clone();
    let provider = &mut effective.provider;
    if provider.region.is_none() {
        let kept = applied.and_then(|applied| applied.provider.region.clone());
        provider.region = kept.or_else(|| profile.region(None).map(|region| region.name.clone()));
    }
    let region = provider.region.clone();
    if profile.region(region.as_deref()).is_none() {
        return Err(CompleteDescriptionError::UnknownRegion(region.unwrap_or_default()));
    }
    let zones: Vec<String> = profile.zone_names(region.as_deref()).into_iter().map(str::to_owned).collect();

    let stack = effective.stack.get_or_insert_with(StackReference::default);
    if stack.name.is_none() {
        let kept = applied.and_then(|applied| applied.stack.as_ref()).and_then(|stack| stack.name.clone());
        stack.name = kept.or_else(|| Some(profile.stack.name.clone()));
    }

    let control_plane = &mut effective.control_plane;
    let kept = applied.and_then(|applied| applied.control_plane.anti_affinity);
    control_plane.anti_affinity = Some(match (control_plane.anti_affinity, kept) {
        // Shrinking to one machine is no reason to replace it.
        (None, Some(kept)) if control_plane.count == 1 => kept,
        _ => control_plane.effective_anti_affinity(),
    });
    if control_plane.machine_flavor.is_none() {
        let kept = applied.and_then(|applied| applied.control_plane.machine_flavor.clone());
        let flavor = kept.or_else(|| profile.default_control_plane_flavor().map(|flavor| flavor.name.clone()));
        control_plane.machine_flavor =
            Some(flavor.ok_or(CompleteDescriptionError::NoDefaultFlavor("the control plane"))?);
    }
    if control_plane.zones.is_empty() {
        control_plane.zones = match applied {
            Some(applied) if !applied.control_plane.zones.is_empty() => applied.control_plane.zones.clone(),
            _ => zones_with(profile, control_plane.machine_flavor.as_deref(), &zones),
        };
    }
    if control_plane.root_disk_gib.is_none() {
        control_plane.root_disk_gib = default_root_disk(profile, control_plane.machine_flavor.as_deref());
    }

    for pool in &mut effective.workers {
        let kept = applied.and_then(|applied| applied.workers.iter().find(|known| known.name == pool.name));
        if pool.machine_flavor.is_none() {
            let flavor = kept
                .and_then(|kept| kept.machine_flavor.clone())
                .or_else(|| profile.default_worker_flavor().map(|flavor| flavor.name.clone()));
            pool.machine_flavor = Some(flavor.ok_or(CompleteDescriptionError::NoDefaultFlavor("workers"))?);
        }
        if pool.zones.is_empty() {
            pool.zones = match kept {
                Some(kept) if !kept.zones.is_empty() => kept.zones.clone(),
                _ => zones_with(profile, pool.machine_flavor.as_deref(), &zones),
            };
        }
        if pool.root_disk_gib.is_none() {
            pool.root_disk_gib = default_root_disk(profile, pool.machine_flavor.as_deref());
        }
        if pool.autoscaling.is_none() {
            pool.count = Some(pool.initial_count());
        }
    }

    let network = &mut effective.network;
    if network.dns_servers.is_empty() {
        network.dns_servers.clone_from(&profile.defaults.dns_servers);
    }
    if network.external_network.is_none() {
        let kept = applied.and_then(|applied| applied.network.external_network.clone());
        network.external_network = kept.or_else(|| profile.defaults.external_networks.first().cloned());
    }
    if network.proxy.is_none() {
        network.proxy.clone_from(&profile.defaults.proxy);
    }
    effective.api_server.access = Some(effective.api_server.effective_access());
    let addons = &mut effective.addons;
    addons.ingress.enabled = Some(addons.ingress_enabled());
    addons.cert_manager.enabled = Some(addons.cert_manager_enabled());
    addons.flux.enabled = Some(addons.flux_enabled());
    Ok(effective)
}

/// Those of the zones that have a flavor.
fn zones_with(profile: &ProviderProfileSpec, flavor: Option<&str>, zones: &[String]) -> Vec<String> {
    let offered = flavor.and_then(|name| profile.flavor(name)).map_or(&[][..], |flavor| &flavor.zones);
    zones.iter().filter(|zone| offered.is_empty() || offered.contains(zone)).cloned().collect()
}

/// The root disk a flavor without a disk of its own gets; none for a flavor with one.
fn default_root_disk(profile: &ProviderProfileSpec, flavor: Option<&str>) -> Option<u32> {
    let flavor = profile.flavor(flavor?)?;
    if flavor.root_disk_gib > 0 { None } else { profile.defaults.root_disk_gib }
}

/// The fields that differ between two completed descriptions, sorted by path. List items go by their name.
pub fn changes(from: Option<&KubernetesClusterSpec>, to: &KubernetesClusterSpec) -> Vec<Change> {
    let before = from.map(fields).unwrap_or_default();
    let after = fields(to);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| Change { field: name.clone(), from: before.get(name).cloned(), to: after.get(name).cloned() })
        .collect()
}

fn fields(spec: &KubernetesClusterSpec) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    // A spec of plain fields always serialises; an empty result would only make every field look new.
    collect(&serde_json::to_value(spec).unwrap_or_default(), "spec", &mut fields);
    fields
}

fn collect(value: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(entries) => {
            for (name, entry) in entries {
                collect(entry, &format!("{path}.{name}"), into);
            }
        }
        Value::Array(entries) if !entries.is_empty() && entries.iter().all(|entry| key(entry).is_some()) => {
            for entry in entries {
                collect(entry, &format!("{path}[{}]", key(entry).unwrap_or_default()), into);
            }
        }
        Value::Array(entries) if entries.is_empty() => {}
        leaf => {
            into.insert(path.to_owned(), leaf.clone());
        }
    }
}

/// What names an item of a list: pools by `name`, mirrors by `upstream`.
fn key(item: &Value) -> Option<&str> {
    item.get("name").or_else(|| item.get("upstream")).and_then(Value::as_str)
}

/// The pool a field path is about: `web` for `spec.workers[web].count`.
pub fn pool_of(field: &str) -> Option<&str> {
    field.strip_prefix("spec.workers[")?.split(']').next()
}

/// Seconds of a duration such as `15m`, `1h30m` or `90s`; `None` when it is no such text or too large.
pub fn seconds(duration: &str) -> Option<u32> {
    let mut total: u32 = 0;
    let mut number = String::new();
    for character in duration.chars() {
        let unit: u32 = match character {
            '0'..='9' => {
                number.push(character);
                continue;
            }
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let value: u32 = std::mem::take(&mut number).parse().ok()?;
        total = total.checked_add(value.checked_mul(unit)?)?;
    }
    (number.is_empty() && !duration.is_empty()).then_some(total)
}
