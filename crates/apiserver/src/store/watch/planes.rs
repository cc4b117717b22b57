//! One watch over all planes, for the loops that serve every plane with one task.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use futures::Stream;

use super::super::{Event, PlaneName, lock};

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

/// The watches over all planes. A dropped watch is forgotten with the next change.
#[derive(Debug, Default)]
pub(in super::super) struct PlanesHub {
    queues: Vec<Weak<Mutex<State>>>,
    closed: bool,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<PlaneEvent>,
    waker: Option<Waker>,
    closed: bool,
}

impl PlanesHub {
    /// Gives a transaction's events to the loops.
    pub(in super::super) fn publish(&mut self, changes: &[(&PlaneName, &[Arc<Event>])]) {
        self.queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut state = lock(&queue);
            for (plane, events) in changes {
                for event in *events {
                    if state.events.len() >= CAPACITY {
                        state.events.clear();
                        state.events.push_back(PlaneEvent::Missed);
                    }
                    state.events.push_back(PlaneEvent::Changed((*plane).clone(), Arc::clone(event)));
                }
            }
            let waker = state.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
            true
        });
    }

    /// Ends all watches, after what they have waiting.
    pub(in super::super) fn close(&mut self) {
        self.closed = true;
        for queue in self.queues.drain(..).filter_map(|queue| queue.upgrade()) {
            let mut state = lock(&queue);
            state.closed = true;
            let waker = state.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// A stream of all changes of all planes, in order within each plane. It does not keep the store open, and ends with it.
///
/// # Guarantees
/// Whoever is told of a change finds it in every watch of its plane that was there before.
#[derive(Debug)]
pub struct PlanesWatch {
    queue: Arc<Mutex<State>>,
}

impl PlanesWatch {
    pub(in super::super) fn subscribe(hub: &mut PlanesHub) -> Self {
        let queue = Arc::new(Mutex::new(State { closed: hub.closed, ..State::default() }));
        hub.queues.push(Arc::downgrade(&queue));
        PlanesWatch { queue }
    }
}

impl Stream for PlanesWatch {
    type Item = PlaneEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PlaneEvent>> {
        let mut state = lock(&self.queue);
        match state.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
