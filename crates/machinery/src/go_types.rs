//! The Go types of Kubernetes' built-in kinds, as data: JSON and protobuf names, types, what is left out when empty.
//!
//! The table is text generated from the types themselves (`go-types/README.md`). It is read at first use, so a server
//! that decodes nothing built in pays nothing for it; read, it is one flat list of fields.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

static SOURCE: &str = include_str!("../go-types/types.txt");
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(SOURCE));

/// Index of a type.
pub(crate) type TypeId = u16;
/// Index of a struct.
pub(crate) type StructId = u16;

/// How values of a type are written, in JSON and in protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    String,
    Bool,
    Int32,
    Int64,
    Float64,
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
    /// RawExtension, FieldsV1, `JSON` of definitions: any value, as it is.
    Json,
    /// A list of strings that is a message of its own in protobuf (ExtraValue).
    Strings,
    /// JSONSchemaPropsOrBool.
    SchemaOrBool,
    /// JSONSchemaPropsOrArray.
    SchemaOrArray,
    /// JSONSchemaPropsOrStringArray.
    SchemaOrStrings,
    Struct(StructId),
    List(TypeId),
    /// By string keys.
    Map(TypeId),
    Pointer(TypeId),
}

/// One type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Type {
    pub(crate) shape: Shape,
    /// What Go calls it; empty where the shape tells.
    name: &'static str,
}

/// One field of a struct; fields of structs merged into it are its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// In JSON.
    pub(crate) name: &'static str,
    /// See [`prefix`].
    prefix: u64,
    /// Which chain of merged structs it comes from ([`Table::chain`]); 0 for the struct's own fields.
    chain: u16,
    pub(crate) value: TypeId,
    /// In protobuf, within the struct it comes from; 0 for none.
    pub(crate) number: u16,
    /// Its place in what Go writes.
    pub(crate) order: u16,
    /// Whether Go leaves it out when it is empty. Structs are never empty (`omitempty` does nothing there).
    pub(crate) omitted: bool,
}

impl Field {
    /// Whether its name comes before another, which has this [`prefix`].
    fn is_before(&self, name: &str, prefix: u64) -> bool {
        self.prefix < prefix || self.prefix == prefix && self.name < name
    }
}

/// The first bytes of a name as a number: names mostly differ there, and numbers are compared at once.
fn prefix(name: &str) -> u64 {
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(name.as_bytes()) {
        *to = *from;
    }
    u64::from_be_bytes(first)
}

/// Splits fields sorted by name before the first whose name is not before this one.
pub(crate) fn split_before<'f>(fields: &'f [Field], name: &str) -> (&'f [Field], &'f [Field]) {
    let prefix = prefix(name);
    fields.split_at(fields.partition_point(|field| field.is_before(name, prefix)))
}

#[derive(Debug)]
struct Struct {
    /// `core.v1.Pod`.
    name: &'static str,
    /// In [`Table::fields`], sorted by name.
    fields: Range<usize>,
    /// Whether none of them is always written.
    all_omitted: bool,
}

/// A struct whose fields merge into another's.
#[derive(Debug)]
struct MergedStruct {
    into: StructId,
    number: u16,
    merged: StructId,
}

/// All types.
#[derive(Debug, Default)]
pub(crate) struct Table {
    types: Vec<Type>,
    structs: Vec<Struct>,
    fields: Vec<Field>,
    merged: Vec<MergedStruct>,
    /// Go names of merged structs, outermost first; the first chain is empty.
    chains: Vec<Vec<&'static str>>,
    /// apiVersion, kind, its struct.
    kinds: Vec<(&'static str, &'static str, StructId)>,
    /// JSONSchemaProps.
    pub(crate) schema_props: StructId,
}

/// The table, read at the first call.
pub(crate) fn table() -> &'static Table {
    &TABLE
}

/// Resolves type texts while reading.
struct Names {
    structs: HashMap<&'static str, StructId>,
    types: HashMap<&'static str, TypeId>,
}

/// A field line as it stands in the text.
struct Line {
    number: u16,
    name: &'static str,
    value: TypeId,
    flag: Option<&'static str>,
}

impl Table {
    /// Reads the table text. Lines that do not have its form are left out; a test sees that there are none.
    fn read(source: &'static str) -> Self {
        let mut table = Self::default();
        let mut names = Names { structs: HashMap::new(), types: HashMap::new() };
        let struct_names = source.lines().filter_map(|line| line.strip_prefix("type "));
        for (name, index) in struct_names.zip(0..) {
            names.structs.insert(name, index);
        }
        table.schema_props = names.structs.get("apiextensions.v1.JSONSchemaProps").copied().unwrap_or_default();
        let mut lines: Vec<Vec<Line>> = Vec::with_capacity(names.structs.len());
        for line in source.lines() {
            let mut words = line.splitn(4, ' ');
            let first = words.next().unwrap_or_default();
            match (first, words.next(), words.next(), words.next()) {
                ("kind", Some(api_version), Some(kind), Some(name)) => {
                    if let Some(index) = names.structs.get(name) {
                        table.kinds.push((api_version, kind, *index));
                    }
                }
                ("type", Some(name), None, None) => {
                    table.structs.push(Struct { name, fields: 0..0, all_omitted: false });
                    lines.push(Vec::new());
                }
                (number, Some(name), Some(text), flag) => {
                    let value = table.type_of(text, &mut names);
                    if let (Ok(number), Some(value), Some(lines)) = (number.parse(), value, lines.last_mut()) {
                        lines.push(Line { number, name, value, flag });
                    }
                }
                _ => {}
            }
        }
        table.chains.push(Vec::new());
        for (index, _) in (0..).zip(&lines) {
            table.collect_fields(index, &lines);
        }
        table.types.shrink_to_fit();
        table.fields.shrink_to_fit();
        table
    }

    fn type_of(&mut self, text: &'static str, names: &mut Names) -> Option<TypeId> {
        if let Some(known) = names.types.get(text) {
            return Some(*known);
        }
        let (name, form) = match text.split_once('=') {
            Some((name, form)) if !name.starts_with(['*', '{']) && !name.starts_with("[]") => (name, form),
            _ => ("", text),
        };
        let shape = match form {
            "string" => Shape::String,
            "bool" => Shape::Bool,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "float64" => Shape::Float64,
            "bytes" => Shape::Bytes,
            "time" => Shape::Time,
            "microtime" => Shape::MicroTime,
            "quantity" => Shape::Quantity,
            "intorstring" => Shape::IntOrString,
            "json" => Shape::Json,
            "strings" => Shape::Strings,
            "schemaorbool" => Shape::SchemaOrBool,
            "schemaorarray" => Shape::SchemaOrArray,
            "schemaorstrings" => Shape::SchemaOrStrings,
            other => {
                if let Some(inner) = other.strip_prefix('*') {
                    Shape::Pointer(self.type_of(inner, names)?)
                } else if let Some(inner) = other.strip_prefix("[]") {
                    Shape::List(self.type_of(inner, names)?)
                } else if let Some(inner) = other.strip_prefix("{}") {
                    Shape::Map(self.type_of(inner, names)?)
                } else {
                    Shape::Struct(*names.structs.get(other)?)
                }
            }
        };
        let index = TypeId::try_from(self.types.len()).ok()?;
        self.types.push(Type { shape, name });
        names.types.insert(text, index);
        Some(index)
    }

    /// Writes the fields of one struct, those of merged structs among them.
    fn collect_fields(&mut self, index: StructId, all: &[Vec<Line>]) {
        let start = self.fields.len();
        self.collect_merged(index, index, &mut Vec::new(), start, all);
        self.fields[start..].sort_by_key(|field| field.name);
        let fields = start..self.fields.len();
        let all_omitted = self.fields[start..].iter().all(|field| field.omitted);
        if let Some(entry) = self.structs.get_mut(usize::from(index)) {
            entry.fields = fields;
            entry.all_omitted = all_omitted;
        }
    }

    /// Writes the fields of `from`, which is `into` itself or merged into it by `chain`.
    fn collect_merged(
        &mut self,
        into: StructId,
        from: StructId,
        chain: &mut Vec<&'static str>,
        start: usize,
        all: &[Vec<Line>],
    ) {
        let known = self.chains.iter().position(|known| known == chain);
        let place = known.unwrap_or_else(|| {
            self.chains.push(chain.clone());
            self.chains.len() - 1
        });
        for line in all.get(usize::from(from)).into_iter().flatten() {
            match (line.name.strip_prefix('*'), self.shape(line.value)) {
                (Some(go_name), Shape::Struct(merged)) => {
                    if chain.is_empty() {
                        self.merged.push(MergedStruct { into, number: line.number, merged });
                    }
                    chain.push(go_name);
                    self.collect_merged(into, merged, chain, start, all);
                    chain.pop();
                }
                _ => self.push_field(start, line, u16::try_from(place).unwrap_or_default()),
            }
        }
    }

    fn push_field(&mut self, start: usize, line: &Line, chain: u16) {
        let can_be_empty = !matches!(
            self.shape(line.value),
            Shape::Struct(_)
                | Shape::Time
                | Shape::MicroTime
                | Shape::Quantity
                | Shape::IntOrString
                | Shape::Json
                | Shape::SchemaOrBool
                | Shape::SchemaOrArray
                | Shape::SchemaOrStrings
        );
        self.fields.push(Field {
            name: line.name,
            prefix: prefix(line.name),
            chain,
            value: line.value,
            number: line.number,
            order: u16::try_from(self.fields.len() - start).unwrap_or(u16::MAX),
            omitted: line.flag == Some("!") || line.flag == Some("?") && can_be_empty,
        });
    }

    pub(crate) fn shape(&self, id: TypeId) -> Shape {
        self.types.get(usize::from(id)).map_or(Shape::Json, |found| found.shape)
    }

    /// The fields of a struct, sorted by name.
    pub(crate) fn fields(&self, id: StructId) -> &[Field] {
        self.structs.get(usize::from(id)).and_then(|found| self.fields.get(found.fields.clone())).unwrap_or_default()
    }

    /// Whether Go leaves out every field of a struct that is empty.
    pub(crate) fn all_omitted(&self, id: StructId) -> bool {
        self.structs.get(usize::from(id)).is_some_and(|found| found.all_omitted)
    }

    /// A field by its name in JSON.
    pub(crate) fn field(&self, id: StructId, name: &str) -> Option<&Field> {
        let fields = self.fields(id);
        fields.binary_search_by_key(&name, |field| field.name).ok().and_then(|position| fields.get(position))
    }

    /// A field of the struct's own by its number in protobuf.
    pub(crate) fn numbered_field(&self, id: StructId, number: u32) -> Option<&Field> {
        self.fields(id).iter().find(|field| u32::from(field.number) == number && field.chain == 0)
    }

    /// The struct whose fields are merged into this one's, by its number in protobuf.
    pub(crate) fn merged_struct(&self, id: StructId, number: u32) -> Option<StructId> {
        let of_number = |entry: &&MergedStruct| entry.into == id && u32::from(entry.number) == number && number > 0;
        self.merged.iter().find(of_number).map(|entry| entry.merged)
    }

    /// Go names of the merged structs a field comes from, outermost first.
    pub(crate) fn chain(&self, field: &Field) -> &[&'static str] {
        self.chains.get(usize::from(field.chain)).map_or(&[], Vec::as_slice)
    }

    /// The struct of a kind. DeleteOptions come in the group-version of the resource they delete; old clients evict by
    /// policy/v1beta1, which has the same shape.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<StructId> {
        let api_version = match (api_version, kind) {
            (_, "DeleteOptions") => "v1",
            ("policy/v1beta1", "Eviction") => "policy/v1",
            _ => api_version,
        };
        self.kinds.iter().find(|entry| entry.0 == api_version && entry.1 == kind).map(|entry| entry.2)
    }

    /// A struct by its whole name, `core.v1.Pod`.
    pub(crate) fn struct_named(&self, name: &str) -> Option<StructId> {
        let position = self.structs.binary_search_by_key(&name, |found| found.name).ok()?;
        StructId::try_from(position).ok()
    }

    /// `Pod` of `core.v1.Pod`.
    pub(crate) fn struct_name(&self, id: StructId) -> &'static str {
        let name = self.structs.get(usize::from(id)).map_or("", |found| found.name);
        name.rsplit('.').next().unwrap_or(name)
    }

    /// `core.v1.Pod`.
    pub(crate) fn qualified_name(&self, id: StructId) -> &'static str {
        self.structs.get(usize::from(id)).map_or("", |found| found.name)
    }

    /// What Go calls a type: `v1.PodSpec`, `[]v1.Container`, `map[string]string`.
    pub(crate) fn go_name(&self, id: TypeId) -> String {
        let Some(found) = self.types.get(usize::from(id)) else { return String::new() };
        if !found.name.is_empty() {
            return found.name.to_owned();
        }
        match found.shape {
            Shape::String => "string".to_owned(),
            Shape::Bool => "bool".to_owned(),
            Shape::Int32 => "int32".to_owned(),
            Shape::Int64 => "int64".to_owned(),
            Shape::Float64 => "float64".to_owned(),
            Shape::Bytes => "[]uint8".to_owned(),
            Shape::Time => "v1.Time".to_owned(),
            Shape::MicroTime => "v1.MicroTime".to_owned(),
            Shape::Quantity => "resource.Quantity".to_owned(),
            Shape::IntOrString => "intstr.IntOrString".to_owned(),
            Shape::Json => "runtime.RawExtension".to_owned(),
            Shape::Strings => "v1.ExtraValue".to_owned(),
            Shape::SchemaOrBool => "v1.JSONSchemaPropsOrBool".to_owned(),
            Shape::SchemaOrArray => "v1.JSONSchemaPropsOrArray".to_owned(),
            Shape::SchemaOrStrings => "v1.JSONSchemaPropsOrStringArray".to_owned(),
            Shape::Struct(index) => {
                let name = self.structs.get(usize::from(index)).map_or("", |found| found.name);
                name.split_once('.').map_or(name, |(_, rest)| rest).to_owned()
            }
            Shape::List(item) => format!("[]{}", self.go_name(item)),
            Shape::Map(value) => format!("map[string]{}", self.go_name(value)),
            Shape::Pointer(inner) => format!("*{}", self.go_name(inner)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let table = table();
        let lines = |wanted: &str| SOURCE.lines().filter(|line| line.starts_with(wanted)).count();
        assert_eq!(table.kinds.len(), lines("kind "));
        assert_eq!(table.structs.len(), lines("type "));
        let own = table.fields.iter().filter(|field| field.chain == 0).count() + table.merged.len();
        let of_fields = SOURCE.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).count();
        assert_eq!(own, of_fields);
        assert_eq!(table.struct_name(table.schema_props), "JSONSchemaProps");
        assert!(table.structs.windows(2).all(|pair| pair[0].name < pair[1].name));
        for fields in table.structs.iter().map(|found| &table.fields[found.fields.clone()]) {
            assert!(fields.windows(2).all(|pair| pair[0].name < pair[1].name));
        }
    }

    #[test]
    fn types_have_the_names_go_prints() {
        let table = table();
        let of = |api_version: &str, kind: &str, path: &[&str]| {
            let mut at = table.kind(api_version, kind).unwrap();
            let mut found = 0;
            for name in path {
                found = table.field(at, name).unwrap().value;
                let mut shape = table.shape(found);
                while let Shape::Pointer(inner) | Shape::List(inner) | Shape::Map(inner) = shape {
                    shape = table.shape(inner);
                }
                if let Shape::Struct(index) = shape {
                    at = index;
                }
            }
            table.go_name(found)
        };
        let names = [
            of("v1", "Pod", &["spec"]),
            of("v1", "Pod", &["spec", "containers"]),
            of("v1", "Pod", &["spec", "containers", "resources", "limits"]),
            of("v1", "Pod", &["spec", "volumes", "emptyDir"]),
            of("v1", "Secret", &["data"]),
            of("v1", "Service", &["spec", "type"]),
            of("v1", "Service", &["spec", "ports", "targetPort"]),
            of("apps/v1", "Deployment", &["spec", "replicas"]),
            of(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                &["spec", "versions", "schema", "openAPIV3Schema"],
            ),
        ];
        insta::assert_snapshot!(names.join("\n"), @r"
        v1.PodSpec
        []v1.Container
        v1.ResourceList
        *v1.EmptyDirVolumeSource
        map[string][]uint8
        v1.ServiceType
        intstr.IntOrString
        *int32
        *v1.JSONSchemaProps
        ");
    }
}
