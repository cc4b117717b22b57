//! ValidatingAdmissionPolicies, MutatingAdmissionPolicies and their bindings.

use std::collections::BTreeSet;

use kogge_machinery::{
    cel::RESERVED_WORDS,
    object_meta::{dns_1035_messages, label_key_messages},
};

use super::{
    Change, Errors, Expressions, FAILURE_POLICIES, Field, Purpose, REINVOCATION_POLICIES, conditions, has_form,
    label_selector, match_resources, path_segment_messages, qualified_name, same, subdomain_messages,
};

const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const MAXIMUM_AUDIT_ANNOTATIONS: usize = 20;
/// The longest expression of an audit annotation, in bytes.
const MAXIMUM_VALUE_EXPRESSION_LENGTH: usize = 5 * 1024;
/// There is nothing to mutate in a delete.
const MUTATING_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

/// A ValidatingAdmissionPolicy.
pub(in super::super) fn validate_policy(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let variables = spec.at("variables");
    let mut expressions = Expressions::new(spec.at("paramKind").is_set(), !variables.is_empty());
    requests(change, &[], &expressions, errors);
    validate_variables(&variables, &mut expressions, errors);
    let (validations, annotations) = (spec.at("validations"), spec.at("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        for list in [&validations, &annotations] {
            errors.required(list, "validations or auditAnnotations must contain at least one item");
        }
        return;
    }
    for validation in validations.items() {
        validate_validation(&validation, &expressions, errors);
    }
    audit_annotations(&change.new, &annotations, &expressions, errors);
}

/// A MutatingAdmissionPolicy.
pub(in super::super) fn validate_mutating_policy(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let mut expressions = Expressions::new(spec.at("paramKind").is_set(), true);
    requests(change, &MUTATING_OPERATIONS, &expressions, errors);
    validate_variables(&spec.at("variables"), &mut expressions, errors);
    let mutations = spec.at("mutations");
    if mutations.is_empty() {
        errors.required(&mutations, "mutations must contain at least one item");
    }
    for mutation in mutations.items() {
        validate_mutation(&mutation, &expressions, errors);
    }
    errors.one_of(&spec.at("reinvocationPolicy"), &REINVOCATION_POLICIES);
}

/// What kinds of policies have in common: what they do where they fail, their parameters, and which requests they are
/// about. A mutating one says which `operations` are possible.
fn requests(change: &Change<'_>, operations: &[&str], expressions: &Expressions, errors: &mut Errors) {
    let spec = change.new.at("spec");
    let failure = spec.at("failurePolicy");
    if failure.is_set() {
        errors.known(&failure, &FAILURE_POLICIES);
    } else {
        errors.required(&failure, "");
    }
    let kind = spec.at("paramKind");
    if kind.is_set() {
        parameter_kind(&kind, errors);
    }
    let constraints = spec.at("matchConstraints");
    if constraints.is_set() {
        match_resources(&constraints, errors);
        let rules = constraints.at("resourceRules");
        if rules.is_empty() {
            errors.required(&rules, "");
        }
        possible_operations(&rules, operations, errors);
    } else {
        errors.required(&constraints, "");
    }
    let unchanged = change.old.as_ref().is_some_and(|old| {
        ["paramKind", "matchConditions"].iter().all(|name| same(old.at("spec").at(name).value, spec.at(name).value))
    });
    if !unchanged {
        conditions(&spec.at("matchConditions"), expressions, errors);
    }
}

/// Operations of rules that a mutating policy can not be about; all are reported at the same place.
fn possible_operations(rules: &Field<'_>, possible: &[&str], errors: &mut Errors) {
    if possible.is_empty() {
        return;
    }
    for operation in rules.items().flat_map(|rule| rule.at("operations").items().collect::<Vec<_>>()) {
        if !possible.contains(&operation.text()) {
            errors.not_supported(&operation.reported_at(rules, "operations"), possible);
        }
    }
}

fn parameter_kind(kind: &Field<'_>, errors: &mut Errors) {
    let version = kind.at("apiVersion");
    match version.text().split('/').collect::<Vec<_>>().as_slice() {
        [""] => errors.required(&version, ""),
        // Neither group nor version.
        ["", ""] => errors.invalid(&version, "version must be specified"),
        [name] => version_of(&version, name, errors),
        [group, name] => {
            if !group.is_empty() {
                let messages = subdomain_messages(group, 253);
                if !messages.is_empty() {
                    errors.show(&version, &(*group).into(), &messages.join(","));
                }
            }
            version_of(&version, name, errors);
        }
        _ => errors.invalid(&version, &format!("unexpected GroupVersion string: {}", version.text())),
    }
    let name = kind.at("kind");
    let messages = dns_1035_messages(&name.text().to_lowercase());
    if name.text().is_empty() {
        errors.required(&name, "");
    } else if !messages.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", messages.join(","));
        errors.invalid(&name, &detail);
    }
}

fn version_of(field: &Field<'_>, version: &str, errors: &mut Errors) {
    if version.is_empty() {
        errors.invalid(field, "version must be specified");
        return;
    }
    let messages = dns_1035_messages(version);
    if !messages.is_empty() {
        errors.show(field, &version.into(), &messages.join(","));
    }
}

fn validate_variables(variables: &Field<'_>, expressions: &mut Expressions, errors: &mut Errors) {
    for variable in variables.items() {
        let (name, expression) = (variable.at("name"), variable.at("expression"));
        if name.text().trim().is_empty() {
            errors.required(&name, "name is not specified");
        } else if !is_identifier(name.text()) {
            errors.invalid(&name, "must be a valid CEL identifier");
        }
        if expression.text().trim().is_empty() {
            errors.required(&expression, "expression is not specified");
        } else if let Err(problem) = expressions.declare(name.text(), expression.text()) {
            errors.invalid(&expression, &problem);
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let is_letter = |character: char| character.is_ascii_alphabetic() || character == '_';
    name.starts_with(is_letter)
        && name.chars().all(|character| is_letter(character) || character.is_ascii_digit())
        && !RESERVED_WORDS.contains(&name)
}

fn validate_validation(validation: &Field<'_>, expressions: &Expressions, errors: &mut Errors) {
    let expression = validation.at("expression");
    if expression.text().trim().is_empty() {
        errors.required(&expression, "expression is not specified");
    } else if let Err(problem) = expressions.check(Purpose::Validation, expression.text()) {
        errors.invalid(&expression, &problem);
    }
    let message_expression = validation.at("messageExpression");
    if !message_expression.text().is_empty() {
        if message_expression.text().trim().is_empty() {
            errors.invalid(&message_expression, "must be non-empty if specified");
        } else if let Err(problem) = expressions.check(Purpose::Message, message_expression.text()) {
            errors.invalid(&message_expression, &problem);
        }
    }
    let message = validation.at("message");
    if !message.text().is_empty() && message.text().trim().is_empty() {
        errors.invalid(&message, "must be non-empty if specified");
    } else if message.text().trim().contains(['\n', '\r']) {
        errors.invalid(&message, "must not contain line breaks");
    }
    errors.known(&validation.at("reason"), &REASONS);
}

fn audit_annotations(policy: &Field<'_>, list: &Field<'_>, expressions: &Expressions, errors: &mut Errors) {
    let name = policy.at("metadata.name").text();
    if list.len() > MAXIMUM_AUDIT_ANNOTATIONS {
        errors.invalid(list, &format!("must not have more than {MAXIMUM_AUDIT_ANNOTATIONS} auditAnnotations"));
    }
    let mut keys = BTreeSet::new();
    for annotation in list.items() {
        let (key, expression) = (annotation.at("key"), annotation.at("valueExpression"));
        if name.is_empty() {
            errors.invalid_text(&key, "requires metadata.name be non-empty");
        } else {
            let full = format!("{name}/{}", key.text());
            for message in label_key_messages(&full) {
                errors.show(&key, &full.as_str().into(), &message);
            }
        }
        let trimmed = expression.text().trim();
        if trimmed.is_empty() {
            errors.required(&expression, "valueExpression is not specified");
        } else if trimmed.len() > MAXIMUM_VALUE_EXPRESSION_LENGTH {
            let detail = format!("must not exceed {MAXIMUM_VALUE_EXPRESSION_LENGTH} bytes in length");
            errors.required(&expression, &detail);
        } else if let Err(problem) = expressions.check(Purpose::AuditAnnotation, trimmed) {
            errors.invalid(&expression, &problem);
        }
        if !keys.insert(key.text()) {
            errors.show_duplicate(&key, &key.text().into());
        }
    }
}

fn validate_mutation(mutation: &Field<'_>, expressions: &Expressions, errors: &mut Errors) {
    const KINDS: [(&str, &str, Purpose); 2] = [
        ("ApplyConfiguration", "applyConfiguration", Purpose::ApplyConfiguration),
        ("JSONPatch", "jsonPatch", Purpose::JsonPatch),
    ];
    let patch_type = mutation.at("patchType");
    let kind = patch_type.text();
    errors.one_of(&patch_type, &KINDS.map(|(kind, ..)| kind));
    let Some((_, wanted, purpose)) = KINDS.iter().find(|(known, ..)| *known == kind) else { return };
    let given = mutation.at(wanted);
    if given.is_set() {
        let expression = given.at("expression");
        let trimmed = expression.text().trim();
        if trimmed.is_empty() {
            errors.required(&expression, "");
        } else if let Err(problem) = expressions.check(*purpose, trimmed) {
            errors.show(&expression, &trimmed.into(), &problem);
        }
    } else {
        errors.required(&given, &format!("must be specified when patchType is {kind}"));
    }
    for (_, other, _) in KINDS.iter().filter(|(other, ..)| *other != kind) {
        let given = mutation.at(other);
        if given.is_set() {
            let shown = format!("{{{other}}}");
            errors.show(&given, &shown.into(), &format!("must not be specified when patchType is {kind}"));
        }
    }
}

/// The status of a ValidatingAdmissionPolicy.
pub(in super::super) fn validate_policy_status(change: &Change<'_>, errors: &mut Errors) {
    let status = change.new.at("status");
    for warning in status.at("typeChecking.expressionWarnings").items() {
        for name in ["warning", "fieldRef"] {
            if warning.at(name).text().trim().is_empty() {
                errors.required(&warning.at(name), "");
            }
        }
    }
    conditions_of_status(&status.at("conditions"), errors);
}

/// Conditions of a status (`metav1validation.ValidateConditions`).
fn conditions_of_status(conditions: &Field<'_>, errors: &mut Errors) {
    const REASON: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
    const MAXIMUM_REASON: usize = 1024;
    const MAXIMUM_MESSAGE: usize = 32 * 1024;
    let mut types = BTreeSet::new();
    for condition in conditions.items() {
        let (kind, status, reason) = (condition.at("type"), condition.at("status"), condition.at("reason"));
        if !types.insert(kind.text()) {
            errors.show_duplicate(&kind, &kind.text().into());
        }
        qualified_name(&kind, errors);
        if !matches!(status.text(), "False" | "True" | "Unknown") {
            errors.not_supported(&status, &["False", "True", "Unknown"]);
        }
        if condition.at("observedGeneration").count() < 0 {
            errors.invalid(&condition.at("observedGeneration"), "must be greater than or equal to zero");
        }
        if condition.at("lastTransitionTime").text().is_empty() {
            errors.required(&condition.at("lastTransitionTime"), "must be set");
        }
        if reason.text().is_empty() {
            errors.required(&reason, "must be set");
        } else {
            if !has_form(reason.text(), REASON) {
                let detail = format!(
                    "a condition reason must start with alphabetic character, optionally followed by a string of \
                     alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. \
                     'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used \
                     for validation is '{REASON}')"
                );
                errors.invalid(&reason, &detail);
            }
            if reason.text().len() > MAXIMUM_REASON {
                errors.too_long(&reason, MAXIMUM_REASON);
            }
        }
        if condition.at("message").text().len() > MAXIMUM_MESSAGE {
            errors.too_long(&condition.at("message"), MAXIMUM_MESSAGE);
        }
    }
}

/// A ValidatingAdmissionPolicyBinding.
pub(in super::super) fn validate_binding(change: &Change<'_>, errors: &mut Errors) {
    binding(change, &[], errors);
    validation_actions(&change.new.at("spec.validationActions"), errors);
}

/// A MutatingAdmissionPolicyBinding.
pub(in super::super) fn validate_mutating_binding(change: &Change<'_>, errors: &mut Errors) {
    binding(change, &MUTATING_OPERATIONS, errors);
}

fn binding(change: &Change<'_>, operations: &[&str], errors: &mut Errors) {
    let spec = change.new.at("spec");
    let policy = spec.at("policyName");
    if policy.text().is_empty() {
        errors.required(&policy, "");
    } else {
        errors.messages(&policy, subdomain_messages(policy.text(), 253));
    }
    let parameters = spec.at("paramRef");
    if parameters.is_set() {
        parameter_reference(&parameters, errors);
    }
    let resources = spec.at("matchResources");
    if resources.is_set() {
        match_resources(&resources, errors);
        possible_operations(&resources.at("resourceRules"), operations, errors);
    }
}

fn parameter_reference(reference: &Field<'_>, errors: &mut Errors) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let (name, selector) = (reference.at("name"), reference.at("selector"));
    let is_named = !name.text().is_empty();
    if is_named {
        errors.messages(&name, path_segment_messages(name.text(), false));
        if selector.is_set() {
            errors.forbidden(&name, EXCLUSIVE);
        }
    }
    if selector.is_set() {
        label_selector(&selector, errors);
        if is_named {
            errors.forbidden(&selector, EXCLUSIVE);
        }
    }
    if !is_named && !selector.is_set() {
        errors.required(reference, "one of name or selector must be specified");
    }
    errors.one_of(&reference.at("parameterNotFoundAction"), &["Deny", "Allow"]);
}

fn validation_actions(actions: &Field<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for action in actions.items() {
        errors.known(&action, &["Audit", "Deny", "Warn"]);
        if !seen.insert(action.text()) {
            errors.duplicate(&action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                      response and headers serves no purpose)";
        errors.invalid(actions, detail);
    }
    if seen.is_empty() {
        errors.required(actions, "at least one validation action is required");
    }
}
