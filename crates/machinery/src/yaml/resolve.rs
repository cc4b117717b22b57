//! What a scalar without quotes is: go-yaml's `resolve`, which is YAML 1.1 without sexagesimal numbers.

use std::sync::LazyLock;

use regex::Regex;

pub(super) const BINARY_TAG: &str = "tag:yaml.org,2002:binary";
pub(super) const MERGE_TAG: &str = "tag:yaml.org,2002:merge";
const NULL_TAG: &str = "tag:yaml.org,2002:null";
const BOOL_TAG: &str = "tag:yaml.org,2002:bool";
const TEXT_TAG: &str = "tag:yaml.org,2002:str";
const INTEGER_TAG: &str = "tag:yaml.org,2002:int";
const FLOAT_TAG: &str = "tag:yaml.org,2002:float";
const TIMESTAMP_TAG: &str = "tag:yaml.org,2002:timestamp";

/// The value of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Integer(i64),
    /// One that is too large to be signed.
    Unsigned(u64),
    Float(f64),
    Text(String),
}

/// A float64 as Go's `%v` prints it.
pub(super) fn go_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        // the shortest form with an exponent, which has two digits at least
        Ok(exponent @ (..-4 | 21..)) => {
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ => number.to_string(),
    }
}

/// What a scalar with this tag (empty where it has none) and text is.
///
/// # Errors
/// For text the tag does not go with.
pub(super) fn resolve(tag: &str, text: &str) -> Result<Scalar, String> {
    if !matches!(tag, "" | TEXT_TAG | BOOL_TAG | INTEGER_TAG | FLOAT_TAG | NULL_TAG | TIMESTAMP_TAG) {
        return Ok(Scalar::Text(text.to_owned()));
    }
    let (found_tag, found) = untagged(tag, text);
    if matches!(tag, "" | TEXT_TAG) || tag == found_tag {
        return Ok(found);
    }
    match (tag, found) {
        #[expect(clippy::cast_precision_loss, reason = "as in Go")]
        (FLOAT_TAG, Scalar::Integer(number)) => Ok(Scalar::Float(number as f64)),
        _ => Err(format!("cannot decode {} `{text}` as a {}", short(found_tag), short(tag))),
    }
}

fn short(tag: &str) -> String {
    tag.strip_prefix("tag:yaml.org,2002:").map_or_else(|| tag.to_owned(), |name| format!("!!{name}"))
}

/// Whether text without quotes is read as that text.
pub(super) fn is_text(text: &str) -> bool {
    untagged("", text).0 == TEXT_TAG
}

fn untagged(tag: &str, text: &str) -> (&'static str, Scalar) {
    let as_text = || (TEXT_TAG, Scalar::Text(text.to_owned()));
    if tag == TEXT_TAG {
        return as_text();
    }
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return (BOOL_TAG, Scalar::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return (BOOL_TAG, Scalar::Bool(false));
        }
        "" | "~" | "null" | "Null" | "NULL" => return (NULL_TAG, Scalar::Null),
        ".nan" | ".NaN" | ".NAN" => return (FLOAT_TAG, Scalar::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return (FLOAT_TAG, Scalar::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => return (FLOAT_TAG, Scalar::Float(f64::NEG_INFINITY)),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => float(text).map_or_else(as_text, |number| (FLOAT_TAG, Scalar::Float(number))),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            if matches!(tag, "" | TIMESTAMP_TAG) && is_timestamp(text) {
                // kept as it stands
                return (TIMESTAMP_TAG, Scalar::Text(text.to_owned()));
            }
            number(&text.replace('_', "")).unwrap_or_else(as_text)
        }
        _ => as_text(),
    }
}

fn number(plain: &str) -> Option<(&'static str, Scalar)> {
    let integer = |number: i128| {
        let signed = i64::try_from(number).map(Scalar::Integer).ok();
        signed.or_else(|| u64::try_from(number).map(Scalar::Unsigned).ok())
    };
    if let Some(found) = go_integer(plain).and_then(integer) {
        return Some((INTEGER_TAG, found));
    }
    if let Some(number) = float(plain) {
        return Some((FLOAT_TAG, Scalar::Float(number)));
    }
    None
}

/// An integer as Go's `ParseInt` with base 0 reads it, of a sign and a prefix for the base.
fn go_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?)
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) || digits.len() > 80 {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// A decimal number.
fn float(text: &str) -> Option<f64> {
    static FORM: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").ok());
    if !FORM.as_ref().is_some_and(|form| form.is_match(text)) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether text is one of the forms of time go-yaml knows.
fn is_timestamp(text: &str) -> bool {
    static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let time = r"(\d{1,2}):(\d{1,2}):(\d{1,2})([.,]\d+)?";
        Regex::new(&format!(r"^(\d{{4}})-(\d{{1,2}})-(\d{{1,2}})(?:[Tt]{time}(?:Z|[+-]\d\d:\d\d)| {time})?$")).ok()
    });
    let Some(found) = FORM.as_ref().and_then(|form| form.captures(text)) else { return false };
    let part = |index: usize| found.get(index).and_then(|part| part.as_str().parse::<i8>().ok());
    let year = found.get(1).and_then(|year| year.as_str().parse().ok()).unwrap_or_default();
    let is_date = match (part(2), part(3)) {
        (Some(month), Some(day)) => jiff::civil::Date::new(year, month, day).is_ok(),
        _ => false,
    };
    let below = |index: usize, bound: i8| part(index).is_none_or(|number| number < bound);
    is_date
        && [(4, 24), (5, 60), (6, 60), (8, 24), (9, 60), (10, 60)].iter().all(|(index, bound)| below(*index, *bound))
}
