//! The collector on a live server.

use futures::StreamExt as _;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams, PropagationPolicy};
use kube::discovery::ApiResource;

use super::*;
use crate::server::{Server, ServerOptions, Storage};
use crate::store::Scope;

/// A plane with namespaces `a` and `b`, and clients of its config maps and cluster roles.
struct World {
    plane: Plane,
}

fn resource(group: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    let (group, plural) = (group.to_owned(), plural.to_owned());
    ApiResource { group, version: "v1".to_owned(), api_version, kind: kind.to_owned(), plural }
}

impl World {
    async fn new() -> Self {
        Self::on(&Server::open(ServerOptions::default()).await.unwrap()).await
    }

    async fn on(server: &Server) -> Self {
        let plane = server.management();
        let namespaces =
            ["a", "b"].map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        plane.apply_all(namespaces.to_vec()).await.unwrap();
        Self { plane }
    }

    fn maps(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.plane.client(), namespace, &resource("", "ConfigMap", "configmaps"))
    }

    fn roles(&self) -> Api<DynamicObject> {
        Api::all_with(self.plane.client(), &resource("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"))
    }

    /// Creates a config map of these owners, as (object, blocks); returns it.
    async fn map(&self, namespace: &str, name: &str, owners: &[(&DynamicObject, bool)]) -> DynamicObject {
        create(&self.maps(namespace), "v1", "ConfigMap", name, owners).await
    }

    async fn delete(&self, name: &str, policy: PropagationPolicy) {
        let parameters = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        self.maps("a").delete(name, &parameters).await.unwrap();
    }

    /// Waits until exactly these config maps are left in namespace `a`, besides the collector having nothing to do.
    async fn until_left(&self, expected: &[&str]) {
        let scope = Scope::Namespace(configmaps(), "a".to_owned());
        let page = self.plane.store().list(&scope, None, 0, None).unwrap();
        let mut left: Vec<String> = page.items.into_iter().map(|item| item.key.name).collect();
        let mut changes = self.plane.store().watch(scope, page.revision).unwrap();
        while left != expected {
            let event = changes.next().await.unwrap().unwrap();
            if event.kind == EventKind::Deleted {
                left.retain(|name| *name != event.key.name);
            }
        }
    }

    /// Waits until the collector has worked on everything before: it removes an object of an owner that never was.
    async fn settle(&self) {
        let never = owner_reference("v1", "ConfigMap", "never", "no-such-uid", false);
        for _ in 0..2 {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "settle", "ownerReferences": [never]}});
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            self.maps("b").create(&PostParams::default(), &object).await.unwrap();
            let scope = Scope::Namespace(configmaps(), "b".to_owned());
            let page = self.plane.store().list(&scope, None, 0, None).unwrap();
            let mut present = page.items.iter().any(|item| item.key.name == "settle");
            let mut changes = self.plane.store().watch(scope, page.revision).unwrap();
            while present {
                let event = changes.next().await.unwrap().unwrap();
                present = !(event.kind == EventKind::Deleted && event.key.name == "settle");
            }
        }
    }
}

fn configmaps() -> kogge_machinery::resource::GroupResource {
    kogge_machinery::resource::GroupResource { group: String::new(), resource: "configmaps".to_owned() }
}

fn owner_reference(api_version: &str, kind: &str, name: &str, uid: &str, blocks: bool) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": blocks})
}

async fn create(
    api: &Api<DynamicObject>,
    api_version: &str,
    kind: &str,
    name: &str,
    owners: &[(&DynamicObject, bool)],
) -> DynamicObject {
    let owners: Vec<Value> = owners
        .iter()
        .map(|(owner, blocks)| {
            let types = owner.types.as_ref().unwrap();
            let (name, uid) = (owner.metadata.name.as_deref().unwrap(), owner.metadata.uid.as_deref().unwrap());
            owner_reference(&types.api_version, &types.kind, name, uid, *blocks)
        })
        .collect();
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    if !owners.is_empty() {
        object["metadata"]["ownerReferences"] = owners.into();
    }
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

#[tokio::test]
async fn background_deletion_takes_what_no_owner_is_left_of() {
    let world = World::new().await;
    let owner = world.map("a", "owner", &[]).await;
    let other = world.map("a", "other", &[]).await;
    let child = world.map("a", "child", &[(&owner, true)]).await;
    world.map("a", "grandchild", &[(&child, true)]).await;
    world.map("a", "shared", &[(&owner, true), (&other, true)]).await;
    world.delete("owner", PropagationPolicy::Background).await;
    world.until_left(&["other", "shared"]).await;
    world.settle().await;
    let shared = world.maps("a").get("shared").await.unwrap();
    let owners: Vec<String> = shared.metadata.owner_references.unwrap().into_iter().map(|owner| owner.name).collect();
    assert_eq!(owners, ["other"]);
}

#[tokio::test]
async fn foreground_deletion_removes_the_owner_after_its_dependents() {
    let world = World::new().await;
    let owner = world.map("a", "owner", &[]).await;
    let child = world.map("a", "child", &[(&owner, true)]).await;
    world.map("a", "grandchild", &[(&child, true)]).await;
    let start = world.plane.store().revision();
    world.delete("owner", PropagationPolicy::Foreground).await;
    world.until_left(&[]).await;
    let mut changes = world.plane.store().watch(Scope::Namespace(configmaps(), "a".to_owned()), start).unwrap();
    let mut deleted = Vec::new();
    while deleted.len() < 3 {
        let event = changes.next().await.unwrap().unwrap();
        if event.kind == EventKind::Deleted {
            deleted.push(event.key.name.clone());
        }
    }
    assert_eq!(deleted, ["grandchild", "child", "owner"]);
}

#[tokio::test]
async fn a_circle_in_foreground_deletion_is_opened() {
    let world = World::new().await;
    let first = world.map("a", "first", &[]).await;
    let second = world.map("a", "second", &[(&first, true)]).await;
    let uid = second.metadata.uid.clone().unwrap();
    let reference = owner_reference("v1", "ConfigMap", "second", &uid, true);
    let patch = json!({"metadata": {"ownerReferences": [reference]}});
    world.maps("a").patch("first", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch)).await.unwrap();
    world.delete("first", PropagationPolicy::Foreground).await;
    world.until_left(&[]).await;
}

#[tokio::test]
async fn orphaned_dependents_live_on_without_their_owner() {
    let world = World::new().await;
    let owner = world.map("a", "owner", &[]).await;
    world.map("a", "child", &[(&owner, true)]).await;
    world.delete("owner", PropagationPolicy::Orphan).await;
    world.until_left(&["child"]).await;
    world.settle().await;
    assert_eq!(world.maps("a").get("child").await.unwrap().metadata.owner_references, None);
}

#[tokio::test]
async fn owners_are_known_by_uid_kind_and_namespace() {
    let world = World::new().await;
    let owner = world.map("a", "owner", &[]).await;
    let mut imposter = owner.clone();
    imposter.metadata.uid = Some("another-uid".to_owned());
    let mut unknown = owner.clone();
    unknown.types.as_mut().unwrap().kind = "Unheard".to_owned();
    world.map("a", "of-imposter", &[(&imposter, false)]).await;
    world.map("a", "of-unknown-kind", &[(&unknown, false)]).await;
    create(&world.roles(), "rbac.authorization.k8s.io/v1", "ClusterRole", "cluster-scoped", &[(&owner, false)]).await;
    world.until_left(&["of-unknown-kind", "owner"]).await;
    world.settle().await;
    // Nothing can be said of a namespaced owner of a cluster-scoped object: it is kept and the user is told.
    world.roles().get("cluster-scoped").await.unwrap();
    let events: Api<DynamicObject> =
        Api::namespaced_with(world.plane.client(), "default", &resource("", "Event", "events"));
    let events = events.list(&kube::api::ListParams::default()).await.unwrap();
    let told: Vec<&str> = events.items.iter().filter_map(|event| event.data["reason"].as_str()).collect();
    assert_eq!(told, ["OwnerRefInvalidNamespace"]);
}

#[tokio::test]
async fn dependents_of_an_unknown_kind_are_looked_at_again_once_it_is_served() {
    let world = World::new().await;
    let owner =
        json!({"apiVersion": "late.example.com/v1", "kind": "Late", "metadata": {"name": "x", "uid": "no-such-uid"}});
    let owner: DynamicObject = serde_json::from_value(owner).unwrap();
    world.map("a", "dependent", &[(&owner, false)]).await;
    world.settle().await;
    world.maps("a").get("dependent").await.unwrap();
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "lates.late.example.com"},
        "spec": {"group": "late.example.com", "scope": "Namespaced",
            "names": {"plural": "lates", "singular": "late", "kind": "Late", "listKind": "LateList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    world.plane.apply_all(vec![definition]).await.unwrap();
    world.until_left(&[]).await;
}

#[tokio::test]
async fn what_was_left_undone_is_done_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = ServerOptions { data: Storage::Directory(directory.path().to_owned()), ..ServerOptions::default() };
    {
        // Without the server, and so without its collector: a dependent of an owner that is gone, and an orphaning
        // delete that was only begun.
        let server = Server::open(options.clone()).await.unwrap();
        World::on(&server).await;
        drop(server);
        let path = directory.path().join("kogge.redb");
        let store = loop {
            match crate::store::Store::open(&path, crate::store::StoreOptions::default()) {
                Ok(store) => break store.management(),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let object = |name: &str, uid: &str, owner: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "a", "uid": uid,
                "ownerReferences": [owner_reference("v1", "ConfigMap", "owner", owner, true)]}})
        };
        let mut owner = object("owner", "owner-uid", "");
        owner["metadata"]["ownerReferences"] = json!([]);
        owner["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        owner["metadata"]["finalizers"] = json!(["orphan"]);
        for object in [object("lost", "lost-uid", "never"), owner, object("child", "child-uid", "owner-uid")] {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let key = ObjectKey { resource: configmaps(), namespace: "a".to_owned(), name };
            store.write(key, crate::store::Change::Put(object), crate::store::Expected::Absent).await.unwrap();
        }
    }
    let server = Server::open(options).await.unwrap();
    let world = World { plane: server.management() };
    world.until_left(&["child"]).await;
}
