//! Writing to the terminal: the only place that prints.
//!
//! Results go to standard output, everything else to standard error. A closed pipe (`kogge ... | head`) is success.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use crate::outcome::{CommandError, Exit};

/// Prints a result to standard output.
///
/// # Errors
/// Exit code 1 if it cannot be written; a closed pipe is no error.
pub fn print(text: &str) -> Result<(), CommandError> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::new(Exit::Failed, format!("failed to write the result: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says something beside the result, on standard error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Whether standard error is a terminal (live bars) or not (plain lines).
pub fn is_interactive() -> bool {
    std::io::stderr().is_terminal()
}

/// Asks a yes-or-no question; no terminal means no.
///
/// # Errors
/// Exit code 2 without a terminal, naming the option that answers.
pub fn confirm(question: &str, option: &str) -> Result<bool, CommandError> {
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::new(Exit::Refused, format!("{question} needs a yes")).hint(format!("add {option}")));
    }
    let _ = write!(std::io::stderr().lock(), "{question}? [y/N] ");
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
