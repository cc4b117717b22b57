//! `spec.versions` as the real server shows it in messages: its internal version, whose types have no JSON names, with
//! every field written out in the order of the types (apiextensions-apiserver, `apis/apiextensions/types*.go`).

use std::fmt::Write as _;

use serde_json::Value;

use super::{is_shared, versions};
use crate::schema::messages;

/// How a field is written.
#[derive(Clone, Copy)]
enum Form {
    /// As it is, or a zero value.
    Plain(&'static str),
    /// A schema.
    Schema,
    /// A list of schemas.
    Schemas,
    /// A map of schemas.
    SchemaMap,
    /// A schema or a list of them.
    SchemaOrList,
    /// A schema or a boolean.
    SchemaOrBool,
    /// An object with these fields.
    Object(&'static [Field]),
    /// A list of such objects.
    Objects(&'static [Field]),
}

/// JSON name, Go name, form.
type Field = (&'static str, &'static str, Form);

const NULL: Form = Form::Plain("null");
const TEXT: Form = Form::Plain("\"\"");
const FLAG: Form = Form::Plain("false");
const NUMBER: Form = Form::Plain("0");

/// Fields of a version that all versions share stand outside of the versions.
pub(super) const SHARED: [&str; 4] = ["schema", "subresources", "additionalPrinterColumns", "selectableFields"];

const VERSION: &[Field] = &[
    ("name", "Name", TEXT),
    ("served", "Served", FLAG),
    ("storage", "Storage", FLAG),
    ("deprecated", "Deprecated", FLAG),
    ("deprecationWarning", "DeprecationWarning", NULL),
    ("schema", "Schema", Form::Object(&[("openAPIV3Schema", "OpenAPIV3Schema", Form::Schema)])),
    (
        "subresources",
        "Subresources",
        Form::Object(&[
            ("status", "Status", Form::Object(&[])),
            (
                "scale",
                "Scale",
                Form::Object(&[
                    ("specReplicasPath", "SpecReplicasPath", TEXT),
                    ("statusReplicasPath", "StatusReplicasPath", TEXT),
                    ("labelSelectorPath", "LabelSelectorPath", NULL),
                ]),
            ),
        ]),
    ),
    (
        "additionalPrinterColumns",
        "AdditionalPrinterColumns",
        Form::Objects(&[
            ("name", "Name", TEXT),
            ("type", "Type", TEXT),
            ("format", "Format", TEXT),
            ("description", "Description", TEXT),
            ("priority", "Priority", NUMBER),
            ("jsonPath", "JSONPath", TEXT),
        ]),
    ),
    ("selectableFields", "SelectableFields", Form::Objects(&[("jsonPath", "JSONPath", TEXT)])),
];

const SCHEMA: &[Field] = &[
    ("id", "ID", TEXT),
    ("$schema", "Schema", TEXT),
    ("$ref", "Ref", NULL),
    ("description", "Description", TEXT),
    ("type", "Type", TEXT),
    ("nullable", "Nullable", FLAG),
    ("format", "Format", TEXT),
    ("title", "Title", TEXT),
    ("default", "Default", NULL),
    ("maximum", "Maximum", NULL),
    ("exclusiveMaximum", "ExclusiveMaximum", FLAG),
    ("minimum", "Minimum", NULL),
    ("exclusiveMinimum", "ExclusiveMinimum", FLAG),
    ("maxLength", "MaxLength", NULL),
    ("minLength", "MinLength", NULL),
    ("pattern", "Pattern", TEXT),
    ("maxItems", "MaxItems", NULL),
    ("minItems", "MinItems", NULL),
    ("uniqueItems", "UniqueItems", FLAG),
    ("multipleOf", "MultipleOf", NULL),
    ("enum", "Enum", NULL),
    ("maxProperties", "MaxProperties", NULL),
    ("minProperties", "MinProperties", NULL),
    ("required", "Required", NULL),
    ("items", "Items", Form::SchemaOrList),
    ("allOf", "AllOf", Form::Schemas),
    ("oneOf", "OneOf", Form::Schemas),
    ("anyOf", "AnyOf", Form::Schemas),
    ("not", "Not", Form::Schema),
    ("properties", "Properties", Form::SchemaMap),
    ("additionalProperties", "AdditionalProperties", Form::SchemaOrBool),
    ("patternProperties", "PatternProperties", Form::SchemaMap),
    ("dependencies", "Dependencies", NULL),
    ("additionalItems", "AdditionalItems", Form::SchemaOrBool),
    ("definitions", "Definitions", Form::SchemaMap),
    ("externalDocs", "ExternalDocs", Form::Object(&[("description", "Description", TEXT), ("url", "URL", TEXT)])),
    ("example", "Example", NULL),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields", NULL),
    ("x-kubernetes-embedded-resource", "XEmbeddedResource", FLAG),
    ("x-kubernetes-int-or-string", "XIntOrString", FLAG),
    ("x-kubernetes-list-map-keys", "XListMapKeys", NULL),
    ("x-kubernetes-list-type", "XListType", NULL),
    ("x-kubernetes-map-type", "XMapType", NULL),
    (
        "x-kubernetes-validations",
        "XValidations",
        Form::Objects(&[
            ("rule", "Rule", TEXT),
            ("message", "Message", TEXT),
            ("messageExpression", "MessageExpression", TEXT),
            ("reason", "Reason", NULL),
            ("fieldPath", "FieldPath", TEXT),
            ("optionalOldSelf", "OptionalOldSelf", NULL),
        ]),
    ),
];

/// `spec.versions` in the internal version; `null` where there are none. `shown` is the spec with the empty lists and maps
/// it was sent with.
pub(super) fn versions_text(spec: &Value, shown: &Value) -> String {
    let Some(mut shown) = shown.get("versions").and_then(Value::as_array).cloned() else { return "null".to_owned() };
    for field in SHARED {
        if is_shared(versions(spec), field) {
            for fields in shown.iter_mut().filter_map(Value::as_object_mut) {
                fields.remove(field);
            }
        }
    }
    let mut out = String::new();
    list(&shown, &mut out, |version, out| object(version, VERSION, out));
    out
}

/// `items` of a schema in the internal version.
pub(super) fn items_text(items: &Value) -> String {
    let mut out = String::new();
    field(items, Form::SchemaOrList, &mut out);
    out
}

fn list(items: &[Value], out: &mut String, mut item: impl FnMut(&Value, &mut String)) {
    out.push('[');
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item(value, out);
    }
    out.push(']');
}

fn object(value: &Value, fields: &[Field], out: &mut String) {
    out.push('{');
    for (index, (name, go_name, form)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "\"{go_name}\":");
        field(value.get(name).unwrap_or(&Value::Null), *form, out);
    }
    out.push('}');
}

fn schema(value: &Value, out: &mut String) {
    object(value, SCHEMA, out);
}

fn field(value: &Value, form: Form, out: &mut String) {
    match (form, value) {
        (Form::Plain(zero), Value::Null) => out.push_str(zero),
        (Form::Plain(_), _) => out.push_str(&messages::json(value)),
        (_, Value::Null) => out.push_str("null"),
        (Form::Schema, _) => schema(value, out),
        (Form::Schemas, _) => list(value.as_array().map_or(&[], Vec::as_slice), out, schema),
        (Form::SchemaMap, _) => {
            out.push('{');
            for (index, (name, value)) in value.as_object().into_iter().flatten().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                let _ = write!(out, "{comma}{}:", messages::json(&Value::from(name.as_str())));
                schema(value, out);
            }
            out.push('}');
        }
        (Form::SchemaOrList, Value::Array(items)) => {
            out.push_str("{\"Schema\":null,\"JSONSchemas\":");
            list(items, out, schema);
            out.push('}');
        }
        // What is neither is read as nothing.
        (Form::SchemaOrList, Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            out.push_str("{\"Schema\":null,\"JSONSchemas\":null}");
        }
        (Form::SchemaOrList, _) => {
            out.push_str("{\"Schema\":");
            schema(value, out);
            out.push_str(",\"JSONSchemas\":null}");
        }
        (Form::SchemaOrBool, Value::Bool(allows)) => {
            let _ = write!(out, "{{\"Allows\":{allows},\"Schema\":null}}");
        }
        (Form::SchemaOrBool, _) => {
            out.push_str("{\"Allows\":true,\"Schema\":");
            schema(value, out);
            out.push('}');
        }
        (Form::Object(fields), _) => object(value, fields, out),
        (Form::Objects(fields), _) => {
            list(value.as_array().map_or(&[], Vec::as_slice), out, |item, out| object(item, fields, out));
        }
    }
}
