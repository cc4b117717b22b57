//! Differences from kube-apiserver that are meant, each with its reason.

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::difference::Difference;

/// A difference that is not counted.
#[derive(Clone, Debug)]
pub struct AcceptedDifference {
    /// Which scenarios, by their names.
    pub scenario: Regex,
    /// Which places: matched against `REQUEST PLACE`, such as `GET /version body.platform`.
    pub at: Regex,
    /// Which values were expected, as JSON; any where there is none.
    pub expected: Option<Regex>,
    /// Which values were answered, as JSON; any where there is none.
    pub answered: Option<Regex>,
    /// Why it is meant.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    scenario: String,
    at: String,
    expected: Option<String>,
    answered: Option<String>,
    reason: String,
}

impl AcceptedDifference {
    /// Whether this entry is about that difference.
    pub fn covers(&self, scenario: &str, difference: &Difference) -> bool {
        let matches = |pattern: &Option<Regex>, value: &Option<Value>| {
            pattern
                .as_ref()
                .is_none_or(|pattern| value.as_ref().is_some_and(|value| pattern.is_match(&value.to_string())))
        };
        self.scenario.is_match(scenario)
            && self.at.is_match(&format!("{} {}", difference.request, difference.at))
            && matches(&self.expected, &difference.expected)
            && matches(&self.answered, &difference.answered)
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
            expected: entry.expected.as_deref().map(pattern),
            answered: entry.answered.as_deref().map(pattern),
            reason: entry.reason,
        })
        .collect()
}
