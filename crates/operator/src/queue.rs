//! A work queue of keys: each key waits at most once, is worked on by at most one worker, and not more often than a
//! minimum interval.
//!
//! kube's own scheduler restarts its debounce timer with every new request, so a cluster whose machines change all the
//! time would not be reconciled until they stop. Here the first request of a burst fixes the time: status lag has an upper
//! bound, and a burst costs one reconciliation per interval.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The queue. Share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct WorkQueue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    interval: Duration,
}

#[derive(Debug)]
struct State<K> {
    keys: HashMap<K, Entry>,
    due: BTreeSet<(Instant, K)>,
}

#[derive(Debug, Default)]
struct Entry {
    due: Option<Instant>,
    started: Option<Instant>,
    is_running: bool,
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    /// A queue that hands out a key at most once per `interval`.
    pub fn new(interval: Duration) -> Self {
        let state = State { keys: HashMap::new(), due: BTreeSet::new() };
        Self { state: Mutex::new(state), changed: Notify::new(), interval }
    }

    /// Asks for work on a key as soon as the interval allows.
    pub fn add(&self, key: K) {
        self.add_after(key, Duration::ZERO);
    }

    /// Asks for work on a key after a delay. An earlier request stands.
    pub fn add_after(&self, key: K, delay: Duration) {
        let mut state = self.lock();
        let entry = state.keys.entry(key.clone()).or_default();
        let mut at = Instant::now() + delay;
        if let Some(started) = entry.started {
            at = at.max(started + self.interval);
        }
        if entry.due.is_some_and(|due| due <= at) {
            return;
        }
        let replaced = entry.due.replace(at);
        let is_running = entry.is_running;
        if let Some(old) = replaced {
            state.due.remove(&(old, key.clone()));
        }
        if !is_running {
            state.due.insert((at, key));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The next key to work on, when its time has come. Give it back with [`Self::done`].
    pub async fn next(&self) -> K {
        loop {
            let wait = {
                let mut state = self.lock();
                let first = state.due.first().cloned();
                match first {
                    Some((at, key)) if at <= Instant::now() => {
                        state.due.pop_first();
                        let has_more = !state.due.is_empty();
                        if let Some(entry) = state.keys.get_mut(&key) {
                            *entry = Entry { due: None, started: Some(Instant::now()), is_running: true };
                        }
                        drop(state);
                        if has_more {
                            self.changed.notify_one();
                        }
                        return key;
                    }
                    first => first.map(|(at, _)| at),
                }
            };
            match wait {
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Ends the work on a key. A request that came meanwhile is served next.
    pub fn done(&self, key: &K) {
        let mut state = self.lock();
        let Some(entry) = state.keys.get_mut(key) else { return };
        entry.is_running = false;
        let at = entry.due.map(|due| entry.started.map_or(due, |started| due.max(started + self.interval)));
        if let Some(at) = at {
            entry.due = Some(at);
            state.due.insert((at, key.clone()));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Forgets a key that no longer exists, unless work was asked for.
    pub fn forget(&self, key: &K) {
        let mut state = self.lock();
        if state.keys.get(key).is_some_and(|entry| entry.due.is_none()) {
            state.keys.remove(key);
        }
    }

    /// How many keys wait, due or not.
    pub fn len(&self) -> usize {
        self.lock().due.len()
    }

    /// Whether no key waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(200);

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_served_at_once_and_then_once_per_interval() {
        let queue = WorkQueue::new(INTERVAL);
        let start = Instant::now();
        for _ in 0..100 {
            queue.add("a");
        }
        assert_eq!((queue.next().await, start.elapsed()), ("a", Duration::ZERO));
        for _ in 0..100 {
            queue.add("a");
        }
        queue.done(&"a");
        assert_eq!((queue.next().await, start.elapsed()), ("a", INTERVAL));
        queue.done(&"a");
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_a_time() {
        let queue = WorkQueue::new(Duration::ZERO);
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, "b");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_request_replaces_a_later_one() {
        let queue = WorkQueue::new(Duration::ZERO);
        let start = Instant::now();
        queue.add_after("a", Duration::from_mins(1));
        queue.add_after("a", Duration::from_secs(1));
        queue.add_after("a", Duration::from_secs(30));
        assert_eq!((queue.next().await, start.elapsed()), ("a", Duration::from_secs(1)));
        queue.done(&"a");
        assert!(queue.is_empty());
    }
}
