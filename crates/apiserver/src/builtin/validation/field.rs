//! A place in an object under validation, and the errors found there.
//!
//! Objects are read leniently: a value of another type reads as an absent one, since what has the wrong type is refused
//! before by the kind's schema.

use std::collections::BTreeSet;

use kogge_machinery::{
    quantity::Quantity,
    status_error::{FieldError, FieldErrorKind, quote},
    typed_object::{EmptyContainers, TypedKind},
};
use serde_json::Value;

static NULL: Value = Value::Null;

/// A value and the path it is reported under.
#[derive(Clone, Debug)]
pub(crate) struct Field<'o> {
    pub(crate) value: &'o Value,
    path: String,
}

impl<'o> Field<'o> {
    /// The object itself, which has no path.
    pub(crate) fn root(value: &'o Value) -> Self {
        Self { value, path: String::new() }
    }

    /// Where this is, e.g. `spec.containers[0].name`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A member, or one of a member: `at("limits.cpu")`. What is not there reads as null.
    pub(crate) fn at(&self, names: &str) -> Self {
        let value = names.split('.').try_fold(self.value, |value, name| value.get(name)).unwrap_or(&NULL);
        let path = if self.path.is_empty() { names.to_owned() } else { format!("{}.{names}", self.path) };
        Self { value, path }
    }

    /// The same value reported under another name, where the real server does so.
    pub(crate) fn reported_at(&self, parent: &Self, name: &str) -> Self {
        Self { value: self.value, path: parent.at(name).path }
    }

    /// The same value under a path that is not the object's.
    pub(crate) fn reported_as(&self, path: &str) -> Self {
        Self { value: self.value, path: path.to_owned() }
    }

    /// The value of a map's key, reported as `path[key]`.
    pub(crate) fn key(&self, key: &str) -> Self {
        Self { value: self.value.get(key).unwrap_or(&NULL), path: format!("{}[{key}]", self.path) }
    }

    /// The items of a list, reported as `path[index]`.
    pub(crate) fn items(&self) -> impl Iterator<Item = Self> + use<'_, 'o> {
        let items = self.value.as_array().map_or(&[][..], Vec::as_slice);
        items.iter().enumerate().map(|(index, value)| Self { value, path: format!("{}[{index}]", self.path) })
    }

    /// The entries of a map, reported as `path[key]`.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'o str, Self)> + use<'_, 'o> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(key, value)| (key.as_str(), Self { value, path: format!("{}[{key}]", self.path) }))
    }

    /// The texts of a list.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &'o str> + use<'o> {
        self.value.as_array().map_or(&[][..], Vec::as_slice).iter().map(|item| item.as_str().unwrap_or_default())
    }

    /// The text; empty where there is none.
    pub(crate) fn text(&self) -> &'o str {
        self.value.as_str().unwrap_or_default()
    }

    /// The number; none where there is none.
    pub(crate) fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// The number; 0 where there is none.
    pub(crate) fn count(&self) -> i64 {
        self.value.as_i64().unwrap_or_default()
    }

    /// Whether this is there and true.
    pub(crate) fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    /// Whether there is a value.
    pub(crate) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// The number of items of a list or of entries of a map.
    pub(crate) fn len(&self) -> usize {
        match self.value {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 0,
        }
    }

    /// Whether this is absent, or an empty text, list or map.
    pub(crate) fn is_empty(&self) -> bool {
        self.text().is_empty() && self.len() == 0 && !matches!(self.value, Value::Bool(_) | Value::Number(_))
    }

    /// The quantity; none where there is none.
    pub(crate) fn amount(&self) -> Option<Quantity> {
        Quantity::of(self.value)
    }
}

/// What is wrong with an object.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    found: Vec<FieldError>,
    /// The type of the object, which tells how its parts are shown.
    kind: Option<TypedKind>,
    /// The empty lists and maps it was sent with.
    empty: EmptyContainers,
}

impl Errors {
    /// Of an object of this type, sent with these empty lists and maps.
    pub(crate) fn of(kind: Option<TypedKind>, empty: EmptyContainers) -> Self {
        Self { found: Vec::new(), kind, empty }
    }

    /// Whether an empty list or map was sent where nothing is left.
    pub(crate) fn was_sent_empty(&self, field: &Field<'_>) -> bool {
        self.empty.restored(field.path(), field.value).is_some()
    }

    /// An error that shows a value, in the form it has in the real server.
    fn showing(&mut self, kind: FieldErrorKind, field: &Field<'_>, shown: &Value, detail: &str) {
        self.showing_of(kind, field, (field.path(), shown), detail);
    }

    /// As [`Self::showing`], of a value that stands elsewhere.
    fn showing_of(&mut self, kind: FieldErrorKind, field: &Field<'_>, (path, shown): (&str, &Value), detail: &str) {
        let restored = self.empty.restored(path, shown);
        self.push_shown(kind, field, (path, restored.as_ref().unwrap_or(shown)), detail);
    }

    fn push_shown(&mut self, kind: FieldErrorKind, field: &Field<'_>, (path, shown): (&str, &Value), detail: &str) {
        let text = self.kind.and_then(|of| of.shown(path, shown));
        self.found.push(match text {
            Some(text) => FieldError::with_text(kind, field.path(), &text, detail),
            None => FieldError::with_value(kind, field.path(), shown, detail),
        });
    }

    pub(crate) fn into_inner(self) -> Vec<FieldError> {
        self.found
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    pub(crate) fn push(&mut self, error: FieldError) {
        self.found.push(error);
    }

    pub(crate) fn extend(&mut self, errors: Vec<FieldError>) {
        self.found.extend(errors);
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.found.truncate(length);
    }

    pub(crate) fn required(&mut self, field: &Field<'_>, detail: &str) {
        self.found.push(FieldError::required(field.path(), detail));
    }

    pub(crate) fn forbidden(&mut self, field: &Field<'_>, detail: &str) {
        self.found.push(FieldError::forbidden(field.path(), detail));
    }

    /// Refuses a value, and shows it.
    pub(crate) fn invalid(&mut self, field: &Field<'_>, detail: &str) {
        self.showing(FieldErrorKind::Invalid, field, field.value, detail);
    }

    /// Refuses a value that is reported under a path of its own; `path` is where it stands.
    pub(crate) fn invalid_of(&mut self, field: &Field<'_>, path: &str, detail: &str) {
        self.showing_of(FieldErrorKind::Invalid, field, (path, field.value), detail);
    }

    /// Refuses an object for all but one of its members, which is not shown.
    pub(crate) fn invalid_without(&mut self, field: &Field<'_>, member: &str, reported: &str, detail: &str) {
        let sent = self.empty.restored(field.path(), field.value);
        let mut shown = sent.unwrap_or_else(|| field.value.clone());
        if let Some(members) = shown.as_object_mut() {
            members.remove(member);
        }
        let reported = field.reported_as(reported);
        self.push_shown(FieldErrorKind::Invalid, &reported, (field.path(), &shown), detail);
    }

    /// Refuses a text or number whose absence is its zero value.
    pub(crate) fn invalid_text(&mut self, field: &Field<'_>, detail: &str) {
        self.show(field, &field.text().into(), detail);
    }

    /// Refuses a number; an absent one is shown as 0.
    pub(crate) fn invalid_number(&mut self, field: &Field<'_>, detail: &str) {
        self.show(field, &field.count().into(), detail);
    }

    /// Refuses a value and shows another one, as it is.
    pub(crate) fn show(&mut self, field: &Field<'_>, shown: &Value, detail: &str) {
        self.found.push(FieldError::invalid(field.path(), shown, detail));
    }

    pub(crate) fn duplicate(&mut self, field: &Field<'_>) {
        self.showing(FieldErrorKind::Duplicate, field, field.value, "");
    }

    /// Refuses what is there twice and shows another value, as it is.
    pub(crate) fn show_duplicate(&mut self, field: &Field<'_>, shown: &Value) {
        self.found.push(FieldError::duplicate(field.path(), shown));
    }

    pub(crate) fn not_found(&mut self, field: &Field<'_>) {
        let error = FieldError::with_value(FieldErrorKind::NotFound, field.path(), &field.text().into(), "");
        self.found.push(error);
    }

    pub(crate) fn not_supported(&mut self, field: &Field<'_>, supported: &[&str]) {
        self.found.push(FieldError::not_supported(field.path(), &field.text().into(), supported));
    }

    /// As [`Self::not_supported`], of a value that is no text.
    pub(crate) fn not_supported_value(&mut self, field: &Field<'_>, supported: &[&str]) {
        let quoted: Vec<String> = supported.iter().map(|text| quote(text)).collect();
        let detail = format!("supported values: {}", quoted.join(", "));
        self.showing(FieldErrorKind::NotSupported, field, field.value, &detail);
    }

    pub(crate) fn too_long(&mut self, field: &Field<'_>, limit: usize) {
        self.found.push(FieldError::too_long(field.path(), limit));
    }

    pub(crate) fn too_many(&mut self, field: &Field<'_>, limit: usize) {
        let detail = format!("must have at most {limit} items");
        self.found.push(FieldError::with_value(FieldErrorKind::TooMany, field.path(), &field.len().into(), &detail));
    }

    /// Refuses a value that shows nothing.
    pub(crate) fn invalid_without_value(&mut self, field: &Field<'_>, detail: &str) {
        self.found.push(FieldError::without_value(FieldErrorKind::Invalid, field.path(), detail));
    }

    /// One error for each message about a text.
    pub(crate) fn messages(&mut self, field: &Field<'_>, messages: Vec<String>) {
        for message in messages {
            self.invalid_text(field, &message);
        }
    }

    /// A number that is there must not be negative.
    pub(crate) fn not_negative(&mut self, field: &Field<'_>) {
        if field.number().is_some_and(|number| number < 0) {
            self.invalid(field, "must be greater than or equal to 0");
        }
    }

    /// [`Self::not_negative`] for several members.
    pub(crate) fn none_negative(&mut self, parent: &Field<'_>, names: &[&str]) {
        for name in names {
            self.not_negative(&parent.at(name));
        }
    }

    /// A number, 0 where absent, must be positive.
    pub(crate) fn positive(&mut self, field: &Field<'_>) {
        if field.count() <= 0 {
            self.invalid_number(field, "must be greater than zero");
        }
    }

    /// A text must be one of a few, and be there.
    pub(crate) fn one_of(&mut self, field: &Field<'_>, supported: &[&str]) {
        if field.text().is_empty() {
            self.required(field, "");
        } else {
            self.known(field, supported);
        }
    }

    /// A text that is there must be one of a few.
    pub(crate) fn known(&mut self, field: &Field<'_>, supported: &[&str]) {
        if field.is_set() && !supported.contains(&field.text()) {
            self.not_supported(field, supported);
        }
    }

    /// What an update must leave as it is.
    pub(crate) fn immutable(&mut self, new: &Field<'_>, old: &Field<'_>) {
        if !same(new.value, old.value) {
            self.invalid(new, "field is immutable");
        }
    }

    /// Each text of a list only once.
    pub(crate) fn unique<'o>(&mut self, fields: impl Iterator<Item = Field<'o>>) {
        let mut seen = BTreeSet::new();
        for field in fields {
            if !seen.insert(field.text().to_owned()) {
                self.duplicate(&field);
            }
        }
    }
}

/// Whether two values mean the same: absent, null and empty values are alike, and so are forms of one quantity.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.iter().all(|(key, value)| same(value, other.get(key).unwrap_or(&NULL)))
                && other.iter().all(|(key, value)| one.contains_key(key) || empty(value))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        _ => one == other || (empty(one) && empty(other)),
    }
}
