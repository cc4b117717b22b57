//! ValidatingAdmissionPolicies and their bindings: expressions in the place of a webhook
//! (`k8s.io/apiserver/pkg/admission/plugin/policy/validating` 1.36).

use serde_json::Value;

use super::configuration::{MatchCondition, MatchResources, MatchResult, conditions_match, selector};
use crate::{
    cel::{Bindings, Outcome, Program},
    resource::GroupResource,
    selector::LabelSelector,
    status_error::ApiError,
};

/// The longest message an expression may give, in bytes.
const MAXIMUM_MESSAGE_LENGTH: usize = 5 * 1024;

/// One expression that has to be true.
#[derive(Debug)]
struct Validation {
    expression: String,
    program: Result<Program, String>,
    message: String,
    message_program: Option<Result<Program, String>>,
    reason: String,
}

/// A policy.
#[derive(Debug)]
pub struct Policy {
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
    validations: Vec<Validation>,
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
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to tell.
    pub message: String,
    /// Reason of the answer, e.g. `Invalid`.
    pub reason: String,
}

fn compiled(source: &str) -> Result<Program, String> {
    Program::compile(source.trim()).map_err(|error| format!("compilation error: compilation failed: {error}"))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
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
            validations: items(&spec["validations"]).map(validation).collect(),
        }
    }

    /// What is wrong with a request; nothing if the conditions exclude it. `bindings` has `object`, `oldObject`,
    /// `request`, `namespaceObject` and `params`.
    pub fn judge(&self, bindings: &Bindings) -> Vec<Decision> {
        match conditions_match(&self.conditions, self.ignore_failures, bindings) {
            MatchResult::Matches => {}
            MatchResult::Excluded => return Vec::new(),
            MatchResult::Failed(message) => return vec![Decision { message, reason: "Invalid".to_owned() }],
        }
        let (bindings, failed) = self.with_variables(bindings.clone());
        let mut decisions = Vec::new();
        for validation in &self.validations {
            let outcome = match &validation.program {
                Ok(program) => program.evaluate(&bindings).map_err(|error| {
                    // A variable that failed is absent; its own error says more.
                    let of_variable = failed.iter().find(|(name, _)| error == format!("no such key: {name}"));
                    let error = of_variable.map_or(error.as_str(), |(_, error)| error);
                    format!("expression '{}' resulted in error: {error}", validation.expression)
                }),
                Err(error) => Err(error.clone()),
            };
            match outcome.map(|outcome| outcome.as_bool()) {
                Ok(Some(true)) => {}
                Ok(_) => decisions
                    .push(Decision { message: validation.explanation(&bindings), reason: validation.reason.clone() }),
                Err(_) if self.ignore_failures => {}
                Err(message) => decisions.push(Decision { message, reason: "Invalid".to_owned() }),
            }
        }
        decisions
    }

    /// The bindings with `variables`, and what could not be computed.
    fn with_variables(&self, mut bindings: Bindings) -> (Bindings, Vec<(String, String)>) {
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
        (bindings, failed)
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
    /// From a ValidatingAdmissionPolicyBinding.
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
        }
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
    let message = format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {why}");
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
