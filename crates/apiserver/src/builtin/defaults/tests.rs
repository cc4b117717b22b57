use proptest::prelude::*;
use serde_json::{Value, json};

use super::quantity::canonical;
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

#[test]
fn quantities_are_written_as_kubernetes_writes_them() {
    let written = [
        "0.5", "1", "1000m", "1.5Gi", "1024Mi", "1536Ki", "0.1m", "100n", "1e3", "12E", "5e-3", "-1.50", "0", "1000k",
        "1025", "512Mi", ".5Gi", "1.", "+2", "three", "1.2.3", "1Zi", "", "10e",
    ];
    let lines: Vec<String> = written.iter().map(|text| format!("{text:?} -> {:?}", canonical(text))).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

proptest! {
    #[test]
    fn canonical_quantities_stay_as_they_are(text in "[-+]?[0-9]{0,12}(\\.[0-9]{0,6})?(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|e[0-9]|E-[0-9])") {
        if let Some(once) = canonical(&text) {
            prop_assert_eq!(canonical(&once), Some(once));
        }
    }

    #[test]
    fn no_object_makes_defaulting_panic(kind in 0..62usize, field in "(spec|metadata|status|data|webhooks)", inner in "(template|ports|containers|behavior|selector)", value in prop_oneof![Just(json!(null)), Just(json!([])), Just(json!(1)), Just(json!({})), Just(json!([null, 1, "a"]))]) {
        let resource = &crate::builtin::resource_types()[kind];
        let mut object = json!({field.clone(): {inner.clone(): value.clone()}});
        super::apply(resource, &mut object);
        let mut object = json!({field: value});
        super::apply(resource, &mut object);
    }
}
