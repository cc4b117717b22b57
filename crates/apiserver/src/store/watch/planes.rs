//! One watch over all planes, for the loops that serve every plane with one task.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures::Stream;

use super::super::{Event, Inner, PlaneName, lock};

/// So many changes wait for a loop; more, and it is told to look at everything again.
const CAPACITY: usize = 16_384;

/// What a loop over all planes is told.
#[derive(Clone, Debug)]
pub enum PlaneEvent {
    /// A change in a plane.
    Changed(PlaneName, Arc<Event>),
    /// Changes were lost because the loop was slow: it must look at all planes again.
    Missed,
}

/// The watches over all planes.
#[derive(Debug, Default)]
pub(in super::super) struct PlanesHub {
    queues: Vec<Arc<Mutex<State>>>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<PlaneEvent>,
    waker: Option<Waker>,
}

impl PlanesHub {
    /// Gives a transaction's events to the loops.
    pub(in super::super) fn publish<'a>(
        &self,
        batches: impl Iterator<Item = (&'a PlaneName, &'a [Arc<Event>])> + Clone,
    ) {
        for queue in &self.queues {
            let mut state = lock(queue);
            for (plane, events) in batches.clone() {
                for event in events {
                    if state.events.len() >= CAPACITY {
                        state.events.clear();
                        state.events.push_back(PlaneEvent::Missed);
                    }
                    state.events.push_back(PlaneEvent::Changed(plane.clone(), Arc::clone(event)));
                }
            }
            let waker = state.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// A stream of all changes of all planes, in order within each plane. It never ends.
///
/// It holds the store open.
pub struct PlanesWatch {
    inner: Arc<Inner>,
    queue: Arc<Mutex<State>>,
}

impl std::fmt::Debug for PlanesWatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PlanesWatch").finish_non_exhaustive()
    }
}

impl PlanesWatch {
    pub(in super::super) fn subscribe(inner: Arc<Inner>) -> Self {
        let queue = Arc::new(Mutex::default());
        lock(&inner.shared.planes_hub).queues.push(Arc::clone(&queue));
        PlanesWatch { inner, queue }
    }
}

impl Stream for PlanesWatch {
    type Item = PlaneEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PlaneEvent>> {
        let mut state = lock(&self.queue);
        match state.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for PlanesWatch {
    fn drop(&mut self) {
        lock(&self.inner.shared.planes_hub).queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
    }
}
