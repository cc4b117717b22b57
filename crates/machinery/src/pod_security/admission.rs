//! What the standards mean for a write: refusal, warnings and annotations in the audit log.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::{
    checks::violations,
    pod::{Pod, Violation, items, plural, text},
    policy::{LABEL_PREFIX, Level, LevelVersion, Policy},
};
use crate::status_error::FieldError;

/// So many pods are looked at when the policy of their namespace changes.
const MAXIMUM_PODS: usize = 3000;

/// What is to be done about the write of a pod, or of something that makes pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Why it is forbidden, if it is.
    pub refusal: Option<String>,
    /// What the client is told.
    pub warning: Option<String>,
    /// What is added to the audit log, by full keys.
    pub audit_annotations: Vec<(String, String)>,
}

impl Decision {
    fn annotate(&mut self, key: &str, value: String) {
        self.audit_annotations.push((format!("{LABEL_PREFIX}{key}"), value));
    }

    fn annotate_errors(&mut self, errors: &[FieldError]) {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        match texts.as_slice() {
            [] => {}
            [one] => self.annotate("error", format!("Failed to parse policy: {one}")),
            several => self.annotate("error", format!("Failed to parse policy: [{}]", several.join(", "))),
        }
    }

    fn hold(&mut self, policy: &Policy, pod: &Pod<'_>) {
        let would_violate = |held: LevelVersion| {
            let violations = violations(held, pod);
            let details = details(&violations);
            (!violations.is_empty()).then(|| format!("would violate PodSecurity \"{held}\": {details}"))
        };
        if let Some(violation) = would_violate(policy.audit) {
            self.annotate("audit-violations", violation);
        }
        if self.refusal.is_none() {
            self.warning = would_violate(policy.warn);
        }
    }
}

fn details(violations: &[Violation]) -> String {
    let told = |Violation { reason, detail }: &Violation| {
        if detail.is_empty() { (*reason).to_owned() } else { format!("{reason} ({detail})") }
    };
    violations.iter().map(told).collect::<Vec<_>>().join(", ")
}

/// Holds a pod against what the labels of its namespace name; `old` is absent for a create.
#[must_use]
pub fn admit_pod(labels: &Value, pod: &Value, old: Option<&Value>) -> Decision {
    let (policy, errors) = Policy::of_labels(labels);
    let mut decision = Decision::default();
    if errors.is_empty() && policy.is_privileged() {
        decision.annotate("enforce-policy", Policy::PRIVILEGED.enforce.to_string());
        return decision;
    }
    if old.is_some_and(|old| !is_significant_update(old, pod)) {
        return decision;
    }
    decision.annotate_errors(&errors);
    decision.annotate("enforce-policy", policy.enforce.to_string());
    let pod = Pod::of(pod);
    let violations = violations(policy.enforce, &pod);
    if !violations.is_empty() {
        let details = details(&violations);
        decision.refusal = Some(format!("violates PodSecurity \"{}\": {details}", policy.enforce));
    }
    decision.hold(&policy, &pod);
    decision
}

/// Of what can be changed in a pod only its images and further containers matter.
fn is_significant_update(old: &Value, new: &Value) -> bool {
    let image = |container| text(container, "image");
    let other_images = |field: &str| !items(&old["spec"][field]).map(image).eq(items(&new["spec"][field]).map(image));
    let is_other_ephemeral = |new: &Value| {
        let mut known = items(&old["spec"]["ephemeralContainers"]);
        known
            .find(|old| text(old, "name") == text(new, "name"))
            .is_none_or(|old| text(old, "image") != text(new, "image"))
    };
    other_images("containers")
        || other_images("initContainers")
        || items(&new["spec"]["ephemeralContainers"]).any(is_other_ephemeral)
}

/// Where the template of pods is in an object of a resource, as a JSON pointer.
fn template_of(group: &str, resource: &str) -> Option<&'static str> {
    match (group, resource) {
        ("", "podtemplates") => Some("/template"),
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => Some("/spec/template"),
        ("batch", "cronjobs") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Whether objects of a resource are made into pods.
#[must_use]
pub fn embeds_pod(group: &str, resource: &str) -> bool {
    template_of(group, resource).is_some()
}

/// Holds the template of an object that is made into pods against what the labels of its namespace name. It is never
/// refused: its pods are.
#[must_use]
pub fn admit_controller(labels: &Value, group: &str, resource: &str, object: &Value) -> Decision {
    let (policy, errors) = Policy::of_labels(labels);
    let mut decision = Decision::default();
    let concerned = !errors.is_empty() || policy.warn.level.max(policy.audit.level) > Level::Privileged;
    let template = template_of(group, resource).and_then(|pointer| object.pointer(pointer));
    if let Some(template) = template.filter(|template| concerned && template.is_object()) {
        decision.annotate_errors(&errors);
        decision.hold(&policy, &Pod::of(template));
    }
    decision
}

/// What is to be done about the write of a Namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum NamespaceDecision {
    /// Nothing.
    Allow,
    /// It is refused for its labels.
    Refuse(Vec<FieldError>),
    /// Its pods are held against what it enforces now, see [`existing_pod_warnings`].
    CheckPods(LevelVersion),
}

/// Looks at the labels of a Namespace; `old` is absent for a create.
#[must_use]
pub fn admit_namespace(labels: &Value, old: Option<&Value>) -> NamespaceDecision {
    let (policy, errors) = Policy::of_labels(labels);
    let Some(old) = old else {
        return if errors.is_empty() { NamespaceDecision::Allow } else { NamespaceDecision::Refuse(errors) };
    };
    let (before, old_errors) = Policy::of_labels(old);
    if !errors.is_empty() && errors != old_errors {
        return NamespaceDecision::Refuse(errors);
    }
    let (new, old) = (policy.enforce, before.enforce);
    if new.level == Level::Privileged || (new.version == old.version && new.level <= old.level) {
        NamespaceDecision::Allow
    } else {
        NamespaceDecision::CheckPods(new)
    }
}

/// What the client is told of pods that are there and would not be allowed any more.
#[must_use]
pub fn existing_pod_warnings(namespace: &str, enforce: LevelVersion, pods: &[Value]) -> Vec<String> {
    // Of pods that one controller made the first stands for the others, which are looked at last.
    let mut controllers = HashSet::new();
    let (first, others): (Vec<&Value>, Vec<&Value>) = pods.iter().partition(|pod| {
        let mut owners = items(&pod["metadata"]["ownerReferences"]);
        owners.find(|owner| owner["controller"] == true).is_none_or(|owner| controllers.insert(text(owner, "uid")))
    });
    let mut found: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for pod in first.into_iter().chain(others).take(MAXIMUM_PODS) {
        let violations = violations(enforce, &Pod::of(pod));
        if violations.is_empty() {
            continue;
        }
        let name = text(&pod["metadata"], "name");
        let reasons: Vec<&str> = violations.iter().map(|violation| violation.reason).collect();
        let (least, count) = found.entry(reasons.join(", ")).or_insert((name, 0));
        *least = name.min(least);
        *count += 1;
    }
    let mut warnings = Vec::new();
    if pods.len() > MAXIMUM_PODS {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {MAXIMUM_PODS} of {} existing pods",
            pods.len()
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{enforce}\""
        ));
    }
    let mut lines: Vec<String> = found
        .into_iter()
        .map(|(reasons, (name, count))| match count {
            1 => format!("{name}: {reasons}"),
            _ => format!("{name} (and {} other {}): {reasons}", count - 1, plural("pod", "pods", count - 1)),
        })
        .collect();
    lines.sort();
    warnings.append(&mut lines);
    warnings
}
