//! What is wrong with a webhook configuration (`pkg/apis/admissionregistration/validation` 1.36).

use std::collections::BTreeSet;

use serde_json::Value;

use super::configuration::selector;
use crate::{
    cel::Program,
    object_meta::{dns_1035_messages, label_key_messages, subdomain_messages},
    status_error::{FieldError, FieldErrorKind},
};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// Variables of match conditions.
const CONDITION_VARIABLES: [&str; 4] = ["authorizer", "object", "oldObject", "request"];
/// Variables that every expression of a policy has.
const POLICY_VARIABLES: [&str; 4] = ["namespaceObject", "object", "oldObject", "request"];
const MAXIMUM_AUDIT_ANNOTATIONS: usize = 20;
const MAXIMUM_CONDITIONS: usize = 64;

/// The wrong fields of a Mutating- or ValidatingWebhookConfiguration, completed with defaults. Expressions that `old`
/// has are not judged again.
pub fn validate_webhook_configuration(configuration: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    let known = old.map(expressions).unwrap_or_default();
    for (index, webhook) in items(&configuration["webhooks"]).iter().enumerate() {
        let path = format!("webhooks[{index}]");
        webhook_errors(webhook, &path, &known, &mut errors);
        review_version_errors(&webhook["admissionReviewVersions"], &path, &mut errors);
        let name = text(webhook, "name");
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(format!("{path}.name"), &webhook["name"]));
        }
    }
    errors
}

/// The wrong fields of a ValidatingAdmissionPolicy, completed with defaults. Expressions that `old` has are not judged
/// again.
pub fn validate_policy(policy: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &policy["spec"];
    let rules = &spec["matchConstraints"]["resourceRules"];
    if !spec["matchConstraints"].is_object() {
        errors.push(FieldError::required("spec.matchConstraints", ""));
    } else if items(rules).is_empty() {
        errors.push(FieldError::required("spec.matchConstraints.resourceRules", ""));
    }
    for (index, rule) in items(rules).iter().enumerate() {
        rule_errors(rule, &format!("spec.matchConstraints.resourceRules[{index}]"), &mut errors);
    }
    if items(&spec["validations"]).is_empty() && items(&spec["auditAnnotations"]).is_empty() {
        for field in ["validations", "auditAnnotations"] {
            let detail = "validations or auditAnnotations must contain at least one item";
            errors.push(FieldError::required(format!("spec.{field}"), detail));
        }
    }
    let old = old.map_or(&Value::Null, |old| &old["spec"]);
    let known: BTreeSet<&str> = ["validations", "variables", "matchConditions", "auditAnnotations"]
        .iter()
        .flat_map(|list| items(&old[*list]))
        .flat_map(|item| ["expression", "messageExpression", "valueExpression"].map(|field| text(item, field)))
        .collect();
    let mut conditions = POLICY_VARIABLES.to_vec();
    conditions.extend(spec["paramKind"].is_object().then_some("params"));
    let mut telling = conditions.clone();
    telling.extend((!items(&spec["variables"]).is_empty()).then_some("variables"));
    let mut judging = telling.clone();
    for variables in [&mut conditions, &mut judging] {
        variables.push("authorizer");
    }
    for list in ["variables", "validations"] {
        for (index, item) in items(&spec[list]).iter().enumerate() {
            let path = format!("spec.{list}[{index}]");
            policy_expression_errors(item, &path, &judging, &telling, &known, &mut errors);
        }
    }
    audit_annotation_errors(policy, &judging, &known, &mut errors);
    condition_errors(&spec["matchConditions"], "spec.matchConditions", &conditions, &known, &mut errors);
    errors
}

fn audit_annotation_errors(policy: &Value, variables: &[&str], known: &BTreeSet<&str>, errors: &mut Vec<FieldError>) {
    let name = text(&policy["metadata"], "name");
    let list = items(&policy["spec"]["auditAnnotations"]);
    if list.len() > MAXIMUM_AUDIT_ANNOTATIONS {
        let detail = format!("must not have more than {MAXIMUM_AUDIT_ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid("spec.auditAnnotations", &policy["spec"]["auditAnnotations"], &detail));
    }
    let mut keys = BTreeSet::new();
    for (index, annotation) in list.iter().enumerate() {
        let path = format!("spec.auditAnnotations[{index}]");
        let (key, expression) = (text(annotation, "key"), text(annotation, "valueExpression"));
        if name.is_empty() {
            let detail = "requires metadata.name be non-empty";
            errors.push(FieldError::invalid(format!("{path}.key"), &annotation["key"], detail));
        } else {
            let full = format!("{name}/{key}");
            for message in label_key_messages(&full) {
                errors.push(FieldError::invalid(format!("{path}.key"), &full.as_str().into(), &message));
            }
        }
        if expression.trim().is_empty() {
            errors.push(FieldError::required(format!("{path}.valueExpression"), "valueExpression is not specified"));
        } else if !known.contains(expression)
            && let Some(reason) = expression_problem(expression.trim(), variables)
        {
            errors.push(FieldError::invalid(
                format!("{path}.valueExpression"),
                &annotation["valueExpression"],
                &reason,
            ));
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(format!("{path}.key"), &annotation["key"]));
        }
    }
}

/// The wrong fields of a ValidatingAdmissionPolicyBinding.
pub fn validate_policy_binding(binding: &Value) -> Vec<FieldError> {
    const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
    let mut errors = Vec::new();
    let spec = &binding["spec"];
    let policy = text(spec, "policyName");
    if policy.is_empty() {
        errors.push(FieldError::required("spec.policyName", ""));
    } else {
        for message in subdomain_messages(policy, 253) {
            errors.push(FieldError::invalid("spec.policyName", &policy.into(), &message));
        }
    }
    let reference = &spec["paramRef"];
    if reference.is_object() {
        match (text(reference, "name").is_empty(), reference["selector"].is_object()) {
            (false, true) => {
                let detail = "name and selector are mutually exclusive";
                errors.push(FieldError::forbidden("spec.paramRef.name", detail));
            }
            (true, false) => {
                let detail = "one of name or selector must be specified";
                errors.push(FieldError::required("spec.paramRef", detail));
            }
            _ => {}
        }
    }
    let actions = items(&spec["validationActions"]);
    let path = "spec.validationActions";
    for (index, action) in actions.iter().enumerate() {
        if !ACTIONS.iter().any(|known| action == known) {
            errors.push(FieldError::not_supported(format!("{path}[{index}]"), action, &ACTIONS));
        }
        if actions[..index].contains(action) {
            errors.push(FieldError::duplicate(format!("{path}[{index}]"), action));
        }
    }
    if ["Deny", "Warn"].iter().all(|both| actions.iter().any(|action| action == both)) {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                      response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, &spec["validationActions"], detail));
    }
    if actions.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
    errors
}

/// The wrong fields of a variable or a validation. Expressions have the variables `judging`, messages `telling`.
fn policy_expression_errors(
    item: &Value,
    path: &str,
    judging: &[&str],
    telling: &[&str],
    known: &BTreeSet<&str>,
    errors: &mut Vec<FieldError>,
) {
    const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    for field in ["expression", "messageExpression"] {
        let path = format!("{path}.{field}");
        let expression = text(item, field).trim();
        if expression.is_empty() {
            if field == "expression" {
                errors.push(FieldError::required(path, "expression is not specified"));
            }
        } else if !known.contains(text(item, field))
            && let Some(reason) = expression_problem(expression, if field == "expression" { judging } else { telling })
        {
            errors.push(FieldError::invalid(path, &expression.into(), &reason));
        }
    }
    if let Some(reason) = item["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(format!("{path}.reason"), &reason.into(), &REASONS));
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn expressions(configuration: &Value) -> BTreeSet<&str> {
    items(&configuration["webhooks"])
        .iter()
        .flat_map(|webhook| items(&webhook["matchConditions"]))
        .map(|condition| text(condition, "expression"))
        .collect()
}

fn webhook_errors(webhook: &Value, path: &str, known: &BTreeSet<&str>, errors: &mut Vec<FieldError>) {
    full_name_errors(&webhook["name"], &format!("{path}.name"), errors);
    for (index, rule) in items(&webhook["rules"]).iter().enumerate() {
        rule_errors(rule, &format!("{path}.rules[{index}]"), errors);
    }
    for (field, supported) in [
        ("failurePolicy", &["Fail", "Ignore"][..]),
        ("matchPolicy", &["Equivalent", "Exact"]),
        ("sideEffects", &["None", "NoneOnDryRun"]),
        ("reinvocationPolicy", &["IfNeeded", "Never"]),
    ] {
        match &webhook[field] {
            Value::Null if field == "sideEffects" => {
                let detail = format!("must specify one of {}", supported.join(", "));
                errors.push(FieldError::required(format!("{path}.{field}"), &detail));
            }
            Value::String(value) if !supported.contains(&value.as_str()) => {
                errors.push(FieldError::not_supported(format!("{path}.{field}"), &webhook[field], supported));
            }
            _ => {}
        }
    }
    if let Some(seconds) = webhook["timeoutSeconds"].as_i64()
        && !(1..=30).contains(&seconds)
    {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(format!("{path}.timeoutSeconds"), &webhook["timeoutSeconds"], detail));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        if let Err(reason) = selector(&webhook[field]) {
            errors.push(FieldError::invalid(format!("{path}.{field}"), &webhook[field], &reason));
        }
    }
    client_errors(&webhook["clientConfig"], &format!("{path}.clientConfig"), errors);
    condition_errors(
        &webhook["matchConditions"],
        &format!("{path}.matchConditions"),
        &CONDITION_VARIABLES,
        known,
        errors,
    );
}

fn full_name_errors(name: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let given = name.as_str().unwrap_or_default();
    let messages = subdomain_messages(given, 253);
    if given.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !messages.is_empty() {
        errors.push(FieldError::invalid(path, name, &messages.join(",")));
    } else if given.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, name, detail));
    }
}

/// The wrong fields of a rule with operations.
pub(super) fn rule_errors(rule: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (field, what) in [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = items(&rule[field]);
        let path = format!("{path}.{field}");
        if list.is_empty() {
            errors.push(FieldError::required(path.as_str(), ""));
        }
        if list.len() > 1 && list.iter().any(|item| item == "*") {
            let detail = format!("if '*' is present, must not specify other {what}");
            errors.push(FieldError::invalid(path.as_str(), &rule[field], &detail));
        }
        for (index, item) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if field == "operations" && !OPERATIONS.iter().any(|known| item == known) {
                errors.push(FieldError::not_supported(path, item, &OPERATIONS));
            } else if field == "apiVersions" && item == "" {
                errors.push(FieldError::required(path, ""));
            }
        }
    }
    resource_errors(&rule["resources"], &format!("{path}.resources"), errors);
    let scopes = ["*", "Cluster", "Namespaced"];
    if let Some(scope) = rule["scope"].as_str()
        && !scopes.contains(&scope)
    {
        errors.push(FieldError::not_supported(format!("{path}.scope"), &rule["scope"], &scopes));
    }
}

fn resource_errors(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let list = items(resources);
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut all_below, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
    let mut plain = false;
    for (index, item) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let given = item.as_str().unwrap_or_default();
        if given.is_empty() {
            errors.push(FieldError::required(path, ""));
            continue;
        }
        let Some((resource, subresource)) = given.split_once('/') else {
            plain = given != "*";
            continue;
        };
        for (is_covered, pattern) in [
            (all_below.contains(resource), format!("{resource}/*")),
            (everywhere.contains(subresource), format!("*/{subresource}")),
        ] {
            if is_covered {
                let detail = format!("if '{pattern}' is present, must not specify {given}");
                errors.push(FieldError::invalid(path.as_str(), item, &detail));
            }
        }
        if subresource == "*" {
            all_below.insert(resource);
        }
        if resource == "*" {
            everywhere.insert(subresource);
        }
    }
    let has = |pattern: &str| list.iter().any(|item| item == pattern);
    if list.len() > 1 && has("*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, resources, detail));
    }
    if has("*") && plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, resources, detail));
    }
}

fn client_errors(client: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match (&client["url"], &client["service"]) {
        (Value::String(url), Value::Null) => url_errors(url, &format!("{path}.url"), errors),
        (Value::Null, service @ Value::Object(_)) => service_errors(service, &format!("{path}.service"), errors),
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

fn url_errors(url: &str, path: &str, errors: &mut Vec<FieldError>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut refuse = |value: &str, detail: &str| errors.push(FieldError::invalid(path, &value.into(), detail));
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        refuse(scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        refuse(host, &format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        refuse(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        refuse(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        refuse(query, "query parameters are not permitted in the URL");
    }
}

fn service_errors(service: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for field in ["name", "namespace"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(format!("{path}.{field}"), ""));
        }
    }
    let port = service["port"].as_i64().unwrap_or(0);
    if !(1..=65535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(format!("{path}.port"), &port.into(), detail));
    }
    let given = text(service, "path");
    if matches!(given, "" | "/") {
        return;
    }
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(format!("{path}.path"), &service["path"], detail));
    if given == "//" {
        refuse("segment[0] may not be empty");
        return;
    }
    if !given.starts_with('/') {
        refuse("must start with a '/'");
    }
    let mut characters = given.chars();
    characters.next();
    let rest = characters.as_str();
    for (index, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            refuse(&format!("segment[{index}] may not be empty"));
            continue;
        }
        for message in subdomain_messages(step, 253) {
            refuse(&format!("segment[{index}]: {message}"));
        }
    }
}

fn review_version_errors(versions: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let path = format!("{path}.admissionReviewVersions");
    let list = items(versions);
    if list.is_empty() {
        let detail = format!("must specify one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::required(path, &detail));
        return;
    }
    for (index, version) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if list[..index].contains(version) {
            errors.push(FieldError::invalid(path, version, "duplicate version"));
            continue;
        }
        for message in dns_1035_messages(version.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(path.as_str(), version, &message));
        }
    }
    if !list.iter().any(|version| REVIEW_VERSIONS.iter().any(|known| version == known)) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(FieldError::invalid(path, versions, &detail));
    }
}

/// The wrong match conditions of a list. `variables` are the names an expression may use.
pub(super) fn condition_errors(
    conditions: &Value,
    path: &str,
    variables: &[&str],
    known: &BTreeSet<&str>,
    errors: &mut Vec<FieldError>,
) {
    let list = items(conditions);
    if list.len() > MAXIMUM_CONDITIONS {
        let detail = format!("must have at most {MAXIMUM_CONDITIONS} items");
        errors.push(FieldError::with_value(FieldErrorKind::TooMany, path, &list.len().into(), &detail));
    }
    let mut names = BTreeSet::new();
    for (index, condition) in list.iter().enumerate() {
        let expression = text(condition, "expression").trim();
        let field = format!("{path}[{index}].expression");
        if expression.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if !known.contains(text(condition, "expression"))
            && let Some(reason) = condition_problem(expression, variables)
        {
            errors.push(FieldError::invalid(field, &expression.into(), &reason));
        }
        let field = format!("{path}[{index}].name");
        let name = text(condition, "name");
        if name.is_empty() {
            errors.push(FieldError::required(field, ""));
            continue;
        }
        for message in label_key_messages(name) {
            errors.push(FieldError::invalid(field.as_str(), &condition["name"], &message));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(field, &condition["name"]));
        }
    }
}

/// Why an expression is no condition with these variables.
fn condition_problem(expression: &str, variables: &[&str]) -> Option<String> {
    const WITHOUT_SCHEMA: [&str; 2] = ["object", "oldObject"];
    expression_problem(expression, variables).or_else(|| {
        let found = Program::compile(expression).ok()?.static_type(&WITHOUT_SCHEMA)?;
        (found != "bool").then(|| format!("must evaluate to bool but got {found}"))
    })
}

/// Why an expression does not compile with these variables.
pub(super) fn expression_problem(expression: &str, variables: &[&str]) -> Option<String> {
    match Program::compile(expression) {
        Err(error) => Some(format!("compilation failed: {error}")),
        Ok(program) => {
            let undeclared = program.undeclared_names(variables);
            let lines: Vec<String> =
                undeclared.iter().map(|name| format!("undeclared reference to '{name}' (in container '')")).collect();
            (!lines.is_empty()).then(|| format!("compilation failed: {}", lines.join("\n")))
        }
    }
}
