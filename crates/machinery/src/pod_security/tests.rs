//! What scenarios of the conformance suite cannot see: the audit log, and namespaces with very many pods.

use serde_json::{Value, json};

use super::*;

fn labels(texts: &[(&str, &str)]) -> Value {
    texts.iter().map(|(mode, value)| (format!("{LABEL_PREFIX}{mode}"), Value::from(*value))).collect()
}

fn annotation<'d>(decision: &'d Decision, key: &str) -> Option<&'d str> {
    let key = format!("{LABEL_PREFIX}{key}");
    decision.audit_annotations.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
}

fn root() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"hostPID": true, "containers": [{"name": "c", "image": "x"}]}})
}

#[test]
fn the_audit_log_names_the_policy_and_its_violations() {
    let decision = admit_pod(&Value::Null, &root(), None);
    assert_eq!(annotation(&decision, "enforce-policy"), Some("privileged:latest"));
    assert_eq!(decision.audit_annotations.len(), 1);

    let audited = labels(&[("audit", "baseline"), ("audit-version", "v1.3"), ("enforce-version", "v1.4")]);
    let decision = admit_pod(&audited, &root(), None);
    assert_eq!(annotation(&decision, "enforce-policy"), Some("privileged:v1.4"));
    let violation = "would violate PodSecurity \"baseline:v1.3\": host namespaces (hostPID=true)";
    assert_eq!(annotation(&decision, "audit-violations"), Some(violation));
    assert_eq!((decision.refusal, decision.warning), (None, None));

    let template = json!({"spec": {"template": root()}});
    let decision = admit_controller(&audited, "apps", "deployments", &template);
    assert_eq!(annotation(&decision, "audit-violations"), Some(violation));
    assert_eq!(annotation(&decision, "enforce-policy"), None, "what makes pods is held against no enforced policy");

    // Nothing of an update that changes nothing of interest.
    assert_eq!(admit_pod(&audited, &root(), Some(&root())), Decision::default());
}

#[test]
fn a_policy_that_cannot_be_read_is_the_strictest_and_says_so_in_the_audit_log() {
    let wrong = labels(&[("enforce", "nope"), ("warn-version", "v1")]);
    let decision = admit_pod(&wrong, &root(), None);
    assert!(decision.refusal.is_some_and(|text| text.starts_with("violates PodSecurity \"restricted:latest\": ")));
    assert_eq!(decision.warning, None);
    let error = "Failed to parse policy: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"nope\": must be one \
                 of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \
                 \"v1\": must be \"latest\" or \"v1.x\"]";
    let decision = admit_pod(&wrong, &root(), None);
    assert_eq!(annotation(&decision, "error"), Some(error));
}

#[test]
fn of_very_many_pods_one_of_each_controller_is_looked_at_first() {
    let pod = |name: String, owner: &str| {
        let owners = json!([{"uid": owner, "controller": true}]);
        json!({"metadata": {"name": name, "ownerReferences": owners}, "spec": root()["spec"]})
    };
    let mut pods: Vec<Value> = (0..3000).map(|number| pod(format!("a{number:04}"), "one")).collect();
    pods.push(pod("z".to_owned(), "other"));
    let enforce = LevelVersion { level: Level::Baseline, version: Version::Latest };
    assert_eq!(
        existing_pod_warnings("ns", enforce, &pods),
        [
            "new PodSecurity enforce level only checked against the first 3000 of 3001 existing pods",
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a0000 (and 2999 other pods): host namespaces",
        ]
    );
}

#[test]
fn shapes_that_no_pod_has_violate_nothing_and_panic_nowhere() {
    for odd in
        [json!(null), json!([]), json!({"spec": []}), json!({"spec": {"containers": {"a": 1}, "volumes": [1, null]}})]
    {
        for level in ["baseline", "restricted"] {
            let held = labels(&[("enforce", level), ("enforce-version", "v1.5"), ("audit", level)]);
            let decision = admit_pod(&held, &odd, Some(&json!({"spec": {"containers": [{"name": "c"}]}})));
            assert!(decision.warning.is_none() || decision.refusal.is_none());
        }
        assert_eq!(admit_namespace(&odd, None), NamespaceDecision::Allow);
        let _ = admit_controller(&labels(&[("warn", "restricted")]), "batch", "cronjobs", &odd);
    }
}
