//! `metadata.managedFields`: reading, writing, and keeping it short.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::field_set::FieldSet;

/// At most this many entries of updates are kept; the oldest beyond are merged into [`OLD_UPDATES`].
const MAX_UPDATE_MANAGERS: usize = 10;
/// Manager of merged old updates.
const OLD_UPDATES: &str = "ancient-changes";

/// Who an entry belongs to. Applies of one manager are one entry in whatever version; updates are one entry a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagerKey {
    pub(super) manager: String,
    pub(super) applied: bool,
    /// Empty for applies.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl ManagerKey {
    /// How conflicts name the manager: `"m"`, `"m" with subresource "status" using v1`.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.subresource);
        }
        if self.applied { text } else { format!("{text} using {}", self.api_version) }
    }
}

/// What a manager owns.
#[derive(Clone, Debug)]
pub(super) struct ManagedSet {
    /// Version the paths are of.
    pub(super) api_version: String,
    pub(super) fields: FieldSet,
    pub(super) time: Option<String>,
}

/// All entries of an object.
pub(super) type Managers = BTreeMap<ManagerKey, ManagedSet>;

/// Why managedFields cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    MissingFieldsType(usize),
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    #[error("managedFields must be a list of objects")]
    Shape,
    #[error("error decoding set: {0}")]
    Fields(#[from] super::path_element::ParsePathElementError),
}

/// The `metadata.managedFields` of an object.
pub(super) fn of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

/// Takes the `metadata.managedFields` out of an object.
pub(super) fn take(object: &mut Value) -> Option<Value> {
    match object.get_mut("metadata") {
        Some(Value::Object(metadata)) => metadata.remove("managedFields"),
        _ => None,
    }
}

/// Whether a request's managedFields ask to forget all ownership: `[]` or `[{}]`.
pub(super) fn is_reset(managed_fields: Option<&Value>) -> bool {
    match managed_fields.and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => entry.is_empty(),
        _ => false,
    }
}

pub(super) fn decode(managed_fields: Option<&Value>) -> Result<Managers, DecodeError> {
    let entries = match managed_fields {
        None | Some(Value::Null) => return Ok(Managers::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(DecodeError::Shape),
    };
    let mut managers = Managers::new();
    for (index, entry) in entries.iter().enumerate() {
        if !entry.is_object() {
            return Err(DecodeError::Shape);
        }
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let applied = match text("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err(DecodeError::Operation),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err(DecodeError::ApiVersion);
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(DecodeError::MissingFieldsType(index)),
            other => return Err(DecodeError::FieldsType(index, other.to_owned())),
        }
        let key = ManagerKey {
            manager: text("manager").to_owned(),
            applied,
            api_version: if applied { String::new() } else { api_version.to_owned() },
            subresource: text("subresource").to_owned(),
        };
        let fields = FieldSet::decode(entry.get("fieldsV1").unwrap_or(&Value::Null))?;
        let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
        managers.insert(key, ManagedSet { api_version: api_version.to_owned(), fields, time });
    }
    Ok(managers)
}

/// Puts the entries into the object, in the real server's order: applies first, then by time and name. No entries is no
/// field.
pub(super) fn encode_into(object: &mut Value, managers: &Managers) {
    if managers.is_empty() {
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        return;
    }
    let mut entries: Vec<Value> = managers
        .iter()
        .map(|(key, set)| {
            let mut entry = Map::new();
            entry.insert("apiVersion".to_owned(), Value::String(set.api_version.clone()));
            entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
            entry.insert("fieldsV1".to_owned(), set.fields.encode());
            if !key.manager.is_empty() {
                entry.insert("manager".to_owned(), Value::String(key.manager.clone()));
            }
            entry.insert("operation".to_owned(), json!(if key.applied { "Apply" } else { "Update" }));
            if !key.subresource.is_empty() {
                entry.insert("subresource".to_owned(), Value::String(key.subresource.clone()));
            }
            if let Some(time) = &set.time {
                entry.insert("time".to_owned(), Value::String(time.clone()));
            }
            Value::Object(entry)
        })
        .collect();
    sort(&mut entries);
    let Value::Object(members) = object else { return };
    let metadata = members.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    if let Value::Object(metadata) = metadata {
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

/// Puts entries in the real server's order: applies first, then by time and name.
pub(super) fn sort(entries: &mut [Value]) {
    entries.sort_by_cached_key(|entry| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let owned = |name: &str| text(name).unwrap_or_default().to_owned();
        let is_update = text("operation") != Some("Apply");
        (is_update, seconds(text("time")), owned("manager"), owned("apiVersion"), owned("subresource"))
    });
}

/// Unix seconds of a time stamp; 0 for none.
fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map_or(0, jiff::Timestamp::as_second)
}

/// Merges the oldest updates of a version into one entry until at most ten entries of updates are left.
pub(super) fn cap_updates(managers: &mut Managers) {
    let mut updates: Vec<(i64, String, ManagerKey)> = managers
        .iter()
        .filter(|(key, _)| !key.applied)
        .map(|(key, set)| (seconds(set.time.as_deref()), identifier(key), key.clone()))
        .collect();
    let mut count = updates.len();
    if count <= MAX_UPDATE_MANAGERS {
        return;
    }
    updates.sort();
    let mut first_of_version: BTreeMap<String, ManagerKey> = BTreeMap::new();
    for (_, _, key) in updates {
        if count <= MAX_UPDATE_MANAGERS {
            break;
        }
        let Some(first) = first_of_version.get(&key.api_version) else {
            first_of_version.insert(key.api_version.clone(), key);
            continue;
        };
        let bucket = ManagerKey {
            manager: OLD_UPDATES.to_owned(),
            applied: false,
            api_version: key.api_version.clone(),
            subresource: String::new(),
        };
        if !managers.contains_key(&bucket)
            && let Some(set) = managers.remove(first)
        {
            managers.insert(bucket.clone(), set);
        }
        if key == bucket {
            continue;
        }
        if let Some(merged) = managers.remove(&key)
            && let Some(set) = managers.get_mut(&bucket)
        {
            set.fields.add(merged.fields);
            set.time = merged.time;
        }
        count -= 1;
    }
}

/// The real server's JSON identifier of a manager, by which it breaks ties and lists conflicts.
pub(super) fn identifier(key: &ManagerKey) -> String {
    let operation = if key.applied { "Apply" } else { "Update" };
    let mut text = format!("{{\"manager\":{:?},\"operation\":\"{operation}\"", key.manager);
    if !key.api_version.is_empty() {
        text = format!("{text},\"apiVersion\":{:?}", key.api_version);
    }
    if !key.subresource.is_empty() {
        text = format!("{text},\"subresource\":{:?}", key.subresource);
    }
    text + "}"
}
