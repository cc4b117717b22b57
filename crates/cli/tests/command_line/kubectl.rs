//! The Kubernetes-style API of a running `kogge up`, as an administrator with kubectl has it.

use std::time::Duration;

use crate::session::{Session, root};

#[test]
fn a_cluster_lives_by_kubectl_alone() {
    let session = Session::start();
    let example = root().join("examples/first-cluster.yaml").display().to_string();
    let Some(applied) = session.kubectl(&["apply", "-f", &example]) else { return };
    assert_eq!(applied.success().stdout, "kubernetescluster.kogge.dev/first created\n");
    let kubectl = |arguments: &[&str]| session.kubectl(arguments).expect("kubectl is there");
    kubectl(&["wait", "kc/first", "--for=condition=Ready", "--timeout=60s"]).success();
    assert_eq!(kubectl(&["apply", "-f", &example]).success().stdout, "kubernetescluster.kogge.dev/first unchanged\n");
    assert_eq!(kubectl(&["diff", "-f", &example]).code, 0, "nothing differs");

    let described = kubectl(&["describe", "kc", "first"]).success().stdout;
    assert!(described.contains("Events:") && described.contains("PlanExecuted"), "{described}");
    let explained = kubectl(&["explain", "kc.spec.controlPlane.count"]).success().stdout;
    assert!(explained.contains("FIELD: count"), "{explained}");
    assert!(kubectl(&["get", "kc,clusters,machines,kcp,md"]).success().stdout.contains("first"));
    assert!(kubectl(&["auth", "whoami"]).success().stdout.contains("system:masters"));

    kubectl(&[
        "patch",
        "kc",
        "first",
        "--type=json",
        "-p",
        r#"[{"op":"replace","path":"/spec/workers/0/count","value":4}]"#,
    ])
    .success();
    session.until("there are four workers", Duration::from_secs(30), || {
        kubectl(&["get", "kc", "first", "-o", "jsonpath={.status.workers[0].ready}"]).success().stdout == "4"
    });
    kubectl(&["delete", "kc", "first", "--timeout=60s"]).success();
    assert_eq!(kubectl(&["get", "clusters,machines,secrets", "-o", "name"]).success().stdout, "");
}

#[test]
fn a_certificate_of_one_cluster_opens_no_other() {
    let session = Session::start();
    for name in ["one", "two"] {
        session.kogge(&["cluster", "create", name, "--control-plane", "1", "--workers", "1", "--wait=60s"]).success();
    }
    let file = session.path("one.kubeconfig");
    session.kogge(&["cluster", "kubeconfig", "one", "--out", &file.display().to_string()]).success();
    let kubeconfig = std::fs::read_to_string(&file).unwrap();
    let Some(own) = session.kubectl_with(&file, &["get", "namespaces"]) else { return };
    own.success();
    for (what, path) in [("the other cluster", "/clusters/default/two"), ("the management plane", "")] {
        let moved = session.file("moved.kubeconfig", kubeconfig.replace("/clusters/default/one", path));
        let refused = session.kubectl_with(moved.as_ref(), &["get", "namespaces"]).unwrap();
        assert_eq!(refused.code, 1, "{what}: {refused:?}");
    }
}
