//! Maintenance windows: when Kogge may replace machines without being asked.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use kogge_api::kubernetes_cluster::{Day, MaintenanceWindow};

/// Whether `now` lies in the window, and if not, when it opens next. A window that cannot be read (unknown time zone)
/// is never open.
pub fn opens(window: &MaintenanceWindow, now: Timestamp) -> WindowState {
    let (Ok(zone), Some(begin), Some(end)) = (TimeZone::get(&window.timezone), time(&window.begin), time(&window.end))
    else {
        return WindowState::Closed { opens: None };
    };
    let today = now.to_zoned(zone.clone()).date();
    let mut next = None;
    // From yesterday, whose window may reach into today, to a week ahead.
    for offset in -1..=7_i64 {
        let Ok(day) = today.checked_add(offset.days()) else { continue };
        if !window.days.is_empty() && !window.days.iter().any(|allowed| weekday(*allowed) == day.weekday()) {
            continue;
        }
        let last = if end > begin { Ok(day) } else { day.tomorrow() };
        let (Ok(from), Ok(to)) = (
            day.to_datetime(begin).to_zoned(zone.clone()),
            last.and_then(|last| last.to_datetime(end).to_zoned(zone.clone())),
        ) else {
            continue;
        };
        if from.timestamp() <= now && now < to.timestamp() {
            return WindowState::Open;
        }
        if from.timestamp() > now && next.is_none() {
            next = Some(from.timestamp());
        }
    }
    WindowState::Closed { opens: next }
}

/// State of a maintenance window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// Changes may begin.
    Open,
    /// Changes wait.
    Closed {
        /// When the window opens next, if that can be told.
        opens: Option<Timestamp>,
    },
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}
