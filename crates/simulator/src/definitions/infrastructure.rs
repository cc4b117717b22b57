//! Kinds of the simulated infrastructure, and of faults.

use serde_json::{Value, json};

use super::{
    Definition, condition_path,
    schema::{
        any, atomic, boolean, conditions, described, integer, keyed, long, metadata, object, open, required, root,
        string,
    },
};
use crate::kind::Kind;

pub(super) fn definitions() -> Vec<Definition> {
    vec![cluster(), cluster_template(), machine(), machine_template(), fault()]
}

fn age() -> (&'static str, &'static str, String, i32) {
    ("Age", "date", ".metadata.creationTimestamp".to_owned(), 0)
}

fn cluster_label() -> String {
    ".metadata.labels['cluster\\.x-k8s\\.io/cluster-name']".to_owned()
}

fn cluster_spec() -> Value {
    open(&[
        ("controlPlaneEndpoint", object(&[("host", string()), ("port", integer())])),
        ("region", described(string(), "Region, becomes topology.kubernetes.io/region of nodes.")),
        (
            "controlPlaneZones",
            described(
                atomic(string()),
                "Zones of the control plane, become failure domains. Default: all three zones.",
            ),
        ),
        ("credentialsSecretName", string()),
        (
            "network",
            open(&[
                ("nodeCIDR", described(string(), "Network that node addresses are taken from. Default: 10.8.0.0/20.")),
                ("nodeIPv6CIDR", string()),
                ("externalNetwork", string()),
                ("dnsServers", atomic(string())),
            ]),
        ),
        (
            "apiServer",
            open(&[
                ("access", described(string(), "Public, AllowList or Internal.")),
                (
                    "allowedCIDRs",
                    described(atomic(string()), "Networks that may reach the API server; empty means all."),
                ),
            ]),
        ),
    ])
}

fn cluster() -> Definition {
    let domain = open(&[("name", string()), ("controlPlane", boolean())]);
    Definition {
        kind: Kind::SimulatedCluster,
        singular: "simulatedcluster",
        short_names: &[],
        columns: vec![
            ("Cluster", "string", cluster_label(), 0),
            ("Ready", "string", condition_path("Ready"), 0),
            ("Endpoint", "string", ".spec.controlPlaneEndpoint.host".into(), 0),
            age(),
        ],
        schema: root(
            "Networks and load balancer of a cluster on the simulated cloud.",
            cluster_spec(),
            Some(open(&[
                ("conditions", conditions()),
                ("initialization", object(&[("provisioned", boolean())])),
                ("failureDomains", keyed(domain, &["name"])),
                ("stage", string()),
                ("stageSince", string()),
                ("observedGeneration", long()),
            ])),
        ),
        status: true,
        scale: false,
    }
}

fn cluster_template() -> Definition {
    let template = object(&[("metadata", metadata()), ("spec", cluster_spec())]);
    Definition {
        kind: Kind::SimulatedClusterTemplate,
        singular: "simulatedclustertemplate",
        short_names: &[],
        columns: vec![age()],
        schema: root(
            "Template of a SimulatedCluster, used by a ClusterClass.",
            required(object(&[("template", template)]), &["template"]),
            None,
        ),
        status: false,
        scale: false,
    }
}

fn machine_spec() -> Value {
    open(&[
        ("providerID", string()),
        ("flavor", described(string(), "Flavor by the SCS naming standard, e.g. SCS-2V-8-20.")),
        ("image", described(string(), "Node image.")),
        ("rootDiskGiB", described(integer(), "Size of the root volume, where the flavor has no disk.")),
        ("antiAffinity", described(string(), "Required, Preferred or Disabled.")),
        ("sshKeyName", string()),
        ("metadata", any()),
    ])
}

fn machine() -> Definition {
    Definition {
        kind: Kind::SimulatedMachine,
        singular: "simulatedmachine",
        short_names: &[],
        columns: vec![
            ("Cluster", "string", cluster_label(), 0),
            ("Flavor", "string", ".spec.flavor".into(), 0),
            ("State", "string", ".status.instanceState".into(), 0),
            ("Ready", "string", condition_path("Ready"), 0),
            ("Zone", "string", ".status.failureDomain".into(), 0),
            ("Provider ID", "string", ".spec.providerID".into(), 10),
            age(),
        ],
        schema: root(
            "One instance on the simulated cloud.",
            machine_spec(),
            Some(open(&[
                ("conditions", conditions()),
                ("initialization", object(&[("provisioned", boolean())])),
                ("addresses", atomic(object(&[("type", string()), ("address", string())]))),
                ("failureDomain", string()),
                (
                    "instanceState",
                    described(string(), "State of the instance in the cloud's words: BUILD, ACTIVE, ERROR, DELETING."),
                ),
                ("instanceID", string()),
                ("stage", described(string(), "How far the machine came: Building, Booting, Joining, Running, Lost.")),
                ("stageSince", string()),
                ("observedGeneration", long()),
            ])),
        ),
        status: true,
        scale: false,
    }
}

fn machine_template() -> Definition {
    let template = object(&[("metadata", metadata()), ("spec", machine_spec())]);
    Definition {
        kind: Kind::SimulatedMachineTemplate,
        singular: "simulatedmachinetemplate",
        short_names: &[],
        columns: vec![age()],
        schema: root(
            "Template of SimulatedMachines, used by a control plane or a machine deployment.",
            required(object(&[("template", template)]), &["template"]),
            None,
        ),
        status: false,
        scale: false,
    }
}

fn failure_status() -> Value {
    let mut schema = described(integer(), "CloudAPIErrors: HTTP status of the answer, 400 to 599. Default: 503.");
    schema["minimum"] = json!(400);
    schema["maximum"] = json!(599);
    schema
}

fn fault() -> Definition {
    let kinds = json!({"type": "string", "enum": [
        "QuotaExhausted", "ImageMissing", "ZoneDown", "MachineNeverBoots", "NodeLost", "CloudAPISlow", "CloudAPIErrors",
        "CredentialsExpired",
    ]});
    let count = |description: &str| {
        let mut schema = described(integer(), description);
        schema["minimum"] = json!(0);
        schema
    };
    let spec = required(
        object(&[
            ("kind", described(kinds, "What goes wrong.")),
            (
                "target",
                described(
                    object(&[
                        ("namespace", string()),
                        ("cluster", string()),
                        ("zone", string()),
                        ("machine", string()),
                        ("pool", string()),
                    ]),
                    "Whom it hits; an empty field matches everything.",
                ),
            ),
            (
                "parameters",
                object(&[
                    ("count", count("QuotaExhausted: instances that fit. NodeLost: how many machines are lost.")),
                    ("seconds", count("CloudAPISlow: how much longer each request takes.")),
                    ("status", failure_status()),
                    ("image", described(string(), "ImageMissing: name of the image.")),
                ]),
            ),
        ]),
        &["kind"],
    );
    Definition {
        kind: Kind::Fault,
        singular: "fault",
        short_names: &[],
        columns: vec![
            ("Kind", "string", ".spec.kind".into(), 0),
            ("Cluster", "string", ".spec.target.cluster".into(), 0),
            ("Zone", "string", ".spec.target.zone".into(), 0),
            age(),
        ],
        schema: root(
            "Something that goes wrong on the simulated cloud, until this object is deleted.",
            spec,
            Some(open(&[("machines", atomic(string()))])),
        ),
        status: true,
        scale: false,
    }
}
