//! A manager made with controller-runtime (`real/clients/manager`): caches of whole objects and of metadata only, status,
//! owned objects, a finalizer, events and the election of a leader, with no more rights than it needs.

use std::process::Command;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::ready;
use k8s_openapi::api::coordination::v1::Lease;
use kogge_testkit::real::Process;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::terminal::{Terminal, assert_same, is_equipped};

const SKIPPED: &str = "a manager made with controller-runtime was not run on both servers";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_controller_runtime_manager_works_on_the_embedded_server_as_on_the_real_one() {
    if !is_equipped(SKIPPED) {
        return;
    }
    let (embedded, real) = tokio::join!(
        async {
            let (server, mut terminal) = Terminal::embedded().await;
            lives_of_widgets(&mut terminal, Some(server.management().client())).await;
            terminal.transcript
        },
        async {
            let mut terminal = Terminal::real(SKIPPED).await?;
            lives_of_widgets(&mut terminal, None).await;
            Some(terminal.transcript)
        },
    );
    insta::assert_snapshot!(embedded);
    if let Some(real) = real {
        assert_same(&real, &embedded);
    }
}

fn definition() -> Value {
    let part = json!({"type": "object", "properties": {"name": {"type": "string"}, "weight": {"type": "integer"}}});
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"parts": {"type": "array", "items": part}}},
            "status": {
                "type": "object",
                "properties": {"observedGeneration": {"type": "integer"}, "configMaps": {"type": "integer"}},
            },
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

/// What the manager may do, and nothing else.
fn role() -> Value {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "widget-manager"},
        "rules": [
            rule("example.com", &["widgets"], &["get", "list", "watch", "patch"]),
            rule("example.com", &["widgets/status"], &["update"]),
            rule("", &["configmaps"], &["list", "watch", "create", "patch", "delete"]),
            rule("", &["serviceaccounts"], &["get", "list", "watch", "create", "update"]),
            rule("coordination.k8s.io", &["leases"], &["get", "create", "update"]),
            rule("", &["events"], &["create", "patch"]),
            rule("events.k8s.io", &["events"], &["create", "patch"]),
        ],
    })
}

fn widget(name: &str, parts: &[(&str, u32)]) -> String {
    let parts: Vec<Value> = parts.iter().map(|(name, weight)| json!({"name": name, "weight": weight})).collect();
    let widget = json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"parts": parts},
    });
    widget.to_string()
}

async fn lives_of_widgets(terminal: &mut Terminal, embedded: Option<Client>) {
    terminal.run_with("kubectl create -f -", &definition().to_string()).await;
    terminal.run("kubectl wait --for=condition=Established crd/widgets.example.com").await;
    grant(terminal).await;
    let first = start(terminal, "first");
    let leader = "kubectl get lease widgets.example.com -o jsonpath={.spec.holderIdentity} --ignore-not-found";
    terminal.until(leader, |holder| !holder.is_empty()).await;
    let second = start(terminal, "second");

    let apply = "kubectl apply --server-side -f -";
    terminal.run_with(apply, &widget("one", &[("wheel", 1), ("axle", 2)])).await;
    terminal.run("kubectl wait widget/one --for=jsonpath={.status.configMaps}=2 --timeout=60s").await;
    let show = "kubectl get widget/one cm/one-wheel cm/one-axle sa/one -o yaml --show-managed-fields";
    terminal.run(show).await;
    terminal.run_with(apply, &widget("one", &[("wheel", 3)])).await;
    terminal.run("kubectl wait widget/one --for=jsonpath={.status.configMaps}=1 --timeout=60s").await;
    terminal.run("kubectl get cm one-wheel one-axle -o jsonpath={.items[*].data} --ignore-not-found").await;
    // What somebody else takes away comes back.
    terminal.run("kubectl delete cm one-wheel").await;
    terminal.until("kubectl get cm one-wheel -o name --ignore-not-found", |name| !name.is_empty()).await;
    if let Some(client) = embedded {
        assert_rests(client).await;
    }

    // The one that waited goes on where the other has left off.
    let before = terminal.run(leader).await;
    stop(first).await;
    terminal.run_with(apply, &widget("two", &[("wheel", 1)])).await;
    terminal.until(leader, |holder| !holder.is_empty() && holder != before).await;
    terminal.run("kubectl wait widget/two --for=jsonpath={.status.configMaps}=1 --timeout=60s").await;

    terminal.run("kubectl delete widget one --timeout=60s").await;
    let owned = "kubectl get cm,sa -o name";
    terminal.until(owned, |names| !names.contains("/one")).await;
    terminal.run("kubectl get widget/two cm/two-wheel sa/two -o name").await;
    let dismantled = "kubectl get events --field-selector reason=Dismantled,involvedObject.name=one";
    terminal.until(dismantled, |events| !events.is_empty()).await;
    let columns = "T:.type,R:.reason,M:.message,O:.involvedObject.name,C:.reportingComponent,A:.action";
    terminal.run(&format!("{dismantled} -o custom-columns={columns}")).await;
    terminal.run("kubectl describe widget two").await;
    stop(second).await;
}

/// Makes a kubeconfig `manager.kubeconfig` with the token of a ServiceAccount that has the role.
async fn grant(terminal: &mut Terminal) {
    terminal.run("kubectl create serviceaccount widget-manager").await;
    terminal.run_with("kubectl create -f -", &role().to_string()).await;
    let who = "--clusterrole=widget-manager --serviceaccount=default:widget-manager";
    terminal.run(&format!("kubectl create clusterrolebinding widget-manager {who}")).await;
    let output = terminal.command("kubectl").args(["create", "token", "widget-manager"]).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let path = terminal.path("manager.kubeconfig");
    std::fs::copy(terminal.path("kubeconfig"), &path).unwrap();
    for arguments in
        [["set-credentials", "manager", "--token", token.trim()], ["set-context", "--current", "--user", "manager"]]
    {
        let output =
            terminal.command("kubectl").env("KUBECONFIG", &path).arg("config").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn start(terminal: &Terminal, name: &str) -> Process {
    let mut command = terminal.command("manager");
    Process::start(command.env("KUBECONFIG", terminal.path("manager.kubeconfig")), terminal.path(name))
}

/// Asks it to end, and waits until it has.
async fn stop(manager: Process) {
    assert!(!manager.has_ended(), "{}", manager.log());
    Command::new("kill").args(["-TERM", &manager.id().to_string()]).status().unwrap();
    for _ in 0..600 {
        if manager.has_ended() {
            let log = manager.log();
            // Now and then controller-runtime notices that it gave its lease back only after it began to stop.
            let is_error = |line: &&str| line.contains(r#""level":"error""#) && !line.contains("leader election lost");
            assert_eq!(log.lines().find(is_error), None, "{log}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the manager does not end:\n{}", manager.log());
}

/// Asserts that the manager comes to rest: nothing is written for some seconds but its Lease.
async fn assert_rests(client: Client) {
    let leases: Api<Lease> = Api::all(client);
    let revision = async || -> u64 {
        let list = leases.list_metadata(&ListParams::default()).await.unwrap();
        list.metadata.resource_version.unwrap().parse().unwrap()
    };
    for _ in 0..10 {
        let before = revision().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let after = revision().await;
        let renewals = leases.watch(&WatchParams::default().timeout(1), &before.to_string()).await.unwrap();
        let renewals = renewals.filter_map(async |event| match event.unwrap() {
            WatchEvent::Modified(lease) => lease.metadata.resource_version?.parse::<u64>().ok(),
            WatchEvent::Bookmark(_) => None,
            other => panic!("{other:?}"),
        });
        let renewals: Vec<u64> = renewals.filter(|written| ready(*written <= after)).collect().await;
        if u64::try_from(renewals.len()).unwrap() == after - before {
            return;
        }
    }
    panic!("there is no end of writes");
}
