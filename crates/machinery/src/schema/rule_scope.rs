//! What a rule may refer to, as far as it can be told without a type checker: known names, and fields that exist.

use serde_json::Value;

use super::{
    rule_projection::{Analysis, Projection},
    rule_values::escape,
    value_validation::compile_pattern,
};

/// Names that are no variables: of types and of the libraries that kube-apiserver gives to rules.
const LIBRARY_NAMES: [&str; 18] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "duration",
    "format",
    "google",
    "int",
    "ip",
    "list",
    "lists",
    "map",
    "null_type",
    "optional",
    "sets",
    "string",
    "timestamp",
    "uint",
];

/// Why the expression `source` on values of `schema` can not be meant, in the words of cel-go.
pub(crate) fn problem(source: &str, analysis: &Analysis, schema: &Value, is_root: bool) -> Option<String> {
    let unknown = analysis.free_names.iter().find(|name| !LIBRARY_NAMES.contains(&name.as_str()));
    if let Some(name) = unknown {
        let reason = format!("undeclared reference to '{name}' (in container '')");
        return Some(located(source, name, &reason));
    }
    if let Some(pattern) = analysis.patterns.iter().find(|pattern| compile_pattern(pattern).is_err()) {
        return Some(located(source, pattern, "invalid matches argument"));
    }
    [&analysis.reads, &analysis.reads_old]
        .into_iter()
        .find_map(|reads| undefined_field(reads, schema, is_root))
        .map(|name| located(source, &format!(".{name}"), &format!("undefined field '{name}'")))
}

/// `reason` with the line, the column and the excerpt of `part` in `source`.
fn located(source: &str, part: &str, reason: &str) -> String {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let found = source.lines().enumerate().find_map(|(number, line)| {
        let (start, _) = line.match_indices(part).find(|(start, _)| {
            let ends = !line[start + part.len()..].starts_with(is_name);
            ends && (part.starts_with('.') || !line[..*start].ends_with(|before| is_name(before) || before == '.'))
        })?;
        Some((number + 1, line[..start].chars().count(), line))
    });
    match found {
        Some((number, column, line)) => {
            format!("ERROR: <input>:{number}:{}: {reason}\n | {line}\n | {}^", column + 1, ".".repeat(column))
        }
        None => format!("ERROR: <input>: {reason}"),
    }
}

/// The first field that is read and that objects of `schema` can not have.
fn undefined_field(reads: &Projection, schema: &Value, is_resource: bool) -> Option<String> {
    let Projection::Fields(fields) = reads else { return None };
    let is_resource =
        is_resource || schema.get("x-kubernetes-embedded-resource").and_then(Value::as_bool) == Some(true);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        // A map, or something that may hold anything.
        let values = schema.get("additionalProperties")?;
        return fields.values().find_map(|reads| undefined_field(reads, values, false));
    };
    fields.iter().find_map(|(name, reads)| {
        if is_resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            return None;
        }
        match properties.iter().find(|(property, _)| escape(property) == name.as_str()) {
            Some((_, schema)) => undefined_field(reads, schema, false),
            // `oldSelf.value()` and the like are calls; whatever else is no field of this object.
            None => Some(name.clone()),
        }
    })
}
