//! The JSONPath dialect of Kubernetes (`k8s.io/client-go/util/jsonpath`), as printer columns, `/scale` paths and
//! selectable fields use it: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`,
//! `.metadata.annotations.example\.com/key`, `.spec['odd.key'][0]`, `.items[*].name`, `..name`, `[1:3]`.
//!
//! It differs from RFC 9535: no `$` is needed, `\.` escapes a dot, and filters compare one path with one literal or path.

use std::cmp::Ordering;

use serde_json::Value;

/// Why a path does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPathError {
    /// A `[`, `(` or quote is not closed.
    #[error("unterminated {0}")]
    Unterminated(&'static str),
    /// Text that is no step.
    #[error("unrecognized character in action: {0}")]
    Unrecognized(String),
    /// The inside of brackets is no index, slice, name or filter.
    #[error("invalid array index {0}")]
    InvalidIndex(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Wildcard,
    /// `..`: the next step applies to every value below.
    Descend,
    Index(i64),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Union(Vec<Step>),
    Filter {
        left: Operand,
        comparison: Option<(Comparison, Operand)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Vec<Step>),
    Literal(Value),
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

impl JsonPath {
    /// Parses a path, with or without the braces of `kubectl -o jsonpath`.
    ///
    /// # Errors
    /// See [`JsonPathError`].
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
        Ok(Self { steps: parse_steps(text, 0)? })
    }

    /// All values the path leads to, in document order. Absent keys, wrong types and filters on anything but arrays
    /// lead nowhere.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        evaluate(&self.steps, root)
    }

    /// The first value, which is the one printer columns show.
    pub fn first<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        // plain paths, nearly all there are, need no list
        let mut value = root;
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Field(name) => value = value.get(name)?,
                _ => return evaluate(&self.steps[index..], value).first().copied(),
            }
        }
        Some(value)
    }

    /// The fields a path begins with, each of the one before: whatever it leads to is below them.
    pub fn leading_fields(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map_while(|step| if let Step::Field(name) = step { Some(name.as_str()) } else { None })
    }

    /// The keys of a path that is nothing but field names, which is what `/scale` and selectable fields must be.
    pub fn field_names(&self) -> Option<Vec<&str>> {
        self.steps.iter().map(|step| if let Step::Field(name) = step { Some(name.as_str()) } else { None }).collect()
    }
}

/// Filters inside filters are rare; deeper ones than this are refused instead of using up the stack.
const MAXIMUM_DEPTH: usize = 8;

fn parse_steps(text: &str, depth: usize) -> Result<Vec<Step>, JsonPathError> {
    if depth > MAXIMUM_DEPTH {
        return Err(JsonPathError::Unrecognized(text.to_owned()));
    }
    let mut steps = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        match first {
            '$' | '@' if steps.is_empty() => rest = &rest[1..],
            '.' => {
                rest = &rest[1..];
                if let Some(after) = rest.strip_prefix('.') {
                    rest = after;
                    steps.push(Step::Descend);
                }
                if !rest.starts_with('[') {
                    let (name, after) = field_name(rest);
                    push_field(&mut steps, name);
                    rest = after;
                }
            }
            '[' => {
                let end = closing_bracket(rest).ok_or(JsonPathError::Unterminated("array"))?;
                steps.push(bracket(rest[1..end].trim(), depth)?);
                rest = &rest[end + 1..];
            }
            character if character.is_whitespace() || matches!(character, ']' | ')' | '(' | '{' | '}' | ',' | '?') => {
                return Err(JsonPathError::Unrecognized(rest.to_owned()));
            }
            _ => {
                let (name, after) = field_name(rest);
                push_field(&mut steps, name);
                if after.len() == rest.len() {
                    return Err(JsonPathError::Unrecognized(rest.to_owned()));
                }
                rest = after;
            }
        }
    }
    Ok(steps)
}

fn push_field(steps: &mut Vec<Step>, name: String) {
    match name.as_str() {
        "" => {}
        "*" => steps.push(Step::Wildcard),
        _ => steps.push(Step::Field(name)),
    }
}

/// A name up to the next `.`, `[` or end; a backslash takes the next character as it is.
fn field_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => {
                if let Some((_, escaped)) = characters.next() {
                    name.push(escaped);
                }
            }
            '.' | '[' | ']' | ',' | '{' | '}' | '$' | '@' => return (name, &text[index..]),
            character if character.is_whitespace() => return (name, &text[index..]),
            other => name.push(other),
        }
    }
    (name, "")
}

/// Index of the `]` that closes the `[` at the start, over quotes and nested brackets.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), character) => {
                if open == character {
                    quote = None;
                }
            }
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            (None, _) => {}
        }
    }
    None
}

fn bracket(inside: &str, depth: usize) -> Result<Step, JsonPathError> {
    if let Some(filter) = inside.strip_prefix("?(") {
        let filter = filter.strip_suffix(')').ok_or(JsonPathError::Unterminated("filter"))?;
        return parse_filter(filter.trim(), depth);
    }
    let parts = split_outside_quotes(inside, ',');
    if parts.len() > 1 {
        return Ok(Step::Union(parts.iter().map(|part| bracket(part.trim(), depth)).collect::<Result<_, _>>()?));
    }
    if inside == "*" {
        return Ok(Step::Wildcard);
    }
    for quote in ['\'', '"'] {
        if let Some(name) = inside.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Ok(Step::Field(unescape(name)));
        }
    }
    let invalid = || JsonPathError::InvalidIndex(inside.to_owned());
    let bound = |text: &str| -> Result<Option<i64>, JsonPathError> {
        if text.is_empty() { Ok(None) } else { text.trim().parse().map(Some).map_err(|_| invalid()) }
    };
    match inside.split(':').collect::<Vec<_>>().as_slice() {
        [index] => index.parse().map(Step::Index).map_err(|_| invalid()),
        [start, end] => Ok(Step::Slice { start: bound(start)?, end: bound(end)?, step: 1 }),
        [start, end, step] => {
            Ok(Step::Slice { start: bound(start)?, end: bound(end)?, step: bound(step)?.unwrap_or(1) })
        }
        _ => Err(invalid()),
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    plain
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quote) = (Vec::new(), 0, None);
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), character) => {
                if open == character {
                    quote = None;
                }
            }
            (None, '\'' | '"') => quote = Some(character),
            (None, character) if character == separator => {
                parts.push(&text[start..index]);
                start = index + separator.len_utf8();
            }
            (None, _) => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_filter(text: &str, depth: usize) -> Result<Step, JsonPathError> {
    const COMPARISONS: [(&str, Comparison); 7] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
        ("=", Comparison::Equal),
    ];
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), character) => {
                if open == character {
                    quote = None;
                }
            }
            (None, '\'' | '"') => quote = Some(character),
            (None, '=' | '!' | '<' | '>') => {
                let found = COMPARISONS.iter().find_map(|(sign, comparison)| {
                    text[index..].strip_prefix(sign).map(|right| (&text[..index], *comparison, right))
                });
                if let Some((left, comparison, right)) = found {
                    let comparison = (comparison, operand(right.trim(), depth)?);
                    return Ok(Step::Filter { left: operand(left.trim(), depth)?, comparison: Some(comparison) });
                }
            }
            (None, _) => {}
        }
    }
    Ok(Step::Filter { left: operand(text, depth)?, comparison: None })
}

fn operand(text: &str, depth: usize) -> Result<Operand, JsonPathError> {
    for quote in ['\'', '"'] {
        if let Some(inside) = text.strip_prefix(quote) {
            let inside = inside.strip_suffix(quote).ok_or(JsonPathError::Unterminated("quoted string"))?;
            return Ok(Operand::Literal(unescape(inside).into()));
        }
    }
    if text.starts_with(['@', '$', '.']) {
        return Ok(Operand::Path(parse_steps(text, depth + 1)?));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(literal @ (Value::Number(_) | Value::Bool(_))) => Ok(Operand::Literal(literal)),
        _ => Err(JsonPathError::Unrecognized(text.to_owned())),
    }
}

fn evaluate<'a>(steps: &[Step], root: &'a Value) -> Vec<&'a Value> {
    let mut current = vec![root];
    for step in steps {
        let mut next = Vec::new();
        for value in current {
            apply(step, value, &mut next);
        }
        if next.is_empty() {
            return next;
        }
        current = next;
    }
    current
}

fn apply<'a>(step: &Step, value: &'a Value, found: &mut Vec<&'a Value>) {
    match step {
        Step::Field(name) => found.extend(value.get(name.as_str())),
        Step::Wildcard => match value {
            Value::Array(items) => found.extend(items),
            Value::Object(entries) => found.extend(entries.values()),
            _ => {}
        },
        Step::Descend => descend(value, found),
        Step::Index(index) => {
            if let Value::Array(items) = value {
                found.extend(position(*index, items.len()).and_then(|position| items.get(position)));
            }
        }
        Step::Slice { start, end, step } => {
            if let Value::Array(items) = value
                && let Ok(step) = usize::try_from(*step)
                && step > 0
            {
                let bound = |bound: Option<i64>, default: usize| {
                    bound.map_or(default, |bound| position(bound, items.len()).unwrap_or(0).min(items.len()))
                };
                let (start, end) = (bound(*start, 0), bound(*end, items.len()));
                found.extend(items.iter().take(end).skip(start).step_by(step));
            }
        }
        Step::Union(steps) => {
            for step in steps {
                apply(step, value, found);
            }
        }
        Step::Filter { left, comparison } => {
            if let Value::Array(items) = value {
                found.extend(items.iter().filter(|item| filter_holds(left, comparison.as_ref(), item)));
            }
        }
    }
}

fn position(index: i64, length: usize) -> Option<usize> {
    if index >= 0 {
        usize::try_from(index).ok()
    } else {
        length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    }
}

fn descend<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        found.push(value);
        match value {
            Value::Array(items) => pending.extend(items.iter().rev()),
            Value::Object(entries) => pending.extend(entries.values().rev()),
            _ => {}
        }
    }
}

fn resolve<'a>(operand: &'a Operand, item: &'a Value) -> Option<&'a Value> {
    match operand {
        Operand::Path(steps) => evaluate(steps, item).first().copied(),
        Operand::Literal(value) => Some(value),
    }
}

fn filter_holds(left: &Operand, comparison: Option<&(Comparison, Operand)>, item: &Value) -> bool {
    let Some(left) = resolve(left, item) else { return false };
    let Some((comparison, right)) = comparison else { return true };
    let Some(right) = resolve(right, item) else { return false };
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    };
    // values of different types are neither equal nor ordered
    order.is_some_and(|order| match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_where_kubectl_finds_things() {
        let object = json!({
            "metadata": {"annotations": {"example.com/key": "v"}, "name": "x"},
            "spec": {"odd.key": [10, 20, 30, 40], "replicas": 3},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "count": 2, "name": "a"},
                {"type": "Pau]sed", "status": "False", "count": 5, "flag": true},
            ]},
        });
        let paths = [
            ".spec.replicas",
            "{.spec.replicas}",
            "$.spec.replicas",
            "spec.replicas",
            ".metadata.annotations.example\\.com/key",
            ".metadata.annotations['example.com/key']",
            ".spec['odd.key'][0]",
            ".spec.odd\\.key[-1]",
            ".spec.odd\\.key[1:3]",
            ".spec.odd\\.key[::2]",
            ".spec.odd\\.key[0,2]",
            ".spec.odd\\.key[9]",
            ".status.conditions[?(@.type==\"Ready\")].status",
            ".status.conditions[?(@.type == 'Ready')].status",
            ".status.conditions[?(@.type=='Pau]sed')].count",
            ".status.conditions[?(@.count>=3)].type",
            ".status.conditions[?(@.flag)].type",
            ".status.conditions[?(@.flag==true)].type",
            ".status.conditions[*].type",
            "..name",
            ".metadata.*",
            ".absent.deeper",
            ".spec[?(@.a==1)]",
            ".spec[",
            ".spec[x]",
            ".status.conditions[?(@.type==Ready)]",
            "",
        ];
        let lines: Vec<String> = paths
            .iter()
            .map(|path| match JsonPath::parse(path) {
                Ok(parsed) => {
                    let found = parsed.find(&object);
                    assert_eq!(parsed.first(&object), found.first().copied(), "{path}");
                    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                    format!("{path} => {}", if path.is_empty() { "the object".to_owned() } else { shown.join(" ") })
                }
                Err(error) => format!("{path} => error: {error}"),
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    proptest! {
        #[test]
        fn no_path_makes_the_parser_panic(path in "[.a\\[\\]'\"?(@)=<>:*,0-9$\\\\\\PC]{0,40}") {
            if let Ok(path) = JsonPath::parse(&path) {
                let _ = path.find(&json!({"a": [{"a": 1}, 2], "0": {"a": null}}));
            }
        }
    }
}
