//! Where the node of a pod is, as labels of the pod (the admission plugin `PodTopologyLabels`).

use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde_json::Value;

use super::strategy::made;
use crate::{
    plane::{Plane, parse_stored},
    store::ObjectKey,
};

/// What of the labels of a node is told of its pods.
const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Copies the labels of a node, if there is one of this name, to a pod or its binding.
///
/// # Errors
/// Those of the store.
pub(super) fn copy(plane: &Plane, node: &str, object: &mut Value) -> Result<(), ApiError> {
    let nodes = GroupResource { group: String::new(), resource: "nodes".to_owned() };
    let key = ObjectKey { resource: nodes, namespace: String::new(), name: node.to_owned() };
    let Some(stored) = plane.get(&key)? else { return Ok(()) };
    let node: Value = parse_stored(&stored.json)?;
    for name in LABELS {
        let Some(value) = node["metadata"]["labels"].get(name) else { continue };
        if let Some(labels) = made(&mut object["metadata"], "labels") {
            labels.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}
