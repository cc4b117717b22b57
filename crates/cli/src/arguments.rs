//! The command line, defined once: help, completions and `docs/command-line.md` derive from it.
//!
//! Parsing stops at the words; what they mean (which server, which document) is resolved by the commands.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::duration::{Duration, ParseDurationError};

/// Kubernetes clusters from one short description
#[derive(Debug, Parser)]
#[command(name = "kogge", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Arguments {
    /// Where to find the server, and how to talk about it
    #[command(flatten)]
    pub connection: ConnectionArguments,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Shown below the help of the program.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the server or the cloud could not do it
  2  refused: the input or the command line is wrong, nothing was changed
  3  not found
  4  conflict: changed by somebody else meanwhile, or already there
  5  no server reached, or not signed in
  6  still going when the time to wait was over";

/// Options every command that talks to a server takes.
#[derive(Debug, Clone, Args)]
pub struct ConnectionArguments {
    /// Data directory of a `kogge up` on this machine [default: $XDG_DATA_HOME/kogge]
    #[arg(long, env = "KOGGE_DATA", value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// Address of a server elsewhere, such as https://kogge.example.com
    #[arg(long, env = "KOGGE_SERVER", value_name = "URL", global = true)]
    pub server: Option<String>,
    /// Token for the server elsewhere
    #[arg(long, env = "KOGGE_TOKEN", value_name = "TOKEN", global = true, hide_env_values = true)]
    pub token: Option<String>,
    /// Tenant to work in
    #[arg(long, short = 'n', env = "KOGGE_TENANT", value_name = "NAME", default_value = "default", global = true)]
    pub tenant: String,
}

/// What `kogge` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: Kubernetes-style API, REST API, operator and a simulated cloud
    Up(Box<UpArguments>),
    /// Create, see and change clusters
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Judge a cluster by its answers
    #[command(subcommand)]
    Conformance(ConformanceCommand),
    /// Say what a problem code means and what to do
    Explain(ExplainArguments),
    /// Turn a `clusterctl.yaml` of the first SCS reference implementation into a description
    Import(ImportArguments),
    /// Run a program and stop it when standard input ends
    #[command(hide = true)]
    Guard {
        /// Lock this file first, waiting until no other guard has
        #[arg(long, value_name = "FILE", conflicts_with = "bound_to")]
        lock: Option<PathBuf>,
        /// Become the program, killed when this parent process dies
        #[arg(long, value_name = "PROCESS")]
        bound_to: Option<u32>,
        /// The program
        #[arg(last = true, required = true, value_name = "PROGRAM")]
        command: Vec<std::ffi::OsString>,
    },
    /// Print shell completions
    Completions {
        /// Shell to print them for
        shell: clap_complete::Shell,
    },
}

/// A list and the watch that follows it are further apart than an instant.
const SHORTEST_HISTORY: std::time::Duration = std::time::Duration::from_secs(10);

/// `kogge up`
#[derive(Debug, Args)]
pub struct UpArguments {
    /// Not for this command, which is a server itself
    #[arg(long, value_name = "URL", hide = true)]
    pub server: Option<String>,
    /// Not for this command, which makes its own
    #[arg(long, value_name = "TOKEN", hide = true)]
    pub token: Option<String>,
    /// Description or profile to apply once the server is ready; may be given several times, `-` reads standard input
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    pub files: Vec<String>,
    /// Address of the Kubernetes-style API; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7443")]
    pub listen: SocketAddr,
    /// Address of the REST API; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7480")]
    pub portal_listen: SocketAddr,
    /// How fast the simulated cloud runs: a factor such as 10, or `max` for no waiting at all
    #[arg(long, value_name = "FACTOR", default_value = "10")]
    pub speed: String,
    /// Fault to start the simulated cloud with, such as `quota-exhausted:cluster=shop`; may be given several times
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<String>,
    /// AuthenticationConfiguration (apiserver.config.k8s.io/v1) with issuers whose tokens the Kubernetes-style API accepts
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,
    /// Cluster API manager to run as a child process: its program and, after commas, its arguments; may be given several
    /// times. Manifests are read from `components.yaml` beside the program. Managers that define Cluster API's kinds take
    /// the place of the simulated cloud
    #[arg(long = "manager", value_name = "PROGRAM[,ARGUMENT...]")]
    pub managers: Vec<String>,
    /// File with managers to run, each with `command` and, if need be, `name`, `args`, `env`, `manifests`, `serviceAccount`
    /// and `flags`; may be given several times
    #[arg(long = "managers", value_name = "FILE")]
    pub manager_files: Vec<PathBuf>,
    /// Do not play Cluster API and a cloud; managers, or a cluster's own, have to do it
    #[arg(long)]
    pub no_simulator: bool,
    /// Stop once every cluster of the files is Ready, or has failed
    #[arg(long)]
    pub exit_when_ready: bool,
    /// The Kubernetes-style API
    #[command(flatten)]
    pub api_server: ApiServerArguments,
}

/// How `kogge up` protects its Kubernetes-style API and what it keeps.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes-style API")]
pub struct ApiServerArguments {
    /// File to log each request to the Kubernetes-style API in (who, what, when, the answer; no contents), or `none`
    /// [default: audit.log in the data directory]
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<String>,
    /// Size in MiB at which a file of the audit log is put aside and a new one begun
    #[arg(long, value_name = "MIB", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub audit_log_maxsize: u64,
    /// How many audit log files that were put aside are kept
    #[arg(long, value_name = "FILES", default_value_t = 10)]
    pub audit_log_maxbackup: usize,
    /// File with keys (32 bytes in base64, one a line) that Secrets are encrypted with on disk: the first encrypts, all
    /// decrypt
    #[arg(long, value_name = "FILE")]
    pub encryption_key_file: Option<PathBuf>,
    /// How many reads run at once; more wait, each user in a queue of their own. Administrators are exempt
    #[arg(long, value_name = "REQUESTS", default_value_t = 400, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub max_requests_inflight: usize,
    /// How many writes run at once; more wait, each user in a queue of their own. Administrators are exempt
    #[arg(long, value_name = "REQUESTS", default_value_t = 200, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub max_mutating_requests_inflight: usize,
    /// How many requests of one user may wait before more are refused with 429
    #[arg(long, value_name = "REQUESTS", default_value_t = 100)]
    pub max_waiting_requests_per_user: usize,
    /// How many watches one user may have open in a cluster. Administrators are exempt
    #[arg(long, value_name = "WATCHES", default_value_t = 5000, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub max_watches_per_user: usize,
    /// Longest body of a request in bytes, at least 1 MiB: definitions of kinds are long
    #[arg(long, value_name = "BYTES", default_value_t = 3 << 20, value_parser = RangedU64ValueParser::<usize>::new().range(1 << 20..))]
    pub max_request_bytes: usize,
    /// Longest path and header fields of a request in bytes, at least 16 KiB
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(16 << 10..))]
    pub max_header_bytes: u32,
    /// How long changes are kept for watches that resume and for lists in pages, such as 5m; at
    /// least 10s
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = history_age)]
    pub history_age: Duration,
    /// How many changes are kept in each cluster at most, and at least 100
    #[arg(long, value_name = "CHANGES", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub history_changes: u64,
    /// How many MiB the objects in the changes kept may have in each cluster
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub history_size: u64,
}

/// How long changes are kept: long enough for a client to come back to its watch.
fn history_age(text: &str) -> Result<Duration, String> {
    let age: Duration = text.parse().map_err(|error: ParseDurationError| error.to_string())?;
    if age.0 < SHORTEST_HISTORY { Err("10s at least".to_owned()) } else { Ok(age) }
}

/// `kogge cluster ...`
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Create clusters from a file, or one from a name
    Create(CreateArguments),
    /// Show one cluster
    Get(GetArguments),
    /// List clusters
    #[command(visible_alias = "ls")]
    List(ListArguments),
    /// Follow a cluster's life until interrupted
    Watch(NameArguments),
    /// Show what a change would do, without doing it
    Plan(PlanArguments),
    /// Change the number of machines of a pool or of the control plane
    Scale(ScaleArguments),
    /// Move a cluster to another Kubernetes version
    Upgrade(UpgradeArguments),
    /// Print a kubeconfig for a cluster
    Kubeconfig(KubeconfigArguments),
    /// Show the objects a cluster consists of and how each of them is
    Tree(GetArguments),
    /// Say what is wrong with a cluster, who has to act and what to do
    Diagnose(GetArguments),
    /// Delete a cluster and everything in it
    Delete(DeleteArguments),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    Table,
    /// For programs
    Json,
    /// For files
    Yaml,
}

/// `-o`
#[derive(Debug, Clone, Args)]
pub struct OutputArguments {
    /// How to print the result
    #[arg(long, short = 'o', value_enum, default_value = "table")]
    pub output: OutputFormat,
}

/// `--wait`
#[derive(Debug, Clone, Args)]
pub struct WaitArguments {
    /// Wait until done, at most this long, such as `--wait` (30m) or `--wait=90s`
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, require_equals = true, default_missing_value = "30m")]
    pub wait: Option<Duration>,
}

/// A cluster's name.
#[derive(Debug, Args)]
pub struct NameArguments {
    /// Name of the cluster
    pub name: String,
}

/// A cluster's name and how to print.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// Name of the cluster
    pub name: String,
    /// How to print the result
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `kogge cluster list`
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Clusters of every tenant
    #[arg(long, short = 'A')]
    pub all_tenants: bool,
    /// How to print the result
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `kogge cluster create`
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Name of the cluster, where no file is given
    #[arg(required_unless_present = "files", conflicts_with = "files")]
    pub name: Option<String>,
    /// File with one or more descriptions; may be given several times, `-` reads standard input
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    pub files: Vec<String>,
    /// Provider profile, where no file is given
    #[arg(long, default_value = "sim", conflicts_with = "files")]
    pub profile: String,
    /// Kubernetes version such as 1.34 [default: the profile's newest that is no preview]
    #[arg(long = "kubernetes-version", value_name = "VERSION", conflicts_with = "files")]
    pub kubernetes_version: Option<String>,
    /// Number of control plane machines
    #[arg(long, value_name = "COUNT", conflicts_with = "files")]
    pub control_plane: Option<i32>,
    /// Number of worker machines
    #[arg(long, value_name = "COUNT", conflicts_with = "files")]
    pub workers: Option<i32>,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArguments,
    /// How to print the result
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `kogge cluster plan`
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Name of the cluster; its pending plan is shown where no file is given
    #[arg(required_unless_present = "file")]
    pub name: Option<String>,
    /// Proposed description, `-` reads standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    pub file: Option<String>,
    /// How to print the result
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `kogge cluster scale`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["count", "control_plane"]))]
pub struct ScaleArguments {
    /// Name of the cluster
    pub name: String,
    /// Worker pool [default: the only one]
    #[arg(long, value_name = "NAME", requires = "count")]
    pub pool: Option<String>,
    /// Number of machines of the pool
    #[arg(long, value_name = "COUNT")]
    pub count: Option<i32>,
    /// Number of control plane machines
    #[arg(long, value_name = "COUNT")]
    pub control_plane: Option<i32>,
    /// Confirm that control plane machines may go, where the number gets lower
    #[arg(long, short = 'y', requires = "control_plane")]
    pub yes: bool,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArguments,
}

/// `kogge cluster upgrade`
#[derive(Debug, Args)]
pub struct UpgradeArguments {
    /// Name of the cluster
    pub name: String,
    /// Kubernetes version to move to, such as 1.35 or 1.35.2
    #[arg(long = "to", value_name = "VERSION")]
    pub to: String,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArguments,
}

/// `kogge cluster kubeconfig`
#[derive(Debug, Args)]
pub struct KubeconfigArguments {
    /// Name of the cluster
    pub name: String,
    /// How long it is valid, such as 8h
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub valid_for: Duration,
    /// Write it to this file (mode 0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `kogge cluster delete`
#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// Name of the cluster
    pub name: String,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Whether to wait
    #[command(flatten)]
    pub wait: WaitArguments,
}

/// `kogge conformance ...`
#[derive(Debug, Subcommand)]
pub enum ConformanceCommand {
    /// Run a suite against a cluster, with nothing but its kubeconfig
    Run(ConformanceRunArguments),
}

/// A suite of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConformanceSuite {
    /// What the Kubernetes API answers, compared word by word with kube-apiserver
    Api,
}

/// How the results of a suite are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConformanceOutput {
    /// For people
    Table,
    /// For programs
    Json,
    /// For build servers
    Junit,
}

/// `kogge conformance run`
#[derive(Debug, Args)]
pub struct ConformanceRunArguments {
    /// What to check
    #[arg(long, value_enum)]
    pub suite: ConformanceSuite,
    /// Kubeconfig of the cluster, as an administrator
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: PathBuf,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Compare with this cluster instead of the recorded answers of kube-apiserver
    #[arg(long, value_name = "KUBECONFIG")]
    pub against: Option<PathBuf>,
    /// Only scenarios whose name, area or item matches this regular expression
    #[arg(long, value_name = "PATTERN")]
    pub scenario: Option<String>,
    /// Address of this machine at which the cluster reaches webhooks, which some scenarios have
    /// [default: 127.0.0.1 for a cluster on this machine, else those scenarios are skipped]
    #[arg(long, value_name = "IP")]
    pub webhook_address: Option<IpAddr>,
    /// How to print the results
    #[arg(long, short = 'o', value_enum, default_value = "table")]
    pub output: ConformanceOutput,
}

/// `kogge explain`
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Code of a problem; all codes are listed where none is given
    pub code: Option<String>,
}

/// `kogge import`
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The `clusterctl.yaml`, `-` reads standard input
    pub file: String,
    /// Name of the new cluster
    #[arg(long)]
    pub name: String,
    /// The `clouds.yaml` that belongs to it
    #[arg(long, value_name = "FILE")]
    pub clouds: Option<PathBuf>,
    /// Provider profile of the new cluster [default: sim]
    #[arg(long)]
    pub profile: Option<String>,
}
