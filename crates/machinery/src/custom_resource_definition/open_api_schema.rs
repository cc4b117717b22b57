//! What an `openAPIV3Schema` may say beyond being structural
//! (apiextensions-apiserver, `ValidateCustomResourceDefinitionOpenAPISchema`).

use std::rc::Rc;

use serde_json::{Map, Value};

use super::internal_form;
use crate::{
    schema::{
        messages,
        path::FieldPath,
        rule_cost::{self, TotalCost},
        value_validation::Format,
    },
    status_error::FieldError,
};

mod rules;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Keywords that the root of a schema may use when there is a status subresource, as the real server lists them.
const AT_ROOT_WITH_STATUS: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Keywords of JSON schema that custom resources can not use.
const UNSUPPORTED: [&str; 6] = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];

/// Whether there are keywords anywhere that have no structural form.
pub(super) fn has_unsupported_keywords(schema: &Value) -> bool {
    let Some(fields) = schema.as_object() else { return false };
    let is_set = |keyword: &str, value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(entries) => keyword == "additionalItems" || !entries.is_empty(),
        _ => true,
    };
    // A schema has few of the keywords there are, so they are gone through instead of looked up.
    fields.iter().any(|(keyword, value)| match keyword.as_str() {
        "items" => value.as_array().is_some_and(|all| !all.is_empty()) || has_unsupported_keywords(value),
        "additionalProperties" | "not" => has_unsupported_keywords(value),
        "allOf" | "anyOf" | "oneOf" => {
            value.as_array().is_some_and(|schemas| schemas.iter().any(has_unsupported_keywords))
        }
        "properties" => value.as_object().is_some_and(|all| all.values().any(has_unsupported_keywords)),
        keyword => (keyword == "$schema" || UNSUPPORTED.contains(&keyword)) && is_set(keyword, value),
    })
}

/// Whether schemas stand below a keyword.
fn has_schemas(keyword: &str) -> bool {
    matches!(
        keyword,
        "items"
            | "additionalItems"
            | "properties"
            | "additionalProperties"
            | "patternProperties"
            | "definitions"
            | "dependencies"
            | "not"
            | "allOf"
            | "anyOf"
            | "oneOf"
    )
}

/// Whether a schema may use a keyword with any value, wherever it stands and whatever else it has.
fn is_unconditional(keyword: &str) -> bool {
    matches!(
        keyword,
        "description"
            | "title"
            | "format"
            | "enum"
            | "required"
            | "nullable"
            | "default"
            | "example"
            | "externalDocs"
            | "pattern"
            | "minLength"
            | "maxLength"
            | "minimum"
            | "maximum"
            | "minItems"
            | "maxItems"
            | "minProperties"
            | "maxProperties"
    )
}

/// Adds the formats in a schema that nothing checks for the type they stand with.
pub(super) fn unrecognized_formats(schema: &Value, found: &mut Vec<String>) {
    let Some(fields) = schema.as_object() else { return };
    if !fields.keys().any(|keyword| keyword == "format" || has_schemas(keyword)) {
        return;
    }
    let text = |keyword: &str| fields.get(keyword).and_then(Value::as_str).unwrap_or_default();
    let format = text("format");
    if !format.is_empty() && Format::of(text("type"), format).is_none() {
        found.push(format.to_owned());
    }
    for keyword in ["items", "additionalProperties", "additionalItems", "not"] {
        match fields.get(keyword) {
            Some(Value::Array(several)) => several.iter().for_each(|schema| unrecognized_formats(schema, found)),
            Some(schema) => unrecognized_formats(schema, found),
            None => {}
        }
    }
    for alternative in
        ["allOf", "anyOf", "oneOf"].iter().filter_map(|keyword| fields.get(*keyword)?.as_array()).flatten()
    {
        unrecognized_formats(alternative, found);
    }
    let maps = ["properties", "patternProperties", "definitions", "dependencies"];
    for schema in maps.iter().filter_map(|keyword| fields.get(*keyword)?.as_object()).flat_map(Map::values) {
        unrecognized_formats(schema, found);
    }
}

/// Errors at the root of a schema whose kind has a status subresource.
pub(super) fn root_with_status_errors(schema: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let Some(fields) = schema.as_object() else { return };
    let schema_type = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    if !schema_type.is_empty() && schema_type != "object" {
        let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is \
                      enabled";
        errors.push(messages::invalid(path.field("type").to_field(), &Value::from(schema_type), detail));
    } else if fields.iter().any(|(keyword, value)| {
        !value.is_null()
            && *value != Value::Bool(false)
            && !AT_ROOT_WITH_STATUS.iter().any(|(known, _)| known == keyword)
    }) {
        let names: Vec<&str> = AT_ROOT_WITH_STATUS.iter().map(|(_, name)| *name).collect();
        let detail = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            names.join(" ")
        );
        errors.push(messages::invalid(path.to_field(), schema, &detail));
    }
}

/// Errors of a schema; rules are compiled when `check_rules`.
pub(super) fn errors(schema: &Value, path: &FieldPath<'_>, check_rules: bool) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), rule_errors: Vec::new(), rule_costs: TotalCost::default(), check_rules };
    walk.schema(schema, path, &Scope { is_root: true, most_values: Some(1), ..Scope::default() });
    let Walk { mut errors, rule_errors, rule_costs, .. } = walk;
    errors.extend(rule_errors);
    if let Some((problem, rules)) = rule_costs.problem() {
        let contributed = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        errors.extend(rules.into_iter().map(|rule| messages::forbidden(rule, contributed)));
        errors.push(messages::forbidden(path.to_field(), &problem));
    }
    errors
}

/// Where in the schema a node is.
#[derive(Clone, Default)]
struct Scope {
    is_root: bool,
    /// Below `apiVersion`, `kind` or `metadata` of a resource.
    inside_metadata: bool,
    /// Why no default may be set here.
    no_defaults: Option<Rc<str>>,
    /// The list or map above whose parts have no old counterpart.
    uncorrelatable: Option<Rc<str>>,
    /// How often a value can be here, if all lists and maps around it have a bound.
    most_values: Option<u64>,
    /// Below a junctor: rules are not evaluated here.
    nested: bool,
    /// Whether there are rules above.
    below_rules: bool,
    /// Whether rules above have no types to be compiled with.
    untyped: bool,
}

struct Walk {
    errors: Vec<FieldError>,
    rule_errors: Vec<FieldError>,
    rule_costs: TotalCost,
    check_rules: bool,
}

impl Walk {
    fn schema(&mut self, schema: &Value, path: &FieldPath<'_>, scope: &Scope) {
        let Some(fields) = schema.as_object() else { return };
        // Few of the keywords there are stand in a schema, so these are gone through before any is looked up.
        let is_plain = |(keyword, value): (&String, &Value)| match keyword.as_str() {
            "type" => value.as_str().is_some_and(is_type),
            "items" | "properties" => value.is_object(),
            keyword => is_unconditional(keyword),
        };
        let before = self.errors.len();
        if scope.no_defaults.is_some() || !fields.iter().all(is_plain) {
            self.keywords(fields, path, scope);
            self.list_and_map_types(fields, path);
            self.rule_texts(schema, path);
        }
        let scope = &self.scope_of_rules(schema, scope);
        if fields.keys().any(|keyword| has_schemas(keyword)) {
            self.children(fields, path, scope);
        }
        // Rules are compiled where nothing is wrong with their schema, whatever is wrong elsewhere.
        if self.check_rules && !scope.nested && self.errors.len() == before {
            self.rule_programs(schema, path, scope);
        }
    }

    fn keywords(&mut self, schema: &Map<String, Value>, path: &FieldPath<'_>, scope: &Scope) {
        match schema.get("type") {
            None | Some(Value::Null) => {}
            Some(Value::String(name)) if is_type(name) => {}
            Some(other) => {
                let accepted: Vec<Value> = TYPES.iter().map(|name| Value::from(*name)).collect();
                self.errors.push(messages::not_supported(path.field("type").to_field(), other, &accepted));
                if other == "null" {
                    let detail = "type cannot be set to null, use nullable as an alternative";
                    self.errors.push(messages::forbidden(path.field("type").to_field(), detail));
                }
            }
        }
        if let Some(reason) = &scope.no_defaults
            && schema.get("default").is_some_and(|default| !default.is_null())
        {
            let detail = format!("must not be set {reason}");
            self.errors.push(messages::forbidden(path.field("default").to_field(), &detail));
        }
        for keyword in UNSUPPORTED {
            if schema.get(keyword).is_some_and(|value| !value.is_null()) {
                let detail = format!("{keyword} is not supported");
                self.errors.push(messages::forbidden(path.field(keyword).to_field(), &detail));
            }
        }
        if schema.get("items").and_then(Value::as_array).is_some_and(|schemas| !schemas.is_empty()) {
            let detail = "items must be a schema object and not an array";
            self.errors.push(messages::forbidden(path.field("items").to_field(), detail));
        }
        if scope.inside_metadata && is_true(schema, "x-kubernetes-embedded-resource") {
            let detail = "must not be used inside of resource meta";
            self.errors.push(messages::forbidden(path.field("x-kubernetes-embedded-resource").to_field(), detail));
        }
        if is_true(schema, "uniqueItems") {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errors.push(messages::forbidden(path.field("uniqueItems").to_field(), detail));
        }
        let has_properties = schema.get("properties").and_then(Value::as_object).is_some_and(|map| !map.is_empty());
        if has_properties && matches!(schema.get("additionalProperties"), Some(Value::Bool(false) | Value::Object(_))) {
            let detail = "additionalProperties and properties are mutual exclusive";
            self.errors.push(messages::forbidden(path.field("additionalProperties").to_field(), detail));
        }
        if let Some(no @ Value::Bool(false)) = schema.get("x-kubernetes-preserve-unknown-fields") {
            let field = path.field("x-kubernetes-preserve-unknown-fields").to_field();
            self.errors.push(messages::invalid(field, no, "must be true or undefined"));
        }
    }

    fn list_and_map_types(&mut self, schema: &Map<String, Value>, path: &FieldPath<'_>) {
        let schema_type = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        let kinds: [(&str, &str, &[&str]); 2] = [
            ("x-kubernetes-map-type", "object", &["atomic", "granular"]),
            ("x-kubernetes-list-type", "array", &["atomic", "set", "map"]),
        ];
        for (keyword, wanted, accepted) in kinds {
            let Some(kind) = schema.get(keyword).filter(|kind| !kind.is_null()) else { continue };
            if schema_type != wanted {
                let detail = format!("must be {wanted} if {keyword} is specified");
                let field = path.field("type").to_field();
                self.errors.push(if schema_type.is_empty() {
                    messages::required(field, &detail)
                } else {
                    messages::invalid(field, &Value::from(schema_type), &detail)
                });
            }
            if !kind.as_str().is_some_and(|kind| accepted.contains(&kind)) {
                let accepted: Vec<Value> = accepted.iter().map(|name| Value::from(*name)).collect();
                self.errors.push(messages::not_supported(path.field(keyword).to_field(), kind, &accepted));
            }
        }
        let list_type = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
        let items = schema.get("items").and_then(Value::as_object);
        let items_path = path.field("items");
        if list_type == Some("set")
            && schema_type == "array"
            && let Some(items) = items
        {
            let text = |keyword: &str| items.get(keyword).and_then(Value::as_str);
            let offending = match text("type") {
                Some("array") if text("x-kubernetes-list-type").is_some_and(|kind| kind != "atomic") => {
                    Some("x-kubernetes-list-type")
                }
                Some("object") if text("x-kubernetes-map-type") != Some("atomic") => Some("x-kubernetes-map-type"),
                _ => None,
            };
            if let Some(keyword) = offending {
                let value = items.get("x-kubernetes-list-type").unwrap_or(&Value::Null);
                let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
                self.errors.push(messages::invalid(items_path.field(keyword).to_field(), value, detail));
            }
        }
        self.map_keys(schema, list_type, items, path);
        if let (Some(kind @ ("set" | "map")), Some(items)) = (list_type, items)
            && is_true(items, "nullable")
        {
            let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
            self.errors.push(messages::forbidden(items_path.field("nullable").to_field(), &detail));
        }
    }

    fn map_keys(
        &mut self,
        schema: &Map<String, Value>,
        list_type: Option<&str>,
        items: Option<&Map<String, Value>>,
        path: &FieldPath<'_>,
    ) {
        let none = Value::Array(Vec::new());
        let keys_value = schema.get("x-kubernetes-list-map-keys").unwrap_or(&none);
        let keys: Vec<&str> = keys_value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let keys_field = || path.field("x-kubernetes-list-map-keys").to_field();
        if !keys.is_empty() && list_type != Some("map") {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            let field = path.field("x-kubernetes-list-type").to_field();
            self.errors.push(match list_type {
                None => messages::required(field, detail),
                Some(kind) => messages::invalid(field, &Value::from(kind), detail),
            });
        }
        if list_type != Some("map") {
            return;
        }
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.errors.push(messages::required(keys_field(), detail));
        }
        let items_path = path.field("items");
        if let Some(several) = schema.get("items").filter(|items| !items.is_object() && !items.is_null()) {
            let detail = "must only have a single schema if x-kubernetes-list-type is map";
            let shown = internal_form::items_text(several);
            self.errors.push(messages::invalid_text(items_path.to_field(), &shown, detail));
            return;
        }
        let Some(items) = items else {
            let detail = "must have a schema if x-kubernetes-list-type is map";
            self.errors.push(messages::required(items_path.to_field(), detail));
            return;
        };
        let item_type = items.get("type").and_then(Value::as_str).unwrap_or_default();
        if item_type != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            self.errors.push(messages::invalid(items_path.field("type").to_field(), &Value::from(item_type), detail));
        }
        let of_objects = item_type == "object";
        let properties_path = items_path.field("properties");
        let required: Vec<&str> =
            items.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (position, key) in keys.iter().enumerate() {
            if of_objects && keys[..position].contains(key) {
                self.errors.push(messages::invalid(keys_field(), keys_value, "must not contain duplicate entries"));
            }
            let Some(property) = items.get("properties").and_then(|map| map.get(*key)).and_then(Value::as_object)
            else {
                if of_objects {
                    let detail = "entries must all be names of item properties";
                    self.errors.push(messages::invalid(keys_field(), keys_value, detail));
                }
                continue;
            };
            let key_path = properties_path.key(key);
            if of_objects && matches!(property.get("type").and_then(Value::as_str), Some("array" | "object")) {
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                self.errors.push(messages::invalid(key_path.field("type").to_field(), &Value::from(item_type), detail));
            }
            if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
                let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                              required property";
                self.errors.push(messages::required(key_path.field("default").to_field(), detail));
            }
            if is_true(property, "nullable") {
                let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                self.errors.push(messages::forbidden(key_path.field("nullable").to_field(), detail));
            }
        }
    }

    fn children(&mut self, schema: &Map<String, Value>, path: &FieldPath<'_>, scope: &Scope) {
        let most_values = scope.most_values.and_then(|most| Some(most.saturating_mul(rule_cost::most_below(schema)?)));
        let below = Scope { is_root: false, most_values, ..scope.clone() };
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            let mut scope = below.clone();
            if scope.inside_metadata {
                scope.no_defaults = Some("inside additionalProperties applying to object metadata".into());
            }
            self.schema(values, &path.field("additionalProperties"), &scope);
        }
        let is_resource = scope.is_root || is_true(schema, "x-kubernetes-embedded-resource");
        let properties_path = path.field("properties");
        for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut scope_of_child = below.clone();
            if is_resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                scope_of_child.inside_metadata = true;
                if scope.is_root {
                    scope_of_child.no_defaults = Some(format!("in top-level {name}").into());
                }
            }
            self.schema(child, &properties_path.key(name), &scope_of_child);
        }
        if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
            let mut scope = below.clone();
            if schema.get("x-kubernetes-list-type").and_then(Value::as_str) != Some("map") {
                scope.uncorrelatable.get_or_insert_with(|| path.to_string().into());
            }
            self.schema(items, &path.field("items"), &scope);
        }
        let nested = Scope { nested: true, ..below };
        if let Some(not) = schema.get("not") {
            self.schema(not, &path.field("not"), &nested);
        }
        for keyword in ["allOf", "oneOf", "anyOf"] {
            let list_path = path.field(keyword);
            let alternatives = schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
            for (index, alternative) in alternatives.enumerate() {
                self.schema(alternative, &list_path.index(index), &nested);
            }
        }
    }
}

/// Whether a name stands for a type, or for none.
fn is_type(name: &str) -> bool {
    name.is_empty() || TYPES.contains(&name)
}

fn is_true(schema: &Map<String, Value>, keyword: &str) -> bool {
    schema.get(keyword).and_then(Value::as_bool) == Some(true)
}
