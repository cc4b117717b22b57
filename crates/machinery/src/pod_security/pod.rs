//! A pod as the checks look at it, and the words they share.

use std::collections::BTreeSet;

use serde_json::Value;

/// A pod, or the template of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pod<'a> {
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
}

impl<'a> Pod<'a> {
    /// Of an object with `metadata` and `spec`.
    pub(super) fn of(object: &'a Value) -> Self {
        Self { metadata: &object["metadata"], spec: &object["spec"] }
    }

    /// All containers, in the order messages name them.
    pub(super) fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| items(&self.spec[list]))
    }

    /// Names of the containers of which something is true.
    pub(super) fn containers_that(self, mut is_so: impl FnMut(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| is_so(container)).map(|container| text(container, "name")).collect()
    }

    pub(super) fn security_context(self) -> &'a Value {
        &self.spec["securityContext"]
    }

    /// The annotations whose keys begin so.
    pub(super) fn annotations(self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let annotations = self.metadata["annotations"].as_object().into_iter().flatten();
        annotations
            .filter(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }

    /// Pods for Windows cannot have some fields, and are excused from them.
    pub(super) fn is_windows(self) -> bool {
        self.spec["os"]["name"] == "windows"
    }

    /// Whether the users of the pod are others than those of its node: root in it is not root there.
    pub(super) fn has_own_users(self) -> bool {
        self.spec["hostUsers"] == false
    }
}

/// Why a pod violates a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// What is forbidden.
    pub(super) reason: &'static str,
    /// Where that is.
    pub(super) detail: String,
}

pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

pub(super) fn plural<'t>(one: &'t str, several: &'t str, count: usize) -> &'t str {
    if count == 1 { one } else { several }
}

/// `"a", "b"`.
pub(super) fn quoted<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<&str> = texts.into_iter().collect();
    if texts.is_empty() { String::new() } else { format!("\"{}\"", texts.join("\", \"")) }
}

/// `containers "a", "b"`.
pub(super) fn named_containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names.iter().copied()))
}

/// Who sets something: the pod itself, or containers of it. Empty where nobody does.
pub(super) fn setters(of_pod: bool, containers: &[&str]) -> Vec<String> {
    let mut setters = Vec::new();
    if of_pod {
        setters.push("pod".to_owned());
    }
    if !containers.is_empty() {
        setters.push(named_containers(containers));
    }
    setters
}

/// Collects texts in their order, each once.
pub(super) type Texts<'a> = BTreeSet<&'a str>;
