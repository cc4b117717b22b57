use kogge_machinery::typed_object::EmptyContainers;
use serde_json::{Value, json};

use crate::builtin::{defaults, resource_type_of};

/// The errors of an object after defaulting, one a line.
fn refused(group: &str, plural: &str, mut object: Value, old: Option<Value>) -> String {
    let resource = resource_type_of(group, plural).unwrap();
    object["kind"] = json!(resource.kind);
    defaults::apply(resource, &mut object);
    let old = old.map(|mut old| {
        old["kind"] = json!(resource.kind);
        defaults::apply(resource, &mut old);
        old
    });
    let errors = super::validate(resource, (&object, &EmptyContainers::default()), old.as_ref(), "");
    errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>().join("\n")
}

#[allow(clippy::needless_pass_by_value)] // callers write them in place
fn deployment(selector: Value, labels: Value) -> Value {
    json!({"spec": {"selector": selector, "template": {
        "metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}}})
}

#[test]
fn a_workload_selects_the_pods_it_makes() {
    let good = deployment(json!({"matchLabels": {"app": "a"}}), json!({"app": "a"}));
    assert_eq!(refused("apps", "deployments", good.clone(), None), "");
    let parts = [
        refused("apps", "deployments", deployment(json!({"matchLabels": {"app": "a"}}), json!({"app": "b"})), None),
        refused(
            "apps",
            "deployments",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}}}),
            None,
        ),
        refused("apps", "replicasets", deployment(json!({}), json!({})), None),
        refused(
            "apps",
            "deployments",
            deployment(json!({"matchLabels": {"app": "b"}}), json!({"app": "b"})),
            Some(good),
        ),
    ];
    insta::assert_snapshot!(parts.join("\n\n"));
}

#[test]
fn pods_of_a_stateful_set_mount_the_volumes_of_its_claim_templates() {
    let mut set = deployment(json!({"matchLabels": {"app": "a"}}), json!({"app": "a"}));
    set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let unknown = "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\"";
    assert_eq!(refused("apps", "statefulsets", set.clone(), None), unknown);
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]);
    assert_eq!(refused("apps", "statefulsets", set, None), "");
}

#[test]
fn pods_need_named_containers_with_images_and_known_volumes() {
    insta::assert_snapshot!(refused(
        "",
        "pods",
        json!({"spec": {
            "restartPolicy": "Sometimes",
            "volumes": [{"name": "data"}, {"name": "data"}],
            "containers": [
                {"name": "Web", "volumeMounts": [{"name": "nowhere", "mountPath": "/x"}, {"name": "data"}]},
                {"name": "b", "image": "b:1", "ports": [{"containerPort": 70000}]},
                {"name": "b", "image": "b:1", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}
            ]
        }}),
        None
    ));
}

#[test]
fn services_name_their_ports() {
    let parts = [
        refused("", "services", json!({"spec": {}}), None),
        refused(
            "",
            "services",
            json!({"spec": {"type": "Magic", "ports": [{"port": 80}, {"port": 0, "name": "b"}]}}),
            None,
        ),
        refused("", "services", json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}), None),
        refused(
            "",
            "services",
            json!({"spec": {"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"], "ports": [{"port": 80}]}}),
            Some(json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}})),
        ),
    ];
    insta::assert_snapshot!(parts.join("\n\n"));
}

#[test]
fn what_is_immutable_stays() {
    let frozen = json!({"immutable": true, "data": {"a": "1"}});
    let claim = |size: &str, mode: &str| json!({"spec": {"accessModes": [mode], "resources": {"requests": {"storage": size}}}, "status": {"phase": "Bound"}});
    let parts = [
        refused("", "configmaps", json!({"data": {"a": "2"}}), Some(frozen.clone())),
        refused("", "configmaps", frozen.clone(), Some(frozen)),
        refused("", "secrets", json!({"type": "b"}), Some(json!({"type": "a"}))),
        refused("", "secrets", json!({"type": "kubernetes.io/tls", "data": {"bad key": "YQ=="}}), None),
        refused("", "persistentvolumeclaims", claim("2Gi", "ReadWriteOnce"), Some(claim("1Gi", "ReadWriteOnce"))),
        refused("", "persistentvolumeclaims", claim("1Gi", "ReadWriteMany"), Some(claim("1Gi", "ReadWriteOnce"))),
        refused(
            "rbac.authorization.k8s.io",
            "rolebindings",
            json!({"roleRef": {"kind": "Role", "name": "b"}}),
            Some(json!({"roleRef": {"kind": "Role", "name": "a"}})),
        ),
        refused(
            "batch",
            "jobs",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}}}),
            None,
        ),
    ];
    insta::assert_snapshot!(parts.join("\n--\n"));
}

#[test]
fn a_template_is_not_looked_at_under_a_selector_that_cannot_be_read() {
    let unreadable = deployment(json!({"matchExpressions": [{"key": "app", "operator": "Is"}]}), json!({}));
    insta::assert_snapshot!(
        [
            refused("apps", "deployments", unreadable.clone(), None),
            refused("apps", "replicasets", unreadable.clone(), None),
            refused("apps", "statefulsets", unreadable, None),
        ]
        .join("\n\n")
    );
}

#[test]
fn topologies_of_a_storage_class_differ_and_say_something() {
    let term = json!({"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]});
    let class = json!({"provisioner": "a/b", "allowedTopologies": [term, term, {}]});
    let twice = |index: usize| format!("allowedTopologies[{index}].matchLabelExpressions: Duplicate value: \"\"");
    assert_eq!(
        refused("storage.k8s.io", "storageclasses", class, None),
        [twice(1), twice(2), twice(2), twice(2)].join("\n")
    );
}
