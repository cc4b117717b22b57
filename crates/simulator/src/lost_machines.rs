//! Which machines a `NodeLost` fault hits: picked once and noted in the fault's status, so that a machine that replaces a lost
//! one is not lost again.

use std::{sync::Arc, time::Duration};

use kube::Client;
use serde_json::json;

use crate::{
    fault::{Fault, FaultKind, Scope},
    kind::Kind,
    object::{CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL, Object, TOPOLOGY_DEPLOYMENT_LABEL},
    reconciler::send,
    world::World,
};

/// Changes of machines within this time are looked at together.
const GATHER: Duration = Duration::from_millis(100);

/// Picks the machines of each `NodeLost` fault that has none yet, whenever a fault or a machine has changed.
pub(crate) async fn choose(client: Client, world: Arc<World>) {
    loop {
        for fault in world.faults().iter().filter(|it| it.spec.kind == FaultKind::NodeLost && it.machines.is_empty()) {
            let machines = hit(fault, &world.all(Kind::Machine));
            if machines.is_empty() {
                continue;
            }
            let path = format!("{}/status", Kind::Fault.path("", Some(&fault.name)));
            let patch = json!({"status": {"machines": machines}});
            if let Err(error) = send(&client, "PATCH", &path, Some(("application/merge-patch+json", &patch))).await {
                tracing::warn!(fault = fault.name, %error, "failed to note the machines of a fault");
            }
        }
        world.machine_or_fault_changed().await;
        tokio::time::sleep(GATHER).await;
    }
}

/// The machines a fault hits, as `namespace/name`, ordered by name: nodes that are there and wanted, at most
/// `parameters.count`.
fn hit(fault: &Fault, machines: &[Object]) -> Vec<String> {
    let mut names: Vec<String> = machines
        .iter()
        .filter(|machine| {
            let scope = Scope {
                namespace: machine.namespace(),
                cluster: machine.label(CLUSTER_NAME_LABEL).unwrap_or_default(),
                zone: machine.text("/status/failureDomain"),
                machine: machine.name(),
                pool: machine
                    .label(TOPOLOGY_DEPLOYMENT_LABEL)
                    .unwrap_or(if machine.label(CONTROL_PLANE_LABEL).is_some() { "control-plane" } else { "" }),
                ..Scope::default()
            };
            let has_node = !machine.text("/status/nodeRef/name").is_empty();
            !machine.deleting() && has_node && fault.spec.target.matches(&scope)
        })
        .map(|machine| format!("{}/{}", machine.namespace(), machine.name()))
        .collect();
    names.sort();
    if let Some(count) = fault.spec.parameters.count {
        names.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wanted_nodes_of_the_target_are_hit_and_no_more_than_asked_for() {
        let machine = |name: &str, cluster: &str, node: bool, deleting: bool| {
            let mut object = json!({
                "metadata": {"namespace": "default", "name": name, "labels": {
                    CLUSTER_NAME_LABEL: cluster, TOPOLOGY_DEPLOYMENT_LABEL: "workers",
                }},
            });
            if node {
                object["status"] = json!({"nodeRef": {"name": name}});
            }
            if deleting {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            Object::new(object)
        };
        let machines = [
            machine("d", "first", true, false),
            machine("c", "first", true, false),
            machine("b", "first", true, false),
            machine("a", "first", true, true),
            machine("0", "first", false, false),
            machine("1", "second", true, false),
        ];
        let fault = |count: &str| Fault {
            name: "lost".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            spec: format!("node-lost:cluster=first,pool=workers{count}").parse().unwrap(),
            machines: Vec::new(),
        };
        assert_eq!(hit(&fault(""), &machines), ["default/b", "default/c", "default/d"]);
        assert_eq!(hit(&fault(",count=2"), &machines), ["default/b", "default/c"]);
    }
}
