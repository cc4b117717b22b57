//! Every combination of a table: what can be asked at each path, in each way, with each odd value. Each part of it is a file
//! whose tables say what there is; the names of cases say which combination one is.

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::case::{Case, Choice};
use super::servers::Servers;

#[path = "matrix/bodies.rs"]
mod bodies;
#[path = "matrix/methods.rs"]
mod methods;
#[path = "matrix/negotiation.rs"]
mod negotiation;
#[path = "matrix/parameters.rs"]
mod parameters;
#[path = "matrix/paths.rs"]
mod paths;

pub(crate) use methods::resources;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// How many combinations a run sends for each mutated object.
const SHARE: usize = 1;

/// A kind that requests are made for, with stored objects that no controller touches.
struct Target {
    /// What cases call it.
    title: &'static str,
    /// Path of its collection.
    at: &'static str,
    /// Whether it is served by a definition.
    custom: bool,
    scaled: bool,
    /// An object without a name.
    object: fn() -> Value,
}

/// A kind that Go has a simple type for, a custom one, and one with a deep type.
const TARGETS: [Target; 3] = [
    Target {
        title: "secrets",
        at: "/api/v1/namespaces/matrix/secrets",
        custom: false,
        scaled: false,
        object: || json!({"apiVersion": "v1", "kind": "Secret"}),
    },
    Target {
        title: "wares",
        at: "/apis/matrix.example.com/v1/namespaces/matrix/wares",
        custom: true,
        scaled: true,
        object: || json!({"apiVersion": "matrix.example.com/v1", "kind": "Ware", "spec": {"a": 1}}),
    },
    Target {
        title: "deployments",
        at: "/apis/apps/v1/namespaces/matrix/deployments",
        custom: false,
        scaled: true,
        object: || {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "c", "image": "x"}]},
                },
            }})
        },
    },
];

impl Target {
    fn named(&self, name: &str) -> Value {
        let mut object = (self.object)();
        object["metadata"] = json!({"name": name, "labels": {"l": name}});
        object
    }

    /// The path of the first stored object.
    fn path(&self) -> String {
        format!("{}/a", self.at)
    }
}

fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"a": {"type": "integer"}}},
        "status": {"type": "object", "properties": {"a": {"type": "integer"}}},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "wares.matrix.example.com"},
        "spec": {
            "group": "matrix.example.com",
            "names": {"plural": "wares", "kind": "Ware"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a"},
                },
            }],
        },
    })
}

fn request(
    name: impl Into<String>,
    method: &'static str,
    path: impl Into<String>,
    content_type: &str,
    body: impl Into<Vec<u8>>,
) -> Case {
    let headers = if content_type.is_empty() { Vec::new() } else { vec![("content-type", content_type.to_owned())] };
    Case { name: name.into(), method, path: path.into(), headers, body: body.into(), ..Case::default() }
}

/// A request without faults.
fn post(path: &str, object: &Value) -> Case {
    request(format!("matrix: {path} {}", object["metadata"]["name"]), "POST", path, JSON, object.to_string())
}

/// Stores what the requests are about.
pub(crate) async fn prepare(servers: &Servers) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "matrix"}});
    servers.ask_until(&post("/api/v1/namespaces", &namespace), 201).await;
    servers.ask_until(&post(DEFINITIONS, &definition()), 201).await;
    for target in &TARGETS {
        for name in ["a", "b", "c"] {
            servers.ask_until(&post(target.at, &target.named(name)), 201).await;
        }
    }
}

/// The paths both servers know, as the real one tells.
pub(crate) async fn discover(servers: &Servers) -> Vec<methods::Resource> {
    let get = async |path: String| servers.ask(&request("discovery", "GET", path, "", "")).await;
    let groups = get("/apis".to_owned()).await.real.body;
    let groups = groups["groups"].as_array().into_iter().flatten();
    let versions = groups.flat_map(|group| group["versions"].as_array().into_iter().flatten());
    let named = versions.filter_map(|version| version["groupVersion"].as_str()).map(|name| format!("/apis/{name}"));
    let paths: Vec<String> = std::iter::once("/api/v1".to_owned()).chain(named).collect();
    let lists: Vec<(String, Value)> = stream::iter(paths)
        .map(|path| async {
            let answers = get(path.clone()).await;
            // Which groups the embedded server does not have is the matter of a scenario.
            let list = if answers.embedded.code == 200 { answers.real.body } else { Value::Null };
            (path, list)
        })
        .buffered(4)
        .collect()
        .await;
    lists.iter().flat_map(|(path, list)| resources(path, list)).collect()
}

/// The chosen ones of all combinations.
pub(crate) fn all(resources: &[methods::Resource], choice: Choice) -> Vec<Case> {
    let parts = [methods::all(resources), parameters::all(), bodies::all(), negotiation::all(), paths::all()];
    let mut cases = parts.concat();
    cases.sort_by_cached_key(|case| choice.number(&case.name));
    cases.truncate(choice.count.saturating_mul(SHARE));
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}
