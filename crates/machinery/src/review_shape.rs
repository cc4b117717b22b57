//! Whether the answer of a webhook is the review it was asked for, and its values are of their types, in the words of Go's
//! decoder.

use serde_json::Value;

use crate::{status_error::quote, typed_object::json_kind};

/// What a field holds.
pub(crate) enum Field {
    Text(&'static str),
    Flag,
    Number,
    /// A struct with these fields.
    Struct(&'static str, &'static [(&'static str, Field)]),
    Texts,
    TextsByName,
    /// A list whose items are looked at elsewhere.
    Items(&'static str),
}

/// A kind of review.
pub(crate) struct ReviewKind {
    group: &'static str,
    name: &'static str,
    /// `{version}` is that of the review.
    fields: &'static [(&'static str, Field)],
}

const STATUS: &[(&str, Field)] = &[
    ("status", Field::Text("string")),
    ("message", Field::Text("string")),
    ("reason", Field::Text("v1.StatusReason")),
    ("code", Field::Number),
];

/// `AdmissionReview`.
pub(crate) const ADMISSION: ReviewKind = ReviewKind {
    group: "admission.k8s.io",
    name: "AdmissionReview",
    fields: &[
        ("request", Field::Struct("{version}.AdmissionRequest", &[])),
        (
            "response",
            Field::Struct(
                "{version}.AdmissionResponse",
                &[
                    ("uid", Field::Text("types.UID")),
                    ("allowed", Field::Flag),
                    ("status", Field::Struct("v1.Status", STATUS)),
                    ("patch", Field::Text("[]uint8")),
                    ("patchType", Field::Text("{version}.PatchType")),
                    ("auditAnnotations", Field::TextsByName),
                    ("warnings", Field::Texts),
                ],
            ),
        ),
    ],
};

/// `ConversionReview`.
pub(crate) const CONVERSION: ReviewKind = ReviewKind {
    group: "apiextensions.k8s.io",
    name: "ConversionReview",
    fields: &[
        ("request", Field::Struct("{version}.ConversionRequest", &[])),
        (
            "response",
            Field::Struct(
                "{version}.ConversionResponse",
                &[
                    ("uid", Field::Text("types.UID")),
                    ("convertedObjects", Field::Items("[]runtime.RawExtension")),
                    ("result", Field::Struct("v1.Status", STATUS)),
                ],
            ),
        ),
    ],
};

/// Checks the answer to a review of `version`.
///
/// # Errors
/// Another type than that of the review, or the first value that does not fit.
pub(crate) fn check(kind: &ReviewKind, version: &str, review: &Value) -> Result<(), String> {
    check_type(kind, version, review)?;
    fields(kind.name, "", kind.fields, review).map_err(|error| error.replace("{version}", version))
}

/// The real server decodes what says its type by that type, and knows but a few here.
fn check_type(wanted: &ReviewKind, version: &str, review: &Value) -> Result<(), String> {
    let text = |name: &str| review[name].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version.is_empty() || kind.is_empty() {
        return Ok(());
    }
    let of_group = api_version.strip_prefix(wanted.group).and_then(|rest| rest.strip_prefix('/'));
    let known = |found: &&str| {
        matches!(*found, "v1" | "v1beta1")
            && (kind == wanted.name || (wanted.group == "apiextensions.k8s.io" && kind == "CustomResourceDefinition"))
    };
    let found = match of_group.filter(known) {
        Some(found) => found,
        None if (api_version, kind) == ("v1", "Status") => "v1",
        None => {
            let (kind, version) = (quote(kind), quote(api_version));
            return Err(format!(
                "no kind {kind} is registered for version {version} in scheme \"pkg/runtime/scheme.go:111\""
            ));
        }
    };
    if (found, kind) == (version, wanted.name) {
        return Ok(());
    }
    Err(format!("converting ({found}.{kind}) to ({version}.{}): unknown conversion", wanted.name))
}

fn fields(go_type: &str, path: &str, fields: &[(&str, Field)], object: &Value) -> Result<(), String> {
    for (name, field) in fields {
        let Some(value) = object.get(name).filter(|value| !value.is_null()) else { continue };
        let path = format!("{path}.{name}");
        let unfit = |value: &Value, wanted: &str| {
            let kind = json_kind(value);
            Err(format!("json: cannot unmarshal {kind} into Go struct field {go_type}{path} of type {wanted}"))
        };
        let not_text = |value: &&Value| !value.is_string() && !value.is_null();
        match field {
            Field::Text(wanted) if !value.is_string() => return unfit(value, wanted),
            Field::Items(wanted) if !value.is_array() => return unfit(value, wanted),
            Field::Flag if !value.is_boolean() => return unfit(value, "bool"),
            Field::Number if !value.is_number() => return unfit(value, "int32"),
            Field::Struct(wanted, _) if !value.is_object() => return unfit(value, wanted),
            Field::Struct(wanted, below) => {
                let name = wanted.rsplit('.').next().unwrap_or_default();
                self::fields(name, &path, below, value)?;
            }
            Field::Texts => match value.as_array() {
                None => return unfit(value, "[]string"),
                Some(items) => {
                    if let Some(other) = items.iter().find(not_text) {
                        return unfit(other, "string");
                    }
                }
            },
            Field::TextsByName => match value.as_object() {
                None => return unfit(value, "map[string]string"),
                Some(members) => {
                    if let Some(other) = members.values().find(not_text) {
                        return unfit(other, "string");
                    }
                }
            },
            Field::Text(_) | Field::Items(_) | Field::Flag | Field::Number => {}
        }
    }
    Ok(())
}
