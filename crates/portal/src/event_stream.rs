//! A cluster's life as server-sent events (WHATWG HTML, section 9.2).
//!
//! The first event is the present state. Then follows `status` for every change of the document, `event` for Kubernetes
//! events about the cluster and its objects, and `deleted` at the end. The id of a `status` is the resource version; who
//! reconnects gets the present state again, so nothing that still matters is missed.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event as StreamEvent, KeepAlive, Sse};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Event;
use kogge_api::kubernetes_cluster::KubernetesCluster;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};

use crate::diagnostics::EventSummary;
use crate::problem_document::ProblemDocument;
use crate::service::{Service, without_bookkeeping};

/// `GET /v1/tenants/{tenant}/clusters/{name}/events`
pub(crate) async fn cluster_events(
    State(service): State<Service>,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<Sse<impl Stream<Item = Result<StreamEvent, Infallible>>>, ProblemDocument> {
    // 404 is told as an answer, not as an event.
    service.cluster(&tenant, &name).await?;
    let statuses = documents(service.clusters(&tenant), &name);
    let events = kubernetes_events(Api::namespaced(service.client(), &tenant), name);
    let mut last = None;
    let stream = futures::stream::select(statuses, events).filter_map(move |message| {
        let event = match message {
            Message::Status(cluster) => {
                let version = cluster.metadata.resource_version.clone();
                // A relist repeats what is known.
                if last == version {
                    None
                } else {
                    last.clone_from(&version);
                    let event = StreamEvent::default().event("status").id(version.unwrap_or_default());
                    event.json_data(&*cluster).ok()
                }
            }
            Message::Event(event) => StreamEvent::default().event("event").json_data(event).ok(),
            Message::Deleted => Some(StreamEvent::default().event("deleted").data("{}")),
        };
        futures::future::ready(event.map(Ok))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

enum Message {
    Status(Box<KubernetesCluster>),
    Event(EventSummary),
    Deleted,
}

fn documents(clusters: Api<KubernetesCluster>, name: &str) -> impl Stream<Item = Message> + use<> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut there = false;
    let mut seen = false;
    watcher(clusters, config).default_backoff().filter_map(move |event| {
        let message = match event {
            Ok(watcher::Event::Init) => {
                seen = false;
                None
            }
            Ok(watcher::Event::Apply(mut cluster) | watcher::Event::InitApply(mut cluster)) => {
                (there, seen) = (true, true);
                without_bookkeeping(&mut cluster);
                Some(Message::Status(Box::new(cluster)))
            }
            // A relist without the object: it went while the watch was away, or before it began.
            Ok(watcher::Event::InitDone) if !seen => {
                there = false;
                Some(Message::Deleted)
            }
            Ok(watcher::Event::Delete(_)) if there => {
                there = false;
                Some(Message::Deleted)
            }
            Ok(_) | Err(_) => None,
        };
        futures::future::ready(message)
    })
}

fn kubernetes_events(events: Api<Event>, name: String) -> impl Stream<Item = Message> {
    watcher(events, watcher::Config::default()).default_backoff().filter_map(move |event| {
        let message = match event {
            Ok(watcher::Event::Apply(event)) => {
                let object = event.involved_object.name.as_deref().unwrap_or_default();
                let own =
                    object == name || object.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('-'));
                own.then(|| Message::Event(EventSummary::from(&event)))
            }
            _ => None,
        };
        futures::future::ready(message)
    })
}
