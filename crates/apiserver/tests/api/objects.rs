//! Create, read, update and patch of single objects.

use serde_json::json;

use crate::client::{CONFIG_MAPS, WIDGETS, config_map, open, widget};

fn revision(object: &serde_json::Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn each_write_takes_one_revision_of_the_plane_and_unchanged_writes_none() {
    let client = open().await;
    let created = client.post(CONFIG_MAPS, &config_map("a")).await;
    assert_eq!(created.code, 201);
    let created = created.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let patched = client.patch(&path, "merge", &json!({"data": {"b": "2"}})).await.ok();
    assert_eq!(revision(&patched), revision(&created) + 1);
    let again = client.patch(&path, "merge", &json!({"data": {"b": "2"}})).await.ok();
    assert_eq!(again, patched, "a patch that changes nothing writes nothing");
    let put = client.put(&path, &patched).await.ok();
    assert_eq!(put, patched, "nor does a put");
    client.delete(&path, &json!({})).await.ok();
    let next = client.post(CONFIG_MAPS, &config_map("b")).await.ok();
    assert_eq!(revision(&next), revision(&patched) + 2, "a delete takes a revision");
}

#[tokio::test]
async fn a_create_sets_what_the_server_owns() {
    let client = open().await;
    client.define_widgets().await;
    let mut sent = widget("a", &json!({"replicas": 1}));
    sent["metadata"] = json!({
        "generateName": "a-", "uid": "mine", "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 7,
        "deletionTimestamp": "2000-01-01T00:00:00Z", "selfLink": "/x",
    });
    sent["status"] = json!({"replicas": 9});
    let created = client.post(WIDGETS, &sent).await.ok();
    let metadata = &created["metadata"];
    let name = metadata["name"].as_str().unwrap();
    assert!(name.starts_with("a-") && name.len() == 7, "{name}");
    assert_eq!((&metadata["namespace"], &metadata["generation"]), (&json!("default"), &json!(1)));
    assert_ne!(metadata["uid"], "mine");
    assert_ne!(metadata["creationTimestamp"], "2000-01-01T00:00:00Z");
    assert!(metadata["deletionTimestamp"].is_null() && created["status"].is_null(), "{created:#}");
    assert_eq!(created["spec"], json!({"replicas": 1, "size": "small"}), "defaults are filled in");
}

#[tokio::test]
async fn refused_writes_say_why_in_the_words_of_the_real_server() {
    let client = open().await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("a", &json!({"immutable": "x"}))).await.ok();
    client.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let a = format!("{WIDGETS}/a");
    let mut errors = Vec::new();
    let mut note = |answer: crate::client::Answer| errors.push(answer.error());
    note(client.get(&format!("{WIDGETS}/none")).await);
    note(client.post(WIDGETS, &widget("a", &json!({}))).await);
    note(
        client.post(WIDGETS, &widget("B_", &json!({"size": "huge", "replicas": -1, "parts": [{"weight": "x"}]}))).await,
    );
    note(client.post("/apis/example.com/v1/namespaces/none/widgets", &widget("a", &json!({}))).await);
    note(
        client
            .post(WIDGETS, &json!({"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "b"}}))
            .await,
    );
    note(
        client
            .post(WIDGETS, &json!({"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "b"}}))
            .await,
    );
    note(client.post(WIDGETS, &json!({"metadata": {"name": "b"}})).await);
    note(client.post(WIDGETS, &widget("", &json!({}))).await);
    note(client.put(&a, &widget("a", &json!({}))).await);
    note(client.put(&a, &widget("b", &json!({}))).await);
    let mut stale = widget("a", &json!({}));
    stale["metadata"]["resourceVersion"] = "1".into();
    note(client.put(&a, &stale).await);
    note(client.put(&format!("{WIDGETS}/none"), &widget("none", &json!({}))).await);
    note(client.patch(&a, "merge", &json!({"spec": {"immutable": "y"}})).await);
    note(client.patch(&a, "merge", &json!({"metadata": {"resourceVersion": "1"}})).await);
    note(client.patch(&a, "merge", &json!({"kind": "Gadget"})).await);
    note(client.patch(&a, "merge", &json!({"metadata": {"name": "z"}})).await);
    note(client.patch(&a, "json", &json!([{"op": "remove", "path": "/spec/none"}])).await);
    note(client.patch(&a, "strategic-merge", &json!({})).await);
    note(client.get("/apis/none.example.com/v1/things").await);
    note(client.get("/api/v1/widgets/a").await);
    note(client.post("/api/v1/configmaps", &config_map("z")).await);
    note(client.delete(&a, &json!({"preconditions": {"uid": "other"}})).await);
    note(client.send(http::Method::POST, WIDGETS, &[("content-type", "text/csv")], b"a".to_vec()).await);
    note(client.get_as(&a, "image/png").await);
    note(client.send(http::Method::POST, WIDGETS, &[], b"{".to_vec()).await);
    note(client.send(http::Method::POST, WIDGETS, &[], vec![b' '; 4 << 20]).await);
    let uid = client.get(&a).await.ok()["metadata"]["uid"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(errors.join("\n").replace(&uid, "UID"));
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_pruned_warned_of_or_refused() {
    let client = open().await;
    client.define_widgets().await;
    let body = br#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"sise":"x","replicas":1,"replicas":2}}"#;
    let send =
        async |query: &str| client.send(http::Method::POST, &format!("{WIDGETS}{query}"), &[], body.to_vec()).await;
    let strict = send("?fieldValidation=Strict").await;
    assert_eq!(
        strict.error(),
        "400 BadRequest: Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: duplicate field \"spec.replicas\", unknown field \"spec.sise\""
    );
    let ignored = send("?fieldValidation=Ignore&dryRun=All").await;
    assert!(ignored.warnings().is_empty());
    let warned = send("").await;
    assert_eq!(
        warned.warnings(),
        [r#"299 - "duplicate field \"spec.replicas\"""#, r#"299 - "unknown field \"spec.sise\"""#]
    );
    assert_eq!(warned.ok()["spec"], json!({"replicas": 2, "size": "small"}));
}

#[tokio::test]
async fn generation_counts_changes_of_the_spec_and_status_has_its_own_endpoint() {
    let client = open().await;
    client.define_widgets().await;
    let created = client.post(WIDGETS, &widget("a", &json!({"replicas": 1}))).await.ok();
    let path = format!("{WIDGETS}/a");
    let labelled = client.patch(&path, "merge", &json!({"metadata": {"labels": {"x": "y"}}})).await.ok();
    assert_eq!(labelled["metadata"]["generation"], 1);
    let main = client.patch(&path, "merge", &json!({"spec": {"replicas": 2}, "status": {"replicas": 5}})).await.ok();
    assert_eq!((&main["metadata"]["generation"], &main["status"]), (&json!(2), &json!(null)));
    let status = client
        .patch(
            &format!("{path}/status"),
            "merge",
            &json!({"spec": {"replicas": 9}, "metadata": {"labels": {"x": "z"}}, "status": {"replicas": 5}}),
        )
        .await
        .ok();
    assert_eq!((&status["metadata"]["generation"], &status["spec"]["replicas"]), (&json!(2), &json!(2)));
    assert_eq!((&status["metadata"]["labels"]["x"], &status["status"]["replicas"]), (&json!("y"), &json!(5)));
    assert!(revision(&status) > revision(&created));
    let managers: Vec<_> = status["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["operation"].clone(), entry["subresource"].clone()))
        .collect();
    assert!(managers.contains(&(json!("Update"), json!("status"))), "{managers:?}");
    assert_eq!(client.get(&format!("{CONFIG_MAPS}/a/status")).await.code, 404, "a kind without status has none");
}

#[tokio::test]
async fn a_dry_run_does_everything_but_store() {
    let client = open().await;
    client.define_widgets().await;
    let dry = client.post(&format!("{WIDGETS}?dryRun=All"), &widget("a", &json!({}))).await;
    assert_eq!(dry.code, 201);
    let dry = dry.ok();
    assert!(dry["metadata"]["uid"].is_string() && dry["metadata"]["managedFields"].is_array());
    assert_eq!(dry["spec"]["size"], "small");
    assert_eq!(client.get(&format!("{WIDGETS}/a")).await.code, 404);
    let real = client.post(WIDGETS, &widget("a", &json!({}))).await.ok();
    let path = format!("{WIDGETS}/a?dryRun=All");
    let patched = client.patch(&path, "merge", &json!({"spec": {"replicas": 3}})).await.ok();
    assert_eq!((&patched["spec"]["replicas"], &patched["metadata"]["generation"]), (&json!(3), &json!(2)));
    assert_eq!(client.patch(&path, "merge", &json!({"spec": {"size": "huge"}})).await.code, 422);
    client.send(http::Method::DELETE, &path, &[], Vec::new()).await.ok();
    assert_eq!(client.get(&format!("{WIDGETS}/a")).await.ok(), real);
    assert_eq!(client.post(&format!("{WIDGETS}?dryRun=Some"), &widget("b", &json!({}))).await.code, 422);
}

#[tokio::test]
async fn patches_of_every_kind_change_what_they_name() {
    let client = open().await;
    client.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let json_patch =
        json!([{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "2"}]);
    assert_eq!(client.patch(&path, "json", &json_patch).await.ok()["data"], json!({"a": "2"}));
    assert_eq!(client.patch(&path, "json", &json_patch).await.code, 422, "the test fails now");
    assert_eq!(
        client.patch(&path, "merge", &json!({"data": {"a": null, "b": "3"}})).await.ok()["data"],
        json!({"b": "3"})
    );
    let strategic = json!({"data": {"c": "4", "$retainKeys": ["c"]}, "metadata": {"labels": {"x": "y"}}});
    let strategic = client.patch(&path, "strategic-merge", &strategic).await.ok();
    assert_eq!(strategic["metadata"]["labels"], json!({"x": "y"}));
}

#[tokio::test]
async fn concurrent_patches_without_precondition_all_succeed() {
    let client = open().await;
    client.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let patches: Vec<_> = (0..50)
        .map(|index| {
            let (client, path) = (&client, &path);
            async move { client.patch(path, "merge", &json!({"data": {format!("k{index}"): "v"}})).await.ok() }
        })
        .collect();
    futures::future::join_all(patches).await;
    let last = client.get(&path).await.ok();
    assert_eq!(last["data"].as_object().unwrap().len(), 51);
}

#[tokio::test]
async fn scale_shows_and_sets_replicas() {
    let client = open().await;
    client.define_widgets().await;
    client.post(WIDGETS, &widget("a", &json!({"replicas": 1}))).await.ok();
    let path = format!("{WIDGETS}/a/scale");
    let scale = client.patch(&path, "merge", &json!({"spec": {"replicas": 4}})).await.ok();
    assert_eq!((&scale["apiVersion"], &scale["kind"]), (&json!("autoscaling/v1"), &json!("Scale")));
    assert_eq!((&scale["spec"], &scale["status"]), (&json!({"replicas": 4}), &json!({"replicas": 0})));
    let widget = client.get(&format!("{WIDGETS}/a")).await.ok();
    assert_eq!((&widget["spec"]["replicas"], &widget["metadata"]["generation"]), (&json!(4), &json!(2)));
    let mut put = scale.clone();
    put["spec"]["replicas"] = 2.into();
    assert_eq!(client.put(&path, &put).await.ok()["spec"]["replicas"], 2);
    assert_eq!(client.put(&path, &put).await.code, 409, "the revision is stale");
    assert_eq!(client.patch(&path, "merge", &json!({"spec": {"replicas": -1}})).await.code, 422);
}

#[tokio::test]
async fn a_secret_takes_texts_and_keeps_bytes() {
    let client = open().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": "v"}});
    let created = client.post("/api/v1/namespaces/default/secrets", &secret).await.ok();
    assert_eq!((&created["data"], &created["type"]), (&json!({"k": "dg=="}), &json!("Opaque")));
    assert!(created.get("stringData").is_none());
}

#[tokio::test]
async fn events_are_one_store_for_two_groups() {
    let client = open().await;
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "action": "Boot", "reason": "Booted", "type": "Normal",
        "reportingController": "example.com/c", "reportingInstance": "c-1", "note": "hello",
        "regarding": {"kind": "Widget", "name": "w", "namespace": "default", "uid": "u"},
    });
    client.post("/apis/events.k8s.io/v1/namespaces/default/events", &event).await.ok();
    let list = client
        .get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=w,involvedObject.uid=u")
        .await
        .ok();
    let core = &list["items"][0];
    assert_eq!((&core["message"], &core["involvedObject"]["kind"]), (&json!("hello"), &json!("Widget")));
    let same = client.get("/apis/events.k8s.io/v1/namespaces/default/events/a").await.ok();
    assert_eq!((&same["note"], &same["regarding"]["name"]), (&json!("hello"), &json!("w")));
}
