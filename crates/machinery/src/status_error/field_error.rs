//! What is wrong with one field, in the words of `k8s.io/apimachinery/pkg/util/validation/field`.

use std::fmt::Write as _;

use serde_json::Value;

/// Why a field is wrong; serialises as the cause reasons of `k8s.io/apimachinery/pkg/util/validation/field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// A required field is absent or empty.
    Required,
    /// A malformed value.
    Invalid,
    /// Not one of an enumeration.
    NotSupported,
    /// A second value where values must be unique.
    Duplicate,
    /// A well-formed value that is not allowed here.
    Forbidden,
    /// A value of the wrong JSON type.
    TypeInvalid,
    /// A string or document over its limit.
    TooLong,
    /// A string under its minimum.
    TooShort,
    /// A list over its limit.
    TooMany,
    /// A list under its minimum.
    TooFew,
    /// A value that names something absent.
    NotFound,
    /// A failure that is not the caller's.
    Internal,
}

impl FieldErrorKind {
    /// The cause reason on the wire.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::TooLong => "FieldValueTooLong",
            Self::TooShort => "FieldValueTooShort",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::NotFound => "FieldValueNotFound",
            Self::Internal => "InternalError",
        }
    }

    /// The words a message of this kind begins with.
    pub fn title(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooShort => "Too short",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::NotFound => "Not found",
            Self::Internal => "Internal error",
        }
    }
}

/// One wrong field: becomes a cause `{reason, field, message}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// Where, e.g. `spec.items[0].name`.
    pub field: String,
    /// In the real server's words, with the kind's title, e.g. `Invalid value: 4: must be odd`.
    pub message: String,
}

impl FieldError {
    /// `Required value: DETAIL`; an empty detail is left out.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::without_value(FieldErrorKind::Required, field, detail)
    }

    /// `Forbidden: DETAIL`.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::without_value(FieldErrorKind::Forbidden, field, detail)
    }

    /// `Too long: may not be more than LIMIT bytes`.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        let unit = if limit == 1 { "byte" } else { "bytes" };
        Self::without_value(FieldErrorKind::TooLong, field, &format!("may not be more than {limit} {unit}"))
    }

    /// `Invalid value: VALUE: DETAIL`, the value as JSON.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::with_value(FieldErrorKind::Invalid, field, value, detail)
    }

    /// `Unsupported value: VALUE: supported values: "a", "b"`.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|text| quote(text)).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::with_value(FieldErrorKind::NotSupported, field, value, &detail)
    }

    /// `Duplicate value: VALUE`.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::with_value(FieldErrorKind::Duplicate, field, value, "")
    }

    /// An error of `kind` that shows no value.
    pub fn without_value(kind: FieldErrorKind, field: impl Into<String>, detail: &str) -> Self {
        let separator = if detail.is_empty() { "" } else { ": " };
        Self { kind, field: field.into(), message: format!("{}{separator}{detail}", kind.title()) }
    }

    /// An error of `kind` that shows the value it is about.
    pub fn with_value(kind: FieldErrorKind, field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let shown = match value {
            Value::String(text) => quote(text),
            other => other.to_string(),
        };
        Self::with_text(kind, field, &shown, detail)
    }

    /// An error of `kind` that shows a text as it is.
    pub fn with_text(kind: FieldErrorKind, field: impl Into<String>, shown: &str, detail: &str) -> Self {
        let separator = if detail.is_empty() { "" } else { ": " };
        Self { kind, field: field.into(), message: format!("{}: {shown}{separator}{detail}", kind.title()) }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

/// Quotes as Go's `%q` does: the form of names and values in the real server's messages.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            control if control.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
