//! What an evaluation may cost: the interpreter has no limit of its own, and a short expression can loop for days or double
//! a text until there is no memory left.
//!
//! A compiled expression is laced with calls that spend of what the evaluation may (as cel-go tracks what one does): each
//! round of a loop by the size of its step, each list, map and text that is put together by its size, before it is made
//! where it can be much larger than what it is made of. After the last of it all of them fail, so that loops end.

use std::cell::Cell;

use kube_cel::cel::{
    Context, ExecutionError, IdedExpr, Value as CelValue,
    common::ast::{CallExpr, Expr, LiteralValue, operators},
    extractors::{Arguments, This},
};

use super::{
    expression_tree::{for_each_child, for_each_child_mut},
    library::arithmetic,
};
use crate::schema::rule_library::call_base;

/// What one evaluation may cost (`PerCallLimit` of the real server).
pub(crate) const LIMIT: u64 = 1_000_000;
/// What cel-go says of an evaluation that costs more.
pub(crate) const EXCEEDED: &str = "operation cancelled: actual cost limit exceeded";
/// What the evaluations of one policy, or of the rules of one object, may cost together (`RuntimeCELCostBudget`).
pub(crate) const BUDGET: u64 = 10_000_000;
/// What the conditions of a webhook or policy may cost together (`RuntimeCELCostBudgetMatchConditions`).
pub(crate) const BUDGET_OF_CONDITIONS: u64 = 2_500_000;
/// What is said where they cost more.
pub(crate) const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// `@spend(units)` is true.
const SPEND: &str = "@spend";
/// `@sized(value)` is the value, paid for.
pub(crate) const SIZED: &str = "@sized";
/// `@add(left, right)` is their sum, paid for.
pub(crate) const ADD: &str = "@add";
/// So many characters cost a unit, as in cel-go.
const CHARACTERS: usize = 10;
/// Functions whose results can be larger than what they are made of.
const GROWING: [&str; 4] = ["format", "join", "replace", "strings.quote"];

type Outcome = Result<CelValue, ExecutionError>;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(LIMIT) };
}

/// Runs an evaluation; `None` if it costs more than it may. Tells what it did cost.
pub(crate) fn within<T>(limit: u64, evaluate: impl FnOnce() -> T) -> (Option<T>, u64) {
    let before = LEFT.replace(limit);
    let outcome = evaluate();
    let left = LEFT.replace(before);
    ((left > 0).then_some(outcome), limit - left)
}

/// Pays for so many characters that are about to be written.
pub(crate) fn pay_for(characters: usize) -> Result<(), ExecutionError> {
    spend(u64::try_from(characters.div_ceil(CHARACTERS)).unwrap_or(u64::MAX))
}

fn spend(units: u64) -> Result<(), ExecutionError> {
    let left = LEFT.get().saturating_sub(units);
    LEFT.set(left);
    if left > 0 { Ok(()) } else { Err(ExecutionError::function_error("cost", EXCEEDED)) }
}

/// What a value of so many characters costs.
fn text_cost(characters: usize) -> u64 {
    (characters / CHARACTERS + 1) as u64
}

/// Adds what a value costs to `total`, unless that is more than is left already.
fn measure(value: &CelValue, total: &mut u64) {
    *total = total.saturating_add(match value {
        CelValue::String(text) => text_cost(text.len()),
        CelValue::Bytes(bytes) => text_cost(bytes.len()),
        _ => 1,
    });
    let mut below = |value: &CelValue| {
        if *total < LEFT.get() {
            measure(value, total);
        }
    };
    match value {
        CelValue::List(items) => items.iter().for_each(&mut below),
        CelValue::Map(map) => map.map.values().for_each(&mut below),
        _ => {}
    }
}

fn cost(value: &CelValue) -> u64 {
    let mut total = 0;
    measure(value, &mut total);
    total
}

/// Laces an expression with calls that spend.
pub(crate) fn lace(expression: &mut IdedExpr) {
    for_each_child_mut(expression, &mut lace);
    match &mut expression.expr {
        Expr::Comprehension(comprehension) => {
            let units = weight(&comprehension.loop_step).saturating_add(weight(&comprehension.loop_cond)).div_ceil(2);
            let condition =
                std::mem::replace(&mut comprehension.loop_cond, literal(LiteralValue::Boolean(false.into())));
            let paid = call(SPEND, vec![literal(LiteralValue::Int(i64::from(units).into()))]);
            let stop = literal(LiteralValue::Boolean(false.into()));
            comprehension.loop_cond = call(operators::CONDITIONAL, vec![paid, condition, stop]);
        }
        Expr::List(list) if list.elements.iter().any(|element| !is_literal(element)) => wrap(expression),
        Expr::Map(map) if !map.entries.is_empty() => wrap(expression),
        Expr::Call(sum) if sum.func_name == operators::ADD && !is_accumulation(sum) => {
            ADD.clone_into(&mut sum.func_name);
        }
        Expr::Call(difference) if difference.func_name == operators::SUBSTRACT => {
            arithmetic::SUBTRACT.clone_into(&mut difference.func_name);
        }
        Expr::Call(negation) if negation.func_name == operators::NEGATE => {
            arithmetic::NEGATE.clone_into(&mut negation.func_name);
        }
        Expr::Call(comparison) if comparison.args.iter().any(is_dynamic) => {
            let instead = match comparison.func_name.as_str() {
                operators::EQUALS => arithmetic::EQUAL,
                operators::NOT_EQUALS => arithmetic::UNEQUAL,
                operators::IN => arithmetic::CONTAINED,
                _ => return,
            };
            instead.clone_into(&mut comparison.func_name);
        }
        Expr::Call(call) if GROWING.contains(&call.func_name.as_str()) => wrap(expression),
        _ => {}
    }
}

/// Whether one item is added to the list that a loop makes: the item is paid for.
fn is_accumulation(sum: &CallExpr) -> bool {
    let is_result = matches!(sum.args.first().map(|left| &left.expr), Some(Expr::Ident(name)) if name == "@result");
    let item = sum.args.get(1).map(|right| match &right.expr {
        Expr::Call(call) if call.func_name == SIZED => call.args.first().map_or(&right.expr, |list| &list.expr),
        other => other,
    });
    is_result && matches!(item, Some(Expr::List(list)) if list.elements.len() == 1)
}

/// Whether an operand is a call of `dyn`, which lets numbers of different types be compared, or gives an optional, which the
/// interpreter does not compare.
fn is_dynamic(operand: &IdedExpr) -> bool {
    const DYNAMIC: [&str; 9] =
        ["dyn", operators::OPT_INDEX, operators::OPT_SELECT, "first", "last", "of", "none", "ofNonZeroValue", "or"];
    let function = |name: &str| DYNAMIC.contains(&name.strip_prefix("optional.").unwrap_or(name));
    matches!(&operand.expr, Expr::Call(call) if function(&call.func_name))
}

fn is_literal(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Literal(_))
}

/// Nodes of an expression, those of loops in it not counted: they are paid for by round.
fn weight(expression: &IdedExpr) -> u32 {
    let mut sum = 1_u32;
    if !matches!(&expression.expr, Expr::Comprehension(_)) {
        for_each_child(expression, &mut |child| sum = sum.saturating_add(weight(child)));
    }
    sum
}

fn wrap(expression: &mut IdedExpr) {
    let inner = std::mem::replace(expression, literal(LiteralValue::Boolean(false.into())));
    *expression = call(SIZED, vec![inner]);
}

fn literal(value: LiteralValue) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Literal(value) }
}

fn call(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

/// Adds what laced expressions call.
pub(crate) fn add_functions(context: &mut Context<'static>) {
    context.add_function(SPEND, |units: i64| -> Outcome {
        spend(units.unsigned_abs())?;
        Ok(CelValue::Bool(true))
    });
    context.add_function(SIZED, |value: CelValue| -> Outcome {
        spend(cost(&value))?;
        Ok(value)
    });
    context.add_function("replace", |This(target): This<CelValue>, Arguments(args): Arguments| -> Outcome {
        let (CelValue::String(text), [CelValue::String(old), CelValue::String(new), limit @ ..]) =
            (&target, args.as_slice())
        else {
            return Err(ExecutionError::NoSuchOverload);
        };
        let places = if old.is_empty() { text.len() + 1 } else { text.matches(old.as_str()).count() };
        spend(text_cost(text.len().saturating_add(places.saturating_mul(new.len()))))?;
        let replaced = match limit {
            // A negative limit is none.
            [CelValue::Int(limit)] => text.replacen(old.as_str(), new, usize::try_from(*limit).unwrap_or(usize::MAX)),
            _ => text.replace(old.as_str(), new),
        };
        Ok(CelValue::String(replaced.into()))
    });
    context.add_function("join", |This(target): This<CelValue>, Arguments(args): Arguments| -> Outcome {
        if let (CelValue::List(items), Some(CelValue::String(separator))) = (&target, args.first()) {
            spend(text_cost(items.len().saturating_mul(separator.len())))?;
        }
        call_base("join", target, &args)
    });
    context.add_function(ADD, |left: CelValue, right: CelValue| -> Outcome {
        match (&left, &right) {
            (CelValue::String(left), CelValue::String(right)) => spend(text_cost(left.len() + right.len()))?,
            (CelValue::Bytes(left), CelValue::Bytes(right)) => spend(text_cost(left.len() + right.len()))?,
            (CelValue::List(_), CelValue::List(_)) => spend(cost(&left).saturating_add(cost(&right)))?,
            _ => {}
        }
        arithmetic::add(left, right)
    });
}
