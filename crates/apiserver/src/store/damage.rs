//! A damaged file must not take the program down.
//!
//! redb looks at the checksums of its pages only after a crash. Where a page is not what the page above it says, because the
//! disk or somebody else wrote there, it panics; whoever reads is told so as an error instead.

use std::any::Any;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Database;

use super::ReadError;

/// What `access` makes of the file, or that the file is damaged.
///
/// Nothing that outlives `access` is left half-changed by a panic in redb: its snapshots are read only, and what a
/// transaction has not committed is not there.
///
/// # Errors
/// Those of `access`, and [`ReadError::Storage`] if it panics.
pub(super) fn caught<T, E: From<ReadError>>(access: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(access)).unwrap_or_else(|panic| Err(damaged(text_of(&*panic)).into()))
}

/// The error that says what is wrong with the file, and what the operator can do.
pub(super) fn damaged(what: &str) -> ReadError {
    ReadError::Storage(format!("the file is damaged, an earlier copy of it must take its place: {what}"))
}

/// A database that is closed with this. Closing writes and may meet damage too; it is then logged, and the next start finds
/// a file that was not closed.
pub(super) struct OpenDatabase(Option<Database>);

impl From<Database> for OpenDatabase {
    fn from(database: Database) -> Self {
        Self(Some(database))
    }
}

impl Deref for OpenDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        match &self.0 {
            Some(database) => database,
            None => unreachable!("it is there until this is dropped"),
        }
    }
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        let closed = caught(|| {
            drop(self.0.take());
            Ok::<_, ReadError>(())
        });
        if let Err(error) = closed {
            tracing::error!(%error, "the store was not closed in order");
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("its pages contradict each other")
}
