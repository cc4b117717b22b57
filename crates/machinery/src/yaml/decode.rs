//! Nodes as JSON: go-yaml's values, and what `sigs.k8s.io/yaml` makes of them.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use base64::Engine as _;
use serde_json::{Map, Value};

use super::{
    Decoded, MAXIMUM_DEPTH,
    nodes::{Content, Document, Node, NodeId},
    resolve::{BINARY_TAG, MERGE_TAG, Scalar, go_float, resolve},
};
use crate::status_error::quote;

/// A value as go-yaml has it.
#[derive(Clone, Debug)]
enum Tree {
    Scalar(Scalar),
    List(Vec<Tree>),
    Map(Members),
}

/// A map whose keys are scalars.
#[derive(Clone, Debug, Default)]
struct Members {
    entries: Vec<(Scalar, Tree)>,
    /// Where the entry of a key is, by the key's Go syntax, which differs for different keys.
    places: HashMap<String, usize>,
}

/// Bounds what aliases multiply, as go-yaml does.
struct Decoder<'d> {
    document: &'d Document,
    /// The aliases that are being followed.
    aliases: HashSet<NodeId>,
    alias_depth: usize,
    decoded: u32,
    decoded_of_aliases: u32,
    repeated: Vec<String>,
}

pub(super) fn decode(document: &Document) -> Result<Decoded, String> {
    let Some(root) = document.root else { return Ok(Decoded { value: Value::Null, repeated: Vec::new() }) };
    let mut decoder = Decoder {
        document,
        aliases: HashSet::new(),
        alias_depth: 0,
        decoded: 1,
        decoded_of_aliases: 0,
        repeated: Vec::new(),
    };
    let tree = decoder.tree(root, 0).map_err(|why| format!("yaml: {why}"))?;
    Ok(Decoded { value: json(tree)?, repeated: decoder.repeated })
}

/// The part of all decoding that may come from aliases.
fn allowed_alias_ratio(decoded: u32) -> f64 {
    const LOW: u32 = 400_000;
    const HIGH: u32 = 4_000_000;
    match decoded {
        ..=LOW => 0.99,
        HIGH.. => 0.10,
        between => 0.99 - 0.89 * (f64::from(between - LOW) / f64::from(HIGH - LOW)),
    }
}

impl Decoder<'_> {
    fn count(&mut self) -> Result<(), String> {
        self.decoded += 1;
        self.decoded_of_aliases += u32::from(self.alias_depth > 0);
        let ratio = f64::from(self.decoded_of_aliases) / f64::from(self.decoded);
        if self.decoded_of_aliases > 100 && self.decoded > 1000 && ratio > allowed_alias_ratio(self.decoded) {
            return Err("document contains excessive aliasing".to_owned());
        }
        Ok(())
    }

    fn node(&self, id: NodeId) -> Result<&Node, String> {
        self.document.node(id).ok_or_else(|| "unknown problem parsing YAML content".to_owned())
    }

    /// The value of a node; aliases are followed.
    fn tree(&mut self, id: NodeId, depth: usize) -> Result<Tree, String> {
        self.count()?;
        if depth > MAXIMUM_DEPTH {
            return Err("exceeded max depth of 10000".to_owned());
        }
        let document = self.document;
        match &document.node(id).ok_or("unknown problem parsing YAML content")?.content {
            Content::Scalar { text, tag, implicit } => scalar(text, tag, *implicit).map(Tree::Scalar),
            Content::List(items) => {
                items.iter().map(|item| self.tree(*item, depth + 1)).collect::<Result<_, _>>().map(Tree::List)
            }
            Content::Map(members) => {
                let mut into = Members::default();
                self.members(members, &mut into, depth)?;
                Ok(Tree::Map(into))
            }
            Content::Alias { anchor, of } => {
                let tree = self.follow(id, anchor, |decoder| decoder.tree(*of, depth + 1))?;
                Ok(tree)
            }
        }
    }

    fn follow<T>(
        &mut self,
        alias: NodeId,
        anchor: &str,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if !self.aliases.insert(alias) {
            return Err(format!("anchor '{anchor}' value contains itself"));
        }
        self.alias_depth += 1;
        let found = read(self);
        self.alias_depth -= 1;
        self.aliases.remove(&alias);
        found
    }

    fn members(&mut self, members: &[(NodeId, NodeId)], into: &mut Members, depth: usize) -> Result<(), String> {
        for (key, value) in members {
            if is_merge(self.node(*key)?) {
                self.merge(*value, into, depth + 1)?;
                continue;
            }
            let key = match self.tree(*key, depth + 1)? {
                Tree::Scalar(key) => key,
                collection => return Err(format!("invalid map key: {}", go_syntax(&collection))),
            };
            let line = self.node(*value)?.line;
            let value = self.tree(*value, depth + 1)?;
            let name = scalar_syntax(&key);
            match into.places.get(&name).copied() {
                None => {
                    into.places.insert(name, into.entries.len());
                    into.entries.push((key, value));
                }
                Some(place) => {
                    self.repeated.push(format!("line {line}: key {name} already set in map"));
                    if let Some(entry) = into.entries.get_mut(place) {
                        entry.1 = value;
                    }
                }
            }
        }
        Ok(())
    }

    /// What `<<` brings into a map.
    fn merge(&mut self, id: NodeId, into: &mut Members, depth: usize) -> Result<(), String> {
        const WANTS_MAP: &str = "map merge requires map or sequence of maps as the value";
        let document = self.document;
        let content = |id: NodeId| document.node(id).map(|node| &node.content);
        if depth > MAXIMUM_DEPTH {
            return Err("exceeded max depth of 10000".to_owned());
        }
        match content(id) {
            Some(Content::Map(members)) => {
                self.count()?;
                self.members(members, into, depth)
            }
            Some(Content::Alias { anchor, of }) => match content(*of) {
                Some(Content::Map(members)) => {
                    self.count()?;
                    self.follow(id, anchor, |decoder| {
                        decoder.count()?;
                        decoder.members(members, into, depth)
                    })
                }
                _ => Err(WANTS_MAP.to_owned()),
            },
            Some(Content::List(items)) => {
                // earlier ones win, so they come last
                for item in items.iter().rev() {
                    if matches!(content(*item), Some(Content::List(_))) {
                        return Err(WANTS_MAP.to_owned());
                    }
                    self.merge(*item, into, depth + 1)?;
                }
                Ok(())
            }
            _ => Err(WANTS_MAP.to_owned()),
        }
    }
}

fn is_merge(node: &Node) -> bool {
    matches!(&node.content, Content::Scalar { text, tag, implicit } if text == "<<" && (*implicit || tag == MERGE_TAG))
}

fn scalar(text: &str, tag: &str, implicit: bool) -> Result<Scalar, String> {
    if tag.is_empty() && !implicit {
        return Ok(Scalar::Text(text.to_owned()));
    }
    if tag == BINARY_TAG {
        let stripped: String = text.chars().filter(|character| !matches!(character, '\n' | '\r')).collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(stripped);
        let bytes = bytes.map_err(|_| "!!binary value contains invalid base64 data")?;
        return Ok(Scalar::Text(String::from_utf8_lossy(&bytes).into_owned()));
    }
    resolve(tag, text)
}

/// A scalar as `%#v` prints it.
fn scalar_syntax(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Null => "<nil>".to_owned(),
        Scalar::Bool(flag) => flag.to_string(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Unsigned(number) => format!("{number:#x}"),
        Scalar::Float(number) => go_float(*number),
        Scalar::Text(text) => quote(text),
    }
}

fn go_syntax(tree: &Tree) -> String {
    match tree {
        Tree::Scalar(Scalar::Null) => "interface {}(nil)".to_owned(),
        Tree::Scalar(scalar) => scalar_syntax(scalar),
        Tree::List(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Tree::Map(members) => {
            let mut text = "map[interface {}]interface {}{".to_owned();
            for (index, (key, value)) in members.entries.iter().enumerate() {
                let separator = if index == 0 { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(text, "{separator}{}:{}", scalar_syntax(key), go_syntax(value));
            }
            text.push('}');
            text
        }
    }
}

/// A value as JSON.
fn json(tree: Tree) -> Result<Value, String> {
    Ok(match tree {
        Tree::Scalar(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Bool(flag) => flag.into(),
            Scalar::Integer(number) => number.into(),
            Scalar::Unsigned(number) => float(number.to_string().parse().unwrap_or_default()),
            Scalar::Float(number) if number.is_finite() => float(number),
            Scalar::Float(number) => {
                let shown = if number.is_nan() {
                    "NaN"
                } else if number > 0.0 {
                    "+Inf"
                } else {
                    "-Inf"
                };
                return Err(format!("json: unsupported value: {shown}"));
            }
            Scalar::Text(text) => text.into(),
        },
        Tree::List(items) => Value::Array(items.into_iter().map(json).collect::<Result<_, _>>()?),
        Tree::Map(members) => {
            let mut found = Map::new();
            for (key, value) in members.entries {
                let name = match &key {
                    Scalar::Text(text) => text.clone(),
                    Scalar::Integer(number) => number.to_string(),
                    Scalar::Bool(flag) => flag.to_string(),
                    Scalar::Float(number) => float_key(*number),
                    other => {
                        let (go_type, shown) = match other {
                            Scalar::Null => ("%!s(<nil>)", "<nil>".to_owned()),
                            other => ("uint64", scalar_syntax(other)),
                        };
                        let value = match &value {
                            Tree::Scalar(scalar) => scalar_syntax(scalar),
                            collection => go_syntax(collection),
                        };
                        return Err(format!("unsupported map key of type: {go_type}, key: {shown}, value: {value}"));
                    }
                };
                found.insert(name, json(value)?);
            }
            Value::Object(found)
        }
    })
}

/// A number as Go's JSON gives it: whole ones without a fraction, and within 64 bits as integers.
fn float(number: f64) -> Value {
    let whole = number.fract() == 0.0 && number.abs() < 1e21;
    let integer = if whole { format!("{number:.0}").parse::<i64>().ok() } else { None };
    integer.map_or_else(|| Value::from(number), Value::from)
}

/// A number as the name of a member, in single precision.
#[expect(clippy::cast_possible_truncation, reason = "as in Go")]
fn float_key(number: f64) -> String {
    match go_float(f64::from(number as f32)) {
        text if number.is_finite() => {
            // the shortest text of single precision
            let short = (number as f32).to_string();
            if text.contains('e') { go_float(short.parse().unwrap_or(number)) } else { short }
        }
        text => match text.as_str() {
            "+Inf" => ".inf".to_owned(),
            "-Inf" => "-.inf".to_owned(),
            _ => ".nan".to_owned(),
        },
    }
}
