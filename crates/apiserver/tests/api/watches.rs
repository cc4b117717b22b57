//! Watches on the wire.

use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use http::Request;
use serde_json::{Value, json};

use crate::client::{CONFIG_MAPS, Client, config_map, open};

/// The next lines of a watch.
struct Lines(std::pin::Pin<Box<dyn futures::Stream<Item = std::io::Result<String>> + Send>>);

impl Lines {
    async fn open(client: &Client, query: &str, accept: &str) -> Self {
        let request = Request::get(format!("{CONFIG_MAPS}?watch=true&{query}")).header("accept", accept);
        let stream = client.kube.request_stream(request.body(Vec::new()).unwrap()).await.unwrap();
        Self(Box::pin(stream.lines().into_stream()))
    }

    async fn next(&mut self) -> Option<Value> {
        Some(serde_json::from_str(&self.0.next().await?.unwrap()).unwrap())
    }

    /// The next event as `TYPE NAME@REVISION`.
    async fn short(&mut self) -> String {
        let event = self.next().await.expect("the watch goes on");
        let metadata = &event["object"]["metadata"];
        format!(
            "{} {}@{}",
            event["type"].as_str().unwrap(),
            metadata["name"].as_str().unwrap_or_default(),
            metadata["resourceVersion"].as_str().unwrap_or_default()
        )
    }
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_and_goes_on_with_every_change() {
    let client = open().await;
    let first = revision(&client.post(CONFIG_MAPS, &config_map("a")).await.ok());
    let mut lines = Lines::open(&client, "", "application/json").await;
    assert_eq!(lines.short().await, format!("ADDED a@{first}"));
    client.post(CONFIG_MAPS, &config_map("b")).await.ok();
    client.patch(&format!("{CONFIG_MAPS}/a"), "merge", &json!({"data": {"x": "y"}})).await.ok();
    client.delete(&format!("{CONFIG_MAPS}/b"), &json!({})).await.ok();
    let mut expected =
        vec![format!("ADDED b@{}", first + 1), format!("MODIFIED a@{}", first + 2), format!("DELETED b@{}", first + 3)];
    for line in &expected {
        assert_eq!(lines.short().await, *line);
    }
    let mut resumed = Lines::open(&client, &format!("resourceVersion={first}"), "application/json").await;
    for line in expected.drain(..) {
        assert_eq!(resumed.short().await, line, "strictly after the revision");
    }
}

#[tokio::test]
async fn what_a_watch_begins_with_is_as_of_one_revision_however_slowly_it_is_read() {
    let client = open().await;
    for number in 0..600 {
        client.post(CONFIG_MAPS, &config_map(&format!("c{number:03}"))).await.ok();
    }
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=";
    let mut lines = Lines::open(&client, query, "application/json").await;
    assert!(lines.short().await.starts_with("ADDED c000@"));
    client.delete(&format!("{CONFIG_MAPS}/c599"), &json!({})).await.ok();
    client.post(CONFIG_MAPS, &config_map("c599a")).await.ok();
    for number in 1..600 {
        assert!(lines.short().await.starts_with(&format!("ADDED c{number:03}@")));
    }
    assert!(lines.short().await.starts_with("BOOKMARK"));
    assert!(lines.short().await.starts_with("DELETED c599@"));
    assert!(lines.short().await.starts_with("ADDED c599a@"));
}

#[tokio::test]
async fn a_streaming_list_ends_with_a_marked_bookmark() {
    let client = open().await;
    client.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let last = revision(&client.post(CONFIG_MAPS, &config_map("b")).await.ok());
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=";
    let mut lines = Lines::open(&client, query, "application/json").await;
    assert!(lines.short().await.starts_with("ADDED a@"));
    assert!(lines.short().await.starts_with("ADDED b@"));
    let bookmark = lines.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], last.to_string());
    client.delete(&format!("{CONFIG_MAPS}/a"), &json!({})).await.ok();
    assert_eq!(lines.short().await, format!("DELETED a@{}", last + 1));
}

#[tokio::test]
async fn an_object_that_leaves_the_selection_is_deleted_for_the_watcher() {
    let client = open().await;
    let first = revision(&client.post(CONFIG_MAPS, &config_map("a")).await.ok());
    let mut lines = Lines::open(&client, &format!("labelSelector=x&resourceVersion={first}"), "application/json").await;
    let path = format!("{CONFIG_MAPS}/a");
    client.patch(&path, "merge", &json!({"metadata": {"labels": {"x": "1"}}})).await.ok();
    client.patch(&path, "merge", &json!({"data": {"a": "2"}})).await.ok();
    client.patch(&path, "merge", &json!({"metadata": {"labels": {"x": null}}})).await.ok();
    client.delete(&path, &json!({})).await.ok();
    client
        .post(CONFIG_MAPS, &{
            let mut other = config_map("b");
            other["metadata"]["labels"] = json!({"x": "2"});
            other
        })
        .await
        .ok();
    assert_eq!(lines.short().await, format!("ADDED a@{}", first + 1));
    assert_eq!(lines.short().await, format!("MODIFIED a@{}", first + 2));
    assert_eq!(lines.short().await, format!("DELETED a@{}", first + 3));
    assert_eq!(lines.short().await, format!("ADDED b@{}", first + 5));
}

#[tokio::test]
async fn a_revision_that_is_forgotten_is_an_error_event_with_code_410() {
    let options = kogge_apiserver::server::ServerOptions {
        store: kogge_apiserver::store::StoreOptions { history_changes: 4, ..Default::default() },
        ..Default::default()
    };
    let server = kogge_apiserver::server::Server::open(options).await.unwrap();
    let client = Client { kube: server.management().client(), _server: server };
    let first = revision(&client.post(CONFIG_MAPS, &config_map("a")).await.ok());
    for index in 0..20 {
        client.patch(&format!("{CONFIG_MAPS}/a"), "merge", &json!({"data": {"i": index.to_string()}})).await.ok();
    }
    let mut lines = Lines::open(&client, &format!("resourceVersion={first}"), "application/json").await;
    let error = lines.next().await.unwrap();
    assert_eq!(
        (&error["type"], &error["object"]["code"], &error["object"]["reason"]),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_with_a_bookmark_before() {
    let client = open().await;
    let last = revision(&client.post(CONFIG_MAPS, &config_map("a")).await.ok());
    let query = |seconds: u8| format!("resourceVersion={last}&timeoutSeconds={seconds}&allowWatchBookmarks=true");
    let mut lines = Lines::open(&client, &query(1), "application/json").await;
    assert_eq!(lines.next().await, None, "too short for one");
    let mut lines = Lines::open(&client, &query(3), "application/json").await;
    assert_eq!(lines.short().await, format!("BOOKMARK @{last}"));
    assert_eq!(lines.next().await, None, "closed cleanly");
}

#[tokio::test]
async fn watches_of_tables_and_metadata_carry_them() {
    let client = open().await;
    client.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let mut tables = Lines::open(&client, "", "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    let event = tables.next().await.unwrap();
    assert_eq!((&event["object"]["kind"], &event["object"]["rows"][0]["cells"][0]), (&json!("Table"), &json!("a")));
    let mut metadata = Lines::open(&client, "", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").await;
    let event = metadata.next().await.unwrap();
    assert_eq!((&event["object"]["kind"], event["object"].get("data")), (&json!("PartialObjectMetadata"), None));
}
