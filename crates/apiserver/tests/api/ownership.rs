//! Server-side apply and managed fields.

use serde_json::{Value, json};

use crate::client::{CONFIG_MAPS, WIDGETS, open, widget};

fn managers(object: &Value) -> Vec<String> {
    let mut managers: Vec<String> = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| format!("{} {}", entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap()))
        .collect();
    managers.sort();
    managers
}

#[tokio::test]
async fn apply_creates_owns_conflicts_and_gives_up() {
    let client = open().await;
    client.define_widgets().await;
    let path = format!("{WIDGETS}/a");
    let apply = async |manager: &str, spec: Value, force: bool| {
        client.patch(&format!("{path}?fieldManager={manager}&force={force}"), "apply", &widget("a", &spec)).await
    };
    let created = apply("one", json!({"replicas": 1, "parts": [{"name": "p", "weight": 1}]}), false).await;
    assert_eq!(created.code, 201);
    let created = created.ok();
    assert_eq!(managers(&created), ["one Apply"]);
    let same = apply("one", json!({"replicas": 1, "parts": [{"name": "p", "weight": 1}]}), false).await.ok();
    assert_eq!(same, created, "the same again writes nothing");
    let merged = apply("two", json!({"parts": [{"name": "q"}]}), false).await.ok();
    assert_eq!(merged["spec"]["parts"], json!([{"name": "p", "weight": 1}, {"name": "q"}]));
    let conflict = apply("two", json!({"replicas": 2, "parts": [{"name": "q"}]}), false).await;
    insta::assert_snapshot!(conflict.error());
    let forced = apply("two", json!({"replicas": 2}), true).await.ok();
    assert_eq!(
        (&forced["spec"]["replicas"], &forced["spec"]["parts"]),
        (&json!(2), &json!([{"name": "p", "weight": 1}]))
    );
    let given_up = apply("one", json!({}), false).await.ok();
    assert_eq!((given_up["spec"].get("parts"), &given_up["spec"]["replicas"]), (None, &json!(2)));
}

#[tokio::test]
async fn other_writes_are_tracked_as_updates_by_the_client_named() {
    let client = open().await;
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1"}});
    let created = client
        .send(http::Method::POST, CONFIG_MAPS, &[("user-agent", "tester/1.0 (linux)")], object.to_string().into_bytes())
        .await
        .ok();
    assert_eq!(managers(&created), ["tester Update"]);
    let path = format!("{CONFIG_MAPS}/a");
    let patched = client.patch(&format!("{path}?fieldManager=other"), "merge", &json!({"data": {"b": "2"}})).await.ok();
    assert_eq!(managers(&patched), ["other Update", "tester Update"]);
    let entries = patched["metadata"]["managedFields"].as_array().unwrap();
    let other = entries.iter().find(|entry| entry["manager"] == "other").unwrap();
    assert_eq!(other["fieldsV1"], json!({"f:data": {"f:b": {}}}));
    let long = "x".repeat(129);
    assert_eq!(client.patch(&format!("{path}?fieldManager={long}"), "merge", &json!({})).await.code, 422);
}

#[tokio::test]
async fn an_apply_must_name_its_manager_and_carry_no_managed_fields() {
    let client = open().await;
    client.define_widgets().await;
    let path = format!("{WIDGETS}/a");
    let nameless = client.patch(&path, "apply", &widget("a", &json!({}))).await;
    insta::assert_snapshot!(nameless.error(), @r#"
    422 Invalid: PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch
      FieldValueRequired fieldManager: Required value: is required for apply patch
    "#);
    let mut managed = widget("a", &json!({}));
    managed["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    let managed = client.patch(&format!("{path}?fieldManager=a"), "apply", &managed).await;
    assert_eq!((managed.code, managed.body["message"].as_str()), (400, Some("metadata.managedFields must be nil")));
    let forced = client.patch(&format!("{path}?force=true"), "merge", &json!({})).await;
    assert_eq!(forced.code, 422, "force is for apply only");
}

#[tokio::test]
async fn status_is_applied_through_its_endpoint_only() {
    let client = open().await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("a", &json!({"replicas": 1}))).await.ok();
    let mut applied = widget("a", &json!({"replicas": 7}));
    applied["status"] = json!({"ready": true});
    let status = client.patch(&format!("{WIDGETS}/a/status?fieldManager=s"), "apply", &applied).await.ok();
    assert_eq!((&status["status"], &status["spec"]["replicas"]), (&json!({"ready": true}), &json!(1)));
    let entry =
        status["metadata"]["managedFields"].as_array().unwrap().iter().find(|entry| entry["manager"] == "s").unwrap();
    assert_eq!((&entry["subresource"], &entry["fieldsV1"]), (&json!("status"), &json!({"f:status": {"f:ready": {}}})));
    let missing =
        client.patch(&format!("{WIDGETS}/none/status?fieldManager=s"), "apply", &widget("none", &json!({}))).await;
    assert_eq!(missing.code, 404, "a status alone cannot be created");
}
