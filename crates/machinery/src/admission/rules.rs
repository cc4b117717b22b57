//! Rules of webhooks and policies: which requests they are about.

use serde_json::Value;

use super::{GroupVersionName, Operation};

/// What a request is about, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct RequestedResource<'a> {
    /// What it does.
    pub operation: Operation,
    /// Group, version and plural.
    pub resource: &'a GroupVersionName,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty for what has none. Of a namespace itself: its name.
    pub namespace: &'a str,
    /// Name of the object, empty where it is still to be generated.
    pub name: &'a str,
}

/// A rule with operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: String,
    /// Only these objects; of policies alone, empty for all.
    resource_names: Vec<String>,
}

fn contains(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    /// From JSON.
    pub fn from_json(rule: &Value) -> Self {
        let texts = |name: &str| -> Vec<String> {
            rule[name].as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        Self {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources"),
            scope: rule["scope"].as_str().unwrap_or("*").to_owned(),
            resource_names: texts("resourceNames"),
        }
    }

    /// Whether the rule is about a request.
    pub fn matches(&self, request: &RequestedResource<'_>) -> bool {
        self.scope_matches(request)
            && contains(&self.operations, request.operation.name())
            && contains(&self.groups, &request.resource.group)
            && contains(&self.versions, &request.resource.version)
            && self.resource_matches(request)
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == request.name))
    }

    /// Whether the rule could be about a request for another version of its resource.
    pub fn may_match_another_version(&self, request: &RequestedResource<'_>) -> bool {
        contains(&self.operations, request.operation.name())
            && contains(&self.groups, &request.resource.group)
            && self.resource_matches(request)
    }

    fn resource_matches(&self, request: &RequestedResource<'_>) -> bool {
        self.resources.iter().any(|pattern| {
            let (resource, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
            (resource == "*" || resource == request.resource.name)
                && (subresource == "*" || subresource == request.subresource)
        })
    }

    fn scope_matches(&self, request: &RequestedResource<'_>) -> bool {
        // A namespace is in no namespace, though requests for it name one.
        let is_namespace = request.resource.group.is_empty() && request.resource.name == "namespaces";
        let namespaced = !is_namespace && !request.namespace.is_empty();
        match self.scope.as_str() {
            "*" | "" => true,
            "Namespaced" => namespaced,
            "Cluster" => !namespaced,
            _ => false,
        }
    }
}
