//! From the JSON of an `openAPIV3Schema` to [`SchemaNode`]s. Keywords of the wrong type count as absent.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Below, ListType, Recursion, SchemaNode, ValueValidation,
    rule::ValidationRule,
    rule_types::{RuleNames, rule_problem},
    value_validation::{Format, Pattern},
};

/// Compiles one schema and all below it.
pub(crate) fn node(source: &Value) -> SchemaNode {
    node_with(source, Formats::Known, &mut |child| Arc::new(node(child)))
}

/// Compiles one schema and all below it for the defaults that stand in it: the real server checks these by the schema as it
/// is written, whose formats count in comparisons of types even where nothing checks them.
pub(crate) fn node_for_defaults(source: &Value) -> SchemaNode {
    let mut node = node_with(source, Formats::All, &mut |child| Arc::new(node_for_defaults(child)));
    // That it is one of two types is no part of what is checked there.
    node.int_or_string = false;
    if let Some(rules) = Arc::get_mut(&mut node.rules) {
        // Defaults are checked before rules are: one that is wrong is told of with each default it is asked about.
        for rule in rules {
            let names = RuleNames::of(source, node.embedded_resource, rule.optional_old_self == Some(true));
            rule.type_problem = rule_problem(&rule.rule, &names);
        }
    }
    node
}

/// Which formats of a schema count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Formats {
    /// Those that are known for their type.
    Known,
    /// Every one.
    All,
}

/// Compiles one schema; `child` gives the nodes of the schemas below it.
pub(crate) fn node_with(
    source: &Value,
    formats: Formats,
    child: &mut dyn FnMut(&Value) -> Arc<SchemaNode>,
) -> SchemaNode {
    let Some(source) = source.as_object() else { return SchemaNode::default() };
    let int_or_string = flag(source, "x-kubernetes-int-or-string");
    let properties = source
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), child(schema)))
        .collect();
    let (additional_properties, additional_properties_forbidden) = match source.get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            (Some(Arc::new(SchemaNode { nullable: true, ..SchemaNode::default() })), !allowed)
        }
        Some(schema @ Value::Object(_)) => (Some(child(schema)), false),
        _ => (None, false),
    };
    let mut node = SchemaNode {
        schema_type: text(source, "type").unwrap_or_default().to_owned(),
        properties,
        additional_properties,
        items: source.get("items").filter(|items| items.is_object()).map(&mut *child),
        list_type: list_type(source),
        atomic_map: text(source, "x-kubernetes-map-type") == Some("atomic"),
        nullable: flag(source, "nullable"),
        int_or_string,
        preserve_unknown_fields: flag(source, "x-kubernetes-preserve-unknown-fields"),
        embedded_resource: flag(source, "x-kubernetes-embedded-resource"),
        default: source.get("default").filter(|default| !default.is_null()).cloned(),
        patch_merge_key: text(source, "x-kubernetes-patch-merge-key").map(str::to_owned),
        patch_strategy: text(source, "x-kubernetes-patch-strategy").map(str::to_owned),
        additional_properties_forbidden,
        value_validation: value_validation(source, int_or_string, formats, child).map(Arc::new),
        defaults_to_zero: false,
        any_scalar: false,
        recursion: Recursion::None,
        rules: rules(source),
        below: Below::default(),
    };
    node.below = below(&node);
    node
}

/// What the subtree of `node` holds, from its own keywords and its children.
pub(crate) fn below(node: &SchemaNode) -> Below {
    let mut below = Below {
        rules: !node.rules.is_empty(),
        transition_rules: node.rules.iter().any(ValidationRule::reads_old_self),
        unique_lists: node.list_type != ListType::Atomic,
        embedded_resources: node.embedded_resource,
    };
    for child in node.properties.values().chain(&node.additional_properties).chain(&node.items) {
        below.rules |= child.below.rules;
        below.transition_rules |= child.below.transition_rules;
        below.unique_lists |= child.below.unique_lists;
        below.embedded_resources |= child.below.embedded_resources;
    }
    below
}

fn list_type(source: &Map<String, Value>) -> ListType {
    match text(source, "x-kubernetes-list-type") {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(texts(source, "x-kubernetes-list-map-keys")),
        _ => ListType::Atomic,
    }
}

fn value_validation(
    source: &Map<String, Value>,
    int_or_string: bool,
    formats: Formats,
    child: &mut dyn FnMut(&Value) -> Arc<SchemaNode>,
) -> Option<ValueValidation> {
    const KEYWORDS: [&str; 18] = [
        "enum",
        "required",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "pattern",
        "format",
    ];
    if !KEYWORDS.iter().any(|keyword| source.contains_key(*keyword)) {
        return None;
    }
    let schema_type = if int_or_string { "" } else { text(source, "type").unwrap_or_default() };
    let mut nodes = |keyword: &str| -> Vec<Arc<SchemaNode>> {
        source.get(keyword).and_then(Value::as_array).into_iter().flatten().map(&mut *child).collect()
    };
    let (all_of, any_of, one_of) = (nodes("allOf"), nodes("anyOf"), nodes("oneOf"));
    let format_name = text(source, "format").filter(|name| !name.is_empty());
    let format = format_name.and_then(|name| {
        let unknown = (formats == Formats::All).then_some(Format::Unknown);
        Format::of(schema_type, name).or(unknown).map(|format| (name.to_owned(), format))
    });
    let validation = ValueValidation {
        enum_values: source.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        required: texts(source, "required"),
        minimum: number(source, "minimum").map(|bound| (bound, flag(source, "exclusiveMinimum"))),
        maximum: number(source, "maximum").map(|bound| (bound, flag(source, "exclusiveMaximum"))),
        multiple_of: number(source, "multipleOf"),
        min_length: count(source, "minLength"),
        max_length: count(source, "maxLength"),
        min_items: count(source, "minItems"),
        max_items: count(source, "maxItems"),
        unique_items: flag(source, "uniqueItems"),
        min_properties: count(source, "minProperties"),
        max_properties: count(source, "maxProperties"),
        all_of,
        any_of,
        one_of,
        not: source.get("not").filter(|not| not.is_object()).map(child),
        pattern: text(source, "pattern").filter(|pattern| !pattern.is_empty()).map(Pattern::new),
        ignored_format: format_name.is_some() && format.is_none(),
        format,
    };
    Some(validation)
}

fn rules(source: &Map<String, Value>) -> Arc<[ValidationRule]> {
    source
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(ValidationRule::from_json)
        .collect()
}

/// A keyword that is a string.
pub(crate) fn text<'a>(source: &'a Map<String, Value>, keyword: &str) -> Option<&'a str> {
    source.get(keyword).and_then(Value::as_str)
}

/// A keyword that is a list of strings.
pub(crate) fn texts(source: &Map<String, Value>, keyword: &str) -> Vec<String> {
    source
        .get(keyword)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// A keyword that is a boolean; absent is false.
pub(crate) fn flag(source: &Map<String, Value>, keyword: &str) -> bool {
    source.get(keyword).and_then(Value::as_bool).unwrap_or(false)
}

fn number(source: &Map<String, Value>, keyword: &str) -> Option<f64> {
    source.get(keyword).and_then(Value::as_f64)
}

fn count(source: &Map<String, Value>, keyword: &str) -> Option<i64> {
    source.get(keyword).and_then(Value::as_i64)
}
