//! meta.k8s.io Table and PartialObjectMetadata representations.
//!
//! The server, not kubectl, decides what `kubectl get` shows: the cells of each row come typed, and dates come as ages.
//! Custom kinds and simple built-in ones take their cells from the columns' JSONPaths; built-in kinds whose columns are
//! computed (`READY 1/2`) bring a function, see [`ResourceType::cells`].

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::json_path::JsonPath;
use crate::resource::{PrinterColumn, ResourceType};

mod serialized;
mod shown;

pub use serialized::{SerializedRows, write_partial_object_metadata};
use shown::Shown;

/// What a row embeds (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeObject {
    /// The object's metadata, the default.
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

/// An object of values it takes over: `json!` would copy each of them, and these are whole lists.
fn object_of<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}

/// The columns of a `Scale`.
pub fn scale_columns() -> Vec<PrinterColumn> {
    let number = |name: &str, json_path: &str, description: &str| PrinterColumn {
        name: name.to_owned(),
        column_type: "integer".to_owned(),
        format: String::new(),
        description: description.to_owned(),
        priority: 0,
        json_path: json_path.to_owned(),
    };
    vec![
        number("Desired", ".spec.replicas", "Number of desired replicas"),
        number("Available", ".status.replicas", "Number of actual replicas"),
        age_column(),
    ]
}

/// The column of kinds that declare none.
fn age_column() -> PrinterColumn {
    PrinterColumn {
        name: "Age".to_owned(),
        column_type: "date".to_owned(),
        format: String::new(),
        description: "CreationTimestamp is a timestamp representing the server time when this object was created."
            .to_owned(),
        priority: 0,
        json_path: ".metadata.creationTimestamp".to_owned(),
    }
}

/// Whether a kind has its own name column, which then is not put first: Event, and kinds that mark their default object.
fn names_itself(columns: &[PrinterColumn]) -> bool {
    columns.iter().any(|column| column.name == "Name" && column.format == "name")
}

fn column_definitions(columns: &[PrinterColumn]) -> Vec<Value> {
    let name = (!names_itself(columns)).then(|| {
        json!({
            "name": "Name",
            "type": "string",
            "format": "name",
            "description": "Name must be unique within a namespace.",
            "priority": 0,
        })
    });
    let others = columns.iter().map(|column| {
        let description = if column.description.is_empty() && !column.json_path.is_empty() {
            format!("Custom resource definition column (in JSONPath format): {}", column.json_path)
        } else {
            column.description.clone()
        };
        json!({
            "name": column.name,
            "type": column.column_type,
            "format": column.format,
            "description": description,
            "priority": column.priority,
        })
    });
    name.into_iter().chain(others).collect()
}

/// The cell of a column: of the column's type, or null.
fn cell(column: &PrinterColumn, path: Option<&JsonPath>, object: &Value, now: i64) -> Value {
    let Some(value) = path.and_then(|path| path.first(object)).filter(|value| !value.is_null()) else {
        return Value::Null;
    };
    match (column.column_type.as_str(), value) {
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => {
            // Go's conversion: towards zero
            #[allow(clippy::cast_possible_truncation)]
            number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(number)) => number.as_f64().map_or(Value::Null, Value::from),
        ("date", Value::String(text)) => age(text, now).into(),
        _ => Value::Null,
    }
}

/// The age of an RFC 3339 timestamp in kubectl's form; `<unknown>` for an empty one, `<invalid>` for anything else that
/// is no timestamp. `now` is in seconds since the epoch.
pub fn age(timestamp: &str, now: i64) -> String {
    if matches!(timestamp, "" | "null") {
        return "<unknown>".to_owned();
    }
    match timestamp.parse::<Timestamp>() {
        Ok(timestamp) => human_duration(now.saturating_sub(timestamp.as_second())),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// What the rows of a kind show.
#[derive(Debug)]
struct Cells<'a> {
    resource: &'a ResourceType,
    columns: Cow<'a, [PrinterColumn]>,
    /// Of the columns, where cells are not computed.
    paths: Vec<Option<JsonPath>>,
}

impl<'a> Cells<'a> {
    fn of(resource: &'a ResourceType) -> Self {
        let columns = match resource.columns.as_slice() {
            [] => Cow::Owned(vec![age_column()]),
            columns => Cow::Borrowed(columns),
        };
        let paths = match resource.cells {
            Some(_) => Vec::new(),
            None => columns.iter().map(|column| JsonPath::parse(&column.json_path).ok()).collect(),
        };
        Self { resource, columns, paths }
    }

    /// The cells of an object.
    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let mut cells = Vec::with_capacity(self.columns.len() + 1);
        if !names_itself(&self.columns) {
            cells.push(object["metadata"]["name"].clone());
        }
        if let Some(computed) = self.resource.cells {
            cells.extend(computed(object, now));
        } else {
            let columns = self.columns.iter().zip(&self.paths);
            cells.extend(columns.map(|(column, path)| cell(column, path.as_ref(), object, now)));
        }
        cells
    }

    /// What of an object the cells look at.
    fn shown(&self) -> Shown {
        match self.resource.cells {
            Some(_) => Shown::by_computed_cells(self.resource),
            None => Shown::by_paths(self.paths.iter().flatten()),
        }
    }
}

/// A Table of `objects` (JSON objects). `now` in seconds since the epoch turns date cells into ages.
/// `list_metadata` is the list's metadata (resourceVersion, continue, remainingItemCount) or the object's for one.
/// `with_columns` is false after the first event of a watch. `version` is `v1` or `v1beta1`.
pub fn table(
    resource: &ResourceType,
    objects: &[Value],
    list_metadata: Value,
    include: IncludeObject,
    with_columns: bool,
    version: &str,
    now: i64,
) -> Value {
    let cells = Cells::of(resource);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let embedded = match include {
                IncludeObject::Metadata => partial_object_metadata(object, version),
                IncludeObject::Object => object.clone(),
                IncludeObject::None => Value::Null,
            };
            object_of([("cells", cells.row(object, now).into()), ("object", embedded)])
        })
        .collect();
    let mut table = empty_table(&cells, list_metadata, with_columns, version);
    table["rows"] = rows.into();
    table
}

fn empty_table(cells: &Cells<'_>, list_metadata: Value, with_columns: bool, version: &str) -> Value {
    let definitions = if with_columns { Value::from(column_definitions(&cells.columns)) } else { Value::Null };
    object_of([
        ("kind", "Table".into()),
        ("apiVersion", format!("meta.k8s.io/{version}").into()),
        ("metadata", list_metadata),
        ("columnDefinitions", definitions),
        ("rows", Value::Array(Vec::new())),
    ])
}

/// `PartialObjectMetadata` of an object.
pub fn partial_object_metadata(object: &Value, version: &str) -> Value {
    object_of([
        ("kind", "PartialObjectMetadata".into()),
        ("apiVersion", format!("meta.k8s.io/{version}").into()),
        ("metadata", object.get("metadata").cloned().unwrap_or_else(|| Value::Object(Map::new()))),
    ])
}

/// kubectl's age format: 5s, 3m12s, 2d3h, 3y40d.
pub fn human_duration(seconds: i64) -> String {
    let pair = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => pair(days, "d", hours % 24, "h"),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_meta::test_resource;

    const NOW: i64 = 1_767_225_600; // 2026-01-01T00:00:00Z

    fn column(name: &str, column_type: &str, json_path: &str) -> PrinterColumn {
        PrinterColumn {
            name: name.to_owned(),
            column_type: column_type.to_owned(),
            format: String::new(),
            description: String::new(),
            priority: i32::from(name == "Wide"),
            json_path: json_path.to_owned(),
        }
    }

    fn objects() -> Vec<Value> {
        vec![
            json!({
                "metadata": {"name": "a", "creationTimestamp": "2025-12-31T23:00:00Z", "labels": {"x": "y"}},
                "spec": {"replicas": 3, "ratio": 0.5, "on": true, "list": ["p", "q"]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "seen": "yesterday"},
            }),
            json!({"metadata": {"name": "b"}, "spec": {"replicas": "three", "ratio": 2}}),
        ]
    }

    #[test]
    fn cells_are_typed_and_dates_are_ages() {
        let mut widget = test_resource("example.com", "Widget", true);
        widget.columns = vec![
            column("Replicas", "integer", ".spec.replicas"),
            column("Ratio", "number", ".spec.ratio"),
            column("On", "boolean", ".spec.on"),
            column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
            column("Wide", "string", ".spec.list"),
            column("Seen", "date", ".status.seen"),
            column("Age", "date", ".metadata.creationTimestamp"),
        ];
        let list = json!({"resourceVersion": "9", "continue": "c", "remainingItemCount": 4});
        insta::assert_json_snapshot!(table(&widget, &objects(), list, IncludeObject::Metadata, true, "v1", NOW));
    }

    #[test]
    fn kinds_without_columns_show_name_and_age() {
        let widget = test_resource("example.com", "Widget", true);
        let metadata = json!({"resourceVersion": "9"});
        insta::assert_json_snapshot!(table(&widget, &objects(), metadata, IncludeObject::None, true, "v1", NOW));
    }

    #[test]
    fn computed_cells_follow_the_name() {
        let mut pod = test_resource("", "Pod", false);
        pod.columns = vec![column("Ready", "string", "")];
        pod.cells = Some(|object, now| vec![format!("{}@{now}", object["spec"]["replicas"]).into()]);
        let one = &objects()[..1];
        let answer = table(&pod, one, json!({}), IncludeObject::Object, false, "v1beta1", 5);
        assert_eq!(answer["rows"][0]["cells"], json!(["a", "3@5"]));
        assert_eq!((&answer["columnDefinitions"], &answer["rows"][0]["object"]), (&Value::Null, &one[0]));
    }

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        let minute = 60;
        let (hour, day) = (60 * minute, 24 * 60 * minute);
        let cases = [
            -5,
            -1,
            0,
            119,
            120,
            125,
            9 * minute + 59,
            10 * minute + 5,
            179 * minute,
            3 * hour,
            3 * hour + minute,
            8 * hour + 59,
            47 * hour,
            2 * day,
            2 * day + 3 * hour,
            8 * day + hour,
            729 * day,
            730 * day,
            3 * 365 * day + 40 * day,
            8 * 365 * day + day,
            i64::MAX,
        ];
        let shown: Vec<String> = cases.iter().map(|seconds| human_duration(*seconds)).collect();
        insta::assert_snapshot!(shown.join(" "));
        assert_eq!([age("", NOW), age("x", NOW), age("2025-12-31T23:59:30Z", NOW)], ["<unknown>", "<invalid>", "30s"]);
    }
}
