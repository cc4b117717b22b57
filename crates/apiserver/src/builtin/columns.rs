//! What `kubectl get` shows of built-in kinds: the columns and cells of Kubernetes' `pkg/printers/internalversion`.

use kogge_machinery::{
    resource::{PrinterColumn, RowCells},
    table,
};
use serde_json::Value;

mod autoscaling;
mod cluster;
mod network;
mod pods;
mod storage;
mod workloads;

/// The columns of a kind and how their cells are computed.
///
/// A column is its header, with a prefix for what it is beside a string that is always shown: `+` only with `-o wide`,
/// `#` an integer, `?` a boolean. A kind that lists `Name` itself puts it where it stands.
struct Printer {
    columns: &'static [&'static str],
    cells: RowCells,
}

/// Columns and cells of a built-in kind. Kinds without their own show `Created At`, as in the real server.
pub(super) fn of(group: &str, plural: &str, kind: &str) -> (Vec<PrinterColumn>, RowCells) {
    let printer = pods::printer(group, plural)
        .or_else(|| workloads::printer(group, plural))
        .or_else(|| network::printer(group, plural))
        .or_else(|| storage::printer(group, plural))
        .or_else(|| autoscaling::printer(group, plural))
        .or_else(|| cluster::printer(group, plural))
        .unwrap_or(Printer { columns: &["Created At"], cells: |object, _| vec![created_at(object).into()] });
    (printer.columns.iter().map(|column| definition(column, kind)).collect(), printer.cells)
}

/// The fields of a kind that can be long and of which its cells only show how many members they have.
pub(super) fn counted(group: &str, plural: &str) -> &'static [&'static str] {
    match (group, plural) {
        ("", "configmaps" | "secrets") => &["binaryData", "data"],
        _ => &[],
    }
}

fn definition(column: &str, kind: &str) -> PrinterColumn {
    let wide = column.starts_with('+');
    let column = column.trim_start_matches('+');
    let (column_type, name) = if let Some(name) = column.strip_prefix('#') {
        ("integer", name)
    } else if let Some(name) = column.strip_prefix('?') {
        ("boolean", name)
    } else if column == "Created At" {
        ("date", column)
    } else {
        ("string", column)
    };
    let description = match name {
        "Name" => "Name must be unique within a namespace.".to_owned(),
        "Age" | "Created At" => {
            "CreationTimestamp is a timestamp representing the server time when this object was created.".to_owned()
        }
        _ => format!("{name} of the {kind}."),
    };
    PrinterColumn {
        name: name.to_owned(),
        column_type: column_type.to_owned(),
        format: if name == "Name" { "name".to_owned() } else { String::new() },
        description,
        priority: i32::from(wide),
        json_path: String::new(),
    }
}

/// The value at a JSON pointer whose words need no unescaping; [`Value::pointer`] spends more on that than a row takes.
fn at<'o>(object: &'o Value, pointer: &str) -> Option<&'o Value> {
    pointer.split('/').skip(1).try_fold(object, |value, word| match value {
        Value::Object(members) => members.get(word),
        Value::Array(items) => items.get(word.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The text at a JSON pointer; empty for none.
fn text<'o>(object: &'o Value, pointer: &str) -> &'o str {
    at(object, pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text at a JSON pointer, or a placeholder for none.
fn text_or<'o>(object: &'o Value, pointer: &str, placeholder: &'o str) -> &'o str {
    Some(text(object, pointer)).filter(|text| !text.is_empty()).unwrap_or(placeholder)
}

/// The integer at a JSON pointer; 0 for none.
fn integer(object: &Value, pointer: &str) -> i64 {
    at(object, pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The boolean at a JSON pointer; false for none.
fn boolean(object: &Value, pointer: &str) -> bool {
    at(object, pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The list at a JSON pointer; empty for none.
fn list<'o>(object: &'o Value, pointer: &str) -> &'o [Value] {
    at(object, pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many members the map at a JSON pointer has.
fn count(object: &Value, pointer: &str) -> usize {
    at(object, pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

/// A scalar as text: quantities and int-or-strings.
fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// How long ago the time at a JSON pointer is.
fn since(object: &Value, pointer: &str, now: i64) -> String {
    table::age(text(object, pointer), now)
}

/// The cell of `Age`.
fn age(object: &Value, now: i64) -> Value {
    since(object, "/metadata/creationTimestamp", now).into()
}

fn created_at(object: &Value) -> &str {
    text(object, "/metadata/creationTimestamp")
}

fn is_being_deleted(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// The condition of a type.
fn condition<'o>(object: &'o Value, condition_type: &str) -> Option<&'o Value> {
    list(object, "/status/conditions").iter().find(|condition| text(condition, "/type") == condition_type)
}

fn has_condition(object: &Value, condition_type: &str) -> bool {
    condition(object, condition_type).is_some_and(|condition| text(condition, "/status") == "True")
}

/// Members of a list joined by commas; `shown` gives the text of one.
fn joined<'o>(items: &'o [Value], shown: impl Fn(&'o Value) -> &'o str) -> String {
    items.iter().map(shown).collect::<Vec<_>>().join(",")
}

/// `a=1,b=2`, or `<none>`.
fn labels(object: &Value, pointer: &str) -> String {
    let pairs: Vec<String> = at(object, pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// A label selector in its text form, or `<none>`.
fn selector(object: &Value, pointer: &str) -> String {
    let Some(value) = at(object, pointer).filter(|value| !value.is_null()) else { return "<none>".to_owned() };
    match kogge_machinery::selector::LabelSelector::from_object(value) {
        Ok(selector) => Some(selector.to_string()).filter(|text| !text.is_empty()).unwrap_or("<none>".to_owned()),
        Err(_) => "<error>".to_owned(),
    }
}

/// Names and images of the containers at a JSON pointer.
fn containers(object: &Value, pointer: &str) -> [Value; 2] {
    let containers = list(object, pointer);
    [
        joined(containers, |container| text(container, "/name")).into(),
        joined(containers, |container| text(container, "/image")).into(),
    ]
}

/// The first items, and how many more there are.
fn first_of(items: &[String], limit: usize, separator: &str, none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    let shown = items[..items.len().min(limit)].join(separator);
    if items.len() > limit { format!("{shown} + {} more...", items.len() - limit) } else { shown }
}

#[cfg(test)]
mod tests;
