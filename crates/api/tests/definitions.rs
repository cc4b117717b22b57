//! The checked in CustomResourceDefinitions: they are those of the types, a server accepts them, and what a server
//! refuses by them is what the validation of this crate refuses.

use std::path::Path;

use jiff::civil::date;
use kogge_api::{KubernetesCluster, crd, provider_profile, validation};
use kogge_machinery::{custom_resource_definition, schema::Schema};
use serde_json::{Value, json};

fn compiled(schema: &Value) -> Schema {
    Schema::compile(schema).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn cluster_schema() -> Schema {
    compiled(&crd::kubernetes_cluster_schema())
}

/// A document with `spec` merged into the minimal one.
fn document(spec: &Value) -> Value {
    let mut document = json!({
        "apiVersion": "kogge.dev/v1alpha1", "kind": "KubernetesCluster", "metadata": {"name": "demo"},
        "spec": {"provider": {"profile": "sim"}, "kubernetes": {"version": "1.35"}},
    });
    merge(&mut document["spec"], spec);
    document
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    target.remove(name);
                } else {
                    merge(target.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// What a server does with a write: prune, default, validate. The messages of what it refuses.
fn server(schema: &Schema, object: &mut Value, old: Option<&Value>) -> Vec<String> {
    schema.prune(object);
    schema.apply_defaults(object);
    schema.validate(object, old).iter().map(|error| format!("{error:?}")).collect()
}

fn refused_offline(object: &Value, old: Option<&Value>) -> Vec<String> {
    let read = |value: &Value| match kogge_api::document::from_value(value) {
        Ok(kogge_api::document::Object::Cluster(mut cluster)) => {
            cluster.status = serde_json::from_value(value["status"].clone()).ok();
            Ok(*cluster)
        }
        Ok(other) => panic!("{other:?}"),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    };
    let old = old.map(|old| read(old).unwrap());
    let cluster: KubernetesCluster = match read(object) {
        Ok(cluster) => cluster,
        Err(problems) => return problems,
    };
    let problems = validation::validate(&cluster, old.as_ref(), None, date(2026, 11, 21));
    validation::errors(&problems)
        .filter(|problem| problem.code != kogge_api::problem::ProblemCode::ConfirmationRequired)
        .map(ToString::to_string)
        .collect()
}

/// Writes the definitions when `KOGGE_UPDATE=1` is set, and compares otherwise.
#[test]
fn the_checked_in_definitions_are_those_of_the_types() {
    for definition in crd::generate() {
        let name = definition.metadata.name.clone().unwrap_or_default();
        let yaml = serde_saphyr::to_string(&definition).unwrap();
        let json = serde_json::to_string(&definition).unwrap();
        for (form, generated) in [("yaml", yaml), ("json", json)] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds").join(format!("{name}.{form}"));
            if std::env::var_os("KOGGE_UPDATE").is_some() {
                std::fs::write(&file, &generated).unwrap();
            }
            let stored = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(
                stored == generated,
                "crds/{name}.{form} differs from the types: run this test with KOGGE_UPDATE=1"
            );
        }
    }
    if std::env::var_os("KOGGE_UPDATE").is_none() {
        let embedded: Vec<Value> =
            crd::ALL.iter().map(|definition| serde_json::from_str(definition.json).unwrap()).collect();
        assert_eq!(serde_json::to_value(crd::generate()).unwrap(), Value::from(embedded.clone()));
        let names = embedded.iter().map(|definition| definition["metadata"]["name"].as_str().unwrap());
        assert!(names.eq(crd::ALL.iter().map(|definition| definition.name)));
    }
}

#[test]
fn a_server_accepts_the_definitions_and_what_they_describe() {
    for definition in crd::ALL {
        let mut value: Value = serde_json::from_str(definition.json).unwrap();
        custom_resource_definition::apply_defaults(&mut value);
        let errors = custom_resource_definition::validate(&value, &value, None);
        assert!(errors.is_empty(), "{errors:?}");
    }
    let schema = cluster_schema();
    for text in [
        include_str!("../../../examples/first-cluster.yaml"),
        include_str!("../../../examples/typical.yaml"),
        include_str!("../../../examples/full.yaml"),
    ] {
        let mut object: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(schema.prune(&mut object), Vec::<String>::new());
        assert_eq!(server(&schema, &mut object, None), Vec::<String>::new());
    }
    let mut profile = serde_json::to_value(provider_profile::simulation()).unwrap();
    assert_eq!(server(&compiled(&crd::provider_profile_schema()), &mut profile, None), Vec::<String>::new());
}

#[test]
fn the_defaults_of_the_server_are_those_of_the_types() {
    let schema = cluster_schema();
    let mut served = document(
        &json!({"workers": [{"name": "a"}], "addons": {"ingress": {}}, "maintenance": {"drainTimeout": "5m"}}),
    );
    let cluster: KubernetesCluster = serde_json::from_value(served.clone()).unwrap();
    schema.apply_defaults(&mut served);
    assert_eq!(serde_json::to_value(&cluster.spec).unwrap(), served["spec"]);
    let mut minimal = document(&json!({}));
    schema.apply_defaults(&mut minimal);
    insta::assert_snapshot!(serde_saphyr::to_string(&minimal["spec"]).unwrap());
}

#[test]
fn what_the_server_refuses_is_refused_offline_and_the_other_way_round() {
    let schema = cluster_schema();
    let cases = [
        json!({"kubernetes": {"version": "1.035"}}),
        json!({"kubernetes": {"version": "2.1"}}),
        json!({"controlPlane": {"count": 2}}),
        json!({"controlPlane": {"count": 9}}),
        json!({"controlPlane": {"count": 1, "zones": ["a", "b"]}}),
        json!({"controlPlane": {"count": 3, "zones": ["a", "a"]}}),
        json!({"workers": []}),
        json!({"workers": [{"name": "a"}, {"name": "a"}]}),
        json!({"workers": [{"name": "Upper"}]}),
        json!({"workers": [{"name": "a", "count": 0}]}),
        json!({"workers": [{"name": "a", "count": 1, "autoscaling": {"min": 0, "max": 1}}]}),
        json!({"workers": [{"name": "a", "autoscaling": {"min": 2, "max": 1}}]}),
        json!({"network": {"nodeCIDR": "10.8.0.1/20"}}),
        json!({"network": {"nodeCIDR": "10.8.0.0"}}),
        json!({"network": {"nodeCIDR": "fd00:10:8::/64"}}),
        json!({"network": {"podCIDR": "10.0.0.0/8"}}),
        json!({"network": {"serviceCIDR": "172.16.0.0/25"}}),
        json!({"network": {"ipv6": {"nodeCIDR": "fd00:10:8::/64", "podCIDR": "fd00:10:20::/56"}}}),
        json!({"network": {"ipv6": {"nodeCIDR": "fd00:10:8::/64", "podCIDR": "fd00:10:20::/56", "serviceCIDR": "fd00:10:20::/112"}}}),
        json!({"network": {"ipv6": {"nodeCIDR": "fd00:10:0::/64", "podCIDR": "fd00:10:20::/56", "serviceCIDR": "fd00:10:96::/112"}}}),
        json!({"network": {"dnsServers": ["dns.example.com"]}}),
        json!({"network": {"dnsServers": ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]}}),
        json!({"network": {"proxy": {"url": "ftp://proxy"}}}),
        json!({"apiServer": {"access": "Public", "allowedCIDRs": ["198.51.100.0/24"]}}),
        json!({"apiServer": {"allowedCIDRs": ["198.51.100.1/24"]}}),
        json!({"apiServer": {"access": "Sometimes"}}),
        json!({"addons": {"harbor": {"enabled": true}, "flux": {"enabled": false}}}),
        json!({"addons": {"harbor": {"enabled": true, "domain": "r.example.com"}, "ingress": {"enabled": false}}}),
        json!({"addons": {"harbor": {"acmeEmail": "ops@example.com"}}}),
        json!({"addons": {"harbor": {"sizes": {"redis": "big"}}}}),
        json!({"registries": {"mirrors": [{"upstream": "docker.io", "endpoints": [{"url": "https://m", "capabilities": ["steal"]}]}]}}),
        json!({"maintenance": {"drainTimeout": "soon"}}),
        json!({"maintenance": {"window": {"begin": "23:50", "end": "00:10"}}}),
        json!({"maintenance": {"window": {"begin": "24:00", "end": "01:00"}}}),
        json!({"access": {"oidc": {"issuerURL": "http://id.example.com", "clientID": "a"}}}),
        json!({"provider": {"profile": null}}),
        json!({"provider": {"profile": ""}}),
    ];
    let mut answers = Vec::new();
    for case in &cases {
        let document = document(case);
        let offline = refused_offline(&document, None);
        let mut object = document.clone();
        let by_server = server(&schema, &mut object, None);
        assert!(!by_server.is_empty(), "the server accepts {case}");
        assert!(!offline.is_empty(), "offline {case} is accepted; the server says {by_server:?}");
        answers.push(format!("# {case}\n{}", offline.join("\n")));
    }
    for accepted in [
        json!({"controlPlane": {"count": 7}}),
        json!({"workers": [{"name": "a", "autoscaling": {"min": 0, "max": 1}}]}),
        json!({"network": {"ipv6": {"nodeCIDR": "fd00:10:8::/64", "podCIDR": "fd00:10:20::/56", "serviceCIDR": "fd00:10:96::/112"}}}),
        json!({"apiServer": {"access": "AllowList"}}),
        json!({"addons": {"harbor": {"enabled": true, "domain": "r.example.com"}}}),
        json!({"maintenance": {"window": {"begin": "23:45", "end": "00:15"}}}),
    ] {
        let mut document = document(&accepted);
        assert_eq!(refused_offline(&document, None), Vec::<String>::new(), "{accepted}");
        assert_eq!(server(&schema, &mut document, None), Vec::<String>::new(), "{accepted}");
    }
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn changes_the_server_refuses_are_refused_offline_and_the_other_way_round() {
    let schema = cluster_schema();
    let dual_stack =
        json!({"nodeCIDR": "fd00:10:8::/64", "podCIDR": "fd00:10:20::/56", "serviceCIDR": "fd00:10:96::/112"});
    let status = json!({"kubernetes": {"version": "v1.34.9"}});
    let refused = [
        (json!({}), json!({"kubernetes": {"version": "1.34"}})),
        (json!({"kubernetes": {"version": "v1.35.2"}}), json!({"kubernetes": {"version": "v1.35.1"}})),
        (json!({}), json!({"kubernetes": {"version": "1.37"}})),
        (json!({"status": status}), json!({"kubernetes": {"version": "1.36"}})),
        (json!({}), json!({"provider": {"profile": "other"}})),
        (json!({}), json!({"provider": {"region": "elsewhere"}})),
        (json!({}), json!({"network": {"podCIDR": "172.20.0.0/14"}})),
        (json!({}), json!({"network": {"ipv6": dual_stack}})),
        (json!({"network": {"ipv6": dual_stack}}), json!({})),
        (json!({}), json!({"network": {"externalNetwork": "public"}})),
        (json!({}), json!({"apiServer": {"access": "Internal"}})),
        (json!({"apiServer": {"access": "Internal"}}), json!({"apiServer": {"access": "AllowList"}})),
        (
            json!({"addons": {"harbor": {"sizes": {"redis": "2Gi"}}}}),
            json!({"addons": {"harbor": {"sizes": {"redis": "1Gi"}}}}),
        ),
    ];
    let accepted = [
        (json!({}), json!({"kubernetes": {"version": "1.36"}})),
        (json!({"kubernetes": {"version": "v1.35.1"}}), json!({"kubernetes": {"version": "1.35"}})),
        (json!({"apiServer": {"access": "Public"}}), json!({"apiServer": {"allowedCIDRs": ["198.51.100.0/24"]}})),
        (
            json!({"addons": {"harbor": {"sizes": {"redis": "1Gi"}}}}),
            json!({"addons": {"harbor": {"sizes": {"redis": "2Gi"}}}}),
        ),
        (
            json!({"workers": [{"name": "a"}]}),
            json!({"workers": [{"name": "b", "count": 1}], "controlPlane": {"count": 1}}),
        ),
    ];
    let answer = |before: &Value, after: &Value| {
        let mut old = document(before);
        if let Some(status) = old["spec"].as_object_mut().and_then(|spec| spec.remove("status")) {
            old["status"] = status;
        }
        let mut new = document(after);
        new["status"] = old["status"].clone();
        if new["status"].is_null() {
            new.as_object_mut().unwrap().remove("status");
            old.as_object_mut().unwrap().remove("status");
        }
        assert_eq!(server(&schema, &mut old, None), Vec::<String>::new(), "{before}");
        let by_server = server(&schema, &mut new, Some(&old));
        (by_server, refused_offline(&new, Some(&old)))
    };
    for (before, after) in &refused {
        let (by_server, offline) = answer(before, after);
        assert!(
            !by_server.is_empty() && !offline.is_empty(),
            "{before} -> {after}\nserver: {by_server:?}\noffline: {offline:?}"
        );
    }
    for (before, after) in &accepted {
        assert_eq!(answer(before, after), (Vec::new(), Vec::new()), "{before} -> {after}");
    }
}

#[test]
fn names_of_clusters_are_held_by_the_definition() {
    let schema = cluster_schema();
    for (name, accepted) in [
        ("demo", true),
        ("a-1", true),
        ("a--b", false),
        ("kogge", false),
        ("a-very-long-name-for-a-cluster", false),
        ("9a", false),
    ] {
        let mut object = document(&json!({}));
        object["metadata"]["name"] = name.into();
        assert_eq!(server(&schema, &mut object, None).is_empty(), accepted, "{name}");
    }
}
