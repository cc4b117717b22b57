//! Ranges of sizes and costs (cel-go 0.26, `checker/cost.go`).

/// From the least to the most; calculations stay at the largest number instead of overflowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Estimate {
    /// What nothing is known of.
    pub(crate) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };
    pub(crate) const NOTHING: Self = Self::fixed(0);

    pub(crate) const fn fixed(number: u64) -> Self {
        Self { min: number, max: number }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Rounded up.
    pub(crate) fn times_factor(self, factor: f64) -> Self {
        Self { min: times_factor(self.min, factor), max: times_factor(self.max, factor) }
    }

    /// What holds both.
    pub(crate) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    pub(crate) fn sum(all: &[Self]) -> Self {
        all.iter().fold(Self::NOTHING, |sum, one| sum.plus(*one))
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the real server calculates with the same loss, and a float that is too large becomes the largest number"
)]
fn times_factor(number: u64, factor: f64) -> u64 {
    (number as f64 * factor).ceil() as u64
}
