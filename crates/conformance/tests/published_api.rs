//! What `/openapi/v3` describes: for built-in kinds the embedded server has to publish what the real one does, byte by byte.
//!
//! `KOGGE_UPDATE=1` writes the documents of the real server to `crates/apiserver/schemas`, where the embedded server has
//! them from.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use kogge_apiserver::server::{Server, ServerOptions};
use kogge_conformance::api::transcript;
use kogge_testkit::real::RealApiServer;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A group that the embedded server does not serve.
const MISSING: &str = "resource.k8s.io";

/// The documents of a server by the path they describe.
async fn documents(kubeconfig: Kubeconfig) -> BTreeMap<String, String> {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let get = |path: String| client.request_text(http::Request::get(path).body(Vec::new()).unwrap());
    let index: Value = serde_json::from_str(&get("/openapi/v3".to_owned()).await.unwrap()).unwrap();
    let mut documents = BTreeMap::new();
    for (path, entry) in index["paths"].as_object().unwrap() {
        let document = get(entry["serverRelativeURL"].as_str().unwrap().to_owned()).await.unwrap();
        documents.insert(path.clone(), document);
    }
    documents
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_kinds_are_published_as_the_real_server_publishes_them() {
    let Some(real) = RealApiServer::start("the published API was not compared with a real kube-apiserver").await else {
        return;
    };
    let mut expected = documents(Kubeconfig::read_from(real.kubeconfig()).unwrap()).await;
    expected.retain(|path, _| path.split('/').nth(1) != Some(MISSING));
    if std::env::var("KOGGE_UPDATE").is_ok() {
        return write(&expected);
    }
    let kubernetes_version = transcript::REFERENCE_VERSION.to_owned();
    let server = Server::open(ServerOptions { kubernetes_version, ..ServerOptions::default() }).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubeconfig = server.admin_kubeconfig(&format!("https://{}", listener.local_addr().unwrap()));
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { server.serve(listener, shutdown).await }
    });
    let answered = documents(Kubeconfig::from_yaml(&kubeconfig).unwrap()).await;
    shutdown.cancel();
    serving.await.unwrap().unwrap();
    assert_eq!(answered.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (path, document) in &expected {
        assert!(*document == answered[path], "{path}: {}", first_difference(document, &answered[path]));
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
fn write(documents: &BTreeMap<String, String>) {
    let between = |document: &str, start: &str, end: &str| {
        let (_, rest) = document.split_once(start).unwrap();
        rest.rsplit_once(end).unwrap().0.to_owned()
    };
    let mut others = BTreeMap::new();
    for (path, document) in documents {
        let words: Vec<&str> = path.split('/').collect();
        let file = match words[..] {
            ["api", version] => format!("core_{version}"),
            ["apis", group, version] => format!("{group}_{version}"),
            _ => {
                others.insert(path, between(document, r#","paths":"#, r#""securitySchemes""#));
                continue;
            }
        };
        let definitions = between(document, r#","components":{"schemas":"#, r#","securitySchemes""#);
        pack(&format!("{file}.json.zz"), &definitions);
        pack(&format!("{file}.paths.json.zz"), &between(document, r#","paths":"#, r#","components":{"schemas":"#));
    }
    pack("others.json.zz", &serde_json::to_string(&others).unwrap());
}

fn pack(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apiserver/schemas").join(file);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    std::fs::write(path, encoder.finish().unwrap()).unwrap();
}
