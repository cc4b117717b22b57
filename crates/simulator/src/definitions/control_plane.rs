//! Kinds of the kubeadm control plane and bootstrap providers.

use serde_json::Value;

use super::{
    Definition, condition_path,
    schema::{
        any, boolean, conditions, integer, labels, long, metadata, object, open, reference, replica_counts, required,
        root, string, time,
    },
};
use crate::kind::Kind;

pub(super) fn definitions() -> Vec<Definition> {
    vec![control_plane(), control_plane_template(), config(), config_template()]
}

fn cluster_label() -> String {
    ".metadata.labels['cluster\\.x-k8s\\.io/cluster-name']".to_owned()
}

fn age() -> (&'static str, &'static str, String, i32) {
    ("Age", "date", ".metadata.creationTimestamp".to_owned(), 0)
}

fn control_plane_spec() -> Vec<(&'static str, Value)> {
    let machine_template = object(&[
        ("metadata", metadata()),
        (
            "spec",
            open(&[
                ("infrastructureRef", reference()),
                ("deletion", any()),
                ("readinessGates", any()),
                ("taints", any()),
            ]),
        ),
    ]);
    vec![
        ("replicas", integer()),
        ("version", string()),
        ("machineTemplate", machine_template),
        ("kubeadmConfigSpec", any()),
        ("rollout", any()),
        ("remediation", any()),
        ("machineNaming", any()),
    ]
}

fn control_plane() -> Definition {
    let mut status = replica_counts();
    status.extend([
        ("conditions", conditions()),
        ("initialization", object(&[("controlPlaneInitialized", boolean())])),
        ("selector", string()),
        ("version", string()),
        ("lastRemediation", any()),
        ("observedGeneration", long()),
    ]);
    Definition {
        kind: Kind::KubeadmControlPlane,
        singular: "kubeadmcontrolplane",
        short_names: &["kcp"],
        columns: vec![
            ("Cluster", "string", cluster_label(), 0),
            ("Available", "string", condition_path("Available"), 0),
            ("Desired", "integer", ".spec.replicas".into(), 0),
            ("Current", "integer", ".status.replicas".into(), 0),
            ("Ready", "integer", ".status.readyReplicas".into(), 0),
            ("Available", "integer", ".status.availableReplicas".into(), 0),
            ("Up-to-date", "integer", ".status.upToDateReplicas".into(), 0),
            ("Paused", "string", condition_path("Paused"), 10),
            ("Initialized", "boolean", ".status.initialization.controlPlaneInitialized".into(), 0),
            age(),
            ("Version", "string", ".spec.version".into(), 0),
        ],
        schema: root("The control plane machines of a cluster.", open(&control_plane_spec()), Some(open(&status))),
        status: true,
        scale: true,
    }
}

fn control_plane_template() -> Definition {
    let template = object(&[("metadata", metadata()), ("spec", open(&control_plane_spec()))]);
    Definition {
        kind: Kind::KubeadmControlPlaneTemplate,
        singular: "kubeadmcontrolplanetemplate",
        short_names: &[],
        columns: vec![age()],
        schema: root(
            "Template of a KubeadmControlPlane, used by a ClusterClass.",
            required(object(&[("template", template)]), &["template"]),
            None,
        ),
        status: false,
        scale: false,
    }
}

fn config_spec() -> Value {
    open(&[
        ("clusterConfiguration", any()),
        ("initConfiguration", any()),
        ("joinConfiguration", any()),
        ("files", any()),
        ("preKubeadmCommands", any()),
        ("postKubeadmCommands", any()),
        ("format", string()),
    ])
}

fn config() -> Definition {
    Definition {
        kind: Kind::KubeadmConfig,
        singular: "kubeadmconfig",
        short_names: &[],
        columns: vec![
            ("Cluster", "string", cluster_label(), 0),
            ("Paused", "string", condition_path("Paused"), 10),
            ("Data secret created", "string", ".status.initialization.dataSecretCreated".into(), 0),
            age(),
        ],
        schema: root(
            "How one machine becomes a node: kubeadm configuration, files and commands.",
            config_spec(),
            Some(open(&[
                ("conditions", conditions()),
                ("initialization", object(&[("dataSecretCreated", boolean())])),
                ("dataSecretName", string()),
                ("observedGeneration", long()),
            ])),
        ),
        status: true,
        scale: false,
    }
}

fn config_template() -> Definition {
    let template =
        object(&[("metadata", object(&[("labels", labels()), ("annotations", labels())])), ("spec", config_spec())]);
    Definition {
        kind: Kind::KubeadmConfigTemplate,
        singular: "kubeadmconfigtemplate",
        short_names: &[],
        columns: vec![age()],
        schema: root(
            "Template of KubeadmConfigs, used by a machine deployment.",
            required(object(&[("template", template), ("lastUpdated", time())]), &["template"]),
            None,
        ),
        status: false,
        scale: false,
    }
}
