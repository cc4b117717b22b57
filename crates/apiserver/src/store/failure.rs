//! How a store ends before its time: it writes no more, and whoever waits for that is told.

use std::io::ErrorKind;

use tokio::sync::watch;

/// What made a store stop writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// There is no space left, or none the process may use.
    Full,
    /// The medium could not be read or written.
    Medium,
    /// The file is not what it should be; what is whole in it can still be read.
    Damage,
}

/// Why a store writes no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreFailure {
    /// What the medium said, or what is wrong with the file.
    pub message: String,
    /// What kind of failure it is.
    pub cause: FailureCause,
}

impl StoreFailure {
    pub(super) fn damage(message: String) -> Self {
        Self { message, cause: FailureCause::Damage }
    }
}

impl<E: Into<redb::Error>> From<E> for StoreFailure {
    fn from(error: E) -> Self {
        let error = error.into();
        let cause = match &error {
            redb::Error::Io(source) if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                FailureCause::Full
            }
            redb::Error::Io(_) | redb::Error::PreviousIo => FailureCause::Medium,
            _ => FailureCause::Damage,
        };
        Self { message: error.to_string(), cause }
    }
}

/// The first failure of a store, once there is one.
pub(super) struct FirstFailure(watch::Sender<Option<StoreFailure>>);

impl Default for FirstFailure {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl FirstFailure {
    /// The failure, if there was one.
    pub(super) fn get(&self) -> Option<StoreFailure> {
        self.0.borrow().clone()
    }

    /// Keeps the first failure, and returns it.
    pub(super) fn note(&self, failure: StoreFailure) -> StoreFailure {
        let message = failure.message.clone();
        let is_first = self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| failure.clone());
            is_first
        });
        if is_first {
            // Last, as a log that cannot be written must keep nobody from learning of the failure.
            tracing::error!(error = message, "the store failed, writes are refused from now on");
        }
        self.get().unwrap_or(failure)
    }

    /// Waits for a failure that leaves nothing to be read either.
    pub(super) async fn of_medium(&self) -> StoreFailure {
        let mut changes = self.0.subscribe();
        let of_medium = |failure: &Option<StoreFailure>| {
            failure.as_ref().is_some_and(|failure| failure.cause != FailureCause::Damage)
        };
        match changes.wait_for(of_medium).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // Neither can be: the sender is this, and only a failure is waited for.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tracing::span;

    use super::*;

    /// A log whose medium is full too, which some logs answer with a panic.
    struct Unwritable;

    impl tracing::Subscriber for Unwritable {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            panic!("failed to write");
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_log_that_cannot_be_written_hides_no_failure() {
        let failure = FirstFailure::default();
        let noted = tracing::subscriber::with_default(Unwritable, || {
            catch_unwind(AssertUnwindSafe(|| failure.note(StoreFailure::damage("first".to_owned()))))
        });
        assert!(noted.is_err(), "the log was written");
        assert_eq!(failure.get(), Some(StoreFailure::damage("first".to_owned())));
    }
}
