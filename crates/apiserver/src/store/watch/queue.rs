//! What waits for one watch: a queue, bounded in events and bytes, that the writer never blocks on.

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use super::super::{Event, lock};

#[derive(Debug)]
pub(super) struct Queue {
    /// Most events.
    capacity: usize,
    /// Most bytes of objects, unless it is one event alone.
    capacity_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Arc<Event>>,
    /// Bytes of the objects in `events`; watches share them, but the last watch that waits holds them alone.
    bytes: usize,
    overflowed: bool,
    closed: bool,
    waker: Option<Waker>,
}

/// What a watch finds in its queue.
pub(super) enum Taken {
    Events(Vec<Arc<Event>>),
    /// The waker is registered.
    Nothing,
    /// Events were lost; the queue takes no more.
    Overflow,
    /// The plane is gone and all events before were taken.
    Closed,
}

impl Queue {
    pub(super) fn new(capacity: usize, capacity_bytes: usize) -> Self {
        Queue { capacity, capacity_bytes, state: Mutex::default() }
    }

    /// Adds events; returns whom to wake.
    pub(super) fn push<'a>(&self, events: impl Iterator<Item = &'a Arc<Event>>) -> Option<Waker> {
        let mut state = lock(&self.state);
        if state.overflowed {
            return None;
        }
        for event in events {
            let size = event.line.len() + event.previous.as_ref().map_or(0, bytes::Bytes::len);
            let too_many_bytes = state.bytes + size > self.capacity_bytes && !state.events.is_empty();
            if state.events.len() >= self.capacity || too_many_bytes {
                // What is queued is useless now (the log has it), so its memory is given back at once.
                state.overflowed = true;
                state.events = Vec::new();
                state.bytes = 0;
                break;
            }
            state.bytes += size;
            state.events.push(Arc::clone(event));
        }
        state.waker.take()
    }

    pub(super) fn close(&self) -> Option<Waker> {
        let mut state = lock(&self.state);
        state.closed = true;
        state.waker.take()
    }

    pub(super) fn take(&self, context: &Context<'_>) -> Taken {
        let mut state = lock(&self.state);
        if state.overflowed {
            // After a close the log is gone as well: the watch then ends because its plane is gone.
            return if state.closed { Taken::Closed } else { Taken::Overflow };
        }
        if !state.events.is_empty() {
            state.bytes = 0;
            return Taken::Events(std::mem::take(&mut state.events));
        }
        if state.closed {
            return Taken::Closed;
        }
        state.waker = Some(context.waker().clone());
        Taken::Nothing
    }

    pub(super) fn is_drained(&self) -> bool {
        let state = lock(&self.state);
        state.events.is_empty() && !state.overflowed
    }
}
