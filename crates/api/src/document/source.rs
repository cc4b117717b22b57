//! A text with its name: lines, columns and excerpts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{LocatedProblem, MAX_BYTES};
use crate::problem::ProblemCode;
use crate::validation::{FieldPath, FieldProblem};

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub offset: usize,
    /// Number of bytes, at least one unless the text ends there; never beyond the end of the line.
    pub length: usize,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// The lines around a place, and how to point at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// What the text is called.
    pub name: String,
    /// Number of the first line, counted from 1.
    pub first_line: usize,
    /// The lines, the last of which is the one with the place.
    pub lines: Vec<String>,
    /// Column of the place in the last line, in characters, counted from 1.
    pub column: usize,
    /// Number of characters to underline.
    pub width: usize,
}

impl fmt::Display for Excerpt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.first_line + self.lines.len().saturating_sub(1);
        let margin = last.to_string().len();
        write!(formatter, "{:margin$}--> {}:{last}:{}", "", self.name, self.column)?;
        write!(formatter, "\n{:margin$} |", "")?;
        for (offset, line) in self.lines.iter().enumerate() {
            write!(formatter, "\n{:>margin$} | {line}", self.first_line + offset)?;
        }
        write!(
            formatter,
            "\n{:margin$} | {:indent$}{}",
            "",
            "",
            "^".repeat(self.width.max(1)),
            indent = self.column.saturating_sub(1)
        )
    }
}

/// Start and end of something, in lines (from 1) and columns (from 0, in characters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) end_line: usize,
    pub(super) end_column: usize,
}

/// A text with its name.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    text: String,
    /// First byte of each line.
    lines: Vec<usize>,
}

/// Longest part of a line that is shown, in characters.
const SHOWN: usize = 160;

impl Source {
    /// Takes the bytes of a text: at most [`MAX_BYTES`] of UTF-8, with or without a byte order mark.
    pub(super) fn new(name: &str, bytes: &[u8]) -> Result<Self, Box<LocatedProblem>> {
        if bytes.len() > MAX_BYTES {
            let message = format!("the text has {} bytes; at most {MAX_BYTES} (10 MiB) are read", bytes.len());
            return Err(Self::problem(ProblemCode::DocumentTooLarge, "at most 10 MiB", message));
        }
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::from_text(name, text)),
            Err(error) => {
                let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let source = Self::from_text(name, &valid);
                let offset = valid.len();
                let byte = bytes[error.valid_up_to()];
                let line = source.lines.len();
                let column = valid[source.lines[line - 1]..].chars().count();
                let message = format!("the text is not UTF-8: byte 0x{byte:02x} in line {line}, column {}", column + 1);
                let mut located = Self::problem(ProblemCode::MalformedDocument, "UTF-8", message);
                located.span = Some(Span { offset, length: 1, line, column: column + 1 });
                Err(located)
            }
        }
    }

    fn from_text(name: &str, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text: text.into(), lines }
    }

    fn problem(code: ProblemCode, rule: &str, message: String) -> Box<LocatedProblem> {
        let problem = FieldProblem::new(code, &FieldPath::root(), None, rule, message);
        Box::new(LocatedProblem { problem, document: 0, span: None, excerpt: None })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A problem with the text as such, with its place.
    pub(super) fn problem_at(
        &self,
        range: Range,
        document: usize,
        code: ProblemCode,
        rule: &str,
        message: &str,
    ) -> Box<LocatedProblem> {
        let span = self.span(range);
        let mut located = Self::problem(code, rule, format!("line {}, column {}: {message}", span.line, span.column));
        located.document = document;
        located.excerpt = Some(self.excerpt(&span));
        located.span = Some(span);
        located
    }

    fn line(&self, number: usize) -> &str {
        let start = self.lines.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.lines.get(number).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// The bytes of a range, cut at the end of its first line.
    pub(super) fn span(&self, range: Range) -> Span {
        let number = range.line.clamp(1, self.lines.len());
        let line = self.line(number);
        let byte_of = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
        let start = byte_of(range.column);
        let end = if range.end_line == range.line {
            byte_of(range.end_column).max(start)
        } else {
            line.trim_end().len().max(start)
        };
        let length = (end - start).max(usize::from(start < line.len()));
        Span { offset: self.lines[number - 1] + start, length, line: number, column: line[..start].chars().count() + 1 }
    }

    /// The line of a place with up to two before it.
    pub(super) fn excerpt(&self, span: &Span) -> Excerpt {
        let first_line = span.line.saturating_sub(2).max(1);
        // A long line is shown from shortly before the place.
        let cut = if span.column > SHOWN { span.column - SHOWN / 2 } else { 0 };
        let shown = |number| {
            self.line(number)
                .chars()
                .skip(cut)
                .take(SHOWN)
                .map(|shown| if shown == '\t' { ' ' } else { shown })
                .collect()
        };
        let place = &self.text[span.offset..(span.offset + span.length).min(self.text.len())];
        Excerpt {
            name: self.name.clone(),
            first_line,
            lines: (first_line..=span.line).map(shown).collect(),
            column: span.column - cut,
            width: place.chars().count().clamp(1, SHOWN),
        }
    }
}
