//! Whether a value has the structure of a schema: known fields, required fields, types and words.

use serde_json::{Map, Value};

use super::WrittenText;
use crate::problem::ProblemCode;
use crate::validation::{FieldPath, FieldProblem, closest, list};

/// Fields of `metadata` that may be in a document: those people write, and those the server adds.
const METADATA: [(&str, &str); 14] = [
    ("annotations", "texts"),
    ("creationTimestamp", "any"),
    ("deletionGracePeriodSeconds", "any"),
    ("deletionTimestamp", "any"),
    ("finalizers", "any"),
    ("generateName", "any"),
    ("generation", "any"),
    ("labels", "texts"),
    ("managedFields", "any"),
    ("name", "string"),
    ("namespace", "string"),
    ("ownerReferences", "any"),
    ("resourceVersion", "any"),
    ("uid", "any"),
];

/// Checks an object: `apiVersion`, `kind`, `metadata`, `spec`; what the server writes into `status` is not looked at.
pub(super) fn check_object(
    fields: &Map<String, Value>,
    schema: &Value,
    written: &WrittenText<'_>,
    problems: &mut Vec<FieldProblem>,
) {
    let root = FieldPath::root();
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    for (name, value) in fields {
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => metadata(value, &root.child("metadata"), written, problems),
            "spec" if value.is_null() => {}
            "spec" => check(value, &schema["properties"]["spec"], &root.child("spec"), written, problems),
            _ => problems.push(unknown(name, &root, &known)),
        }
    }
    if fields.get("spec").is_none_or(Value::is_null) {
        problems.push(missing("spec", &root));
    }
    let name = fields.get("metadata").and_then(|metadata| metadata.get("name"));
    if name.is_none_or(Value::is_null) {
        problems.push(missing("name", &root.child("metadata")));
    }
}

fn metadata(value: &Value, path: &FieldPath, written: &WrittenText<'_>, problems: &mut Vec<FieldProblem>) {
    let Some(fields) = value.as_object() else {
        if !value.is_null() {
            problems.push(wrong_type(value, "object", path, written));
        }
        return;
    };
    for (name, value) in fields {
        let path = path.child(name);
        match METADATA.iter().find(|(known, _)| known == name) {
            None => {
                let known: Vec<&str> =
                    METADATA.iter().filter(|(_, form)| *form != "any").map(|(name, _)| *name).collect();
                problems.push(unknown(name, &FieldPath::root().child("metadata"), &known));
            }
            Some((_, "string")) if !value.is_string() && !value.is_null() => {
                problems.push(wrong_type(value, "string", &path, written));
            }
            Some((_, "texts")) => match value.as_object() {
                Some(entries) => {
                    for (key, value) in entries.iter().filter(|(_, value)| !value.is_string() && !value.is_null()) {
                        problems.push(wrong_type(value, "string", &path.key(key), written));
                    }
                }
                None if value.is_null() => {}
                None => problems.push(wrong_type(value, "object", &path, written)),
            },
            Some(_) => {}
        }
    }
}

fn check(value: &Value, schema: &Value, path: &FieldPath, written: &WrittenText<'_>, problems: &mut Vec<FieldProblem>) {
    let expected = schema.get("type").and_then(Value::as_str).unwrap_or("any");
    if !has_type(value, expected) {
        problems.push(wrong_type(value, expected, path, written));
        return;
    }
    match value {
        Value::Object(fields) => object(fields, schema, path, written, problems),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(item, &schema["items"], &path.index(index), written, problems);
            }
        }
        Value::String(text) => word(text, schema, path, problems),
        _ => {}
    }
}

fn object(
    fields: &Map<String, Value>,
    schema: &Value,
    path: &FieldPath,
    written: &WrittenText<'_>,
    problems: &mut Vec<FieldProblem>,
) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, value) in fields {
            match properties.get(name) {
                Some(_) if value.is_null() => {}
                Some(schema) => check(value, schema, &path.child(name), written, problems),
                None => {
                    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                    problems.push(unknown(name, path, &known));
                }
            }
        }
    } else if let Some(schema) = schema.get("additionalProperties").filter(|schema| schema.is_object()) {
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            check(value, schema, &path.key(name), written, problems);
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if fields.get(name).is_none_or(Value::is_null) {
            problems.push(missing(name, path));
        }
    }
}

fn word(text: &str, schema: &Value, path: &FieldPath, problems: &mut Vec<FieldProblem>) {
    let Some(words) = schema.get("enum").and_then(Value::as_array) else { return };
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    if !words.contains(&text) {
        let hint =
            closest(text, words.iter().copied()).map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default();
        let message = format!("`{text}` is not possible here{hint}; use one of: {}", list(&words));
        problems.push(
            FieldProblem::new(
                ProblemCode::InvalidDescription,
                path,
                Some(text.into()),
                "one of a set of words",
                message,
            )
            .accepting(list(&words)),
        );
    }
}

fn has_type(value: &Value, expected: &str) -> bool {
    match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        // 3.0 is an integer, as for Kubernetes, but the types of this crate want it written as one.
        "integer" => value.is_i64() || value.is_u64(),
        _ => true,
    }
}

/// The name of a value's type, for people.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn wrong_type(value: &Value, expected: &str, path: &FieldPath, written: &WrittenText<'_>) -> FieldProblem {
    let pointer = path.pointer();
    let text = shortened(&written(&pointer).map_or_else(|| value.to_string(), str::to_owned));
    let wanted = match expected {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a string",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    };
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let fix = match (expected, value) {
        ("string", Value::Number(_) | Value::Bool(_)) => Some(format!("\"{text}\"")),
        ("integer" | "number", Value::String(found)) if found.parse::<f64>().is_ok() => Some(found.clone()),
        ("integer", Value::Number(number)) => {
            number.as_f64().filter(|number| number.fract() == 0.0).map(|number| format!("{number}"))
        }
        ("boolean", Value::String(found))
            if matches!(found.to_lowercase().as_str(), "true" | "false" | "yes" | "no" | "on" | "off") =>
        {
            Some(found.to_lowercase())
        }
        ("array", Value::String(found)) => Some(format!("[{found}]")),
        _ => None,
    };
    let found = match value {
        Value::Null => "there is nothing".to_owned(),
        Value::Array(_) | Value::Object(_) => format!("this is {}", kind_of(value)),
        _ => format!("{text} is {}", kind_of(value)),
    };
    let advice = match (&fix, expected) {
        (Some(fix), "string") => format!("; put it in quotes: {name}: {fix}"),
        (Some(fix), "array") => format!("; write {name}: {fix}"),
        (Some(fix), _) => format!("; write it without quotes: {name}: {fix}"),
        (None, "array") => format!("; write each item of {name} on a line of its own, starting with a dash"),
        (None, _) => String::new(),
    };
    let message = format!("must be {wanted}, but {found}{advice}");
    FieldProblem::new(ProblemCode::WrongType, path, Some(value.clone()), wanted, message)
        .accepting(fix.unwrap_or_else(|| wanted.into()))
}

/// A value for a message: not more than a line of it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn unknown(name: &str, parent: &FieldPath, known: &[&str]) -> FieldProblem {
    let hint = match closest(name, known.iter().copied()) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("there are: {}", list(known)),
    };
    FieldProblem::new(
        ProblemCode::UnknownField,
        &parent.child(name),
        None,
        "a known field",
        format!("there is no field `{name}`; {hint}"),
    )
    .accepting(list(known))
}

fn missing(name: &str, parent: &FieldPath) -> FieldProblem {
    let path = parent.child(name);
    FieldProblem::new(ProblemCode::MissingField, &path, None, "is required", "is missing".into())
}

/// Removes fields that are `null`: for Kubernetes they are not there.
pub(super) fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}
