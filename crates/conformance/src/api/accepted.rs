//! Differences from kube-apiserver that are meant, each with its reason.

use regex::Regex;
use serde::Deserialize;

use super::difference::Difference;

/// A difference that is not counted.
#[derive(Clone, Debug)]
pub struct AcceptedDifference {
    /// Which scenarios, by their names.
    pub scenario: Regex,
    /// Which places: matched against `REQUEST PLACE`, such as `GET /version body.platform`.
    pub at: Regex,
    /// Why it is meant.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    scenario: String,
    at: String,
    reason: String,
}

impl AcceptedDifference {
    /// Whether this entry is about that difference.
    pub fn covers(&self, scenario: &str, difference: &Difference) -> bool {
        self.scenario.is_match(scenario) && self.at.is_match(&format!("{} {}", difference.request, difference.at))
    }
}

/// The reviewed list, as embedded.
///
/// # Panics
/// If the embedded file is not readable, which a test excludes.
pub fn all() -> Vec<AcceptedDifference> {
    let entries: Vec<Entry> = serde_saphyr::from_str(include_str!("../../scenarios/accepted-differences.yaml"))
        .unwrap_or_else(|error| panic!("accepted-differences.yaml: {error}"));
    let pattern = |text: &str| Regex::new(text).unwrap_or_else(|error| panic!("accepted-differences.yaml: {error}"));
    entries
        .into_iter()
        .map(|entry| AcceptedDifference {
            scenario: pattern(&entry.scenario),
            at: pattern(&entry.at),
            reason: entry.reason,
        })
        .collect()
}
