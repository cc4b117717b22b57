//! Dynamic admission: which webhooks a request concerns, what they are asked, and what their answers mean.
//!
//! The rules and texts are those of `k8s.io/apiserver/pkg/admission/plugin/webhook` 1.36. Calling the webhooks is the
//! server's work.

use serde_json::Value;

mod configuration;
mod expressions;
mod mutation;
mod policy;
mod review;
mod rules;
mod type_check;

#[cfg(test)]
mod tests;

pub use configuration::{
    MatchCondition, MatchResources, MatchResult, Webhook, WebhookKind, conditions_match, webhooks,
};
pub use expressions::{Expressions, Purpose};
pub use mutation::{MutatingPolicy, ObjectPatch};
pub use policy::{
    Decision, Definition, Judgement, ParameterReference, Policy, PolicyBinding, VALIDATION_FAILURE, audit_annotations,
    denied_by_policy,
};
pub use review::{Response, ReviewRequest, denied, dry_run_unsupported, response, review};
pub use rules::{RequestedResource, Rule};
pub use type_check::{PublishedKind, expression_warnings, kinds_to_check, parameter_kind};

/// The group of the configurations.
pub const GROUP: &str = "admissionregistration.k8s.io";

/// What a request does to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It makes one.
    Create,
    /// It changes one.
    Update,
    /// It deletes one.
    Delete,
    /// It connects to one (`pods/exec`).
    Connect,
}

impl Operation {
    /// The name in rules and reviews.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A group, version and kind, or a group, version and resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupVersionName {
    /// API group, empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind or plural.
    pub name: String,
}

impl GroupVersionName {
    fn as_kind(&self) -> Value {
        serde_json::json!({"group": self.group, "version": self.version, "kind": self.name})
    }

    fn as_resource(&self) -> Value {
        serde_json::json!({"group": self.group, "version": self.version, "resource": self.name})
    }
}
