//! The two fields that say what a claim is filled from, kept the same (`NormalizeDataSources` of Kubernetes): the older
//! `dataSource`, which takes claims and snapshots only, and `dataSourceRef`, which takes anything.

use serde_json::{Map, Value};

const PLACES: [&str; 2] = ["dataSource", "dataSourceRef"];

fn is_set(spec: &Map<String, Value>, field: &str) -> bool {
    spec.get(field).is_some_and(|value| !value.is_null())
}

fn text<'v>(source: &'v Value, field: &str) -> &'v str {
    source[field].as_str().unwrap_or_default()
}

/// Completes a claim that is created (`old` absent) or updated.
pub(super) fn normalize(old: Option<&Value>, claim: &mut Value) {
    let had = |field: &str| old.is_some_and(|old| !old["spec"][field].is_null());
    let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) else { return };
    // Sources in other namespaces are a feature that is off.
    if spec.get("dataSourceRef").is_some_and(|source| !text(source, "namespace").is_empty()) && !had("dataSourceRef") {
        spec.remove("dataSourceRef");
    }
    let is_claim_or_snapshot = spec.get("dataSource").is_some_and(|source| {
        matches!(
            (text(source, "apiGroup"), text(source, "kind")),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        )
    });
    if !PLACES.into_iter().any(had) && !is_set(spec, "dataSourceRef") && !is_claim_or_snapshot {
        spec.remove("dataSource");
    }
    for (from, to) in [("dataSource", "dataSourceRef"), ("dataSourceRef", "dataSource")] {
        let Some(source) = spec.get(from).filter(|source| source.is_object()) else { continue };
        if !is_set(spec, to) && text(source, "namespace").is_empty() {
            let mut copy = source.clone();
            if let Some(members) = copy.as_object_mut() {
                members.remove("namespace");
            }
            spec.insert(to.to_owned(), copy);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::normalize;

    #[test]
    fn both_fields_say_the_same_and_what_only_one_can_say_is_dropped() {
        let snapshot = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "a"});
        let other = json!({"apiGroup": "example.com", "kind": "Image", "name": "a"});
        let far = json!({"kind": "PersistentVolumeClaim", "name": "a", "namespace": "b"});
        let cases = [
            (json!({"dataSource": snapshot}), json!({"dataSource": snapshot, "dataSourceRef": snapshot})),
            (json!({"dataSourceRef": other}), json!({"dataSource": other, "dataSourceRef": other})),
            (json!({"dataSource": other}), json!({})),
            (json!({"dataSourceRef": far}), json!({})),
        ];
        for (given, expected) in cases {
            let mut claim = json!({"spec": given});
            normalize(None, &mut claim);
            assert_eq!(claim, json!({"spec": expected}));
        }
    }
}
