//! Events are one store with two faces: `v1` and `events.k8s.io/v1` name the same fields differently
//! (`pkg/apis/events/v1/conversion.go`). They are stored as `v1`.

use serde_json::Value;

/// Names in `v1` and in `events.k8s.io/v1`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// An event of `v1` as `events.k8s.io/v1`.
pub fn to_events_group(event: Value) -> Value {
    rename(event, "events.k8s.io/v1", NAMES.into_iter())
}

/// An event of `events.k8s.io/v1` as `v1`.
pub fn to_core_group(event: Value) -> Value {
    rename(event, "v1", NAMES.into_iter().map(|(core, events)| (events, core)))
}

fn rename(mut event: Value, api_version: &str, names: impl Iterator<Item = (&'static str, &'static str)>) -> Value {
    if let Value::Object(members) = &mut event {
        for (from, to) in names {
            if let Some(value) = members.remove(from) {
                members.insert(to.to_owned(), value);
            }
        }
        members.insert("apiVersion".to_owned(), api_version.into());
    }
    event
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_the_same_in_both_groups() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {"kind": "Pod", "name": "web"},
            "message": "started", "reason": "Started", "type": "Normal", "reportingComponent": "kubelet",
            "reportingInstance": "node-1", "source": {"component": "kubelet"}, "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1, "eventTime": null
        });
        let events = to_events_group(core.clone());
        insta::assert_yaml_snapshot!(events);
        assert_eq!(to_core_group(events), core);
    }
}
