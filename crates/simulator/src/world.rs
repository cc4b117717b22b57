//! The shared cache of all objects the simulator works with, indexed by cluster.
//!
//! A thousand clusters have some sixty thousand objects, of which a few clusters' are looked at: objects are kept as JSON text,
//! without managed fields and without the content of secrets, and parsed only while somebody [visits](World::visit) their
//! cluster. Writes put their answers here, so the next decision sees them before the watch tells; what the watch tells later
//! and is older is ignored.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    fault::{FaultTarget, Faults},
    kind::Kind,
    object::{CLUSTER_NAME_LABEL, Object},
    state::ClusterState,
};

/// Namespace and name of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for ClusterKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// What a change means for the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affected {
    /// Nothing changed: the cache knew it already.
    Nothing,
    /// One cluster.
    Cluster(ClusterKey),
    /// Every cluster of a namespace: a class or one of its templates changed.
    Namespace(String),
    /// Every cluster: a fault changed.
    All,
}

#[derive(Debug)]
struct Entry {
    revision: u64,
    cluster: Option<String>,
    /// Whether the entry is an instance the cloud has.
    instance: bool,
    content: Content,
}

/// An object in the form it is needed in.
#[derive(Debug)]
enum Content {
    /// It was deleted, and the watch has not told so yet.
    Gone,
    /// Nobody looks at it.
    Text(Arc<[u8]>),
    /// It is looked at again and again. The text is there unless the object changed since.
    Read(Object, Option<Arc<[u8]>>),
}

impl Content {
    fn text_of(object: &Object) -> Arc<[u8]> {
        // Writing a `Value` to memory cannot fail.
        serde_json::to_vec(object.value()).unwrap_or_default().into()
    }

    fn read(&self) -> Option<Object> {
        match self {
            Self::Gone => None,
            Self::Text(text) => serde_json::from_slice(text).ok().map(Object::new),
            Self::Read(object, _) => Some(object.clone()),
        }
    }

    /// Parses it for good.
    fn keep_read(&mut self) -> Option<Object> {
        if let Self::Text(text) = self {
            let object = Object::new(serde_json::from_slice(text).ok()?);
            *self = Self::Read(object, Some(text.clone()));
        }
        self.read()
    }

    /// Lets go of what is parsed.
    fn settle(&mut self) {
        if let Self::Read(object, text) = self {
            let text = text.take().unwrap_or_else(|| Self::text_of(object));
            *self = Self::Text(text);
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// By kind, then by namespace and name: every decision asks for all faults, of which there are few or none.
    objects: HashMap<Kind, HashMap<(String, String), Entry>>,
    by_cluster: HashMap<ClusterKey, BTreeSet<(Kind, String)>>,
    /// Clusters somebody looks at: their objects stay parsed.
    visited: HashSet<ClusterKey>,
}

impl Inner {
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&(String, String), &Entry)> {
        self.objects.get(&kind).into_iter().flatten()
    }

    fn entry(&self, kind: Kind, key: &(String, String)) -> Option<&Entry> {
        self.objects.get(&kind)?.get(key)
    }

    fn entry_mut(&mut self, kind: Kind, namespace: &str, name: &str) -> Option<&mut Entry> {
        self.objects.get_mut(&kind)?.get_mut(&(namespace.to_owned(), name.to_owned()))
    }

    /// An object that is looked at again soon.
    fn read(&mut self, kind: Kind, namespace: &str, name: &str) -> Option<Object> {
        self.entry_mut(kind, namespace, name)?.content.keep_read()
    }
}

/// Somebody looks at a cluster; until this is dropped its objects stay parsed.
#[derive(Debug)]
pub struct Visit<'a> {
    world: &'a World,
    key: &'a ClusterKey,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut inner = self.world.lock();
        inner.visited.remove(self.key);
        for (kind, name) in inner.by_cluster.get(self.key).cloned().into_iter().flatten() {
            if let Some(entry) = inner.entry_mut(kind, &self.key.namespace, &name) {
                entry.content.settle();
            }
        }
    }
}

/// The cache. Shared by reference.
#[derive(Debug, Default)]
pub struct World {
    inner: Mutex<Inner>,
    machine_or_fault: Notify,
}

impl World {
    /// Waits until a machine or a fault has changed since the last call returned. For one waiter.
    pub async fn machine_or_fault_changed(&self) {
        self.machine_or_fault.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the state of an object; says whom the change concerns.
    pub fn put(&self, kind: Kind, mut object: Value) -> Affected {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        if kind == Kind::Secret
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("data");
        }
        let object = Object::new(object);
        let revision = object.text("/metadata/resourceVersion").parse().unwrap_or_default();
        let cluster = match kind {
            Kind::Cluster => Some(object.name().to_owned()),
            _ => object.label(CLUSTER_NAME_LABEL).map(str::to_owned),
        };
        let namespace = object.namespace().to_owned();
        let key = (namespace.clone(), object.name().to_owned());
        // An object without a finalizer left is gone, even if its last state is what a write answered.
        let gone = object.deleting() && object.list("/metadata/finalizers").is_empty();
        let mut inner = self.lock();
        if inner.entry(kind, &key).is_some_and(|known| known.revision >= revision) {
            return Affected::Nothing;
        }
        let index = cluster.as_ref().map(|name| ClusterKey { namespace: namespace.clone(), name: name.clone() });
        let instance = kind == Kind::SimulatedMachine && !object.text("/status/stage").is_empty() && !gone;
        // Classes, templates and faults belong to no cluster and are part of every look.
        let is_looked_at = index.as_ref().is_none_or(|index| inner.visited.contains(index));
        let content = if gone {
            Content::Gone
        } else if is_looked_at {
            Content::Read(object, None)
        } else {
            Content::Text(Content::text_of(&object))
        };
        if let Some(index) = index {
            let members = inner.by_cluster.entry(index).or_default();
            if gone {
                members.remove(&(kind, key.1.clone()));
            } else {
                members.insert((kind, key.1.clone()));
            }
        }
        let entry = Entry { revision, cluster: cluster.clone(), instance, content };
        inner.objects.entry(kind).or_default().insert(key, entry);
        drop(inner);
        if matches!(kind, Kind::Machine | Kind::Fault) {
            self.machine_or_fault.notify_one();
        }
        affected(kind, namespace, cluster)
    }

    /// Forgets an object that the watch says was deleted.
    pub fn remove(&self, kind: Kind, object: &Object) -> Affected {
        let revision: u64 = object.text("/metadata/resourceVersion").parse().unwrap_or_default();
        let key = (object.namespace().to_owned(), object.name().to_owned());
        let mut inner = self.lock();
        // A newer object of the same name may be there already.
        if inner.entry(kind, &key).is_none_or(|known| known.revision > revision) {
            return Affected::Nothing;
        }
        let Some(entry) = inner.objects.get_mut(&kind).and_then(|all| all.remove(&key)) else {
            return Affected::Nothing;
        };
        if let Some(cluster) = &entry.cluster {
            let index = ClusterKey { namespace: key.0.clone(), name: cluster.clone() };
            if let Some(members) = inner.by_cluster.get_mut(&index) {
                members.remove(&(kind, key.1.clone()));
                if members.is_empty() {
                    inner.by_cluster.remove(&index);
                }
            }
        }
        affected(kind, key.0, entry.cluster)
    }

    /// Marks an object as gone after a write found it missing.
    pub fn forget(&self, kind: Kind, namespace: &str, name: &str) {
        let mut inner = self.lock();
        let cluster = inner.entry_mut(kind, namespace, name).and_then(|entry| {
            entry.content = Content::Gone;
            entry.instance = false;
            entry.cluster.clone()
        });
        if let Some(cluster) = cluster
            && let Some(members) =
                inner.by_cluster.get_mut(&ClusterKey { namespace: namespace.to_owned(), name: cluster })
        {
            members.remove(&(kind, name.to_owned()));
        }
    }

    /// Removes all objects of a kind that are not in `kept`, after a watch had to start over.
    pub fn retain(&self, kind: Kind, kept: &BTreeSet<(String, String)>) -> Vec<Affected> {
        let gone: Vec<Object> = self
            .lock()
            .of_kind(kind)
            .filter(|(key, _)| !kept.contains(key))
            .map(|((namespace, name), entry)| {
                Object::new(serde_json::json!({"metadata": {
                    "namespace": namespace, "name": name, "resourceVersion": entry.revision.to_string()}}))
            })
            .collect();
        gone.iter().map(|object| self.remove(kind, object)).collect()
    }

    /// One object.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Object> {
        self.lock().entry(kind, &(namespace.to_owned(), name.to_owned()))?.content.read()
    }

    /// Every object of a kind.
    pub fn all(&self, kind: Kind) -> Vec<Object> {
        let inner = self.lock();
        inner.of_kind(kind).filter_map(|(_, entry)| entry.content.read()).collect()
    }

    /// Every cluster, or those of one namespace.
    pub fn clusters(&self, namespace: Option<&str>) -> Vec<ClusterKey> {
        let inner = self.lock();
        inner
            .of_kind(Kind::Cluster)
            .filter(|((of, _), _)| namespace.is_none_or(|wanted| wanted == of))
            .map(|((namespace, name), _)| ClusterKey { namespace: namespace.clone(), name: name.clone() })
            .collect()
    }

    /// Keeps the objects of a cluster parsed until the visit is dropped. Only one visit of a cluster at a time.
    pub fn visit<'a>(&'a self, key: &'a ClusterKey) -> Visit<'a> {
        self.lock().visited.insert(key.clone());
        Visit { world: self, key }
    }

    /// All that belongs to a visited cluster, with its class and the class's templates.
    pub fn state(&self, key: &ClusterKey) -> Option<ClusterState> {
        let mut inner = self.lock();
        let mut state = ClusterState::of(inner.read(Kind::Cluster, &key.namespace, &key.name)?);
        for (kind, name) in inner.by_cluster.get(key)?.clone() {
            if let Some(object) = inner.read(kind, &key.namespace, &name) {
                state.insert(kind, object);
            }
        }
        let namespace = match state.cluster.text("/spec/topology/classRef/namespace") {
            "" => key.namespace.clone(),
            namespace => namespace.to_owned(),
        };
        let class = inner.read(Kind::ClusterClass, &namespace, state.cluster.text("/spec/topology/classRef/name"));
        if let Some(class) = class {
            for reference in template_references(&class) {
                let kind = reference["kind"].as_str().and_then(Kind::from_name);
                let name = reference["name"].as_str().unwrap_or_default();
                if let Some(kind) = kind
                    && let Some(template) = inner.read(kind, &namespace, name)
                {
                    state.insert(kind, template);
                }
            }
            state.class = Some(class);
        }
        Some(state)
    }

    /// The faults that are set.
    pub fn faults(&self) -> Faults {
        Faults::read(&self.all(Kind::Fault))
    }

    /// Instances within a fault's namespace and cluster.
    pub fn instances(&self, target: &FaultTarget) -> u32 {
        let inner = self.lock();
        let count = inner
            .of_kind(Kind::SimulatedMachine)
            .filter(|((namespace, _), entry)| {
                entry.instance
                    && target.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
                    && (target.cluster.is_none() || target.cluster == entry.cluster)
            })
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

fn affected(kind: Kind, namespace: String, cluster: Option<String>) -> Affected {
    match (kind, cluster) {
        (Kind::Fault, _) => Affected::All,
        (_, Some(name)) => Affected::Cluster(ClusterKey { namespace, name }),
        (Kind::Secret, None) => Affected::Nothing,
        (_, None) => Affected::Namespace(namespace),
    }
}

fn template_references(class: &Object) -> Vec<Value> {
    let mut references = vec![
        class.at("/spec/infrastructure/templateRef").clone(),
        class.at("/spec/controlPlane/templateRef").clone(),
        class.at("/spec/controlPlane/machineInfrastructure/templateRef").clone(),
    ];
    for worker in class.list("/spec/workers/machineDeployments") {
        references.push(worker["bootstrap"]["templateRef"].clone());
        references.push(worker["infrastructure"]["templateRef"].clone());
    }
    references
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn machine(revision: u64, deleting: bool) -> Value {
        let mut object = json!({"metadata": {
            "name": "m", "namespace": "default", "resourceVersion": revision.to_string(),
            "labels": {CLUSTER_NAME_LABEL: "first"},
        }});
        if deleting {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        object
    }

    #[test]
    fn what_the_watch_tells_late_never_brings_back_what_a_write_removed() {
        let world = World::default();
        let key = ClusterKey { namespace: "default".into(), name: "first".into() };
        assert_eq!(world.put(Kind::Machine, machine(5, false)), Affected::Cluster(key.clone()));
        assert_eq!(world.put(Kind::Machine, machine(4, false)), Affected::Nothing);
        assert_eq!(world.put(Kind::Machine, machine(9, true)), Affected::Cluster(key));
        assert_eq!(world.get(Kind::Machine, "default", "m"), None);
        assert_eq!(world.put(Kind::Machine, machine(7, false)), Affected::Nothing);
        world.remove(Kind::Machine, &Object::new(machine(9, true)));
        world.put(Kind::Machine, machine(12, false));
        assert!(world.get(Kind::Machine, "default", "m").is_some());
    }

    #[test]
    fn a_visit_changes_how_objects_are_kept_and_never_what_they_are() {
        let world = World::default();
        let key = ClusterKey { namespace: "default".into(), name: "first".into() };
        let cluster = json!({"metadata": {"name": "first", "namespace": "default", "resourceVersion": "3"}});
        world.put(Kind::Cluster, cluster);
        world.put(Kind::Machine, machine(5, false));
        let before = world.visit(&key);
        let seen = world.state(&key).map(|state| state.machines).unwrap_or_default();
        assert_eq!(seen, [Object::new(machine(5, false))]);
        world.put(Kind::Machine, machine(6, false));
        drop(before);
        assert_eq!(world.get(Kind::Machine, "default", "m"), Some(Object::new(machine(6, false))));
        let _again = world.visit(&key);
        world.put(Kind::Machine, machine(7, true));
        assert_eq!(world.state(&key).map(|state| state.machines.len()), Some(0));
    }
}
