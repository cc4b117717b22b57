//! Webhook configurations as the server uses them.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::rules::{RequestedResource, Rule};
use crate::{
    cel::{Bindings, Program, metering::BUDGET_OF_CONDITIONS},
    selector::LabelSelector,
    webhook::ClientConfig,
};

/// Whether a webhook may change objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// It may.
    Mutating,
    /// It only allows or denies.
    Validating,
}

/// A condition beyond the rules.
#[derive(Debug)]
pub struct MatchCondition {
    /// Its name.
    pub name: String,
    /// The expression, or why it does not compile.
    pub program: Result<Program, String>,
}

impl MatchCondition {
    /// The conditions of a list in JSON.
    pub fn list_from_json(list: &Value) -> Vec<Self> {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|condition| Self {
                name: condition["name"].as_str().unwrap_or_default().to_owned(),
                program: Program::compile(condition["expression"].as_str().unwrap_or_default()),
            })
            .collect()
    }
}

/// What match conditions say of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum MatchResult {
    /// All are true.
    Matches,
    /// One is false, or one failed where failures are ignored.
    Excluded,
    /// One failed.
    Failed(String),
}

/// Evaluates match conditions: one that is false decides, whatever else fails.
pub fn conditions_match(conditions: &[MatchCondition], ignore_failures: bool, bindings: &Bindings) -> MatchResult {
    let mut failures = Vec::new();
    let bindings = &bindings.clone().with_budget(BUDGET_OF_CONDITIONS);
    for condition in conditions {
        let outcome = match &condition.program {
            Ok(program) => program
                .evaluate(bindings)
                .map_err(|error| format!("expression '{}' resulted in error: {error}", program.source())),
            Err(error) => Err(format!("compilation error: compilation failed: {error}")),
        };
        match outcome.map(|outcome| outcome.as_bool()) {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return MatchResult::Excluded,
            Ok(None) => failures.push("compilation error: must evaluate to bool".to_owned()),
            Err(error) => failures.push(error),
        }
        if let Err(out_of_budget) = bindings.check_budget() {
            failures = vec![out_of_budget];
            break;
        }
    }
    match failures.as_slice() {
        [] => MatchResult::Matches,
        _ if ignore_failures => MatchResult::Excluded,
        [one] => MatchResult::Failed(one.clone()),
        several => MatchResult::Failed(format!("[{}]", several.join(", "))),
    }
}

/// Which requests a webhook or a policy is about.
#[derive(Debug)]
pub struct MatchResources {
    /// Any of these has to match.
    pub rules: Vec<Rule>,
    /// None of these may match.
    pub excluded: Vec<Rule>,
    /// Whether a request for another version of a resource in the rules is converted and counts, too.
    pub match_equivalent: bool,
    /// Labels of the object's namespace.
    pub namespace_selector: Result<LabelSelector, String>,
    /// Labels of the object, old or new.
    pub object_selector: Result<LabelSelector, String>,
}

impl MatchResources {
    /// From the JSON of a webhook (whose rules are in `rules`) or of a policy (`resourceRules`).
    pub fn from_json(source: &Value, rules: &str) -> Self {
        let list = |name: &str| source[name].as_array().into_iter().flatten().map(Rule::from_json).collect();
        Self {
            rules: list(rules),
            excluded: list("excludeResourceRules"),
            match_equivalent: source["matchPolicy"].as_str() != Some("Exact"),
            namespace_selector: selector(&source["namespaceSelector"]),
            object_selector: selector(&source["objectSelector"]),
        }
    }

    /// Whether any rule may concern a request, in its version or, where that counts, in another one.
    pub fn may_concern(&self, request: &RequestedResource<'_>) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.matches(request) || (self.match_equivalent && rule.may_match_another_version(request)))
    }
}

/// One webhook of a configuration.
#[derive(Debug)]
pub struct Webhook {
    /// Name, e.g. `default.machine.cluster.x-k8s.io`.
    pub name: String,
    /// Name of the configuration.
    pub configuration: String,
    /// Which requests it is about.
    pub matching: MatchResources,
    /// Conditions beyond the rules.
    pub match_conditions: Vec<MatchCondition>,
    /// Whether the request goes on when the webhook can not be called.
    pub ignore_failures: bool,
    /// Whether it may be called for dry runs.
    pub allows_dry_run: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether it is called again when later webhooks change the object.
    pub reinvoke: bool,
    /// The first of `admissionReviewVersions` that is known: `v1` or `v1beta1`.
    pub review_version: Option<&'static str>,
    /// Where it is.
    pub client: Result<ClientConfig, String>,
}

/// The webhooks of a configuration object, in order.
pub fn webhooks(configuration: &Value) -> Vec<Arc<Webhook>> {
    let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
    configuration["webhooks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|webhook| Arc::new(Webhook::from_json(name, webhook)))
        .collect()
}

/// A selector; absent means everything.
pub(super) fn selector(value: &Value) -> Result<LabelSelector, String> {
    let everything = Value::Object(serde_json::Map::new());
    let value = if value.is_null() { &everything } else { value };
    LabelSelector::from_object(value).map_err(|error| error.status().message.clone())
}

impl Webhook {
    fn from_json(configuration: &str, webhook: &Value) -> Self {
        let text = |name: &str| webhook[name].as_str().unwrap_or_default();
        let known = |version: &Value| match version.as_str() {
            Some("v1") => Some("v1"),
            Some("v1beta1") => Some("v1beta1"),
            _ => None,
        };
        Self {
            name: text("name").to_owned(),
            configuration: configuration.to_owned(),
            matching: MatchResources::from_json(webhook, "rules"),
            match_conditions: MatchCondition::list_from_json(&webhook["matchConditions"]),
            ignore_failures: text("failurePolicy") == "Ignore",
            allows_dry_run: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            timeout: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(10)),
            reinvoke: text("reinvocationPolicy") == "IfNeeded",
            review_version: webhook["admissionReviewVersions"].as_array().into_iter().flatten().find_map(known),
            client: ClientConfig::from_json(&webhook["clientConfig"]),
        }
    }
}
