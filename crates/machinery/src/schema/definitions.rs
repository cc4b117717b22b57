//! Schemas of built-in kinds, whose definitions refer to each other by `$ref`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{Recursion, SchemaNode, compile};

/// Compiles `definitions[name]`; `None` when there is no such definition.
pub(crate) fn compile(definitions: &Value, name: &str) -> Option<Arc<SchemaNode>> {
    let definitions = definitions.as_object()?;
    definitions.get(name)?;
    let mut compiler =
        Compiler { definitions, compiled: HashMap::new(), open: HashSet::new(), recursive: HashSet::new() };
    Some(compiler.definition(name))
}

struct Compiler<'a> {
    definitions: &'a Map<String, Value>,
    compiled: HashMap<&'a str, Arc<SchemaNode>>,
    /// Definitions being compiled further up: reaching one of them again is a cycle.
    open: HashSet<&'a str>,
    /// Those that were reached again.
    recursive: HashSet<&'a str>,
}

impl<'a> Compiler<'a> {
    fn definition(&mut self, name: &str) -> Arc<SchemaNode> {
        let Some((name, source)) = self.definitions.get_key_value(name) else { return anything() };
        if let Some(node) = self.compiled.get(name.as_str()) {
            return Arc::clone(node);
        }
        if !self.open.insert(name) {
            self.recursive.insert(name);
            let anything = SchemaNode::clone(&anything());
            return Arc::new(SchemaNode { recursion: Recursion::Inner, ..anything });
        }
        let mut node = self.schema(source);
        self.open.remove(name.as_str());
        if self.recursive.remove(name.as_str()) {
            node = Arc::new(SchemaNode { recursion: Recursion::Outer, ..SchemaNode::clone(&node) });
        }
        self.compiled.insert(name, Arc::clone(&node));
        node
    }

    fn schema(&mut self, source: &'a Value) -> Arc<SchemaNode> {
        if let Some(target) = source.get("$ref").and_then(Value::as_str) {
            return beside_reference(self.definition(definition_name(target)), source);
        }
        // Upstream wraps a reference that carries a description or default as `allOf: [{$ref}]`.
        if let Some([single]) = source.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
            && single.get("$ref").is_some()
            && source.get("properties").is_none()
        {
            return beside_reference(self.schema(single), source);
        }
        let mut children = HashMap::new();
        for child in child_schemas(source) {
            children.insert(std::ptr::from_ref(child), self.schema(child));
        }
        let mut node = compile::node_with(source, compile::Formats::Known, &mut |child| {
            children.get(&std::ptr::from_ref(child)).map_or_else(anything, Arc::clone)
        });
        node.defaults_to_zero = node.default.as_ref().is_some_and(is_zero);
        node.default = node.default.filter(|default| !is_zero(default));
        let text = |keyword: &str| source.get(keyword).and_then(Value::as_str).unwrap_or_default();
        if text("format") == "int-or-string" {
            node.int_or_string = true;
        }
        node.any_scalar = text("format") == "quantity";
        if node.int_or_string {
            return Arc::new(node);
        }
        if node.schema_type == "object" && node.properties.is_empty() && node.additional_properties.is_none()
            || node.schema_type.is_empty() && source.get("oneOf").is_none()
        {
            node.preserve_unknown_fields = true;
            node.nullable |= node.schema_type.is_empty();
        }
        Arc::new(node)
    }
}

/// What a property says beside its reference goes before what the definition says.
fn beside_reference(definition: Arc<SchemaNode>, property: &Value) -> Arc<SchemaNode> {
    let text = |keyword: &str| property.get(keyword).and_then(Value::as_str).map(str::to_owned);
    let default = property.get("default").filter(|default| !is_zero(default)).cloned();
    let (merge_key, strategy) = (text("x-kubernetes-patch-merge-key"), text("x-kubernetes-patch-strategy"));
    let nullable = property.get("nullable").and_then(Value::as_bool).unwrap_or(false);
    let map_type = text("x-kubernetes-map-type");
    if default.is_none() && merge_key.is_none() && strategy.is_none() && !nullable && map_type.is_none() {
        return definition;
    }
    let mut node = SchemaNode::clone(&definition);
    node.default = default.or(node.default);
    node.patch_merge_key = merge_key.or(node.patch_merge_key);
    node.patch_strategy = strategy.or(node.patch_strategy);
    node.nullable |= nullable;
    node.atomic_map = map_type.map_or(node.atomic_map, |kind| kind == "atomic");
    Arc::new(node)
}

/// The name in `#/components/schemas/NAME` or `#/definitions/NAME`.
pub(crate) fn definition_name(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

fn child_schemas(source: &Value) -> Vec<&Value> {
    let mut children = Vec::new();
    children.extend(source.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values));
    children.extend(["items", "additionalProperties", "not"].iter().filter_map(|keyword| source.get(*keyword)));
    for keyword in ["allOf", "anyOf", "oneOf"] {
        children.extend(source.get(keyword).and_then(Value::as_array).into_iter().flatten());
    }
    children.retain(|child| child.is_object());
    children
}

fn anything() -> Arc<SchemaNode> {
    Arc::new(SchemaNode { preserve_unknown_fields: true, nullable: true, ..SchemaNode::default() })
}

fn is_zero(default: &Value) -> bool {
    match default {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}
