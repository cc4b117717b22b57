//! The plain constraints of the schema: lengths, ranges, patterns, sizes. They come from the generated definition, so
//! that nothing is said twice.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use regex::Regex;
use serde_json::Value;

use super::{FieldPath, FieldProblem};
use crate::problem::ProblemCode::InvalidDescription;

/// The schema of the description's `spec`.
static SPEC_SCHEMA: LazyLock<Value> =
    LazyLock::new(|| crate::crd::kubernetes_cluster_schema()["properties"]["spec"].take());

/// Patterns of the schema, compiled once.
static PATTERNS: LazyLock<Mutex<HashMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);

/// Reports every value of a `spec` that breaks a plain constraint of its schema.
pub(crate) fn check_constraints(spec: &Value, path: &FieldPath, problems: &mut Vec<FieldProblem>) {
    visit(spec, &SPEC_SCHEMA, path, problems);
}

fn visit(value: &Value, schema: &Value, path: &FieldPath, problems: &mut Vec<FieldProblem>) {
    match value {
        Value::Object(fields) => {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                for (name, field) in fields {
                    if let Some(schema) = properties.get(name) {
                        visit(field, schema, &path.child(name), problems);
                    }
                }
            } else if let Some(schema) = schema.get("additionalProperties") {
                for (name, entry) in fields {
                    visit(entry, schema, &path.key(name), problems);
                }
            }
            size(fields.len(), schema, ("minProperties", "maxProperties"), "entries", path, problems);
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    visit(item, schema, &path.index(index), problems);
                }
            }
            size(items.len(), schema, ("minItems", "maxItems"), "items", path, problems);
        }
        Value::String(text) => {
            let length = text.chars().count();
            size(length, schema, ("minLength", "maxLength"), "characters", path, problems);
            if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
                && !matches(pattern, text)
            {
                let rule = format!("matches {pattern}");
                let message = format!("`{text}` does not have the form of this field ({pattern})");
                problems.push(
                    FieldProblem::new(InvalidDescription, path, Some(value.clone()), &rule, message)
                        .accepting(format!("a text that matches {pattern}")),
                );
            }
        }
        Value::Number(number) => range(number, value, schema, path, problems),
        Value::Bool(_) | Value::Null => {}
    }
}

fn size(
    found: usize,
    schema: &Value,
    (least, most): (&str, &str),
    unit: &str,
    path: &FieldPath,
    problems: &mut Vec<FieldProblem>,
) {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
    let (least, most) = (bound(least).unwrap_or(0), bound(most).unwrap_or(usize::MAX));
    if found < least || found > most {
        let accepted =
            if most == usize::MAX { format!("at least {least} {unit}") } else { format!("{least} to {most} {unit}") };
        let message = format!("{found} {unit}; there can be {accepted}");
        problems
            .push(FieldProblem::new(InvalidDescription, path, None, &accepted, message).accepting(accepted.clone()));
    }
}

fn range(
    number: &serde_json::Number,
    value: &Value,
    schema: &Value,
    path: &FieldPath,
    problems: &mut Vec<FieldProblem>,
) {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    let Some(found) = number.as_f64() else { return };
    if least.is_some_and(|least| found < least) || most.is_some_and(|most| found > most) {
        let accepted = match (least, most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("{least} or more"),
            (None, most) => format!("at most {}", most.unwrap_or_default()),
        };
        let message = format!("{number} is out of range; accepted: {accepted}");
        problems.push(
            FieldProblem::new(InvalidDescription, path, Some(value.clone()), &accepted, message)
                .accepting(accepted.clone()),
        );
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut patterns = PATTERNS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let compiled = patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
    compiled.as_ref().is_none_or(|regex| regex.is_match(text))
}
