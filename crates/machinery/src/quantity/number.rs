//! Quantities as expressions of rules calculate with them (`resource.Quantity` of apimachinery): as an int64 with a power
//! of ten as long as that is enough, which is what they call an integer if there is nothing behind its point.

use std::cmp::Ordering;

use super::{Format, NANO, Parts, is_small, number, read};

/// A quantity, as Go holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    /// An int64 and the power of ten it is to be multiplied with.
    Small { value: i64, power: i32 },
    /// Anything else: digits and the power of ten they are to be multiplied with.
    Large { digits: i128, power: i32 },
}

impl Number {
    /// A whole number.
    pub(crate) fn whole(value: i64) -> Self {
        Self::Small { value, power: 0 }
    }

    /// Reads a quantity.
    ///
    /// # Errors
    /// Go's text for what is none, or what is too large to calculate with here (beyond 38 digits).
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        let (parts, format, exponent) = read(text)?;
        if let Some(small) = small(&parts, format, exponent) {
            return Ok(small);
        }
        let (digits, power) = number(&parts, format, exponent, NANO).ok_or(super::WRONG_NUMBER)?;
        // Go rounds it to billionths, and holds it in these from then on.
        let digits = u32::try_from(power - NANO).ok().and_then(|tens| digits.checked_mul(10_i128.checked_pow(tens)?));
        let digits = digits.ok_or(super::WRONG_NUMBER)?;
        Ok(Self::Large { digits: if parts.negative { -digits } else { digits }, power: NANO })
    }

    /// The int64 this is, if it is held as one.
    pub(crate) fn as_integer(self) -> Option<i64> {
        match self {
            Self::Small { value, power } => value.checked_mul(10_i64.checked_pow(u32::try_from(power).ok()?)?),
            Self::Large { .. } => None,
        }
    }

    /// As a number that may be inexact.
    #[expect(clippy::cast_precision_loss, reason = "so it is in Go")]
    pub(crate) fn as_approximate_float(self) -> f64 {
        let (base, power) = match self {
            Self::Small { value, power } => (value as f64, power),
            Self::Large { digits, power } => (digits as f64, power),
        };
        // The power is read, not calculated, so that it is the nearest number there is.
        if power == 0 { base } else { base * format!("1e{power}").parse().unwrap_or(f64::INFINITY) }
    }

    /// -1, 0 or 1.
    pub(crate) fn sign(self) -> i64 {
        let (digits, _) = self.parts();
        i64::try_from(digits.signum()).unwrap_or_default()
    }

    fn parts(self) -> (i128, i32) {
        match self {
            Self::Small { value, power } => (i128::from(value), power),
            Self::Large { digits, power } => (digits, power),
        }
    }

    /// Both by the lower power of ten; digits that do not fit are as large as can be.
    fn aligned(self, other: Self) -> (i128, i128, i32) {
        let ((left, left_power), (right, right_power)) = (self.parts(), other.parts());
        let power = left_power.min(right_power);
        let by = |digits: i128, own: i32| {
            let tens = 10_i128.checked_pow((own - power).unsigned_abs()).unwrap_or(i128::MAX);
            digits.saturating_mul(tens)
        };
        (by(left, left_power), by(right, right_power), power)
    }

    /// Which of both is more.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        let (left, right, _) = self.aligned(other);
        left.cmp(&right)
    }

    /// Both together.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        let (left, right, power) = self.aligned(other);
        let sum = left.saturating_add(right);
        match (self, other) {
            (_, Self::Small { value: 0, .. }) => self,
            (Self::Small { value: 0, .. }, _) => other,
            (Self::Small { .. }, Self::Small { .. }) => {
                i64::try_from(sum).map_or(Self::Large { digits: sum, power }, |value| Self::Small { value, power })
            }
            _ => Self::Large { digits: sum, power },
        }
    }

    /// This without the other.
    #[must_use]
    pub(crate) fn minus(self, other: Self) -> Self {
        self.plus(match other {
            Self::Small { value, power } => match value.checked_neg() {
                Some(value) => Self::Small { value, power },
                None => Self::Large { digits: -i128::from(value), power },
            },
            Self::Large { digits, power } => Self::Large { digits: digits.saturating_neg(), power },
        })
    }
}

/// The number, where Go reads it as an int64.
fn small(parts: &Parts<'_>, format: Format, exponent: i32) -> Option<Number> {
    if !is_small(parts, format, exponent) {
        return None;
    }
    let value: i64 = format!("0{}{}", parts.whole, parts.fraction).parse().ok()?;
    let (factor, power) = match format {
        Format::Binary => (1_i64.checked_shl(exponent.unsigned_abs())?, 0),
        _ => (1, exponent - i32::try_from(parts.fraction.len()).ok()?),
    };
    let value = value.checked_mul(factor)?;
    Some(Number::Small { value: if parts.negative { -value } else { value }, power })
}
