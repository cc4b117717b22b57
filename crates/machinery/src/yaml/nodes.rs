//! Events of the parser as a tree of nodes, which is what aliases refer to.

use std::{borrow::Cow, collections::HashMap, panic::catch_unwind};

use libyaml_safer::{Encoding, Error, ErrorKind, Event, EventData, Parser};

use super::MAXIMUM_DEPTH;

/// Where a node is in its document.
pub(super) type NodeId = usize;

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its line, counted from one.
    pub(super) line: u64,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar {
        text: String,
        /// The whole tag, `tag:yaml.org,2002:str`; empty where there is none.
        tag: String,
        /// Whether it is written without quotes and tag.
        implicit: bool,
    },
    List(Vec<NodeId>),
    /// Keys, each with its value.
    Map(Vec<(NodeId, NodeId)>),
    Alias {
        anchor: String,
        of: NodeId,
    },
}

/// The nodes of a document.
#[derive(Debug, Default)]
pub(super) struct Document {
    nodes: Vec<Node>,
    anchors: HashMap<String, NodeId>,
    /// None where the stream has no document.
    pub(super) root: Option<NodeId>,
}

/// A body as text, from UTF-8 or, with a byte order mark, UTF-16.
///
/// # Errors
/// go-yaml's text for the first wrong octet.
pub(super) fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let units = |of: fn([u8; 2]) -> u16| {
        let pairs = bytes.get(2..).unwrap_or_default().chunks(2);
        let mut found = Vec::with_capacity(bytes.len() / 2);
        for pair in pairs {
            found.push(of(pair.try_into().map_err(|_| "incomplete UTF-16 character")?));
        }
        let mut text = String::with_capacity(found.len());
        for unit in char::decode_utf16(found) {
            text.push(unit.map_err(|error| match error.unpaired_surrogate() {
                0xdc00.. => "unexpected low surrogate area",
                _ => "expected low surrogate area",
            })?);
        }
        Ok::<_, &'static str>(text)
    };
    match bytes {
        [0xff, 0xfe, ..] => return Ok(Cow::Owned(units(u16::from_le_bytes)?)),
        [0xfe, 0xff, ..] => return Ok(Cow::Owned(units(u16::from_be_bytes)?)),
        _ => {}
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => Err(octet_problem(bytes.get(error.valid_up_to()..).unwrap_or_default()).to_owned()),
    }
}

/// What is wrong with the octets a text goes on with.
fn octet_problem(rest: &[u8]) -> &'static str {
    let first = rest.first().copied().unwrap_or_default();
    let width = match first {
        0..0x80 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        _ => return "invalid leading UTF-8 octet",
    };
    let Some(character) = rest.get(..width) else { return "incomplete UTF-8 octet sequence" };
    if character.iter().skip(1).any(|octet| octet & 0xc0 != 0x80) {
        return "invalid trailing UTF-8 octet";
    }
    let second = character.get(1).copied().unwrap_or_default();
    match (first, second) {
        (0xc0 | 0xc1, _) | (0xe0, ..0xa0) | (0xf0, ..0x90) => "invalid length of a UTF-8 sequence",
        _ => "invalid Unicode character",
    }
}

/// go-yaml's text for an error of the parser.
fn problem(error: &Error) -> String {
    // Errors of the parser have the line before it, which go-yaml does not mend; the first line is not told.
    let line = match (error.problem_mark(), error.context_mark()) {
        (Some(mark), _) if mark.line > 0 => mark.line + u64::from(error.kind() == ErrorKind::Scanner),
        (_, Some(mark)) => mark.line,
        _ => 0,
    };
    if line > 0 { format!("line {line}: {}", error.problem()) } else { error.problem().to_owned() }
}

/// A collection that is being read.
enum Open {
    List(NodeId, Vec<NodeId>),
    /// With the key whose value comes next.
    Map(NodeId, Vec<(NodeId, NodeId)>, Option<NodeId>),
}

impl Document {
    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Reads the first document.
    ///
    /// # Errors
    /// go-yaml's text for what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // The scanner panics where Go's goes on: at a block scalar whose last line has no end, and at who knows what else.
        if let Ok(parsed) = catch_unwind(|| Self::read(text)) {
            return parsed;
        }
        match catch_unwind(|| Self::read(&format!("{text}\n"))) {
            Ok(Ok(mut document)) => {
                document.take_last_line_end();
                Ok(document)
            }
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err("did not find expected node content".to_owned()),
        }
    }

    /// Takes the end of its last line from the last scalar.
    fn take_last_line_end(&mut self) {
        let last = self.nodes.iter_mut().rev().find_map(|node| match &mut node.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        });
        if let Some(text) = last.filter(|text| text.ends_with('\n')) {
            text.pop();
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        // go-yaml reads nothing as an empty line
        let mut input = if text.is_empty() { b"\n".as_slice() } else { text.as_bytes() };
        let mut parser = Parser::new();
        parser.set_encoding(Encoding::Utf8);
        parser.set_input_string(&mut input);
        let mut document = Self::default();
        let mut open: Vec<Open> = Vec::new();
        loop {
            let event = parser.parse().map_err(|error| problem(&error))?;
            let finished = match event.data {
                EventData::StreamStart { .. } | EventData::DocumentStart { .. } => continue,
                EventData::StreamEnd | EventData::DocumentEnd { .. } => return Ok(document),
                EventData::SequenceEnd | EventData::MappingEnd => match open.pop() {
                    Some(Open::List(id, items)) => document.finish(id, Content::List(items)),
                    Some(Open::Map(id, members, _)) => document.finish(id, Content::Map(members)),
                    None => return Ok(document),
                },
                _ => {
                    let begun = document.begin(event)?;
                    match begun {
                        Begun::Node(id) => id,
                        Begun::Collection(collection) => {
                            open.push(collection);
                            if open.len() > MAXIMUM_DEPTH {
                                return Err("exceeded max depth of 10000".to_owned());
                            }
                            continue;
                        }
                    }
                }
            };
            match open.last_mut() {
                None => document.root = Some(finished),
                Some(Open::List(_, items)) => items.push(finished),
                Some(Open::Map(_, members, key)) => match key.take() {
                    None => *key = Some(finished),
                    Some(key) => members.push((key, finished)),
                },
            }
        }
    }

    fn push(&mut self, line: u64, anchor: Option<String>, content: Content) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Node { line, content });
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, id);
        }
        id
    }

    fn finish(&mut self, id: NodeId, content: Content) -> NodeId {
        if let Some(node) = self.nodes.get_mut(id) {
            node.content = content;
        }
        id
    }

    fn begin(&mut self, event: Event) -> Result<Begun, String> {
        let line = event.start_mark.line + 1;
        Ok(match event.data {
            EventData::Scalar { anchor, tag, value, plain_implicit, .. } => {
                let content = Content::Scalar { text: value, tag: tag.unwrap_or_default(), implicit: plain_implicit };
                Begun::Node(self.push(line, anchor, content))
            }
            EventData::Alias { anchor } => {
                let of = self.anchors.get(&anchor).copied();
                let of = of.ok_or_else(|| format!("unknown anchor '{anchor}' referenced"))?;
                Begun::Node(self.push(line, None, Content::Alias { anchor, of }))
            }
            EventData::SequenceStart { anchor, .. } => {
                let id = self.push(line, anchor, Content::List(Vec::new()));
                Begun::Collection(Open::List(id, Vec::new()))
            }
            EventData::MappingStart { anchor, .. } => {
                let id = self.push(line, anchor, Content::Map(Vec::new()));
                Begun::Collection(Open::Map(id, Vec::new(), None))
            }
            _ => return Err("unknown problem parsing YAML content".to_owned()),
        })
    }
}

/// What an event begins.
enum Begun {
    Node(NodeId),
    Collection(Open),
}
