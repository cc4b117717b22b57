//! How a schema types values for ownership: what is a leaf, which lists have items of their own.
//!
//! A [`Type`] is structured-merge-diff's atom: a value may be a scalar, a list or a map, each with its rules. A kind
//! without a schema is "deduced": maps are owned field by field, lists as a whole.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::field_set::FieldSet;
use super::path_element::PathElement;
use crate::schema::{
    ListType, SchemaNode,
    messages::{go_syntax, go_text, go_type},
};

/// The type at one place of an object.
#[derive(Clone, Copy)]
pub(super) enum Type<'s> {
    /// Not declared and no unknown fields allowed.
    Undeclared,
    /// Free form: maps by field, lists as a whole.
    Deduced,
    /// Items of a list without a schema: everything as a whole.
    Atomic,
    /// Described by a schema.
    Node {
        /// Its schema.
        node: &'s SchemaNode,
        /// Whether an enclosing schema preserves unknown fields.
        preserve: bool,
        /// Whether this is a whole object, whose apiVersion, kind and metadata every kind declares.
        object: bool,
        /// The nearest definition around it that refers to itself.
        outer: Option<&'s SchemaNode>,
    },
}

/// Which of its forms a value takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Map,
    Scalar,
    List,
    /// Undecided: null, or a value of no allowed form where several are.
    Any,
}

/// ObjectMeta as `k8s.io/apimachinery` annotates it.
static METADATA: LazyLock<SchemaNode> = LazyLock::new(|| {
    let scalar =
        |schema_type: &str| Arc::new(SchemaNode { schema_type: schema_type.to_owned(), ..SchemaNode::default() });
    let list = |items: Arc<SchemaNode>, list_type: ListType| {
        Arc::new(SchemaNode { schema_type: "array".to_owned(), items: Some(items), list_type, ..SchemaNode::default() })
    };
    let map = || {
        Arc::new(SchemaNode {
            schema_type: "object".to_owned(),
            additional_properties: Some(scalar("string")),
            ..SchemaNode::default()
        })
    };
    // absent, it is empty
    let required_text = || {
        Arc::new(SchemaNode {
            schema_type: "string".to_owned(),
            default: Some(Value::from("")),
            ..SchemaNode::default()
        })
    };
    let owner = Arc::new(SchemaNode {
        schema_type: "object".to_owned(),
        atomic_map: true,
        properties: ["apiVersion", "kind", "name", "uid"]
            .into_iter()
            .map(|name| (name.to_owned(), required_text()))
            .chain(["blockOwnerDeletion", "controller"].map(|name| (name.to_owned(), scalar("boolean"))))
            .collect(),
        ..SchemaNode::default()
    });
    let properties = ["generateName", "name", "namespace", "resourceVersion", "selfLink", "uid"]
        .into_iter()
        .map(|name| (name.to_owned(), scalar("string")))
        .chain(["deletionGracePeriodSeconds", "generation"].map(|name| (name.to_owned(), scalar("integer"))))
        // Times are untyped scalars, as strings with a format are.
        .chain(["creationTimestamp", "deletionTimestamp"].map(|name| (name.to_owned(), scalar("time"))))
        .chain(["annotations", "labels"].map(|name| (name.to_owned(), map())))
        .chain([
            ("finalizers".to_owned(), list(scalar("string"), ListType::Set)),
            ("managedFields".to_owned(), list(Arc::new(SchemaNode::default()), ListType::Atomic)),
            ("ownerReferences".to_owned(), list(owner, ListType::Map(vec!["uid".to_owned()]))),
        ])
        .collect();
    SchemaNode { schema_type: "object".to_owned(), properties, ..SchemaNode::default() }
});

static TEXT: LazyLock<SchemaNode> =
    LazyLock::new(|| SchemaNode { schema_type: "string".to_owned(), ..SchemaNode::default() });

fn describe<'s>(node: &'s SchemaNode, outer: Option<&'s SchemaNode>) -> Type<'s> {
    let (node, outer) = node.within(outer);
    Type::Node { node, preserve: node.preserve_unknown_fields, object: node.embedded_resource, outer }
}

impl<'s> Type<'s> {
    /// The type of whole objects of a kind.
    pub(super) fn root(schema: Option<&'s SchemaNode>) -> Self {
        match schema {
            Some(node) => Self::Node { node, preserve: node.preserve_unknown_fields, object: true, outer: None },
            None => Self::Deduced,
        }
    }

    fn has(self, form: Form) -> bool {
        match self {
            Self::Undeclared => false,
            Self::Deduced | Self::Atomic => true,
            Self::Node { node, .. } => match node.schema_type.as_str() {
                "object" => form == Form::Map,
                "array" => form == Form::List,
                "" if !node.any_scalar => true,
                _ => form == Form::Scalar,
            },
        }
    }

    /// The form of a value of this type.
    pub(super) fn form(self, value: &Value) -> Form {
        let own = match value {
            Value::Null => None,
            Value::Array(_) => Some(Form::List),
            Value::Object(_) => Some(Form::Map),
            _ => Some(Form::Scalar),
        };
        match own {
            Some(form) if self.has(form) => form,
            _ => self.only_form(),
        }
    }

    /// Whether no other form is of this type.
    pub(super) fn is_only(self, form: Form) -> bool {
        self.only_form() == form
    }

    fn only_form(self) -> Form {
        match self {
            Self::Node { node, .. } => match node.schema_type.as_str() {
                "object" => Form::Map,
                "array" => Form::List,
                "" if !node.any_scalar => Form::Any,
                _ => Form::Scalar,
            },
            Self::Undeclared | Self::Deduced | Self::Atomic => Form::Any,
        }
    }

    /// The rules a form is handled by: an undecided value of several forms is handled as a map.
    pub(super) fn handled_as(self, form: Form) -> Form {
        match (form, self) {
            (Form::Any, Self::Undeclared) => Form::Any,
            (Form::Any, _) => Form::Map,
            (form, _) => form,
        }
    }

    /// Whether maps of this type are owned as a whole.
    pub(super) fn atomic_map(self) -> bool {
        match self {
            Self::Node { node, .. } => node.atomic_map,
            Self::Atomic => true,
            Self::Deduced | Self::Undeclared => false,
        }
    }

    /// Whether lists of this type are owned as a whole.
    pub(super) fn atomic_list(self) -> bool {
        match self {
            Self::Node { node, .. } => node.list_type == ListType::Atomic,
            _ => true,
        }
    }

    /// The type of a field the schema names.
    pub(super) fn declared_field(self, name: &str) -> Option<Self> {
        let Self::Node { node: own, preserve, object, outer } = self else { return None };
        if object {
            match name {
                "metadata" => return Some(describe(&METADATA, None)),
                "apiVersion" | "kind" => return Some(describe(&TEXT, None)),
                _ => {}
            }
        }
        own.properties.get(name).map(|property| describe(property, outer).inherit(preserve))
    }

    /// The type of a map's member: its declared field's, or that of unknown fields.
    pub(super) fn field(self, name: &str) -> Self {
        if let Some(declared) = self.declared_field(name) {
            return declared;
        }
        match self {
            Self::Undeclared => Self::Undeclared,
            Self::Deduced => Self::Deduced,
            Self::Atomic => Self::Atomic,
            Self::Node { node: own, preserve, outer, .. } => match &own.additional_properties {
                Some(additional) => describe(additional, outer).inherit(preserve),
                None if preserve || own.properties.is_empty() => Self::Deduced,
                None => Self::Undeclared,
            },
        }
    }

    /// The type of a list's items.
    pub(super) fn item(self) -> Self {
        match self {
            Self::Node { node: own, preserve, outer, .. } => match &own.items {
                Some(items) => describe(items, outer).inherit(preserve),
                None => Self::Atomic,
            },
            Self::Undeclared => Self::Undeclared,
            Self::Deduced | Self::Atomic => Self::Atomic,
        }
    }

    fn inherit(self, around: bool) -> Self {
        match self {
            Self::Node { node, preserve, object, outer } => {
                Self::Node { node, preserve: preserve || around, object, outer }
            }
            other => other,
        }
    }

    /// Whether no field is declared and unknown fields are free form or untyped scalars. structured-merge-diff never
    /// adapts ownership to such maps, be they atomic or not.
    fn is_free_form(self) -> bool {
        match self {
            Self::Deduced => true,
            Self::Node { node, .. } => node.properties.is_empty() && self.field("").is_untyped(),
            Self::Atomic | Self::Undeclared => false,
        }
    }

    /// Whether scalars of any type are of this type, as far as structured-merge-diff is concerned: it knows no formats.
    fn is_untyped(self) -> bool {
        match self {
            Self::Deduced => true,
            Self::Node { node, .. } => match node.schema_type.as_str() {
                "" | "time" => true,
                "string" => !is_plain_text(node),
                _ => false,
            },
            Self::Atomic | Self::Undeclared => false,
        }
    }

    /// The path element of a list item, for lists whose items are owned one by one.
    ///
    /// # Errors
    /// In structured-merge-diff's words, when the item has no key.
    pub(super) fn path_element(self, item: &Value) -> Result<PathElement, String> {
        let Self::Node { node: own, .. } = self else {
            return Err("invalid indexing of non-associative list".to_owned());
        };
        match &own.list_type {
            ListType::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            ListType::Set => match item {
                Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
                scalar => Ok(PathElement::Value(scalar.clone())),
            },
            ListType::Map(keys) => {
                let members = match item {
                    Value::Object(members) => members,
                    Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
                    _ => return Err("associative list with keys may not have non-map elements".to_owned()),
                };
                let default_of = |key: &String| {
                    let field = own.items.as_ref()?.properties.get(key)?;
                    let zero = || match field.schema_type.as_str() {
                        "string" => Value::from(""),
                        "boolean" => Value::from(false),
                        _ => Value::from(0),
                    };
                    let default = field.default.clone().filter(|default| !default.is_null());
                    default.or_else(|| field.defaults_to_zero.then(zero))
                };
                let fields: Vec<(String, Value)> = keys
                    .iter()
                    .filter_map(|key| Some((key.clone(), members.get(key).cloned().or_else(|| default_of(key))?)))
                    .collect();
                if fields.is_empty() && !keys.is_empty() {
                    let quoted: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
                    return Err(format!(
                        "associative list with keys has an element that omits all key fields [{}] (and doesn't have \
                         default values for any key fields)",
                        quoted.join(" ")
                    ));
                }
                Ok(PathElement::key(fields))
            }
        }
    }

    /// The path elements of all items; `None` when an item has no key, and the list can only be taken as a whole.
    pub(super) fn path_elements(self, items: &[Value]) -> Option<Vec<PathElement>> {
        items.iter().map(|item| self.path_element(item).ok()).collect()
    }
}

/// Whether nothing but texts are of this type. Bytes have a format and are texts; with any other one, known or not, a text is an
/// untyped scalar (`convertPrimitive` of kube-openapi's schemaconv).
fn is_plain_text(node: &SchemaNode) -> bool {
    let has_format = node.value_validation.as_ref().is_some_and(|validation| {
        validation.ignored_format || validation.format.as_ref().is_some_and(|(name, _)| name != "byte")
    });
    node.schema_type == "string" && !has_format
}

/// Shows the places of a value, such as `.spec.list[0]`, that are owned as a whole, and what is there. Members of maps that are no declared fields
/// are not looked into.
pub(super) fn find_atomics(own: Type<'_>, value: &Value, path: &str, found: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(members) if own.has(Form::Map) => {
            if own.atomic_map() {
                found(path, value);
            }
            for (name, member) in members {
                if let Some(declared) = own.declared_field(name) {
                    find_atomics(declared, member, &format!("{path}.{name}"), found);
                }
            }
        }
        Value::Array(items) if own.has(Form::List) => {
            if own.atomic_list() {
                found(path, value);
            }
            for (index, item) in items.iter().enumerate() {
                find_atomics(own.item(), item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// How errors about items that a list has twice begin.
const DUPLICATE: &str = "duplicate entries for key";

/// Whether a value is of its type; lists may have duplicate items.
pub(super) fn fits(own: Type<'_>, value: &Value) -> bool {
    validate_with_duplicates(own, value).is_empty()
}

/// As [`validate`], with lists that may have duplicate items.
pub(super) fn validate_with_duplicates(own: Type<'_>, value: &Value) -> Vec<String> {
    let mut errors = validate(own, value);
    errors.retain(|error| !error.contains(DUPLICATE));
    errors
}

/// Checks that a value is of its type, and that lists have no duplicate items. Errors are `PATH: TEXT` in
/// structured-merge-diff's words.
pub(super) fn validate(own: Type<'_>, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    validate_at(own, value, &mut String::new(), &mut errors);
    errors
}

fn validate_at(own: Type<'_>, value: &Value, path: &mut String, errors: &mut Vec<String>) {
    let mut report = |path: &str, text: String| {
        errors.push(if path.is_empty() { text } else { format!("{path}: {text}") });
    };
    match own.handled_as(own.form(value)) {
        Form::Any => report(path, "field not declared in schema".to_owned()),
        Form::Scalar => {
            let Type::Node { node, .. } = own else { return };
            let text = match (node.schema_type.as_str(), value) {
                (_, Value::Null)
                | ("integer" | "number", Value::Number(_))
                | ("boolean", Value::Bool(_))
                | ("string", Value::String(_)) => return,
                ("integer" | "number", _) => format!("expected numeric (int or float), got {}", go_type(value)),
                ("boolean", _) => format!("expected boolean, got &{{{}}}", go_text(value)),
                // Texts with a format are untyped scalars.
                (_, Value::String(_) | Value::Number(_) | Value::Bool(_)) if !is_plain_text(node) => return,
                ("string", _) if is_plain_text(node) => {
                    format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value))
                }
                _ => format!("expected any scalar, got &{{{}}}", go_text(value)),
            };
            report(path, text);
        }
        Form::List => {
            let items = match value {
                Value::Null => return,
                Value::Array(items) => items,
                _ => return report(path, format!("expected list, got &{{{}}}", go_text(value))),
            };
            let mut seen = std::collections::BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let element = if own.atomic_list() {
                    PathElement::Index(i64::try_from(index).unwrap_or(i64::MAX))
                } else {
                    match own.path_element(item) {
                        Ok(element) => {
                            if !seen.insert(element.clone()) {
                                let text = format!("{DUPLICATE} {element}");
                                errors.push(if path.is_empty() { text } else { format!("{path}: {text}") });
                            }
                            element
                        }
                        Err(text) => {
                            let text = format!("element {index}: {text}");
                            errors.push(if path.is_empty() { text } else { format!("{path}: {text}") });
                            return;
                        }
                    }
                };
                let length = path.len();
                path.push_str(&element.to_string());
                validate_at(own.item(), item, path, errors);
                path.truncate(length);
            }
        }
        Form::Map => {
            let members = match value {
                Value::Null => return,
                Value::Object(members) => members,
                _ => return report(path, format!("expected map, got &{{{}}}", go_text(value))),
            };
            for (name, member) in members {
                let length = path.len();
                path.push('.');
                path.push_str(name);
                validate_at(own.field(name), member, path, errors);
                path.truncate(length);
            }
        }
    }
}

/// The paths of every leaf and item of a value; for the root of an object without managedFields.
pub(super) fn field_set(own: Type<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    collect(own, value, &mut set);
    set
}

/// Collects what is below `value` into `set`; answers whether `value` itself is a leaf.
fn collect(own: Type<'_>, value: &Value, set: &mut FieldSet) -> bool {
    match own.handled_as(own.form(value)) {
        Form::Scalar | Form::Any => true,
        Form::List => {
            if own.atomic_list() {
                return true;
            }
            let Value::Array(items) = value else { return false };
            let Some(elements) = own.path_elements(items) else { return true };
            let mut seen = std::collections::BTreeSet::new();
            let mut duplicates = std::collections::BTreeSet::new();
            for element in &elements {
                if !seen.insert(element) {
                    duplicates.insert(element);
                }
            }
            for (element, item) in elements.iter().zip(items) {
                if !duplicates.contains(element) {
                    let mut below = FieldSet::default();
                    collect(own.item(), item, &mut below);
                    set.insert_child(element.clone(), below);
                }
                set.insert_member(element.clone());
            }
            false
        }
        Form::Map => {
            if own.atomic_map() {
                return true;
            }
            let Value::Object(members) = value else { return false };
            for (name, member) in members {
                let declared = own.declared_field(name);
                let mut below = FieldSet::default();
                let leaf = collect(declared.unwrap_or_else(|| own.field(name)), member, &mut below);
                let empty = match member {
                    Value::Null => true,
                    Value::Object(members) => members.is_empty(),
                    _ => false,
                };
                if leaf || empty || declared.is_none() {
                    set.insert_member(PathElement::field(name));
                }
                set.insert_child(PathElement::field(name), below);
            }
            false
        }
    }
}

/// Adds the declared fields on the way to each path, which sets leave out.
pub(super) fn with_named_parents(own: Type<'_>, set: &FieldSet) -> FieldSet {
    let mut full = FieldSet::default();
    for member in set.members() {
        full.insert_member(member.clone());
    }
    for (element, child) in set.children() {
        let below = match element {
            PathElement::Field(name) if own.has(Form::Map) => {
                if own.declared_field(name).is_some() {
                    full.insert_member(element.clone());
                }
                own.field(name)
            }
            PathElement::Key(_) if own.has(Form::List) => own.item(),
            _ => Type::Undeclared,
        };
        full.insert_child(element.clone(), with_named_parents(below, child));
    }
    full
}

/// Adapts a set written under an older schema: where a map or list has become atomic, who owned a part owns the whole.
/// Answers whether anything changed.
pub(super) fn reconcile(own: Type<'_>, set: &mut FieldSet) -> bool {
    let form = own.handled_as(own.only_form());
    if form == Form::Map && own.is_free_form() {
        return false;
    }
    let mut whole = Vec::new();
    let mut changed = false;
    for (element, child) in set.children_mut() {
        let below = match (form, &*element) {
            (Form::Map, PathElement::Field(name)) => own.field(name),
            (Form::Map, _) => own.field(""),
            (Form::List, _) => own.item(),
            (Form::Scalar | Form::Any, _) => continue,
        };
        let atomic = match below.handled_as(below.only_form()) {
            Form::Map => !below.is_free_form() && below.atomic_map(),
            Form::List => below.atomic_list(),
            Form::Scalar | Form::Any => continue,
        };
        if atomic {
            whole.push(element.clone());
        } else {
            changed |= reconcile(below, child);
        }
    }
    changed |= !whole.is_empty();
    for element in whole {
        set.children_mut().retain(|(own, _)| *own != element);
        set.insert_member(element);
    }
    changed
}
