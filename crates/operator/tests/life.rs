//! The operator against the embedded server: what it makes, that it makes it once, and that a kill changes nothing.

#[expect(unreachable_pub, reason = "shared by test files, so `pub` says what is meant")]
mod world;

use std::time::Duration;

use kogge_api::kubernetes_cluster::Phase;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use world::World;

fn minimal() -> Value {
    json!({"provider": {"profile": "sim"}, "kubernetes": {"version": "1.33.12"}})
}

fn upgraded() -> Value {
    json!({"provider": {"profile": "sim"}, "kubernetes": {"version": "1.34"}, "workers": [{"name": "default", "count": 5}, {"name": "more", "count": 1}]})
}

fn phase(cluster: &kogge_api::KubernetesCluster) -> Option<Phase> {
    cluster.status.as_ref().and_then(|status| status.phase)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_made_once_upgraded_and_deleted_without_a_trace() {
    let world = World::new().await;
    let (operator, cluster_api) = (world.operator(), world.cluster_api());
    world.describe(minimal()).await;
    let ready = world.wait_ready().await;
    let mut status = serde_json::to_value(ready.status.unwrap()).unwrap();
    for pointer in ["/operation/startedAt", "/operation/finishedAt"] {
        *status.pointer_mut(pointer).unwrap() = json!("…");
    }
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!("…");
    }
    insta::assert_yaml_snapshot!(status);

    // Nothing is written while nothing changes, not even by a new operator that has to look at everything again.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let revision = world.revision().await;
    operator.abort();
    let operator = world.operator();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.revision().await, revision);

    world.describe(upgraded()).await;
    let ready = world.wait_ready().await;
    let status = ready.status.unwrap();
    assert_eq!(status.kubernetes.unwrap().version.as_deref(), Some("v1.34.9"));
    insta::assert_yaml_snapshot!(status.plan);

    world.clusters().delete("demo", &DeleteParams::default()).await.unwrap();
    for _ in 0..200 {
        if world.clusters().get_opt("demo").await.unwrap().is_none() && world.made().await.is_empty() {
            operator.abort();
            cluster_api.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("left behind: {:#?}", world.made().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_it_ends_where_it_would_have_ended() {
    let undisturbed = World::new().await;
    let _running = (undisturbed.operator(), undisturbed.cluster_api());
    undisturbed.describe(minimal()).await;
    undisturbed.wait_ready().await;
    undisturbed.describe(upgraded()).await;
    undisturbed.wait_ready().await;

    let world = World::new().await;
    let _cluster_api = world.cluster_api();
    for spec in [minimal(), upgraded()] {
        world.describe(spec).await;
        for lifetime in [1, 3, 5, 8, 12, 17, 23, 30, 40, 55, 75, 100] {
            let operator = world.operator();
            tokio::time::sleep(Duration::from_millis(lifetime)).await;
            operator.abort();
        }
        let operator = world.operator();
        world.wait_ready().await;
        operator.abort();
    }
    let _operator = world.operator();
    // Templates nobody uses any more go after the cluster is Ready.
    let specs = |objects: Vec<Value>| -> Vec<String> {
        objects
            .iter()
            .map(|object| format!("{} {} {}", object["kind"], object["metadata"]["name"], object["spec"]))
            .collect()
    };
    for _ in 0..200 {
        if specs(world.made().await) == specs(undisturbed.made().await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (made, expected) = (specs(world.made().await), specs(undisturbed.made().await));
    let differs = |left: &[String], right: &[String]| -> Vec<String> {
        left.iter().filter(|object| !right.contains(object)).cloned().collect()
    };
    panic!("too much: {:#?}\nmissing: {:#?}", differs(&made, &expected), differs(&expected, &made));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_profile_fails_and_heals_when_it_is_named_right() {
    let world = World::new().await;
    let _running = (world.operator(), world.cluster_api());
    world.describe(json!({"provider": {"profile": "nowhere"}, "kubernetes": {"version": "1.34"}})).await;
    let failed = world.wait("Failed", |cluster| phase(cluster) == Some(Phase::Failed)).await;
    let problem = failed.status.unwrap().problems.remove(0);
    assert_eq!(
        (problem.code.as_str(), problem.message.as_str()),
        ("ProfileNotFound", "spec.provider.profile: there is no profile `nowhere`; offered: sim")
    );
    world.clusters().delete("demo", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.describe(minimal()).await;
    world.wait_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_cloud_is_told_with_its_own_words_and_forgotten_when_it_heals() {
    let world = World::new().await;
    let _running = (world.operator(), world.cluster_api());
    world.describe(minimal()).await;
    world.wait_ready().await;
    let machine = json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "SimulatedMachine",
        "metadata": {"name": "demo-1", "labels": {"cluster.x-k8s.io/cluster-name": "demo"}}, "spec": {},
    });
    let machines = world.api("SimulatedMachine");
    machines.patch("demo-1", &PatchParams::apply("test"), &Patch::Apply(&machine)).await.unwrap();
    let condition = |status: &str, reason: &str, message: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let words = "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances";
    let failing = condition("False", "InstanceCreateFailed", words);
    machines.patch_status("demo-1", &PatchParams::default(), &Patch::Merge(failing)).await.unwrap();
    let degraded = world.wait("Degraded", |cluster| phase(cluster) == Some(Phase::Degraded)).await;
    insta::assert_yaml_snapshot!(degraded.status.unwrap().problems);
    let healed = condition("True", "Ready", "");
    machines.patch_status("demo-1", &PatchParams::default(), &Patch::Merge(healed)).await.unwrap();
    assert!(world.wait_ready().await.status.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_change_changes_nothing_and_a_pause_stops_changes() {
    let world = World::new().await;
    let _running = (world.operator(), world.cluster_api());
    world.describe(json!({"provider": {"profile": "sim"}, "kubernetes": {"version": "1.34"}, "workers": [{"name": "a"}, {"name": "b"}]})).await;
    world.wait_ready().await;
    let before = world.made().await;
    world.describe(json!({"provider": {"profile": "sim"}, "kubernetes": {"version": "1.34"}, "workers": [{"name": "a", "count": 9}]})).await;
    let refused = world.wait("Degraded", |cluster| phase(cluster) == Some(Phase::Degraded)).await;
    assert_eq!(refused.status.unwrap().problems[0].code, "ConfirmationRequired");
    assert_eq!(world.made().await, before);

    world.describe(json!({"paused": true, "provider": {"profile": "sim"}, "kubernetes": {"version": "1.34"}, "workers": [{"name": "a", "count": 9}, {"name": "b"}]})).await;
    world.wait("Paused", |cluster| phase(cluster) == Some(Phase::Paused)).await;
    let cluster = world.api("Cluster").get("demo").await.unwrap();
    assert_eq!(cluster.data["spec"]["paused"], true);
    assert_eq!(cluster.data["spec"]["topology"]["workers"]["machineDeployments"][0]["replicas"], 1);
}
