//! `kogge explain`, completions and the reference of the command line.

use std::process::Command;

use clap::CommandFactory as _;

use crate::session::root;

fn kogge(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kogge")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_listed_code_has_a_page() {
    let (code, list, _) = kogge(&["explain"]);
    assert_eq!(code, 0);
    let codes: Vec<&str> = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(codes.len() >= 20, "{codes:?}");
    for name in codes {
        let (code, page, _) = kogge(&["explain", name]);
        assert_eq!(code, 0, "{name}");
        assert!(page.starts_with('#') && page.len() > 200, "{name}: {page}");
    }
}

#[test]
fn a_misspelt_code_gets_the_nearest_one() {
    let (code, _, error) = kogge(&["explain", "QuotaExceded"]);
    assert_eq!(code, 3);
    assert!(error.contains("did you mean QuotaExceeded?"), "{error}");
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = kogge(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(script.contains("kogge"), "{shell}");
    }
}

/// `docs/command-line.md` is made from the arguments; accept a wanted change with `KOGGE_UPDATE=1`.
#[test]
fn the_reference_of_the_command_line_is_up_to_date() {
    let mut command = kogge::arguments::Arguments::command().term_width(110);
    command.build();
    let mut text = String::from("# The command line\n\nMade from the program's own help; do not edit.\n");
    reference(&command, &mut text);
    let file = root().join("docs/command-line.md");
    if std::env::var_os("KOGGE_UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(checked_in == text, "docs/command-line.md is not what the program says; run the tests with KOGGE_UPDATE=1");
}

fn reference(command: &clap::Command, text: &mut String) {
    use std::fmt::Write as _;
    let mut command = command.clone();
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        reference(subcommand, text);
    }
}
