//! Everything on one machine: the embedded API server, the operator, the simulated cloud and the REST API in one process.
//!
//! `kogge up`, the tests' in-process world and the benchmarks start the same assembly. What is inside talks to the
//! management plane through an in-process `kube::Client`; what is outside comes in through two listeners.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::managers::Managers;
use crate::memory;
use kogge_api::provider_profile::{ProviderProfile, simulation};
pub use kogge_apiserver::authentication_configuration::AuthenticationConfiguration;
pub use kogge_apiserver::server::ServerOptions;
use kogge_apiserver::server::{OpenError, Server, Storage};
use kogge_apiserver::store::{self, FailureCause, StoreFailure};
use kogge_portal::PortalOptions;
use kogge_simulator::SimulatorOptions;
use kogge_simulator::clock::Speed;
use kogge_simulator::fault::FaultSpec;
use kogge_stacks::catalogue::StackCatalogue;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Kubernetes version the embedded API says it is.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

/// What to start.
pub struct AllInOneOptions {
    /// Data directory; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// Address of the Kubernetes-style API; port 0 picks a free one.
    pub api_address: SocketAddr,
    /// Address of the REST API; port 0 picks a free one.
    pub portal_address: SocketAddr,
    /// Bearer token of the REST API.
    pub token: String,
    /// Issuers whose tokens the Kubernetes-style API accepts.
    pub authentication: AuthenticationConfiguration,
    /// How fast the simulated cloud runs.
    pub speed: Speed,
    /// Faults to start the simulated cloud with.
    pub faults: Vec<FaultSpec>,
    /// Managers to run as child processes.
    pub managers: Option<Managers>,
    /// Whether the simulated cloud runs. Not beside managers that bring Cluster API's own kinds.
    pub simulator: bool,
    /// Limits, audit log and store of the embedded server; data directory, version and pod logs are set by the assembly.
    pub api_server: ServerOptions,
}

/// A failed step of starting or running.
#[derive(Debug, thiserror::Error)]
pub enum AllInOneError {
    /// An address could not be listened on.
    #[error("failed to listen on {address} ({option}): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Which option says so.
        option: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The store or the certificates could not be opened.
    #[error("failed to open the API server: {0}")]
    OpenServer(#[source] OpenError),
    /// The object types or the built-in profile could not be installed.
    #[error("failed to install {what}: {source}")]
    Install {
        /// What was to be installed.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store's file can be neither read nor written any more.
    #[error("the store in {place} failed: {failure}")]
    Store {
        /// The data directory, or that there is none.
        place: String,
        /// What the medium said.
        failure: StoreFailure,
    },
    /// A part ended by itself.
    #[error("{part} stopped: {message}")]
    Stopped {
        /// Which part.
        part: &'static str,
        /// Why.
        message: String,
    },
}

impl AllInOneError {
    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { option, source, .. } => {
                let who = match source.kind() {
                    ErrorKind::AddrInUse => "another program, maybe another `kogge up`, listens there: ",
                    _ => "",
                };
                Some(format!("{who}give another address with {option}; port 0 takes a free one"))
            }
            Self::OpenServer(OpenError::Store { source: store::OpenError::EncryptionKey { .. }, .. }) => {
                Some("give a file with the key as --encryption-key-file; other keys may stand before it".to_owned())
            }
            Self::Store { place, failure } => {
                let kept = "and start again: everything that was acknowledged is kept";
                match failure.cause {
                    FailureCause::Full => Some(format!("free space on the file system of {place} {kept}")),
                    FailureCause::Medium => {
                        Some(format!("look at the disk of {place} {kept} as far as the disk has kept it"))
                    }
                    FailureCause::Damage => None,
                }
            }
            Self::OpenServer(_) | Self::Install { .. } | Self::Stopped { .. } => None,
        }
    }
}

/// The running assembly. Dropping it without [`AllInOne::stop`] ends its tasks at once; nothing acknowledged is lost.
pub struct AllInOne {
    server: Server,
    client: Client,
    api_address: SocketAddr,
    portal_address: SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<Result<(), AllInOneError>>,
}

impl AllInOne {
    /// Starts everything and returns once requests are answered.
    ///
    /// # Errors
    /// The step that failed; nothing keeps running.
    pub async fn start(options: AllInOneOptions) -> Result<Self, AllInOneError> {
        let listen = |address, option| async move {
            TcpListener::bind(address).await.map_err(|source| AllInOneError::Listen { address, option, source })
        };
        let api_listener = listen(options.api_address, "--listen").await?;
        let portal_listener = listen(options.portal_address, "--portal-listen").await?;
        let address = |listener: &TcpListener, asked| listener.local_addr().unwrap_or(asked);
        let api_address = address(&api_listener, options.api_address);
        let portal_address = address(&portal_listener, options.portal_address);
        let api_url = format!("https://{api_address}");

        let place = options.data.as_ref().map_or_else(|| "memory".to_owned(), |data| data.display().to_string());
        let server = Server::open(ServerOptions {
            data: options.data.map_or(Storage::Memory, Storage::Directory),
            kubernetes_version: KUBERNETES_VERSION.into(),
            pod_logs: Some(Arc::new(|request| {
                kogge_simulator::pod_log_text(&request.plane.to_string(), request.pod, request.container)
            })),
            pod_usage: Some(Arc::new(kogge_simulator::usage)),
            authentication: options.authentication,
            namespace_content: true,
            ..options.api_server
        })
        .await
        .map_err(AllInOneError::OpenServer)?;
        let client = server.management().client();
        let simulator = options.simulator && !options.managers.as_ref().is_some_and(Managers::own_cluster_api);
        let catalogue = tokio::task::spawn_blocking(StackCatalogue::default);
        install(&server.management().installer(), simulator).await?;
        if let Some(managers) = &options.managers {
            let failed = |source| AllInOneError::Install { what: "the managers", source: Box::new(source) };
            managers.install(&client).await.map_err(failed)?;
        }

        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        {
            let (server, shutdown) = (server.clone(), shutdown.clone());
            tasks.spawn(async move { ended("the Kubernetes-style API", server.serve(api_listener, shutdown).await) });
        }
        {
            let catalogue = joined(catalogue).await;
            let router =
                kogge_portal::router(PortalOptions { client: client.clone(), token: options.token, catalogue });
            let shutdown = shutdown.clone();
            tasks.spawn(
                async move { ended("the REST API", kogge_portal::serve(portal_listener, router, shutdown).await) },
            );
        }
        {
            let (server, shutdown) = (server.clone(), shutdown.clone());
            tasks.spawn(async move {
                // A process that lives on without its store would refuse everything, and nobody would start it again.
                tokio::select! {
                    failure = server.store_failed() => Err(AllInOneError::Store { place, failure }),
                    () = shutdown.cancelled() => Ok(()),
                }
            });
        }
        {
            let (server, shutdown) = (server.clone(), shutdown.clone());
            tasks.spawn(async move {
                memory::give_back_at_rest(server, shutdown).await;
                Ok(())
            });
        }
        if let Some(managers) = options.managers {
            let (server, server_url, shutdown) = (server.clone(), api_url.clone(), shutdown.clone());
            tasks.spawn(async move {
                managers.run(server, server_url, shutdown).await;
                Ok(())
            });
        }
        if simulator {
            let simulator = SimulatorOptions {
                speed: options.speed,
                faults: options.faults,
                ..SimulatorOptions::new(server.clone(), api_url)
            };
            let shutdown = shutdown.clone();
            tasks.spawn(async move { ended("the simulated cloud", kogge_simulator::run(simulator, shutdown).await) });
        }
        {
            let operator = kogge_operator::OperatorOptions::new(client.clone());
            let shutdown = shutdown.clone();
            tasks.spawn(async move { ended("the operator", kogge_operator::run(operator, shutdown).await) });
        }
        Ok(Self { server, client, api_address, portal_address, shutdown, tasks })
    }

    /// The embedded server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// An in-process client of the management plane.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// `https://HOST:PORT` of the Kubernetes-style API.
    pub fn api_url(&self) -> String {
        format!("https://{}", self.api_address)
    }

    /// `http://HOST:PORT` of the REST API.
    pub fn portal_url(&self) -> String {
        format!("http://{}", self.portal_address)
    }

    /// Waits until a part ends by itself, which none should.
    pub async fn failed(&mut self) -> AllInOneError {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Ok(Ok(()))) | None => AllInOneError::Stopped { part: "a part", message: "it ended by itself".into() },
            Some(Err(error)) => AllInOneError::Stopped { part: "a part", message: error.to_string() },
        }
    }

    /// Stops everything: watches end, what runs is finished, and the store is closed.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Work in progress is level-triggered and resumes with the next start; there is nothing worth waiting longer for.
        // Managers get some seconds to stop before they are killed.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(20), all).await;
    }
}

/// What a blocking task made; its panic goes on here.
async fn joined<T>(task: JoinHandle<T>) -> T {
    task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn ended<E: std::fmt::Display>(part: &'static str, result: Result<(), E>) -> Result<(), AllInOneError> {
    result.map_err(|error| AllInOneError::Stopped { part, message: error.to_string() })
}

/// Installs our object types, those of Cluster API that the simulator plays, and the profile `sim` unless there is one:
/// a profile the user has changed stays as it is.
async fn install(client: &Client, simulator: bool) -> Result<(), AllInOneError> {
    fn failed<E>(what: &'static str) -> impl FnOnce(E) -> AllInOneError
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |error| AllInOneError::Install { what, source: Box::new(error) }
    }
    let installed = kogge_operator::install_custom_resource_definitions(client).await;
    installed.map_err(failed("Kogge's object types"))?;
    if !simulator {
        return Ok(());
    }
    kogge_simulator::install_custom_resource_definitions(client).await.map_err(failed("Cluster API's object types"))?;
    let profiles: Api<ProviderProfile> = Api::all(client.clone());
    if profiles.get_opt("sim").await.map_err(failed("the profile sim"))?.is_none() {
        let profile = simulation();
        profiles
            .patch("sim", &PatchParams::apply("kogge").force(), &Patch::Apply(&profile))
            .await
            .map_err(failed("the profile sim"))?;
    }
    Ok(())
}
