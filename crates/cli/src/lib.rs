//! The command line of Kogge, and the one-machine assembly behind `kogge up`.
//!
//! Every command but `up`, `explain`, `import`, `conformance` and `completions` is a client of the REST API and of nothing else, so that
//! whatever the command line can do, any HTTP client can. One file per command in [`commands`].

#![deny(missing_docs)]

pub mod all_in_one;
pub mod arguments;
pub mod commands;
pub mod data_directory;
pub mod documents;
pub mod duration;
pub mod event_stream;
pub mod managers;
mod memory;
pub mod outcome;
pub mod progress;
pub mod rendering;
pub mod rest_client;
pub mod terminal;

use std::process::ExitCode;

use arguments::{Arguments, ClusterCommand, Command, ConformanceCommand};
use outcome::{CommandError, Exit};

/// Runs a command to its end. Returns the exit code: that of the program where it is somebody else's.
///
/// # Errors
/// What to print on standard error, with the exit code.
pub fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let connection = arguments.connection;
    let done = match arguments.command {
        Command::Explain(explain) => commands::explain::run(&explain),
        Command::Conformance(ConformanceCommand::Run(run)) => runtime()?.block_on(commands::conformance_run::run(run)),
        Command::Completions { shell } => commands::completions::run(shell),
        Command::Import(import) => runtime()?.block_on(commands::import::run(&connection, import)),
        Command::Guard { bound_to: Some(parent), command, .. } => managers::become_bound(&command, parent),
        Command::Guard { lock, command, .. } => return managers::guard(&command, lock.as_deref()).map(ExitCode::from),
        Command::Up(up) => {
            memory::share_heaps();
            runtime()?.block_on(commands::up::run(&connection, *up))
        }
        Command::Cluster(command) => runtime()?.block_on(async move {
            let client = rest_client::RestClient::connect(&connection)?;
            match command {
                ClusterCommand::Create(create) => commands::cluster_create::run(&client, create).await,
                ClusterCommand::Get(get) => commands::cluster_get::run(&client, get).await,
                ClusterCommand::List(list) => commands::cluster_list::run(&client, list).await,
                ClusterCommand::Watch(watch) => commands::cluster_watch::run(&client, watch).await,
                ClusterCommand::Plan(plan) => commands::cluster_plan::run(&client, plan).await,
                ClusterCommand::Scale(scale) => commands::cluster_scale::run(&client, scale).await,
                ClusterCommand::Upgrade(upgrade) => commands::cluster_upgrade::run(&client, upgrade).await,
                ClusterCommand::Kubeconfig(kubeconfig) => commands::cluster_kubeconfig::run(&client, kubeconfig).await,
                ClusterCommand::Tree(tree) => commands::cluster_tree::run(&client, tree).await,
                ClusterCommand::Diagnose(diagnose) => commands::cluster_diagnose::run(&client, diagnose).await,
                ClusterCommand::Delete(delete) => commands::cluster_delete::run(&client, delete).await,
            }
        }),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    // A provider for TLS has to be chosen once per process; a second call changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Threads for what blocks are seldom needed, and each that waits keeps a heap from the others.
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build()
        .map_err(|error| CommandError::new(Exit::Failed, format!("failed to start: {error}")))
}
