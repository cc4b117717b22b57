//! The writer thread: takes waiting jobs, commits them as one transaction, answers, publishes.
//!
//! Order is what makes the store's promises true: check expectations and write inside the transaction, commit (sync),
//! make the new revision visible and publish the events, and only then answer. If the commit fails, nobody is told
//! anything but the failure, and the store refuses further writes: the outcome on disk is not known.

mod apply;
mod compaction;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use redb::WriteTransaction;
use serde_json::Value;
use tokio::sync::oneshot;

use self::apply::Tables;
use self::compaction::Compaction;
use super::damage::caught;
use super::serialized::SerializedObject;
use super::{
    Change, Durability, Event, Expected, ObjectKey, PlaneError, PlaneName, PlaneState, ReadError, Shared, StoreFailure,
    StoredObject, TransactionError, Write, WriteError, encryption, key, lock, lock_read, lock_write, tables,
};

/// A transaction has so many jobs at most: bounds how long the first waits for the last.
const MOST_JOBS: usize = 1024;
/// A transaction has about so many bytes of objects at most: bounds its memory.
const MOST_BYTES: usize = 8 << 20;
/// A transaction waits for more writers at most so long, and at most half as long as the one before took.
const LONGEST_WAIT: Duration = Duration::from_millis(2);
/// How often a waiting transaction looks for them.
const WAIT_STEP: Duration = Duration::from_micros(100);
/// With [`Durability::Eventual`], every so many commits one is synced: lets redb use freed pages again.
const EVENTUAL_SYNC: u32 = 256;

/// Work for the writer thread.
pub(super) enum Job {
    Write { request: Request, answer: oneshot::Sender<Result<Vec<StoredObject>, TransactionError>> },
    CreatePlane { name: PlaneName, metadata: Value, answer: oneshot::Sender<Result<Arc<PlaneState>, PlaneError>> },
    SetMetadata { plane: Arc<PlaneState>, metadata: Value, answer: oneshot::Sender<Result<(), PlaneError>> },
    DeletePlane { name: PlaneName, answer: oneshot::Sender<Result<(), PlaneError>> },
    Compact { now: Timestamp, answer: oneshot::Sender<Result<(), String>> },
}

/// A transaction's writes, serialised by the caller's thread.
pub(super) struct Request {
    plane: Arc<PlaneState>,
    writes: Vec<PreparedWrite>,
}

/// One write, ready to be put into the tables.
struct PreparedWrite {
    key: ObjectKey,
    /// The key without the plane, encoded.
    local_key: Vec<u8>,
    object: SerializedObject,
    delete: bool,
    expected: Expected,
}

impl Request {
    /// Checks and serialises the writes.
    pub(super) fn prepare(
        shared: &Shared,
        plane: &Arc<PlaneState>,
        writes: &[Write],
    ) -> Result<Self, TransactionError> {
        let mut prepared = Vec::with_capacity(writes.len());
        let mut later = None;
        for (index, write) in writes.iter().enumerate() {
            let malformed = |text: String| TransactionError { index, source: WriteError::Malformed(text) };
            if !key::is_valid(&write.key) {
                return Err(malformed(format!("the key {:?}", write.key.name)));
            }
            let delete = matches!(write.change, Change::Delete(_));
            // What is encrypted is stored as long as it is, so that its length does not tell how it repeats itself.
            let may_compress = shared.options.encryption.is_none() || !encryption::is_encrypted(&write.key);
            let object = match (&write.change, writes.get(index + 1)) {
                (Change::Put(value), Some(Write { key, change: Change::PutFields(fields), .. }))
                    if *key == write.key =>
                {
                    SerializedObject::with_later(value, fields, may_compress).map(|[object, after]| {
                        later = Some(after);
                        object
                    })
                }
                (Change::Put(value) | Change::Delete(value), _) => SerializedObject::new(value, may_compress),
                (Change::PutFields(_), _) => {
                    later.take().ok_or_else(|| "no write before it puts the same object".to_owned())
                }
            };
            let object = object.map_err(malformed)?;
            let local_key = key::encode_local(&write.key);
            prepared.push(PreparedWrite {
                key: write.key.clone(),
                local_key,
                object,
                delete,
                expected: write.expected,
            });
        }
        Ok(Request { plane: Arc::clone(plane), writes: prepared })
    }

    fn bytes(&self) -> usize {
        self.writes.iter().map(|write| write.object.len()).sum()
    }
}

/// A plane's part of the transaction under way.
struct PlaneBatch {
    plane: Arc<PlaneState>,
    revision: u64,
    events: Vec<Arc<Event>>,
}

/// What is done after the commit, for each job in order.
enum Outcome {
    Written(oneshot::Sender<Result<Vec<StoredObject>, TransactionError>>, Result<Vec<StoredObject>, TransactionError>),
    Created(oneshot::Sender<Result<Arc<PlaneState>, PlaneError>>, Arc<PlaneState>),
    Metadata(oneshot::Sender<Result<(), PlaneError>>, Arc<PlaneState>, Option<Value>),
    Deleted(oneshot::Sender<Result<(), PlaneError>>, Result<Arc<PlaneState>, PlaneError>),
}

/// Runs until all senders are gone and the queue is empty, or the file turns out to be damaged.
pub(super) fn run(shared: &Shared, queue: &Receiver<Job>) {
    let served = caught(|| {
        serve(shared, queue);
        Ok::<_, ReadError>(())
    });
    if let Err(error) = served {
        fail(shared, StoreFailure::damage(error.to_string()));
    }
}

fn serve(shared: &Shared, queue: &Receiver<Job>) {
    let mut compaction = Compaction::default();
    let mut crowd = Crowd::default();
    let mut commits = 0_u32;
    loop {
        // Compaction goes on in small steps, whenever there is nothing better to do and between transactions.
        let first = if compaction.is_pending() {
            match queue.try_recv() {
                Ok(job) => Some(job),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return,
            }
        } else {
            match queue.recv() {
                Ok(job) => Some(job),
                Err(_) => return,
            }
        };
        if let Some(first) = first {
            let jobs = gather(first, queue, &mut compaction, shared, &crowd);
            if !jobs.is_empty() {
                commits = commits.wrapping_add(1);
                let (count, begin) = (jobs.len(), Instant::now());
                run_batch(shared, jobs, commits, &mut compaction);
                crowd.note(count, begin.elapsed());
            }
        }
        compaction.step(shared);
    }
}

/// How many writers there seem to be. Those a transaction has just answered come back a moment later: a transaction that
/// starts with the first of them leaves the others waiting for its whole sync, so it waits a moment for them instead.
#[derive(Default)]
struct Crowd {
    writers: usize,
    /// How long the last transaction took.
    took: Duration,
}

impl Crowd {
    /// Takes notice of a transaction of so many jobs.
    fn note(&mut self, jobs: usize, took: Duration) {
        // Grows at once, and is forgotten in a few transactions.
        self.writers = jobs.max(usize::midpoint(self.writers, jobs));
        self.took = took;
    }

    /// Whether to wait a little more, with so many jobs after so long.
    fn is_worth_waiting(&self, jobs: usize, waited: Duration) -> bool {
        jobs < self.writers && waited < LONGEST_WAIT.min(self.took / 2)
    }
}

/// Takes the jobs that are waiting already and, of a crowd, those about to come; compaction requests go to the
/// compaction.
fn gather(first: Job, queue: &Receiver<Job>, compaction: &mut Compaction, shared: &Shared, crowd: &Crowd) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    let begin = Instant::now();
    loop {
        while let Some(job) = next {
            match job {
                Job::Compact { now, answer } => {
                    compaction.request(planes(shared), now, answer);
                }
                job => {
                    if let Job::Write { request, .. } = &job {
                        bytes += request.bytes();
                    }
                    jobs.push(job);
                }
            }
            if jobs.len() >= MOST_JOBS || bytes >= MOST_BYTES {
                return jobs;
            }
            next = queue.try_recv().ok();
        }
        if jobs.is_empty() || !crowd.is_worth_waiting(jobs.len(), begin.elapsed()) {
            return jobs;
        }
        // Sleeping instead of receiving: being woken by each of them would cost more than it wins.
        std::thread::sleep(WAIT_STEP);
        next = queue.try_recv().ok();
    }
}

fn planes(shared: &Shared) -> Vec<Arc<PlaneState>> {
    lock_read(&shared.planes).values().cloned().collect()
}

/// Begins a transaction, unless the store failed before.
fn begin(shared: &Shared, sync: bool) -> Result<WriteTransaction, String> {
    if let Some(failure) = shared.failure.get() {
        return Err(failure.message);
    }
    let mut transaction = shared.database.begin_write().map_err(|error| fail(shared, error))?;
    if !sync {
        transaction.set_durability(redb::Durability::None).map_err(|error| fail(shared, error))?;
    }
    Ok(transaction)
}

/// Commits a transaction and makes readers see it.
fn commit(shared: &Shared, transaction: WriteTransaction) -> Result<(), String> {
    let result = transaction.commit().map_err(|error| fail(shared, error));
    super::reader::forget_snapshot(shared);
    result
}

/// Remembers the first failure, so that later writes are refused: after a failed write redb reads and writes no more until
/// the file is opened again.
fn fail(shared: &Shared, error: impl Into<StoreFailure>) -> String {
    shared.failure.note(error.into()).message
}

fn run_batch(shared: &Shared, jobs: Vec<Job>, commits: u32, compaction: &mut Compaction) {
    let sync = shared.options.durability == Durability::Immediate || commits.is_multiple_of(EVENTUAL_SYNC);
    let transaction = match begin(shared, sync) {
        Ok(transaction) => transaction,
        Err(text) => {
            for job in jobs {
                refuse(job, &text);
            }
            return;
        }
    };
    let mut batch = Batch { planes: BTreeMap::new(), outcomes: Vec::new(), created: BTreeMap::new(), changed: false };
    let mut jobs = jobs.into_iter();
    let mut failure = None;
    // Jobs on planes open other tables than writes: writes that follow one another share their open tables.
    let mut waiting = jobs.next();
    while let Some(job) = waiting.take() {
        let result = match job {
            Job::Write { .. } => batch.apply_writes(shared, &transaction, job, &mut jobs, &mut waiting),
            job => batch.apply_plane_job(shared, &transaction, job),
        };
        if let Err(error) = result {
            failure = Some(error);
            break;
        }
        if waiting.is_none() {
            waiting = jobs.next();
        }
    }
    let committed = match failure {
        Some(error) => {
            // The transaction was not committed, so nothing of it is or ever will be on disk.
            drop(transaction);
            Err(fail(shared, error))
        }
        None if batch.changed => commit(shared, transaction),
        None => {
            drop(transaction);
            Ok(())
        }
    };
    match committed {
        Ok(()) => batch.publish(shared, compaction),
        Err(text) => {
            for outcome in batch.outcomes {
                outcome.refuse(&text);
            }
            for job in waiting.into_iter().chain(jobs) {
                refuse(job, &text);
            }
        }
    }
}

/// A transaction under way.
struct Batch {
    planes: BTreeMap<u64, PlaneBatch>,
    outcomes: Vec<Outcome>,
    /// Planes made or (None) deleted in this transaction.
    created: BTreeMap<PlaneName, Option<Arc<PlaneState>>>,
    changed: bool,
}

impl Batch {
    /// Applies this write and those that directly follow it; the first other job is put into `waiting`.
    fn apply_writes(
        &mut self,
        shared: &Shared,
        transaction: &WriteTransaction,
        first: Job,
        jobs: &mut impl Iterator<Item = Job>,
        waiting: &mut Option<Job>,
    ) -> Result<(), redb::Error> {
        let mut tables = Tables::open(transaction, shared.options.encryption.as_deref())?;
        let now = (shared.options.clock)();
        let mut next = Some(first);
        while let Some(job) = next {
            let Job::Write { request, answer } = job else {
                *waiting = Some(job);
                break;
            };
            // The answer is kept first: should the tables fail below, it is refused with the others.
            self.outcomes.push(Outcome::Written(answer, Ok(Vec::new())));
            let result = self.apply_request(&mut tables, &request, now)?;
            if let Some(Outcome::Written(_, slot)) = self.outcomes.last_mut() {
                *slot = result;
            }
            next = jobs.next();
        }
        let changed = self.planes.values().filter(|batch| !batch.events.is_empty());
        tables.put_revisions(changed.map(|batch| (&*batch.plane, batch.revision)))
    }

    fn apply_request(
        &mut self,
        tables: &mut Tables<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Result<Vec<StoredObject>, TransactionError>, redb::Error> {
        let plane = &request.plane;
        let deleted_here =
            self.created.get(&plane.name).is_some_and(|entry| entry.as_ref().is_none_or(|new| new.id != plane.id));
        if deleted_here || plane.deleted.load(Ordering::Relaxed) {
            return Ok(Err(TransactionError { index: 0, source: WriteError::PlaneGone }));
        }
        let batch = self.planes.entry(plane.id).or_insert_with(|| PlaneBatch {
            plane: Arc::clone(plane),
            revision: plane.revision.load(Ordering::Relaxed),
            events: Vec::new(),
        });
        if let Err(error) = tables.check(plane.id, batch.revision, &request.writes)? {
            return Ok(Err(error));
        }
        let mut written = Vec::with_capacity(request.writes.len());
        for write in &request.writes {
            batch.revision += 1;
            let (object, event) = tables.put(plane.id, batch.revision, write, now)?;
            written.push(object);
            batch.events.push(Arc::new(event));
        }
        self.changed |= !request.writes.is_empty();
        Ok(Ok(written))
    }

    fn apply_plane_job(
        &mut self,
        shared: &Shared,
        transaction: &WriteTransaction,
        job: Job,
    ) -> Result<(), redb::Error> {
        match job {
            Job::CreatePlane { name, metadata, answer } => {
                let plane = if let Some(plane) = self.find(shared, &name) {
                    plane
                } else {
                    self.changed = true;
                    let plane = Arc::new(tables::insert_plane(transaction, &name, &metadata)?);
                    self.created.insert(name, Some(Arc::clone(&plane)));
                    plane
                };
                self.outcomes.push(Outcome::Created(answer, plane));
            }
            Job::SetMetadata { plane, metadata, answer } => {
                let alive = self.find(shared, &plane.name).is_some_and(|found| found.id == plane.id);
                if alive {
                    self.changed = true;
                    tables::put_metadata(transaction, plane.id, &plane.name, &metadata)?;
                }
                self.outcomes.push(Outcome::Metadata(answer, plane, alive.then_some(metadata)));
            }
            Job::DeletePlane { name, answer } => {
                let result = match self.find(shared, &name) {
                    _ if name == PlaneName::default() => Err(PlaneError::Management),
                    None => Err(PlaneError::Gone),
                    Some(plane) => {
                        self.changed = true;
                        tables::remove_plane(transaction, plane.id, &name)?;
                        self.planes.remove(&plane.id);
                        self.created.insert(name, None);
                        Ok(plane)
                    }
                };
                self.outcomes.push(Outcome::Deleted(answer, result));
            }
            Job::Write { .. } | Job::Compact { .. } => unreachable!("handled by the callers"),
        }
        Ok(())
    }

    /// The plane as it is within this transaction.
    fn find(&self, shared: &Shared, name: &PlaneName) -> Option<Arc<PlaneState>> {
        match self.created.get(name) {
            Some(entry) => entry.clone(),
            None => lock_read(&shared.planes).get(name).cloned(),
        }
    }

    /// After the commit: makes the changes visible, tells the watchers, answers the writers.
    fn publish(self, shared: &Shared, compaction: &mut Compaction) {
        if !self.created.is_empty() {
            let mut planes = lock_write(&shared.planes);
            for (name, entry) in self.created {
                match entry {
                    Some(plane) => planes.insert(name, plane),
                    None => planes.remove(&name),
                };
            }
        }
        for batch in self.planes.values() {
            batch.plane.revision.store(batch.revision, Ordering::Release);
            lock(&batch.plane.counts).follow(batch.revision, &batch.events);
        }
        for batch in self.planes.values() {
            super::watch::publish(&batch.plane, batch.revision, &batch.events);
        }
        // After the planes' own watches: a loop that is told of a change looks at its plane, and may not look again.
        let changes: Vec<_> = self.planes.values().map(|batch| (&batch.plane.name, batch.events.as_slice())).collect();
        lock(&shared.planes_hub).publish(&changes);
        for batch in self.planes.into_values() {
            compaction.note_growth(&batch.plane, &batch.events, shared);
        }
        for outcome in self.outcomes {
            // Nobody may wait any more for the answer; the write happened all the same.
            match outcome {
                Outcome::Written(answer, result) => drop(answer.send(result)),
                Outcome::Created(answer, plane) => drop(answer.send(Ok(plane))),
                Outcome::Metadata(answer, plane, Some(metadata)) => {
                    *lock(&plane.metadata) = Arc::new(metadata);
                    drop(answer.send(Ok(())));
                }
                Outcome::Metadata(answer, _, None) => drop(answer.send(Err(PlaneError::Gone))),
                Outcome::Deleted(answer, Ok(plane)) => {
                    plane.deleted.store(true, Ordering::Release);
                    super::watch::close(&plane);
                    drop(answer.send(Ok(())));
                }
                Outcome::Deleted(answer, Err(error)) => drop(answer.send(Err(error))),
            }
        }
    }
}

impl Outcome {
    fn refuse(self, text: &str) {
        match self {
            Outcome::Written(answer, _) => drop(answer.send(Err(storage_error(text)))),
            Outcome::Created(answer, _) => drop(answer.send(Err(PlaneError::Storage(text.to_owned())))),
            Outcome::Metadata(answer, ..) | Outcome::Deleted(answer, _) => {
                drop(answer.send(Err(PlaneError::Storage(text.to_owned()))));
            }
        }
    }
}

fn refuse(job: Job, text: &str) {
    match job {
        Job::Write { answer, .. } => drop(answer.send(Err(storage_error(text)))),
        Job::CreatePlane { answer, .. } => drop(answer.send(Err(PlaneError::Storage(text.to_owned())))),
        Job::SetMetadata { answer, .. } | Job::DeletePlane { answer, .. } => {
            drop(answer.send(Err(PlaneError::Storage(text.to_owned()))));
        }
        Job::Compact { answer, .. } => drop(answer.send(Err(text.to_owned()))),
    }
}

fn storage_error(text: &str) -> TransactionError {
    TransactionError { index: 0, source: WriteError::Storage(text.to_owned()) }
}
