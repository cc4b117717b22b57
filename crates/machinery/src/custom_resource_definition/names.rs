//! Names: their form, whether they are taken, and the conditions that say so.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::{
    object_meta::{dns_1035_messages, subdomain_messages},
    schema::{messages, path::FieldPath},
    status_error::{FieldError, aggregate},
};

/// Why `name` is no DNS-1035 label.
pub(super) fn dns_1035_violation(name: &str) -> Option<String> {
    let reasons = dns_1035_messages(name);
    (!reasons.is_empty()).then(|| reasons.join(","))
}

/// Why `name` is no DNS-1123 subdomain.
pub(super) fn dns_1123_violation(name: &str) -> Option<String> {
    let reasons = subdomain_messages(name, 253);
    (!reasons.is_empty()).then(|| reasons.join(","))
}

/// Errors in `spec.names`.
pub(super) fn errors(names: Option<&Value>, path: &FieldPath<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = |key: &str| names.and_then(|names| names.get(key)).and_then(Value::as_str).unwrap_or_default();
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(key).is_empty() {
            errors.push(messages::required(path.field(key).to_field(), ""));
        }
    }
    for key in ["plural", "singular", "kind", "listKind"] {
        let name = text(key);
        let mixed_case = key == "kind" || key == "listKind";
        let checked = if mixed_case { Cow::Owned(name.to_lowercase()) } else { Cow::Borrowed(name) };
        if !name.is_empty()
            && let Some(reason) = dns_1035_violation(&checked)
        {
            let prefix = if mixed_case { "may have mixed case, but should otherwise match: " } else { "" };
            let detail = format!("{prefix}{reason}");
            errors.push(messages::invalid(path.field(key).to_field(), &Value::from(name), &detail));
        }
    }
    if !text("kind").is_empty() && text("kind") == text("listKind") {
        let detail = "kind and listKind may not be the same";
        errors.push(messages::invalid(path.field("listKind").to_field(), &Value::from(text("listKind")), detail));
    }
    for key in ["shortNames", "categories"] {
        let list_path = path.field(key);
        let items = names.and_then(|names| names.get(key)).and_then(Value::as_array).into_iter().flatten();
        for (index, item) in items.enumerate() {
            if let Some(reason) = dns_1035_violation(item.as_str().unwrap_or_default()) {
                errors.push(messages::invalid(list_path.index(index).to_field(), item, &reason));
            }
        }
    }
    errors
}

/// The status of the condition `condition_type`.
pub(super) fn condition_status<'a>(definition: &'a Value, condition_type: &str) -> Option<&'a str> {
    condition(definition, condition_type)?.get("status")?.as_str()
}

fn condition<'a>(definition: &'a Value, condition_type: &str) -> Option<&'a Value> {
    definition
        .pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some(condition_type))
}

/// Names that exclude each other within a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePool {
    /// Plural and singular names and short names.
    Resources,
    /// Kinds and list kinds.
    Kinds,
}

/// Why names can not be accepted: reason and message of the condition.
struct Conflict {
    reason: &'static str,
    message: String,
}

/// The status of a definition once its names are settled.
pub(super) fn status(definition: &Value, now: &str, taken: &dyn Fn(NamePool, &str) -> bool) -> Value {
    let mut status = definition.get("status").and_then(Value::as_object).cloned().unwrap_or_default();
    let requested = definition.pointer("/spec/names").and_then(Value::as_object).cloned().unwrap_or_default();
    let (accepted, conflict) = accept(&requested, status.get("acceptedNames").and_then(Value::as_object), taken);
    let names_accepted = match &conflict {
        // A definition that comes back to the names it has is not looked at again by the real server.
        None if is_accepted(&requested, status.get("acceptedNames"))
            && condition(definition, "NamesAccepted").is_some() =>
        {
            condition(definition, "NamesAccepted").cloned().unwrap_or_default()
        }
        Some(conflict) => new_condition("NamesAccepted", "False", conflict.reason, &conflict.message, now),
        None => new_condition("NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
    };
    let established = match (condition(definition, "Established"), &conflict) {
        (Some(old), _) if old.get("status").and_then(Value::as_str) == Some("True") => old.clone(),
        (_, None) if names_accepted["status"] == "True" => {
            new_condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now)
        }
        (Some(old), _) => old.clone(),
        (None, _) => new_condition("Established", "False", "NotAccepted", "not all names are accepted", now),
    };
    let mut conditions = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    set_condition(&mut conditions, names_accepted);
    set_condition(&mut conditions, established);
    status.insert("acceptedNames".to_owned(), Value::Object(accepted));
    status.insert("conditions".to_owned(), Value::Array(conditions));
    status.insert("storedVersions".to_owned(), stored_versions(definition, &status));
    Value::Object(status)
}

/// Keeps a definition from being established whose conversion webhook nobody can trust. `status` is what [`status`] gave.
pub(super) fn withhold(definition: &Value, status: &mut Value, now: &str) {
    let known = condition(definition, "Established");
    if known.is_some_and(|known| known["status"] == "True") {
        return;
    }
    let conditions = status["conditions"].as_array_mut().into_iter().flatten();
    for established in conditions.filter(|one| one["type"] == "Established" && one["status"] == "True") {
        let since = known.and_then(|known| known["lastTransitionTime"].as_str()).unwrap_or(now);
        let message = "The conversion webhook CABundle is invalid";
        *established = new_condition("Established", "False", "InvalidCABundle", message, since);
    }
}

/// Whether these are the accepted names, where an empty list is none.
fn is_accepted(requested: &Map<String, Value>, accepted: Option<&Value>) -> bool {
    let given = |names: &Map<String, Value>| {
        let given = names.iter().filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty()));
        given.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>()
    };
    accepted.and_then(Value::as_object).is_some_and(|accepted| given(requested) == given(accepted))
}

/// The accepted names after a request, and the last conflict.
fn accept(
    requested: &Map<String, Value>,
    accepted: Option<&Map<String, Value>>,
    taken: &dyn Fn(NamePool, &str) -> bool,
) -> (Map<String, Value>, Option<Conflict>) {
    const NAMES: [(&str, NamePool, &str); 5] = [
        ("plural", NamePool::Resources, "PluralConflict"),
        ("singular", NamePool::Resources, "SingularConflict"),
        ("shortNames", NamePool::Resources, "ShortNamesConflict"),
        ("kind", NamePool::Kinds, "KindConflict"),
        ("listKind", NamePool::Kinds, "ListKindConflict"),
    ];
    let mut result = accepted.cloned().unwrap_or_default();
    let mut conflict = None;
    let in_use = |name: &str| format!("{} is already in use", messages::quote(name));
    for (key, pool, reason) in NAMES {
        let Some(wanted) = requested.get(key) else {
            result.remove(key);
            continue;
        };
        let current = accepted.and_then(|accepted| accepted.get(key));
        let refused: Vec<String> = if current == Some(wanted) {
            Vec::new()
        } else if let Value::Array(short_names) = wanted {
            let ours = current.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let fresh = short_names.iter().filter(|name| !ours.contains(name)).filter_map(Value::as_str);
            fresh.filter(|name| taken(pool, name)).map(in_use).collect()
        } else {
            wanted.as_str().filter(|name| taken(pool, name)).map(in_use).into_iter().collect()
        };
        if refused.is_empty() {
            result.insert(key.to_owned(), wanted.clone());
        } else {
            conflict = Some(Conflict { reason, message: aggregate(refused) });
        }
    }
    match requested.get("categories") {
        Some(categories) => result.insert("categories".to_owned(), categories.clone()),
        None => result.remove("categories"),
    };
    for key in ["plural", "kind"] {
        // Both are required in status: empty while nothing was accepted.
        result.entry(key).or_insert_with(|| Value::from(""));
    }
    (result, conflict)
}

fn stored_versions(definition: &Value, status: &Map<String, Value>) -> Value {
    let mut stored = status.get("storedVersions").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(storage) = definition.get("spec").and_then(super::storage_version)
        && !stored.iter().any(|version| version == storage)
    {
        stored.push(Value::from(storage));
    }
    Value::Array(stored)
}

fn new_condition(condition_type: &str, status: &str, reason: &str, message: &str, now: &str) -> Value {
    json!({"type": condition_type, "status": status, "reason": reason, "message": message, "lastTransitionTime": now})
}

/// Replaces the condition of the same type. Its time only moves with its status.
fn set_condition(conditions: &mut Vec<Value>, mut new: Value) {
    match conditions.iter_mut().find(|condition| condition["type"] == new["type"]) {
        None => conditions.push(new),
        Some(old) => {
            if old["status"] == new["status"]
                && let Some(since) = old.get("lastTransitionTime")
            {
                new["lastTransitionTime"] = since.clone();
            }
            *old = new;
        }
    }
}
