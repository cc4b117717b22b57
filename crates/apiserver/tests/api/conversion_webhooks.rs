//! Custom kinds whose versions a webhook converts.

use futures::{AsyncBufReadExt as _, StreamExt as _};
use http::Request;
use serde_json::{Value, json};

use crate::{
    client::{Client, WIDGETS, open, widget, widgets},
    webhook_server::WebhookServer,
};

const OLD: &str = "/apis/example.com/v1beta1/namespaces/default/widgets";

/// `spec.replicas` is `spec.count` in the old version; an object named `stubborn` can not be converted.
fn convert(_: &str, review: &Value) -> Value {
    let request = &review["request"];
    let desired = request["desiredAPIVersion"].as_str().unwrap();
    let objects: Vec<Value> = request["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            let mut object = object.clone();
            object["apiVersion"] = desired.into();
            let (from, to) = if desired.ends_with("/v1") { ("count", "replicas") } else { ("replicas", "count") };
            if let Some(value) = object["spec"].as_object_mut().and_then(|spec| spec.remove(from)) {
                object["spec"][to] = value;
            }
            object["metadata"]["labels"]["converted-to"] = desired.rsplit('/').next().into();
            object["metadata"]["generation"] = 99.into();
            match object["metadata"]["name"].as_str().unwrap() {
                "renamed" => object["metadata"]["name"] = "other".into(),
                "mislabelled" => object["metadata"]["labels"]["no key!"] = "x".into(),
                _ => {}
            }
            object
        })
        .collect();
    let refused = objects.iter().any(|object| object["metadata"]["name"] == "stubborn");
    let result =
        if refused { json!({"status": "Failure", "message": "not this one"}) } else { json!({"status": "Success"}) };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "response": {"result": result, "convertedObjects": objects},
    })
}

async fn define(client: &Client, server: &WebhookServer) {
    let mut definition = widgets();
    let mut old = definition["spec"]["versions"][0].clone();
    old["name"] = "v1beta1".into();
    old["storage"] = false.into();
    let fields = &mut old["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let replicas = fields.as_object_mut().unwrap().remove("replicas").unwrap();
    fields["count"] = replicas;
    old["subresources"] = json!({"status": {}});
    old["additionalPrinterColumns"] = json!([]);
    // As the real server does, fields that all versions share are looked for in a schema that all share.
    old["selectableFields"] = json!([]);
    definition["spec"]["versions"].as_array_mut().unwrap().push(old);
    definition["spec"]["conversion"] = json!({
        "strategy": "Webhook",
        "webhook": {"clientConfig": server.client_config("/convert"), "conversionReviewVersions": ["v1"]},
    });
    client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.ok();
}

fn old_widget(name: &str, spec: &Value) -> Value {
    let mut old = widget(name, spec);
    old["apiVersion"] = "example.com/v1beta1".into();
    old
}

#[tokio::test]
async fn an_object_is_stored_in_one_version_and_read_in_every_one() {
    let server = WebhookServer::start(convert).await;
    let client = open().await;
    define(&client, &server).await;
    client.post(WIDGETS, &widget("a", &json!({"replicas": 1}))).await.ok();
    client.get(WIDGETS).await.ok();
    client.patch(&format!("{WIDGETS}/a"), "merge", &json!({"spec": {"replicas": 2}})).await.ok();
    assert_eq!(server.paths(), Vec::<String>::new(), "nobody converts what is in the wanted version");
    let old = client.get(&format!("{OLD}/a")).await.ok();
    assert_eq!(old["apiVersion"], "example.com/v1beta1");
    assert_eq!(old["spec"], json!({"count": 2, "size": "small"}));
    assert_eq!(old["metadata"]["labels"], json!({"converted-to": "v1beta1"}));
    assert_eq!(old["metadata"]["generation"], 2, "metadata but labels and annotations stays");
    client.get(&format!("{OLD}/a")).await.ok();
    assert_eq!(server.paths().len(), 2, "each read of one object asks again, as a webhook may have been mended");

    let created = client.post(OLD, &old_widget("b", &json!({"count": 5}))).await.ok();
    assert_eq!(created["spec"], json!({"count": 5, "size": "small"}));
    let stored = client.get(&format!("{WIDGETS}/b")).await.ok();
    assert_eq!(stored["spec"], json!({"replicas": 5, "size": "small"}));
    server.asked();
    let unchanged = client.patch(&format!("{OLD}/b"), "merge", &json!({"spec": {"count": 5}})).await.ok();
    assert_eq!(unchanged["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"]);
    let path = format!("{OLD}/b?fieldManager=me&force=true");
    let applied = client.patch(&path, "apply", &old_widget("b", &json!({"count": 6}))).await.ok();
    assert_eq!(applied["spec"]["count"], 6);
    assert_eq!(client.get(&format!("{WIDGETS}/b")).await.ok()["spec"]["replicas"], 6);
    client.delete(&format!("{OLD}/b"), &json!({})).await.ok();
}

#[tokio::test]
async fn lists_are_converted_in_one_call_and_watches_as_they_go() {
    let server = WebhookServer::start(convert).await;
    let client = open().await;
    define(&client, &server).await;
    for index in 0..5 {
        client.post(WIDGETS, &widget(&format!("w{index}"), &json!({"replicas": index}))).await.ok();
    }
    let list = client.get(OLD).await.ok();
    let counts: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["spec"]["count"]).collect();
    assert_eq!(counts, [0, 1, 2, 3, 4]);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1["request"]["objects"].as_array().unwrap().len(), 5);

    let request = Request::get(format!(
        "{OLD}?watch=true&resourceVersion={}",
        list["metadata"]["resourceVersion"].as_str().unwrap()
    ));
    let mut lines = client.kube.request_stream(request.body(Vec::new()).unwrap()).await.unwrap().lines();
    client.patch(&format!("{WIDGETS}/w0"), "merge", &json!({"spec": {"replicas": 7}})).await.ok();
    client.delete(&format!("{WIDGETS}/w1"), &json!({})).await.ok();
    for expected in ["MODIFIED example.com/v1beta1 w0 7", "DELETED example.com/v1beta1 w1 1"] {
        let event: Value = serde_json::from_str(&lines.next().await.unwrap().unwrap()).unwrap();
        let object = &event["object"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let found = format!(
            "{} {} {} {}",
            text(&event["type"]),
            text(&object["apiVersion"]),
            text(&object["metadata"]["name"]),
            object["spec"]["count"]
        );
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn what_a_webhook_makes_wrong_is_told_in_the_words_of_the_real_server() {
    let server = WebhookServer::start(convert).await;
    let client = open().await;
    define(&client, &server).await;
    let mut errors = Vec::new();
    for name in ["stubborn", "renamed", "mislabelled"] {
        client.post(WIDGETS, &widget(name, &json!({}))).await.ok();
        errors.push(client.get(&format!("{OLD}/{name}")).await.error());
    }
    errors.push(client.get(OLD).await.error());
    errors.push(client.post(OLD, &old_widget("stubborn", &json!({}))).await.error());
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    let url = json!({"spec": {"conversion": {"webhook": {"clientConfig": {"url": "https://127.0.0.1:1/gone"}}}}});
    client.patch(definition, "merge", &url).await.ok();
    errors.push(client.get(&format!("{OLD}/renamed")).await.error());
    insta::assert_snapshot!(errors.join("\n"));
}

fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let described = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        format!("{} {} {} {}", text("manager"), text("operation"), text("apiVersion"), entry["fieldsV1"]["f:spec"])
    };
    entries.iter().map(described).collect()
}

#[tokio::test]
async fn fields_are_owned_in_the_version_they_were_written_in() {
    let server = WebhookServer::start(convert).await;
    let client = open().await;
    define(&client, &server).await;
    let apply = async |manager: &str, object: Value, force: bool| {
        let path = if object["apiVersion"] == "example.com/v1" { WIDGETS } else { OLD };
        client.patch(&format!("{path}/a?fieldManager={manager}&force={force}"), "apply", &object).await
    };
    apply("one", widget("a", &json!({"replicas": 1})), false).await.ok();
    let refused = apply("two", old_widget("a", &json!({"count": 2})), false).await;
    assert_eq!(refused.code, 409);
    insta::assert_snapshot!(refused.error());
    let forced = apply("two", old_widget("a", &json!({"count": 2})), true).await.ok();
    assert_eq!(owners(&forced), [r#"two Apply example.com/v1beta1 {"f:count":{}}"#]);
    let moved = apply("two", widget("a", &json!({"size": "large"})), false).await.ok();
    assert_eq!(moved["spec"], json!({"size": "large"}), "what was applied in the old version is given up in the new");
    assert_eq!(owners(&moved), [r#"two Apply example.com/v1 {"f:size":{}}"#]);

    let patch = json!({"spec": {"count": 7}});
    client.patch(&format!("{OLD}/a?fieldManager=three"), "merge", &patch).await.ok();
    let patch = json!({"spec": {"replicas": 8}});
    let taken = client.patch(&format!("{WIDGETS}/a?fieldManager=four"), "merge", &patch).await.ok();
    assert_eq!(
        owners(&taken),
        [r#"two Apply example.com/v1 {"f:size":{}}"#, r#"four Update example.com/v1 {"f:replicas":{}}"#]
    );
}
