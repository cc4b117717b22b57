use proptest::prelude::*;
use serde_json::{Value, json};

use crate::builtin::resource_type_of;

fn completed(group: &str, plural: &str, mut object: Value) -> Value {
    let resource = resource_type_of(group, plural).unwrap();
    super::apply(resource, &mut object);
    let once = object.clone();
    super::apply(resource, &mut object);
    assert_eq!(object, once, "defaulting twice");
    object
}

#[test]
fn a_deployment_is_completed_with_its_pod_template() {
    insta::assert_yaml_snapshot!(completed(
        "apps",
        "deployments",
        json!({
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "serviceAccountName": "web",
                        "containers": [{
                            "name": "web",
                            "image": "registry.example.com:5000/web",
                            "ports": [{"containerPort": 80}],
                            "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}},
                            "readinessProbe": {"httpGet": {"port": 80}}
                        }],
                        "volumes": [{"name": "scratch"}, {"name": "settings", "configMap": {"name": "settings"}}]
                    }
                }
            }
        })
    ));
}

#[test]
fn a_pod_requests_what_it_is_limited_to() {
    let pod = completed(
        "",
        "pods",
        json!({
            "spec": {"containers": [{"name": "a", "image": "a:1", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"cpu": "1500m"}}}]}
        }),
    );
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "1500m", "memory": "1Gi"}));
    assert_eq!(pod["spec"]["enableServiceLinks"], json!(true));
}

#[test]
fn secrets_services_and_claims_are_completed() {
    insta::assert_yaml_snapshot!([
        completed("", "secrets", json!({"data": {"a": "YQ=="}, "stringData": {"b": "b"}})),
        completed("", "services", json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}})),
        completed("", "persistentvolumeclaims", json!({"spec": {"resources": {"requests": {"storage": "2048Mi"}}}})),
        completed("", "namespaces", json!({"metadata": {"name": "team"}})),
        completed("batch", "jobs", json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}})),
        completed("networking.k8s.io", "networkpolicies", json!({"spec": {"egress": [{"ports": [{"port": 53}]}]}})),
        completed(
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            json!({
                "kind": "ValidatingWebhookConfiguration", "webhooks": [{"name": "a", "rules": [{}], "clientConfig": {"service": {"name": "a"}}}]
            })
        ),
    ]);
}

proptest! {
    #[test]
    fn no_object_makes_defaulting_panic(kind in 0..62usize, field in "(spec|metadata|status|data|webhooks)", inner in "(template|ports|containers|behavior|selector)", value in prop_oneof![Just(json!(null)), Just(json!([])), Just(json!(1)), Just(json!({})), Just(json!([null, 1, "a"]))]) {
        let resource = &crate::builtin::resource_types()[kind];
        let mut object = json!({field.clone(): {inner.clone(): value.clone()}});
        super::apply(resource, &mut object);
        let mut object = json!({field: value});
        super::apply(resource, &mut object);
    }
}
