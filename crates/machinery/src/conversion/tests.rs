//! What a webhook may and may not do to an object.

use serde_json::{Value, json};

use super::*;

fn original() -> Value {
    json!({
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "a", "uid": "u", "generation": 3, "labels": {"x": "y"}, "annotations": {"k": "v"}},
        "spec": {"replicas": 1},
    })
}

fn convert(change: impl FnOnce(&mut Value)) -> Result<Vec<Value>, String> {
    let mut converted = original();
    converted["apiVersion"] = "example.com/v2".into();
    change(&mut converted);
    let answer = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {"uid": "r", "result": {"status": "Success"}, "convertedObjects": [converted]},
    });
    converted_objects("v1", "r", "example.com/v2", &[&original()], answer)
}

#[test]
fn only_labels_and_annotations_of_the_metadata_may_change() {
    let converted = convert(|object| {
        object["metadata"] =
            json!({"name": "a", "uid": "u", "generation": 9, "finalizers": ["mine"], "labels": {"x": "z"}});
        object["spec"] = json!({"count": 1});
    });
    let expected = json!({
        "apiVersion": "example.com/v2",
        "kind": "Widget",
        "metadata": {"name": "a", "uid": "u", "generation": 3, "labels": {"x": "z"}},
        "spec": {"count": 1},
    });
    assert_eq!(converted.unwrap(), [expected]);
}

#[test]
fn other_changes_are_refused_in_the_words_of_the_real_server() {
    let changes: [fn(&mut Value); 12] = [
        |object| *object = Value::Null,
        |object| *object = json!("text"),
        |object| *object = json!({}),
        |object| object["kind"] = Value::Null,
        |object| object["apiVersion"] = "example.com/v3".into(),
        |object| object["kind"] = "Gadget".into(),
        |object| object["metadata"]["name"] = "b".into(),
        |object| object["metadata"]["uid"] = "v".into(),
        |object| object["metadata"] = json!("none"),
        |object| object["metadata"]["labels"] = json!(["x"]),
        |object| object["metadata"]["annotations"] = json!({"k": 1}),
        |object| object["metadata"]["labels"] = json!({"x": "no value!"}),
    ];
    let texts: Vec<String> = changes.into_iter().map(|change| convert(change).unwrap_err()).collect();
    insta::assert_snapshot!(texts.join("\n"));
}
