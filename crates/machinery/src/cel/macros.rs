//! Macros that the parser does not know: those of optional values, of comprehensions with two variables, and `sortBy`
//! (cel-go, `cel/library.go`, `ext/comprehensions.go`, `ext/lists.go`).
//!
//! They become loops with one variable, and functions whose names no expression can write.

use std::{collections::HashMap, sync::Arc};

use kube_cel::cel::{
    Context, ExecutionError, IdedExpr, Value as CelValue,
    common::ast::{CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, MapExpr, operators},
    objects::{Key, Map},
};

use super::expression_tree::for_each_child_mut;

/// The value a macro is called on, evaluated once.
const TARGET: &str = "@target";
const RESULT: &str = "@result";
const KEYS: &str = "@keys";
const INSERT: &str = "@mapInsert";
const MERGE: &str = "@mapMerge";
const SORT: &str = "@sortByAssociatedKeys";

/// Writes the macros of an expression as what the interpreter knows.
pub(crate) fn expand(expression: &mut IdedExpr) {
    for_each_child_mut(expression, &mut expand);
    let Expr::Call(call) = &mut expression.expr else { return };
    if let Some(expanded) = expanded(call) {
        expression.expr = expanded.expr;
    }
}

/// What a call stands for; nothing if it is no macro.
fn expanded(call: &mut CallExpr) -> Option<IdedExpr> {
    let MacroCall { kind, target, first, second, filter, body } = MacroCall::take(call)?;
    let inner = match second {
        Some(second) => two_variables(&kind, &first, &second, filter, body),
        None if kind == "sortBy" => function(SORT, vec![ident(TARGET), sort_keys(&first, body)]),
        None => of_optional(&kind, &ident(TARGET), &first, body),
    };
    Some(bind(TARGET, target, inner))
}

/// A call of a macro, taken apart.
struct MacroCall {
    kind: String,
    target: IdedExpr,
    first: String,
    second: Option<String>,
    filter: Option<IdedExpr>,
    body: IdedExpr,
}

impl MacroCall {
    /// Takes a call apart; leaves it, if it is no macro.
    fn take(call: &mut CallExpr) -> Option<Self> {
        let has_second = match (call.func_name.as_str(), call.args.len()) {
            ("optMap" | "optFlatMap" | "sortBy", 2) => false,
            ("all" | "exists" | "exists_one" | "existsOne", 3)
            | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => true,
            _ => return None,
        };
        let first = name_of(call.args.first()?)?;
        let second = if has_second { Some(name_of(call.args.get(1)?)?) } else { None };
        let target = std::mem::take(call.target.as_mut()?.as_mut());
        let body = call.args.pop()?;
        let filter = if call.args.len() == 3 { call.args.pop() } else { None };
        Some(Self { kind: std::mem::take(&mut call.func_name), target, first, second, filter, body })
    }
}

/// `optMap` and `optFlatMap`.
fn of_optional(kind: &str, target: &IdedExpr, variable: &str, body: IdedExpr) -> IdedExpr {
    let optional = |function: &str, arguments| method(ident("optional"), function, arguments);
    let bound = bind(variable, method(target.clone(), "value", Vec::new()), body);
    let present = if kind == "optMap" { optional("of", vec![bound]) } else { bound };
    choice(method(target.clone(), "hasValue", Vec::new()), present, optional("none", Vec::new()))
}

/// What the items of the target are sorted by.
fn sort_keys(variable: &str, body: IdedExpr) -> IdedExpr {
    let step = function(operators::ADD, vec![ident(RESULT), list(vec![body])]);
    looped(ident(TARGET), variable, list(Vec::new()), truth(true), step, ident(RESULT))
}

/// A loop over the keys, or the indices, of the target, with what stands there as second variable.
fn two_variables(kind: &str, first: &str, second: &str, filter: Option<IdedExpr>, body: IdedExpr) -> IdedExpr {
    let Loop { start, condition, step, result } = loop_of(kind, first, filter, body, EVALUATED);
    let item = function(operators::INDEX, vec![ident(TARGET), ident(first)]);
    let keys = function(KEYS, vec![ident(TARGET)]);
    looped(keys, first, start, condition, bind(second, item, step), result)
}

/// A loop without what it goes over.
struct Loop {
    start: IdedExpr,
    condition: IdedExpr,
    step: IdedExpr,
    result: IdedExpr,
}

/// How entries are added to a map: one, and those of another map.
type Insertions = [&'static str; 2];
const EVALUATED: Insertions = [INSERT, MERGE];
const WRITTEN: Insertions = ["cel.@mapInsert", "cel.@mapInsert"];

fn loop_of(kind: &str, first: &str, filter: Option<IdedExpr>, body: IdedExpr, [insert, merge]: Insertions) -> Loop {
    let not_false = |of: IdedExpr| function(operators::NOT_STRICTLY_FALSE, vec![of]);
    let number = |number: i64| literal(LiteralValue::Int(number.into()));
    let (start, condition, step, result) = match kind {
        "all" => {
            let step = function(operators::LOGICAL_AND, vec![ident(RESULT), body]);
            (truth(true), not_false(ident(RESULT)), step, ident(RESULT))
        }
        "exists" => {
            let step = function(operators::LOGICAL_OR, vec![ident(RESULT), body]);
            let not_yet = function(operators::LOGICAL_NOT, vec![ident(RESULT)]);
            (truth(false), not_false(not_yet), step, ident(RESULT))
        }
        "exists_one" | "existsOne" => {
            let more = function(operators::ADD, vec![ident(RESULT), number(1)]);
            let is_one = function(operators::EQUALS, vec![ident(RESULT), number(1)]);
            (number(0), truth(true), choice(body, more, ident(RESULT)), is_one)
        }
        "transformList" => {
            let step = function(operators::ADD, vec![ident(RESULT), list(vec![body])]);
            (list(Vec::new()), truth(true), step, ident(RESULT))
        }
        _ => {
            let step = if kind == "transformMap" {
                function(insert, vec![ident(RESULT), ident(first), body])
            } else {
                function(merge, vec![ident(RESULT), body])
            };
            let empty = IdedExpr { id: 0, expr: Expr::Map(MapExpr { entries: Vec::new() }) };
            (empty, truth(true), step, ident(RESULT))
        }
    };
    let step = match filter {
        Some(filter) => choice(filter, step, ident(RESULT)),
        None => step,
    };
    Loop { start, condition, step, result }
}

/// So many parts an expression has at most whose macros were written out: some write what they are called on twice.
const MOST_PARTS: usize = 100_000;

/// Writes the macros of an expression as cel-go does, for what that costs; it can not be evaluated. All parts get numbers of
/// their own. Answers nothing if it would become too large.
pub(super) fn expand_as_written(expression: &mut IdedExpr) -> Option<()> {
    expand_for_cost(expression)?;
    number(expression, &mut 0);
    Some(())
}

fn number(expression: &mut IdedExpr, last: &mut u64) {
    *last += 1;
    expression.id = *last;
    for_each_child_mut(expression, &mut |child| number(child, last));
}

/// Tells how many parts it has then, about.
fn expand_for_cost(expression: &mut IdedExpr) -> Option<usize> {
    const OF_MACRO: usize = 16;
    let (mut parts, mut of_first) = (Some(1), None);
    for_each_child_mut(expression, &mut |child| {
        let of_child = expand_for_cost(child);
        of_first = of_first.or(of_child);
        parts = parts.zip(of_child).map(|(parts, of_child)| parts + of_child);
    });
    let Expr::Call(call) = &mut expression.expr else { return parts };
    // What it is called on is the first part.
    if matches!(call.func_name.as_str(), "optMap" | "optFlatMap") {
        parts = parts.zip(of_first).map(|(parts, of_target)| parts + of_target);
    }
    let parts = parts.map(|parts| parts + OF_MACRO).filter(|parts| *parts <= MOST_PARTS)?;
    match written(call) {
        Some(written) => expression.expr = written.expr,
        None => return Some(parts - OF_MACRO),
    }
    Some(parts)
}

/// What cel-go makes of a call; nothing if it is no macro.
fn written(call: &mut CallExpr) -> Option<IdedExpr> {
    let MacroCall { kind, target, first, second, filter, body } = MacroCall::take(call)?;
    Some(match second {
        Some(_) => {
            let Loop { start, condition, step, result } = loop_of(&kind, &first, filter, body, WRITTEN);
            let mut written = looped(target, &first, start, condition, step, result);
            if let Expr::Comprehension(comprehension) = &mut written.expr {
                comprehension.iter_var2 = second;
            }
            written
        }
        None if kind == "sortBy" => bind(TARGET, target, method(ident(TARGET), SORT, vec![sort_keys(&first, body)])),
        None => of_optional(&kind, &target, &first, body),
    })
}

fn name_of(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        _ => None,
    }
}

fn ident(name: &str) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) }
}

fn literal(value: LiteralValue) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Literal(value) }
}

fn truth(value: bool) -> IdedExpr {
    literal(LiteralValue::Boolean(value.into()))
}

fn list(elements: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::List(ListExpr::new(elements)) }
}

fn function(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

fn method(target: IdedExpr, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let call = CallExpr { func_name: name.to_owned(), target: Some(Box::new(target)), args };
    IdedExpr { id: 0, expr: Expr::Call(call) }
}

fn choice(condition: IdedExpr, yes: IdedExpr, no: IdedExpr) -> IdedExpr {
    function(operators::CONDITIONAL, vec![condition, yes, no])
}

/// `body` with a variable: a loop that never runs.
fn bind(variable: &str, value: IdedExpr, body: IdedExpr) -> IdedExpr {
    let mut bound = looped(list(Vec::new()), "#unused", value, truth(false), ident(variable), body);
    if let Expr::Comprehension(comprehension) = &mut bound.expr {
        variable.clone_into(&mut comprehension.accu_var);
    }
    bound
}

fn looped(
    iter_range: IdedExpr,
    variable: &str,
    accu_init: IdedExpr,
    loop_cond: IdedExpr,
    loop_step: IdedExpr,
    result: IdedExpr,
) -> IdedExpr {
    let comprehension = ComprehensionExpr {
        iter_range,
        iter_var: variable.to_owned(),
        iter_var2: None,
        accu_var: RESULT.to_owned(),
        accu_init,
        loop_cond,
        loop_step,
        result,
    };
    IdedExpr { id: 0, expr: Expr::Comprehension(Box::new(comprehension)) }
}

type Outcome = Result<CelValue, ExecutionError>;

/// Adds the functions that expanded macros call.
pub(crate) fn add_functions(context: &mut Context<'static>) {
    context.add_function(KEYS, |target: CelValue| -> Outcome {
        let keys: Vec<CelValue> = match &target {
            CelValue::List(items) => {
                (0..items.len()).map(|index| CelValue::Int(i64::try_from(index).unwrap_or(i64::MAX))).collect()
            }
            CelValue::Map(map) => map.map.keys().map(value_of).collect(),
            _ => return Err(ExecutionError::NoSuchOverload),
        };
        Ok(CelValue::List(Arc::new(keys)))
    });
    context.add_function(INSERT, |into: CelValue, key: CelValue, value: CelValue| -> Outcome {
        insert(into, vec![(key.try_into().map_err(ExecutionError::UnsupportedKeyType)?, value)])
    });
    context.add_function(MERGE, |into: CelValue, other: CelValue| -> Outcome {
        let CelValue::Map(other) = other else { return Err(ExecutionError::NoSuchOverload) };
        insert(into, other.map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    });
    context.add_function(SORT, |items: CelValue, keys: CelValue| -> Outcome {
        let (CelValue::List(items), CelValue::List(keys)) = (items, keys) else {
            return Err(ExecutionError::NoSuchOverload);
        };
        let mut sorted: Vec<(&CelValue, &CelValue)> = keys.iter().zip(items.iter()).collect();
        // Before they are sorted: an order that is none makes the sort panic.
        if !sorted.iter().all(|(key, _)| key.partial_cmp(&sorted[0].0).is_some()) {
            return Err(ExecutionError::NoSuchOverload);
        }
        sorted.sort_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
        Ok(CelValue::List(Arc::new(sorted.into_iter().map(|(_, item)| item.clone()).collect())))
    });
}

fn insert(into: CelValue, entries: Vec<(Key, CelValue)>) -> Outcome {
    let CelValue::Map(into) = into else { return Err(ExecutionError::NoSuchOverload) };
    let mut members: HashMap<Key, CelValue> = (*into.map).clone();
    for (key, value) in entries {
        let shown = key.to_string();
        if members.insert(key, value).is_some() {
            return Err(ExecutionError::function_error(INSERT, format!("insert failed: key {shown} already exists")));
        }
    }
    Ok(CelValue::Map(Map { map: Arc::new(members) }))
}

fn value_of(key: &Key) -> CelValue {
    match key {
        Key::Int(value) => CelValue::Int(*value),
        Key::Uint(value) => CelValue::UInt(*value),
        Key::Bool(value) => CelValue::Bool(*value),
        Key::String(text) => CelValue::String(text.clone()),
    }
}
