//! `kogge up`: everything on this machine, in the foreground, until interrupted.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kogge_apiserver::authentication_configuration::AuthenticationConfiguration;
use kogge_apiserver::server::{AuditOptions, RequestLimits, ServerOptions};
use kogge_apiserver::store::{EncryptionKeys, StoreOptions};
use reqwest::Method;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::all_in_one::{AllInOne, AllInOneError, AllInOneOptions};
use crate::arguments::{ApiServerArguments, ConnectionArguments, UpArguments};
use crate::data_directory::{DataDirectory, DataDirectoryError, Endpoints};
use crate::documents::{self, Document};
use crate::managers::{Managers, configuration};
use crate::outcome::{CommandError, Exit};
use crate::progress::{Goal, follow};
use crate::rest_client::{Body, RestClient};
use crate::terminal;

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// Exit code 2 for a wrong file (found before anything starts) or option, 4 if another process runs on the directory,
/// 1 if a part cannot start or stops.
pub async fn run(connection: &ConnectionArguments, arguments: UpArguments) -> Result<(), CommandError> {
    start_log();
    refuse_elsewhere(&arguments)?;
    let documents = documents::read_clusters(&arguments.files)?;
    let speed = arguments.speed.parse().map_err(|error| {
        CommandError::new(Exit::Refused, format!("--speed {}: {error}", arguments.speed))
            .hint("give a factor such as 10, or max")
    })?;
    let mut faults = Vec::new();
    for fault in &arguments.faults {
        faults.push(
            fault.parse().map_err(|error| CommandError::new(Exit::Refused, format!("--fault {fault}: {error}")))?,
        );
    }
    let authentication = read_authentication(arguments.authentication_config.as_deref())?;
    let specs = configuration::managers(&arguments.managers, &arguments.manager_files)
        .map_err(|error| CommandError::new(Exit::Refused, error.to_string()))?;
    let data = DataDirectory::locate(connection.data.as_deref()).map_err(|error| failed(&error))?;
    let api_server = server_options(&arguments.api_server, &data)?;
    let _lock = data.lock().map_err(|error| failed(&error))?;
    // Before anybody can know that there is something to stop.
    let mut stop = StopSignals::new()?;
    let token = data.token_or_create(random_token).map_err(|error| failed(&error))?;

    let managers = match specs {
        specs if specs.is_empty() => None,
        specs => Some(
            Managers::prepare(specs, data.path().join("managers"))
                .map_err(|error| CommandError::new(Exit::Refused, error.to_string()))?,
        ),
    };
    let simulator = !arguments.no_simulator && !managers.as_ref().is_some_and(Managers::own_cluster_api);
    let mut machine = AllInOne::start(AllInOneOptions {
        data: Some(data.path().to_owned()),
        api_address: arguments.listen,
        portal_address: arguments.portal_listen,
        token: token.clone(),
        authentication,
        speed,
        faults,
        managers,
        simulator,
        api_server,
    })
    .await
    .map_err(|error| stopped(&error))?;
    let kubeconfig = machine.server().admin_kubeconfig(&machine.api_url());
    data.write_private(&data.kubeconfig(), kubeconfig.as_bytes()).map_err(|error| failed(&error))?;
    let endpoints = Endpoints { api: machine.api_url(), portal: machine.portal_url(), pid: std::process::id() };
    data.announce(&endpoints).map_err(|error| failed(&error))?;
    greet(&data, &endpoints, simulator.then_some(arguments.speed.as_str()));

    let connect = || RestClient::new(endpoints.portal.clone(), token, connection.tenant.clone());
    let outcome = tokio::select! {
        outcome = work(connect, &documents, &arguments, &data) => match outcome {
            Ok(()) if arguments.exit_when_ready => Ok(()),
            Ok(()) => wait(&mut machine, &mut stop).await,
            Err(error) if arguments.exit_when_ready || error.exit == Exit::Refused => Err(error),
            // A cluster that does not come up is no reason to take down the others, nor the way to find out why.
            Err(error) => {
                terminal::say(&error.render());
                wait(&mut machine, &mut stop).await
            }
        },
        error = machine.failed() => Err(stopped(&error)),
        () = stop.wait() => Ok(()),
    };
    terminal::say("stopping; everything is kept, `kogge up` resumes it");
    machine.stop().await;
    data.withdraw();
    outcome
}

/// Refuses the options that name a server elsewhere. Their environment variables are for the other commands, and fine.
fn refuse_elsewhere(arguments: &UpArguments) -> Result<(), CommandError> {
    let given = [("--server", "KOGGE_SERVER", &arguments.server), ("--token", "KOGGE_TOKEN", &arguments.token)];
    for (option, variable, value) in given {
        if value.is_some() && *value != std::env::var(variable).ok() {
            let message = format!("{option} names a server elsewhere, and `kogge up` runs one on this machine");
            let hint = "say with --listen and --portal-listen where it listens; its token is in the data directory";
            return Err(CommandError::new(Exit::Refused, message).hint(hint));
        }
    }
    Ok(())
}

/// The issuers of the Kubernetes-style API; none without a file.
fn read_authentication(path: Option<&Path>) -> Result<AuthenticationConfiguration, CommandError> {
    let Some(path) = path else { return Ok(AuthenticationConfiguration::default()) };
    let refused = |error: &dyn std::fmt::Display| {
        CommandError::new(Exit::Refused, format!("--authentication-config {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| refused(&error))?;
    AuthenticationConfiguration::from_yaml(&text).map_err(|error| refused(&error))
}

/// What the arguments ask of the embedded server.
fn server_options(arguments: &ApiServerArguments, data: &DataDirectory) -> Result<ServerOptions, CommandError> {
    let audit = match arguments.audit_log.as_deref() {
        Some("none") => None,
        Some(path) => Some(PathBuf::from(path)),
        None => Some(data.path().join("audit.log")),
    };
    let mut store = StoreOptions {
        history_age: arguments.history_age.0,
        history_changes: arguments.history_changes,
        history_bytes: arguments.history_size.saturating_mul(1 << 20),
        ..StoreOptions::default()
    };
    if let Some(path) = &arguments.encryption_key_file {
        let refuse = |error: &dyn std::fmt::Display| {
            CommandError::new(Exit::Refused, format!("--encryption-key-file {}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| refuse(&error))?;
        store.encryption = Some(Arc::new(EncryptionKeys::parse(&text).map_err(|error| refuse(&error))?));
    }
    Ok(ServerOptions {
        store,
        audit: audit.map(|path| AuditOptions {
            path,
            file_bytes: arguments.audit_log_maxsize << 20,
            older_files: arguments.audit_log_maxbackup,
        }),
        limits: RequestLimits {
            reads: arguments.max_requests_inflight,
            writes: arguments.max_mutating_requests_inflight,
            waiting_per_user: arguments.max_waiting_requests_per_user,
            watches_per_user: arguments.max_watches_per_user,
            body_bytes: arguments.max_request_bytes,
            header_bytes: arguments.max_header_bytes,
            ..RequestLimits::default()
        },
        ..ServerOptions::default()
    })
}

fn failed(error: &DataDirectoryError) -> CommandError {
    let exit = if matches!(error, DataDirectoryError::Locked { .. }) { Exit::Conflict } else { Exit::Failed };
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        let _ = write!(message, ": {source}");
    }
    let hint = match error {
        DataDirectoryError::Locked { .. } => "use it, stop it, or give another directory with --data DIR",
        DataDirectoryError::Create { .. } | DataDirectoryError::Write { .. } => {
            "it has to be a directory this user may write to; give another one with --data DIR"
        }
        DataDirectoryError::Locate => return CommandError::new(exit, message),
    };
    CommandError::new(exit, message).hint(hint)
}

fn stopped(error: &AllInOneError) -> CommandError {
    let (hint, error) = (error.hint(), CommandError::new(Exit::Failed, error.to_string()));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Log lines go to standard error, by default only what somebody has to know.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KOGGE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal::is_interactive())
        // A line that cannot be written is lost; saying so, also on standard error, would panic.
        .log_internal_errors(false)
        .try_init();
}

/// 256 random bits, in letters and digits.
fn random_token() -> String {
    use rand::RngCore as _;
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().fold(String::from("kogge-"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Says what is where. `speed` is that of the simulated cloud, if there is one.
fn greet(data: &DataDirectory, endpoints: &Endpoints, speed: Option<&str>) {
    terminal::say(&format!("kogge {} is up", env!("CARGO_PKG_VERSION")));
    terminal::say(&format!("  Kubernetes API  {}  (KUBECONFIG={})", endpoints.api, data.kubeconfig().display()));
    terminal::say(&format!("  REST API        {}   (token in {})", endpoints.portal, data.token_file().display()));
    match speed {
        Some("max") => terminal::say("  profile         sim, a simulated cloud without waiting"),
        Some(speed) => {
            terminal::say(&format!("  profile         sim, a simulated cloud at {speed} times the real speed"));
        }
        None => terminal::say("  profile         none: Cluster API is left to managers"),
    }
}

/// Applies the documents through the REST API, as any client would, and follows the clusters until they are Ready.
async fn work(
    connect: impl FnOnce() -> Result<RestClient, CommandError>,
    documents: &[Document],
    arguments: &UpArguments,
    data: &DataDirectory,
) -> Result<(), CommandError> {
    if documents.is_empty() {
        // A client reads all authorities the system trusts, for nothing.
        return Ok(());
    }
    let client = &connect()?;
    // All are tried before the first is stored, so that a bad one stores nothing.
    for document in documents {
        document.put(client, true).await?;
    }
    let mut clusters = Vec::new();
    for document in documents {
        let answer = document.put(client, false).await?;
        let version = answer["spec"]["kubernetes"]["version"].as_str().unwrap_or_default();
        terminal::say(&format!("{}: accepted, Kubernetes {version}", document.name));
        clusters.push(document);
    }
    let followed = futures::future::join_all(
        clusters
            .iter()
            .map(|document| async move { follow(&document.client(client), &document.name, Goal::Ready, None).await }),
    )
    .await;
    for result in followed {
        result?;
    }
    if let Some(first) = clusters.first()
        && !arguments.exit_when_ready
    {
        let known: Value = client.call(Method::GET, &client.clusters_path(""), Body::Empty).await?;
        next_steps(first, known["items"].as_array().map_or(1, Vec::len), data);
    }
    Ok(())
}

fn next_steps(document: &Document, clusters: usize, data: &DataDirectory) {
    let program = program();
    let name = &document.name;
    let mut options = String::new();
    let default = DataDirectory::locate(None).map(|directory| directory.path().to_owned());
    if default.ok().as_deref() != Some(data.path()) {
        let _ = write!(options, " --data {}", data.path().display());
    }
    if document.tenant().is_some_and(|tenant| tenant != "default") {
        let _ = write!(options, " --tenant {}", document.tenant().unwrap_or_default());
    }
    let others = if clusters > 1 { format!(" ({clusters} clusters in all)") } else { String::new() };
    terminal::say(&format!("\nTry next, in another terminal{others}:"));
    terminal::say(&format!("  {program} cluster kubeconfig {name}{options} > {name}.kubeconfig"));
    terminal::say(&format!("  kubectl --kubeconfig {name}.kubeconfig get nodes,pods --all-namespaces"));
    terminal::say(&format!("  {program} cluster scale {name} --count 5 --wait{options}"));
    terminal::say("\nCtrl-C stops it; everything is kept.");
}

/// How the user calls this program: its name if it is on the path, else where it is.
fn program() -> String {
    let Ok(executable) = std::env::current_exe() else { return "kogge".into() };
    let on_path = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| {
            folder
                .join("kogge")
                .canonicalize()
                .is_ok_and(|found| executable.canonicalize().is_ok_and(|own| own == found))
        })
    });
    if on_path {
        return "kogge".into();
    }
    let here = std::env::current_dir().unwrap_or_default();
    executable.strip_prefix(&here).unwrap_or(&executable).display().to_string()
}

async fn wait(machine: &mut AllInOne, stop: &mut StopSignals) -> Result<(), CommandError> {
    tokio::select! {
        error = machine.failed() => Err(stopped(&error)),
        () = stop.wait() => Ok(()),
    }
}

/// SIGINT and SIGTERM.
struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> Result<Self, CommandError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CommandError::new(Exit::Failed, format!("failed to listen for signals: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
