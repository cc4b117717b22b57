//! A tree of YAML nodes with their places, composed from the parser's events within bounds.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value};

use super::LocatedProblem;
use super::scalar;
use super::source::{Range, Source};
use crate::problem::ProblemCode;

/// Most nodes of a text, aliases unfolded. A description has about fifty.
const MAX_NODES: usize = 250_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;

/// The rule that a mapping has each key once.
pub(super) const KEYS_ONCE: &str = "each key once";

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    content: Content,
    range: Range,
}

#[derive(Clone, Debug)]
enum Content {
    Scalar { value: Value, text: String },
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    key_range: Range,
    value: Node,
}

/// Reads all documents of a text.
pub(super) fn parse(source: &Source) -> Result<Vec<Node>, Box<LocatedProblem>> {
    let mut composer = Composer {
        parser: Parser::new_from_str(source.text()),
        source,
        anchors: HashMap::new(),
        nodes: 0,
        document: 0,
    };
    let mut documents = Vec::new();
    loop {
        match composer.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                composer.anchors.clear();
                let (event, range) = composer.next()?;
                let node = composer.node(event, range, 0)?;
                // `---` with nothing behind it, as after the last document, is no document.
                if !matches!(node.content, Content::Scalar { value: Value::Null, .. }) {
                    documents.push(node);
                }
                composer.document += 1;
            }
            _ => {}
        }
    }
}

struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    source: &'a Source,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    document: usize,
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Range), Box<LocatedProblem>> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let (start, end) = (span.start, span.end);
                Ok((
                    event,
                    Range { line: start.line(), column: start.col(), end_line: end.line(), end_column: end.col() },
                ))
            }
            Some(Err(error)) => {
                let at = error.marker();
                let range = Range { line: at.line(), column: at.col(), end_line: at.line(), end_column: at.col() + 1 };
                Err(self.problem(range, ProblemCode::MalformedDocument, "the syntax of YAML", error.info()))
            }
            None => Ok((Event::StreamEnd, Range { line: 1, column: 0, end_line: 1, end_column: 0 })),
        }
    }

    fn problem(&self, range: Range, code: ProblemCode, rule: &str, message: &str) -> Box<LocatedProblem> {
        self.source.problem_at(range, self.document, code, rule, message)
    }

    /// Counts nodes against the bound, so that aliases cannot unfold without end.
    fn spend(&mut self, nodes: usize, range: Range) -> Result<(), Box<LocatedProblem>> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let message = format!("the text unfolds to more than {MAX_NODES} values");
            return Err(self.problem(range, ProblemCode::DocumentTooLarge, "a bounded number of values", &message));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, range: Range, depth: usize) -> Result<Node, Box<LocatedProblem>> {
        self.spend(1, range)?;
        if depth > MAX_DEPTH {
            let message = format!("values are nested more than {MAX_DEPTH} deep");
            return Err(self.problem(range, ProblemCode::DocumentTooLarge, "bounded nesting", &message));
        }
        let (content, anchor) = match event {
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor) else {
                    let message = "the alias refers to a value that is not complete yet";
                    return Err(self.problem(
                        range,
                        ProblemCode::MalformedDocument,
                        "aliases of complete values",
                        message,
                    ));
                };
                let size = target.size();
                let content = target.content.clone();
                self.spend(size, range)?;
                return Ok(Node { content, range });
            }
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref(), range)?, anchor),
            Event::SequenceStart(anchor, tag) => {
                self.check_collection_tag(tag.as_deref(), "seq", range)?;
                (self.sequence(depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_collection_tag(tag.as_deref(), "map", range)?;
                (self.mapping(depth)?, anchor)
            }
            _ => {
                return Err(self.problem(
                    range,
                    ProblemCode::MalformedDocument,
                    "the syntax of YAML",
                    "a value is expected here",
                ));
            }
        };
        let node = Node { content, range };
        if anchor > 0 {
            self.spend(node.size(), range)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: Range,
    ) -> Result<Content, Box<LocatedProblem>> {
        let value = match tag {
            None if style != ScalarStyle::Plain => Value::String(text.into()),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::String(text.into()),
            Some(tag)
                if !(tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "null" | "bool" | "int" | "float")) =>
            {
                return Err(self.unknown_tag(tag, range));
            }
            _ => scalar::resolve(text).map_err(|scalar::NotJson| {
                self.problem(
                    range,
                    ProblemCode::MalformedDocument,
                    "a number that JSON can hold",
                    &format!("{text} is no number JSON can hold"),
                )
            })?,
        };
        Ok(Content::Scalar { value, text: text.into() })
    }

    fn check_collection_tag(&self, tag: Option<&Tag>, expected: &str, range: Range) -> Result<(), Box<LocatedProblem>> {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => Err(self.unknown_tag(tag, range)),
            _ => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: &Tag, range: Range) -> Box<LocatedProblem> {
        let message = format!("the tag {}{} has no meaning here", tag.handle, tag.suffix);
        self.problem(range, ProblemCode::MalformedDocument, "no tags of one's own", &message)
    }

    fn sequence(&mut self, depth: usize) -> Result<Content, Box<LocatedProblem>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::Sequence(items)),
                (event, range) => items.push(self.node(event, range, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Content, Box<LocatedProblem>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        let mut positions: HashMap<String, Range> = HashMap::new();
        loop {
            let (event, key_range) = match self.next()? {
                (Event::MappingEnd, _) => break,
                next => next,
            };
            let is_plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, _, None));
            let Content::Scalar { text: key, .. } = self.node(event, key_range, depth + 1)?.content else {
                return Err(self.problem(
                    key_range,
                    ProblemCode::MalformedDocument,
                    "plain keys",
                    "a key must be a plain text",
                ));
            };
            let (event, range) = self.next()?;
            let value = self.node(event, range, depth + 1)?;
            if is_plain && key == "<<" {
                self.merge(value, &mut merged)?;
                continue;
            }
            if let Some(first) = positions.insert(key.clone(), key_range) {
                let message = format!("the key `{key}` occurs twice; the first time in line {}", first.line);
                return Err(self.problem(key_range, ProblemCode::MalformedDocument, KEYS_ONCE, &message));
            }
            entries.push(Entry { key, key_range, value });
        }
        // What is merged in gives way to what is written out, and to what was merged in earlier.
        for entry in merged {
            if !positions.contains_key(&entry.key) {
                positions.insert(entry.key.clone(), entry.key_range);
                entries.push(entry);
            }
        }
        Ok(Content::Mapping(entries))
    }

    fn merge(&self, value: Node, merged: &mut Vec<Entry>) -> Result<(), Box<LocatedProblem>> {
        let range = value.range;
        match value.content {
            Content::Mapping(entries) => merged.extend(entries),
            Content::Sequence(items) if items.iter().all(|item| matches!(item.content, Content::Mapping(_))) => {
                for item in items {
                    self.merge(item, merged)?;
                }
            }
            _ => {
                return Err(self.problem(
                    range,
                    ProblemCode::MalformedDocument,
                    "mappings to merge",
                    "`<<` takes a mapping or a list of mappings",
                ));
            }
        }
        Ok(())
    }
}

impl Node {
    /// Number of nodes in the tree.
    fn size(&self) -> usize {
        1 + match &self.content {
            Content::Scalar { .. } => 0,
            Content::Sequence(items) => items.iter().map(Self::size).sum(),
            Content::Mapping(entries) => entries.iter().map(|entry| 1 + entry.value.size()).sum(),
        }
    }

    /// The value without its places.
    pub(super) fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar { value, .. } => value.clone(),
            Content::Sequence(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Content::Mapping(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The node at a JSON pointer.
    pub(super) fn find(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |node, step| node.step(step).map(|(_, node)| node))
    }

    /// The text of a scalar as written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    fn step(&self, step: &str) -> Option<(Option<Range>, &Self)> {
        match &self.content {
            Content::Scalar { .. } => None,
            Content::Sequence(items) => items.get(step.parse::<usize>().ok()?).map(|item| (None, item)),
            Content::Mapping(entries) => {
                let name = step.replace("~1", "/").replace("~0", "~");
                entries.iter().find(|entry| entry.key == name).map(|entry| (Some(entry.key_range), &entry.value))
            }
        }
    }

    /// The place to point at for a field: its value where that is a scalar or stands on one line, else its key; for a
    /// field that is not there, the field around it. `on_key` asks for the key in any case.
    pub(super) fn locate(&self, pointer: &str, on_key: bool) -> Range {
        let mut node = self;
        let mut key = None;
        let mut complete = true;
        for step in pointer.split('/').skip(1) {
            if let Some((key_range, next)) = node.step(step) {
                node = next;
                key = key_range.or(Some(Range {
                    end_line: next.range.line,
                    end_column: next.range.column + 1,
                    ..next.range
                }));
            } else {
                complete = false;
                break;
            }
        }
        let is_scalar = matches!(&node.content, Content::Scalar { text, .. } if !text.is_empty());
        match key {
            Some(key) if on_key || !complete || !is_scalar => key,
            None if !is_scalar => Range { end_line: self.range.line, end_column: self.range.column + 1, ..self.range },
            _ => node.range,
        }
    }
}
