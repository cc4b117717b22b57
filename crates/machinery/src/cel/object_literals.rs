//! `Object{spec: Object.spec{replicas: 1}}` and `JSONPatch{op: "add", path: "/x"}`: what mutating policies build
//! (`k8s.io/apiserver/pkg/cel/mutation`).
//!
//! The interpreter knows no objects, so they become maps with one member more, which names the type.

use base64::Engine as _;
use kube_cel::cel::{
    IdedExpr, Value as CelValue,
    common::ast::{EntryExpr, Expr, IdedEntryExpr, LiteralValue, MapEntryExpr, MapExpr},
    objects::Key,
};
use serde_json::{Map, Value};

use super::{Outcome, expression_tree::for_each_child_mut};
use crate::schema::rule_library::text_of;

/// The member that names the type. No field of JSON that a client could mean is called so.
const TYPE: &str = "\u{0}type";

/// Writes the objects of an expression as maps.
pub(crate) fn lower(expression: &mut IdedExpr) {
    let id = expression.id;
    match &mut expression.expr {
        Expr::Struct(object) => {
            let literal = |text: &str| IdedExpr { id, expr: Expr::Literal(LiteralValue::String(text.into())) };
            let member = |key: IdedExpr, value: IdedExpr, optional: bool| IdedEntryExpr {
                id,
                expr: EntryExpr::MapEntry(MapEntryExpr { key, value, optional }),
            };
            let mut entries = vec![member(literal(TYPE), literal(&object.type_name), false)];
            for entry in std::mem::take(&mut object.entries) {
                if let EntryExpr::StructField(mut field) = entry.expr {
                    lower(&mut field.value);
                    entries.push(member(literal(&field.field), field.value, field.optional));
                }
            }
            expression.expr = Expr::Map(MapExpr { entries });
        }
        _ => for_each_child_mut(expression, &mut lower),
    }
}

/// The type an object was written with.
fn type_of(value: &CelValue) -> Option<&str> {
    let CelValue::Map(map) = value else { return None };
    match map.map.get(&Key::from(TYPE))? {
        CelValue::String(name) => Some(name),
        _ => None,
    }
}

impl Outcome {
    /// The items of a list.
    pub fn items(&self) -> Option<Vec<Self>> {
        match &self.0 {
            CelValue::List(items) => Some(items.iter().cloned().map(Self).collect()),
            _ => None,
        }
    }

    /// A member of a map or of an object.
    pub fn member(&self, name: &str) -> Option<Self> {
        match &self.0 {
            CelValue::Map(map) => map.map.get(&Key::from(name)).cloned().map(Self),
            _ => None,
        }
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// Where it has no form in JSON.
    pub fn as_json(&self) -> Result<Value, String> {
        as_json(&self.0)
    }

    /// Objects whose types are not those of the fields they are in, if this is an object itself.
    pub fn misplaced_types(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(name) = type_of(&self.0) {
            find_misplaced(&self.0, name, &mut found);
        }
        found
    }
}

fn find_misplaced(value: &CelValue, path: &str, found: &mut Vec<String>) {
    match value {
        CelValue::List(items) => items.iter().for_each(|item| find_misplaced(item, path, found)),
        CelValue::Map(map) => {
            let name = type_of(value);
            if let Some(name) = name.filter(|name| *name != path) {
                found.push(format!(
                    "unexpected type name \"{name}\", expected \"{path}\", which matches field name path from root Object \
                     type"
                ));
            }
            let mut members: Vec<(String, &CelValue)> =
                map.map.iter().map(|(key, member)| (key.to_string(), member)).filter(|(key, _)| key != TYPE).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            for (key, member) in members {
                let below = format!("{path}.{key}");
                find_misplaced(member, if name.is_some() { &below } else { path }, found);
            }
        }
        _ => {}
    }
}

fn as_json(value: &CelValue) -> Result<Value, String> {
    Ok(match value {
        CelValue::Null => Value::Null,
        CelValue::Bool(value) => (*value).into(),
        CelValue::Int(value) => (*value).into(),
        CelValue::UInt(value) => (*value).into(),
        // Whole numbers are written without a point, as Go does.
        CelValue::Float(value) => match format!("{value}").parse::<i64>() {
            Ok(whole) => whole.into(),
            Err(_) => (*value).into(),
        },
        CelValue::String(text) => text.as_str().into(),
        CelValue::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes.as_slice()).into(),
        CelValue::Timestamp(_) | CelValue::Duration(_) => text_of(value.clone())?.into(),
        CelValue::List(items) => Value::Array(items.iter().map(as_json).collect::<Result<_, _>>()?),
        CelValue::Map(map) => {
            let mut members = Map::new();
            for (key, member) in map.map.iter() {
                let Key::String(name) = key else {
                    return Err(format!("map key \"{key}\" is not a string"));
                };
                if name.as_str() != TYPE {
                    members.insert(name.to_string(), as_json(member)?);
                }
            }
            Value::Object(members)
        }
        CelValue::Opaque(opaque) => return Err(format!("{} has no form in JSON", opaque.runtime_type_name())),
        CelValue::Function(..) => return Err("a function has no form in JSON".to_owned()),
    })
}
