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
pub(crate) fn canonicalise(object: Option<&mut Value>, field: &str) {
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

/// A quantity as it is written.
struct Written {
    negative: bool,
    mantissa: i128,
    /// Power of ten.
    exponent: i32,
    format: Format,
}

fn parse(text: &str) -> Option<Written> {
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
        let given = digits.strip_prefix('+').unwrap_or(digits).parse::<i32>().ok()?;
        // Beyond what fits in any way; also keeps the sums below in range.
        exponent += Some(given).filter(|power| power.abs() < 1000)?;
        Format::Exponent
    };
    Some(Written { negative, mantissa, exponent, format })
}

/// A quantity as a number, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount(i128);

impl Amount {
    const ONE: i128 = 1_000_000_000;

    /// The amount of a text or number; `None` for what is no quantity.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        let parsed = match value {
            Value::String(text) => parse(text)?,
            Value::Number(number) => parse(&number.to_string())?,
            _ => return None,
        };
        let power = 10_i128.checked_pow((parsed.exponent + 9).unsigned_abs())?;
        let amount = if parsed.exponent >= -9 {
            parsed.mantissa.checked_mul(power)?
        } else {
            parsed.mantissa / power + i128::from(parsed.mantissa % power != 0)
        };
        Some(Self(if parsed.negative { -amount } else { amount }))
    }

    pub(crate) fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub(crate) fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Whether this is a whole number.
    pub(crate) fn is_whole(self) -> bool {
        self.0 % Self::ONE == 0
    }

    /// Whether this is a multiple of another amount that is not nothing.
    pub(crate) fn is_multiple_of(self, other: Self) -> bool {
        other.0 > 0 && self.0 % other.0 == 0
    }

    /// As a number that may be inexact.
    #[allow(clippy::cast_precision_loss)] // for ratios
    pub(crate) fn to_float(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }
}

/// The canonical text of a quantity; `None` for what is none, or is beyond what fits.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let Written { negative, mut mantissa, mut exponent, format } = parse(text)?;
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
