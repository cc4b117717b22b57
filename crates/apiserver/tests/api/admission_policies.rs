//! ValidatingAdmissionPolicies: expressions in the place of webhooks.

use serde_json::{Value, json};

use crate::client::{CONFIG_MAPS, Client, WIDGETS, config_map, open, widget};

const REGISTRATIONS: &str = "/apis/admissionregistration.k8s.io/v1";

async fn policy(client: &Client, name: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec["matchConstraints"].is_null() {
        spec["matchConstraints"] = json!({"resourceRules": [{
            "operations": ["CREATE", "UPDATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["widgets"],
        }]});
    }
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": spec,
    });
    let answer = client.post(&format!("{REGISTRATIONS}/validatingadmissionpolicies"), &policy).await;
    if answer.code == 201 { Value::Null } else { Value::from(answer.error()) }
}

async fn bind(client: &Client, policy: &str, actions: &[&str], more: Value) {
    let mut spec = json!({"policyName": policy, "validationActions": actions});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": format!("{policy}-everywhere")}, "spec": spec,
    });
    client.post(&format!("{REGISTRATIONS}/validatingadmissionpolicybindings"), &binding).await.ok();
}

#[tokio::test]
async fn what_policies_deny_is_told_in_the_words_of_the_real_server() {
    let client = open().await;
    client.define_widgets().await;
    let refused = policy(&client, "wrong", json!({"validations": [{"expression": "objekt.x"}, {}]})).await;
    let size = json!({
        "variables": [{"name": "replicas", "expression": "has(object.spec.replicas) ? object.spec.replicas : 0"}],
        "validations": [
            {"expression": "variables.replicas <= 3", "messageExpression": "'at most 3, not ' + string(variables.replicas)"},
            {"expression": "object.spec.size != 'large'", "message": "too large", "reason": "Forbidden"},
            {"expression": "object.spec.immutable == 'x'"},
        ],
        "matchConditions": [{"name": "not-free", "expression": "!object.metadata.name.startsWith('free')"}],
    });
    assert_eq!(policy(&client, "size", size).await, Value::Null);
    client.post(WIDGETS, &widget("unbound", &json!({"replicas": 9}))).await.ok();
    bind(&client, "size", &["Deny"], json!({})).await;
    let mut answers = vec![refused.as_str().unwrap().to_owned()];
    for (name, spec) in [
        ("many", json!({"replicas": 4, "immutable": "x"})),
        ("big", json!({"size": "large", "immutable": "x"})),
        ("absent", json!({})),
        ("other", json!({"immutable": "y"})),
    ] {
        answers.push(client.post(&format!("{WIDGETS}?dryRun=All"), &widget(name, &spec)).await.error());
    }
    client.post(WIDGETS, &widget("good", &json!({"replicas": 3, "immutable": "x"}))).await.ok();
    client.post(WIDGETS, &widget("free", &json!({"replicas": 9}))).await.ok();
    insta::assert_snapshot!(answers.join("\n"));
    client.delete(&format!("{REGISTRATIONS}/validatingadmissionpolicybindings/size-everywhere"), &json!({})).await.ok();
    client.post(WIDGETS, &widget("many", &json!({"replicas": 9}))).await.ok();
}

#[tokio::test]
async fn policies_have_parameters_and_bindings_may_only_warn() {
    let client = open().await;
    client.define_widgets().await;
    let limit = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.spec.replicas <= int(params.data.limit) && namespaceObject.metadata.name == 'default'"}],
    });
    assert_eq!(policy(&client, "limit", limit).await, Value::Null);
    bind(&client, "limit", &["Deny"], json!({"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}})).await;
    let mut answers = vec![client.post(WIDGETS, &widget("a", &json!({"replicas": 1}))).await.error()];
    let mut limits = config_map("limits");
    limits["data"] = json!({"limit": "2"});
    client.post(CONFIG_MAPS, &limits).await.ok();
    client.post(WIDGETS, &widget("a", &json!({"replicas": 2}))).await.ok();
    let denied = client.patch(&format!("{WIDGETS}/a"), "merge", &json!({"spec": {"replicas": 3}})).await;
    answers.push(denied.error());
    let binding = format!("{REGISTRATIONS}/validatingadmissionpolicybindings/limit-everywhere");
    let both = json!({"spec": {"validationActions": ["Deny", "Warn"]}});
    answers.push(client.patch(&binding, "merge", &both).await.error());
    client.patch(&binding, "merge", &json!({"spec": {"validationActions": ["Warn"]}})).await.ok();
    let warned = client.patch(&format!("{WIDGETS}/a"), "merge", &json!({"spec": {"replicas": 3}})).await;
    answers.extend(warned.warnings().iter().map(|warning| (*warning).to_owned()));
    assert_eq!(warned.ok()["spec"]["replicas"], 3);
    insta::assert_snapshot!(answers.join("\n"));
}
