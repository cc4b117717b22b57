//! Whether somebody who has some rules may give others: nobody grants what they do not have.

use std::collections::{BTreeSet, HashMap};

use super::{PolicyRule, Requester, quote_list, url_covers};
use crate::status_error::quote;

/// Which parts of `wanted` no rule of `owned` covers, each part a rule with one value in every field. Empty means all
/// is covered. A part must be covered by a single rule.
pub fn covers(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let parts = wanted.iter().flat_map(break_down);
    parts.filter(|part| !owned.iter().any(|owner| rule_covers(owner, part))).collect()
}

/// The message of the refusal where [`covers`] left something.
pub fn escalation_message(requester: &Requester<'_>, missing: &[PolicyRule], resolution_error: Option<&str>) -> String {
    let lines: BTreeSet<String> = compact(missing).iter().map(ToString::to_string).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let mut message = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(requester.name),
        quote_list(requester.groups),
        lines.join("\n")
    );
    if let Some(error) = resolution_error {
        message.push_str("; resolution errors: [");
        message.push_str(error);
        message.push(']');
    }
    message
}

fn break_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut parts = Vec::new();
    let one = |value: &String| vec![value.clone()];
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let part = PolicyRule {
                    api_groups: one(group),
                    resources: one(resource),
                    verbs: one(verb),
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    parts.push(part);
                } else {
                    let named = rule.resource_names.iter();
                    parts.extend(named.map(|name| PolicyRule { resource_names: one(name), ..part.clone() }));
                }
            }
        }
    }
    for url in &rule.non_resource_urls {
        for verb in &rule.verbs {
            parts.push(PolicyRule { non_resource_urls: one(url), verbs: one(verb), ..PolicyRule::default() });
        }
    }
    parts
}

fn has_all(owned: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|value| owned.contains(value))
}

fn star_or_all(owned: &[String], wanted: &[String]) -> bool {
    owned.iter().any(|value| value == "*") || has_all(owned, wanted)
}

fn rule_covers(owner: &PolicyRule, part: &PolicyRule) -> bool {
    let resources = owner.resources.iter().any(|value| value == "*")
        || part.resources.iter().all(|wanted| {
            owner.resources.contains(wanted)
                || wanted.split_once('/').is_some_and(|(_, below)| {
                    owner.resources.iter().any(|owned| owned.strip_prefix("*/") == Some(below))
                })
        });
    let urls = part
        .non_resource_urls
        .iter()
        .all(|wanted| owner.non_resource_urls.iter().any(|owned| url_covers(owned, wanted)));
    let names = owner.resource_names.is_empty()
        || (!part.resource_names.is_empty() && has_all(&owner.resource_names, &part.resource_names));
    star_or_all(&owner.verbs, &part.verbs)
        && star_or_all(&owner.api_groups, &part.api_groups)
        && resources
        && urls
        && names
}

/// Joins rules that differ only in their verbs, for shorter messages.
fn compact(rules: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut compacted: Vec<PolicyRule> = Vec::new();
    let mut simple: HashMap<(&str, &str, Option<&str>), usize> = HashMap::new();
    for rule in rules {
        let key = match (rule.api_groups.as_slice(), rule.resources.as_slice(), rule.resource_names.as_slice()) {
            ([group], [resource], [] | [_]) if rule.non_resource_urls.is_empty() => {
                Some((group.as_str(), resource.as_str(), rule.resource_names.first().map(String::as_str)))
            }
            _ => None,
        };
        if let Some(index) = key.and_then(|key| simple.get(&key)) {
            compacted[*index].verbs.extend(rule.verbs.iter().cloned());
            continue;
        }
        if let Some(key) = key {
            simple.insert(key, compacted.len());
        }
        compacted.push(rule.clone());
    }
    compacted
}
