//! Scenario `peer`: Kogge beside kube-apiserver with etcd, each driven alone by the same load generator, in one table.
//!
//! Kogge is `kogge up --no-simulator` with everything that runs beside its server (REST API, operator); the peers are the
//! unmodified etcd, kube-apiserver and kube-controller-manager (garbage collection, namespaces, cluster roles), whose
//! counterparts are in Kogge's process. Both start on an empty directory of the same disk, make their certificates, sync
//! every acknowledged write, and are told nothing that makes them faster. The generator ([`client`]) is this process: it
//! uses the processors too, on both sides alike, so ratios of throughput come out smaller than they are.
//! Answers are JSON and not compressed. [`load`] measures throughput and [`watch`] delays.

mod client;
mod comparison;
mod load;
mod object;
mod side;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use kogge::managers::manifests;
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::report::{Latencies, Report};
use client::{Access, Client, JSON, TABLE};
use comparison::{Figure, Value};
use load::{Clients, Operation, fill};
use object::Kind;
use side::{Side, Which};

/// How many clients send at the same time.
const CLIENTS: [usize; 3] = [1, 16, 128];
/// Where the definitions of Cluster API are, among the real components.
const MANIFESTS: [&str; 4] = ["core", "bootstrap", "controlplane", "capd"];
/// What namespaces the load is in.
const NAMESPACES: [&str; 4] = ["load", "hundred", "many", "watched"];
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// How long definitions may take to be established.
const ESTABLISH_TIMEOUT: Duration = Duration::from_mins(2);

/// Options of the scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of each measurement of throughput
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Bytes of text in each object
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Objects of the long list
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Watches of the same objects
    #[arg(long, default_value_t = 100)]
    watchers: usize,
    /// Writes a second that these watches see
    #[arg(long, default_value_t = 50)]
    writes: u32,
    /// Seconds of the watches
    #[arg(long, default_value_t = 10)]
    watch_seconds: u64,
    /// Seconds without any request in which processor time is taken
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// A small run, to see that it works: overrides all of these
    #[arg(long)]
    quick: bool,
}

/// Runs the scenario.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let small = Arguments {
        seconds: 0.3,
        bytes: 1024,
        objects: 500,
        watchers: 20,
        writes: 20,
        watch_seconds: 2,
        idle_seconds: 3,
        quick: true,
    };
    let arguments = if arguments.quick { &small } else { arguments };
    let mut report = Report::begin(
        "peer",
        "`kogge up --no-simulator` and etcd + kube-apiserver + kube-controller-manager, one after the other, each on an empty\n\
         directory with every write synced, driven over TLS and HTTP/2 by the same clients (one connection each), which share\n\
         the processors with the server. Memory and processor time: sums over all processes of a side. Throughput: clients\n\
         that each send the next request when the last is answered. Watch delay: from before a write is sent until its\n\
         event has arrived.",
    )?;
    let definitions = definitions()?;
    let folder = tempfile::tempdir()?;
    let mut results = Vec::new();
    for (name, which) in [("kube-apiserver + etcd", Which::Peers), ("kogge", Which::Kogge)] {
        let mut measurement = Measurement { report: &mut report, name, figures: Vec::new() };
        let (server, started) = Side::start(which, folder.path()).await?;
        measurement.add("start to ready, empty", Value::Time(started), Some(30.0))?;
        measurement.server(&server, started, &definitions, arguments).await?;
        results.push(measurement.figures);
    }
    if let [peers, own] = results.as_slice() {
        ensure!(own.len() == peers.len(), "the sides have {} and {} figures", own.len(), peers.len());
        let (text, missed) = comparison::table(own, peers);
        report.table(&text, 0, missed)?;
    }
    report.end()
}

/// The definitions of Cluster API as upstream ships them.
fn definitions() -> anyhow::Result<Vec<Json>> {
    let folder = kogge_testkit::real::directory().join("cluster-api");
    let paths: Vec<PathBuf> = MANIFESTS.iter().map(|part| folder.join(part).join("components.yaml")).collect();
    let mut documents = manifests::read(&paths)?;
    documents.retain(|document| document["kind"] == "CustomResourceDefinition");
    Ok(documents)
}

struct Measurement<'a> {
    report: &'a mut Report,
    name: &'static str,
    figures: Vec<Figure>,
}

impl Measurement<'_> {
    fn add(&mut self, what: &str, value: Value, target: Option<f64>) -> anyhow::Result<()> {
        self.report.figure(&format!("{}: {what}", self.name), &value.text())?;
        self.figures.push(Figure { what: what.to_owned(), value, target });
        Ok(())
    }

    async fn server(
        &mut self,
        server: &Side,
        started: Duration,
        definitions: &[Json],
        arguments: &Arguments,
    ) -> anyhow::Result<()> {
        let access = Access::read(server.kubeconfig())?;
        let client = access.client()?;
        let begin = Instant::now();
        establish(&client, definitions).await?;
        let what = format!("start until {} Cluster API definitions are established", definitions.len());
        self.add(&what, Value::Time(started + begin.elapsed()), Some(30.0))?;
        self.idle(server, arguments.idle_seconds).await?;
        for name in NAMESPACES {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            client.create("/api/v1/namespaces", &namespace).await?;
        }
        for kind in [Kind::ConfigMap, Kind::Machine] {
            self.writes_and_gets(server, &access, kind, arguments).await?;
            self.lists(&access, kind, arguments).await?;
        }
        self.watches(server, &access, arguments).await?;
        self.add("memory after all of this", Value::Memory { kib: server.memory_kib()? }, None)
    }

    /// What the server costs while nobody uses it, once what the definitions set off has ended.
    async fn idle(&mut self, server: &Side, seconds: u64) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_secs(seconds / 2)).await;
        let before = server.processor_time()?;
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let used = server.processor_time()?.saturating_sub(before);
        let share = used.as_secs_f64() / begin.elapsed().as_secs_f64();
        self.add("memory at rest with them", Value::Memory { kib: server.memory_kib()? }, Some(15.0))?;
        self.add("processor at rest with them", Value::Share(share), Some(1.0))
    }

    async fn writes_and_gets(
        &mut self,
        server: &Side,
        access: &Access,
        kind: Kind,
        arguments: &Arguments,
    ) -> anyhow::Result<()> {
        let duration = Duration::from_secs_f64(arguments.seconds);
        let name = kind.name();
        let (mut used, mut written) = (Duration::ZERO, 0);
        for count in CLIENTS {
            let clients = Clients::connect(access, count, kind, arguments.bytes).await?;
            let before = server.processor_time()?;
            let target = Some(if count == 1 { 1.0 } else { 3.0 });
            for (verb, operation) in [
                ("create", Operation::Create),
                ("update", Operation::Update),
                ("apply", Operation::Apply),
                ("delete", Operation::Delete),
            ] {
                let outcome = clients.run(operation, duration).await?;
                written += outcome.answered;
                self.add(&format!("{name}: {verb}, {count} clients"), Value::Rate(outcome.rate()), target)?;
            }
            used += server.processor_time()?.saturating_sub(before);
            let outcome = clients.run(Operation::Get, duration).await?;
            self.add(&format!("{name}: get, {count} clients"), Value::Rate(outcome.rate()), Some(3.0))?;
        }
        let each = used / u32::try_from(written)?.max(1);
        self.add(&format!("{name}: processor time of the server for a write"), Value::Time(each), None)
    }

    async fn lists(&mut self, access: &Access, kind: Kind, arguments: &Arguments) -> anyhow::Result<()> {
        let duration = Duration::from_secs_f64(arguments.seconds);
        let name = kind.name();
        fill(access, kind, "hundred", 100, arguments.bytes).await?;
        let clients = Clients::connect(access, 16, kind, arguments.bytes).await?;
        let outcome = clients.run(Operation::List, duration).await?;
        self.add(&format!("{name}: list of 100, 16 clients"), Value::Rate(outcome.rate()), Some(3.0))?;
        drop(clients);
        fill(access, kind, "many", arguments.objects, arguments.bytes).await?;
        let client = access.client()?;
        for (format, accept) in [("JSON", JSON), ("Table", TABLE)] {
            let mut times = Latencies::default();
            let begin = Instant::now();
            while times.0.len() < 3 || begin.elapsed() < duration {
                let begin = Instant::now();
                let body = client.send(Method::GET, &kind.collection("many"), accept, None).await?;
                times.0.push(begin.elapsed());
                ensure!(body.len() > arguments.objects * 100, "a list of {} bytes", body.len());
            }
            let what = format!("{name}: list of {}, {format}, median", arguments.objects);
            self.add(&what, Value::Time(times.quantile(0.5)), Some(3.0))?;
        }
        Ok(())
    }

    async fn watches(&mut self, server: &Side, access: &Access, arguments: &Arguments) -> anyhow::Result<()> {
        let duration = Duration::from_secs(arguments.watch_seconds);
        let (watchers, writes) = (arguments.watchers, arguments.writes);
        let before = server.processor_time()?;
        let begin = Instant::now();
        let mut outcome = watch::measure(access, Kind::Machine, arguments.bytes, watchers, writes, duration).await?;
        let used = server.processor_time()?.saturating_sub(before);
        let share = used.as_secs_f64() / begin.elapsed().as_secs_f64();
        let what = format!("watch delay, {watchers} watches, {writes} writes/s");
        self.add(&format!("{what}, p50"), Value::Time(outcome.delays.quantile(0.5)), Some(1.0))?;
        self.add(&format!("{what}, p99"), Value::Time(outcome.delays.quantile(0.99)), Some(1.0))?;
        self.add("  writes that came to pass", Value::Rate(outcome.rate), None)?;
        self.add("  processors used by the server", Value::Share(share), None)
    }
}

/// Creates the definitions one after the other, as `kubectl create -f` does, and waits until all are established.
async fn establish(client: &Client, definitions: &[Json]) -> anyhow::Result<()> {
    for definition in definitions {
        client.create(DEFINITIONS, definition).await?;
    }
    let begin = Instant::now();
    for definition in definitions {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("{DEFINITIONS}/{name}");
        while !is_established(&client.get(&path).await?) {
            ensure!(begin.elapsed() < ESTABLISH_TIMEOUT, "{name} is not established after {ESTABLISH_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

fn is_established(definition: &Json) -> bool {
    let mut conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}
