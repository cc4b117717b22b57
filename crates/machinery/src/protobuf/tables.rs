//! The generated field tables, read at first use.

use std::collections::HashMap;
use std::sync::LazyLock;

static SOURCE: &str = include_str!("../../protobuf-tables/messages.txt");
static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::read(SOURCE));

/// How one field's value is encoded, and what JSON it becomes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Encoding {
    String,
    Bool,
    Integer,
    /// base64 in JSON.
    Bytes,
    /// `metav1.Time`: RFC 3339 with seconds.
    Time,
    /// `metav1.MicroTime`: RFC 3339 with microseconds.
    MicroTime,
    /// `resource.Quantity`: a string.
    Quantity,
    /// `intstr.IntOrString`: a number or a string.
    IntOrString,
    /// RawExtension and FieldsV1: JSON inside.
    Json,
    /// A message that is a list of strings in JSON (ExtraValue).
    Strings,
    /// Index into [`Tables::messages`].
    Message(usize),
    List(Box<Encoding>),
    /// By string keys.
    Map(Box<Encoding>),
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) number: u32,
    /// `*` merges the value's fields into the parent.
    pub(super) name: &'static str,
    pub(super) encoding: Encoding,
    /// Whether JSON leaves the zero value out. Protobuf always has it on the wire.
    pub(super) omit_zero: bool,
}

/// The fields of a message by number.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Message {
    pub(super) fields: Vec<Field>,
}

impl Message {
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        let position = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        self.fields.get(position)
    }
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    messages: Vec<Message>,
    /// By apiVersion, then kind.
    kinds: HashMap<&'static str, HashMap<&'static str, usize>>,
}

pub(super) fn tables() -> &'static Tables {
    &TABLES
}

impl Tables {
    /// Reads the table text. Lines that do not have its form are left out; a test sees that there are none.
    fn read(source: &'static str) -> Self {
        let lines = || source.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let names: HashMap<&str, usize> = lines()
            .filter_map(|words| if let ["message", name] = words.as_slice() { Some(*name) } else { None })
            .enumerate()
            .map(|(index, name)| (name, index))
            .collect();
        let mut tables = Self { messages: vec![Message::default(); names.len()], kinds: HashMap::new() };
        let mut current = None;
        for words in lines() {
            match words.as_slice() {
                ["kind", api_version, kind, message] => {
                    if let Some(index) = names.get(message) {
                        tables.kinds.entry(api_version).or_default().insert(kind, *index);
                    }
                }
                ["message", name] => current = names.get(name).copied(),
                [number, name, encoding, rest @ ..] => {
                    let field = number
                        .parse()
                        .ok()
                        .zip(encoding_of(encoding, &names))
                        .map(|(number, encoding)| Field { number, name, encoding, omit_zero: rest.contains(&"?") });
                    if let Some(message) = current.and_then(|index: usize| tables.messages.get_mut(index)) {
                        message.fields.extend(field);
                    }
                }
                _ => {}
            }
        }
        for message in &mut tables.messages {
            message.fields.sort_by_key(|field| field.number);
        }
        tables
    }

    pub(super) fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    /// The message of a kind. DeleteOptions come in the group-version of the resource they delete; old clients evict by
    /// policy/v1beta1, which has the same shape.
    pub(super) fn message_of(&self, api_version: &str, kind: &str) -> Option<&Message> {
        let api_version = match (api_version, kind) {
            (_, "DeleteOptions") => "v1",
            ("policy/v1beta1", "Eviction") => "policy/v1",
            _ => api_version,
        };
        self.message(*self.kinds.get(api_version)?.get(kind)?)
    }

    #[cfg(test)]
    pub(super) fn field_count(&self) -> usize {
        self.messages.iter().map(|message| message.fields.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn source_field_count() -> usize {
        SOURCE.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).count()
    }
}

fn encoding_of(text: &str, names: &HashMap<&str, usize>) -> Option<Encoding> {
    Some(match text {
        "string" => Encoding::String,
        "bool" => Encoding::Bool,
        "int" => Encoding::Integer,
        "bytes" => Encoding::Bytes,
        "time" => Encoding::Time,
        "microtime" => Encoding::MicroTime,
        "quantity" => Encoding::Quantity,
        "intorstring" => Encoding::IntOrString,
        "json" => Encoding::Json,
        "strings" => Encoding::Strings,
        other => {
            if let Some(item) = other.strip_prefix("[]") {
                Encoding::List(Box::new(encoding_of(item, names)?))
            } else if let Some(value) = other.strip_prefix("{}") {
                Encoding::Map(Box::new(encoding_of(value, names)?))
            } else {
                Encoding::Message(*names.get(other)?)
            }
        }
    })
}
