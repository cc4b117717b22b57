//! The schedule of a CronJob, read as `github.com/robfig/cron` reads it.

/// What is wrong with a schedule, in that parser's words.
pub(super) fn problem(schedule: &str) -> Option<String> {
    parse(schedule).err()
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field: least, greatest, and names beginning with the least.
struct Bounds(u64, u64, &'static [&'static str]);

const FIELDS: [Bounds; 5] =
    [Bounds(0, 59, &[]), Bounds(0, 23, &[]), Bounds(1, 31, &[]), Bounds(1, 12, &MONTHS), Bounds(0, 6, &DAYS)];

fn parse(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let zoned = schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=");
    let rest = if zoned { schedule.split_once(' ').map_or("", |(_, rest)| rest).trim() } else { schedule };
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (field, bounds) in fields.iter().zip(&FIELDS) {
        field.split(',').filter(|part| !part.is_empty()).try_for_each(|part| range(part, bounds))?;
    }
    Ok(())
}

fn descriptor(text: &str) -> Result<(), String> {
    match text {
        "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly" => Ok(()),
        _ => match text.strip_prefix("@every ") {
            Some(duration) if is_duration(duration) => Ok(()),
            Some(duration) => Err(format!("failed to parse duration {text}: time: invalid duration {duration:?}")),
            None => Err(format!("unrecognized descriptor: {text}")),
        },
    }
}

/// Go's form of durations: `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.trim_start_matches(['+', '-']);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
        if after.len() == rest.len() {
            return false;
        }
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        let Some(unit) = units.iter().find(|unit| after.starts_with(**unit)) else { return rest == "0" };
        rest = &after[unit.len()..];
    }
    true
}

fn range(text: &str, Bounds(least, most, names): &Bounds) -> Result<(), String> {
    let (interval, step) = text.split_once('/').map_or((text, None), |(interval, step)| (interval, Some(step)));
    let ends: Vec<&str> = interval.split('-').collect();
    let number_or_name = |text: &str| match names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
        Some(index) => Ok(least + index as u64),
        None => number(text),
    };
    let (start, mut end) = match ends.as_slice() {
        ["*" | "?", ..] => (*least, *most),
        [start] => {
            let start = number_or_name(start)?;
            (start, start)
        }
        [start, end] => (number_or_name(start)?, number_or_name(end)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match step {
        None => 1,
        Some(step) if step.contains('/') => return Err(format!("too many slashes: {text}")),
        Some(step) => {
            if ends.len() == 1 {
                end = *most;
            }
            number(step)?
        }
    };
    if start < *least {
        return Err(format!("beginning of range ({start}) below minimum ({least}): {text}"));
    }
    if end > *most {
        return Err(format!("end of range ({end}) above maximum ({most}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn number(text: &str) -> Result<u64, String> {
    let parsed: i64 = text.parse().map_err(|_| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let problem = if whole { "value out of range" } else { "invalid syntax" };
        format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {problem}")
    })?;
    u64::try_from(parsed).map_err(|_| format!("negative number ({parsed}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn schedules_are_judged_in_the_words_of_the_parser() {
        let schedules = [
            "* * * * *",
            "*/5 0-23/2 1,15 jan-MAR mon",
            "@hourly",
            "@every 1h30m",
            "TZ=UTC 0 0 * * *",
            "never",
            "",
            "60 * * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "x * * * *",
            "-1 * * * *",
            "@sometimes",
            "@every soon",
        ];
        let judged: Vec<String> = schedules
            .iter()
            .map(|schedule| format!("{schedule:?}: {}", problem(schedule).unwrap_or_default()))
            .collect();
        insta::assert_snapshot!(judged.join("\n"));
    }
}
