//! What a schema says about its fields, in words.

use std::fmt::Write as _;

use serde_json::Value;

/// One field.
pub(crate) struct Field {
    /// `workers[].count`, without `spec`.
    pub(crate) path: String,
    /// The description, without its sentence about the default.
    pub(crate) text: String,
    /// Whether it has no fields of its own.
    pub(crate) is_leaf: bool,
    /// A value, where the given example has one.
    pub(crate) example: Option<String>,
    value_type: String,
    default: String,
    rules: Vec<String>,
}

impl Field {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap().trim_end_matches("[]")
    }

    /// Type, default and rules as a list.
    pub(crate) fn facts(&self) -> String {
        let mut facts = String::new();
        let _ = writeln!(facts, "- Type: {}", self.value_type);
        if self.is_leaf {
            let _ = writeln!(facts, "- Default: {}", self.default);
        }
        for rule in &self.rules {
            let _ = writeln!(facts, "- Rule: {rule}");
        }
        facts
    }
}

/// All fields of an object's schema, those of a part right after it; `example` is a value of the schema.
pub(crate) fn fields_of(schema: &Value, example: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(schema, "", &[example], &mut fields);
    fields
}

fn collect(schema: &Value, prefix: &str, examples: &[&Value], fields: &mut Vec<Field>) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let examples: Vec<&Value> = examples.iter().filter_map(|example| example.get(name)).collect();
        let items: Vec<&Value> = examples.iter().filter_map(|example| example.as_array()).flatten().collect();
        let (inner, inner_examples, suffix) = if schema["items"]["properties"].is_object() {
            (&schema["items"], items, "[]")
        } else {
            (schema, examples.clone(), "")
        };
        let is_leaf = inner["properties"].as_object().is_none_or(serde_json::Map::is_empty);
        let path = format!("{prefix}{name}{suffix}");
        let (text, said) = split_default(schema["description"].as_str().unwrap_or_default());
        let default = match (&schema["default"], said) {
            (Value::Null, _) if required.contains(&name.as_str().into()) => "none; the field is required".to_owned(),
            (Value::Null, Some(said)) => said,
            (Value::Null, None) => "none".to_owned(),
            (value, _) => format!("`{value}`"),
        };
        fields.push(Field {
            text,
            is_leaf,
            example: examples.first().map(|example| written(example)),
            value_type: value_type(schema),
            default,
            rules: rules(schema),
            path: path.clone(),
        });
        collect(inner, &format!("{path}."), &inner_examples, fields);
    }
}

/// A value as flow style YAML, which for our purposes is JSON with fewer quotes.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@:".contains(c))
                && !text.contains(": ")
                && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.as_str());
            if is_plain { text.clone() } else { value.to_string() }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}: {}", written(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Takes the sentence about the default out of a description.
fn split_default(description: &str) -> (String, Option<String>) {
    let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    // The values of an enumeration stay a list.
    let description = description.replacen(" - `", "\n\n- `", 1).replace(". - `", ".\n- `");
    let Some(start) = description.find("Default") else { return (description, None) };
    if start > 0 && !description[..start].ends_with(". ") {
        return (description, None);
    }
    let sentence = &description[start..];
    let end = sentence.find(". ").map_or(sentence.len(), |end| end + 2);
    let said =
        sentence[..end].trim().trim_start_matches("Default").trim_start_matches(':').trim_end_matches('.').trim();
    let rest = format!("{}{}", &description[..start], &sentence[end..]);
    (rest.trim().to_owned(), Some(said.to_owned()))
}

fn value_type(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> =
            values.iter().filter(|value| !value.is_null()).map(|value| format!("`{}`", written(value))).collect();
        return format!("one of {}", values.join(", "));
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", plural(&value_type(&schema["items"]))),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map of names to {}", plural(&value_type(&schema["additionalProperties"])))
        }
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("number") => "number".to_owned(),
        Some(other) => other.to_owned(),
        None => "any value".to_owned(),
    }
}

fn plural(word: &str) -> String {
    if word.starts_with("one of") || word.contains(' ') { word.to_owned() } else { format!("{word}s") }
}

fn rules(schema: &Value) -> Vec<String> {
    let mut rules = Vec::new();
    let limit = |low: &str, high: &str| -> Option<String> {
        // Generated schemas write some whole numbers as floating point.
        let number = |name: &str| schema[name].as_f64();
        match (number(low), number(high)) {
            (Some(low), Some(high)) if (low - high).abs() < f64::EPSILON => Some(format!("{low}")),
            (Some(low), Some(high)) => Some(format!("{low} to {high}")),
            (Some(low), None) => Some(format!("at least {low}")),
            (None, Some(high)) => Some(format!("at most {high}")),
            (None, None) => None,
        }
    };
    rules.extend(limit("minimum", "maximum"));
    rules.extend(limit("minLength", "maxLength").map(|limit| format!("{limit} characters")));
    rules.extend(limit("minItems", "maxItems").map(|limit| format!("{limit} items")));
    rules.extend(limit("minProperties", "maxProperties").map(|limit| format!("{limit} entries")));
    if let Some(pattern) = schema["pattern"].as_str() {
        rules.push(format!("matches `{pattern}`"));
    }
    if let Some(pattern) = schema["items"]["pattern"].as_str() {
        rules.push(format!("each item matches `{pattern}`"));
    }
    if schema["x-kubernetes-list-type"] == "set" {
        rules.push("no item twice".to_owned());
    }
    if let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() {
        let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
        rules.push(format!("no two items with the same `{}`", keys.join("`, `")));
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        rules.extend(rule["message"].as_str().map(str::to_owned));
    }
    rules
}
