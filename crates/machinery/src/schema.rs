//! Structural schemas: compile, prune, default, validate.
//!
//! A schema is compiled once into a tree of shared [`SchemaNode`]s; every request then walks that tree and the object
//! side by side. The order in the server is the real one's (apiextensions-apiserver, `apiserver/schema`): prune →
//! default → (admission) → validate types and values → list uniqueness → `x-kubernetes-validations`. Messages, field
//! paths and cause kinds are those of kube-apiserver 1.36, so that tools which read them keep working.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use crate::status_error::FieldError;

mod compile;
mod correlation;
mod defaulting;
mod definitions;
pub(crate) mod duration_format;
mod email_format;
mod embedded_metadata;
pub(crate) mod format;
mod list_uniqueness;
pub(crate) mod messages;
pub(crate) mod path;
mod prune;
pub(crate) mod rule;
pub(crate) mod rule_cost;
mod rule_evaluation;
pub(crate) mod rule_library;
pub(crate) mod rule_projection;
pub(crate) mod rule_types;
pub(crate) mod rule_values;
pub(crate) mod structural;
mod validate;
pub(crate) mod value_validation;

#[cfg(test)]
mod properties_test;
#[cfg(test)]
mod rule_library_test;
#[cfg(test)]
mod tests;

pub use rule_evaluation::Unchanged;
pub use value_validation::ValueValidation;

/// How a list merges (`x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ListType {
    /// The list is one value; a write replaces it as a whole.
    #[default]
    Atomic,
    /// Items are scalars and unique.
    Set,
    /// Items are objects, identified by the named fields.
    Map(Vec<String>),
}

/// One node of a compiled schema. Shared by `Arc`, so repeated definitions cost nothing.
#[derive(Clone, Debug, Default)]
pub struct SchemaNode {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean` or empty (anything).
    pub schema_type: String,
    /// Schemas of the named fields of an object.
    pub properties: BTreeMap<String, Arc<SchemaNode>>,
    /// Schema of the values of a map; `additionalProperties: true` is a node that accepts any scalar.
    pub additional_properties: Option<Arc<SchemaNode>>,
    /// Schema of the items of a list.
    pub items: Option<Arc<SchemaNode>>,
    /// How a list merges.
    pub list_type: ListType,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic_map: bool,
    /// Whether `null` is a value.
    pub nullable: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown_fields: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded_resource: bool,
    /// The value of an absent field.
    pub default: Option<Value>,
    /// Built-ins only: `x-kubernetes-patch-merge-key`.
    pub patch_merge_key: Option<String>,
    /// Built-ins only: `x-kubernetes-patch-strategy`, e.g. `merge`, `merge,retainKeys`.
    pub patch_strategy: Option<String>,
    /// `additionalProperties: false`: names beyond `properties` are refused.
    pub additional_properties_forbidden: bool,
    /// Everything that restricts values without giving them structure; `None` when nothing does.
    pub value_validation: Option<Arc<ValueValidation>>,
    /// Built-ins only: whether the default is Go's zero value, which nothing is filled with, but by which items of lists are
    /// known that leave out their key.
    pub(crate) defaults_to_zero: bool,
    /// Built-ins only: whether any scalar is meant, and nothing else (quantities).
    pub(crate) any_scalar: bool,
    /// Built-ins only: whether this is a definition that refers to itself, or such a reference.
    pub(crate) recursion: Recursion,
    /// `x-kubernetes-validations` of this node.
    pub(crate) rules: Arc<[rule::ValidationRule]>,
    /// What is somewhere in this subtree, so that walks can skip the rest.
    pub(crate) below: Below,
}

/// How a node takes part in a definition that refers to itself, as that of schemas within definitions of custom resources.
/// Nodes form no circle, so that walks over schemas end; walks that have an object beside go on by [`SchemaNode::within`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Recursion {
    /// Not at all.
    #[default]
    None,
    /// Nodes below it stand for it.
    Outer,
    /// Stands for the nearest [`Recursion::Outer`] above it. Whoever does not look there takes it for anything.
    Inner,
}

/// What a subtree of a schema holds (the node itself included).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Below {
    /// A rule.
    pub(crate) rules: bool,
    /// A rule that reads `oldSelf`.
    pub(crate) transition_rules: bool,
    /// A list of type set or map.
    pub(crate) unique_lists: bool,
    /// An embedded resource.
    pub(crate) embedded_resources: bool,
}

impl SchemaNode {
    /// The schema of field `name`: its own, or that of the values of a map.
    pub fn child(&self, name: &str) -> Option<&Arc<SchemaNode>> {
        self.properties.get(name).or(self.additional_properties.as_ref())
    }

    /// The node this one stands for below `outer`, the nearest definition above it that refers to itself, and the nearest
    /// one for the nodes below.
    pub(crate) fn within<'s>(&'s self, outer: Option<&'s Self>) -> (&'s Self, Option<&'s Self>) {
        match (self.recursion, outer) {
            (Recursion::Inner, Some(outer)) => (outer, Some(outer)),
            (Recursion::Outer, _) => (self, Some(self)),
            _ => (self, outer),
        }
    }
}

/// A compiled structural schema of one kind.
#[derive(Debug)]
pub struct Schema {
    /// The node of the object as a whole.
    pub root: Arc<SchemaNode>,
    /// Of a built-in kind: absent, null and `""` are the same, as they are in Go's types.
    typed: bool,
}

impl Schema {
    /// Compiles an `openAPIV3Schema` (CRD).
    ///
    /// Patterns and rules are compiled at their first use; that they compile is checked with the definition
    /// ([`crate::custom_resource_definition::validate`]).
    ///
    /// # Errors
    /// The structural-schema violations, in the real server's words.
    pub fn compile(source: &Value) -> Result<Self, Vec<FieldError>> {
        let errors = structural::violations(&path::FieldPath::with_prefix("openAPIV3Schema"), source);
        if errors.is_empty() { Ok(Self::compile_checked(source)) } else { Err(errors) }
    }

    /// Compiles a schema that is known to be structural; what is not understood is left out.
    pub fn compile_checked(source: &Value) -> Self {
        Self { root: Arc::new(compile::node(source)), typed: false }
    }

    /// Compiles a schema that is known to be structural to check the defaults in it.
    pub(crate) fn compile_for_defaults(source: &Value) -> Self {
        Self { root: Arc::new(compile::node_for_defaults(source)), typed: false }
    }

    /// Compiles `definitions[name]` where definitions refer to each other by `$ref: "#/components/schemas/NAME"`
    /// (built-in kinds).
    ///
    /// Lenient: there is no structural check. Where a definition reaches itself, the inner occurrence keeps whatever
    /// it is given. Objects without properties keep whatever they are given. Defaults that only repeat Go's zero
    /// values (`""`, `{}`, `0`, `false`), as the upstream documents carry them, are left out.
    pub fn compile_definition(definitions: &Value, name: &str) -> Option<Self> {
        definitions::compile(definitions, name).map(|root| Self { root, typed: true })
    }

    /// Whether `value`, a part of an object such as a default, has fields that would be pruned.
    pub(crate) fn has_unknown_fields(&self, value: &Value) -> bool {
        prune::prune_value(&self.root, &mut value.clone())
    }

    /// Removes unknown fields; returns their paths (`spec.foo`, `spec.items[0].bar`), for strict validation and
    /// warnings, in sorted order.
    ///
    /// `apiVersion`, `kind` and `metadata` of the object and of embedded resources stay; unknown fields of their
    /// metadata are removed too.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune_object(&self.root, object)
    }

    /// Drops non-nullable nulls and fills defaults, as kube-apiserver does before admission and on read.
    ///
    /// A non-nullable null with a default becomes the default. Idempotent.
    pub fn apply_defaults(&self, object: &mut Value) {
        defaulting::apply(&self.root, object, self.typed);
    }

    /// As [`Self::apply_defaults`], but nulls without a default stay.
    pub fn fill_defaults(&self, object: &mut Value) {
        defaulting::fill(&self.root, object);
    }

    /// Types, required, enum, format, pattern, bounds, list uniqueness, then `x-kubernetes-validations`; these only
    /// when no error of the former is one the real server lets block them.
    ///
    /// With `old`, unchanged invalid subtrees are tolerated (CRDValidationRatcheting) and transition rules run.
    /// Never panics, whatever the object.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = validate::value_errors(&self.root, object, old, self.typed);
        errors.extend(self.embedded_metadata_errors(object));
        errors.extend(self.list_errors(object, old));
        self.add_rule_errors(object, old, Unchanged::Transitions, &mut errors);
        errors
    }

    /// Whether any rule reads `oldSelf`.
    pub fn has_transition_rules(&self) -> bool {
        self.root.below.transition_rules
    }

    /// Types and values of the object as a whole.
    pub(crate) fn value_errors(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        validate::value_errors(&self.root, object, old, self.typed)
    }

    /// Types and values of the status, as its own endpoint checks them: the real server has a validator for it alone, whose
    /// texts name fields from there.
    pub(crate) fn status_value_errors(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        const STATUS: &str = "status";
        let (Some(node), Some(status)) = (self.root.properties.get(STATUS), object.get(STATUS)) else {
            return Vec::new();
        };
        // One that was not there is as good as null.
        let old = old.map(|old| old.get(STATUS).unwrap_or(&Value::Null));
        let mut errors = validate::value_errors(node, status, old, self.typed);
        for error in &mut errors {
            error.field = match error.field.as_str() {
                "<nil>" => STATUS.to_owned(),
                below if below.starts_with('[') => format!("{STATUS}{below}"),
                below => format!("{STATUS}.{below}"),
            };
        }
        errors
    }

    /// What of the resources embedded in an object is not of its type, so that the object cannot even be read.
    pub fn embedded_type_error(&self, object: &Value) -> Option<FieldError> {
        embedded_metadata::type_error(&self.root, object, &path::FieldPath::ROOT)
    }

    /// Metadata of embedded resources.
    pub(crate) fn embedded_metadata_errors(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        embedded_metadata::validate(&self.root, object, &path::FieldPath::ROOT, &mut errors);
        errors
    }

    /// Duplicates in lists of type set and map.
    pub(crate) fn list_errors(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        list_uniqueness::errors(&self.root, object, old)
    }

    /// Adds the rules that are broken to the other errors, or says that these keep rules from being checked. Returns those that
    /// are broken where nothing was changed.
    pub(crate) fn add_rule_errors(
        &self,
        object: &Value,
        old: Option<&Value>,
        unchanged: Unchanged,
        errors: &mut Vec<FieldError>,
    ) -> Vec<FieldError> {
        if !self.root.below.rules {
            return Vec::new();
        }
        if errors.iter().any(rule_evaluation::blocks_rules) {
            errors.push(messages::invalid(
                path::FieldPath::ROOT.to_field(),
                &Value::Null,
                "some validation rules were not checked because the object was invalid; correct the existing \
                 errors to complete validation",
            ));
            Vec::new()
        } else {
            let broken = rule_evaluation::broken(&self.root, object, old, unchanged);
            errors.extend(broken.errors);
            broken.tolerated
        }
    }
}

/// A schema compiled at first use, shared between planes. [`LazySchema::none`] accepts everything.
#[derive(Clone)]
pub struct LazySchema {
    inner: Arc<LazySchemaInner>,
}

struct LazySchemaInner {
    cell: OnceLock<Option<Arc<Schema>>>,
    compile: Box<dyn Fn() -> Option<Arc<Schema>> + Send + Sync>,
    document: Box<dyn Fn() -> Option<Value> + Send + Sync>,
}

impl std::fmt::Debug for LazySchema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LazySchema")
    }
}

impl LazySchema {
    /// `compile` builds the schema, `document` gives the OpenAPI schema for `/openapi/v3`: the schema itself, or
    /// `{"schema": ..., "definitions": {...}}` when it carries `$ref`s.
    pub fn new(
        compile: impl Fn() -> Option<Arc<Schema>> + Send + Sync + 'static,
        document: impl Fn() -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: Arc::new(LazySchemaInner {
                cell: OnceLock::new(),
                compile: Box::new(compile),
                document: Box::new(document),
            }),
        }
    }

    /// No schema: everything is accepted, nothing is pruned.
    pub fn none() -> Self {
        Self::new(|| None, || None)
    }

    /// The schema, compiled now if it was not yet.
    pub fn get(&self) -> Option<Arc<Schema>> {
        self.get_or_compile(|| (self.inner.compile)())
    }

    /// As [`LazySchema::get`], where the caller has a quicker way to compile the same schema.
    pub fn get_or_compile(&self, compile: impl FnOnce() -> Option<Arc<Schema>>) -> Option<Arc<Schema>> {
        self.inner.cell.get_or_init(compile).clone()
    }

    /// The OpenAPI schema.
    pub fn document(&self) -> Option<Value> {
        (self.inner.document)()
    }
}
