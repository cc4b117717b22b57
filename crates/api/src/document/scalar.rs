//! What a plain scalar means, by the rules of YAML 1.1 that Kubernetes follows: `yes` is true, `0123` is 83.

use serde_json::{Number, Value};

/// A plain scalar that no JSON value stands for, such as `.inf`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotJson;

/// The value of a plain (unquoted) scalar.
pub(super) fn resolve(text: &str) -> Result<Value, NotJson> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        _ => {}
    }
    if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
    {
        return Err(NotJson);
    }
    Ok(number(text).map_or_else(|| Value::String(text.into()), Value::Number))
}

fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let first = digits.bytes().next()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    let plain: String = digits.chars().filter(|character| *character != '_').collect();
    if let Some(integer) = integer(&plain) {
        return if negative {
            i64::try_from(-i128::from(integer)).ok().map(Number::from)
        } else {
            Some(Number::from(integer))
        };
    }
    let is_float = plain.bytes().any(|byte| byte.is_ascii_digit())
        && plain.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !is_float {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    Number::from_f64(if negative { -value } else { value })
}

fn integer(text: &str) -> Option<u64> {
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, radix).ok() };
        }
    }
    if text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return u64::from_str_radix(text, 8).ok();
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_kubernetes() {
        for (text, value) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("", json!(null)),
            ("~", json!(null)),
            ("12", json!(12)),
            ("-12", json!(-12)),
            ("+1", json!(1)),
            ("0123", json!(83)),
            ("089", json!(89)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("1.30", json!(1.3)),
            ("1e3", json!(1000.0)),
            ("1.34.2", json!("1.34.2")),
            ("1.34.x", json!("1.34.x")),
            ("22:00", json!("22:00")),
            ("2026-11-21", json!("2026-11-21")),
            ("-", json!("-")),
            (".", json!(".")),
            ("e3", json!("e3")),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ] {
            assert_eq!(resolve(text), Ok(value), "{text:?}");
        }
        assert_eq!(resolve("-.inf"), Err(NotJson));
        assert_eq!(resolve(".nan"), Err(NotJson));
    }
}
