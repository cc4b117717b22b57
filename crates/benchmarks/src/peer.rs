//! Scenario `peer`: Kogge beside kube-apiserver with etcd, each driven alone by the same load generator, in one table.
//!
//! Kogge is `kogge up --no-simulator` with everything that runs beside its server (REST API, operator); the peers are the
//! unmodified etcd, kube-apiserver and kube-controller-manager (garbage collection, namespaces, cluster roles), whose
//! counterparts are in Kogge's process. Both start on an empty directory of the same disk, make their certificates, sync
//! every acknowledged write, and are told nothing that makes them faster. The generator ([`client`]) is this process: it
//! uses the processors too, on both sides alike, so ratios of throughput come out smaller than they are.
//! Answers are JSON and not compressed. Each [`Part`] of the run has servers of its own.

mod client;
mod clusters;
mod comparison;
mod informers;
mod load;
mod object;
mod side;
mod start;
mod throughput;
mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value as Json, json};

use crate::report::Report;
use client::{Access, Client};
use comparison::{Figure, Value};
use side::{Side, Which};

/// Options of the scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to measure; by default everything but `clusters`
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// How many Cluster API clusters to bring up, each number on servers and managers of its own
    #[arg(long, value_delimiter = ',')]
    clusters: Vec<usize>,
    /// Starts on an empty directory, of which the median counts
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Seconds without any request in which processor time is taken
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// Seconds of each measurement of throughput
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Bytes of text in each object
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Objects of the long list
    #[arg(long, default_value_t = 10_000)]
    listed: usize,
    /// Watches
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// Writes a second while they watch
    #[arg(long, default_value_t = 500)]
    writes: u32,
    /// Namespaces that watches and writes are spread over
    #[arg(long, default_value_t = 50)]
    namespaces: usize,
    /// Seconds of the watches
    #[arg(long, default_value_t = 10)]
    watch_seconds: u64,
    /// Custom objects that informers hold
    #[arg(long, default_value_t = 50_000)]
    stored: usize,
    /// Bytes of text in each of them
    #[arg(long, default_value_t = 4096)]
    stored_bytes: usize,
    /// Informers of them all
    #[arg(long, default_value_t = 100)]
    informers: usize,
    /// Measure one side only, without a table
    #[arg(long, value_enum)]
    side: Option<Which>,
    /// A small run, to see that it works: overrides all counts and times but those of `--clusters`
    #[arg(long)]
    quick: bool,
}

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    /// Start, definitions of Cluster API, memory and processor time at rest
    Start,
    /// Create, update, apply and delete
    Writes,
    /// Get and list
    Reads,
    /// Delay from a write to its events
    Watch,
    /// Memory with many objects and informers
    Objects,
    /// Clusters of Cluster API's own managers
    Clusters,
}

/// What is measured on the same servers.
enum Part {
    /// The sections up to `Watch`, in their order
    Requests(Vec<Section>),
    Objects,
    Clusters(usize),
}

impl Arguments {
    /// These, or those of a small run.
    fn effective(&self) -> Self {
        let given = Arguments { only: self.only.clone(), clusters: self.clusters.clone(), ..*self };
        if !self.quick {
            return given;
        }
        Arguments {
            starts: 1,
            idle_seconds: 3,
            seconds: 0.3,
            bytes: 1024,
            listed: 500,
            watchers: 40,
            writes: 40,
            namespaces: 4,
            watch_seconds: 2,
            stored: 1_000,
            stored_bytes: 4096,
            informers: 10,
            ..given
        }
    }

    fn includes(&self, section: Section) -> bool {
        self.only.is_empty() || self.only.contains(&section)
    }

    fn parts(&self) -> Vec<Part> {
        let all = [Section::Start, Section::Writes, Section::Reads, Section::Watch];
        let requests: Vec<Section> = all.into_iter().filter(|section| self.includes(*section)).collect();
        let mut parts = Vec::new();
        if !requests.is_empty() {
            parts.push(Part::Requests(requests));
        }
        if self.includes(Section::Objects) {
            parts.push(Part::Objects);
        }
        if self.includes(Section::Clusters) {
            parts.extend(self.clusters.iter().map(|count| Part::Clusters(*count)));
        }
        parts
    }
}

/// Runs the scenario.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let arguments = arguments.effective();
    ensure!(
        !arguments.only.contains(&Section::Clusters) || !arguments.clusters.is_empty(),
        "how many clusters? (--clusters 20,100)"
    );
    let mut report = Report::begin(
        "peer",
        "`kogge up --no-simulator` and etcd + kube-apiserver + kube-controller-manager, one after the other, each on an empty\n\
         directory with every write synced, driven over TLS and HTTP/2 by the same clients (one connection each), which share\n\
         the processors with the server. Memory and processor time: sums over all processes of a side. Throughput: clients\n\
         that each send the next request when the last is answered. Watch delay: from before a write is sent until its\n\
         event has arrived.",
    )?;
    let folder = tempfile::tempdir()?;
    let (mut own, mut peers) = (Vec::new(), Vec::new());
    for (number, part) in arguments.parts().iter().enumerate() {
        for (name, which, figures) in
            [("kube-apiserver + etcd", Which::Peers, &mut peers), ("kogge", Which::Kogge, &mut own)]
        {
            if arguments.side.is_some_and(|side| side != which) {
                continue;
            }
            let folder = folder.path().join(format!("{which:?}-{number}"));
            std::fs::create_dir(&folder)?;
            let mut measurement = Measurement { report: &mut report, name, figures };
            match part {
                Part::Requests(sections) => measurement.requests(which, &folder, sections, &arguments).await?,
                Part::Objects => informers::measure(&mut measurement, which, &folder, &arguments).await?,
                Part::Clusters(count) => clusters::measure(&mut measurement, which, &folder, *count).await?,
            }
        }
    }
    if arguments.side.is_some() {
        return report.end();
    }
    ensure!(own.len() == peers.len(), "the sides have {} and {} figures", own.len(), peers.len());
    let (text, missed) = comparison::table(&own, &peers);
    report.table(&text, 0, missed)?;
    report.end()
}

/// Figures of one side as they come.
struct Measurement<'a> {
    report: &'a mut Report,
    name: &'static str,
    figures: &'a mut Vec<Figure>,
}

impl Measurement<'_> {
    fn add(&mut self, what: &str, value: Value, target: Option<f64>) -> anyhow::Result<()> {
        self.report.figure(&format!("{}: {what}", self.name), &value.text())?;
        self.figures.push(Figure { what: what.to_owned(), value, target });
        Ok(())
    }

    async fn requests(
        &mut self,
        which: Which,
        folder: &Path,
        sections: &[Section],
        arguments: &Arguments,
    ) -> anyhow::Result<()> {
        let definitions = start::definitions()?;
        let server = if sections.contains(&Section::Start) {
            start::measure(self, which, folder, &definitions, arguments).await?
        } else {
            let (server, _) = Side::start(which, folder).await?;
            start::establish(&Access::read(server.kubeconfig())?.client()?, &definitions).await?;
            server
        };
        let access = Access::read(server.kubeconfig())?;
        for section in sections {
            match section {
                Section::Writes => throughput::writes(self, &server, &access, arguments).await?,
                Section::Reads => throughput::reads(self, &server, &access, arguments).await?,
                Section::Watch => self.watches(&server, &access, arguments).await?,
                Section::Start | Section::Objects | Section::Clusters => {}
            }
        }
        self.add("memory after all of this", Value::Memory { kib: server.memory_kib()? }, None)
    }

    async fn watches(&mut self, server: &Side, access: &Access, arguments: &Arguments) -> anyhow::Result<()> {
        let duration = Duration::from_secs(arguments.watch_seconds);
        let watchers = arguments.watchers;
        // Spread, as controllers of many tenants are; then all on the same objects.
        let spread = (arguments.namespaces, arguments.writes);
        let same = (1, arguments.writes.div_ceil(50));
        for (namespaces, writes) in [spread, same] {
            let load = watch::Load { watchers, namespaces, writes, bytes: arguments.bytes, duration };
            let mut outcome = watch::measure(access, server, load).await?;
            let what = format!("watch delay, {watchers} watches of {namespaces} namespace(s), {writes} writes/s");
            self.add(&format!("{what}, p50"), Value::Time(outcome.delays.quantile(0.5)), Some(1.0))?;
            self.add(&format!("{what}, p99"), Value::Time(outcome.delays.quantile(0.99)), Some(1.0))?;
            self.add("  writes that came to pass", Value::Rate(outcome.rate), None)?;
            self.add("  processors used by the server", Value::Share(outcome.processors), None)?;
        }
        Ok(())
    }
}

/// Makes a namespace.
async fn create_namespace(client: &Client, name: &str) -> anyhow::Result<()> {
    let namespace: Json = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    client.create("/api/v1/namespaces", &namespace).await?;
    Ok(())
}
