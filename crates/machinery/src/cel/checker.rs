//! The type check of expressions: which overload of a function is meant, and what an expression gives (cel-go 0.26,
//! `checker/checker.go`).

use std::collections::HashMap;

use kube_cel::cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, MapExpr, StructExpr, operators},
};

use super::{
    declarations::Names,
    literals::Types,
    signatures::Signature,
    source::Problem,
    types::{Mapping, Type},
};

/// A function that is called, in the ways that fit.
#[derive(Debug)]
pub(super) struct Called {
    /// With the names before it that are a part of its name.
    pub(super) name: String,
    pub(super) is_member: bool,
    /// What each way is declared to take.
    pub(super) ways: Vec<Vec<Type>>,
}

/// The functions that the calls of an expression mean.
pub(super) type Overloads = HashMap<u64, Called>;

/// A check under way.
pub(super) struct Checker<'d> {
    declarations: &'d dyn Names,
    /// Variables of macros, the innermost last.
    scopes: Vec<(String, Type)>,
    mapping: Mapping,
    free_variables: usize,
    types: Types,
    overloads: Overloads,
    problems: Vec<Problem>,
}

impl<'d> Checker<'d> {
    pub(super) fn new(declarations: &'d dyn Names) -> Self {
        Self {
            declarations,
            scopes: Vec::new(),
            mapping: Mapping::default(),
            free_variables: 0,
            types: Types::new(),
            overloads: Overloads::new(),
            problems: Vec::new(),
        }
    }

    /// The type with all that was learned of its variables.
    pub(super) fn settled(&self, of: &Type) -> Type {
        self.mapping.substitute(of, true)
    }

    /// The types of all parts, what is called, and what is wrong.
    pub(super) fn finish(self) -> (Types, Overloads, Vec<Problem>) {
        let types = self.types.iter().map(|(id, of)| (*id, self.mapping.substitute(of, true))).collect();
        (types, self.overloads, self.problems)
    }

    fn problem(&mut self, id: u64, message: String) -> Type {
        self.problems.push(Problem { id, message });
        Type::Error
    }

    fn undeclared(&mut self, id: u64, name: &str) -> Type {
        self.problem(id, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn mismatch(&mut self, id: u64, expected: &Type, found: &Type) -> Type {
        let message = format!("expected type '{}' but found '{}'", expected.in_errors(), found.in_errors());
        self.problem(id, message)
    }

    fn free_variable(&mut self) -> Type {
        self.free_variables += 1;
        Type::Parameter(format!("_var{}", self.free_variables - 1).into())
    }

    /// The type of an expression.
    pub(super) fn check(&mut self, expression: &IdedExpr) -> Type {
        let of = self.check_part(expression);
        self.types.insert(expression.id, of.clone());
        of
    }

    fn check_part(&mut self, expression: &IdedExpr) -> Type {
        match &expression.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Bytes(_) => Type::Bytes,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::Int(_) => Type::Int,
                LiteralValue::Null => Type::Null,
                LiteralValue::String(_) => Type::String,
                LiteralValue::UInt(_) => Type::Uint,
            },
            Expr::Ident(name) => self.name(name).unwrap_or_else(|| self.undeclared(expression.id, name)),
            Expr::Select(select) => {
                let qualified = (!select.test).then(|| qualified_name(expression)).flatten();
                if let Some(of) = qualified.and_then(|name| self.name(&name)) {
                    return of;
                }
                let of = self.field(expression.id, &select.operand, &select.field, false);
                if select.test { Type::Bool } else { self.mapping.substitute(&of, false) }
            }
            Expr::Call(call) => self.call(expression.id, call),
            Expr::List(list) => {
                let mut joined = None;
                for (index, element) in list.elements.iter().enumerate() {
                    let of = self.check(element);
                    let of = self.content(of, list.optional_indices.contains(&index), element.id);
                    joined = Some(self.join(joined, of));
                }
                Type::list(joined.unwrap_or_else(|| self.free_variable()))
            }
            Expr::Map(map) => self.map(map),
            Expr::Struct(object) => self.object(expression.id, object),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Unspecified => Type::Error,
        }
    }

    /// The type of a name: the variable of a macro around, a variable, or a type.
    fn name(&self, name: &str) -> Option<Type> {
        let name = name.strip_prefix('.').unwrap_or(name);
        let scoped = self.scopes.iter().rev().find(|(known, _)| known == name).map(|(_, of)| of.clone());
        scoped.or_else(|| self.declarations.name(name))
    }

    fn field(&mut self, id: u64, operand: &IdedExpr, field: &str, is_optional: bool) -> Type {
        let of = self.check(operand);
        let of = self.mapping.substitute(&of, false);
        let content = of.optional_content();
        let is_optional = is_optional || content.is_some();
        let result = match content.unwrap_or(&of) {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(name) => self
                .declarations
                .field(name, field)
                .unwrap_or_else(|| self.problem(id, self.unknown_field(name, field))),
            variable @ Type::Parameter(_) => {
                self.mapping.assign(&Type::Dyn, variable);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    let message = format!("type '{}' does not support field selection", other.in_errors());
                    self.problem(id, message);
                }
                Type::Dyn
            }
        };
        if is_optional { Type::optional(result) } else { result }
    }

    /// What is said of a field that a type does not have. Those of the libraries have none.
    fn unknown_field(&self, object: &str, field: &str) -> String {
        if self.declarations.has_fields(object) {
            format!("undefined field '{field}'")
        } else {
            format!("unexpected failed resolution of '{object}'")
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Type {
        let name = call.func_name.as_str();
        if name == operators::OPT_SELECT
            && let [operand, field] = call.args.as_slice()
            && let Expr::Literal(LiteralValue::String(field)) = &field.expr
        {
            let of = self.field(id, operand, field.inner(), true);
            self.note(id, name, false, Vec::new());
            return self.mapping.substitute(&of, false);
        }
        if let Some(target) = &call.target
            && let Some(of) = self.macro_call(id, target, name, &call.args)
        {
            return of;
        }
        let mut types: Vec<Type> = Vec::new();
        let of_target = call.target.as_deref().and_then(|target| {
            let qualified = qualified_name(target)?;
            self.declarations.function(&format!("{qualified}.{name}")).map(|ways| (format!("{qualified}.{name}"), ways))
        });
        for argument in &call.args {
            types.push(self.check(argument));
        }
        let (name, ways, is_member) = match (of_target, &call.target) {
            (Some((name, ways)), _) => (name, Some(ways), false),
            (None, Some(target)) => {
                let target = self.check(target);
                types.insert(0, target);
                (name.to_owned(), self.declarations.function(name), true)
            }
            (None, None) => {
                let name = name.strip_prefix('.').unwrap_or(name);
                (name.to_owned(), self.declarations.function(name), false)
            }
        };
        let Some(ways) = ways else { return self.undeclared(id, &name) };
        if matches!(name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR) {
            self.note(id, &name, false, vec![Type::Bool, Type::Bool]);
            return self.logical(&call.args, &types);
        }
        self.overload(id, &name, ways, &types, is_member)
    }

    /// Takes notice of one way that fits.
    fn note(&mut self, id: u64, name: &str, is_member: bool, way: Vec<Type>) {
        let called = || Called { name: name.to_owned(), is_member, ways: Vec::new() };
        self.overloads.entry(id).or_insert_with(called).ways.push(way);
    }

    fn logical(&mut self, arguments: &[IdedExpr], types: &[Type]) -> Type {
        let mut result = Type::Bool;
        for (argument, of) in arguments.iter().zip(types) {
            if !self.mapping.assign(of, &Type::Bool) {
                result = self.mismatch(argument.id, &Type::Bool, of);
            }
        }
        result
    }

    /// The result of the overloads that fit: theirs if they agree.
    fn overload(&mut self, id: u64, name: &str, ways: &[Signature], types: &[Type], is_member: bool) -> Type {
        let mut result: Option<Type> = None;
        for way in ways.iter().filter(|way| way.is_member == is_member) {
            let mut fresh = Mapping::default();
            self.freshen(&mut fresh, way);
            let arguments: Vec<Type> = way.arguments.iter().map(|of| fresh.substitute(of, false)).collect();
            if !self.mapping.assign_all(types, &arguments) {
                continue;
            }
            self.note(id, name, is_member, way.arguments.clone());
            let of = self.mapping.substitute(&fresh.substitute(&way.result, false), false);
            match &result {
                None => result = Some(of),
                Some(known) if !known.is_dyn() && *known != of => result = Some(Type::Dyn),
                Some(_) => {}
            }
        }
        result.unwrap_or_else(|| {
            let mut shown: Vec<String> = types.iter().map(|of| self.mapping.substitute(of, true).in_errors()).collect();
            let target = if is_member { format!("{}.", shown.remove(0)) } else { String::new() };
            let message =
                format!("found no matching overload for '{name}' applied to '{target}({})'", shown.join(", "));
            self.problem(id, message)
        })
    }

    /// Gives the variables of a signature names of their own.
    fn freshen(&mut self, fresh: &mut Mapping, way: &Signature) {
        for name in ["A", "B", "K", "T", "V"] {
            if way.arguments.iter().chain([&way.result]).any(|of| of.mentions(name)) {
                let variable = self.free_variable();
                fresh.bind(name.into(), variable);
            }
        }
    }

    fn map(&mut self, map: &MapExpr) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
            let key = self.check(&entry.key);
            keys = Some(self.join(keys, key));
            let value = self.check(&entry.value);
            let value = self.content(value, entry.optional, entry.value.id);
            values = Some(self.join(values, value));
        }
        let keys = keys.unwrap_or_else(|| self.free_variable());
        Type::map(keys, values.unwrap_or_else(|| self.free_variable()))
    }

    fn object(&mut self, id: u64, object: &StructExpr) -> Type {
        let name = object.type_name.strip_prefix('.').unwrap_or(&object.type_name);
        let of = match self.declarations.name(name) {
            None => return self.undeclared(id, name),
            Some(Type::Named(of)) if matches!(*of, Type::Object(_)) => *of,
            Some(Type::Named(_)) => return self.problem(id, format!("'{name}' is not a message type")),
            Some(other) => return self.problem(id, format!("'{}' is not a type", other.in_errors())),
        };
        for entry in &object.entries {
            let EntryExpr::StructField(field) = &entry.expr else { continue };
            let value = self.check(&field.value);
            let declared = self.declarations.field(name, &field.field);
            let wanted =
                declared.unwrap_or_else(|| self.problem(entry.id, format!("undefined field '{}'", field.field)));
            let value = self.content(value, field.optional, field.value.id);
            if !self.mapping.assign(&wanted, &value) {
                let (field, wanted, value) = (&field.field, wanted.in_errors(), value.in_errors());
                self.problem(
                    entry.id,
                    format!("expected type of field '{field}' is '{wanted}' but provided type is '{value}'"),
                );
            }
        }
        of
    }

    /// What an optional element of a list, a map or an object holds.
    fn content(&mut self, of: Type, is_optional: bool, id: u64) -> Type {
        match of.optional_content() {
            _ if !is_optional => of,
            Some(content) => content.clone(),
            None => {
                if !of.is_dyn() {
                    self.mismatch(id, &Type::optional(of.clone()), &of);
                }
                of
            }
        }
    }

    /// What elements of a list have in common; lists of several types are told of when all types are known.
    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        match previous {
            None => current,
            Some(previous) => self.mapping.join(&previous, &current).unwrap_or(Type::Dyn),
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Type {
        let range = self.check(&comprehension.iter_range);
        let accumulated = self.check(&comprehension.accu_init);
        let (one, two) = self.range(comprehension.iter_range.id, &range, comprehension.iter_var2.is_some());
        let depth = self.scopes.len();
        self.scopes.push((comprehension.accu_var.clone(), accumulated.clone()));
        self.scopes.push((comprehension.iter_var.clone(), one));
        if let Some(second) = &comprehension.iter_var2 {
            self.scopes.push((second.clone(), two));
        }
        for (part, wanted) in [(&comprehension.loop_cond, &Type::Bool), (&comprehension.loop_step, &accumulated)] {
            let found = self.check(part);
            if !self.mapping.assign(wanted, &found) {
                self.mismatch(part.id, wanted, &found);
            }
        }
        self.scopes.truncate(depth + 1);
        let result = self.check(&comprehension.result);
        self.scopes.truncate(depth);
        self.mapping.substitute(&result, false)
    }

    /// The types of the variables that a macro on a range has: of one, or of the first and the second of two.
    fn range(&mut self, id: u64, range: &Type, two: bool) -> (Type, Type) {
        match self.mapping.substitute(range, false) {
            Type::List(item) if two => (Type::Int, *item),
            Type::List(item) => (*item, Type::Dyn),
            Type::Map(key, value) => (*key, *value),
            Type::Dyn => (Type::Dyn, Type::Dyn),
            of @ (Type::Error | Type::Parameter(_)) => {
                self.mapping.assign(&Type::Dyn, &of);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)",
                    other.in_errors()
                );
                self.problem(id, message);
                (Type::Error, Type::Error)
            }
        }
    }

    /// The macros that the parser does not know as such; nothing for another call.
    fn macro_call(&mut self, id: u64, target: &IdedExpr, name: &str, arguments: &[IdedExpr]) -> Option<Type> {
        let variable = |at: usize| match &arguments.get(at)?.expr {
            Expr::Ident(name) => Some(name.clone()),
            _ => None,
        };
        let one = match (name, arguments.len()) {
            ("optMap" | "optFlatMap" | "sortBy", 2) => true,
            ("all" | "exists" | "exists_one" | "existsOne", 3)
            | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => false,
            _ => return None,
        };
        let first = variable(0)?;
        let range = self.check(target);
        let depth = self.scopes.len();
        let range_key;
        if one {
            let settled = self.mapping.substitute(&range, false);
            let item =
                if name == "sortBy" { self.range(target.id, &settled, false).0 } else { self.unwrapped(id, &settled) };
            range_key = item.clone();
            self.scopes.push((first, item));
        } else {
            let (key, value) = self.range(target.id, &range, true);
            range_key = key.clone();
            self.scopes.push((first, key));
            self.scopes.push((variable(1)?, value));
        }
        let last = arguments.last()?;
        if arguments.len() == 4 {
            self.predicate(&arguments[2]);
        }
        let of = self.check(last);
        self.scopes.truncate(depth);
        Some(match name {
            "optMap" => Type::optional(of),
            "optFlatMap" | "transformMapEntry" => of,
            "sortBy" => range,
            "transformList" => Type::list(of),
            "transformMap" => Type::map(range_key, of),
            _ => {
                if !self.mapping.assign(&of, &Type::Bool) {
                    self.mismatch(last.id, &Type::Bool, &of);
                }
                Type::Bool
            }
        })
    }

    fn predicate(&mut self, expression: &IdedExpr) {
        let of = self.check(expression);
        if !self.mapping.assign(&of, &Type::Bool) {
            self.mismatch(expression.id, &Type::Bool, &of);
        }
    }

    /// What the optional value under a macro holds.
    fn unwrapped(&mut self, id: u64, of: &Type) -> Type {
        match of.optional_content() {
            Some(content) => content.clone(),
            None if of.is_dyn_or_error() => Type::Dyn,
            None => {
                for function in ["hasValue", "value"] {
                    let of = of.in_errors();
                    self.problem(id, format!("found no matching overload for '{function}' applied to '{of}.()'"));
                }
                Type::Error
            }
        }
    }
}

/// `a.b.c` as one name.
fn qualified_name(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", qualified_name(&select.operand)?, select.field)),
        _ => None,
    }
}
