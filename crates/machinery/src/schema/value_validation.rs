//! What restricts a value without giving it structure.

use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{SchemaNode, format::StringFormat};
use crate::compile_cache::CompileCache;

/// Compiled patterns larger than this are refused, so that a schema can not take the memory of the server.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;

/// Restrictions of one node: bounds, required fields, formats and the junctors over nested restrictions.
#[derive(Debug, Default)]
pub struct ValueValidation {
    /// Accepted values; empty accepts all.
    pub enum_values: Vec<Value>,
    /// Names that an object must have.
    pub required: Vec<String>,
    /// Least number, and whether it is itself excluded.
    pub minimum: Option<(f64, bool)>,
    /// Greatest number, and whether it is itself excluded.
    pub maximum: Option<(f64, bool)>,
    /// The number must be a multiple of this.
    pub multiple_of: Option<f64>,
    /// Least number of characters. Counts are what the schema says, negative ones too.
    pub min_length: Option<i64>,
    /// Greatest number of characters.
    pub max_length: Option<i64>,
    /// Least number of items.
    pub min_items: Option<i64>,
    /// Greatest number of items.
    pub max_items: Option<i64>,
    /// Whether items must differ.
    pub unique_items: bool,
    /// Least number of entries of an object.
    pub min_properties: Option<i64>,
    /// Greatest number of entries of an object.
    pub max_properties: Option<i64>,
    /// All of these must hold.
    pub all_of: Vec<Arc<SchemaNode>>,
    /// At least one of these must hold.
    pub any_of: Vec<Arc<SchemaNode>>,
    /// Exactly one of these must hold.
    pub one_of: Vec<Arc<SchemaNode>>,
    /// This must not hold.
    pub not: Option<Arc<SchemaNode>>,
    pub(crate) pattern: Option<Pattern>,
    /// The format as written, and what it means.
    pub(crate) format: Option<(String, Format)>,
    /// Whether there is a format that the real server ignores, except where ownership is decided.
    pub(crate) ignored_format: bool,
}

/// A checked format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Of `type: string`.
    String(StringFormat),
    /// `int32` of `type: integer`.
    Int32,
    /// `int64` of `type: integer`.
    Int64,
    /// `float` of `type: number`.
    Float,
    /// `double` of `type: number`.
    Double,
    /// One that nothing checks, of a schema that is read as it is written.
    Unknown,
}

impl Format {
    /// The format `name` of type `schema_type`; `None` for those the real server ignores.
    pub(crate) fn of(schema_type: &str, name: &str) -> Option<Self> {
        match (schema_type, name) {
            ("" | "string", _) => StringFormat::from_name(name).map(Self::String),
            ("integer", "int32") => Some(Self::Int32),
            ("integer", "int64") => Some(Self::Int64),
            ("number", "float") => Some(Self::Float),
            ("number", "double") => Some(Self::Double),
            _ => None,
        }
    }
}

/// A `pattern`, compiled at its first use.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// As written in the schema.
    pub(crate) source: String,
    compiled: OnceLock<Result<Arc<Regex>, String>>,
}

impl Pattern {
    /// A pattern, not yet compiled.
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), compiled: OnceLock::new() }
    }

    /// Whether the pattern matches somewhere in `text`.
    ///
    /// # Errors
    /// Why the pattern is no regular expression.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool, &str> {
        match self.compiled.get_or_init(|| compile_pattern(&self.source)) {
            Ok(regex) => Ok(regex.is_match(text)),
            Err(reason) => Err(reason),
        }
    }
}

/// Compiles a pattern with the meaning it has in Go's RE2.
///
/// # Errors
/// Why it is no regular expression.
pub(crate) fn compile_pattern(source: &str) -> Result<Arc<Regex>, String> {
    static PATTERNS: CompileCache<Regex> = CompileCache::new();
    PATTERNS.get(source, |source| {
        RegexBuilder::new(&with_ascii_classes(source))
            .size_limit(PATTERN_SIZE_LIMIT)
            .build()
            .map_err(|error| format!("error parsing regexp: {}", in_go_words(source, &error.to_string())))
    })
}

/// What is wrong with a pattern, for the commonest mistakes as Go says it.
fn in_go_words(source: &str, error: &str) -> String {
    // The last line says what is wrong; that before it points into the pattern, which is indented.
    let mut lines = error.lines().rev();
    let what = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let column = lines.next().and_then(|line| line.find('^')).map_or(0, |column| column.saturating_sub(4));
    let from_there: String = with_ascii_classes(source).chars().skip(column).collect();
    let operator: String = from_there.chars().take(1).collect();
    match what {
        "repetition operator missing expression" => format!("missing argument to repetition operator: `{operator}`"),
        "unclosed character class" => format!("missing closing ]: `{from_there}`"),
        "unclosed group" => format!("missing closing ): `{source}`"),
        "unopened group" => format!("unexpected ): `{source}`"),
        other => other.to_owned(),
    }
}

/// In RE2 `\d`, `\w` and `\s` are ASCII, and a dash after them in a class is a dash; the regex crate differs in both.
fn with_ascii_classes(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    let mut characters = source.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str("[\\t\\n\\x0C\\r ]"),
            Some('S') => out.push_str("[^\\t\\n\\x0C\\r ]"),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}
