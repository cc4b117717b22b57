//! `kogge cluster plan`

use std::fmt::Write as _;

use kogge_api::plan::{Effect, Plan};
use reqwest::Method;
use serde_json::Value;

use crate::arguments::PlanArguments;
use crate::outcome::{CommandError, Exit};
use crate::rest_client::{Body, RestClient};
use crate::{documents, rendering, terminal};

/// Shows what a description would do, or what is still to be done.
///
/// # Errors
/// Exit code 2 if the plan contains a refusal, else as the server answers.
pub async fn run(client: &RestClient, arguments: PlanArguments) -> Result<(), CommandError> {
    let (client, name, proposal) = match &arguments.file {
        Some(file) => {
            let mut read = documents::read_clusters(std::slice::from_ref(file))?;
            if read.len() != 1 {
                return Err(CommandError::new(Exit::Refused, "plan one description at a time"));
            }
            let document = read.remove(0);
            (document.client(client), document.name, Some(document.body))
        }
        None => (client.clone(), arguments.name.clone().unwrap_or_default(), None),
    };
    let body = proposal.as_ref().map_or(Body::Empty, Body::Json);
    let answer: Value = client.call(Method::POST, &client.clusters_path(&format!("/{name}/plan")), body).await?;
    let plan: Plan = serde_json::from_value(answer.clone())
        .map_err(|error| CommandError::new(Exit::Failed, format!("the server's plan is not understood: {error}")))?;
    terminal::print(&rendering::document(arguments.output.output, &answer, || for_people(&plan))?)?;
    let refusals: Vec<String> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.effect {
            Effect::Refused { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect();
    if refusals.is_empty() {
        return Ok(());
    }
    let mut error = CommandError::new(Exit::Refused, "the plan cannot be carried out");
    error.details = refusals;
    Err(error)
}

/// A plan for people: one line a step, and below it the fields that cause it.
pub fn for_people(plan: &Plan) -> String {
    if plan.steps.is_empty() {
        return format!("{}: nothing to do, it is as described\n", plan.cluster);
    }
    let mut text = String::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(text, "{}. {step:#}", index + 1);
        for change in &step.causes {
            let show = |value: &Option<Value>| match value {
                None | Some(Value::Null) => "not set".to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            };
            let _ = writeln!(text, "     {}: {} -> {}", change.field, show(&change.from), show(&change.to));
        }
    }
    let replaced = plan.machines_replaced();
    if replaced > 0 {
        let _ = writeln!(text, "{replaced} machines are replaced, one after the other");
    }
    text
}
