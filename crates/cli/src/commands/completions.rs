//! `kogge completions SHELL`

use clap::CommandFactory as _;

use crate::arguments::Arguments;
use crate::outcome::CommandError;
use crate::terminal;

/// Prints the completion script of a shell.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(shell: clap_complete::Shell) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "kogge", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))
}
