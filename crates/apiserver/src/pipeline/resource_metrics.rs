//! `metrics.k8s.io`: what pods and nodes use right now, as `kubectl top` and autoscalers ask. Nothing of it is stored.
//!
//! In a cluster metrics-server answers these paths, behind the APIService that installs it. A plane answers them itself
//! where that APIService is and the server's options say what pods use; elsewhere the group is not there.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use axum::body::Body;
use http::{Response, StatusCode};
use jiff::Timestamp;
use kogge_machinery::{
    quantity::{self, Quantity},
    resource::{GroupResource, PrinterColumn, ResourceType, SharedResourceType},
    schema::LazySchema,
    status_error::ApiError,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    RequestContext,
    answer::{Document, document_response},
    get::object_response,
    list::{Page, list_document},
    list_options::Selection,
    object_write::timestamp,
};
use crate::{
    plane::{Plane, list_error, parse_stored},
    registry::ServedResource,
    server::{Measured, PodUsage, Usage, UsageRequest},
    store::{ObjectKey, Scope},
};

pub(crate) const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";
/// The APIService whose presence means that metrics-server is installed.
const API_SERVICE: &str = "v1beta1.metrics.k8s.io";
/// Seconds between two measurements, as metrics-server takes them.
const RESOLUTION: i64 = 15;

static TYPES: LazyLock<[Arc<ServedResource>; 2]> =
    LazyLock::new(|| [resource_type("NodeMetrics", "nodes", false), resource_type("PodMetrics", "pods", true)]);

fn resource_type(kind: &'static str, plural: &str, namespaced: bool) -> Arc<ServedResource> {
    let resource = ResourceType {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: String::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced,
        verbs: vec!["get".to_owned(), "list".to_owned()],
        storage_version: VERSION.to_owned(),
        status_subresource: false,
        scale: None,
        subresources: Vec::new(),
        columns: columns(),
        selectable_fields: Vec::new(),
        custom: false,
        has_generation: false,
        deprecation_warning: None,
        // Nothing of it is written, so only the document is asked for.
        schema: LazySchema::new(|| None, move || Some(schema(kind))),
        cells: Some(cells),
        counted: &[],
    };
    Arc::new(ServedResource {
        stored_as: resource.group_resource(),
        resource: Arc::new(resource),
        single_version: true,
        schema_revision: 0,
        terminating: false,
        converter: None,
        storage_schema: LazySchema::none(),
        ended: CancellationToken::new(),
        tolerates: Arc::default(),
    })
}

/// The OpenAPI schema of a kind (`k8s.io/metrics/pkg/apis/metrics/v1beta1`), with those it refers to.
fn schema(kind: &str) -> Value {
    const GROUP_VERSION: &str = "io.k8s.metrics.pkg.apis.metrics.v1beta1";
    const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
    let reference = |name: String| json!({"$ref": format!("#/components/schemas/{name}")});
    let amounts = json!({
        "description": "What is used of each resource; of memory that is the working set.",
        "type": "object",
        "additionalProperties": reference(QUANTITY.to_owned()),
    });
    let (own, own_schema, used_by) = if kind == "PodMetrics" {
        let container = reference(format!("{GROUP_VERSION}.ContainerMetrics"));
        let description = "The metrics of all containers, measured in the same interval.";
        let list = json!({"type": "array", "items": container, "x-kubernetes-list-type": "atomic", "description": description});
        ("containers", list, "pod")
    } else {
        ("usage", amounts.clone(), "node")
    };
    let time = json!({
        "description": "The end of the interval that was measured in.", "type": "string", "format": "date-time",
    });
    let metadata = json!({
        "description": "Standard object's metadata.",
        "allOf": [reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".to_owned())],
    });
    let whole = json!({
        "description": format!("{kind} is what a {used_by} uses of its resources."),
        "type": "object",
        "required": ["timestamp", "window", own],
        "properties": {
            "apiVersion": {"description": "Version of this representation of the object.", "type": "string"},
            "kind": {"description": "Kind of the object.", "type": "string"},
            "metadata": metadata,
            "timestamp": time,
            "window": {"description": "The length of that interval.", "type": "string"},
            (own): own_schema,
        },
    });
    let container = json!({
        "description": "ContainerMetrics is what a container uses of its resources.",
        "type": "object",
        "required": ["name", "usage"],
        "properties": {"name": {"description": "The container's name in the pod.", "type": "string"}, "usage": amounts},
    });
    let quantity =
        json!({"description": "An amount, such as 250m or 64Mi.", "oneOf": [{"type": "string"}, {"type": "number"}]});
    let mut definitions = json!({ (QUANTITY): quantity, format!("{GROUP_VERSION}.{kind}"): whole });
    if own == "containers" {
        definitions[format!("{GROUP_VERSION}.ContainerMetrics")] = container;
    }
    json!({"$ref": format!("#/components/schemas/{GROUP_VERSION}.{kind}"), "definitions": definitions})
}

/// The columns of metrics-server.
fn columns() -> Vec<PrinterColumn> {
    let column = |name: &str, format: &str, description: &str| PrinterColumn {
        name: name.to_owned(),
        column_type: "string".to_owned(),
        format: format.to_owned(),
        description: description.to_owned(),
        priority: 0,
        json_path: String::new(),
    };
    vec![
        column("Name", "name", "Name of the resource"),
        column("cpu", "quantity", ""),
        column("memory", "quantity", ""),
        column("Window", "duration", ""),
    ]
}

fn cells(metrics: &Value, _: i64) -> Vec<Value> {
    let containers = metrics["containers"].as_array();
    let used = |what: &str| -> Quantity {
        let of_containers = containers.into_iter().flatten().map(|container| &container["usage"][what]);
        of_containers.chain([&metrics["usage"][what]]).filter_map(Quantity::of).sum()
    };
    let nanocores = u64::try_from(used("cpu").billionths()).unwrap_or_default();
    let used = usage(Usage { nanocores, bytes: u64::try_from(used("memory").whole()).unwrap_or_default() });
    vec![metrics["metadata"]["name"].clone(), used["cpu"].clone(), used["memory"].clone(), metrics["window"].clone()]
}

/// Who says what is used, where the plane has metrics.
fn source(plane: &Plane) -> Option<&PodUsage> {
    let source = plane.server.options().pod_usage.as_ref()?;
    let resource = GroupResource { group: "apiregistration.k8s.io".to_owned(), resource: "apiservices".to_owned() };
    let installed = ObjectKey { resource, namespace: String::new(), name: API_SERVICE.to_owned() };
    plane.get(&installed).ok().flatten().map(|_| source)
}

/// The types the plane has beside those of its registry, for discovery.
pub(crate) fn resource_types(plane: &Plane) -> Vec<SharedResourceType> {
    let served = TYPES.iter().filter(|_| source(plane).is_some());
    served.map(|served| served.resource.clone()).collect()
}

/// The type a request path names, if the plane has metrics.
pub(crate) fn find(plane: &Plane, group: &str, version: &str, plural: &str) -> Option<Arc<ServedResource>> {
    if group != GROUP || version != VERSION || source(plane).is_none() {
        return None;
    }
    TYPES.iter().find(|served| served.resource.plural == plural).cloned()
}

/// Answers a get or a list.
///
/// # Errors
/// 404 for what is not there, or does not run.
pub(crate) fn read(context: &RequestContext<'_>) -> Result<Response<Body>, ApiError> {
    let source = source(context.plane).ok_or_else(ApiError::page_not_found)?;
    let selection = Selection::parse(&context.query, &context.served.resource)?;
    let measured = measure(context, source)?;
    if context.name.is_empty() {
        let items = measured.into_iter().filter(|item| selection.matches(item)).map(Document::Value).collect();
        let document = list_document(context, Page::without_revision(items))?;
        return document_response(&context.answer, StatusCode::OK, document);
    }
    let named = measured.into_iter().find(|item| item["metadata"]["name"] == context.name.as_str());
    match named {
        Some(item) => object_response(context, StatusCode::OK, Document::Value(item)),
        None => Err(missing(context)?),
    }
}

/// metrics-server tells what does not exist from what has no metrics.
fn missing(context: &RequestContext<'_>) -> Result<ApiError, ApiError> {
    let resource = GroupResource { group: String::new(), resource: context.served.resource.plural.clone() };
    let full = match context.namespace.as_str() {
        "" => context.name.clone(),
        namespace => format!("{namespace}/{}", context.name),
    };
    let key =
        ObjectKey { resource: resource.clone(), namespace: context.namespace.clone(), name: context.name.clone() };
    if context.plane.get(&key)?.is_none() {
        return Ok(ApiError::not_found(&resource, &full));
    }
    let resource = context.served.resource.kind.to_ascii_lowercase();
    Ok(ApiError::not_found(&GroupResource { group: GROUP.to_owned(), resource }, &full))
}

/// The metrics of every node, or of the pods of the request's namespace.
fn measure(context: &RequestContext<'_>, source: &PodUsage) -> Result<Vec<Value>, ApiError> {
    let at = last_measurement(context.now);
    let plane = context.plane.name();
    let of_container = |pod: &Value, container: &str| {
        source(&UsageRequest { plane, measured: Measured::Container { pod, container }, at })
    };
    if context.served.resource.namespaced {
        let pods = stored(context, "pods", &context.namespace)?;
        let measured = pods.iter().filter(|pod| runs(pod)).map(|pod| {
            let containers: Vec<Value> =
                containers(pod).map(|name| json!({"name": name, "usage": usage(of_container(pod, name))})).collect();
            let mut metrics = metrics("PodMetrics", pod, at);
            metrics["containers"] = containers.into();
            metrics
        });
        return Ok(measured.collect());
    }
    let mut used: BTreeMap<String, Usage> = BTreeMap::new();
    for pod in stored(context, "pods", "")?.iter().filter(|pod| runs(pod)) {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let sum = used.entry(node.to_owned()).or_default();
        for name in containers(pod) {
            *sum = sum.plus(of_container(pod, name));
        }
    }
    let nodes = stored(context, "nodes", "")?;
    let measured = nodes.iter().filter(|node| is_ready(node)).map(|node| {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let own = source(&UsageRequest { plane, measured: Measured::Node { node }, at });
        let mut metrics = metrics("NodeMetrics", node, at);
        metrics["usage"] = usage(own.plus(used.get(name).copied().unwrap_or_default()));
        metrics
    });
    Ok(measured.collect())
}

fn stored(context: &RequestContext<'_>, plural: &str, namespace: &str) -> Result<Vec<Value>, ApiError> {
    let resource = GroupResource { group: String::new(), resource: plural.to_owned() };
    let scope = Scope::of(&resource, Some(namespace));
    let page = context.plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
    page.items.iter().map(|item| parse_stored(&item.json)).collect()
}

fn runs(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running" && pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty())
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn containers(pod: &Value) -> impl Iterator<Item = &str> {
    let containers = pod["spec"]["containers"].as_array();
    containers.into_iter().flatten().filter_map(|container| container["name"].as_str())
}

/// The end of the last whole interval.
fn last_measurement(now: Timestamp) -> Timestamp {
    let seconds = now.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(RESOLUTION)).unwrap_or(now)
}

/// What the metrics of a pod and of a node have in common.
fn metrics(kind: &str, of: &Value, at: Timestamp) -> Value {
    let mut metadata = json!({"name": of["metadata"]["name"], "creationTimestamp": timestamp(at)});
    for field in ["namespace", "labels"] {
        if !of["metadata"][field].is_null() {
            metadata[field] = of["metadata"][field].clone();
        }
    }
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": metadata,
        "timestamp": timestamp(at), "window": format!("{RESOLUTION}s"),
    })
}

fn usage(used: Usage) -> Value {
    let canonical = |text: String| quantity::canonical(&text).ok().flatten().unwrap_or(text);
    json!({
        "cpu": canonical(format!("{}n", used.nanocores)),
        "memory": canonical(format!("{}Ki", used.bytes / 1024)),
    })
}
