//! Expressions of the Common Expression Language outside of schemas: match conditions and admission policies.
//!
//! [`declarations::Declarations`] check an expression before it ever runs, as the real server does when it is written.
//! Values have no schema when it runs.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use kube_cel::cel::{ExecutionError, Value as CelValue, objects::Key};
use serde_json::Value;

use crate::schema::{
    rule::Expression,
    rule_library::{reason_of, type_name, underlying_error, with_library},
    rule_projection::Projection,
    rule_values::to_cel,
};

use source::with_stack;

pub mod authentication;
pub(crate) mod authorizer;
mod checker;
pub(crate) mod cost;
mod cost_of_functions;
pub(crate) mod declarations;
mod estimate;
pub(crate) mod expression_tree;
pub(crate) mod formatting;
pub(crate) mod library;
mod literals;
pub(crate) mod macros;
pub(crate) mod metering;
pub(crate) mod object_literals;
pub(crate) mod optionals;
pub(crate) mod signatures;
pub(crate) mod source;
pub(crate) mod types;
pub(crate) mod value_path;

#[cfg(test)]
mod checker_test;
#[cfg(test)]
mod cost_test;
#[cfg(test)]
mod metering_test;

pub use authorizer::Authorizer;

/// Words that no variable and no declaration can be named by (the grammar of CEL and what it keeps for later).
pub const RESERVED_WORDS: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A compiled expression.
pub struct Program {
    expression: Expression,
    source: String,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Program").field(&self.source).finish()
    }
}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Why it does not compile.
    pub fn compile(source: &str) -> Result<Self, String> {
        let mut expression = Expression::compile(source)?;
        authorizer::join_request_resource(&mut expression.tree);
        Ok(Self { expression, source: source.to_owned() })
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates the expression.
    ///
    /// # Errors
    /// In the words of cel-go, e.g. `no such key: spec`. An evaluation that costs too much is given up, and none is begun when
    /// the budget of the bindings is spent.
    pub fn evaluate(&self, bindings: &Bindings) -> Result<Outcome, String> {
        bindings.check_budget()?;
        with_library(|library| {
            // Expressions come from users and the interpreter is young: a panic in it fails the expression alone.
            let evaluate = AssertUnwindSafe(|| {
                let mut scope = library.new_inner_scope();
                for (name, value) in &bindings.values {
                    scope.add_variable_from_value(name.clone(), value.clone());
                }
                let tree = &self.expression.tree;
                CelValue::resolve(tree, &scope).map_err(|error| underlying_error(tree, &scope, error))
            });
            let evaluate = || with_stack(self.expression.depth, || catch_unwind(evaluate));
            let (result, cost) = metering::within(metering::LIMIT, evaluate);
            bindings.spend(cost);
            bindings.check_budget()?;
            let Some(result) = result else { return Err(metering::EXCEEDED.to_owned()) };
            match result {
                Ok(Ok(value)) => Ok(Outcome(value)),
                Ok(Err(ExecutionError::NoSuchOverload)) => Err("no such overload".to_owned()),
                Ok(Err(error)) => Err(reason_of(&error)),
                Err(_) => Err("internal error".to_owned()),
            }
        })
    }
}

/// The variables of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    values: Vec<(String, CelValue)>,
    /// What may still be spent, below zero when more was; without limit if absent.
    budget: Option<Arc<AtomicI64>>,
}

impl Bindings {
    /// Evaluations with these bindings, and with what is made of them from now on, may cost so much together.
    #[must_use]
    pub(crate) fn with_budget(mut self, units: u64) -> Self {
        self.budget = Some(Arc::new(AtomicI64::new(i64::try_from(units).unwrap_or(i64::MAX))));
        self
    }

    fn spend(&self, cost: u64) {
        if let Some(budget) = &self.budget {
            budget.fetch_sub(i64::try_from(cost).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    /// Whether the evaluations have cost no more than they may.
    ///
    /// # Errors
    /// [`metering::OUT_OF_BUDGET`] if they have.
    pub(crate) fn check_budget(&self) -> Result<(), String> {
        let is_spent = self.budget.as_ref().is_some_and(|budget| budget.load(Ordering::Relaxed) < 0);
        if is_spent { Err(metering::OUT_OF_BUDGET.to_owned()) } else { Ok(()) }
    }

    /// Binds a name to a JSON value.
    #[must_use]
    pub fn with(mut self, name: &str, value: &Value) -> Self {
        self.values.push((name.to_owned(), to_cel(None, value, &Projection::Whole, false)));
        self
    }

    /// Binds a name to a map of values computed by other expressions, such as `variables`.
    #[must_use]
    pub fn with_computed(mut self, name: &str, values: &[(String, Outcome)]) -> Self {
        let map: HashMap<Key, CelValue> =
            values.iter().map(|(name, Outcome(value))| (Key::String(Arc::new(name.clone())), value.clone())).collect();
        self.values.retain(|(bound, _)| bound != name);
        self.values.push((name.to_owned(), map.into()));
        self
    }
}

/// What an expression gave.
#[derive(Clone, Debug)]
pub struct Outcome(CelValue);

impl Outcome {
    /// The value, if it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.0 {
            CelValue::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The values of a list of strings, or the one of a string; null is an empty list.
    pub fn as_texts(&self) -> Option<Vec<String>> {
        match &self.0 {
            CelValue::Null => Some(Vec::new()),
            CelValue::String(text) => Some(vec![text.to_string()]),
            CelValue::List(items) => items.iter().map(|item| Self(item.clone()).as_text()).collect(),
            _ => None,
        }
    }

    /// Name of the type, e.g. `int`.
    pub fn type_name(&self) -> String {
        type_name(&self.0)
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.0, CelValue::Null)
    }

    /// The value, if it is a string.
    pub fn as_text(&self) -> Option<String> {
        match &self.0 {
            CelValue::String(text) => Some(text.to_string()),
            _ => None,
        }
    }
}
