//! The revision store: every plane's objects and change log in one redb file.
//!
//! A write names what it expects (absent, or a revision) and is either committed and durable, or refused; one writer
//! thread groups waiting writes into one synced transaction. Watchers are told only what is committed.

use bytes::Bytes;
use kogge_machinery::resource::GroupResource;

/// A plane's name: empty for management, `NAMESPACE/NAME` for a workload cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaneName(pub String);

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey { pub resource: GroupResource, /** empty for cluster-scoped */ pub namespace: String, pub name: String }

/// A stored object: its JSON (with metadata.resourceVersion filled in) and the revision that wrote it.
#[derive(Clone, Debug)]
pub struct StoredObject { pub key: ObjectKey, pub revision: u64, pub json: Bytes }

/// What a write does.
#[derive(Clone, Debug)]
pub enum Change { Put(serde_json::Value), /** last state, told to watchers with the delete's revision */ Delete(serde_json::Value) }

/// What a write expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected { Absent, Revision(u64) }

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("an object is already there")] Exists,
    #[error("the object is gone")] Missing,
    #[error("the object is at revision {current}, not {expected}")] Conflict { expected: u64, current: u64 },
    #[error("the plane is gone")] PlaneGone,
    #[error("failed to store: {0}")] Storage(String),
}

/// A committed change, as watchers see it.
#[derive(Clone, Debug)]
pub struct Event { pub kind: EventKind, pub revision: u64, pub key: ObjectKey, /** new state; for Deleted the last state with the delete's revision */ pub json: Bytes, /** state before, if any */ pub previous: Option<Bytes> }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind { Added, Modified, Deleted }

/// A consistent page of a list.
#[derive(Clone, Debug)]
pub struct ListPage { pub revision: u64, pub items: Vec<StoredObject>, /** key to continue after, if more */ pub next: Option<ObjectKey>, pub remaining: u64 }
