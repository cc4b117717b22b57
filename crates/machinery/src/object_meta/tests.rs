use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::LazySchema;

pub(crate) fn resource(group: &str, kind: &str, custom: bool) -> ResourceType {
    let plural = format!("{}s", kind.to_lowercase());
    ResourceType {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        singular: kind.to_lowercase(),
        plural,
        short_names: vec![],
        categories: vec![],
        namespaced: kind != "Namespace",
        verbs: vec![],
        storage_version: "v1".to_owned(),
        status_subresource: true,
        scale: None,
        subresources: vec![],
        columns: vec![],
        selectable_fields: vec![],
        custom,
        has_generation: true,
        deprecation_warning: None,
        schema: LazySchema::none(),
        cells: None,
        counted: &[],
    }
}

fn widget() -> ResourceType {
    resource("example.com", "Widget", true)
}

fn stored() -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.io/x"]},
        "spec": {"a": 1}, "status": {"b": 2},
    })
}

#[test]
fn a_create_owns_nothing_of_the_server() {
    let mut object = json!({
        "metadata": {"name": "x", "uid": "mine", "creationTimestamp": "1999-01-01T00:00:00Z", "generation": 9,
            "deletionTimestamp": "1999-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3, "selfLink": "/", "labels": {"a": "b"}},
        "spec": {}, "status": {"b": 1},
    });
    prepare_create(&widget(), &mut object, "u-1", "2026-01-01T00:00:00Z").unwrap();
    insta::assert_json_snapshot!(object);
}

#[test]
fn an_update_bumps_the_generation_for_changes_outside_metadata_and_status_only() {
    let generation = |change: fn(&mut Value), resource: &ResourceType| {
        let mut new = stored();
        change(&mut new);
        prepare_update(resource, &stored(), &mut new).unwrap();
        new["metadata"]["generation"].as_i64().unwrap()
    };
    let mut plain = widget();
    plain.status_subresource = false;
    assert_eq!(generation(|new| new["spec"]["a"] = json!(2), &widget()), 4);
    assert_eq!(generation(|new| new["extra"] = json!(2), &widget()), 4);
    assert_eq!(generation(|new| new["metadata"]["labels"] = json!({"a": "b"}), &widget()), 3);
    assert_eq!(generation(|new| new["status"] = json!({}), &widget()), 3);
    assert_eq!(generation(|new| new["status"] = json!({}), &plain), 4);
    assert_eq!(generation(|new| new["metadata"]["generation"] = json!(99), &widget()), 3);
}

#[test]
fn an_update_restores_what_the_server_owns() {
    let mut new = json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "x", "namespace": "n", "resourceVersion": "7", "creationTimestamp": null, "labels": {"l": "1"}},
        "spec": {"a": 1}, "status": {"b": 99},
    });
    prepare_update(&widget(), &stored(), &mut new).unwrap();
    insta::assert_json_snapshot!(new);
}

#[test]
fn updates_the_real_server_refuses_are_refused_in_its_words() {
    let attempt = |resource: &ResourceType, old: &Value, change: fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        if let Err(error) = prepare_update(resource, old, &mut new) {
            return format!("{} {error}", error.code());
        }
        let rounds = MetadataRounds { as_change: 1, as_whole: 0 };
        let errors = validate_changed_metadata(resource, &new, old, rounds);
        if errors.is_empty() {
            return "accepted".to_owned();
        }
        errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; ")
    };
    let mut dying = stored();
    mark_deleting(&mut dying, "2026-01-02T00:00:00Z", 0);
    let config_map = resource("", "ConfigMap", false);
    let lines = [
        attempt(&widget(), &stored(), |new| new["metadata"]["resourceVersion"] = json!("6")),
        attempt(&widget(), &stored(), |new| new["metadata"]["resourceVersion"] = json!(null)),
        attempt(&config_map, &stored(), |new| new["metadata"]["resourceVersion"] = json!(null)),
        attempt(&widget(), &stored(), |new| new["metadata"]["uid"] = json!("other")),
        attempt(&widget(), &stored(), |new| new["metadata"]["name"] = json!("y")),
        attempt(&widget(), &stored(), |new| new["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z")),
        attempt(&widget(), &dying, |new| new["metadata"]["finalizers"] = json!(["c/d", "a.io/x", "a/b"])),
        attempt(&widget(), &dying, |new| new["metadata"]["finalizers"] = json!([])),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_status_update_changes_nothing_else() {
    let mut new = json!({"metadata": {"name": "x", "resourceVersion": "7", "labels": {"l": "1"}, "managedFields": [{"manager": "m"}]},
        "spec": {"a": 99}, "status": {"b": 3}, "extra": 1});
    prepare_status_update(&widget(), &stored(), &mut new).unwrap();
    insta::assert_json_snapshot!(new);

    let mut node = stored();
    node["metadata"]["labels"] = json!({"kubelet": "yes"});
    node["spec"] = json!({});
    prepare_status_update(&resource("", "Node", false), &stored(), &mut node).unwrap();
    assert_eq!((&node["metadata"]["labels"]["kubelet"], &node["spec"]["a"]), (&json!("yes"), &json!(1)));
}

#[test]
fn deletion_is_marked_once_and_ends_with_the_last_finalizer() {
    let mut object = stored();
    assert!(mark_deleting(&mut object, "2026-01-02T00:00:00Z", 0));
    assert_eq!(object["metadata"]["generation"], 4);
    assert!(!mark_deleting(&mut object, "2027-01-02T00:00:00Z", 0));
    assert!(!is_finalized(&object));
    object["metadata"]["finalizers"] = json!([]);
    assert!(is_finalized(&object));
}

#[test]
fn metadata_mistakes_are_told_in_the_words_of_the_real_server() {
    let object = json!({"metadata": {
        "name": "Bad_Name", "generateName": "-x-", "generation": -1,
        "labels": {"a/b/c": "ok", "good": "-bad-", "/x": "", "n": 5},
        "annotations": {"UPPER.io/ok": "1", "b@d": ""},
        "finalizers": ["no spaces", "orphan", "foregroundDeletion"],
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "1", "controller": true},
            {"apiVersion": "a/", "kind": "", "name": "", "uid": "", "controller": true},
        ],
        "managedFields": [{"operation": "Steal", "fieldsType": "V2", "manager": "a\tb"}],
    }});
    let lines: Vec<String> =
        validate_metadata(&widget(), &object).iter().map(|error| format!("{} {error}", error.kind.reason())).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn names_are_judged_by_kind() {
    let role = resource("rbac.authorization.k8s.io", "Role", false);
    let cases = [
        (&widget(), "a.b-c"),
        (&widget(), "a..b"),
        (&resource("", "Namespace", false), "a.b"),
        (&resource("", "Service", false), "1a"),
        (&role, "system:node"),
        (&role, "a/b%"),
        (&role, ".."),
        (&resource("batch", "CronJob", false), "a123456789a123456789a123456789a123456789a123456789abc"),
    ];
    let lines: Vec<String> = cases
        .iter()
        .map(|(resource, name)| format!("{} {name}: {:?}", resource.kind, validate_name(resource, name)))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn finalizers_without_a_domain_are_warned_about_once() {
    let old = json!({"metadata": {"finalizers": ["old"]}});
    let new = json!({"metadata": {"finalizers": ["old", "orphan", "plain", "a.b", "a.b/c"]}});
    insta::assert_json_snapshot!(finalizer_warnings(&new, Some(&old)));
}

#[test]
fn the_namespace_and_name_of_the_body_follow_the_url() {
    let mut object = json!({"metadata": {"name": "x"}});
    ensure_namespace(&mut object, "n").unwrap();
    ensure_name(&mut object, "x").unwrap();
    assert_eq!(object["metadata"], json!({"name": "x", "namespace": "n"}));
    insta::assert_snapshot!(ensure_namespace(&mut object, "m").unwrap_err(), @"the namespace of the provided object does not match the namespace sent on the request");
    insta::assert_snapshot!(ensure_name(&mut object, "y").unwrap_err(), @"the name of the object (x) does not match the name on the URL (y)");
    ensure_namespace(&mut object, "").unwrap();
    assert_eq!(object["metadata"], json!({"name": "x"}));
}

proptest! {
    #[test]
    fn generated_names_are_valid_when_their_prefix_is(prefix in "[a-z0-9]([a-z0-9-]{0,70})", random in any::<[u8; 5]>()) {
        let name = generate_name(&prefix, random);
        prop_assert!(name.len() <= 63);
        prop_assert_eq!(validate_name(&widget(), &name), None);
    }

    #[test]
    fn no_object_makes_metadata_rules_panic(name in "\\PC{0,12}", labels in prop::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..4)) {
        let mut object = json!({"metadata": {"name": name, "generateName": name, "labels": labels, "annotations": labels, "finalizers": [name]}});
        let _ = validate_metadata(&widget(), &object);
        let old = object.clone();
        let _ = prepare_update(&widget(), &old, &mut object);
    }
}
