//! Structural schemas: compile, prune, default, validate.

use std::sync::{Arc, OnceLock};
use serde_json::Value;
use crate::status_error::FieldError;

/// How a list merges (`x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ListType { #[default] Atomic, Set, Map(Vec<String>) }

/// One node of a compiled schema. Shared by `Arc`, so recursive and repeated definitions cost nothing.
#[derive(Debug, Default)]
pub struct SchemaNode {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean` or empty (anything).
    pub schema_type: String,
    pub properties: std::collections::BTreeMap<String, Arc<SchemaNode>>,
    pub additional_properties: Option<Arc<SchemaNode>>,
    pub items: Option<Arc<SchemaNode>>,
    pub list_type: ListType,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic_map: bool,
    pub nullable: bool,
    pub int_or_string: bool,
    pub preserve_unknown_fields: bool,
    pub embedded_resource: bool,
    pub default: Option<Value>,
    /// Built-ins only: `x-kubernetes-patch-merge-key`.
    pub patch_merge_key: Option<String>,
    /// Built-ins only: `x-kubernetes-patch-strategy`, e.g. `merge`, `merge,retainKeys`.
    pub patch_strategy: Option<String>,
    // the owner of this module adds what validation needs (enum, format, pattern, bounds, required, CEL rules, ...)
}

/// A compiled structural schema of one kind.
#[derive(Debug)]
pub struct Schema { pub root: Arc<SchemaNode> }

impl Schema {
    /// Compiles an `openAPIV3Schema` (CRD). Errors are the structural-schema violations, in the real server's words.
    pub fn compile(source: &Value) -> Result<Self, Vec<FieldError>> { let _ = source; todo!() }
    /// Compiles `definitions[name]` where definitions refer to each other by `$ref: "#/components/schemas/NAME"`
    /// (built-in kinds). Lenient: no structural check; recursion ends in preserve-unknown nodes or shared nodes.
    pub fn compile_definition(definitions: &Value, name: &str) -> Option<Self> { let _ = (definitions, name); todo!() }
    /// Removes unknown fields; returns their paths (`spec.foo`, `spec.items[0].bar`), for strict validation and warnings.
    pub fn prune(&self, object: &mut Value) -> Vec<String> { let _ = object; todo!() }
    /// Drops non-nullable nulls and fills defaults, as kube-apiserver does before admission and on read.
    pub fn apply_defaults(&self, object: &mut Value) { let _ = object; todo!() }
    /// Types, required, enum, format, pattern, bounds, list uniqueness, then CEL (only when no structural errors).
    /// With `old`, unchanged invalid subtrees are tolerated (CRDValidationRatcheting) and transition rules run.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> { let _ = (object, old); todo!() }
}

/// A schema compiled at first use, shared between planes. `LazySchema::none()` accepts everything.
#[derive(Clone)]
pub struct LazySchema { inner: Arc<LazySchemaInner> }
struct LazySchemaInner { cell: OnceLock<Option<Arc<Schema>>>, compile: Box<dyn Fn() -> Option<Arc<Schema>> + Send + Sync>, document: Box<dyn Fn() -> Option<Value> + Send + Sync> }

impl std::fmt::Debug for LazySchema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { formatter.write_str("LazySchema") }
}

impl LazySchema {
    /// `compile` builds the schema, `document` gives the OpenAPI schema for `/openapi/v3`.
    pub fn new(compile: impl Fn() -> Option<Arc<Schema>> + Send + Sync + 'static, document: impl Fn() -> Option<Value> + Send + Sync + 'static) -> Self {
        Self { inner: Arc::new(LazySchemaInner { cell: OnceLock::new(), compile: Box::new(compile), document: Box::new(document) }) }
    }
    pub fn none() -> Self { Self::new(|| None, || None) }
    pub fn get(&self) -> Option<Arc<Schema>> { self.inner.cell.get_or_init(|| (self.inner.compile)()).clone() }
    pub fn document(&self) -> Option<Value> { (self.inner.document)() }
}
