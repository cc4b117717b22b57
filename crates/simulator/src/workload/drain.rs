//! Moving pods off a node, and the node off the cluster.

use std::collections::BTreeMap;

use kube::Client;
use serde_json::{Value, json};

use crate::{
    object::Object,
    reconciler::{is_missing, send},
    state::PodOnNode,
};

/// Pods that have to leave these nodes before their machines go. Pods of DaemonSets, mirrors of static pods and finished pods
/// stay, as with `kubectl drain --ignore-daemonsets`.
///
/// # Errors
/// When the plane cannot be read.
pub(crate) async fn pods_on_nodes(
    client: &Client,
    nodes: &[&str],
) -> Result<BTreeMap<String, Vec<PodOnNode>>, kube::Error> {
    let budgets = send(client, "GET", "/apis/policy/v1/poddisruptionbudgets", None).await?;
    let budgets = budgets["items"].as_array().cloned().unwrap_or_default();
    let mut all = BTreeMap::new();
    for node in nodes {
        let list = send(client, "GET", &format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"), None).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let pods = items.into_iter().map(Object::new).filter(must_leave).map(|pod| described(&pod, &budgets)).collect();
        all.insert((*node).to_owned(), pods);
    }
    Ok(all)
}

fn must_leave(pod: &Object) -> bool {
    pod.annotation("kubernetes.io/config.mirror").is_none()
        && !matches!(pod.text("/status/phase"), "Succeeded" | "Failed")
        && !pod.list("/metadata/ownerReferences").iter().any(|it| it["kind"] == "DaemonSet" && it["controller"] == true)
}

fn described(pod: &Object, budgets: &[Value]) -> PodOnNode {
    let blocked = budgets.iter().find(|budget| {
        budget["metadata"]["namespace"] == pod.namespace()
            && budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) <= 0
            && crate::workload::selects(&budget["spec"]["selector"], pod.at("/metadata/labels"))
    });
    PodOnNode {
        namespace: pod.namespace().to_owned(),
        name: pod.name().to_owned(),
        deleting: pod.deleting(),
        blocked: blocked.filter(|_| !pod.deleting()).map(|budget| {
            format!(
                "The disruption budget {} needs {} healthy pods and has {} currently",
                budget["metadata"]["name"].as_str().unwrap_or_default(),
                budget["status"]["desiredHealthy"],
                budget["status"]["currentHealthy"]
            )
        }),
    }
}

/// Marks a node unschedulable.
///
/// # Errors
/// When the plane cannot be written.
pub(crate) async fn cordon(client: &Client, node: &str) -> Result<(), kube::Error> {
    let patch = json!({"spec": {"unschedulable": true}});
    let answer =
        send(client, "PATCH", &format!("/api/v1/nodes/{node}"), Some(("application/merge-patch+json", &patch))).await;
    ignore_missing(answer)
}

/// Evicts a pod; a disruption budget may refuse it, which is no error.
///
/// # Errors
/// When the plane cannot be written.
pub(crate) async fn evict(client: &Client, namespace: &str, name: &str) -> Result<(), kube::Error> {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"namespace": namespace, "name": name},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    match send(client, "POST", &path, Some(("application/json", &eviction))).await {
        Err(kube::Error::Api(status)) if status.code == 429 => Ok(()),
        answer => ignore_missing(answer),
    }
}

/// Removes a node with the pods that are still bound to it.
///
/// # Errors
/// When the plane cannot be written.
pub(crate) async fn remove_node(client: &Client, node: &str) -> Result<(), kube::Error> {
    ignore_missing(send(client, "DELETE", &format!("/api/v1/nodes/{node}"), None).await)?;
    let list = send(client, "GET", &format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"), None).await?;
    for pod in list["items"].as_array().into_iter().flatten() {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}?gracePeriodSeconds=0",
            pod["metadata"]["namespace"].as_str().unwrap_or_default(),
            pod["metadata"]["name"].as_str().unwrap_or_default()
        );
        ignore_missing(send(client, "DELETE", &path, None).await)?;
    }
    Ok(())
}

fn ignore_missing(answer: Result<Value, kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}
