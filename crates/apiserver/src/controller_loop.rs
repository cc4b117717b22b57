//! The driver of the server's own controllers: one task each for all planes.
//!
//! A controller says which entries a change concerns and how an entry is worked on; entries are level-triggered, so it
//! does not matter how often or in which order they come. An idle plane has no entry and costs nothing.

use std::future::Future;
use std::hash::Hash;

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use kogge_machinery::status_error::ApiError;
use tokio_util::sync::CancellationToken;

use crate::{
    plane::Plane,
    server::{Server, WeakServer},
    store::{Event, PlaneEvent, PlaneName, PlanesWatch},
    work_queue::WorkQueue,
};

/// So many entries are worked on at a time: their writes share transactions.
const CONCURRENCY: usize = 64;
/// So many waiting changes are looked at before work goes on.
const CHANGES_AT_ONCE: usize = 1024;

/// A loop every Kubernetes API has.
pub(crate) trait Controller: Send + Sync + 'static {
    /// What is worked on, within a plane.
    type Item: Clone + std::fmt::Debug + Eq + Hash + Send + Sync;

    /// Name in logs.
    const NAME: &'static str;

    /// What may have been left undone when the server ended, or when changes were missed.
    fn resume(&self, plane: &Plane) -> Result<Vec<Self::Item>, ApiError>;

    /// What a change concerns. Called for every change of every plane: must be cheap.
    fn concerned(&self, plane: &PlaneName, event: &Event) -> Vec<Self::Item>;

    /// Works on an item; returns what else is to be looked at. After an error it is called again later.
    fn process(
        &self,
        plane: &Plane,
        item: &Self::Item,
    ) -> impl Future<Output = Result<Vec<Self::Item>, ApiError>> + Send;
}

/// Starts a controller; it ends with `end` or with the server.
pub(crate) fn start<C: Controller>(controller: C, server: &Server, end: &CancellationToken) {
    // Subscribed here and not in the task: what is written after this call is seen.
    let changes = server.store().watch_planes();
    tokio::spawn(end.clone().run_until_cancelled_owned(run(controller, server.downgrade(), changes)));
}

async fn run<C: Controller>(controller: C, server: WeakServer, mut changes: PlanesWatch) {
    let controller = &controller;
    let mut queue: WorkQueue<(PlaneName, C::Item)> = WorkQueue::default();
    let mut running = FuturesUnordered::new();
    let mut retries = FuturesUnordered::new();
    let mut missed = true;
    loop {
        if std::mem::take(&mut missed) {
            resume(controller, &server, &mut queue).await;
        }
        while running.len() < CONCURRENCY
            && let Some(entry) = queue.next()
        {
            let server = server.clone();
            running.push(async move {
                // The server is held only while something is done, so that waiting here does not keep it open.
                let plane = server.upgrade().and_then(|server| server.plane(&entry.0));
                let result = match plane {
                    Some(plane) => controller.process(&plane, &entry.1).await,
                    None => Ok(Vec::new()),
                };
                (entry, result)
            });
        }
        tokio::select! {
            change = changes.next() => {
                let waiting = std::iter::from_fn(|| changes.next().now_or_never()).take(CHANGES_AT_ONCE);
                for change in std::iter::once(change).chain(waiting) {
                    match change {
                        None => return,
                        Some(PlaneEvent::Missed) => missed = true,
                        Some(PlaneEvent::Changed(plane, event)) => {
                            for item in controller.concerned(&plane, &event) {
                                queue.add((plane.clone(), item));
                            }
                        }
                    }
                }
            }
            Some((entry, result)) = running.next() => {
                match result {
                    Ok(others) => {
                        queue.succeeded(&entry);
                        for other in others {
                            queue.add((entry.0.clone(), other));
                        }
                    }
                    Err(error) => {
                        let delay = queue.failed(&entry);
                        tracing::debug!(controller = C::NAME, plane = %entry.0, item = ?entry.1, %error, ?delay, "to be retried");
                        retries.push(async move {
                            tokio::time::sleep(delay).await;
                            entry
                        });
                    }
                }
            }
            Some(entry) = retries.next() => queue.add(entry),
        }
    }
}

async fn resume<C: Controller>(controller: &C, server: &WeakServer, queue: &mut WorkQueue<(PlaneName, C::Item)>) {
    let names: Vec<PlaneName> = server
        .upgrade()
        .map(|server| server.planes().iter().map(|plane| plane.name().clone()).collect())
        .unwrap_or_default();
    for name in names {
        let Some(plane) = server.upgrade().and_then(|server| server.plane(&name)) else { continue };
        match controller.resume(&plane) {
            Ok(items) => items.into_iter().for_each(|item| queue.add((name.clone(), item))),
            Err(error) => tracing::warn!(controller = C::NAME, plane = %name, %error, "failed to look at a plane"),
        }
        drop(plane);
        // A thousand planes take a moment; others may want the thread.
        tokio::task::yield_now().await;
    }
}
