//! Conditions as Cluster API's v1beta2 contract shows them (`metav1.Condition`).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::Object;

/// What a controller concludes about one aspect of an object, before it is merged into the list of conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Type, e.g. `Available`.
    pub condition_type: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: Status,
    /// CamelCase reason.
    pub reason: String,
    /// Words for people, may be empty.
    pub message: String,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the variants are the values of the API
pub enum Status {
    True,
    False,
    Unknown,
}

impl Status {
    /// The value in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// The status a condition value shows; `Unknown` where it shows none.
    pub fn of(condition: Option<&Value>) -> Self {
        match condition.and_then(|it| it["status"].as_str()) {
            Some("True") => Self::True,
            Some("False") => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl From<bool> for Status {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl Condition {
    /// A condition that is `True`, without a message.
    pub fn yes(condition_type: &'static str, reason: &str) -> Self {
        Self::new(condition_type, Status::True, reason, "")
    }

    /// A condition that is `False`.
    pub fn no(condition_type: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self::new(condition_type, Status::False, reason, message)
    }

    /// A condition that is `Unknown`.
    pub fn unknown(condition_type: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self::new(condition_type, Status::Unknown, reason, message)
    }

    /// A condition of any status.
    pub fn new(condition_type: &'static str, status: Status, reason: &str, message: impl Into<String>) -> Self {
        Self { condition_type, status, reason: reason.to_owned(), message: message.into() }
    }
}

/// The list `status.conditions` after these conclusions: transition times are kept where the status did not change,
/// conditions of other writers are kept, the list is sorted by type with `Available` and `Ready` first as the real
/// controllers do.
pub fn merged(object: &Object, conclusions: &[Condition], now: Timestamp) -> Value {
    let generation = object.generation();
    let mut all: Vec<Value> = object
        .list("/status/conditions")
        .iter()
        .filter(|old| !conclusions.iter().any(|new| old["type"] == new.condition_type))
        .cloned()
        .collect();
    for new in conclusions {
        let old = object.condition(new.condition_type);
        let since = match old {
            Some(old) if old["status"] == new.status.as_str() => old["lastTransitionTime"].clone(),
            _ => json!(seconds(now)),
        };
        let mut value = json!({
            "type": new.condition_type, "status": new.status.as_str(), "reason": new.reason, "lastTransitionTime": since,
            "message": new.message,
        });
        if generation > 0 {
            value["observedGeneration"] = json!(generation);
        }
        all.push(value);
    }
    all.sort_by_key(|it| {
        let name = it["type"].as_str().unwrap_or_default().to_owned();
        (!matches!(name.as_str(), "Available"), !matches!(name.as_str(), "Ready"), name)
    });
    Value::Array(all)
}

/// A time as Kubernetes writes it: RFC 3339, whole seconds, UTC.
pub fn seconds(time: Timestamp) -> String {
    time.round(jiff::TimestampRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Trunc))
        .unwrap_or(time)
        .to_string()
}

/// One condition that sums up the same condition of several objects, with a message that lists whom it concerns
/// (up to three names, then a count), as Cluster API's aggregation does.
pub fn aggregate<'a>(
    condition_type: &'static str,
    source_type: &str,
    objects: impl IntoIterator<Item = &'a Object>,
    reasons: AggregateReasons,
    noun: &str,
) -> Condition {
    let mut worst = Status::True;
    let mut groups: Vec<(Status, String, Vec<String>)> = Vec::new();
    let mut count = 0;
    for object in objects {
        count += 1;
        let source = object.condition(source_type);
        let status = Status::of(source);
        if status == Status::True {
            continue;
        }
        if worst == Status::True || status == Status::False {
            worst = status;
        }
        let message = match source {
            Some(source) => source["message"].as_str().filter(|it| !it.is_empty()).map_or_else(
                || format!("* {source_type}: {}", source["reason"].as_str().unwrap_or("Unknown")),
                str::to_owned,
            ),
            None => format!("* {source_type}: Condition not yet reported"),
        };
        match groups.iter_mut().find(|group| group.1 == message) {
            Some(group) => group.2.push(object.name().to_owned()),
            None => groups.push((status, message, vec![object.name().to_owned()])),
        }
    }
    if count == 0 {
        return Condition::new(condition_type, Status::True, reasons.none, "");
    }
    groups.sort_by_key(|group| (group.0, std::cmp::Reverse(group.2.len())));
    let message = groups.iter().map(|(_, message, names)| listed(noun, names, message)).collect::<Vec<_>>().join("\n");
    let reason = match worst {
        Status::True => reasons.good,
        Status::False => reasons.bad,
        Status::Unknown => reasons.unknown,
    };
    Condition::new(condition_type, worst, reason, message)
}

/// Reasons [`aggregate`] chooses from.
#[derive(Clone, Copy, Debug)]
pub struct AggregateReasons {
    /// All sources are `True`.
    pub good: &'static str,
    /// At least one is `False`.
    pub bad: &'static str,
    /// At least one is not reported and none is `False`.
    pub unknown: &'static str,
    /// There are no sources.
    pub none: &'static str,
}

impl AggregateReasons {
    /// Reasons of the `...MachinesReady` conditions.
    pub const READY: Self = Self { good: "Ready", bad: "NotReady", unknown: "ReadyUnknown", none: "NoReplicas" };
    /// Reasons of the `...MachinesUpToDate` conditions.
    pub const UP_TO_DATE: Self =
        Self { good: "UpToDate", bad: "NotUpToDate", unknown: "UpToDateUnknown", none: "NoReplicas" };
}

fn listed(noun: &str, names: &[String], message: &str) -> String {
    let mut names = names.to_vec();
    names.sort();
    let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(3);
    let rest = if more > 0 { format!(", ... ({more} more)") } else { String::new() };
    let plural = if names.len() > 1 { "s" } else { "" };
    let message = if message.starts_with("* ") {
        format!("\n{}", message.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))
    } else {
        format!(" {message}")
    };
    format!("* {noun}{plural} {shown}{rest}:{message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_transition_time_while_its_status_stays() {
        let object = Object::new(json!({"metadata": {"generation": 3}, "status": {"conditions": [
            {"type": "Ready", "status": "False", "reason": "A", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Foreign", "status": "True", "reason": "B", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]}}));
        let now: Timestamp = "2026-01-02T00:00:00.5Z".parse().unwrap();
        let kept = merged(&object, &[Condition::no("Ready", "C", "why")], now);
        let moved = merged(&object, &[Condition::yes("Ready", "Ready")], now);
        insta::assert_json_snapshot!([kept, moved]);
    }

    #[test]
    fn an_aggregate_names_whom_it_concerns_grouped_by_message() {
        let machine = |name: &str, status: &str, message: &str| {
            Object::new(json!({"metadata": {"name": name}, "status": {"conditions": [
                {"type": "Ready", "status": status, "reason": "R", "message": message}]}}))
        };
        let machines = [
            machine("a", "True", ""),
            machine("b", "False", "* InfrastructureReady: No valid host was found"),
            machine("c", "False", "* InfrastructureReady: No valid host was found"),
            machine("d", "Unknown", "* NodeReady: waiting"),
        ];
        let condition = aggregate("MachinesReady", "Ready", &machines, AggregateReasons::READY, "Machine");
        insta::assert_debug_snapshot!(condition);
    }
}
