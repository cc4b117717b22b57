//! What a server answered, as it can be compared and kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One normalized request and answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Method and path as the scenario has them.
    pub request: String,
    /// HTTP status code; 0 for further events of an open watch.
    pub code: u16,
    /// The headers that belong to the contract; several values of one name on a line each.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

/// The answers of one scenario, in the order of its requests.
pub type Transcript = Vec<Recorded>;

/// Answers of kube-apiserver, by area, as embedded.
const REFERENCE: &[(&str, &str)] = &[
    ("objects", include_str!("../../transcripts/objects.json")),
    ("watches", include_str!("../../transcripts/watches.json")),
    ("lists", include_str!("../../transcripts/lists.json")),
    ("patches", include_str!("../../transcripts/patches.json")),
    ("apply", include_str!("../../transcripts/apply.json")),
    ("definitions", include_str!("../../transcripts/definitions.json")),
    ("discovery", include_str!("../../transcripts/discovery.json")),
    ("presentation", include_str!("../../transcripts/presentation.json")),
    ("kinds", include_str!("../../transcripts/kinds.json")),
    ("workloads", include_str!("../../transcripts/workloads.json")),
    ("access", include_str!("../../transcripts/access.json")),
    ("admission", include_str!("../../transcripts/admission.json")),
    ("policies", include_str!("../../transcripts/policies.json")),
    ("nodes", include_str!("../../transcripts/nodes.json")),
    ("limits", include_str!("../../transcripts/limits.json")),
    ("pod-security", include_str!("../../transcripts/pod-security.json")),
];

/// The version of the kube-apiserver whose answers are the reference.
pub const REFERENCE_VERSION: &str = "v1.36.3";

/// The recorded answers of kube-apiserver, by the name of the scenario.
///
/// # Panics
/// If an embedded file is not readable, which a test excludes.
pub fn reference() -> BTreeMap<String, Transcript> {
    REFERENCE
        .iter()
        .flat_map(|(area, text)| {
            serde_json::from_str::<BTreeMap<String, Transcript>>(text)
                .unwrap_or_else(|error| panic!("transcripts/{area}.json: {error}"))
        })
        .collect()
}

/// The transcripts of one area as JSON a person can read: what fits on a line stands on one.
pub fn to_json(transcripts: &BTreeMap<String, Transcript>) -> String {
    let value = serde_json::to_value(transcripts).unwrap_or_default();
    let mut text = String::new();
    write_value(&mut text, &value, 0, 0);
    text.push('\n');
    text
}

const WIDTH: usize = 118;

fn write_value(text: &mut String, value: &Value, indentation: usize, used: usize) {
    let line = one_line(value);
    let is_plain = !matches!(value, Value::Object(_) | Value::Array(_));
    if is_plain || line.len() + used <= WIDTH {
        text.push_str(&line);
        return;
    }
    let inner = indentation + 1;
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    text.push(open);
    let named: Vec<(Option<&String>, &Value)> = match value {
        Value::Array(items) => items.iter().map(|item| (None, item)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (Some(name), field)).collect(),
        _ => Vec::new(),
    };
    for (number, (name, field)) in named.iter().enumerate() {
        let _ = write!(text, "{}\n{}", if number > 0 { "," } else { "" }, " ".repeat(inner));
        let mut used = inner + 1;
        if let Some(name) = name {
            let key = format!("{}: ", Value::String((*name).clone()));
            used += key.len();
            text.push_str(&key);
        }
        write_value(text, field, inner, used);
    }
    let _ = write!(text, "\n{}{close}", " ".repeat(indentation));
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(one_line).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let named =
                fields.iter().map(|(name, field)| format!("{}: {}", Value::String(name.clone()), one_line(field)));
            format!("{{{}}}", named.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
