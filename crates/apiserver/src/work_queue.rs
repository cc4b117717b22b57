//! The queue of a controller: what is to be looked at, each thing once, never twice at the same time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// The first retry waits so long; each further one twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// No retry waits longer.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Entries in the order they came. One that is added while it is being worked on is handed out again afterwards.
#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    waiting: VecDeque<T>,
    /// Waiting, or to be waiting once it is done.
    wanted: HashSet<T>,
    running: HashSet<T>,
    failures: HashMap<T, u32>,
}

impl<T> Default for WorkQueue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), wanted: HashSet::new(), running: HashSet::new(), failures: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> WorkQueue<T> {
    /// Adds an entry, unless it is waiting already.
    pub(crate) fn add(&mut self, entry: T) {
        if self.wanted.insert(entry.clone()) && !self.running.contains(&entry) {
            self.waiting.push_back(entry);
        }
    }

    /// Hands out the next entry; [`Self::succeeded`] or [`Self::failed`] must follow.
    pub(crate) fn next(&mut self) -> Option<T> {
        let entry = self.waiting.pop_front()?;
        self.wanted.remove(&entry);
        self.running.insert(entry.clone());
        Some(entry)
    }

    /// The entry was worked on.
    pub(crate) fn succeeded(&mut self, entry: &T) {
        self.failures.remove(entry);
        self.done(entry);
    }

    /// Working on the entry failed: it is to be added again after the returned time.
    pub(crate) fn failed(&mut self, entry: &T) -> Duration {
        self.done(entry);
        let failures = self.failures.entry(entry.clone()).or_default();
        let delay = FIRST_RETRY.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(LONGEST_RETRY);
        *failures += 1;
        delay
    }

    fn done(&mut self, entry: &T) {
        self.running.remove(entry);
        if self.wanted.contains(entry) {
            self.waiting.push_back(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_waits_once_and_is_never_handed_out_twice_at_a_time() {
        let mut queue = WorkQueue::default();
        queue.add("a");
        queue.add("b");
        queue.add("a");
        assert_eq!((queue.next(), queue.next(), queue.next()), (Some("a"), Some("b"), None));
        queue.add("a");
        assert_eq!(queue.next(), None);
        queue.succeeded(&"a");
        assert_eq!((queue.next(), queue.next()), (Some("a"), None));
    }

    #[test]
    fn retries_wait_longer_and_longer_until_one_succeeds() {
        let mut queue = WorkQueue::default();
        let delays: Vec<u128> = (0..40).map(|_| queue.failed(&"a").as_millis()).collect();
        assert_eq!(delays[..4], [100, 200, 400, 800]);
        assert_eq!(delays[39], 60_000);
        queue.succeeded(&"a");
        assert_eq!(queue.failed(&"a").as_millis(), 100);
    }
}
