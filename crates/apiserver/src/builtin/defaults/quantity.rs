//! Quantities in canonical form, as `k8s.io/apimachinery/pkg/api/resource` writes them: `0.5` is `500m`, `1024Mi` is
//! `1Gi`, the number 2 is `"2"`.

use serde_json::Value;

/// What the exponents of a quantity count in; kept from the way it was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// Writes every quantity of a map of resources canonically. What is no quantity stays, for validation to refuse.
pub(super) fn canonicalise(object: Option<&mut Value>, field: &str) {
    let Some(Value::Object(resources)) = object.and_then(|object| object.get_mut(field)) else { return };
    for value in resources.values_mut() {
        let given = match &*value {
            Value::String(text) => canonical(text),
            Value::Number(number) => canonical(&number.to_string()),
            _ => None,
        };
        if let Some(text) = given {
            *value = Value::String(text);
        }
    }
}

/// The canonical text of a quantity; `None` for what is none, or is beyond what fits.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end =
        unsigned.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let mut exponent = -i32::try_from(fraction.len()).ok()?;
    let format = if let Some((_, shift)) = BINARY.iter().find(|(unit, _)| *unit == suffix) {
        mantissa = mantissa.checked_mul(1_i128.checked_shl(*shift)?)?;
        Format::Binary
    } else if let Some((_, power)) = DECIMAL.iter().find(|(unit, _)| *unit == suffix) {
        exponent += power;
        Format::Decimal
    } else {
        let digits = suffix.strip_prefix(['e', 'E'])?;
        exponent += digits.strip_prefix('+').unwrap_or(digits).parse::<i32>().ok()?;
        Format::Exponent
    };
    // Lists of resources keep nothing smaller than a thousandth; it is rounded up.
    while exponent < -3 {
        mantissa = mantissa / 10 + i128::from(mantissa % 10 != 0);
        exponent += 1;
    }
    if mantissa == 0 {
        return Some("0".to_owned());
    }
    while mantissa % 10 == 0 {
        mantissa /= 10;
        exponent += 1;
    }
    let sign = if negative { "-" } else { "" };
    if format == Format::Binary
        && exponent >= 0
        && let Some(value) = 10_i128.checked_pow(exponent.unsigned_abs()).and_then(|power| mantissa.checked_mul(power))
        && value >= 1024
    {
        let unit = BINARY.iter().rev().find(|(_, shift)| value % (1_i128 << shift) == 0);
        return Some(match unit {
            Some((unit, shift)) => format!("{sign}{}{unit}", value >> shift),
            None => format!("{sign}{value}"),
        });
    }
    // The greatest power of a thousand that leaves a whole number.
    let power = exponent.div_euclid(3) * 3;
    let power = power.min(18);
    let mantissa = mantissa.checked_mul(10_i128.checked_pow(u32::try_from(exponent - power).ok()?)?)?;
    if format == Format::Exponent {
        return Some(if power == 0 { format!("{sign}{mantissa}") } else { format!("{sign}{mantissa}e{power}") });
    }
    let (unit, _) = DECIMAL.iter().find(|(_, own)| *own == power)?;
    Some(format!("{sign}{mantissa}{unit}"))
}
