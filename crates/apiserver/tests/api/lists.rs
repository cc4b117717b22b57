//! Lists: pages, revisions, selectors, tables and metadata.

use serde_json::{Value, json};

use crate::client::{CONFIG_MAPS, Client, WIDGETS, config_map, open, widget};

async fn five(client: &Client) {
    for name in ["a", "b", "c", "d", "e"] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({"vowel": if "ae".contains(name) { "yes" } else { "no" }});
        client.post(CONFIG_MAPS, &object).await.ok();
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn pages_come_from_one_snapshot() {
    let client = open().await;
    five(&client).await;
    let first = client.get(&format!("{CONFIG_MAPS}?limit=2")).await.ok();
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(3)));
    client.post(CONFIG_MAPS, &config_map("cc")).await.ok();
    client.delete(&format!("{CONFIG_MAPS}/d"), &json!({})).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = client.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.ok();
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = client.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.ok();
    assert_eq!((names(&third), third["metadata"].get("continue")), (vec!["e"], None));
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = client.get(&format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).await.ok();
    assert_eq!(names(&exact), ["a", "b", "c", "d", "e"]);
    let newest = client.get(&format!("{CONFIG_MAPS}?resourceVersion={version}")).await.ok();
    assert_eq!(names(&newest), ["a", "b", "c", "cc", "e"]);
    let future = client.get(&format!("{CONFIG_MAPS}?resourceVersion=99999")).await;
    assert_eq!((future.code, &future.body["details"]["causes"][0]["reason"]), (504, &json!("ResourceVersionTooLarge")));
}

#[tokio::test]
async fn selectors_choose_by_label_and_field() {
    let client = open().await;
    five(&client).await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("w", &json!({"size": "large"}))).await.ok();
    let select = async |path: &str, query: &str| {
        let list = client.get(&format!("{path}?{query}")).await.ok();
        names(&list).join(",")
    };
    assert_eq!(select(CONFIG_MAPS, "labelSelector=vowel%3Dyes").await, "a,e");
    assert_eq!(select(CONFIG_MAPS, "labelSelector=vowel+in+(no),vowel").await, "b,c,d");
    assert_eq!(select(CONFIG_MAPS, "labelSelector=!vowel&fieldSelector=metadata.name!=kube-root-ca.crt").await, "");
    assert_eq!(select(CONFIG_MAPS, "fieldSelector=metadata.name=c").await, "c");
    assert_eq!(select("/api/v1/configmaps", "fieldSelector=metadata.namespace=default,metadata.name=c").await, "c");
    assert_eq!(select(WIDGETS, "fieldSelector=spec.size=large").await, "w");
    assert_eq!(select(WIDGETS, "fieldSelector=spec.size=small").await, "");
    let pages = client.get(&format!("{CONFIG_MAPS}?labelSelector=vowel%3Dno&limit=2")).await.ok();
    assert_eq!((names(&pages), pages["metadata"].get("remainingItemCount")), (vec!["b", "c"], None));
    let refused = client.get(&format!("{WIDGETS}?fieldSelector=spec.replicas=1")).await;
    assert_eq!(
        (refused.code, refused.body["message"].as_str().unwrap().contains("field label not supported")),
        (400, true)
    );
    assert_eq!(client.get(&format!("{CONFIG_MAPS}?labelSelector=a%3D%3D%3Db")).await.code, 400);
}

#[tokio::test]
async fn a_list_names_its_kind_and_its_items_theirs() {
    let client = open().await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("w", &json!({}))).await.ok();
    let list = client.get(WIDGETS).await.ok();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("WidgetList"), &json!("example.com/v1")));
    assert_eq!(
        (&list["items"][0]["kind"], &list["items"][0]["apiVersion"]),
        (&json!("Widget"), &json!("example.com/v1"))
    );
}

#[tokio::test]
async fn tables_have_the_columns_of_the_definition() {
    let client = open().await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("w", &json!({"replicas": 3}))).await.ok();
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = client.get_as(WIDGETS, accept).await.ok();
    let columns: Vec<_> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!((&table["kind"], columns), (&json!("Table"), vec!["Name", "Replicas", "Size", "Age"]));
    let row = &table["rows"][0];
    assert_eq!(
        (&row["cells"][0], &row["cells"][1], &row["object"]["kind"]),
        (&json!("w"), &json!(3), &json!("PartialObjectMetadata"))
    );
    let one = client.get_as(&format!("{WIDGETS}/w?includeObject=None"), accept).await.ok();
    assert_eq!((one["rows"].as_array().unwrap().len(), &one["rows"][0]["object"]), (1, &json!(null)));
}

#[tokio::test]
async fn metadata_alone_can_be_asked_for() {
    let client = open().await;
    five(&client).await;
    let list =
        client.get_as(CONFIG_MAPS, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").await.ok();
    assert_eq!((&list["kind"], list["items"][0].get("data")), (&json!("PartialObjectMetadataList"), None));
    let one = client
        .get_as(&format!("{CONFIG_MAPS}/a"), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .await
        .ok();
    assert_eq!(
        (&one["kind"], &one["metadata"]["name"], one.get("data")),
        (&json!("PartialObjectMetadata"), &json!("a"), None)
    );
}

#[tokio::test]
async fn answers_come_in_yaml_or_indented_where_asked() {
    let client = open().await;
    client.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let yaml = client.get_as(&format!("{CONFIG_MAPS}/a"), "application/yaml").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert!(yaml.body.as_str().unwrap().contains("\nkind: ConfigMap\n"), "{:?}", yaml.body);
    let created = client
        .send(
            http::Method::POST,
            CONFIG_MAPS,
            &[("content-type", "application/yaml")],
            b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-yaml}\ndata:\n  k: v\n".to_vec(),
        )
        .await;
    assert_eq!(created.ok()["data"], json!({"k": "v"}));
}

#[tokio::test]
async fn a_page_that_comes_too_late_can_go_on_with_what_is_there_now() {
    let options = kogge_apiserver::server::ServerOptions {
        store: kogge_apiserver::store::StoreOptions { history_changes: 4, ..Default::default() },
        ..Default::default()
    };
    let server = kogge_apiserver::server::Server::open(options).await.unwrap();
    let client = Client { kube: server.management().client(), _server: server };
    five(&client).await;
    let first = client.get(&format!("{CONFIG_MAPS}?limit=2")).await.ok();
    for index in 0..20 {
        client.patch(&format!("{CONFIG_MAPS}/e"), "merge", &json!({"data": {"i": index.to_string()}})).await.ok();
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let late = client.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    assert_eq!((late.code, &late.body["reason"]), (410, &json!("Expired")));
    let fresh = late.body["metadata"]["continue"].as_str().unwrap();
    let rest = client.get(&format!("{CONFIG_MAPS}?continue={fresh}")).await.ok();
    assert_eq!(names(&rest), ["c", "d", "e"]);
}
