//! Indexes of an indexed Job: `0,2-4`.

use kogge_machinery::status_error::quote;

use super::super::field::{Errors, Field};

/// How many indexes a text names.
///
/// # Errors
/// Why it names none, in the words of the real server.
pub(super) fn total(text: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = ends(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first and the last index of an interval.
fn ends(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let index = |text: &str| {
        let index: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {}", quote(text)))?;
        if index >= completions { Err(format!("too large index: {}", quote(text))) } else { Ok(index) }
    };
    match interval.split('-').collect::<Vec<&str>>().as_slice() {
        [only] => Ok((index(only)?, index(only)?)),
        [first, end] => {
            let (first, end) = (index(first)?, index(end)?);
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
            Ok((first, end))
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            quote(interval)
        )),
    }
}

/// What a changed status says of indexes.
pub(super) fn validate_status(job: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let (completed, failed) = (job.at("status.completedIndexes"), job.at("status.failedIndexes"));
    let completed_changed = completed.text() != old.at("status.completedIndexes").text();
    let failed_changed = failed.value != old.at("status.failedIndexes").value;
    let completions = job.at("spec.completions").number();
    let counts_each = job.at("spec.backoffLimitPerIndex").is_set();
    if completed_changed && let Some(Err(problem)) = completions.map(|most| total(completed.text(), most)) {
        errors.invalid(&completed, &format!("error parsing completedIndexes: {problem}"));
    }
    if failed_changed
        && counts_each
        && failed.is_set()
        && let Some(Err(problem)) = completions.map(|most| total(failed.text(), most))
    {
        errors.invalid(&failed, &format!("error parsing failedIndexes: {problem}"));
    }
    if completed_changed && !completed.is_empty() && job.at("spec.completionMode").text() != super::INDEXED {
        errors.invalid(&completed, "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && !counts_each && failed.is_set() {
        errors.invalid(&failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (completed_changed || failed_changed)
        && let Some(index) = completions.and_then(|most| overlap(completed.text(), failed.text(), most))
    {
        errors.invalid(&failed, &format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

/// The first index in both texts; what is no interval is left out.
fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|interval| ends(interval, completions).ok()).collect()
    };
    let failed = intervals(failed);
    let both = intervals(completed).into_iter().flat_map(|(first, end)| {
        let common = failed.iter().filter(move |(other, other_end)| first <= *other_end && *other <= end);
        common.map(move |(other, _)| first.max(*other)).collect::<Vec<_>>()
    });
    both.min()
}
