//! Review kinds: who am I, whose token is this, and who may do what. They are answered, not stored.

use axum::body::Body;
use http::{Response, StatusCode};
use kogge_machinery::{
    object_meta::{label_key_messages, label_value_messages},
    selector::{FieldRequirement, LabelSelector},
    status_error::{ApiError, FieldError, aggregate},
};
use serde_json::{Map, Value, json};

use super::{
    RequestContext,
    admission::{UnstoredCreate, kind},
    answer::{Document, document_response},
    authorization::{Attributes, decide},
    object_completion::{canonicalize, track_update},
    object_write::{WriteScope, Writer, timestamp},
};
use crate::{
    authentication::{self, INVALID_BEARER_TOKEN, Remarks, User},
    registry::ServedResource,
};

/// Whether a type is only asked and never stored.
pub(crate) fn is_review(served: &ServedResource) -> bool {
    matches!(
        (served.resource.group.as_str(), served.resource.plural.as_str()),
        ("authentication.k8s.io", "selfsubjectreviews" | "tokenreviews")
            | (
                "authorization.k8s.io",
                "selfsubjectaccessreviews"
                    | "selfsubjectrulesreviews"
                    | "subjectaccessreviews"
                    | "localsubjectaccessreviews"
            )
    )
}

/// Answers a review.
///
/// # Errors
/// 422 or 400 for a review that asks nothing, or two things.
pub(crate) async fn answer(context: &RequestContext<'_>, review: &Value) -> Result<Response<Body>, ApiError> {
    let resource = &context.served.resource;
    let writer = Writer::of(context)?;
    let body_kind = kind(&resource.group, &resource.version, &resource.kind);
    let create = UnstoredCreate { context, writer: &writer, subresource: "", body_kind };
    let review = &create.mutate(with_owner(context, review, &writer).await).await?;
    let mut answer = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {}});
    match resource.plural.as_str() {
        "selfsubjectreviews" => {
            answer["metadata"]["creationTimestamp"] = timestamp(context.now).into();
            answer["status"] = json!({"userInfo": context.user.user_info()});
        }
        "selfsubjectrulesreviews" => {
            answer["spec"] = json!({});
            answer["status"] = rules(context, &review["spec"])?;
        }
        plural => {
            // The question comes back with its answer, owned by who asked.
            answer = review.clone();
            answer["status"] = match plural {
                "tokenreviews" => token(context, &review["spec"]).await?,
                _ => access(context, review)?,
            };
        }
    }
    // What asks nothing is refused before validating admission sees it; an answer nobody got has told nothing.
    create.validate(review).await?;
    canonicalize(&context.served, &mut answer);
    document_response(&context.answer, StatusCode::CREATED, Document::Value(answer))
}

async fn with_owner(context: &RequestContext<'_>, review: &Value, writer: &Writer) -> Value {
    let mut owned = review.clone();
    if !owned["metadata"].is_object() {
        owned["metadata"] = json!({});
    }
    track_update(context.plane, &context.served, None, &mut owned, WriteScope::Main, writer).await;
    owned
}

async fn token(context: &RequestContext<'_>, spec: &Value) -> Result<Value, ApiError> {
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = texts(&spec["audiences"]);
    let now = context.now.into();
    let mut remarks = Remarks::default();
    // Taken for a header, as the real server takes it.
    let header = format!("Bearer {token}");
    let found = match authentication::bearer_token(&header, &mut remarks) {
        Some(token) => authentication::of_token(context.plane, token, &audiences, now, &mut remarks).await.map(Some),
        None => Ok(None),
    };
    for warning in remarks.warnings {
        context.admission_warnings.push(warning);
    }
    for (key, value) in remarks.audit_annotations {
        context.audit_annotations.add(key, value);
    }
    Ok(match found {
        Ok(None) => json!({"user": {}}),
        Ok(Some(found)) => json!({
            "authenticated": true,
            "user": found.user.user_info(),
            "audiences": found.audiences,
        }),
        // The real server asks the token of its own loopback client first, which says no in these words.
        Err(error) => json!({"user": {}, "error": aggregate([INVALID_BEARER_TOKEN.to_owned(), error])}),
    })
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a SubjectAccessReview of any kind asks.
fn access(context: &RequestContext<'_>, review: &Value) -> Result<Value, ApiError> {
    let resource = &context.served.resource;
    let of_others = resource.plural != "selfsubjectaccessreviews";
    let local = resource.plural == "localsubjectaccessreviews";
    let errors = wrong_fields(review, of_others, local);
    if !errors.is_empty() {
        // The real server does not say which kind of review.
        return Err(ApiError::invalid(&resource.group, "", "", &errors));
    }
    let spec = &review["spec"];
    if local && review["metadata"]["namespace"].as_str().unwrap_or_default() != context.namespace {
        let message = format!("spec.resourceAttributes.namespace must match namespace: {}", context.namespace);
        return Err(ApiError::bad_request(message));
    }
    let other = of_others.then(|| {
        let extra = spec["extra"].as_object().into_iter().flatten();
        User {
            name: spec["user"].as_str().unwrap_or_default().to_owned(),
            uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
            groups: texts(&spec["groups"]),
            extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
        }
    });
    let user = other.as_ref().unwrap_or(&context.user);
    let text = |value: &'_ Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (of_resource, of_path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let [verb, group, plural, subresource, namespace, name] =
        ["verb", "group", "resource", "subresource", "namespace", "name"].map(|field| text(of_resource, field));
    let field_selector = field_requirements(&of_resource["fieldSelector"]);
    let (path_verb, path) = (text(of_path, "verb"), text(of_path, "path"));
    let attributes = if of_resource.is_object() {
        Attributes {
            verb: &verb,
            group: &group,
            resource: &plural,
            subresource: &subresource,
            namespace: &namespace,
            name: &name,
            path: None,
            field_selector: &field_selector,
        }
    } else {
        Attributes { verb: &path_verb, path: Some(&path), ..Attributes::default() }
    };
    let decision = decide(context.plane, user, &attributes)?;
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    let ignored: Vec<String> = ["fieldSelector", "labelSelector"]
        .iter()
        .filter_map(|name| ignored_selector(&of_resource[*name], name))
        .collect();
    if !ignored.is_empty() {
        status["evaluationError"] = ignored.join("; ").into();
    }
    Ok(status)
}

/// What is understood of a field selector.
fn field_requirements(selector: &Value) -> Vec<FieldRequirement> {
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    let mut found = FieldRequirement::parse_all(raw).unwrap_or_default();
    for requirement in selector["requirements"].as_array().into_iter().flatten() {
        let equal = match requirement["operator"].as_str() {
            Some("In") => true,
            Some("NotIn") => false,
            _ => continue,
        };
        let field = requirement["key"].as_str().unwrap_or_default().to_owned();
        if let [value] = &*texts(&requirement["values"]) {
            found.push(FieldRequirement { field, equal, value: value.clone() });
        }
    }
    found
}

/// What is said of a selector that is not or only in part understood. What is left asks for more, and so is safe to decide.
fn ignored_selector(selector: &Value, name: &str) -> Option<String> {
    let of_labels = name == "labelSelector";
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    let requirements = selector["requirements"].as_array().map_or(&[][..], Vec::as_slice);
    let is_understood = |requirement: &&Value| {
        let values = requirement["values"].as_array().map_or(0, Vec::len);
        match requirement["operator"].as_str().unwrap_or_default() {
            "In" | "NotIn" => of_labels || values == 1,
            "Exists" | "DoesNotExist" => of_labels,
            _ => false,
        }
    };
    let understood = requirements.iter().filter(is_understood).count();
    let raw_is_wrong = !raw.is_empty()
        && if of_labels { LabelSelector::parse(raw).is_err() } else { FieldRequirement::parse_all(raw).is_err() };
    if understood == requirements.len() && !raw_is_wrong {
        return None;
    }
    let partially = if understood > 0 { "partially " } else { "" };
    Some(format!("spec.resourceAttributes.{name} {partially}ignored due to parse error"))
}

/// Kubernetes' `pkg/apis/authorization/validation`.
fn wrong_fields(review: &Value, of_others: bool, local: bool) -> Vec<FieldError> {
    let spec = &review["spec"];
    let (of_resource, of_path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut errors = Vec::new();
    if of_resource.is_object() && of_path.is_object() {
        let detail = "cannot be specified in combination with resourceAttributes";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", of_path, detail));
    }
    if !of_resource.is_object() && !of_path.is_object() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid("spec.resourceAttributes", &Value::Null, detail));
    }
    let empty = |field: &str| match &spec[field] {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if of_others && empty("user") && empty("groups") {
        let detail = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", &json!(""), detail));
    }
    for selector in ["fieldSelector", "labelSelector"] {
        selector_attributes(&of_resource[selector], &format!("spec.resourceAttributes.{selector}"), &mut errors);
    }
    let given = review["metadata"].as_object().map_or_else(Map::new, |metadata| {
        let shown = metadata.iter().filter(|(field, value)| *field != "managedFields" && !value.is_null());
        shown.map(|(field, value)| (field.clone(), value.clone())).collect()
    });
    if given.keys().any(|field| !(local && field == "namespace")) {
        let detail = if local { "must be empty except for namespace" } else { "must be empty" };
        errors.push(FieldError::invalid("metadata", &given.into(), detail));
    }
    if local {
        let asked = of_resource["namespace"].as_str().unwrap_or_default();
        if of_resource.is_object() && asked != review["metadata"]["namespace"].as_str().unwrap_or_default() {
            let detail = "must match metadata.namespace";
            errors.push(FieldError::invalid("spec.resourceAttributes.namespace", &json!(asked), detail));
        }
        if of_path.is_object() {
            let detail = "disallowed on this kind of request";
            errors.push(FieldError::invalid("spec.nonResourceAttributes", of_path, detail));
        }
    }
    errors
}

fn selector_attributes(selector: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !selector.is_object() {
        return;
    }
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    let requirements = selector["requirements"].as_array().is_some_and(|requirements| !requirements.is_empty());
    if !raw.is_empty() && requirements {
        let detail = "may not specified at the same time as requirements";
        errors.push(FieldError::invalid(format!("{path}.rawSelector"), &json!(raw), detail));
    }
    if raw.is_empty() && !requirements {
        let detail = format!("when {path} is specified, requirements or rawSelector is required");
        errors.push(FieldError::required(format!("{path}.requirements"), &detail));
    }
    for (index, requirement) in selector["requirements"].as_array().into_iter().flatten().enumerate() {
        let path = format!("{path}.requirements[{index}]");
        selector_requirement(requirement, path.contains("labelSelector"), &path, errors);
    }
}

/// One requirement. Operators that are not known are for authorizers that know them.
fn selector_requirement(requirement: &Value, of_labels: bool, path: &str, errors: &mut Vec<FieldError>) {
    let key = requirement["key"].as_str().unwrap_or_default();
    let values = requirement["values"].as_array().map_or(&[][..], Vec::as_slice);
    if !of_labels && key.is_empty() {
        errors.push(FieldError::required(format!("{path}.key"), "must be specified"));
    }
    match requirement["operator"].as_str().unwrap_or_default() {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(format!("{path}.values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(format!("{path}.values"), detail));
        }
        _ => {}
    }
    if of_labels {
        let wrong = label_key_messages(key).into_iter();
        errors.extend(wrong.map(|detail| FieldError::invalid(format!("{path}.key"), &json!(key), &detail)));
        for (index, value) in values.iter().enumerate() {
            let wrong = label_value_messages(value.as_str().unwrap_or_default()).into_iter();
            errors.extend(wrong.map(|detail| FieldError::invalid(format!("{path}.values[{index}]"), value, &detail)));
        }
    }
}

/// What the user may do in a namespace.
fn rules(context: &RequestContext<'_>, spec: &Value) -> Result<Value, ApiError> {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let (rules, error) = context
        .plane
        .state
        .access_rules
        .ask(context.plane.store(), |policy| policy.rules_for(&context.user.requester(), namespace))?;
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    for rule in rules {
        let mut rule = json!(rule);
        let fields = rule.as_object_mut().map(std::mem::take).unwrap_or_default();
        if fields.contains_key("resources") {
            let wanted = ["verbs", "apiGroups", "resources", "resourceNames"];
            resources.push(
                wanted
                    .iter()
                    .filter_map(|field| Some(((*field).to_owned(), fields.get(*field)?.clone())))
                    .collect::<Value>(),
            );
        }
        if fields.contains_key("nonResourceURLs") {
            let wanted = ["verbs", "nonResourceURLs"];
            paths.push(
                wanted
                    .iter()
                    .filter_map(|field| Some(((*field).to_owned(), fields.get(*field)?.clone())))
                    .collect::<Value>(),
            );
        }
    }
    let is_node = context.user.node_name().is_some();
    let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": is_node});
    let of_node = is_node.then(|| "node authorizer does not support user rule resolution".to_owned());
    let errors = aggregate(of_node.into_iter().chain(error));
    if !errors.is_empty() {
        status["evaluationError"] = errors.into();
    }
    Ok(status)
}
