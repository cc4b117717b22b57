//! Deleting: finalizers, policies, collections, namespaces.

use serde_json::json;

use crate::client::{CONFIG_MAPS, WIDGETS, config_map, open, widget};

#[tokio::test]
async fn a_finalizer_keeps_an_object_until_it_is_taken_away() {
    let client = open().await;
    client.define_widgets().await;
    let mut object = widget("a", &json!({}));
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    client.post(WIDGETS, &object).await.ok();
    let path = format!("{WIDGETS}/a");
    let marked = client.delete(&path, &json!({})).await.ok();
    let metadata = &marked["metadata"];
    assert!(metadata["deletionTimestamp"].is_string());
    assert_eq!((&metadata["deletionGracePeriodSeconds"], &metadata["generation"]), (&json!(0), &json!(2)));
    let again = client.delete(&path, &json!({})).await.ok();
    assert_eq!(again["metadata"]["resourceVersion"], metadata["resourceVersion"], "a second delete does nothing");
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    assert_eq!(client.patch(&path, "merge", &more).await.code, 422, "no finalizer may come now");
    client.patch(&path, "merge", &json!({"metadata": {"finalizers": null}})).await.ok();
    assert_eq!(client.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_delete_answers_with_the_uid_of_what_is_gone() {
    let client = open().await;
    let created = client.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let status = client.delete(&format!("{CONFIG_MAPS}/a"), &json!({"propagationPolicy": "Background"})).await.ok();
    assert_eq!(
        status,
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success",
            "details": {"name": "a", "kind": "configmaps", "uid": created["metadata"]["uid"]},
        })
    );
}

#[tokio::test]
async fn preconditions_and_policies_are_read_from_body_and_query() {
    let client = open().await;
    let created = client.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let wrong = client.delete(&path, &json!({"preconditions": {"resourceVersion": "1"}})).await;
    assert_eq!((wrong.code, &wrong.body["reason"]), (409, &json!("Conflict")));
    let orphan = client
        .send(http::Method::DELETE, &format!("{path}?propagationPolicy=Orphan&dryRun=All"), &[], Vec::new())
        .await
        .ok();
    assert_eq!(orphan["metadata"]["finalizers"], json!(["orphan"]));
    assert_eq!(client.delete(&path, &json!({"propagationPolicy": "Sideways"})).await.code, 422);
    let right = json!({"preconditions": {"uid": created["metadata"]["uid"], "resourceVersion": created["metadata"]["resourceVersion"]}});
    client.delete(&path, &right).await.ok();
}

#[tokio::test]
async fn a_collection_is_deleted_as_selected() {
    let client = open().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({"l": label});
        client.post(CONFIG_MAPS, &object).await.ok();
    }
    let deleted = client.delete(&format!("{CONFIG_MAPS}?labelSelector=l%3Dx"), &json!({})).await.ok();
    assert_eq!((&deleted["kind"], deleted["items"].as_array().unwrap().len()), (&json!("ConfigMapList"), 2));
    let left = client.get(&format!("{CONFIG_MAPS}?labelSelector=l")).await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_namespace_being_deleted_takes_nothing_new() {
    let client = open().await;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "finalizers": ["example.com/hold"]}});
    let created = client.post("/api/v1/namespaces", &namespace).await.ok();
    assert_eq!(created["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(
        (&created["spec"]["finalizers"], &created["status"]["phase"]),
        (&json!(["kubernetes"]), &json!("Active"))
    );
    let marked = client.delete("/api/v1/namespaces/n", &json!({})).await.ok();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let refused = client.post("/api/v1/namespaces/n/configmaps", &config_map("a")).await;
    insta::assert_snapshot!(refused.error(), @r#"
    403 Forbidden: configmaps "a" is forbidden: unable to create new content in namespace n because it is being terminated
      NamespaceTerminating metadata.namespace: namespace n is being terminated
    "#);
    assert_eq!(client.delete("/api/v1/namespaces/default", &json!({})).await.code, 403);
}

#[tokio::test]
async fn dependents_go_after_or_before_their_owner_as_asked() {
    let client = open().await;
    for policy in ["Background", "Foreground", "Orphan"] {
        let owner = client.post(CONFIG_MAPS, &config_map("owner")).await.ok();
        let mut dependent = config_map("dependent");
        dependent["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
        }]);
        client.post(CONFIG_MAPS, &dependent).await.ok();
        client.delete(&format!("{CONFIG_MAPS}/owner"), &json!({"propagationPolicy": policy})).await.ok();
        let gone = if policy == "Orphan" { "owner" } else { "dependent" };
        while client.get(&format!("{CONFIG_MAPS}/{gone}")).await.code != 404 {
            tokio::task::yield_now().await;
        }
        while client.get(&format!("{CONFIG_MAPS}/owner")).await.code != 404 {
            tokio::task::yield_now().await;
        }
        if policy == "Orphan" {
            let orphan = client.get(&format!("{CONFIG_MAPS}/dependent")).await.ok();
            assert!(orphan["metadata"].get("ownerReferences").is_none());
            client.delete(&format!("{CONFIG_MAPS}/dependent"), &json!({})).await.ok();
        }
    }
}
