//! From a completed description to the Cluster API objects that mean it. Pure.
//!
//! The stack decides what a machine is; the description decides how many, where and with which options. Options travel
//! as variables of the ClusterClass, by names all stacks share. A stack that does not declare a variable cannot honour
//! the option, and the description is refused rather than half obeyed.

use std::collections::BTreeMap;

use kogge_api::kubernetes_cluster::{ApiServerAccess, HealthCheck, KubernetesClusterSpec, TaintEffect, WorkerPool};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::description::{APPLIED_DESCRIPTION_ANNOTATION, seconds};
use crate::release::{CONTENT_ANNOTATION, StackRelease, short_digest};

mod node_files;

/// Prefix of the labels that tell which add-ons a cluster has.
pub const ADDON_LABEL_PREFIX: &str = "addons.kogge.dev/";
/// API version of Cluster API's core kinds.
pub const CLUSTER_API_VERSION: &str = "cluster.x-k8s.io/v1beta2";
const AUTOSCALER_PREFIX: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group";

/// What a cluster is rendered from.
#[derive(Clone, Copy, Debug)]
pub struct RenderInput<'a> {
    /// Name of the cluster.
    pub name: &'a str,
    /// Namespace of the cluster.
    pub namespace: &'a str,
    /// Unique identifier of the KubernetesCluster, owner of the Cluster; empty leaves the owner out.
    pub uid: &'a str,
    /// The completed description, see [`crate::description::complete`].
    pub spec: &'a KubernetesClusterSpec,
    /// Value of the annotation that asks for new machines, if any.
    pub rollout: Option<&'a str>,
    /// Further variables of the stack, set by the profile.
    pub profile_variables: &'a BTreeMap<String, String>,
    /// The stack release.
    pub release: &'a StackRelease,
    /// Exact Kubernetes version, for example `v1.34.2`.
    pub version: &'a str,
    /// Minor version, for example `1.34`.
    pub minor: &'a str,
}

/// A description the stack cannot honour.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The stack has no variable for an option.
    #[error("{field} is set, but stack `{stack}` cannot honour it (it has no variable `{variable}`)")]
    OptionNotSupported {
        /// The field of the description.
        field: &'static str,
        /// Name of the stack.
        stack: String,
        /// The variable the stack would need.
        variable: &'static str,
    },
    /// Two pools would get machine deployments of the same name.
    #[error("pools and zones combine to the same name `{0}` twice; rename one of the pools")]
    AmbiguousPoolName(String),
    /// A duration cannot be read.
    #[error("{field} is no duration: `{value}`")]
    InvalidDuration {
        /// The field of the description.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

/// Renders the `Cluster` with its topology.
///
/// # Errors
/// When the stack cannot honour an option of the description.
pub fn cluster(input: &RenderInput<'_>) -> Result<Value, RenderError> {
    let spec = input.spec;
    let drain = duration("maintenance.drainTimeout", &spec.maintenance.drain_timeout)?;
    let health_check = spec.advanced.as_ref().and_then(|advanced| advanced.health_check.as_ref());
    let mut control_plane = json!({
        "replicas": spec.control_plane.count,
        "deletion": {"nodeDrainTimeoutSeconds": drain},
    });
    if let Some(check) = health_check {
        control_plane["healthCheck"] = merged_health_check(input.release.control_plane_health_check(), check)?;
    }
    let mut machine_deployments: Vec<Value> = Vec::new();
    for pool in &spec.workers {
        for mut deployment in pool_deployments(pool, input)? {
            deployment["deletion"] = json!({"nodeDrainTimeoutSeconds": drain});
            if let Some(check) = health_check {
                deployment["healthCheck"] = merged_health_check(input.release.worker_health_check(), check)?;
            }
            if machine_deployments.iter().any(|known| known["name"] == deployment["name"]) {
                return Err(RenderError::AmbiguousPoolName(deployment["name"].as_str().unwrap_or_default().to_owned()));
            }
            machine_deployments.push(deployment);
        }
    }
    let mut labels = Map::from_iter([
        ("app.kubernetes.io/managed-by".to_owned(), json!("kogge")),
        (kogge_api::CLUSTER_LABEL.to_owned(), json!(input.name)),
    ]);
    for addon in spec.addons.all().iter().filter(|addon| addon.enabled) {
        labels.insert(format!("{ADDON_LABEL_PREFIX}{}", addon_label(addon.name)), json!("enabled"));
    }
    let (mut pods, mut services) = (vec![&spec.network.pod_cidr], vec![&spec.network.service_cidr]);
    if let Some(ipv6) = &spec.network.ipv6 {
        pods.push(&ipv6.pod_cidr);
        services.push(&ipv6.service_cidr);
    }
    let mut object = json!({
        "apiVersion": CLUSTER_API_VERSION,
        "kind": "Cluster",
        "metadata": {
            "name": input.name,
            "namespace": input.namespace,
            "labels": labels,
            "annotations": {
                // A struct of plain fields always serialises.
                APPLIED_DESCRIPTION_ANNOTATION: serde_json::to_string(spec).unwrap_or_default(),
            },
        },
        "spec": {
            "paused": spec.paused,
            "clusterNetwork": {
                "pods": {"cidrBlocks": pods},
                "services": {"cidrBlocks": services},
                "serviceDomain": "cluster.local",
            },
            "topology": {
                "classRef": {"name": input.release.class_name(input.minor)},
                "version": input.version,
                "controlPlane": control_plane,
                "workers": {"machineDeployments": machine_deployments},
                "variables": variables(input)?,
            },
        },
    });
    if !input.uid.is_empty() {
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": format!("{}/{}", kogge_api::GROUP, kogge_api::VERSION),
            "kind": "KubernetesCluster",
            "name": input.name,
            "uid": input.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
    }
    stamp(&mut object);
    Ok(object)
}

/// The digest Kogge left on an object it wrote.
pub fn content_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations")?.get(CONTENT_ANNOTATION)?.as_str()
}

/// Writes the digest of an object into its annotations.
fn stamp(object: &mut Value) {
    let text = short_digest(Sha256::new_with_prefix(object.to_string().as_bytes()));
    object["metadata"]["annotations"][CONTENT_ANNOTATION] = Value::String(text);
}

/// Name of an add-on as part of a label: `gatewayAPI` is `gateway-api`.
pub fn addon_label(name: &str) -> String {
    let mut label = String::with_capacity(name.len() + 2);
    let mut previous_was_upper = true;
    for character in name.chars() {
        if character.is_ascii_uppercase() && !previous_was_upper {
            label.push('-');
        }
        previous_was_upper = character.is_ascii_uppercase();
        label.push(character.to_ascii_lowercase());
    }
    label
}

/// Name of the machine deployment of a pool in one of its zones.
pub fn deployment_name(pool: &WorkerPool, zone: &str) -> String {
    if pool.zones.len() > 1 { format!("{}-{zone}", pool.name) } else { pool.name.clone() }
}

/// The pool a machine deployment of the topology belongs to: recorded in its label.
pub const POOL_LABEL: &str = "kogge.dev/pool";

/// One machine deployment per zone of the pool. Machines are dealt out in the order of the zones, so that the first
/// zones have one more where it does not come out even.
fn pool_deployments(pool: &WorkerPool, input: &RenderInput<'_>) -> Result<Vec<Value>, RenderError> {
    let shares = u32::try_from(pool.zones.len().max(1)).unwrap_or(1);
    let share = |total: u32, index: u32| total / shares + u32::from(index < total % shares);
    let overrides = pool_variables(pool, input)?;
    let no_zone = [String::new()];
    let zones: &[String] = if pool.zones.is_empty() { &no_zone } else { &pool.zones };
    let deployments = (0..shares).zip(zones).map(|(index, zone)| {
        let mut labels = Map::from_iter([(POOL_LABEL.to_owned(), json!(pool.name))]);
        labels.extend(pool.labels.iter().map(|(name, value)| (name.clone(), json!(value))));
        let mut deployment = json!({
            "class": input.release.worker_class,
            "name": deployment_name(pool, zone),
            "metadata": {"labels": labels},
            "variables": {"overrides": overrides},
        });
        if !zone.is_empty() {
            deployment["failureDomain"] = json!(zone);
        }
        if let Some(bounds) = pool.autoscaling {
            deployment["metadata"]["annotations"] = json!({
                format!("{AUTOSCALER_PREFIX}-min-size"): share(bounds.min, index).to_string(),
                format!("{AUTOSCALER_PREFIX}-max-size"): share(bounds.max, index).to_string(),
            });
        } else {
            deployment["replicas"] = json!(share(pool.initial_count(), index));
        }
        if !pool.taints.is_empty() {
            let taints = pool.taints.iter().map(|taint| {
                let effect = match taint.effect {
                    TaintEffect::NoSchedule => "NoSchedule",
                    TaintEffect::PreferNoSchedule => "PreferNoSchedule",
                    TaintEffect::NoExecute => "NoExecute",
                };
                let mut value = json!({"key": taint.key, "effect": effect, "propagation": "Always"});
                if !taint.value.is_empty() {
                    value["value"] = json!(taint.value);
                }
                value
            });
            deployment["taints"] = taints.collect();
        }
        deployment
    });
    Ok(deployments.collect())
}

/// Collects variables, refusing those the stack does not declare.
struct Variables<'a> {
    release: &'a StackRelease,
    list: Vec<Value>,
}

impl Variables<'_> {
    fn set(&mut self, field: &'static str, variable: &'static str, value: impl Into<Value>) -> Result<(), RenderError> {
        let value = value.into();
        if !self.release.has_variable(variable) {
            return Err(RenderError::OptionNotSupported { field, stack: self.release.name.clone(), variable });
        }
        self.list.retain(|known| known["name"] != variable);
        self.list.push(json!({"name": variable, "value": value}));
        Ok(())
    }

    /// Like [`Self::set`], but only where there is a value.
    fn set_some(
        &mut self,
        field: &'static str,
        variable: &'static str,
        value: Option<impl Into<Value>>,
    ) -> Result<(), RenderError> {
        value.map_or(Ok(()), |value| self.set(field, variable, value))
    }

    fn finish(mut self) -> Vec<Value> {
        self.list.sort_by(|left, right| left["name"].as_str().cmp(&right["name"].as_str()));
        self.list
    }
}

fn pool_variables(pool: &WorkerPool, input: &RenderInput<'_>) -> Result<Vec<Value>, RenderError> {
    let mut variables = Variables { release: input.release, list: Vec::new() };
    variables.set_some("workers[].machineFlavor", "workerFlavor", pool.machine_flavor.clone())?;
    variables.set_some("workers[].rootDiskGiB", "workerRootDiskGiB", pool.root_disk_gib)?;
    variables.set("workers[].antiAffinity", "workerAntiAffinity", word(&pool.anti_affinity))?;
    if !pool.machine_metadata.is_empty() {
        variables.set("workers[].machineMetadata", "workerMachineMetadata", json!(pool.machine_metadata))?;
    }
    Ok(variables.finish())
}

fn variables(input: &RenderInput<'_>) -> Result<Vec<Value>, RenderError> {
    let (spec, release) = (input.spec, input.release);
    let mut variables = Variables { release, list: Vec::new() };
    for (name, value) in input.profile_variables {
        variables.list.push(json!({"name": name, "value": value}));
    }
    let control_plane = &spec.control_plane;
    variables.set_some("controlPlane.machineFlavor", "controlPlaneFlavor", control_plane.machine_flavor.clone())?;
    variables.set_some("controlPlane.rootDiskGiB", "controlPlaneRootDiskGiB", control_plane.root_disk_gib)?;
    let affinity = control_plane.effective_anti_affinity();
    variables.set("controlPlane.antiAffinity", "controlPlaneAntiAffinity", word(&affinity))?;
    if !control_plane.machine_metadata.is_empty() {
        let metadata = json!(control_plane.machine_metadata);
        variables.set("controlPlane.machineMetadata", "controlPlaneMachineMetadata", metadata)?;
    }
    if !control_plane.zones.is_empty() {
        variables.set("controlPlane.zones", "controlPlaneZones", json!(control_plane.zones))?;
    }
    // Every pool overrides it; the class requires a value for the cluster as a whole.
    let first_flavor = spec.workers.first().and_then(|pool| pool.machine_flavor.clone());
    variables.set_some("workers[].machineFlavor", "workerFlavor", first_flavor)?;

    let advanced = spec.advanced.as_ref();
    let image = advanced.and_then(|advanced| advanced.node_image.clone());
    variables.set("advanced.nodeImage", "nodeImage", image.unwrap_or_else(|| release.node_image(input.version)))?;
    let key = advanced.and_then(|advanced| advanced.ssh_key_name.clone());
    variables.set_some("advanced.sshKeyName", "sshKeyName", key)?;
    variables.set_some("metadata.annotations", "rolloutToken", input.rollout)?;

    let provider = &spec.provider;
    let credentials = provider.credentials_ref.as_ref().map_or(&provider.profile, |reference| &reference.name);
    variables.set("provider.credentialsRef", "credentials", credentials.as_str())?;
    variables.set_some("provider.region", "region", provider.region.clone())?;
    let network = &spec.network;
    variables.set("network.nodeCIDR", "nodeCIDR", network.node_cidr.clone())?;
    let ipv6 = network.ipv6.as_ref().map(|ipv6| ipv6.node_cidr.clone());
    variables.set_some("network.ipv6.nodeCIDR", "nodeIPv6CIDR", ipv6)?;
    variables.set_some("network.externalNetwork", "externalNetwork", network.external_network.clone())?;
    if !network.dns_servers.is_empty() {
        variables.set("network.dnsServers", "dnsServers", json!(network.dns_servers))?;
    }
    let access = spec.api_server.effective_access();
    variables.set("apiServer.access", "apiServerAccess", word(&access))?;
    if access == ApiServerAccess::AllowList {
        variables.set("apiServer.allowedCIDRs", "apiServerAllowedCIDRs", json!(spec.api_server.allowed_cidrs))?;
    }
    if !spec.api_server.cert_sans.is_empty() {
        let mut names = release.control_plane_list("/clusterConfiguration/apiServer/certSANs");
        names.extend(spec.api_server.cert_sans.iter().map(|name| json!(name)));
        variables.set("apiServer.certSANs", "certSANs", names)?;
    }
    kubeadm_lists(spec, &mut variables)?;
    Ok(variables.finish())
}

/// Lists of the kubeadm configuration that grow with the description: the template's own entries, then ours, as a whole.
fn kubeadm_lists(spec: &KubernetesClusterSpec, variables: &mut Variables<'_>) -> Result<(), RenderError> {
    let release = variables.release;
    let files = node_files::machine_files(spec);
    let commands = node_files::machine_commands(spec);
    let field = "network.proxy, registries.mirrors, trust or access.oidc";
    let mut control_plane_files = files.clone();
    if let Some(oidc) = spec.access.as_ref().and_then(|access| access.oidc.as_ref()) {
        control_plane_files.push(node_files::authentication_file(oidc));
        let directory = node_files::AUTHENTICATION_DIRECTORY;
        let mut arguments = release.control_plane_list("/clusterConfiguration/apiServer/extraArgs");
        arguments.push(json!({"name": "authentication-config", "value": format!("{directory}/configuration.yaml")}));
        variables.set("access.oidc", "apiServerExtraArgs", arguments)?;
        let mut volumes = release.control_plane_list("/clusterConfiguration/apiServer/extraVolumes");
        volumes.push(json!({
            "name": "authentication", "hostPath": directory, "mountPath": directory, "pathType": "Directory",
            "readOnly": true,
        }));
        variables.set("access.oidc", "apiServerExtraVolumes", volumes)?;
    }
    if !control_plane_files.is_empty() {
        let mut all = release.control_plane_list("/files");
        all.extend(control_plane_files);
        variables.set(field, "controlPlaneFiles", all)?;
    }
    if !files.is_empty() {
        let mut all = release.worker_list("/files");
        all.extend(files);
        variables.set(field, "workerFiles", all)?;
    }
    if !commands.is_empty() {
        let mut all = release.control_plane_list("/preKubeadmCommands");
        all.extend(commands.clone());
        variables.set(field, "controlPlanePreKubeadmCommands", all)?;
        let mut all = release.worker_list("/preKubeadmCommands");
        all.extend(commands);
        variables.set(field, "workerPreKubeadmCommands", all)?;
    }
    Ok(())
}

/// The stack's health check with the description's numbers in it.
fn merged_health_check(stack: &Value, check: &HealthCheck) -> Result<Value, RenderError> {
    let mut merged = if stack.is_object() { stack.clone() } else { json!({}) };
    merged["enabled"] = json!(true);
    if let Some(timeout) = &check.node_startup_timeout {
        merged["checks"]["nodeStartupTimeoutSeconds"] =
            json!(duration("advanced.healthCheck.nodeStartupTimeout", timeout)?);
    }
    if let Some(timeout) = &check.unhealthy_timeout {
        let seconds = duration("advanced.healthCheck.unhealthyTimeout", timeout)?;
        merged["checks"]["unhealthyNodeConditions"] = ["Unknown", "False"]
            .map(|status| json!({"type": "Ready", "status": status, "timeoutSeconds": seconds}))
            .into_iter()
            .collect();
    }
    if let Some(maximum) = &check.max_unhealthy {
        // An int-or-string: a plain number is a number of machines.
        let value = maximum.parse::<u32>().map_or_else(|_| json!(maximum), |number| json!(number));
        merged["remediation"]["triggerIf"]["unhealthyLessThanOrEqualTo"] = value;
    }
    Ok(merged)
}

fn duration(field: &'static str, value: &str) -> Result<u32, RenderError> {
    seconds(value).ok_or_else(|| RenderError::InvalidDuration { field, value: value.to_owned() })
}

/// The word an enum of the description stands for in JSON.
fn word(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
