//! Cluster API's own managers, unmodified, as child processes of `kogge up`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use kogge_testkit::real;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::session::Session;

/// Time enough for any step on a busy machine; nothing is asserted about speed.
const LIMIT: Duration = Duration::from_mins(10);

/// The managers' files, where they are built and kubectl is there.
struct Built {
    managers: String,
    /// The program of one of them.
    control_plane: String,
    cluster_class: String,
}

fn built() -> Option<Built> {
    let names = [
        "cluster-api/core/manager",
        "cluster-api/bootstrap/manager",
        "cluster-api/controlplane/manager",
        "cluster-api/capd/manager",
        "cluster-api/capd/clusterclass-in-memory.yaml",
    ];
    let [managers @ .., class] = real::files(names, "the life of a cluster under Cluster API's own managers")?;
    let control_plane = managers[2].display().to_string();
    let managers: Vec<Value> = managers
        .iter()
        .map(|program| {
            let gates = if program.ends_with("bootstrap/manager") { "" } else { "ClusterTopology=true," };
            json!({
                "command": program,
                "args": [format!("--feature-gates={gates}MachinePool=true")],
                // The in-memory backend asks for a Docker it does not need.
                "env": {"DOCKER_HOST": "tcp://127.0.0.1:1"},
            })
        })
        .collect();
    let class = std::fs::read_to_string(class).unwrap();
    // Without the times that machines take to boot.
    let documents = class.split("\n---").filter(|document| !document.trim().is_empty()).map(|document| {
        let mut object: Value = serde_saphyr::from_str(document).unwrap();
        if let Some(backend) = object.pointer_mut("/spec/template/spec/backend").filter(|it| it["inMemory"].is_object())
        {
            backend["inMemory"] = json!({});
        }
        object
    });
    let cluster_class = json!({"apiVersion": "v1", "kind": "List", "items": documents.collect::<Vec<_>>()}).to_string();
    Some(Built { managers: json!({"managers": managers}).to_string(), control_plane, cluster_class })
}

/// Process ids of what runs with this path in its command line.
fn running(path: &Path) -> BTreeSet<String> {
    let path = path.display().to_string();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&path) {
            found.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

fn json_of(session: &Session, arguments: &[&str]) -> Value {
    let answer = session.kubectl(&[arguments, &["-o", "json"]].concat()).unwrap();
    serde_json::from_str(&answer.success().stdout).unwrap()
}

fn condition<'o>(object: &'o Value, kind: &str) -> &'o str {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}

/// Whether a cluster is as its topology wants it, in every machine.
fn is_settled(session: &Session, machines: usize, version: &str) -> bool {
    let cluster = json_of(session, &["get", "cluster", "life"]);
    let all = json_of(session, &["get", "machines"]);
    let all = all["items"].as_array().unwrap();
    let is_good = |machine: &Value| {
        machine["spec"]["version"] == version
            && condition(machine, "Available") == "True"
            && machine.pointer("/status/nodeRef/name").is_some()
    };
    let observed = |kind: &str| {
        let conditions = cluster["status"]["conditions"].as_array().unwrap();
        conditions.iter().any(|it| it["type"] == kind && it["observedGeneration"] == cluster["metadata"]["generation"])
    };
    all.len() == machines
        && all.iter().all(is_good)
        && observed("TopologyReconciled")
        && ["Available", "ControlPlaneAvailable", "WorkersAvailable", "TopologyReconciled"]
            .iter()
            .all(|kind| condition(&cluster, kind) == "True")
        && ["RollingOut", "ScalingUp", "ScalingDown"].iter().all(|kind| condition(&cluster, kind) == "False")
}

#[test]
fn cluster_apis_own_managers_take_a_cluster_through_its_life() {
    let Some(built) = built() else { return };
    let mut session = Session::prepared();
    let managers = session.file("managers.yaml", &built.managers);
    session.until("the ports of the in-memory backend are free", LIMIT, || {
        std::net::TcpListener::bind(("0.0.0.0", 19000)).is_ok()
    });
    session.resume(&["--managers", &managers]);
    let class = session.file("class.json", &built.cluster_class);
    let Some(_) = session.kubectl(&["version"]) else { return };
    session.until("the managers are ready", LIMIT, || session.log().matches(": ready").count() == 4);
    session.kubectl(&["apply", "-f", &class]).unwrap().success();
    let cluster = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2",
        "kind": "Cluster",
        "metadata": {"name": "life", "namespace": "default"},
        "spec": {"topology": {
            "classRef": {"name": "in-memory"},
            "version": "v1.35.0",
            "controlPlane": {"replicas": 3},
            "workers": {"machineDeployments": [{"class": "default-worker", "name": "md-0", "replicas": 3}]},
        }},
    });
    let cluster = session.file("cluster.json", cluster.to_string());
    session.kubectl(&["apply", "-f", &cluster]).unwrap().success();
    session.until("the cluster is available", LIMIT, || is_settled(&session, 6, "v1.35.0"));

    let refused = session.kubectl(&["delete", "clusterclass", "in-memory"]).unwrap();
    assert!(refused.stderr.contains("denied the request"), "a class in use is kept by its webhook: {}", refused.stderr);
    let old = json_of(&session, &["get", "clusters.v1beta1.cluster.x-k8s.io", "life"]);
    assert_eq!(old.pointer("/spec/topology/class").and_then(Value::as_str), Some("in-memory"), "{old:#}");

    let patch = |patch: Value| {
        session.kubectl(&["patch", "cluster", "life", "--type=merge", "-p", &patch.to_string()]).unwrap().success()
    };
    let workers = json!([{"class": "default-worker", "name": "md-0", "replicas": 5}]);
    patch(json!({"spec": {"topology": {"workers": {"machineDeployments": workers}}}}));
    session.until("the workers are scaled", LIMIT, || is_settled(&session, 8, "v1.35.0"));
    // In the middle of it one of them is killed; another one takes its place.
    patch(json!({"spec": {"topology": {"version": "v1.36.0"}}}));
    session.until("the upgrade has begun", LIMIT, || {
        let all = json_of(&session, &["get", "machines"]);
        all["items"].as_array().unwrap().iter().any(|machine| machine["spec"]["version"] == "v1.36.0")
    });
    kill_process(process(&session, &[&built.control_plane]), Signal::KILL).unwrap();
    session.until("it is started again", LIMIT, || session.log().matches(": ready").count() == 5);
    assert!(session.log().contains("manager controlplane: ended with signal: 9 (SIGKILL); starting it again in 1 s"));
    session.until("the cluster is upgraded", LIMIT, || is_settled(&session, 8, "v1.36.0"));

    // At rest nobody writes anything but events.
    let revision = || -> String {
        let list = session.kubectl(&["get", "--raw", "/api/v1/namespaces"]).unwrap().success().json();
        list["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    session.until("writes come to rest", LIMIT, || {
        let (before, events) = (revision(), json_of(&session, &["get", "events"]));
        std::thread::sleep(Duration::from_secs(20));
        before == revision() && events == json_of(&session, &["get", "events"])
    });

    session.kubectl(&["delete", "cluster", "life", "--wait=false"]).unwrap().success();
    session.until("nothing of the cluster is left", LIMIT, || {
        let left = json_of(&session, &[
            "get",
            "clusters,machines,machinesets,machinedeployments,kubeadmcontrolplanes,kubeadmconfigs,devclusters,devmachines,secrets",
        ]);
        left["items"].as_array().unwrap().is_empty()
    });

    // The managers end with `kogge`, however it ends.
    let folder = session.data().join("managers");
    assert!(running(&folder).len() >= 4);
    assert_eq!(session.terminate(), 0);
    session.until("the managers have stopped", LIMIT, || running(&folder).is_empty());
    session.resume(&["--managers", &managers]);
    session.until("the managers are ready again", LIMIT, || session.log().matches(": ready").count() == 9);
    session.kill();
    session.until("the managers have been stopped", LIMIT, || running(&folder).is_empty());
}

/// A session with one small program as its manager, which says when it starts.
fn supervised(name: &str, script: &str) -> (Session, String) {
    let session = Session::prepared();
    let program = session.file(name, script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let managers = json!({"managers": [{"command": program, "args": ["{kubeconfig}"], "flags": "none"}]});
    let managers = session.file("managers.yaml", managers.to_string());
    (session, managers)
}

/// The one process whose arguments begin with these.
fn process(session: &Session, beginning: &[&str]) -> Pid {
    let folder = session.data().join("managers");
    let line = |id: &String| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let arguments = |line: &[u8]| String::from_utf8_lossy(line).split('\0').map(str::to_owned).collect::<Vec<_>>();
    let mut found = BTreeSet::new();
    session.until("it runs", LIMIT, || {
        found = running(&folder);
        found.retain(|id| arguments(&line(id)).get(..beginning.len()).is_some_and(|head| head == beginning));
        found.len() == 1
    });
    Pid::from_raw(found.first().unwrap().parse().unwrap()).unwrap()
}

#[test]
fn a_killed_manager_is_started_again_once_and_none_outlives_its_guard_or_kogge() {
    // It takes its time to stop, as managers do, and does not mind that nobody reads its output any more.
    let script = "#!/bin/sh\ntrap '' PIPE\ntrap 'while [ ! -e $0.stops ]; do sleep 0.1; done; exit 0' TERM\necho started\n\
                  while :; do sleep 0.1; done\n";
    let (mut session, managers) = supervised("steady", script);
    session.resume(&["--managers", &managers]);
    let (kogge, program) = (env!("CARGO_BIN_EXE_kogge"), session.path("steady").display().to_string());
    let starts = |session: &Session| session.log().matches("steady | started").count();
    let folder = session.data().join("managers");
    session.until("it is started", LIMIT, || starts(&session) == 1);

    kill_process(process(&session, &["/bin/sh", &program]), Signal::KILL).unwrap();
    session.until("it is started again", LIMIT, || starts(&session) == 2);
    let log = session.log();
    let told = "manager steady: ended with signal: 9 (SIGKILL); starting it again in 1 s";
    assert!(log.contains(told) && !log.contains("steady | error"), "{log}");

    let first = process(&session, &["/bin/sh", &program]);
    kill_process(process(&session, &[kogge, "guard"]), Signal::KILL).unwrap();
    session.until("it is started a third time", LIMIT, || starts(&session) == 3);
    let log = session.log();
    assert!(
        log.contains("manager steady: its guard ended with signal: 9 (SIGKILL); starting it again in 2 s"),
        "{log}"
    );
    assert_ne!(process(&session, &["/bin/sh", &program]), first, "the one without a guard is gone");

    // A kogge that follows at once starts it when the other has stopped.
    session.kill();
    session.resume(&["--managers", &managers]);
    let waiting = "steady | waiting until the one of an earlier kogge has stopped";
    session.until("the next kogge waits", LIMIT, || session.log().contains(waiting));
    assert_eq!(starts(&session), 3);
    session.file("steady.stops", "");
    session.until("it is started by the next kogge", LIMIT, || starts(&session) == 4);
    process(&session, &["/bin/sh", &program]);

    assert_eq!(session.terminate(), 0);
    session.until("it has stopped", LIMIT, || running(&folder).is_empty());
}

#[test]
fn a_manager_that_ends_is_started_again_and_its_lines_carry_its_name() {
    let (mut session, managers) = supervised("unsteady", "#!/bin/sh\necho \"with $1 $KUBECONFIG\"\nexit 3\n");
    session.resume(&["--managers", &managers]);
    let kubeconfig = session.data().join("managers/unsteady/kubeconfig").display().to_string();
    let line = format!("unsteady | with {kubeconfig} {kubeconfig}");
    session.until("it is started twice", LIMIT, || session.log().matches(&line).count() >= 2);
    let log = session.log();
    assert!(log.contains("manager unsteady: ended with exit status: 3; starting it again in 1 s"), "{log}");
    assert!(!log.contains("unsteady | error"), "{log}");
}

#[test]
fn a_service_account_that_is_not_there_is_told_in_the_servers_words() {
    let (mut session, managers) = supervised("lonely", "#!/bin/sh\nexit 3\n");
    let text = std::fs::read_to_string(&managers).unwrap();
    let mut file: Value = serde_saphyr::from_str(&text).unwrap();
    file["managers"][0]["serviceAccount"] = "default/nobody".into();
    std::fs::write(&managers, file.to_string()).unwrap();
    session.resume(&["--managers", &managers]);
    let told = "manager lonely: failed to get a token for the ServiceAccount default/nobody: serviceaccounts \"nobody\" not \
                found: create it, or name one of the manifests as `serviceAccount`; starting it again in 1 s\n";
    session.until("it says so", LIMIT, || session.log().contains(told));
}
