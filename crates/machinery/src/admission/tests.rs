//! Rules, conditions and answers.

use serde_json::{Value, json};

use super::*;
use crate::cel::Bindings;

fn name(group: &str, version: &str, name: &str) -> GroupVersionName {
    GroupVersionName { group: group.to_owned(), version: version.to_owned(), name: name.to_owned() }
}

#[test]
fn rules_match_by_operation_group_version_resource_and_scope() {
    let rule = |resources: Value, scope: &str| {
        Rule::from_json(&json!({
            "operations": ["CREATE"], "apiGroups": ["", "apps"], "apiVersions": ["v1"], "resources": resources,
            "scope": scope,
        }))
    };
    let pods = name("", "v1", "pods");
    let request = |resource, subresource, namespace| RequestedResource {
        operation: Operation::Create,
        resource,
        subresource,
        namespace,
        name: "a",
    };
    for (resources, subresource, expected) in [
        (json!(["pods"]), "", true),
        (json!(["pods"]), "status", false),
        (json!(["*"]), "", true),
        (json!(["*"]), "status", false),
        (json!(["pods/*"]), "status", true),
        (json!(["pods/*"]), "", true),
        (json!(["*/status"]), "status", true),
        (json!(["*/*"]), "status", true),
        (json!(["services/status"]), "status", false),
    ] {
        let found = rule(resources.clone(), "*").matches(&request(&pods, subresource, "default"));
        assert_eq!(found, expected, "{resources} {subresource:?}");
    }
    let all = |scope: &str| rule(json!(["*"]), scope);
    let (namespaces, nodes) = (name("", "v1", "namespaces"), name("", "v1", "nodes"));
    assert!(all("Namespaced").matches(&request(&pods, "", "default")));
    assert!(!all("Cluster").matches(&request(&pods, "", "default")));
    assert!(all("Cluster").matches(&request(&nodes, "", "")));
    assert!(all("Cluster").matches(&request(&namespaces, "", "default")), "a namespace is in no namespace");
    assert!(!all("*").matches(&RequestedResource { operation: Operation::Update, ..request(&pods, "", "default") }));
    let jobs = name("batch", "v1", "jobs");
    assert!(!all("*").matches(&request(&jobs, "", "default")));
    let v2 = name("apps", "v2", "deployments");
    assert!(!all("*").matches(&request(&v2, "", "")) && all("*").may_match_another_version(&request(&v2, "", "")));
}

#[test]
fn a_false_condition_decides_and_a_failing_one_leaves_it_to_the_failure_policy() {
    let conditions = |expressions: &[&str]| {
        let list: Vec<Value> =
            expressions.iter().map(|expression| json!({"name": "c", "expression": expression})).collect();
        MatchCondition::list_from_json(&Value::from(list))
    };
    let bindings = Bindings::default()
        .with("object", &json!({"metadata": {"namespace": "default", "labels": {"a-b": "c"}}}))
        .with("request", &json!({"namespace": "default"}));
    let judge = |expressions: &[&str], ignore| conditions_match(&conditions(expressions), ignore, &bindings);
    let good = "object.metadata.namespace == request.namespace && object.metadata.labels['a-b'] == 'c'";
    assert_eq!(judge(&[], false), MatchResult::Matches);
    assert_eq!(judge(&[good], false), MatchResult::Matches);
    assert_eq!(judge(&["object.spec.x == 1", "false"], false), MatchResult::Excluded);
    assert_eq!(judge(&[good, "object.spec.x == 1"], true), MatchResult::Excluded);
    let failed = "expression 'object.spec.x == 1' resulted in error: no such key: spec".to_owned();
    assert_eq!(judge(&[good, "object.spec.x == 1"], false), MatchResult::Failed(failed));
}

#[test]
fn malformed_answers_are_named() {
    let review =
        |response: Value| json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let answers = [
        json!({}),
        json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "response": {"uid": "u"}}),
        review(json!({"uid": "other"})),
        review(json!({"uid": "u", "patch": "W10="})),
        review(json!({"uid": "u", "patchType": "JSONPatch"})),
        review(json!({"uid": "u", "allowed": true, "patch": "W3t9XQ==", "patchType": "Merge"})),
        review(json!({"uid": "u", "patch": "?", "patchType": "JSONPatch"})),
        review(json!({"uid": "u", "allowed": true, "patch": "e30=", "patchType": "JSONPatch"})),
        review(json!({"uid": "u", "allowed": true, "patch": "WzFd", "patchType": "JSONPatch"})),
        review(json!({"uid": "u", "allowed": true, "patch": "eHg=", "patchType": "JSONPatch"})),
        review(json!({"uid": "u", "allowed": "yes"})),
        review(json!({"uid": "u", "warnings": [1]})),
        review(json!({"uid": "u", "status": {"code": "x"}})),
        review(json!([])),
        json!({"apiVersion": "v1", "kind": "Status", "message": "no"}),
    ];
    let mut texts: Vec<String> = answers
        .iter()
        .map(|answer| response(WebhookKind::Mutating, "v1", "u", answer).unwrap_err().to_string())
        .collect();
    texts.push(response(WebhookKind::Validating, "v1", "u", &answers[4]).unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"));
    let refused = denied("w", Some(&json!({"status": "Other", "message": "m", "reason": "Own"})));
    assert_eq!((refused.code(), refused.status().reason.as_str()), (400, "Own"));
    for wrong in
        [json!({"details": {"name": "n", "retryAfterSeconds": -1}}), json!({"code": 100_000}), json!({"code": -1})]
    {
        let mut result = json!({"status": "Success", "message": "m", "reason": "Own"});
        result.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let refused = denied("w", Some(&result));
        assert_eq!(refused.status().message, "admission webhook \"w\" denied the request: m", "{wrong}");
    }
    for nothing in [
        json!({"uid": "u", "allowed": true, "patch": "W10=", "patchType": "Merge"}),
        json!({"uid": "u", "allowed": true, "patch": "bnVsbA==", "patchType": "JSONPatch"}),
        json!({"uid": "u", "allowed": false, "patch": "eHg=", "patchType": "JSONPatch"}),
    ] {
        let response = response(WebhookKind::Mutating, "v1", "u", &review(nothing)).unwrap();
        assert!(response.patch.is_none(), "an empty patch is none, and that of who denies is not looked at");
    }
}
