//! Measurements of Kogge, each printed with what was measured and how.
//!
//! `cargo run --release -p kogge-benchmarks -- SCENARIO`. One file per scenario; [`report`] prints.

mod report;
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
    /// The revision store: writes, reads, watches, planes, memory, and `kill -9` in the middle of writes
    Store(store::Arguments),
    /// Writes for ever and reports each acknowledged write; the scenario `store` kills it
    #[command(hide = true)]
    StoreCrashChild(store::crash::ChildArguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().scenario {
        Scenario::Store(arguments) => store::run(&arguments),
        Scenario::StoreCrashChild(arguments) => store::crash::child(&arguments),
    }
}
