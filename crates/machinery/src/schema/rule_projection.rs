//! What an expression reads and what it may cost, from its syntax tree.
//!
//! Only what a rule reads is converted to CEL values: a rule on `self.spec.replicas` of a large object converts one
//! number. The interpreter has no cost limit, so the cost is bounded before it runs: expressions can only loop over
//! lists and maps that exist, whose sizes are known.

use std::collections::BTreeMap;

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value;

use crate::cel::{library::arithmetic, metering};

/// The parts of a value that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    /// All of it.
    Whole,
    /// Fields, by their escaped names; empty reads nothing.
    Fields(BTreeMap<String, Projection>),
}

impl Default for Projection {
    fn default() -> Self {
        Self::Fields(BTreeMap::new())
    }
}

impl Projection {
    /// The part of field `name` that is read, if any.
    pub(crate) fn field(&self, name: &str) -> Option<&Projection> {
        match self {
            Self::Whole => Some(&Self::Whole),
            Self::Fields(fields) => fields.get(name),
        }
    }

    fn add(&mut self, path: &[&str]) {
        match (self, path) {
            (Self::Whole, _) => {}
            (this, []) => *this = Self::Whole,
            (Self::Fields(fields), [first, rest @ ..]) => {
                fields.entry((*first).to_owned()).or_default().add(rest);
            }
        }
    }
}

/// What is known of an expression without running it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Analysis {
    /// What is read of `self`.
    pub(crate) reads: Projection,
    /// What is read of `oldSelf`.
    pub(crate) reads_old: Projection,
    /// Whether `oldSelf` occurs.
    pub(crate) uses_old_self: bool,
    /// Whether the order of lists makes no difference: no item is taken by its position, no list is made of another
    /// or compared with a literal one.
    pub(crate) ignores_order: bool,
    /// Whether the cost depends on the size of the object.
    pub(crate) loops: bool,
}

/// Analyses an expression.
pub(crate) fn analyse(expression: &IdedExpr) -> Analysis {
    let mut analysis = Analysis { ignores_order: true, ..Analysis::default() };
    collect(expression, &mut Vec::new(), &mut analysis);
    analysis
}

/// Functions whose result depends on the order of a list.
const ORDER_MATTERS: [&str; 12] = [
    operators::INDEX,
    operators::OPT_INDEX,
    "first",
    "flatten",
    "indexOf",
    "isSorted",
    "join",
    "last",
    "lastIndexOf",
    "reverse",
    "slice",
    "format",
];

fn collect<'a>(expression: &'a IdedExpr, bound: &mut Vec<&'a str>, analysis: &mut Analysis) {
    if let Some((root, path)) = selection(expression)
        && !bound.contains(&root)
    {
        match root {
            "self" => analysis.reads.add(&path),
            "oldSelf" => {
                analysis.uses_old_self = true;
                // With `optionalOldSelf` the first step is a method of the optional; read everything then.
                analysis.reads_old.add(&path);
            }
            _ => {}
        }
        return;
    }
    match &expression.expr {
        Expr::Select(select) => collect(&select.operand, bound, analysis),
        Expr::Call(call) => {
            analysis.loops |=
                matches!(call.func_name.as_str(), operators::IN | operators::EQUALS | operators::NOT_EQUALS);
            let by_name =
                matches!(call.args.last().map(|last| &last.expr), Some(Expr::Literal(LiteralValue::String(_))))
                    && matches!(call.func_name.as_str(), operators::INDEX | operators::OPT_INDEX);
            analysis.ignores_order &= by_name || !ORDER_MATTERS.contains(&call.func_name.as_str());
            call.target.iter().for_each(|target| collect(target, bound, analysis));
            call.args.iter().for_each(|argument| collect(argument, bound, analysis));
        }
        Expr::List(list) => {
            analysis.ignores_order = false;
            list.elements.iter().for_each(|element| collect(element, bound, analysis));
        }
        Expr::Map(map) => map.entries.iter().for_each(|entry| collect_entry(&entry.expr, bound, analysis)),
        Expr::Struct(structure) => {
            structure.entries.iter().for_each(|entry| collect_entry(&entry.expr, bound, analysis));
        }
        Expr::Comprehension(comprehension) => {
            analysis.loops = true;
            collect(&comprehension.iter_range, bound, analysis);
            collect(&comprehension.accu_init, bound, analysis);
            let depth = bound.len();
            bound.push(&comprehension.iter_var);
            bound.push(&comprehension.accu_var);
            if let Some(second) = &comprehension.iter_var2 {
                bound.push(second);
            }
            collect(&comprehension.loop_cond, bound, analysis);
            collect(&comprehension.loop_step, bound, analysis);
            collect(&comprehension.result, bound, analysis);
            bound.truncate(depth);
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn collect_entry<'a>(entry: &'a EntryExpr, bound: &mut Vec<&'a str>, analysis: &mut Analysis) {
    match entry {
        EntryExpr::StructField(field) => collect(&field.value, bound, analysis),
        EntryExpr::MapEntry(entry) => {
            collect(&entry.key, bound, analysis);
            collect(&entry.value, bound, analysis);
        }
    }
}

/// `a.b.c` as (`a`, [`b`, `c`]).
fn selection(expression: &IdedExpr) -> Option<(&str, Vec<&str>)> {
    match &expression.expr {
        Expr::Ident(name) => Some((name, Vec::new())),
        Expr::Select(select) => {
            let (root, mut path) = selection(&select.operand)?;
            path.push(&select.field);
            Some((root, path))
        }
        _ => None,
    }
}

/// The sizes that bound the cost of an expression.
pub(crate) struct Sizes<'a> {
    value: &'a Value,
    old: Option<&'a Value>,
    largest: std::cell::OnceCell<Largest>,
}

#[derive(Clone, Copy, Default)]
struct Largest {
    container: u64,
    text: u64,
}

impl<'a> Sizes<'a> {
    /// Sizes of `self` and `oldSelf`.
    pub(crate) fn new(value: &'a Value, old: Option<&'a Value>) -> Self {
        Self { value, old, largest: std::cell::OnceCell::new() }
    }

    /// An upper bound of the number of steps that evaluating `expression` takes.
    pub(crate) fn cost(&self, expression: &IdedExpr) -> u64 {
        let sum = |expressions: &mut dyn Iterator<Item = &IdedExpr>| {
            expressions.fold(1_u64, |sum, expression| sum.saturating_add(self.cost(expression)))
        };
        match &expression.expr {
            Expr::Select(select) => 1 + self.cost(&select.operand),
            Expr::Call(call) => {
                let own = match call.func_name.as_str() {
                    operators::IN | arithmetic::CONTAINED => call.args.last().map_or(1, |list| self.size(list)),
                    "contains" | "intersects" | "equivalent"
                        if call
                            .target
                            .as_ref()
                            .is_some_and(|target| matches!(&target.expr, Expr::Ident(name) if name == "sets")) =>
                    {
                        call.args.iter().fold(1_u64, |product, list| product.saturating_mul(self.size(list).max(1)))
                    }
                    _ => 1,
                };
                sum(&mut call.target.as_deref().into_iter().chain(&call.args)).saturating_add(own)
            }
            Expr::List(list) => sum(&mut list.elements.iter()),
            Expr::Map(map) => {
                map.entries.iter().fold(1, |cost: u64, entry| cost.saturating_add(self.entry(&entry.expr)))
            }
            Expr::Struct(structure) => {
                structure.entries.iter().fold(1, |cost: u64, entry| cost.saturating_add(self.entry(&entry.expr)))
            }
            Expr::Comprehension(comprehension) => {
                let round = self.cost(&comprehension.loop_cond).saturating_add(self.cost(&comprehension.loop_step));
                sum(&mut [&comprehension.iter_range, &comprehension.accu_init, &comprehension.result].into_iter())
                    .saturating_add(self.size(&comprehension.iter_range).saturating_mul(round))
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 1,
        }
    }

    fn entry(&self, entry: &EntryExpr) -> u64 {
        match entry {
            EntryExpr::StructField(field) => self.cost(&field.value),
            EntryExpr::MapEntry(entry) => self.cost(&entry.key).saturating_add(self.cost(&entry.value)),
        }
    }

    /// An upper bound of the number of elements of a list or map expression.
    fn size(&self, expression: &IdedExpr) -> u64 {
        if let Some((root @ ("self" | "oldSelf"), path)) = selection(expression) {
            let root = if root == "self" { Some(self.value) } else { self.old };
            // An escaped name is not found here; the general bound holds for it.
            let found = root.and_then(|root| path.iter().try_fold(root, |value, name| value.get(*name)));
            match found {
                Some(Value::Array(items)) => return items.len() as u64,
                Some(Value::Object(fields)) => return fields.len() as u64,
                _ => {}
            }
        }
        match &expression.expr {
            Expr::List(list) => list.elements.len() as u64,
            Expr::Map(map) => map.entries.len() as u64,
            Expr::Comprehension(comprehension) => self.size(&comprehension.iter_range),
            Expr::Call(call) if [operators::ADD, metering::ADD, metering::SIZED].contains(&call.func_name.as_str()) => {
                call.args.iter().fold(0_u64, |sum, list| sum.saturating_add(self.size(list)))
            }
            Expr::Call(call) if matches!(call.func_name.as_str(), "split" | "findAll") => self.largest().text,
            _ => self.largest().container,
        }
    }

    fn largest(&self) -> Largest {
        *self.largest.get_or_init(|| {
            let mut largest = Largest::default();
            measure(self.value, &mut largest);
            self.old.into_iter().for_each(|old| measure(old, &mut largest));
            largest
        })
    }
}

fn measure(value: &Value, largest: &mut Largest) {
    match value {
        Value::String(text) => largest.text = largest.text.max(text.len() as u64 + 1),
        Value::Array(items) => {
            largest.container = largest.container.max(items.len() as u64);
            for item in items {
                measure(item, largest);
            }
        }
        Value::Object(fields) => {
            largest.container = largest.container.max(fields.len() as u64);
            for field in fields.values() {
                measure(field, largest);
            }
        }
        _ => {}
    }
}
