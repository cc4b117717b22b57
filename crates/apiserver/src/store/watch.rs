//! Watches: first what the log has, then what the writer publishes, without gap or double.
//!
//! A watch registers with its plane's hub and learns, under the same lock, up to which revision events were published
//! before; it reads up to there from the log and takes everything later from its queue. The queue is bounded: if it
//! overflows, the watch is taken off the hub and reads the log again from where it is, so a slow watcher costs the
//! writer nothing and ends only when the log has forgotten what it needs. Queues hang under their resource, so a
//! change wakes only watches it may concern, and each once per transaction.

mod planes;
mod queue;

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::Stream;
use kogge_machinery::resource::GroupResource;

pub(super) use self::planes::PlanesHub;
pub use self::planes::{PlaneEvent, PlanesWatch};
use self::queue::{Queue, Taken};
use super::damage::caught;
use super::reader::{ReadError, Snapshot};
use super::serialized::event_line;
use super::{Event, Inner, ObjectKey, PlaneState, Scope, key, lock};

/// A watch reads so many events from the log at once, or about so many bytes.
const LOG_CHUNK: usize = 256;
const LOG_CHUNK_BYTES: usize = 1 << 20;

/// Why a watch could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Changes after the revision were forgotten.
    #[error("revision {requested} is too old, changes are kept since {oldest}")]
    Expired {
        /// What was asked for.
        requested: u64,
        /// The oldest revision a watch can start from.
        oldest: u64,
    },
    /// The revision is not reached yet.
    #[error("revision {requested} is not reached yet, the last one is {current}")]
    Future {
        /// What was asked for.
        requested: u64,
        /// The plane's last revision.
        current: u64,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a watch ended; nothing follows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchEnd {
    /// The watcher was so slow that the log forgot what it has not seen.
    #[error("revision {revision} is too old, changes are kept since {oldest}")]
    Expired {
        /// The last revision the watcher has seen.
        revision: u64,
        /// The oldest revision a watch can start from.
        oldest: u64,
    },
    /// The plane was deleted.
    #[error("the plane is gone")]
    PlaneGone,
    /// The store could not be read.
    #[error("failed to read the store: {0}")]
    Storage(String),
}

/// The live watches of a plane.
#[derive(Debug)]
pub(super) struct Hub {
    /// Events up to here were given to the queues that were registered then.
    published: u64,
    closed: bool,
    by_resource: HashMap<GroupResource, Vec<Arc<Queue>>>,
    of_plane: Vec<Arc<Queue>>,
}

impl Hub {
    pub(super) fn new(published: u64) -> Self {
        Hub { published, closed: false, by_resource: HashMap::new(), of_plane: Vec::new() }
    }

    fn queues(&mut self, scope: &Scope) -> &mut Vec<Arc<Queue>> {
        match scope {
            Scope::Plane => &mut self.of_plane,
            Scope::Resource(resource) | Scope::Namespace(resource, _) => {
                self.by_resource.entry(resource.clone()).or_default()
            }
        }
    }

    fn remove(&mut self, scope: &Scope, queue: &Arc<Queue>) {
        let queues = self.queues(scope);
        queues.retain(|other| !Arc::ptr_eq(other, queue));
        let empty = queues.is_empty();
        if let (true, Scope::Resource(resource) | Scope::Namespace(resource, _)) = (empty, scope) {
            self.by_resource.remove(resource);
        }
    }
}

/// Gives a transaction's events of a plane to its watches; only the writer calls it, in revision order.
pub(super) fn publish(plane: &PlaneState, revision: u64, events: &[Arc<Event>]) {
    let mut wakers: Vec<Waker> = Vec::new();
    {
        let mut hub = lock(&plane.hub);
        hub.published = revision;
        for queue in &hub.of_plane {
            wakers.extend(queue.push(events.iter()));
        }
        if !hub.by_resource.is_empty() {
            for (resource, queues) in &hub.by_resource {
                let mut concerned = events.iter().filter(|event| event.key.resource == *resource).peekable();
                if concerned.peek().is_some() {
                    for queue in queues {
                        wakers.extend(queue.push(concerned.clone()));
                    }
                }
            }
        }
    }
    // Outside the lock: a woken task may run at once on another thread and want it.
    wakers.into_iter().for_each(Waker::wake);
}

/// Ends all watches of a deleted plane.
pub(super) fn close(plane: &PlaneState) {
    let mut hub = lock(&plane.hub);
    hub.closed = true;
    let mut queues = std::mem::take(&mut hub.of_plane);
    queues.extend(std::mem::take(&mut hub.by_resource).into_values().flatten());
    drop(hub);
    queues.iter().filter_map(|queue| queue.close()).for_each(Waker::wake);
}

/// A running watch: a stream of events in revision order. After the end (an error), nothing follows.
///
/// # Guarantees
/// Every change after the start within the scope arrives exactly once, in order. A slow reader never delays a writer.
pub struct Watch {
    inner: Arc<Inner>,
    plane: Arc<PlaneState>,
    scope: Scope,
    /// Events up to here were delivered, or read into `ready`, or do not concern the watch.
    read: u64,
    /// Events up to here were delivered or do not concern the watch.
    delivered: u64,
    ready: VecDeque<Arc<Event>>,
    source: Source,
}

/// Where the next events come from.
enum Source {
    /// The log up to the revision, then the queue.
    Log {
        queue: Arc<Queue>,
        until: u64,
    },
    Queue(Arc<Queue>),
    /// Nowhere: the watch has ended, or is off the hub for a moment.
    Nowhere,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Watch")
            .field("plane", &self.plane.name)
            .field("scope", &self.scope)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn subscribe(
        inner: Arc<Inner>,
        plane: Arc<PlaneState>,
        scope: Scope,
        since: u64,
    ) -> Result<Self, WatchError> {
        let snapshot = Snapshot::of(&inner.shared, &plane)?;
        if since > snapshot.revision {
            return Err(WatchError::Future { requested: since, current: snapshot.revision });
        }
        if since < snapshot.oldest {
            return Err(WatchError::Expired { requested: since, oldest: snapshot.oldest });
        }
        drop(snapshot);
        let mut watch = Watch {
            inner,
            plane,
            scope,
            read: since,
            delivered: since,
            ready: VecDeque::new(),
            source: Source::Nowhere,
        };
        watch.register().map_err(|_| ReadError::PlaneGone)?;
        Ok(watch)
    }

    /// The revision a bookmark may name: the watch has delivered every event of its scope up to it.
    pub fn synced_revision(&self) -> u64 {
        let Source::Queue(queue) = &self.source else { return self.delivered };
        // The hub's lock keeps events from being published between looking at the queue and at `published`.
        let hub = lock(&self.plane.hub);
        if self.ready.is_empty() && queue.is_drained() { hub.published.max(self.delivered) } else { self.delivered }
    }

    /// Registers a new queue: everything published later will be in it.
    fn register(&mut self) -> Result<(), WatchEnd> {
        let options = &self.inner.shared.options;
        let queue = Arc::new(Queue::new(options.watch_queue, options.watch_queue_bytes));
        let mut hub = lock(&self.plane.hub);
        if hub.closed {
            return Err(WatchEnd::PlaneGone);
        }
        hub.queues(&self.scope).push(Arc::clone(&queue));
        let until = hub.published;
        drop(hub);
        self.source = if until > self.read { Source::Log { queue, until } } else { Source::Queue(queue) };
        Ok(())
    }

    fn unregister(&mut self) {
        match std::mem::replace(&mut self.source, Source::Nowhere) {
            Source::Log { queue, .. } | Source::Queue(queue) => lock(&self.plane.hub).remove(&self.scope, &queue),
            Source::Nowhere => {}
        }
    }

    /// Reads the next events up to `until` from the log.
    fn read_log(&mut self, until: u64) -> Result<(), WatchEnd> {
        let snapshot = Snapshot::of(&self.inner.shared, &self.plane)?;
        if self.read < snapshot.oldest {
            return Err(WatchEnd::Expired { revision: self.delivered, oldest: snapshot.oldest });
        }
        let mut read = until;
        let mut events = Vec::new();
        let mut bytes = 0;
        snapshot.changes(self.read + 1, until, |revision, record| {
            if key::is_within(record.key, &self.scope) {
                let object = key::decode_local(record.key);
                let object: ObjectKey = object.ok_or_else(|| ReadError::Storage("an unreadable key".to_owned()))?;
                if events.len() == LOG_CHUNK || bytes >= LOG_CHUNK_BYTES {
                    read = revision - 1;
                    return Ok(false);
                }
                let before = (record.previous != 0).then(|| snapshot.state(record.previous)).transpose()?;
                let (previous, previous_facts) =
                    before.map_or_else(Default::default, |(json, facts)| (Some(json), facts));
                let json = snapshot.json(revision, record)?;
                bytes += json.len() + previous.as_ref().map_or(0, bytes::Bytes::len);
                let write = |line: &mut Vec<u8>| line.extend_from_slice(&json);
                let (line, json) = event_line(record.kind, json.len(), write);
                events.push(Arc::new(Event {
                    kind: record.kind,
                    revision,
                    key: object,
                    line,
                    json,
                    previous,
                    facts: record.facts.clone(),
                    previous_facts,
                }));
            }
            Ok(true)
        })?;
        self.ready.extend(events);
        self.read = read;
        Ok(())
    }

    /// Makes `ready` non-empty, or says why it cannot.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WatchEnd>> {
        while self.ready.is_empty() {
            match &self.source {
                Source::Log { until, .. } if self.read < *until => {
                    let until = *until;
                    caught(|| self.read_log(until))?;
                }
                Source::Log { queue, .. } => self.source = Source::Queue(Arc::clone(queue)),
                Source::Queue(queue) => match queue.take(context) {
                    Taken::Events(events) => {
                        // A change may be readable a moment before it is published: whoever listed it and watches
                        // from there must not be told again.
                        let new = events.into_iter().filter(|event| event.revision > self.read);
                        self.ready.extend(new.filter(|event| self.scope.contains(&event.key)));
                        self.read = self.ready.back().map_or(self.read, |event| event.revision);
                    }
                    Taken::Nothing => return Poll::Pending,
                    Taken::Overflow => {
                        self.unregister();
                        self.register()?;
                    }
                    Taken::Closed => return Poll::Ready(Err(WatchEnd::PlaneGone)),
                },
                Source::Nowhere => return Poll::Ready(Err(WatchEnd::PlaneGone)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl From<ReadError> for WatchEnd {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::PlaneGone => WatchEnd::PlaneGone,
            ReadError::Storage(text) => WatchEnd::Storage(text),
        }
    }
}

impl Stream for Watch {
    type Item = Result<Arc<Event>, WatchEnd>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = self.get_mut();
        if matches!(watch.source, Source::Nowhere) {
            return Poll::Ready(None);
        }
        match watch.fill(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(end)) => {
                watch.unregister();
                Poll::Ready(Some(Err(end)))
            }
            Poll::Ready(Ok(())) => {
                let event = watch.ready.pop_front();
                if let Some(event) = &event {
                    watch.delivered = event.revision;
                }
                Poll::Ready(event.map(Ok))
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.unregister();
    }
}
