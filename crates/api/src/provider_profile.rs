//! `ProviderProfile`: what a provider offers. Operators write it; descriptions are checked against it.
//!
//! Everything a description leaves to the provider is found here: flavors, zones, versions, the features there are, the
//! defaults and the limits. A feature that is not listed as a capability does not exist, and asking for it is refused.

use std::collections::BTreeMap;

use jiff::civil::Date;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::structural;

mod flavor_name;
mod simulation;

pub use flavor_name::{CpuKind, DiskKind, FlavorDisk, FlavorName, FlavorNameError};
pub use simulation::{SIMULATION, simulation};

/// What a provider offers.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kogge.dev",
    version = "v1alpha1",
    kind = "ProviderProfile",
    plural = "providerprofiles",
    singular = "providerprofile",
    shortname = "pp",
    category = "kogge",
    derive = "PartialEq",
    derive = "Default",
    doc = "What a provider offers: regions, zones, flavors, Kubernetes versions, capabilities, defaults and limits.",
    printcolumn = r#"{"name": "Backend", "type": "string", "jsonPath": ".spec.backend.type"}"#,
    printcolumn = r#"{"name": "Stack", "type": "string", "jsonPath": ".spec.stack.name"}"#,
    printcolumn = r#"{"name": "Versions", "type": "string", "jsonPath": ".spec.versions[*].version", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[kube(crates(kube_core = "::kube::core"))]
#[serde(rename_all = "camelCase")]
#[schemars(transform = structural)]
pub struct ProviderProfileSpec {
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// What runs the clusters.
    pub backend: Backend,
    /// The cluster stack used unless a description names another.
    pub stack: ProfileStack,
    /// The regions, the first of which is the default.
    #[schemars(length(min = 1, max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub regions: Vec<Region>,
    /// The flavors machines can have.
    #[schemars(length(min = 1, max = 500), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub flavors: Vec<Flavor>,
    /// The Kubernetes versions.
    #[schemars(length(min = 1, max = 500), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["version"]))]
    pub versions: Vec<OfferedVersion>,
    /// What there is beyond the basics. Default: nothing.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// What descriptions that do not say get.
    #[serde(default)]
    pub defaults: ProfileDefaults,
    /// How much a cluster can have.
    #[serde(default)]
    pub limits: ProfileLimits,
}

/// What runs the clusters of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// The kind of backend.
    #[serde(rename = "type")]
    pub backend_type: BackendType,
    /// The infrastructure provider of Cluster API, such as `openstack`, `hetzner` or `simulated`. For people; what is
    /// made follows from the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub infrastructure: Option<String>,
}

/// The kind of backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BackendType {
    /// Cluster API.
    #[default]
    ClusterApi,
    /// Gardener.
    Gardener,
}

/// The cluster stack of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStack {
    /// Name of the stack.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The releases on offer, newest last. Default: whatever the stack has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub releases: Vec<String>,
}

/// A region of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Region {
    /// Name of the region.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its zones: parts that fail independently of each other.
    #[schemars(length(min = 1, max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub zones: Vec<Zone>,
}

/// A part of a region that fails independently of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Name of the zone.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Physical hosts in the zone, where the provider tells: what anti-affinity `Required` can rely on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u32>,
}

/// A size of machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flavor {
    /// Name of the flavor, preferably by the SCS naming standard, such as `SCS-4V-16-50`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Virtual processors.
    #[serde(rename = "vCPUs")]
    pub vcpus: u32,
    /// Memory in GiB.
    #[serde(rename = "memoryGiB")]
    pub memory_gib: f64,
    /// Root disk in GiB. Default 0: the flavor has no disk of its own, and machines get a volume.
    #[serde(default, rename = "rootDiskGiB")]
    pub root_disk_gib: u32,
    /// Whether the root disk is a local SSD, fast enough for etcd. Default false.
    #[serde(default, rename = "localSSD")]
    pub local_ssd: bool,
    /// Zones that have the flavor. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub zones: Vec<String>,
    /// Whether control plane machines may have it. Default true.
    #[serde(default = "yes")]
    pub control_plane: bool,
}

fn yes() -> bool {
    true
}

/// A Kubernetes version on offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfferedVersion {
    /// The exact version, such as `v1.34.2`.
    #[schemars(length(max = 32), regex(pattern = r"^v1\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$"))]
    pub version: String,
    /// The day it was released upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub released: Option<Date>,
    /// The last day on which upstream fixes its minor version. Later a cluster with it gets a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub support_ends: Option<Date>,
    /// The last day on which new clusters can be made with it; existing ones go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub end_of_life: Option<Date>,
    /// Whether it is offered for trying out only. Default false.
    #[serde(default)]
    pub preview: bool,
    /// The versions a cluster with it can be upgraded to. Default: every newer patch of its minor version and every
    /// patch of the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub upgrades_to: Vec<String>,
}

/// What there is beyond the basics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Machines can be kept on different hosts.
    #[serde(default)]
    pub anti_affinity: bool,
    /// The load can decide the size of worker pools.
    #[serde(default)]
    pub autoscaling: bool,
    /// IPv6 beside IPv4.
    #[serde(default)]
    pub dual_stack: bool,
    /// Load balancers for services.
    #[serde(default)]
    pub load_balancer: bool,
    /// The API server can be restricted to networks.
    #[serde(default, rename = "apiAllowList")]
    pub api_allow_list: bool,
    /// The API server can go without a public address.
    #[serde(default, rename = "apiInternal")]
    pub api_internal: bool,
    /// The network plugin serves the Gateway API.
    #[serde(default, rename = "gatewayAPI")]
    pub gateway_api: bool,
    /// There is an object store for Harbor and backups.
    #[serde(default)]
    pub object_store: bool,
    /// Machines without a disk of their own can have a volume as root disk.
    #[serde(default)]
    pub root_volume: bool,
    /// The provider attaches names and values to machines.
    #[serde(default)]
    pub machine_metadata: bool,
    /// Registry mirrors may use plain `http://`.
    #[serde(default)]
    pub insecure_registries: bool,
    /// HTTP proxies.
    #[serde(default)]
    pub proxy: bool,
    /// The image of the machines can be chosen.
    #[serde(default)]
    pub node_image: bool,
    /// Emergency access by a key.
    #[serde(default)]
    pub ssh_key: bool,
    /// The health check can be adjusted.
    #[serde(default)]
    pub health_check: bool,
    /// The backup of etcd can be adjusted.
    #[serde(default)]
    pub etcd_backup: bool,
    /// The provider runs the control plane; its machines, flavors and zones cannot be chosen.
    #[serde(default)]
    pub hosted_control_plane: bool,
    /// Add-ons there are, by their field name. Default: all those of the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub addons: Option<Vec<String>>,
}

/// What descriptions that do not say get.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileDefaults {
    /// Region. Default: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Flavor of control plane machines. Default: the smallest with local SSD and at least 2 processors and 4 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_flavor: Option<String>,
    /// Flavor of worker machines. Default: the smallest with at least 2 processors and 4 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_flavor: Option<String>,
    /// Root disk of flavors without a disk of their own, in GiB. Default: the stack's.
    #[serde(default, rename = "rootDiskGiB", skip_serializing_if = "Option::is_none")]
    pub root_disk_gib: Option<u32>,
    /// Name servers of the machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub dns_servers: Vec<String>,
    /// The networks with public addresses, the first of which is the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub external_networks: Vec<String>,
    /// Largest packet on the machines' network, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Proxy for everything the machines fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<crate::kubernetes_cluster::Proxy>,
    /// Further settings for the stack, by the name of its variable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub variables: BTreeMap<String, String>,
}

/// How much a cluster can have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileLimits {
    /// Most worker machines of a cluster. Default 500.
    #[serde(default = "default_max_workers")]
    pub max_workers: u32,
    /// Most machines of a pool. Default 250.
    #[serde(default = "default_max_pool_size")]
    pub max_pool_size: u32,
    /// Most worker pools. Default 20.
    #[serde(default = "default_max_pools")]
    pub max_pools: u32,
    /// Longest name of a cluster. Default 20.
    #[serde(default = "default_max_name_length")]
    pub max_name_length: u32,
    /// Smallest root disk in GiB: the size of the image. Default 20.
    #[serde(default = "default_min_root_disk_gib", rename = "minRootDiskGiB")]
    pub min_root_disk_gib: u32,
    /// Networks of the provider that clusters must stay clear of.
    #[serde(default, rename = "reservedCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub reserved_cidrs: Vec<String>,
}

fn default_max_workers() -> u32 {
    500
}
fn default_max_pool_size() -> u32 {
    250
}
fn default_max_pools() -> u32 {
    20
}
fn default_max_name_length() -> u32 {
    20
}
fn default_min_root_disk_gib() -> u32 {
    20
}

impl Default for ProfileLimits {
    fn default() -> Self {
        Self {
            max_workers: default_max_workers(),
            max_pool_size: default_max_pool_size(),
            max_pools: default_max_pools(),
            max_name_length: default_max_name_length(),
            min_root_disk_gib: default_min_root_disk_gib(),
            reserved_cidrs: Vec::new(),
        }
    }
}

impl ProviderProfileSpec {
    /// The region a description means: the one named, else the profile's default, else the first.
    pub fn region(&self, name: Option<&str>) -> Option<&Region> {
        match name.or(self.defaults.region.as_deref()) {
            Some(name) => self.regions.iter().find(|region| region.name == name),
            None => self.regions.first(),
        }
    }

    /// The names of the zones of a region, in the profile's order; empty for a region there is not.
    pub fn zone_names(&self, region: Option<&str>) -> Vec<&str> {
        self.region(region)
            .map(|region| region.zones.iter().map(|zone| zone.name.as_str()).collect())
            .unwrap_or_default()
    }

    /// The flavor of this name.
    pub fn flavor(&self, name: &str) -> Option<&Flavor> {
        self.flavors.iter().find(|flavor| flavor.name == name)
    }

    /// The flavor of control plane machines unless a description names one.
    pub fn default_control_plane_flavor(&self) -> Option<&Flavor> {
        match &self.defaults.control_plane_flavor {
            Some(name) => self.flavor(name),
            None => smallest(self.flavors.iter().filter(|flavor| flavor.control_plane && flavor.local_ssd))
                .or_else(|| smallest(self.flavors.iter().filter(|flavor| flavor.control_plane))),
        }
    }

    /// The flavor of worker machines unless a description names one.
    pub fn default_worker_flavor(&self) -> Option<&Flavor> {
        match &self.defaults.worker_flavor {
            Some(name) => self.flavor(name),
            None => smallest(self.flavors.iter()),
        }
    }
}

/// The smallest flavor that Kubernetes runs on: 2 processors, 4 GiB.
fn smallest<'a>(flavors: impl Iterator<Item = &'a Flavor>) -> Option<&'a Flavor> {
    flavors.filter(|flavor| flavor.vcpus >= 2 && flavor.memory_gib >= 4.0).min_by(|left, right| {
        (left.vcpus, left.memory_gib).partial_cmp(&(right.vcpus, right.memory_gib)).unwrap_or(std::cmp::Ordering::Equal)
    })
}
