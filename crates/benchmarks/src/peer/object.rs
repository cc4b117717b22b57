//! What is written and read: a kind the server knows by itself and one that a definition of Cluster API describes.

use serde_json::{Value, json};

/// A kind under load.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Built in; kube-apiserver stores it as protobuf.
    ConfigMap,
    /// Custom: validated, defaulted and pruned by the schema of `machines.cluster.x-k8s.io`; its version is the stored one,
    /// so that nothing is converted.
    Machine,
}

impl Kind {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::Machine => "Machine",
        }
    }

    /// Path of its objects in a namespace.
    pub(super) fn collection(self, namespace: &str) -> String {
        match self {
            Kind::ConfigMap => format!("/api/v1/namespaces/{namespace}/configmaps"),
            Kind::Machine => format!("/apis/cluster.x-k8s.io/v1beta2/namespaces/{namespace}/machines"),
        }
    }

    /// An object with so many bytes of text, and `value` in its annotation `sent`.
    pub(super) fn object(self, name: &str, value: u64, bytes: usize) -> Value {
        let mut object = match self {
            Kind::ConfigMap => json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": text(name, bytes)}}),
            Kind::Machine => json!({
                "apiVersion": "cluster.x-k8s.io/v1beta2",
                "kind": "Machine",
                "spec": {
                    "clusterName": "shop",
                    "version": "v1.35.0",
                    "bootstrap": {"dataSecretName": format!("{name}-bootstrap")},
                    "infrastructureRef": {
                        "apiGroup": "infrastructure.cluster.x-k8s.io",
                        "kind": "DevMachine",
                        "name": name,
                    },
                },
            }),
        };
        object["metadata"] = json!({
            "name": name,
            "labels": {"cluster.x-k8s.io/cluster-name": "shop"},
            "annotations": {"sent": value.to_string()},
        });
        if matches!(self, Kind::Machine) {
            object["metadata"]["annotations"]["text"] = json!(text(name, bytes));
        }
        object
    }
}

/// Text that does not repeat itself, the same for the same name.
fn text(name: &str, bytes: usize) -> String {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let letters = (0..bytes).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap_or_default())
    });
    letters.collect()
}
