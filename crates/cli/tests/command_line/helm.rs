//! Helm on a simulated cluster, where what it waits for comes true: Deployments become available and Jobs complete.

use std::time::Duration;

use kogge_testkit::real;

use crate::session::{Session, root};

#[test]
fn helm_waits_for_workloads_and_hooks_of_a_simulated_cluster() {
    let Some([helm]) = real::files(["clients/helm"], "Helm was not run on a simulated cluster") else { return };
    let session = Session::start();
    session.kogge(&["cluster", "create", "demo", "--control-plane", "1", "--workers", "2", "--wait=60s"]).success();
    let file = session.path("demo.kubeconfig");
    session.kogge(&["cluster", "kubeconfig", "demo", "--out", &file.display().to_string()]).success();
    let Some(_) = session.kubectl_with(&file, &["version"]) else { return };
    let kubectl = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').chain(["--namespace=shop"]).collect();
        session.kubectl_with(&file, &arguments).expect("kubectl is there").success().stdout
    };
    let helm = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').chain(["--namespace=shop"]).collect();
        session.client(&helm, &file, &arguments).expect("it is built")
    };
    let chart = root().join("crates/conformance/tests/clients/shop");
    let chart = format!("shop {} --set jobs=true --timeout 60s", chart.display());

    helm(&format!("install {chart} --create-namespace --wait --wait-for-jobs")).success();
    assert_eq!(kubectl("get deployment shop -o jsonpath={.status.availableReplicas}"), "2");
    let migration = "get job shop-migrate -o jsonpath={.status.succeeded}/{.metadata.uid}";
    let migrated = kubectl(migration);
    assert!(migrated.starts_with("1/"), "{migrated}");
    // Helm shows the pods of a release beside its objects.
    let status = helm("status shop").success().stdout;
    assert!(status.contains("STATUS: deployed") && status.contains("==> v1/Pod(related)"), "{status}");

    let tested = helm("test shop --logs --timeout 60s").success().stdout;
    assert!(tested.contains("Phase:          Succeeded") && tested.contains("simulated pod"), "{tested}");

    helm(&format!("upgrade {chart} --set replicas=3 --wait=legacy")).success();
    assert_eq!(kubectl("get deployment shop -o jsonpath={.status.availableReplicas}"), "3");
    assert_ne!(kubectl(migration), migrated, "the hook ran again, as another Job");

    let refused = helm(&format!("upgrade {chart} --set replicas=5,shelf.boards=0 --rollback-on-failure"));
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("has been rolled back due to rollback-on-failure being set"), "{refused:?}");
    assert_eq!(kubectl("get deployment shop -o jsonpath={.spec.replicas}"), "3");
    let history = helm("history shop -o json").success().json();
    let told: Vec<&str> = history.as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(told, ["superseded", "superseded", "failed", "deployed"]);

    // The default wait ends, and fails, when another object is seen gone before the deployment is seen at all.
    helm("uninstall shop --wait=legacy --cascade foreground --timeout 60s").success();
    session.until("its pods are gone", Duration::from_mins(1), || {
        kubectl("get pods,replicasets,deployments,services -l app.kubernetes.io/instance=shop -o name").is_empty()
    });
}
