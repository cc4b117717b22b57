//! What a session does while nobody asks for anything.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::session::Session;

/// Requests for writes so far, by verb and class of status code. A write that changes nothing moves no revision and is told
/// to no watch: it shows here only.
fn writes(session: &Session) -> Option<BTreeMap<String, u64>> {
    let metrics = session.kubectl(&["get", "--raw", "/metrics"])?.success().stdout;
    let requests =
        metrics.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{verb=\"")?.rsplit_once(' '));
    let writes =
        requests.filter(|(what, _)| ["create", "update", "patch", "delete"].iter().any(|verb| what.starts_with(verb)));
    Some(writes.map(|(what, count)| (what.to_owned(), count.parse().unwrap())).collect())
}

#[test]
fn a_cluster_with_workloads_at_rest_is_not_written() {
    const MANIFEST: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}], type: LoadBalancer}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  replicas: 1
  serviceName: store
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec: {containers: [{name: store, image: store}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: once, image: once}]}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
";
    let session = Session::start();
    if writes(&session).is_none() {
        return;
    }
    session.kogge(&["cluster", "create", "demo", "--control-plane", "1", "--workers", "1", "--wait=60s"]).success();
    let kubeconfig = session.path("demo.kubeconfig");
    session.kogge(&["cluster", "kubeconfig", "demo", "--out", &kubeconfig.display().to_string()]).success();
    let manifest = session.file("workloads.yaml", MANIFEST);
    let kubectl =
        |arguments: &[&str]| session.kubectl_with(&kubeconfig, arguments).expect("kubectl is there").success();
    kubectl(&["apply", "-f", &manifest]);
    kubectl(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]);
    kubectl(&["wait", "--for=condition=Complete", "job/once", "--timeout=60s"]);

    // What a rollout set off ends some time; what writes the same again and again does not.
    let mut last = BTreeMap::new();
    session.until("two seconds pass without a write", Duration::from_mins(1), || {
        let before = std::mem::replace(&mut last, writes(&session).expect("it was there before"));
        let is_quiet = before == last;
        if !is_quiet {
            std::thread::sleep(Duration::from_secs(2));
        }
        is_quiet
    });
}
