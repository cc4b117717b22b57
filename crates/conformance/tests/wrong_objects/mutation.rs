//! One thing wrong with an object: every place of it, and at each what a person or a program might have written there.

use serde_json::{Map, Value, json};

/// A change of one place.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    /// Names and indices that lead there.
    pub(crate) path: Vec<String>,
    /// What stands there afterwards; nothing where it is taken away.
    pub(crate) value: Option<Value>,
    /// Whether it stands there besides what is known.
    pub(crate) unknown: bool,
    /// `/spec/replicas = -1` or `without /spec/replicas`.
    pub(crate) title: String,
}

/// Every mutation of `object` below `root`, which is the name of a member, or all of it where empty.
pub(crate) fn all(object: &Value, root: &str) -> Vec<Mutation> {
    let mut found = Vec::new();
    visit_below(object, root, &mut |path, value| {
        replace(value, path, instead_of(value), &mut found);
        if value.is_object() {
            add_members(value, path, &mut found);
        }
    });
    if root.is_empty() {
        add_members(object, &[], &mut found);
    }
    found
}

/// The mutations of `object` below `root` that leave it valid more often than not.
pub(crate) fn gentle(object: &Value, root: &str) -> Vec<Mutation> {
    let mut found = Vec::new();
    visit_below(object, root, &mut |path, value| replace(value, path, likely_instead_of(value), &mut found));
    found
}

/// Shows every place of `object` below `root`, or all of it where empty.
fn visit_below(object: &Value, root: &str, show: &mut impl FnMut(&[String], &Value)) {
    for (name, value) in object.as_object().into_iter().flatten() {
        if root.is_empty() || name == root {
            visit(value, &mut vec![name.clone()], show);
        }
    }
}

fn visit(value: &Value, path: &mut Vec<String>, show: &mut impl FnMut(&[String], &Value)) {
    show(path, value);
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in members {
        path.push(name);
        visit(value, path, show);
        path.pop();
    }
}

/// What stands at `path` taken away, and each of `others` in its place.
fn replace(value: &Value, path: &[String], others: Vec<Value>, found: &mut Vec<Mutation>) {
    let at = |value: Option<Value>| Mutation::new(path.to_vec(), value, false);
    found.push(at(None));
    found.extend(others.into_iter().filter(|other| other != value).map(|other| at(Some(other))));
}

/// A member no struct has, and one no map may have.
fn add_members(object: &Value, path: &[String], found: &mut Vec<Mutation>) {
    let is_map = object.as_object().is_some_and(|members| members.values().all(Value::is_string));
    let name = if is_map { "Bad Key!" } else { "colour" };
    let path = path.iter().cloned().chain([name.to_owned()]).collect();
    found.push(Mutation::new(path, Some("blue".into()), true));
}

/// What its author might have written in the place of a value.
fn likely_instead_of(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(set) => vec![json!(!set)],
        Value::Number(_) => [0, 1, 2, 3, 5, 100].map(Value::from).to_vec(),
        Value::String(text) => {
            let mut others: Vec<Value> = ["a", "b", "2", "2Gi"].map(Value::from).to_vec();
            others.push(text.to_lowercase().into());
            others
        }
        Value::Array(items) => {
            let reversed = items.iter().rev().cloned().collect();
            let first = items.iter().take(1).cloned().collect();
            let again = items.iter().chain(items.first()).cloned().collect();
            vec![json!([]), Value::Array(reversed), Value::Array(first), Value::Array(again)]
        }
        Value::Object(_) => vec![json!({})],
        Value::Null => Vec::new(),
    }
}

/// What else might stand in the place of a value.
fn instead_of(value: &Value) -> Vec<Value> {
    let texts = |texts: &[&str]| texts.iter().map(|text| Value::from(*text)).collect::<Vec<_>>();
    let mut others = vec![Value::Null];
    match value {
        Value::Bool(set) => others.extend([json!(!set), json!("true"), json!(1)]),
        Value::Number(_) => {
            others.extend([0, -1, 1, 70_000, 2_147_483_648_i64, i64::MAX].map(Value::from));
            others.extend([json!(1.5), json!(1e30), json!("7"), json!({})]);
        }
        Value::String(text) => {
            others.extend(texts(&[
                "",
                "Bad Value!",
                "-1",
                "0",
                "x",
                "A",
                "a.b/c",
                "10%",
                "200%",
                "1.5Gi",
                "None",
                "a\n",
            ]));
            others.extend([json!("x".repeat(300)), json!(format!("{text}{text}")), json!(7), json!(["a"]), json!({})]);
        }
        Value::Array(items) => {
            let again: Vec<Value> = items.iter().chain(items.first()).cloned().collect();
            let many: Vec<Value> =
                items.first().into_iter().cycle().take(if items.is_empty() { 0 } else { 70 }).cloned().collect();
            others.extend([json!([]), again.into(), many.into(), json!([null]), json!("text"), json!({})]);
        }
        Value::Object(_) => others.extend([json!({}), json!("text"), json!([]), json!(5)]),
        Value::Null => others.extend([json!({}), json!("text")]),
    }
    others
}

impl Mutation {
    /// What stands at a place afterwards.
    pub(crate) fn at(path: &[&str], value: Option<Value>) -> Self {
        Self::new(path.iter().map(|name| (*name).to_owned()).collect(), value, false)
    }

    fn new(path: Vec<String>, value: Option<Value>, unknown: bool) -> Self {
        let at = pointer(&path);
        let title = match &value {
            None => format!("without {at}"),
            Some(value) => format!("{at} = {}", shortened(&value.to_string(), 60)),
        };
        Self { path, value, unknown, title }
    }

    /// Its place as a JSON pointer.
    pub(crate) fn pointer(&self) -> String {
        pointer(&self.path)
    }

    /// The mutated object.
    pub(crate) fn applied(&self, object: &Value) -> Value {
        let mut object = object.clone();
        self.apply(&mut object);
        object
    }

    /// Mutates an object. One that no longer has the place, after another mutation, stays as it is.
    pub(crate) fn apply(&self, object: &mut Value) {
        let Some((last, parents)) = self.path.split_last() else { return };
        let parent = parents.iter().try_fold(object, |value, name| match value {
            Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            Value::Object(members) => members.get_mut(name),
            _ => None,
        });
        match (parent, last.parse::<usize>(), &self.value) {
            (Some(Value::Object(members)), _, Some(value)) => _ = members.insert(last.clone(), value.clone()),
            (Some(Value::Object(members)), _, None) => _ = members.remove(last),
            (Some(Value::Array(items)), Ok(index), Some(value)) if index < items.len() => items[index] = value.clone(),
            (Some(Value::Array(items)), Ok(index), None) if index < items.len() => _ = items.remove(index),
            _ => {}
        }
    }

    /// The patch that merges it into `object`: down to the first list, which is replaced as a whole.
    pub(crate) fn merge_patch(&self, object: &Value) -> Value {
        let mutated = self.applied(object);
        let mut names = Vec::new();
        let mut at = object;
        for name in &self.path {
            if at.is_array() {
                break;
            }
            names.push(name);
            at = at.get(name).unwrap_or(&Value::Null);
        }
        let set = names.iter().try_fold(&mutated, |value, name| value.get(name.as_str())).cloned().unwrap_or_default();
        names.into_iter().rev().fold(set, |inner, name| Value::Object(Map::from_iter([(name.clone(), inner)])))
    }

    /// The JSON patch that makes it of `object`.
    pub(crate) fn json_patch(&self, object: &Value) -> Value {
        let path = self.pointer();
        match &self.value {
            None => json!([{"op": "remove", "path": path}]),
            Some(value) if object.pointer(&path).is_none() => json!([{"op": "add", "path": path, "value": value}]),
            Some(value) => json!([{"op": "replace", "path": path, "value": value}]),
        }
    }
}

fn pointer(path: &[String]) -> String {
    path.iter().flat_map(|name| ["/".to_owned(), name.replace('~', "~0").replace('/', "~1")]).collect()
}

/// A text that is at most about `length` characters long.
pub(crate) fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    format!("{}… ({})", text.chars().take(length).collect::<String>(), text.len())
}
