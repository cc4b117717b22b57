//! `kogge cluster diagnose NAME`

use std::fmt::Write as _;

use kogge_api::kubernetes_cluster::ClusterProblem;
use reqwest::Method;
use serde_json::Value;

use crate::arguments::GetArguments;
use crate::outcome::CommandError;
use crate::progress::problem_line;
use crate::rest_client::{Body, RestClient};
use crate::{rendering, terminal};

/// Says what is wrong, who has to act and what to do.
///
/// # Errors
/// As the server answers.
pub async fn run(client: &RestClient, arguments: GetArguments) -> Result<(), CommandError> {
    let path = client.clusters_path(&format!("/{}/diagnostics", arguments.name));
    let diagnostics: Value = client.call(Method::GET, &path, Body::Empty).await?;
    terminal::print(&rendering::document(arguments.output.output, &diagnostics, || {
        for_people(&arguments.name, &diagnostics, jiff::Timestamp::now())
    })?)
}

/// Diagnostics for people.
pub fn for_people(name: &str, diagnostics: &Value, now: jiff::Timestamp) -> String {
    let list = |field: &str| diagnostics[field].as_array().map(Vec::as_slice).unwrap_or_default();
    let phase = diagnostics["phase"].as_str().unwrap_or("Pending");
    let problems: Vec<ClusterProblem> =
        list("problems").iter().filter_map(|problem| serde_json::from_value(problem.clone()).ok()).collect();
    let mut text = match problems.len() {
        0 => format!("{name} is {phase}; no problem is known\n"),
        1 => format!("{name} is {phase}; 1 problem\n"),
        many => format!("{name} is {phase}; {many} problems\n"),
    };
    for problem in &problems {
        let _ = writeln!(text, "\n{}", problem_line(problem).trim_start());
        if let Some(object) = &problem.object {
            let _ =
                writeln!(text, "    at {}/{}, for {}", object.kind, object.name, rendering::age(problem.since, now));
        }
        let _ = writeln!(text, "    `kogge explain {}` says more", problem.code);
    }
    let cell = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    if !list("failing").is_empty() {
        let rows: Vec<_> = list("failing")
            .iter()
            .map(|row| {
                vec![format!("{}/{}", cell(row, "kind"), cell(row, "name")), cell(row, "reason"), cell(row, "message")]
            })
            .collect();
        let _ = write!(text, "\n{}", rendering::table(&["NOT READY", "REASON", "MESSAGE"], &rows));
    }
    if !list("events").is_empty() {
        let rows: Vec<_> = list("events")
            .iter()
            .map(|row| {
                let time: Option<jiff::Timestamp> = row["time"].as_str().and_then(|time| time.parse().ok());
                vec![
                    rendering::age(time, now),
                    cell(row, "type"),
                    cell(row, "reason"),
                    cell(row, "object"),
                    cell(row, "message"),
                ]
            })
            .collect();
        let _ = write!(text, "\n{}", rendering::table(&["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"], &rows));
    }
    text
}
