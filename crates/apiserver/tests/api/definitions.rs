//! CustomResourceDefinitions: establishing, changing, several versions, deleting, discovery and OpenAPI.

use serde_json::{Value, json};

use crate::client::{WIDGETS, open, open_as_installer, widget, widgets};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";

fn condition<'a>(definition: &'a Value, kind: &str) -> &'a str {
    definition["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind)
        .and_then(|condition| condition["status"].as_str())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_definition_is_established_with_its_create_and_found_by_discovery() {
    let client = open().await;
    let created = client.define_widgets().await;
    assert_eq!(created["status"]["acceptedNames"], json!({"kind": "", "plural": ""}), "as it was sent");
    let definition = client.get(DEFINITION).await.ok();
    assert_eq!((condition(&definition, "Established"), condition(&definition, "NamesAccepted")), ("True", "True"));
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(definition["status"]["acceptedNames"]["listKind"], "WidgetList");
    let group = client.get("/apis/example.com").await.ok();
    assert_eq!(group["preferredVersion"]["groupVersion"], "example.com/v1");
    let resources = client.get("/apis/example.com/v1").await.ok();
    let names: Vec<_> =
        resources["resources"].as_array().unwrap().iter().map(|resource| resource["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["widgets", "widgets/status", "widgets/scale"]);
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let aggregated = client.get_as("/apis", accept).await;
    assert!(aggregated.headers["content-type"].to_str().unwrap().contains("as=APIGroupDiscoveryList"));
    let tag = aggregated.headers["etag"].to_str().unwrap().to_owned();
    let groups = aggregated.ok();
    let ours =
        groups["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == "example.com").unwrap();
    assert_eq!(ours["versions"][0]["resources"][0]["resource"], "widgets");
    let same =
        client.send(http::Method::GET, "/apis", &[("accept", accept), ("if-none-match", &tag)], Vec::new()).await;
    assert_eq!(same.code, 304);
}

#[tokio::test]
async fn an_installer_creates_definitions_without_asking_whether_they_are_valid() {
    let (usual, own) = (open().await, open_as_installer().await);
    let mut definition = widgets();
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    schema["x-kubernetes-validations"] = json!([{"rule": "self.nothing == 1"}]);
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(usual.post(path, &definition).await.code, 422);
    own.post(path, &definition).await.ok();
    assert_eq!(condition(&own.get(DEFINITION).await.ok(), "Established"), "True");
    // All else is looked at as ever.
    let unnamed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A"}});
    assert_eq!(own.post("/api/v1/namespaces/default/configmaps", &unnamed).await.code, 422);
    let refused = own.post(WIDGETS, &widget("a", &json!({"size": "none"}))).await;
    assert_eq!(refused.code, 422, "{:#}", refused.body);
}

#[tokio::test]
async fn new_defaults_apply_to_old_objects_when_they_are_read() {
    let client = open().await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("a", &json!({}))).await.ok();
    let color = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color",
        "value": {"type": "string", "default": "blue"}}]);
    client.patch(DEFINITION, "json", &color).await.ok();
    assert_eq!(client.get(&format!("{WIDGETS}/a")).await.ok()["spec"]["color"], "blue");
    assert_eq!(client.get(WIDGETS).await.ok()["items"][0]["spec"]["color"], "blue");
    let created = client.post(WIDGETS, &widget("b", &json!({"color": "red"}))).await.ok();
    assert_eq!(created["spec"]["color"], "red");
}

#[tokio::test]
async fn objects_are_served_in_every_version_and_rewritten_in_the_new_storage_version() {
    let client = open().await;
    let mut definition = widgets();
    let mut second = definition["spec"]["versions"][0].clone();
    second["name"] = "v1beta1".into();
    second["storage"] = false.into();
    definition["spec"]["versions"].as_array_mut().unwrap().push(second);
    client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.ok();
    let created = client.post(WIDGETS, &widget("a", &json!({}))).await.ok();
    let beta = WIDGETS.replace("/v1/", "/v1beta1/");
    let read = client.get(&format!("{beta}/a")).await.ok();
    assert_eq!(
        (&read["apiVersion"], &read["metadata"]["uid"]),
        (&json!("example.com/v1beta1"), &created["metadata"]["uid"])
    );
    assert_eq!(client.get(&beta).await.ok()["items"][0]["apiVersion"], "example.com/v1beta1");
    let switch = json!([
        {"op": "replace", "path": "/spec/versions/0/storage", "value": false},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": true},
    ]);
    let switched = client.patch(DEFINITION, "json", &switch).await.ok();
    assert_eq!(switched["status"]["storedVersions"], json!(["v1", "v1beta1"]));
    let migrated = client.patch(&format!("{WIDGETS}/a"), "merge", &json!({})).await.ok();
    assert_ne!(
        migrated["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"],
        "an empty patch rewrites it"
    );
    let again = client.patch(&format!("{WIDGETS}/a"), "merge", &json!({})).await.ok();
    assert_eq!(again["metadata"]["resourceVersion"], migrated["metadata"]["resourceVersion"], "once");
    let migrate = json!({"status": {"storedVersions": ["v1beta1"]}});
    let done = client.patch(&format!("{DEFINITION}/status"), "merge", &migrate).await.ok();
    assert_eq!((&done["status"]["storedVersions"], condition(&done, "Established")), (&json!(["v1beta1"]), "True"));
}

#[tokio::test]
async fn deleting_a_definition_deletes_its_objects_first() {
    let client = open().await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("free", &json!({}))).await.ok();
    let mut held = widget("held", &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    client.post(WIDGETS, &held).await.ok();
    let marked = client.delete(DEFINITION, &json!({})).await.ok();
    assert_eq!(condition(&marked, "Terminating"), "True");
    assert_eq!(client.post(WIDGETS, &widget("late", &json!({}))).await.code, 403);
    while client.get(&format!("{WIDGETS}/free")).await.code != 404 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.get(DEFINITION).await.code, 200, "one object is still held");
    client.patch(&format!("{WIDGETS}/held"), "merge", &json!({"metadata": {"finalizers": null}})).await.ok();
    while client.get(DEFINITION).await.code != 404 {
        tokio::task::yield_now().await;
    }
    while client.get(WIDGETS).await.code != 404 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn names_of_another_definition_are_not_accepted() {
    let client = open().await;
    client.define_widgets().await;
    let mut other = widgets();
    other["metadata"]["name"] = "gadgets.example.com".into();
    other["spec"]["names"] = json!({"plural": "gadgets", "kind": "Widget"});
    client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &other).await.ok();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.example.com";
    let waiting = client.get(path).await.ok();
    assert_eq!((condition(&waiting, "NamesAccepted"), condition(&waiting, "Established")), ("False", "False"));
    assert_eq!(client.get("/apis/example.com/v1/gadgets").await.code, 404);
    // It gets them when they are free.
    client.delete(DEFINITION, &json!({})).await.ok();
    while condition(&client.get(path).await.ok(), "Established") != "True" {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.get("/apis/example.com/v1/gadgets").await.code, 200);
}

#[tokio::test]
async fn a_wrong_definition_is_refused() {
    let client = open().await;
    let mut wrong = widgets();
    wrong["metadata"]["name"] = "other.example.com".into();
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] =
        json!({"enum": ["a"]});
    let refused = client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &wrong).await;
    insta::assert_snapshot!(refused.error());
}

#[tokio::test]
async fn openapi_describes_custom_and_built_in_kinds() {
    let client = open().await;
    client.define_widgets().await;
    let index = client.get("/openapi/v3").await.ok();
    let address = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = client.get(address).await.ok();
    let patch = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Widget");
    assert!(patch["parameters"].as_array().unwrap().iter().any(|parameter| parameter["name"] == "fieldValidation"));
    let core = client.get("/openapi/v3/api/v1").await.ok();
    assert!(core["components"]["schemas"]["io.k8s.api.core.v1.ConfigMap"].is_object());
    let two = client.get("/openapi/v2").await.ok();
    let item = &two["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"];
    assert_eq!(item["put"]["parameters"][0]["schema"]["$ref"], "#/definitions/com.example.v1.Widget");
    assert!(two["definitions"]["com.example.v1.Widget"].is_object());
    assert_eq!(client.get_as("/openapi/v2", "application/cbor").await.code, 406);
    assert_eq!(client.get("/openapi/v3/apis/none.example.com/v1").await.code, 404);
}

#[tokio::test]
async fn what_was_valid_before_a_stricter_schema_may_stay_as_it_is() {
    let client = open().await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("a", &json!({"replicas": 0}))).await.ok();
    let stricter = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/minimum", "value": 1}]);
    client.patch(DEFINITION, "json", &stricter).await.ok();
    let path = format!("{WIDGETS}/a");
    client.patch(&path, "merge", &json!({"metadata": {"labels": {"x": "y"}}})).await.ok();
    assert_eq!(client.patch(&path, "merge", &json!({"spec": {"replicas": -1}})).await.code, 422);
    assert_eq!(client.post(WIDGETS, &widget("b", &json!({"replicas": 0}))).await.code, 422);
}
