//! The real kubectl against the TLS listener: what people type, and what they see.
//!
//! Without a kubectl these tests pass with a notice, except where `CI=true`.

use std::{fmt::Write as _, process::Stdio, time::Duration};

use kogge_apiserver::server::{Measured, Server, ServerOptions, Usage};
use regex::Regex;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::{
    client::widgets,
    planes::{Listener, listen},
};

/// A server, its listener and a kubeconfig for it.
pub(crate) struct Kubectl {
    directory: tempfile::TempDir,
    pub(crate) transcript: String,
    pub(crate) server: Server,
    listener: Listener,
}

/// Starts a server for kubectl; none where there is no kubectl.
pub(crate) async fn start() -> Option<Kubectl> {
    let found = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .await
        .is_ok_and(|output| output.status.success());
    if !found {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "kubectl is not installed");
        #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
        {
            eprintln!("SKIPPED: kubectl is not installed");
        }
        return None;
    }
    let options = ServerOptions {
        pod_logs: Some(std::sync::Arc::new(|request| format!("log of {}\n", request.container))),
        pod_usage: Some(std::sync::Arc::new(|request| match request.measured {
            Measured::Container { container, .. } => {
                Usage { nanocores: container.len() as u64 * 10_000_000, bytes: 32 << 20 }
            }
            Measured::Node { .. } => Usage { nanocores: 100_000_000, bytes: 512 << 20 },
        })),
        ..ServerOptions::default()
    };
    let server = Server::open(options).await.unwrap();
    let listener = listen(&server).await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config"), server.admin_kubeconfig(&listener.url)).unwrap();
    server.management().apply_all(vec![widgets()]).await.unwrap();
    Some(Kubectl { directory, transcript: String::new(), server, listener })
}

impl Kubectl {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(arguments)
            .env("KUBECONFIG", self.directory.path().join("config"))
            .env("KUBECACHEDIR", self.directory.path().join("cache"))
            .env("HOME", self.directory.path())
            .env("KUBE_EDITOR", "sed -i -e s/weight:.1/weight:\\ 2/")
            .env("KUBECTL_EXTERNAL_DIFF", "diff -u")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command line (split at spaces) and adds it with what it printed to the transcript.
    pub(crate) async fn run(&mut self, line: &str) -> String {
        self.run_with(line, "").await
    }

    pub(crate) async fn run_with(&mut self, line: &str, input: &str) -> String {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut child = self.command(&arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("kubectl {line} does not end"))
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let shown = self.stable(&text);
        let _ = write!(self.transcript, "$ kubectl {line}\n{shown}");
        if let Some(code) = output.status.code().filter(|code| *code != 0) {
            let _ = writeln!(self.transcript, "[exit code {code}]");
        }
        self.transcript.push('\n');
        text
    }

    /// The text without what differs from run to run.
    fn stable(&self, text: &str) -> String {
        let text = text.replace(&self.listener.url, "https://SERVER");
        let replacements = [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
            (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
            (r"(JTI=)UID|(X509SHA256=)[0-9a-f]{64}", "${1}${2}ID"),
            (r"/tmp/(LIVE|MERGED)-\d+/", "/tmp/$1/"),
            (r"(?m)^(---|\+\+\+) (\S+)\s.*$", "$1 $2"),
            (r"\b\d+(m?s|m)\b", "AGE"),
            (r#"resourceVersion: "\d+""#, r#"resourceVersion: "N""#),
            (r"kubectl\S*/v\S+ \(\S+\) kubernetes/\S+", "kubectl"),
            (r"(\S) {2,}", "$1  "),
            (r"(?m)[ \t]+$", ""),
        ];
        replacements
            .iter()
            .fold(text, |text, (pattern, with)| Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned())
    }
}

const WIDGET: &str = "apiVersion: example.com/v1
kind: Widget
metadata:
  name: first
  labels: {tier: front}
spec:
  replicas: 1
  parts:
  - {name: wheel, weight: 1}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_objects_are_applied_changed_and_deleted() {
    let Some(mut kubectl) = start().await else { return };
    kubectl.run("wait --for=condition=Established crd/widgets.example.com --timeout=10s").await;
    kubectl.run_with("apply -f -", &WIDGET.replace("replicas", "replica")).await;
    kubectl.run_with("apply -f -", WIDGET).await;
    kubectl.run_with("apply -f -", WIDGET).await;
    kubectl.run_with("diff -f -", &WIDGET.replace("replicas: 1", "replicas: 2")).await;
    kubectl.run_with("apply -f -", &WIDGET.replace("replicas: 1", "replicas: 2")).await;
    kubectl.run("get widgets").await;
    kubectl.run("get wd first -o wide --show-labels").await;
    kubectl.run("get wd first -o jsonpath={.spec}").await;
    kubectl.run("get wd -l tier=front -o name").await;
    kubectl.run("get wd --field-selector spec.size=large").await;
    kubectl.run("get wd first -o yaml").await;
    kubectl.run("edit wd first").await;
    kubectl.run("patch wd first --type merge -p {\"spec\":{\"replicas\":3}}").await;
    kubectl
        .run("patch wd first --type json -p [{\"op\":\"replace\",\"path\":\"/spec/size\",\"value\":\"large\"}]")
        .await;
    kubectl.run("patch wd first --type merge -p {\"spec\":{\"size\":\"huge\"}}").await;
    kubectl.run("label wd first tier=back --overwrite").await;
    kubectl.run("annotate wd first note=hello").await;
    kubectl.run("scale wd first --replicas=5").await;
    kubectl.run("get wd first -o jsonpath={.spec.replicas}/{.spec.size}/{.spec.parts[0].weight}").await;
    kubectl.run_with("apply --server-side -f -", WIDGET).await;
    kubectl.run_with("apply --server-side --force-conflicts -f -", WIDGET).await;
    kubectl.run_with("apply --server-side --dry-run=server -f -", WIDGET).await;
    kubectl.run("describe wd first").await;
    kubectl.run("delete wd first").await;
    kubectl.run("get wd").await;
    kubectl.run("get wd first").await;
    kubectl.run("delete crd widgets.example.com").await;
    insta::assert_snapshot!(kubectl.transcript);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_explains_itself() {
    let Some(mut kubectl) = start().await else { return };
    kubectl.run("auth whoami").await;
    kubectl.run("auth can-i delete nodes").await;
    kubectl.run("auth can-i --list").await;
    kubectl.run("cluster-info").await;
    kubectl.run("get --raw /readyz").await;
    kubectl.run("get --raw /apis/example.com").await;
    kubectl.run("api-resources --api-group=example.com").await;
    kubectl.run("api-versions").await;
    kubectl.run("explain widget.spec").await;
    kubectl.run("explain configmap.data").await;
    kubectl.run("get things").await;
    kubectl.run("get namespaces").await;
    let version = kubectl.run("version -o json").await;
    assert!(version.contains("\"gitVersion\": \"v1.36.0\""), "{version}");
    let transcript = kubectl.transcript.split("$ kubectl version").next().unwrap();
    insta::assert_snapshot!(transcript);
    kubectl.run("api-resources -o name --verbs=list").await;
    insta::assert_snapshot!(kubectl.transcript.rsplit("--verbs=list\n").next().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_commands_send_protobuf() {
    let Some(mut kubectl) = start().await else { return };
    kubectl.run("create namespace team").await;
    // One key: kubectl describes several in any order.
    kubectl.run("create configmap settings -n team --from-literal=a=1").await;
    kubectl.run("create secret generic password -n team --from-literal=p=secret").await;
    kubectl.run("create serviceaccount robot -n team").await;
    kubectl.run("create deployment web -n team --image=nginx --replicas=2").await;
    kubectl.run("create job once -n team --image=busybox -- true").await;
    kubectl.run("create cronjob often -n team --image=busybox --schedule=@hourly -- true").await;
    kubectl.run("create role reader -n team --verb=get,list --resource=pods").await;
    kubectl.run("create rolebinding readers -n team --role=reader --user=anna").await;
    kubectl.run("create clusterrole viewer --verb=get --resource=nodes").await;
    kubectl.run("create service clusterip web -n team --tcp=80:8080").await;
    kubectl.run("create ingress web -n team --rule=example.com/*=web:80").await;
    kubectl.run("create quota small -n team --hard=pods=10").await;
    kubectl.run("wait quota/small -n team --for=jsonpath={.status.used.pods}=0 --timeout=30s").await;
    kubectl.run("create poddisruptionbudget web -n team --selector=app=web --min-available=1").await;
    kubectl.run("create priorityclass high --value=1000").await;
    kubectl.run("run shell -n team --image=busybox --labels=a=b").await;
    kubectl.run("get all -n team -o name").await;
    kubectl.run("get configmap,secret,serviceaccount -n team").await;
    kubectl.run("get secret password -n team -o jsonpath={.data.p}").await;
    kubectl.run("describe configmap settings -n team").await;
    kubectl.run("describe namespace team").await;
    kubectl.run("delete namespace team --wait --timeout=30s").await;
    kubectl.run("get configmaps -n team").await;
    insta::assert_snapshot!(kubectl.transcript);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workloads_and_nodes_are_handled_as_on_a_cluster() {
    let Some(mut kubectl) = start().await else { return };
    let deployment = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: nginx:1}
";
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}], "nodeInfo": {"kubeletVersion": "v1.36.0"}, "capacity": {"cpu": "4", "memory": "8Gi"}},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "default", "labels": {"app": "web"}},
        "spec": {"nodeName": "worker", "containers": [{"name": "web", "image": "nginx:1"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "ready": true, "restartCount": 0, "image": "nginx:1", "imageID": "", "state": {"running": {}}}]},
    });
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web-0.1", "namespace": "default"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "namespace": "default"},
        "reason": "Started", "message": "Started container web", "type": "Normal", "count": 2,
        "source": {"component": "kubelet", "host": "worker"},
        "firstTimestamp": jiff::Timestamp::now().to_string(), "lastTimestamp": jiff::Timestamp::now().to_string(),
    });
    kubectl.server.management().apply_all(vec![node, pod, event]).await.unwrap();
    kubectl.run_with("apply -f -", deployment).await;
    kubectl.run_with("apply -f -", &deployment.replace("nginx:1", "nginx:2")).await;
    kubectl.run("patch deployment web -p {\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"web\",\"imagePullPolicy\":\"Always\"}]}}}}").await;
    kubectl.run("get deployment web -o jsonpath={.spec.template.spec.containers[*].image}").await;
    kubectl.run("scale deployment web --replicas=4").await;
    kubectl.run("set image deployment/web web=nginx:3").await;
    kubectl.run("get deployments -o wide").await;
    kubectl.run("expose deployment web --port=80").await;
    kubectl.run("get service web -o jsonpath={.spec.type}/{.spec.ports[0].port}/{.spec.ipFamilies[0]}").await;
    kubectl.run("autoscale deployment web --min=2 --max=6 --cpu-percent=70").await;
    kubectl.run("get horizontalpodautoscalers").await;
    kubectl.run("get horizontalpodautoscalers.v1.autoscaling web -o jsonpath={.spec}").await;
    kubectl.run("delete hpa web").await;
    kubectl.run("rollout restart deployment/web").await;
    kubectl.run("get nodes").await;
    kubectl.run("get pods -o wide").await;
    kubectl.run("describe pod web-0").await;
    kubectl.run("describe node worker").await;
    kubectl.run("logs web-0").await;
    kubectl.run("exec web-0 -- date").await;
    kubectl.run("rollout history deployment/web").await;
    kubectl.run("cordon worker").await;
    kubectl.run("get nodes").await;
    kubectl.run("drain worker --force --grace-period=0").await;
    kubectl.run("get pods").await;
    kubectl.run("uncordon worker").await;
    kubectl.run("get events").await;
    kubectl.run("events --for pod/web-0").await;
    kubectl.run("delete deployment web").await;
    insta::assert_snapshot!(kubectl.transcript);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pods_and_nodes_use_is_told_where_metrics_server_is_installed() {
    let Some(mut kubectl) = start().await else { return };
    let node = |name: &str, ready: &str| {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": name}},
            "status": {
                "capacity": {"cpu": "2", "memory": "4Gi"}, "allocatable": {"cpu": "2", "memory": "4Gi"},
                "conditions": [{"type": "Ready", "status": ready}],
            }
        })
    };
    let pod = |name: &str, phase: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": name, "labels": {"app": name}},
            "spec": {"nodeName": "one", "containers": [{"name": "main", "image": "x"}, {"name": "side-car", "image": "x"}]},
            "status": {"phase": phase}
        })
    };
    let objects = vec![node("one", "True"), node("two", "False"), pod("web", "Running"), pod("waiting", "Pending")];
    let server = kubectl.server.clone();
    server.management().apply_all(objects).await.unwrap();
    let mut transcript = String::new();
    let (time, trailing) = (Regex::new(r"\d{4}-\d\d-\d\dT[\d:]+Z").unwrap(), Regex::new("(?m) +$").unwrap());
    let mut run = async |lines: &[&str]| {
        for line in lines {
            let text = kubectl.run(line).await;
            let text = time.replace_all(&text, "TIME");
            let text = trailing.replace_all(&text, "");
            let _ = write!(transcript, "$ kubectl {line}\n{text}\n");
        }
    };
    run(&["top nodes", "get --raw /apis/metrics.k8s.io/v1beta1/nodes"]).await;
    let installed = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": "kube-system", "name": "metrics-server"},
        }
    });
    server.management().apply_all(vec![installed]).await.unwrap();
    run(&[
        "api-resources --api-group=metrics.k8s.io",
        "top nodes",
        "top pods",
        "top pods -A --containers",
        "top pods -l app=other",
        "top pod waiting",
        "top pod none",
        "explain podmetrics.containers --recursive --api-version=metrics.k8s.io/v1beta1",
        "explain nodes.usage --api-version=metrics.k8s.io/v1beta1",
        "get pods.metrics.k8s.io -A",
        "get nodes.metrics.k8s.io one",
        "get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/web",
        "get --raw /apis/metrics.k8s.io/v1beta1/nodes/two",
        "delete --raw /apis/metrics.k8s.io/v1beta1/nodes/one",
    ])
    .await;
    insta::assert_snapshot!(transcript);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_prints_changes_as_they_come() {
    let Some(mut kubectl) = start().await else { return };
    kubectl.run_with("apply -f -", WIDGET).await;
    let mut watch = kubectl.command(&["get", "wd", "-w", "--no-headers"]).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.starts_with("first") && first.contains(" 1 "), "{first}");
    kubectl.run("scale wd first --replicas=7").await;
    let second = lines.next_line().await.unwrap().unwrap();
    assert!(second.starts_with("first") && second.contains(" 7 "), "{second}");
    watch.kill().await.unwrap();
    let waiting =
        kubectl.command(&["wait", "wd/first", "--for=jsonpath={.status.phase}=Ready", "--timeout=20s"]).output();
    let patching = kubectl
        .command(&[
            "patch",
            "wd",
            "first",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"phase":"Ready"}}"#,
        ])
        .output();
    let (waited, patched) = tokio::join!(waiting, patching);
    assert!(patched.unwrap().status.success());
    assert!(waited.unwrap().status.success());
}
