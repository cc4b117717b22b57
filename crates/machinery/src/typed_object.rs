//! Built-in kinds as the real server handles them: bodies are decoded into Go structs, and what is stored and answered
//! is what those structs encode to.
//!
//! So `labels: {}` is gone and `status: {}` is there, times and quantities have one form, and a body that does not fit
//! is refused in the words of `encoding/json`. All of it follows from the table of Go's types ([`crate::go_types`]).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::go_types::{StructId, table};

mod bytes;
mod canonical;
mod decode;
mod empty_containers;
mod encode;
mod shown;
mod syntax;
mod time;
mod unstructured;

#[cfg(test)]
mod tests;

pub use empty_containers::EmptyContainers;

/// A built-in kind whose Go type is known.
#[derive(Clone, Copy, Debug)]
pub struct TypedKind {
    id: StructId,
    /// Stored as JSON by the real server, not as protobuf.
    stored_as_json: bool,
}

/// A decoded body.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// In the form of [`TypedKind::canonicalize`].
    pub object: Value,
    /// What strict decoding finds, in the order of the document: `unknown field "spec.colour"`, `duplicate field "data.a"`.
    pub findings: Vec<String>,
}

/// How an object fits its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Fields were removed that the type does not have.
    pub unknown_fields: bool,
    /// A value is not of its type. [`TypedKind::decode`] tells which.
    pub wrong_values: bool,
}

/// The objects and lists a patch went into, by the names and indices that lead there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    below: BTreeMap<String, Touched>,
    /// Whether it stands in the patch as a whole.
    given: bool,
}

impl Touched {
    /// What a merge patch goes into.
    pub fn by_merge_patch(patch: &Value) -> Self {
        let members = patch.as_object().into_iter().flatten();
        let below = members.map(|(name, value)| (name.clone(), Self::by_merge_patch(value))).collect();
        Self { below, given: patch.is_array() }
    }

    /// What it goes into below a member or an item, if anything.
    fn below(&self, name: &str) -> Option<&Self> {
        self.below.get(name).filter(|below| !below.is_nothing())
    }

    fn is_nothing(&self) -> bool {
        self.below.is_empty() && !self.given
    }

    /// What a JSON patch goes into.
    pub fn by_json_patch(patch: &Value) -> Self {
        let mut touched = Self::default();
        for operation in patch.as_array().into_iter().flatten() {
            for pointer in ["path", "from"].into_iter().filter_map(|field| operation[field].as_str()) {
                let mut at = &mut touched;
                for name in pointer.split('/').skip(1) {
                    at = at.below.entry(name.replace("~1", "/").replace("~0", "~")).or_default();
                }
                at.given |= pointer_is_written(operation, pointer);
            }
        }
        touched
    }
}

/// Whether an operation of a JSON patch puts its own value there.
fn pointer_is_written(operation: &Value, pointer: &str) -> bool {
    operation["path"] == pointer && matches!(operation["op"].as_str(), Some("add" | "replace"))
}

impl TypedKind {
    /// The type of a kind; `None` for kinds that are not built in.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Some(Self {
            id: table().kind(api_version, kind)?,
            stored_as_json: matches!(group, "apiextensions.k8s.io" | "apiregistration.k8s.io"),
        })
    }

    /// Brings an object into the form Go gives it. Values that do not fit stay as they are. Allocates nothing for an
    /// object that has that form.
    ///
    /// Lists and maps that are empty stay different from absent ones where they are always written, as they do until
    /// the object is stored ([`Self::canonicalize_stored`]).
    pub fn canonicalize(self, object: &mut Value) -> Fit {
        self.walk(object, canonical::Walk { keeps_empty: true, ..canonical::Walk::default() })
    }

    /// As [`Self::canonicalize`], for an object that had that form before something was added to it, in a definition outside of
    /// its schemas.
    pub fn canonicalize_completed(self, object: &mut Value) -> Fit {
        self.walk(object, canonical::Walk { keeps_empty: true, passes_schemas: true, ..canonical::Walk::default() })
    }

    /// As [`Self::canonicalize`], for an object as it was sent: lists and maps that are empty stay, also where they are left
    /// out when they are written, until they are noted ([`EmptyContainers`]).
    pub fn canonicalize_sent(self, object: &mut Value) -> Fit {
        self.walk(object, canonical::Walk { keeps_empty: true, keeps_omitted: true, ..canonical::Walk::default() })
    }

    /// As [`Self::canonicalize_completed`], for an object that is stored or was: protobuf does not tell empty from absent.
    pub fn canonicalize_stored(self, object: &mut Value) -> Fit {
        let keeps_empty = self.stored_as_json;
        let walk = canonical::Walk { keeps_empty, is_last: true, passes_schemas: true, ..canonical::Walk::default() };
        self.walk(object, walk)
    }

    fn walk(self, object: &mut Value, mut walk: canonical::Walk) -> Fit {
        match object {
            Value::Object(members) => walk.fields(self.id, members),
            Value::Null => *object = Value::Object(canonical::zero_fields(self.id)),
            _ => walk.wrong = true,
        }
        Fit { unknown_fields: walk.unknown, wrong_values: walk.wrong }
    }

    /// Decodes JSON as the real server does, and tells what it would not take or only with a warning. Slower than
    /// parsing and [`Self::canonicalize`], which have the same result where nothing is wrong.
    ///
    /// # Errors
    /// Go's text for the first value that does not fit, or for what is no JSON.
    pub fn decode(self, json: &[u8]) -> Result<Decoded, String> {
        let mut decoded = self.decode_sent(json)?;
        self.canonicalize(&mut decoded.object);
        Ok(decoded)
    }

    /// As [`Self::decode`], with the result of [`Self::canonicalize_sent`].
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_sent(self, json: &[u8]) -> Result<Decoded, String> {
        syntax::check(json)?;
        let read = decode::read(self.id, json)?;
        let mut object = read.value;
        self.canonicalize_sent(&mut object);
        Ok(Decoded { object, findings: read.findings })
    }

    /// The members of an object of which nothing is set. Ownership of what a create sets is found by comparing with
    /// it.
    pub fn empty(self) -> Value {
        Value::Object(canonical::zero_fields(self.id))
    }

    /// JSON of a canonical object with members in the order of Go's struct fields.
    pub fn encode(self, object: &Value) -> String {
        self.encode_patched(object, &Touched::default())
    }

    /// As [`Self::encode`], with the members of what a patch has touched in sorted order, as the libraries of the real
    /// server leave them.
    pub fn encode_patched(self, object: &Value, touched: &Touched) -> String {
        let mut text = String::new();
        encode::write(self.id, object, Some(touched).filter(|touched| !touched.is_nothing()), &mut text);
        text
    }

    /// An object or a list as messages of the real server show it, in its internal types; none for other values, and where
    /// the kind has no such thing at `path` (`spec.ports[0]`).
    pub fn shown(self, path: &str, value: &Value) -> Option<String> {
        shown::text(self.id, path, value)
    }

    /// Converts a map to the kind as strategic merge patches and server-side applies do, more leniently than its decoder:
    /// whole numbers may have a fraction of zero, and lose what does not fit into their type. [`Self::canonicalize`] has the
    /// same result where all values are of their types.
    ///
    /// # Errors
    /// What keeps the object from being one of the kind, in the words of that conversion.
    pub fn convert(self, object: &mut Value) -> Result<(), String> {
        unstructured::convert(self.id, object)
    }

    /// `unknown field "…"` for what such a conversion leaves out, sorted.
    pub fn unknown_fields(self, object: &Value) -> Vec<String> {
        unstructured::unknown(self.id, object)
    }
}

/// What Go calls the field of a struct that JSON knows by this name.
pub(crate) fn go_field_name(name: &str) -> String {
    shown::go_name(name)
}

/// A float64 as Go writes it: whole numbers without a fraction.
#[expect(clippy::cast_possible_truncation, reason = "the bound keeps it exact")]
pub(crate) fn float(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9.0e15 { Value::from(number as i64) } else { Value::from(number) }
}

/// Gives the metadata of a custom object the form it has as a Go struct. Unknown fields go; values that do not fit stay.
/// Allocates nothing for metadata that has that form.
///
/// # Errors
/// What keeps it from being ObjectMeta, in the words of Go's decoder.
pub fn canonicalize_metadata(metadata: &mut Value) -> Result<(), String> {
    let Some(id) = table().struct_named("meta.v1.ObjectMeta") else { return Ok(()) };
    let mut walk = canonical::Walk { keeps_empty: true, ..canonical::Walk::default() };
    match metadata {
        Value::Null => {}
        Value::Object(members) => {
            members.values_mut().for_each(write_out_whole_number);
            walk.fields(id, members);
        }
        _ => walk.wrong = true,
    }
    if walk.wrong { decode::read(id, metadata.to_string().as_bytes()).map(drop) } else { Ok(()) }
}

/// Writes all numbers of a value as Go's JSON does: whole ones have no fraction, and `1e3` is `1000`.
pub fn write_out_whole_numbers(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(write_out_whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(write_out_whole_numbers),
        number => write_out_whole_number(number),
    }
}

/// Metadata of objects that Go has no type for is written out before it is read.
fn write_out_whole_number(value: &mut Value) {
    if let Some(number) = value.as_f64().filter(|_| value.is_f64())
        && number.fract() == 0.0
        && let Ok(whole) = format!("{number:.0}").parse::<i64>()
    {
        *value = whole.into();
    }
}

/// Reads valid JSON of no known type as leniently as Go: what is no UTF-8 in texts becomes U+FFFD, of numbers only the value
/// counts. Maps and lists below [`crate::nesting::MAXIMUM_DEPTH`] are read as empty. Findings are duplicate fields.
///
/// # Errors
/// The text of Go's syntax error, or for a number that is too large.
pub fn read_anything(json: &[u8]) -> Result<Decoded, String> {
    syntax::check(json)?;
    let read = decode::read_anything(json)?;
    Ok(Decoded { object: read.value, findings: read.findings })
}

/// What Go's JSON decoder calls a value.
pub fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null => "null",
    }
}

/// What keeps a document from being read as a JSON object of a Go type, in the words of Go's decoder. Null is read as an
/// empty one.
pub fn object_problem(document: &[u8], go_type: &str) -> Option<String> {
    if let Err(problem) = syntax::check(document) {
        return Some(problem);
    }
    let kind = match document.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'n') => return None,
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        _ => "number",
    };
    Some(format!("json: cannot unmarshal {kind} into Go value of type {go_type}"))
}

/// Go's name for a JSON object of anything.
pub const GO_MAP: &str = "map[string]interface {}";

/// Checks that `json` is one JSON value.
///
/// # Errors
/// The text of Go's syntax error.
pub fn check_syntax(json: &[u8]) -> Result<(), String> {
    syntax::check(json)
}
