//! What `/openapi/v3` and `/openapi/v2` describe: of built-in kinds the embedded server has to publish what the real one
//! does byte by byte, of custom kinds the same in any order.
//!
//! `KOGGE_UPDATE=1` writes the documents of the real server where the embedded server has them from: those of built-in
//! kinds to `crates/apiserver/schemas`, and what all custom kinds have in common to `crates/machinery/src/openapi`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use kogge_apiserver::server::{Server, ServerOptions};
use kogge_conformance::api::transcript;
use kogge_testkit::real::{self, RealApiServer};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[path = "published_api/protobuf.rs"]
mod protobuf;

/// A group that the embedded server does not serve.
const MISSING: &str = "resource.k8s.io";
/// The group of the definitions that all documents of custom kinds are made after.
const TEMPLATE: &str = "apis/groupword.example.com/v7beta7";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// What a server publishes.
struct Published {
    /// The documents of version 3 by the path they describe.
    three: BTreeMap<String, String>,
    two: String,
    protobuf: Vec<u8>,
}

impl Published {
    /// Creates the definitions and waits until all their kinds are published.
    async fn of(kubeconfig: Kubeconfig, definitions: &[Value]) -> Self {
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        for definition in definitions {
            let request = http::Request::post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
            let request = request.header("Content-Type", "application/json").body(definition.to_string().into_bytes());
            client.request::<Value>(request.unwrap()).await.unwrap();
        }
        let paths: BTreeSet<String> = definitions.iter().flat_map(collections).collect();
        for _ in 0..600 {
            let published = Self::now(&client).await;
            let described = |path: &String| {
                let group_version = path.trim_start_matches('/').rsplit_once('/').unwrap().0;
                let name = format!("\"{path}\"");
                published.three.get(group_version).is_some_and(|text| text.contains(&name))
                    && published.two.contains(&name)
            };
            if paths.iter().all(described) {
                return published;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("not all of {paths:?} are published")
    }

    async fn now(client: &Client) -> Self {
        let get = async |path: &str, accept: &str| {
            let request = http::Request::get(path).header("Accept", accept).body(Body::empty()).unwrap();
            let answer = client.send(request).await.unwrap();
            answer.into_body().collect_bytes().await.unwrap()
        };
        let text = async |path: &str| String::from_utf8(get(path, "application/json").await.to_vec()).unwrap();
        let index: Value = serde_json::from_str(&text("/openapi/v3").await).unwrap();
        let mut three = BTreeMap::new();
        for (path, entry) in index["paths"].as_object().unwrap() {
            if path.split('/').nth(1) != Some(MISSING) {
                three.insert(path.clone(), text(entry["serverRelativeURL"].as_str().unwrap()).await);
            }
        }
        // The protobuf is asked for last, when the other two are there.
        Self { three, two: text("/openapi/v2").await, protobuf: get("/openapi/v2", PROTOBUF).await.to_vec() }
    }
}

/// The paths of the collections that a definition serves.
fn collections(definition: &Value) -> Vec<String> {
    let spec = &definition["spec"];
    let [group, plural] = [&spec["group"], &spec["names"]["plural"]].map(|name| name.as_str().unwrap());
    let versions = spec["versions"].as_array().unwrap().iter().filter(|version| version["served"] == true);
    versions.map(|version| format!("/apis/{group}/{}/{plural}", version["name"].as_str().unwrap())).collect()
}

fn manifests(text: &str) -> Vec<Value> {
    let documents = text.split("\n---").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    documents.filter(|document| document["kind"] == "CustomResourceDefinition").collect()
}

/// Definitions with corners, and those of Cluster API.
fn definitions() -> Vec<Value> {
    let mut definitions = manifests(include_str!("published_api/definitions.yaml"));
    let part = |part: &str| real::path(&format!("cluster-api/{part}/components.yaml"));
    for path in ["core", "bootstrap", "controlplane", "capd"].map(part) {
        definitions.extend(manifests(&std::fs::read_to_string(path).unwrap()));
    }
    definitions
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_published_as_the_real_server_publishes_them() {
    let Some(real) = RealApiServer::start("the published API was not compared with a real kube-apiserver").await else {
        return;
    };
    let definitions = definitions();
    let kubeconfig = Kubeconfig::read_from(real.kubeconfig()).unwrap();
    if std::env::var("KOGGE_UPDATE").is_ok() {
        return write(&Published::of(kubeconfig, &definitions[..2]).await);
    }
    let kubernetes_version = transcript::REFERENCE_VERSION.to_owned();
    let server = Server::open(ServerOptions { kubernetes_version, ..ServerOptions::default() }).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = server.admin_kubeconfig(&format!("https://{}", listener.local_addr().unwrap()));
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { server.serve(listener, shutdown).await }
    });
    let (expected, answered) = tokio::join!(
        Published::of(kubeconfig, &definitions),
        Published::of(Kubeconfig::from_yaml(&own).unwrap(), &definitions)
    );
    shutdown.cancel();
    serving.await.unwrap().unwrap();
    assert_eq!(answered.three.keys().collect::<Vec<_>>(), expected.three.keys().collect::<Vec<_>>());
    let custom: BTreeSet<String> = definitions
        .iter()
        .flat_map(collections)
        .map(|path| path.trim_start_matches('/').rsplit_once('/').unwrap().0.to_owned())
        .collect();
    for (path, document) in &expected.three {
        if custom.contains(path) {
            assert_same(path, &parsed(document), &parsed(&answered.three[path]));
        } else {
            assert!(*document == answered.three[path], "{path}: {}", first_difference(document, &answered.three[path]));
        }
    }
    let mut two = parsed(&expected.two);
    let is_missing = |name: &String| is_missing(name);
    for part in ["paths", "definitions"] {
        two[part].as_object_mut().unwrap().retain(|name, _| !is_missing(name));
    }
    assert_same("/openapi/v2", &two, &parsed(&answered.two));
    let mut expected = protobuf::entries(&expected.protobuf);
    expected.retain(|name, _| !is_missing(name));
    let answered = protobuf::entries(&answered.protobuf);
    assert_eq!(answered.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        let [expected, answered] = [bytes, &answered[name]].map(|bytes| lines(bytes));
        let other = expected.iter().zip(&answered).find(|(expected, answered)| expected != answered);
        let other = other.map(|(expected, answered)| first_difference(expected, answered));
        assert!(expected == answered, "{name}: {other:?}");
    }
}

/// Bytes with their lines sorted: values are written as YAML, here and there with members in another order.
fn lines(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> =
        bytes.split(|byte| *byte == b'\n').map(|line| line.escape_ascii().to_string()).collect();
    lines.sort();
    lines
}

/// Whether a path or definition of version 2 is of the group that is not served.
fn is_missing(name: &str) -> bool {
    name.starts_with(&format!("/apis/{MISSING}/")) || name.starts_with("io.k8s.api.resource.")
}

fn parsed(document: &str) -> Value {
    serde_json::from_str(document).unwrap()
}

/// # Panics
/// With all differences, if there are any.
fn assert_same(name: &str, expected: &Value, answered: &Value) {
    let mut differences = Vec::new();
    compare(name, expected, answered, &mut differences);
    assert!(differences.is_empty(), "{} differences, such as\n{}", differences.len(), {
        differences.truncate(40);
        differences.join("\n")
    });
}

fn compare(path: &str, expected: &Value, answered: &Value, differences: &mut Vec<String>) {
    match (expected, answered) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
                let member =
                    |members: &Map<String, Value>| members.get(name).cloned().unwrap_or_else(|| json!("(nothing)"));
                compare(&format!("{path} > {name}"), &member(left), &member(right), differences);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (position, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path} > {position}"), left, right, differences);
            }
        }
        _ if expected != answered => differences.push(format!("{path}\n  expected {expected}\n  answered {answered}")),
        _ => {}
    }
}

fn first_difference(expected: &str, answered: &str) -> String {
    let same = expected.bytes().zip(answered.bytes()).take_while(|(left, right)| left == right).count();
    let from = |text: &str| {
        String::from_utf8_lossy(&text.as_bytes()[same.saturating_sub(200)..]).chars().take(400).collect::<String>()
    };
    format!("expected\n{}\nanswered\n{}", from(expected), from(answered))
}

/// Writes what the embedded server needs of the documents.
fn write(published: &Published) {
    let between = |document: &str, start: &str, end: &str| {
        let (_, rest) = document.split_once(start).unwrap();
        rest.rsplit_once(end).unwrap().0.to_owned()
    };
    let mut others = BTreeMap::new();
    for (path, document) in &published.three {
        let words: Vec<&str> = path.split('/').collect();
        let file = match words[..] {
            _ if path == TEMPLATE => continue,
            ["api", version] => format!("core_{version}"),
            ["apis", group, version] => format!("{group}_{version}"),
            _ => {
                others.insert(path, between(document, r#","paths":"#, r#""securitySchemes""#));
                continue;
            }
        };
        let definitions = between(document, r#","components":{"schemas":"#, r#","securitySchemes""#);
        pack(&format!("apiserver/schemas/{file}.json.zz"), &definitions);
        let paths = between(document, r#","paths":"#, r#","components":{"schemas":"#);
        pack(&format!("apiserver/schemas/{file}.paths.json.zz"), &paths);
    }
    pack("apiserver/schemas/others.json.zz", &serde_json::to_string(&others).unwrap());

    let is_custom = |name: &String| name.starts_with(&format!("/{TEMPLATE}/")) || name.starts_with("com.example.");
    let mut template = members(&published.three[TEMPLATE]);
    let mut definitions = members(members(template["components"].get())["schemas"].get());
    definitions.retain(|name, _| !is_custom(name));
    let mut two = members(&published.two);
    let mut custom_paths = members(two["paths"].get());
    custom_paths.retain(|path, _| is_custom(path));
    let template = BTreeMap::from([
        ("definitions", raw(&definitions)),
        ("version_three", template.remove("paths").unwrap()),
        ("version_two", raw(&custom_paths)),
    ]);
    pack("machinery/src/openapi/custom_kinds.json.zz", raw(&template).get());
    for part in ["paths", "definitions"] {
        let mut texts = members(two[part].get());
        texts.retain(|name, _| !is_custom(name) && !is_missing(name));
        two.insert(part.to_owned(), raw(&texts));
    }
    pack("apiserver/schemas/version_two.json.zz", raw(&two).get());
}

/// The members of an object, as they are written.
fn members(text: &str) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_str(text).unwrap()
}

fn raw(members: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(members).unwrap()
}

/// Writes a file below `crates`, compressed.
fn pack(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    std::fs::write(path, encoder.finish().unwrap()).unwrap();
}
