//! A controller as people write them with kube-rs: owned objects applied by the server, a status, a finalizer.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
    runtime::{
        Controller,
        controller::Action,
        finalizer::{self, finalizer},
        watcher,
    },
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{Answer, CONFIG_MAPS, Client, WIDGETS, open, widget};

const FINALIZER: &str = "example.com/controller";

/// What the controller has with it.
struct Context {
    client: kube::Client,
    resource: ApiResource,
    /// Told of every Widget that is let go.
    dismantled: mpsc::UnboundedSender<String>,
}

impl Context {
    fn widgets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), "default", &self.resource)
    }

    /// Applies a ConfigMap for each part, and tells how many there are.
    async fn keep(&self, widget: &DynamicObject) -> Result<Action, kube::Error> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), "default");
        let apply = PatchParams::apply("controller").force();
        let parts = widget.data["spec"]["parts"].as_array().cloned().unwrap_or_default();
        let owner = widget.controller_owner_ref(&self.resource);
        for part in &parts {
            let name = format!("{}-{}", widget.name_any(), part["name"].as_str().unwrap_or_default());
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "ownerReferences": [owner]},
                "data": {"weight": part["weight"].to_string()},
            });
            maps.patch(&name, &apply, &Patch::Apply(map)).await?;
        }
        let status = json!({
            "apiVersion": "example.com/v1", "kind": "Widget",
            "status": {"observedGeneration": widget.metadata.generation, "parts": parts.len()},
        });
        self.widgets().patch_status(&widget.name_any(), &apply, &Patch::Apply(status)).await?;
        Ok(Action::await_change())
    }
}

async fn reconcile(widget: Arc<DynamicObject>, context: Arc<Context>) -> Result<Action, finalizer::Error<kube::Error>> {
    finalizer(&context.widgets(), FINALIZER, widget, async |event| match event {
        finalizer::Event::Apply(widget) => context.keep(&widget).await,
        finalizer::Event::Cleanup(widget) => {
            let _ = context.dismantled.send(widget.name_any());
            Ok(Action::await_change())
        }
    })
    .await
}

impl Client {
    /// Asks until the answer `holds`.
    async fn until(&self, path: &str, holds: impl Fn(&Answer) -> bool) -> Value {
        let mut answer = self.get(path).await;
        for _ in 0..600 {
            if holds(&answer) {
                return answer.body;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer = self.get(path).await;
        }
        panic!("{path}: {} {:#}", answer.code, answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_keeps_owned_objects_comes_to_rest_and_lets_go_by_its_finalizer() {
    let client = open().await;
    client.define_widgets().await;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let (dismantled, mut told) = mpsc::unbounded_channel();
    let context = Arc::new(Context { client: client.kube.clone(), resource: resource.clone(), dismantled });
    let maps: Api<ConfigMap> = Api::all(client.kube.clone());
    let controller = Controller::new_with(context.widgets(), watcher::Config::default(), resource)
        .owns(maps, watcher::Config::default().streaming_lists())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), context.clone())
        .for_each(async |_| ());
    let running = tokio::spawn(controller);

    let parts = json!([{"name": "wheel", "weight": 1}, {"name": "axle", "weight": 2}]);
    client.post(WIDGETS, &widget("a", &json!({"parts": parts}))).await.ok();
    let path = format!("{WIDGETS}/a");
    let kept = client.until(&path, |widget| widget.body["status"]["parts"] == 2).await;
    assert_eq!(kept["metadata"]["finalizers"], json!([FINALIZER]));
    let wheel = format!("{CONFIG_MAPS}/a-wheel");
    let map = client.get(&wheel).await.ok();
    let owner = &map["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["uid"], &owner["controller"]), (&kept["metadata"]["uid"], &json!(true)));

    let parts = json!([{"name": "wheel", "weight": 7}]);
    client.patch(&path, "merge", &json!({"spec": {"parts": parts}})).await.ok();
    let changed = client.until(&path, |widget| widget.body["status"]["observedGeneration"] == 2).await;
    assert_eq!(changed["status"]["parts"], 1);
    assert_eq!(client.get(&wheel).await.ok()["data"], json!({"weight": "7"}));
    // What somebody else takes away or changes comes back.
    let taken = client.delete(&wheel, &json!({})).await.ok();
    client.until(&wheel, |map| map.code == 200 && map.body["metadata"]["uid"] != taken["details"]["uid"]).await;
    client.patch(&wheel, "merge", &json!({"data": {"weight": "8"}})).await.ok();
    client.until(&wheel, |map| map.body["data"]["weight"] == "7").await;

    let revision = async || client.get(WIDGETS).await.ok()["metadata"]["resourceVersion"].clone();
    let mut before = revision().await;
    for attempt in 1.. {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = revision().await;
        if before == after {
            break;
        }
        assert!(attempt < 20, "there is no end of writes");
        before = after;
    }

    client.delete(&path, &json!({})).await.ok();
    client.until(&path, |widget| widget.code == 404).await;
    assert_eq!(told.recv().await.as_deref(), Some("a"));
    for name in ["a-wheel", "a-axle"] {
        client.until(&format!("{CONFIG_MAPS}/{name}"), |map| map.code == 404).await;
    }
    running.abort();
}
