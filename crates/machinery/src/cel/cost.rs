//! What an expression may cost at most, before it ever runs (cel-go 0.26, `checker/cost.go`): by the sizes that the schema of
//! its variables allows.

use std::{collections::HashMap, rc::Rc};

use kube_cel::cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators},
};

use super::{
    checker::{Checker, Overloads},
    cost_of_functions::CallCost,
    declarations::Names,
    estimate::Estimate,
    literals::Types,
    macros::expand_as_written,
    source::{depth, parse, with_stack},
    types::Type,
    value_path::{INDICES, ITEMS, KEYS, VALUES, ValuePath},
};

const SELECT_OR_NAME: Estimate = Estimate::fixed(1);
const LIST: Estimate = Estimate::fixed(10);
const MAP: Estimate = Estimate::fixed(30);
const OBJECT: Estimate = Estimate::fixed(40);
/// Accumulated values have no path.
const ACCUMULATORS: [&str; 2] = ["__result__", "@result"];

/// How large values can be that an expression finds in its variables.
pub(crate) trait Sizes {
    /// The most characters, bytes or entries of the value at a path; none if nothing is known of it.
    fn most(&self, path: &[Rc<str>]) -> Option<u64>;
}

/// What an expression that is right costs at most. Nothing for one that is not; the most there is for one that is too large for
/// an estimate.
pub(crate) fn most_expensive(source: &str, names: &dyn Names, sizes: &dyn Sizes) -> u64 {
    with_stack(depth(source), || {
        let Ok(tree) = parse(source) else { return 0 };
        let mut tree = (*tree).clone();
        if expand_as_written(&mut tree).is_none() {
            return u64::MAX;
        }
        let mut checker = Checker::new(names);
        checker.check(&tree);
        let (types, overloads, problems) = checker.finish();
        if !problems.is_empty() {
            return 0;
        }
        Coster::new(&types, &overloads, sizes).cost(&tree).max
    })
}

/// The sizes of what a list or a map holds.
#[derive(Clone, Copy, Debug)]
struct Entries {
    is_list: bool,
    keys: Estimate,
    values: Estimate,
}

impl Entries {
    fn union(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (one, other) = (one?, other?);
        Some(Self { is_list: one.is_list, keys: one.keys.union(other.keys), values: one.values.union(other.values) })
    }
}

/// A variable of a macro.
#[derive(Clone, Debug)]
struct Variable {
    path: ValuePath,
    size: Option<Estimate>,
    entries: Option<Entries>,
}

/// A part of an expression as functions see it.
pub(super) struct Node<'e> {
    /// None if it is not reached from a variable.
    path: Option<ValuePath>,
    pub(super) of: Type,
    pub(super) expression: Option<&'e IdedExpr>,
    size: Option<Estimate>,
}

impl Node<'_> {
    /// Its size, as far as it is known.
    pub(super) fn size(&self) -> Estimate {
        self.size.unwrap_or(Estimate::UNKNOWN)
    }

    pub(super) fn known_size(&self) -> Option<Estimate> {
        self.size
    }
}

/// What a call costs, and how large its result is.
pub(super) struct CallEstimate {
    pub(super) cost: Estimate,
    pub(super) size: Option<Estimate>,
}

/// An estimate under way.
struct Coster<'c> {
    types: &'c Types,
    overloads: &'c Overloads,
    sizes: &'c dyn Sizes,
    paths: HashMap<u64, ValuePath>,
    variables: Vec<(String, Variable)>,
    computed: HashMap<u64, Estimate>,
    entries: HashMap<u64, Entries>,
}

impl<'c> Coster<'c> {
    fn new(types: &'c Types, overloads: &'c Overloads, sizes: &'c dyn Sizes) -> Self {
        Self {
            types,
            overloads,
            sizes,
            paths: HashMap::new(),
            variables: Vec::new(),
            computed: HashMap::new(),
            entries: HashMap::new(),
        }
    }

    fn cost(&mut self, expression: &IdedExpr) -> Estimate {
        match &expression.expr {
            Expr::Literal(_) | Expr::Unspecified => Estimate::NOTHING,
            Expr::Ident(name) => {
                let path = self.variable(name).map_or_else(|| ValuePath::of_variable(name), |known| known.path.clone());
                self.paths.insert(expression.id, path);
                SELECT_OR_NAME
            }
            Expr::Select(select) => {
                let cost = self.cost(&select.operand);
                if select.test {
                    return cost;
                }
                let has_cost =
                    matches!(self.type_of(&select.operand), Type::Map(..) | Type::Object(_) | Type::Parameter(_));
                let path = self.path(&select.operand).below(&select.field);
                self.paths.insert(expression.id, path);
                if has_cost { cost.plus(SELECT_OR_NAME) } else { cost }
            }
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => {
                let mut cost = LIST;
                let mut values = Estimate { min: if list.elements.is_empty() { 0 } else { u64::MAX }, max: 0 };
                for element in &list.elements {
                    cost = cost.plus(self.cost(element));
                    values = values.union(self.size_or_unknown(element));
                }
                self.entries.insert(expression.id, Entries { is_list: true, keys: Estimate::fixed(1), values });
                cost
            }
            Expr::Map(map) => {
                let mut cost = MAP;
                let nothing = Estimate { min: if map.entries.is_empty() { 0 } else { u64::MAX }, max: 0 };
                let (mut keys, mut values) = (nothing, nothing);
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    cost = cost.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                    keys = keys.union(self.size_or_unknown(&entry.key));
                    values = values.union(self.size_or_unknown(&entry.value));
                }
                self.entries.insert(expression.id, Entries { is_list: false, keys, values });
                cost
            }
            Expr::Struct(object) => {
                let mut cost = OBJECT;
                for entry in &object.entries {
                    let EntryExpr::StructField(field) = &entry.expr else { continue };
                    cost = cost.plus(self.cost(&field.value));
                }
                cost
            }
            Expr::Comprehension(comprehension) if is_bind(comprehension) => self.bind(expression, comprehension),
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension),
        }
    }

    fn call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Estimate {
        if call.func_name == "dyn"
            && let ([argument], None) = (call.args.as_slice(), &call.target)
        {
            let cost = self.cost(argument);
            self.copy_sizes(expression, argument);
            return cost.plus(Estimate::fixed(1));
        }
        let mut costs = Vec::with_capacity(call.args.len());
        let mut arguments = Vec::with_capacity(call.args.len());
        for argument in &call.args {
            costs.push(self.cost(argument));
            arguments.push(self.node(argument));
        }
        let overloads = self.overloads;
        let Some(called) = overloads.get(&expression.id) else { return Estimate::NOTHING };
        let mut cost = Estimate::NOTHING;
        let mut target = None;
        if called.is_member
            && let Some(called_on) = &call.target
        {
            cost = self.cost(called_on);
            target = Some(self.node(called_on));
        }
        let mut of_call = Estimate { min: u64::MAX, max: 0 };
        let mut size: Option<Estimate> = None;
        for way in &called.ways {
            let function = CallCost { name: &called.name, way, target: target.as_ref(), arguments: &arguments };
            let estimate = self.function(expression, call, &function, &costs);
            of_call = of_call.union(estimate.cost);
            if let Some(other) = estimate.size {
                size = Some(size.map_or(other, |size| size.union(other)));
            }
            if called.name == operators::INDEX
                && let Some(indexed) = call.args.first()
                && let Some(below) = match way.first() {
                    Some(Type::List(_)) => Some(ITEMS),
                    Some(Type::Map(..)) => Some(VALUES),
                    _ => None,
                }
            {
                size = self.entries_of(indexed).map(|entries| entries.values);
                let path = self.path(indexed).below(below);
                self.paths.insert(expression.id, path);
            }
            if size.is_none() {
                size = self.size(expression);
            }
        }
        self.set_size(expression, size);
        cost.plus(of_call)
    }

    /// A function of the libraries, or one of those whose cost depends on more than the sizes.
    fn function(
        &mut self,
        expression: &IdedExpr,
        call: &CallExpr,
        function: &CallCost<'_, '_>,
        costs: &[Estimate],
    ) -> CallEstimate {
        let sum = Estimate::sum(costs);
        if let Some(estimate) = function.estimate(self.sizes) {
            return CallEstimate { cost: estimate.cost.plus(sum), size: estimate.size };
        }
        let mut size = None;
        let cost = match (function.name, costs, call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right], _) => {
                // The second may not be evaluated.
                Estimate { min: left.min, max: left.plus(*right).max }
            }
            (operators::CONDITIONAL, [condition, yes, no], [_, one, other]) => {
                size = Some(function.arguments[1].size().union(function.arguments[2].size()));
                if let Some(entries) = Entries::union(self.entries_of(one), self.entries_of(other)) {
                    self.entries.insert(expression.id, entries);
                }
                condition.plus(yes.union(*no))
            }
            (operators::ADD, _, [one, other]) if function.adds_sizes() => {
                let result = function.arguments[0].size().plus(function.arguments[1].size());
                size = Some(result);
                if let Some(entries) = Entries::union(self.entries_of(one), self.entries_of(other)) {
                    self.entries.insert(expression.id, entries);
                }
                function.addition(result).plus(sum)
            }
            _ => {
                size = function.converted_size();
                function.of_operator().plus(sum)
            }
        };
        CallEstimate { cost, size }
    }

    fn comprehension(&mut self, expression: &IdedExpr, comprehension: &ComprehensionExpr) -> Estimate {
        let mut cost = self.cost(&comprehension.iter_range).plus(self.cost(&comprehension.accu_init));
        let depth = self.variables.len();
        self.push_bound(&comprehension.accu_var, &comprehension.accu_init);
        let range = &comprehension.iter_range;
        let entries = self.entries_of(range);
        let is_list = entries.map_or_else(|| matches!(self.type_of(range), Type::List(_)), |entries| entries.is_list);
        let keys = (if is_list { INDICES } else { KEYS }, entries.map(|entries| entries.keys));
        let values = (if is_list { ITEMS } else { VALUES }, entries.map(|entries| entries.values));
        let mut push = |name: &str, (step, size): (&str, Option<Estimate>)| {
            let variable = Variable { path: self.path(range).below(step), size, entries: None };
            self.variables.push((name.to_owned(), variable));
        };
        match &comprehension.iter_var2 {
            Some(second) => {
                push(&comprehension.iter_var, keys);
                push(second, values);
            }
            None if is_list => push(&comprehension.iter_var, values),
            None => push(&comprehension.iter_var, keys),
        }
        let of_condition = self.cost(&comprehension.loop_cond);
        let of_step = self.cost(&comprehension.loop_step);
        self.variables.truncate(depth + 1);
        cost = cost.plus(self.cost(&comprehension.result));
        self.variables.truncate(depth);
        let rounds = self.size_or_unknown(range);
        cost = cost.plus(rounds.times(of_step.plus(of_condition)));
        match &comprehension.accu_init.expr {
            Expr::Literal(_) => {
                let size = self.size(&comprehension.accu_init);
                self.set_size(expression, size);
            }
            Expr::List(_) | Expr::Map(_) => {
                self.set_size(expression, Some(rounds));
                if let Some(entries) = self.entries_of(&comprehension.loop_step) {
                    self.entries.insert(expression.id, entries);
                }
            }
            _ => {}
        }
        cost
    }

    /// A variable with a value: a loop that never runs.
    fn bind(&mut self, expression: &IdedExpr, comprehension: &ComprehensionExpr) -> Estimate {
        let cost = self.cost(&comprehension.iter_range).plus(self.cost(&comprehension.accu_init));
        let depth = self.variables.len();
        self.push_bound(&comprehension.accu_var, &comprehension.accu_init);
        let cost = cost.plus(self.cost(&comprehension.result));
        self.variables.truncate(depth);
        self.copy_sizes(expression, &comprehension.result);
        cost
    }

    fn push_bound(&mut self, name: &str, value: &IdedExpr) {
        let (path, size, entries) = (self.path(value), self.size(value), self.entries_of(value));
        self.variables.push((name.to_owned(), Variable { path, size, entries }));
    }

    fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, variable)| variable)
    }

    fn type_of(&self, expression: &IdedExpr) -> Type {
        self.types.get(&expression.id).cloned().unwrap_or(Type::Dyn)
    }

    fn path(&self, expression: &IdedExpr) -> ValuePath {
        if let Expr::Ident(name) = &expression.expr
            && let Some(variable) = self.variable(name)
        {
            return variable.path.clone();
        }
        self.paths.get(&expression.id).cloned().unwrap_or_default()
    }

    fn node<'e>(&mut self, expression: &'e IdedExpr) -> Node<'e> {
        let path = Some(self.path(expression));
        let path = path.filter(|path| !path.names().first().is_none_or(|first| ACCUMULATORS.contains(&&**first)));
        Node { path, of: self.type_of(expression), expression: Some(expression), size: self.size(expression) }
    }

    fn set_size(&mut self, expression: &IdedExpr, size: Option<Estimate>) {
        if let Some(size) = size {
            self.computed.insert(expression.id, size);
        }
    }

    fn size_or_unknown(&mut self, expression: &IdedExpr) -> Estimate {
        self.size(expression).unwrap_or(Estimate::UNKNOWN)
    }

    fn copy_sizes(&mut self, to: &IdedExpr, from: &IdedExpr) {
        let size = self.size(from);
        self.set_size(to, size);
        if let Some(entries) = self.entries_of(from) {
            self.entries.insert(to.id, entries);
        }
    }

    fn size(&mut self, expression: &IdedExpr) -> Option<Estimate> {
        if let Some(size) = self.computed.get(&expression.id) {
            return Some(*size);
        }
        if let Some(size) = written_size(expression) {
            return Some(Estimate::fixed(size));
        }
        let path = self.path(expression);
        if !path.is_empty()
            && let Some(most) = self.sizes.most(&path.names())
        {
            let size = Estimate { min: 0, max: most };
            self.computed.insert(expression.id, size);
            return Some(size);
        }
        if is_scalar(&self.type_of(expression)) {
            return Some(Estimate::fixed(1));
        }
        match &expression.expr {
            Expr::Ident(name) => self.variable(name)?.size,
            _ => None,
        }
    }

    fn entries_of(&self, expression: &IdedExpr) -> Option<Entries> {
        if let Some(entries) = self.entries.get(&expression.id) {
            return Some(*entries);
        }
        match &expression.expr {
            Expr::Ident(name) => self.variable(name)?.entries,
            _ => None,
        }
    }
}

impl Node<'_> {
    /// What stands for the items of a list.
    pub(super) fn item(&self, sizes: &dyn Sizes) -> Option<Node<'static>> {
        let of = match &self.of {
            Type::List(item) => (**item).clone(),
            Type::Map(key, _) => (**key).clone(),
            Type::Opaque(_, parameters) => parameters.first()?.clone(),
            _ => return None,
        };
        let most = self.path.as_ref().and_then(|path| sizes.most(&path.names_below(ITEMS)));
        let size = most.map(|most| Estimate { min: 0, max: most });
        Some(Node { path: None, of, expression: None, size })
    }
}

fn is_bind(comprehension: &ComprehensionExpr) -> bool {
    let never_runs = matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty());
    let is_false =
        matches!(&comprehension.loop_cond.expr, Expr::Literal(LiteralValue::Boolean(value)) if !*value.inner());
    never_runs && is_false && !ACCUMULATORS.contains(&comprehension.accu_var.as_str())
}

/// The size of what is written out.
fn written_size(expression: &IdedExpr) -> Option<u64> {
    let size = match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => text.inner().chars().count(),
        Expr::Literal(LiteralValue::Bytes(bytes)) => bytes.inner().len(),
        Expr::Literal(_) => 1,
        Expr::List(list) => list.elements.len(),
        Expr::Map(map) => map.entries.len(),
        _ => return None,
    };
    Some(size as u64)
}

/// Whether all values of a type have one size.
fn is_scalar(of: &Type) -> bool {
    match of {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        _ => of.optional_content().is_some_and(is_scalar),
    }
}
