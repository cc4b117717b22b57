//! What every cluster of the stack has in it before a user comes: network plugin, DNS, cloud integration, storage, metrics.

#![allow(clippy::needless_pass_by_value)] // JSON literals are written at the call sites

use serde_json::{Value, json};

use crate::{
    cloud::address::nth_address,
    object::Object,
    state::ClusterState,
    workload::node::{NodeSpec, static_pod_name},
};

/// What system workloads need to know of their cluster.
#[derive(Clone, Debug)]
pub struct ClusterFacts {
    /// Cluster name.
    pub name: String,
    /// Kubernetes version, e.g. `v1.34.2`.
    pub version: String,
    /// Pod network.
    pub pod_network: String,
    /// Service network.
    pub service_network: String,
    /// DNS domain of services.
    pub service_domain: String,
    /// URL of the cluster's API.
    pub server: String,
    /// Authority of the API's serving certificate, PEM.
    pub server_authority: String,
    /// Whether metrics-server is installed.
    pub metrics_server: bool,
}

impl ClusterFacts {
    /// Reads the facts from a cluster.
    pub fn of(state: &ClusterState, version: &str, server: &str, server_authority: &str) -> Self {
        let first = |pointer: &str, default: &str| {
            state.cluster.list(pointer).first().and_then(Value::as_str).unwrap_or(default).to_owned()
        };
        let domain = state.cluster.text("/spec/clusterNetwork/serviceDomain");
        Self {
            name: state.name().to_owned(),
            version: version.to_owned(),
            pod_network: first("/spec/clusterNetwork/pods/cidrBlocks", "192.168.0.0/16"),
            service_network: first("/spec/clusterNetwork/services/cidrBlocks", "10.96.0.0/12"),
            service_domain: if domain.is_empty() { "cluster.local" } else { domain }.to_owned(),
            server: server.to_owned(),
            server_authority: server_authority.to_owned(),
            metrics_server: wants_metrics_server(&state.cluster),
        }
    }

    fn service_address(&self, index: u128) -> String {
        nth_address(&self.service_network, index).map(|it| it.to_string()).unwrap_or_default()
    }
}

/// Whether a cluster is to have metrics-server. Who manages a cluster labels it with its add-ons; one that nobody manages,
/// applied by hand, has the default ones.
pub fn wants_metrics_server(cluster: &Object) -> bool {
    cluster.label("app.kubernetes.io/managed-by").is_none()
        || cluster.label("addons.kogge.dev/metrics-server") == Some("enabled")
}

/// All system objects of a new plane, except what controllers make from them.
pub fn objects(facts: &ClusterFacts) -> Vec<Value> {
    let mut all = configuration(facts);
    all.extend(services(facts));
    all.extend(priorities());
    all.extend(storage());
    all.extend(workloads());
    if facts.metrics_server {
        all.extend(metrics_server(facts));
    }
    all
}

fn config_map(namespace: &str, name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}, "data": data})
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

fn configuration(facts: &ClusterFacts) -> Vec<Value> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let cluster_configuration = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "clusterName": facts.name,
        "kubernetesVersion": facts.version, "certificatesDir": "/etc/kubernetes/pki",
        "controlPlaneEndpoint": facts.server, "imageRepository": "registry.k8s.io",
        "etcd": {"local": {"dataDir": "/var/lib/etcd"}},
        "networking": {
            "dnsDomain": facts.service_domain, "podSubnet": facts.pod_network, "serviceSubnet": facts.service_network,
        },
    });
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "contexts": null, "current-context": "", "preferences": {}, "users": null,
        "clusters": [{"name": "", "cluster": {
            "server": facts.server, "certificate-authority-data": STANDARD.encode(&facts.server_authority)}}],
    });
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "clusterDNS": [facts.service_address(10)], "clusterDomain": facts.service_domain, "cgroupDriver": "systemd",
        "rotateCertificates": true, "serverTLSBootstrap": true,
    });
    let corefile = format!(
        ".:53 {{\n    errors\n    health {{\n       lameduck 5s\n    }}\n    ready\n    kubernetes {} in-addr.arpa ip6.arpa {{\n       \
         pods insecure\n       fallthrough in-addr.arpa ip6.arpa\n       ttl 30\n    }}\n    prometheus :9153\n    forward . \
         /etc/resolv.conf {{\n       max_concurrent 1000\n    }}\n    cache 30\n    loop\n    reload\n    loadbalance\n}}\n",
        facts.service_domain
    );
    vec![
        config_map("kube-system", "kubeadm-config", json!({"ClusterConfiguration": yaml(&cluster_configuration)})),
        config_map("kube-system", "kubelet-config", json!({"kubelet": yaml(&kubelet)})),
        config_map("kube-system", "coredns", json!({"Corefile": corefile})),
        config_map("kube-public", "cluster-info", json!({"kubeconfig": yaml(&kubeconfig)})),
        config_map(
            "kube-system",
            "cilium-config",
            json!({
                "cluster-name": facts.name, "cluster-pool-ipv4-cidr": facts.pod_network, "cluster-pool-ipv4-mask-size": "24",
                "enable-policy": "default", "ipam": "kubernetes", "kube-proxy-replacement": "true", "routing-mode": "tunnel",
            }),
        ),
    ]
}

fn services(facts: &ClusterFacts) -> Vec<Value> {
    vec![service(
        "kube-system",
        "kube-dns",
        facts.service_address(10),
        json!({"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}),
        json!({"k8s-app": "kube-dns"}),
        json!([
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
        ]),
    )]
}

fn service(namespace: &str, name: &str, address: String, labels: Value, selector: Value, ports: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports, "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        },
    });
    if selector.is_object() {
        service["spec"]["selector"] = selector;
    }
    service
}

fn priorities() -> Vec<Value> {
    let priority = |name: &str, value: i64, description: &str| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
            "description": description,
        })
    };
    vec![
        priority(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        priority(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ]
}

/// The provisioner of simulated volumes.
pub const PROVISIONER: &str = "csi.simulated.kogge.dev";

fn storage() -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "default", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": true, "parameters": {"type": "replicated"},
        }),
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": PROVISIONER},
            "spec": {
                "attachRequired": true, "podInfoOnMount": true, "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "volumeLifecycleModes": ["Persistent"],
            },
        }),
    ]
}

struct Workload<'a> {
    name: &'a str,
    labels: Value,
    containers: Vec<(&'a str, &'a str)>,
    cpu: &'a str,
    memory: &'a str,
    priority: &'a str,
    host_network: bool,
    tolerations: Value,
}

impl Workload<'_> {
    fn pod_template(&self) -> Value {
        let containers: Vec<Value> = self
            .containers
            .iter()
            .enumerate()
            .map(|(index, (name, image))| {
                // The first container carries the whole request: what counts is the sum.
                let requests = if index == 0 { json!({"cpu": self.cpu, "memory": self.memory}) } else { json!({}) };
                json!({"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "resources": {"requests": requests}})
            })
            .collect();
        let mut spec = json!({
            "containers": containers, "priorityClassName": self.priority, "tolerations": self.tolerations,
            "nodeSelector": {"kubernetes.io/os": "linux"},
        });
        if self.host_network {
            spec["hostNetwork"] = json!(true);
        }
        json!({"metadata": {"labels": self.labels}, "spec": spec})
    }

    fn object(&self, kind: &str, spec: Value) -> Value {
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"namespace": "kube-system", "name": self.name, "labels": self.labels},
            "spec": {"selector": {"matchLabels": self.labels}, "template": self.pod_template()},
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            object["spec"][key] = value.clone();
        }
        object
    }

    fn daemon_set(&self) -> Value {
        self.object("DaemonSet", json!({}))
    }

    fn deployment(&self, replicas: u32) -> Value {
        self.object("Deployment", json!({"replicas": replicas}))
    }
}

/// Tolerations of system workloads that may run beside the control plane.
fn control_plane_tolerations() -> Value {
    json!([
        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
    ])
}

/// Name of metrics-server's Deployment and Service.
pub const METRICS_SERVER: &str = "metrics-server";
/// Name of the APIService by which metrics-server extends the cluster's API.
pub const METRICS_API_SERVICE: &str = "v1beta1.metrics.k8s.io";

/// The objects of metrics-server.
pub fn metrics_server(facts: &ClusterFacts) -> Vec<Value> {
    let labels = json!({"app.kubernetes.io/name": METRICS_SERVER});
    let workload = Workload {
        name: METRICS_SERVER,
        labels: labels.clone(),
        containers: vec![(METRICS_SERVER, "registry.k8s.io/metrics-server/metrics-server:v0.8.0")],
        cpu: "100m",
        memory: "200Mi",
        priority: "system-cluster-critical",
        host_network: false,
        tolerations: control_plane_tolerations(),
    };
    vec![
        service(
            "kube-system",
            METRICS_SERVER,
            facts.service_address(11),
            labels.clone(),
            labels.clone(),
            json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 10250}]),
        ),
        workload.deployment(1),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": METRICS_API_SERVICE, "labels": labels},
            "spec": {
                "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true, "service": {"namespace": "kube-system", "name": METRICS_SERVER, "port": 443},
            },
        }),
    ]
}

fn workloads() -> Vec<Value> {
    let everywhere = json!([{"operator": "Exists"}]);
    let control_plane = control_plane_tolerations();
    let base = |name, labels, containers| Workload {
        name,
        labels,
        containers,
        cpu: "100m",
        memory: "64Mi",
        priority: "system-cluster-critical",
        host_network: false,
        tolerations: control_plane.clone(),
    };
    let mut cilium =
        base("cilium", json!({"k8s-app": "cilium"}), vec![("cilium-agent", "quay.io/cilium/cilium:v1.18.9")]);
    cilium.priority = "system-node-critical";
    cilium.host_network = true;
    cilium.tolerations = everywhere.clone();
    let mut operator = base(
        "cilium-operator",
        json!({"io.cilium/app": "operator", "name": "cilium-operator"}),
        vec![("cilium-operator", "quay.io/cilium/operator-generic:v1.18.9")],
    );
    operator.host_network = true;
    operator.tolerations = everywhere.clone();
    let mut dns =
        base("coredns", json!({"k8s-app": "kube-dns"}), vec![("coredns", "registry.k8s.io/coredns/coredns:v1.12.4")]);
    dns.memory = "70Mi";
    let mut cloud = base(
        "cloud-controller-manager",
        json!({"k8s-app": "cloud-controller-manager"}),
        vec![("cloud-controller-manager", "registry.kogge.dev/simulation/cloud-controller-manager:v1.0.0")],
    );
    cloud.host_network = true;
    cloud.tolerations = everywhere.clone();
    let mut cloud = cloud.daemon_set();
    cloud["spec"]["template"]["spec"]["nodeSelector"] = json!({"node-role.kubernetes.io/control-plane": ""});
    let csi = "registry.kogge.dev/simulation/csi-plugin:v1.0.0";
    let controller = base(
        "csi-simulated-controllerplugin",
        json!({"app": "csi-simulated", "component": "controllerplugin"}),
        vec![
            ("csi-plugin", csi),
            ("csi-provisioner", "registry.k8s.io/sig-storage/csi-provisioner:v5.3.0"),
            ("csi-attacher", "registry.k8s.io/sig-storage/csi-attacher:v4.9.0"),
            ("csi-resizer", "registry.k8s.io/sig-storage/csi-resizer:v1.14.0"),
        ],
    );
    let mut plugin = base(
        "csi-simulated-nodeplugin",
        json!({"app": "csi-simulated", "component": "nodeplugin"}),
        vec![
            ("csi-plugin", csi),
            ("node-driver-registrar", "registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.14.0"),
        ],
    );
    plugin.host_network = true;
    plugin.tolerations = everywhere;
    plugin.priority = "system-node-critical";
    vec![
        cilium.daemon_set(),
        operator.deployment(2),
        dns.deployment(2),
        cloud,
        controller.deployment(1),
        plugin.daemon_set(),
    ]
}

/// The pods a control plane node runs from files.
pub fn static_pods(node: &NodeSpec) -> Vec<Value> {
    let image = |name: &str| format!("registry.k8s.io/{name}:{}", node.version);
    let address = node.addresses[0]["address"].as_str().unwrap_or_default();
    let mut api_server = vec![
        "kube-apiserver".to_owned(),
        format!("--advertise-address={address}"),
        "--authorization-mode=Node,RBAC".to_owned(),
    ];
    api_server.extend(node.api_server_arguments.iter().cloned());
    let components = [
        (
            "etcd",
            "registry.k8s.io/etcd:3.6.5-0".to_owned(),
            vec!["etcd".to_owned(), format!("--name={}", node.name)],
            "100m",
        ),
        ("kube-apiserver", image("kube-apiserver"), api_server, "250m"),
        (
            "kube-controller-manager",
            image("kube-controller-manager"),
            vec!["kube-controller-manager".to_owned(), "--leader-elect=true".to_owned()],
            "200m",
        ),
        (
            "kube-scheduler",
            image("kube-scheduler"),
            vec!["kube-scheduler".to_owned(), "--leader-elect=true".to_owned()],
            "100m",
        ),
    ];
    components
        .into_iter()
        .map(|(component, image, command, cpu)| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "namespace": "kube-system", "name": static_pod_name(component, &node.name),
                    "labels": {"component": component, "tier": "control-plane"},
                    "annotations": {
                        "kubernetes.io/config.mirror": crate::object::name_suffix(&[component, &node.name]),
                        "kubernetes.io/config.source": "file",
                    },
                },
                "spec": {
                    "nodeName": node.name, "hostNetwork": true, "priorityClassName": "system-node-critical",
                    "priority": 2_000_001_000, "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
                    "containers": [{
                        "name": component, "image": image, "command": command, "resources": {"requests": {"cpu": cpu}},
                    }],
                },
            })
        })
        .collect()
}
