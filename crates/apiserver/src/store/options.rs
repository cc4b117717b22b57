//! How a store is opened: durability, cache, history, queues, encryption and time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::EncryptionKeys;

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the file is synced: an acknowledged write survives a crash of the machine.
    Immediate,
    /// Synced now and then. A crash may take acknowledged writes back and their revisions be used again: only for
    /// tests and benchmarks.
    Eventual,
}

/// Where the store's time comes from; it stamps changes and ages the log.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How to open a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// When a commit counts as done.
    pub durability: Durability,
    /// Bound of redb's page cache in bytes; it grows to this only if that much is read or written.
    pub cache_bytes: usize,
    /// Changes younger than this are kept for watchers that come back (within `history_changes`).
    pub history_age: Duration,
    /// So many changes are kept per plane at most (up to one and a half times that between two compactions).
    pub history_changes: u64,
    /// So many bytes of objects the changes kept may have per plane (up to one and a half times that between two
    /// compactions). Changes from before the store was opened do not count; they leave by age and number.
    pub history_bytes: u64,
    /// So many changes wait in memory per watch; a slower watcher reads the log instead.
    pub watch_queue: usize,
    /// So many bytes of changes wait in memory per watch, or one change that is larger.
    pub watch_queue_bytes: usize,
    /// Keys that Secrets are encrypted with in the file; without them they are not.
    pub encryption: Option<Arc<EncryptionKeys>>,
    /// The time.
    pub clock: Clock,
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoreOptions")
            .field("durability", &self.durability)
            .field("cache_bytes", &self.cache_bytes)
            .field("history_age", &self.history_age)
            .field("history_changes", &self.history_changes)
            .field("history_bytes", &self.history_bytes)
            .field("watch_queue", &self.watch_queue)
            .field("watch_queue_bytes", &self.watch_queue_bytes)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

impl Default for StoreOptions {
    /// Immediate durability, 32 MiB cache, 5 minutes, 10,000 changes and 256 MiB of history, 1,024 waiting events and 4 MiB of
    /// them a watch, no encryption, the system's clock.
    fn default() -> Self {
        StoreOptions {
            durability: Durability::Immediate,
            cache_bytes: 32 << 20,
            history_age: Duration::from_mins(5),
            history_changes: 10_000,
            history_bytes: 256 << 20,
            watch_queue: 1024,
            watch_queue_bytes: 4 << 20,
            encryption: None,
            clock: Arc::new(Timestamp::now),
        }
    }
}
