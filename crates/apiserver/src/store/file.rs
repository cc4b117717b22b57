//! The store's file: space is filled with zeros before it is used, so that the sync of a commit only writes data.
//!
//! A write into a hole, or behind the end, makes the file system allocate blocks, and the sync that follows must wait for
//! its journal: some twenty times as long as for a write over blocks that are there already. So before the first write
//! into a part of the file that part and some of what follows is overwritten with what it holds: zeros with zeros.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use super::lock;

/// The file is looked at in parts of this size.
const PART: u64 = 64 << 10;
/// So much is filled ahead at least and at most; in between it is half of what the file holds before the place.
const AHEAD: std::ops::RangeInclusive<u64> = (256 << 10)..=(2 << 20);
/// Commits that write more than this are not helped: what they write is more than what they wait for.
const SMALL_COMMIT: u64 = 128 << 10;
/// What redb writes is made of pages of this size.
const PAGE: usize = 4096;

/// A file whose holes are filled before they are written to.
#[derive(Debug)]
pub(super) struct FilledFile {
    file: FileBackend,
    parts: Mutex<Parts>,
    /// Bytes written since the last sync, and between the two last ones.
    written: AtomicU64,
    written_before: AtomicU64,
}

/// What is known of the file's parts.
#[derive(Debug)]
struct Parts {
    /// Which have all their blocks, the last one those up to the file's end; those behind the end of the list do not.
    filled: Vec<bool>,
    /// Nothing was written from here on: it need not be read to know that it is zeros.
    written_to: u64,
}

impl FilledFile {
    pub(super) fn new(file: File) -> Result<Self, DatabaseError> {
        let length = file.metadata()?.len();
        let whole_parts = usize::try_from(length / PART).unwrap_or_default();
        let filled = if has_holes(&file)? { Vec::new() } else { vec![true; whole_parts] };
        Ok(Self {
            file: FileBackend::new(file)?,
            parts: Mutex::new(Parts { filled, written_to: length }),
            written: AtomicU64::new(0),
            written_before: AtomicU64::new(0),
        })
    }

    /// Makes sure that the parts from `offset` to `end` have their blocks.
    fn fill(&self, parts: &mut Parts, offset: u64, end: u64) -> io::Result<()> {
        let Parts { filled, written_to } = parts;
        let part = |offset: u64| usize::try_from(offset / PART).unwrap_or(usize::MAX);
        let is_filled = |filled: &[bool], part: usize| filled.get(part).copied().unwrap_or(false);
        if (part(offset)..=part(end - 1)).all(|part| is_filled(filled, part)) {
            return Ok(());
        }
        let length = self.file.len()?;
        let ahead = (offset / 2).clamp(*AHEAD.start(), *AHEAD.end());
        let last = part(end.max(offset.saturating_add(ahead)).min(length).saturating_sub(1));
        if filled.len() <= last {
            filled.resize(last + 1, false);
        }
        let mut content = vec![0; usize::try_from(PART).unwrap_or_default()];
        let zeros = content.clone();
        for (part, is_filled) in filled.iter_mut().enumerate().take(last + 1).skip(part(offset)) {
            let begin = part as u64 * PART;
            let size = usize::try_from(length.saturating_sub(begin).min(PART)).unwrap_or_default();
            if std::mem::replace(is_filled, true) {
                continue;
            }
            let is_new = begin >= *written_to;
            if !is_new {
                self.file.read(begin, &mut content[..size])?;
            }
            if is_new || content[..size] == zeros[..size] {
                self.file.write(begin, &zeros[..size])?;
                continue;
            }
            for (page, bytes) in content[..size].chunks(PAGE).enumerate() {
                if *bytes == zeros[..bytes.len()] {
                    self.file.write(begin + (page * PAGE) as u64, bytes)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether parts of the file have no blocks.
#[cfg(unix)]
fn has_holes(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 < metadata.len())
}

#[cfg(not(unix))]
fn has_holes(_: &File) -> io::Result<bool> {
    Ok(false)
}

impl StorageBackend for FilledFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut parts = lock(&self.parts);
        // What is cut off is a hole again when the file grows, and so is the rest of a last part that is none yet.
        let whole = self.file.len()?.min(length) / PART;
        parts.filled.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
        parts.written_to = parts.written_to.min(length);
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.written_before.store(self.written.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let before = self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        let is_small = before.max(self.written_before.load(Ordering::Relaxed)) <= SMALL_COMMIT;
        let end = offset + data.len() as u64;
        {
            let mut parts = lock(&self.parts);
            if is_small && !data.is_empty() {
                // Under the lock, so that no zero is put over what another thread writes to the same part.
                self.fill(&mut parts, offset, end)?;
            }
            parts.written_to = parts.written_to.max(end);
        }
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn filling_changes_no_byte(
            operations in proptest::collection::vec((0_u64..300, 1_u64..40, any::<bool>()), 1..40),
        ) {
            let file = FilledFile::new(tempfile::tempfile().unwrap()).unwrap();
            let mut expected = Vec::new();
            for (index, (page, pages, resize)) in operations.into_iter().enumerate() {
                let (offset, size) = (usize::try_from(page).unwrap() * PAGE, usize::try_from(pages).unwrap() * PAGE);
                if resize {
                    file.set_len((offset + size) as u64).unwrap();
                    expected.resize(offset + size, 0);
                } else if offset + size <= expected.len() {
                    let data = vec![u8::try_from(index % 250).unwrap() + 1; size];
                    file.write(offset as u64, &data).unwrap();
                    expected[offset..offset + size].copy_from_slice(&data);
                }
            }
            let mut found = vec![0; expected.len()];
            file.read(0, &mut found).unwrap();
            prop_assert!(found == expected);
            prop_assert_eq!(file.len().unwrap(), expected.len() as u64);
        }
    }
}
