//! Aggregated ClusterRoles: roles whose rules are those of other roles, selected by labels.

use serde_json::{Value, json};

use super::{PolicyRule, policy::rules_of};
use crate::selector::LabelSelector;

/// What an aggregated ClusterRole should have.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// Name of the ClusterRole.
    pub name: String,
    /// The rules of all selected roles, each once: selector by selector, roles by name.
    pub rules: Vec<PolicyRule>,
}

/// The aggregated roles among all ClusterRoles of a Kubernetes API whose rules are not what they should be. A selector
/// that cannot be read selects nothing.
///
/// Roles may aggregate aggregated ones; then the result settles after as many rounds as they are nested.
pub fn aggregate<'a>(cluster_roles: impl IntoIterator<Item = &'a Value>) -> Vec<Aggregation> {
    let mut roles: Vec<&Value> = cluster_roles.into_iter().collect();
    roles.sort_by_key(|role| name(role));
    roles.iter().filter_map(|role| stale(role, &roles)).collect()
}

fn stale(role: &Value, all: &[&Value]) -> Option<Aggregation> {
    let selectors = role.pointer("/aggregationRule/clusterRoleSelectors")?.as_array()?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let Ok(selector) = LabelSelector::from_object(selector) else { continue };
        let selected = all
            .iter()
            .filter(|other| name(other) != name(role))
            .filter(|other| selector.matches_labels(other.pointer("/metadata/labels").and_then(Value::as_object)));
        for rule in selected.flat_map(|other| rules_of(other)) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    (rules != rules_of(role)).then(|| Aggregation { name: name(role).to_owned(), rules })
}

fn name(role: &Value) -> &str {
    role.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

impl Aggregation {
    /// Writes the rules into the role.
    pub fn apply_to(&self, role: &mut Value) {
        role["rules"] = json!(self.rules);
    }
}
