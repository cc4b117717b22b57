//! Nodes as a real cluster of the stack shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cloud::{address::pod_network, flavor::Flavor, instance::provider_id},
    condition::seconds,
    object::{CLUSTER_NAME_LABEL, Object, name_suffix, stable_hash},
    state::{ClusterState, InstanceStage, is_control_plane},
};

/// Operating system of the node image.
pub const OS_IMAGE: &str = "Ubuntu 24.04.3 LTS";
/// Kernel of the node image.
const KERNEL: &str = "6.8.0-79-generic";
/// Container runtime of the node image.
const RUNTIME: &str = "containerd://2.1.4";
/// Taint of control plane nodes.
pub const CONTROL_PLANE_TAINT: &str = "node-role.kubernetes.io/control-plane";

/// What is known of a node when it registers.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// Name, that of its machine.
    pub name: String,
    /// Name of its machine's cluster.
    pub cluster: String,
    /// Namespace of its machine.
    pub namespace: String,
    /// Uid of its machine, from which it takes its identity.
    pub machine_uid: String,
    /// Whether it carries a control plane.
    pub control_plane: bool,
    /// How far its machine came: `Joining`, `Running` or `Lost`.
    pub stage: InstanceStage,
    /// Kubernetes version.
    pub version: String,
    /// Zone.
    pub zone: String,
    /// Region, may be empty.
    pub region: String,
    /// Flavor name.
    pub flavor: String,
    /// Size of the root volume in GiB, 0 for the flavor's own disk.
    pub root_disk_gib: u64,
    /// `status.addresses`.
    pub addresses: Value,
    /// Pod network, empty if the cluster's has no room.
    pub pod_cidr: String,
    /// Labels that come from the machine.
    pub labels: BTreeMap<String, String>,
    /// Taints that come from the machine.
    pub taints: Vec<Value>,
    /// Extra arguments of the API server (control plane only), as `--name=value`.
    pub api_server_arguments: Vec<String>,
}

/// The node of a machine whose instance reached `stage`.
pub fn node_spec(state: &ClusterState, machine: &Object, instance: &Object, stage: InstanceStage) -> NodeSpec {
    let index = instance.number("/status/nodeIndex").and_then(|it| u128::try_from(it).ok()).unwrap_or_default();
    let pods = state.cluster.list("/spec/clusterNetwork/pods/cidrBlocks").first().and_then(Value::as_str);
    let labels = machine.at("/metadata/labels").as_object().into_iter().flatten();
    NodeSpec {
        name: machine.name().to_owned(),
        cluster: state.name().to_owned(),
        namespace: state.namespace().to_owned(),
        machine_uid: machine.uid().to_owned(),
        control_plane: is_control_plane(machine),
        stage,
        version: machine.text("/spec/version").to_owned(),
        zone: instance.text("/status/failureDomain").to_owned(),
        region: state.infrastructure.as_ref().map_or("", |it| it.text("/spec/region")).to_owned(),
        flavor: instance.text("/spec/flavor").to_owned(),
        root_disk_gib: instance.number("/spec/rootDiskGiB").and_then(|it| u64::try_from(it).ok()).unwrap_or_default(),
        addresses: instance.at("/status/addresses").clone(),
        pod_cidr: pod_network(pods.unwrap_or("192.168.0.0/16"), index).unwrap_or_default(),
        labels: labels
            .filter(|(key, _)| reaches_nodes(key))
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        taints: machine.list("/spec/taints").to_vec(),
        api_server_arguments: api_server_arguments(state, machine),
    }
}

/// Taken from the machine's own configuration, which never changes, unlike that of the control plane object.
fn api_server_arguments(state: &ClusterState, machine: &Object) -> Vec<String> {
    let Some(config) = state.configs.get(machine.name()).filter(|_| is_control_plane(machine)) else {
        return Vec::new();
    };
    config
        .list("/spec/clusterConfiguration/apiServer/extraArgs")
        .iter()
        .filter_map(|it| Some(format!("--{}={}", it["name"].as_str()?, it["value"].as_str()?)))
        .collect()
}

/// Labels of machines that are about machines stay there; what users asked for reaches nodes.
fn reaches_nodes(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    key != "machine-template-hash"
        && (domain == "node.cluster.x-k8s.io"
            || !(domain == CLUSTER_NAME_LABEL.split('/').next().unwrap_or_default()
                || domain.ends_with(".cluster.x-k8s.io")))
}

/// `status.nodeInfo`.
pub fn node_info(version: &str, seed: &str) -> Value {
    let id = |what: &str| format!("{:016x}{:016x}", stable_hash(&[what, seed]), stable_hash(&[seed, what]));
    let boot = id("boot");
    json!({
        "architecture": "amd64", "operatingSystem": "linux", "osImage": OS_IMAGE, "kernelVersion": KERNEL,
        "containerRuntimeVersion": RUNTIME, "kubeletVersion": version, "kubeProxyVersion": "",
        "machineID": id("machine"), "systemUUID": instance_uuid(seed),
        "bootID": format!("{}-{}-{}-{}-{}", &boot[..8], &boot[8..12], &boot[12..16], &boot[16..20], &boot[20..]),
    })
}

fn instance_uuid(seed: &str) -> String {
    let bytes = [stable_hash(&["uuid", seed]).to_be_bytes(), stable_hash(&[seed, "uuid"]).to_be_bytes()].concat();
    uuid::Builder::from_random_bytes(bytes.try_into().unwrap_or([0; 16])).into_uuid().to_string()
}

/// The Node object, complete with status.
pub fn node_object(spec: &NodeSpec, now: Timestamp) -> Value {
    let mut labels = json!({
        "kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": spec.zone,
        // Which compute host the instance is on, as stacks on OpenStack label it (scs-0214).
        "topology.scs.community/host-id": format!("{:016x}", stable_hash(&["host", &spec.zone, &spec.machine_uid])),
    });
    if !spec.region.is_empty() {
        labels["topology.kubernetes.io/region"] = json!(spec.region);
    }
    if !spec.flavor.is_empty() {
        labels["node.kubernetes.io/instance-type"] = json!(spec.flavor);
    }
    if spec.control_plane {
        labels["node-role.kubernetes.io/control-plane"] = json!("");
        labels["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
    }
    for (key, value) in &spec.labels {
        labels[key] = json!(value);
    }
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": spec.name, "labels": labels,
            "annotations": {
                "cluster.x-k8s.io/cluster-name": spec.cluster, "cluster.x-k8s.io/cluster-namespace": spec.namespace,
                "cluster.x-k8s.io/machine": spec.name, "node.alpha.kubernetes.io/ttl": "0",
                "csi.volume.kubernetes.io/nodeid": json!({"csi.simulated.kogge.dev": spec.name}).to_string(),
            },
        },
        "spec": {"providerID": provider_id(&spec.zone, &spec.name)},
        "status": status(spec, now),
    });
    if !spec.pod_cidr.is_empty() {
        node["spec"]["podCIDR"] = json!(spec.pod_cidr);
        node["spec"]["podCIDRs"] = json!([spec.pod_cidr]);
    }
    let taints = taints(spec);
    if !taints.is_empty() {
        node["spec"]["taints"] = json!(taints);
    }
    node
}

/// Taints of the node at its stage.
pub fn taints(spec: &NodeSpec) -> Vec<Value> {
    let mut taints: Vec<Value> = spec
        .taints
        .iter()
        .map(|taint| {
            let mut taint = taint.clone();
            // Machines say how long a taint is propagated, which nodes do not know.
            taint.as_object_mut().map(|fields| fields.remove("propagation"));
            taint
        })
        .collect();
    if spec.control_plane {
        taints.push(json!({"key": CONTROL_PLANE_TAINT, "effect": "NoSchedule"}));
    }
    match spec.stage {
        InstanceStage::Joining => {
            taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
        }
        InstanceStage::Lost => {
            taints.push(json!({"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}));
            taints.push(json!({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}));
        }
        _ => {}
    }
    taints
}

/// `status` of the node at its stage.
pub fn status(spec: &NodeSpec, now: Timestamp) -> Value {
    let flavor = Flavor::parse(&spec.flavor);
    let disk_gib = if spec.root_disk_gib > 0 { spec.root_disk_gib } else { flavor.disk_gib.max(20) };
    let disk_bytes = disk_gib * (1 << 30);
    let memory_kib = flavor.memory_mib * 1024 * 97 / 100;
    let capacity = json!({
        "cpu": flavor.cores.to_string(), "memory": format!("{memory_kib}Ki"), "pods": "110",
        "ephemeral-storage": format!("{}Ki", disk_bytes / 1024 * 96 / 100), "hugepages-1Gi": "0", "hugepages-2Mi": "0",
    });
    let mut allocatable = capacity.clone();
    allocatable["memory"] = json!(format!("{}Ki", memory_kib.saturating_sub(100 * 1024)));
    allocatable["ephemeral-storage"] = json!((disk_bytes * 96 / 100 * 9 / 10).to_string());
    json!({
        "addresses": spec.addresses, "capacity": capacity, "allocatable": allocatable,
        "conditions": conditions(spec.stage, now), "nodeInfo": node_info(&spec.version, &spec.machine_uid),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "images": [],
    })
}

fn conditions(stage: InstanceStage, now: Timestamp) -> Value {
    let at = seconds(now);
    let lost = stage == InstanceStage::Lost;
    let condition = |condition_type: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": condition_type, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": at, "lastTransitionTime": at,
        })
    };
    if lost {
        let unknown = |condition_type| {
            condition(condition_type, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        };
        return json!([unknown("MemoryPressure"), unknown("DiskPressure"), unknown("PIDPressure"), unknown("Ready")]);
    }
    let ready = if stage == InstanceStage::Joining {
        condition(
            "Ready",
            "False",
            "KubeletNotReady",
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin \
             returns error: cni plugin not initialized",
        )
    } else {
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    };
    let mut all = vec![
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ready,
    ];
    if stage == InstanceStage::Running {
        all.insert(0, condition("NetworkUnavailable", "False", "CiliumIsUp", "Cilium is running on this node"));
    }
    Value::Array(all)
}

/// The name of a pod that a node runs from a file, e.g. `etcd-first-abcde`.
pub fn static_pod_name(component: &str, node: &str) -> String {
    let name = format!("{component}-{node}");
    if name.len() <= 253 { name } else { format!("{}-{}", &name[..240], name_suffix(&[&name])) }
}
