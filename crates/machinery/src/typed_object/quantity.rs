//! Quantities as `k8s.io/apimachinery/pkg/api/resource` reads and writes them: `0.5` is `500m`, `1024Mi` is `1Gi`, the
//! number 2 is `"2"`.

const WRONG_FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_NUMBER: &str = "unable to parse numeric part of quantity";
const WRONG_SUFFIX: &str = "unable to parse quantity's suffix";

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
/// Nothing is smaller.
const NANO: i32 = -9;

/// The parts of a quantity's text.
struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    suffix: &'t str,
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
    Ok(Parts { negative, whole: whole.trim_start_matches('0'), fraction, suffix })
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

/// Whether Go keeps the text of a quantity it reads, because it looks canonical.
fn is_kept(parts: &Parts<'_>, format: Format, exponent: i32) -> bool {
    let digits = parts.whole.len().max(1) + parts.fraction.len();
    let whole = if parts.whole.is_empty() { "0" } else { parts.whole };
    let value = || format!("{whole}{}", parts.fraction).parse::<i64>().ok();
    if format == Format::Binary {
        // 18 digits fit an int64; binary suffixes take some of them
        let left = 15_i64 - i64::try_from(whole.len()).unwrap_or(i64::MAX) - i64::from(exponent * 3 / 10) - 1;
        let fits = |value: &i64| value.checked_shl(exponent.unsigned_abs()).is_some_and(|shifted| shifted >= 0);
        return parts.fraction.is_empty() && left >= 0 && value().filter(fits).is_some_and(|value| value & 7 != 0);
    }
    let scale = exponent - i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX);
    let ends_in_thousands = match parts.fraction.len() {
        0 => whole.ends_with("000"),
        1 | 2 => format!("{whole}{}", parts.fraction).ends_with("000"),
        _ => parts.fraction.ends_with("000"),
    };
    digits <= 18 && scale >= NANO && scale % 3 == 0 && !ends_in_thousands && !whole.starts_with('0')
}

/// What Go writes for a quantity it read; `None` for the text itself.
///
/// # Errors
/// Go's text for what is none.
pub(super) fn canonical(text: &str) -> Result<Option<String>, &'static str> {
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok((text != trimmed).then(|| trimmed.to_owned()));
    }
    let parts = split(trimmed)?;
    let (format, exponent) = interpret(parts.suffix)?;
    if parts.whole.is_empty() && parts.fraction.is_empty() && !trimmed.contains('0') {
        return Err(WRONG_NUMBER);
    }
    if is_kept(&parts, format, exponent) {
        return Ok((text != trimmed).then(|| trimmed.to_owned()));
    }
    let written = write(&parts, format, exponent).ok_or(WRONG_NUMBER)?;
    Ok((written != text).then_some(written))
}

fn write(parts: &Parts<'_>, format: Format, exponent: i32) -> Option<String> {
    let mut mantissa: i128 = format!("0{}{}", parts.whole, parts.fraction).parse().ok()?;
    let mut power = -i32::try_from(parts.fraction.len()).ok()?;
    if format == Format::Binary {
        mantissa = mantissa.checked_mul(1_i128.checked_shl(exponent.unsigned_abs())?)?;
    } else {
        power += exponent;
    }
    while power < NANO {
        mantissa = mantissa / 10 + i128::from(mantissa % 10 != 0);
        power += 1;
    }
    if mantissa == 0 {
        return Some("0".to_owned());
    }
    while mantissa % 10 == 0 {
        mantissa /= 10;
        power += 1;
    }
    let sign = if parts.negative { "-" } else { "" };
    if format == Format::Binary
        && power >= 0
        && let Some(value) = 10_i128.checked_pow(power.unsigned_abs()).and_then(|tens| mantissa.checked_mul(tens))
        && value >= 1024
    {
        let value = value.min(i128::from(i64::MAX));
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
