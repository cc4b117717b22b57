//! Writes a description the way people write them: no defaults, and fields in the order of the reference.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::{Map, Value};

use crate::kubernetes_cluster::{KubernetesCluster, KubernetesClusterSpec, WorkerPool};

/// Fields that come first, in this order; all others follow by name.
const ORDER: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "name",
    "namespace",
    "paused",
    "provider",
    "profile",
    "credentialsRef",
    "region",
    "stack",
    "kubernetes",
    "version",
    "controlPlane",
    "workers",
    "count",
    "autoscaling",
    "min",
    "max",
    "machineFlavor",
    "zones",
    "antiAffinity",
    "rootDiskGiB",
    "labels",
    "taints",
    "machineMetadata",
    "network",
    "nodeCIDR",
    "podCIDR",
    "serviceCIDR",
    "apiServer",
    "access",
    "allowedCIDRs",
    "addons",
    "registries",
    "trust",
    "maintenance",
    "advanced",
];

/// A description as YAML. Applying it gives what applying the whole document would.
///
/// Status and everything in the metadata but name, namespace, labels and annotations are left out.
pub fn to_yaml(cluster: &KubernetesCluster) -> String {
    let mut spec = to_value(&cluster.spec);
    let mut plain = KubernetesClusterSpec::default();
    plain.workers.clear();
    remove_defaults(&mut spec, &to_value(&plain));
    if let Some(pools) = spec.get_mut("workers").and_then(Value::as_array_mut) {
        let plain = to_value(&WorkerPool::default());
        for pool in pools {
            remove_defaults(pool, &plain);
        }
    }
    let mut metadata = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            metadata.insert(name.into(), value);
        }
    };
    put("name", to_value(&cluster.metadata.name));
    put("namespace", to_value(&cluster.metadata.namespace));
    put("labels", to_value(&cluster.metadata.labels));
    put("annotations", to_value(&cluster.metadata.annotations));
    let document = serde_json::json!({
        "apiVersion": "kogge.dev/v1alpha1", "kind": "KubernetesCluster", "metadata": metadata, "spec": spec,
    });
    serde_saphyr::to_string(&Ordered(&document)).expect("a JSON document is always YAML")
}

fn to_value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("our types serialise as JSON")
}

/// Removes what is as in `plain`, and objects that have nothing left.
fn remove_defaults(value: &mut Value, plain: &Value) {
    let (Some(fields), Some(plain)) = (value.as_object_mut(), plain.as_object()) else { return };
    for (name, default) in plain {
        let Some(field) = fields.get_mut(name) else { continue };
        if field == default {
            // What a description cannot be without stays, even where it is empty.
            if !matches!(name.as_str(), "profile" | "version" | "name") {
                fields.remove(name);
            }
        } else if field.is_object() {
            remove_defaults(field, default);
        }
    }
}

/// Serialises objects with [`ORDER`].
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let rank = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
                let mut names: Vec<&String> = fields.keys().collect();
                names.sort_by_key(|name| rank(name));
                let mut map = serializer.serialize_map(Some(names.len()))?;
                for name in names {
                    map.serialize_entry(name, &Ordered(&fields[name]))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Ordered(item))?;
                }
                list.end()
            }
            other => other.serialize(serializer),
        }
    }
}
