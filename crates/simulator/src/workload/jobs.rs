//! Jobs and CronJobs.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Value, json};

use super::{
    event::Note,
    plane_state::{PlaneDecision, PlaneState, Resource, controller, is_finished, pod_from},
};
use crate::{
    condition::seconds,
    object::{Object, joined_name, name_suffix},
};

/// Moves every Job and CronJob one step.
pub fn reconcile(state: &PlaneState, now: Timestamp, decision: &mut PlaneDecision) {
    for job in state.all(Resource::Job).iter().filter(|it| !it.deleting()) {
        run(state, job, now, decision);
    }
    for cron_job in state.all(Resource::CronJob).iter().filter(|it| !it.deleting() && !it.flag("/spec/suspend")) {
        schedule(state, cron_job, now, decision);
    }
}

fn run(state: &PlaneState, job: &Object, now: Timestamp, decision: &mut PlaneDecision) {
    if job.is_true("Complete") {
        if let (Some(lifetime), Some(ended)) =
            (job.number("/spec/ttlSecondsAfterFinished"), job.time("/status/completionTime"))
        {
            let at = ended.saturating_add(SignedDuration::from_secs(lifetime)).unwrap_or(now);
            if at <= now {
                decision.delete(Resource::Job, job);
            } else {
                decision.wake(at);
            }
        }
        return;
    }
    if job.flag("/spec/suspend") {
        return;
    }
    let pods: Vec<&Object> = state.pods_of(job).collect();
    let succeeded = pods.iter().filter(|it| it.text("/status/phase") == "Succeeded").count();
    let running: Vec<&Object> = pods.iter().copied().filter(|it| !is_finished(it) && !it.deleting()).collect();
    let active = running.len();
    let parallelism = usize::try_from(job.number("/spec/parallelism").unwrap_or(1)).unwrap_or(1);
    let completions = job.number("/spec/completions").and_then(|it| usize::try_from(it).ok()).unwrap_or(1);
    let started = job.time("/status/startTime").unwrap_or(now);
    let mut status = json!({
        "startTime": seconds(started), "active": active, "succeeded": succeeded, "failed": 0,
        "ready": running.iter().filter(|it| it.is_true("Ready")).count(), "terminating": 0, "uncountedTerminatedPods": {},
    });
    if succeeded >= completions {
        status["completionTime"] = json!(seconds(now));
        let condition = |name: &str| {
            json!({
                "type": name, "status": "True", "reason": "CompletionsReached",
                "message": "Reached expected number of succeeded pods", "lastProbeTime": seconds(now),
                "lastTransitionTime": seconds(now),
            })
        };
        status["conditions"] = json!([condition("SuccessCriteriaMet"), condition("Complete")]);
        decision.note(Resource::Job, job, &Note::normal("job-controller", "Completed", "Job completed"), now);
    } else {
        let missing = parallelism.min(completions - succeeded).saturating_sub(active);
        let indexed = job.text("/spec/completionMode") == "Indexed";
        for index in 0..missing {
            let number = pods.len() + index;
            let name = joined_name(job.name(), &name_suffix(&[job.uid(), &number.to_string()]));
            let mut pod = pod_from(job.at("/spec/template"), Resource::Job, job, &name);
            pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = json!(job.name());
            pod["metadata"]["labels"]["job-name"] = json!(job.name());
            if indexed {
                pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] = json!(number.to_string());
            }
            let message = format!("Created pod: {name}");
            decision.note(Resource::Job, job, &Note::normal("job-controller", "SuccessfulCreate", message), now);
            decision.create.push(pod);
        }
    }
    decision.status(Resource::Job, job, &status);
}

fn schedule(state: &PlaneState, cron_job: &Object, now: Timestamp, decision: &mut PlaneDecision) {
    let Some(schedule) = Schedule::parse(cron_job.text("/spec/schedule")) else { return };
    let zone = TimeZone::get(cron_job.text("/spec/timeZone")).unwrap_or(TimeZone::UTC);
    let last = cron_job.time("/status/lastScheduleTime").unwrap_or_else(|| cron_job.created());
    let Some(next) = schedule.next_after(last, &zone) else { return };
    let jobs: Vec<&Object> = state.all(Resource::Job).iter().filter(|it| it.owned_by(cron_job.uid())).collect();
    let active: Vec<Value> = jobs
        .iter()
        .filter(|it| !it.is_true("Complete"))
        .map(|it| json!({"apiVersion": "batch/v1", "kind": "Job", "namespace": it.namespace(), "name": it.name(), "uid": it.uid()}))
        .collect();
    let mut status = json!({"active": active});
    if next <= now {
        // After a long sleep only the latest missed run is made up for.
        let mut due = next;
        for _ in 0..100 {
            match schedule.next_after(due, &zone) {
                Some(later) if later <= now => due = later,
                _ => break,
            }
        }
        status["lastScheduleTime"] = json!(seconds(due));
        if cron_job.text("/spec/concurrencyPolicy") != "Forbid" || active.is_empty() {
            let template = cron_job.at("/spec/jobTemplate");
            let name = joined_name(cron_job.name(), &(due.as_second() / 60).to_string());
            let note = Note::normal("cronjob-controller", "SuccessfulCreate", format!("Created job {name}"));
            decision.note(Resource::CronJob, cron_job, &note, now);
            decision.create.push(json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {
                    "namespace": cron_job.namespace(), "name": name,
                    "labels": template["metadata"]["labels"],
                    "annotations": {"batch.kubernetes.io/cronjob-scheduled-timestamp": seconds(due)},
                    "ownerReferences": [controller(Resource::CronJob, cron_job)],
                },
                "spec": template["spec"],
            }));
        }
        if let Some(later) = schedule.next_after(due, &zone) {
            decision.wake(later);
        }
    } else {
        decision.wake(next);
    }
    let keep = usize::try_from(cron_job.number("/spec/successfulJobsHistoryLimit").unwrap_or(3)).unwrap_or(3);
    let mut done: Vec<&&Object> = jobs.iter().filter(|it| it.is_true("Complete")).collect();
    done.sort_by_key(|it| it.created());
    for job in &done[..done.len().saturating_sub(keep)] {
        if !job.deleting() {
            let note = Note::normal("cronjob-controller", "SuccessfulDelete", format!("Deleted job {}", job.name()));
            decision.note(Resource::CronJob, cron_job, &note, now);
        }
        decision.delete(Resource::Job, job);
    }
    // A job that has ended since the last look.
    for was in cron_job.list("/status/active") {
        if let Some(job) = jobs.iter().find(|it| it.uid() == was["uid"] && it.is_true("Complete")) {
            let message = format!("Saw completed job: {}, condition: Complete", job.name());
            decision.note(
                Resource::CronJob,
                cron_job,
                &Note::normal("cronjob-controller", "SawCompletedJob", message),
                now,
            );
        }
    }
    decision.status(Resource::CronJob, cron_job, &status);
}

/// A cron schedule: minutes, hours, days, months and weekdays as bit sets.
struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether days and weekdays are both restricted: then one of them is enough.
    either_day: bool,
}

impl Schedule {
    fn parse(text: &str) -> Option<Self> {
        let text = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let mut week = set(weekdays, 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"])?;
        // 7 is Sunday as well.
        week |= (week >> 7) & 1;
        let names = ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        Some(Self {
            minutes: set(minutes, 0, 59, &[])?,
            hours: set(hours, 0, 23, &[])?,
            days: set(days, 1, 31, &[])?,
            months: set(months, 1, 12, &names)?,
            weekdays: week,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        })
    }

    fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = after.to_zoned(zone.clone()).datetime();
        let mut at =
            DateTime::new(start.year(), start.month(), start.day(), start.hour(), start.minute(), 0, 0).ok()?;
        at = at.checked_add(jiff::Span::new().minutes(1)).ok()?;
        let has = |set: u64, value: i8| u32::try_from(value).is_ok_and(|value| set >> value & 1 == 1);
        // Five years cover every leap day; days that do not fit are skipped as a whole.
        for _ in 0..(366 * 5 + 24 * 60 * 2) {
            let day = has(self.days, at.day());
            let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
            let fits = if self.either_day { day || weekday } else { day && weekday };
            if !(has(self.months, at.month()) && fits) {
                at = at.date().tomorrow().ok()?.at(0, 0, 0, 0);
            } else if has(self.hours, at.hour()) && has(self.minutes, at.minute()) {
                return zone.to_timestamp(at).ok();
            } else {
                at = at.checked_add(jiff::Span::new().minutes(1)).ok()?;
            }
        }
        None
    }
}

fn set(text: &str, low: u32, high: u32, names: &[&str]) -> Option<u64> {
    let number = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let named = names.iter().position(|it| !it.is_empty() && *it == lower).and_then(|it| u32::try_from(it).ok());
        named.or_else(|| text.parse().ok()).filter(|it| (low..=high).contains(it))
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) =
            part.split_once('/').map_or(Some((part, 1)), |(range, step)| Some((range, step.parse::<usize>().ok()?)))?;
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if range == "*" || range == "?" => (low, high),
            None if part.contains('/') => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        if step == 0 || from > to {
            return None;
        }
        for value in (from..=to).step_by(step) {
            bits |= 1 << value;
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*/5 * * * *", "2026-03-01T10:02:30Z", Some("2026-03-01T10:05:00Z"))]
    #[case("0 3 * * mon-fri", "2026-03-06T04:00:00Z", Some("2026-03-09T03:00:00Z"))]
    #[case("30 2 29 2 *", "2026-03-01T00:00:00Z", Some("2028-02-29T02:30:00Z"))]
    #[case("@monthly", "2026-12-31T23:59:00Z", Some("2027-01-01T00:00:00Z"))]
    #[case("0 0 31 2 *", "2026-01-01T00:00:00Z", None)]
    #[case("60 * * * *", "2026-01-01T00:00:00Z", None)]
    #[case("*/0 * * * *", "2026-01-01T00:00:00Z", None)]
    #[case("nonsense", "2026-01-01T00:00:00Z", None)]
    fn a_schedule_names_its_next_time(#[case] text: &str, #[case] after: &str, #[case] next: Option<&str>) {
        let found = Schedule::parse(text).and_then(|it| it.next_after(after.parse().unwrap(), &TimeZone::UTC));
        assert_eq!(found.map(|it| it.to_string()).as_deref(), next);
    }
}
