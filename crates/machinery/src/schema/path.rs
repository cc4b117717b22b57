//! Paths of fields, built on the stack while walking and rendered only when something is wrong.

use std::fmt;

/// One step of a [`FieldPath`].
#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    /// A prefix given as text; empty at the root of an object.
    Root(&'a str),
    /// `.name`.
    Field(&'a str),
    /// `[key]`.
    Key(&'a str),
    /// `[0]`.
    Index(usize),
}

/// A path such as `spec.workers[0].count`, linked from the leaf to the root.
///
/// Renders as `k8s.io/apimachinery/pkg/util/validation/field` does, except that the empty path renders as the empty
/// string; [`FieldPath::to_field`] gives the `<nil>` which the real server prints there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    segment: Segment<'a>,
}

impl<'a> FieldPath<'a> {
    /// The path of an object as a whole.
    pub(crate) const ROOT: FieldPath<'static> = FieldPath { parent: None, segment: Segment::Root("") };

    /// A path that starts with `prefix`, e.g. `spec.versions[0].schema`.
    pub(crate) const fn with_prefix(prefix: &'a str) -> Self {
        Self { parent: None, segment: Segment::Root(prefix) }
    }

    /// The path of field `name` below this one.
    pub(crate) const fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), segment: Segment::Field(name) }
    }

    /// The path of map entry `key` below this one.
    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), segment: Segment::Key(key) }
    }

    /// The path of item `index` below this one.
    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), segment: Segment::Index(index) }
    }

    /// Whether this is the path of the object as a whole.
    pub(crate) const fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// The `field` of an error: `<nil>` for the root, as in the real server's answers.
    pub(crate) fn to_field(self) -> String {
        let text = self.to_string();
        if text.is_empty() { "<nil>".to_owned() } else { text }
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        match self.segment {
            Segment::Root(prefix) => out.push_str(prefix),
            Segment::Field(name) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
            Segment::Key(key) => {
                out.push('[');
                out.push_str(key);
                out.push(']');
            }
            Segment::Index(index) => {
                out.push('[');
                out.push_str(&index.to_string());
                out.push(']');
            }
        }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        formatter.write_str(&text)
    }
}
