//! `kogge explain [CODE]`

use kogge_api::problem;

use crate::arguments::ExplainArguments;
use crate::outcome::{CommandError, Exit};
use crate::{rendering, terminal};

/// Prints the page of a problem code, or all codes.
///
/// # Errors
/// Exit code 3 for a code there is not, with the nearest that is.
pub fn run(arguments: &ExplainArguments) -> Result<(), CommandError> {
    let Some(code) = &arguments.code else {
        let rows: Vec<Vec<String>> = problem::CATALOGUE
            .iter()
            .map(|entry| vec![entry.code.as_str().to_owned(), entry.actor.to_string(), entry.title.to_owned()])
            .collect();
        return terminal::print(&rendering::table(&["CODE", "WHO HAS TO ACT", "WHAT IT IS"], &rows));
    };
    if let Some(entry) = problem::CATALOGUE.iter().find(|entry| entry.code.as_str().eq_ignore_ascii_case(code)) {
        return terminal::print(entry.page);
    }
    let error = CommandError::new(Exit::NotFound, format!("there is no code `{code}`"));
    Err(match kogge_api::suggestion::closest(code, problem::CATALOGUE.iter().map(|entry| entry.code.as_str())) {
        Some(nearest) => error.hint(format!("did you mean {nearest}? `kogge explain` lists them all")),
        None => error.hint("`kogge explain` lists them all"),
    })
}
