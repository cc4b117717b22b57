use proptest::prelude::*;

use super::*;
use crate::schema::Schema;

fn manager<'a>(name: &'a str, now: &'a str) -> FieldManager<'a> {
    FieldManager {
        empty: None,
        name,
        api_version: "example.com/v1",
        subresource: "",
        status_subresource: true,
        status_takes_metadata: false,
        status_leaves_metadata: &[],
        resets_spec: false,
        now,
        versions: &OnlyVersion,
    }
}

#[allow(clippy::needless_pass_by_value)] // callers write it in place
fn widget(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

fn schema() -> Schema {
    let text = json!({"type": "string"});
    Schema::compile(&json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "replicas": {"type": "integer"},
                    "items": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "required": ["name"], "properties": {"name": text, "value": text}}
                    }
                }
            },
            "status": {"type": "object", "properties": {"phase": text}}
        }
    }))
    .unwrap()
}

#[test]
fn an_apply_owns_what_it_states_and_removes_what_it_no_longer_states() {
    let schema = schema();
    let root = Some(&*schema.root);
    let first = widget(json!({"replicas": 1, "items": [{"name": "a", "value": "1"}, {"name": "b"}]}));
    let created = apply(None, &first, root, &manager("one", "2026-01-01T00:00:00Z"), false).unwrap();
    let second = widget(json!({"items": [{"name": "a", "value": "1"}]}));
    let shared = apply(Some(&created), &second, root, &manager("two", "2026-01-01T00:00:01Z"), false).unwrap();
    let third = widget(json!({"replicas": 1}));
    let left = apply(Some(&shared), &third, root, &manager("one", "2026-01-01T00:00:02Z"), false).unwrap();
    insta::assert_json_snapshot!(left);
}

#[test]
fn a_conflict_names_every_field_and_its_owner() {
    let schema = schema();
    let root = Some(&*schema.root);
    let first = widget(json!({"replicas": 1, "items": [{"name": "a", "value": "1"}]}));
    let live = apply(None, &first, root, &manager("one", "2026-01-01T00:00:00Z"), false).unwrap();
    let old = live;
    let mut live = old.clone();
    live["spec"]["replicas"] = json!(2);
    track_update(Some(&old), &mut live, root, &manager("editor", "2026-01-01T00:00:01Z")).unwrap();
    let wanted = widget(json!({"replicas": 3, "items": [{"name": "a", "value": "2"}]}));
    let error = apply(Some(&live), &wanted, root, &manager("two", "2026-01-01T00:00:02Z"), false).unwrap_err();
    insta::assert_json_snapshot!(error.status());
}

#[test]
fn an_apply_that_does_not_fit_the_schema_says_where() {
    let schema = schema();
    let wrong = widget(json!({"replicas": "many", "colour": "red", "items": [{"name": "a"}, {"name": "a"}]}));
    let error = apply(None, &wrong, Some(&schema.root), &manager("one", "2026-01-01T00:00:00Z"), false).unwrap_err();
    insta::assert_snapshot!(error.status().message, @r#"
    failed to create typed patch object (/w; example.com/v1, Kind=Widget): errors:
      .spec.colour: field not declared in schema
      .spec.items: duplicate entries for key [name="a"]
      .spec.replicas: expected numeric (int or float), got string
    "#);
}

#[test]
fn entries_of_a_version_that_is_not_served_are_dropped() {
    let mut live = widget(json!({"replicas": 1}));
    live["metadata"]["managedFields"] = json!([{
        "apiVersion": "example.com/v1alpha1", "fieldsType": "FieldsV1", "manager": "old", "operation": "Apply",
        "fieldsV1": {"f:spec": {"f:count": {}, "f:replicas": {}}}, "time": "2026-01-01T00:00:00Z"
    }]);
    let next = widget(json!({"replicas": 2}));
    let after = apply(Some(&live), &next, None, &manager("new", "2026-01-01T00:00:01Z"), false).unwrap();
    let managers = after["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managers.iter().map(|entry| &entry["manager"]).collect::<Vec<_>>(), ["new"]);
    assert_eq!(after["spec"]["replicas"], json!(2));
}

#[test]
fn parts_of_maps_that_became_whole_are_owned_as_a_whole_unless_their_values_are_untyped() {
    let whole =
        |values: Value| json!({"type": "object", "additionalProperties": values, "x-kubernetes-map-type": "atomic"});
    let spec = json!({
        "texts": whole(json!({"type": "string"})),
        "bytes": whole(json!({"type": "string", "format": "byte"})),
        "ports": whole(json!({"x-kubernetes-int-or-string": true})),
        "times": whole(json!({"type": "string", "format": "date-time"})),
        "moons": whole(json!({"type": "string", "format": "of-the-moon"})),
        "objects": whole(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-map-type": "atomic"},
    });
    let names: Vec<String> = spec.as_object().unwrap().keys().cloned().collect();
    let spec = json!({"type": "object", "properties": spec});
    let schema = Schema::compile(&json!({"type": "object", "properties": {"spec": spec}})).unwrap();
    let parts: Map<String, Value> = names.iter().map(|name| (format!("f:{name}"), json!({"f:k": {}}))).collect();
    let mut object = widget(json!({}));
    object["metadata"]["managedFields"] = json!([{
        "apiVersion": "example.com/v1", "fieldsType": "FieldsV1", "manager": "old", "operation": "Apply",
        "fieldsV1": {"f:spec": parts}, "time": "2026-01-01T00:00:00Z"
    }]);
    track_update(None, &mut object, Some(&schema.root), &manager("new", "2026-01-01T00:00:01Z")).unwrap();
    let owned = object["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"].as_object().unwrap();
    let adapted: Vec<&str> =
        owned.iter().filter(|(_, parts)| **parts == json!({})).map(|(name, _)| name.as_str()).collect();
    assert_eq!(adapted, ["f:bytes", "f:objects", "f:texts"], "{owned:?}");
}

#[test]
fn a_write_that_only_moves_times_is_no_write() {
    let first = widget(json!({"replicas": 1}));
    let one = apply(None, &first, None, &manager("one", "2026-01-01T00:00:00Z"), false).unwrap();
    let later = apply(None, &first, None, &manager("one", "2026-01-02T00:00:00Z"), false).unwrap();
    let other = apply(None, &first, None, &manager("two", "2026-01-01T00:00:00Z"), false).unwrap();
    assert!(equal_except_managed_time(&one, &later));
    assert!(!equal_except_managed_time(&one, &other));
}

fn element() -> impl Strategy<Value = PathElement> {
    prop_oneof![
        "[a-c.:]{0,3}".prop_map(PathElement::field),
        prop::collection::btree_map(
            "[a-b]",
            prop_oneof![any::<i64>().prop_map(Value::from), "[a-b<]".prop_map(Value::from)],
            1..3
        )
        .prop_map(|fields| PathElement::key(fields.into_iter().collect())),
        prop_oneof![
            any::<i64>().prop_map(Value::from),
            ".{0,3}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from)
        ]
        .prop_map(PathElement::Value),
        any::<i64>().prop_map(PathElement::Index),
    ]
}

fn sets() -> impl Strategy<Value = FieldSet> {
    prop::collection::vec(prop::collection::vec(element(), 1..4), 0..12).prop_map(|paths| {
        let mut set = FieldSet::default();
        for path in paths {
            set.insert(&path);
        }
        set
    })
}

proptest! {
    #[test]
    fn field_sets_survive_their_encoding(set in sets()) {
        prop_assert_eq!(FieldSet::decode(&set.encode()).unwrap(), set);
    }

    #[test]
    fn union_difference_and_intersection_fit_together(left in sets(), right in sets()) {
        let mut union = left.clone();
        union.add(right.clone());
        let mut only_left = union.clone();
        only_left.remove(&right);
        let mut expected = left.clone();
        expected.remove(&right);
        prop_assert_eq!(&only_left, &expected);
        let common = left.intersection(&right);
        prop_assert_eq!(&common, &right.intersection(&left));
        only_left.add(common);
        prop_assert_eq!(only_left, left);
    }

    #[test]
    fn no_text_makes_reading_managed_fields_panic(key in ".{0,12}", below in ".{0,6}") {
        let _ = FieldSet::decode(&json!({key: {below: {}}}));
    }
}
