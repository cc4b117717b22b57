//! How a command ends: exit codes and the errors that carry them.
//!
//! `main` maps an outcome to the process's exit code in one place; everything below returns values.

use std::fmt::Write as _;

use serde::Deserialize;

/// Exit codes, as printed below `kogge --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The server or the cloud could not do it.
    Failed = 1,
    /// Input or command line is wrong; nothing was changed.
    Refused = 2,
    /// No such thing.
    NotFound = 3,
    /// Changed by somebody else meanwhile, or already there.
    Conflict = 4,
    /// No server reached, or not signed in.
    Unreachable = 5,
    /// Still going when the time to wait was over.
    TimedOut = 6,
}

/// A command that did not succeed: what to print and how to exit.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// Exit code.
    pub exit: Exit,
    /// One sentence without a period at its end.
    pub message: String,
    /// Further lines, already laid out (a source excerpt, one line per wrong field).
    pub details: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The wrong fields, where the server named any.
    pub fields: Vec<FieldProblem>,
}

impl CommandError {
    /// An error without details.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), hint: None, fields: Vec::new() }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The whole text for standard error.
    pub fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for detail in &self.details {
            for line in detail.lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

/// The body of an error answer (RFC 9457) as far as the command line prints it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProblemDocument {
    /// HTTP status.
    pub status: u16,
    /// Short title.
    pub title: String,
    /// What is wrong this time.
    pub detail: String,
    /// Stable code.
    pub code: String,
    /// Names the request in the server's log.
    pub request_id: String,
    /// One entry per wrong field.
    pub errors: Vec<FieldProblem>,
}

/// One wrong field of a [`ProblemDocument`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct FieldProblem {
    /// JSON pointer to the field.
    pub pointer: String,
    /// Stable code.
    pub code: String,
    /// Field path, e.g. `spec.workers[0].count`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.field, self.message)
        }
    }
}

impl From<ProblemDocument> for CommandError {
    fn from(problem: ProblemDocument) -> Self {
        let exit = match problem.status {
            400 | 406 | 413 | 415 | 422 => Exit::Refused,
            404 => Exit::NotFound,
            409 | 412 => Exit::Conflict,
            401 | 403 => Exit::Unreachable,
            _ => Exit::Failed,
        };
        let message = if problem.detail.is_empty() { problem.title } else { problem.detail };
        let details =
            problem.errors.iter().map(ToString::to_string).filter(|line| !message.contains(line.as_str())).collect();
        let hint = match (exit, problem.code.is_empty()) {
            (Exit::Failed, true) => Some(format!("the server's log has more under request {}", problem.request_id)),
            (_, true) => None,
            (_, false) => Some(format!("`kogge explain {}` says more", problem.code)),
        };
        Self { exit, message, details, hint, fields: problem.errors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_lists_each_field_and_names_the_page_to_read() {
        let problem: ProblemDocument = serde_json::from_value(serde_json::json!({
            "status": 422, "title": "Invalid description", "detail": "the description has 2 problems",
            "code": "InvalidDescription", "requestId": "r-1",
            "errors": [
                {"field": "spec.controlPlane.count", "message": "4 is even; use 3 or 5"},
                {"field": "spec.workers[1].name", "message": "`web` is there already"},
            ],
        }))
        .unwrap();
        let error = CommandError::from(problem);
        assert_eq!(error.exit, Exit::Refused);
        insta::assert_snapshot!(error.render(), @r"
        error: the description has 2 problems
          spec.controlPlane.count: 4 is even; use 3 or 5
          spec.workers[1].name: `web` is there already
        hint: `kogge explain InvalidDescription` says more
        ");
    }
}
