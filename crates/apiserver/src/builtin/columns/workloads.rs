//! Deployments, sets and jobs.

use kogge_machinery::table::human_duration;
use serde_json::{Value, json};

use super::{
    Printer, age, at, boolean, containers, has_condition, integer, is_being_deleted, labels, list, selector, since,
    text, text_or,
};

const CONTAINERS: &str = "/spec/template/spec/containers";

pub(super) fn printer(group: &str, plural: &str) -> Option<Printer> {
    Some(match (group, plural) {
        ("apps", "deployments") => Printer {
            columns: &["Ready", "Up-to-date", "Available", "Age", "+Containers", "+Images", "+Selector"],
            cells: |object, now| {
                let [names, images] = containers(object, CONTAINERS);
                let ready = integer(object, "/status/readyReplicas");
                vec![
                    format!("{ready}/{}", integer(object, "/spec/replicas")).into(),
                    integer(object, "/status/updatedReplicas").into(),
                    integer(object, "/status/availableReplicas").into(),
                    age(object, now),
                    names,
                    images,
                    selector(object, "/spec/selector").into(),
                ]
            },
        },
        ("apps", "replicasets") => Printer { columns: REPLICAS, cells: |object, now| replicas(object, now, false) },
        ("", "replicationcontrollers") => {
            Printer { columns: REPLICAS, cells: |object, now| replicas(object, now, true) }
        }
        ("apps", "statefulsets") => Printer {
            columns: &["Ready", "Age", "+Containers", "+Images"],
            cells: |object, now| {
                let [names, images] = containers(object, CONTAINERS);
                let ready = integer(object, "/status/readyReplicas");
                vec![format!("{ready}/{}", integer(object, "/spec/replicas")).into(), age(object, now), names, images]
            },
        },
        ("apps", "daemonsets") => Printer {
            columns: &[
                "#Desired",
                "#Current",
                "#Ready",
                "#Up-to-date",
                "#Available",
                "Node Selector",
                "Age",
                "+Containers",
                "+Images",
                "+Selector",
            ],
            cells: |object, now| {
                let [names, images] = containers(object, CONTAINERS);
                vec![
                    integer(object, "/status/desiredNumberScheduled").into(),
                    integer(object, "/status/currentNumberScheduled").into(),
                    integer(object, "/status/numberReady").into(),
                    integer(object, "/status/updatedNumberScheduled").into(),
                    integer(object, "/status/numberAvailable").into(),
                    labels(object, "/spec/template/spec/nodeSelector").into(),
                    age(object, now),
                    names,
                    images,
                    selector(object, "/spec/selector").into(),
                ]
            },
        },
        ("apps", "controllerrevisions") => Printer {
            columns: &["Controller", "Revision", "Age"],
            cells: |object, now| {
                let owner = list(object, "/metadata/ownerReferences")
                    .iter()
                    .find(|owner| boolean(owner, "/controller"))
                    .map_or("<none>".to_owned(), |owner| {
                        let group = text(owner, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
                        let dot = if group.is_empty() { "" } else { "." };
                        let kind = format!("{}{dot}{group}", text(owner, "/kind")).to_lowercase();
                        format!("{kind}/{}", text(owner, "/name"))
                    });
                vec![owner.into(), integer(object, "/revision").into(), age(object, now)]
            },
        },
        ("batch", "jobs") => Printer {
            columns: &["Status", "Completions", "Duration", "Age", "+Containers", "+Images", "+Selector"],
            cells: job,
        },
        ("batch", "cronjobs") => Printer {
            columns: &[
                "Schedule",
                "Timezone",
                "?Suspend",
                "#Active",
                "Last Schedule",
                "Age",
                "+Containers",
                "+Images",
                "+Selector",
            ],
            cells: cron_job,
        },
        _ => return None,
    })
}

const REPLICAS: &[&str] = &["#Desired", "#Current", "#Ready", "Age", "+Containers", "+Images", "+Selector"];

fn replicas(object: &Value, now: i64, plain_selector: bool) -> Vec<Value> {
    let [names, images] = containers(object, CONTAINERS);
    vec![
        integer(object, "/spec/replicas").into(),
        integer(object, "/status/replicas").into(),
        integer(object, "/status/readyReplicas").into(),
        age(object, now),
        names,
        images,
        if plain_selector { labels(object, "/spec/selector") } else { selector(object, "/spec/selector") }.into(),
    ]
}

fn job(object: &Value, now: i64) -> Vec<Value> {
    let succeeded = integer(object, "/status/succeeded");
    let parallelism = integer(object, "/spec/parallelism");
    let completions = match at(object, "/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    };
    let time = |pointer: &str| text(object, pointer).parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
    let duration = match (time("/status/startTime"), time("/status/completionTime")) {
        (None, _) => String::new(),
        (Some(start), end) => human_duration(end.unwrap_or(now) - start),
    };
    let first_condition = |types: &[&'static str]| types.iter().copied().find(|own| has_condition(object, own));
    let state = first_condition(&["Complete", "Failed"])
        .or_else(|| is_being_deleted(object).then_some("Terminating"))
        .or_else(|| first_condition(&["Suspended", "FailureTarget", "SuccessCriteriaMet"]))
        .unwrap_or("Running");
    let [names, images] = containers(object, CONTAINERS);
    vec![
        state.into(),
        completions.into(),
        duration.into(),
        age(object, now),
        names,
        images,
        selector(object, "/spec/selector").into(),
    ]
}

fn cron_job(object: &Value, now: i64) -> Vec<Value> {
    let suspend = match at(object, "/spec/suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = text(object, "/status/lastScheduleTime");
    let [names, images] = containers(object, "/spec/jobTemplate/spec/template/spec/containers");
    vec![
        text(object, "/spec/schedule").into(),
        text_or(object, "/spec/timeZone", "<none>").into(),
        suspend.into(),
        list(object, "/status/active").len().into(),
        if last.is_empty() { json!("<none>") } else { since(object, "/status/lastScheduleTime", now).into() },
        age(object, now),
        names,
        images,
        selector(object, "/spec/jobTemplate/spec/selector").into(),
    ]
}
