//! CustomResourceDefinitions: validate, default, names and conditions, and the resource types they define.
//!
//! Rules and messages follow apiextensions-apiserver 1.36 (`apis/extensions/validation`, `controller/status`,
//! `controller/establish`). Everything works on the JSON of an `apiextensions.k8s.io/v1` object. Naming and
//! establishing are one step here: there is one server, so nobody could serve a kind before the names are settled.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    discovery::compare_versions,
    resource::{PrinterColumn, ResourceType, ScalePaths},
    schema::{LazySchema, Schema},
    status_error::{FieldError, quote},
};

mod compressed;
mod internal_form;
mod names;
mod open_api_schema;
mod schema_defaults;
mod selectable_fields;
mod specification;
mod stored_versions;

#[cfg(test)]
mod tests;

pub use compressed::CompressedDefinition;
pub use names::NamePool;
pub use stored_versions::stored_versions_errors;

/// The finalizer that removes the objects of a definition before the definition itself.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The group of CustomResourceDefinitions.
pub const GROUP: &str = "apiextensions.k8s.io";

/// Fills what the real server defaults: singular, listKind, conversion strategy, webhook service port and
/// `status.storedVersions`. Idempotent.
pub fn apply_defaults(definition: &mut Value) {
    let Some(definition) = definition.as_object_mut() else { return };
    if let Some(spec) = definition.get_mut("spec").and_then(Value::as_object_mut) {
        default_names(spec);
        let conversion = spec.entry("conversion").or_insert(Value::Null);
        if conversion.is_null() {
            *conversion = json!({"strategy": "None"});
        }
        if let Some(service) = conversion.pointer_mut("/webhook/clientConfig/service").and_then(Value::as_object_mut) {
            service.entry("port").or_insert(json!(443));
        }
    }
    let storage = definition.get("spec").and_then(storage_version).map(str::to_owned);
    if let Some(storage) = storage {
        let status = definition.entry("status").or_insert_with(|| json!({}));
        if let Some(status) = status.as_object_mut()
            && status.get("storedVersions").and_then(Value::as_array).is_none_or(Vec::is_empty)
        {
            status.insert("storedVersions".to_owned(), json!([storage]));
        }
    }
}

/// Adds the storage version to `status.storedVersions`.
pub fn note_storage_version(definition: &mut Value) {
    let Some(storage) = definition.get("spec").and_then(storage_version).map(str::to_owned) else { return };
    let Some(fields) = definition.as_object_mut() else { return };
    let status = fields.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else { return };
    let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
    match stored.as_array_mut() {
        Some(stored) if stored.iter().any(|version| *version == storage) => {}
        Some(stored) => stored.push(storage.into()),
        None => *stored = json!([storage]),
    }
}

fn default_names(spec: &mut Map<String, Value>) {
    let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) else { return };
    let text =
        |names: &Map<String, Value>, name: &str| names.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = text(names, "kind");
    if kind.is_empty() {
        return;
    }
    if text(names, "singular").is_empty() {
        names.insert("singular".to_owned(), Value::from(kind.to_lowercase()));
    }
    if text(names, "listKind").is_empty() {
        names.insert("listKind".to_owned(), Value::from(format!("{kind}List")));
    }
}

/// Validates a CRD (v1) on create (`old` None) or update. The definition is defaulted before; `shown` is it with the empty
/// lists and maps it was sent with, as messages show it.
pub fn validate(definition: &Value, shown: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = specification::errors(definition, shown, old);
    errors.extend(stored_versions_errors(definition));
    errors.extend(specification::approval_errors(definition, old));
    errors.extend(specification::preserve_unknown_fields_error(definition, old));
    at_shared_fields(definition, &mut errors);
    errors
}

/// What is unwise about an accepted definition: formats that nothing checks, of a changed one those that are new in it.
pub fn warnings(definition: &Value, old: Option<&Value>) -> Vec<String> {
    let formats = |definition: &Value| {
        let mut found = Vec::new();
        let versions = definition.get("spec").map(versions).unwrap_or_default();
        for schema in versions.iter().filter_map(|version| version.pointer("/schema/openAPIV3Schema")) {
            open_api_schema::unrecognized_formats(schema, &mut found);
        }
        found
    };
    let known = old.map(formats).unwrap_or_default();
    let mut new = formats(definition);
    new.retain(|format| !known.contains(format));
    new.into_iter().map(|format| format!("unrecognized format {}", quote(&format))).collect()
}

/// What all versions have in common stands in the real server's internal form outside of the versions, and that is where
/// its errors point to.
fn at_shared_fields(definition: &Value, errors: &mut Vec<FieldError>) {
    let versions = definition.get("spec").map(versions).unwrap_or_default();
    let Some(first) = versions.first() else { return };
    for (field, shared) in [
        ("schema", "spec.validation"),
        ("subresources", "spec.subresources"),
        ("additionalPrinterColumns", "spec.additionalPrinterColumns"),
        ("selectableFields", "spec.selectableFields"),
    ] {
        // A schema that no version has is missed in each of them.
        let misses_schema = field == "schema" && first.pointer("/schema/openAPIV3Schema").is_none_or(Value::is_null);
        if misses_schema || !is_shared(versions, field) {
            continue;
        }
        let of_version = |error: &FieldError, number: usize| {
            let rest = error.field.strip_prefix(&format!("spec.versions[{number}].{field}"))?;
            rest.is_empty().then_some(()).or_else(|| rest.starts_with(['.', '[']).then_some(()))?;
            Some(format!("{shared}{rest}"))
        };
        errors.retain(|error| (1..versions.len()).all(|number| of_version(error, number).is_none()));
        for error in errors.iter_mut() {
            if let Some(moved) = of_version(error, 0) {
                error.field = moved;
                // Some say of another place in the schema what is wrong with it.
                error.message =
                    error.message.replace(&format!("within spec.versions[0].{field}"), &format!("within {shared}"));
            }
        }
    }
}

/// Whether all versions say the same in a field.
fn is_shared(versions: &[Value], field: &str) -> bool {
    versions.windows(2).all(|pair| pair[0].get(field) == pair[1].get(field))
}

/// The status after the naming and establishing controllers: acceptedNames, storedVersions, conditions
/// NamesAccepted and Established (with `now`, RFC 3339).
///
/// `taken` says whether a definition of the group, this one or another, has accepted a name. A definition that was
/// established stays so. Without changes the status is returned as it was.
pub fn established_status(definition: &Value, now: &str, taken: &dyn Fn(NamePool, &str) -> bool) -> Value {
    names::status(definition, now, taken)
}

/// Takes back in a new status that the definition is established, unless it was before: its conversion webhook has a
/// `caBundle` that is none.
pub fn withhold_establishment(definition: &Value, status: &mut Value, now: &str) {
    names::withhold(definition, status, now);
}

/// Whether the condition Established of a definition is true: its resources are served.
pub fn is_established(definition: &Value) -> bool {
    names::condition_status(definition, "Established") == Some("True")
}

/// One resource type for each served version of an established definition.
///
/// Names are the accepted ones. Schemas are compiled at first use, from `text`, which has to be of the same definition, and
/// shared by all clones.
pub fn resource_types(definition: &Value, text: &CompressedDefinition) -> Vec<ResourceType> {
    let Some(spec) = definition.get("spec") else { return Vec::new() };
    let Some(storage_version) = storage_version(spec) else { return Vec::new() };
    versions(spec)
        .iter()
        .filter(|version| version.get("served").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| resource_type(definition, spec, version, storage_version, text))
        .collect()
}

/// The version that objects are stored in.
pub fn storage_version(spec: &Value) -> Option<&str> {
    versions(spec)
        .iter()
        .find(|version| version.get("storage").and_then(Value::as_bool) == Some(true))?
        .get("name")?
        .as_str()
}

fn versions(spec: &Value) -> &[Value] {
    spec.get("versions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The schema of the version that objects are stored in, also where it is not served; as in [`resource_types`].
pub fn storage_schema(definition: &Value, text: &CompressedDefinition) -> LazySchema {
    let Some(spec) = definition.get("spec") else { return LazySchema::none() };
    let storage = storage_version(spec);
    let version = versions(spec).iter().find(|version| version.get("name").and_then(Value::as_str) == storage);
    version.map_or_else(LazySchema::none, |version| schema_of(version, text))
}

fn schema_of(version: &Value, text: &CompressedDefinition) -> LazySchema {
    let name = version.get("name").and_then(Value::as_str);
    let Some(name) = name.filter(|_| version.pointer("/schema/openAPIV3Schema").is_some_and(Value::is_object)) else {
        return LazySchema::none();
    };
    let (name, text) = (name.to_owned(), text.clone());
    let source = move || text.schema(&name);
    let for_compile = source.clone();
    LazySchema::new(move || Some(Arc::new(Schema::compile_checked(&for_compile()?))), source)
}

fn resource_type(
    definition: &Value,
    spec: &Value,
    version: &Value,
    storage_version: &str,
    text: &CompressedDefinition,
) -> Option<ResourceType> {
    let accepted = definition.pointer("/status/acceptedNames").filter(|names| names.get("plural").is_some());
    let names = accepted.or_else(|| spec.get("names"))?;
    let name = |key: &str| names.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |key: &str| -> Vec<String> {
        names
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    let group = spec.get("group")?.as_str()?.to_owned();
    let version_name = version.get("name")?.as_str()?.to_owned();
    let kind = name("kind");
    let schema = schema_of(version, text);
    let verbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    Some(ResourceType {
        deprecation_warning: deprecation_warning(spec, version, &group, &version_name, &kind),
        group,
        version: version_name,
        list_kind: name("listKind"),
        kind,
        plural: name("plural"),
        singular: name("singular"),
        short_names: texts("shortNames"),
        categories: texts("categories"),
        namespaced: spec.get("scope").and_then(Value::as_str) == Some("Namespaced"),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        storage_version: storage_version.to_owned(),
        status_subresource: version.pointer("/subresources/status").is_some_and(|status| !status.is_null()),
        scale: version
            .pointer("/subresources/scale")
            .and_then(|scale| serde_json::from_value::<ScalePaths>(scale.clone()).ok()),
        subresources: Vec::new(),
        columns: columns(version),
        cells: None,
        counted: &[],
        selectable_fields: version
            .get("selectableFields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|field| field.get("jsonPath")?.as_str().map(str::to_owned))
            .collect(),
        custom: true,
        has_generation: true,
        schema,
    })
}

fn columns(version: &Value) -> Vec<PrinterColumn> {
    version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|column| serde_json::from_value(column.clone()).ok())
        .collect()
}

/// The version's own words, or what to use instead: the best served version that is not deprecated, if it is better.
fn deprecation_warning(spec: &Value, version: &Value, group: &str, version_name: &str, kind: &str) -> Option<String> {
    if version.get("deprecated").and_then(Value::as_bool) != Some(true) {
        return None;
    }
    let own = version.get("deprecationWarning").and_then(Value::as_str).map(str::to_owned);
    let flag = |version: &Value, field: &str| version.get(field).and_then(Value::as_bool) == Some(true);
    let mut better: Vec<&str> = versions(spec)
        .iter()
        .filter(|other| flag(other, "served") && !flag(other, "deprecated"))
        .filter_map(|other| other.get("name").and_then(Value::as_str))
        .filter(|other| compare_versions(other, version_name).is_gt())
        .collect();
    better.sort_by(|left, right| compare_versions(right, left));
    let instead = better.first().map(|best| format!("; use {group}/{best} {kind}")).unwrap_or_default();
    Some(own.unwrap_or_else(|| format!("{group}/{version_name} {kind} is deprecated{instead}")))
}
