use serde_json::json;

use super::*;

static VECTORS: &str = include_str!("../../go-types/json-vectors.jsonl");

/// The number of members, at any depth.
fn members(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.len() + fields.values().map(members).sum::<usize>(),
        Value::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}

/// What the fast way makes of a body: parsed, then walked. `None` where it has to leave it to [`TypedKind::decode`].
fn parsed_and_walked(kind: TypedKind, input: &str) -> Option<Value> {
    let mut object: Value = serde_json::from_str(input).ok()?;
    if members(&object) != input.matches("\":").count() {
        // there are duplicates
        return None;
    }
    let fit = kind.canonicalize_stored(&mut object);
    (!fit.wrong_values && !fit.unknown_fields).then_some(object)
}

#[test]
fn bodies_become_what_go_decodes_and_encodes() {
    let mut failures = Vec::new();
    for (index, line) in VECTORS.lines().enumerate() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| vector[field].as_str().unwrap_or_default();
        let kind = TypedKind::of(text("apiVersion"), text("kind")).unwrap();
        let input = text("input");
        let strict: Vec<String> = vector["strict"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|finding| finding.as_str().unwrap().to_owned())
            .collect();
        let fast = parsed_and_walked(kind, input);
        let found = match kind.decode(input.as_bytes()) {
            Err(error) => {
                if fast.is_some() {
                    failures.push(format!("{} {index}: taken by the fast way: {input}", text("kind")));
                }
                format!("error {error}")
            }
            Ok(mut decoded) => {
                kind.canonicalize_stored(&mut decoded.object);
                if fast.is_some_and(|fast| fast != decoded.object) && decoded.findings.is_empty() {
                    failures.push(format!("{} {index}: the fast way differs: {input}", text("kind")));
                }
                format!("{} strict {:?}", kind.encode(&decoded.object), decoded.findings)
            }
        };
        let expected = match vector["error"].as_str() {
            Some(error) => format!("error {error}"),
            None => format!("{} strict {strict:?}", text("output")),
        };
        if found != expected {
            failures.push(format!("{} {index}: {input}\n  expected {expected}\n  found    {found}", text("kind")));
        }
    }
    let shown = failures.len().min(20);
    assert!(failures.is_empty(), "{} differences, the first:\n{}", failures.len(), failures[..shown].join("\n"));
}

#[test]
fn an_empty_object_holds_zero_values() {
    let deployment = TypedKind::of("apps/v1", "Deployment").unwrap().empty();
    assert_eq!(
        deployment,
        json!({
            "metadata": {},
            "spec": {"selector": null, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": null}}},
            "status": {}
        })
    );
}

#[test]
fn documents_that_are_no_objects_are_refused_in_the_words_of_go() {
    let documents = [
        "{}",
        " {\"auths\": {\"a\": [1, -2.5e3, true, null, \"\\u00e9\\n\"]}} ",
        "null",
        "nonsense",
        "",
        "[]",
        "1",
        "\"a\"",
        "{",
        "{a",
        "{\"a\" 1}",
        "{\"a\":1 \"b\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":01}",
        "{} x",
        "'a'",
    ];
    let judged: Vec<String> = documents
        .iter()
        .map(|document| format!("{document:?}: {}", object_problem(document.as_bytes(), GO_MAP).unwrap_or_default()))
        .collect();
    insta::assert_snapshot!(judged.join("\n"));
}

#[test]
fn metadata_that_is_none_is_refused_in_the_words_of_go() {
    let wrong = [
        json!("a"),
        json!([]),
        json!({"labels": {"a": 1}}),
        json!({"generation": "1"}),
        json!({"creationTimestamp": "yesterday"}),
        json!({"ownerReferences": [{"controller": "yes"}]}),
    ];
    let told: Vec<String> = wrong
        .iter()
        .map(|metadata| {
            format!("{metadata}: {}", canonicalize_metadata(&mut metadata.clone()).err().unwrap_or_default())
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    for right in [json!(null), json!({"labels": null, "unknown": 1}), json!({"managedFields": [{"fieldsV1": {}}]})] {
        assert_eq!(canonicalize_metadata(&mut right.clone()), Ok(()));
    }
}

#[test]
fn messages_show_values_in_the_types_of_the_real_server() {
    let deployment = TypedKind::of("apps/v1", "Deployment").unwrap();
    let job = TypedKind::of("batch/v1", "Job").unwrap();
    let container = json!({"name": "a", "ports": [{"containerPort": 80, "hostIP": "1.2.3.4"}]});
    let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"operator": "Exists", "key": "k"}]});
    let shown = [
        // of meta/v1, which is used as it is
        deployment.shown("spec.selector", &selector),
        deployment.shown("spec.strategy", &json!({"type": "x", "rollingUpdate": {"maxSurge": "25%"}})),
        deployment.shown("spec.template.spec.containers[0]", &container),
        deployment.shown("spec.template.metadata.labels[a]", &json!(null)),
        job.shown("spec.template", &json!({"metadata": {"labels": {"a": "b"}}, "spec": {"hostNetwork": true}})),
        // nothing of the type stands there
        deployment.shown("spec.nothing", &json!({})),
        deployment.shown("spec.replicas", &json!({})),
    ];
    let lines: Vec<String> = shown.into_iter().map(|text| text.unwrap_or_else(|| "-".to_owned())).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
