//! How many objects a scope has, without counting them each time: `remainingItemCount` asks for every first page.
//!
//! A scope is counted once, key by key; from then on the writer keeps its count. A reader's snapshot may be a little
//! older or newer than the count: the log between the two says the difference.

use std::collections::HashMap;

use kogge_machinery::resource::GroupResource;

use super::reader::{ReadError, Snapshot};
use super::{Event, EventKind, PlaneState, Scope, Shared, key, lock};

/// The counts of a plane that somebody has asked for.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// All counts are as of this revision.
    revision: u64,
    by_resource: HashMap<GroupResource, ResourceCounts>,
}

#[derive(Debug, Default)]
struct ResourceCounts {
    everywhere: Option<u64>,
    by_namespace: HashMap<String, u64>,
}

impl Counts {
    pub(super) fn new(revision: u64) -> Self {
        Counts { revision, by_resource: HashMap::new() }
    }

    fn get(&self, scope: &Scope) -> Option<u64> {
        match scope {
            Scope::Plane => None,
            Scope::Resource(resource) => self.by_resource.get(resource)?.everywhere,
            Scope::Namespace(resource, namespace) => {
                self.by_resource.get(resource)?.by_namespace.get(namespace).copied()
            }
        }
    }

    fn set(&mut self, scope: &Scope, count: u64) {
        match scope {
            // Nobody asks for it again and again.
            Scope::Plane => {}
            Scope::Resource(resource) => {
                self.by_resource.entry(resource.clone()).or_default().everywhere = Some(count);
            }
            Scope::Namespace(resource, namespace) => {
                let counts = self.by_resource.entry(resource.clone()).or_default();
                counts.by_namespace.insert(namespace.clone(), count);
            }
        }
    }

    /// Takes notice of a transaction's events, which end at `revision`.
    pub(super) fn follow<E: AsRef<Event>>(&mut self, revision: u64, events: &[E]) {
        self.revision = revision;
        if self.by_resource.is_empty() {
            return;
        }
        for event in events {
            let event = event.as_ref();
            let Some(counts) = self.by_resource.get_mut(&event.key.resource) else { continue };
            let in_namespace = counts.by_namespace.get_mut(&event.key.namespace);
            for count in in_namespace.into_iter().chain(counts.everywhere.as_mut()) {
                *count = count.saturating_add_signed(difference(event.kind));
            }
        }
    }
}

fn difference(kind: EventKind) -> i64 {
    match kind {
        EventKind::Added => 1,
        EventKind::Modified => 0,
        EventKind::Deleted => -1,
    }
}

/// How many objects the scope had at a revision, which must be within the kept history.
pub(super) fn count_at(shared: &Shared, plane: &PlaneState, scope: &Scope, revision: u64) -> Result<u64, ReadError> {
    let known = {
        let counts = lock(&plane.counts);
        counts.get(scope).map(|count| (count, counts.revision))
    };
    // After looking at the counts, so that it knows all they know.
    let snapshot = Snapshot::of(shared, plane)?;
    if let Some((count, counted_at)) = known
        && let Some(count) = shift(&snapshot, scope, count, counted_at, revision)?
    {
        return Ok(count);
    }
    let count = snapshot.count(scope)?;
    {
        let mut counts = lock(&plane.counts);
        let newest = Snapshot::of(shared, plane)?;
        if let Some(count) = shift(&newest, scope, count, snapshot.revision, counts.revision)? {
            counts.set(scope, count);
        }
    }
    // Only history forgotten in this moment makes this fail; then the newest count is as good as any.
    Ok(shift(&snapshot, scope, count, snapshot.revision, revision)?.unwrap_or(count))
}

/// The count at the revision `to`, from that at `from`; none if the log does not reach so far back.
fn shift(snapshot: &Snapshot, scope: &Scope, count: u64, from: u64, to: u64) -> Result<Option<u64>, ReadError> {
    let (first, last) = (from.min(to), from.max(to));
    if first < snapshot.oldest || last > snapshot.revision {
        return Ok((first == last).then_some(count));
    }
    let mut changed = 0;
    if first < last {
        snapshot.changes(first + 1, last, |_, record| {
            if record.kind != EventKind::Modified && key::is_within(record.key, scope) {
                changed += difference(record.kind);
            }
            Ok(true)
        })?;
    }
    Ok(Some(count.saturating_add_signed(if from < to { changed } else { -changed })))
}
