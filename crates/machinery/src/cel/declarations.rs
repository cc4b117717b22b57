//! What expressions may refer to, and the check of an expression against it before it ever runs.

use std::collections::HashMap;

use super::{
    checker::Checker,
    literals,
    signatures::{Signature, signatures},
    source::{depth, parse, shown, with_stack},
    types::Type,
};

/// A type with these fields.
type Fields = Vec<(String, Type)>;

/// The variables and the types of objects that expressions know, beside the libraries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declarations {
    variables: HashMap<String, Type>,
    objects: HashMap<String, Fields>,
    /// Whether `Object`, `Object.spec` and so on, and `JSONPatch` are types.
    patches: bool,
}

/// Types that are known by a name beside objects.
const NAMED_TYPES: [(&str, Type); 14] = [
    ("bool", Type::Bool),
    ("bytes", Type::Bytes),
    ("double", Type::Double),
    ("dyn", Type::Dyn),
    ("google.protobuf.Duration", Type::Duration),
    ("google.protobuf.Timestamp", Type::Timestamp),
    ("int", Type::Int),
    ("list", Type::Dyn),
    ("map", Type::Dyn),
    ("null_type", Type::Null),
    ("optional_type", Type::Dyn),
    ("string", Type::String),
    ("type", Type::Dyn),
    ("uint", Type::Uint),
];
/// The type of an operation of a JSON patch.
const JSON_PATCH: &str = "JSONPatch";
/// The type of what an apply configuration gives.
const OBJECT: &str = "Object";

/// What an expression may refer to.
pub(crate) trait Names {
    /// The type of a variable, or of a name that is a type.
    fn name(&self, name: &str) -> Option<Type>;

    /// Whether objects of a type have fields, be there any.
    fn has_fields(&self, object: &str) -> bool;

    /// The type of a field of objects of a type.
    fn field(&self, object: &str, field: &str) -> Option<Type>;

    /// The ways to call a function.
    fn function(&self, name: &str) -> Option<&'static [Signature]>;
}

/// The type that a name stands for which is a type everywhere.
pub(crate) fn type_name(name: &str) -> Option<Type> {
    let named = NAMED_TYPES.iter().find(|(known, _)| *known == name)?;
    Some(Type::Named(Box::new(named.1.clone())))
}

/// The ways to call a function that every expression knows.
pub(crate) fn function(name: &str) -> Option<&'static [Signature]> {
    signatures(name).filter(|_| !name.starts_with("jsonpatch."))
}

/// The type of what an expression gives.
///
/// # Errors
/// What is wrong with it, in the words of cel-go: each with its place and the line around it.
pub(crate) fn check(source: &str, names: &dyn Names) -> Result<Type, String> {
    with_stack(depth(source), || {
        let tree = parse(source)?;
        let mut checker = Checker::new(names);
        let result = checker.check(&tree);
        let result = checker.settled(&result);
        let (types, _, mut problems) = checker.finish();
        if problems.is_empty() {
            literals::find_problems(&tree, &types, &mut problems);
        }
        if problems.is_empty() { Ok(result) } else { Err(shown(source, &problems)) }
    })
}

impl Declarations {
    pub(crate) fn declare(&mut self, variable: &str, of: Type) {
        self.variables.insert(variable.to_owned(), of);
    }

    pub(crate) fn withdraw(&mut self, variable: &str) {
        self.variables.remove(variable);
    }

    /// Adds a type of objects, or fields to it.
    pub(crate) fn declare_object(&mut self, name: &str, fields: impl IntoIterator<Item = (String, Type)>) {
        let known = self.objects.entry(name.to_owned()).or_default();
        for (field, of) in fields {
            known.retain(|(other, _)| *other != field);
            known.push((field, of));
        }
    }

    pub(crate) fn allow_patches(&mut self) {
        self.patches = true;
    }

    /// The type of objects with this name.
    fn object(&self, name: &str) -> Option<Type> {
        let of_patches = name == OBJECT || name == JSON_PATCH || name.starts_with("Object.");
        (self.objects.contains_key(name) || (self.patches && of_patches)).then(|| Type::object(name))
    }
}

impl Names for Declarations {
    fn name(&self, name: &str) -> Option<Type> {
        let object = || self.object(name).map(|of| Type::Named(Box::new(of)));
        self.variables.get(name).cloned().or_else(|| type_name(name)).or_else(object)
    }

    fn has_fields(&self, object: &str) -> bool {
        self.object(object).is_some()
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        if let Some(fields) = self.objects.get(object) {
            return fields.iter().find(|(known, _)| known == field).map(|(_, of)| of.clone());
        }
        match (self.object(object)?, field) {
            _ if object != JSON_PATCH => Some(Type::Dyn),
            (_, "op" | "path" | "from") => Some(Type::String),
            (_, "value") => Some(Type::Dyn),
            // The real server gives other fields no type, so that no value has it.
            _ => Some(Type::object("")),
        }
    }

    fn function(&self, name: &str) -> Option<&'static [Signature]> {
        signatures(name).filter(|_| self.patches || !name.starts_with("jsonpatch."))
    }
}
