//! What is stored, written, listed and told: the values of the store's interface.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use kogge_machinery::resource::GroupResource;
use serde_json::{Map, Value};

/// A plane's name: empty for management, `NAMESPACE/NAME` for a workload cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaneName(
    /// The name as text.
    pub String,
);

impl std::fmt::Display for PlaneName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The resource, across versions.
    pub resource: GroupResource,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            write!(formatter, "{} {}", self.resource, self.name)
        } else {
            write!(formatter, "{} {}/{}", self.resource, self.namespace, self.name)
        }
    }
}

/// Which objects a list or a watch covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every object of the plane.
    Plane,
    /// Every object of a resource, in all namespaces.
    Resource(GroupResource),
    /// The objects of a resource in one namespace.
    Namespace(GroupResource, String),
}

impl Scope {
    /// The scope of a request: one namespace, or all where `namespace` is empty or absent.
    pub fn of(resource: &GroupResource, namespace: Option<&str>) -> Self {
        match namespace {
            Some(namespace) if !namespace.is_empty() => Scope::Namespace(resource.clone(), namespace.to_owned()),
            _ => Scope::Resource(resource.clone()),
        }
    }

    /// Whether an object is covered.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        match self {
            Scope::Plane => true,
            Scope::Resource(resource) => key.resource == *resource,
            Scope::Namespace(resource, namespace) => key.resource == *resource && key.namespace == *namespace,
        }
    }
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Where it is.
    pub key: ObjectKey,
    /// The revision that wrote it.
    pub revision: u64,
    /// When it was written, by the store's clock.
    pub written_at: Timestamp,
    /// Its JSON, with `metadata.resourceVersion` filled in: serve it as it is.
    pub json: Bytes,
    /// What a write of an object has compressed its largest field to, if that is large. Reads have none.
    pub compressed: Option<CompressedField>,
}

/// A field of an object whose value was compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressedField {
    /// Its name: `spec`.
    pub name: String,
    /// The JSON of its value as an LZ4 block, with the length of the JSON (4 bytes, little endian) before it.
    pub block: Arc<[u8]>,
}

/// What a write does.
#[derive(Clone, Debug)]
pub enum Change {
    /// Stores this object; `metadata.resourceVersion` is overwritten by the commit.
    Put(Value),
    /// Stores the object that the write before it in the transaction puts at the same key, with these fields in a later
    /// state: the two share what may be large.
    PutFields(Map<String, Value>),
    /// Removes the object. The value is its last state, told to watchers with the delete's revision.
    Delete(Value),
}

/// What a write expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No object is there (create).
    Absent,
    /// The object's last change has this revision (update, delete).
    Revision(u64),
    /// An object is there: for what an earlier write of the same transaction made, whose revision nobody knows yet.
    Present,
}

/// One write of a transaction.
#[derive(Clone, Debug)]
pub struct Write {
    /// Where.
    pub key: ObjectKey,
    /// What.
    pub change: Change,
    /// On which condition.
    pub expected: Expected,
}

/// Why a write was refused. Except after `Storage`, nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// `Expected::Absent`, but an object is there.
    #[error("an object is already there")]
    Exists,
    /// `Expected::Revision`, but no object is there.
    #[error("the object is gone")]
    Missing,
    /// `Expected::Revision`, but the object was changed since.
    #[error("the object is at revision {current}, not {expected}")]
    Conflict {
        /// What the writer expected.
        expected: u64,
        /// What is there.
        current: u64,
    },
    /// The plane was deleted.
    #[error("the plane is gone")]
    PlaneGone,
    /// The value is not a JSON object, or its `metadata` is not, or the key has a NUL byte or a part over 1 KiB.
    #[error("not an object that can be stored: {0}")]
    Malformed(String),
    /// The disk failed or is full. Nothing of the write was acknowledged or published, but whether it is there after
    /// a restart is unknown. The store refuses further writes ([`Store::health`](super::Store::health)) until it is opened again.
    #[error("failed to store: {0}")]
    Storage(String),
}

/// Why a transaction of several writes was refused; none of them happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write {index} of the transaction: {source}")]
pub struct TransactionError {
    /// Which write, counted from 0.
    pub index: usize,
    /// Why.
    pub source: WriteError,
}

/// Why a plane could not be created, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaneError {
    /// No plane has this name.
    #[error("the plane is gone")]
    Gone,
    /// The management plane cannot be deleted.
    #[error("the management plane cannot be deleted")]
    Management,
    /// The disk failed or is full.
    #[error("failed to store the plane: {0}")]
    Storage(String),
}

/// A committed change, as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The revision of the change.
    pub revision: u64,
    /// Which object.
    pub key: ObjectKey,
    /// The event as a watch of the Kubernetes API shows it, `{"type":...,"object":...}` and a newline: the same bytes for
    /// all watchers.
    pub line: Bytes,
    /// The new state, a part of `line`; for `Deleted` the last state with the delete's revision.
    pub json: Bytes,
    /// The state before, if there was any.
    pub previous: Option<Bytes>,
    /// What the store knows of the object's metadata without parsing it again.
    pub facts: Facts,
    /// The facts before; empty if there was no object.
    pub previous_facts: Facts,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The object is new.
    Added,
    /// The object was there before.
    Modified,
    /// The object is gone.
    Deleted,
}

impl EventKind {
    /// The name in the Kubernetes API.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        }
    }
}

/// The part of an object's metadata the garbage collector and the namespace controller decide by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `metadata.uid`, empty if there is none.
    pub uid: String,
    /// The uids of `metadata.ownerReferences`.
    pub owners: Vec<String>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
}

/// A consistent page of a list, ordered by resource, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// The revision of the snapshot: a watch from here sees every later change.
    pub revision: u64,
    /// The objects.
    pub items: Vec<StoredObject>,
    /// The key to continue after, if there is more.
    pub next: Option<ObjectKey>,
}
