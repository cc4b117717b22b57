//! What a runner knows of a plane: read once, then followed change by change.
//!
//! A decision looks at everything in a plane, and a plane that comes up is looked at dozens of times. So what is there is
//! parsed once, and afterwards only what changed. The planes looked at last stay known; of the others only the point is
//! remembered at which nothing was left to do.

use std::collections::{HashMap, VecDeque};

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use kogge_apiserver::{
    plane::Plane,
    store::{Event, EventKind, ListError, ObjectKey, PlaneName, Watch, WatchEnd, WatchError},
};
use serde_json::Value;

use super::plane_state::{PlaneState, Resource};
use crate::object::Object;

/// So many planes stay known; each takes about a megabyte.
const KNOWN_PLANES: usize = 32;

/// Why a plane could not be read; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    /// Its objects could not be listed.
    #[error("failed to list the plane: {0}")]
    List(#[from] ListError),
    /// Its changes could not be followed.
    #[error("failed to follow the plane: {0}")]
    Watch(#[from] WatchError),
    /// The changes ended.
    #[error("the plane can be followed no further: {0}")]
    Ended(#[from] WatchEnd),
}

/// The objects of one plane, kept up to date.
pub(crate) struct PlaneView {
    plane: u64,
    changes: Watch,
    /// What its controllers look at.
    pub(crate) state: PlaneState,
    /// Writes to it.
    pub(crate) client: kube::Client,
}

impl PlaneView {
    /// Reads a plane.
    pub(crate) fn open(plane: &Plane) -> Result<Self, ViewError> {
        let page = plane.list()?;
        let mut state = PlaneState::default();
        for stored in &page.items {
            if let Some(resource) = resource_of(&stored.key) {
                state.put(resource, parsed(&stored.json));
            }
        }
        let changes = plane.watch(page.revision)?;
        Ok(Self { plane: plane.id(), changes, state, client: plane.client() })
    }

    /// Takes in what changed since.
    pub(crate) fn follow(&mut self) -> Result<(), ViewError> {
        while let Some(Some(event)) = self.changes.next().now_or_never() {
            self.take(&*event?);
        }
        Ok(())
    }

    fn take(&mut self, event: &Event) {
        let Some(resource) = resource_of(&event.key) else { return };
        if event.kind == EventKind::Deleted {
            self.state.remove(resource, &event.key.namespace, &event.key.name);
        } else {
            self.state.put(resource, parsed(&event.json));
        }
    }

    /// The point up to which every change was taken in.
    pub(crate) fn position(&self) -> Position {
        Position { plane: self.plane, revision: self.changes.synced_revision() }
    }
}

fn resource_of(key: &ObjectKey) -> Option<Resource> {
    Resource::of(&key.resource.group, &key.resource.resource)
}

fn parsed(json: &[u8]) -> Object {
    // What is stored is JSON.
    let mut value: Value = serde_json::from_slice(json).unwrap_or_default();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    Object::new(value)
}

/// A point in the life of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    plane: u64,
    revision: u64,
}

impl Position {
    /// Where a plane is now.
    pub(crate) fn of(plane: &Plane) -> Self {
        Self { plane: plane.id(), revision: plane.revision() }
    }
}

/// Where a plane was when nothing was left to do, and when something becomes due by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) position: Position,
    pub(crate) due: Option<Timestamp>,
}

/// What is known of all planes.
#[derive(Default)]
pub(crate) struct KnownPlanes {
    settled: HashMap<PlaneName, Settled>,
    /// The ones looked at last, in that order.
    views: VecDeque<(PlaneName, PlaneView)>,
}

impl KnownPlanes {
    /// The point at which nothing was left to do.
    pub(crate) fn settled(&self, plane: &PlaneName) -> Option<Settled> {
        self.settled.get(plane).copied()
    }

    /// Remembers that nothing is left to do.
    pub(crate) fn settle(&mut self, plane: &PlaneName, settled: Settled) {
        self.settled.insert(plane.clone(), settled);
    }

    /// The view of a plane, if it is still known. Of a plane that was made again under its name, nothing is.
    pub(crate) fn take(&mut self, plane: &Plane) -> Option<PlaneView> {
        let index = self.views.iter().position(|(name, _)| name == plane.name())?;
        let (_, view) = self.views.remove(index)?;
        (view.plane == plane.id()).then_some(view)
    }

    /// Keeps a view for the next look, in the place of the one unused for longest.
    pub(crate) fn keep(&mut self, plane: &PlaneName, view: PlaneView) {
        self.views.push_back((plane.clone(), view));
        if self.views.len() > KNOWN_PLANES {
            self.views.pop_front();
        }
    }

    /// Forgets a plane that is gone.
    pub(crate) fn forget(&mut self, plane: &PlaneName) {
        self.settled.remove(plane);
        self.views.retain(|(name, _)| name != plane);
    }
}
