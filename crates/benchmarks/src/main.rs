//! Measurements of Kogge, each printed with what was measured and how.
//!
//! `cargo run --release -p kogge-benchmarks -- SCENARIO`. One file per scenario; [`report`] prints.

mod cluster;
mod faults;
mod fleet;
mod peer;
mod report;
mod server_process;
mod start;
mod store;

use clap::{Parser, Subcommand};

/// Measures Kogge.
#[derive(Debug, Parser)]
#[command(name = "kogge-benchmarks")]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Starting `kogge up` on an empty directory, and its memory while idle
    Start(start::Arguments),
    /// One cluster from the request to Ready, and the same request once more
    Cluster(cluster::Arguments),
    /// Many clusters at once: time, memory, status lag, and the processor time they cost when idle
    Fleet(fleet::Arguments),
    /// Each kind of fault on a running cluster: time until its status says so, and until it has healed
    Faults(faults::Arguments),
    /// The revision store: writes, reads, watches, planes, memory, and `kill -9` in the middle of writes
    Store(store::Arguments),
    /// Kogge beside the real kube-apiserver with etcd: the same load on both, one table
    Peer(peer::Arguments),
    /// Writes for ever and reports each acknowledged write; the scenario `store` kills it
    #[command(hide = true)]
    StoreCrashChild(store::crash::ChildArguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().scenario {
        Scenario::Start(arguments) => runtime()?.block_on(start::run(&arguments)),
        Scenario::Cluster(arguments) => runtime()?.block_on(cluster::run(&arguments)),
        Scenario::Fleet(arguments) => runtime()?.block_on(fleet::run(&arguments)),
        Scenario::Faults(arguments) => runtime()?.block_on(faults::run(&arguments)),
        Scenario::Store(arguments) => store::run(&arguments),
        Scenario::Peer(arguments) => runtime()?.block_on(peer::run(&arguments)),
        Scenario::StoreCrashChild(arguments) => store::crash::child(&arguments),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
