//! What the rules of a schema may cost (`k8s.io/apiserver/pkg/cel/common/schemas.go` and
//! `k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/cel_validation.go`): by the largest values the schema
//! allows in a request, and by how often a value can be there.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::{
    rule_types::{is_embedded, is_true},
    rule_values::escape,
};
use crate::cel::{
    cost::Sizes,
    value_path::{ITEMS, KEYS, VALUES},
};

/// The largest request, in bytes.
const REQUEST: u64 = 3 << 20;
/// A text with its quotes, and a list or map with its brackets, take so many bytes more.
const BRACKETS: u64 = 2;
/// What one rule may cost.
pub(crate) const LIMIT: u64 = 10_000_000;
/// What all rules of a schema may cost.
pub(crate) const LIMIT_OF_SCHEMA: u64 = 100_000_000;
/// How many rules are told of that make a schema too expensive.
const TOLD: usize = 4;

/// The values of a schema that rules see.
#[derive(Clone, Copy)]
pub(crate) struct DeclaredSizes<'s>(Declared<'s>);

#[derive(Clone, Copy)]
enum Declared<'s> {
    /// Of whole objects also apiVersion, kind and metadata are known.
    Schema { schema: &'s Value, is_resource: bool },
    /// The metadata of whole objects.
    Metadata,
    /// A text without a bound.
    Text,
    /// A key of a map.
    Key,
}

impl<'s> DeclaredSizes<'s> {
    pub(crate) fn of(schema: &'s Value, is_root: bool) -> Self {
        Self(Declared::Schema { schema, is_resource: is_root || is_embedded(schema) })
    }

    /// How often such a value can be in a request.
    pub(crate) fn most_in_request(&self) -> u64 {
        REQUEST / (self.0.least_bytes() + 1)
    }
}

impl Sizes for DeclaredSizes<'_> {
    fn most(&self, path: &[Rc<str>]) -> Option<u64> {
        let (_, steps) = path.split_first()?;
        let declared = steps.iter().try_fold(self.0, |declared, step| declared.below(step))?;
        Some(declared.most())
    }
}

impl<'s> Declared<'s> {
    fn of(schema: &'s Value) -> Self {
        Self::Schema { schema, is_resource: is_embedded(schema) }
    }

    /// The schema, and its keywords where they say something of the values.
    fn kind(self) -> Kind<'s> {
        let Self::Schema { schema, is_resource } = self else { return Kind::None };
        if is_true(schema, "x-kubernetes-int-or-string") {
            return Kind::IntOrString(schema);
        }
        match if is_resource { "object" } else { text(schema, "type") } {
            "array" => match schema.get("items").filter(|items| items.is_object()).map(Self::of) {
                Some(items) if items.is_declared() => Kind::List(schema, items),
                _ => Kind::None,
            },
            "object" => match schema.get("additionalProperties").filter(|values| values.is_object()).map(Self::of) {
                Some(values) if values.is_declared() => Kind::Map(schema, values),
                Some(_) => Kind::None,
                None => Kind::Object(schema, is_resource),
            },
            "string" => Kind::Text(schema),
            "boolean" => Kind::Bool,
            "number" | "integer" => Kind::Number,
            _ => Kind::None,
        }
    }

    /// Whether rules see such values.
    fn is_declared(self) -> bool {
        !matches!(self, Self::Schema { .. }) || !matches!(self.kind(), Kind::None)
    }

    fn below(self, step: &str) -> Option<Self> {
        match (self.kind(), step) {
            (Kind::List(_, items), ITEMS | VALUES) => Some(items),
            (Kind::Map(_, values), ITEMS | VALUES) => Some(values),
            (Kind::Map(..), KEYS) => Some(Self::Key),
            (Kind::Object(schema, is_resource), name) => property(schema, is_resource, name),
            _ if matches!(self, Self::Metadata) => matches!(step, "name" | "generateName").then_some(Self::Text),
            _ => None,
        }
    }

    /// The most characters, bytes or entries of a value; 0 of one that has none.
    fn most(self) -> u64 {
        let bound = |schema: &Value, keyword: &str| {
            let bound = schema.get(keyword).filter(|bound| !bound.is_null())?;
            Some(bound.as_i64().and_then(|bound| u64::try_from(bound).ok()).unwrap_or_default())
        };
        let unbounded = REQUEST - BRACKETS;
        // A character takes up to four bytes.
        let of_characters = |schema: &Value| bound(schema, "maxLength").map(|bound| bound.saturating_mul(4));
        match self.kind() {
            Kind::IntOrString(schema) => of_characters(schema).unwrap_or(unbounded),
            Kind::List(schema, items) => {
                bound(schema, "maxItems").unwrap_or_else(|| unbounded / (items.least_bytes() + 1))
            }
            // A key has two quotes, a colon and a comma, and two characters, as most have that many.
            Kind::Map(schema, values) => {
                bound(schema, "maxProperties").unwrap_or_else(|| unbounded / (values.least_bytes() + 6))
            }
            Kind::Text(schema) => match text(schema, "format") {
                "byte" => bound(schema, "maxLength").unwrap_or(unbounded),
                "duration" | "date-time" => 32,
                "date" => 12,
                _ => of_characters(schema).or_else(|| longest_of_enum(schema)).unwrap_or(unbounded),
            },
            Kind::None if matches!(self, Self::Text) => unbounded,
            Kind::Object(..) | Kind::Bool | Kind::Number | Kind::None => 0,
        }
    }

    /// The fewest bytes of a value in JSON.
    fn least_bytes(self) -> u64 {
        match self.kind() {
            Kind::IntOrString(_) | Kind::Number => 1,
            Kind::Bool => 4,
            Kind::Text(schema) => match text(schema, "format") {
                "duration" => 3,
                "date" => 12,
                "date-time" => 21,
                _ => BRACKETS,
            },
            Kind::Object(schema, is_resource) => {
                let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
                let mut names: Vec<&str> = required.filter_map(Value::as_str).collect();
                names.sort_unstable();
                names.dedup();
                let of_property = |name: &str| {
                    let property = declared_property(schema, is_resource, name)?;
                    let has_default = matches!(property, Self::Schema { schema, .. }
                        if schema.get("default").is_some_and(|default| !default.is_null()));
                    let counts = property.is_declared() && !has_default;
                    counts.then(|| name.len() as u64 + property.least_bytes() + 4)
                };
                BRACKETS + names.into_iter().filter_map(of_property).sum::<u64>()
            }
            Kind::List(..) | Kind::Map(..) | Kind::None => BRACKETS,
        }
    }
}

enum Kind<'s> {
    IntOrString(&'s Value),
    List(&'s Value, Declared<'s>),
    Map(&'s Value, Declared<'s>),
    Object(&'s Value, bool),
    Text(&'s Value),
    Bool,
    Number,
    None,
}

/// The property that expressions know by a name.
fn property<'s>(schema: &'s Value, is_resource: bool, escaped: &str) -> Option<Declared<'s>> {
    if is_resource && matches!(escaped, "apiVersion" | "kind" | "metadata") {
        return declared_property(schema, is_resource, escaped);
    }
    let name = properties(schema)?.keys().find(|name| escape(name) == escaped)?;
    declared_property(schema, is_resource, name).filter(|property| property.is_declared())
}

fn declared_property<'s>(schema: &'s Value, is_resource: bool, name: &str) -> Option<Declared<'s>> {
    if is_resource && !declares_resource(schema) {
        match name {
            "apiVersion" | "kind" => return Some(Declared::Text),
            "metadata" => return Some(Declared::Metadata),
            _ => {}
        }
    }
    Some(Declared::of(properties(schema)?.get(name)?))
}

/// Whether a schema says itself what all whole objects have.
fn declares_resource(schema: &Value) -> bool {
    let is = |schema: Option<&Value>, name: &str, wanted: &str| {
        schema.and_then(properties).and_then(|all| all.get(name)).is_some_and(|schema| text(schema, "type") == wanted)
    };
    let metadata = properties(schema).and_then(|all| all.get("metadata"));
    is(Some(schema), "kind", "string")
        && is(Some(schema), "apiVersion", "string")
        && is(Some(schema), "metadata", "object")
        && is(metadata, "name", "string")
        && is(metadata, "generateName", "string")
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn text<'s>(schema: &'s Value, keyword: &str) -> &'s str {
    schema.get(keyword).and_then(Value::as_str).unwrap_or_default()
}

fn longest_of_enum(schema: &Value) -> Option<u64> {
    let values = schema.get("enum").and_then(Value::as_array).filter(|values| !values.is_empty())?;
    Some(values.iter().filter_map(Value::as_str).map(|value| value.len() as u64).max().unwrap_or_default())
}

/// How often the values below a schema can be there for each of its own; none if the schema sets no bound.
pub(crate) fn most_below(schema: &Map<String, Value>) -> Option<u64> {
    let bound = |keyword: &str| Some(u64::try_from(schema.get(keyword)?.as_i64()?).unwrap_or_default());
    match schema.get("type").and_then(Value::as_str) {
        Some("object") if schema.get("additionalProperties").is_some_and(|values| !values.is_null()) => {
            bound("maxProperties")
        }
        Some("array") => bound("maxItems"),
        _ => Some(1),
    }
}

/// What the rules of a schema cost together.
#[derive(Default)]
pub(crate) struct TotalCost {
    total: u64,
    /// Fields and costs of the most expensive, which are first.
    expensive: Vec<(String, u64)>,
}

impl TotalCost {
    pub(crate) fn add(&mut self, field: String, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost >= LIMIT_OF_SCHEMA / 100 {
            self.expensive.push((field, cost));
            self.expensive.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            self.expensive.truncate(TOLD);
        }
    }

    /// What is said of the whole schema if it is too expensive, and the fields of the rules that make it so.
    pub(crate) fn problem(self) -> Option<(String, Vec<String>)> {
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let told = exceeded(what, self.total, LIMIT_OF_SCHEMA)?;
        Some((told, self.expensive.into_iter().map(|(field, _)| field).collect()))
    }
}

/// What is said of a cost that is over its limit.
#[expect(clippy::cast_precision_loss, reason = "as in the real server")]
pub(crate) fn exceeded(what: &str, cost: u64, limit: u64) -> Option<String> {
    if cost <= limit {
        return None;
    }
    let factor = cost as f64 / limit as f64;
    let shown = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    Some(format!(
        "{what} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength \
         where arrays, maps, and strings are declared)"
    ))
}
