//! One isolated Kubernetes API: its objects, resource types and trusted authorities.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde_json::{Value, json};

use crate::{
    admission::Configurations,
    authentication::{ClientAuthorities, ClientAuthorityError},
    certificate_signing::SigningAuthority,
    in_process_client,
    pipeline::{self, ServiceNetwork},
    rbac::AccessRules,
    registry::Registry,
    server::Server,
    store::{
        Change, Expected, ListError, ListPage, ObjectKey, PlaneName, PlaneStore, ReadError, Scope, StoredObject, Watch,
        WatchError, Write, WriteError,
    },
    webhook_client::WebhookClients,
};

/// How to make a plane.
#[derive(Clone, Default)]
pub struct PlaneOptions {
    /// What `/version` answers, e.g. `v1.34.2`; empty for the server's own.
    pub kubernetes_version: String,
    /// Authorities of client certificates, PEM. Without one only in-process clients get in.
    pub client_ca_pem: Option<String>,
    /// The key of the first of them, PKCS#8 PEM: with it the plane signs CertificateSigningRequests. It is not stored.
    pub client_ca_key_pem: Option<String>,
    /// Network of the addresses of Services in CIDR form, e.g. `10.96.0.0/12`, which it is by default. IPv4 or IPv6.
    pub service_network: Option<String>,
}

impl std::fmt::Debug for PlaneOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PlaneOptions")
            .field("kubernetes_version", &self.kubernetes_version)
            .field("client_ca_pem", &self.client_ca_pem)
            .field("service_network", &self.service_network)
            .finish_non_exhaustive()
    }
}

/// Why a plane could not be made, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The name is not `NAMESPACE/NAME`.
    #[error("{0:?} is no name of a plane: NAMESPACE/NAME is expected")]
    Name(String),
    /// The network of Services is none.
    #[error("{0:?} is no network: ADDRESS/LENGTH is expected")]
    ServiceNetwork(String),
    /// The client certificate authority is not usable.
    #[error(transparent)]
    ClientAuthority(#[from] ClientAuthorityError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] crate::store::PlaneError),
    /// The plane's objects could not be read.
    #[error("failed to read the plane: {0}")]
    Read(String),
    /// The plane's first objects could not be written.
    #[error("failed to write the plane's first objects: {0}")]
    Bootstrap(#[source] ApiError),
}

/// What all handles of a plane share.
pub(crate) struct PlaneState {
    pub(crate) store: PlaneStore,
    pub(crate) registry: Registry,
    pub(crate) access_rules: AccessRules,
    admission: Configurations,
    client_authorities: ArcSwapOption<ClientAuthorities>,
    signing_authority: ArcSwapOption<SigningAuthority>,
    kubernetes_version: ArcSwap<String>,
    service_network: ArcSwap<ServiceNetwork>,
}

impl PlaneState {
    /// Reads the plane's metadata, definitions and admission configurations.
    pub(crate) fn load(
        store: PlaneStore,
        default_version: &str,
        clients: &Arc<WebhookClients>,
    ) -> Result<Self, PlaneError> {
        let state = Self {
            registry: Registry::new(clients.clone()),
            access_rules: AccessRules::default(),
            admission: Configurations::default(),
            client_authorities: ArcSwapOption::empty(),
            signing_authority: ArcSwapOption::empty(),
            kubernetes_version: ArcSwap::from_pointee(default_version.to_owned()),
            service_network: ArcSwap::from_pointee(ServiceNetwork::DEFAULT),
            store,
        };
        state.adopt_metadata(default_version)?;
        let page = state
            .store
            .list(&Scope::Resource(definitions()), None, 0, None)
            .map_err(|error| PlaneError::Read(error.to_string()))?;
        for item in page.items {
            let definition = serde_json::from_slice(&item.json).map_err(|error| PlaneError::Read(error.to_string()))?;
            state.registry.define(&definition, &item);
        }
        for resource in Configurations::resources() {
            let page = state
                .store
                .list(&Scope::Resource(resource.clone()), None, 0, None)
                .map_err(|error| PlaneError::Read(error.to_string()))?;
            for item in page.items {
                let object = serde_json::from_slice(&item.json).map_err(|error| PlaneError::Read(error.to_string()))?;
                state.admission.notice(&resource, &item.key.name, item.revision, Some(&object));
            }
        }
        Ok(state)
    }

    fn adopt_metadata(&self, default_version: &str) -> Result<(), PlaneError> {
        let metadata = self.store.metadata();
        let version = metadata["kubernetesVersion"].as_str().filter(|version| !version.is_empty());
        self.kubernetes_version.store(Arc::new(version.unwrap_or(default_version).to_owned()));
        let network = metadata["serviceNetwork"].as_str().and_then(ServiceNetwork::parse);
        self.service_network.store(Arc::new(network.unwrap_or(ServiceNetwork::DEFAULT)));
        let authorities =
            metadata["clientCertificateAuthority"].as_str().map(ClientAuthorities::from_pem).transpose()?;
        self.client_authorities.store(authorities.map(Arc::new));
        Ok(())
    }

    /// Stores and adopts new options where they differ from the known ones.
    pub(crate) async fn change_options(&self, options: &PlaneOptions, default_version: &str) -> Result<(), PlaneError> {
        if let Some(pem) = &options.client_ca_pem {
            ClientAuthorities::from_pem(pem)?;
        }
        if let (Some(certificate_pem), Some(key_pem)) =
            (options.client_ca_pem.clone(), options.client_ca_key_pem.clone())
        {
            self.signing_authority.store(Some(Arc::new(SigningAuthority { certificate_pem, key_pem })));
        }
        let metadata = options_metadata(options);
        if *self.store.metadata() != metadata {
            self.store.set_metadata(metadata).await?;
            self.adopt_metadata(default_version)?;
        }
        Ok(())
    }
}

pub(crate) fn options_metadata(options: &PlaneOptions) -> Value {
    json!({
        "kubernetesVersion": options.kubernetes_version,
        "clientCertificateAuthority": options.client_ca_pem,
        "serviceNetwork": options.service_network,
    })
}

fn definitions() -> GroupResource {
    GroupResource { group: "apiextensions.k8s.io".to_owned(), resource: "customresourcedefinitions".to_owned() }
}

/// A handle of one plane. Cheap to clone; keeps the server's store open.
#[derive(Clone)]
pub struct Plane {
    pub(crate) server: Server,
    pub(crate) state: Arc<PlaneState>,
}

impl std::fmt::Debug for Plane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Plane").field("name", self.name()).finish_non_exhaustive()
    }
}

impl Plane {
    /// The plane's name; empty for the management plane.
    pub fn name(&self) -> &PlaneName {
        self.state.store.name()
    }

    /// A client that calls this plane in the process, as `system:admin` of `system:masters`, with the default namespace
    /// `default`. Needs a running Tokio runtime.
    pub fn client(&self) -> kube::Client {
        in_process_client::client(self.clone())
    }

    /// As [`Self::client`], for CustomResourceDefinitions that are a part of this program: those it creates are taken as
    /// valid. Most of what it takes to create a large one is to check its rules, which a test of each does once for all.
    pub fn installer(&self) -> kube::Client {
        in_process_client::installer(self.clone())
    }

    /// The version `/version` answers, e.g. `v1.34.2`.
    pub fn kubernetes_version(&self) -> Arc<String> {
        self.state.kubernetes_version.load_full()
    }

    /// Creates every object that is not there yet, each with all that a create does to it (defaults, validation,
    /// ownership by the manager `kogge`), in one transaction. CustomResourceDefinitions among them are committed before
    /// the others, so that instances may be in the same call. Returns how many were created.
    ///
    /// # Errors
    /// The first object that cannot be created; then none is, except definitions.
    pub async fn apply_all(&self, objects: Vec<Value>) -> Result<usize, ApiError> {
        pipeline::create_all(self, objects).await
    }

    /// Tells planes apart that have one name after the other: never used again, also not after a restart.
    pub fn id(&self) -> u64 {
        self.store().id()
    }

    /// The revision of the last change of any object.
    pub fn revision(&self) -> u64 {
        self.store().revision()
    }

    /// Every object as it is stored, all from one snapshot, for controllers in this process that look at whole planes.
    /// Blocks for a few microseconds an object.
    ///
    /// # Errors
    /// See [`ListError`].
    pub fn list(&self) -> Result<ListPage, ListError> {
        self.store().list(&Scope::Plane, None, 0, None)
    }

    /// Every change of any object after a revision, in order, as it is stored.
    ///
    /// A change is in the stream before the request that made it is answered. The stream keeps the server's store open.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn watch(&self, since: u64) -> Result<Watch, WatchError> {
        self.store().watch(Scope::Plane, since)
    }

    pub(crate) fn store(&self) -> &PlaneStore {
        &self.state.store
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.state.registry
    }

    pub(crate) fn admission(&self) -> &Configurations {
        &self.state.admission
    }

    pub(crate) fn service_network(&self) -> Arc<ServiceNetwork> {
        self.state.service_network.load_full()
    }

    pub(crate) fn client_authorities(&self) -> Option<Arc<ClientAuthorities>> {
        self.state.client_authorities.load_full()
    }

    pub(crate) fn signing_authority(&self) -> Option<Arc<SigningAuthority>> {
        self.state.signing_authority.load_full()
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Result<Option<StoredObject>, ApiError> {
        self.store().get(key).map_err(|error| read_error(&error))
    }

    /// The stored object as a value, in the version it is stored in.
    pub(crate) fn get_value(&self, key: &ObjectKey) -> Result<Option<Value>, ApiError> {
        self.get(key)?.map(|stored| parse_stored(&stored.json)).transpose()
    }

    pub(crate) async fn write(
        &self,
        key: ObjectKey,
        change: Change,
        expected: Expected,
    ) -> Result<StoredObject, WriteError> {
        let mut written = self.write_many(&mut [Write { key, change, expected }]).await.map_err(|(_, error)| error)?;
        written.pop().ok_or_else(|| WriteError::Storage("the writer gave no answer".to_owned()))
    }

    /// Commits writes and then takes notice of definitions, admission configurations and access rules among them, for which fields
    /// that were written later are moved into their objects. The error is of the write with this index.
    pub(crate) async fn write_many(&self, writes: &mut [Write]) -> Result<Vec<StoredObject>, (usize, WriteError)> {
        let about_access: Vec<ObjectKey> = writes
            .iter()
            .filter(|write| write.key.resource.group == kogge_machinery::rbac::GROUP)
            .map(|write| write.key.clone())
            .collect();
        let written = self.store().write_many(writes).await.map_err(|error| (error.index, error.source))?;
        if !about_access.is_empty() {
            self.state.access_rules.notice(self.store(), &about_access);
        }
        let mut object: Option<&mut Value> = None;
        let mut rest = writes.iter_mut().zip(&written).peekable();
        while let Some((write, written)) = rest.next() {
            match &mut write.change {
                Change::Put(put) => object = Some(put),
                Change::PutFields(fields) => {
                    if let Some(object) = object.as_deref_mut().and_then(Value::as_object_mut) {
                        object.append(fields);
                    }
                }
                Change::Delete(_) => object = None,
            }
            if rest.peek().is_some_and(|(next, _)| matches!(next.change, Change::PutFields(_))) {
                continue;
            }
            let object = object.as_deref();
            match &*write.key.resource.group {
                // Boxed, as it ends in another write.
                "apiextensions.k8s.io" => Box::pin(self.notice_definition(written, object)).await,
                "admissionregistration.k8s.io" => {
                    self.admission().notice(&written.key.resource, &written.key.name, written.revision, object);
                }
                _ => {}
            }
        }
        Ok(written)
    }

    /// Serves what a definition asks for, and settles its names, or those that waited for the names of one that went.
    async fn notice_definition(&self, written: &StoredObject, definition: Option<&Value>) {
        let now = jiff::Timestamp::now();
        let Some(definition) = definition else {
            self.registry().remove(&written.key.name, written.revision);
            self.settle_definitions(now).await;
            return;
        };
        let gave_up_name = self.registry().define(definition, written);
        if definition.pointer("/metadata/deletionTimestamp").is_some() {
            self.server.clean_up_definition(self, &written.key.name);
        } else {
            pipeline::settle(self, definition, written.revision, now).await;
        }
        if gave_up_name {
            self.settle_definitions(now).await;
        }
    }

    /// Settles the names of definitions that waited for one that is free now.
    async fn settle_definitions(&self, now: jiff::Timestamp) {
        match pipeline::stored_definitions(self) {
            Ok(definitions) => {
                for (definition, revision) in definitions {
                    pipeline::settle(self, &definition, revision, now).await;
                }
            }
            Err(error) => tracing::warn!(%error, "failed to settle the names of definitions"),
        }
    }
}

/// What the store holds, as a value.
///
/// # Errors
/// An internal error when it is no JSON, which only a defect of this server or of its disk can cause.
pub(crate) fn parse_stored(json: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(json).map_err(|error| stored_error(&error))
}

/// Stored bytes that are no JSON.
pub(crate) fn stored_error(error: &serde_json::Error) -> ApiError {
    ApiError::internal(format!("stored object: {error}"))
}

pub(crate) fn read_error(error: &ReadError) -> ApiError {
    ApiError::internal(error.to_string())
}

pub(crate) fn list_error(error: &ListError) -> ApiError {
    match error {
        ListError::Expired { .. } => ApiError::expired("The resourceVersion for the provided list is too old."),
        ListError::Future { requested, current } => ApiError::resource_version_too_large(*requested, *current),
        ListError::Read(error) => read_error(error),
    }
}
