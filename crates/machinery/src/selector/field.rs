//! Field selectors: `metadata.name` and `metadata.namespace` everywhere, other fields where the kind declares them.

use std::fmt;

use serde_json::Value;

use crate::resource::ResourceType;
use crate::status_error::{ApiError, quote};

/// One `field=value` or `field!=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// Path of the field, such as `spec.nodeName`.
    pub field: String,
    /// Whether it must have the value; else it must not.
    pub equal: bool,
    /// The value, without escapes.
    pub value: String,
}

impl FieldRequirement {
    /// What a selector requires, in the order of its sorted terms, of whatever kind it is meant for.
    ///
    /// # Errors
    /// What is wrong with the syntax.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let parsed = parts.map(|part| {
            let (field, equal, escaped) =
                split_term(part).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            Ok(Self { field: field.to_owned(), equal, value: unescape(escaped)? })
        });
        parsed.collect()
    }
}

/// A parsed field selector; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSelector {
    terms: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Parses `metadata.name=x,status.phase!=Running`. A backslash escapes `,`, `=` and `\` in values. Beside name and
    /// namespace, `resource.selectable_fields` are accepted, with or without their leading dot.
    ///
    /// # Errors
    /// 400: `field label not supported: X`, or a syntax error.
    pub fn parse(text: &str, resource: &ResourceType) -> Result<Self, ApiError> {
        let mut terms = FieldRequirement::parse_all(text).map_err(ApiError::bad_request)?;
        // `=` and `!=` alone ask for nothing, as in the real server.
        terms.retain(|term| !(term.field.is_empty() && term.value.is_empty()));
        for FieldRequirement { field, .. } in &terms {
            if !is_supported(field, resource) {
                return Err(ApiError::bad_request(if resource.custom || !resource.selectable_fields.is_empty() {
                    format!("field label not supported: {field}")
                } else {
                    format!(
                        "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                        quote(field)
                    )
                }));
            }
        }
        Ok(Self { terms })
    }

    /// Whether the object has the required values; an absent field has the empty one.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (field_value(object, &term.field) == term.value) == term.equal)
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value of `metadata.name=X`, if required: lets a list be a get.
    pub fn exact_name(&self) -> Option<&str> {
        self.exact_value("metadata.name")
    }

    /// The value a field is required to have, if there is one.
    pub fn exact_value(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(formatter, "{separator}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

fn is_supported(field: &str, resource: &ResourceType) -> bool {
    field == "metadata.name"
        // Kinds of the cluster that name their fields one by one do not name this one.
        || field == "metadata.namespace"
            && (resource.namespaced || !resource.custom && resource.selectable_fields.is_empty())
        || resource.selectable_fields.iter().any(|path| path.trim_start_matches('.') == field)
}

/// Splits at commas that are not escaped; escapes stay in the parts.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    term.char_indices().find_map(|(index, _)| {
        let rest = &term[index..];
        [("!=", false), ("==", true), ("=", true)]
            .iter()
            .find_map(|(operator, equal)| Some((&term[..index], *equal, rest.strip_prefix(operator)?)))
    })
}

fn unescape(value: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                Some(other) => return Err(format!("invalid field selector: invalid escape sequence: \\{other}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".to_owned()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {character}")),
            other => plain.push(other),
        }
    }
    Ok(plain)
}

/// The text a field selector compares. A few built-in fields are not where their label says, or have a default that is
/// not empty.
fn field_value(object: &Value, field: &str) -> String {
    if let Some(text) = text_at(object, field) {
        return text;
    }
    match field {
        "spec.hostNetwork" | "spec.unschedulable" => "false".to_owned(),
        "status.replicas" => "0".to_owned(),
        "status.successful" => text_at(object, "status.succeeded").unwrap_or_else(|| "0".to_owned()),
        "source" | "reportingComponent" => {
            ["source.component", "reportingComponent", "reportingController", "deprecatedSource.component"]
                .iter()
                .filter_map(|path| text_at(object, path))
                .find(|text| !text.is_empty())
                .unwrap_or_default()
        }
        _ => {
            // events.k8s.io calls the object of an event `regarding`
            field
                .strip_prefix("involvedObject.")
                .and_then(|rest| text_at(object, &format!("regarding.{rest}")))
                .unwrap_or_default()
        }
    }
}

fn text_at(object: &Value, field: &str) -> Option<String> {
    match field.split('.').try_fold(object, |value, key| value.get(key))? {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
