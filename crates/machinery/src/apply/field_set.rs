//! Sets of field paths, as trees: the algebra ownership is computed with.

use serde_json::{Map, Value};

use super::path_element::{ParsePathElementError, PathElement};

/// A set of field paths.
///
/// A path is in the set only if its last element is a member; appearing on the way to one does not count. Both lists
/// are kept sorted, so every operation is one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    members: Vec<PathElement>,
    children: Vec<(PathElement, FieldSet)>,
}

impl FieldSet {
    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.iter().all(|(_, child)| child.is_empty())
    }

    /// Adds a path; the empty path is the whole object, which nobody owns, and is ignored.
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => self.insert_member(last.clone()),
            [first, rest @ ..] => self.descend(first).insert(rest),
        }
    }

    /// Whether the path is in the set.
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.has_member(last),
            [first, rest @ ..] => self.child(first).is_some_and(|child| child.contains(rest)),
        }
    }

    pub(super) fn has_member(&self, element: &PathElement) -> bool {
        self.members.binary_search(element).is_ok()
    }

    pub(super) fn child(&self, element: &PathElement) -> Option<&Self> {
        let position = self.children.binary_search_by(|(own, _)| own.cmp(element)).ok()?;
        Some(&self.children[position].1)
    }

    pub(super) fn insert_member(&mut self, element: PathElement) {
        // Walks come in order, so the new member is nearly always the last.
        if self.members.last().is_none_or(|last| *last < element) {
            self.members.push(element);
        } else if let Err(position) = self.members.binary_search(&element) {
            self.members.insert(position, element);
        }
    }

    pub(super) fn insert_child(&mut self, element: PathElement, child: Self) {
        if child.members.is_empty() && child.children.is_empty() {
            return;
        }
        if self.children.last().is_none_or(|(last, _)| *last < element) {
            self.children.push((element, child));
            return;
        }
        match self.children.binary_search_by(|(own, _)| own.cmp(&element)) {
            Ok(position) => self.children[position].1.add(child),
            Err(position) => self.children.insert(position, (element, child)),
        }
    }

    fn descend(&mut self, element: &PathElement) -> &mut Self {
        let position = match self.children.binary_search_by(|(own, _)| own.cmp(element)) {
            Ok(position) => position,
            Err(position) => {
                self.children.insert(position, (element.clone(), Self::default()));
                position
            }
        };
        &mut self.children[position].1
    }

    /// Union: adds every path of `other`.
    pub fn add(&mut self, other: Self) {
        if self.members.is_empty() {
            self.members = other.members;
        } else {
            for member in other.members {
                self.insert_member(member);
            }
        }
        if self.children.is_empty() {
            self.children = other.children;
        } else {
            for (element, child) in other.children {
                self.insert_child(element, child);
            }
        }
    }

    /// Difference: removes the paths of `other`, but not what is below them.
    pub fn remove(&mut self, other: &Self) {
        self.remove_members(other);
        let mut position = 0;
        self.children.retain_mut(|(element, child)| {
            advance(&mut position, &other.children, |(own, _)| own < element);
            match other.children.get(position) {
                Some((own, removed)) if own == element => {
                    child.remove(removed);
                    !child.is_empty()
                }
                _ => true,
            }
        });
    }

    /// Difference that also removes everything below the paths of `other`.
    pub fn remove_recursively(&mut self, other: &Self) {
        self.remove_members(other);
        let mut position = 0;
        self.children.retain_mut(|(element, child)| {
            if other.has_member(element) {
                return false;
            }
            advance(&mut position, &other.children, |(own, _)| own < element);
            match other.children.get(position) {
                Some((own, removed)) if own == element => {
                    child.remove_recursively(removed);
                    !child.is_empty()
                }
                _ => true,
            }
        });
    }

    fn remove_members(&mut self, other: &Self) {
        if other.members.is_empty() {
            return;
        }
        let mut position = 0;
        self.members.retain(|element| {
            advance(&mut position, &other.members, |own| own < element);
            other.members.get(position) != Some(element)
        });
    }

    /// Keeps only what is at or below one field of the root.
    pub(super) fn retain_field(&mut self, name: &str) {
        let wanted = |element: &PathElement| matches!(element, PathElement::Field(own) if own == name);
        self.members.retain(wanted);
        self.children.retain(|(element, _)| wanted(element));
    }

    /// The paths in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut common = Self::default();
        let (mut left, mut right) = (self.members.iter().peekable(), other.members.iter().peekable());
        while let (Some(own), Some(theirs)) = (left.peek(), right.peek()) {
            match own.cmp(theirs) {
                std::cmp::Ordering::Less => drop(left.next()),
                std::cmp::Ordering::Greater => drop(right.next()),
                std::cmp::Ordering::Equal => {
                    common.members.push((*own).clone());
                    left.next();
                    right.next();
                }
            }
        }
        let mut position = 0;
        for (element, child) in &self.children {
            advance(&mut position, &other.children, |(own, _)| own < element);
            if let Some((own, theirs)) = other.children.get(position)
                && own == element
            {
                let shared = child.intersection(theirs);
                if !shared.is_empty() {
                    common.children.push((element.clone(), shared));
                }
            }
        }
        common
    }

    /// Calls `visit` with each path, members of a level before what is below.
    pub fn for_each(&self, visit: &mut dyn FnMut(&[&PathElement])) {
        fn walk<'s>(set: &'s FieldSet, prefix: &mut Vec<&'s PathElement>, visit: &mut dyn FnMut(&[&PathElement])) {
            for member in &set.members {
                prefix.push(member);
                visit(prefix);
                prefix.pop();
            }
            for (element, child) in &set.children {
                prefix.push(element);
                walk(child, prefix, visit);
                prefix.pop();
            }
        }
        walk(self, &mut Vec::new(), visit);
    }

    pub(super) fn members(&self) -> &[PathElement] {
        &self.members
    }

    pub(super) fn children(&self) -> &[(PathElement, Self)] {
        &self.children
    }

    pub(super) fn children_mut(&mut self) -> &mut Vec<(PathElement, Self)> {
        &mut self.children
    }

    /// Reads `fieldsV1`.
    ///
    /// # Errors
    /// For a key that is no path element. Element types of a future version are skipped.
    pub fn decode(fields: &Value) -> Result<Self, ParsePathElementError> {
        match fields {
            Value::Object(members) => Ok(Self::decode_level(members)?.0.unwrap_or_default()),
            Value::Null => Ok(Self::default()),
            _ => Err(ParsePathElementError::Content(fields.to_string())),
        }
    }

    /// The paths below, if any, and whether the element itself is a member.
    fn decode_level(members: &Map<String, Value>) -> Result<(Option<Self>, bool), ParsePathElementError> {
        let mut found: Option<Self> = None;
        let mut is_member = false;
        for (key, below) in members {
            if key == "." {
                is_member = true;
                continue;
            }
            let Some(element) = PathElement::parse(key)? else { continue };
            let (child, child_is_member) = match below {
                Value::Object(below) => Self::decode_level(below)?,
                _ => (None, true),
            };
            let set = found.get_or_insert_default();
            if let Some(child) = child {
                if child_is_member {
                    set.insert_member(element.clone());
                }
                set.insert_child(element, child);
            } else if child_is_member {
                set.insert_member(element);
            }
        }
        let is_member = is_member || found.is_none();
        Ok((found, is_member))
    }

    /// Writes `fieldsV1`.
    pub fn encode(&self) -> Value {
        Value::Object(self.encode_level(false))
    }

    fn encode_level(&self, include_self: bool) -> Map<String, Value> {
        let mut object = Map::new();
        if include_self {
            object.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            object.insert(element.encode(), Value::Object(child.encode_level(self.has_member(element))));
        }
        for member in &self.members {
            if self.child(member).is_none() {
                object.insert(member.encode(), Value::Object(Map::new()));
            }
        }
        object
    }
}

fn advance<T>(position: &mut usize, items: &[T], mut before: impl FnMut(&T) -> bool) {
    while items.get(*position).is_some_and(&mut before) {
        *position += 1;
    }
}
