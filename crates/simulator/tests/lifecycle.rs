//! Whole lives of clusters against the embedded server.

#![allow(clippy::similar_names)] // names of Cluster API fields

#[path = "lifecycle/world.rs"]
mod world;

use serde_json::json;

use self::world::{CORE, World, condition};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_three_and_three_becomes_available_as_a_real_one() {
    let world = World::with_cluster().await;
    world.until_available().await;

    let cluster = world.cluster().await;
    let shown = json!({
        "phase": cluster["status"]["phase"],
        "initialization": cluster["status"]["initialization"],
        "controlPlane": cluster["status"]["controlPlane"],
        "workers": cluster["status"]["workers"],
        "failureDomains": cluster["status"]["failureDomains"],
        "conditions": cluster["status"]["conditions"].as_array().unwrap().iter()
            .map(|it| format!("{}={} {}", it["type"], it["status"], it["reason"]).replace('"', "")).collect::<Vec<_>>(),
    });
    insta::assert_yaml_snapshot!(shown);
    let nodes = world.plane_list("/api/v1/nodes").await;
    assert_eq!(nodes.len(), 6);
    let mut kinds: Vec<String> = Vec::new();
    for (group, plural) in [
        ("controlplane.cluster.x-k8s.io", "kubeadmcontrolplanes"),
        ("bootstrap.cluster.x-k8s.io", "kubeadmconfigs"),
        ("infrastructure.cluster.x-k8s.io", "simulatedmachines"),
        ("infrastructure.cluster.x-k8s.io", "simulatedclusters"),
        ("infrastructure.cluster.x-k8s.io", "simulatedmachinetemplates"),
        ("cluster.x-k8s.io", "machines"),
        ("cluster.x-k8s.io", "machinesets"),
        ("cluster.x-k8s.io", "machinedeployments"),
        ("cluster.x-k8s.io", "machinehealthchecks"),
    ] {
        let count = world.list(&format!("/apis/{group}/v1beta2/namespaces/default/{plural}")).await.len();
        kinds.push(format!("{plural} {count}"));
    }
    let secrets = world.list("/api/v1/namespaces/default/secrets").await;
    kinds.push(format!("secrets {}", secrets.len()));
    insta::assert_snapshot!(kinds.join(", "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_scaled_upgraded_and_deleted_without_leaving_anything() {
    let world = World::with_cluster().await;
    world.until_available().await;
    let path = format!("{CORE}/clusters/first");
    let pools = |a: u32| {
        json!([
            {"class": "default-worker", "name": "default-sim-a", "replicas": a, "failureDomain": "sim-a"},
            {"class": "default-worker", "name": "default-sim-b", "replicas": 1, "failureDomain": "sim-b"},
        ])
    };
    world.patch(&path, json!({"spec": {"topology": {"controlPlane": {"replicas": 5}, "workers": {"machineDeployments": pools(3)}}}})).await;
    world.until_available().await;
    assert_eq!(world.plane_list("/api/v1/nodes").await.len(), 9);
    world.patch(&path, json!({"spec": {"topology": {"version": "v1.35.0", "controlPlane": {"replicas": 3}, "workers": {"machineDeployments": pools(2)}}}})).await;
    world.until_available().await;
    let machines = world.list(&format!("{CORE}/machines")).await;
    assert_eq!(machines.len(), 6);
    assert!(machines.iter().all(|it| it["spec"]["version"] == "v1.35.0"), "{machines:#?}");
    let nodes = world.plane_list("/api/v1/nodes").await;
    assert_eq!(nodes.len(), 6);
    assert!(nodes.iter().all(|it| it["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.0"));
    world.delete(&path).await;
    world
        .until_async("nothing is left", async || {
            let mut left = 0;
            for path in [
                format!("{CORE}/clusters"),
                format!("{CORE}/machines"),
                format!("{CORE}/machinesets"),
                format!("{CORE}/machinedeployments"),
                "/apis/controlplane.cluster.x-k8s.io/v1beta2/namespaces/default/kubeadmcontrolplanes".to_owned(),
                "/apis/infrastructure.cluster.x-k8s.io/v1beta2/namespaces/default/simulatedmachines".to_owned(),
                "/apis/infrastructure.cluster.x-k8s.io/v1beta2/namespaces/default/simulatedclusters".to_owned(),
            ] {
                left += world.list(&path).await.len();
            }
            left == 0
        })
        .await;
    assert!(world.server.planes().iter().all(|it| it.name().0.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_stops_new_machines_in_the_clouds_words_and_heals() {
    let world = World::with_cluster().await;
    world.until_available().await;
    let fault = "quota-exhausted:cluster=first,count=6".parse::<kogge_simulator::fault::FaultSpec>().unwrap().object();
    world.apply(&fault).await;
    let pools = json!([{"class": "default-worker", "name": "default-sim-a", "replicas": 4, "failureDomain": "sim-a"}]);
    world
        .patch(
            &format!("{CORE}/clusters/first"),
            json!({"spec": {"topology": {"workers": {"machineDeployments": pools}}}}),
        )
        .await;
    world
        .until("the quota is shown", |cluster| {
            condition(cluster, "WorkerMachinesReady")["message"].as_str().is_some_and(|it| {
                it.contains("Quota exceeded for instances: Requested 1, but already used 6 of 6 instances")
            })
        })
        .await;
    world
        .delete(&format!("/apis/simulation.kogge.dev/v1alpha1/faults/{}", fault["metadata"]["name"].as_str().unwrap()))
        .await;
    world.until_available().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_creates_settles_on_the_plane() {
    let world = World::with_cluster().await;
    world.until_available().await;
    let template = json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx:1.29"}]},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    });
    world.plane_create("/apis/apps/v1/namespaces/default/deployments", &deployment).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]},
    });
    world.plane_create("/api/v1/namespaces/default/services", &service).await;
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "postgres:18"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        },
    });
    world.plane_create("/apis/apps/v1/namespaces/default/statefulsets", &set).await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": "default"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "once", "image": "busybox"}]}}},
    });
    world.plane_create("/apis/batch/v1/namespaces/default/jobs", &job).await;
    let impossible = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "impossible", "namespace": "default"},
        "spec": {"nodeSelector": {"gpu": "yes"}, "containers": [{"name": "c", "image": "busybox"}]},
    });
    world.plane_create("/api/v1/namespaces/default/pods", &impossible).await;
    world
        .until_async("everything settled", async || {
            let deployment = world.plane_get("/apis/apps/v1/namespaces/default/deployments/web").await;
            let set = world.plane_get("/apis/apps/v1/namespaces/default/statefulsets/db").await;
            let job = world.plane_get("/apis/batch/v1/namespaces/default/jobs/once").await;
            let service = world.plane_get("/api/v1/namespaces/default/services/web").await;
            let pod = world.plane_get("/api/v1/namespaces/default/pods/impossible").await;
            deployment["status"]["availableReplicas"] == 3
                && set["status"]["readyReplicas"] == 2
                && condition(&job, "Complete")["status"] == "True"
                && service["status"]["loadBalancer"]["ingress"][0]["ip"].is_string()
                && condition(&pod, "PodScheduled")["reason"] == "Unschedulable"
        })
        .await;
    let message = condition(&world.plane_get("/api/v1/namespaces/default/pods/impossible").await, "PodScheduled");
    insta::assert_snapshot!(message["message"].as_str().unwrap());
    let system = world.plane_list("/api/v1/namespaces/kube-system/pods").await;
    assert!(system.iter().all(|it| it["status"]["phase"] == "Running"), "{system:#?}");
    let events = world.plane_list("/api/v1/events").await;
    let mut told: Vec<String> = events
        .iter()
        .filter(|it| it["involvedObject"]["kind"] != "Node")
        .map(|it| {
            let kind = it["involvedObject"]["kind"].as_str().unwrap();
            let name = it["involvedObject"]["name"].as_str().unwrap();
            let text = ["type", "reason", "message"].map(|field| it[field].as_str().unwrap()).join(" | ");
            // Names end with hashes, nodes are chosen.
            let kept = |word: &str| if word.contains("-default-sim-") { "NODE".to_owned() } else { word.to_owned() };
            let text = text.split(' ').map(kept).collect::<Vec<_>>().join(" ");
            let text = if name.starts_with("web-") { text.replace(name, "web-*") } else { text };
            format!("{kind} | {text}")
        })
        .map(|text| without_hashes(&text))
        .collect();
    told.sort();
    told.dedup();
    insta::assert_snapshot!(told.join("\n"));
    let logs = kogge_simulator::pod_log_text("default/first", &impossible, "c");
    assert!(logs.contains("simulated"));
}

/// A pod's or replica set's own part of a name, and a volume's, as `*`.
fn without_hashes(text: &str) -> String {
    let shown = |word: &str| {
        for prefix in ["web-", "default/web-", "once-", "default/once-", "pvc-"] {
            if word.starts_with(prefix) {
                return format!("{prefix}*");
            }
        }
        word.to_owned()
    };
    text.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_may_end_ends_and_a_template_that_comes_back_reuses_its_replica_set() {
    let world = World::with_cluster().await;
    world.until_available().await;
    let pods = "/api/v1/namespaces/default/pods";
    for policy in ["Never", "OnFailure", "Always"] {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": policy.to_lowercase(), "namespace": "default"},
            "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "busybox", "stdin": true}]},
        });
        world.plane_create(pods, &pod).await;
    }
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let template = |image: &str| json!({"metadata": {"labels": {"app": "web"}, "creationTimestamp": null}, "spec": {"containers": [{"name": "web", "image": image}]}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("nginx:1")},
    });
    world.plane_create(deployments, &deployment).await;
    let path = format!("{deployments}/web");
    let revision = async |revision: &str| {
        let deployment = world.plane_get(&path).await;
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision
            && deployment["status"]["updatedReplicas"] == 1
            && deployment["status"]["replicas"] == 1
            && deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
    };
    world.until_async("rolled out", async || revision("1").await).await;
    let client = world.plane();
    let change = async |kind: &str, patch: serde_json::Value| {
        world.request(&client, "PATCH", &path, Some((kind, &patch))).await.unwrap();
    };
    let to = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
    change("application/strategic-merge-patch+json", to("nginx:2")).await;
    world.until_async("rolled forward", async || revision("2").await).await;
    // As `kubectl rollout undo` does: the old template without what was null in it.
    let mut old = template("nginx:1");
    old["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    change("application/json-patch+json", json!([{"op": "replace", "path": "/spec/template", "value": old}])).await;
    world.until_async("rolled back", async || revision("3").await).await;
    let sets = world.plane_list("/apis/apps/v1/namespaces/default/replicasets").await;
    assert_eq!(sets.len(), 2, "{sets:#?}");
    for (name, phase) in [("never", "Succeeded"), ("onfailure", "Succeeded"), ("always", "Running")] {
        world
            .until_async(phase, async || world.plane_get(&format!("{pods}/{name}")).await["status"]["phase"] == phase)
            .await;
    }
    // `kubectl debug` waits until its container runs before it says why nobody can attach to it.
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debugger", "image": "busybox", "stdin": true}]}});
    let path = format!("{pods}/always/ephemeralcontainers");
    let kind = "application/strategic-merge-patch+json";
    world.request(&client, "PATCH", &path, Some((kind, &debugger))).await.unwrap();
    let is_running = async || {
        let pod = world.plane_get(&format!("{pods}/always")).await;
        let status = &pod["status"]["ephemeralContainerStatuses"][0];
        status["name"] == "debugger" && status["state"]["running"]["startedAt"].is_string() && status["ready"] == false
    };
    world.until_async("the debugger runs", is_running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_server_comes_and_goes_with_its_label() {
    let world = World::start(kogge_simulator::clock::Speed::Max).await;
    for mut object in world::fixture() {
        if object["kind"] == "Cluster" {
            object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("someone");
        }
        world.apply(&object).await;
    }
    world.until_available().await;
    let path = "/apis/apps/v1/namespaces/kube-system/deployments/metrics-server";
    let there = async || world.plane_get(path).await["metadata"]["name"] == "metrics-server";
    assert!(!there().await, "nobody asked for it");
    let cluster = format!("{CORE}/clusters/first");
    world.patch(&cluster, json!({"metadata": {"labels": {"addons.kogge.dev/metrics-server": "enabled"}}})).await;
    world.until_async("metrics-server is there", there).await;
    world.patch(&cluster, json!({"metadata": {"labels": {"addons.kogge.dev/metrics-server": null}}})).await;
    world.until_async("metrics-server is gone", async || !there().await).await;
    world
        .until_async("its pods are gone too", async || {
            let pods = world.plane_list("/api/v1/namespaces/kube-system/pods").await;
            pods.iter().all(|it| it["metadata"]["labels"]["app.kubernetes.io/name"] != "metrics-server")
        })
        .await;
}

/// Sets a fault, grows a pool, waits until the message shows, lifts the fault and waits until all is well.
async fn appears_and_heals(flag: &str, grow: bool, condition_type: &str, expected: &str) {
    let world = World::with_cluster().await;
    world.until_available().await;
    let fault = flag.parse::<kogge_simulator::fault::FaultSpec>().unwrap().object();
    world.apply(&fault).await;
    if grow {
        let pools =
            json!([{"class": "default-worker", "name": "default-sim-a", "replicas": 3, "failureDomain": "sim-a"}]);
        let patch = json!({"spec": {"topology": {"workers": {"machineDeployments": pools}}}});
        world.patch(&format!("{CORE}/clusters/first"), patch).await;
    }
    world
        .until(expected, |cluster| {
            condition(cluster, condition_type)["message"].as_str().is_some_and(|it| it.contains(expected))
        })
        .await;
    let name = fault["metadata"]["name"].as_str().unwrap();
    world.delete(&format!("/apis/simulation.kogge.dev/v1alpha1/faults/{name}")).await;
    world.until_available().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_image_appears_and_heals() {
    let expected = "No image matching \"kogge-node\" was found (HTTP 404)";
    appears_and_heals("image-missing:image=kogge-node", true, "WorkerMachinesReady", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_never_boots_appears_and_heals() {
    let expected = "Waiting for a Node with spec.providerID simulated:///sim-a/";
    appears_and_heals("machine-never-boots:cluster=first", true, "WorkerMachinesReady", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_credentials_appear_and_heal() {
    appears_and_heals("credentials-expired", false, "InfrastructureReady", "Authentication failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_the_cloud_appear_and_heal() {
    appears_and_heals("cloud-api-errors:status=502", false, "InfrastructureReady", "Bad Gateway").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_cloud_appears_and_heals() {
    appears_and_heals("cloud-api-slow:seconds=60", false, "InfrastructureReady", "requests take 60 s longer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_is_down_appears_and_heals() {
    let expected = "the compute hosts of availability zone sim-b are down";
    appears_and_heals("zone-down:zone=sim-b", false, "WorkerMachinesReady", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_node_is_replaced_once() {
    let world = World::with_cluster().await;
    world.until_available().await;
    let before = names(&world).await;
    let fault = "node-lost:pool=default,count=1".parse::<kogge_simulator::fault::FaultSpec>().unwrap().object();
    world.apply(&fault).await;
    // The fault stays: only the machine it picked is lost, not its replacement.
    world.until_async("a machine was replaced", async || names(&world).await != before).await;
    world.until_available().await;
    let after = names(&world).await;
    assert_eq!(after.len(), 6);
    assert_eq!(after.intersection(&before).count(), 5);
}

async fn names(world: &World) -> std::collections::BTreeSet<String> {
    let machines = world.list(&format!("{CORE}/machines")).await;
    machines.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_a_disruption_budget_and_pods_move() {
    let world = World::with_cluster().await;
    world.until_available().await;
    let labels = json!({"app": "web"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}},
    });
    world.plane_create("/apis/apps/v1/namespaces/default/deployments", &deployment).await;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": 3, "selector": {"matchLabels": labels}},
    });
    world.plane_create("/apis/policy/v1/namespaces/default/poddisruptionbudgets", &budget).await;
    let budget_path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web";
    world
        .until_async("the budget is counted", async || {
            world.plane_get(budget_path).await["status"]["currentHealthy"] == 3
        })
        .await;
    let pools = json!([
        {"class": "default-worker", "name": "default-sim-a", "replicas": 1, "failureDomain": "sim-a"},
        {"class": "default-worker", "name": "default-sim-b", "replicas": 1, "failureDomain": "sim-b"},
    ]);
    let patch = json!({"spec": {"topology": {"workers": {"machineDeployments": pools}}}});
    world.patch(&format!("{CORE}/clusters/first"), patch).await;
    world
        .until_async("the drain is blocked", async || {
            world.list(&format!("{CORE}/machines")).await.iter().any(|it| {
                let message = condition(it, "Deleting")["message"].to_string();
                message.contains("The disruption budget web needs 3 healthy pods and has 3 currently")
            })
        })
        .await;
    let client = world.plane();
    let patch = json!({"spec": {"minAvailable": 2}});
    world.request(&client, "PATCH", budget_path, Some(("application/merge-patch+json", &patch))).await.unwrap();
    world.until_available().await;
    world.until_async("five nodes are left", async || world.plane_list("/api/v1/nodes").await.len() == 5).await;
    world
        .until_async("all pods run again", async || {
            world.plane_get("/apis/apps/v1/namespaces/default/deployments/web").await["status"]["availableReplicas"]
                == 3
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_of_an_upgrade_it_ends_in_the_same_state_and_then_writes_nothing() {
    let mut world = World::with_cluster().await;
    world.until_available().await;
    world.patch(&format!("{CORE}/clusters/first"), json!({"spec": {"topology": {"version": "v1.35.0"}}})).await;
    for pause in [5, 20, 50, 110, 170, 240, 310] {
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        world.restart(kogge_simulator::clock::Speed::Max);
    }
    world.until_available().await;
    let machines = world.list(&format!("{CORE}/machines")).await;
    assert_eq!(machines.len(), 6);
    assert!(machines.iter().all(|it| it["spec"]["version"] == "v1.35.0"));
    let mut before = world.revisions().await;
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let after = world.revisions().await;
        if after == before {
            world.restart(kogge_simulator::clock::Speed::Max);
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            assert_eq!(world.revisions().await, after, "a restart wrote although nothing changed");
            return;
        }
        before = after;
    }
    panic!("the simulator never stops writing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_cluster_stays_as_it_is() {
    let world = World::with_cluster().await;
    world.until_available().await;
    let path = format!("{CORE}/clusters/first");
    world.patch(&path, json!({"spec": {"paused": true, "topology": {"version": "v1.35.0"}}})).await;
    world.until("paused", |cluster| condition(cluster, "Paused")["status"] == "True").await;
    let machines = world.list(&format!("{CORE}/machines")).await;
    assert!(machines.iter().all(|it| it["spec"]["version"] == "v1.34.2"));
    world.patch(&path, json!({"spec": {"paused": false}})).await;
    world.until_available().await;
    let machines = world.list(&format!("{CORE}/machines")).await;
    assert!(machines.iter().all(|it| it["spec"]["version"] == "v1.35.0"));
}
