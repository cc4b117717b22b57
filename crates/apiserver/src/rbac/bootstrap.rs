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
    builtin::schemas::unpack,
    object_writer::{ObjectWriter, Propagation},
    pipeline::{self, WriteScope},
    plane::Plane,
    store::ObjectKey,
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

/// Adds to a stored object what it lacks of the one every API starts with. A binding of another role is replaced, as its
/// role cannot be changed.
///
/// # Errors
/// If the plane cannot be read or written.
pub(crate) async fn reconcile(plane: &Plane, expected: &Value) -> Result<(), ApiError> {
    let key = key_of(expected);
    let Some(mut stored) = plane.get_value(&key)? else { return Ok(()) };
    let writer = ObjectWriter { plane, manager: MANAGER };
    if binds_another_role(&stored, expected) {
        let uid = stored["metadata"]["uid"].as_str().unwrap_or_default();
        writer.delete(&key, uid, None, Propagation::Background).await?;
        pipeline::create_all_as(plane, vec![expected.clone()], MANAGER).await?;
        return Ok(());
    }
    if !add_missing(&mut stored, expected) {
        return Ok(());
    }
    writer.change(&key, WriteScope::Main, |stored| add_missing(stored, expected)).await
}

/// Whether the owner of a stored object wants it left alone.
fn is_protected(stored: &Value) -> bool {
    stored["metadata"]["annotations"][AUTO_UPDATE] == "false"
}

fn binds_another_role(stored: &Value, expected: &Value) -> bool {
    !is_protected(stored) && stored["roleRef"] != expected["roleRef"]
}

/// Adds rules, subjects, selectors, labels and annotations, and takes an aggregation away that is not meant to be; says
/// whether anything changed.
fn add_missing(stored: &mut Value, expected: &Value) -> bool {
    if is_protected(stored) || binds_another_role(stored, expected) {
        return false;
    }
    let mut changed = false;
    for field in ["labels", "annotations"] {
        changed |= add_entries(&mut stored["metadata"], &expected["metadata"], field);
    }
    let aggregated = expected.get("aggregationRule").is_some();
    if !aggregated && let Some(fields) = stored.as_object_mut() {
        changed |= fields.remove("aggregationRule").is_some_and(|rule| !rule.is_null());
    }
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
    use crate::server::{Server, ServerOptions};

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
        stored["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]});
        stored["metadata"]["labels"] = json!({"mine": "1"});
        assert!(add_missing(&mut stored, expected));
        assert_eq!(stored["rules"][0]["resources"], json!(["pods"]));
        assert_eq!(stored.get("aggregationRule"), None);
        assert_eq!(stored["metadata"]["labels"], json!({"mine": "1", "kubernetes.io/bootstrapping": "rbac-defaults"}));
        assert!(!add_missing(&mut stored, expected));
        stored["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
        stored["rules"] = json!([]);
        assert!(!add_missing(&mut stored, expected));
    }

    #[tokio::test]
    async fn a_binding_of_another_role_is_made_anew_unless_its_owner_protects_it() {
        let names = ["system:basic-user", "system:discovery"];
        let server = Server::open(ServerOptions::default()).await.unwrap();
        let plane = server.management();
        let mut uids = Vec::new();
        for name in names {
            let binding = objects()
                .iter()
                .find(|object| object["metadata"]["name"] == name && object["kind"] == "ClusterRoleBinding");
            let mut other = binding.unwrap().clone();
            other["roleRef"]["name"] = "view".into();
            other["subjects"] = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "anna"}]);
            if name == "system:discovery" {
                other["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
            }
            pipeline::create_all_as(&plane, vec![other], "test").await.unwrap();
            let stored = plane.get_value(&key_of(binding.unwrap())).unwrap().unwrap();
            uids.push(stored["metadata"]["uid"].clone());
        }
        super::super::settle(&plane, true).await.unwrap();
        let bound = names.map(|name| {
            let key = ObjectKey {
                resource: group_resource("clusterrolebindings"),
                namespace: String::new(),
                name: name.to_owned(),
            };
            let stored = plane.get_value(&key).unwrap().unwrap();
            (
                stored["roleRef"]["name"].clone(),
                stored["subjects"][0]["name"].clone(),
                uids.contains(&stored["metadata"]["uid"]),
            )
        });
        assert_eq!(
            bound,
            [("system:basic-user".into(), "system:authenticated".into(), false), ("view".into(), "anna".into(), true),]
        );
    }
}
