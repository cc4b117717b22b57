//! Which fields differ between two objects of one type.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::field_set::FieldSet;
use super::path_element::{PathElement, equal_values};
use super::typed::{Form, Type};

/// The differences from one object to another; no path is in two of the sets.
#[derive(Clone, Debug, Default)]
pub(super) struct Comparison {
    /// Only in the left object.
    pub(super) removed: FieldSet,
    /// In both, with different values.
    pub(super) modified: FieldSet,
    /// Only in the right object.
    pub(super) added: FieldSet,
    /// A value that differs is not of its type, or is a list with items that say nothing of their key.
    pub(super) misfit: bool,
}

impl Comparison {
    /// Compares two whole objects; `metadata.managedFields` does not count.
    pub(super) fn of(own: Type<'_>, left: &Value, right: &Value) -> Self {
        let mut walker = Walker { path: Vec::new(), found: Self::default() };
        walker.compare(own, Some(left), Some(right));
        walker.found
    }

    /// Runs `change` on all three sets.
    pub(super) fn filter(&mut self, change: impl Fn(&mut FieldSet)) {
        change(&mut self.removed);
        change(&mut self.modified);
        change(&mut self.added);
    }
}

struct Walker {
    path: Vec<PathElement>,
    found: Comparison,
}

impl Walker {
    fn compare(&mut self, own: Type<'_>, left: Option<&Value>, right: Option<&Value>) {
        let leaf = match (left, right) {
            (None, None) => return,
            (Some(value), None) | (None, Some(value)) => self.handle(own, own.form(value), left, right),
            (Some(before), Some(after)) => {
                let (before, after) = (own.form(before), own.form(after));
                if before != after {
                    self.handle(own, before, left, right);
                }
                self.handle(own, after, left, right)
            }
        };
        if !leaf {
            self.note_presence(left, right);
        }
    }

    /// Compares as values of one form; answers whether the whole was taken as a leaf.
    fn handle(&mut self, own: Type<'_>, form: Form, left: Option<&Value>, right: Option<&Value>) -> bool {
        match own.handled_as(form) {
            Form::Map => {
                let (before, after) = (left.and_then(Value::as_object), right.and_then(Value::as_object));
                let empty = before.is_none_or(Map::is_empty) && after.is_none_or(Map::is_empty);
                if own.atomic_map() || empty {
                    self.leaf(left, right);
                    return true;
                }
                self.maps(own, before, after);
                false
            }
            Form::List => {
                let (before, after) = (left.and_then(Value::as_array), right.and_then(Value::as_array));
                let empty = before.is_none_or(Vec::is_empty) && after.is_none_or(Vec::is_empty);
                if own.atomic_list() || empty {
                    self.leaf(left, right);
                    return true;
                }
                let (before, after) = (before.map_or(&[][..], Vec::as_slice), after.map_or(&[][..], Vec::as_slice));
                if before == after {
                    return false;
                }
                if let (Some(keys_before), Some(keys_after)) = (own.path_elements(before), own.path_elements(after)) {
                    self.lists(own, before, &keys_before, after, &keys_after);
                    return false;
                }
                self.found.misfit = true;
                self.leaf(left, right);
                true
            }
            Form::Scalar | Form::Any => {
                let scalar = |value: Option<&Value>| value.is_none_or(|value| !value.is_array() && !value.is_object());
                self.found.misfit |= own.is_only(Form::Scalar) && !(scalar(left) && scalar(right));
                if matches!(form, Form::Any) || scalar(left) || scalar(right) {
                    self.leaf(left, right);
                    return true;
                }
                false
            }
        }
    }

    fn leaf(&mut self, left: Option<&Value>, right: Option<&Value>) {
        match (left, right) {
            (Some(before), Some(after)) => {
                if !equal_values(before, after) {
                    self.found.modified.insert(&self.path);
                }
            }
            _ => self.note_presence(left, right),
        }
    }

    fn note_presence(&mut self, left: Option<&Value>, right: Option<&Value>) {
        match (left, right) {
            (None, Some(_)) => self.found.added.insert(&self.path),
            (Some(_), None) => self.found.removed.insert(&self.path),
            _ => {}
        }
    }

    fn member(&mut self, own: Type<'_>, name: &str, left: Option<&Value>, right: Option<&Value>) {
        if name == "managedFields" && matches!(self.path.as_slice(), [PathElement::Field(top)] if top == "metadata") {
            return;
        }
        // Equal scalars are most of every object: no path needs to be built for them.
        if let (Some(before), Some(after)) = (left, right)
            && !before.is_object()
            && !before.is_array()
            && before == after
        {
            return;
        }
        self.path.push(PathElement::field(name));
        self.compare(own.field(name), left, right);
        self.path.pop();
    }

    fn maps(&mut self, own: Type<'_>, left: Option<&Map<String, Value>>, right: Option<&Map<String, Value>>) {
        for (name, value) in left.into_iter().flatten() {
            self.member(own, name, Some(value), right.and_then(|right| right.get(name)));
        }
        for (name, value) in right.into_iter().flatten() {
            if left.is_none_or(|left| !left.contains_key(name)) {
                self.member(own, name, None, Some(value));
            }
        }
    }

    fn lists(
        &mut self,
        own: Type<'_>,
        left: &[Value],
        left_keys: &[PathElement],
        right: &[Value],
        right_keys: &[PathElement],
    ) {
        let mut items: BTreeMap<&PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for (key, value) in left_keys.iter().zip(left) {
            items.entry(key).or_default().0.push(value);
        }
        for (key, value) in right_keys.iter().zip(right) {
            items.entry(key).or_default().1.push(value);
        }
        for (key, (before, after)) in items {
            self.path.push(key.clone());
            // Items with the same key are one unit: their number or order is all that can be owned.
            match (before.as_slice(), after.as_slice()) {
                ([] | [_], [] | [_]) => self.compare(own.item(), before.first().copied(), after.first().copied()),
                ([_, _, ..], [_, _, ..]) => {
                    let same = before.len() == after.len()
                        && before.iter().zip(&after).all(|(before, after)| equal_values(before, after));
                    if !same {
                        self.found.modified.insert(&self.path);
                    }
                }
                ([_, _, ..], after) => {
                    if let [after] = after {
                        self.compare(own.item(), None, Some(after));
                    }
                    self.found.removed.insert(&self.path);
                }
                (before, [_, _, ..]) => {
                    if let [before] = before {
                        self.compare(own.item(), Some(before), None);
                    }
                    self.found.added.insert(&self.path);
                }
            }
            self.path.pop();
        }
    }
}
