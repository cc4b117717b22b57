//! Quantities as `k8s.io/apimachinery/pkg/api/resource` reads and writes them: `0.5` is `500m`, `1024Mi` is `1Gi`, the
//! number 2 is `"2"`.

mod amount;
mod number;

use std::iter::Sum;

use serde_json::Value;

pub use self::amount::Amount;
pub(crate) use self::number::Number;

const WRONG_FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_NUMBER: &str = "unable to parse numeric part of quantity";
const WRONG_SUFFIX: &str = "unable to parse quantity's suffix";

/// What the exponents of a quantity count in; kept from the way it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Nothing is smaller.
const NANO: i32 = -9;
const GREATEST_BINARY: i128 = i64::MAX as i128;
/// Exponents beyond it make no difference any more: all fit nothing, or are rounded up to the same.
const GREATEST_EXPONENT: i32 = 1000;

/// The parts of a quantity's text.
struct Parts<'t> {
    negative: bool,
    /// Without zeros in front.
    whole: &'t str,
    fraction: &'t str,
    suffix: &'t str,
    /// Whether there are any digits, zeros included. Without them it is 0 where Go reads it as an int64.
    has_digits: bool,
}

fn split(text: &str) -> Result<Parts<'_>, &'static str> {
    let (negative, unsigned) = match text.as_bytes().first() {
        None => return Err(WRONG_FORMAT),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    let digits_end = |text: &str| text.find(|found: char| !found.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = unsigned.split_at(digits_end(unsigned));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits_end(rest)),
        None => ("", rest),
    };
    let letters = suffix.find(|found: char| !"eEinumkKMGTP".contains(found)).unwrap_or(suffix.len());
    let exponent = &suffix[letters..];
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if digits_end(exponent) < exponent.len() {
        return Err(WRONG_FORMAT);
    }
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    Ok(Parts { negative, whole: whole.trim_start_matches('0'), fraction, suffix, has_digits })
}

/// The base-2 or base-10 exponent of a suffix.
fn interpret(suffix: &str) -> Result<(Format, i32), &'static str> {
    if let Some((_, shift)) = BINARY.iter().find(|(unit, _)| *unit == suffix) {
        return Ok((Format::Binary, shift.cast_signed()));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(unit, _)| *unit == suffix) {
        return Ok((Format::Decimal, *power));
    }
    let digits = suffix.strip_prefix(['e', 'E']).filter(|digits| !digits.is_empty()).ok_or(WRONG_SUFFIX)?;
    digits.parse::<i32>().map(|power| (Format::Exponent, power)).map_err(|_| WRONG_SUFFIX)
}

/// Whether Go tries to read a quantity as an int64.
fn is_small(parts: &Parts<'_>, format: Format, exponent: i32) -> bool {
    let length = |digits: &str| i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let (whole, fraction) = (length(parts.whole).max(1), length(parts.fraction));
    if format == Format::Binary {
        // 18 digits fit an int64; binary suffixes take some of them.
        return fraction == 0 && 15 - whole - exponent * 3 / 10 > 0;
    }
    whole.saturating_add(fraction) <= 18 && exponent.saturating_sub(fraction) >= NANO
}

/// Whether Go keeps the text of a quantity it reads, because it looks canonical.
fn is_kept(parts: &Parts<'_>, format: Format, exponent: i32) -> bool {
    let whole = if parts.whole.is_empty() { "0" } else { parts.whole };
    let value = || format!("{whole}{}", parts.fraction).parse::<i64>().ok();
    if format == Format::Binary {
        let fits = |value: &i64| value.checked_shl(exponent.unsigned_abs()).is_some_and(|shifted| shifted >= 0);
        return is_small(parts, format, exponent) && value().filter(fits).is_some_and(|value| value & 7 != 0);
    }
    let scale = exponent.saturating_sub(i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX));
    let ends_in_thousands = match parts.fraction.len() {
        0 => whole.ends_with("000"),
        1 | 2 => format!("{whole}{}", parts.fraction).ends_with("000"),
        _ => parts.fraction.ends_with("000"),
    };
    is_small(parts, format, exponent) && scale % 3 == 0 && !ends_in_thousands && !whole.starts_with('0')
}

/// What Go writes for a quantity it read; `None` for the text itself.
///
/// # Errors
/// Go's text for what is none.
pub fn canonical(text: &str) -> Result<Option<String>, &'static str> {
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok((text != trimmed).then(|| trimmed.to_owned()));
    }
    let (parts, format, exponent) = read(trimmed)?;
    if is_kept(&parts, format, exponent) {
        return Ok((text != trimmed).then(|| trimmed.to_owned()));
    }
    let written = write(&parts, format, exponent, NANO).ok_or(WRONG_NUMBER)?;
    Ok((written != text).then_some(written))
}

/// What Go writes for the amount of a resource, which it keeps in thousandths and rounds up to them; `None` for what is
/// no quantity.
pub fn in_thousandths(text: &str) -> Option<String> {
    const MILLI: i32 = -3;
    let (parts, format, exponent) = read(text.trim()).ok()?;
    let exponent_of_ten = if format == Format::Binary { 0 } else { exponent };
    let scale = exponent_of_ten.saturating_sub(i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX));
    if scale >= MILLI {
        return Some(canonical(text).ok()?.unwrap_or_else(|| text.to_owned()));
    }
    write(&parts, format, exponent, MILLI)
}

fn read(text: &str) -> Result<(Parts<'_>, Format, i32), &'static str> {
    let parts = split(text)?;
    let (format, exponent) = interpret(parts.suffix)?;
    if !parts.has_digits && !is_small(&parts, format, exponent) {
        return Err(WRONG_NUMBER);
    }
    Ok((parts, format, exponent))
}

/// The digits of a quantity as a whole number, and the power of ten it is to be multiplied with. What is smaller than
/// `smallest` is rounded up to it.
fn number(parts: &Parts<'_>, format: Format, exponent: i32, smallest: i32) -> Option<(i128, i32)> {
    let mut mantissa: i128 = format!("0{}{}", parts.whole, parts.fraction).parse().ok()?;
    let mut power = -i32::try_from(parts.fraction.len()).ok()?;
    if format == Format::Binary {
        mantissa = mantissa.checked_mul(1_i128.checked_shl(exponent.unsigned_abs())?)?;
        // Go caps binary quantities, and only them.
        let unit = 10_i128.checked_pow(power.unsigned_abs())?;
        if mantissa / unit >= GREATEST_BINARY {
            return Some((GREATEST_BINARY, 0));
        }
    } else {
        power = power.saturating_add(exponent).max(-GREATEST_EXPONENT);
    }
    while power < smallest {
        mantissa = mantissa / 10 + i128::from(mantissa % 10 != 0);
        power += 1;
    }
    (power <= GREATEST_EXPONENT).then_some((mantissa, power))
}

fn write(parts: &Parts<'_>, format: Format, exponent: i32, smallest: i32) -> Option<String> {
    let (mantissa, power) = number(parts, format, exponent, smallest)?;
    written(parts.negative, mantissa, power, format)
}

/// The canonical text of a number that is to be multiplied with a power of ten; `None` for what is too large for any suffix.
fn written(negative: bool, mut mantissa: i128, mut power: i32, format: Format) -> Option<String> {
    if mantissa == 0 {
        return Some("0".to_owned());
    }
    while mantissa % 10 == 0 {
        mantissa /= 10;
        power += 1;
    }
    let sign = if negative { "-" } else { "" };
    if format == Format::Binary
        && power >= 0
        && let Some(value) = 10_i128.checked_pow(power.unsigned_abs()).and_then(|tens| mantissa.checked_mul(tens))
        && value >= 1024
    {
        let unit = BINARY.iter().rev().find(|(_, shift)| value % (1_i128 << shift) == 0);
        return Some(match unit {
            Some((unit, shift)) => format!("{sign}{}{unit}", value >> shift),
            None => format!("{sign}{value}"),
        });
    }
    // The greatest power of a thousand that leaves a whole number.
    let thousands = (power.div_euclid(3) * 3).min(18);
    let mantissa = mantissa.checked_mul(10_i128.checked_pow(u32::try_from(power - thousands).ok()?)?)?;
    if format == Format::Exponent {
        return Some(if thousands == 0 {
            format!("{sign}{mantissa}")
        } else {
            format!("{sign}{mantissa}e{thousands}")
        });
    }
    let (unit, _) = DECIMAL.iter().find(|(_, own)| *own == thousands)?;
    Some(format!("{sign}{mantissa}{unit}"))
}

/// A quantity as a number, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i128);

impl Quantity {
    const ONE: i128 = 1_000_000_000;

    /// The quantity a text or number stands for; `None` for what is none, or does not fit.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::read(text),
            Value::Number(number) => Self::read(&number.to_string()),
            _ => None,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (parts, format, exponent) = read(text.trim()).ok()?;
        let (mantissa, power) = number(&parts, format, exponent, NANO)?;
        let amount = mantissa.checked_mul(10_i128.checked_pow((power - NANO).unsigned_abs())?)?;
        Some(Self(if parts.negative { -amount } else { amount }))
    }

    /// The number of billionths.
    pub fn billionths(self) -> i128 {
        self.0
    }

    /// Whether this is less than nothing.
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether this is more than nothing.
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Whether this is a whole number.
    pub fn is_whole(self) -> bool {
        self.0 % Self::ONE == 0
    }

    /// The whole number next to this away from zero, as Go's `Value()` gives it; at most that of an int64.
    pub fn whole(self) -> i64 {
        let away = (self.0.abs() + Self::ONE - 1) / Self::ONE * self.0.signum();
        i64::try_from(away).unwrap_or(if away < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether this is a multiple of another quantity that is more than nothing.
    pub fn is_multiple_of(self, other: Self) -> bool {
        other.0 > 0 && self.0 % other.0 == 0
    }

    /// As a number that may be inexact, for ratios.
    #[expect(clippy::cast_precision_loss, reason = "for ratios")]
    pub fn to_float(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        Self(quantities.fold(0, |sum, quantity| quantity.0.saturating_add(sum)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{Quantity, canonical, in_thousandths};

    #[test]
    fn quantities_are_written_as_kubernetes_writes_them() {
        let written = [
            "0.5",
            "1",
            "1000m",
            "1.5Gi",
            "1024Mi",
            "1536Ki",
            "0.1m",
            "100n",
            "1e3",
            "12E",
            "5e-3",
            "-1.50",
            "0",
            "1000k",
            "1025",
            "512Mi",
            ".5Gi",
            "1.",
            "+2",
            "1e-2147483648",
            "1e2147483647",
            "1000e2147483647",
            "three",
            "1.2.3",
            "1Zi",
            "",
            "10e",
            "m",
            "-",
            ".",
            ".Ki",
            "Pi",
            "e-12",
        ];
        let lines: Vec<String> = written
            .iter()
            .map(|text| {
                let kept = canonical(text).map(|changed| changed.unwrap_or_else(|| (*text).to_owned()));
                let rounded = in_thousandths(text).unwrap_or_default();
                let number = Quantity::of(&Value::from(*text)).map(Quantity::to_float);
                format!("{text:?}: {kept:?}, as a resource {rounded:?}, as a number {number:?}")
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    proptest! {
        #[test]
        fn what_is_written_stays_and_is_the_same_number(
            text in "[-+]?[0-9]{0,12}(\\.[0-9]{0,6})?(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|e[0-9]|E-[0-9])"
        ) {
            if let Ok(written) = canonical(&text) {
                let written = written.unwrap_or_else(|| text.clone());
                prop_assert_eq!(canonical(&written), Ok(None));
                prop_assert_eq!(Quantity::of(&Value::from(&*text)), Quantity::of(&Value::from(&*written)));
            }
            if let Some(once) = in_thousandths(&text) {
                prop_assert_eq!(in_thousandths(&once), Some(once));
            }
        }
    }
}
