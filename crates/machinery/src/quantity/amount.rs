//! Quantities that are added up and written again: as in Go they keep the way the first of them was written.

use serde_json::Value;

use super::{Format, NANO, Quantity, canonical, read, written};

/// A quantity to calculate with. Equal amounts may be written differently.
#[derive(Clone, Debug)]
pub struct Amount {
    billionths: i128,
    format: Format,
    /// How it was written, until it changes.
    text: Option<String>,
}

impl Amount {
    /// Greater whole numbers are compared without their thousandths, which would not fit an int64.
    const GREATEST_IN_THOUSANDTHS: i64 = i64::MAX / 1000;

    /// A number of things.
    pub fn count(number: i64) -> Self {
        Self { billionths: i128::from(number) * Quantity::ONE, format: Format::Decimal, text: None }
    }

    /// The quantity a text or number stands for; `None` for what is none, or does not fit.
    pub fn of(value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let (_, format, _) = read(text.trim()).ok()?;
        let billionths = Quantity::read(&text)?.billionths();
        let text = canonical(&text).ok()?.unwrap_or(text);
        Some(Self { billionths, format, text: Some(text) })
    }

    /// The number without the way it is written.
    pub fn quantity(&self) -> Quantity {
        Quantity(self.billionths)
    }

    /// Whether this is nothing.
    pub fn is_zero(&self) -> bool {
        self.billionths == 0
    }

    /// This and another amount together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.changed_by(other, other.billionths)
    }

    /// This without another amount, which may leave less than nothing.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.changed_by(other, other.billionths.saturating_neg())
    }

    fn changed_by(&self, other: &Self, change: i128) -> Self {
        // Nothing has no way of being written of its own.
        let format = if self.is_zero() { other.format } else { self.format };
        Self { billionths: self.billionths.saturating_add(change), format, text: None }
    }

    /// Rounded up to a whole number.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        if self.billionths % Quantity::ONE == 0 {
            return self;
        }
        let whole = self.billionths.div_euclid(Quantity::ONE) + 1;
        Self { billionths: whole.saturating_mul(Quantity::ONE), format: self.format, text: None }
    }

    /// The number in thousandths, rounded up, where it and these others are small enough for it; else in whole numbers.
    pub fn comparable<const N: usize>(amounts: [Option<&Self>; N]) -> [i128; N] {
        let whole = |amount: Option<&Self>| amount.map_or(0, |amount| amount.quantity().whole());
        if amounts.iter().all(|amount| whole(*amount) <= Self::GREATEST_IN_THOUSANDTHS) {
            amounts.map(|amount| amount.map_or(0, Self::thousandths))
        } else {
            amounts.map(|amount| i128::from(whole(amount)))
        }
    }

    fn thousandths(&self) -> i128 {
        let unit = Quantity::ONE / 1000;
        (self.billionths.abs() + unit - 1) / unit * self.billionths.signum()
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.billionths == other.billionths
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.billionths.cmp(&other.billionths)
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(text) = &self.text {
            return formatter.write_str(text);
        }
        let mantissa = self.billionths.saturating_abs();
        // Every number of billionths that fits has a suffix to be written with.
        let text = written(self.billionths < 0, mantissa, NANO, self.format);
        formatter.write_str(text.as_deref().unwrap_or("0"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::of(&json!(text)).unwrap()
    }

    #[test]
    fn sums_are_written_as_the_first_that_is_something() {
        let sums = [
            ("0", "1Gi", "1Gi"),
            ("1Gi", "1G", "2073741824"),
            ("1G", "1Gi", "2073741824"),
            ("900m", "100m", "1"),
            ("1500m", "1", "2500m"),
            ("512Mi", "512Mi", "1Gi"),
            ("1e3", "1", "1001"),
            ("1e3", "1k", "2e3"),
        ];
        for (left, right, sum) in sums {
            assert_eq!(amount(left).plus(&amount(right)).to_string(), sum, "{left} + {right}");
        }
        assert_eq!(amount("1").minus(&amount("1500m")).to_string(), "-500m");
        assert_eq!(amount("100.5").rounded_up().to_string(), "101");
        assert_eq!(Amount::comparable([Some(&amount("1.0001")), None]), [1001, 0]);
    }

    proptest! {
        #[test]
        fn what_is_added_and_taken_away_is_the_same(
            left in "[0-9]{1,9}(|n|m|k|M|G|Ki|Mi|Gi|e3)", right in "[0-9]{1,9}(|n|m|k|M|G|Ki|Mi|Gi|e3)"
        ) {
            let (left, right) = (amount(&left), amount(&right));
            let back = left.plus(&right).minus(&right);
            prop_assert_eq!(&back, &left);
            prop_assert_eq!(amount(&back.to_string()), left);
        }
    }
}
