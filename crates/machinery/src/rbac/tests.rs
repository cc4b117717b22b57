use proptest::prelude::*;
use serde_json::{Value, json};

use super::{validation::validate, *};
use crate::status_error::FieldError;

fn rule(fields: Value) -> PolicyRule {
    serde_json::from_value(fields).unwrap()
}

fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn set(policy: &mut Policy, resource: &str, object: &Value) {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let at = ObjectRef { resource, namespace: text("/metadata/namespace"), name: text("/metadata/name") };
    policy.set(at, Some(object), None);
}

fn role(namespace: &str, name: &str, rules: &Value) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name}, "rules": rules})
}

fn binding(namespace: &str, name: &str, (kind, role): (&str, &str), subjects: &Value) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": subjects,
    })
}

/// Two namespaces with a reader, a robot and a dangling reference.
fn example() -> Policy {
    let mut policy = Policy::default();
    let read = json!([{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]);
    set(&mut policy, "clusterroles", &role("", "reader", &read));
    set(
        &mut policy,
        "roles",
        &role(
            "a",
            "one",
            &json!([
                {"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["update"]},
                {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"], "verbs": ["*"]},
            ]),
        ),
    );
    set(
        &mut policy,
        "clusterroles",
        &role("", "paths", &json!([{"nonResourceURLs": ["/api/*", "/metrics"], "verbs": ["get"]}])),
    );
    let anna = json!([{"kind": "User", "name": "anna"}]);
    set(
        &mut policy,
        "rolebindings",
        &binding(
            "a",
            "readers",
            ("ClusterRole", "reader"),
            &json!([
                {"kind": "Group", "name": "crew"}, {"kind": "User", "name": "anna"}, {"kind": "ServiceAccount", "name": "robot"},
            ]),
        ),
    );
    set(&mut policy, "rolebindings", &binding("a", "scalers", ("Role", "one"), &anna));
    set(
        &mut policy,
        "rolebindings",
        &binding(
            "b",
            "robots",
            ("ClusterRole", "reader"),
            &json!([
                {"kind": "ServiceAccount", "name": "robot", "namespace": "a"},
            ]),
        ),
    );
    set(&mut policy, "rolebindings", &binding("b", "lost", ("Role", "gone"), &anna));
    set(
        &mut policy,
        "clusterrolebindings",
        &binding("", "paths", ("ClusterRole", "paths"), &json!([{"kind": "Group", "name": "crew"}])),
    );
    set(
        &mut policy,
        "clusterrolebindings",
        &binding("", "dangling", ("ClusterRole", "gone"), &json!([{"kind": "User", "name": "eve"}])),
    );
    policy
}

#[test]
fn decisions_name_the_binding_that_allows_or_what_is_missing() {
    let policy = example();
    let ask = |user: &str, member_of: &[&str], verb: &str, what: &str, namespace: &str, name: &str| {
        let groups = groups(member_of);
        let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let path = what.starts_with('/').then_some(what);
        let attributes = Attributes { verb, group, resource, subresource, namespace, name, path, field_selector: &[] };
        let decision = policy.authorize(&Requester { name: user, groups: &groups }, &attributes);
        let verdict = if decision.allowed { "yes" } else { "no " };
        format!("{verdict} {user} {member_of:?} {verb} {what} {namespace:?} {name:?} {}", decision.reason)
    };
    let robot = "system:serviceaccount:a:robot";
    insta::assert_snapshot!(
        [
            ask("anna", &[], "get", "pods", "a", "x"),
            ask("anna", &["crew"], "get", "pods", "a", "x"),
            ask("otto", &["crew"], "get", "pods/log", "a", "x"),
            ask("otto", &["crew"], "get", "pods/exec", "a", "x"),
            ask("otto", &["crew"], "get", "pods", "b", "x"),
            ask("otto", &["crew"], "list", "pods", "", ""),
            ask(robot, &[], "list", "pods", "a", ""),
            ask(robot, &[], "list", "pods", "b", ""),
            ask("system:serviceaccount:b:robot", &[], "list", "pods", "b", ""),
            ask("anna", &[], "update", "deployments.apps/scale", "a", "other"),
            ask("anna", &[], "update", "deployments.apps", "a", "other"),
            ask("anna", &[], "delete", "deployments.apps", "a", "web"),
            ask("anna", &[], "create", "deployments.apps", "a", ""),
            ask("anna", &[], "get", "pods", "b", ""),
            ask("eve", &["crew"], "get", "/api/v1", "", ""),
            ask("eve", &["crew"], "get", "/metrics/x", "", ""),
            ask("anna", &[], "get", "/metrics", "a", ""),
        ]
        .join("\n")
    );
}

#[test]
fn a_role_is_granted_only_by_who_has_it() {
    let owned = [
        rule(json!({"apiGroups": [""], "resources": ["pods", "*/status"], "verbs": ["get", "list"]})),
        rule(json!({"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]})),
        rule(json!({"nonResourceURLs": ["/healthz/*"], "verbs": ["get"]})),
    ];
    let missing = |wanted: Value| {
        let wanted: Vec<PolicyRule> = serde_json::from_value(wanted).unwrap();
        let missing = covers(&owned, &wanted);
        let groups = groups(&["crew", "system:authenticated"]);
        escalation_message(&Requester { name: "anna", groups: &groups }, &missing, None)
    };
    assert!(covers(&owned, &owned).is_empty());
    insta::assert_snapshot!(
        [
            missing(json!([{"apiGroups": ["", "apps"], "resources": ["pods", "secrets", "nodes/status"], "verbs": ["get", "list", "delete"]}])),
            missing(json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*", "/healthz/a"], "verbs": ["get"]}])),
            missing(json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"], "verbs": ["get", "watch"]}])),
        ]
        .join("\n\n")
    );
}

#[test]
fn aggregated_roles_take_the_rules_of_the_selected() {
    let labelled = |name: &str, verbs: &[&str]| {
        json!({"metadata": {"name": name, "labels": {"to-edit": "true"}},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]})
    };
    let mut edit = json!({
        "metadata": {"name": "edit", "labels": {"to-edit": "true"}},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to-edit": "true"}}, {"matchExpressions": [{"key": "to-edit", "operator": "Exists"}]}]},
        "rules": [{"apiGroups": [""], "resources": ["stale"], "verbs": ["get"]}],
    });
    let others = [labelled("b", &["list"]), labelled("a", &["get"]), labelled("c", &["get"])];
    let result = aggregate(others.iter().chain([&edit]));
    assert_eq!(result.len(), 1);
    result[0].apply_to(&mut edit);
    assert_eq!(
        edit["rules"],
        json!([
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        ])
    );
    assert_eq!(aggregate(others.iter().chain([&edit])), []);
}

#[test]
fn wrong_objects_are_refused_in_the_real_servers_words() {
    let lines = |resource: &str, object: &Value, old: Option<&Value>| {
        let errors: Vec<String> = validate(resource, object, old).iter().map(FieldError::to_string).collect();
        format!("{resource}\n  {}", errors.join("\n  "))
    };
    let rules = json!({"rules": [
        {"verbs": []},
        {"verbs": ["get"], "nonResourceURLs": ["/x"], "apiGroups": [""]},
        {"verbs": ["get"], "apiGroups": [""]},
    ], "aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Maybe"}]}]}});
    let wrong = json!({
        "roleRef": {"apiGroup": "example.com", "kind": "Role", "name": "a/b"},
        "subjects": [
            {"kind": "ServiceAccount", "name": "Robot"},
            {"kind": "ServiceAccount", "name": "robot", "apiGroup": GROUP},
            {"kind": "User", "name": ""},
            {"kind": "Tree", "name": "oak"},
        ],
    });
    let right = json!({"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"}});
    insta::assert_snapshot!(
        [
            lines("roles", &rules, None),
            lines("clusterroles", &rules, None),
            lines("clusterroles", &json!({"aggregationRule": {}}), None),
            lines("clusterrolebindings", &wrong, None),
            lines("rolebindings", &wrong, Some(&right)),
        ]
        .join("\n")
    );
}

/// The rules of Kubernetes, without an index: every binding, every subject.
fn allowed_by_the_book(objects: &[(String, Value)], user: &str, member_of: &[String], asked: &Attributes<'_>) -> bool {
    objects.iter().filter(|(resource, _)| resource.ends_with("bindings")).any(|(_, binding)| {
        let namespace = binding["metadata"]["namespace"].as_str().unwrap();
        let applies = binding["subjects"].as_array().unwrap().iter().any(|subject| {
            let name = subject["name"].as_str().unwrap();
            match subject["kind"].as_str().unwrap() {
                "User" => name == user,
                "Group" => member_of.iter().any(|group| group == name),
                _ => {
                    let own = subject["namespace"].as_str().unwrap();
                    let at = if own.is_empty() { namespace } else { own };
                    !at.is_empty() && user == format!("system:serviceaccount:{at}:{name}")
                }
            }
        });
        let role_namespace = if binding["roleRef"]["kind"] == "Role" { namespace } else { "" };
        let kind = if binding["roleRef"]["kind"] == "Role" { "roles" } else { "clusterroles" };
        applies
            && (namespace.is_empty() || (asked.path.is_none() && namespace == asked.namespace))
            && objects
                .iter()
                .filter(|(resource, role)| {
                    resource == kind
                        && role["metadata"]["namespace"] == role_namespace
                        && role["metadata"]["name"] == binding["roleRef"]["name"]
                })
                .flat_map(|(_, role)| role["rules"].as_array().unwrap())
                .any(|one| rule(one.clone()).allows(asked))
    })
}

fn words(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(proptest::sample::select(of), 0..=most)
}

const RESOURCES: &[&str] = &["*", "pods", "pods/log", "*/log", "secrets"];

fn rules() -> impl Strategy<Value = Value> {
    let resources = (words(&["*", "", "apps"], 2), words(RESOURCES, 2), words(&["x", "y"], 1), words(&["*", "get", "list"], 2))
        .prop_map(|(groups, resources, names, verbs)| {
            json!({"apiGroups": groups, "resources": resources, "resourceNames": names, "verbs": verbs})
        });
    let paths = (words(&["*", "/a", "/a/*", "/a*"], 2), words(&["*", "get"], 1))
        .prop_map(|(urls, verbs)| json!({"nonResourceURLs": urls, "verbs": verbs}));
    proptest::collection::vec(prop_oneof![3 => resources, 1 => paths], 0..3).prop_map(Value::from)
}

fn object() -> impl Strategy<Value = (String, Value)> {
    let namespace = proptest::sample::select(&["a", "b"][..]);
    let name = proptest::sample::select(&["r", "s"][..]);
    let subject = (
        proptest::sample::select(&["User", "Group", "ServiceAccount"][..]),
        proptest::sample::select(&["u", "v"][..]),
        proptest::sample::select(&["", "a", "b"][..]),
    )
        .prop_map(|(kind, name, namespace)| json!({"kind": kind, "name": name, "namespace": namespace}));
    (
        proptest::bool::ANY,
        namespace,
        name.clone(),
        name,
        rules(),
        proptest::collection::vec(subject, 0..3),
        proptest::bool::ANY,
        proptest::bool::ANY,
    )
        .prop_map(|(cluster, namespace, name, referenced, rules, subjects, is_role, to_cluster_role)| {
            let namespace = if cluster { "" } else { namespace };
            let prefix = if cluster { "cluster" } else { "" };
            if is_role {
                (format!("{prefix}roles"), role(namespace, name, &rules))
            } else {
                let kind = if cluster || to_cluster_role { "ClusterRole" } else { "Role" };
                (format!("{prefix}rolebindings"), binding(namespace, name, (kind, referenced), &subjects.into()))
            }
        })
}

proptest! {
    #[test]
    fn the_index_decides_as_a_look_at_every_binding(
        written in proptest::collection::vec((object(), proptest::bool::weighted(0.2)), 0..24),
        user in proptest::sample::select(&["u", "system:serviceaccount:a:u", "system:serviceaccount:b:v"][..]),
        member_of in words(&["u", "v"], 2),
        verb in proptest::sample::select(&["get", "list", "delete"][..]),
        what in proptest::sample::select(&["pods", "pods/log", "secrets", "/a", "/a/b", "/b"][..]),
        group in proptest::sample::select(&["", "apps"][..]),
        namespace in proptest::sample::select(&["", "a", "b"][..]),
        name in proptest::sample::select(&["", "x"][..]),
    ) {
        let mut policy = Policy::default();
        let mut objects: Vec<(String, Value)> = Vec::new();
        for ((resource, object), deleted) in written {
            let metadata = object["metadata"].clone();
            objects.retain(|(known, other)| *known != resource || other["metadata"] != metadata);
            let text = |field: &str| metadata[field].as_str().unwrap();
            let at = ObjectRef { resource: &resource, namespace: text("namespace"), name: text("name") };
            policy.set(at, (!deleted).then_some(&object), None);
            if !deleted {
                objects.push((resource, object));
            }
        }
        let member_of = groups(&member_of);
        let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
        let path = what.starts_with('/').then_some(what);
        let asked = Attributes { verb, group, resource, subresource, namespace, name, path, field_selector: &[] };
        let decision = policy.authorize(&Requester { name: user, groups: &member_of }, &asked);
        prop_assert_eq!(decision.allowed, allowed_by_the_book(&objects, user, &member_of, &asked));
    }

    #[test]
    fn what_is_covered_is_allowed(owned in rules(), wanted in rules(), resource in proptest::sample::select(RESOURCES)) {
        let parse = |rules: &Value| -> Vec<PolicyRule> { serde_json::from_value(rules.clone()).unwrap() };
        let (owned, wanted) = (parse(&owned), parse(&wanted));
        let missing = covers(&owned, &wanted);
        let mut extended = owned.clone();
        extended.extend(missing.iter().cloned());
        prop_assert!(covers(&extended, &wanted).is_empty());
        if missing.is_empty() {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            for (verb, path) in [("get", None), ("list", None), ("get", Some("/a/b")), ("get", Some("/a"))] {
                for (group, name) in [("", "x"), ("apps", "y"), ("", "")] {
                    let asked = Attributes { verb, group, resource, subresource, namespace: "", name, path, field_selector: &[] };
                    let allows = |rules: &[PolicyRule]| rules.iter().any(|rule| rule.allows(&asked));
                    prop_assert!(!allows(&wanted) || allows(&owned), "{asked:?}");
                }
            }
        }
    }
}
