use serde_json::json;

use super::*;

/// Three objects, no rights, and requests that say their name.
struct Known;

impl Cluster for Known {
    fn object(&self, resource: &GroupResource, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        Ok(match (&*resource.resource, namespace, name) {
            ("nodes", "", "a") => Some(json!({"metadata": {"uid": "1"}})),
            ("pods", "team", "own") => Some(json!({"spec": {"nodeName": "a"}})),
            ("pods", "team", "other") => Some(json!({"spec": {"nodeName": "b"}})),
            _ => None,
        })
    }

    fn may(&self, _: &Attributes<'_>) -> Result<bool, ApiError> {
        Ok(false)
    }

    fn common_name(&self, request: &Value) -> Result<String, String> {
        request["spec"]["request"].as_str().map(str::to_owned).ok_or_else(|| "PEM block type".to_owned())
    }
}

fn mirror(mut spec: Value) -> Value {
    spec["nodeName"] = "a".into();
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "1", "controller": true});
    let annotations = json!({crate::node::MIRROR_POD_ANNOTATION: ""});
    json!({"metadata": {"annotations": annotations, "ownerReferences": [owner]}, "spec": spec})
}

#[test]
fn a_node_writes_its_own_and_is_told_why_not_more() {
    use Operation::{Connect, Create, Delete, Update};
    let volume = |source: Value| {
        let mut volume = source;
        volume["name"] = "v".into();
        Some(mirror(json!({"volumes": [volume]})))
    };
    let claim =
        |status: Value| Some(json!({"metadata": {"uid": "1"}, "spec": {"accessModes": ["x"]}, "status": status}));
    let pod = |node: &str| Some(json!({"metadata": {"name": "own"}, "spec": {"nodeName": node}}));
    let node = |labels: Value| Some(json!({"metadata": {"labels": labels}, "spec": {"taints": []}}));
    let cases = [
        (Create, "/pods", "own", volume(json!({"emptyDir": {}})), None),
        (Create, "/pods", "own", volume(json!({"ephemeral": {}})), None),
        (Create, "/pods", "own", volume(json!({"azureFile": {}})), None),
        (Create, "/pods", "own", volume(json!({"azureFile": {"secretName": "s"}})), None),
        (Create, "/pods", "own", volume(json!({"new": {}})), None),
        (Create, "/pods", "own", volume(json!({"projected": {"sources": [{"downwardAPI": {}}, {"new": {}}]}})), None),
        (Create, "/pods", "own", volume(json!({"projected": {"sources": [{"podCertificate": {}}]}})), None),
        (Create, "/pods", "own", Some(mirror(json!({"resourceClaims": [{"name": "c"}]}))), None),
        (Delete, "/pods", "own", None, pod("a")),
        (Delete, "/pods", "own", None, pod("b")),
        (Delete, "/pods", "", None, pod("a")),
        (Connect, "/pods/exec", "own", None, None),
        (Create, "/pods/eviction", "", Some(json!({"metadata": {"name": "own"}})), None),
        (Create, "/pods/eviction", "", Some(json!({"metadata": {"name": "other"}})), None),
        (Create, "/pods/eviction", "", Some(json!({})), None),
        (Update, "/persistentvolumeclaims/status", "c", claim(json!({"capacity": {}})), claim(json!(null))),
        (Update, "/persistentvolumeclaims/status", "c", claim(json!({"phase": "Lost"})), claim(json!({}))),
        (Update, "/nodes/status", "a", node(json!({"a": "b"})), node(json!(null))),
        (Update, "/nodes", "a", node(json!({})), node(json!({"x.kubernetes.io/y": "z", "k8s.io/b": "c"}))),
        (Delete, "/nodes", "a", None, node(json!({}))),
        (Delete, "/nodes", "b", None, node(json!({}))),
        (Delete, "storage.k8s.io/csinodes", "b", None, Some(json!({}))),
        (
            Create,
            "certificates.k8s.io/certificatesigningrequests",
            "r",
            Some(json!({"spec": {
                "signerName": "kubernetes.io/kubelet-serving"
            }})),
            None,
        ),
        (Create, "/configmaps", "c", Some(json!({})), None),
    ];
    let shown = cases.iter().map(|(operation, path, name, object, old)| {
        let (group, rest) = path.split_once('/').unwrap();
        let (plural, subresource) = rest.split_once('/').unwrap_or((rest, ""));
        let write = Write {
            node: "a",
            operation: *operation,
            resource: &resource(group, plural),
            subresource,
            namespace: "team",
            name,
            object: object.as_ref(),
            old: old.as_ref(),
        };
        let verdict = check(&write, &Known).map_or_else(|error| error.to_string(), |()| "may".to_owned());
        format!("{operation:?} {path} {name:?}: {verdict}")
    });
    insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"));
}
