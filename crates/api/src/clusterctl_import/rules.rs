//! What each old parameter becomes.

use super::FindingKind::{Changed, Dropped, NeedsDecision};
use super::ImportInput;
use super::findings::{Finding, FindingKind};
use super::parameter_file::{Parameter, Switch, list, map, switch};
use crate::kubernetes_cluster::{
    AntiAffinity, ApiServerAccess, KubernetesClusterSpec, LocalReference, Proxy, StringMap,
};

/// Parameters without a field, with the reason. Old spellings included.
const WITHOUT_FIELD: &[(&str, &str)] = &[
    ("PREFIX", "Kogge names cloud resources itself"),
    ("NAMESPACE", "the namespace is the tenant"),
    ("OPENSTACK_CLOUD_YAML_B64", "secrets have no place in a description; remove it from the file"),
    ("OPENSTACK_CLOUD_PROVIDER_CONF_B64", "secrets have no place in a description; remove it from the file"),
    ("OPENSTACK_CLOUD_CACERT_B64", "the certificate belongs to the credentials (key cacert)"),
    ("OPENSTACK_IMAGE_RAW", "the profile knows which image format the cloud wants"),
    ("OPENSTACK_IMAGE_REGISTRATION_EXTRA_FLAGS", "image properties belong to the profile"),
    ("OPENSTACK_IMAGE_REGISTATION_EXTRA_FLAGS", "image properties belong to the profile"),
    ("CLUSTER_API_OPENSTACK_INSTANCE_CREATE_TIMEOUT", "time-outs belong to the profile"),
    ("CONTROL_PLANE_MACHINE_GEN", "machines are replaced when their description changes; nothing has to be counted up"),
    ("WORKER_MACHINE_GEN", "machines are replaced when their description changes; nothing has to be counted up"),
    ("OPENSTACK_CLUSTER_GEN", "changes are applied when the description changes; nothing has to be counted up"),
    ("OPENSTACK_SRVGRP_CONTROLLER", "server groups are made from controlPlane.antiAffinity"),
    ("OPENSTACK_SRVGRP_WORKER", "server groups are made from workers[].antiAffinity"),
    ("OPENSTACK_CONTROL_PLANE_IP", "it had no effect"),
    ("OPENSTACK_CONTROLPLANE_IP", "it had no effect"),
    ("SET_MTU_B64", "the packet size is found out per network"),
    ("MTU_VALUE", "the packet size is found out per network"),
    ("PROXY_CMD", "the proxy is set up on the machines from network.proxy"),
    ("CALICO_VERSION", "the stack chooses the network plugin and its version"),
    ("ETCD_PRIO_BOOST", "it is always on"),
    ("OLD_OPENSTACK_CLOUD", "it was bookkeeping of the scripts"),
    ("CLUSTER_NAME", "the name is given with --name"),
];

/// Parameters with a rule below.
const WITH_FIELD: &[&str] = &[
    "KUBERNETES_VERSION",
    "OPENSTACK_CLOUD",
    "OPENSTACK_FAILURE_DOMAIN",
    "OPENSTACK_IMAGE_NAME",
    "OPENSTACK_CONTROL_PLANE_MACHINE_FLAVOR",
    "CONTROL_PLANE_MACHINE_COUNT",
    "CONTROL_PLANE_ROOT_DISKSIZE",
    "OPENSTACK_CONTROL_PLANE_MACHINE_METADATA",
    "ETCD_UNSAFE_FS",
    "OPENSTACK_NODE_MACHINE_FLAVOR",
    "WORKER_MACHINE_COUNT",
    "WORKER_ROOT_DISKSIZE",
    "OPENSTACK_NODE_MACHINE_METADATA",
    "OPENSTACK_ANTI_AFFINITY",
    "OPENSTACK_ANTIAFFINITY",
    "OPENSTACK_SOFT_ANTI_AFFINITY_CONTROLLER",
    "OPENSTACK_SSH_KEY_NAME",
    "OPENSTACK_KEYPAIR_NAME",
    "OPENSTACK_EXTERNAL_NETWORK_ID",
    "OPENSTACK_DNS_NAMESERVERS",
    "NODE_CIDR",
    "POD_CIDR",
    "SERVICE_CIDR",
    "RESTRICT_KUBEAPI",
    "USE_OVN_LB_PROVIDER",
    "HTTP_PROXY",
    "NO_PROXY",
    "USE_CILIUM",
    "DEPLOY_OCCM",
    "DEPLOY_K8S_OPENSTACK_GIT",
    "DEPLOY_CINDERCSI",
    "DEPLOY_K8S_CINDERCSI_GIT",
    "DEPLOY_METRICS",
    "DEPLOY_NGINX_INGRESS",
    "NGINX_INGRESS_PROXY",
    "DEPLOY_GATEWAY_API",
    "DEPLOY_CERT_MANAGER",
    "DEPLOY_FLUX",
    "DEPLOY_HARBOR",
    "HARBOR_DOMAIN_NAME",
    "HARBOR_ISSUER_EMAIL",
    "HARBOR_PERSISTENCE",
    "HARBOR_DATABASE_SIZE",
    "HARBOR_REDIS_SIZE",
    "HARBOR_TRIVY_SIZE",
];

/// Networks the old scripts put into NO_PROXY by themselves, as Kogge does.
const NO_PROXY_BUILT_IN: &[&str] =
    &[".svc", ".svc.cluster", ".svc.cluster.local", "127.0.0.0/8", "169.254.169.254/32", "fd00:ec2::254/128"];

/// Whether this is a parameter of any release of the reference implementation.
pub(super) fn is_known(key: &str) -> bool {
    let key = key.to_ascii_uppercase();
    WITH_FIELD.contains(&key.as_str()) || WITHOUT_FIELD.iter().any(|(name, _)| *name == key)
}

/// Writes findings about one parameter.
struct Report<'a> {
    parameter: &'a Parameter,
    findings: &'a mut Vec<Finding>,
}

impl Report<'_> {
    fn say(&mut self, kind: FindingKind, message: impl Into<String>) {
        self.findings.push(Finding {
            kind,
            line: self.parameter.line,
            parameter: self.parameter.key.clone(),
            message: message.into(),
        });
    }

    fn number(&mut self, what: &str) -> Option<u32> {
        let number = self.parameter.value.trim().parse().ok();
        if number.is_none() {
            self.say(NeedsDecision, format!("`{}` is no number; {what} keeps its default", self.parameter.value));
        }
        number
    }

    fn metadata(&mut self, field: &str) -> StringMap {
        if let Some(pairs) = map(&self.parameter.value) {
            return pairs.into_iter().collect();
        }
        self.say(NeedsDecision, format!("`{}` is no map of texts; write {field} by hand", self.parameter.value));
        StringMap::new()
    }

    /// An add-on's switch; a version is not taken over, since the stack has tested ones.
    fn addon(&mut self, field: &str) -> bool {
        match switch(&self.parameter.value) {
            Switch::Off => false,
            Switch::On => true,
            Switch::Version(version) => {
                self.say(
                    Changed,
                    format!("{field} is on; the stack decides its version, {version} is not taken over (set {field}.version to insist)"),
                );
                true
            }
        }
    }

    /// Something that is always on.
    fn always_on(&mut self, what: &str) {
        match switch(&self.parameter.value) {
            Switch::Off => self.say(Changed, format!("{what} is always there; it cannot be left out")),
            Switch::On => {}
            Switch::Version(version) => {
                self.say(Dropped, format!("the stack decides the version of {what}; {version} is not taken over"));
            }
        }
    }
}

/// Applies the rule of every parameter. The last of equal keys counts.
pub(super) fn apply(parameters: &[Parameter], spec: &mut KubernetesClusterSpec, findings: &mut Vec<Finding>) {
    let mut anti_affinity = true;
    let mut soft_control_plane = false;
    for (index, parameter) in parameters.iter().enumerate() {
        let key = parameter.key.to_ascii_uppercase();
        let mut report = Report { parameter, findings };
        if parameters[index + 1..].iter().any(|later| later.key.eq_ignore_ascii_case(&key)) {
            report.say(Dropped, "it is set again further down, which counts");
            continue;
        }
        match key.as_str() {
            "OPENSTACK_ANTI_AFFINITY" | "OPENSTACK_ANTIAFFINITY" => {
                anti_affinity = switch(&parameter.value) != Switch::Off;
            }
            "OPENSTACK_SOFT_ANTI_AFFINITY_CONTROLLER" => {
                soft_control_plane = switch(&parameter.value) != Switch::Off;
            }
            _ => {
                let handled = machines(&key, &mut report, spec)
                    || network(&key, &mut report, spec)
                    || addons(&key, &mut report, spec)
                    || without_field(&key, &mut report);
                if !handled {
                    report.say(Dropped, unknown(&parameter.key));
                }
            }
        }
    }
    let single = spec.control_plane.count == 1;
    spec.control_plane.anti_affinity = match (anti_affinity, soft_control_plane) {
        _ if single => None,
        (false, _) => Some(AntiAffinity::Disabled),
        (true, true) => Some(AntiAffinity::Preferred),
        (true, false) => None,
    };
    spec.workers[0].anti_affinity = if anti_affinity { AntiAffinity::Preferred } else { AntiAffinity::Disabled };
}

fn unknown(key: &str) -> String {
    let known = WITH_FIELD.iter().copied().chain(WITHOUT_FIELD.iter().map(|(name, _)| *name));
    match crate::suggestion::closest(key, known) {
        Some(name) => format!("no release had this parameter; did you mean {name}?"),
        None => "no release had this parameter".into(),
    }
}

fn without_field(key: &str, report: &mut Report<'_>) -> bool {
    let Some((_, reason)) = WITHOUT_FIELD.iter().find(|(name, _)| *name == key) else { return false };
    let value = report.parameter.value.trim();
    // Values that were never set need no words.
    if !value.is_empty() && value != "nonono" {
        report.say(Dropped, *reason);
    }
    true
}

fn machines(key: &str, report: &mut Report<'_>, spec: &mut KubernetesClusterSpec) -> bool {
    let value = report.parameter.value.trim().to_owned();
    let given = Some(value.clone()).filter(|value| !value.is_empty());
    match key {
        "KUBERNETES_VERSION" => value.trim_start_matches('v').clone_into(&mut spec.kubernetes.version),
        // Needs the profile or other files: see `credentials` and the profile's fit.
        "OPENSTACK_CLOUD" => {}
        "OPENSTACK_FAILURE_DOMAIN" => {
            spec.workers[0].zones = given.into_iter().collect();
        }
        "OPENSTACK_IMAGE_NAME" => {
            let usual =
                value.is_empty() || value.contains("${KUBERNETES_VERSION}") || value.starts_with("ubuntu-capi-image");
            if usual {
                report.say(Dropped, "the stack brings the image that fits the Kubernetes version");
            } else {
                report.say(
                    NeedsDecision,
                    format!("the stack brings its own image; set advanced.nodeImage to keep `{value}`"),
                );
            }
        }
        "OPENSTACK_CONTROL_PLANE_MACHINE_FLAVOR" => spec.control_plane.machine_flavor = given,
        "OPENSTACK_NODE_MACHINE_FLAVOR" => spec.workers[0].machine_flavor = given,
        "CONTROL_PLANE_MACHINE_COUNT" => control_plane_count(report, spec),
        "WORKER_MACHINE_COUNT" => {
            if let Some(count) = report.number("workers[0].count") {
                spec.workers[0].count = Some(count);
                if count == 0 {
                    report.say(NeedsDecision, "a cluster needs at least one worker machine; give workers[0].count");
                }
            }
        }
        "CONTROL_PLANE_ROOT_DISKSIZE" => spec.control_plane.root_disk_gib = report.number("controlPlane.rootDiskGiB"),
        "WORKER_ROOT_DISKSIZE" => spec.workers[0].root_disk_gib = report.number("workers[0].rootDiskGiB"),
        "OPENSTACK_CONTROL_PLANE_MACHINE_METADATA" => {
            spec.control_plane.machine_metadata = report.metadata("controlPlane.machineMetadata");
        }
        "OPENSTACK_NODE_MACHINE_METADATA" => {
            spec.workers[0].machine_metadata = report.metadata("workers[0].machineMetadata");
        }
        "ETCD_UNSAFE_FS" => {
            if switch(&value) != Switch::Off {
                report.say(
                    NeedsDecision,
                    "etcd is never put on an unsafe file system; use a control plane flavor with local SSD",
                );
            }
        }
        "OPENSTACK_SSH_KEY_NAME" | "OPENSTACK_KEYPAIR_NAME" => {
            if let Some(name) = given.filter(|name| !name.contains("${")) {
                report.say(
                    NeedsDecision,
                    format!("machines have no SSH access unless asked for; set advanced.sshKeyName: {name} to keep it"),
                );
            }
        }
        _ => return false,
    }
    true
}

fn control_plane_count(report: &mut Report<'_>, spec: &mut KubernetesClusterSpec) {
    let Some(count) = report.number("controlPlane.count") else { return };
    spec.control_plane.count = count;
    match count {
        1 => report.say(NeedsDecision, "a single control plane machine has no spare; 3 is the default of new clusters"),
        0 => {
            spec.control_plane.count = 3;
            report.say(Changed, "0 meant that no cluster was made; the description has the default of 3");
        }
        even if even % 2 == 0 => {
            spec.control_plane.count = (even + 1).min(7);
            report.say(
                Changed,
                format!("{even} is even, which etcd cannot use; the description has {}", spec.control_plane.count),
            );
        }
        many if many > 7 => {
            spec.control_plane.count = 7;
            report.say(Changed, "more than 7 make etcd slower, not safer; the description has 7");
        }
        _ => {}
    }
}

fn network(key: &str, report: &mut Report<'_>, spec: &mut KubernetesClusterSpec) -> bool {
    let value = report.parameter.value.trim().to_owned();
    match key {
        "OPENSTACK_EXTERNAL_NETWORK_ID" => {
            spec.network.external_network = Some(value).filter(|value| !value.is_empty());
        }
        "OPENSTACK_DNS_NAMESERVERS" => {
            let servers = list(&value);
            let (good, bad): (Vec<_>, Vec<_>) =
                servers.into_iter().partition(|server| server.parse::<std::net::IpAddr>().is_ok());
            for server in bad {
                report.say(Changed, format!("`{server}` is no IP address and is left out"));
            }
            if good.len() > 3 {
                report.say(Changed, "machines use three name servers at most; the first three are kept");
            }
            spec.network.dns_servers = good.into_iter().take(3).collect();
        }
        "NODE_CIDR" => cidr(report, &value, &mut spec.network.node_cidr),
        "POD_CIDR" => cidr(report, &value, &mut spec.network.pod_cidr),
        "SERVICE_CIDR" => cidr(report, &value, &mut spec.network.service_cidr),
        "RESTRICT_KUBEAPI" => api_access(report, &value, spec),
        "USE_OVN_LB_PROVIDER" => {
            if !matches!(value.to_ascii_lowercase().as_str(), "" | "false") {
                report.say(Dropped, "the profile knows the load balancer of the cloud");
            }
        }
        "HTTP_PROXY" => {
            if !value.is_empty() {
                if value.contains('@') {
                    report.say(NeedsDecision, "a proxy with credentials needs network.proxy.secretRef; it is left out");
                } else if value.starts_with("http://") || value.starts_with("https://") {
                    spec.network.proxy.get_or_insert_with(Proxy::default).url = value;
                } else {
                    report.say(
                        NeedsDecision,
                        format!("`{value}` needs a scheme, such as http://{value}; it is left out"),
                    );
                }
            }
        }
        "NO_PROXY" => {
            let own: Vec<_> =
                list(&value).into_iter().filter(|item| !NO_PROXY_BUILT_IN.contains(&item.as_str())).collect();
            if !own.is_empty() {
                spec.network.proxy.get_or_insert_with(Proxy::default).no_proxy = own;
            }
        }
        _ => return false,
    }
    true
}

fn cidr(report: &mut Report<'_>, value: &str, field: &mut String) {
    if value.is_empty() {
        return;
    }
    match value.parse::<ipnet::IpNet>() {
        Ok(network) => {
            *field = network.trunc().to_string();
            if *field != value {
                report.say(Changed, format!("{value} names an address inside a network; the network is {field}"));
            }
        }
        Err(_) => report.say(NeedsDecision, format!("`{value}` is no network; the default {field} is kept")),
    }
}

/// Empty is open to all; entries are the networks that may; `none` alone means nobody but the cluster itself.
fn api_access(report: &mut Report<'_>, value: &str, spec: &mut KubernetesClusterSpec) {
    let entries = list(value);
    if entries.is_empty() {
        return;
    }
    spec.api_server.access = Some(ApiServerAccess::AllowList);
    for entry in entries.into_iter().filter(|entry| entry != "none") {
        let parsed = match entry.parse::<std::net::IpAddr>() {
            Ok(address) => Ok(ipnet::IpNet::from(address)),
            Err(_) => entry.parse::<ipnet::IpNet>(),
        };
        match parsed {
            Ok(network) => {
                let network = network.trunc().to_string();
                if network != entry {
                    report.say(Changed, format!("{entry} is written as {network}"));
                }
                spec.api_server.allowed_cidrs.push(network);
            }
            Err(_) => report.say(NeedsDecision, format!("`{entry}` is no network; it is left out of the allow list")),
        }
    }
}

fn addons(key: &str, report: &mut Report<'_>, spec: &mut KubernetesClusterSpec) -> bool {
    let value = report.parameter.value.trim().to_owned();
    let given = Some(value.clone()).filter(|value| !value.is_empty());
    let addons = &mut spec.addons;
    match key {
        "USE_CILIUM" => {
            if switch(&value) == Switch::Off {
                report.say(
                    NeedsDecision,
                    "the stack brings Cilium; a running Calico cluster cannot be switched, only moved to a new cluster",
                );
            } else {
                report.say(Dropped, "the stack chooses the network plugin and its version");
            }
        }
        "DEPLOY_OCCM" | "DEPLOY_K8S_OPENSTACK_GIT" => report.always_on("the cloud controller manager"),
        "DEPLOY_CINDERCSI" | "DEPLOY_K8S_CINDERCSI_GIT" => report.always_on("the storage driver"),
        "DEPLOY_METRICS" => addons.metrics_server.enabled = report.addon("addons.metricsServer"),
        "DEPLOY_NGINX_INGRESS" => addons.ingress.enabled = Some(report.addon("addons.ingress")),
        "NGINX_INGRESS_PROXY" => addons.ingress.preserve_client_ip = switch(&value) != Switch::Off,
        "DEPLOY_GATEWAY_API" => addons.gateway_api.enabled = report.addon("addons.gatewayAPI"),
        "DEPLOY_CERT_MANAGER" => {
            addons.cert_manager.enabled = Some(report.addon("addons.certManager")).filter(|enabled| *enabled);
        }
        "DEPLOY_FLUX" => addons.flux.enabled = Some(report.addon("addons.flux")).filter(|enabled| *enabled),
        "DEPLOY_HARBOR" => addons.harbor.enabled = report.addon("addons.harbor"),
        "HARBOR_DOMAIN_NAME" => addons.harbor.domain = given,
        "HARBOR_ISSUER_EMAIL" => addons.harbor.acme_email = given,
        "HARBOR_PERSISTENCE" => addons.harbor.persistence = switch(&value) != Switch::Off,
        "HARBOR_DATABASE_SIZE" if given.is_some() => addons.harbor.sizes.database = value,
        "HARBOR_REDIS_SIZE" if given.is_some() => addons.harbor.sizes.redis = value,
        "HARBOR_TRIVY_SIZE" if given.is_some() => addons.harbor.sizes.trivy = value,
        "HARBOR_DATABASE_SIZE" | "HARBOR_REDIS_SIZE" | "HARBOR_TRIVY_SIZE" => {}
        _ => return false,
    }
    true
}

/// The cloud's section in `clouds.yaml`: region, and how the credentials get to Kogge. No secret is ever copied.
pub(super) fn credentials(
    input: &ImportInput<'_>,
    parameters: &[Parameter],
    spec: &mut KubernetesClusterSpec,
    findings: &mut Vec<Finding>,
) {
    let find = |name: &str| parameters.iter().rev().find(|parameter| parameter.key == name);
    let Some(cloud) = find("OPENSTACK_CLOUD").filter(|cloud| !cloud.value.is_empty()) else { return };
    let mut report = Report { parameter: cloud, findings };
    let secret = format!("{}-cloud", input.name);
    let Some(clouds) = input.clouds else {
        report.say(
            NeedsDecision,
            format!(
                "credentials are a Secret in the tenant's namespace: give the clouds.yaml with --clouds, or set provider.credentialsRef (profile `{}` is used)",
                spec.provider.profile
            ),
        );
        return;
    };
    let sections: serde_json::Value = match serde_saphyr::from_str(clouds) {
        Ok(sections) => sections,
        Err(error) => {
            report.say(NeedsDecision, format!("the clouds.yaml cannot be read: {error}"));
            return;
        }
    };
    let section = &sections["clouds"][&cloud.value];
    if section.is_null() {
        report.say(NeedsDecision, format!("the clouds.yaml has no section `{}`", cloud.value));
        return;
    }
    spec.provider.credentials_ref = Some(LocalReference { name: secret.clone() });
    report.say(
        Changed,
        format!(
            "provider.credentialsRef names the Secret {secret}; make it with `kubectl create secret generic {secret} --from-file=clouds.yaml`"
        ),
    );
    if let Some(region) = section["region_name"].as_str() {
        if input.profile.spec.region(Some(region)).is_some() {
            spec.provider.region = Some(region.to_owned());
        } else {
            report.say(
                Changed,
                format!("region {region} is none of profile `{}`; its default is used", spec.provider.profile),
            );
        }
    }
}
