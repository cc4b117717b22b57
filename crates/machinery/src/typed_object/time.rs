//! Times as `metav1.Time` and `metav1.MicroTime` read and write them: Go's `time.Parse` with RFC 3339.

use std::fmt::Write as _;

use jiff::Timestamp;

/// `time.RFC3339`.
const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
/// `metav1.RFC3339Micro`.
const MICROSECONDS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// What Go makes of a time it reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// It is written as it was read.
    Unchanged,
    /// The zero time, which is written as null.
    Zero,
    /// It is written like this.
    Changed(String),
}

/// Reads a time; the error is Go's text.
pub(super) fn parse(text: &str, micro: bool) -> Result<Parsed, String> {
    let parsed = Parser { all: text, rest: text, layout: if micro { MICROSECONDS } else { SECONDS } }.parse(micro)?;
    if parsed.year == 1 && parsed.is_start_of_year() && parsed.offset == 0 {
        return Ok(Parsed::Zero);
    }
    let is_written_so = text.len() == if micro { 27 } else { 20 } && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    if is_written_so && !text.contains(',') {
        return Ok(Parsed::Unchanged);
    }
    parsed.write(micro).map(Parsed::Changed).ok_or_else(|| error(text, ": year out of range"))
}

fn error(text: &str, message: &str) -> String {
    format!("parsing time {}{message}", quote(text))
}

struct Moment {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    /// Seconds east of UTC.
    offset: i32,
}

impl Moment {
    fn is_start_of_year(&self) -> bool {
        (self.month, self.day, self.hour, self.minute, self.second, self.nanosecond) == (1, 1, 0, 0, 0, 0)
    }

    fn write(&self, micro: bool) -> Option<String> {
        let local = jiff::civil::DateTime::new(
            self.year,
            self.month,
            self.day,
            self.hour,
            self.minute,
            self.second,
            self.nanosecond,
        );
        let offset = jiff::tz::Offset::from_seconds(self.offset).ok()?;
        let timestamp: Timestamp = offset.to_timestamp(local.ok()?).ok()?;
        let format = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
        Some(timestamp.strftime(format).to_string())
    }
}

/// Follows the layout element by element, as Go does, for the same errors.
struct Parser<'t> {
    all: &'t str,
    rest: &'t str,
    layout: &'static str,
}

impl Parser<'_> {
    fn parse(mut self, micro: bool) -> Result<Moment, String> {
        let year = match self.rest.as_bytes() {
            [b'0'..=b'9', ..] if self.rest.len() >= 4 => self.rest.get(..4).and_then(|text| text.parse::<i16>().ok()),
            _ => None,
        };
        let year = year.ok_or_else(|| self.cannot_parse("2006"))?;
        self.rest = &self.rest[4..];
        self.literal("-")?;
        let month = self.two_digits("01")?;
        if !(1..=12).contains(&month) {
            return Err(error(self.all, ": month out of range"));
        }
        self.literal("-")?;
        let day = self.two_digits("02")?;
        self.literal("T")?;
        let hour = self.hour()?;
        if hour > 23 {
            return Err(error(self.all, ": hour out of range"));
        }
        self.literal(":")?;
        let minute = self.two_digits("04")?;
        if minute > 59 {
            return Err(error(self.all, ": minute out of range"));
        }
        self.literal(":")?;
        let second = self.two_digits("05")?;
        if second > 59 {
            return Err(error(self.all, ": second out of range"));
        }
        let nanosecond = if micro { self.microseconds()? } else { self.fraction() };
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(error(self.all, &format!(": extra text: {}", quote(self.rest))));
        }
        if day < 1 || day > days_in(month, year) {
            return Err(error(self.all, ": day out of range"));
        }
        Ok(Moment { year, month, day, hour, minute, second, nanosecond, offset })
    }

    fn cannot_parse(&self, element: &str) -> String {
        format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(self.all),
            quote(self.layout),
            quote(self.rest),
            quote(element)
        )
    }

    fn literal(&mut self, text: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(text).ok_or_else(|| self.cannot_parse(text))?;
        Ok(())
    }

    fn two_digits(&mut self, element: &str) -> Result<i8, String> {
        let number = match self.rest.as_bytes() {
            [tens @ b'0'..=b'9', units @ b'0'..=b'9', ..] => Some((tens - b'0') * 10 + units - b'0'),
            _ => None,
        };
        let number = number.and_then(|number| i8::try_from(number).ok()).ok_or_else(|| self.cannot_parse(element))?;
        self.rest = &self.rest[2..];
        Ok(number)
    }

    /// Go takes hours of one digit.
    fn hour(&mut self) -> Result<i8, String> {
        match self.rest.as_bytes() {
            [b'0'..=b'9', b'0'..=b'9', ..] => self.two_digits("15"),
            [digit @ b'0'..=b'9', ..] => {
                let hour = i8::try_from(digit - b'0').unwrap_or_default();
                self.rest = &self.rest[1..];
                Ok(hour)
            }
            _ => Err(self.cannot_parse("15")),
        }
    }

    /// Six digits after a point.
    fn microseconds(&mut self) -> Result<i32, String> {
        let digits = match self.rest.as_bytes() {
            [b'.' | b',', digits @ ..] if digits.len() >= 6 => &digits[..6],
            _ => return Err(self.cannot_parse(".000000")),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(self.cannot_parse(".000000"));
        }
        let micros = digits.iter().fold(0_i32, |number, digit| number * 10 + i32::from(digit - b'0'));
        self.rest = &self.rest[7..];
        Ok(micros * 1000)
    }

    /// A fraction the layout does not have; nobody sees it again.
    fn fraction(&mut self) -> i32 {
        if let [b'.' | b',', b'0'..=b'9', ..] = self.rest.as_bytes() {
            let end = self.rest[1..].find(|character: char| !character.is_ascii_digit());
            self.rest = end.map_or("", |end| &self.rest[1 + end..]);
        }
        0
    }

    fn offset(&mut self) -> Result<i32, String> {
        const ELEMENT: &str = "Z07:00";
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let [sign, h1, h2, b':', m1, m2, ..] = *self.rest.as_bytes() else { return Err(self.cannot_parse(ELEMENT)) };
        let number = |tens: u8, units: u8| {
            (tens.is_ascii_digit() && units.is_ascii_digit())
                .then(|| i32::from(tens - b'0') * 10 + i32::from(units - b'0'))
        };
        let (Some(hours), Some(minutes)) = (number(h1, h2), number(m1, m2)) else {
            return Err(self.cannot_parse(ELEMENT));
        };
        if hours > 24 {
            return Err(error(self.all, ": time zone offset hour out of range"));
        }
        if minutes > 60 {
            return Err(error(self.all, ": time zone offset minute out of range"));
        }
        let seconds = (hours * 60 + minutes) * 60;
        let offset = match sign {
            b'+' => seconds,
            b'-' => -seconds,
            _ => return Err(self.cannot_parse(ELEMENT)),
        };
        self.rest = &self.rest[6..];
        Ok(offset)
    }
}

fn days_in(month: i8, year: i16) -> i8 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Quotes as Go's `time` does.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if !character.is_ascii() || character < ' ' {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(quoted, "\\x{byte:02x}");
            }
        } else {
            if matches!(character, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(character);
        }
    }
    quoted.push('"');
    quoted
}
