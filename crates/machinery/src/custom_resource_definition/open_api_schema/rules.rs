//! The rules of a schema (`x-kubernetes-validations`): what each is made of, and whether its expressions are right.

use serde_json::Value;

use super::{Scope, Walk};
use crate::{
    cel::cost::most_expensive,
    custom_resource_definition::selectable_fields::resolve,
    patch::go_json,
    schema::{
        messages,
        path::FieldPath,
        rule::{Expression, ValidationRule},
        rule_cost::{DeclaredSizes, LIMIT, exceeded},
        rule_types::{RuleNames, message_problem, rule_problem},
    },
    status_error::{FieldError, FieldErrorKind},
};

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

fn rules(schema: &Value) -> &[Value] {
    schema.get("x-kubernetes-validations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Walk {
    /// What rules are made of.
    pub(super) fn rule_texts(&mut self, schema: &Value, path: &FieldPath<'_>) {
        let path = path.field("x-kubernetes-validations");
        for (index, rule) in rules(schema).iter().enumerate() {
            self.rule_text(rule, schema, &path.index(index));
        }
    }

    /// The scope with what is known of the types that rules of `schema` and below see: where there are none for rules above,
    /// the real server has none for those below either.
    pub(super) fn scope_of_rules(&self, schema: &Value, scope: &Scope) -> Scope {
        let below_rules = scope.below_rules || !rules(schema).is_empty();
        let untyped = || RuleNames::of(schema, scope.is_root, false).own().is_none();
        let untyped = below_rules && self.check_rules && !scope.nested && (scope.untyped || untyped());
        Scope { below_rules, untyped, ..scope.clone() }
    }

    /// Their expressions.
    pub(super) fn rule_programs(&mut self, schema: &Value, path: &FieldPath<'_>, scope: &Scope) {
        let path = path.field("x-kubernetes-validations");
        if scope.untyped && !rules(schema).is_empty() {
            let why = "internal error: failed to construct type information for x-kubernetes-validations rules: unable \
                       to convert structural schema to CEL declarations";
            self.rule_errors.push(FieldError {
                kind: FieldErrorKind::Internal,
                field: path.to_field(),
                message: format!("Internal error: {why}"),
            });
            return;
        }
        for (index, rule) in rules(schema).iter().enumerate() {
            self.rule_program(rule, schema, &path.index(index), scope);
        }
    }

    fn rule_text(&mut self, rule: &Value, schema: &Value, path: &FieldPath<'_>) {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default();
        let (expression, message) = (text("rule").trim(), text("message").trim());
        let has_newline = |text: &str| text.contains(['\n', '\r']);
        let shown = |name: &str| Value::from(text(name));
        if expression.is_empty() {
            self.errors.push(messages::required(path.field("rule").to_field(), "rule is not specified"));
        } else if !text("message").is_empty() && message.is_empty() {
            let detail = "must be non-empty if specified";
            self.errors.push(messages::invalid(path.field("message").to_field(), &shown("message"), detail));
        } else if has_newline(message) {
            let detail = "must not contain line breaks";
            self.errors.push(messages::invalid(path.field("message").to_field(), &shown("message"), detail));
        } else if has_newline(expression) && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            self.errors.push(messages::required(path.field("message").to_field(), detail));
        }
        if !text("messageExpression").is_empty() && text("messageExpression").trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            self.errors.push(messages::required(path.field("messageExpression").to_field(), detail));
        }
        if let Some(reason) = rule.get("reason").filter(|reason| !reason.is_null())
            && !reason.as_str().is_some_and(|reason| REASONS.contains(&reason))
        {
            let accepted: Vec<Value> = REASONS.iter().map(|reason| Value::from(*reason)).collect();
            self.errors.push(messages::not_supported(path.field("reason").to_field(), reason, &accepted));
        }
        let field_path = text("fieldPath");
        let mut refuse = |is_wrong: bool, detail: &str| {
            if is_wrong {
                let field = path.field("fieldPath").to_field();
                self.errors.push(messages::invalid(field, &Value::from(field_path), detail));
            }
        };
        if !field_path.is_empty() {
            refuse(field_path.trim().is_empty(), "must be non-empty if specified");
            refuse(has_newline(field_path), "must not contain line breaks");
            refuse(resolve(field_path, schema).is_err(), "must be a valid path");
        }
    }

    fn rule_program(&mut self, rule: &Value, schema: &Value, path: &FieldPath<'_>, scope: &Scope) {
        let Some(parsed) = ValidationRule::from_json(rule) else { return };
        let names = RuleNames::of(schema, scope.is_root, parsed.optional_old_self == Some(true));
        let sizes = DeclaredSizes::of(schema, scope.is_root);
        let refused = |name: &str, problem: &str| FieldError {
            kind: FieldErrorKind::Invalid,
            field: path.field(name).to_field(),
            message: format!("Invalid value: {}: {problem}", as_go_struct(rule)),
        };
        // A message is looked at only where the rule itself is right.
        let problem = rule_problem(&parsed.rule, &names);
        let is_right = problem.is_none();
        if let Some(problem) = problem {
            self.rule_errors.push(refused("rule", &problem));
        } else {
            let times = scope.most_values.unwrap_or_else(|| sizes.most_in_request());
            let cost = most_expensive(&parsed.rule, &names, &sizes).saturating_mul(times);
            self.rule_cost("estimated rule cost", cost, path.field("rule").to_field());
            if let Some(message) = &parsed.message_expression {
                if let Some(problem) = message_problem(message, &names) {
                    self.rule_errors.push(refused("messageExpression", &problem));
                } else {
                    let cost = most_expensive(message, &names, &sizes);
                    let field = path.field("messageExpression").to_field();
                    self.rule_cost("estimated messageExpression cost", cost, field);
                }
            }
        }
        let uses_old_self = is_right
            && parsed.reads_old_self()
            && Expression::shared(&parsed.rule).is_ok_and(|expression| expression.analysis.uses_old_self);
        if uses_old_self {
            if let Some(within) = &scope.uncorrelatable {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
                let field = path.field("rule").to_field();
                self.rule_errors.push(messages::invalid(field, &Value::from(parsed.rule.as_str()), &detail));
            }
        } else if let Some(optional) = parsed.optional_old_self {
            let detail = "may not be set if oldSelf is not used in rule";
            let field = path.field("optionalOldSelf").to_field();
            self.rule_errors.push(messages::invalid(field, &Value::Bool(optional), detail));
        }
    }

    /// Takes notice of what an expression may cost.
    fn rule_cost(&mut self, what: &str, cost: u64, field: String) {
        if let Some(problem) = exceeded(what, cost, LIMIT) {
            self.rule_errors.push(messages::forbidden(field.clone(), &problem));
        }
        self.rule_costs.add(field, cost);
    }
}

/// A rule as the real server shows it: its own type, member by member.
fn as_go_struct(rule: &Value) -> String {
    let members = [
        ("Rule", "rule", Value::from("")),
        ("Message", "message", Value::from("")),
        ("MessageExpression", "messageExpression", Value::from("")),
        ("Reason", "reason", Value::Null),
        ("FieldPath", "fieldPath", Value::from("")),
        ("OptionalOldSelf", "optionalOldSelf", Value::Null),
    ];
    let shown = members.map(|(shown, name, absent)| {
        let value = rule.get(name).filter(|value| !value.is_null()).unwrap_or(&absent);
        format!("\"{shown}\":{}", go_json(value))
    });
    format!("{{{}}}", shown.join(","))
}
