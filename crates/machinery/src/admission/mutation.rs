//! MutatingAdmissionPolicies: expressions that give a change of the requested object
//! (`k8s.io/apiserver/pkg/admission/plugin/policy/mutating` 1.36).

use serde_json::{Map, Value};

use super::policy::{Definition, compiled, items, text};
use crate::{
    apply::merge_unowned,
    cel::{Bindings, Outcome, Program, metering::BUDGET},
    patch::{JsonPatchError, apply_json_patch},
    schema::SchemaNode,
};

/// A policy.
#[derive(Debug)]
pub struct MutatingPolicy {
    /// What it has in common with a validating one.
    pub definition: Definition,
    /// Whether it is asked again when something later changes the object.
    pub reinvoke: bool,
    mutations: Vec<Mutation>,
}

#[derive(Debug)]
struct Mutation {
    is_json_patch: bool,
    expression: String,
    program: Result<Program, String>,
}

/// A change that a policy wants.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectPatch {
    /// Fields to be laid over the object.
    ApplyConfiguration(Value),
    /// Operations of a JSON patch.
    JsonPatch(Value),
}

impl MutatingPolicy {
    /// From a MutatingAdmissionPolicy.
    pub fn from_json(policy: &Value) -> Self {
        let spec = &policy["spec"];
        let mutation = |mutation: &Value| {
            let is_json_patch = text(mutation, "patchType") == "JSONPatch";
            let source = &mutation[if is_json_patch { "jsonPatch" } else { "applyConfiguration" }];
            let expression = text(source, "expression").to_owned();
            Mutation { is_json_patch, program: compiled(&expression), expression }
        };
        Self {
            definition: Definition::from_json(policy),
            reinvoke: text(spec, "reinvocationPolicy") == "IfNeeded",
            mutations: items(&spec["mutations"]).map(mutation).collect(),
        }
    }

    /// How many mutations there are.
    pub fn mutations(&self) -> usize {
        self.mutations.len()
    }

    /// What the mutation at `index` wants of a request with these variables.
    ///
    /// # Errors
    /// Why that can not be told.
    pub fn patch(&self, index: usize, bindings: &Bindings) -> Result<ObjectPatch, String> {
        let Some(Mutation { is_json_patch, expression, program }) = self.mutations.get(index) else {
            return Err("policy evaluator is nil".to_owned());
        };
        let bindings = bindings.clone().with_budget(BUDGET);
        let outcome = self.definition.with_variables(bindings).evaluate(program, expression)?;
        if *is_json_patch { operations(&outcome).map(ObjectPatch::JsonPatch) } else { configuration(&outcome) }
    }
}

fn configuration(outcome: &Outcome) -> Result<ObjectPatch, String> {
    require_places(outcome)?;
    outcome.as_json().map(ObjectPatch::ApplyConfiguration)
}

fn require_places(outcome: &Outcome) -> Result<(), String> {
    let misplaced = outcome.misplaced_types();
    if misplaced.is_empty() { Ok(()) } else { Err(format!("type mismatch: {}", misplaced.join("\n"))) }
}

fn operations(outcome: &Outcome) -> Result<Value, String> {
    let items = outcome.items().ok_or("type mismatch: JSONPatchType.expression should evaluate to array")?;
    items.iter().map(operation).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn operation(given: &Outcome) -> Result<Value, String> {
    let text = |name: &str| given.member(name).and_then(|member| member.as_text()).unwrap_or_default();
    let mut operation = Map::new();
    operation.insert("op".to_owned(), text("op").into());
    operation.insert("path".to_owned(), text("path").into());
    if !text("from").is_empty() {
        operation.insert("from".to_owned(), text("from").into());
    }
    if let Some(value) = given.member("value") {
        require_places(&value)?;
        let value = value.as_json().map_err(|why| {
            format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}")
        })?;
        operation.insert("value".to_owned(), value);
    }
    Ok(Value::Object(operation))
}

impl ObjectPatch {
    /// The changed object; the same where a test of a JSON patch fails.
    ///
    /// # Errors
    /// Why it can not be changed so.
    pub fn apply_to(&self, object: &Value, schema: Option<&SchemaNode>) -> Result<Value, String> {
        match self {
            Self::ApplyConfiguration(configuration) => {
                let mut applied = configuration.clone();
                for name in ["apiVersion", "kind"] {
                    applied[name] = object[name].clone();
                }
                merge_unowned(object, &applied, schema).map_err(|why| format!("error applying patch: {why}"))
            }
            Self::JsonPatch(operations) => match apply_json_patch(object, operations) {
                Ok(patched) => Ok(patched),
                Err(JsonPatchError::Apply(why)) if is_failed_test(&why) => Ok(object.clone()),
                Err(JsonPatchError::Apply(why)) => Err(format!("JSON Patch: {why}")),
                Err(JsonPatchError::Decode(error)) => Err(format!("JSON Patch: {}", error.status().message)),
            },
        }
    }
}

fn is_failed_test(why: &str) -> bool {
    why.starts_with("testing value ") && why.ends_with("test failed")
}
