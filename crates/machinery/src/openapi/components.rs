//! The schemas of kinds and of their lists, as version 2 or 3 of OpenAPI describes them.
//!
//! Of a custom kind the published schema is its own and the fields that every object has
//! (`apiextensions-apiserver/pkg/controller/openapi/builder`). Version 2 has no words for some of it, and kubectl
//! refuses fields beside those it is told of, so that parts go there (`.../openapi/v2/conversion.go`).

use serde_json::{Map, Value, json};

use super::group_version_kind;
use crate::resource::ResourceType;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const IDENTITY: &str = "x-kubernetes-group-version-kind";
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const CONVENTIONS: &str = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";

/// Which OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Two,
    Three,
}

impl Version {
    fn definitions(self) -> &'static str {
        match self {
            Version::Two => "#/definitions/",
            Version::Three => "#/components/schemas/",
        }
    }

    fn reference(self, definition: &str) -> Value {
        json!({"$ref": format!("{}{definition}", self.definitions())})
    }

    /// Version 3 has nothing beside a reference.
    fn described(self, definition: &str, description: &str) -> Value {
        match self {
            Version::Two => {
                let mut reference = self.reference(definition);
                reference["description"] = description.into();
                reference
            }
            Version::Three => json!({"description": description, "allOf": [self.reference(definition)]}),
        }
    }
}

/// Adds the schemas of a resource.
pub(super) fn add(resource: &ResourceType, version: Version, schemas: &mut Map<String, Value>) {
    let (name, schema) = match resource.schema.document() {
        Some(Value::Object(mut document)) if document.contains_key("definitions") => {
            if let Some(Value::Object(definitions)) = document.remove("definitions") {
                for (name, mut schema) in definitions {
                    if version == Version::Two {
                        to_version_two(&mut schema);
                    }
                    schemas.entry(name).or_insert(schema);
                }
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
        document => (model_name(resource, &resource.kind), Some(kubernetes_object(document, version))),
    };
    if let Some(schema) = schema {
        schemas.insert(name.clone(), schema);
    }
    let entry = schemas.entry(name.clone()).or_insert_with(|| json!({"type": "object"}));
    identify(entry, resource, &resource.kind);
    if resource.verbs.iter().any(|verb| verb == "list") {
        let entry =
            schemas.entry(list_name(&name, &resource.list_kind)).or_insert_with(|| list(resource, &name, version));
        identify(entry, resource, &resource.list_kind);
    }
}

/// Says which kind a schema is of, and by which fields its objects can be selected.
fn identify(schema: &mut Value, resource: &ResourceType, kind: &str) {
    let Some(fields) = schema.as_object_mut() else { return };
    let identity = json!([group_version_kind(&resource.group, &resource.version, kind)]);
    fields.entry(IDENTITY).or_insert(identity);
    if !resource.selectable_fields.is_empty() && resource.custom {
        let selectable =
            resource.selectable_fields.iter().map(|path| json!({"fieldPath": path.trim_start_matches('.')}));
        fields.insert("x-kubernetes-selectable-fields".to_owned(), selectable.collect());
    }
}

/// The name of the list of the kind named `name`.
fn list_name(name: &str, list_kind: &str) -> String {
    match name.rsplit_once('.') {
        Some((package, _)) => format!("{package}.{list_kind}"),
        None => list_kind.to_owned(),
    }
}

/// `dev.kogge.v1alpha1.KubernetesCluster` for `KubernetesCluster` of `kogge.dev/v1alpha1`.
fn model_name(resource: &ResourceType, kind: &str) -> String {
    format!("{}.{}.{kind}", super::reversed(&resource.group), resource.version)
}

/// The published form of a custom kind.
fn kubernetes_object(document: Option<Value>, version: Version) -> Value {
    let Some(mut schema) = document else { return json!({"type": "object"}) };
    match version {
        Version::Two if is_set(&schema, PRESERVE) => return json!({"type": "object"}),
        Version::Two => restrict(&mut schema),
        Version::Three => unfold(&mut schema),
    }
    add_object_fields(&mut schema, version, false);
    add_embedded(&mut schema, version);
    schema
}

/// Adds `apiVersion`, `kind` and `metadata`; an `embedded` object is described in other words and requires them.
fn add_object_fields(schema: &mut Value, version: Version, embedded: bool) {
    let (api_version, kind) = if embedded {
        (
            "apiVersion defines the versioned schema of this representation of an object.",
            "kind is a string value representing the type of this object. In CamelCase.",
        )
    } else {
        (
            "APIVersion defines the versioned schema of this representation of an object. Servers should convert \
             recognized schemas to the latest internal value, and may reject unrecognized values.",
            "Kind is a string value representing the REST resource this object represents. Servers may infer this from \
             the endpoint the client submits requests to. Cannot be updated. In CamelCase.",
        )
    };
    let Some(fields) = schema.as_object_mut() else { return };
    let Some(properties) = fields.entry("properties").or_insert_with(|| json!({})).as_object_mut() else { return };
    let text = |description: &str, section: &str| json!({"description": format!("{description} More info: {CONVENTIONS}#{section}"), "type": "string"});
    properties.insert("apiVersion".to_owned(), text(api_version, "resources"));
    properties.insert("kind".to_owned(), text(kind, "types-kinds"));
    let metadata = format!("Standard object's metadata. More info: {CONVENTIONS}#metadata");
    properties.insert("metadata".to_owned(), version.described(&format!("{META}.ObjectMeta"), &metadata));
    if embedded && let Some(required) = fields.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|known| known == name) {
                required.push(name.into());
            }
        }
    }
}

/// Calls `visit` with the schemas directly below one.
fn each_child(schema: &mut Value, mut visit: impl FnMut(&mut Value)) {
    let Some(fields) = schema.as_object_mut() else { return };
    for child in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        visit(child);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(child) = fields.get_mut(keyword).filter(|child| child.is_object()) {
            visit(child);
        }
    }
}

fn is_set(schema: &Value, keyword: &str) -> bool {
    schema.get(keyword).and_then(Value::as_bool) == Some(true)
}

fn add_embedded(schema: &mut Value, version: Version) {
    each_child(schema, |child| add_embedded(child, version));
    // In version 2 the fields would be taken for all there are.
    let open = version == Version::Two && is_set(schema, PRESERVE);
    if is_set(schema, "x-kubernetes-embedded-resource") && !open {
        add_object_fields(schema, version, true);
    }
}

/// Says of each IntOrString that it is either, where it does not say so itself.
fn unfold(schema: &mut Value) {
    if is_set(schema, "x-kubernetes-int-or-string")
        && let Some(fields) = schema.as_object_mut()
    {
        let either = json!([{"type": "integer"}, {"type": "string"}]);
        let first = fields.get("allOf").and_then(|all| all.get(0));
        let said = fields.get("anyOf") == Some(&either) || first.is_some_and(|first| first["anyOf"] == either);
        if !said && !fields.contains_key("anyOf") {
            fields.insert("anyOf".to_owned(), either);
        } else if !said && let Some(all) = fields.entry("allOf").or_insert_with(|| json!([])).as_array_mut() {
            all.insert(0, json!({"anyOf": either}));
        }
    }
    each_child(schema, unfold);
}

/// What version 2 cannot say, and what kubectl cannot read in it, goes, so that such fields are taken for anything.
fn restrict(schema: &mut Value) {
    let preserves = is_set(schema, PRESERVE);
    let nullable = is_set(schema, "nullable");
    let Some(fields) = schema.as_object_mut() else { return };
    fields.retain(|keyword, _| !["default", "nullable", "allOf", "oneOf", "anyOf", "not"].contains(&keyword.as_str()));
    if nullable || preserves {
        fields.remove("items");
        fields.remove("properties");
    }
    let value_type = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    let array_of_anything = value_type == "array" && !fields.contains_key("items");
    if nullable || array_of_anything || preserves && value_type == "object" {
        fields.remove("type");
    }
    let of_nullable = fields.get("additionalProperties").is_some_and(|child| is_set(child, "nullable"));
    let properties = fields.get("properties").and_then(Value::as_object);
    let optional: Vec<String> = properties
        .into_iter()
        .flatten()
        .filter(|(_, child)| is_set(child, "nullable"))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !of_nullable && !optional.iter().any(|optional| name == optional));
        if required.is_empty() {
            fields.remove("required");
        }
    }
    each_child(schema, restrict);
}

/// A schema that is written for version 3, for version 2.
fn to_version_two(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(Value::Array(wrapped)) = fields.remove("allOf")
        && let Some(target) = wrapped.first().and_then(|only| only.get("$ref"))
    {
        fields.insert("$ref".to_owned(), target.clone());
    }
    // Of quantities and the like version 2 knows only the text.
    if fields.remove("oneOf").is_some() {
        fields.insert("type".to_owned(), "string".into());
    }
    fields.remove("default");
    if let Some(Value::String(target)) = fields.get_mut("$ref") {
        *target = target.replace(Version::Three.definitions(), Version::Two.definitions());
    }
    each_child(schema, to_version_two);
}

fn list(resource: &ResourceType, name: &str, version: Version) -> Value {
    let mut schema = json!({
        "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {
                "description": format!("List of {}. More info: {CONVENTIONS}", resource.plural),
                "type": "array",
                "items": version.reference(name),
            },
        },
    });
    add_object_fields(&mut schema, version, false);
    let metadata = format!("Standard list metadata. More info: {CONVENTIONS}#types-kinds");
    schema["properties"]["metadata"] = version.described(&format!("{META}.ListMeta"), &metadata);
    schema
}
