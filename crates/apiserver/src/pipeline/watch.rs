//! GET of a collection with `watch=true`: what is there, then every change, one JSON document a line.
//!
//! An event of a watch without selector in the stored version is the stored bytes between two constants; only tables,
//! metadata-only watches, selectors and other versions parse anything.

use std::{borrow::Cow, collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http::{Response, StatusCode};
use jiff::Timestamp;
use kogge_machinery::{
    negotiation::{Answer, Representation},
    status_error::ApiError,
    table::IncludeObject,
};
use rand::Rng as _;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    ListenerShutdown, RequestContext,
    answer::{Document, serialize, status_document},
    list_options::{ListOptions, Selection},
    presentation::{include_object, present_all, present_shared, represent},
    response,
};
use crate::{
    plane::list_error,
    registry::ServedResource,
    store::{Event, EventKind, ListError, ListPage, ObjectKey, PlaneStore, Scope, Watch, WatchEnd, WatchError},
};

/// A watch without `timeoutSeconds` ends after half an hour to an hour (the real server's `minRequestTimeout`).
const DEFAULT_TIMEOUT_SECONDS: u64 = 1800;
/// How often a quiet watch tells how far it is.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// A watch whose kind is not served like that any more goes on for so long (as in the real server's `tearDown`).
const TEAR_DOWN_DELAY: Duration = Duration::from_secs(1);
/// A last bookmark is sent this long before the timeout.
const BOOKMARK_BEFORE_TIMEOUT: Duration = Duration::from_secs(2);
/// So many events are put into one chunk at most when several wait.
const EVENTS_PER_CHUNK: usize = 64;
/// So many of the objects that are there at the start are read at once: a watcher that does not read what it asked for
/// holds no more of them in memory.
const INITIAL_PAGE: usize = 250;

/// Starts a watch.
pub(crate) async fn watch(context: &RequestContext<'_>) -> Result<Response<Body>, ApiError> {
    let selection = Selection::parse(&context.query, &context.served.resource)?;
    let options = ListOptions::parse(&context.query, true)?;
    let include = include_object(&context.query, &context.answer)?;
    let store = context.plane.store();
    let scope = Scope::of(&context.served.stored_as, Some(&context.namespace));
    let mut renderer = Renderer {
        served: context.served.clone(),
        answer: context.answer.clone(),
        // Events of other objects need not be parsed to be left out.
        name: match selection.fields.exact_name() {
            Some(name) if context.name.is_empty() => name.to_owned(),
            _ => context.name.clone(),
        },
        selection,
        include,
        columns_sent: false,
    };
    let mut ready = VecDeque::new();
    let mut initial_list = None;
    let initial = match options.send_initial_events {
        Some(initial) => initial,
        None => options.resource_version.is_none_or(|version| version == 0),
    };
    let changes = if initial {
        let current = store.revision();
        if let Some(requested) = options.resource_version.filter(|requested| *requested > current) {
            return Err(ApiError::resource_version_too_large(requested, current));
        }
        let page = store.list(&scope, None, INITIAL_PAGE, None).map_err(|error| list_error(&error))?;
        let revision = page.revision;
        let mut list = InitialList {
            store: store.clone(),
            scope: scope.clone(),
            revision,
            after: None,
            // Also where nothing is said of initial events: who names no revision gets them.
            bookmark: options.bookmarks,
        };
        ready.extend(renderer.initial_page(&page, &list).await?);
        list.after = page.next;
        initial_list = list.after.is_some().then_some(list);
        store.watch(scope, revision)
    } else {
        let since = options.resource_version.filter(|version| *version > 0).unwrap_or_else(|| store.revision());
        store.watch(scope, since)
    };
    let changes = match changes {
        Ok(changes) => Ok(changes),
        // Told in the stream, not as the answer's status: clients treat only the event as "list again".
        Err(error @ WatchError::Expired { .. }) => Err(expired(&error)),
        Err(WatchError::Future { requested, current }) => {
            return Err(ApiError::resource_version_too_large(requested, current));
        }
        Err(WatchError::Read(error)) => return Err(ApiError::internal(error.to_string())),
    };
    let content_type = if context.answer.representation == Representation::Object {
        "application/json".to_owned()
    } else {
        context.answer.content_type.clone()
    };
    let body = match changes {
        Err(error) => Body::from(error_line(&error)),
        Ok(changes) => {
            let seconds = options
                .timeout_seconds
                .filter(|seconds| *seconds > 0)
                .unwrap_or_else(|| DEFAULT_TIMEOUT_SECONDS + rand::rng().random_range(0..DEFAULT_TIMEOUT_SECONDS));
            let shutdown = context.parts.extensions.get::<ListenerShutdown>().map(|shutdown| shutdown.0.clone());
            Body::from_stream(lines(
                changes,
                renderer,
                ready,
                initial_list,
                options.bookmarks,
                Duration::from_secs(seconds),
                shutdown,
            ))
        }
    };
    Ok(response(StatusCode::OK, &content_type, body))
}

/// The objects that are there at the start and were not sent yet.
struct InitialList {
    store: PlaneStore,
    scope: Scope,
    /// All of them are as of this revision, where the changes begin.
    revision: u64,
    /// The last one that was read.
    after: Option<ObjectKey>,
    /// Whether a bookmark tells their end.
    bookmark: bool,
}

/// The state of a running watch.
struct Running {
    changes: Watch,
    renderer: Renderer,
    ready: VecDeque<Bytes>,
    initial_list: Option<InitialList>,
    bookmarks: bool,
    next_bookmark: Pin<Box<Sleep>>,
    deadline: Pin<Box<Sleep>>,
    shutdown: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Until the kind is not served like this any more.
    torn_down: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
}

fn lines(
    changes: Watch,
    renderer: Renderer,
    ready: VecDeque<Bytes>,
    initial_list: Option<InitialList>,
    bookmarks: bool,
    timeout: Duration,
    shutdown: Option<CancellationToken>,
) -> impl futures::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    let now = Instant::now();
    // None at all, where the watch ends sooner.
    let last_bookmark = timeout.checked_sub(BOOKMARK_BEFORE_TIMEOUT).unwrap_or(BOOKMARK_INTERVAL);
    let first_bookmark = BOOKMARK_INTERVAL.min(last_bookmark);
    let served_until = renderer.served.ended.clone();
    let running = Running {
        torn_down: Box::pin(async move {
            served_until.cancelled().await;
            tokio::time::sleep(TEAR_DOWN_DELAY).await;
        }),
        changes,
        renderer,
        ready,
        initial_list,
        bookmarks,
        next_bookmark: Box::pin(tokio::time::sleep_until(now + first_bookmark)),
        deadline: Box::pin(tokio::time::sleep_until(now + timeout)),
        shutdown: shutdown.map(|token| Box::pin(token.cancelled_owned())),
        ended: false,
    };
    futures::stream::unfold(running, |mut running| async move {
        let chunk = running.next_chunk().await?;
        Some((Ok(chunk), running))
    })
}

impl Running {
    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            if let Some(list) = self.initial_list.take() {
                self.read_initial(list).await;
                continue;
            }
            let shutdown = async {
                match &mut self.shutdown {
                    Some(shutdown) => shutdown.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown => self.ended = true,
                change = self.changes.next() => match change {
                    Some(Ok(event)) => self.render_waiting(&event).await,
                    Some(Err(end)) => self.end(&end),
                    None => self.ended = true,
                },
                // Behind the changes: they tell of the last objects of a definition that goes.
                () = &mut self.torn_down => self.ended = true,
                () = &mut self.deadline => self.ended = true,
                () = &mut self.next_bookmark, if self.bookmarks => {
                    let now = Instant::now();
                    let last = self.deadline.deadline() - BOOKMARK_BEFORE_TIMEOUT;
                    let next = if now < last { (now + BOOKMARK_INTERVAL).min(last) } else { now + BOOKMARK_INTERVAL };
                    self.next_bookmark.as_mut().reset(next);
                    match self.renderer.bookmark(self.changes.synced_revision(), false) {
                        Ok(line) => self.ready.push_back(line),
                        Err(error) => self.fail(&error),
                    }
                }
            }
        }
    }

    /// Reads the next page of what is there at the start.
    async fn read_initial(&mut self, mut list: InitialList) {
        let page = list.store.list(&list.scope, list.after.as_ref(), INITIAL_PAGE, Some(list.revision));
        let lines = match &page {
            // A watcher that took longer than history is kept has to list again.
            Err(ListError::Expired { .. }) => {
                return self.fail(&ApiError::expired("The resourceVersion for the provided watch is too old."));
            }
            Err(error) => Err(list_error(error)),
            Ok(page) => self.renderer.initial_page(page, &list).await,
        };
        match lines {
            Err(error) => self.fail(&error),
            Ok(lines) => self.ready.extend(lines),
        }
        list.after = page.ok().and_then(|page| page.next);
        self.initial_list = list.after.is_some().then_some(list);
    }

    /// Renders an event and those that wait behind it.
    async fn render_waiting(&mut self, event: &Arc<Event>) {
        self.render(event).await;
        for _ in 1..EVENTS_PER_CHUNK {
            match futures::FutureExt::now_or_never(self.changes.next()) {
                Some(Some(Ok(event))) => self.render(&event).await,
                Some(Some(Err(end))) => return self.end(&end),
                Some(None) => return self.ended = true,
                None => break,
            }
        }
        if self.ready.len() > 1 {
            let mut chunk = BytesMut::with_capacity(self.ready.iter().map(Bytes::len).sum());
            for line in self.ready.drain(..) {
                chunk.put_slice(&line);
            }
            self.ready.push_back(chunk.freeze());
        }
    }

    async fn render(&mut self, event: &Event) {
        match self.renderer.event(event).await {
            Ok(Some(line)) => self.ready.push_back(line),
            Ok(None) => {}
            Err(error) => self.fail(&error),
        }
    }

    fn end(&mut self, end: &WatchEnd) {
        match end {
            WatchEnd::Expired { .. } => self.fail(&expired(end)),
            WatchEnd::PlaneGone => self.ended = true,
            WatchEnd::Storage(_) => self.fail(&ApiError::internal(end.to_string())),
        }
    }

    fn fail(&mut self, error: &ApiError) {
        self.ready.push_back(error_line(error));
        self.ended = true;
    }
}

fn expired(error: &impl std::fmt::Display) -> ApiError {
    ApiError::expired(format!("too old resource version: {error}"))
}

/// Turns changes into lines.
struct Renderer {
    served: Arc<ServedResource>,
    answer: Answer,
    selection: Selection,
    /// The only name that counts, if not empty.
    name: String,
    include: IncludeObject,
    /// Tables after the first may leave their column definitions out.
    columns_sent: bool,
}

impl Renderer {
    /// The lines of a page of the objects that are there at the start, in one chunk, with the bookmark after the last page.
    async fn initial_page(&mut self, page: &ListPage, list: &InitialList) -> Result<Option<Bytes>, ApiError> {
        let mut chunk = BytesMut::new();
        let mut wanted = Cow::Borrowed(&page.items);
        if !self.name.is_empty() {
            wanted.to_mut().retain(|stored| self.name == stored.key.name);
        }
        for document in present_all(&self.served, &wanted).await? {
            if let Some(line) = self.initial(document)? {
                chunk.put_slice(&line);
            }
        }
        if page.next.is_none() && list.bookmark {
            chunk.put_slice(&self.bookmark(list.revision, true)?);
        }
        Ok((!chunk.is_empty()).then(|| chunk.freeze()))
    }

    /// The line of an object that is there at the start.
    fn initial(&mut self, document: Document) -> Result<Option<Bytes>, ApiError> {
        if !self.selection.is_everything() && !self.selection.matches(&document.clone().into_value()?) {
            return Ok(None);
        }
        self.line("ADDED", document).map(Some)
    }

    /// The line of a change, if it concerns what is selected: an object that leaves the selection is deleted for this
    /// watcher, one that enters it is added.
    async fn event(&mut self, event: &Event) -> Result<Option<Bytes>, ApiError> {
        if !self.name.is_empty() && self.name != event.key.name {
            return Ok(None);
        }
        let document = present_shared(&self.served, &event.json, event.revision).await?;
        if self.selection.is_everything() {
            return self.event_line(event, event.kind, document).map(Some);
        }
        let value = document.clone().into_value()?;
        let is_selected = self.selection.matches(&value);
        let was_selected = match &event.previous {
            None => false,
            Some(previous) => {
                let previous = present_shared(&self.served, previous, event.revision).await?.into_value()?;
                self.selection.matches(&previous)
            }
        };
        match (event.kind, was_selected, is_selected) {
            (EventKind::Deleted, true, _) => self.event_line(event, EventKind::Deleted, document).map(Some),
            (EventKind::Deleted, false, _) | (_, false, false) => Ok(None),
            (_, false, true) => self.event_line(event, EventKind::Added, document).map(Some),
            (_, true, true) => self.event_line(event, EventKind::Modified, document).map(Some),
            (_, true, false) => {
                // The state the watcher knew, at the revision that took it away.
                let previous = event.previous.as_ref().unwrap_or(&event.json);
                let mut last = present_shared(&self.served, previous, event.revision).await?.into_value()?;
                last["metadata"]["resourceVersion"] = event.revision.to_string().into();
                self.line("DELETED", Document::Value(last)).map(Some)
            }
        }
    }

    /// The line of a change that this watcher is told as `kind`; the bytes all watchers share, where they are right.
    fn event_line(&mut self, event: &Event, kind: EventKind, document: Document) -> Result<Bytes, ApiError> {
        let as_stored = matches!(&document, Document::Bytes(json) if json.as_ptr() == event.json.as_ptr());
        if as_stored && kind == event.kind && self.answer.representation == Representation::Object {
            return Ok(event.line.clone());
        }
        self.line(kind.name(), document)
    }

    fn line(&mut self, kind: &str, object: Document) -> Result<Bytes, ApiError> {
        let object = represent(&self.served, &self.answer, self.include, !self.columns_sent, object, Timestamp::now())?;
        self.columns_sent = true;
        Ok(event_line(kind, &object.into_bytes()))
    }

    /// Says that everything up to `revision` was sent; `initial_end` marks the end of the initial events.
    fn bookmark(&mut self, revision: u64, initial_end: bool) -> Result<Bytes, ApiError> {
        let resource = &self.served.resource;
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": metadata});
        let object = match self.answer.representation {
            // A table bookmark has no rows' content, only the object to read the revision from.
            Representation::Table => {
                let document = represent(
                    &self.served,
                    &self.answer,
                    IncludeObject::Object,
                    !self.columns_sent,
                    Document::Value(object),
                    Timestamp::now(),
                )?;
                self.columns_sent = true;
                document
            }
            Representation::PartialObjectMetadata | Representation::PartialObjectMetadataList => {
                let mut object = object;
                object["apiVersion"] = format!("meta.k8s.io/{}", self.answer.version).into();
                object["kind"] = "PartialObjectMetadata".into();
                Document::Value(object)
            }
            Representation::Object | Representation::AggregatedDiscovery => Document::Value(object),
        };
        Ok(event_line("BOOKMARK", &object.into_bytes()))
    }
}

fn event_line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + kind.len() + 24);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(kind.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}

fn error_line(error: &ApiError) -> Bytes {
    let status: Value = status_document(error);
    event_line("ERROR", &serialize(&status))
}
