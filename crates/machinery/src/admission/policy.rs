//! Policies and their bindings, and what ValidatingAdmissionPolicies say: expressions in the place of a webhook
//! (`k8s.io/apiserver/pkg/admission/plugin/policy/validating` 1.36).

use std::cell::LazyCell;

use serde_json::Value;

use super::configuration::{MatchCondition, MatchResources, MatchResult, conditions_match, selector};
use crate::{
    cel::{
        Bindings, Outcome, Program,
        metering::{BUDGET, OUT_OF_BUDGET},
    },
    patch::go_json,
    resource::GroupResource,
    selector::LabelSelector,
    status_error::ApiError,
};

/// The longest message an expression may give, in bytes.
const MAXIMUM_MESSAGE_LENGTH: usize = 5 * 1024;

/// Key of the audit annotation that bindings with the action Audit write.
pub const VALIDATION_FAILURE: &str = "validation.policy.admission.k8s.io/validation_failure";

/// The longest value of an audit annotation, in bytes.
const MAXIMUM_ANNOTATION_LENGTH: usize = 10 * 1024;

/// The audit annotations of a policy from the values that its bindings and their parameters gave, in order: different
/// values for one key are joined.
pub fn audit_annotations(policy: &str, values: &[(String, String)]) -> Vec<(String, String)> {
    let mut joined: Vec<(&str, Vec<&str>)> = Vec::new();
    for (key, value) in values {
        let value = &value[..value.floor_char_boundary(MAXIMUM_ANNOTATION_LENGTH)];
        match joined.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) if known.contains(&value) => {}
            Some((_, known)) => known.push(value),
            None => joined.push((key, vec![value])),
        }
    }
    joined.into_iter().map(|(key, values)| (format!("{policy}/{key}"), values.join(", "))).collect()
}

/// One expression that has to be true.
#[derive(Debug)]
struct Validation {
    expression: String,
    program: Result<Program, String>,
    message: String,
    message_program: Option<Result<Program, String>>,
    reason: String,
}

/// One annotation of the audit log.
#[derive(Debug)]
struct AuditAnnotation {
    key: String,
    expression: String,
    program: Result<Program, String>,
}

/// What validating and mutating policies have in common.
#[derive(Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Which requests it is about.
    pub matching: MatchResources,
    /// `apiVersion` and `kind` of its parameters, if it has any.
    pub parameter_kind: Option<(String, String)>,
    /// Whether a request goes on when an expression can not be evaluated.
    pub ignore_failures: bool,
    conditions: Vec<MatchCondition>,
    variables: Vec<(String, Result<Program, String>)>,
}

/// A validating policy.
#[derive(Debug)]
pub struct Policy {
    /// What it has in common with a mutating one.
    pub definition: Definition,
    validations: Vec<Validation>,
    audit_annotations: Vec<AuditAnnotation>,
}

/// Which parameters a binding gives to its policy.
#[derive(Debug)]
pub struct ParameterReference {
    /// Name of the one object; empty where labels select.
    pub name: String,
    /// Its namespace; empty for that of the request.
    pub namespace: String,
    /// Labels of the objects.
    pub selector: Result<LabelSelector, String>,
    /// Whether a request is denied when there is no such object.
    pub deny_without: bool,
}

/// A binding: where a policy applies, and what it does there.
#[derive(Debug)]
pub struct PolicyBinding {
    /// Its name.
    pub name: String,
    /// The policy's name.
    pub policy: String,
    /// Which of the policy's requests; all of them if absent.
    pub matching: Option<MatchResources>,
    /// Its parameters, if the policy has any.
    pub parameters: Option<ParameterReference>,
    /// Whether what is wrong denies the request.
    pub denies: bool,
    /// Whether what is wrong is told in warnings.
    pub warns: bool,
    /// Whether what is wrong is written to the audit log.
    pub audits: bool,
    /// `validationActions` as they are.
    actions: Vec<String>,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to tell.
    pub message: String,
    /// Reason of the answer, e.g. `Invalid`.
    pub reason: String,
    /// Position of the expression in the policy's validations.
    pub index: usize,
    /// Whether this is so whatever binds the policy.
    pub is_of_policy: bool,
}

impl Decision {
    /// Something that keeps a policy from being applied.
    pub fn failure(message: String, index: usize) -> Self {
        Self { message, reason: "Invalid".to_owned(), index, is_of_policy: false }
    }

    /// Something that keeps a policy from being applied, whatever binds it.
    pub fn failure_of_policy(message: String) -> Self {
        Self { is_of_policy: true, ..Self::failure(message, 0) }
    }
}

/// What a policy says of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What is wrong.
    pub decisions: Vec<Decision>,
    /// Annotations for the audit log: keys, to be put behind the policy's name, and values.
    pub annotations: Vec<(String, String)>,
    /// Why annotations could not be computed: each of them denies the request, whatever the binding does.
    pub failed_annotations: Vec<Decision>,
}

pub(super) fn compiled(source: &str) -> Result<Program, String> {
    Program::compile(source.trim()).map_err(|error| format!("compilation error: compilation failed: {error}"))
}

pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

impl Policy {
    /// From a ValidatingAdmissionPolicy.
    pub fn from_json(policy: &Value) -> Self {
        let spec = &policy["spec"];
        let validation = |validation: &Value| Validation {
            expression: text(validation, "expression").trim().to_owned(),
            program: compiled(text(validation, "expression")),
            message: text(validation, "message").trim().to_owned(),
            message_program: validation["messageExpression"].as_str().map(compiled),
            reason: match text(validation, "reason") {
                "" => "Invalid".to_owned(),
                reason => reason.to_owned(),
            },
        };
        Self {
            definition: Definition::from_json(policy),
            validations: items(&spec["validations"]).map(validation).collect(),
            audit_annotations: items(&spec["auditAnnotations"])
                .map(|annotation| AuditAnnotation {
                    key: text(annotation, "key").to_owned(),
                    expression: text(annotation, "valueExpression").trim().to_owned(),
                    program: compiled(text(annotation, "valueExpression")),
                })
                .collect(),
        }
    }

    /// What the policy says of a request; nothing if the conditions exclude it. `bindings` has `object`, `oldObject`,
    /// `request`, `namespaceObject`, `params` and `authorizer`, which messages and annotations do not get.
    pub fn judge(&self, bindings: &Bindings) -> Judgement {
        let mut judgement = Judgement::default();
        match self.definition.conditions_match(bindings) {
            MatchResult::Matches => {}
            MatchResult::Excluded => return judgement,
            MatchResult::Failed(message) => {
                judgement.decisions.push(Decision::failure(message, 0));
                return judgement;
            }
        }
        // Messages get what the validations leave, annotations a budget of their own.
        let bindings = bindings.clone().with_budget(BUDGET);
        let telling = LazyCell::new(|| self.definition.with_variables(bindings.without_authorizer()));
        let judging = self.definition.with_variables(bindings.clone());
        for (index, validation) in self.validations.iter().enumerate() {
            let outcome = judging.evaluate(&validation.program, &validation.expression);
            if let Err(out_of_budget) = bindings.check_budget() {
                return self.failed(out_of_budget);
            }
            match outcome.map(|outcome| outcome.as_bool()) {
                Ok(Some(true)) => {}
                Ok(_) => {
                    let message = validation.explanation(&telling.bindings);
                    match bindings.check_budget() {
                        Ok(()) => judgement.decisions.push(Decision {
                            message,
                            reason: validation.reason.clone(),
                            index,
                            is_of_policy: false,
                        }),
                        Err(out_of_budget) => return self.failed(format!("failed messageExpression: {out_of_budget}")),
                    }
                }
                Err(_) if self.definition.ignore_failures => {}
                Err(message) => judgement.decisions.push(Decision::failure(message, index)),
            }
        }
        let telling = bindings.without_authorizer().with_budget(BUDGET);
        let annotating = LazyCell::new(|| self.definition.with_variables(telling.clone()));
        for annotation in &self.audit_annotations {
            let AuditAnnotation { key, expression, program } = annotation;
            let outcome = annotating.evaluate(program, expression);
            if let Err(out_of_budget) = telling.check_budget() {
                return self.failed(out_of_budget);
            }
            let value = match outcome {
                Ok(outcome) if outcome.is_null() => continue,
                Ok(outcome) => outcome.as_text().ok_or_else(|| {
                    format!(
                        "valueExpression '{expression}' resulted in unsupported return type: {}. Return type must be \
                         either string or null.",
                        outcome.type_name()
                    )
                }),
                Err(_) if self.definition.ignore_failures => continue,
                Err(error) => Err(error),
            };
            match value.map(|value| value.trim().to_owned()) {
                Ok(value) if value.is_empty() => {}
                Ok(value) => judgement.annotations.push((key.clone(), value)),
                Err(message) => judgement.failed_annotations.push(Decision::failure(message, 0)),
            }
        }
        judgement
    }

    /// What is said where the policy can not be applied as a whole.
    fn failed(&self, message: String) -> Judgement {
        let decisions = if self.definition.ignore_failures { Vec::new() } else { vec![Decision::failure(message, 0)] };
        Judgement { decisions, ..Judgement::default() }
    }
}

impl Definition {
    /// From a policy of either kind.
    pub(super) fn from_json(policy: &Value) -> Self {
        let spec = &policy["spec"];
        let kind = &spec["paramKind"];
        let kind = kind.is_object().then(|| (text(kind, "apiVersion").to_owned(), text(kind, "kind").to_owned()));
        Self {
            name: text(&policy["metadata"], "name").to_owned(),
            matching: MatchResources::from_json(&spec["matchConstraints"], "resourceRules"),
            parameter_kind: kind,
            ignore_failures: text(spec, "failurePolicy") == "Ignore",
            conditions: MatchCondition::list_from_json(&spec["matchConditions"]),
            variables: items(&spec["variables"])
                .map(|variable| (text(variable, "name").to_owned(), compiled(text(variable, "expression"))))
                .collect(),
        }
    }

    /// Whether the conditions let a request through.
    pub fn conditions_match(&self, bindings: &Bindings) -> MatchResult {
        conditions_match(&self.conditions, self.ignore_failures, bindings)
    }

    /// The bindings with `variables`.
    pub(super) fn with_variables(&self, mut bindings: Bindings) -> Variables {
        let mut values: Vec<(String, Outcome)> = Vec::new();
        let mut failed = Vec::new();
        for (name, program) in &self.variables {
            bindings = bindings.with_computed("variables", &values);
            match program.as_ref().map_err(Clone::clone).and_then(|program| program.evaluate(&bindings)) {
                Ok(value) => values.push((name.clone(), value)),
                Err(error) => failed.push((name.clone(), error)),
            }
        }
        if !self.variables.is_empty() {
            bindings = bindings.with_computed("variables", &values);
        }
        Variables { bindings, failed }
    }
}

/// Bindings with `variables`, and which of these could not be computed.
pub(super) struct Variables {
    bindings: Bindings,
    failed: Vec<(String, String)>,
}

impl Variables {
    pub(super) fn evaluate(&self, program: &Result<Program, String>, expression: &str) -> Result<Outcome, String> {
        program.as_ref().map_err(Clone::clone)?.evaluate(&self.bindings).map_err(|error| {
            if error == OUT_OF_BUDGET {
                return error;
            }
            // A variable that failed is absent; its own error says more.
            let of_variable = self.failed.iter().find(|(name, _)| error == format!("no such key: {name}"));
            let error = match of_variable {
                Some((name, error)) => format!("composited variable \"{name}\" fails to evaluate: {error}"),
                None => error,
            };
            format!("expression '{expression}' resulted in error: {error}")
        })
    }
}

impl Validation {
    fn explanation(&self, bindings: &Bindings) -> String {
        let computed = match &self.message_program {
            Some(Ok(program)) => program.evaluate(bindings).ok().and_then(|outcome| outcome.as_text()),
            _ => None,
        };
        let usable = |text: &String| !text.is_empty() && !text.contains('\n') && text.len() <= MAXIMUM_MESSAGE_LENGTH;
        match computed.map(|text| text.trim().to_owned()).filter(usable) {
            Some(text) => text,
            None if !self.message.is_empty() => self.message.clone(),
            None => format!("failed expression: {}", self.expression),
        }
    }
}

impl PolicyBinding {
    /// From a ValidatingAdmissionPolicyBinding or a MutatingAdmissionPolicyBinding, which has no actions.
    pub fn from_json(binding: &Value) -> Self {
        let spec = &binding["spec"];
        let acts = |action: &str| items(&spec["validationActions"]).any(|known| known == action);
        let reference = &spec["paramRef"];
        Self {
            name: text(&binding["metadata"], "name").to_owned(),
            policy: text(spec, "policyName").to_owned(),
            matching: Some(&spec["matchResources"])
                .filter(|matching| matching.is_object())
                .map(|matching| MatchResources::from_json(matching, "resourceRules")),
            parameters: reference.is_object().then(|| ParameterReference {
                name: text(reference, "name").to_owned(),
                namespace: text(reference, "namespace").to_owned(),
                selector: selector(&reference["selector"]),
                deny_without: text(reference, "parameterNotFoundAction") == "Deny",
            }),
            denies: acts("Deny"),
            warns: acts("Warn"),
            audits: acts("Audit"),
            actions: items(&spec["validationActions"]).filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    /// The value of the audit annotation [`VALIDATION_FAILURE`] for something wrong.
    pub fn audit_value(&self, decision: &Decision) -> String {
        let text = |text: &str| go_json(&text.into());
        let actions: Vec<String> = self.actions.iter().map(|action| text(action)).collect();
        format!(
            "[{{\"message\":{},\"policy\":{},\"binding\":{},\"expressionIndex\":{},\"validationActions\":[{}]}}]",
            text(&decision.message),
            text(&self.policy),
            text(&self.name),
            decision.index,
            actions.join(",")
        )
    }

    /// The warning for something wrong.
    pub fn warning(&self, decision: &Decision) -> String {
        let Self { name, policy, .. } = self;
        let message = &decision.message;
        format!("Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{name}': {message}")
    }
}

/// The answer to a request that a policy denies.
pub fn denied_by_policy(
    resource: &GroupResource,
    name: &str,
    binding: &PolicyBinding,
    decision: &Decision,
) -> ApiError {
    let PolicyBinding { name: binding, policy, .. } = binding;
    let why = &decision.message;
    let binding = if decision.is_of_policy { String::new() } else { format!(" with binding '{binding}'") };
    let message = format!("ValidatingAdmissionPolicy '{policy}'{binding} denied request: {why}");
    let mut error = ApiError::forbidden(resource, name, &message).with_cause("", &message, "");
    error.0.reason.clone_from(&decision.reason);
    error.0.code = match decision.reason.as_str() {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    error
}
