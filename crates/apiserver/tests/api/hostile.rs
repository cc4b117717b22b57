//! Bodies nobody should send: each gets an answer, and what is refused leaves nothing behind.

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::client::{Answer, Client, open};

/// Any JSON, small.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        "[a-z.]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(field_name(), inner, 0..3).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

fn field_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "name",
        "namespace",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "conditions",
        "containers",
        "template",
        "selector",
        "versions",
        "schema",
        "openAPIV3Schema",
        "names",
        "group",
        "data",
        "stringData",
        "rules",
        "ports",
        "type",
        "uid",
        "apiVersion",
        "kind",
        "resourceVersion",
    ])
    .prop_map(str::to_owned)
}

const KINDS: &[(&str, &str, &str)] = &[
    ("v1", "Namespace", "/api/v1/namespaces"),
    ("v1", "Pod", "/api/v1/namespaces/default/pods"),
    ("v1", "Secret", "/api/v1/namespaces/default/secrets"),
    ("v1", "ConfigMap", "/api/v1/namespaces/default/configmaps"),
    ("v1", "Service", "/api/v1/namespaces/default/services"),
    ("v1", "Node", "/api/v1/nodes"),
    ("v1", "Event", "/api/v1/namespaces/default/events"),
    ("events.k8s.io/v1", "Event", "/apis/events.k8s.io/v1/namespaces/default/events"),
    ("apps/v1", "Deployment", "/apis/apps/v1/namespaces/default/deployments"),
    ("apps/v1", "StatefulSet", "/apis/apps/v1/namespaces/default/statefulsets"),
    ("batch/v1", "Job", "/apis/batch/v1/namespaces/default/jobs"),
    ("policy/v1", "PodDisruptionBudget", "/apis/policy/v1/namespaces/default/poddisruptionbudgets"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
    ("example.com/v1", "Widget", "/apis/example.com/v1/namespaces/default/widgets"),
];

/// Whether an answer blames the body, not the server. A 500 without a reason is how the real server refuses what it cannot
/// bring into its types; one with a reason would be a fault.
fn blames_the_body(answer: &Answer) -> bool {
    answer.code < 500 || (answer.code == 500 && answer.body["reason"].is_null())
}

async fn try_everything(client: &Client, kind: usize, mut object: Value, content: Value) {
    let (api_version, kind_name, collection) = KINDS[kind];
    if !object.is_object() {
        object = json!({"spec": object});
    }
    object["apiVersion"] = api_version.into();
    object["kind"] = kind_name.into();
    if object["metadata"].is_null() || object["metadata"].is_object() {
        object["metadata"]["name"] = "a.b.c".into();
    }
    let created = client.post(collection, &object).await;
    assert!(blames_the_body(&created), "{object}: {}", created.body);
    let named = format!("{collection}/a.b.c");
    for suffix in ["", "/status"] {
        for encoding in ["merge", "strategic-merge", "json"] {
            let patch = if encoding == "json" {
                json!([{"op": "add", "path": "/spec", "value": content}])
            } else {
                json!({"spec": content, "status": content, "metadata": content})
            };
            let changed = client.patch(&format!("{named}{suffix}"), encoding, &patch).await;
            assert!(blames_the_body(&changed), "{object} {patch}: {}", changed.body);
        }
        let applied = client.patch(&format!("{named}{suffix}?fieldManager=m&force=true"), "apply", &object).await;
        assert!(blames_the_body(&applied), "{object}: {}", applied.body);
    }
    let deleted = client.delete(&named, &content).await;
    assert!(blames_the_body(&deleted), "{object}: {}", deleted.body);
    if deleted.code < 300 {
        client.patch(&named, "merge", &json!({"metadata": {"finalizers": null}})).await;
    }
    client.delete(&named, &json!({"gracePeriodSeconds": 0})).await;
}

#[test]
fn every_body_gets_an_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(async {
        let client = open().await;
        client.define_widgets().await;
        client
    });
    let strategy = (0..KINDS.len(), any_json(), any_json());
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })
        .run(&strategy, |(kind, object, patch)| {
            runtime.block_on(try_everything(&client, kind, object, patch));
            Ok(())
        })
        .unwrap();
}
