//! The types that rules of a schema see (`k8s.io/apiserver/pkg/cel/common/schemas.go`), and what is wrong with a rule.

use std::{cell::RefCell, collections::HashMap};

use serde_json::{Map, Value};

use super::rule_values::escape;
use crate::cel::{
    declarations::{Names, check, type_name},
    signatures::Signature,
    types::Type,
};

/// Fields of the metadata of whole objects that rules may read.
const METADATA_FIELDS: [&str; 2] = ["generateName", "name"];

/// What an object type stands for.
#[derive(Clone, Copy)]
enum Declared<'s> {
    /// A schema; of whole objects also apiVersion, kind and metadata are known.
    Object { schema: &'s Value, is_resource: bool },
    /// The metadata of whole objects, as far as a schema says more of it.
    Metadata(Option<&'s Value>),
}

/// The names in rules on values of a schema. Types of what lies below are made when they are asked for.
pub(crate) struct RuleNames<'s> {
    own: Option<Type>,
    old: Option<Type>,
    /// Where references lead.
    definitions: Option<&'s Map<String, Value>>,
    objects: RefCell<HashMap<String, Declared<'s>>>,
}

impl<'s> RuleNames<'s> {
    /// Of rules on values of `schema`. With `optional_old` the old value may not be there.
    pub(crate) fn of(schema: &'s Value, is_root: bool, optional_old: bool) -> Self {
        let mut names = Self { own: None, old: None, definitions: None, objects: RefCell::default() };
        names.own = names.type_of(schema, "selfType", is_root || is_embedded(schema));
        names.old = if optional_old { names.own.clone().map(Type::optional) } else { names.own.clone() };
        names
    }

    /// Of objects with a published schema that refers to `definitions`; their type gets this name.
    pub(crate) fn of_objects(schema: &'s Value, definitions: &'s Map<String, Value>, name: &str) -> Self {
        let definitions = Some(definitions);
        let mut names = Self { own: None, old: None, definitions, objects: RefCell::default() };
        names.own = names.type_of(schema, name, true);
        names
    }

    /// The type of what has the schema; none if it says nothing of it.
    pub(crate) fn own(&self) -> Option<&Type> {
        self.own.as_ref()
    }

    /// What a schema refers to, also where a lone `allOf` gives the reference a description
    /// (`k8s.io/apiserver/pkg/cel/openapi/resolver/refs.go`); otherwise itself.
    fn resolved(&self, schema: &'s Value) -> &'s Value {
        let Some(definitions) = self.definitions else { return schema };
        let wrapped = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        let reference = std::iter::once(schema).chain(wrapped).find_map(|schema| schema.get("$ref")?.as_str());
        reference.and_then(|target| definitions.get(target.rsplit('/').next()?)).unwrap_or(schema)
    }

    fn type_of(&self, schema: &'s Value, name: &str, is_resource: bool) -> Option<Type> {
        let schema = self.resolved(schema);
        // Published schemas of built-in kinds have a format instead.
        let has_format = || self.definitions.is_some() && schema["format"] == "int-or-string";
        if is_true(schema, "x-kubernetes-int-or-string") || has_format() {
            return Some(Type::Dyn);
        }
        let schema_type = if is_resource { "object" } else { schema["type"].as_str().unwrap_or_default() };
        Some(match schema_type {
            "array" => {
                let items = self.resolved(schema.get("items").filter(|items| items.is_object())?);
                Type::list(self.type_of(items, &format!("{name}.@idx"), is_embedded(items))?)
            }
            "object" => {
                if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
                    let values = self.resolved(values);
                    let of_values = self.type_of(values, &format!("{name}.@elem"), is_embedded(values))?;
                    return Some(Type::map(Type::String, of_values));
                }
                self.object(name, Declared::Object { schema, is_resource })
            }
            "string" => match schema["format"].as_str() {
                Some("byte") => Type::Bytes,
                Some("duration") => Type::Duration,
                Some("date" | "date-time") => Type::Timestamp,
                _ => Type::String,
            },
            "boolean" => Type::Bool,
            "number" => Type::Double,
            "integer" => Type::Int,
            _ => return None,
        })
    }

    fn object(&self, name: &str, declared: Declared<'s>) -> Type {
        self.objects.borrow_mut().insert(name.to_owned(), declared);
        Type::object(name)
    }

    fn declared_property(&self, object: &str, schema: &'s Value, field: &str) -> Option<Type> {
        let mut properties = schema.get("properties")?.as_object()?.iter();
        let (_, property) = properties.find(|(name, _)| escape(name) == field)?;
        let property = self.resolved(property);
        self.type_of(property, &format!("{object}.{field}"), is_embedded(property))
    }
}

pub(super) fn is_true(schema: &Value, keyword: &str) -> bool {
    schema.get(keyword).and_then(Value::as_bool) == Some(true)
}

pub(super) fn is_embedded(schema: &Value) -> bool {
    is_true(schema, "x-kubernetes-embedded-resource")
}

impl Names for RuleNames<'_> {
    fn name(&self, name: &str) -> Option<Type> {
        match name {
            "self" => self.own.clone(),
            "oldSelf" => self.old.clone(),
            _ => type_name(name),
        }
    }

    fn has_fields(&self, object: &str) -> bool {
        self.objects.borrow().contains_key(object)
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        let declared = *self.objects.borrow().get(object)?;
        match declared {
            Declared::Object { is_resource: true, .. } if matches!(field, "apiVersion" | "kind") => Some(Type::String),
            Declared::Object { is_resource: true, schema } if field == "metadata" => {
                let more = schema.get("properties").and_then(|properties| properties.get("metadata"));
                let more = more.map(|metadata| self.resolved(metadata));
                Some(self.object(&format!("{object}.metadata"), Declared::Metadata(more)))
            }
            Declared::Object { schema, .. } => self.declared_property(object, schema, field),
            Declared::Metadata(_) if METADATA_FIELDS.contains(&field) => Some(Type::String),
            Declared::Metadata(more) => self.declared_property(object, more?, field),
        }
    }

    fn function(&self, name: &str) -> Option<&'static [Signature]> {
        crate::cel::declarations::function(name)
    }
}

/// What is wrong with the rule `source`, in the words of the real server.
pub(crate) fn rule_problem(source: &str, names: &RuleNames<'_>) -> Option<String> {
    match check(source, names) {
        Err(problems) => Some(format!("compilation failed: {problems}")),
        Ok(Type::Bool) => None,
        Ok(_) => Some("cel expression must evaluate to a bool".to_owned()),
    }
}

/// What is wrong with the message expression `source` of a rule.
pub(crate) fn message_problem(source: &str, names: &RuleNames<'_>) -> Option<String> {
    match check(source, names) {
        Err(problems) => Some(format!("messageExpression compilation failed: {problems}")),
        Ok(Type::String) => None,
        Ok(_) => Some("messageExpression must evaluate to a string".to_owned()),
    }
}
