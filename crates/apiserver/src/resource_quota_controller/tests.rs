use std::time::Duration;

use futures::StreamExt as _;
use kogge_machinery::quantity::Amount;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::server::{Server, ServerOptions};

async fn request(plane: &Plane, method: &str, path: &str, body: Value) -> Result<Value, u16> {
    let path = format!("/api/v1/namespaces/default/{path}");
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    match plane.client().request::<Value>(request.body(body).unwrap()).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(status.code),
        Err(error) => panic!("{error}"),
    }
}

async fn until_used(plane: &Plane, quota: &str, expected: &Value) {
    for _ in 0..1000 {
        let found = request(plane, "GET", &format!("resourcequotas/{quota}"), Value::Null).await.unwrap();
        if found["status"]["used"] == *expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{quota} never says that {expected} is used");
}

/// What one of several clients does.
#[derive(Clone, Debug)]
enum Step {
    CreatePod(u8, u16),
    EndPod(u8),
    DeletePod(u8),
    CreateMap(u8),
    DeleteMap(u8),
}

impl Step {
    async fn run(&self, plane: &Plane) {
        // What is refused, there already or gone is none of this test's concern.
        let _ = match self {
            Self::CreatePod(name, cpu) => {
                let resources = json!({"requests": {"cpu": format!("{cpu}m")}});
                let spec = json!({"containers": [{"name": "c", "image": "i", "resources": resources}]});
                request(plane, "POST", "pods", json!({"metadata": {"name": format!("p{name}")}, "spec": spec})).await
            }
            Self::EndPod(name) => {
                request(plane, "PATCH", &format!("pods/p{name}/status"), json!({"status": {"phase": "Failed"}})).await
            }
            Self::DeletePod(name) => request(plane, "DELETE", &format!("pods/p{name}"), Value::Null).await,
            Self::CreateMap(name) => {
                request(plane, "POST", "configmaps", json!({"metadata": {"name": format!("m{name}")}})).await
            }
            Self::DeleteMap(name) => request(plane, "DELETE", &format!("configmaps/m{name}"), Value::Null).await,
        };
    }
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        3 => (0..8_u8, 1..600_u16).prop_map(|(name, cpu)| Step::CreatePod(name, cpu)),
        1 => (0..8_u8).prop_map(Step::EndPod),
        1 => (0..8_u8).prop_map(Step::DeletePod),
        3 => (0..8_u8).prop_map(Step::CreateMap),
        2 => (0..8_u8).prop_map(Step::DeleteMap),
    ];
    proptest::collection::vec(proptest::collection::vec(step, 0..20), 1..8)
}

/// What is there and what quotas say, as of one revision.
#[derive(Default)]
struct State {
    pods: HashMap<String, Value>,
    maps: HashSet<String>,
    quotas: HashMap<String, Value>,
}

impl State {
    fn follow(&mut self, event: &Event) {
        let object: Value = serde_json::from_slice(&event.json).unwrap();
        let (name, is_there) = (event.key.name.clone(), event.kind != EventKind::Deleted);
        match event.key.resource.resource.as_str() {
            "pods" if is_there => drop(self.pods.insert(name, object)),
            "pods" => drop(self.pods.remove(&name)),
            "configmaps" if is_there => drop(self.maps.insert(name)),
            "configmaps" => drop(self.maps.remove(&name)),
            "resourcequotas" => drop(self.quotas.insert(name, object)),
            _ => {}
        }
    }

    fn there(&self) -> ResourceList {
        let quota = &self.quotas["q"];
        let mut there = resource_quota::usage(quota, &Evaluator::Pods, self.pods.values(), Timestamp::now());
        there.set("configmaps", Amount::count(i64::try_from(self.maps.len()).unwrap()));
        there
    }

    fn check(&self) {
        let status = &self.quotas["q"]["status"];
        let (hard, used) = (ResourceList::of(&status["hard"]), ResourceList::of(&status["used"]));
        for (name, amount) in self.there().iter() {
            let (used, hard) = (used.get(name).unwrap(), hard.get(name).unwrap());
            assert!(amount <= used && used <= hard, "{name}: {amount} are there, {used} used of {hard}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// At every revision there is at most what is used, and at most that what is allowed; in the end it is the same.
    #[test]
    fn no_interleaving_exceeds_a_quota(clients in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let server = Server::open(ServerOptions::default()).await.unwrap();
            let plane = server.management();
            let hard = json!({"configmaps": "3", "pods": "3", "requests.cpu": "1"});
            let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
            request(&plane, "POST", "resourcequotas", quota).await.unwrap();
            until_used(&plane, "q", &json!({"configmaps": "0", "pods": "0", "requests.cpu": "0"})).await;
            let start = plane.revision();
            let first = request(&plane, "GET", "resourcequotas/q", Value::Null).await.unwrap();
            let mut state = State { quotas: HashMap::from([("q".to_owned(), first)]), ..State::default() };
            let tasks: Vec<_> = clients
                .into_iter()
                .map(|steps| {
                    let plane = plane.clone();
                    tokio::spawn(async move {
                        for step in steps {
                            step.run(&plane).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let mut changes = plane.watch(start).unwrap();
            let end = plane.revision();
            let mut seen = start;
            while seen < end {
                let event = changes.next().await.unwrap().unwrap();
                seen = event.revision;
                state.follow(&event);
                state.check();
            }
            until_used(&plane, "q", &state.there().to_value()).await;
        });
    }
}

#[tokio::test]
async fn what_the_server_creates_itself_is_charged_too_and_kinds_of_definitions_are_counted() {
    let plane = Server::open(ServerOptions::default()).await.unwrap().management();
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let widget = |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"}});
    let hard = json!({"count/widgets.example.com": "2", "count/nothing.example.com": "1"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}});
    plane.apply_all(vec![definition, quota, widget("a")]).await.unwrap();
    until_used(&plane, "q", &json!({"count/widgets.example.com": "1"})).await;
    let refused = plane.apply_all(vec![widget("b"), widget("c")]).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "widgets.example.com \"c\" is forbidden: exceeded quota: q, requested: count/widgets.example.com=1, used: \
         count/widgets.example.com=2, limited: count/widgets.example.com=2"
    );
    plane.apply_all(vec![widget("b")]).await.unwrap();
    until_used(&plane, "q", &json!({"count/widgets.example.com": "2"})).await;
    recount_all(&plane).await.unwrap();
    let object = |name: &str| ObjectKey {
        resource: GroupResource { group: "example.com".to_owned(), resource: "widgets".to_owned() },
        namespace: "default".to_owned(),
        name: name.to_owned(),
    };
    let writer = ObjectWriter { plane: &plane, manager: "test" };
    let uid = plane.get_value(&object("a")).unwrap().unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    writer.delete(&object("a"), &uid, None, crate::object_writer::Propagation::Background).await.unwrap();
    until_used(&plane, "q", &json!({"count/widgets.example.com": "1"})).await;
}
