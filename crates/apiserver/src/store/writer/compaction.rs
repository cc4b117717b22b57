//! Forgetting old changes, a bounded step at a time, so that no write waits long for it.
//!
//! When the change at revision r is forgotten, the version it replaced is dropped: nobody can ask for it any more. The
//! version r itself stays as long as it is the object's current one; if r is a delete, it is dropped too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use redb::ReadableTable;
use tokio::sync::oneshot;

use super::super::record::Record;
use super::super::tables::{RECORDS, REVISIONS};
use super::super::{Durability, Event, EventKind, PlaneState, Shared};
use super::{begin, commit, fail};

/// A step looks at so many changes at most.
const STEP: usize = 500;

/// What is still to be compacted.
#[derive(Default)]
pub(super) struct Compaction {
    /// Changes up to this time are too old, plane by plane.
    waiting: VecDeque<(Arc<PlaneState>, Timestamp)>,
    /// Answered when nothing is waiting any more.
    answers: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Compaction {
    pub(super) fn is_pending(&self) -> bool {
        !self.waiting.is_empty() || !self.answers.is_empty()
    }

    /// Compacts these planes as of `now`.
    pub(super) fn request(
        &mut self,
        planes: Vec<Arc<PlaneState>>,
        now: Timestamp,
        answer: oneshot::Sender<Result<(), String>>,
    ) {
        let with_history = planes.into_iter().filter(|plane| history(plane) > 0);
        self.waiting.extend(with_history.map(|plane| (plane, now)));
        self.answers.push(answer);
    }

    /// Compacts a plane whose history has grown, by these events, half over what is kept.
    pub(super) fn note_growth(&mut self, plane: &Arc<PlaneState>, events: &[Arc<Event>], shared: &Shared) {
        let bytes: u64 = events.iter().map(|event| size(event.json.len())).sum();
        let bytes = bytes + plane.history_bytes.fetch_add(bytes, Ordering::Relaxed);
        let half_over = |kept: u64, keep: u64| kept > keep.saturating_add(keep / 2);
        let options = &shared.options;
        let too_much = half_over(history(plane), options.history_changes) || half_over(bytes, options.history_bytes);
        if too_much && !self.waiting.iter().any(|(waiting, _)| waiting.id == plane.id) {
            self.waiting.push_back((Arc::clone(plane), (shared.options.clock)()));
        }
    }

    /// Does one step, and answers if it was the last.
    pub(super) fn step(&mut self, shared: &Shared) {
        let mut result = Ok(());
        if !self.waiting.is_empty() {
            result = self.transaction(shared);
        }
        if self.waiting.is_empty() || result.is_err() {
            self.waiting.clear();
            for answer in self.answers.drain(..) {
                // Nobody may wait for it any more.
                let _ = answer.send(result.clone());
            }
        }
    }

    fn transaction(&mut self, shared: &Shared) -> Result<(), String> {
        // Nothing new is promised here, but pages are freed only by a synced commit.
        let transaction = begin(shared, shared.options.durability == Durability::Immediate)?;
        let mut done: BTreeMap<u64, Compacted> = BTreeMap::new();
        let result = self.step_within(&transaction, shared, &mut done);
        result.map_err(|error| fail(shared, error))?;
        if done.is_empty() {
            return Ok(());
        }
        commit(shared, transaction)?;
        for Compacted { plane, oldest, bytes } in done.into_values() {
            plane.oldest.store(oldest, Ordering::Release);
            plane.history_bytes.store(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn step_within(
        &mut self,
        transaction: &redb::WriteTransaction,
        shared: &Shared,
        done: &mut BTreeMap<u64, Compacted>,
    ) -> Result<(), redb::Error> {
        let mut records = transaction.open_table(RECORDS)?;
        let mut revisions = transaction.open_table(REVISIONS)?;
        let mut looked_at = 0;
        while looked_at < STEP {
            let Some((plane, now)) = self.waiting.pop_front() else { break };
            if plane.deleted.load(Ordering::Relaxed) {
                continue;
            }
            let revision = plane.revision.load(Ordering::Relaxed);
            let by_count = revision.saturating_sub(shared.options.history_changes);
            let too_old = now.as_millisecond().saturating_sub(milliseconds(shared.options.history_age));
            let mut oldest = plane.oldest.load(Ordering::Relaxed);
            let mut bytes = plane.history_bytes.load(Ordering::Relaxed);
            let mut dropped = Vec::new();
            let mut unfinished = false;
            for row in records.range((plane.id, oldest + 1)..=(plane.id, revision))? {
                let (at, value) = row?;
                let (_, at) = at.value();
                let Some(record) = Record::decode(value.value()) else {
                    return Err(redb::Error::Corrupted(format!("record of plane {} at revision {at}", plane.id)));
                };
                if at > by_count && record.milliseconds > too_old && bytes <= shared.options.history_bytes {
                    break;
                }
                if looked_at >= STEP {
                    unfinished = true;
                    break;
                }
                looked_at += 1;
                oldest = at;
                if at > plane.opened {
                    bytes = bytes.saturating_sub(size(record.length()));
                }
                if record.previous != 0 {
                    dropped.push(record.previous);
                }
                if record.kind == EventKind::Deleted {
                    dropped.push(at);
                }
            }
            for at in dropped {
                records.remove((plane.id, at))?;
            }
            if oldest != plane.oldest.load(Ordering::Relaxed) {
                revisions.insert(plane.id, (revision, oldest))?;
                done.insert(plane.id, Compacted { plane: Arc::clone(&plane), oldest, bytes });
            }
            if unfinished {
                self.waiting.push_back((plane, now));
                break;
            }
        }
        Ok(())
    }
}

/// What a transaction changes of a plane once it is committed.
struct Compacted {
    plane: Arc<PlaneState>,
    oldest: u64,
    bytes: u64,
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// How many changes the plane keeps.
fn history(plane: &PlaneState) -> u64 {
    plane.revision.load(Ordering::Relaxed) - plane.oldest.load(Ordering::Relaxed)
}

fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
