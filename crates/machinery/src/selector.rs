//! Label and field selectors: the grammar, meaning and error texts of `k8s.io/apimachinery/pkg/labels` and `pkg/fields`.

mod field;
mod label_parser;

use std::fmt;

use serde_json::{Map, Value};

use crate::object_meta::{label_key_messages, label_value_messages};
use crate::status_error::{ApiError, FieldError, quote};

pub use field::{FieldRequirement, FieldSelector};

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted and unique.
    values: Vec<String>,
}

impl Requirement {
    /// Judges key and values as the real server does.
    fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, String> {
        let mut errors = Vec::new();
        let key_messages = label_key_messages(key);
        if !key_messages.is_empty() {
            errors.push(FieldError::invalid("key", &key.into(), &key_messages.join("; ")));
        }
        let shown = || Value::from(values.clone());
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                let detail = "for 'in', 'notin' operators, values set can't be empty";
                errors.push(FieldError::invalid("values", &shown(), detail));
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                let detail = "values set must be empty for exists and does not exist";
                errors.push(FieldError::invalid("values", &shown(), detail));
            }
            Operator::GreaterThan | Operator::LessThan => {
                for (index, value) in values.iter().enumerate().filter(|(_, value)| value.parse::<i64>().is_err()) {
                    let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                    errors.push(FieldError::invalid(format!("values[{index}]"), &value.as_str().into(), detail));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            let messages = label_value_messages(value);
            if !messages.is_empty() {
                let field = format!("values[{index}][{key}]");
                errors.push(FieldError::invalid(field, &value.as_str().into(), &messages.join("; ")));
            }
        }
        match errors.as_slice() {
            [] => {
                values.sort();
                values.dedup();
                Ok(Self { key: key.to_owned(), operator, values })
            }
            [one] => Err(one.to_string()),
            several => Err(format!("[{}]", several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
        }
    }

    fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = labels.and_then(|labels| labels.get(&self.key)).and_then(Value::as_str);
        let listed = |value: &str| self.values.iter().any(|own| own == value);
        match (self.operator, value) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, value) => value.is_some_and(listed),
            (Operator::NotEquals | Operator::NotIn, value) => !value.is_some_and(listed),
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
            (Operator::GreaterThan | Operator::LessThan, value) => {
                let number = value.and_then(|value| value.parse::<i64>().ok());
                let bound = self.values.first().and_then(|value| value.parse::<i64>().ok());
                number.zip(bound).is_some_and(|(number, bound)| {
                    if self.operator == Operator::GreaterThan { number > bound } else { number < bound }
                })
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Equals => write!(formatter, "{key}={values}"),
            Operator::DoubleEquals => write!(formatter, "{key}=={values}"),
            Operator::NotEquals => write!(formatter, "{key}!={values}"),
            Operator::In => write!(formatter, "{key} in ({values})"),
            Operator::NotIn => write!(formatter, "{key} notin ({values})"),
            Operator::Exists => write!(formatter, "{key}"),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
            Operator::GreaterThan => write!(formatter, "{key}>{values}"),
            Operator::LessThan => write!(formatter, "{key}<{values}"),
        }
    }
}

/// A parsed label selector; the empty one matches everything. Its `Display` is the canonical form: requirements by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    /// A selector that is absent where one is needed selects nothing.
    nothing: bool,
}

impl LabelSelector {
    /// Parses `a=b,c!=d,e in (x,y),!f,g,h>5`.
    ///
    /// # Errors
    /// 400 in the words of the real server, e.g. `found ')', expected: identifier`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut requirements = label_parser::parse(text).map_err(ApiError::bad_request)?;
        requirements.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(Self { requirements, nothing: false })
    }

    /// The selector that matches nothing.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// From the object form {matchLabels, matchExpressions}. `null` selects nothing, `{}` everything.
    ///
    /// # Errors
    /// 400 for an unknown operator, bad keys or values, or wrong JSON types.
    pub fn from_object(object: &Value) -> Result<Self, ApiError> {
        if object.is_null() {
            return Ok(Self::nothing());
        }
        let object = object.as_object().ok_or_else(|| ApiError::bad_request("a label selector must be an object"))?;
        let mut requirements = Vec::new();
        match object.get("matchLabels") {
            None | Some(Value::Null) => {}
            Some(Value::Object(labels)) => {
                for (key, value) in labels {
                    let value = value
                        .as_str()
                        .ok_or_else(|| ApiError::bad_request(format!("matchLabels.{key} must be a string")))?;
                    let requirement = Requirement::new(key, Operator::Equals, vec![value.to_owned()]);
                    requirements.push(requirement.map_err(ApiError::bad_request)?);
                }
            }
            Some(_) => return Err(ApiError::bad_request("matchLabels must be an object")),
        }
        match object.get("matchExpressions") {
            None | Some(Value::Null) => {}
            Some(Value::Array(expressions)) => {
                for expression in expressions {
                    requirements.push(requirement_of_expression(expression).map_err(ApiError::bad_request)?);
                }
            }
            Some(_) => return Err(ApiError::bad_request("matchExpressions must be an array")),
        }
        requirements.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Against `metadata.labels`.
    pub fn matches(&self, object: &Value) -> bool {
        self.is_empty()
            || self.matches_labels(
                object.get("metadata").and_then(|metadata| metadata.get("labels")).and_then(Value::as_object),
            )
    }

    /// Against a map of labels, None being an empty one.
    pub fn matches_labels(&self, labels: Option<&Map<String, Value>>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            requirement.fmt(formatter)?;
        }
        Ok(())
    }
}

fn requirement_of_expression(expression: &Value) -> Result<Requirement, String> {
    let text = |key: &str| expression.get(key).and_then(Value::as_str).unwrap_or_default();
    let operator = match text("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(format!("{} is not a valid label selector operator", quote(other))),
    };
    let values = match expression.get("values") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned).ok_or("values must be strings"))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("values must be an array".to_owned()),
    };
    Requirement::new(text("key"), operator, values)
}

#[cfg(test)]
mod tests;
