//! Validation of a whole `metadata`: the rules and words of `k8s.io/apimachinery/pkg/api/validation`.

use serde_json::{Map, Value};

use super::{
    immutable_metadata,
    names::{dns_1123_label_messages, label_key_messages, label_value_messages, name_messages, path_segment_messages},
};
use crate::resource::ResourceType;
use crate::status_error::{FieldError, FieldErrorKind, quote};

/// All annotations' keys and values together, in bytes.
const TOTAL_ANNOTATION_SIZE: usize = 256 * 1024;
const MAXIMUM_MANAGER_LENGTH: usize = 128;
const MAXIMUM_SUBRESOURCE_LENGTH: usize = 256;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Finalizers of Kubernetes itself that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = [ORPHAN, FOREGROUND, "kubernetes"];

fn invalid(field: &str, value: impl Into<Value>, detail: &str) -> FieldError {
    FieldError::invalid(field, &value.into(), detail)
}

fn wrong_type(field: &str, value: &Value, expected: &str) -> FieldError {
    FieldError::with_value(FieldErrorKind::TypeInvalid, field, value, &format!("must be {expected}"))
}

/// How often the rules of a kind look at the metadata of a changed object again, after all kinds were asked the same. The
/// real server reports what is wrong once for each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataRounds {
    /// As a change (`ValidateObjectMetaUpdate`).
    pub as_change: usize,
    /// As a whole (`ValidateObjectMeta`).
    pub as_whole: usize,
}

/// As [`validate_metadata`], for the metadata of an object that was `old`.
pub fn validate_changed_metadata(
    resource: &ResourceType,
    object: &Value,
    old: &Value,
    rounds: MetadataRounds,
) -> Vec<FieldError> {
    let immutable = immutable_metadata(old, object);
    let mut errors = Vec::new();
    for _ in 0..=rounds.as_change {
        errors.extend_from_slice(&immutable);
    }
    errors.extend(changed_metadata_errors(resource, object, rounds));
    errors
}

fn changed_metadata_errors(resource: &ResourceType, object: &Value, rounds: MetadataRounds) -> Vec<FieldError> {
    let metadata = &object["metadata"];
    let mut unqualified = Vec::new();
    if wants_known_finalizers(resource) {
        unqualified_finalizers(metadata.get("finalizers"), &mut unqualified);
    }
    let mut errors = validate_metadata(resource, object);
    if errors.is_empty() {
        return errors;
    }
    errors.retain(|error| !unqualified.contains(error));
    let whole = errors.clone();
    // The kind's own rule for names is not asked at first.
    errors.retain(|error| error.field != "metadata.generateName");
    let mut changed = Vec::new();
    validate_labels(metadata.get("labels"), &mut changed);
    validate_annotations(metadata.get("annotations"), &mut changed);
    validate_owner_references(metadata.get("ownerReferences"), &mut changed);
    validate_managed_fields(metadata.get("managedFields"), &mut changed);
    errors.extend_from_slice(&changed);
    for _ in 0..rounds.as_change {
        errors.extend_from_slice(&changed);
        errors.extend_from_slice(&unqualified);
    }
    for _ in 0..rounds.as_whole {
        errors.extend_from_slice(&whole);
        errors.extend_from_slice(&unqualified);
    }
    errors
}

/// Whole-metadata validation: name, namespace, labels, annotations and their size, ownerReferences, finalizers,
/// managedFields' shape. Wrong JSON types are errors too, so that everything later may rely on them.
pub fn validate_metadata(resource: &ResourceType, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let empty = Map::new();
    let metadata = match object.get("metadata") {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(metadata)) => metadata,
        Some(other) => return vec![wrong_type("metadata", other, "an object")],
    };
    let mut text = |key: &str| match metadata.get(key) {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(other) => {
            errors.push(wrong_type(&format!("metadata.{key}"), other, "a string"));
            ""
        }
    };
    let (name, generate_name, namespace) = (text("name"), text("generateName"), text("namespace"));
    for key in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"] {
        text(key);
    }
    if !generate_name.is_empty() {
        for message in name_messages(resource, generate_name, true) {
            errors.push(invalid("metadata.generateName", generate_name, &message));
        }
    }
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        for message in name_messages(resource, name, false) {
            errors.push(invalid("metadata.name", name, &message));
        }
    }
    validate_namespace(resource, namespace, &mut errors);
    validate_generation(metadata, &mut errors);
    validate_labels(metadata.get("labels"), &mut errors);
    validate_annotations(metadata.get("annotations"), &mut errors);
    validate_owner_references(metadata.get("ownerReferences"), &mut errors);
    validate_finalizers(metadata.get("finalizers"), &mut errors);
    if wants_known_finalizers(resource) {
        unqualified_finalizers(metadata.get("finalizers"), &mut errors);
    }
    validate_managed_fields(metadata.get("managedFields"), &mut errors);
    errors
}

/// What is wrong with the metadata of a resource that is part of another one, whose kind nobody knows.
pub(crate) fn embedded_metadata_errors(metadata: &Map<String, Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    for (key, is_prefix) in [("generateName", true), ("name", false)] {
        for message in path_segment_messages(text(key), is_prefix) {
            errors.push(invalid(&format!("metadata.{key}"), text(key), &message));
        }
    }
    if !text("namespace").is_empty() {
        for message in dns_1123_label_messages(text("namespace")) {
            errors.push(invalid("metadata.namespace", text("namespace"), &message));
        }
    }
    validate_generation(metadata, &mut errors);
    validate_labels(metadata.get("labels"), &mut errors);
    validate_annotations(metadata.get("annotations"), &mut errors);
    validate_owner_references(metadata.get("ownerReferences"), &mut errors);
    validate_finalizers(metadata.get("finalizers"), &mut errors);
    validate_managed_fields(metadata.get("managedFields"), &mut errors);
    errors
}

fn validate_generation(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64).filter(|generation| *generation < 0) {
        errors.push(invalid("metadata.generation", generation, "must be greater than or equal to 0"));
    }
}

fn validate_namespace(resource: &ResourceType, namespace: &str, errors: &mut Vec<FieldError>) {
    if resource.namespaced {
        if namespace.is_empty() {
            errors.push(FieldError::required("metadata.namespace", ""));
        }
        for message in Some(namespace).filter(|text| !text.is_empty()).map(dns_1123_label_messages).unwrap_or_default()
        {
            errors.push(invalid("metadata.namespace", namespace, &message));
        }
    } else if !namespace.is_empty() {
        errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
    }
}

/// Calls `each` for every entry of a map of strings, and reports everything that is none.
fn for_each_string(
    field: &str,
    map: Option<&Value>,
    errors: &mut Vec<FieldError>,
    mut each: impl FnMut(&mut Vec<FieldError>, &str, &str),
) {
    match map {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for (key, value) in map {
                match value {
                    Value::String(value) => each(errors, key, value),
                    // the typed decoding of the real server reads null as the empty string
                    Value::Null => each(errors, key, ""),
                    other => errors.push(wrong_type(&format!("{field}.{key}"), other, "a string")),
                }
            }
        }
        Some(other) => errors.push(wrong_type(field, other, "an object")),
    }
}

/// What is wrong with labels.
pub(crate) fn validate_labels(labels: Option<&Value>, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "metadata.labels";
    for_each_string(FIELD, labels, errors, |errors, key, value| {
        errors.extend(label_key_messages(key).iter().map(|message| invalid(FIELD, key, message)));
        errors.extend(label_value_messages(value).iter().map(|message| invalid(FIELD, value, message)));
    });
}

/// What is wrong with annotations.
pub(crate) fn validate_annotations(annotations: Option<&Value>, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "metadata.annotations";
    let mut size = 0_usize;
    for_each_string(FIELD, annotations, errors, |errors, key, value| {
        size += key.len() + value.len();
        errors.extend(label_key_messages(&key.to_lowercase()).iter().map(|message| invalid(FIELD, key, message)));
    });
    if size > TOTAL_ANNOTATION_SIZE {
        errors.push(FieldError::too_long(FIELD, TOTAL_ANNOTATION_SIZE));
    }
}

fn validate_owner_references(references: Option<&Value>, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "metadata.ownerReferences";
    let references = match references {
        None | Some(Value::Null) => return,
        Some(Value::Array(references)) => references,
        Some(other) => {
            errors.push(wrong_type(FIELD, other, "an array"));
            return;
        }
    };
    let mut controller: Option<String> = None;
    for reference in references {
        let text = |key: &str| reference.get(key).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
        let version = api_version.rsplit('/').next().unwrap_or_default();
        if version.is_empty() || api_version.matches('/').count() > 1 {
            errors.push(invalid(&format!("{FIELD}.apiVersion"), api_version, "version must not be empty"));
        }
        for (key, value) in [("kind", kind), ("name", name), ("uid", text("uid"))] {
            if value.is_empty() {
                errors.push(invalid(&format!("{FIELD}.{key}"), value, "must not be empty"));
            }
        }
        if api_version == "v1" && kind == "Event" {
            errors.push(FieldError::invalid(FIELD, reference, "/v1, Kind=Event is disallowed from being an owner"));
        }
        if reference.get("controller").and_then(Value::as_bool) == Some(true) {
            let this = format!("{kind}/{name}");
            if let Some(first) = &controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                let shown: Vec<String> = references.iter().map(show_reference).collect();
                let message = format!("Invalid value: [{}]: {detail}", shown.join(","));
                errors.push(FieldError { kind: FieldErrorKind::Invalid, field: FIELD.to_owned(), message });
            } else {
                controller = Some(this);
            }
        }
    }
}

/// A reference as JSON, in the order of the type's fields.
fn show_reference(reference: &Value) -> String {
    let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let present = fields.iter().filter_map(|field| reference.get(*field).map(|value| format!("\"{field}\":{value}")));
    format!("{{{}}}", present.collect::<Vec<_>>().join(","))
}

fn validate_finalizers(finalizers: Option<&Value>, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "metadata.finalizers";
    let list = match finalizers {
        None | Some(Value::Null) => return,
        Some(Value::Array(list)) => list,
        Some(other) => {
            errors.push(wrong_type(FIELD, other, "an array"));
            return;
        }
    };
    for (index, finalizer) in list.iter().enumerate() {
        match finalizer {
            Value::String(text) => {
                errors.extend(label_key_messages(text).iter().map(|message| invalid(FIELD, text.as_str(), message)));
            }
            other => errors.push(wrong_type(&format!("{FIELD}[{index}]"), other, "a string")),
        }
    }
    if list.iter().any(|finalizer| finalizer == ORPHAN) && list.iter().any(|finalizer| finalizer == FOREGROUND) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(FIELD, &Value::Array(list.clone()), &detail));
    }
}

/// Some built-in kinds look at their metadata as custom ones do.
fn wants_known_finalizers(resource: &ResourceType) -> bool {
    let is_lenient = match resource.group.as_str() {
        "coordination.k8s.io" | "node.k8s.io" | "policy" | "apiextensions.k8s.io" => true,
        "" => resource.kind == "Event",
        group => group == crate::admission::GROUP,
    };
    !(resource.custom || is_lenient)
}

/// Built-in kinds take no finalizer without a domain but those of Kubernetes itself.
fn unqualified_finalizers(finalizers: Option<&Value>, errors: &mut Vec<FieldError>) {
    for (index, finalizer) in finalizers.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let Some(text) = finalizer.as_str() else { continue };
        if !text.contains('/') && !STANDARD_FINALIZERS.contains(&text) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(invalid(&format!("metadata.finalizers[{index}]"), text, detail));
        }
    }
}

fn validate_managed_fields(entries: Option<&Value>, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "metadata.managedFields";
    let entries = match entries {
        None | Some(Value::Null) => return,
        Some(Value::Array(entries)) => entries,
        Some(other) => {
            errors.push(wrong_type(FIELD, other, "an array"));
            return;
        }
    };
    for (index, entry) in entries.iter().enumerate() {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let field = |key: &str| format!("{FIELD}[{index}].{key}");
        if !matches!(text("operation"), "Apply" | "Update") {
            errors.push(invalid(&field("operation"), text("operation"), "must be `Apply` or `Update`"));
        }
        if !matches!(text("fieldsType"), "" | "FieldsV1") {
            errors.push(invalid(&field("fieldsType"), text("fieldsType"), "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(&field("manager"), text("manager")));
        if text("subresource").len() > MAXIMUM_SUBRESOURCE_LENGTH {
            errors.push(FieldError::too_long(field("subresource"), MAXIMUM_SUBRESOURCE_LENGTH));
        }
    }
}

/// Judges a field manager's name (`field` names it in the error): at most 128 bytes, printable.
pub fn validate_field_manager(field: &str, manager: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if manager.len() > MAXIMUM_MANAGER_LENGTH {
        errors.push(FieldError::too_long(field, MAXIMUM_MANAGER_LENGTH));
    }
    for (position, character) in manager.char_indices() {
        // Go prints the space as the only white space
        if character.is_control() || (character.is_whitespace() && character != ' ') {
            let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(character));
            errors.push(invalid(field, manager, &detail));
        }
    }
    errors
}

/// Removes owner references that are there twice, and answers the uids of those.
pub fn dedup_owner_references(object: &mut Value) -> Vec<String> {
    let Some(Value::Array(references)) = object.pointer_mut("/metadata/ownerReferences") else { return Vec::new() };
    let (mut kept, mut repeated): (Vec<Value>, Vec<String>) = (Vec::with_capacity(references.len()), Vec::new());
    for reference in references.drain(..) {
        if kept.contains(&reference) {
            repeated.push(reference["uid"].as_str().unwrap_or_default().to_owned());
        } else {
            kept.push(reference);
        }
    }
    *references = kept;
    repeated
}

/// Warnings about finalizers that `new` has and `old` has not, and that lack a domain: two controllers could choose the
/// same. For custom kinds.
pub fn finalizer_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    const FIELD: &str = "metadata.finalizers";
    let list = |object: &Value| -> Vec<String> {
        let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        finalizers.map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect()).unwrap_or_default()
    };
    let known = old.map(list).unwrap_or_default();
    let mut added = list(new);
    added.retain(|finalizer| !known.contains(finalizer));
    added.sort();
    added.dedup();
    let mut warnings = Vec::new();
    for finalizer in added {
        let quoted = quote(&finalizer);
        warnings.extend(label_key_messages(&finalizer).iter().map(|message| format!("{FIELD}: {quoted}: {message}")));
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer.as_str()) {
            let path = if finalizer.contains('.') { " including a path (/)" } else { "" };
            warnings.push(format!("{FIELD}: {quoted}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"));
        }
    }
    warnings
}
