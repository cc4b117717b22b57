//! Turns at the quotas of a namespace: who charges or counts them keeps others from doing it at the same time, which
//! otherwise would all have to do it again but one.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use tokio::sync::{Mutex, MutexGuard};

use crate::store::PlaneName;

/// So many namespaces at most have turns of their own; the others share them.
const TURNS: usize = 64;

/// The turns at the quotas of all planes.
#[derive(Debug)]
pub(crate) struct QuotaTurns([Mutex<()>; TURNS]);

impl Default for QuotaTurns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl QuotaTurns {
    /// Waits for the turns at these namespaces, which end with what is answered.
    pub(crate) async fn take<'n>(
        &self,
        plane: &PlaneName,
        namespaces: impl IntoIterator<Item = &'n str>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        // Always in the same order, so that nobody waits for each other.
        let places: BTreeSet<usize> = namespaces
            .into_iter()
            .map(|namespace| usize::try_from(hasher.hash_one((plane, namespace)) % TURNS as u64).unwrap_or_default())
            .collect();
        let mut turns = Vec::with_capacity(places.len());
        for place in places {
            turns.push(self.0[place].lock().await);
        }
        turns
    }
}
