//! Field errors in the words of `k8s.io/apimachinery/pkg/util/validation/field` and of kube-openapi's validator.

use std::fmt::Write as _;

use serde_json::Value;

use crate::status_error::{FieldError, FieldErrorKind};

/// `Invalid value: VALUE: detail`.
pub(crate) fn invalid(field: String, value: &Value, detail: &str) -> FieldError {
    with_value(FieldErrorKind::Invalid, field, "Invalid value", value, detail)
}

/// `Invalid value: SHOWN: detail`, for a value that is not shown as its JSON.
pub(crate) fn invalid_text(field: String, shown: &str, detail: &str) -> FieldError {
    FieldError { kind: FieldErrorKind::Invalid, field, message: join(&format!("Invalid value: {shown}"), detail) }
}

/// `Invalid value: detail`, for objects and lists that are too big to repeat.
pub(crate) fn invalid_omitting_value(field: String, detail: &str) -> FieldError {
    FieldError { kind: FieldErrorKind::Invalid, field, message: join("Invalid value", detail) }
}

/// `Invalid value: VALUE: detail` with the cause of a wrong type.
pub(crate) fn type_invalid(field: String, value: &Value, detail: &str) -> FieldError {
    with_value(FieldErrorKind::TypeInvalid, field, "Invalid value", value, detail)
}

/// `Required value: detail`.
pub(crate) fn required(field: String, detail: &str) -> FieldError {
    FieldError { kind: FieldErrorKind::Required, field, message: join("Required value", detail) }
}

/// `Forbidden: detail`.
pub(crate) fn forbidden(field: String, detail: &str) -> FieldError {
    FieldError { kind: FieldErrorKind::Forbidden, field, message: join("Forbidden", detail) }
}

/// `Duplicate value: VALUE`.
pub(crate) fn duplicate(field: String, value: &Value) -> FieldError {
    with_value(FieldErrorKind::Duplicate, field, "Duplicate value", value, "")
}

/// `Unsupported value: VALUE: supported values: "a", "b"`.
pub(crate) fn not_supported(field: String, value: &Value, supported: &[Value]) -> FieldError {
    let mut detail = String::new();
    for (position, accepted) in supported.iter().enumerate() {
        detail.push_str(if position == 0 { "supported values: " } else { ", " });
        match accepted {
            Value::String(text) => detail.push_str(&quote(text)),
            other => detail.push_str(&quote(&json(other))),
        }
    }
    with_value(FieldErrorKind::NotSupported, field, "Unsupported value", value, &detail)
}

/// `Too long: may not be more than N bytes`.
pub(crate) fn too_long(field: String, maximum: i64) -> FieldError {
    let unit = if maximum == 1 { "byte" } else { "bytes" };
    let detail =
        if maximum < 0 { "value is too long".to_owned() } else { format!("may not be more than {maximum} {unit}") };
    FieldError { kind: FieldErrorKind::TooLong, field, message: format!("Too long: {detail}") }
}

/// `Too many: ACTUAL: must have at most N items`.
pub(crate) fn too_many(field: String, actual: usize, maximum: i64) -> FieldError {
    let unit = if maximum == 1 { "item" } else { "items" };
    let detail =
        if maximum < 0 { "has too many items".to_owned() } else { format!("must have at most {maximum} {unit}") };
    FieldError { kind: FieldErrorKind::TooMany, field, message: format!("Too many: {actual}: {detail}") }
}

fn with_value(kind: FieldErrorKind, field: String, title: &str, value: &Value, detail: &str) -> FieldError {
    let shown = match value {
        Value::String(text) => quote(text),
        Value::Number(number) => number_text(number),
        other => json(other),
    };
    FieldError { kind, field, message: join(&format!("{title}: {shown}"), detail) }
}

fn join(title: &str, detail: &str) -> String {
    if detail.is_empty() { title.to_owned() } else { format!("{title}: {detail}") }
}

/// JSON as Go's `encoding/json` writes it: sorted keys and `<`, `>`, `&` escaped.
pub(crate) fn json(value: &Value) -> String {
    let text = value.to_string();
    if text.contains(['<', '>', '&']) {
        text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    } else {
        text
    }
}

/// A number as Go's `%v` prints an `int64` or a `float64`.
pub(crate) fn number_text(number: &serde_json::Number) -> String {
    match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => integer.to_string(),
        (None, Some(float)) => float_text(float),
        (None, None) => number.to_string(),
    }
}

/// A `float64` as Go's `%v` prints it: shortest digits, exponent form below 1e-4 and from 1e6.
pub(crate) fn float_text(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{float:e}");
        match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, digits_of_exponent) = match exponent.strip_prefix('-') {
                    Some(rest) => ('-', rest),
                    None => ('+', exponent),
                };
                format!("{digits}e{sign}{digits_of_exponent:0>2}")
            }
            None => text,
        }
    } else {
        float.to_string()
    }
}

/// A JSON value as Go's `%v` prints it once it is decoded into an `interface{}`.
pub(crate) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, field)| format!("{name}:{}", go_text(field))).collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

/// Such a value as Go's `%#v` prints it.
pub(crate) fn go_syntax(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, field)| format!("{}:{}", quote(name), go_syntax(field))).collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        scalar => go_text(scalar),
    }
}

/// The type of such a value as Go's `%T` prints it.
pub(crate) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A string as Go's `%q` prints it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            control if control.is_control() => {
                let code = u32::from(control);
                // Writing to a String cannot fail.
                let _ = if code < 0x80 { write!(out, "\\x{code:02x}") } else { write!(out, "\\u{code:04x}") };
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
