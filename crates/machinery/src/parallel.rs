//! Work on many items by all processors at once, for what nobody can begin to use before all of it is done.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread;

/// Counted once: that reads files.
static PROCESSORS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// Calls `work` with each part of the items, and returns the results in their order. There is at least
/// one part, and there are never more than processors or than times `least` goes into the items. All but the last are equally
/// long. The caller's thread works on the first and waits for the others.
///
/// # Errors
/// The error of the first part that failed.
///
/// # Panics
/// If `work` does.
pub fn in_parts<T: Sync, R: Send, E: Send>(
    items: &[T],
    least: usize,
    work: impl Fn(&[T]) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = if items.len() < 2 * least { 1 } else { PROCESSORS.min(items.len() / least.max(1)) };
    if threads < 2 {
        return work(items).map(|result| vec![result]);
    }
    let work = &work;
    thread::scope(|scope| {
        let mut parts = items.chunks(items.len().div_ceil(threads));
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let first = first.map(work);
        let others = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        first.into_iter().chain(others).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_order_and_are_not_too_many() {
        let numbers: Vec<usize> = (0..1001).collect();
        for least in [0, 1, 10, 400, 501, 2000] {
            let parts = in_parts(&numbers, least, |part| Ok::<_, ()>(part.to_vec())).unwrap();
            assert!(parts.len() <= 1.max(numbers.len() / least.max(1)));
            assert_eq!(parts.into_iter().flatten().collect::<Vec<_>>(), numbers);
        }
        let nothing = in_parts(&[0; 0], 0, |part| Ok::<_, ()>(part.len())).unwrap();
        assert_eq!(nothing, [0]);
    }

    #[test]
    fn the_first_error_is_told() {
        let numbers: Vec<usize> = (0..1000).collect();
        let failed = in_parts(&numbers, 1, |part| if part.contains(&999) { Err(part.len()) } else { Ok(()) });
        assert!(failed.is_err());
    }
}
