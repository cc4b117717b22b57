//! What the REST API does, without HTTP: one place for its handlers and later for the web console.

use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::{Event, Namespace, Secret};
use kogge_api::contract::{self, CLUSTER_NAME_LABEL};
use kogge_api::kubernetes_cluster::KubernetesCluster;
use kogge_api::plan::Plan;
use kogge_api::problem::ProblemCode;
use kogge_api::provider_profile::ProviderProfile;
use kogge_api::validation::{self, FieldProblem};
use kogge_stacks::{ClusterPlanInput, ObservedState, StackCatalogue};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::merge_patch::merge;
use crate::precondition::{Precondition, check, check_read_from, check_tenant};
use crate::problem_document::{FieldError, ProblemDocument};
use crate::tree::{self, TreeNode};

/// Kinds of Cluster API (v1beta2) that belong to a cluster, in the order a tree shows them.
const CLUSTER_API_KINDS: &[(&str, &str)] = &[
    ("controlplane.cluster.x-k8s.io", "KubeadmControlPlane"),
    (contract::GROUP, "MachineDeployment"),
    (contract::GROUP, "MachineSet"),
    (contract::GROUP, "Machine"),
    (contract::GROUP, "MachineHealthCheck"),
];

/// The service layer. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    client: Client,
    catalogue: Arc<StackCatalogue>,
}

/// What became of a write.
#[derive(Debug)]
pub struct Written {
    /// The document as it is stored now (or would be, on a dry run).
    pub cluster: KubernetesCluster,
    /// Whether it was not there before.
    pub created: bool,
    /// Findings that are no errors.
    pub warnings: Vec<FieldProblem>,
}

impl Service {
    /// Over a client of the API that holds the objects.
    pub fn new(client: Client, catalogue: StackCatalogue) -> Self {
        Self { client, catalogue: Arc::new(catalogue) }
    }

    /// The client.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn clusters(&self, tenant: &str) -> Api<KubernetesCluster> {
        Api::namespaced(self.client.clone(), tenant)
    }

    fn kind(&self, tenant: &str, group: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, contract::VERSION, kind));
        Api::namespaced_with(self.client.clone(), tenant, &resource)
    }

    /// Whether the API behind it answers.
    ///
    /// # Errors
    /// 503 if not.
    pub async fn ready(&self) -> Result<(), ProblemDocument> {
        self.client.apiserver_version().await?;
        Ok(())
    }

    /// Names of the tenants: the namespaces that are not Kubernetes' own.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn tenants(&self) -> Result<Vec<String>, ProblemDocument> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let list = namespaces.list_metadata(&ListParams::default()).await?;
        Ok(list.items.iter().map(kube::ResourceExt::name_any).filter(|name| !name.starts_with("kube-")).collect())
    }

    /// All profiles.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn profiles(&self) -> Result<Vec<ProviderProfile>, ProblemDocument> {
        Ok(Api::<ProviderProfile>::all(self.client.clone()).list(&ListParams::default()).await?.items)
    }

    /// One profile.
    ///
    /// # Errors
    /// 404 with the names there are.
    pub async fn profile(&self, name: &str) -> Result<ProviderProfile, ProblemDocument> {
        if let Some(profile) = Api::<ProviderProfile>::all(self.client.clone()).get_opt(name).await? {
            return Ok(profile);
        }
        let names: Vec<String> = self.profiles().await?.iter().map(kube::ResourceExt::name_any).collect();
        let detail = match names.as_slice() {
            [] => format!("there is no profile `{name}`, and no other one either: make a ProviderProfile first"),
            names => format!("there is no profile `{name}`; there are: {}", names.join(", ")),
        };
        Err(ProblemDocument::coded(StatusCode::NOT_FOUND, ProblemCode::ProfileNotFound, detail))
    }

    /// All clusters of a tenant, with the revision of the list.
    ///
    /// # Errors
    /// As the API answers.
    pub async fn cluster_list(&self, tenant: &str) -> Result<Vec<KubernetesCluster>, ProblemDocument> {
        let mut items = self.clusters(tenant).list(&ListParams::default()).await?.items;
        items.iter_mut().for_each(without_bookkeeping);
        Ok(items)
    }

    /// One cluster.
    ///
    /// # Errors
    /// 404.
    pub async fn cluster(&self, tenant: &str, name: &str) -> Result<KubernetesCluster, ProblemDocument> {
        let mut cluster = self.clusters(tenant).get_opt(name).await?.ok_or_else(|| not_found(tenant, name))?;
        without_bookkeeping(&mut cluster);
        Ok(cluster)
    }

    /// Everything that is to say about a description that would replace `previous`.
    ///
    /// # Errors
    /// 422 with all errors; 503 if the profile cannot be read.
    async fn review(
        &self,
        cluster: &KubernetesCluster,
        previous: Option<&KubernetesCluster>,
    ) -> Result<Vec<FieldProblem>, ProblemDocument> {
        let name = &cluster.spec.provider.profile;
        let profile = Api::<ProviderProfile>::all(self.client.clone()).get_opt(name).await?;
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let mut problems = validation::validate(cluster, previous, profile.as_ref(), today);
        if profile.is_none() {
            let names: Vec<String> = self.profiles().await?.iter().map(kube::ResourceExt::name_any).collect();
            problems.insert(0, validation::profile_not_found(cluster, names.iter().map(String::as_str)));
        }
        let errors: Vec<FieldError> = validation::errors(&problems).map(FieldError::from).collect();
        if errors.is_empty() { Ok(problems) } else { Err(ProblemDocument::invalid(errors)) }
    }

    /// Creates or replaces a description. Doing it twice changes nothing the second time.
    ///
    /// `precondition` is the resource version the caller has seen; without one the present description is replaced
    /// whatever it is, but never a later one than was read here.
    ///
    /// # Errors
    /// 422 for a description that cannot be, 412 for a precondition that does not hold.
    pub async fn cluster_replace(
        &self,
        tenant: &str,
        name: &str,
        mut document: KubernetesCluster,
        precondition: Option<Precondition>,
        dry_run: bool,
    ) -> Result<Written, ProblemDocument> {
        check_tenant(tenant)?;
        let api = self.clusters(tenant);
        document.metadata.namespace = Some(tenant.to_owned());
        document.status = None;
        // What a document that was read here says of the object it was read from holds as in Kubernetes.
        let read_from = (document.metadata.uid.take(), document.metadata.resource_version.take());
        let parameters = PostParams { dry_run, field_manager: Some("kogge-portal".into()) };
        for _ in 0..5 {
            let previous = api.get_opt(name).await?;
            check(precondition.as_ref(), previous.as_ref())?;
            if let Some(previous) = &previous {
                check_read_from(&read_from, previous)?;
            }
            let warnings = self.review(&document, previous.as_ref()).await?;
            let written = match &previous {
                None if self.ensure_tenant(tenant, dry_run).await? => api.create(&parameters, &document).await,
                // Nothing more can be tried before the tenant's namespace is there.
                None => Ok(document.clone()),
                Some(previous) => {
                    let replacement = replacement(previous, &document);
                    if replacement.spec == previous.spec && replacement.metadata == previous.metadata {
                        Ok(previous.clone())
                    } else {
                        api.replace(name, &parameters, &replacement).await
                    }
                }
            };
            match written {
                Ok(mut cluster) => {
                    without_bookkeeping(&mut cluster);
                    return Ok(Written { cluster, created: previous.is_none(), warnings });
                }
                // Somebody wrote in between: read again, unless the caller insists on what it has seen.
                Err(kube::Error::Api(status)) if status.code == 409 && precondition.is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ProblemDocument::new(StatusCode::CONFLICT, format!("{name} is being changed by somebody else; try again")))
    }

    /// A tenant's namespace is made with its first cluster, but not by a dry run. Says whether it is there.
    async fn ensure_tenant(&self, tenant: &str, dry_run: bool) -> Result<bool, ProblemDocument> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(tenant).await?.is_some() {
            return Ok(true);
        }
        if dry_run {
            return Ok(false);
        }
        let namespace = Namespace {
            metadata: kube::api::ObjectMeta { name: Some(tenant.to_owned()), ..Default::default() },
            ..Namespace::default()
        };
        match namespaces.create(&PostParams::default(), &namespace).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes parts of a description by a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// 404, 412, 422; 409 if the patch names a resource version that is not the present one.
    pub async fn cluster_update(
        &self,
        tenant: &str,
        name: &str,
        patch: &Value,
        precondition: Option<Precondition>,
        dry_run: bool,
    ) -> Result<Written, ProblemDocument> {
        let api = self.clusters(tenant);
        for _ in 0..5 {
            let previous = api.get_opt(name).await?.ok_or_else(|| not_found(tenant, name))?;
            check(precondition.as_ref(), Some(&previous))?;
            let mut value = serde_json::to_value(&previous).map_err(|error| internal(&error))?;
            merge(&mut value, patch);
            value["status"] = Value::Null;
            let proposed = crate::body::typed(&value)?;
            if proposed.metadata.name != previous.metadata.name
                || proposed.metadata.namespace != previous.metadata.namespace
            {
                return Err(ProblemDocument::new(StatusCode::BAD_REQUEST, "a patch cannot rename a cluster"));
            }
            let warnings = self.review(&proposed, Some(&previous)).await?;
            let mut patch = patch.clone();
            let pinned = patch.pointer("/metadata/resourceVersion").is_some_and(|version| !version.is_null());
            if !pinned {
                // The patch was checked against this version and goes to no other.
                merge(&mut patch, &json!({ "metadata": { "resourceVersion": previous.resource_version() } }));
            }
            if let Some(fields) = patch.as_object_mut() {
                fields.remove("status");
            }
            let parameters =
                PatchParams { dry_run, field_manager: Some("kogge-portal".into()), ..PatchParams::default() };
            match api.patch(name, &parameters, &Patch::Merge(&patch)).await {
                Ok(mut cluster) => {
                    without_bookkeeping(&mut cluster);
                    return Ok(Written { cluster, created: false, warnings });
                }
                Err(kube::Error::Api(status)) if status.code == 409 && !pinned && precondition.is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ProblemDocument::new(StatusCode::CONFLICT, format!("{name} is being changed by somebody else; try again")))
    }

    /// Deletes a cluster: from now on it goes; it is gone when it is not found any more.
    ///
    /// # Errors
    /// 404, 412.
    pub async fn cluster_delete(
        &self,
        tenant: &str,
        name: &str,
        precondition: Option<Precondition>,
        dry_run: bool,
    ) -> Result<(), ProblemDocument> {
        let api = self.clusters(tenant);
        let previous = api.get_opt(name).await?.ok_or_else(|| not_found(tenant, name))?;
        check(precondition.as_ref(), Some(&previous))?;
        api.delete(name, &DeleteParams { dry_run, ..DeleteParams::background() }).await?;
        Ok(())
    }

    /// What would be done: for a proposed document, or for the stored one.
    ///
    /// # Errors
    /// 404 without a proposal for a cluster there is not; 422 for a proposal that cannot be.
    pub async fn plan(
        &self,
        tenant: &str,
        name: &str,
        proposal: Option<KubernetesCluster>,
    ) -> Result<(Plan, Vec<FieldProblem>), ProblemDocument> {
        let stored = self.clusters(tenant).get_opt(name).await?;
        let cluster = match (proposal, &stored) {
            (Some(mut proposal), stored) => {
                proposal.metadata.namespace = Some(tenant.to_owned());
                match stored {
                    Some(stored) => replacement(stored, &proposal),
                    None => proposal,
                }
            }
            (None, Some(stored)) => stored.clone(),
            (None, None) => return Err(not_found(tenant, name)),
        };
        let findings = self.review(&cluster, stored.as_ref()).await?;
        let profile = self.profile(&cluster.spec.provider.profile).await?;
        let observed = self.observed(tenant, name).await?;
        let input = ClusterPlanInput {
            cluster: &cluster,
            profile: &profile.spec,
            catalogue: &self.catalogue,
            observed: &observed,
            now: Timestamp::now(),
        };
        Ok((kogge_stacks::plan(&input), findings))
    }

    /// The Cluster API objects a plan starts from.
    async fn observed(&self, tenant: &str, name: &str) -> Result<ObservedState, ProblemDocument> {
        let cluster = self.value(tenant, "Cluster", name).await?;
        let of_cluster = ListParams::default().labels(&format!("{CLUSTER_NAME_LABEL}={name}"));
        let control_planes =
            self.values(tenant, "controlplane.cluster.x-k8s.io", "KubeadmControlPlane", &of_cluster).await?;
        let deployments = self.values(tenant, contract::GROUP, "MachineDeployment", &of_cluster).await?;
        let classes = self.values(tenant, contract::GROUP, "ClusterClass", &ListParams::default()).await?;
        Ok(ObservedState::from_objects(cluster.as_ref(), control_planes.first(), &deployments, &classes))
    }

    async fn value(&self, tenant: &str, kind: &str, name: &str) -> Result<Option<Value>, ProblemDocument> {
        let object = self.kind(tenant, contract::GROUP, kind).get_opt(name).await?;
        object.map(|object| serde_json::to_value(object).map_err(|error| internal(&error))).transpose()
    }

    async fn values(
        &self,
        tenant: &str,
        group: &str,
        kind: &str,
        parameters: &ListParams,
    ) -> Result<Vec<Value>, ProblemDocument> {
        match self.kind(tenant, group, kind).list(parameters).await {
            Ok(list) => list
                .items
                .into_iter()
                .map(|mut object| {
                    // Items of a list carry no type of their own.
                    object.types.get_or_insert_with(|| kube::api::TypeMeta {
                        api_version: format!("{group}/v1beta2"),
                        kind: kind.to_owned(),
                    });
                    serde_json::to_value(object).map_err(|error| internal(&error))
                })
                .collect(),
            // A backend without this kind has none of it.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The objects a cluster consists of, by who owns whom.
    ///
    /// # Errors
    /// 404.
    pub async fn tree(&self, tenant: &str, name: &str) -> Result<TreeNode, ProblemDocument> {
        let root = self.cluster(tenant, name).await?;
        let objects = self.objects(tenant, name).await?;
        Ok(tree::build(&root, &objects))
    }

    /// All Cluster API and infrastructure objects of a cluster.
    pub(crate) async fn objects(&self, tenant: &str, name: &str) -> Result<Vec<Value>, ProblemDocument> {
        let of_cluster = ListParams::default().labels(&format!("{CLUSTER_NAME_LABEL}={name}"));
        let mut objects: Vec<Value> = self.value(tenant, "Cluster", name).await?.into_iter().collect();
        for (group, kind) in CLUSTER_API_KINDS {
            objects.extend(self.values(tenant, group, kind, &of_cluster).await?);
        }
        // Which kinds of infrastructure there are is told by the references of the objects above.
        let mut kinds: Vec<(String, String)> = objects
            .iter()
            .filter_map(|object| object.pointer("/spec/infrastructureRef"))
            .filter_map(|reference| {
                Some((reference["apiGroup"].as_str()?.to_owned(), reference["kind"].as_str()?.to_owned()))
            })
            .collect();
        kinds.sort();
        kinds.dedup();
        for (group, kind) in kinds {
            objects.extend(self.values(tenant, &group, &kind, &of_cluster).await?);
        }
        Ok(objects)
    }

    /// A short-lived kubeconfig: a client certificate signed with the cluster's own authority.
    ///
    /// # Errors
    /// 404; 409 while the cluster has no API server yet.
    pub async fn kubeconfig(
        &self,
        tenant: &str,
        name: &str,
        valid_for: std::time::Duration,
    ) -> Result<crate::kubeconfig::Kubeconfig, ProblemDocument> {
        self.cluster(tenant, name).await?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), tenant);
        let authority = secrets.get_opt(&contract::ca_secret(name)).await?;
        let admin = secrets.get_opt(&contract::kubeconfig_secret(name)).await?;
        let (Some(authority), Some(admin)) = (authority, admin) else {
            return Err(ProblemDocument::coded(
                StatusCode::CONFLICT,
                ProblemCode::KubeconfigUnavailable,
                format!("{name} has no API server yet; wait until its control plane is initialized"),
            ));
        };
        crate::kubeconfig::issue(tenant, name, &authority, &admin, valid_for, Timestamp::now()).map_err(|error| {
            ProblemDocument::coded(
                StatusCode::INTERNAL_SERVER_ERROR,
                ProblemCode::KubeconfigUnavailable,
                error.to_string(),
            )
        })
    }

    /// Events about a cluster and the objects it consists of, oldest first.
    pub(crate) async fn events(&self, tenant: &str, name: &str) -> Result<Vec<Event>, ProblemDocument> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), tenant);
        let mut items = events.list(&ListParams::default()).await?.items;
        items.retain(|event| {
            let object = event.involved_object.name.as_deref().unwrap_or_default();
            object == name || object.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
        });
        items.sort_by_key(crate::diagnostics::event_time);
        Ok(items)
    }
}

/// The stored object with the user's part of a document in the place of its own. What others keep in the metadata
/// (finalizers, owners, annotations of controllers) stays.
fn replacement(previous: &KubernetesCluster, document: &KubernetesCluster) -> KubernetesCluster {
    let mut replacement = previous.clone();
    replacement.spec = document.spec.clone();
    if document.metadata.labels.is_some() {
        replacement.metadata.labels.clone_from(&document.metadata.labels);
    }
    if let Some(annotations) = &document.metadata.annotations {
        replacement.metadata.annotations.get_or_insert_default().extend(annotations.clone());
    }
    replacement
}

/// Field ownership is for controllers; people read documents.
pub(crate) fn without_bookkeeping(cluster: &mut KubernetesCluster) {
    cluster.metadata.managed_fields = None;
}

fn not_found(tenant: &str, name: &str) -> ProblemDocument {
    ProblemDocument::new(StatusCode::NOT_FOUND, format!("tenant {tenant} has no cluster `{name}`"))
}

fn internal(error: &serde_json::Error) -> ProblemDocument {
    ProblemDocument::new(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to read a stored object: {error}"))
}
