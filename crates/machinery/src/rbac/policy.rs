//! The objects of one Kubernetes API, indexed for decisions.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;

use super::{Attributes, GROUP, PolicyRule, Requester, RoleRef, Subject, null_is_empty};
use crate::status_error::{aggregate, quote};

/// Which object of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectRef<'a> {
    /// Plural resource name: `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub resource: &'a str,
    /// Namespace, empty for the kinds of the cluster.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether a rule allows it.
    pub allowed: bool,
    /// Which binding allows it, or what could not be evaluated; empty where no rule matched.
    pub reason: String,
}

#[derive(Debug, PartialEq)]
struct Binding {
    name: String,
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    role: RoleRef,
    subjects: Vec<Subject>,
}

/// Bindings for one subject, by name, each with the index of the subject.
type Applying = BTreeMap<String, (Arc<Binding>, usize)>;

/// What [`Policy::visit`] shows: a binding, the index of the subject by which it applies and the rules of its role.
type Visitor<'v> = dyn FnMut(&Binding, usize, Result<&[PolicyRule], String>) -> bool + 'v;

/// Bindings of one namespace, or of the cluster.
#[derive(Clone, Debug, Default)]
struct Bindings {
    named: HashMap<String, Arc<Binding>>,
    /// By user name, ServiceAccounts among them.
    of_users: HashMap<String, Applying>,
    of_groups: HashMap<String, Applying>,
}

/// The roles and bindings of one Kubernetes API.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// By namespace, which is empty for ClusterRoles, and name.
    roles: HashMap<String, HashMap<String, Arc<[PolicyRule]>>>,
    /// By namespace, which is empty for ClusterRoleBindings.
    bindings: HashMap<String, Bindings>,
}

#[derive(Deserialize)]
struct RoleObject {
    #[serde(default, deserialize_with = "null_is_empty")]
    rules: Vec<PolicyRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BindingObject {
    #[serde(default, deserialize_with = "null_is_empty")]
    subjects: Vec<Subject>,
    #[serde(default, deserialize_with = "null_is_empty")]
    role_ref: RoleRef,
}

/// The rules of a role object; none where it is malformed.
pub(super) fn rules_of(role: &Value) -> Vec<PolicyRule> {
    RoleObject::deserialize(role).map(|role| role.rules).unwrap_or_default()
}

impl Policy {
    /// Takes over the state of an object, or its absence. A malformed object grants nothing. Rules equal to those that
    /// `shared` has under the same name are shared with it instead of kept again.
    pub fn set(&mut self, at: ObjectRef<'_>, object: Option<&Value>, shared: Option<&Self>) {
        if at.resource.ends_with("roles") {
            let by_name = self.roles.entry(at.namespace.to_owned()).or_default();
            match object {
                Some(object) => {
                    let rules = rules_of(object);
                    let known = shared.and_then(|shared| shared.roles.get(at.namespace)?.get(at.name));
                    let rules = known.filter(|known| ***known == *rules).cloned().unwrap_or_else(|| rules.into());
                    by_name.insert(at.name.to_owned(), rules);
                }
                None => drop(by_name.remove(at.name)),
            }
        } else {
            let bindings = self.bindings.entry(at.namespace.to_owned()).or_default();
            bindings.remove(at.name);
            if let Some(Ok(object)) = object.map(BindingObject::deserialize) {
                bindings.insert(Binding {
                    name: at.name.to_owned(),
                    namespace: at.namespace.to_owned(),
                    role: object.role_ref,
                    subjects: object.subjects,
                });
            }
        }
    }

    /// Decides. Bindings of the cluster are looked at first, then those of the namespace, each in order of their names.
    pub fn authorize(&self, requester: &Requester<'_>, attributes: &Attributes<'_>) -> Decision {
        let mut allowed = None;
        let mut errors = Vec::new();
        let namespace = if attributes.path.is_some() { "" } else { attributes.namespace };
        self.visit(requester, namespace, &mut |binding, subject, rules| match rules {
            Ok(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                allowed = Some(describe(binding, &binding.subjects[subject]));
                false
            }
            Ok(_) => true,
            Err(error) => {
                errors.push(error);
                true
            }
        });
        match allowed {
            Some(by) => Decision { allowed: true, reason: format!("RBAC: allowed by {by}") },
            None if errors.is_empty() => Decision::default(),
            None => Decision { allowed: false, reason: format!("RBAC: {}", aggregate(errors)) },
        }
    }

    /// All rules that apply to somebody in a namespace (empty: only those of the cluster), and what could not be
    /// evaluated.
    pub fn rules_for(&self, requester: &Requester<'_>, namespace: &str) -> (Vec<PolicyRule>, Option<String>) {
        let mut found = Vec::new();
        let mut errors = Vec::new();
        self.visit(requester, namespace, &mut |_, _, rules| {
            match rules {
                Ok(rules) => found.extend(rules.iter().cloned()),
                Err(error) => errors.push(error),
            }
            true
        });
        (found, (!errors.is_empty()).then(|| aggregate(errors)))
    }

    /// The rules of a role as a binding in `namespace` (empty for a ClusterRoleBinding) refers to it.
    ///
    /// # Errors
    /// The real server's text where there is no such role.
    pub fn referenced_rules(&self, role: &RoleRef, namespace: &str) -> Result<&Arc<[PolicyRule]>, String> {
        let (namespace, resource) = match role.kind.as_str() {
            "ClusterRole" => ("", "clusterrole"),
            "Role" => (namespace, "role"),
            other => return Err(format!("unsupported role reference kind: {}", quote(other))),
        };
        // Without a namespace there are no Roles, and the map's empty namespace has the ClusterRoles.
        let rules = if resource == "role" && namespace.is_empty() { None } else { self.roles.get(namespace) };
        let missing = || format!("{resource}.{GROUP} {} not found", quote(&role.name));
        rules.and_then(|roles| roles.get(&role.name)).ok_or_else(missing)
    }

    /// Shows every binding that applies, until `take` says false.
    fn visit(&self, requester: &Requester<'_>, namespace: &str, take: &mut Visitor<'_>) {
        let scopes = [Some(""), Some(namespace).filter(|namespace| !namespace.is_empty())];
        for scope in scopes.into_iter().flatten() {
            let Some(bindings) = self.bindings.get(scope) else { continue };
            for (binding, subject) in bindings.of(requester).into_values() {
                let rules = self.referenced_rules(&binding.role, scope).map(|rules| &**rules);
                if !take(binding, subject, rules) {
                    return;
                }
            }
        }
    }
}

impl Bindings {
    fn insert(&mut self, binding: Binding) {
        let binding = Arc::new(binding);
        for (index, subject) in binding.subjects.iter().enumerate() {
            if let Some(entries) = self.entries(subject, &binding.namespace) {
                entries.entry(binding.name.clone()).or_insert_with(|| (binding.clone(), index));
            }
        }
        self.named.insert(binding.name.clone(), binding);
    }

    fn remove(&mut self, name: &str) {
        let Some(binding) = self.named.remove(name) else { return };
        for subject in &binding.subjects {
            if let Some(entries) = self.entries(subject, &binding.namespace) {
                entries.remove(name);
            }
        }
        self.of_users.retain(|_, entries| !entries.is_empty());
        self.of_groups.retain(|_, entries| !entries.is_empty());
    }

    /// Where bindings for a subject are kept; none for a subject that is nobody.
    fn entries(&mut self, subject: &Subject, binding_namespace: &str) -> Option<&mut Applying> {
        match subject.kind.as_str() {
            "User" => Some(self.of_users.entry(subject.name.clone()).or_default()),
            "Group" => Some(self.of_groups.entry(subject.name.clone()).or_default()),
            "ServiceAccount" => {
                let own = Some(subject.namespace.as_str()).filter(|namespace| !namespace.is_empty());
                let namespace = own.unwrap_or(binding_namespace);
                let user = format!("system:serviceaccount:{namespace}:{}", subject.name);
                (!namespace.is_empty()).then(|| self.of_users.entry(user).or_default())
            }
            _ => None,
        }
    }

    /// The bindings that apply, by name, each with the first subject that does.
    fn of(&self, requester: &Requester<'_>) -> BTreeMap<&str, (&Binding, usize)> {
        let mut found: BTreeMap<&str, (&Binding, usize)> = BTreeMap::new();
        let as_user = self.of_users.get(requester.name);
        let as_member = requester.groups.iter().filter_map(|group| self.of_groups.get(group));
        for (name, (binding, subject)) in as_user.into_iter().chain(as_member).flatten() {
            let first = found.entry(name).or_insert((binding, *subject));
            first.1 = first.1.min(*subject);
        }
        found
    }
}

fn describe(binding: &Binding, subject: &Subject) -> String {
    let (kind, name) = if binding.namespace.is_empty() {
        ("ClusterRoleBinding", binding.name.clone())
    } else {
        ("RoleBinding", format!("{}/{}", binding.name, binding.namespace))
    };
    let whom = match subject.kind.as_str() {
        "ServiceAccount" => {
            let own = Some(&subject.namespace).filter(|namespace| !namespace.is_empty());
            format!("{}/{}", subject.name, own.unwrap_or(&binding.namespace))
        }
        _ => subject.name.clone(),
    };
    format!(
        "{kind} {} of {} {} to {} {}",
        quote(&name),
        binding.role.kind,
        quote(&binding.role.name),
        subject.kind,
        quote(&whom)
    )
}
