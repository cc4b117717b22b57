//! Role-based access control: who may do what, by Roles, ClusterRoles and their bindings.
//!
//! A [`Policy`] holds the four kinds of objects of one Kubernetes API, indexed by subject, so that a decision looks only
//! at bindings that concern the user. Rules, their order of evaluation and the reasons given are those of Kubernetes'
//! `plugin/pkg/auth/authorizer/rbac` and `pkg/registry/rbac`; `system:masters`, which needs no rule, is the caller's
//! business.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{selector::FieldRequirement, status_error::quote};

mod aggregation;
mod coverage;
mod policy;
pub mod validation;

pub use aggregation::{Aggregation, aggregate};
pub use coverage::{covers, escalation_message};
pub use policy::{Decision, ObjectRef, Policy};

/// The API group of the kinds.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// What is asked for, as `SubjectAccessReview` describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// API verb, or the lower-case HTTP method for a path.
    pub verb: &'a str,
    /// API group, empty for the core group.
    pub group: &'a str,
    /// Plural resource name.
    pub resource: &'a str,
    /// Subresource, empty for the object itself.
    pub subresource: &'a str,
    /// Namespace, empty at cluster scope. A Namespace object is in its own namespace.
    pub namespace: &'a str,
    /// Name, empty for collections.
    pub name: &'a str,
    /// Set for a request that is for no resource: its path. The fields above, but for the verb, do not count then.
    pub path: Option<&'a str>,
    /// What the field selector of a list, a watch or the delete of a collection requires. Rules of roles do not look at it.
    pub field_selector: &'a [FieldRequirement],
}

/// Somebody who asks.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// User name; `system:serviceaccount:NAMESPACE:NAME` is also the ServiceAccount.
    pub name: &'a str,
    /// Groups.
    pub groups: &'a [String],
}

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicyRule {
    /// API groups, or `*`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Paths, or prefixes of paths that end in `*`.
    #[serde(rename = "nonResourceURLs", deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
    /// Names the rule is for; none means every name.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// `pods`, `pods/log`, `*` (everything) or `*/scale` (a subresource of everything).
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Verbs, or `*`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
}

/// Absent and `null` are the same in Go's slices.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl PolicyRule {
    /// Whether the rule allows what is asked, wherever it applies.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !has_or_star(&self.verbs, attributes.verb) {
            return false;
        }
        match attributes.path {
            Some(path) => self.non_resource_urls.iter().any(|url| url_covers(url, path)),
            None => {
                has_or_star(&self.api_groups, attributes.group)
                    && self
                        .resources
                        .iter()
                        .any(|resource| resource_matches(resource, attributes.resource, attributes.subresource))
                    && (self.resource_names.is_empty()
                        || self.resource_names.iter().any(|name| name == attributes.name))
            }
        }
    }
}

impl fmt::Display for PolicyRule {
    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`, as in the real server's messages.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let shown: Vec<String> = parts
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| format!("{name}:{}", quote_list(values)))
            .collect();
        write!(formatter, "{{{}}}", shown.join(", "))
    }
}

/// `["a" "b"]`: Go's `%q` of a list.
fn quote_list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
    format!("[{}]", quoted.join(" "))
}

fn has_or_star(values: &[String], wanted: &str) -> bool {
    values.iter().any(|value| value == "*" || value == wanted)
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        Some((of, below)) => below == subresource && (of == "*" || of == resource),
        None => false,
    }
}

/// Whether a `nonResourceURLs` entry covers a path, or another entry.
fn url_covers(url: &str, path: &str) -> bool {
    url == path || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
}

/// Whom a binding is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace of a ServiceAccount; empty for the binding's own.
    pub namespace: String,
}

/// The role a binding gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RoleRef {
    /// API group of the role.
    pub api_group: String,
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Name.
    pub name: String,
}

#[cfg(test)]
mod tests;
