//! What a delete does to an object: takes it away, or marks it and says how long it may still live.
//!
//! The rules are those of the generic registry (`rest.BeforeDelete`, `updateForGracefulDeletionAndFinalizers`).

use serde_json::{Value, json};

use super::{
    super::{definition_write, dependents},
    DeleteOptions,
};
use crate::{pipeline::object_write::timestamp, registry::ServedResource};

/// Grace of a pod that names none (`terminationGracePeriodSeconds`), in seconds.
const DEFAULT_POD_GRACE: i64 = 30;

/// What a delete does to an object.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// It is being deleted already and nothing changes.
    Keep,
    /// It is marked as this and lives on.
    Mark(Value),
    /// It is marked as this for those who watch, and goes at once.
    MarkAndRemove(Value),
    /// It goes as this, without a mark.
    Remove(Value),
}

/// How much time a delete leaves a pod. Nothing else has any.
enum Grace {
    /// It was left none before.
    Over,
    /// An earlier delete left no more than this one.
    Pending,
    /// So many seconds, until then.
    Left(i64, jiff::Timestamp),
}

pub(super) fn decide(
    served: &ServedResource,
    object: &Value,
    options: &DeleteOptions,
    now: jiff::Timestamp,
) -> Decision {
    let mut new = object.clone();
    let is_marked = object["metadata"]["deletionTimestamp"].is_string();
    if definition_write::is_definition(served) && !is_marked {
        // The first delete of a definition heeds no options, so that nothing else keeps it.
        definition_write::mark_terminating(&mut new, &timestamp(now));
        mark(&mut new, served, 0, now);
        return Decision::Mark(new);
    }
    let finalizers = dependents::finalizers(served, &new, options);
    let finalizers_changed = new["metadata"]["finalizers"].as_array().map_or(&[][..], Vec::as_slice) != finalizers;
    let remains = !finalizers.is_empty();
    if let Some(metadata) = new["metadata"].as_object_mut() {
        if remains {
            metadata.insert("finalizers".to_owned(), finalizers.into());
        } else {
            metadata.remove("finalizers");
        }
    }
    let grace = if served.is_core("pods") { pod_grace(object, options, now) } else { Grace::Over };
    match grace {
        // What finalizers it has is settled as long as it ends.
        Grace::Pending => return Decision::Keep,
        Grace::Left(seconds, until) => {
            mark(&mut new, served, seconds, until);
            return if seconds == 0 && !remains { Decision::MarkAndRemove(new) } else { Decision::Mark(new) };
        }
        Grace::Over => {}
    }
    let namespace_content = served.is_core("namespaces")
        && new["spec"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    if !remains && !namespace_content {
        // It goes as it was stored, with the finalizers this delete takes from it.
        return Decision::Remove(object.clone());
    }
    if is_marked {
        if namespace_content {
            return Decision::Keep;
        }
        // What was marked by code of its own is told its grace by the next delete that finds finalizers.
        let told = object["metadata"]["deletionGracePeriodSeconds"].is_null();
        if told {
            new["metadata"]["deletionGracePeriodSeconds"] = 0.into();
        }
        return if finalizers_changed || told { Decision::Mark(new) } else { Decision::Keep };
    }
    mark(&mut new, served, 0, now);
    Decision::Mark(new)
}

fn mark(object: &mut Value, served: &ServedResource, grace: i64, until: jiff::Timestamp) {
    let is_first = !object["metadata"]["deletionTimestamp"].is_string();
    object["metadata"]["deletionTimestamp"] = timestamp(until).into();
    // Namespaces and definitions are marked by code of their own, which sets the time alone.
    let alone = served.is_core("namespaces") || definition_write::is_definition(served);
    if !alone {
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    }
    if is_first
        && !alone
        && let Some(generation) = object["metadata"]["generation"].as_i64().filter(|generation| *generation > 0)
    {
        object["metadata"]["generation"] = (generation + 1).into();
    }
    if served.is_core("namespaces") {
        match object["status"].as_object_mut() {
            Some(status) => drop(status.insert("phase".to_owned(), "Terminating".into())),
            None => object["status"] = json!({"phase": "Terminating"}),
        }
    }
}

/// The grace of a pod: only one that a kubelet may still run has any, and a later delete may only shorten it.
fn pod_grace(pod: &Value, options: &DeleteOptions, now: jiff::Timestamp) -> Grace {
    // A negative period means one second, as the real server has it.
    let valid = |seconds: i64| if seconds < 0 { 1 } else { seconds };
    let after = |start: jiff::Timestamp, seconds: i64| {
        start.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(start)
    };
    let asked = options.grace_period_seconds.map(valid);
    let metadata = &pod["metadata"];
    let Some(marked) = metadata["deletionTimestamp"].as_str() else {
        let runs_nowhere = pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if runs_nowhere || ended {
            return Grace::Left(0, now);
        }
        let own = || pod["spec"]["terminationGracePeriodSeconds"].as_i64().map_or(DEFAULT_POD_GRACE, valid);
        let seconds = asked.unwrap_or_else(own);
        return Grace::Left(seconds, after(now, seconds));
    };
    let known = metadata["deletionGracePeriodSeconds"].as_i64().map_or(0, valid);
    if known == 0 {
        return Grace::Over;
    }
    let Some(seconds) = asked.filter(|seconds| *seconds < known) else { return Grace::Pending };
    let until = marked.parse().map_or(now, |until| after(until, seconds - known));
    // What is over already may not lie in the past; only a delete that leaves no grace ends it here.
    if until < now { Grace::Left(seconds.min(1), now) } else { Grace::Left(seconds, until) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(plural: &str) -> std::sync::Arc<ServedResource> {
        crate::registry::Registry::default().find("", "v1", plural).unwrap()
    }

    fn options(value: Value) -> DeleteOptions {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pod_on_a_node_gets_its_grace_and_a_forced_delete_ends_it() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 5}});
        let Decision::Mark(marked) = decide(&served("pods"), &pod, &DeleteOptions::default(), now) else {
            panic!("a pod with a node is marked")
        };
        assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:05Z");
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 5);
        assert_eq!(decide(&served("pods"), &marked, &DeleteOptions::default(), now), Decision::Keep);
        let forced = decide(&served("pods"), &marked, &options(json!({"gracePeriodSeconds": 0})), now);
        assert!(matches!(forced, Decision::MarkAndRemove(_)));
        let unscheduled = json!({"metadata": {"name": "a", "generation": 1}, "spec": {}});
        let removed = decide(&served("pods"), &unscheduled, &DeleteOptions::default(), now);
        let last = json!({"metadata": {"name": "a", "generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z",
            "deletionGracePeriodSeconds": 0}, "spec": {}});
        assert_eq!(removed, Decision::MarkAndRemove(last.clone()));
        // Left over where the server ended between the two writes.
        assert_eq!(decide(&served("pods"), &last, &DeleteOptions::default(), now), Decision::Remove(last.clone()));
    }

    #[test]
    fn a_later_delete_shortens_the_grace_of_a_pod_and_changes_nothing_else_before_its_end() {
        let now = "2026-01-01T00:00:10Z".parse().unwrap();
        let pod = json!({"metadata": {"name": "a", "generation": 2, "deletionTimestamp": "2026-01-01T00:00:30Z",
            "deletionGracePeriodSeconds": 30}, "spec": {"nodeName": "n"}, "status": {"phase": "Succeeded"}});
        let decided = |asked: Value| decide(&served("pods"), &pod, &options(asked), now);
        for asked in [json!({}), json!({"gracePeriodSeconds": 30}), json!({"propagationPolicy": "Foreground"})] {
            assert_eq!(decided(asked), Decision::Keep);
        }
        for (asked, seconds, until) in [(20, 20, "2026-01-01T00:00:20Z"), (5, 1, "2026-01-01T00:00:10Z")] {
            let Decision::Mark(marked) = decided(json!({"gracePeriodSeconds": asked})) else { panic!("{asked}") };
            assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], seconds);
            assert_eq!(marked["metadata"]["deletionTimestamp"], until);
            assert_eq!(marked["metadata"]["generation"], 2);
        }
    }
}
