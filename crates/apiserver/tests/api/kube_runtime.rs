//! kube-rs as controllers use it.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::ConfigMap},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Discovery,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    runtime::{
        events::{Event, EventType, Recorder, Reporter},
        wait::{
            await_condition,
            conditions::{is_crd_established, is_deleted},
        },
        watcher,
    },
};
use serde_json::json;

use crate::client::{open, widgets};

#[tokio::test]
async fn a_watcher_sees_the_initial_state_and_changes_in_both_modes() {
    let client = open().await;
    let api: Api<ConfigMap> = Api::namespaced(client.kube.clone(), "default");
    let map = |name: &str| serde_json::from_value::<ConfigMap>(json!({"metadata": {"name": name}})).unwrap();
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let name = format!("b{}", rand::random::<u32>());
        let mut events = watcher(api.clone(), config).boxed();
        let mut seen = Vec::new();
        while let Some(event) = events.try_next().await.unwrap() {
            match event {
                watcher::Event::InitDone => {
                    api.create(&PostParams::default(), &map(&name)).await.unwrap();
                }
                watcher::Event::Apply(object) => {
                    assert_eq!(object.metadata.name.as_deref(), Some(name.as_str()));
                    api.delete(&name, &DeleteParams::default()).await.unwrap();
                }
                watcher::Event::Delete(_) => break,
                watcher::Event::InitApply(object) => seen.push(object.metadata.name.unwrap()),
                watcher::Event::Init => {}
            }
        }
        assert_eq!(seen, ["a"]);
    }
}

#[tokio::test]
async fn a_definition_applied_by_an_operator_is_usable_once_established() {
    let client = open().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.kube.clone());
    let patch = PatchParams::apply("operator").force();
    definitions.patch("widgets.example.com", &patch, &Patch::Apply(widgets())).await.unwrap();
    await_condition(definitions, "widgets.example.com", is_crd_established()).await.unwrap();
    let discovery = Discovery::new(client.kube.clone()).run_aggregated().await.unwrap();
    let kind = GroupVersionKind::gvk("example.com", "v1", "Widget");
    let (resource, capabilities) = discovery.resolve_gvk(&kind).unwrap();
    assert!(capabilities.supports_operation("watch"));
    assert_eq!(Discovery::new(client.kube.clone()).run().await.unwrap().resolve_gvk(&kind).unwrap().0, resource);
    let api: Api<DynamicObject> = Api::namespaced_with(client.kube.clone(), "default", &resource);
    let object =
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"replicas": 1}});
    let applied = api.patch("a", &patch, &Patch::Apply(&object)).await.unwrap();
    let again = api.patch("a", &patch, &Patch::Apply(&object)).await.unwrap();
    assert_eq!(applied.metadata.resource_version, again.metadata.resource_version);
    let deleted = api.delete("a", &DeleteParams::foreground()).await.unwrap();
    let uid = applied.metadata.uid.unwrap();
    deleted.map_right(|status| assert_eq!(status.details.unwrap().uid, uid));
    let metadata: Vec<_> = api.list_metadata(&ListParams::default()).await.unwrap().items;
    assert!(metadata.len() <= 1);
}

#[tokio::test]
async fn leases_are_won_by_one() {
    let client = open().await;
    let leases: Api<Lease> = Api::namespaced(client.kube.clone(), "default");
    let lease = |holder: &str| {
        serde_json::from_value::<Lease>(json!({
            "metadata": {"name": "leader"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"},
        }))
        .unwrap()
    };
    let first = leases.create(&PostParams::default(), &lease("a")).await.unwrap();
    let mut renewed = first.clone();
    renewed.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
    leases.replace("leader", &PostParams::default(), &renewed).await.unwrap();
    match leases.replace("leader", &PostParams::default(), &renewed).await.unwrap_err() {
        kube::Error::Api(status) => assert_eq!((status.code, status.reason.as_str()), (409, "Conflict")),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn recorded_events_can_be_read_where_kubectl_describe_looks() {
    let client = open().await;
    let recorder =
        Recorder::new(client.kube.clone(), Reporter { controller: "example.com/test".to_owned(), instance: None });
    let reference = k8s_openapi::api::core::v1::ObjectReference {
        kind: Some("ConfigMap".to_owned()),
        name: Some("a".to_owned()),
        namespace: Some("default".to_owned()),
        uid: Some("u".to_owned()),
        ..Default::default()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: "Slow".to_owned(),
        note: Some("it takes long".to_owned()),
        action: "Waiting".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &reference).await.unwrap();
    recorder.publish(&event, &reference).await.unwrap();
    let query =
        "involvedObject.name=a,involvedObject.namespace=default,involvedObject.kind=ConfigMap,involvedObject.uid=u";
    let list = client.get(&format!("/api/v1/namespaces/default/events?fieldSelector={query}")).await.ok();
    assert_eq!((&list["items"][0]["message"], &list["items"][0]["type"]), (&json!("it takes long"), &json!("Warning")));
}

#[tokio::test]
async fn deleted_objects_are_waited_for() {
    let client = open().await;
    let api: Api<ConfigMap> = Api::namespaced(client.kube.clone(), "default");
    let created = api
        .create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap())
        .await
        .unwrap();
    let uid = created.metadata.uid.unwrap();
    let waiting = await_condition(api.clone(), "a", is_deleted(&uid));
    let parameters = DeleteParams::background();
    let deleting = api.delete("a", &parameters);
    let (waited, _) = tokio::join!(waiting, deleting);
    waited.unwrap();
}
