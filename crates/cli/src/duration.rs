//! Durations on the command line: `90s`, `10m`, `8h`, `2d`, `1h30m`.

use std::str::FromStr;

/// A length of time as users write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duration(pub std::time::Duration);

/// Why a text is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration; write for example 90s, 10m, 8h or 1h30m")]
pub struct ParseDurationError(String);

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDurationError(text.to_owned());
        let mut seconds: u64 = 0;
        let mut digits = String::new();
        for character in text.chars() {
            if character.is_ascii_digit() {
                digits.push(character);
                continue;
            }
            let unit = match character {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86400,
                _ => return Err(error()),
            };
            let number: u64 = digits.parse().map_err(|_| error())?;
            seconds = number.checked_mul(unit).and_then(|part| seconds.checked_add(part)).ok_or_else(error)?;
            digits.clear();
        }
        if text.is_empty() || !digits.is_empty() {
            return Err(error());
        }
        Ok(Self(std::time::Duration::from_secs(seconds)))
    }
}

impl std::fmt::Display for Duration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return formatter.write_str("0s");
        }
        for (unit, seconds) in [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)] {
            if rest >= seconds {
                write!(formatter, "{}{unit}", rest / seconds)?;
                rest %= seconds;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed_alike() {
        for text in ["0s", "90s", "10m", "8h", "1h30m", "2d"] {
            let parsed: Duration = text.parse().unwrap();
            assert_eq!(parsed, parsed.to_string().parse().unwrap());
        }
        assert_eq!("1h30m".parse::<Duration>().unwrap().0.as_secs(), 5400);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "10", "m", "1x", "-1s", "99999999999999999999d", "5m3"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
