//! Kinds of `cluster.x-k8s.io`.

use serde_json::{Value, json};

use super::{
    Definition, condition_path,
    schema::{
        any, atomic, boolean, conditions, described, integer, keyed, labels, long, metadata, object, open, reference,
        replica_counts, required, root, string, time,
    },
};
use crate::kind::Kind;

pub(super) fn definitions() -> Vec<Definition> {
    vec![cluster_class(), cluster(), machine_deployment(), machine_set(), machine(), machine_health_check()]
}

fn cluster_class() -> Definition {
    let template = |fields: &[(&str, Value)]| {
        let mut all = vec![
            ("templateRef", object(&[("apiVersion", string()), ("kind", string()), ("name", string())])),
            ("metadata", metadata()),
            ("healthCheck", any()),
            ("naming", any()),
            ("deletion", deletion()),
            ("readinessGates", any()),
        ];
        all.extend_from_slice(fields);
        open(&all)
    };
    let machine_infrastructure = (
        "machineInfrastructure",
        object(&[("templateRef", object(&[("apiVersion", string()), ("kind", string()), ("name", string())]))]),
    );
    let worker = template(&[
        ("class", string()),
        ("bootstrap", object(&[("templateRef", open(&[]))])),
        ("infrastructure", object(&[("templateRef", open(&[]))])),
        ("failureDomain", string()),
        ("rollout", any()),
        ("minReadySeconds", integer()),
    ]);
    let variable = required(
        open(&[
            ("name", string()),
            ("required", boolean()),
            ("metadata", any()),
            ("deprecatedV1Beta1Metadata", any()),
            ("schema", object(&[("openAPIV3Schema", any())])),
        ]),
        &["name"],
    );
    let patch = open(&[
        ("name", string()),
        ("description", string()),
        ("enabledIf", string()),
        ("external", any()),
        (
            "definitions",
            atomic(object(&[
                ("selector", any()),
                (
                    "jsonPatches",
                    atomic(object(&[
                        ("op", json!({"type": "string", "enum": ["add", "replace", "remove"]})),
                        ("path", string()),
                        ("value", any()),
                        ("valueFrom", object(&[("variable", string()), ("template", string())])),
                    ])),
                ),
            ])),
        ),
    ]);
    let spec = open(&[
        ("infrastructure", template(&[])),
        ("controlPlane", template(&[machine_infrastructure])),
        ("workers", open(&[("machineDeployments", keyed(worker, &["class"]))])),
        ("variables", keyed(variable, &["name"])),
        ("patches", keyed(patch, &["name"])),
        ("kubernetesVersions", atomic(string())),
    ]);
    Definition {
        kind: Kind::ClusterClass,
        singular: "clusterclass",
        short_names: &["cc"],
        columns: vec![
            ("Paused", "string", condition_path("Paused"), 10),
            ("Variables Ready", "string", condition_path("VariablesReady"), 0),
            ("Age", "date", ".metadata.creationTimestamp".into(), 0),
        ],
        schema: root(
            "A template of clusters: what they consist of, and which variables change what.",
            spec,
            Some(open(&[("conditions", conditions()), ("observedGeneration", long()), ("variables", any())])),
        ),
        status: true,
        scale: false,
    }
}

fn deletion() -> Value {
    open(&[
        ("nodeDrainTimeoutSeconds", integer()),
        ("nodeVolumeDetachTimeoutSeconds", integer()),
        ("nodeDeletionTimeoutSeconds", integer()),
    ])
}

fn topology() -> Value {
    let overrides = object(&[("overrides", keyed(object(&[("name", string()), ("value", any())]), &["name"]))]);
    let deployment = open(&[
        ("metadata", metadata()),
        ("class", string()),
        ("name", string()),
        ("failureDomain", string()),
        ("replicas", integer()),
        ("minReadySeconds", integer()),
        ("healthCheck", any()),
        ("deletion", deletion()),
        ("rollout", any()),
        ("readinessGates", any()),
        ("taints", any()),
        ("variables", overrides.clone()),
    ]);
    open(&[
        ("classRef", required(object(&[("name", string()), ("namespace", string())]), &["name"])),
        ("version", described(string(), "Kubernetes version of the cluster, e.g. v1.34.2.")),
        (
            "controlPlane",
            open(&[
                ("metadata", metadata()),
                ("replicas", integer()),
                ("healthCheck", any()),
                ("deletion", deletion()),
                ("rollout", any()),
                ("readinessGates", any()),
                ("taints", any()),
                ("variables", overrides),
            ]),
        ),
        ("workers", open(&[("machineDeployments", keyed(deployment, &["name"]))])),
        ("variables", keyed(object(&[("name", string()), ("value", any())]), &["name"])),
    ])
}

fn cluster() -> Definition {
    let network = object(&[
        ("apiServerPort", integer()),
        ("services", object(&[("cidrBlocks", atomic(string()))])),
        ("pods", object(&[("cidrBlocks", atomic(string()))])),
        ("serviceDomain", string()),
    ]);
    let spec = open(&[
        ("paused", boolean()),
        ("clusterNetwork", network),
        ("controlPlaneEndpoint", object(&[("host", string()), ("port", integer())])),
        ("controlPlaneRef", reference()),
        ("infrastructureRef", reference()),
        ("topology", topology()),
        ("availabilityGates", any()),
    ]);
    let counts = || {
        let mut fields = vec![("desiredReplicas", integer())];
        fields.extend(replica_counts());
        open(&fields)
    };
    let status = open(&[
        ("conditions", conditions()),
        ("initialization", object(&[("infrastructureProvisioned", boolean()), ("controlPlaneInitialized", boolean())])),
        ("controlPlane", counts()),
        ("workers", counts()),
        ("failureDomains", keyed(open(&[("name", string()), ("controlPlane", boolean())]), &["name"])),
        ("phase", string()),
        ("observedGeneration", long()),
    ]);
    let column = |path: &str| path.to_owned();
    Definition {
        kind: Kind::Cluster,
        singular: "cluster",
        short_names: &["cl"],
        columns: vec![
            ("ClusterClass", "string", column(".spec.topology.classRef.name"), 0),
            ("Available", "string", condition_path("Available"), 0),
            ("CP Desired", "integer", column(".status.controlPlane.desiredReplicas"), 0),
            ("CP Current", "integer", column(".status.controlPlane.replicas"), 10),
            ("CP Ready", "integer", column(".status.controlPlane.readyReplicas"), 10),
            ("CP Available", "integer", column(".status.controlPlane.availableReplicas"), 0),
            ("CP Up-to-date", "integer", column(".status.controlPlane.upToDateReplicas"), 0),
            ("W Desired", "integer", column(".status.workers.desiredReplicas"), 0),
            ("W Current", "integer", column(".status.workers.replicas"), 10),
            ("W Ready", "integer", column(".status.workers.readyReplicas"), 10),
            ("W Available", "integer", column(".status.workers.availableReplicas"), 0),
            ("W Up-to-date", "integer", column(".status.workers.upToDateReplicas"), 0),
            ("Paused", "string", condition_path("Paused"), 10),
            ("Phase", "string", column(".status.phase"), 0),
            ("Age", "date", column(".metadata.creationTimestamp"), 0),
            ("Version", "string", column(".spec.topology.version"), 0),
        ],
        schema: root("A Kubernetes cluster.", spec, Some(status)),
        status: true,
        scale: false,
    }
}

fn machine_spec() -> Value {
    open(&[
        ("clusterName", string()),
        ("version", string()),
        ("failureDomain", string()),
        ("providerID", string()),
        ("bootstrap", object(&[("configRef", reference()), ("dataSecretName", string())])),
        ("infrastructureRef", reference()),
        ("minReadySeconds", integer()),
        ("readinessGates", any()),
        ("deletion", deletion()),
        ("taints", any()),
    ])
}

fn machine_template() -> Value {
    object(&[("metadata", metadata()), ("spec", machine_spec())])
}

fn selector() -> Value {
    object(&[("matchLabels", labels()), ("matchExpressions", atomic(any()))])
}

fn replica_columns(
    mut columns: Vec<(&'static str, &'static str, String, i32)>,
) -> Vec<(&'static str, &'static str, String, i32)> {
    columns.extend([
        ("Desired", "integer", ".spec.replicas".to_owned(), 0),
        ("Current", "integer", ".status.replicas".to_owned(), 0),
        ("Ready", "integer", ".status.readyReplicas".to_owned(), 0),
        ("Available", "integer", ".status.availableReplicas".to_owned(), 0),
        ("Up-to-date", "integer", ".status.upToDateReplicas".to_owned(), 0),
        ("Paused", "string", condition_path("Paused"), 10),
    ]);
    columns
}

fn replica_status(more: &[(&'static str, Value)]) -> Value {
    let mut fields = replica_counts();
    fields.extend([("conditions", conditions()), ("selector", string()), ("observedGeneration", long())]);
    fields.extend_from_slice(more);
    open(&fields)
}

fn machine_deployment() -> Definition {
    let mut columns = replica_columns(vec![
        ("Cluster", "string", ".spec.clusterName".into(), 0),
        ("Available", "string", condition_path("Available"), 0),
    ]);
    columns.extend([
        ("Phase", "string", ".status.phase".to_owned(), 0),
        ("Age", "date", ".metadata.creationTimestamp".to_owned(), 0),
        ("Version", "string", ".spec.template.spec.version".to_owned(), 0),
    ]);
    Definition {
        kind: Kind::MachineDeployment,
        singular: "machinedeployment",
        short_names: &["md"],
        columns,
        schema: root(
            "A set of worker machines that is rolled when its template changes.",
            open(&[
                ("clusterName", string()),
                ("replicas", integer()),
                ("selector", selector()),
                ("template", machine_template()),
                ("rollout", any()),
                ("deletion", any()),
                ("remediation", any()),
                ("machineNaming", any()),
                ("paused", boolean()),
            ]),
            Some(replica_status(&[("phase", string())])),
        ),
        status: true,
        scale: true,
    }
}

fn machine_set() -> Definition {
    let mut columns = replica_columns(vec![("Cluster", "string", ".spec.clusterName".into(), 0)]);
    columns.extend([
        ("Age", "date", ".metadata.creationTimestamp".to_owned(), 0),
        ("Version", "string", ".spec.template.spec.version".to_owned(), 0),
    ]);
    Definition {
        kind: Kind::MachineSet,
        singular: "machineset",
        short_names: &["ms"],
        columns,
        schema: root(
            "A number of machines of one template.",
            open(&[
                ("clusterName", string()),
                ("replicas", integer()),
                ("selector", selector()),
                ("template", machine_template()),
                ("deletion", any()),
                ("machineNaming", any()),
            ]),
            Some(replica_status(&[])),
        ),
        status: true,
        scale: true,
    }
}

fn machine() -> Definition {
    let address = |kind: &str| format!(".status.addresses[?(@.type==\"{kind}\")].address");
    let node_info = open(&[
        ("kubeletVersion", string()),
        ("osImage", string()),
        ("kernelVersion", string()),
        ("containerRuntimeVersion", string()),
        ("architecture", string()),
        ("operatingSystem", string()),
    ]);
    Definition {
        kind: Kind::Machine,
        singular: "machine",
        short_names: &["ma"],
        columns: vec![
            ("Cluster", "string", ".spec.clusterName".into(), 0),
            ("Node Name", "string", ".status.nodeRef.name".into(), 0),
            ("Provider ID", "string", ".spec.providerID".into(), 10),
            ("Failure domain", "string", ".status.failureDomain".into(), 0),
            ("Ready", "string", condition_path("Ready"), 0),
            ("Available", "string", condition_path("Available"), 0),
            ("Up-to-date", "string", condition_path("UpToDate"), 0),
            ("Internal-IP", "string", address("InternalIP"), 10),
            ("External-IP", "string", address("ExternalIP"), 10),
            ("OS-Image", "string", ".status.nodeInfo.osImage".into(), 10),
            ("Paused", "string", condition_path("Paused"), 10),
            ("Phase", "string", ".status.phase".into(), 0),
            ("Age", "date", ".metadata.creationTimestamp".into(), 0),
            ("Version", "string", ".spec.version".into(), 0),
        ],
        schema: root(
            "One machine of a cluster, control plane or worker.",
            machine_spec(),
            Some(open(&[
                ("conditions", conditions()),
                (
                    "initialization",
                    object(&[("infrastructureProvisioned", boolean()), ("bootstrapDataSecretCreated", boolean())]),
                ),
                ("nodeRef", object(&[("name", string())])),
                ("nodeInfo", node_info),
                ("failureDomain", string()),
                ("addresses", atomic(object(&[("type", string()), ("address", string())]))),
                ("phase", string()),
                ("lastUpdated", time()),
                ("certificatesExpiryDate", time()),
                ("deletion", any()),
                ("observedGeneration", long()),
            ])),
        ),
        status: true,
        scale: false,
    }
}

fn machine_health_check() -> Definition {
    let node_condition = object(&[("type", string()), ("status", string()), ("timeoutSeconds", integer())]);
    Definition {
        kind: Kind::MachineHealthCheck,
        singular: "machinehealthcheck",
        short_names: &["mhc", "mhcs"],
        columns: vec![
            ("Cluster", "string", ".spec.clusterName".into(), 0),
            ("Replicas", "integer", ".status.expectedMachines".into(), 0),
            ("Healthy", "integer", ".status.currentHealthy".into(), 0),
            ("Paused", "string", condition_path("Paused"), 10),
            ("Age", "date", ".metadata.creationTimestamp".into(), 0),
        ],
        schema: root(
            "When a machine counts as unhealthy, and up to how many of them are replaced.",
            open(&[
                ("clusterName", string()),
                ("selector", selector()),
                (
                    "checks",
                    open(&[
                        ("nodeStartupTimeoutSeconds", integer()),
                        ("unhealthyNodeConditions", atomic(node_condition)),
                    ]),
                ),
                ("remediation", any()),
            ]),
            Some(open(&[
                ("conditions", conditions()),
                ("expectedMachines", integer()),
                ("currentHealthy", integer()),
                ("remediationsAllowed", integer()),
                ("targets", atomic(string())),
                ("observedGeneration", long()),
            ])),
        ),
        status: true,
        scale: false,
    }
}
