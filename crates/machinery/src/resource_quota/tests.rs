use rstest::rstest;
use serde_json::json;

use super::*;
use crate::resource::GroupResource;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn evaluator(group: &str, resource: &str) -> Evaluator {
    Evaluator::of(&GroupResource { group: group.to_owned(), resource: resource.to_owned() }).unwrap()
}

fn quota(hard: &Value, used: &Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
}

fn create(evaluator: Evaluator, new: Value) -> Request {
    Request { evaluator, subresource: "", old: None, new }
}

fn pod(cpu: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

#[test]
fn what_does_not_fit_is_refused_with_the_amounts_that_do_not() {
    let quota = quota(
        &json!({"cpu": "1", "pods": "9", "count/pods": "1"}),
        &json!({"cpu": "600m", "pods": "1", "count/pods": "1"}),
    );
    let refused = charge(std::slice::from_ref(&quota), &create(Evaluator::Pods, pod("500m")), now());
    assert_eq!(
        refused.unwrap_err(),
        "exceeded quota: q, requested: count/pods=1,cpu=500m, used: count/pods=1,cpu=600m, limited: count/pods=1,cpu=1"
    );
    let without = charge(
        &[quota],
        &create(Evaluator::Pods, json!({"spec": {"containers": [{"name": "c"}, {"name": "b"}]}})),
        now(),
    );
    assert_eq!(without.unwrap_err(), "failed quota: q: must specify cpu for: b,c");
}

#[test]
fn what_fits_is_added_to_every_quota_that_counts_it() {
    let quotas = [
        quota(&json!({"requests.cpu": "1"}), &json!({"requests.cpu": "500m"})),
        quota(&json!({"services": "1"}), &json!({"services": "0"})),
        quota(&json!({"pods": "1"}), &json!({})),
    ];
    let charged = charge(&quotas[..2], &create(Evaluator::Pods, pod("500m")), now()).unwrap();
    assert_eq!(
        charged.iter().map(|(index, used)| (*index, used.to_string())).collect::<Vec<_>>(),
        [(0, "requests.cpu=1".to_owned())]
    );
    let unknown = charge(&quotas, &create(Evaluator::Pods, pod("500m")), now());
    assert_eq!(unknown.unwrap_err(), "status unknown for quota: q, resources: pods");
    let negative = charge(&quotas[..1], &create(Evaluator::Pods, pod("-1")), now());
    assert_eq!(negative.unwrap_err(), "quota usage is negative for resource(s): cpu,requests.cpu");
}

#[test]
fn a_change_counts_by_what_it_adds() {
    let service = |kind: &str, ports: usize| json!({"spec": {"type": kind, "ports": vec![json!({}); ports]}});
    let quota = quota(
        &json!({"services": "1", "services.nodeports": "2"}),
        &json!({"services": "1", "services.nodeports": "1"}),
    );
    let write =
        |old: Value, new: Value| Request { evaluator: Evaluator::Services, subresource: "", old: Some(old), new };
    let charged = |request: &Request| charge(std::slice::from_ref(&quota), request, now()).map(|charged| charged.len());
    assert_eq!(charged(&write(service("NodePort", 1), service("NodePort", 2))), Ok(1));
    assert_eq!(charged(&write(service("NodePort", 2), service("ClusterIP", 2))), Ok(0));
    assert!(
        charged(&write(service("ClusterIP", 2), service("LoadBalancer", 2)))
            .unwrap_err()
            .contains("services.nodeports=2")
    );
}

#[rstest]
#[case(json!({"scopes": ["Terminating"]}), true, false)]
#[case(json!({"scopes": ["NotTerminating", "BestEffort"]}), false, true)]
#[case(json!({"scopes": ["NotBestEffort"]}), true, false)]
#[case(json!({"scopes": ["PriorityClass"]}), true, false)]
#[case(json!({"scopes": ["CrossNamespacePodAffinity"]}), true, false)]
#[case(json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}), true, false)]
#[case(json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]}}), false, true)]
#[case(json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}}), false, true)]
#[case(json!({"scopes": ["VolumeAttributesClass"]}), false, false)]
fn scopes_select_pods(#[case] spec: Value, #[case] first: bool, #[case] second: bool) {
    let mut one = pod("1");
    one["spec"]["activeDeadlineSeconds"] = json!(5);
    one["spec"]["priorityClassName"] = json!("high");
    one["spec"]["affinity"] = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"podAffinityTerm": {"namespaceSelector": {}}},
    ]}});
    let two = json!({"spec": {"containers": [{"name": "c"}]}});
    let quota = json!({"spec": spec});
    let found = [&one, &two].map(|pod| scopes::match_all(&quota, &Evaluator::Pods, pod));
    assert_eq!(found, [first, second]);
    // No scope is about other kinds.
    assert!(!scopes::match_all(&quota, &Evaluator::Services, &one));
}

#[test]
fn claims_are_counted_as_a_whole_and_by_class() {
    let claim = json!({"spec": {
        "storageClassName": "gold", "volumeAttributesClassName": "fast", "resources": {"requests": {"storage": "1500m"}},
    }, "status": {"allocatedResources": {"storage": "2Gi"}}});
    let usage = Evaluator::PersistentVolumeClaims.usage(&claim, now());
    assert_eq!(
        usage.to_string(),
        "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
         gold.storageclass.storage.k8s.io/requests.storage=2Gi,persistentvolumeclaims=1,requests.storage=2Gi"
    );
    let of_class = json!({"spec": {"scopes": ["VolumeAttributesClass"]}});
    assert!(scopes::match_all(&of_class, &Evaluator::PersistentVolumeClaims, &claim));
    let claim = json!({"spec": {"devices": {"requests": [
        {"exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        {"firstAvailable": [
            {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
            {"deviceClassName": "gpu", "allocationMode": "All"},
        ]},
    ]}}});
    assert_eq!(
        Evaluator::ResourceClaims.usage(&claim, now()).to_string(),
        "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=34,\
         requests.deviceclass.resource.kubernetes.io/gpu=34"
    );
}

#[test]
fn names_say_what_is_counted() {
    let resources = |names: &[&str]| -> Vec<String> {
        resources_counted_by(names.iter().copied()).iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        resources(&[
            "requests.example.com/gpu",
            "hugepages-2Mi",
            "secrets",
            "count/secrets",
            "count/widgets.a.example.com"
        ]),
        ["pods", "secrets", "widgets.a.example.com"]
    );
    assert_eq!(
        resources(&["gold.storageclass.storage.k8s.io/requests.storage", "count/events"]),
        ["persistentvolumeclaims", "events"]
    );
    assert_eq!(evaluator("", "secrets"), Evaluator::Objects(vec!["count/secrets".to_owned(), "secrets".to_owned()]));
    assert_eq!(Evaluator::of(&GroupResource { group: String::new(), resource: "events".to_owned() }), None);
    let wanted = [
        "cpu",
        "limits.memory",
        "requests.ephemeral-storage",
        "requests.hugepages-1Gi",
        "requests.deviceclass.resource.kubernetes.io/a",
    ];
    assert!(wanted.into_iter().all(|name| Evaluator::Pods.tracks(name)));
    let others =
        ["limits.hugepages-1Gi", "example.com/gpu", "requests.kubernetes.io/a", "requests.storage", "requests.a"];
    assert!(!others.into_iter().any(|name| Evaluator::Pods.tracks(name)));
}

#[test]
fn pods_that_have_ended_leave_room() {
    let running = json!({"metadata": {}, "spec": pod("1")["spec"], "status": {"phase": "Running"}});
    let mut ended = running.clone();
    ended["status"]["phase"] = json!("Failed");
    let pods = GroupResource { group: String::new(), resource: "pods".to_owned() };
    assert!(frees(&pods, &running, &ended, now()));
    assert!(!frees(&pods, &ended, &running, now()));
    let mut leaving = running.clone();
    leaving["metadata"] = json!({"deletionTimestamp": "2025-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30});
    let quota = quota(
        &json!({"pods": "5", "cpu": "5", "count/pods": "5", "services": "1"}),
        &json!({"services": "1", "pods": "0"}),
    );
    let counted = usage(&quota, &Evaluator::Pods, [&running, &ended, &leaving].into_iter(), now());
    assert_eq!(counted.to_string(), "count/pods=3,cpu=1,pods=1");
    let status = refreshed_status(&quota, counted).unwrap();
    assert_eq!(status["used"], json!({"count/pods": "3", "cpu": "1", "pods": "1", "services": "1"}));
    let known = json!({"spec": quota["spec"], "status": status});
    assert_eq!(refreshed_status(&known, ResourceList::default()), None);
}
