//! Deleting namespaces on a live server.

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::discovery::ApiResource;
use serde_json::json;

use super::*;
use crate::server::{Server, ServerOptions};

fn key(name: &str) -> ObjectKey {
    ObjectKey { resource: namespaces(), namespace: String::new(), name: name.to_owned() }
}

fn api(plane: &Plane, kind: &str, plural: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    match namespace {
        Some(namespace) => Api::namespaced_with(plane.client(), namespace, &resource),
        None => Api::all_with(plane.client(), &resource),
    }
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn object(kind: &str, name: &str, finalizers: &[&str]) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "team", "finalizers": finalizers}})
}

/// Waits until the namespace is in a state that `accept` accepts; none once it is gone.
async fn until(plane: &Plane, name: &str, accept: impl Fn(Option<&Value>) -> bool) {
    let page = plane.store().list(&Scope::Plane, None, 1, None).unwrap();
    let mut changes = plane.store().watch(Scope::Resource(namespaces()), page.revision).unwrap();
    loop {
        let found = plane.get_value(&key(name)).unwrap();
        if accept(found.as_ref()) {
            return;
        }
        changes.next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_namespace_goes_with_everything_in_it() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let plane = server.management();
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.dev"},
        "spec": {"group": "example.dev", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    let widget =
        json!({"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "team"}});
    let mut objects = vec![definition, namespace("team"), namespace("other"), widget, object("Secret", "s", &[])];
    objects.extend((0..600).map(|number| object("ConfigMap", &format!("map-{number}"), &[])));
    let mut kept = object("ConfigMap", "kept", &[]);
    kept["metadata"]["namespace"] = "other".into();
    objects.push(kept);
    plane.apply_all(objects).await.unwrap();
    api(&plane, "Namespace", "namespaces", None).delete("team", &DeleteParams::default()).await.unwrap();
    until(&plane, "team", |found| found.is_none()).await;
    let left = plane.store().list(&Scope::Plane, None, 0, None).unwrap();
    let left: Vec<String> = left
        .items
        .iter()
        .filter(|item| ["team", "other"].contains(&item.key.namespace.as_str()))
        .map(|item| item.key.to_string())
        .collect();
    assert_eq!(left, ["configmaps other/kept"]);
}

#[tokio::test]
async fn finalizers_in_a_namespace_are_waited_for_and_its_conditions_say_so() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let plane = server.management();
    let held = object("ConfigMap", "held", &["example.dev/hold"]);
    plane.apply_all(vec![namespace("team"), held, object("Secret", "s", &[])]).await.unwrap();
    api(&plane, "Namespace", "namespaces", None).delete("team", &DeleteParams::default()).await.unwrap();
    until(&plane, "team", |found| found.is_some_and(|namespace| namespace["status"]["conditions"].is_array())).await;
    let found = api(&plane, "Namespace", "namespaces", None).get("team").await.unwrap();
    let messages: Vec<&str> = found.data["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|condition| condition["status"] == "True")
        .map(|condition| condition["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        messages,
        [
            "Some resources are remaining: configmaps. has 1 resource instances",
            "Some content in the namespace has finalizers remaining: example.dev/hold in 1 resource instances",
        ]
    );
    assert_eq!(found.data["status"]["phase"], "Terminating");
    let refused = api(&plane, "ConfigMap", "configmaps", Some("team"))
        .create(&kube::api::PostParams::default(), &serde_json::from_value(object("ConfigMap", "new", &[])).unwrap())
        .await;
    assert!(refused.unwrap_err().to_string().contains("because it is being terminated"));
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api(&plane, "ConfigMap", "configmaps", Some("team")).patch("held", &PatchParams::default(), &patch).await.unwrap();
    until(&plane, "team", |found| found.is_none()).await;
}
