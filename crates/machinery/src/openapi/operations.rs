//! Paths and their operations.

use serde_json::{Map, Value, json};

use super::{
    components::{META, list_name},
    group_version_kind, parameters, reference,
};
use crate::resource::ResourceType;

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const PATCH_TYPES: [&str; 3] =
    ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];

/// One operation, described.
struct Operation<'a> {
    /// HTTP method in lower case.
    method: &'static str,
    /// `x-kubernetes-action`.
    action: &'static str,
    /// Verb that starts the operation id, e.g. `create`.
    verb: &'static str,
    /// What follows the kind in the operation id, e.g. `Status`.
    suffix: &'a str,
    /// Component of the answer.
    answer: &'a str,
    /// Component of the request body, where it has one.
    body: Option<&'a str>,
}

const fn operation<'a>(
    method: &'static str,
    action: &'static str,
    verb: &'static str,
    answer: &'a str,
    body: Option<&'a str>,
) -> Operation<'a> {
    Operation { method, action, verb, suffix: "", answer, body }
}

/// Adds the paths of a resource whose kind is component `name`.
pub(super) fn add(resource: &ResourceType, name: &str, paths: &mut Map<String, Value>) {
    let root = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let plural = &resource.plural;
    let can = |verb: &str| resource.verbs.iter().any(|known| known == verb);
    let list = list_name(name, &resource.list_kind);
    let status = format!("{META}.Status");
    let listing = operation("get", "list", "list", list.as_str(), None);
    let base = if resource.namespaced {
        if can("list") {
            let all = Operation { suffix: "ForAllNamespaces", ..operation("get", "list", "list", list.as_str(), None) };
            let mut item = path_item(false, None);
            put(&mut item, resource, &all, false);
            paths.insert(format!("{root}/{plural}"), Value::Object(item));
        }
        format!("{root}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{root}/{plural}")
    };
    let mut collection = path_item(resource.namespaced, None);
    if can("list") {
        put(&mut collection, resource, &listing, true);
    }
    if can("create") {
        put(&mut collection, resource, &operation("post", "post", "create", name, Some(name)), true);
    }
    if can("deletecollection") {
        let verb = "deletecollection";
        put(&mut collection, resource, &operation("delete", verb, "deleteCollection", &status, None), true);
    }
    paths.insert(base.clone(), Value::Object(collection));
    let item_path = format!("{base}/{{name}}");
    let mut item = path_item(resource.namespaced, Some(&resource.kind));
    let object_operations = |answer: &str, suffix: &str, verbs: &[String], item: &mut Map<String, Value>| {
        let operations = [
            ("get", operation("get", "get", "read", answer, None)),
            ("update", operation("put", "put", "replace", answer, Some(answer))),
            ("patch", operation("patch", "patch", "patch", answer, None)),
            ("create", operation("post", "post", "create", answer, Some(answer))),
        ];
        for (verb, operation) in operations {
            let is_item_create = suffix.is_empty() && verb == "create";
            if !is_item_create && verbs.iter().any(|known| known == verb) {
                put(item, resource, &Operation { suffix, ..operation }, true);
            }
        }
    };
    object_operations(name, "", &resource.verbs, &mut item);
    if can("delete") {
        put(&mut item, resource, &operation("delete", "delete", "delete", &status, None), true);
    }
    if ["get", "update", "patch", "delete"].iter().any(|verb| can(verb)) {
        paths.insert(item_path.clone(), Value::Object(item));
    }
    let object_verbs: Vec<String> = ["get", "update", "patch"].iter().map(|verb| (*verb).to_owned()).collect();
    let mut subresources: Vec<(&str, &str, &[String])> = Vec::new();
    if resource.status_subresource {
        subresources.push(("status", name, &object_verbs));
    }
    if resource.scale.is_some() {
        subresources.push(("scale", SCALE, &object_verbs));
    }
    for subresource in &resource.subresources {
        subresources.push((&subresource.name, name, &subresource.verbs));
    }
    for (subresource, answer, verbs) in subresources {
        let mut item = path_item(resource.namespaced, Some(&resource.kind));
        object_operations(answer, &capitalised(subresource), verbs, &mut item);
        identify_subresource(resource, subresource, &mut item);
        paths.insert(format!("{item_path}/{subresource}"), Value::Object(item));
    }
}

/// Operations on subresources whose body is of another kind carry that kind.
fn identify_subresource(resource: &ResourceType, name: &str, item: &mut Map<String, Value>) {
    let identity = match resource.subresources.iter().find(|subresource| subresource.name == name) {
        Some(subresource) => {
            let group = if subresource.group.is_empty() { &resource.group } else { &subresource.group };
            let version = if subresource.version.is_empty() { &resource.version } else { &subresource.version };
            group_version_kind(group, version, &subresource.kind)
        }
        None if name == "scale" && !resource.custom => group_version_kind("autoscaling", "v1", "Scale"),
        None => return,
    };
    for operation in item.values_mut().filter_map(Value::as_object_mut) {
        operation.insert("x-kubernetes-group-version-kind".to_owned(), identity.clone());
        if resource.subresources.iter().any(|subresource| subresource.name == name) {
            // The body's kind may be of another group, whose components are in another document.
            operation.remove("requestBody");
            operation.insert("responses".to_owned(), json!({"200": {"description": "OK"}}));
        }
    }
}

fn path_item(namespaced: bool, kind: Option<&str>) -> Map<String, Value> {
    let mut item = Map::new();
    item.insert("parameters".to_owned(), Value::Array(parameters::of_path(namespaced, kind)));
    item
}

fn put(item: &mut Map<String, Value>, resource: &ResourceType, operation: &Operation<'_>, in_namespace: bool) {
    let mut document = Map::new();
    let scope = if resource.namespaced && in_namespace { "Namespaced" } else { "" };
    let group = group_name(&resource.group);
    let id = format!(
        "{}{}{}{scope}{}{}",
        operation.verb,
        capitalised(&group),
        capitalised(&resource.version),
        resource.kind,
        operation.suffix
    );
    let mut set = |name: &str, value: Value| document.insert(name.to_owned(), value);
    set("operationId", Value::from(id));
    set("tags", json!([format!("{group}_{}", resource.version)]));
    set("description", Value::from(description(resource, operation)));
    set("x-kubernetes-action", Value::from(operation.action));
    set("x-kubernetes-group-version-kind", group_version_kind(&resource.group, &resource.version, &resource.kind));
    let parameters = match operation.action {
        "list" => parameters::of_list(),
        "deletecollection" => [parameters::of_list(), parameters::of_delete()].concat(),
        "post" | "put" => parameters::of_write(),
        "patch" => parameters::of_patch(),
        "delete" => parameters::of_delete(),
        _ => parameters::of_get(),
    };
    if !parameters.is_empty() {
        set("parameters", deduplicated(parameters));
    }
    let body = match (operation.action, operation.body) {
        ("patch", _) => Some(patch_body(resource)),
        ("delete" | "deletecollection", _) => {
            Some(json!({"content": {"*/*": {"schema": reference(&format!("{META}.DeleteOptions"))}}}))
        }
        (_, Some(body)) => Some(json!({"required": true, "content": {"*/*": {"schema": reference(body)}}})),
        (_, None) => None,
    };
    if let Some(body) = body {
        set("requestBody", body);
    }
    set("responses", responses(operation));
    item.insert(operation.method.to_owned(), Value::Object(document));
}

fn deduplicated(parameters: Vec<Value>) -> Value {
    let mut kept: Vec<Value> = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        if !kept.iter().any(|known| known["name"] == parameter["name"]) {
            kept.push(parameter);
        }
    }
    Value::Array(kept)
}

fn patch_body(resource: &ResourceType) -> Value {
    let strategic = (!resource.custom).then_some("application/strategic-merge-patch+json");
    let content: Map<String, Value> = PATCH_TYPES
        .into_iter()
        .chain(strategic)
        .map(|media_type| (media_type.to_owned(), json!({"schema": reference(&format!("{META}.Patch"))})))
        .collect();
    json!({"required": true, "content": content})
}

fn responses(operation: &Operation<'_>) -> Value {
    let answer = |description: &str| {
        let schema = reference(operation.answer);
        json!({
            "description": description,
            "content": {"application/json": {"schema": schema}, "application/yaml": {"schema": schema}},
        })
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer("OK"));
    if matches!(operation.action, "post" | "put" | "patch") {
        responses.insert("201".to_owned(), answer("Created"));
    }
    if matches!(operation.action, "post" | "delete") {
        responses.insert("202".to_owned(), answer("Accepted"));
    }
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    Value::Object(responses)
}

fn description(resource: &ResourceType, operation: &Operation<'_>) -> String {
    let kind = &resource.kind;
    let of = match operation.suffix {
        "" | "ForAllNamespaces" => String::new(),
        suffix => format!(" {} of", suffix.to_lowercase()),
    };
    match operation.verb {
        "list" => format!("list or watch objects of kind {kind}"),
        "deleteCollection" => format!("delete collection of {kind}"),
        "patch" => format!("partially update{of} the specified {kind}"),
        "create" | "delete" => format!("{}{of} {} {kind}", operation.verb, article(kind)),
        verb => format!("{verb}{of} the specified {kind}"),
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}

/// `core`, `apps`, `koggeDev`, `rbacAuthorization`: the group in operation ids.
fn group_name(group: &str) -> String {
    if group.is_empty() {
        return "core".to_owned();
    }
    let group = group.strip_suffix(".k8s.io").unwrap_or(group);
    group.split(['.', '-']).enumerate().fold(String::new(), |mut name, (position, part)| {
        name.push_str(&if position == 0 { part.to_owned() } else { capitalised(part) });
        name
    })
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
