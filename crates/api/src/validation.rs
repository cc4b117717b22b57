//! The one validation of descriptions, used by the REST API, the command line and the operator alike.
//!
//! [`validate`] is a pure function: the description, what was there before, the provider's profile and the day decide.
//! It repeats the rules of the CustomResourceDefinition, so that a caller without a server gets the same answers, and
//! adds everything that needs the profile. Each finding names the field, the value, the rule and what would be accepted.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use kube_core::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::{ProblemCode, Severity};
use crate::{KubernetesCluster, ProviderProfile};

mod addons;
mod constraints;
mod field_path;
mod flavors;
mod immutability;
mod labels;
mod machines;
mod maintenance;
mod network;
mod provider;
mod version;

pub use crate::suggestion::closest;
pub use field_path::FieldPath;
pub use immutability::confirmation;
pub use maintenance::{DurationError, duration_seconds};

pub(crate) use constraints::check_constraints;

/// One thing that is wrong, or worth knowing, about one field.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldProblem {
    /// Code from the catalogue.
    pub code: ProblemCode,
    /// Whether it refuses the description or only warns.
    pub severity: Severity,
    /// JSON pointer to the field, such as `/spec/workers/0/count`.
    pub pointer: String,
    /// The field as people write it, such as `spec.workers[0].count`.
    pub field: String,
    /// The value found; absent when the field is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The rule that is broken.
    pub rule: String,
    /// What would be accepted, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// The whole in one sentence for people.
    pub message: String,
}

impl FieldProblem {
    /// An error or, by the catalogue's word on the code, a warning.
    pub fn new(code: ProblemCode, path: &FieldPath, value: Option<Value>, rule: &str, message: String) -> Self {
        Self {
            code,
            severity: code.definition().severity,
            pointer: path.pointer(),
            field: path.to_string(),
            value,
            rule: rule.into(),
            accepted: None,
            message,
        }
    }

    /// Adds what would be accepted.
    #[must_use]
    pub fn accepting(mut self, accepted: impl Into<String>) -> Self {
        self.accepted = Some(accepted.into());
        self
    }

    /// Whether it refuses the description.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.field, self.message)
        }
    }
}

/// What the rules look at, and where they leave what they find.
pub(crate) struct Review<'a> {
    /// The description.
    pub(crate) description: &'a KubernetesCluster,
    /// What was there before, defaults included.
    pub(crate) previous: Option<&'a KubernetesCluster>,
    /// What the provider offers, if it is known.
    pub(crate) profile: Option<&'a ProviderProfile>,
    /// The day.
    pub(crate) today: Date,
    /// What was found.
    pub(crate) problems: Vec<FieldProblem>,
}

impl Review<'_> {
    /// Adds a finding.
    pub(crate) fn add(&mut self, problem: FieldProblem) {
        self.problems.push(problem);
    }

    /// Name of the profile, for messages.
    pub(crate) fn profile_name(&self) -> &str {
        &self.description.spec.provider.profile
    }
}

/// All findings about a description, in the order of its fields; errors and warnings mixed. Empty means all is well.
///
/// `previous` is the stored object that the description would replace, if any: it brings in what cannot be changed, what
/// cannot go down, and what needs a confirmation; its status says what really runs. Without `profile` only the rules
/// that are the same everywhere are applied; a missing profile is reported by [`profile_not_found`]. `today` decides
/// which versions can still be chosen.
pub fn validate(
    description: &KubernetesCluster,
    previous: Option<&KubernetesCluster>,
    profile: Option<&ProviderProfile>,
    today: Date,
) -> Vec<FieldProblem> {
    let mut review = Review { description, previous, profile, today, problems: Vec::new() };
    name(&mut review);
    immutability::check(&mut review);
    provider::check(&mut review);
    version::check(&mut review);
    machines::check(&mut review);
    network::check(&mut review);
    addons::check(&mut review);
    maintenance::check(&mut review);
    immutability::check_confirmation(&mut review);
    let mut problems = review.problems;
    // What only the schema says (lengths, patterns, ranges), unless a rule has said it better.
    if let Ok(value) = serde_json::to_value(&description.spec) {
        let mut plain = Vec::new();
        check_constraints(&value, &FieldPath::root().child("spec"), &mut plain);
        for problem in plain {
            if !problems.iter().any(|known| known.is_error() && related(&known.pointer, &problem.pointer)) {
                problems.push(problem);
            }
        }
    }
    problems
}

/// Whether two pointers name the same field or one an ancestor of the other.
fn related(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    long == short || (long.starts_with(short) && long[short.len()..].starts_with('/'))
}

/// The findings that refuse the description.
pub fn errors(problems: &[FieldProblem]) -> impl Iterator<Item = &FieldProblem> {
    problems.iter().filter(|problem| problem.is_error())
}

/// The finding that there is no profile of the name the description gives; `offered` are the names there are.
pub fn profile_not_found<'a>(
    description: &KubernetesCluster,
    offered: impl IntoIterator<Item = &'a str>,
) -> FieldProblem {
    let offered: Vec<&str> = offered.into_iter().collect();
    let name = &description.spec.provider.profile;
    let path = FieldPath::root().child("spec").child("provider").child("profile");
    let message = match offered.as_slice() {
        [] => format!("there is no profile `{name}`, and no other one either"),
        offered => format!(
            "there is no profile `{name}`{}; offered: {}",
            did_you_mean(name, offered.iter().copied()),
            list(offered)
        ),
    };
    FieldProblem::new(
        ProblemCode::ProfileNotFound,
        &path,
        Some(name.as_str().into()),
        "names an existing profile",
        message,
    )
    .accepting(list(&offered))
}

/// `, did you mean `x`?`-like insertion for messages; empty when nothing is close.
pub(crate) fn did_you_mean<'a>(name: &str, offered: impl IntoIterator<Item = &'a str>) -> String {
    closest(name, offered).map(|close| format!(" (did you mean `{close}`?)")).unwrap_or_default()
}

/// Names as a sentence lists them; `nothing` when there are none.
pub(crate) fn list<T: AsRef<str>>(names: &[T]) -> String {
    if names.is_empty() {
        return "nothing".into();
    }
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// Rules on `metadata.name`.
fn name(review: &mut Review<'_>) {
    let path = FieldPath::root().child("metadata").child("name");
    let name = review.description.name_any();
    if name.is_empty() {
        review.add(FieldProblem::new(
            ProblemCode::MissingField,
            &path,
            None,
            "is required",
            "a cluster needs a name".into(),
        ));
        return;
    }
    let longest = review.profile.map_or(20, |profile| (profile.spec.limits.max_name_length as usize).min(20));
    let rule =
        "1 to 20 lowercase letters, digits and single dashes, starting with a letter, ending with a letter or digit";
    let problem = if name.len() > longest {
        Some(format!("the name `{name}` has {} characters; at most {longest} are allowed", name.len()))
    } else if !is_label(&name, 20) || name.contains("--") {
        Some(format!("`{name}` is not a name for a cluster; it must be {rule}"))
    } else if crate::kubernetes_cluster::RESERVED_NAMES.contains(&name.as_str()) {
        Some(format!("the name `{name}` is reserved; choose another"))
    } else {
        None
    };
    if let Some(message) = problem {
        let problem =
            FieldProblem::new(ProblemCode::InvalidDescription, &path, Some(name.into()), rule, message).accepting(rule);
        review.add(problem);
    }
}

/// Whether a text is `[a-z]([a-z0-9-]*[a-z0-9])?` of at most `longest` characters.
pub(crate) fn is_label(text: &str, longest: usize) -> bool {
    let bytes = text.as_bytes();
    let inside = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    !bytes.is_empty()
        && bytes.len() <= longest
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-'
        && bytes.iter().all(inside)
}

/// Positions of names that occur a second time.
pub(crate) fn duplicates<K: Ord>(names: impl IntoIterator<Item = K>) -> Vec<(usize, usize)> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    for (position, name) in names.into_iter().enumerate() {
        match first.get(&name) {
            Some(earlier) => found.push((position, *earlier)),
            None => {
                first.insert(name, position);
            }
        }
    }
    found
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
