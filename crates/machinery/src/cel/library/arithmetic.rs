//! Operators that the interpreter does not have as cel-go does: over the bounds of times, durations and numbers, of bytes,
//! and of numbers of different types where `dyn()` lets them meet. Laced expressions call them in place of the operators
//! ([`metering::lace`](crate::cel::metering::lace)).

use std::sync::Arc;

use chrono::TimeDelta;
use kube_cel::cel::{Context, ExecutionError, Value as CelValue, objects::OptionalValue};

use super::{Outcome, conversion::overflow, list::add_durations, time::later};

/// `@subtract(left, right)` is `left - right`.
pub(crate) const SUBTRACT: &str = "@subtract";
/// `@negate(value)` is `-value`.
pub(crate) const NEGATE: &str = "@negate";
/// `@equal(left, right)` is `left == right` where at least one of both is `dyn` or optional.
pub(crate) const EQUAL: &str = "@equal";
/// `@unequal(left, right)` is its opposite.
pub(crate) const UNEQUAL: &str = "@unequal";
/// `@contained(item, list)` is `item in list` where the item is `dyn`.
pub(crate) const CONTAINED: &str = "@contained";

/// Adds the functions to a library.
pub(super) fn add_functions(context: &mut Context<'static>) {
    context.add_function(SUBTRACT, |left: CelValue, right: CelValue| -> Outcome {
        let (negated, difference) = match (&left, &right) {
            (CelValue::Timestamp(left), CelValue::Timestamp(right)) => {
                let difference = left.signed_duration_since(right);
                return in_nanoseconds(difference).map(CelValue::Duration);
            }
            (CelValue::Timestamp(time), CelValue::Duration(by)) => return later(time, -*by),
            (CelValue::Duration(left), CelValue::Duration(right)) => (-*right, *left),
            _ => return left - right,
        };
        add_durations(difference, negated).map(CelValue::Duration)
    });
    context.add_function(NEGATE, |value: CelValue| -> Outcome {
        match value {
            CelValue::Int(number) => number.checked_neg().map(CelValue::Int).ok_or_else(overflow),
            CelValue::Float(number) => Ok(CelValue::Float(-number)),
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
    context
        .add_function(EQUAL, |left: CelValue, right: CelValue| -> Outcome { Ok(CelValue::Bool(equal(&left, &right))) });
    context.add_function(UNEQUAL, |left: CelValue, right: CelValue| -> Outcome {
        Ok(CelValue::Bool(!equal(&left, &right)))
    });
    context.add_function(CONTAINED, |item: CelValue, list: CelValue| -> Outcome {
        match list {
            CelValue::List(items) => Ok(CelValue::Bool(items.iter().any(|other| equal(&item, other)))),
            other => Err(ExecutionError::UnsupportedBinaryOperator("in", item, other)),
        }
    });
}

/// `left + right`.
///
/// # Errors
/// Where there is no such sum, or it is out of bounds.
pub(crate) fn add(left: CelValue, right: CelValue) -> Outcome {
    match (&left, &right) {
        (CelValue::Bytes(one), CelValue::Bytes(other)) => {
            Ok(CelValue::Bytes(Arc::new([&one[..], &other[..]].concat())))
        }
        (CelValue::Timestamp(time), CelValue::Duration(by)) | (CelValue::Duration(by), CelValue::Timestamp(time)) => {
            later(time, *by)
        }
        (CelValue::Duration(one), CelValue::Duration(other)) => add_durations(*one, *other).map(CelValue::Duration),
        _ => left + right,
    }
}

fn in_nanoseconds(difference: TimeDelta) -> Result<TimeDelta, ExecutionError> {
    if difference.num_nanoseconds().is_some() { Ok(difference) } else { Err(overflow()) }
}

/// Whether two values are equal; numbers are by what they stand for.
#[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "so cel-go compares them")]
fn equal(left: &CelValue, right: &CelValue) -> bool {
    match (left, right) {
        (CelValue::Int(one), CelValue::Float(other)) | (CelValue::Float(other), CelValue::Int(one)) => {
            *one as f64 == *other
        }
        (CelValue::UInt(one), CelValue::Float(other)) | (CelValue::Float(other), CelValue::UInt(one)) => {
            *one as f64 == *other
        }
        (CelValue::Int(one), CelValue::UInt(other)) | (CelValue::UInt(other), CelValue::Int(one)) => {
            u64::try_from(*one) == Ok(*other)
        }
        (CelValue::Opaque(one), CelValue::Opaque(other)) => {
            match (one.downcast_ref::<OptionalValue>(), other.downcast_ref::<OptionalValue>()) {
                (Some(one), Some(other)) => match (one.value(), other.value()) {
                    (Some(one), Some(other)) => equal(one, other),
                    (one, other) => one.is_none() && other.is_none(),
                },
                _ => left == right,
            }
        }
        _ => left == right,
    }
}
