//! The `api` suite against the two servers it was made for: the real kube-apiserver, whose answers are the reference, and
//! the embedded one, which has to give the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use kogge_apiserver::server::{Server, ServerOptions};
use kogge_conformance::api::report::Report;
use kogge_conformance::api::{self, Clients, RunOptions, scenario, transcript};
use kogge_testkit::real::RealApiServer;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// `KOGGE_SCENARIO` selects scenarios while working on them.
fn options(id: &str) -> RunOptions {
    let pattern = std::env::var("KOGGE_SCENARIO").ok().map(|text| regex::Regex::new(&text).unwrap());
    RunOptions { id: id.to_owned(), parallel: 8, pattern, webhook_address: Some(Ipv4Addr::LOCALHOST.into()) }
}

async fn clients(kubeconfig: Kubeconfig) -> Clients {
    Clients::new(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_answers_are_those_of_the_real_server() {
    let Some(server) = RealApiServer::start("the API suite was not compared with a real kube-apiserver").await else {
        return;
    };
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    keep_parameters(&kubeconfig).await;
    let clients = clients(kubeconfig).await;
    if std::env::var("KOGGE_UPDATE").is_ok() {
        return update(&clients).await;
    }
    let report = judge_again(&clients, api::judge(&clients, &options("qkreal")).await).await;
    assert!(report.passed(), "{}", report.table());
}

/// Judges what did not pass twice more, by itself. The real server races with its own caches and the order of its maps:
/// what it answered once, and will answer again, is right, and a record that it does not give three times is wrong. The
/// embedded server has no such excuse.
#[expect(clippy::print_stderr, reason = "a test has nobody else to tell")]
async fn judge_again(clients: &Clients, mut report: Report) -> Report {
    for id in ["qkrea2", "qkrea3"] {
        let names: Vec<&str> =
            report.scenarios.iter().filter(|result| !result.passed()).map(|result| result.name.as_str()).collect();
        if names.is_empty() {
            break;
        }
        eprintln!("the real server answered otherwise than recorded, and is asked again:\n{}", report.table());
        let escaped: Vec<String> = names.into_iter().map(regex::escape).collect();
        let pattern = regex::Regex::new(&format!("^(?:{})$", escaped.join("|"))).unwrap();
        let again = api::judge(clients, &RunOptions { parallel: 1, pattern: Some(pattern), ..options(id) }).await;
        for result in again.scenarios {
            if let Some(place) = report.scenarios.iter_mut().find(|former| former.name == result.name) {
                *place = result;
            }
        }
    }
    report
}

/// kube-apiserver watches the ConfigMaps that policies are configured by for as long as the policy lives that asked for
/// them first, and never again: later policies find none. So one that is never asked asks first, and stays.
async fn keep_parameters(kubeconfig: &Kubeconfig) {
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let rule =
        json!({"apiGroups": ["none.example.com"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]});
    let policy = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "true"}],
    });
    let binding = json!({
        "policyName": "keeps-parameters",
        "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"},
        "validationActions": ["Deny"],
    });
    for (resource, spec) in [("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{resource}");
        let body = json!({"metadata": {"name": "keeps-parameters"}, "spec": spec}).to_string();
        let request = http::Request::post(path).header("Content-Type", "application/json").body(body.into_bytes());
        client.request::<Value>(request.unwrap()).await.unwrap();
    }
    // The real server looks at its policies once a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// Records the reference again, area by area; with `KOGGE_SCENARIO` only the selected scenarios change.
async fn update(clients: &Clients) {
    let mut reference = transcript::reference();
    let mut failed = String::new();
    for (name, recorded) in api::record(clients, &options("qkrecd")).await {
        match recorded {
            Ok(transcript) => drop(reference.insert(name, transcript)),
            Err(error) => writeln!(failed, "{name}: {error}").unwrap(),
        }
    }
    for area in scenario::areas() {
        let of_area: BTreeMap<_, _> = scenario::all()
            .into_iter()
            .filter(|scenario| scenario.area == area)
            .filter_map(|scenario| reference.remove_entry(&scenario.name))
            .collect();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(format!("{area}.json"));
        std::fs::write(path, transcript::to_json(&of_area)).unwrap();
    }
    assert!(failed.is_empty(), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_server_answers_as_the_real_one() {
    let server = Server::open(ServerOptions { kubernetes_version: "v1.36.3".to_owned(), ..ServerOptions::default() });
    let server = server.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let (server, shutdown) = (server.clone(), shutdown.clone());
        async move { server.serve(listener, shutdown).await }
    });
    let clients = clients(Kubeconfig::from_yaml(&server.admin_kubeconfig(&url)).unwrap()).await;
    let report = api::judge(&clients, &options("qkembd")).await;
    shutdown.cancel();
    serving.await.unwrap().unwrap();
    assert!(report.passed(), "{}", report.table());
}

/// `docs/api-parity.md` is made from the items, the scenarios and the accepted differences.
#[test]
fn the_page_of_the_suite_is_up_to_date_and_every_item_has_a_scenario() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/api-parity.md");
    let page = api::documentation::page();
    if std::env::var("KOGGE_UPDATE").is_ok() {
        std::fs::write(&path, &page).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == page, "docs/api-parity.md is not up to date; run the tests with KOGGE_UPDATE=1");
    let mut names: Vec<_> = scenario::all().into_iter().map(|scenario| scenario.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "names of scenarios are unique");
    let recorded: Vec<_> = transcript::reference().into_keys().collect();
    assert_eq!(recorded, names, "every scenario is recorded, and nothing else");
}
