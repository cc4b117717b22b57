//! What is wrong with the expressions of a validating policy where objects have the types of the kinds it is about
//! (`k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go` 1.36). It is told in the policy's status and
//! changes nothing else: a policy may come before the kinds it is about, and their schemas may change.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    Expressions, GroupVersionName,
    policy::{items, text},
};
use crate::{
    cel::{
        declarations::{Declarations, Names, check},
        signatures::Signature,
        types::Type,
    },
    schema::rule_types::RuleNames,
};

/// So many kinds a rule names are looked at.
const MOST_KINDS: usize = 10;

/// A kind, and the schemas that are published with it.
#[derive(Clone, Debug)]
pub struct PublishedKind {
    /// The kind.
    pub kind: GroupVersionName,
    /// `components.schemas` of the OpenAPI document of its group version.
    pub schemas: Arc<Map<String, Value>>,
}

impl PublishedKind {
    /// The names in expressions on its objects; none if it has no schema. Its type is told from others by a number, as by
    /// nanoseconds in the real server.
    fn names(&self, number: usize) -> Option<RuleNames<'_>> {
        let GroupVersionName { group, version, name } = &self.kind;
        let identity = json!({"group": group, "version": version, "kind": name});
        let is_it = |schema: &&Value| items(&schema["x-kubernetes-group-version-kind"]).any(|known| *known == identity);
        let schema = self.schemas.values().find(is_it)?;
        Some(RuleNames::of_objects(schema, &self.schemas, &format!("{name}{number}")))
    }
}

/// The kinds that the rules of a policy name, without those of patterns and of subresources, in order of group, version and kind.
/// `kind_of` says which kind a group, a version and a plural stand for.
pub fn kinds_to_check(policy: &Value, kind_of: impl Fn(&str, &str, &str) -> Option<String>) -> Vec<GroupVersionName> {
    let mut found = BTreeSet::new();
    for rule in items(&policy["spec"]["matchConstraints"]["resourceRules"]) {
        let named = |field: &str| -> BTreeSet<&str> { items(&rule[field]).filter_map(Value::as_str).collect() };
        let (groups, versions) = (named("apiGroups"), named("apiVersions"));
        if groups.iter().chain(&versions).any(|name| name.contains('*')) {
            continue;
        }
        let mut plurals = named("resources");
        plurals.retain(|plural| !plural.contains(['*', '/']));
        let mut count = 0;
        for (group, version) in groups.iter().flat_map(|group| versions.iter().map(move |version| (*group, *version))) {
            for kind in plurals.iter().filter_map(|plural| kind_of(group, version, plural)) {
                found.insert((group.to_owned(), version.to_owned(), kind));
                count += 1;
                if count == MOST_KINDS {
                    return kinds(found);
                }
            }
        }
    }
    kinds(found)
}

fn kinds(found: BTreeSet<(String, String, String)>) -> Vec<GroupVersionName> {
    found.into_iter().map(|(group, version, name)| GroupVersionName { group, version, name }).collect()
}

/// The kind of a policy's parameters, if it has any.
pub fn parameter_kind(policy: &Value) -> Option<GroupVersionName> {
    let kind = policy["spec"].get("paramKind").filter(|kind| kind.is_object())?;
    let (group, version) = text(kind, "apiVersion").split_once('/').unwrap_or(("", text(kind, "apiVersion")));
    Some(GroupVersionName { group: group.to_owned(), version: version.to_owned(), name: text(kind, "kind").to_owned() })
}

/// The `expressionWarnings` of a policy: for each expression what is wrong with it if objects are of one of the `kinds`, and
/// parameters, where that is known, of theirs.
pub fn expression_warnings(policy: &Value, kinds: &[PublishedKind], parameters: Option<&PublishedKind>) -> Vec<Value> {
    let expressions: Vec<(String, &str)> = items(&policy["spec"]["validations"])
        .enumerate()
        .flat_map(|(index, validation)| {
            ["expression", "messageExpression"]
                .map(|field| (format!("spec.validations[{index}].{field}"), text(validation, field)))
        })
        .filter(|(place, expression)| !expression.is_empty() || place.ends_with(".expression"))
        .collect();
    let mut found: Vec<Vec<String>> = vec![Vec::new(); expressions.len()];
    for kind in kinds {
        let Some(object) = kind.names(1) else { continue };
        let parameters = parameters.and_then(|kind| kind.names(2));
        let mut known = Expressions::new(parameter_kind(policy).is_some(), true);
        for variable in items(&policy["spec"]["variables"]) {
            let names = TypedNames::of(&known, &object, parameters.as_ref());
            let of = check(text(variable, "expression"), &names);
            known.add_variable(text(variable, "name"), of.as_ref().ok());
        }
        let names = TypedNames::of(&known, &object, parameters.as_ref());
        let GroupVersionName { group, version, name } = &kind.kind;
        for ((_, expression), found) in expressions.iter().zip(&mut found) {
            if let Err(problems) = check(expression, &names) {
                found.push(format!("{group}/{version}, Kind={name}: {problems}\n"));
            }
        }
    }
    let with_problems = expressions.iter().zip(found).filter(|(_, found)| !found.is_empty());
    with_problems.map(|((place, _), found)| json!({"fieldRef": place, "warning": found.join("\n")})).collect()
}

/// What an expression may refer to where the types of objects and parameters are known.
struct TypedNames<'n> {
    declarations: Declarations,
    object: &'n RuleNames<'n>,
    parameters: Option<&'n RuleNames<'n>>,
}

impl<'n> TypedNames<'n> {
    fn of(expressions: &Expressions, object: &'n RuleNames<'n>, parameters: Option<&'n RuleNames<'n>>) -> Self {
        let mut declarations = expressions.declarations(true, true);
        // Only the authorizer itself is known here.
        declarations.withdraw("authorizer.requestResource");
        Self { declarations, object, parameters }
    }
}

impl Names for TypedNames<'_> {
    fn name(&self, name: &str) -> Option<Type> {
        let declared = self.declarations.name(name)?;
        let typed = match name {
            "object" | "oldObject" => self.object.own(),
            "params" => self.parameters.and_then(RuleNames::own),
            _ => None,
        };
        Some(typed.cloned().unwrap_or(declared))
    }

    fn has_fields(&self, object: &str) -> bool {
        let names: [&dyn Names; 2] = [self.object, &self.declarations];
        let of_parameters = self.parameters.is_some_and(|names| names.has_fields(object));
        of_parameters || names.into_iter().any(|names| names.has_fields(object))
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        let of_parameters = || self.parameters.and_then(|names| names.field(object, field));
        let found = self.object.field(object, field).or_else(of_parameters);
        found.or_else(|| self.declarations.field(object, field))
    }

    fn function(&self, name: &str) -> Option<&'static [Signature]> {
        self.declarations.function(name)
    }
}
