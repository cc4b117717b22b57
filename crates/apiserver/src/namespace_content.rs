//! What every namespace has from the start: the ServiceAccount `default`, by which its Pods are known, and the ConfigMap
//! `kube-root-ca.crt`, by which they know the server (Kubernetes' controllers `serviceaccount` and
//! `root-ca-certificate-publisher`).

use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde_json::{Value, json};

use crate::{
    controller_loop::Controller,
    object_writer::ObjectWriter,
    pipeline::WriteScope,
    plane::{Plane, list_error},
    store::{Event, EventKind, ObjectKey, PlaneName, Scope},
};

const SERVICE_ACCOUNT: &str = "default";
const CONFIG_MAP: &str = "kube-root-ca.crt";

/// The objects a namespace has from the start.
pub(crate) fn objects(namespace: &str, certificate_authority: &str) -> [Value; 2] {
    [
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": SERVICE_ACCOUNT, "namespace": namespace},
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": CONFIG_MAP, "namespace": namespace,
                "annotations": {
                    "kubernetes.io/description":
                        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as \
                         the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of \
                         Kubernetes clusters.",
                },
            },
            "data": {"ca.crt": certificate_authority},
        }),
    ]
}

/// Keeps them there. Its items are names of namespaces.
#[derive(Debug)]
pub(crate) struct NamespaceContent;

impl Controller for NamespaceContent {
    type Item = String;

    const NAME: &'static str = "namespace content";

    fn resume(&self, plane: &Plane) -> Result<Vec<String>, ApiError> {
        let page = plane
            .store()
            .list(&Scope::Resource(core("namespaces")), None, 0, None)
            .map_err(|error| list_error(&error))?;
        Ok(page.items.into_iter().map(|namespace| namespace.key.name).collect())
    }

    fn concerned(&self, _: &PlaneName, event: &Event) -> Vec<String> {
        let key = &event.key;
        if !key.resource.group.is_empty() {
            return Vec::new();
        }
        match key.resource.resource.as_str() {
            "namespaces" if event.kind == EventKind::Added => vec![key.name.clone()],
            "serviceaccounts" if key.name == SERVICE_ACCOUNT && event.kind == EventKind::Deleted => {
                vec![key.namespace.clone()]
            }
            "configmaps" if key.name == CONFIG_MAP && event.kind != EventKind::Added => vec![key.namespace.clone()],
            _ => Vec::new(),
        }
    }

    async fn process(&self, plane: &Plane, name: &String) -> Result<Vec<String>, ApiError> {
        let namespace = ObjectKey { resource: core("namespaces"), namespace: String::new(), name: name.clone() };
        let Some(stored) = plane.get_value(&namespace)? else { return Ok(Vec::new()) };
        if stored["metadata"]["deletionTimestamp"].is_string() {
            return Ok(Vec::new());
        }
        let authority = plane.server.certificate_authority_pem();
        let [service_account, config_map] = objects(name, &authority);
        let data = config_map["data"].clone();
        plane.apply_all(vec![service_account, config_map]).await?;
        let key = ObjectKey { resource: core("configmaps"), namespace: name.clone(), name: CONFIG_MAP.to_owned() };
        let writer = ObjectWriter { plane, manager: "root-ca-cert-publisher" };
        let restore = |object: &mut Value| {
            let differs = object["data"] != data;
            object["data"] = data.clone();
            differs
        };
        writer.change(&key, WriteScope::Main, restore).await?;
        Ok(Vec::new())
    }
}

fn core(resource: &str) -> GroupResource {
    GroupResource { group: String::new(), resource: resource.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Server, ServerOptions};

    async fn until_there(plane: &Plane, namespace: &str, authority: &str) {
        loop {
            let get = |resource: &str, name: &str| {
                plane
                    .get(&ObjectKey { resource: core(resource), namespace: namespace.into(), name: name.into() })
                    .unwrap()
                    .map(|object| serde_json::from_slice::<Value>(&object.json).unwrap())
            };
            let map = get("configmaps", CONFIG_MAP);
            if get("serviceaccounts", SERVICE_ACCOUNT).is_some()
                && map.is_some_and(|map| map["data"] == json!({"ca.crt": authority}))
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_namespace_has_its_first_objects_and_keeps_them() {
        let server = Server::open(ServerOptions { namespace_content: true, ..ServerOptions::default() }).await.unwrap();
        let (plane, authority) = (server.management(), server.certificate_authority_pem());
        until_there(&plane, "default", &authority).await;
        plane
            .apply_all(vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})])
            .await
            .unwrap();
        until_there(&plane, "shop", &authority).await;
        let request = |method: &str, path: &str, body: Value| {
            let client = plane.client();
            let request = http::Request::builder()
                .method(method)
                .uri(format!("/api/v1/namespaces/shop/{path}"))
                .header("content-type", "application/merge-patch+json")
                .body(if body.is_null() { Vec::new() } else { body.to_string().into_bytes() })
                .unwrap();
            async move { client.request::<Value>(request).await.unwrap() }
        };
        request("DELETE", "serviceaccounts/default", Value::Null).await;
        request("PATCH", "configmaps/kube-root-ca.crt", json!({"data": {"ca.crt": "another", "more": "x"}})).await;
        until_there(&plane, "shop", &authority).await;
    }
}
