//! How results look to people: aligned tables and short times.

use crate::arguments::OutputFormat;
use crate::outcome::{CommandError, Exit};
use serde::Serialize;

/// Lays out rows in columns as wide as their widest cell, two spaces apart; the last column is not padded.
///
/// ```
/// let text = kogge::rendering::table(&["NAME", "PHASE"], &[vec!["shop".into(), "Ready".into()]]);
/// assert_eq!(text, "NAME  PHASE\nshop  Ready\n");
/// ```
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A document in the format asked for; `Table` calls `people`.
///
/// # Errors
/// Exit code 1 if the document cannot be serialised.
pub fn document<T: Serialize>(
    format: OutputFormat,
    value: &T,
    people: impl FnOnce() -> String,
) -> Result<String, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::new(Exit::Failed, format!("failed to print: {error}"));
    match format {
        OutputFormat::Table => Ok(people()),
        OutputFormat::Json => {
            serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| failed(&error))
        }
        OutputFormat::Yaml => serde_saphyr::to_string(value).map_err(|error| failed(&error)),
    }
}

/// Time since a moment, as kubectl shows ages: `5s`, `3m12s`, `2d3h`; `-` where it is not known.
pub fn age(since: Option<jiff::Timestamp>, now: jiff::Timestamp) -> String {
    let Some(since) = since else { return "-".into() };
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => format!("{minutes}m{}s", seconds % 60),
        600..10_800 => format!("{minutes}m"),
        10_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}
