//! The roles and bindings every Kubernetes API starts with, and how stored ones are brought up to them.

use std::sync::LazyLock;

use kogge_machinery::{
    rbac::{self, ObjectRef, Policy, PolicyRule},
    status_error::ApiError,
};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::group_resource;
use crate::{
    builtin::schemas::unpack, object_writer::ObjectWriter, pipeline::WriteScope, plane::Plane, store::ObjectKey,
};

/// Field manager of the objects.
pub(crate) const MANAGER: &str = "kube-apiserver";

/// `false` here keeps a role or binding as its owner made it.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

static PACKED: &[u8] = include_bytes!("../../schemas/access-policy.json.zz");

static OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let raw = unpack(PACKED).expect("the generator packed it and a test reads it");
    let mut objects: Vec<Value> = serde_json::from_slice(&raw).expect("the generator wrote it and a test reads it");
    // `admin` aggregates `edit`, which aggregates `view`.
    while let [first, ..] = &rbac::aggregate(objects.iter().filter(|object| object["kind"] == "ClusterRole"))[..] {
        for object in objects.iter_mut().filter(|object| object["metadata"]["name"] == first.name.as_str()) {
            if object["kind"] == "ClusterRole" {
                first.apply_to(object);
            }
        }
    }
    objects
});

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let mut policy = Policy::default();
    for object in objects() {
        let key = key_of(object);
        let at = ObjectRef { resource: &key.resource.resource, namespace: &key.namespace, name: &key.name };
        policy.set(at, Some(object), None);
    }
    policy
});

/// The objects, without what a server adds.
pub(crate) fn objects() -> &'static [Value] {
    &OBJECTS
}

/// What a plane decides by that stores none of them.
pub(crate) fn policy() -> &'static Policy {
    &POLICY
}

fn key_of(object: &Value) -> ObjectKey {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let resource = match text("/kind") {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        "ClusterRoleBinding" => "clusterrolebindings",
        _ => "rolebindings",
    };
    ObjectKey {
        resource: group_resource(resource),
        namespace: text("/metadata/namespace").to_owned(),
        name: text("/metadata/name").to_owned(),
    }
}

/// Adds to a stored object what it lacks of the one every API starts with.
///
/// # Errors
/// If the plane cannot be read or written.
pub(crate) async fn reconcile(plane: &Plane, expected: &Value) -> Result<(), ApiError> {
    let key = key_of(expected);
    let lacks = plane.get_value(&key)?.is_some_and(|mut stored| add_missing(&mut stored, expected));
    if !lacks {
        return Ok(());
    }
    let writer = ObjectWriter { plane, manager: MANAGER };
    writer.change(&key, WriteScope::Main, |stored| add_missing(stored, expected)).await
}

/// Adds rules, subjects, selectors, labels and annotations; says whether any were missing. A binding of another role is
/// left alone: its role cannot be changed.
fn add_missing(stored: &mut Value, expected: &Value) -> bool {
    if stored.pointer(&format!("/metadata/annotations/{}", AUTO_UPDATE.replace('/', "~1"))) == Some(&json!("false")) {
        return false;
    }
    if stored["roleRef"] != expected["roleRef"] {
        return false;
    }
    let mut changed = false;
    for field in ["labels", "annotations"] {
        changed |= add_entries(&mut stored["metadata"], &expected["metadata"], field);
    }
    let aggregated = expected.get("aggregationRule").is_some();
    if aggregated {
        let pointer = "/aggregationRule/clusterRoleSelectors";
        let wanted = expected.pointer(pointer).and_then(Value::as_array);
        if stored.pointer(pointer).is_none() {
            stored["aggregationRule"] = json!({"clusterRoleSelectors": []});
        }
        changed |= add_items(stored.pointer_mut(pointer), wanted);
    } else if let Some(wanted) = expected["rules"].as_array() {
        let rules = |list: &Value| Vec::<PolicyRule>::deserialize(list).unwrap_or_default();
        let missing = rbac::covers(&rules(&stored["rules"]), &rules(&wanted.clone().into()));
        changed |= !missing.is_empty();
        match stored["rules"].as_array_mut() {
            Some(rules) => rules.extend(missing.iter().map(|rule| json!(rule))),
            None => stored["rules"] = json!(missing),
        }
    }
    if let Some(wanted) = expected["subjects"].as_array() {
        if !stored["subjects"].is_array() {
            stored["subjects"] = json!([]);
        }
        changed |= add_items(stored.get_mut("subjects"), Some(wanted));
    }
    changed
}

fn add_items(stored: Option<&mut Value>, wanted: Option<&Vec<Value>>) -> bool {
    let (Some(Value::Array(stored)), Some(wanted)) = (stored, wanted) else { return false };
    let missing: Vec<Value> = wanted.iter().filter(|item| !stored.contains(item)).cloned().collect();
    stored.extend(missing.iter().cloned());
    !missing.is_empty()
}

fn add_entries(stored: &mut Value, expected: &Value, field: &str) -> bool {
    let Some(wanted) = expected[field].as_object() else { return false };
    if !stored[field].is_object() {
        stored[field] = Value::Object(Map::new());
    }
    let Some(entries) = stored[field].as_object_mut() else { return false };
    let before = entries.len();
    for (name, value) in wanted {
        entries.entry(name.clone()).or_insert_with(|| value.clone());
    }
    entries.len() > before
}

#[cfg(test)]
mod tests {
    use kogge_machinery::rbac::{Attributes, Requester};

    use super::*;

    #[test]
    fn every_api_starts_with_the_same_roles() {
        let names: Vec<String> = objects().iter().map(|object| key_of(object).to_string()).collect();
        insta::assert_snapshot!(names.join("\n"));
        assert!(rbac::aggregate(objects().iter().filter(|object| object["kind"] == "ClusterRole")).is_empty());
    }

    #[test]
    fn the_shared_policy_lets_people_discover_and_masters_do_everything() {
        let may = |group: &str, attributes: Attributes<'_>| {
            let groups = [group.to_owned()];
            policy().authorize(&Requester { name: "anna", groups: &groups }, &attributes).allowed
        };
        let path = |path| Attributes { verb: "get", path: Some(path), ..Attributes::default() };
        let delete = Attributes { verb: "delete", resource: "nodes", name: "a", ..Attributes::default() };
        assert!(may("system:authenticated", path("/apis/apps/v1")));
        assert!(!may("system:authenticated", path("/metrics")));
        assert!(may("system:masters", delete));
        assert!(!may("system:authenticated", delete));
    }

    #[test]
    fn what_was_taken_away_comes_back_and_what_was_added_stays() {
        let expected = objects().iter().find(|object| object["metadata"]["name"] == "system:discovery").unwrap();
        let mut stored = expected.clone();
        assert!(!add_missing(&mut stored, expected));
        stored["rules"] = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
        stored["metadata"]["labels"] = json!({"mine": "1"});
        assert!(add_missing(&mut stored, expected));
        assert_eq!(stored["rules"][0]["resources"], json!(["pods"]));
        assert_eq!(stored["metadata"]["labels"], json!({"mine": "1", "kubernetes.io/bootstrapping": "rbac-defaults"}));
        assert!(!add_missing(&mut stored, expected));
        stored["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
        stored["rules"] = json!([]);
        assert!(!add_missing(&mut stored, expected));
    }
}
