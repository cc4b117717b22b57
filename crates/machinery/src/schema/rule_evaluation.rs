//! Evaluation of `x-kubernetes-validations` (apiextensions-apiserver, `apiserver/schema/cel/validation.go`).
//!
//! A part that equals its old counterpart can not fail a rule anew (ratcheting), so only rules that read `oldSelf` run
//! there, unless the old object may break rules already: then the others run as well, and what they say is a warning.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use kube_cel::cel::{Context, Value as CelValue, objects::OptionalValue};
use serde_json::Value;

use super::{
    SchemaNode,
    correlation::OldItems,
    messages,
    path::FieldPath,
    rule::{Expression, ValidationRule},
    rule_library::{is_no_overload, reason_of, underlying_error, with_library},
    rule_projection::Sizes,
    rule_values::to_cel,
};
use crate::cel::{metering, source::with_stack};
use crate::status_error::{FieldError, FieldErrorKind};

/// Steps that the rules of one object may take together (`RuntimeCELCostBudget` of the real server).
const COST_BUDGET: u64 = 10_000_000;
/// The longest computed message (`MaxEvaluatedMessageExpressionSizeBytes`).
const MAXIMUM_MESSAGE_LENGTH: usize = 5 * 1024;

/// Whether an error keeps rules from being evaluated: they could not rely on the shape of the object.
pub(crate) fn blocks_rules(error: &FieldError) -> bool {
    matches!(
        error.kind,
        FieldErrorKind::NotSupported
            | FieldErrorKind::Required
            | FieldErrorKind::TooLong
            | FieldErrorKind::TooMany
            | FieldErrorKind::TypeInvalid
    )
}

/// Which rules run on parts that equal their old counterparts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// Those that read `oldSelf`: the others were kept when the old object was written.
    Transitions,
    /// All of them: the old object may have been written before they were there.
    All,
}

/// What rules say of an object.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    /// Rules it breaks.
    pub(crate) errors: Vec<FieldError>,
    /// Rules that it breaks where it is as it was.
    pub(crate) tolerated: Vec<FieldError>,
}

/// The rules that `object` breaks.
pub(crate) fn broken(root: &SchemaNode, object: &Value, old: Option<&Value>, unchanged: Unchanged) -> Broken {
    if !root.below.rules {
        return Broken::default();
    }
    with_library(|library| {
        let mut evaluation =
            Evaluation { library, scope: unchanged, budget: Some(COST_BUDGET), broken: Broken::default() };
        evaluation.visit(root, object, old, false, &FieldPath::ROOT);
        evaluation.broken
    })
}

struct Evaluation<'a> {
    library: &'a Context<'static>,
    scope: Unchanged,
    /// What is left to spend; `None` once it ran out.
    budget: Option<u64>,
    broken: Broken,
}

impl Evaluation<'_> {
    /// `unchanged` says whether the nearest part above that has an old counterpart equals it.
    fn visit(&mut self, node: &SchemaNode, value: &Value, old: Option<&Value>, unchanged: bool, path: &FieldPath<'_>) {
        if !node.below.rules || value.is_null() {
            return;
        }
        let unchanged = old.map_or(unchanged, |old| old == value);
        if unchanged && self.scope == Unchanged::Transitions && !node.below.transition_rules {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        for rule in node.rules.iter() {
            if self.budget.is_none() {
                return;
            }
            self.evaluate(node, rule, value, old, unchanged, path);
        }
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let old = old.and_then(|old| old.get(name));
                    if let Some(schema) = node.properties.get(name) {
                        let path = path.field(name);
                        self.visit(schema, field, old, unchanged, &path);
                    } else if let Some(schema) = &node.additional_properties {
                        self.visit(schema, field, old, unchanged, &path.key(name));
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &node.items else { return };
                if !schema.below.rules {
                    return;
                }
                let old_items = OldItems::new(node, old);
                for (index, item) in items.iter().enumerate() {
                    let old = old_items.as_ref().and_then(|old_items| old_items.get(item));
                    self.visit(schema, item, old, unchanged, &path.index(index));
                }
            }
            _ => {}
        }
    }

    fn evaluate(
        &mut self,
        node: &SchemaNode,
        rule: &ValidationRule,
        value: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &FieldPath<'_>,
    ) {
        let shown_type = Value::from(node.schema_type.as_str());
        let refuse = |detail: &str| messages::invalid(path.to_field(), &shown_type, detail);
        if let Some(problem) = &rule.type_problem {
            self.broken.errors.push(refuse(&format!("rule compile error: {problem}")));
            return;
        }
        let optional_old_self = rule.optional_old_self.unwrap_or(false);
        let reads_old_self = rule.reads_old_self();
        let tolerated = unchanged && !reads_old_self;
        if tolerated && self.scope == Unchanged::Transitions || reads_old_self && old.is_none() && !optional_old_self {
            return;
        }
        let compiled = match rule.compiled() {
            Ok(compiled) => compiled,
            Err(reason) => {
                self.broken.errors.push(refuse(&format!("rule compile error: compilation failed: {reason}")));
                return;
            }
        };
        let subject = Subject { node, value, old, optional_old_self };
        if !self.spend(&compiled.condition, &subject) {
            self.broken.errors.push(refuse(metering::OUT_OF_BUDGET));
            return;
        }
        match self.run(&compiled.condition, &subject) {
            Ok(CelValue::Bool(true)) => return,
            Ok(_) => {}
            Err(Failure::NoSuchOverload) => {
                self.broken.errors.push(refuse(&format!(
                    "'no such overload': call arguments did not match a supported operator, function or macro \
                     signature for rule: {}",
                    rule.name()
                )));
                return;
            }
            Err(Failure::CostLimit) => {
                self.budget = None;
                self.broken.errors.push(refuse(&format!(
                    "'{}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                    metering::EXCEEDED,
                    rule.name()
                )));
                return;
            }
            Err(Failure::Other(reason)) => {
                self.broken.errors.push(refuse(&format!("{reason} evaluating rule: {}", rule.name())));
                return;
            }
        }
        let computed = compiled.message.as_ref().filter(|message| self.spend(message, &subject)).and_then(|message| {
            match self.run(message, &subject) {
                Ok(CelValue::String(text)) => usable_message(&text),
                _ => None,
            }
        });
        let detail = computed.unwrap_or_else(|| rule.static_message());
        let error = error_of(node, rule, path, value, &detail);
        if tolerated { self.broken.tolerated.push(error) } else { self.broken.errors.push(error) }
    }

    /// Takes the cost of an expression from the budget; false when it is more than is left.
    fn spend(&mut self, expression: &Expression, subject: &Subject<'_>) -> bool {
        if !expression.analysis.loops {
            return true;
        }
        let cost = Sizes::new(subject.value, subject.old).cost(&expression.tree);
        self.budget = self.budget.and_then(|budget| budget.checked_sub(cost));
        self.budget.is_some()
    }

    fn run(&self, expression: &Expression, subject: &Subject<'_>) -> Result<CelValue, Failure> {
        // Rules come from users and the interpreter is young: a panic in it fails the rule, not the server.
        let evaluate = AssertUnwindSafe(|| {
            let analysis = &expression.analysis;
            let mut scope = self.library.new_inner_scope();
            scope.add_variable_from_value(
                "self",
                to_cel(Some(subject.node), subject.value, &analysis.reads, analysis.ignores_order),
            );
            if analysis.uses_old_self {
                scope.add_variable_from_value("oldSelf", subject.old_to_cel(expression));
            }
            CelValue::resolve(&expression.tree, &scope)
                .map_err(|error| underlying_error(&expression.tree, &scope, error))
        });
        let evaluate = || with_stack(expression.depth, || catch_unwind(evaluate));
        let (Some(result), _) = metering::within(metering::LIMIT, evaluate) else {
            return Err(Failure::CostLimit);
        };
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if is_no_overload(&error) => Err(Failure::NoSuchOverload),
            Ok(Err(error)) => Err(Failure::Other(reason_of(&error))),
            Err(_) => Err(Failure::Other("internal error".to_owned())),
        }
    }
}

/// What a rule is about.
struct Subject<'a> {
    node: &'a SchemaNode,
    value: &'a Value,
    old: Option<&'a Value>,
    optional_old_self: bool,
}

impl Subject<'_> {
    fn old_to_cel(&self, expression: &Expression) -> CelValue {
        use super::rule_projection::Projection;
        let convert = |old: &Value, projection: &Projection| {
            to_cel(Some(self.node), old, projection, expression.analysis.ignores_order)
        };
        match (self.old, self.optional_old_self) {
            (Some(old), true) => CelValue::Opaque(Arc::new(OptionalValue::of(convert(old, &Projection::Whole)))),
            (None, true) => CelValue::Opaque(Arc::new(OptionalValue::none())),
            (Some(old), false) => convert(old, &expression.analysis.reads_old),
            (None, false) => CelValue::Null,
        }
    }
}

enum Failure {
    NoSuchOverload,
    /// It would have cost more than it may.
    CostLimit,
    Other(String),
}

fn usable_message(text: &str) -> Option<String> {
    let text = text.trim();
    let usable = !text.is_empty() && !text.contains('\n') && text.len() <= MAXIMUM_MESSAGE_LENGTH;
    usable.then(|| text.to_owned())
}

fn error_of(node: &SchemaNode, rule: &ValidationRule, path: &FieldPath<'_>, value: &Value, detail: &str) -> FieldError {
    let field_path = rule.normalized_field_path(node);
    let field = match &field_path {
        // An entry of a map has a point before its bracket there.
        Some(below) if path.is_root() && below.starts_with('[') => format!(".{below}"),
        Some(below) => path.field(below).to_field(),
        None => path.to_field(),
    };
    let omit_value = matches!(value, Value::Object(_) | Value::Array(_));
    match rule.reason.as_deref() {
        Some("FieldValueForbidden") => messages::forbidden(field, detail),
        Some("FieldValueRequired") => messages::required(field, detail),
        Some("FieldValueDuplicate") if omit_value => {
            FieldError { kind: FieldErrorKind::Duplicate, field, message: "Duplicate value".to_owned() }
        }
        Some("FieldValueDuplicate") => messages::duplicate(field, value),
        _ if omit_value => messages::invalid_omitting_value(field, detail),
        _ => messages::invalid(field, value, detail),
    }
}
