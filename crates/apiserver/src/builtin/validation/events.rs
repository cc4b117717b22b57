//! Events of both groups. The newer one asks more, and what it was told once stays.

use super::{
    Change,
    field::{Errors, Field, same},
    text::{qualified_name, subdomain},
};

/// What events of both groups are called, in the core group.
struct Names {
    of_object: &'static str,
    message: &'static str,
    controller: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
    source: &'static str,
}

const CORE: Names = Names {
    of_object: "involvedObject",
    message: "message",
    controller: "reportingComponent",
    first: "firstTimestamp",
    last: "lastTimestamp",
    count: "count",
    source: "source",
};

const NEWER: Names = Names {
    of_object: "regarding",
    message: "note",
    controller: "reportingController",
    first: "deprecatedFirstTimestamp",
    last: "deprecatedLastTimestamp",
    count: "deprecatedCount",
    source: "deprecatedSource",
};

/// An Event of the core group.
pub(super) fn validate_core(change: &Change<'_>, errors: &mut Errors) {
    legacy(&change.new, &CORE, errors);
}

/// An Event of `events.k8s.io`. Errors name fields as the core group does: that is the real server's own type.
pub(super) fn validate_newer(change: &Change<'_>, errors: &mut Errors) {
    let event = &change.new;
    legacy(event, &NEWER, errors);
    let Some(old) = &change.old else {
        series(event, errors);
        let kind = event.at("type");
        if !event.at("eventTime").is_set() {
            errors.required(&event.at("eventTime"), "");
        }
        if !matches!(kind.text(), "Normal" | "Warning") {
            errors.show(&kind, &"".into(), &format!("has invalid value: {}", kind.text()));
        }
        for (given, reported) in
            [(NEWER.first, CORE.first), (NEWER.last, CORE.last), (NEWER.count, CORE.count), (NEWER.source, CORE.source)]
        {
            let field = event.at(given);
            let is_given = match given {
                "deprecatedCount" => field.count() != 0,
                // A source that says nothing is none.
                _ if field.value.is_object() => !field.at("component").is_empty() || !field.at("host").is_empty(),
                _ => !field.is_empty(),
            };
            if is_given {
                errors.show(&field.reported_as(reported), &"".into(), "needs to be unset");
            }
        }
        return;
    };
    if !same(event.at("series").value, old.at("series").value) {
        series(event, errors);
    }
    for (given, reported) in [
        (NEWER.of_object, CORE.of_object),
        ("reason", "reason"),
        (NEWER.message, CORE.message),
        (NEWER.source, CORE.source),
        (NEWER.first, CORE.first),
        (NEWER.last, CORE.last),
        (NEWER.count, CORE.count),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ] {
        let field = event.at(given);
        if !same(field.value, old.at(given).value) {
            errors.invalid_of(&field.reported_as(reported), given, "field is immutable");
        }
    }
}

fn series(event: &Field<'_>, errors: &mut Errors) {
    let series = event.at("series");
    if !series.is_set() {
        return;
    }
    if series.at("count").count() < 2 {
        errors.show(&series.at("count"), &"".into(), "should be at least 2");
    }
    if !series.at("lastObservedTime").is_set() {
        errors.required(&series.at("lastObservedTime"), "");
    }
}

fn legacy(event: &Field<'_>, names: &Names, errors: &mut Errors) {
    const MAX_NOTE: usize = 1024;
    const MAX_TEXT: usize = 128;
    let namespace = event.at("metadata.namespace");
    let in_object = event.at(names.of_object).at("namespace").reported_as("involvedObject.namespace");
    let is_new = event.at("eventTime").is_set();
    let wrong = match (in_object.is_empty(), is_new) {
        (true, true) => !matches!(namespace.text(), "default" | "kube-system"),
        (true, false) => !matches!(namespace.text(), "" | "default"),
        (false, true) => false,
        (false, false) => in_object.text() != namespace.text(),
    };
    if wrong {
        errors.invalid_text(&in_object, "does not match event.namespace");
    }
    if is_new {
        let controller = event.at(names.controller);
        if controller.is_empty() {
            errors.required(&controller, "");
        }
        qualified_name(&controller, errors);
        for name in ["reportingInstance", "action", "reason"] {
            let field = event.at(name);
            if field.is_empty() {
                errors.required(&field, "");
            }
            if field.text().len() > MAX_TEXT {
                errors.show(&field, &"".into(), &format!("can have at most {MAX_TEXT} characters"));
            }
        }
        let message = event.at(names.message).reported_as(CORE.message);
        if message.text().len() > MAX_NOTE {
            errors.show(&message, &"".into(), &format!("can have at most {MAX_NOTE} characters"));
        }
    }
    subdomain(&namespace.reported_as("namespace"), errors);
}
