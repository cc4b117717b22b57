use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::SchemaNode;

fn list_of(items: SchemaNode, merge_key: Option<&str>, strategy: &str) -> Arc<SchemaNode> {
    Arc::new(SchemaNode {
        schema_type: "array".to_owned(),
        items: Some(Arc::new(items)),
        patch_merge_key: merge_key.map(str::to_owned),
        patch_strategy: Some(strategy.to_owned()),
        ..SchemaNode::default()
    })
}

fn object(properties: Vec<(&str, Arc<SchemaNode>)>) -> SchemaNode {
    SchemaNode {
        schema_type: "object".to_owned(),
        properties: properties.into_iter().map(|(key, node)| (key.to_owned(), node)).collect(),
        ..SchemaNode::default()
    }
}

/// The parts of a pod and a deployment that merge in every way there is.
fn pod() -> SchemaNode {
    let container = object(vec![
        ("env", list_of(SchemaNode::default(), Some("name"), "merge")),
        ("args", Arc::new(SchemaNode::default())),
        ("ports", list_of(SchemaNode::default(), Some("containerPort"), "merge")),
    ]);
    let metadata = object(vec![("finalizers", list_of(SchemaNode::default(), None, "merge"))]);
    let strategy = SchemaNode { patch_strategy: Some("retainKeys".to_owned()), ..SchemaNode::default() };
    let spec = object(vec![
        ("containers", list_of(container, Some("name"), "merge")),
        ("tolerations", Arc::new(SchemaNode::default())),
        ("volumes", list_of(SchemaNode::default(), Some("name"), "merge,retainKeys")),
        ("strategy", Arc::new(strategy)),
    ]);
    object(vec![("metadata", Arc::new(metadata)), ("spec", Arc::new(spec))])
}

fn strategic(original: &Value, patch: &Value) -> String {
    let before = original.clone();
    let outcome = match strategic_merge_patch(original, patch, &pod()) {
        Ok(merged) => merged.to_string(),
        Err(error) => format!("{} {error}", error.code()),
    };
    assert_eq!(*original, before);
    outcome
}

#[test]
fn strategic_patches_merge_as_in_the_real_server() {
    let containers = || {
        json!({"spec": {"containers": [
        {"name": "a", "image": "1", "env": [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]},
        {"name": "b", "image": "1"}, {"name": "c", "image": "1"},
    ], "tolerations": [{"key": "k"}], "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
       "volumes": [{"name": "v", "emptyDir": {}}]},
       "metadata": {"finalizers": ["f1", "f2"], "labels": {"l": "1", "m": "2"}}})
    };
    let spec = |patch: Value| strategic(&containers(), &json!({"spec": patch}));
    let cases = [
        ("merge by key", spec(json!({"containers": [{"name": "b", "image": "2"}]}))),
        ("new item stands before", spec(json!({"containers": [{"name": "d"}]}))),
        (
            "nested merge",
            spec(json!({"containers": [{"name": "a", "env": [{"name": "y", "value": "3"}, {"name": "z"}]}]})),
        ),
        ("delete item", spec(json!({"containers": [{"name": "a", "$patch": "delete"}]}))),
        ("replace list", spec(json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}))),
        ("replace map", spec(json!({"$patch": "replace", "x": 1}))),
        ("delete map", spec(json!({"strategy": {"$patch": "delete"}}))),
        (
            "order",
            spec(
                json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "a", "image": "9"}]}),
            ),
        ),
        (
            "order with new and deleted",
            spec(
                json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "n"}, {"name": "b"}], "containers": [{"name": "n"}, {"name": "a", "$patch": "delete"}]}),
            ),
        ),
        (
            "order mismatch",
            spec(
                json!({"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "containers": [{"name": "b"}, {"name": "a"}]}),
            ),
        ),
        ("atomic list", spec(json!({"tolerations": [{"key": "n"}]}))),
        ("retain keys", spec(json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}))),
        (
            "retain keys of an item",
            spec(json!({"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]})),
        ),
        ("retain keys malformed", spec(json!({"strategy": {"$retainKeys": ["x"], "type": "Recreate"}}))),
        (
            "nulls delete",
            strategic(&containers(), &json!({"spec": null, "metadata": {"labels": {"l": null, "n": null}}})),
        ),
        ("primitive union", strategic(&containers(), &json!({"spec": null, "metadata": {"finalizers": ["f3", "f1"]}}))),
        (
            "primitive delete",
            strategic(
                &containers(),
                &json!({"spec": null, "metadata": {"$deleteFromPrimitiveList/finalizers": ["f1"]}}),
            ),
        ),
        (
            "primitive order",
            strategic(
                &containers(),
                &json!({"spec": null, "metadata": {"$setElementOrder/finalizers": ["f2", "f0"], "finalizers": ["f0"], "$deleteFromPrimitiveList/finalizers": ["f1"]}}),
            ),
        ),
        ("no merge key", spec(json!({"containers": [{"image": "2"}]}))),
        ("unknown directive", spec(json!({"$patch": "steal"}))),
        (
            "new content loses directives",
            strategic(
                &json!({}),
                &json!({"spec": {"containers": [{"name": "a", "env": [{"name": "x", "$patch": "delete"}], "image": null}]}}),
            ),
        ),
        ("not an object", strategic(&json!({}), &json!([]))),
    ];
    let lines: Vec<String> = cases.iter().map(|(name, outcome)| format!("{name}:\n  {outcome}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn merge_patches_follow_the_examples_of_rfc_7396() {
    let cases = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ];
    let kubernetes = (json!({}), json!({"a": [null, {"b": null, "c": 1}]}), json!({"a": [null, {"c": 1}]}));
    for (original, patch, expected) in cases.into_iter().chain([kubernetes]) {
        assert_eq!(merge_patch(&original, &patch), expected, "{original} + {patch}");
    }
}

#[test]
fn json_patches_follow_rfc_6902_and_kubernetes() {
    let document = json!({"a": {"b": [1, 2, 3]}, "m~n": 1, "x/y": 2, "": 3, "z": null});
    let cases = [
        json!([{"op": "add", "path": "/a/c", "value": 9}]),
        json!([{"op": "add", "path": "/a/b/1", "value": 9}, {"op": "add", "path": "/a/b/-", "value": 8}]),
        json!([{"op": "add", "path": "/a/b/-1", "value": 9}]),
        json!([{"op": "add", "path": "/a/b/3", "value": 9}]),
        json!([{"op": "add", "path": "/a/b/4", "value": 9}]),
        json!([{"op": "add", "path": "/a/b/01", "value": 9}]),
        json!([{"op": "add", "path": "/q/r", "value": 9}]),
        json!([{"op": "remove", "path": "/a/b/0"}, {"op": "remove", "path": "/m~0n"}, {"op": "remove", "path": "/x~1y"}, {"op": "remove", "path": "/"}]),
        json!([{"op": "remove", "path": "/a/b/-1"}]),
        json!([{"op": "remove", "path": "/q"}]),
        json!([{"op": "replace", "path": "/a/b", "value": []}]),
        json!([{"op": "replace", "path": "/q", "value": []}]),
        json!([{"op": "replace", "path": "/q/r", "value": []}]),
        json!([{"op": "copy", "from": "/q", "path": "/r"}]),
        json!([{"op": "test", "path": "/q/r", "value": null}]),
        json!([{"op": "test", "path": "/a/b/3", "value": null}]),
        json!([{"op": "replace", "path": "", "value": {"new": 1}}]),
        json!([{"op": "move", "from": "/a/b/0", "path": "/first"}]),
        json!([{"op": "move", "from": "/a", "path": "/a/b"}]),
        json!([{"op": "copy", "from": "/a/b", "path": "/a/c"}]),
        json!([{"op": "test", "path": "/a/b/0", "value": 1.0}, {"op": "test", "path": "/nothing", "value": null}, {"op": "test", "path": "/z", "value": null}]),
        json!([{"op": "test", "path": "/a/b/0", "value": 2}]),
        json!([{"op": "remove", "path": "/a"}, {"op": "test", "path": "/m~0n", "value": 2}]),
        json!([{"op": "steal", "path": "/a"}]),
        json!([{"op": "add", "path": "/a"}]),
        json!([{"op": "add", "value": 1}]),
        json!([{"op": "add", "path": "a", "value": 1}]),
        json!({"op": "add"}),
    ];
    let lines: Vec<String> = cases
        .iter()
        .map(|patch| match json_patch(&document, patch) {
            Ok(patched) => format!("{patch}\n  {patched}"),
            Err(error) => format!("{patch}\n  {} {error}", error.code()),
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    let many =
        Value::Array(vec![json!({"op": "test", "path": "/z", "value": null}); MAXIMUM_JSON_PATCH_OPERATIONS + 1]);
    assert_eq!(json_patch(&document, &many).unwrap_err().code(), 413);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..5_i64).prop_map(Value::from),
        "[a-c$/]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![4 => "[a-c]{1,2}", 1 => Just("spec".to_owned()), 1 => Just("containers".to_owned()), 1 => Just("name".to_owned()),
            1 => Just("$patch".to_owned()), 1 => Just("$retainKeys".to_owned()), 1 => Just("$setElementOrder/containers".to_owned()), 1 => Just("$deleteFromPrimitiveList/finalizers".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn merging_a_patch_twice_is_merging_it_once(original in any_json(), patch in any_json()) {
        let once = merge_patch(&original, &patch);
        prop_assert_eq!(merge_patch(&once, &patch), once);
    }

    #[test]
    fn an_empty_strategic_patch_changes_nothing(original in any_json()) {
        prop_assume!(original.is_object());
        prop_assert_eq!(strategic_merge_patch(&original, &json!({}), &pod()).unwrap(), original);
    }

    #[test]
    fn no_patch_makes_the_patchers_panic(original in any_json(), patch in any_json(), path in "(/[a-c0-9~-]{0,3}){0,3}", from in "(/[a-c0-9~-]{0,3}){0,3}") {
        let _ = strategic_merge_patch(&original, &patch, &pod());
        let _ = json_patch(&original, &patch);
        for operation in ["add", "remove", "replace", "test", "copy", "move"] {
            let _ = json_patch(&original, &json!([{"op": operation, "path": path, "from": from, "value": patch}]));
        }
    }
}

/// Without the nulls and maps with `$patch` the reference implementation leaves in new content.
fn cleaned(value: &Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key("$patch") => None,
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Some(kept.filter_map(|(key, value)| Some((key.clone(), cleaned(value)?))).collect())
        }
        Value::Array(items) => Some(items.iter().filter_map(cleaned).collect()),
        other => Some(other.clone()),
    }
}

/// The parts of a Deployment's schema the vectors use.
fn deployment() -> SchemaNode {
    let container = object(vec![
        ("env", list_of(SchemaNode::default(), Some("name"), "merge")),
        ("ports", list_of(SchemaNode::default(), Some("containerPort"), "merge")),
    ]);
    let spec = object(vec![
        ("containers", list_of(container, Some("name"), "merge")),
        ("volumes", list_of(SchemaNode::default(), Some("name"), "merge,retainKeys")),
        ("imagePullSecrets", list_of(SchemaNode::default(), Some("name"), "merge")),
        ("hostAliases", list_of(SchemaNode::default(), Some("ip"), "merge")),
    ]);
    let template = object(vec![("spec", Arc::new(spec))]);
    let metadata = object(vec![("finalizers", list_of(SchemaNode::default(), None, "merge"))]);
    object(vec![("metadata", Arc::new(metadata)), ("spec", Arc::new(object(vec![("template", Arc::new(template))])))])
}

#[test]
fn strategic_patches_give_what_the_reference_implementation_gives() {
    let schema = deployment();
    let mut differences = Vec::new();
    for (index, line) in include_str!("../../strategic-merge-vectors/vectors.jsonl").lines().enumerate() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let merged = strategic_merge_patch(&vector["original"], &vector["patch"], &schema);
        let agrees = match (&merged, vector.get("expected")) {
            (Ok(merged), Some(expected)) => cleaned(merged) == cleaned(expected),
            (Err(_), None) => true,
            _ => false,
        };
        if !agrees {
            differences.push(format!(
                "line {}: {line}\n  here: {}",
                index + 1,
                merged.map_or_else(|error| error.to_string(), |merged| merged.to_string())
            ));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
