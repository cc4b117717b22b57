//! Conversions between types (cel-go's `common/types`): `bool()`, `int()`, `uint()`, `duration()`, `timestamp()`.

use chrono::{DateTime, Duration};
use kube_cel::cel::{Context, ExecutionError, Value as CelValue, extractors::This};

use super::{Outcome, failed, time};
use crate::schema::rule_library::{call_base_function, type_name};

/// Adds the functions to a library, in the place of its own.
pub(super) fn add_functions(context: &mut Context<'static>) {
    context.add_function("bool", |This(value): This<CelValue>| -> Outcome {
        match &value {
            CelValue::Bool(_) => Ok(value),
            CelValue::String(text) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(CelValue::Bool(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(CelValue::Bool(false)),
                _ => Err(inconvertible(&value, "bool")),
            },
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
    context.add_function("int", |This(value): This<CelValue>| -> Outcome {
        match &value {
            CelValue::Timestamp(time) => Ok(CelValue::Int(time.timestamp())),
            CelValue::Duration(duration) => duration.num_nanoseconds().map(CelValue::Int).ok_or_else(overflow),
            CelValue::UInt(number) => i64::try_from(*number).map(CelValue::Int).map_err(|_| overflow()),
            CelValue::Float(number) => whole(*number).map(CelValue::Int).ok_or_else(overflow),
            CelValue::String(text) => text.parse().map(CelValue::Int).map_err(|_| inconvertible(&value, "int")),
            CelValue::Int(_) => Ok(value),
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
    context.add_function("uint", |This(value): This<CelValue>| -> Outcome {
        let overflow = || failed("unsigned integer overflow");
        match &value {
            CelValue::Int(number) => u64::try_from(*number).map(CelValue::UInt).map_err(|_| overflow()),
            CelValue::Float(number) => unsigned(*number).map(CelValue::UInt).ok_or_else(overflow),
            // A sign is read by Rust and not by Go.
            CelValue::String(text) if text.starts_with('+') => Err(inconvertible(&value, "uint")),
            CelValue::String(text) => text.parse().map(CelValue::UInt).map_err(|_| inconvertible(&value, "uint")),
            CelValue::UInt(_) => Ok(value),
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
    context.add_function("duration", |This(value): This<CelValue>| -> Outcome {
        match &value {
            CelValue::Duration(_) => Ok(value),
            CelValue::Int(_) => Err(inconvertible(&value, "google.protobuf.Duration")),
            _ => call_base_function("duration", vec![value]),
        }
    });
    context.add_function("timestamp", |This(value): This<CelValue>| -> Outcome {
        match &value {
            CelValue::Timestamp(_) => Ok(value),
            CelValue::Int(seconds) => {
                let time = DateTime::from_timestamp(*seconds, 0).map(|time| time.fixed_offset());
                Ok(CelValue::Timestamp(time.filter(time::is_in_range).ok_or_else(time::overflow)?))
            }
            CelValue::String(text) => {
                let time = time::read(text).ok_or_else(|| inconvertible(&value, "google.protobuf.Timestamp"))?;
                Ok(CelValue::Timestamp(Some(time).filter(time::is_in_range).ok_or_else(time::overflow)?))
            }
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
}

fn inconvertible(value: &CelValue, into: &str) -> ExecutionError {
    failed(format!("type conversion error from '{}' to '{into}'", type_name(value)))
}

pub(super) fn overflow() -> ExecutionError {
    failed("integer overflow")
}

/// The whole part of a number, where an int64 surely holds it (`doubleToInt64Checked`: the bounds themselves do not count).
#[expect(clippy::cast_possible_truncation, reason = "the bounds are looked at before")]
fn whole(number: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    (number > -BOUND && number < BOUND).then_some(number as i64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bounds are looked at before")]
fn unsigned(number: f64) -> Option<u64> {
    const BOUND: f64 = 18_446_744_073_709_551_616.0;
    (0.0..BOUND).contains(&number).then_some(number as u64)
}

/// The text of a duration: seconds, with what a double holds of their fraction (Go's `Duration.Seconds`).
#[expect(clippy::cast_precision_loss, reason = "so it is in Go")]
pub(crate) fn duration_text(duration: Duration) -> String {
    let seconds = duration.num_seconds() as f64 + f64::from(duration.subsec_nanos()) / 1e9;
    format!("{seconds}s")
}
