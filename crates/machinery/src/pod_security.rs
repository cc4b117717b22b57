//! What pods may do in a namespace: the Pod Security Standards, as kube-apiserver's admission plugin `PodSecurity` holds pods
//! against them (`k8s.io/pod-security-admission`).
//!
//! Labels of a Namespace say which [`Level`] of which [`Version`] is enforced, warned of and audited ([`Policy`]). The checks
//! of a level are a table ([`checks`]) of functions over a pod's JSON; what they mean for a write is [`admit_pod`],
//! [`admit_controller`] and [`admit_namespace`]. Nothing here reads or writes anything.

mod admission;
mod checks;
mod host;
mod pod;
mod policy;
mod privileges;
mod profiles;
#[cfg(test)]
mod tests;
mod volumes;

pub use admission::{
    Decision, NamespaceDecision, admit_controller, admit_namespace, admit_pod, embeds_pod, existing_pod_warnings,
};
pub use policy::{LABEL_PREFIX, Level, LevelVersion, Policy, Version};
