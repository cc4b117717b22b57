//! Reading of documents: YAML or JSON text becomes typed objects, and every problem knows its line.
//!
//! YAML is read as Kubernetes reads it (YAML 1.1 scalars, merge keys, an explicit `null` is an absent field), but
//! strictly: unknown fields, duplicate keys and values of the wrong type are refused, with what was probably meant.
//! Several documents are read all or nothing. Sizes, nesting and aliases are bounded, so that no text can take the
//! process down.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::ProblemCode;
use crate::validation::{FieldPath, FieldProblem, closest, list};
use crate::{GROUP, KubernetesCluster, ProviderProfile, VERSION};

mod scalar;
mod source;
mod structure;
mod yaml;

pub use source::{Excerpt, Span};

use source::Source;
use yaml::Node;

/// Largest text that is read, in bytes.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;

/// What a document describes.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A cluster.
    Cluster(Box<KubernetesCluster>),
    /// A provider's profile.
    Profile(Box<ProviderProfile>),
    /// An object of another API group, such as a Secret; unchecked.
    Other(Value),
}

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it describes, defaults filled in.
    pub object: Object,
    /// The document as written, without fields that are `null` and without `status`.
    pub value: Value,
    node: Option<Node>,
    source: Arc<Source>,
    index: usize,
}

/// A problem and its place in the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocatedProblem {
    /// The problem.
    #[serde(flatten)]
    pub problem: FieldProblem,
    /// Which of several documents, counted from 0.
    pub document: usize,
    /// The place, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// The lines around the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Excerpt>,
}

impl fmt::Display for LocatedProblem {
    /// Writes the problem and the excerpt as a compiler does.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.problem)?;
        match &self.excerpt {
            Some(excerpt) => write!(formatter, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

/// Why a text was not read. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct DocumentError {
    /// What the text is called, such as the name of its file.
    pub name: String,
    /// What is wrong; never empty.
    pub problems: Vec<LocatedProblem>,
}

/// Reads all documents of a text. `name` is what the text is called in excerpts, such as the name of its file.
///
/// # Errors
/// [`DocumentError`] with all problems that can be told at once; then no document was read.
pub fn read(name: &str, bytes: &[u8]) -> Result<Vec<Document>, DocumentError> {
    read_with(name, bytes, |_| {})
}

/// As [`read`], for a text that need not say the name of its object, because its address does: where `metadata.name` is
/// missing, it is `object`.
///
/// # Errors
/// As [`read`].
pub fn read_addressed(name: &str, bytes: &[u8], object: &str) -> Result<Vec<Document>, DocumentError> {
    read_with(name, bytes, |value| {
        let Some(fields) = value.as_object_mut() else { return };
        let metadata = fields.entry("metadata").or_insert(Value::Null);
        if metadata.is_null() {
            *metadata = Value::Object(serde_json::Map::new());
        }
        if let Some(metadata) = metadata.as_object_mut()
            && metadata.get("name").is_none_or(Value::is_null)
        {
            metadata.insert("name".to_owned(), object.into());
        }
    })
}

fn read_with(name: &str, bytes: &[u8], complete: impl Fn(&mut Value)) -> Result<Vec<Document>, DocumentError> {
    let failed = |problems| DocumentError { name: name.into(), problems };
    let source = Source::new(name, bytes).map_err(|problem| failed(vec![*problem]))?;
    let source = Arc::new(source);
    let parsed = parse(&source).map_err(|problem| failed(vec![*problem]))?;
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for (index, (node, mut value)) in parsed.into_iter().enumerate() {
        complete(&mut value);
        let found = check_with(&value, &|pointer| node.as_ref()?.find(pointer)?.text());
        let mut document =
            Document { object: Object::Other(Value::Null), value, node, source: Arc::clone(&source), index };
        match found {
            Ok((object, value)) => {
                document.object = object;
                document.value = value;
                documents.push(document);
            }
            Err(found) => problems.extend(document.locate(found)),
        }
    }
    if documents.is_empty() && problems.is_empty() {
        let message = "the text has no document".to_owned();
        let empty = FieldProblem::new(
            ProblemCode::MalformedDocument,
            &FieldPath::root(),
            None,
            "at least one document",
            message,
        );
        problems.push(LocatedProblem { problem: empty, document: 0, span: None, excerpt: None });
    }
    // From top to bottom, as people read.
    problems.sort_by_key(|found| (found.document, found.span.map_or(0, |span| span.offset)));
    if problems.is_empty() { Ok(documents) } else { Err(failed(problems)) }
}

/// Reads the text as YAML; as JSON where it looks like it and YAML is stricter about white space.
fn parse(source: &Source) -> Result<Vec<(Option<Node>, Value)>, Box<LocatedProblem>> {
    match yaml::parse(source) {
        Ok(nodes) => {
            Ok(nodes.into_iter().map(|node| (node.to_value(), node)).map(|(value, node)| (Some(node), value)).collect())
        }
        Err(problem) => {
            let text = source.text().trim_start();
            // Bounds and keys that occur twice are found by the YAML reader only: its verdict stands.
            let is_final =
                problem.problem.code == ProblemCode::DocumentTooLarge || problem.problem.rule == yaml::KEYS_ONCE;
            if is_final || !text.starts_with('{') {
                return Err(problem);
            }
            let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
            values.map(|values| values.into_iter().map(|value| (None, value)).collect()).map_err(|_| problem)
        }
    }
}

/// Checks a value that did not come from a text, such as the result of a patch.
///
/// # Errors
/// All problems of its structure: unknown and missing fields, wrong types.
pub fn from_value(value: &Value) -> Result<Object, Vec<FieldProblem>> {
    check_with(value, &|_| None).map(|(object, _)| object)
}

impl Document {
    /// Adds the places in the text to problems with this document.
    pub fn locate(&self, problems: Vec<FieldProblem>) -> Vec<LocatedProblem> {
        problems.into_iter().map(|problem| self.locate_one(problem)).collect()
    }

    fn locate_one(&self, problem: FieldProblem) -> LocatedProblem {
        let on_key = problem.code == ProblemCode::UnknownField;
        let span =
            self.node.as_ref().map(|node| node.locate(&problem.pointer, on_key)).map(|range| self.source.span(range));
        let excerpt = span.as_ref().map(|span| self.source.excerpt(span));
        LocatedProblem { problem, document: self.index, span, excerpt }
    }

    /// The cluster, if the document describes one.
    pub fn cluster(&self) -> Option<&KubernetesCluster> {
        match &self.object {
            Object::Cluster(cluster) => Some(cluster),
            _ => None,
        }
    }

    /// The place of a field, or of the nearest field around it.
    pub fn span(&self, pointer: &str) -> Option<Span> {
        self.node.as_ref().map(|node| node.locate(pointer, false)).map(|range| self.source.span(range))
    }
}

static CLUSTER_SCHEMA: LazyLock<Value> = LazyLock::new(crate::crd::kubernetes_cluster_schema);
static PROFILE_SCHEMA: LazyLock<Value> = LazyLock::new(crate::crd::provider_profile_schema);

/// The text a scalar was written as, by pointer: `1.30` where the value is 1.3.
type WrittenText<'a> = dyn Fn(&str) -> Option<&'a str> + 'a;

fn check_with(value: &Value, written: &WrittenText<'_>) -> Result<(Object, Value), Vec<FieldProblem>> {
    let root = FieldPath::root();
    let Some(fields) = value.as_object() else {
        let message = format!("a document is a mapping of fields, not {}", structure::kind_of(value));
        return Err(vec![FieldProblem::new(ProblemCode::MalformedDocument, &root, None, "a mapping", message)]);
    };
    let schema: &Value = match kind(fields)? {
        Kind::Cluster => &CLUSTER_SCHEMA,
        Kind::Profile => &PROFILE_SCHEMA,
        Kind::Other => return Ok((Object::Other(value.clone()), value.clone())),
    };
    let mut problems = Vec::new();
    structure::check_object(fields, schema, written, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut cleaned = value.clone();
    structure::remove_nulls(&mut cleaned);
    if let Some(object) = cleaned.as_object_mut() {
        object.remove("status");
    }
    let object = if std::ptr::eq(schema, &raw const *CLUSTER_SCHEMA) {
        serde_json::from_value(cleaned.clone()).map(|cluster| Object::Cluster(Box::new(cluster)))
    } else {
        serde_json::from_value(cleaned.clone()).map(|profile| Object::Profile(Box::new(profile)))
    };
    match object {
        Ok(object) => Ok((object, cleaned)),
        Err(error) => Err(vec![FieldProblem::new(
            ProblemCode::WrongType,
            &root,
            None,
            "the types of the schema",
            error.to_string(),
        )]),
    }
}

enum Kind {
    Cluster,
    Profile,
    Other,
}

fn kind(fields: &serde_json::Map<String, Value>) -> Result<Kind, Vec<FieldProblem>> {
    const KINDS: [&str; 2] = ["KubernetesCluster", "ProviderProfile"];
    let root = FieldPath::root();
    let wanted = format!("{GROUP}/{VERSION}");
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let mut problems = Vec::new();
    for (name, example) in [("apiVersion", wanted.as_str()), ("kind", KINDS[0])] {
        if text(name).is_none_or(str::is_empty) {
            let message = format!("is missing; write {name}: {example}");
            let code = if fields.contains_key(name) { ProblemCode::WrongType } else { ProblemCode::MissingField };
            problems.push(
                FieldProblem::new(code, &root.child(name), fields.get(name).cloned(), "is required", message)
                    .accepting(example),
            );
        }
    }
    let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) else { return Err(problems) };
    if !problems.is_empty() {
        return Err(problems);
    }
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let is_ours = KINDS.contains(&kind);
    if group != GROUP && !is_ours {
        let near = closest(group, [GROUP]);
        if group.is_empty() || near.is_none() {
            return Ok(Kind::Other);
        }
    }
    if version != wanted {
        let message = format!("apiVersion `{version}` is not served; write {wanted}");
        problems.push(
            FieldProblem::new(
                ProblemCode::UnknownKind,
                &root.child("apiVersion"),
                Some(version.into()),
                "a served version",
                message,
            )
            .accepting(wanted),
        );
    }
    if !is_ours {
        let hint = if kind == "Cluster" { Some(KINDS[0]) } else { closest(kind, KINDS) };
        let hint = hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        let message = format!("there is no kind `{kind}` in {GROUP}{hint}; there are: {}", list(&KINDS));
        problems.push(
            FieldProblem::new(
                ProblemCode::UnknownKind,
                &root.child("kind"),
                Some(kind.into()),
                "a kind of Kogge",
                message,
            )
            .accepting(list(&KINDS)),
        );
    }
    match kind {
        _ if !problems.is_empty() => Err(problems),
        "KubernetesCluster" => Ok(Kind::Cluster),
        _ => Ok(Kind::Profile),
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
