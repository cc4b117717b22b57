//! What two transcripts of the same scenario do not have in common.

use serde_json::Value;

use super::transcript::{Recorded, Transcript};

/// One place where an answer is not the expected one.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Number of the recorded request in the scenario, from 1.
    pub step: usize,
    /// Method and path as the scenario has them.
    pub request: String,
    /// Where in the answer, e.g. `code`, `headers.warning`, `body.metadata.generation`.
    pub at: String,
    /// What was expected; `None` if nothing.
    pub expected: Option<Value>,
    /// What was answered; `None` if nothing.
    pub answered: Option<Value>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "(nothing)".to_owned(), ToString::to_string);
        write!(
            formatter,
            "{}. {}\n   {}\n     expected {}\n     answered {}",
            self.step,
            self.request,
            self.at,
            text(&self.expected),
            text(&self.answered)
        )
    }
}

/// The differences of two transcripts, in the order of the requests.
pub fn compare(answered: &Transcript, expected: &Transcript) -> Vec<Difference> {
    let mut found = Vec::new();
    for number in 0..answered.len().max(expected.len()) {
        let pair = (answered.get(number), expected.get(number));
        let request = pair.1.or(pair.0).map(|recorded| recorded.request.clone()).unwrap_or_default();
        let mut add = |at: &str, expected: Option<&Value>, answered: Option<&Value>| {
            found.push(Difference {
                step: number + 1,
                request: request.clone(),
                at: at.to_owned(),
                expected: expected.cloned(),
                answered: answered.cloned(),
            });
        };
        let parts = |recorded: Option<&Recorded>| {
            recorded.map(|recorded| {
                let headers = serde_json::to_value(&recorded.headers).unwrap_or_default();
                (Value::from(recorded.code), headers, recorded.body.clone())
            })
        };
        match (parts(pair.0), parts(pair.1)) {
            // Where one was a success and the other none, or another error, the bodies have nothing to do with each other.
            (Some(answered), Some(expected)) if answered.0 != expected.0 => {
                add("code", Some(&expected.0), Some(&answered.0));
                let (answered, expected) = (answered.2.get("message"), expected.2.get("message"));
                compare_values("body.message", answered, expected, &mut add);
            }
            (Some(answered), Some(expected)) => {
                compare_values("headers", Some(&answered.1), Some(&expected.1), &mut add);
                compare_values("body", Some(&answered.2), Some(&expected.2), &mut add);
            }
            (answered, expected) => {
                add("request", expected.map(|parts| parts.0).as_ref(), answered.map(|parts| parts.0).as_ref());
            }
        }
    }
    found
}

fn compare_values(
    at: &str,
    answered: Option<&Value>,
    expected: Option<&Value>,
    add: &mut impl FnMut(&str, Option<&Value>, Option<&Value>),
) {
    match (answered, expected) {
        (Some(Value::Object(answered)), Some(Value::Object(expected))) => {
            for name in expected.keys().chain(answered.keys().filter(|name| !expected.contains_key(*name))) {
                compare_values(&format!("{at}.{name}"), answered.get(name), expected.get(name), add);
            }
        }
        (Some(Value::Array(answered)), Some(Value::Array(expected))) => {
            for index in 0..answered.len().max(expected.len()) {
                compare_values(&format!("{at}[{index}]"), answered.get(index), expected.get(index), add);
            }
        }
        (answered, expected) if answered == expected => {}
        (answered, expected) => add(at, expected, answered),
    }
}
