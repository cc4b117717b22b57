//! The binary `kogge`. Everything it does is in the library of this crate; here an outcome becomes an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = kogge::arguments::Arguments::parse();
    match kogge::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // Nothing sensible is left to do when standard error is closed.
            let _ = std::io::stderr().write_all(error.render().as_bytes());
            ExitCode::from(error.exit as u8)
        }
    }
}
