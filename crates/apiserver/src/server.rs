//! Starting the server, its planes and its clients.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::SystemTime,
};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    audit::AuditLog,
    background, builtin,
    certificates::{CertificateError, ServerCertificates},
    custom_resource_definition_controller, namespace_content,
    open_id_connect::TrustedIssuers,
    pipeline::{self, FlowControl, ListenerShutdown, Metrics, ServiceNetwork},
    plane::{PlaneState, options_metadata},
    quota_turns::QuotaTurns,
    store::{self, Store, StoreFailure},
    tls,
    token::ServiceAccountTokens,
    webhook_client::WebhookClients,
};
mod options;

pub use crate::{
    audit::AuditOptions,
    pipeline::RequestLimits,
    plane::{Plane, PlaneError, PlaneOptions},
    store::PlaneName,
    tls::ServeError,
    webhook_client::ServiceAddresses,
};
pub use options::{LogRequest, Measured, PodLogs, PodUsage, ServerOptions, Storage, Usage, UsageRequest};

/// Why a server could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory could not be made.
    #[error("failed to make the data directory {}: {source}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store could not be opened.
    #[error("{place}: {source}")]
    Store {
        /// The path of its file, or that it is in memory.
        place: String,
        /// What is wrong with it.
        source: store::OpenError,
    },
    /// The store's file is empty, though the data directory was in use.
    #[error(
        "{} is empty, though there are certificates of an earlier start beside it: put the file back from a backup, or remove \
         it to start with nothing stored",
        path.display()
    )]
    EmptyStore {
        /// Which file.
        path: PathBuf,
    },
    /// The certificates could not be made or read.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// A client for a trusted issuer could not be made.
    #[error("{0}")]
    Issuer(String),
    /// A plane could not be read.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// The audit log could not be opened.
    #[error("failed to open the audit log {}: {source}", path.display())]
    AuditLog {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

pub(crate) struct ServerState {
    store: Store,
    options: ServerOptions,
    certificates: ServerCertificates,
    service_account_tokens: ServiceAccountTokens,
    trusted_issuers: TrustedIssuers,
    planes: RwLock<BTreeMap<PlaneName, Arc<PlaneState>>>,
    metrics: Metrics,
    webhook_clients: Arc<WebhookClients>,
    flow_control: FlowControl,
    audit_log: Option<Arc<AuditLog>>,
    quota_turns: QuotaTurns,
    /// Definitions whose objects are being deleted right now.
    cleaning: Mutex<HashSet<(PlaneName, String)>>,
    /// Ends the background loops with the last handle.
    _background: DropGuard,
}

/// An open server. Cheap to clone; it closes with its last handle, plane, router and client.
#[derive(Clone)]
pub struct Server {
    state: Arc<ServerState>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("options", &self.state.options).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the server with all planes of its data directory and starts its background loops. Needs a running Tokio
    /// runtime.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: ServerOptions) -> Result<Self, OpenError> {
        // Meanwhile the disk is waited for.
        let compiling = tokio::task::spawn_blocking(builtin::compile_first_kinds);
        let opening = options.clone();
        let (store, certificates) = joined(tokio::task::spawn_blocking(move || open_data(&opening))).await?;
        let webhook_clients = Arc::new(WebhookClients::new(options.webhook_services.clone()));
        let mut planes = BTreeMap::new();
        for plane in store.planes() {
            let name = plane.name().clone();
            planes.insert(name, Arc::new(PlaneState::load(plane, &options.kubernetes_version, &webhook_clients)?));
        }
        let service_account_tokens = ServiceAccountTokens::new(&certificates.service_account_key_pem)?;
        let trusted_issuers = TrustedIssuers::new(&options.authentication).map_err(OpenError::Issuer)?;
        let background = CancellationToken::new();
        let audit_log = options.audit.clone().map(|audit| {
            let path = audit.path.clone();
            AuditLog::open(audit).map(Arc::new).map_err(|source| OpenError::AuditLog { path, source })
        });
        let state = ServerState {
            flow_control: FlowControl::new(options.limits.clone()),
            audit_log: audit_log.transpose()?,
            store,
            options,
            certificates,
            service_account_tokens,
            trusted_issuers,
            planes: RwLock::new(planes),
            metrics: Metrics::default(),
            webhook_clients,
            quota_turns: QuotaTurns::default(),
            cleaning: Mutex::default(),
            _background: background.clone().drop_guard(),
        };
        let server = Self { state: Arc::new(state) };
        let management = PlaneOptions {
            kubernetes_version: String::new(),
            client_ca_pem: Some(server.state.certificates.client_authority.certificate_pem.clone()),
            client_ca_key_pem: Some(server.state.certificates.client_authority.key_pem.clone()),
            service_network: None,
        };
        joined(compiling).await;
        server.prepare_plane(&PlaneName::default(), &management).await?;
        custom_resource_definition_controller::resume(&server).await;
        background::start(&server, &background);
        Ok(server)
    }

    /// The plane of the server's own objects.
    pub fn management(&self) -> Plane {
        self.plane(&PlaneName::default()).unwrap_or_else(|| unreachable!("the management plane is never deleted"))
    }

    /// The plane of this name.
    pub fn plane(&self, name: &PlaneName) -> Option<Plane> {
        let planes = self.state.planes.read().unwrap_or_else(PoisonError::into_inner);
        planes.get(name).map(|state| Plane { server: self.clone(), state: state.clone() })
    }

    /// All planes, ordered by name, the management plane first.
    pub fn planes(&self) -> Vec<Plane> {
        let planes = self.state.planes.read().unwrap_or_else(PoisonError::into_inner);
        planes.values().map(|state| Plane { server: self.clone(), state: state.clone() }).collect()
    }

    /// Makes a plane with the namespaces every cluster has, or changes the options of the one that is there. It is
    /// served at `/clusters/NAMESPACE/NAME` at once and again after a restart.
    ///
    /// # Errors
    /// See [`PlaneError`].
    pub async fn create_plane(&self, name: &PlaneName, options: PlaneOptions) -> Result<Plane, PlaneError> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
        };
        if !name.0.split_once('/').is_some_and(|(namespace, name)| is_name(namespace) && is_name(name)) {
            return Err(PlaneError::Name(name.0.clone()));
        }
        if let Some(pem) = &options.client_ca_pem {
            crate::authentication::ClientAuthorities::from_pem(pem)?;
        }
        if let Some(network) = &options.service_network
            && ServiceNetwork::parse(network).is_none()
        {
            return Err(PlaneError::ServiceNetwork(network.clone()));
        }
        if self.plane(name).is_none() {
            let store = self.state.store.create_plane(name, options_metadata(&options)).await?;
            let state =
                Arc::new(PlaneState::load(store, &self.state.options.kubernetes_version, &self.state.webhook_clients)?);
            let mut planes = self.state.planes.write().unwrap_or_else(PoisonError::into_inner);
            planes.entry(name.clone()).or_insert(state);
        }
        self.prepare_plane(name, &options).await
    }

    /// Brings a plane to its options and gives it its first objects.
    async fn prepare_plane(&self, name: &PlaneName, options: &PlaneOptions) -> Result<Plane, PlaneError> {
        let plane = self.plane(name).ok_or(PlaneError::Store(store::PlaneError::Gone))?;
        plane.state.change_options(options, &self.state.options.kubernetes_version).await?;
        plane.apply_all(self.first_objects(&plane)).await.map_err(PlaneError::Bootstrap)?;
        Ok(plane)
    }

    /// What every plane has in it: its namespaces with their content, and the Service by which Pods reach the API.
    fn first_objects(&self, plane: &Plane) -> Vec<Value> {
        let authority = self.certificate_authority_pem();
        let mut objects = Vec::new();
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
            if self.state.options.namespace_content {
                objects.extend(namespace_content::objects(name, &authority));
            }
        }
        let address = plane.service_network().first();
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address],
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            },
        }));
        objects
    }

    /// Deletes a plane with all its objects; its watches end.
    ///
    /// # Errors
    /// Without such a plane, and for the management plane.
    pub async fn delete_plane(&self, name: &PlaneName) -> Result<(), PlaneError> {
        self.state.store.delete_plane(name).await?;
        self.state.planes.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    /// Answers a request to any plane, from any transport. Requests without the server's own connection information are
    /// anonymous.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        pipeline::handle(self, request).await
    }

    /// Serves all planes with TLS until `shutdown`; then watches end and other requests may finish for some seconds.
    ///
    /// # Errors
    /// If the serving certificate is not usable.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        let config = tls::server_config(&self.state.certificates.serving)?;
        let (server, ending) = (self.clone(), ListenerShutdown(shutdown.clone()));
        let answer = move |mut request: Request<Body>| {
            request.extensions_mut().insert(ending.clone());
            let server = server.clone();
            async move { server.answer(request).await }
        };
        tls::serve(listener, config, answer, self.state.options.limits.header_bytes, shutdown).await;
        Ok(())
    }

    /// Waits until the store's medium fails, e.g. has no space left. Then only a new start helps, and what was acknowledged
    /// is kept.
    pub async fn store_failed(&self) -> StoreFailure {
        self.state.store.failed().await
    }

    /// The authority of the serving certificate, PEM.
    pub fn certificate_authority_pem(&self) -> String {
        self.state.certificates.serving_authority.certificate_pem.clone()
    }

    /// The server's certificates and keys.
    pub fn certificates(&self) -> &ServerCertificates {
        &self.state.certificates
    }

    /// A kubeconfig (YAML) of the management plane's administrator, who is reached at `server_url`, e.g.
    /// `https://127.0.0.1:7443`. It contains a private key.
    pub fn admin_kubeconfig(&self, server_url: &str) -> String {
        let certificates = &self.state.certificates;
        let encode = |text: &str| STANDARD.encode(text);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "kogge",
                "cluster": {
                    "server": server_url,
                    "certificate-authority-data": encode(&certificates.serving_authority.certificate_pem),
                },
            }],
            "users": [{
                "name": "kogge-admin",
                "user": {
                    "client-certificate-data": encode(&certificates.admin.certificate_pem),
                    "client-key-data": encode(&certificates.admin.key_pem),
                },
            }],
            "contexts": [{
                "name": "kogge",
                "context": {"cluster": "kogge", "user": "kogge-admin", "namespace": "default"},
            }],
            "current-context": "kogge",
            "preferences": {},
        });
        // Strings, lists and maps always have a YAML form; JSON, which is YAML, is there for the type's sake.
        serde_saphyr::to_string(&config).unwrap_or_else(|_| config.to_string())
    }

    /// Every change of every plane from now on, for controllers that serve all planes with one task.
    ///
    /// The stream never ends and keeps the server's store open.
    pub fn watch_planes(&self) -> store::PlanesWatch {
        self.state.store.watch_planes()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.state.store
    }

    pub(crate) fn options(&self) -> &ServerOptions {
        &self.state.options
    }

    pub(crate) fn service_account_tokens(&self) -> &ServiceAccountTokens {
        &self.state.service_account_tokens
    }

    pub(crate) fn webhook_clients(&self) -> &WebhookClients {
        &self.state.webhook_clients
    }

    pub(crate) fn trusted_issuers(&self) -> &TrustedIssuers {
        &self.state.trusted_issuers
    }

    /// How many requests were answered with success since the start, those of clients in the process among them.
    pub fn requests_answered(&self) -> u64 {
        self.state.metrics.successes()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.state.metrics
    }

    pub(crate) fn quota_turns(&self) -> &QuotaTurns {
        &self.state.quota_turns
    }

    pub(crate) fn flow_control(&self) -> &FlowControl {
        &self.state.flow_control
    }

    pub(crate) fn audit_log(&self) -> Option<&Arc<AuditLog>> {
        self.state.audit_log.as_ref()
    }

    pub(crate) fn downgrade(&self) -> WeakServer {
        WeakServer(Arc::downgrade(&self.state))
    }

    /// Starts deleting the objects of a definition that is being deleted, unless that is under way.
    pub(crate) fn clean_up_definition(&self, plane: &Plane, definition: &str) {
        let entry = (plane.name().clone(), definition.to_owned());
        if self.state.cleaning.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.clone()) {
            let background = self.downgrade();
            tokio::spawn(async move {
                custom_resource_definition_controller::clean_up(&background, &entry.0, &entry.1).await;
                if let Some(server) = background.upgrade() {
                    server.state.cleaning.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry);
                }
            });
        }
    }
}

/// A handle that does not keep the server open, for loops.
#[derive(Clone)]
pub(crate) struct WeakServer(Weak<ServerState>);

impl WeakServer {
    pub(crate) fn upgrade(&self) -> Option<Server> {
        self.0.upgrade().map(|state| Server { state })
    }
}

/// What a blocking task made; its panic goes on here.
async fn joined<T>(task: tokio::task::JoinHandle<T>) -> T {
    task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn open_data(options: &ServerOptions) -> Result<(Store, ServerCertificates), OpenError> {
    let now = SystemTime::now();
    match &options.data {
        Storage::Memory => {
            let store = Store::in_memory(options.store.clone());
            let store = store.map_err(|source| OpenError::Store { place: "in memory".to_owned(), source })?;
            Ok((store, ServerCertificates::load_or_create(None, &options.host_names, now)?))
        }
        Storage::Directory(directory) => {
            std::fs::create_dir_all(directory)
                .map_err(|source| OpenError::Directory { path: directory.clone(), source })?;
            let (pki, path) = (directory.join("pki"), directory.join("kogge.redb"));
            if path.metadata().is_ok_and(|file| file.len() == 0) && pki.join("admin.crt").exists() {
                return Err(OpenError::EmptyStore { path });
            }
            // Side by side: both wait for the disk most of their time.
            let (store, certificates) = std::thread::scope(|scope| {
                let certificates =
                    scope.spawn(|| ServerCertificates::load_or_create(Some(&pki), &options.host_names, now));
                let store = Store::open(&path, options.store.clone());
                (store, certificates.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            });
            let store = store.map_err(|source| OpenError::Store { place: path.display().to_string(), source })?;
            Ok((store, certificates?))
        }
    }
}
