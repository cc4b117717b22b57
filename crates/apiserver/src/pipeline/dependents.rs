//! What becomes of an object's dependents when it is deleted: finalizers tell the garbage collector.
//!
//! What the request says counts, then what the object's finalizers say, then what is usual for its kind
//! (`deletionFinalizersForGarbageCollection` and each kind's `DefaultGarbageCollectionPolicy` upstream).

use serde_json::Value;

use super::DeleteOptions;
use crate::registry::ServedResource;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What is usual for a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usual {
    /// Dependents are deleted.
    Delete,
    /// Dependents stay, as they did before there was a choice.
    Orphan,
    /// Nobody waits for dependents, whatever the request says.
    Unsupported,
}

fn usual(served: &ServedResource) -> Usual {
    let resource = &served.resource;
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "replicationcontrollers") | ("batch", "jobs") => Usual::Orphan,
        ("" | "events.k8s.io", "events") => Usual::Unsupported,
        _ => Usual::Delete,
    }
}

/// The finalizers of an object that is deleted: its own, and those of the garbage collector that belong to it now.
pub(super) fn finalizers(served: &ServedResource, object: &Value, options: &DeleteOptions) -> Vec<Value> {
    let existing = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let usual = usual(served);
    let asked = match (options.orphan_dependents, options.propagation_policy.as_deref()) {
        (Some(true), _) | (None, Some("Orphan")) => Some(ORPHAN),
        (None, Some("Foreground")) => Some(FOREGROUND),
        (Some(false), _) | (None, Some(_)) => None,
        (None, None) => {
            let of_object = existing.iter().filter_map(Value::as_str).find_map(|name| match name {
                ORPHAN => Some(ORPHAN),
                FOREGROUND => Some(FOREGROUND),
                _ => None,
            });
            of_object.or((usual == Usual::Orphan).then_some(ORPHAN))
        }
    };
    let wanted = asked.filter(|_| usual != Usual::Unsupported);
    let own = existing.into_iter().filter(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND);
    own.chain(wanted.map(Value::from)).collect()
}

/// What is said to whom deletes a Job and leaves open what becomes of its pods.
pub(super) fn warning(served: &ServedResource, options: &DeleteOptions) -> Option<&'static str> {
    let is_open = options.propagation_policy.is_none() && options.orphan_dependents.is_none();
    (is_open && served.is("batch", "jobs")).then_some(
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or \
         set propagationPolicy=Orphan to suppress this warning",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_request_counts_then_the_object_then_what_is_usual_for_its_kind() {
        let names = |group: &str, plural: &str, finalizers: Value, options: Value| {
            let served = crate::registry::Registry::default().find(group, "v1", plural).unwrap();
            let object = json!({"metadata": {"finalizers": finalizers}});
            json!(super::finalizers(&served, &object, &serde_json::from_value(options).unwrap()))
        };
        let of_pod = |options: Value| names("", "pods", json!(["example.com/a", "orphan"]), options);
        assert_eq!(of_pod(json!({})), json!(["example.com/a", "orphan"]));
        assert_eq!(of_pod(json!({"propagationPolicy": "Background"})), json!(["example.com/a"]));
        let foreground = json!({"propagationPolicy": "Foreground"});
        assert_eq!(of_pod(foreground.clone()), json!(["example.com/a", "foregroundDeletion"]));
        assert_eq!(of_pod(json!({"orphanDependents": false})), json!(["example.com/a"]));
        assert_eq!(names("batch", "jobs", json!([]), json!({})), json!(["orphan"]));
        assert_eq!(names("batch", "jobs", json!(["foregroundDeletion"]), json!({})), json!(["foregroundDeletion"]));
        assert_eq!(names("batch", "jobs", json!([]), json!({"propagationPolicy": "Background"})), json!([]));
        assert_eq!(names("", "replicationcontrollers", json!([]), json!({})), json!(["orphan"]));
        assert_eq!(names("", "events", json!([]), foreground), json!([]));
    }
}
