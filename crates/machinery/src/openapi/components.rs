//! Component schemas: the kinds themselves and their lists.

use serde_json::{Map, Value, json};

use super::{group_version_kind, reference};
use crate::resource::ResourceType;

pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const API_VERSION: &str = "Versioned schema of this representation of an object.";
const KIND: &str = "REST resource this object represents, in CamelCase. Can not be changed.";

/// Adds the schemas of a resource; returns the component name of its kind.
pub(super) fn add(resource: &ResourceType, schemas: &mut Map<String, Value>) -> String {
    let (name, schema) = match resource.schema.document() {
        Some(Value::Object(mut document)) if document.contains_key("definitions") => {
            if let Some(Value::Object(definitions)) = document.remove("definitions") {
                schemas.extend(definitions);
            }
            let schema = document.remove("schema");
            let referred = document
                .get("$ref")
                .or_else(|| schema.as_ref()?.get("$ref"))
                .and_then(Value::as_str)
                .and_then(|target| target.rsplit('/').next())
                .map(str::to_owned);
            match referred {
                Some(name) => (name, None),
                None => (model_name(resource, &resource.kind), schema.or(Some(Value::Object(document)))),
            }
        }
        document => (model_name(resource, &resource.kind), Some(kubernetes_object(document))),
    };
    if let Some(schema) = schema {
        schemas.insert(name.clone(), schema);
    }
    let identity = json!([group_version_kind(&resource.group, &resource.version, &resource.kind)]);
    let entry = schemas.entry(name.clone()).or_insert_with(|| json!({"type": "object"}));
    if let Some(fields) = entry.as_object_mut() {
        fields.entry("x-kubernetes-group-version-kind").or_insert(identity);
        if !resource.selectable_fields.is_empty() && resource.custom {
            let fields_of_selectors =
                resource.selectable_fields.iter().map(|path| json!({"fieldPath": path.trim_start_matches('.')}));
            fields.insert("x-kubernetes-selectable-fields".to_owned(), fields_of_selectors.collect());
        }
    }
    if resource.verbs.iter().any(|verb| verb == "list") {
        let list_name = list_name(&name, &resource.list_kind);
        schemas.entry(list_name).or_insert_with(|| list(resource, &name));
    }
    name
}

/// The component name of the list of the kind named `name`.
pub(super) fn list_name(name: &str, list_kind: &str) -> String {
    match name.rsplit_once('.') {
        Some((package, _)) => format!("{package}.{list_kind}"),
        None => list_kind.to_owned(),
    }
}

/// `dev.kogge.v1alpha1.KubernetesCluster` for `KubernetesCluster` of `kogge.dev/v1alpha1`.
fn model_name(resource: &ResourceType, kind: &str) -> String {
    let mut group: Vec<&str> = resource.group.split('.').collect();
    group.reverse();
    format!("{}.{}.{kind}", group.join("."), resource.version)
}

/// The published form of a custom kind: its own schema with the fields that every object has.
fn kubernetes_object(document: Option<Value>) -> Value {
    let Some(mut schema) = document.filter(|schema| schema.get("properties").is_some()) else {
        // Anything may be in it; properties would make kubectl refuse the rest.
        return document_without_properties();
    };
    add_embedded(&mut schema);
    add_object_fields(&mut schema, false);
    schema
}

fn document_without_properties() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn add_object_fields(schema: &mut Value, embedded: bool) {
    let Some(properties) = schema
        .as_object_mut()
        .map(|fields| fields.entry("properties").or_insert_with(|| json!({})))
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    properties.insert("apiVersion".to_owned(), json!({"description": API_VERSION, "type": "string"}));
    properties.insert("kind".to_owned(), json!({"description": KIND, "type": "string"}));
    let metadata = json!({
        "description": "Standard object's metadata.",
        "allOf": [reference(&format!("{META}.ObjectMeta"))],
    });
    properties.insert("metadata".to_owned(), metadata);
    if embedded && let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|known| known == name) {
                required.push(Value::from(name));
            }
        }
    } else if embedded {
        schema["required"] = json!(["kind", "apiVersion"]);
    }
}

fn add_embedded(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    for child in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        add_embedded(child);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(child) = fields.get_mut(keyword) {
            add_embedded(child);
        }
    }
    if fields.get("x-kubernetes-embedded-resource").and_then(Value::as_bool) == Some(true) {
        add_object_fields(schema, true);
    }
}

fn list(resource: &ResourceType, name: &str) -> Value {
    let mut schema = json!({
        "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"description": API_VERSION, "type": "string"},
            "items": {
                "description": format!("List of {}.", resource.plural),
                "type": "array",
                "items": reference(name),
            },
            "kind": {"description": KIND, "type": "string"},
            "metadata": {
                "description": "Standard list metadata.",
                "allOf": [reference(&format!("{META}.ListMeta"))],
            },
        },
    });
    schema["x-kubernetes-group-version-kind"] =
        json!([group_version_kind(&resource.group, &resource.version, &resource.list_kind)]);
    schema
}
