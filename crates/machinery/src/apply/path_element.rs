//! One step of a field path, as `fieldsV1` writes it: `f:name`, `k:{"name":"a"}`, `v:"a"`, `i:0`.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use serde_json::{Map, Number, Value};

/// How to get from a container to one of its members.
///
/// Ordered as structured-merge-diff orders them: fields, then keys, values and indices.
#[derive(Clone, Debug)]
pub enum PathElement {
    /// A field of a map or struct.
    Field(String),
    /// The item of an associative list that has these key fields; sorted by name.
    Key(Vec<(String, Value)>),
    /// The item of a set with this value.
    Value(Value),
    /// An item of an atomic list. Only found in data of others: nothing here owns single items of atomic lists.
    Index(i64),
}

/// Why a key of `fieldsV1` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePathElementError {
    /// Shorter than a type letter and a colon.
    #[error("key must be 2 characters long: {0}")]
    TooShort(String),
    /// The second character is no colon.
    #[error("missing colon: {0}")]
    MissingColon(String),
    /// What follows the colon does not fit the type.
    #[error("invalid content: {0}")]
    Content(String),
}

impl PathElement {
    /// The element of a field.
    pub fn field(name: impl Into<String>) -> Self {
        Self::Field(name.into())
    }

    /// The element of an associative list's item, from key fields in any order.
    pub fn key(mut fields: Vec<(String, Value)>) -> Self {
        fields.sort_by(|left, right| left.0.cmp(&right.0));
        Self::Key(fields)
    }

    /// Reads a key of `fieldsV1`. `None` for element types of a future version, which are to be skipped.
    ///
    /// # Errors
    /// When the text is not of the form `TYPE:CONTENT` or the content does not parse.
    pub fn parse(text: &str) -> Result<Option<Self>, ParsePathElementError> {
        let bytes = text.as_bytes();
        if bytes.len() < 2 {
            return Err(ParsePathElementError::TooShort(text.to_owned()));
        }
        if bytes[1] != b':' {
            return Err(ParsePathElementError::MissingColon(text.to_owned()));
        }
        let content = &text[2..];
        let bad = || ParsePathElementError::Content(text.to_owned());
        Ok(Some(match bytes[0] {
            b'f' => Self::Field(content.to_owned()),
            b'v' => Self::Value(serde_json::from_str(content).map_err(|_| bad())?),
            b'k' => {
                let fields: Map<String, Value> = serde_json::from_str(content).map_err(|_| bad())?;
                Self::key(fields.into_iter().collect())
            }
            b'i' => Self::Index(content.parse().map_err(|_| bad())?),
            _ => return Ok(None),
        }))
    }

    /// The key of `fieldsV1`.
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => {
                let mut text = String::with_capacity(name.len() + 2);
                text.push_str("f:");
                text.push_str(name);
                text
            }
            Self::Key(fields) => {
                let mut text = String::from("k:{");
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    write_json(&mut text, &Value::String(name.clone()), false);
                    text.push(':');
                    write_json(&mut text, value, true);
                }
                text.push('}');
                text
            }
            Self::Value(value) => {
                let mut text = String::from("v:");
                write_json(&mut text, value, true);
                text
            }
            Self::Index(index) => format!("i:{index}"),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(left), Self::Field(right)) => left.cmp(right),
            (Self::Key(left), Self::Key(right)) => compare_fields(left, right),
            (Self::Value(left), Self::Value(right)) => compare_values(left, right),
            (Self::Index(left), Self::Index(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PathElement {}

impl fmt::Display for PathElement {
    /// `.name`, `[name="a",port=80]`, `["=a"]`-like forms of conflict messages.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(formatter, ".{name}"),
            Self::Key(fields) => {
                formatter.write_char('[')?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        formatter.write_char(',')?;
                    }
                    write!(formatter, "{name}={}", display_value(value))?;
                }
                formatter.write_char(']')
            }
            Self::Value(value) => write!(formatter, "[={}]", display_value(value)),
            Self::Index(index) => write!(formatter, "[{index}]"),
        }
    }
}

fn display_value(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => write_json(&mut text, value, false),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(display_value).collect();
            let _ = write!(text, "[{}]", items.join(","));
        }
        Value::Object(members) => {
            for (name, member) in members {
                let _ = write!(text, "{name}={}", display_value(member));
            }
        }
    }
    text
}

/// Writes JSON as Go's encoder does: integral floats without a fraction, and with `html` the characters `<`, `>`, `&`
/// escaped.
fn write_json(text: &mut String, value: &Value, html: bool) {
    match value {
        Value::Number(number) => {
            let _ = match integral(number) {
                Some(integer) => write!(text, "{integer}"),
                None => write!(text, "{number}"),
            };
        }
        _ if html => text.push_str(&go_json(value)),
        _ => {
            let _ = write!(text, "{value}");
        }
    }
}

/// JSON with the characters escaped that Go's encoder escapes for the sake of HTML.
pub(crate) fn go_json(value: &Value) -> String {
    let plain = value.to_string();
    let mut text = String::with_capacity(plain.len());
    for character in plain.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    text
}

/// The integer a float stands for, where Go would print it without a fraction or exponent.
#[allow(clippy::cast_possible_truncation)] // the bound keeps it exact
fn integral(number: &Number) -> Option<i64> {
    let float = number.is_f64().then(|| number.as_f64()).flatten()?;
    (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as i64)
}

fn compare_fields(left: &[(String, Value)], right: &[(String, Value)]) -> Ordering {
    for (left, right) in left.iter().zip(right) {
        let order = left.0.cmp(&right.0).then_with(|| compare_values(&left.1, &right.1));
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

/// A total order on values: numbers, strings, booleans, lists, maps, null; numbers by their value.
pub(super) fn compare_values(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            for (left, right) in left.iter().zip(right) {
                let order = compare_values(left, right);
                if order != Ordering::Equal {
                    return order;
                }
            }
            left.len().cmp(&right.len())
        }
        (Value::Object(left), Value::Object(right)) => {
            for (left, right) in left.iter().zip(right) {
                let order = left.0.cmp(right.0).then_with(|| compare_values(left.1, right.1));
                if order != Ordering::Equal {
                    return order;
                }
            }
            left.len().cmp(&right.len())
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return left.cmp(&right);
    }
    let (left, right) = (left.as_f64().unwrap_or(f64::MAX), right.as_f64().unwrap_or(f64::MAX));
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

/// Equality with numbers compared by value (`1` equals `1.0`).
pub(super) fn equal_values(left: &Value, right: &Value) -> bool {
    compare_values(left, right) == Ordering::Equal
}
