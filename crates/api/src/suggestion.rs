//! "Did you mean": the nearest of the names that would be right.

/// The candidate nearest to a word, if it is near enough to be meant: at most a third of the letters differ, in the sense
/// of Damerau and Levenshtein (insert, delete, replace, swap neighbours), without regard to case; or if one contains the
/// other, as `flavor` is in `machineFlavor`.
///
/// ```
/// use kogge_api::suggestion::closest;
/// assert_eq!(closest("machineFlavour", ["machineFlavor", "machineMetadata"]), Some("machineFlavor"));
/// assert_eq!(closest("colour", ["machineFlavor"]), None);
/// ```
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower: String = word.to_lowercase().chars().take(128).collect();
    let word: Vec<char> = lower.chars().collect();
    let limit = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let distance = distance(&word, &other.chars().collect::<Vec<_>>());
            let contained = lower.len().min(other.len()) >= 4 && (other.contains(&lower) || lower.contains(&other));
            (distance <= limit || contained).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, character) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(character != other);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *character == right[column - 1] && left[row - 1] == *other {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_and_missing_letters_are_found_and_strangers_are_not() {
        let names = ["version", "workers", "controlPlane", "network"];
        assert_eq!(closest("verison", names), Some("version"));
        assert_eq!(closest("worker", names), Some("workers"));
        assert_eq!(closest("controlplane", names), Some("controlPlane"));
        assert_eq!(closest("", names), None);
        assert_eq!(closest("banana", names), None);
        assert_eq!(closest("flavor", ["count", "machineFlavor"]), Some("machineFlavor"));
    }
}
