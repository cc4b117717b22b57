//! Lists and maps without content. Go tells them from absent ones until an object is stored, and so do messages that show
//! a part of the object; nothing else does, so they are noted apart from it.

use serde_json::Value;

/// The empty lists and maps of an object as it was sent.
#[derive(Clone, Debug, Default)]
pub struct EmptyContainers {
    /// Names and indices that lead there, and what is there.
    places: Vec<(Vec<String>, Value)>,
}

impl EmptyContainers {
    /// Those of an object.
    pub fn of(object: &Value) -> Self {
        let mut found = Self::default();
        found.note(object, &mut Vec::new());
        found
    }

    /// Whether there are none: the object then has the form [`super::TypedKind::canonicalize`] gives it, if it has that of
    /// [`super::TypedKind::canonicalize_sent`].
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether there are any in the schemas of a definition.
    pub fn any_in_schemas(&self) -> bool {
        self.places.iter().any(|(path, _)| path.iter().any(|step| step == "openAPIV3Schema"))
    }

    fn note<'o>(&mut self, value: &'o Value, path: &mut Vec<Step<'o>>) {
        match value {
            Value::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    path.push(Step::Index(index));
                    self.note(item, path);
                    path.pop();
                }
            }
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    path.push(Step::Name(name));
                    self.note(member, path);
                    path.pop();
                }
            }
            Value::Array(_) | Value::Object(_) => {
                self.places.push((path.iter().map(Step::text).collect(), value.clone()));
            }
            _ => {}
        }
    }

    /// What stands at `path` (`spec.ports[0].name`) of the object with its empty lists and maps; `None` where it has none
    /// that is missing.
    pub fn restored(&self, path: &str, value: &Value) -> Option<Value> {
        let mut at: Option<Vec<String>> = None;
        let mut restored = None;
        for (place, empty) in &self.places {
            let path = at.get_or_insert_with(|| steps(path));
            let Some(below) = place.strip_prefix(path.as_slice()) else { continue };
            let found = below.iter().try_fold(restored.as_ref().unwrap_or(value), |value, step| match value {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                Value::Object(members) => Some(members.get(step).unwrap_or(&Value::Null)),
                _ => None,
            });
            if found.is_some_and(Value::is_null) {
                put(restored.get_or_insert_with(|| value.clone()), below, empty);
            }
        }
        restored
    }
}

/// One step of a path.
enum Step<'o> {
    Name(&'o str),
    Index(usize),
}

impl Step<'_> {
    fn text(&self) -> String {
        match self {
            Self::Name(name) => (*name).to_owned(),
            Self::Index(index) => index.to_string(),
        }
    }
}

/// The steps of the path of a field, whose keys and indices stand in brackets.
fn steps(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, remaining) = if let Some(bracketed) = rest.strip_prefix('[') {
            bracketed.split_once(']').unwrap_or((bracketed, ""))
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
        };
        found.push(step.to_owned());
        rest = remaining;
    }
    found
}

/// Puts an empty container where nothing is.
fn put(into: &mut Value, path: &[String], empty: &Value) {
    let Some((step, below)) = path.split_first() else {
        *into = empty.clone();
        return;
    };
    match into {
        Value::Array(items) => {
            if let Some(item) = step.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                put(item, below, empty);
            }
        }
        Value::Object(members) => put(members.entry(step.as_str()).or_insert(Value::Null), below, empty),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_shown_with_the_empty_containers_they_were_sent_with() {
        let sent = json!({"spec": {"a": [], "list": [{"b": {}, "c": 1}, {"d.e/f": []}], "gone": {"x": []}}});
        let containers = EmptyContainers::of(&sent);
        let stored = json!({"spec": {"a": null, "list": [{"c": 1}, {}]}});
        let shown = |path: &str, pointer: &str| {
            containers.restored(path, stored.pointer(pointer).unwrap_or(&Value::Null)).unwrap_or_default()
        };
        assert_eq!(shown("spec.a", "/spec/a"), json!([]));
        assert_eq!(shown("spec.list[0]", "/spec/list/0"), json!({"b": {}, "c": 1}));
        assert_eq!(shown("spec.list[1]", "/spec/list/1"), json!({"d.e/f": []}));
        assert_eq!(shown("spec.list[1][d.e/f]", "/none"), json!([]));
        assert_eq!(shown("spec.other", "/none"), Value::Null);
        assert_eq!(shown("spec", "/spec"), json!({"a": [], "list": [{"b": {}, "c": 1}, {"d.e/f": []}]}));
    }
}
