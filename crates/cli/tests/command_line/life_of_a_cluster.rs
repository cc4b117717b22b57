//! From the first file to the last delete, with the commands of the tour.

use std::time::Duration;

use crate::session::{Session, root};

#[test]
fn a_cluster_is_created_used_scaled_upgraded_and_deleted() {
    let session = Session::start();
    let example = root().join("examples/first-cluster.yaml").display().to_string();
    session.kogge(&["cluster", "create", "-f", &example, "--wait=60s"]).success();

    let first = session.cluster("first");
    assert_eq!(first["status"]["phase"], "Ready");
    assert_eq!(first["status"]["controlPlane"]["ready"], 3);
    assert_eq!(first["status"]["workers"][0]["ready"], 3);
    let version = first["status"]["kubernetes"]["version"].as_str().unwrap().to_owned();
    assert!(version.starts_with("v1.35."), "{version}");
    let list = session.kogge(&["cluster", "list"]).success().stdout;
    assert!(list.contains("first") && list.contains("Ready"), "{list}");

    // The same file once more changes nothing.
    session.kogge(&["cluster", "create", "-f", &example, "--wait=60s"]).success();
    assert_eq!(session.cluster("first")["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let plan = session.kogge(&["cluster", "plan", "-f", &example]).success().stdout;
    assert!(plan.contains("nothing to do"), "{plan}");

    session.kogge(&["cluster", "scale", "first", "--count", "5", "--wait=60s"]).success();
    assert_eq!(session.cluster("first")["status"]["workers"][0]["ready"], 5);

    let refused = session.kogge(&["cluster", "upgrade", "first", "--to", "1.37"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("1.36"), "{}", refused.stderr);
    session.kogge(&["cluster", "upgrade", "first", "--to", "1.36", "--wait=120s"]).success();
    let upgraded = session.cluster("first");
    for machines in [&upgraded["status"]["controlPlane"], &upgraded["status"]["workers"][0]] {
        assert!(machines["version"].as_str().unwrap().starts_with("v1.36."), "{machines}");
    }

    let tree = session.kogge(&["cluster", "tree", "first"]).success().stdout;
    assert_eq!(tree.matches(" Machine/").count() + tree.matches("─Machine/").count(), 8, "{tree}");

    session.kogge(&["cluster", "delete", "first", "--yes", "--wait=60s"]).success();
    assert_eq!(session.kogge(&["cluster", "get", "first"]).code, 3);
    if let Some(left) = session.kubectl(&[
        "get",
        "clusters,machines,kubeadmcontrolplanes,machinedeployments,secrets",
        "-A",
        "-o",
        "name",
    ]) {
        assert_eq!(left.success().stdout, "", "nothing of a deleted cluster stays");
    }
}

#[test]
fn the_kubeconfig_of_a_cluster_opens_a_kubernetes_that_behaves_like_one() {
    let session = Session::start();
    session.kogge(&["cluster", "create", "demo", "--workers", "2", "--wait=60s"]).success();
    let file = session.path("demo.kubeconfig");
    session.kogge(&["cluster", "kubeconfig", "demo", "--out", &file.display().to_string()]).success();
    let Some(nodes) = session.kubectl_with(&file, &["get", "nodes", "--no-headers"]) else { return };
    let nodes = nodes.success().stdout;
    assert_eq!(nodes.lines().count(), 5, "{nodes}");
    assert!(nodes.lines().all(|line| line.contains(" Ready ")), "{nodes}");

    let kubectl = |arguments: &[&str]| session.kubectl_with(&file, arguments).expect("kubectl is there");
    kubectl(&["create", "deployment", "web", "--image", "nginx", "--replicas", "3"]).success();
    kubectl(&["rollout", "status", "deployment/web", "--timeout=20s"]).success();
    kubectl(&["expose", "deployment", "web", "--port", "80"]).success();
    session.until("the service has three endpoints", Duration::from_secs(10), || {
        let slices = kubectl(&["get", "endpointslices", "-o", "json"]).success().json();
        slices["items"].as_array().is_some_and(|items| {
            items.iter().filter_map(|slice| slice["endpoints"].as_array()).map(Vec::len).max() == Some(3)
        })
    });
    let pods = kubectl(&["get", "pods", "-o", "json"]).success().json();
    let pod = &pods["items"][0];
    let name = pod["metadata"]["name"].as_str().unwrap();
    let logs = kubectl(&["logs", name]).success().stdout;
    assert!(logs.contains("simulat"), "{logs}");

    let node = pod["spec"]["nodeName"].as_str().unwrap();
    kubectl(&["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=30s"]).success();
    session.until("the pods run elsewhere", Duration::from_secs(20), || {
        let pods = kubectl(&["get", "pods", "-l", "app=web", "-o", "json"]).success().json();
        pods["items"].as_array().is_some_and(|pods| {
            let running = pods
                .iter()
                .filter(|pod| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null());
            running.filter(|pod| pod["spec"]["nodeName"] != node).count() == 3
        })
    });
}
