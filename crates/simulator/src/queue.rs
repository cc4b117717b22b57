//! The queue of clusters to look at: each at most once at a time, at once or at a given time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

struct Inner<K> {
    ready: VecDeque<K>,
    queued: HashSet<K>,
    running: HashSet<K>,
    /// Keys that were added while they ran.
    again: HashSet<K>,
    /// Latest promise per key; older entries of the heap are ignored.
    promised: HashMap<K, Instant>,
    later: BinaryHeap<Reverse<(Instant, u64)>>,
    later_keys: HashMap<u64, K>,
    counter: u64,
}

/// A queue for several workers.
pub struct Queue<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
}

impl<K: Clone + Eq + Hash> Default for Queue<K> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                ready: VecDeque::new(),
                queued: HashSet::new(),
                running: HashSet::new(),
                again: HashSet::new(),
                promised: HashMap::new(),
                later: BinaryHeap::new(),
                later_keys: HashMap::new(),
                counter: 0,
            }),
            changed: Notify::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key; once more after it if it is being worked on.
    pub fn add(&self, key: K) {
        let mut inner = self.lock();
        if inner.running.contains(&key) {
            inner.again.insert(key);
        } else if inner.queued.insert(key.clone()) {
            inner.ready.push_back(key);
            drop(inner);
            self.changed.notify_one();
        }
    }

    /// Adds a key after a delay, unless it is promised for an earlier time.
    pub fn add_after(&self, key: K, delay: Duration) {
        let at = Instant::now() + delay;
        let mut inner = self.lock();
        if inner.promised.get(&key).is_some_and(|earlier| *earlier <= at) {
            return;
        }
        inner.promised.insert(key.clone(), at);
        inner.counter += 1;
        let counter = inner.counter;
        inner.later.push(Reverse((at, counter)));
        inner.later_keys.insert(counter, key);
        drop(inner);
        self.changed.notify_one();
    }

    /// Waits for the next key; [`Queue::done`] must follow.
    pub async fn next(&self) -> K {
        loop {
            let wait = {
                let mut inner = self.lock();
                let due = Self::move_due(&mut inner);
                if let Some(key) = inner.ready.pop_front() {
                    inner.queued.remove(&key);
                    inner.running.insert(key.clone());
                    let more = !inner.ready.is_empty();
                    drop(inner);
                    if more {
                        self.changed.notify_one();
                    }
                    return key;
                }
                due
            };
            match wait {
                Some(at) => {
                    // Whoever waits for the time is woken by it or by a change; others sleep on.
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Moves keys whose time came to the ready ones; the time of the next.
    fn move_due(inner: &mut Inner<K>) -> Option<Instant> {
        let now = Instant::now();
        while let Some(Reverse((at, counter))) = inner.later.peek().copied() {
            let current = inner.later_keys.get(&counter).is_some_and(|key| inner.promised.get(key) == Some(&at));
            if current && at > now {
                return Some(at);
            }
            inner.later.pop();
            if let Some(key) = inner.later_keys.remove(&counter)
                && current
            {
                inner.promised.remove(&key);
                if inner.running.contains(&key) {
                    inner.again.insert(key);
                } else if inner.queued.insert(key.clone()) {
                    inner.ready.push_back(key);
                }
            }
        }
        None
    }

    /// Ends the work on a key.
    pub fn done(&self, key: &K) {
        let mut inner = self.lock();
        inner.running.remove(key);
        if inner.again.remove(key) && inner.queued.insert(key.clone()) {
            inner.ready.push_back(key.clone());
            drop(inner);
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_that_runs_is_not_given_out_twice_but_comes_again() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, "b");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
    }

    #[tokio::test]
    async fn the_earliest_promise_counts() {
        let queue = Queue::default();
        queue.add_after("a", Duration::from_hours(1));
        queue.add_after("a", Duration::from_millis(1));
        queue.add_after("a", Duration::from_hours(2));
        // Would wait for an hour if the first promise held.
        assert_eq!(queue.next().await, "a");
    }
}
