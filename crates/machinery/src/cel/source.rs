//! The text of an expression: its tree, and where in the text something is wrong with it (cel-go, `common/error.go`).

use std::{
    borrow::Cow,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use kube_cel::cel::{
    IdedExpr,
    common::ast::{Expr, SourceInfo},
    parser::{ParseError, ParseErrors, Parser},
};

use super::{RESERVED_WORDS, expression_tree::for_each_child};
use crate::compile_cache::CompileCache;

/// The longest expression that is compiled, in bytes. The real server bounds expressions by the size of the object only;
/// the parser used here keeps more state than Go's.
const MAXIMUM_LENGTH: usize = 64 * 1024;
/// The deepest expression that is compiled, by [`depth`]. The real server bounds the recursion of its parser.
const MAXIMUM_DEPTH: usize = 500;
/// What walking a level of an expression may take of the stack, in bytes.
const STACK_OF_LEVEL: usize = if cfg!(debug_assertions) { 512 << 10 } else { 64 << 10 };
/// So many problems are told.
const MAXIMUM_PROBLEMS: usize = 100;

/// Something wrong with a part of an expression.
#[derive(Debug)]
pub(super) struct Problem {
    /// The part.
    pub(super) id: u64,
    pub(super) message: String,
}

/// Parses an expression, once for all that ask for the same: definitions repeat their rules in each version, and the parser
/// takes most of the time that checking one takes.
///
/// # Errors
/// In the words of cel-go.
pub(crate) fn parse(source: &str) -> Result<Arc<IdedExpr>, String> {
    static TREES: CompileCache<IdedExpr> = CompileCache::new();
    TREES.get(source, parse_anew)
}

/// A panic of the parser is an error as well: expressions come from users.
fn parse_anew(source: &str) -> Result<IdedExpr, String> {
    if source.len() > MAXIMUM_LENGTH {
        return Err(format!("the expression is longer than {MAXIMUM_LENGTH} bytes"));
    }
    if depth(source) > MAXIMUM_DEPTH {
        return Err(format!("expression recursion limit exceeded: {MAXIMUM_DEPTH}"));
    }
    let tree = match parsed(&without_double_negations(source)) {
        Ok(tree) => tree,
        Err(Some(errors)) => return Err(syntax_problems(source, &errors)),
        Err(None) => return Err("the expression can not be parsed".to_owned()),
    };
    let mut reserved = Vec::new();
    find_reserved(&tree, &mut reserved);
    if reserved.is_empty() { Ok(tree) } else { Err(shown(source, &reserved)) }
}

/// A bound of how deep the tree of an expression is: the brackets around a place, and what is chained before each of them.
/// (The parser balances what is joined by `&&` and `||`.)
pub(crate) fn depth(source: &str) -> usize {
    let (mut around, mut chained, mut outer, mut deepest) = (Vec::new(), 0_usize, 0_usize, 0_usize);
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '\'' | '"' => {
                let before = &source[..source.len() - rest.len()];
                let quote = &rest[..1];
                let quote = if rest.starts_with(&quote.repeat(3)) { quote.repeat(3) } else { quote.to_owned() };
                length = text_length(rest, &quote, before.ends_with(['r', 'R']));
            }
            '/' if rest.starts_with("//") => length = rest.find('\n').unwrap_or(rest.len()),
            '(' | '[' | '{' => {
                around.push(chained + 1);
                outer += chained + 1;
                chained = 0;
            }
            ')' | ']' | '}' => {
                chained = around.pop().unwrap_or_default();
                outer -= chained;
            }
            ',' | '&' | '|' => chained = 0,
            '.' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' | '?' => chained += 1,
            // The operator `in`.
            'i' if rest[1..].starts_with("n ") => chained += 1,
            _ => {}
        }
        deepest = deepest.max(outer + chained);
        rest = &rest[length..];
    }
    deepest
}

/// Runs what walks an expression of this depth, with more stack where the thread has not enough.
pub(crate) fn with_stack<T>(depth: usize, walk: impl FnOnce() -> T) -> T {
    let needed = (depth.min(MAXIMUM_DEPTH) + 8) * STACK_OF_LEVEL;
    stacker::maybe_grow(needed, needed, walk)
}

/// The text with blanks in the place of `!!`, which the parser takes for one negation. Texts and comments stay.
fn without_double_negations(source: &str) -> Cow<'_, str> {
    if !source.contains("!!") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let is_raw = out.ends_with(['r', 'R']);
                let quote = &rest[..1];
                let quote = if rest.starts_with(&quote.repeat(3)) { quote.repeat(3) } else { quote.to_owned() };
                text_length(rest, &quote, is_raw)
            }
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '!' if rest.starts_with("!!") => {
                out.push_str("  ");
                rest = &rest[2..];
                continue;
            }
            other => other.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

/// The length of a text that begins here, with its quotes.
fn text_length(source: &str, quote: &str, is_raw: bool) -> usize {
    let mut at = quote.len();
    while at < source.len() {
        let rest = &source[at..];
        if rest.starts_with(quote) {
            return at + quote.len();
        }
        let skipped = if rest.starts_with('\\') && !is_raw { 2 } else { 1 };
        at += rest.chars().take(skipped).map(char::len_utf8).sum::<usize>();
    }
    source.len()
}

/// What the parser says, with the one sentence of cel-go that differs from macro to macro.
fn syntax_problems(source: &str, errors: &ParseErrors) -> String {
    const NO_NAME: &str = "argument must be a simple name";
    let told = |error: &ParseError| {
        let [line, column] = [error.pos.0, error.pos.1].map(|from_one| usize::try_from(from_one - 1).unwrap_or(0));
        let before = source.split('\n').nth(line).and_then(|text| text.get(..column)).unwrap_or_default();
        let last_of = |macros: &[&str]| macros.iter().filter_map(|name| before.rfind(name)).max();
        let of_lists = last_of(&[".map(", ".filter("]);
        let is_told_otherwise =
            error.msg == NO_NAME && of_lists > last_of(&[".all(", ".exists(", ".exists_one(", ".existsOne("]);
        let message = match error.msg.split_once(" expecting {<EOF>, ") {
            _ if is_told_otherwise => "argument is not an identifier".to_owned(),
            // Where an expression may end, ANTLR for Go says no more than that.
            Some((found, _)) => format!("{found} expecting <EOF>"),
            None => error.msg.clone(),
        };
        excerpt(source, line, column, &message)
    };
    errors.errors.iter().map(told).collect::<Vec<_>>().join("\n")
}

/// Nothing where the parser gave up.
fn parsed(source: &str) -> Result<IdedExpr, Option<ParseErrors>> {
    let parse = || Parser::new().enable_optional_syntax(true).parse(source);
    match catch_unwind(AssertUnwindSafe(parse)) {
        Ok(result) => result.map_err(Some),
        Err(_) => Err(None),
    }
}

fn find_reserved(expression: &IdedExpr, found: &mut Vec<Problem>) {
    if let Expr::Ident(name) = &expression.expr
        && RESERVED_WORDS.contains(&name.as_str())
    {
        found.push(Problem { id: expression.id, message: format!("reserved identifier: {name}") });
    }
    for_each_child(expression, &mut |child| find_reserved(child, found));
}

/// The problems of an expression in the order of their places, each with the line around it.
pub(super) fn shown(source: &str, problems: &[Problem]) -> String {
    let positions = positions(source);
    let position = |id: u64| positions.as_ref().and_then(|info| info.offset_for(id)).map_or(0, |(start, _)| start);
    let mut placed: Vec<(usize, usize, &str)> = problems
        .iter()
        .map(|problem| {
            // The expression was parsed behind a parenthesis.
            let offset = usize::try_from(position(problem.id)).unwrap_or_default().saturating_sub(1);
            let (line, column) = place(source, offset);
            (line, column, problem.message.as_str())
        })
        .collect();
    placed.sort_by_key(|(line, column, _)| (*line, *column));
    let mut lines: Vec<String> = placed
        .iter()
        .take(MAXIMUM_PROBLEMS)
        .map(|(line, column, message)| excerpt(source, *line, *column, message))
        .collect();
    if placed.len() > MAXIMUM_PROBLEMS {
        lines.push(format!("{} more errors were truncated", placed.len() - MAXIMUM_PROBLEMS));
    }
    lines.join("\n")
}

/// Where the parts of an expression begin. The parser tells it in errors only, so the expression is followed by one,
/// which changes no number of a part.
fn positions(source: &str) -> Option<Arc<SourceInfo>> {
    let source = without_double_negations(source);
    let errors = parsed(&format!("({source}\n)+99999999999999999999")).err()??;
    errors.errors.into_iter().find_map(|error| error.source_info)
}

/// Line from 0 and column from 0 of a place.
fn place(source: &str, offset: usize) -> (usize, usize) {
    let before = &source[..source.floor_char_boundary(offset)];
    let line = before.matches('\n').count();
    (line, before.chars().rev().take_while(|character| *character != '\n').count())
}

/// A message with the line it is about.
fn excerpt(source: &str, line: usize, column: usize, message: &str) -> String {
    let mut text = format!("ERROR: <input>:{}:{}: {message}", line + 1, column + 1);
    let Some(shown) = source.split('\n').nth(line) else { return text };
    let shown = shown.replace('\t', " ");
    // Where a character takes more than a byte, so does the dot below it.
    let mut dots: String =
        shown.chars().take(column).map(|character| if character.is_ascii() { '.' } else { '\u{ff0e}' }).collect();
    dots.push(if shown.chars().nth(column).is_none_or(|character| character.is_ascii()) { '^' } else { '\u{ff3e}' });
    let _ = write!(text, "\n | {shown}\n | {dots}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_negations_are_none_but_for_those_in_texts() {
        for (source, expected) in [
            ("!!a", "  a"),
            ("!!!a", "  !a"),
            ("'!!' + \"a\\\"!!\" + r'\\' + !!b", "'!!' + \"a\\\"!!\" + r'\\' +   b"),
            ("'''it's !!''' || !!c // !!", "'''it's !!''' ||   c // !!"),
            ("'open !!", "'open !!"),
        ] {
            assert_eq!(without_double_negations(source), expected, "{source}");
        }
    }
}
