//! What a terminating namespace tells its users: what is left in it, and what went wrong.
//!
//! Types, reasons and messages are those of `k8s.io/kubernetes/pkg/controller/namespace/deletion`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What a pass over a namespace found and could not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remains {
    /// Whether there are Pods, before which nothing else is deleted or counted.
    pub(super) waits_for_pods: bool,
    /// `RESOURCE.GROUP` (with the dot also in the core group) to how many objects are left.
    pub(super) resources: BTreeMap<String, u64>,
    /// Finalizer to how many objects have it.
    pub(super) finalizers: BTreeMap<String, u64>,
    /// What could not be deleted, and why.
    pub(super) failures: Vec<String>,
    /// What should be gone by now and is not. Trying again does not help.
    pub(super) overdue: Vec<String>,
    /// Whether only time makes what is left overdue.
    pub(super) in_time: bool,
}

impl Remains {
    /// Whether nothing is left and nothing went wrong.
    pub(super) fn are_none(&self) -> bool {
        !self.waits_for_pods && self.resources.is_empty() && self.failures.is_empty()
    }

    /// The conditions: type, whether it holds (all are bad), reason, message.
    fn conditions(&self) -> [(&'static str, bool, &'static str, String); 5] {
        let list = |counts: &BTreeMap<String, u64>, words: &str, what: &str| {
            let entries: Vec<String> =
                counts.iter().map(|(name, count)| format!("{name} {words} {count} resource instances")).collect();
            format!("{what}: {}", entries.join(", "))
        };
        let discovery = (
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        );
        let parsing = (
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".to_owned(),
        );
        let failures: Vec<&str> = self.failures.iter().chain(&self.overdue).map(String::as_str).collect();
        let content = if failures.is_empty() {
            (false, "ContentDeleted", "All content successfully deleted, may be waiting on finalization".to_owned())
        } else {
            let count = failures.len();
            let failures = failures.join(", ");
            (
                true,
                "ContentDeletionFailed",
                format!("Failed to delete all resource types, {count} remaining: {failures}"),
            )
        };
        let remaining = if self.resources.is_empty() {
            (false, "ContentRemoved", "All content successfully removed".to_owned())
        } else {
            (true, "SomeResourcesRemain", list(&self.resources, "has", "Some resources are remaining"))
        };
        let finalizers = if self.finalizers.is_empty() {
            (false, "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
        } else {
            let what = "Some content in the namespace has finalizers remaining";
            (true, "SomeFinalizersRemain", list(&self.finalizers, "in", what))
        };
        [
            discovery,
            parsing,
            ("NamespaceDeletionContentFailure", content.0, content.1, content.2),
            ("NamespaceContentRemaining", remaining.0, remaining.1, remaining.2),
            ("NamespaceFinalizersRemaining", finalizers.0, finalizers.1, finalizers.2),
        ]
    }

    /// Brings a namespace's `status.conditions` up to date; false if they are. `now` is RFC 3339.
    pub(super) fn write_to(&self, namespace: &mut Value, now: &str) -> bool {
        let mut conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let before = conditions.clone();
        for (kind, holds, reason, message) in self.conditions() {
            let status = if holds { "True" } else { "False" };
            let known = conditions.iter_mut().find(|condition| condition["type"] == kind);
            let since = known
                .as_ref()
                .filter(|known| known["status"] == status)
                .map(|known| known["lastTransitionTime"].clone());
            let condition = json!({
                "type": kind,
                "status": status,
                "lastTransitionTime": since.unwrap_or_else(|| now.into()),
                "reason": reason,
                "message": message,
            });
            match known {
                Some(known) => *known = condition,
                None => conditions.push(condition),
            }
        }
        let changed = conditions != before || namespace["status"]["phase"] != "Terminating";
        namespace["status"]["phase"] = "Terminating".into();
        namespace["status"]["conditions"] = conditions.into();
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_count_what_is_left_and_keep_the_time_of_their_last_change() {
        let mut namespace = json!({"status": {"phase": "Terminating"}});
        let remains = Remains {
            resources: BTreeMap::from([("pods.".to_owned(), 2), ("widgets.example.dev".to_owned(), 1)]),
            finalizers: BTreeMap::from([("example.dev/keep".to_owned(), 1)]),
            ..Remains::default()
        };
        assert!(remains.write_to(&mut namespace, "2026-01-01T00:00:00Z"));
        assert!(!remains.write_to(&mut namespace, "2026-01-01T00:00:01Z"));
        let fewer = Remains { resources: BTreeMap::from([("pods.".to_owned(), 1)]), ..Remains::default() };
        assert!(fewer.write_to(&mut namespace, "2026-01-01T00:00:02Z"));
        let lines: Vec<String> = namespace["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|condition| {
                let text = |field: &str| condition[field].as_str().unwrap();
                let seconds = &text("lastTransitionTime")[17..19];
                format!("{}={} {seconds} {}: {}", text("type"), text("status"), text("reason"), text("message"))
            })
            .collect();
        assert_eq!(
            lines,
            [
                "NamespaceDeletionDiscoveryFailure=False 00 ResourcesDiscovered: All resources successfully discovered",
                "NamespaceDeletionGroupVersionParsingFailure=False 00 ParsedGroupVersions: All legacy kube types successfully parsed",
                "NamespaceDeletionContentFailure=False 00 ContentDeleted: All content successfully deleted, may be waiting on finalization",
                "NamespaceContentRemaining=True 00 SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances",
                "NamespaceFinalizersRemaining=False 02 ContentHasNoFinalizers: All content-preserving finalizers finished",
            ]
        );
    }
}
