//! What differs between two runs of the same scenario is replaced by what it is: times, uids, revisions, names the server
//! made up, addresses.
//!
//! Where two such values are equal matters (a revision that did not move, a uid that stayed), so uids, revisions and
//! addresses are numbered in the order they appear.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

use super::runner::Exchange;
use super::transcript::{Recorded, Transcript};

/// Headers that belong to the contract of the API.
const HEADERS: &[&str] = &[
    "allow",
    "cache-control",
    "content-encoding",
    "content-type",
    "etag",
    "location",
    "retry-after",
    "vary",
    "warning",
    "www-authenticate",
    "audit-id",
];
/// Headers of which only the presence is comparable.
const OPAQUE_HEADERS: &[&str] = &["etag", "audit-id"];

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| panic!("{error}"))
}

static UID: LazyLock<Regex> = LazyLock::new(|| regex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static TIME: LazyLock<Regex> = LazyLock::new(|| regex(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"));
static GO_TIME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC( m=[+-][\d.]+)?"));
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| regex(r"\b10\.\d+\.\d+\.\d+\b"));
static PORT: LazyLock<Regex> = LazyLock::new(|| regex(r"\b\d{5}\b"));
static SERVER: LazyLock<Regex> = LazyLock::new(|| regex(r"127\.0\.0\.1:\d+"));
static REVISION_IN_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(too old resource version: |Too large resource version: \d+, current: |in record \(|resourceVersion\\?"?: ?\\?")\d+( \(\d+\))?"#,
    )
});
static HASH: LazyLock<Regex> = LazyLock::new(|| regex(r"\?hash=[0-9A-F]+"));
static AGE: LazyLock<Regex> = LazyLock::new(|| regex(r"^\d+(ms|s|m|m\d+s)$"));

#[derive(Default)]
struct Normalizer<'a> {
    id: &'a str,
    /// The scenario's own text: what it says itself is no accident.
    source: &'a str,
    /// The uids, times, addresses and ports in it.
    said: BTreeSet<&'a str>,
    uids: BTreeMap<String, usize>,
    revisions: BTreeMap<String, usize>,
    addresses: BTreeMap<String, usize>,
    /// Names made from `generateName`, and what they become.
    generated: BTreeMap<String, String>,
}

/// The transcript of the exchanges of the scenario that ran as `id`; `source` is the text of the scenario.
pub fn normalize(exchanges: &[Exchange], id: &str, source: &str) -> Transcript {
    // Whole ones: of an address the scenario names, another one may be the beginning.
    let said = [&UID, &TIME, &ADDRESS, &PORT].into_iter().flat_map(|pattern| pattern.find_iter(source));
    let said = said.map(|found| found.as_str()).collect();
    let mut normalizer = Normalizer { id, source, said, ..Normalizer::default() };
    exchanges.iter().map(|exchange| normalizer.exchange(exchange)).collect()
}

impl Normalizer<'_> {
    fn exchange(&mut self, exchange: &Exchange) -> Recorded {
        let step = &exchange.step;
        let shown =
            |name: &str| HEADERS.contains(&name) || step.show.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        let headers = exchange.headers.iter().filter(|(name, _)| shown(name)).map(|(name, values)| {
            let text = if OPAQUE_HEADERS.contains(&name.as_str()) {
                "<present>".to_owned()
            } else {
                values.iter().map(|value| self.text(value)).collect::<Vec<_>>().join("\n")
            };
            (name.clone(), text)
        });
        let headers = headers.collect();
        let mut body = exchange.body.clone();
        for pointer in &step.ignore {
            change(&mut body, &segments(pointer), &mut |parent, name| {
                if let Value::Object(fields) = parent {
                    fields.remove(name);
                }
            });
        }
        if !step.only.is_empty() && exchange.code < 400 {
            body = only(&body, &step.only);
        }
        self.learn_names(&body);
        let mut body = self.value(&body);
        for pointer in &step.sort {
            change(&mut body, &segments(pointer), &mut |parent, name| {
                if let Some(Value::Array(items)) = child(parent, name) {
                    items.sort_by_key(ToString::to_string);
                }
            });
        }
        Recorded { request: exchange.request.clone(), code: exchange.code, headers, body }
    }

    /// Finds names the server made up, so that they can be replaced wherever they occur.
    fn learn_names(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                let text = |field: &str| fields.get(field).and_then(Value::as_str);
                if let (Some(prefix), Some(name)) = (text("generateName"), text("name"))
                    && name.starts_with(prefix)
                    && name.len() == prefix.len() + 5
                {
                    self.generated.insert(name.to_owned(), format!("{prefix}<generated>"));
                }
                fields.values().for_each(|field| self.learn_names(field));
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn_names(item)),
            _ => {}
        }
    }

    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::String(text) => Value::String(self.text(text)),
            other => other.clone(),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>) -> Value {
        let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
        let is_list = kind.ends_with("List") || kind == "Table";
        let is_bookmark = fields.get("type").and_then(Value::as_str) == Some("BOOKMARK");
        let mut result = Map::new();
        for (name, field) in fields {
            let normalized = match (name.as_str(), field) {
                ("metadata", Value::Object(metadata)) if is_list => {
                    let mut metadata = metadata.clone();
                    hide(&mut metadata, "resourceVersion", "<revision of the list>");
                    hide(&mut metadata, "continue", "<continue>");
                    self.value(&Value::Object(metadata))
                }
                ("object", Value::Object(object)) if is_bookmark => {
                    let mut object = object.clone();
                    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
                        hide(metadata, "resourceVersion", "<revision of the bookmark>");
                    }
                    self.value(&Value::Object(object))
                }
                ("resourceVersion", Value::String(revision)) if revision.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Value::String(self.revision(revision))
                }
                ("managedFields", Value::Array(entries)) => self.managed_fields(entries),
                // Also where a step looks at the cells of one row only, by their path.
                (name, Value::Array(cells)) if name == "cells" || name.ends_with("/cells") => {
                    cells.iter().map(|cell| self.cell(cell)).collect()
                }
                ("nodePort" | "healthCheckNodePort", Value::Number(port))
                    if !self.said.contains(port.to_string().as_str()) =>
                {
                    Value::String("<node port>".to_owned())
                }
                ("token", Value::String(token)) if token.starts_with("eyJ") => Value::String("<token>".to_owned()),
                _ => self.value(field),
            };
            result.insert(name.replace(self.id, "ID"), normalized);
        }
        if kind == "Status" {
            sort_causes(&mut result);
        }
        Value::Object(result)
    }

    fn revision(&mut self, revision: &str) -> String {
        if matches!(revision, "" | "0") || self.source.contains(&format!("\"{revision}\"")) {
            return revision.to_owned();
        }
        let next = self.revisions.len() + 1;
        format!("<revision {}>", self.revisions.entry(revision.to_owned()).or_insert(next))
    }

    fn cell(&mut self, cell: &Value) -> Value {
        match cell {
            Value::String(text) if AGE.is_match(text) => Value::String("<age>".to_owned()),
            other => self.value(other),
        }
    }

    /// One line an entry, sorted: their order depends on the second of their times.
    fn managed_fields(&mut self, entries: &[Value]) -> Value {
        let mut lines: Vec<String> = entries
            .iter()
            .map(|entry| {
                let part = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or("-").to_owned();
                let subresource = entry.get("subresource").and_then(Value::as_str).map(|name| format!("/{name}"));
                let time = if entry.get("time").is_some() { "" } else { " without time" };
                let fields = entry.get("fieldsV1").map_or_else(|| "-".to_owned(), ToString::to_string);
                self.text(&format!(
                    "{} {} {}{}{time} {} {fields}",
                    part("manager"),
                    part("operation"),
                    part("apiVersion"),
                    subresource.unwrap_or_default(),
                    part("fieldsType"),
                ))
            })
            .collect();
        lines.sort();
        lines.into()
    }

    fn text(&mut self, text: &str) -> String {
        let mut text = text.replace(self.id, "ID");
        for (name, replacement) in &self.generated {
            text = text.replace(&name.replace(self.id, "ID"), &replacement.replace(self.id, "ID"));
        }
        let said = &self.said;
        let uids = &mut self.uids;
        let text = UID.replace_all(&text, |found: &Captures<'_>| {
            if said.contains(&found[0]) {
                return found[0].to_owned();
            }
            let next = uids.len() + 1;
            format!("<uid {}>", uids.entry(found[0].to_owned()).or_insert(next))
        });
        let text = TIME.replace_all(&text, |found: &Captures<'_>| match (said.contains(&found[0]), found.get(1)) {
            (true, _) => found[0].to_owned(),
            (false, Some(_)) => "<time with fraction>".to_owned(),
            (false, None) => "<time>".to_owned(),
        });
        let text = GO_TIME.replace_all(&text, "<time>");
        let addresses = &mut self.addresses;
        let text = ADDRESS.replace_all(&text, |found: &Captures<'_>| {
            if said.contains(&found[0]) {
                return found[0].to_owned();
            }
            let next = addresses.len() + 1;
            format!("<address {}>", addresses.entry(found[0].to_owned()).or_insert(next))
        });
        let text = SERVER.replace_all(&text, "<server>");
        let text = REVISION_IN_TEXT.replace_all(&text, "${1}<revision>");
        HASH.replace_all(&text, "?hash=<hash>").into_owned()
    }
}

/// The causes of an error come in no order where the server finds them in a map; its message lists them again.
fn sort_causes(status: &mut Map<String, Value>) {
    let causes = status.get_mut("details").and_then(|details| details.get_mut("causes"));
    let Some(Value::Array(causes)) = causes else { return };
    if causes.len() < 2 {
        return;
    }
    causes.sort_by_key(ToString::to_string);
    if let Some(Value::String(message)) = status.get_mut("message")
        && let Some((start, _)) = message.split_once(" is invalid: [")
    {
        *message = format!("{start} is invalid: [<causes>]");
    }
}

fn hide(metadata: &mut Map<String, Value>, field: &str, with: &str) {
    if let Some(Value::String(text)) = metadata.get_mut(field)
        && !text.is_empty()
    {
        with.clone_into(text);
    }
}

fn segments(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect()
}

fn child<'a>(parent: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    match parent {
        Value::Object(fields) => fields.get_mut(name),
        Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
        _ => None,
    }
}

/// Calls `change_it` with the parent and the name of every place the pointer means.
fn change(value: &mut Value, segments: &[String], change_it: &mut impl FnMut(&mut Value, &str)) {
    let Some((first, rest)) = segments.split_first() else { return };
    if rest.is_empty() {
        change_it(value, first);
    } else if first == "*" {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| change(item, rest, change_it)),
            Value::Object(fields) => fields.values_mut().for_each(|field| change(field, rest, change_it)),
            _ => {}
        }
    } else if let Some(inner) = child(value, first) {
        change(inner, rest, change_it);
    }
}

/// `{pointer: value}` of the places the pointers mean; a place that is not there is `null`.
fn only(body: &Value, pointers: &[String]) -> Value {
    let kept = pointers.iter().map(|pointer| {
        let found = find(body, &segments(pointer));
        let value = match (pointer.contains('*'), found.len()) {
            (false, 0) => Value::Null,
            (false, _) => found[0].clone(),
            (true, _) => found.into_iter().cloned().collect(),
        };
        (pointer.clone(), value)
    });
    Value::Object(kept.collect())
}

/// The values a pointer means. A segment such as `name=pods` means the item with that field.
fn find<'a>(value: &'a Value, segments: &[String]) -> Vec<&'a Value> {
    let Some((first, rest)) = segments.split_first() else { return vec![value] };
    match value {
        Value::Array(items) if first == "*" => items.iter().flat_map(|item| find(item, rest)).collect(),
        Value::Object(fields) if first == "*" => fields.values().flat_map(|field| find(field, rest)).collect(),
        Value::Array(items) => match first.split_once('=') {
            Some((field, wanted)) => items
                .iter()
                .filter(|item| {
                    item.pointer(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_str) == Some(wanted)
                })
                .flat_map(|item| find(item, rest))
                .collect(),
            None => first
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get(index))
                .map_or_else(Vec::new, |item| find(item, rest)),
        },
        Value::Object(fields) => fields.get(first).map_or_else(Vec::new, |field| find(field, rest)),
        _ => Vec::new(),
    }
}
