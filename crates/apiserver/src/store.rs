//! The revision store: every plane's objects and change log in one redb file.
//!
//! A write names what it expects (absent, or a revision) and is either committed and durable, or refused. One writer
//! thread groups waiting writes of all planes into one synced transaction, then answers the writers and publishes the
//! events, so neither ever learns of something a crash could take back. The layout is that of etcd: `objects` maps a
//! key to the revision of its current version, `records` holds every kept version by revision and is the change log
//! at the same time. Reads are served from redb's snapshots, not from memory: an idle plane is a few map entries.

mod compression;
mod counts;
mod damage;
mod encryption;
mod failure;
mod file;
mod key;
mod options;
mod reader;
mod record;
mod serialized;
mod tables;
mod values;
mod watch;
mod writer;
mod written_list;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock, mpsc};
use std::thread::JoinHandle;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::oneshot;

use self::counts::Counts;
use self::damage::{OpenDatabase, caught};
pub use self::encryption::{EncryptionKeyError, EncryptionKeys};
use self::failure::FirstFailure;
pub use self::failure::{FailureCause, StoreFailure};
use self::file::FilledFile;
pub use self::options::{Clock, Durability, StoreOptions};
use self::reader::NewestSnapshot;
pub use self::reader::{ListError, ReadError};
pub use self::values::{
    Change, CompressedField, Event, EventKind, Expected, Facts, ListPage, ObjectKey, PlaneError, PlaneName, Scope,
    StoredObject, TransactionError, Write, WriteError,
};
use self::watch::{Hub, PlanesHub};
pub use self::watch::{PlaneEvent, PlanesWatch, Watch, WatchEnd, WatchError};
use self::writer::{Job, Request};
pub use self::written_list::WrittenList;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this process, has the file open.
    #[error("the store is in use by another process")]
    InUse,
    /// The file was written by another version of this program.
    #[error("the store has format {found}, this program reads format {expected}")]
    Format {
        /// The file's format.
        found: u64,
        /// This program's.
        expected: u64,
    },
    /// Secrets in the file are encrypted, and their key is not among those that were given.
    #[error(
        "the secrets in the store are encrypted with the key {id:016x}, which is not among the encryption keys that were \
         given"
    )]
    EncryptionKey {
        /// The key's id: the first 8 bytes of its SHA-256 digest.
        id: u64,
    },
    /// The file could not be read, is not a store, or is damaged.
    #[error("failed to open the store: {0}")]
    Open(String),
    /// The writer thread could not be started.
    #[error("failed to start the store's writer: {0}")]
    StartWriter(#[source] std::io::Error),
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(text) => Self::Open(text),
            ReadError::PlaneGone => Self::Open(error.to_string()),
        }
    }
}

/// What all handles of a plane share.
#[derive(Debug)]
struct PlaneState {
    id: u64,
    name: PlaneName,
    /// The last committed revision; only the writer thread changes it.
    revision: AtomicU64,
    /// Changes after this revision are kept, and the state at it can be listed.
    oldest: AtomicU64,
    /// The revision the plane was opened at: [`Self::history_bytes`] counts what came later.
    opened: u64,
    /// Bytes of the objects in the kept changes after `opened`; only the writer thread changes it.
    history_bytes: AtomicU64,
    deleted: AtomicBool,
    metadata: Mutex<Arc<Value>>,
    hub: Mutex<Hub>,
    counts: Mutex<Counts>,
}

/// What the writer thread and all handles share.
struct Shared {
    /// Before the database, so that it is closed with no reader left.
    newest: RwLock<NewestSnapshot>,
    database: OpenDatabase,
    options: StoreOptions,
    planes: RwLock<BTreeMap<PlaneName, Arc<PlaneState>>>,
    planes_hub: Mutex<PlanesHub>,
    /// The first storage failure; writes are refused from then on.
    failure: FirstFailure,
}

/// An open store and its writer thread. The thread ends, and the file is closed, with the last handle.
struct Inner {
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        lock(&self.shared.planes_hub).close();
        // Waiting for the thread is what makes "dropped" mean "closed": the file can be opened again right after.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            // The last handle may go down with a task that the writer woke; then the thread ends by itself.
            && writer.thread().id() != std::thread::current().id()
        {
            // A panic of the writer was answered as a storage error to each waiting write already.
            let _ = writer.join();
        }
    }
}

/// The store of all planes. Cheap to clone.
///
/// # Guarantees
/// - Each committed change of a plane has its own revision, greater than all before, also after a crash.
/// - A write is acknowledged, and its event published, only after it is committed (and synced with
///   [`Durability::Immediate`]).
/// - After a write is acknowledged, every read and every watch sees it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("options", &self.inner.shared.options).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in the file at `path`, making it if there is none, with at least the management plane in it.
    ///
    /// Blocks while the file is read: after a crash redb checks the whole file, about a second per gigabyte. With another
    /// encryption key than before the file is written anew, which needs as much space again.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if any process has it open; otherwise see [`OpenError`].
    pub fn open(path: impl AsRef<Path>, options: StoreOptions) -> Result<Self, OpenError> {
        caught(|| Self::open_file(path.as_ref(), options))
    }

    fn open_file(path: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let database = open_database(path, &options)?;
        let Some(keys) = options.encryption.clone() else { return Self::start(database, options) };
        if !tables::must_be_encrypted(&database, &keys)? {
            return Self::start(database, options);
        }
        let failed = |error: std::io::Error| OpenError::Open(error.to_string());
        let mut name = path.as_os_str().to_owned();
        name.push(".encrypting");
        let copy = Path::new(&name);
        if copy.exists() {
            // Left by a process that ended in the middle.
            std::fs::remove_file(copy).map_err(failed)?;
        }
        let encrypted = open_database(copy, &options)?;
        tables::copy_encrypted(&database, &encrypted, &keys)?;
        drop((database, encrypted));
        std::fs::rename(copy, path).map_err(failed)?;
        Self::start(open_database(path, &options)?, options)
    }

    /// Opens an empty store in memory.
    ///
    /// # Errors
    /// Only if no thread can be started.
    pub fn in_memory(options: StoreOptions) -> Result<Self, OpenError> {
        Self::with_backend(redb::backends::InMemoryBackend::new(), options)
    }

    /// Opens a store on another medium, e.g. one that fails on purpose.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn with_backend(backend: impl redb::StorageBackend, options: StoreOptions) -> Result<Self, OpenError> {
        caught(|| Self::start(open_on(backend, &options)?, options))
    }

    fn start(database: OpenDatabase, options: StoreOptions) -> Result<Self, OpenError> {
        let planes = tables::initialise(&database, options.encryption.as_deref())?;
        let shared = Arc::new(Shared {
            newest: RwLock::default(),
            database,
            options,
            planes: RwLock::new(planes.into_iter().map(|plane| (plane.name.clone(), Arc::new(plane))).collect()),
            planes_hub: Mutex::default(),
            failure: FirstFailure::default(),
        });
        let (jobs, queue) = mpsc::channel();
        let writer = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("store-writer".to_owned())
                .spawn(move || writer::run(&shared, &queue))
                .map_err(OpenError::StartWriter)?
        };
        Ok(Store { inner: Arc::new(Inner { shared, jobs: Some(jobs), writer: Some(writer) }) })
    }

    /// The plane of this name.
    pub fn plane(&self, name: &PlaneName) -> Option<PlaneStore> {
        let state = lock_read(&self.inner.shared.planes).get(name).cloned()?;
        Some(PlaneStore { inner: Arc::clone(&self.inner), state })
    }

    /// The management plane, which always exists.
    pub fn management(&self) -> PlaneStore {
        self.plane(&PlaneName::default()).expect("the management plane is made with the store and never deleted")
    }

    /// All planes, ordered by name.
    pub fn planes(&self) -> Vec<PlaneStore> {
        let planes = lock_read(&self.inner.shared.planes);
        planes.values().map(|state| PlaneStore { inner: Arc::clone(&self.inner), state: Arc::clone(state) }).collect()
    }

    /// Makes a plane with these metadata; an existing plane is returned as it is.
    ///
    /// # Errors
    /// [`PlaneError::Storage`] if it cannot be stored.
    pub async fn create_plane(&self, name: &PlaneName, metadata: Value) -> Result<PlaneStore, PlaneError> {
        let (answer, answered) = oneshot::channel();
        let state = self.inner.ask(Job::CreatePlane { name: name.clone(), metadata, answer }, answered).await;
        let state = state.map_err(PlaneError::Storage)??;
        Ok(PlaneStore { inner: Arc::clone(&self.inner), state })
    }

    /// Deletes a plane with all its objects; its watches end. A plane made later under the same name is another one.
    ///
    /// # Errors
    /// [`PlaneError::Gone`] if there is none, [`PlaneError::Management`] for the management plane.
    pub async fn delete_plane(&self, name: &PlaneName) -> Result<(), PlaneError> {
        let (answer, answered) = oneshot::channel();
        let result = self.inner.ask(Job::DeletePlane { name: name.clone(), answer }, answered).await;
        result.map_err(PlaneError::Storage)?
    }

    /// Forgets changes that are older than the history the options ask for. Call it now and then (say every minute);
    /// planes without changes since the last call cost nothing. By count the writer also does it on its own.
    ///
    /// # Errors
    /// The storage error's text.
    pub async fn compact(&self, now: Timestamp) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        self.inner.ask(Job::Compact { now, answer }, answered).await?
    }

    /// Follows the changes of all planes from now on, for loops that serve all planes at once.
    pub fn watch_planes(&self) -> PlanesWatch {
        PlanesWatch::subscribe(&mut lock(&self.inner.shared.planes_hub))
    }

    /// The storage failure that stopped the writer, if any.
    ///
    /// # Errors
    /// The text of the first storage failure, or that the writer has ended without one.
    pub fn health(&self) -> Result<(), String> {
        let has_ended = self.inner.writer.as_ref().is_none_or(JoinHandle::is_finished);
        if has_ended || self.inner.shared.failure.get().is_some() { Err(self.inner.failure_text()) } else { Ok(()) }
    }

    /// Waits until the medium fails, e.g. has no space left. The store has to be opened again then: it writes no more, even
    /// when there is space again, and reads only what it has in memory. What was acknowledged is in the file.
    pub async fn failed(&self) -> StoreFailure {
        self.inner.shared.failure.of_medium().await
    }
}

impl Inner {
    /// Hands a job to the writer and waits for its answer. The error is a storage error's text.
    async fn ask<T>(&self, job: Job, answered: oneshot::Receiver<T>) -> Result<T, String> {
        let stopped = || self.failure_text();
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())
    }

    fn failure_text(&self) -> String {
        let failure = self.shared.failure.get();
        failure.map_or_else(|| "the store's writer has stopped".to_owned(), |failure| failure.message)
    }
}

/// One plane of the store. Cheap to clone; keeps the store open.
#[derive(Clone)]
pub struct PlaneStore {
    inner: Arc<Inner>,
    state: Arc<PlaneState>,
}

impl std::fmt::Debug for PlaneStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PlaneStore").field("name", &self.state.name).finish_non_exhaustive()
    }
}

impl PlaneStore {
    /// The plane's name.
    pub fn name(&self) -> &PlaneName {
        &self.state.name
    }

    /// The plane's number, never used again.
    pub fn id(&self) -> u64 {
        self.state.id
    }

    /// The last committed revision; a new plane starts at 1.
    pub fn revision(&self) -> u64 {
        self.state.revision.load(Ordering::Acquire)
    }

    /// Changes after this revision are kept.
    pub fn oldest_revision(&self) -> u64 {
        self.state.oldest.load(Ordering::Acquire)
    }

    /// Whether the plane was deleted.
    pub fn is_deleted(&self) -> bool {
        self.state.deleted.load(Ordering::Acquire)
    }

    /// What [`Store::create_plane`] or [`PlaneStore::set_metadata`] stored about the plane.
    pub fn metadata(&self) -> Arc<Value> {
        Arc::clone(&lock(&self.state.metadata))
    }

    /// Replaces the plane's metadata.
    ///
    /// # Errors
    /// [`PlaneError::Gone`] if the plane was deleted.
    pub async fn set_metadata(&self, metadata: Value) -> Result<(), PlaneError> {
        let (answer, answered) = oneshot::channel();
        let job = Job::SetMetadata { plane: Arc::clone(&self.state), metadata, answer };
        self.inner.ask(job, answered).await.map_err(PlaneError::Storage)?
    }

    /// The object, if it is there. Blocks for a B-tree lookup (microseconds).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get(&self, key: &ObjectKey) -> Result<Option<StoredObject>, ReadError> {
        caught(|| reader::get(&self.inner.shared, &self.state, key))
    }

    /// The object with this `metadata.uid`, if it is there.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get_by_uid(&self, uid: &str) -> Result<Option<StoredObject>, ReadError> {
        caught(|| reader::get_by_uid(&self.inner.shared, &self.state, uid))
    }

    /// The keys of the objects that name this uid in their owner references.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn dependents(&self, owner_uid: &str) -> Result<Vec<ObjectKey>, ReadError> {
        caught(|| reader::dependents(&self.inner.shared, &self.state, owner_uid))
    }

    /// The uids that objects name as their owner, but no object has.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn absent_owners(&self) -> Result<Vec<String>, ReadError> {
        caught(|| reader::absent_owners(&self.inner.shared, &self.state))
    }

    /// The keys of the objects that have a deletion timestamp.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn terminating(&self) -> Result<Vec<ObjectKey>, ReadError> {
        caught(|| reader::terminating(&self.inner.shared, &self.state))
    }

    /// The objects that were last written before `time`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn written_before(&self, scope: &Scope, time: Timestamp) -> Result<Vec<StoredObject>, ReadError> {
        caught(|| reader::written_before(&self.inner.shared, &self.state, scope, time))
    }

    /// How many objects there are now.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn count(&self, scope: &Scope) -> Result<u64, ReadError> {
        caught(|| counts::count_at(&self.inner.shared, &self.state, scope, self.revision()))
    }

    /// How many objects there were at a revision; as of now, if it is older than the kept history. Counts the objects of
    /// a scope once and then keeps the count.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn count_at(&self, scope: &Scope, revision: u64) -> Result<u64, ReadError> {
        caught(|| counts::count_at(&self.inner.shared, &self.state, scope, revision))
    }

    /// How many objects followed a key at a revision; as of now, if it is older than the kept history. Blocks for
    /// some tenths of a microsecond an object.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn count_after(&self, scope: &Scope, key: &ObjectKey, revision: u64) -> Result<u64, ReadError> {
        caught(|| reader::count_after(&self.inner.shared, &self.state, scope, key, revision))
    }

    /// A page of objects from one snapshot: those after `start_after` (exclusive), `limit` at most (0: all), as they are
    /// now or were at `at_revision`. Blocks for a few microseconds an object.
    ///
    /// # Errors
    /// [`ListError::Expired`] if `at_revision` is older than the kept history, [`ListError::Future`] if it is not
    /// reached yet.
    pub fn list(
        &self,
        scope: &Scope,
        start_after: Option<&ObjectKey>,
        limit: usize,
        at_revision: Option<u64>,
    ) -> Result<ListPage, ListError> {
        caught(|| reader::list(&self.inner.shared, &self.state, scope, start_after, limit, at_revision))
    }

    /// All objects of a scope from one snapshot, now or at `at_revision`, as one text: `write` is called with the revision
    /// and the JSON of each, in no order and by all processors where there are many, and appends what it makes of it.
    ///
    /// # Errors
    /// The errors of [`Self::list`], and what `write` refuses.
    pub fn write_list<E: From<ListError> + Send>(
        &self,
        scope: &Scope,
        at_revision: Option<u64>,
        write: impl Fn(u64, &[u8], &mut Vec<u8>) -> Result<(), E> + Sync,
    ) -> Result<WrittenList, E> {
        let list = || Ok(reader::write_list(&self.inner.shared, &self.state, scope, at_revision, write));
        caught(list).unwrap_or_else(|error: ReadError| Err(ListError::from(error).into()))
    }

    /// Commits one write.
    ///
    /// Cancelling the future does not cancel the write.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(&self, key: ObjectKey, change: Change, expected: Expected) -> Result<StoredObject, WriteError> {
        let written = self.write_many(&[Write { key, change, expected }]).await.map_err(|error| error.source)?;
        written.into_iter().next().ok_or_else(|| WriteError::Storage("the writer gave no answer".to_owned()))
    }

    /// Commits several writes in one transaction: all or none, each with its own revision, in order. A later write sees
    /// the earlier ones. For a delete, the last state is returned.
    ///
    /// # Errors
    /// The first write that was refused.
    pub async fn write_many(&self, writes: &[Write]) -> Result<Vec<StoredObject>, TransactionError> {
        let request = Request::prepare(&self.inner.shared, &self.state, writes)?;
        let (answer, answered) = oneshot::channel();
        match self.inner.ask(Job::Write { request, answer }, answered).await {
            Ok(result) => result,
            Err(text) => Err(TransactionError { index: 0, source: WriteError::Storage(text) }),
        }
    }

    /// Every change after `since` within the scope, in order, without gap or double: first from the log, then live.
    ///
    /// # Errors
    /// [`WatchError::Expired`] if changes after `since` were forgotten, [`WatchError::Future`] if `since` is not
    /// reached yet.
    pub fn watch(&self, scope: Scope, since: u64) -> Result<Watch, WatchError> {
        caught(|| Watch::subscribe(Arc::clone(&self.inner), Arc::clone(&self.state), scope, since))
    }
}

fn open_database(path: &Path, options: &StoreOptions) -> Result<OpenDatabase, OpenError> {
    let file = open_file(path).map_err(|error| OpenError::Open(error.to_string()))?;
    let file = FilledFile::new(file).map_err(open_error)?;
    open_on(file, options)
}

fn open_on(backend: impl redb::StorageBackend, options: &StoreOptions) -> Result<OpenDatabase, OpenError> {
    let database = redb::Builder::new().set_cache_size(options.cache_bytes).create_with_backend(backend);
    Ok(database.map_err(open_error)?.into())
}

/// Opens or makes the file, for its owner alone: there are secrets in it.
fn open_file(path: &Path) -> std::io::Result<File> {
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    let file = how.open(path)?;
    // A synced file helps little if a crash of the machine takes its new directory entry.
    if cfg!(unix)
        && let Some(directory) = path.parent()
    {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

fn open_error(error: redb::DatabaseError) -> OpenError {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
        other => OpenError::Open(other.to_string()),
    }
}

/// Locks even if a thread panicked while it held the lock: what is guarded here is never left half-changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn lock_read<T>(guarded: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    guarded.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn lock_write<T>(guarded: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    guarded.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
