//! What a pod gets from its RuntimeClass: what the runtime itself needs, and the nodes that have it (`RuntimeClass`).

use kogge_machinery::{
    quantity::Quantity,
    resource::{GroupResource, ResourceType},
    status_error::{ApiError, quote},
};
use serde_json::{Map, Value};

use super::{builtin_admission::forbidden, strategy::made};
use crate::{plane::Plane, store::ObjectKey};

const OTHER_OVERHEAD: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

/// Adds to a new pod what its class says.
///
/// # Errors
/// 403 where there is no such class, or the pod says something else.
pub(super) fn admit(plane: &Plane, resource: &ResourceType, pod: &mut Value) -> Result<(), ApiError> {
    let Some(class) = class_of(plane, resource, pod)? else { return Ok(()) };
    merge(&class, pod).map_err(|why| forbidden(resource, pod, &why))
}

/// Holds a complete new pod against its class.
///
/// # Errors
/// 403 for another overhead than that of the class.
pub(super) fn validate(plane: &Plane, resource: &ResourceType, pod: &Value) -> Result<(), ApiError> {
    let class = class_of(plane, resource, pod)?.unwrap_or_default();
    let overhead = &pod["spec"]["overhead"];
    if class["overhead"].is_object() {
        if !same_amounts(overhead, &class["overhead"]["podFixed"]) {
            return Err(forbidden(resource, pod, OTHER_OVERHEAD));
        }
    } else if overhead.is_object() {
        let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        return Err(forbidden(resource, pod, why));
    }
    Ok(())
}

fn class_of(plane: &Plane, resource: &ResourceType, pod: &Value) -> Result<Option<Value>, ApiError> {
    let Some(name) = pod["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    if name.is_empty() {
        // What the real server's client says before it asks.
        return Err(ApiError::new(500, "", "resource name may not be empty"));
    }
    let classes = GroupResource { group: "node.k8s.io".to_owned(), resource: "runtimeclasses".to_owned() };
    let key = ObjectKey { resource: classes, namespace: String::new(), name: name.to_owned() };
    let class = plane.get_value(&key)?;
    class
        .map(Some)
        .ok_or_else(|| forbidden(resource, pod, &format!("pod rejected: RuntimeClass {} not found", quote(name))))
}

/// Merges what a class says into a pod, or says why it cannot be.
fn merge(class: &Value, pod: &mut Value) -> Result<(), String> {
    let Some(spec) = made(pod, "spec") else { return Ok(()) };
    if class["overhead"].is_object() {
        let fixed = &class["overhead"]["podFixed"];
        let given = spec.get("overhead").unwrap_or(&Value::Null);
        if given.as_object().is_some_and(|given| !given.is_empty()) && !same_amounts(given, fixed) {
            return Err(OTHER_OVERHEAD.to_owned());
        }
        if fixed.is_null() {
            spec.remove("overhead")
        } else {
            spec.insert("overhead".to_owned(), fixed.clone())
        };
    }
    let scheduling = &class["scheduling"];
    if !scheduling.is_object() {
        return Ok(());
    }
    let mut selector = spec.get("nodeSelector").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, wanted) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if let Some(given) = selector.get(key).filter(|given| *given != wanted) {
            let (given, wanted) = (text(given), text(wanted));
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
            ));
        }
        selector.insert(key.clone(), wanted.clone());
    }
    if !selector.is_empty() {
        spec.insert("nodeSelector".to_owned(), selector.into());
    }
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut tolerations = list(spec.get("tolerations"));
    tolerations.extend(list(scheduling.get("tolerations")));
    let tolerations = without_covered(&tolerations);
    if !tolerations.is_empty() {
        spec.insert("tolerations".to_owned(), tolerations.into());
    }
    Ok(())
}

/// Whether two lists of resources are the same amounts; an empty one is none.
fn same_amounts(one: &Value, other: &Value) -> bool {
    let empty = Map::new();
    let [one, other] = [one, other].map(|list| list.as_object().unwrap_or(&empty));
    one.len() == other.len()
        && one.iter().all(|(resource, amount)| {
            other.get(resource).is_some_and(|known| Quantity::of(known) == Quantity::of(amount))
        })
}

/// Tolerations without those that others cover; of equal ones the first stays.
fn without_covered(all: &[Value]) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let covered_before = merged.iter().any(|known| is_same(known, toleration) || covers(known, toleration));
        let covered_later =
            all[index + 1..].iter().any(|later| !is_same(later, toleration) && covers(later, toleration));
        if !covered_before && !covered_later {
            merged.push(toleration.clone());
        }
    }
    merged
}

fn text<'v>(toleration: &'v Value, field: &str) -> &'v str {
    toleration[field].as_str().unwrap_or_default()
}

fn is_same(one: &Value, other: &Value) -> bool {
    ["key", "operator", "value", "effect"].iter().all(|field| text(one, field) == text(other, field))
        && one["tolerationSeconds"] == other["tolerationSeconds"]
}

/// Whether a toleration tolerates all that another one does, and more.
fn covers(wide: &Value, narrow: &Value) -> bool {
    let is = |field: &str| text(wide, field) == text(narrow, field);
    let any_key = text(wide, "key").is_empty() && text(wide, "operator") == "Exists";
    let (most, seconds) = (wide["tolerationSeconds"].as_i64(), narrow["tolerationSeconds"].as_i64());
    let lasts =
        text(wide, "effect") != "NoExecute" || most.is_none_or(|most| seconds.is_some_and(|seconds| seconds <= most));
    (is("key") || any_key)
        && (is("effect") || text(wide, "effect").is_empty())
        && lasts
        && match text(wide, "operator") {
            "" | "Equal" => text(narrow, "operator") == "Equal" && is("value"),
            "Exists" => true,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_adds_its_tolerations_where_none_covers_them() {
        let all = [
            json!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}),
            json!({"key": "n", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            json!({"key": "a", "operator": "Exists"}),
            json!({"key": "n", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}),
            json!({"key": "n", "operator": "Exists", "effect": "NoExecute"}),
            json!({"key": "v", "value": "1"}),
            json!({"key": "v", "value": "1"}),
        ];
        let kept = [all[2].clone(), all[4].clone(), all[5].clone()];
        assert_eq!(without_covered(&all), kept);
        assert_eq!(without_covered(&[all[0].clone(), json!({"operator": "Exists"})]), [json!({"operator": "Exists"})]);
        assert_eq!(without_covered(&[json!(null), json!({"tolerationSeconds": "x"})]).len(), 2);
    }

    #[test]
    fn what_a_pod_says_itself_has_to_agree_with_its_class() {
        let class = json!({"overhead": {"podFixed": {"cpu": "1"}}, "scheduling": {"nodeSelector": {"a": "b"}}});
        let merged = |mut pod: Value| merge(&class, &mut pod).map(|()| pod["spec"].take());
        let all = json!({"overhead": {"cpu": "1"}, "nodeSelector": {"a": "b"}});
        assert_eq!(merged(json!({"spec": {}})), Ok(all));
        assert!(merged(json!({"spec": {"overhead": {"cpu": "1000m"}}})).is_ok());
        assert_eq!(merged(json!({"spec": {"overhead": {"cpu": "2"}}})), Err(OTHER_OVERHEAD.to_owned()));
        let conflict = "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c";
        assert_eq!(merged(json!({"spec": {"nodeSelector": {"a": "c"}}})), Err(conflict.to_owned()));
    }
}
