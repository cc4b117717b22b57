//! The index: everything the operator knows, by cluster. Watches write it, reconciliations read snapshots of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kogge_api::KubernetesCluster;
use kogge_api::ProviderProfile;
use kogge_api::kubernetes_version::KubernetesVersion;
use kogge_stacks::ObservedState;
use kogge_stacks::render::content_of;
use kube::core::DynamicObject;
use serde_json::Value;

use super::object::{Infrastructure, Machine, MachineGroup, cluster_name, whole};

/// Namespace and name of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// What part of the index a watched kind feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The `Cluster`.
    Cluster,
    /// The control plane object.
    ControlPlane,
    /// Machine deployments.
    MachineDeployment,
    /// Machines.
    Machine,
    /// Infrastructure, machines' or the cluster's.
    Infrastructure,
    /// ClusterClasses.
    ClusterClass,
}

/// What there is of a cluster in Cluster API.
#[derive(Clone, Debug, Default)]
pub struct ClusterObjects {
    /// The `Cluster`, without managed fields.
    pub cluster: Option<Arc<Value>>,
    /// The control plane.
    pub control_plane: Option<MachineGroup>,
    /// Machine deployments by object name.
    pub machine_deployments: BTreeMap<String, MachineGroup>,
    /// Machines by name.
    pub machines: BTreeMap<String, Machine>,
    /// Infrastructure by kind and name.
    pub infrastructure: BTreeMap<(String, String), Infrastructure>,
}

impl ClusterObjects {
    fn is_empty(&self) -> bool {
        self.cluster.is_none()
            && self.control_plane.is_none()
            && self.machine_deployments.is_empty()
            && self.machines.is_empty()
            && self.infrastructure.is_empty()
    }
}

/// Everything about one cluster at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The description, or why it cannot be read.
    pub description: Option<Arc<Result<KubernetesCluster, InvalidDescription>>>,
    /// Its profile, if it is known.
    pub profile: Option<Arc<ProviderProfile>>,
    /// Names of all profiles.
    pub profile_names: Vec<String>,
    /// Objects of Cluster API.
    pub objects: ClusterObjects,
    /// Content of the ClusterClasses in the namespace, by name.
    pub classes: BTreeMap<String, String>,
}

/// A stored description that does not fit the type, for example from a later version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDescription {
    /// Unique identifier of the object.
    pub uid: Option<String>,
    /// Generation of the object.
    pub generation: Option<i64>,
    /// What the reader says.
    pub error: String,
}

#[derive(Debug, Default)]
struct Contents {
    descriptions: HashMap<ClusterKey, Arc<Result<KubernetesCluster, InvalidDescription>>>,
    profiles: BTreeMap<String, Arc<ProviderProfile>>,
    clusters: HashMap<ClusterKey, ClusterObjects>,
    /// By namespace and name: content, and whether Kogge made it.
    classes: BTreeMap<(String, String), (String, bool)>,
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    contents: Mutex<Contents>,
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a description; an older one than known is ignored.
    pub fn put_description(&self, key: ClusterKey, description: Result<KubernetesCluster, InvalidDescription>) {
        let mut contents = self.lock();
        if let (Some(known), Ok(new)) = (contents.descriptions.get(&key), &description)
            && let Ok(known) = known.as_ref()
            && is_older(new.metadata.resource_version.as_deref(), known.metadata.resource_version.as_deref())
            && new.metadata.uid == known.metadata.uid
        {
            return;
        }
        contents.descriptions.insert(key, Arc::new(description));
    }

    /// Removes a description.
    pub fn remove_description(&self, key: &ClusterKey) {
        self.lock().descriptions.remove(key);
    }

    /// All descriptions' keys.
    pub fn description_keys(&self) -> Vec<ClusterKey> {
        self.lock().descriptions.keys().cloned().collect()
    }

    /// Keys of the descriptions that name a profile.
    pub fn clusters_of_profile(&self, profile: &str) -> Vec<ClusterKey> {
        let contents = self.lock();
        let uses = |description: &Result<KubernetesCluster, _>| {
            description.as_ref().is_ok_and(|cluster| cluster.spec.provider.profile == profile)
        };
        contents.descriptions.iter().filter(|(_, it)| uses(it)).map(|(key, _)| key.clone()).collect()
    }

    /// Takes in a profile.
    pub fn put_profile(&self, name: String, profile: ProviderProfile) {
        self.lock().profiles.insert(name, Arc::new(profile));
    }

    /// Removes a profile.
    pub fn remove_profile(&self, name: &str) {
        self.lock().profiles.remove(name);
    }

    /// Takes in an object of Cluster API. Returns the clusters it concerns: none if nothing that is kept changed.
    pub fn put(&self, role: Role, kind: &str, api_version: &str, object: DynamicObject) -> Vec<ClusterKey> {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        if role == Role::ClusterClass {
            return self.put_class(namespace, name, &object);
        }
        let cluster = if role == Role::Cluster { Some(name.clone()) } else { cluster_name(&object) };
        let Some(cluster) = cluster else { return Vec::new() };
        let key = ClusterKey { namespace, name: cluster };
        let mut contents = self.lock();
        let objects = contents.clusters.entry(key.clone()).or_default();
        let has_changed = match role {
            Role::Cluster => {
                let new = whole(object, api_version, kind);
                let known = objects.cluster.as_ref();
                let version = |value: &Value| value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                let is_stale = known.is_some_and(|known| {
                    known["metadata"]["uid"] == new["metadata"]["uid"]
                        && is_older(version(&new).as_deref(), version(known).as_deref())
                });
                if is_stale {
                    return Vec::new();
                }
                objects.cluster = Some(Arc::new(new));
                true
            }
            Role::ControlPlane => {
                let new = Some(MachineGroup::read(&object));
                std::mem::replace(&mut objects.control_plane, new.clone()) != new
            }
            Role::MachineDeployment => {
                let new = MachineGroup::read(&object);
                objects.machine_deployments.insert(name, new.clone()).as_ref() != Some(&new)
            }
            Role::Machine => {
                let new = Machine::read(&object);
                objects.machines.insert(name, new.clone()).as_ref() != Some(&new)
            }
            Role::Infrastructure => {
                let new = Infrastructure::read(&object, kind);
                objects.infrastructure.insert((kind.to_owned(), name), new.clone()).as_ref() != Some(&new)
            }
            Role::ClusterClass => false,
        };
        if has_changed { vec![key] } else { Vec::new() }
    }

    fn put_class(&self, namespace: String, name: String, object: &DynamicObject) -> Vec<ClusterKey> {
        let labels = object.metadata.labels.as_ref();
        let is_ours = labels.is_some_and(|labels| labels.contains_key("kogge.dev/stack-release"));
        let annotations = serde_json::json!({"metadata": {"annotations": object.metadata.annotations}});
        let content = content_of(&annotations).unwrap_or_default().to_owned();
        let mut contents = self.lock();
        let key = (namespace, name);
        if contents.classes.get(&key) == Some(&(content.clone(), is_ours)) {
            return Vec::new();
        }
        let users = contents.users_of_class(&key);
        contents.classes.insert(key, (content, is_ours));
        users
    }

    /// Removes an object of Cluster API. Returns the clusters it concerns.
    pub fn remove(&self, role: Role, kind: &str, object: &DynamicObject) -> Vec<ClusterKey> {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let mut contents = self.lock();
        if role == Role::ClusterClass {
            let key = (namespace, name);
            contents.classes.remove(&key);
            return contents.users_of_class(&key);
        }
        let cluster = if role == Role::Cluster { Some(name.clone()) } else { cluster_name(object) };
        let Some(cluster) = cluster else { return Vec::new() };
        let key = ClusterKey { namespace, name: cluster };
        contents.remove(role, kind, &key, &name);
        vec![key]
    }

    /// Removes all objects of a kind but those listed: what a watch missed while it was down. Returns the clusters
    /// something was removed from.
    pub fn retain(&self, role: Role, kind: &str, seen: &HashSet<(String, String)>) -> Vec<ClusterKey> {
        let mut contents = self.lock();
        if role == Role::ClusterClass {
            contents.classes.retain(|key, _| seen.contains(key));
            return Vec::new();
        }
        let mut gone: Vec<(ClusterKey, String)> = Vec::new();
        for (key, objects) in &contents.clusters {
            let names: Vec<&String> = match role {
                Role::Cluster => objects.cluster.iter().map(|_| &key.name).collect(),
                Role::ControlPlane => objects.control_plane.iter().map(|group| &group.name).collect(),
                Role::MachineDeployment => objects.machine_deployments.keys().collect(),
                Role::Machine => objects.machines.keys().collect(),
                Role::Infrastructure => {
                    objects.infrastructure.keys().filter(|(known, _)| known == kind).map(|(_, name)| name).collect()
                }
                Role::ClusterClass => Vec::new(),
            };
            let missing = names.into_iter().filter(|name| !seen.contains(&(key.namespace.clone(), (*name).clone())));
            gone.extend(missing.map(|name| (key.clone(), name.clone())));
        }
        for (key, name) in &gone {
            contents.remove(role, kind, key, name);
        }
        gone.into_iter().map(|(key, _)| key).collect()
    }

    /// ClusterClasses of Kogge in the namespace of a cluster that no cluster uses or is about to use. Goes through all
    /// clusters.
    pub fn unused_classes(&self, key: &ClusterKey) -> Vec<String> {
        self.lock().unused_classes(key)
    }

    /// Everything about one cluster.
    pub fn snapshot(&self, key: &ClusterKey) -> Snapshot {
        let contents = self.lock();
        let description = contents.descriptions.get(key).cloned();
        let profile_name = description.as_deref().and_then(|description| description.as_ref().ok());
        let profile = profile_name.and_then(|cluster| contents.profiles.get(&cluster.spec.provider.profile)).cloned();
        let classes = contents.classes_in(&key.namespace);
        Snapshot {
            profile,
            profile_names: contents.profiles.keys().cloned().collect(),
            objects: contents.clusters.get(key).cloned().unwrap_or_default(),
            classes: classes.map(|((_, name), (content, _))| (name.clone(), content.clone())).collect(),
            description,
        }
    }
}

impl Contents {
    fn remove(&mut self, role: Role, kind: &str, key: &ClusterKey, name: &str) {
        let Some(objects) = self.clusters.get_mut(key) else { return };
        match role {
            Role::Cluster => objects.cluster = None,
            Role::ControlPlane => objects.control_plane = None,
            Role::MachineDeployment => {
                objects.machine_deployments.remove(name);
            }
            Role::Machine => {
                objects.machines.remove(name);
            }
            Role::Infrastructure => {
                objects.infrastructure.remove(&(kind.to_owned(), name.to_owned()));
            }
            Role::ClusterClass => {}
        }
        if objects.is_empty() {
            self.clusters.remove(key);
        }
    }

    fn classes_in(&self, namespace: &str) -> impl Iterator<Item = (&(String, String), &(String, bool))> {
        let from = (namespace.to_owned(), String::new());
        let namespace = namespace.to_owned();
        self.classes.range(from..).take_while(move |((of, _), _)| *of == namespace)
    }

    fn users_of_class(&self, (namespace, name): &(String, String)) -> Vec<ClusterKey> {
        let uses = |objects: &ClusterObjects| {
            let cluster = objects.cluster.as_deref();
            cluster.is_some_and(|cluster| cluster["spec"]["topology"]["classRef"]["name"] == name.as_str())
        };
        self.clusters
            .iter()
            .filter(|(key, objects)| key.namespace == *namespace && uses(objects))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Classes nobody needs. While another description of the namespace has no Cluster yet, it may be about to need any.
    fn unused_classes(&self, asking: &ClusterKey) -> Vec<String> {
        let mut unused: BTreeSet<&String> = self
            .classes_in(&asking.namespace)
            .filter(|(_, (_, is_ours))| *is_ours)
            .map(|((_, name), _)| name)
            .collect();
        if unused.is_empty() {
            return Vec::new();
        }
        let is_pending = self.descriptions.iter().any(|(key, description)| {
            key.namespace == asking.namespace
                && key != asking
                && self.clusters.get(key).is_none_or(|objects| objects.cluster.is_none())
                && description.as_ref().as_ref().is_ok_and(|cluster| cluster.metadata.deletion_timestamp.is_none())
        });
        if is_pending {
            return Vec::new();
        }
        for (key, objects) in &self.clusters {
            if let Some(cluster) = objects.cluster.as_deref().filter(|_| key.namespace == asking.namespace)
                && let Some(name) = cluster["spec"]["topology"]["classRef"]["name"].as_str()
            {
                unused.retain(|class| *class != name);
            }
        }
        unused.into_iter().cloned().collect()
    }
}

impl Snapshot {
    /// The state a plan starts from.
    pub fn observed(&self) -> ObservedState {
        let version =
            |text: &Option<String>| -> Option<KubernetesVersion> { text.as_deref().and_then(|text| text.parse().ok()) };
        let objects = &self.objects;
        let mut machine_versions = Vec::new();
        if let Some(control_plane) = &objects.control_plane {
            machine_versions.extend(version(&control_plane.version));
            machine_versions.extend(version(&control_plane.running_version));
        }
        for deployment in objects.machine_deployments.values() {
            machine_versions.extend(version(&deployment.version));
        }
        machine_versions.extend(objects.machines.values().filter_map(|machine| version(&machine.version)));
        let replicas = objects.machine_deployments.values();
        ObservedState {
            cluster: objects.cluster.as_deref().cloned(),
            machine_versions,
            replicas: replicas.map(|group| (group.topology_name.clone(), group.replicas.desired)).collect(),
            published_classes: self.classes.clone(),
            unused_classes: Vec::new(),
        }
    }
}

/// Whether a resource version is older than another. Versions are opaque, but numbers in practice; anything else is
/// never older.
fn is_older(new: Option<&str>, known: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|version| version.parse::<u64>().ok());
    matches!((number(new), number(known)), (Some(new), Some(known)) if new < known)
}
