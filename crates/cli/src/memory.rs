//! Memory that was needed once is given back when nothing more is asked, and what is free is shared by the threads.
//!
//! The C library keeps what is freed for later: a server that was given definitions of some hundred kilobytes each, or brought up
//! a fleet, holds the largest amount it ever needed. It gives free pages back when it is told to, which takes some
//! milliseconds; so it is told once after each time of work. Why no other allocator:
//! `docs/decisions/0025-large-objects-are-compressed-free-memory-is-given-back.md`.

use std::time::Duration;

use kogge_apiserver::server::Server;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether anything happens.
const LOOK: Duration = Duration::from_secs(2);
/// So many requests between two looks are rest: probes, leases, somebody who watches. Those that were refused do not count:
/// the operator asks again and again for kinds that are not there yet.
const AT_REST: u64 = 10;
/// So many since the last time are work that memory was needed for.
const WORK: u64 = 20;

/// Gives memory back whenever the server has come to rest, until `shutdown`.
pub(crate) async fn give_back_at_rest(server: Server, shutdown: CancellationToken) {
    let mut rest = Rest::default();
    while shutdown.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        if rest.begins(server.requests_answered()) {
            give_back();
        }
    }
}

/// Tells when a time of work has ended.
#[derive(Default)]
struct Rest {
    /// Requests answered at the last look.
    answered: u64,
    /// Requests answered when the last rest began; absent before the first, as the start is work too.
    begun: Option<u64>,
}

impl Rest {
    /// Whether rest begins now that so many requests were answered.
    fn begins(&mut self, answered: u64) -> bool {
        let lately = answered - std::mem::replace(&mut self.answered, answered);
        if lately > AT_REST || self.begun.is_some_and(|begun| answered - begun < WORK) {
            return false;
        }
        self.begun = Some(answered);
        true
    }
}

/// So much free memory, in bytes, is kept in each heap while there is work: what a list of 10,000 objects needs. By default it is
/// 128 KiB, and every such list asks the system for all of its pages again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 32 << 20;
/// Smaller pieces come from a heap, larger ones from the system; half of what is kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = KEPT / 2;

/// How many heaps threads share. The C library gives each thread a heap of its own, up to eight for each processor, and what
/// is free in one is of no use to the others; where two threads that work at the same time have one, they wait for each other.
/// So there is one for each thread that may work at the same time: a worker for each processor, a helper with a long list for
/// each but one, the store's writer and the main thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn heaps() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).saturating_mul(2).saturating_add(1)
}

/// Makes threads share heaps, which keep what is free while there is work. Has to come before threads are started.
/// `MALLOC_ARENA_MAX` and `GLIBC_TUNABLES` in the environment win.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no other way to ask the C library for it")]
pub(crate) fn share_heaps() {
    if ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let heaps = heaps().try_into().unwrap_or(libc::c_int::MAX);
    for (option, value) in [(libc::M_ARENA_MAX, heaps), (libc::M_TRIM_THRESHOLD, KEPT), (libc::M_MMAP_THRESHOLD, LARGE)]
    {
        // SAFETY: mallopt(3) takes two numbers, and no other thread is there yet.
        unsafe { libc::mallopt(option, value) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share_heaps() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no other way to ask the C library for it")]
fn give_back() {
    // SAFETY: malloc_trim(3) takes a number, may be called at any time by any thread, and touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_begins_once_after_work() {
        let mut rest = Rest::default();
        let looks = [40, 45, 50, 300, 900, 905, 910, 915, 920, 925, 1000, 1001, 1002];
        let begins: Vec<u64> = looks.into_iter().filter(|answered| rest.begins(*answered)).collect();
        assert_eq!(begins, [45, 905, 925, 1001]);
    }
}
