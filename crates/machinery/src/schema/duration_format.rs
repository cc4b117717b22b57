//! The format `duration`: as Go's `time.ParseDuration` reads it, or any text with amounts of a unit in it (`1 hour 5 minutes`).

use std::sync::LazyLock;

use regex::Regex;

/// Units in words with their nanoseconds. A unit may go on after the last word of its row.
const UNITS: [(&[&str], i64); 8] = [
    (&["ns", "nano"], 1),
    (&["us", "µs", "micro"], 1_000),
    (&["ms", "milli"], 1_000_000),
    (&["s", "sec"], 1_000_000_000),
    (&["m", "min"], 60_000_000_000),
    (&["h", "hr", "hour"], 3_600_000_000_000),
    (&["d", "day"], 86_400_000_000_000),
    (&["w", "wk", "week"], 604_800_000_000_000),
];

static AMOUNT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"([0-9]+)[\t\n\x0c\r ]*([A-Za-zµ]+)").ok());

/// The nanoseconds of a duration in either form (`strfmt.ParseDuration`).
pub(crate) fn duration_nanoseconds(text: &str) -> Option<i64> {
    go_duration(text).or_else(|| worded_duration(text))
}

/// The nanoseconds of a duration such as `1h30m` or `-1.5s` (`time.ParseDuration`).
pub(crate) fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end =
            after.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(after.len());
        let unit: i128 = match &after[..unit_end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total += i128::from(whole) * unit + fraction_of(fraction, unit);
        // The smallest duration has no positive counterpart.
        if total > 1 << 63 {
            return None;
        }
        rest = &after[unit_end..];
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

/// The nanoseconds of the digits behind a point; more of them than matter are left out.
fn fraction_of(digits: &str, unit: i128) -> i128 {
    let digits = &digits[..digits.len().min(18)];
    let value: i128 = digits.parse().unwrap_or_default();
    let scale = u32::try_from(digits.len()).map_or(1, |places| 10_i128.pow(places));
    value * unit / scale
}

/// The sum of all amounts in a text, whatever else is in it. It overflows silently, as in the real server.
fn worded_duration(text: &str) -> Option<i64> {
    let mut total: Option<i64> = None;
    for amount in AMOUNT.as_ref()?.captures_iter(text) {
        let number: i64 = amount[1].parse().ok()?;
        let unit = amount[2].to_lowercase();
        for (words, nanoseconds) in UNITS {
            for (place, word) in words.iter().enumerate() {
                if unit == *word || place + 1 == words.len() && unit.starts_with(word) {
                    total = Some(total.unwrap_or_default().wrapping_add(number.wrapping_mul(nanoseconds)));
                }
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_real_server_reads_them() {
        const HOUR: i64 = 3_600_000_000_000;
        for (text, nanoseconds) in [
            ("0", 0),
            ("-1.5h", -HOUR / 2 * 3),
            ("+.5h1m", HOUR / 2 + HOUR / 60),
            ("1.h", HOUR),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("0.100000000000000000000h", HOUR / 10),
            ("1d2h", 26 * HOUR),
            ("1 hour 5 minutes", HOUR + HOUR / 12),
            ("P1W", 7 * 24 * HOUR),
            ("PT1.5H", 5 * HOUR),
            ("p1M", HOUR / 60),
            ("3 µs", 3_000),
            ("3000000h", HOUR.wrapping_mul(3_000_000)),
        ] {
            assert_eq!(duration_nanoseconds(text), Some(nanoseconds), "{text}");
        }
        for bad in ["", "-", "1", ".h", "5 lightyears", "h", "99999999999999999999 h", "1h 99999999999999999999x"] {
            assert_eq!(duration_nanoseconds(bad), None, "{bad}");
        }
        assert_eq!(go_duration("1d2h"), None);
        assert_eq!(go_duration("9223372036854775808ns"), None);
    }
}
