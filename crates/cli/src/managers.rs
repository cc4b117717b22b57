//! Unmodified Cluster API managers (or any controller-runtime managers) as supervised child processes of `kogge up`.
//!
//! A manager expects of its surroundings what a cluster gives to a Deployment: its definitions and rights installed, its
//! webhooks wired, a serving certificate, credentials, and somebody who restarts it. [`configuration`] says which managers
//! there are, [`manifests`] makes of what upstream ships what a server without pods and Services can hold,
//! [`installation`] writes that and the files a manager reads, [`process`] runs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use kogge_apiserver::certificates::{CertificateError, create_authority};
use kogge_apiserver::server::Server;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub mod configuration;
pub mod file;
mod guard;
pub mod installation;
pub mod manifests;
mod process;

pub use configuration::ManagerSpec;
pub use guard::{become_bound, guard};
pub use installation::InstallError;
use installation::{Installation, Surroundings};

/// The API group that the simulated cloud plays; managers that define it take its place.
const CLUSTER_API_GROUP: &str = "cluster.x-k8s.io";

/// A failed step of preparing managers.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The manager's files or options are wrong.
    #[error(transparent)]
    Configuration(#[from] configuration::ConfigurationError),
    /// Manifests cannot be read.
    #[error(transparent)]
    Manifests(#[from] file::FileError),
    /// Certificates could not be made.
    #[error("failed to make certificates for webhooks: {0}")]
    Certificates(#[from] CertificateError),
    /// No port is free.
    #[error("failed to find a free port: {0}")]
    Port(#[source] std::io::Error),
    /// Something could not be installed.
    #[error("manager {name}: {source}")]
    Install {
        /// The manager.
        name: String,
        /// Why.
        source: InstallError,
    },
}

/// Managers whose manifests are read and wired, but not installed yet.
pub struct Managers {
    installations: Vec<Installation>,
}

impl Managers {
    /// Reads the manifests of managers and wires their webhooks to free ports of this machine. `directory` is where
    /// each manager gets a folder with the files it reads.
    ///
    /// # Errors
    /// See [`ManagerError`]; nothing was installed then.
    pub fn prepare(specs: Vec<ManagerSpec>, directory: PathBuf) -> Result<Self, ManagerError> {
        let now = SystemTime::now();
        let surroundings = Arc::new(Surroundings { directory, authority: create_authority("kogge-managers", now)? });
        let installations =
            specs.into_iter().map(|spec| Installation::prepare(spec, &surroundings, now)).collect::<Result<_, _>>()?;
        Ok(Self { installations })
    }

    /// Whether the managers bring Cluster API's own kinds, so that nobody else may play them.
    pub fn own_cluster_api(&self) -> bool {
        self.installations.iter().any(|installation| installation.defines_group(CLUSTER_API_GROUP))
    }

    /// Writes definitions, rights and webhook configurations to the server, in this order for all managers.
    ///
    /// # Errors
    /// The first object that is refused.
    pub async fn install(&self, client: &Client) -> Result<(), ManagerError> {
        installation::install_all(client, &self.installations).await
    }

    /// Runs the managers until `shutdown`, then stops them. Returns when all have ended.
    pub async fn run(self, server: Server, server_url: String, shutdown: CancellationToken) {
        let mut running = JoinSet::new();
        for installation in self.installations {
            let (server, server_url, shutdown) = (server.clone(), server_url.clone(), shutdown.clone());
            running.spawn(async move { process::run(installation, server, server_url, shutdown).await });
        }
        while running.join_next().await.is_some() {}
    }
}
