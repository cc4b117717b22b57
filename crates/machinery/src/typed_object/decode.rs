//! Reads JSON into Go's types step by step, for what the fast way cannot say: the first error in the order of the
//! document, in Go's words, and every unknown or duplicate field.

mod literal;

use std::{collections::HashSet, fmt::Write as _};

use serde_json::{Map, Value};

use self::literal::{Literal, generic};
use super::{bytes, json_kind, time};
use crate::{
    go_types::{Shape, StructId, TypeId, table},
    nesting::MAXIMUM_DEPTH,
    quantity,
};

/// So many strict findings are told at most.
const MAXIMUM_FINDINGS: usize = 100;
/// What was read.
#[derive(Debug, PartialEq)]
pub(super) struct Read {
    pub(super) value: Value,
    /// `unknown field "…"` and `duplicate field "…"`, in the order of the document.
    pub(super) findings: Vec<String>,
}

/// Reads the struct `id` out of `data`, which is valid JSON.
///
/// # Errors
/// Go's text for the first value that does not fit.
pub(super) fn read(id: StructId, data: &[u8]) -> Result<Read, String> {
    read_struct(id, data, 0).map_err(|misfit| misfit.to_string())
}

/// Checks that `data`, which is valid JSON, is a schema or what may stand in its place, which is of the type `id`.
///
/// # Errors
/// Go's text for the first value that does not fit.
pub(super) fn check_schema(id: TypeId, data: &[u8]) -> Result<(), String> {
    if data.first() == Some(&b'{') {
        return read(table().schema_props, data).map(drop);
    }
    let mut reader = Reader::of(data);
    let misfit = reader.value(Target::Type(id), None).err().map(|misfit| reader.place(misfit));
    misfit.or(reader.error).map_or(Ok(()), |misfit| Err(misfit.to_string()))
}

/// Reads `data`, which is valid JSON, whatever it is.
///
/// # Errors
/// Go's text for a number that is too large.
pub(super) fn read_anything(data: &[u8]) -> Result<Read, String> {
    let mut reader = Reader { looks_everywhere: true, ..Reader::of(data) };
    let value = reader.value(Target::Anything, None).map_err(|misfit| reader.place(misfit).to_string())?;
    match reader.error {
        Some(error) => Err(error.to_string()),
        None => Ok(Read { value, findings: reader.findings }),
    }
}

/// As [`read`], for a struct that is so many levels below the whole.
fn read_struct(id: StructId, data: &[u8], depth: usize) -> Result<Read, PlacedMisfit> {
    let mut reader = Reader { depth, ..Reader::of(data) };
    match reader.value(Target::Struct(id), None) {
        Err(misfit) => Err(reader.place(misfit)),
        Ok(value) => match reader.error {
            Some(error) => Err(error),
            None => Ok(Read { value, findings: reader.findings }),
        },
    }
}

/// What a value is read into.
#[derive(Clone, Copy)]
enum Target {
    Type(TypeId),
    /// The object itself.
    Struct(StructId),
    /// Nothing: the value is skipped.
    Nothing,
    /// Whatever it is.
    Anything,
}

/// Why a value does not fit.
enum Misfit {
    /// `json: cannot unmarshal …`, which gets the place it happened at.
    Type {
        value: String,
        go_type: String,
        /// Fields on the way to it, of what decodes itself.
        below: Vec<&'static str>,
    },
    /// What a type's own decoding says.
    Other(String),
}

impl Misfit {
    fn of(value: &str, go_type: &str) -> Self {
        Self::Type { value: value.to_owned(), go_type: go_type.to_owned(), below: Vec::new() }
    }
}

/// An error and where it is.
struct PlacedMisfit {
    misfit: Misfit,
    inside: Option<StructId>,
    fields: Vec<&'static str>,
}

impl std::fmt::Display for PlacedMisfit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.misfit, self.inside) {
            (Misfit::Other(text), _) => formatter.write_str(text),
            (Misfit::Type { value, go_type, .. }, None) => {
                write!(formatter, "json: cannot unmarshal {value} into Go value of type {go_type}")
            }
            (Misfit::Type { value, go_type, .. }, Some(id)) => {
                let (name, fields) = (table().struct_name(id), self.fields.join("."));
                write!(
                    formatter,
                    "json: cannot unmarshal {value} into Go struct field {name}.{fields} of type {go_type}"
                )
            }
        }
    }
}

struct Reader<'d> {
    data: &'d [u8],
    at: usize,
    depth: usize,
    /// Whether duplicate fields are looked for where nothing is known of the type.
    looks_everywhere: bool,
    /// The first error that does not end the reading.
    error: Option<PlacedMisfit>,
    findings: Vec<String>,
    /// The struct whose field is being read.
    inside: Option<StructId>,
    /// Names of the fields that lead here; items of lists and maps have none.
    fields: Vec<&'static str>,
    /// Where findings are.
    path: String,
}

impl<'d> Reader<'d> {
    fn of(data: &'d [u8]) -> Self {
        Self {
            data,
            at: 0,
            depth: 0,
            looks_everywhere: false,
            error: None,
            findings: Vec::new(),
            inside: None,
            fields: Vec::new(),
            path: String::new(),
        }
    }

    /// An error with the place the reader is at.
    fn place(&self, misfit: Misfit) -> PlacedMisfit {
        let mut fields = self.fields.clone();
        if let Misfit::Type { below, .. } = &misfit {
            fields.extend(below);
        }
        PlacedMisfit { misfit, inside: self.inside, fields }
    }

    fn save(&mut self, misfit: Misfit) {
        if self.error.is_none() {
            self.error = Some(self.place(misfit));
        }
    }

    fn find(&mut self, what: &str, name: &str) {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let finding = format!("{what} field {}", crate::status_error::quote(&path));
        if self.findings.len() < MAXIMUM_FINDINGS && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn peek(&mut self) -> u8 {
        while matches!(self.data.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.data.get(self.at).copied().unwrap_or_default()
    }

    /// Goes past the next value, however deep it is.
    fn skip(&mut self) {
        let mut open = 0_usize;
        loop {
            match self.peek() {
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => drop(self.next_literal()),
            }
            if open == 0 || self.at >= self.data.len() {
                return;
            }
        }
    }

    /// Reads the next value; `old` is what the same field held before, in case of duplicates. What is nested too deeply is
    /// read as empty.
    fn value(&mut self, target: Target, old: Option<Value>) -> Result<Value, Misfit> {
        let first = self.peek();
        if matches!(target, Target::Nothing) {
            self.skip();
            return Ok(Value::Null);
        }
        if self.depth >= MAXIMUM_DEPTH && matches!(first, b'{' | b'[') {
            self.skip();
            return Ok(if first == b'{' { Value::Object(Map::new()) } else { Value::Array(Vec::new()) });
        }
        self.depth += 1;
        let read = match first {
            b'{' => self.object(target, old),
            b'[' => self.array(target, old),
            _ => self.literal(target, old),
        };
        self.depth -= 1;
        read
    }

    /// The target without pointers.
    fn shape(target: Target) -> (Option<Shape>, String) {
        match target {
            Target::Struct(id) => (Some(Shape::Struct(id)), String::new()),
            Target::Type(mut id) => {
                while let Shape::Pointer(inner) = table().shape(id) {
                    id = inner;
                }
                (Some(table().shape(id)), table().go_name(id))
            }
            Target::Nothing | Target::Anything => (None, String::new()),
        }
    }

    fn object(&mut self, target: Target, old: Option<Value>) -> Result<Value, Misfit> {
        let (shape, go_type) = Self::shape(target);
        let mismatch = |go_type: &str| Misfit::of("object", go_type);
        match shape {
            None | Some(Shape::Json) => self.members(None, None, old),
            Some(Shape::Struct(id)) => self.members(Some(id), None, old),
            Some(Shape::Map(entry)) => self.members(None, Some(entry), old),
            Some(Shape::SchemaOrBool | Shape::SchemaOrArray | Shape::SchemaOrStrings) => self.own_decoding(),
            Some(Shape::Time | Shape::MicroTime) => Err(mismatch("string")),
            Some(Shape::IntOrString) => Err(mismatch("int32")),
            Some(Shape::Quantity) => self.quantity(),
            Some(_) => {
                self.save(mismatch(&go_type));
                self.members(None, None, None)
            }
        }
    }

    /// A schema of a definition that may be something else: it is read by itself, with nothing looked for but errors.
    fn own_decoding(&mut self) -> Result<Value, Misfit> {
        let start = self.at;
        self.value(Target::Nothing, None)?;
        let data = self.data.get(start..self.at).unwrap_or_default();
        match read_struct(table().schema_props, data, self.depth) {
            Ok(read) => Ok(read.value),
            Err(PlacedMisfit { misfit: Misfit::Type { value, go_type, .. }, fields, .. }) => {
                Err(Misfit::Type { value, go_type, below: fields })
            }
            Err(PlacedMisfit { misfit, .. }) => Err(misfit),
        }
    }

    fn members(&mut self, id: Option<StructId>, entry: Option<TypeId>, old: Option<Value>) -> Result<Value, Misfit> {
        let mut members = match old {
            Some(Value::Object(members)) if id.is_some() || entry.is_some() => members,
            _ => Map::new(),
        };
        let mut seen: HashSet<String> = HashSet::new();
        let (inside, depth, path) = (self.inside, self.fields.len(), self.path.len());
        self.at += 1;
        while self.peek() != b'}' {
            let name = self.text();
            self.peek();
            self.at += 1;
            let field = id.map(|id| (id, table().field(id, &name)));
            let target = match (field, entry) {
                (Some((_, None)), _) => {
                    self.find("unknown", &name);
                    Target::Nothing
                }
                (Some((id, Some(field))), _) => {
                    if seen.contains(&name) {
                        self.find("duplicate", &name);
                    }
                    self.fields.extend(table().chain(field));
                    self.inside = Some(id);
                    self.fields.push(field.name);
                    self.enter(&name);
                    Target::Type(field.value)
                }
                (None, Some(entry)) => {
                    if seen.contains(&name) {
                        self.find("duplicate", &name);
                    }
                    self.enter(&name);
                    Target::Type(entry)
                }
                (None, None) => {
                    if self.looks_everywhere {
                        if seen.contains(&name) {
                            self.find("duplicate", &name);
                        }
                        self.enter(&name);
                    }
                    Target::Anything
                }
            };
            let old = if id.is_some() { members.remove(&name) } else { None };
            let value = self.value(target, old)?;
            if !matches!(target, Target::Nothing) {
                members.insert(name.clone(), value);
                seen.insert(name);
            }
            self.inside = inside;
            self.fields.truncate(depth);
            self.path.truncate(path);
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(Value::Object(members))
    }

    fn enter(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    fn array(&mut self, target: Target, old: Option<Value>) -> Result<Value, Misfit> {
        let (shape, go_type) = Self::shape(target);
        let mismatch = |go_type: &str| Misfit::of("array", go_type);
        match shape {
            None | Some(Shape::Json | Shape::SchemaOrStrings) => self.items(Target::Anything, None),
            Some(Shape::List(item)) => self.items(Target::Type(item), old),
            Some(Shape::Strings) => self.strings(),
            Some(Shape::Bytes) => self.bytes(),
            Some(Shape::SchemaOrArray) => self.schemas(),
            Some(Shape::SchemaOrBool) => Err(Misfit::Other("boolean or JSON schema expected".to_owned())),
            Some(Shape::Time | Shape::MicroTime) => Err(mismatch("string")),
            Some(Shape::IntOrString) => Err(mismatch("int32")),
            Some(Shape::Quantity) => self.quantity(),
            Some(Shape::Struct(id)) if go_type.is_empty() => {
                let name = table().struct_name(id);
                self.save(mismatch(&format!("v1.{name}")));
                self.items(Target::Nothing, None)
            }
            Some(_) => {
                self.save(mismatch(&go_type));
                self.items(Target::Nothing, None)
            }
        }
    }

    /// A list read twice keeps what the second reading leaves out of its items.
    fn items(&mut self, target: Target, old: Option<Value>) -> Result<Value, Misfit> {
        let mut old = match old {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }
        .into_iter();
        let mut items = Vec::new();
        let path = self.path.len();
        self.at += 1;
        while self.peek() != b']' {
            if self.looks_everywhere || matches!(target, Target::Type(_)) {
                // Writing to a string cannot fail.
                let _ = write!(self.path, "[{}]", items.len());
            }
            items.push(self.value(target, old.next())?);
            self.path.truncate(path);
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    /// A list of strings under a name of its own.
    fn strings(&mut self) -> Result<Value, Misfit> {
        let Value::Array(items) = self.items(Target::Anything, None)? else { return Ok(Value::Null) };
        for item in &items {
            if !matches!(item, Value::String(_) | Value::Null) {
                self.save(Misfit::of(json_kind(item), "string"));
            }
        }
        Ok(Value::Array(items))
    }

    /// Bytes may be a list of numbers.
    fn bytes(&mut self) -> Result<Value, Misfit> {
        use base64::Engine as _;
        let Value::Array(items) = self.items(Target::Anything, None)? else { return Ok(Value::Null) };
        let mut found = Vec::with_capacity(items.len());
        for item in &items {
            let byte = item.as_u64().and_then(|number| u8::try_from(number).ok());
            let sent = match item {
                Value::Number(number) => format!("number {number}"),
                other => json_kind(other).to_owned(),
            };
            match byte {
                None if !item.is_null() => self.save(Misfit::of(&sent, "uint8")),
                byte => found.push(byte.unwrap_or_default()),
            }
        }
        Ok(Value::String(base64::engine::general_purpose::STANDARD.encode(found)))
    }

    fn schemas(&mut self) -> Result<Value, Misfit> {
        let mut items = Vec::new();
        self.at += 1;
        while self.peek() != b']' {
            let item = if self.peek() == b'{' { self.own_decoding()? } else { self.value(Target::Anything, None)? };
            items.push(item);
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    /// A quantity decodes itself from the text of whatever stands there.
    fn quantity(&mut self) -> Result<Value, Misfit> {
        let start = self.at;
        self.value(Target::Anything, None)?;
        let text = String::from_utf8_lossy(self.data.get(start..self.at).unwrap_or_default());
        quantity::canonical(&text).map_err(|error| Misfit::Other(error.to_owned()))?;
        Ok(Value::String(text.into_owned()))
    }

    fn literal(&mut self, target: Target, old: Option<Value>) -> Result<Value, Misfit> {
        let start = self.at;
        let literal = self.next_literal();
        let source = String::from_utf8_lossy(self.data.get(start..self.at).unwrap_or_default()).into_owned();
        let (shape, go_type) = Self::shape(target);
        let Some(shape) = shape else {
            if let Literal::Number(number) = &literal
                && matches!(target, Target::Anything)
                && !number.parse().is_ok_and(f64::is_finite)
            {
                self.save(Misfit::of(&format!("number {number}"), "float64"));
            }
            return Ok(generic(literal));
        };
        let named = |value: &str| Misfit::of(value, &go_type);
        let sent = match &literal {
            Literal::Null => "null",
            Literal::Bool(_) => "bool",
            Literal::Number(_) => "number",
            Literal::Text(_) => "string",
        };
        match (shape, literal) {
            (Shape::Json, literal) => return Ok(generic(literal)),
            // null empties what can be nothing, and leaves the rest as it is
            (_, Literal::Null) => {
                let is_nothing = match target {
                    Target::Type(id) => matches!(
                        table().shape(id),
                        Shape::Pointer(_)
                            | Shape::List(_)
                            | Shape::Map(_)
                            | Shape::Bytes
                            | Shape::Strings
                            | Shape::Time
                            | Shape::MicroTime
                            | Shape::Quantity
                    ),
                    _ => false,
                };
                return Ok(if is_nothing { Value::Null } else { old.unwrap_or(Value::Null) });
            }
            (Shape::Time | Shape::MicroTime, Literal::Text(text)) => {
                time::parse(&text, shape == Shape::MicroTime).map_err(Misfit::Other)?;
                return Ok(Value::String(text));
            }
            (Shape::Time | Shape::MicroTime, _) => {
                return Err(Misfit::of(sent, "string"));
            }
            (Shape::Quantity, literal) => {
                let text = if let Literal::Text(_) = literal {
                    // as it stands in the document, escapes and all
                    source.trim_matches('"').to_owned()
                } else {
                    source
                };
                quantity::canonical(&text).map_err(|error| Misfit::Other(error.to_owned()))?;
                return Ok(Value::String(text));
            }
            (Shape::String | Shape::IntOrString, Literal::Text(text)) => return Ok(Value::String(text)),
            (Shape::IntOrString, Literal::Number(number)) => match number.parse::<i32>() {
                Ok(number) => return Ok(number.into()),
                Err(_) => {
                    return Err(Misfit::of(&format!("number {number}"), "int32"));
                }
            },
            (Shape::IntOrString, _) => {
                return Err(Misfit::of(sent, "int32"));
            }
            (Shape::Bool | Shape::SchemaOrBool, Literal::Bool(flag)) => return Ok(flag.into()),
            (Shape::SchemaOrBool, _) => {
                return Err(Misfit::Other("boolean or JSON schema expected".to_owned()));
            }
            (Shape::SchemaOrArray | Shape::SchemaOrStrings, literal) => return Ok(generic(literal)),
            (Shape::Bytes, Literal::Text(text)) => match bytes::check(&text) {
                Ok(_) => return Ok(Value::String(text)),
                Err(at) => self.save(Misfit::Other(format!("illegal base64 data at input byte {at}"))),
            },
            (Shape::Int32 | Shape::Int64, Literal::Number(number)) => {
                let parsed = number.parse::<i64>().ok();
                let parsed = parsed.filter(|parsed| shape == Shape::Int64 || i32::try_from(*parsed).is_ok());
                match parsed {
                    Some(parsed) => return Ok(parsed.into()),
                    None => self.save(named(&format!("number {number}"))),
                }
            }
            (Shape::Float64, Literal::Number(number)) => match number.parse::<f64>() {
                Ok(parsed) if parsed.is_finite() => return Ok(parsed.into()),
                _ => self.save(named(&format!("number {number}"))),
            },
            (Shape::Struct(id), _) if go_type.is_empty() => {
                let go_type = format!("v1.{}", table().struct_name(id));
                self.save(Misfit::of(sent, &go_type));
            }
            _ => self.save(named(sent)),
        }
        Ok(Value::Null)
    }
}
