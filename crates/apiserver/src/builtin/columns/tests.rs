use kogge_machinery::table::{IncludeObject, SerializedRows, table};
use serde_json::{Value, json};

use crate::builtin::resource_type_of;

/// 2026-01-01T01:00:00Z
const NOW: i64 = 1_767_229_200;

/// The table of objects as kubectl lays it out, wide columns included.
fn shown(group: &str, plural: &str, objects: &[Value]) -> String {
    let resource = resource_type_of(group, plural).unwrap();
    let objects: Vec<Value> = objects
        .iter()
        .cloned()
        .map(|mut object| {
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            object["metadata"]["uid"] = json!("8c4c");
            object
        })
        .collect();
    let table = table(resource, &objects, json!({}), IncludeObject::None, true, "v1", NOW);
    let rows = SerializedRows::new(resource, IncludeObject::None, "v1", NOW);
    for (object, row) in objects.iter().zip(table["rows"].as_array().unwrap()) {
        let mut written = Vec::new();
        rows.write(object.to_string().as_bytes(), &mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), row.to_string(), "what cells read is read");
    }
    let cell = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    let header = table["columnDefinitions"].as_array().unwrap().iter().map(|column| cell(&column["name"]));
    let mut lines = vec![header.collect::<Vec<_>>().join(" | ")];
    for row in table["rows"].as_array().unwrap() {
        lines.push(row["cells"].as_array().unwrap().iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    lines.join("\n")
}

#[expect(clippy::needless_pass_by_value, reason = "the tests read better with literals")]
fn pod(name: &str, status: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a"}]}, "status": status})
}

#[test]
fn pods_show_what_their_containers_do() {
    let running = json!({"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}});
    let crashing = json!({
        "name": "a", "ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:59:00Z"}}
    });
    let completed =
        json!({"name": "a", "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let failed = json!({"name": "a", "restartCount": 0, "state": {"terminated": {"exitCode": 3}}});
    let mut leaving = pod("leaving", json!({"phase": "Running", "containerStatuses": [running]}));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    let mut placed = pod(
        "placed",
        json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": [running],
               "conditions": [{"type": "gate", "status": "True"}]}),
    );
    placed["spec"]["nodeName"] = json!("node-1");
    placed["spec"]["readinessGates"] = json!([{"conditionType": "gate"}, {"conditionType": "other"}]);
    let mut starting = pod(
        "starting",
        json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "one", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}},
            {"name": "two", "restartCount": 0, "state": {"running": {}}}]}),
    );
    starting["spec"]["initContainers"] = json!([{"name": "one"}, {"name": "two"}]);
    let mut sidecar = pod(
        "sidecar",
        json!({"phase": "Running", "containerStatuses": [running], "initContainerStatuses": [
            {"name": "proxy", "ready": true, "started": true, "restartCount": 1, "state": {"running": {}}}]}),
    );
    sidecar["spec"]["initContainers"] = json!([{"name": "proxy", "restartPolicy": "Always"}]);
    let pods = [
        pod("pending", json!({"phase": "Pending"})),
        pod("crashing", json!({"phase": "Running", "containerStatuses": [crashing]})),
        pod("done", json!({"phase": "Succeeded", "containerStatuses": [completed]})),
        pod("failed", json!({"phase": "Failed", "containerStatuses": [failed]})),
        pod("evicted", json!({"phase": "Failed", "reason": "Evicted"})),
        leaving,
        placed,
        starting,
        sidecar,
    ];
    insta::assert_snapshot!(shown("", "pods", &pods));
}

#[test]
fn nodes_show_readiness_roles_and_addresses() {
    let nodes = [
        json!({
            "metadata": {"name": "control", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}],
                "nodeInfo": {"kubeletVersion": "v1.34.2", "osImage": "Ubuntu 24.04", "kernelVersion": "6.8.0",
                             "containerRuntimeVersion": "containerd://2.1.0", "architecture": "amd64"}
            }
        }),
        json!({
            "metadata": {"name": "worker"}, "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}
        }),
        json!({"metadata": {"name": "new"}}),
    ];
    insta::assert_snapshot!(shown("", "nodes", &nodes));
}

#[test]
fn workloads_and_services_show_what_kubectl_users_know() {
    let template =
        json!({"spec": {"containers": [{"name": "web", "image": "nginx:1"}, {"name": "log", "image": "fluent:2"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    let parts = [
        shown(
            "apps",
            "deployments",
            &[json!({
                "metadata": {"name": "web"},
                "spec": {"replicas": 3, "selector": selector, "template": template},
                "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}
            })],
        ),
        shown(
            "apps",
            "daemonsets",
            &[json!({
                "metadata": {"name": "agent"}, "spec": {"selector": selector, "template": template},
                "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 1}
            })],
        ),
        shown(
            "batch",
            "jobs",
            &[json!({
                "metadata": {"name": "backup"}, "spec": {"completions": 1, "template": template},
                "status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:30Z",
                           "conditions": [{"type": "Complete", "status": "True"}]}
            })],
        ),
        shown(
            "",
            "services",
            &[
                json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"],
                   "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}], "selector": {"app": "web"}}}),
                json!({"metadata": {"name": "headless"}, "spec": {"type": "ClusterIP", "clusterIPs": ["None"]}}),
            ],
        ),
        shown(
            "",
            "persistentvolumeclaims",
            &[
                json!({
                    "metadata": {"name": "data"}, "spec": {"volumeName": "pv-1", "storageClassName": "fast", "volumeMode": "Filesystem"},
                    "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}}
                }),
                json!({
                    "metadata": {"name": "old", "annotations": {"volume.beta.kubernetes.io/storage-class": "slow"}},
                    "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}
                }),
            ],
        ),
        shown(
            "storage.k8s.io",
            "storageclasses",
            &[json!({
                "metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "provisioner": "csi.example.com"
            })],
        ),
        shown(
            "",
            "events",
            &[json!({
                "metadata": {"name": "web.1"}, "type": "Warning", "reason": "BackOff", "message": "restarting\n",
                "involvedObject": {"kind": "Pod", "name": "web"}, "source": {"component": "kubelet", "host": "node-1"},
                "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:59:30Z", "count": 5
            })],
        ),
        shown(
            "autoscaling",
            "horizontalpodautoscalers",
            &[json!({
                "metadata": {"name": "web"},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5,
                         "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}]}
            })],
        ),
        shown(
            "rbac.authorization.k8s.io",
            "rolebindings",
            &[json!({
                "metadata": {"name": "edit"}, "roleRef": {"kind": "ClusterRole", "name": "edit"},
                "subjects": [{"kind": "User", "name": "ada"}, {"kind": "ServiceAccount", "namespace": "ci", "name": "bot"}]
            })],
        ),
        shown("rbac.authorization.k8s.io", "roles", &[json!({"metadata": {"name": "reader"}})]),
    ];
    insta::assert_snapshot!(parts.join("\n\n"));
}

#[test]
fn every_kind_has_a_cell_for_every_column() {
    for resource in crate::builtin::resource_types() {
        let cells = resource.cells.unwrap()(&json!({}), NOW);
        assert_eq!(cells.len(), resource.columns.len(), "{}", resource.group_resource());
    }
}
