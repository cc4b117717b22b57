//! What is as described is left alone: no write of anybody, however often it is said again.

use std::time::Duration;

use kogge_api::{KubernetesCluster, KubernetesClusterSpec};
use kube::api::{Api, ListParams, Patch, PatchParams};

/// The revision of the management plane: it counts every write of everybody.
async fn revision(client: &kube::Client) -> u64 {
    let list = Api::<KubernetesCluster>::all(client.clone()).list(&ListParams::default()).await.unwrap();
    list.metadata.resource_version.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_identical_apply_writes_nothing_and_a_ready_cluster_rests() {
    let world = kogge_testkit::start().await.unwrap();
    let client = world.client();
    let clusters: Api<KubernetesCluster> = Api::namespaced(client.clone(), "default");
    let mut spec = KubernetesClusterSpec::default();
    spec.provider.profile = "sim".into();
    spec.kubernetes.version = "1.35".into();
    let description = KubernetesCluster::new("quiet", spec);
    let apply = || async {
        let parameters = PatchParams::apply("test").force();
        clusters.patch("quiet", &parameters, &Patch::Apply(&description)).await.unwrap()
    };
    apply().await;
    let ready = |cluster: &KubernetesCluster| {
        cluster.status.as_ref().and_then(|status| status.phase).is_some_and(|phase| phase.as_str() == "Ready")
    };
    tokio::time::timeout(Duration::from_mins(1), async {
        while !ready(&clusters.get("quiet").await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("it becomes Ready");

    // Late writes (events, the last condition) may still be on their way: wait until nothing comes any more.
    let mut last = revision(&client).await;
    tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let now = revision(&client).await;
            if now == last {
                return;
            }
            last = now;
        }
    })
    .await
    .expect("a Ready cluster comes to rest");

    apply().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(revision(&client).await, last, "somebody wrote although nothing had changed");
    world.stop().await;
}
