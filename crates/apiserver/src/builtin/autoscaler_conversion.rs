//! HorizontalPodAutoscalers of `autoscaling/v1`, which know one target, the use of processors; what else there is goes into
//! annotations and comes back from them (`pkg/apis/autoscaling/v1/conversion.go`). They are stored as `autoscaling/v2`.
//!
//! The annotations are texts that Go writes: members in the order of its structs, without null but where a type has no
//! other way to say nothing.

use kogge_machinery::{patch::go_json, resource::ResourceType, typed_object::TypedKind};
use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
/// What nothing writes any more, and what is dropped all the same.
const FORMER: [&str; 2] =
    ["autoscaling.alpha.kubernetes.io/scale-down-tolerance", "autoscaling.alpha.kubernetes.io/scale-up-tolerance"];

/// Annotations that hold parts of `spec`.
pub const OF_SPEC: [&str; 2] = [METRICS, BEHAVIOR];
/// Annotations that hold parts of `status`.
pub const OF_STATUS: [&str; 2] = [CURRENT_METRICS, CONDITIONS];

const NEWER: &str = "autoscaling/v2";
const OLDER: &str = "autoscaling/v1";

/// Processors an autoscaler of the older version aims at, in percent, if it says nothing.
const DEFAULT_UTILIZATION: i64 = 80;

/// Whether these are the autoscalers of the older version.
pub fn is_older(resource: &ResourceType) -> bool {
    resource.version == "v1" && resource.group == "autoscaling" && !resource.custom
}

/// Whether this is the type of autoscalers of either version.
pub fn is_autoscaler(api_version: &str, kind: &str) -> bool {
    kind == "HorizontalPodAutoscaler" && matches!(api_version, OLDER | NEWER)
}

/// An autoscaler of `autoscaling/v2` as `autoscaling/v1`.
pub fn to_older(mut object: Value) -> Value {
    object["apiVersion"] = OLDER.into();
    let mut notes: Vec<(&str, String)> = Vec::new();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let metrics = taken(spec, "metrics");
        if let Some(percent) = metrics.iter().find_map(processor_percentage) {
            spec.insert("targetCPUUtilizationPercentage".to_owned(), percent.clone());
        }
        let others = metrics.iter().filter(|metric| processor_percentage(metric).is_none());
        let others: Vec<String> = others.map(older_metric).collect();
        if !others.is_empty() {
            notes.push((METRICS, list_text(&others)));
        }
        if let Some(behavior) = spec.remove("behavior").filter(Value::is_object) {
            notes.push((BEHAVIOR, behavior_text(&behavior)));
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let metrics = taken(status, "currentMetrics");
        let of_processors = |metric: &&Value| metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
        let percentages = metrics.iter().filter(of_processors);
        let mut percentages = percentages.map(|metric| &metric["resource"]["current"]["averageUtilization"]);
        if let Some(percent) = percentages.rfind(|percent| percent.is_number()) {
            status.insert("currentCPUUtilizationPercentage".to_owned(), percent.clone());
        }
        if !metrics.is_empty() {
            notes.push((CURRENT_METRICS, list_text(&metrics.iter().map(older_current).collect::<Vec<_>>())));
        }
        let conditions = taken(status, "conditions");
        if !conditions.is_empty() {
            notes.push((CONDITIONS, list_text(&conditions.iter().map(condition_text).collect::<Vec<_>>())));
        }
    }
    drop_notes(&mut object);
    if !notes.is_empty() && object["metadata"].is_object() {
        let annotations = &mut object["metadata"]["annotations"];
        if !annotations.is_object() {
            *annotations = json!({});
        }
        for (key, text) in notes {
            annotations[key] = text.into();
        }
    }
    canonicalize(OLDER, &mut object);
    object
}

/// An autoscaler of `autoscaling/v1` as `autoscaling/v2`, with the target it has by default. Annotations that are no such
/// text as [`to_older`] writes say nothing.
pub fn to_newer(mut object: Value) -> Value {
    object["apiVersion"] = NEWER.into();
    let note = |key: &str| -> Option<Value> {
        let text = object["metadata"]["annotations"][key].as_str()?;
        serde_json::from_str(text).ok().filter(|value: &Value| !value.is_null())
    };
    let list = |key: &str, part: &str, field: &str, convert: fn(&Value) -> Value| -> Vec<Value> {
        let all: Option<Vec<Value>> = match note(key) {
            Some(Value::Array(items)) => Some(items.iter().map(convert).collect()),
            _ => None,
        };
        all.filter(|all| fits(part, field, &all.clone().into())).unwrap_or_default()
    };
    let mut metrics = list(METRICS, "spec", "metrics", newer_metric);
    let mut current = list(CURRENT_METRICS, "status", "currentMetrics", newer_current);
    let conditions = list(CONDITIONS, "status", "conditions", Value::clone);
    let behavior = note(BEHAVIOR).map(|behavior| newer_behavior(&behavior));
    let behavior = behavior.filter(|behavior| *behavior != json!({}) && fits("spec", "behavior", behavior));
    if !object["spec"].is_object() {
        object["spec"] = json!({});
    }
    if let Some(spec) = object["spec"].as_object_mut() {
        let percent = spec.remove("targetCPUUtilizationPercentage").filter(|percent| !percent.is_null());
        metrics.extend(percent.as_ref().map(processor_target));
        if metrics.is_empty() {
            metrics.push(processor_target(&DEFAULT_UTILIZATION.into()));
        }
        spec.insert("metrics".to_owned(), metrics.into());
        if let Some(behavior) = behavior {
            spec.insert("behavior".to_owned(), behavior);
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let percent = status.remove("currentCPUUtilizationPercentage").filter(|percent| !percent.is_null());
        if let Some(percent) = percent {
            let measured =
                |current: Value| json!({"type": "Resource", "resource": {"name": "cpu", "current": current}});
            // The annotation cannot leave out the amount, which the percentage alone does not tell.
            let of_percentage = measured(json!({"averageUtilization": percent, "averageValue": "0"}));
            if current.is_empty() || current == [of_percentage] {
                current = vec![measured(json!({"averageUtilization": percent}))];
            }
        }
        if !current.is_empty() {
            status.insert("currentMetrics".to_owned(), current.into());
        }
        if !conditions.is_empty() {
            status.insert("conditions".to_owned(), conditions.into());
        }
    }
    drop_notes(&mut object);
    canonicalize(NEWER, &mut object);
    object
}

/// What the server makes of an autoscaler of the older version by reading it: its defaults, and no annotation but those
/// that hold something.
pub fn complete_older(object: &mut Value) {
    let mut newer = to_newer(object.take());
    if newer["spec"]["minReplicas"].is_null() {
        newer["spec"]["minReplicas"] = 1.into();
    }
    *object = to_older(newer);
}

/// Gives an autoscaler of the older version these annotations of another state of it, and no others of the kind.
pub fn keep_notes(from: Option<&Value>, object: &mut Value, keys: [&str; 2]) {
    let annotations = |object: &Value, key: &str| object["metadata"]["annotations"][key].clone();
    for key in keys {
        let kept = from.map(|from| annotations(from, key)).unwrap_or_default();
        if kept.is_null() {
            remove_annotations(object, &[key]);
        } else {
            object["metadata"]["annotations"][key] = kept;
        }
    }
}

fn canonicalize(api_version: &str, object: &mut Value) {
    if let Some(typed) = TypedKind::of(api_version, "HorizontalPodAutoscaler") {
        typed.canonicalize(object);
    }
}

/// Whether a field of the newer version can hold a value.
fn fits(part: &str, field: &str, value: &Value) -> bool {
    let mut object = json!({"apiVersion": NEWER, "kind": "HorizontalPodAutoscaler", part: {field: value}});
    let typed = TypedKind::of(NEWER, "HorizontalPodAutoscaler");
    typed.is_some_and(|typed| !typed.canonicalize(&mut object).wrong_values)
}

fn drop_notes(object: &mut Value) {
    remove_annotations(object, &[METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR]);
    remove_annotations(object, &FORMER);
}

fn remove_annotations(object: &mut Value, keys: &[&str]) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    for key in keys {
        annotations.remove(*key);
    }
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

fn taken(place: &mut Map<String, Value>, field: &str) -> Vec<Value> {
    match place.remove(field) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn items(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

/// The percentage of a target for the use of processors.
fn processor_percentage(metric: &Value) -> Option<&Value> {
    let resource = &metric["resource"];
    let percent = &resource["target"]["averageUtilization"];
    (metric["type"] == "Resource" && resource["name"] == "cpu" && !percent.is_null()).then_some(percent)
}

fn processor_target(percent: &Value) -> Value {
    json!({
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
    })
}

/// A JSON object with its members in this order, without what is null.
fn object_text(members: &[(&str, Value)]) -> String {
    let given = members.iter().filter(|(_, value)| !value.is_null());
    let texts: Vec<String> = given
        .map(|(name, value)| {
            let text = match *name {
                "selector" | "metricSelector" => ordered(value, &["matchLabels", "matchExpressions"]),
                "target" => ordered(value, &["kind", "name", "apiVersion"]),
                _ => go_json(value),
            };
            format!("\"{name}\":{text}")
        })
        .collect();
    format!("{{{}}}", texts.join(","))
}

/// An object with these members in this order, those of them that are there.
fn ordered(value: &Value, names: &[&str]) -> String {
    let given = names.iter().filter(|name| !value[**name].is_null());
    let texts: Vec<String> = given.map(|name| format!("\"{name}\":{}", go_json(&value[*name]))).collect();
    format!("{{{}}}", texts.join(","))
}

fn condition_text(condition: &Value) -> String {
    let text = |field: &str| go_json(&condition[field]);
    let optional = |field: &str| match &condition[field] {
        Value::String(value) if !value.is_empty() => format!(",\"{field}\":{}", go_json(&condition[field])),
        _ => String::new(),
    };
    format!(
        "{{\"type\":{},\"status\":{},\"lastTransitionTime\":{}{}{}}}",
        text("type"),
        text("status"),
        text("lastTransitionTime"),
        optional("reason"),
        optional("message")
    )
}

fn list_text(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// The field of a metric that has its kind of source.
fn source_of(metric: &Value) -> Option<&'static str> {
    ["object", "pods", "resource", "containerResource", "external"]
        .into_iter()
        .find(|source| metric[*source].is_object())
}

fn nested(kind: &Value, source: &str, inner: &str) -> String {
    format!("{{\"type\":{kind},\"{source}\":{inner}}}")
}

fn or_zero(value: &Value) -> Value {
    if value.is_null() { "0".into() } else { value.clone() }
}

fn older_metric(metric: &Value) -> String {
    let Some(source) = source_of(metric) else { return object_text(&[("type", metric["type"].clone())]) };
    let (from, target) = (&metric[source], &metric[source]["target"]);
    let (name, selector) = (from["metric"]["name"].clone(), from["metric"]["selector"].clone());
    let of = |field: &str| target[field].clone();
    let inner = match source {
        "object" => vec![
            ("target", from["describedObject"].clone()),
            ("metricName", name),
            ("targetValue", or_zero(&target["value"])),
            ("selector", selector),
            ("averageValue", of("averageValue")),
        ],
        "pods" => {
            vec![("metricName", name), ("targetAverageValue", or_zero(&target["averageValue"])), ("selector", selector)]
        }
        "external" => vec![
            ("metricName", name),
            ("metricSelector", selector),
            ("targetValue", of("value")),
            ("targetAverageValue", of("averageValue")),
        ],
        "resource" => vec![
            ("name", from["name"].clone()),
            ("targetAverageUtilization", of("averageUtilization")),
            ("targetAverageValue", of("averageValue")),
        ],
        _ => vec![
            ("name", from["name"].clone()),
            ("targetAverageUtilization", of("averageUtilization")),
            ("targetAverageValue", of("averageValue")),
            ("container", from["container"].clone()),
        ],
    };
    nested(&metric["type"], source, &object_text(&inner))
}

fn older_current(metric: &Value) -> String {
    let Some(source) = source_of(metric) else { return object_text(&[("type", metric["type"].clone())]) };
    let (from, current) = (&metric[source], &metric[source]["current"]);
    let (name, selector) = (from["metric"]["name"].clone(), from["metric"]["selector"].clone());
    let inner = match source {
        "object" => vec![
            ("target", from["describedObject"].clone()),
            ("metricName", name),
            ("currentValue", or_zero(&current["value"])),
            ("selector", selector),
            ("averageValue", current["averageValue"].clone()),
        ],
        "pods" => {
            vec![
                ("metricName", name),
                ("currentAverageValue", or_zero(&current["averageValue"])),
                ("selector", selector),
            ]
        }
        "external" => vec![
            ("metricName", name),
            ("metricSelector", selector),
            ("currentValue", or_zero(&current["value"])),
            ("currentAverageValue", current["averageValue"].clone()),
        ],
        _ => vec![
            ("name", from["name"].clone()),
            ("currentAverageUtilization", current["averageUtilization"].clone()),
            ("currentAverageValue", or_zero(&current["averageValue"])),
            ("container", from["container"].clone()),
        ],
    };
    nested(&metric["type"], source, &object_text(&inner))
}

/// Members of an object that are not null.
fn given<const N: usize>(members: [(&str, Value); N]) -> Value {
    members.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn newer_metric(metric: &Value) -> Value {
    let kind = metric["type"].clone();
    let Some(source) = source_of(metric) else { return json!({"type": kind}) };
    let from = &metric[source];
    let of = |field: &str| from[field].clone();
    let named = |selector: &str| given([("name", of("metricName")), ("selector", of(selector))]);
    let value_or_average = |value: Value, average: Value| {
        let by = if value.is_null() { "AverageValue" } else { "Value" };
        given([("type", by.into()), ("value", value), ("averageValue", average)])
    };
    let inner = match source {
        "object" => {
            let zero = from["averageValue"].is_string() && from["targetValue"] == "0";
            let value = if zero { Value::Null } else { of("targetValue") };
            let by = if from["averageValue"].is_null() { "Value" } else { "AverageValue" };
            let target = given([("type", by.into()), ("value", value), ("averageValue", of("averageValue"))]);
            given([("describedObject", of("target")), ("metric", named("selector")), ("target", target)])
        }
        "pods" => {
            let target = given([("type", "AverageValue".into()), ("averageValue", of("targetAverageValue"))]);
            given([("metric", named("selector")), ("target", target)])
        }
        "external" => given([
            ("metric", named("metricSelector")),
            ("target", value_or_average(of("targetValue"), of("targetAverageValue"))),
        ]),
        _ => {
            let by = if from["targetAverageUtilization"].is_null() { "AverageValue" } else { "Utilization" };
            let target = given([
                ("type", by.into()),
                ("averageValue", of("targetAverageValue")),
                ("averageUtilization", of("targetAverageUtilization")),
            ]);
            given([("name", of("name")), ("container", of("container")), ("target", target)])
        }
    };
    json!({"type": kind, source: inner})
}

fn newer_current(metric: &Value) -> Value {
    let kind = metric["type"].clone();
    let Some(source) = source_of(metric) else { return json!({"type": kind}) };
    let from = &metric[source];
    let of = |field: &str| from[field].clone();
    let named = |selector: &str| given([("name", of("metricName")), ("selector", of(selector))]);
    let inner = match source {
        "object" => given([
            ("describedObject", of("target")),
            ("metric", named("selector")),
            ("current", given([("value", of("currentValue")), ("averageValue", of("averageValue"))])),
        ]),
        "pods" => {
            given([("metric", named("selector")), ("current", given([("averageValue", of("currentAverageValue"))]))])
        }
        "external" => given([
            ("metric", named("metricSelector")),
            ("current", given([("value", of("currentValue")), ("averageValue", of("currentAverageValue"))])),
        ]),
        _ => {
            let current = given([
                ("averageUtilization", of("currentAverageUtilization")),
                ("averageValue", of("currentAverageValue")),
            ]);
            given([("name", of("name")), ("container", of("container")), ("current", current)])
        }
    };
    json!({"type": kind, source: inner})
}

/// The behavior as the real server writes it into an annotation: with the names of its own type.
fn behavior_text(behavior: &Value) -> String {
    let rules = |direction: &str| {
        let rules = &behavior[direction];
        if !rules.is_object() {
            return "null".to_owned();
        }
        let policies: Vec<String> = items(rules.get("policies"))
            .map(|policy| {
                format!(
                    "{{\"Type\":{},\"Value\":{},\"PeriodSeconds\":{}}}",
                    policy["type"], policy["value"], policy["periodSeconds"]
                )
            })
            .collect();
        let policies = if rules["policies"].is_array() { list_text(&policies) } else { "null".to_owned() };
        format!(
            "{{\"StabilizationWindowSeconds\":{},\"SelectPolicy\":{},\"Policies\":{policies},\"Tolerance\":{}}}",
            rules["stabilizationWindowSeconds"], rules["selectPolicy"], rules["tolerance"]
        )
    };
    format!("{{\"ScaleUp\":{},\"ScaleDown\":{}}}", rules("scaleUp"), rules("scaleDown"))
}

/// The behavior in an annotation. Go finds members whatever the case of their names.
fn newer_behavior(behavior: &Value) -> Value {
    let member = |object: &Value, name: &str| {
        let members = object.as_object().into_iter().flatten();
        let mut found = members.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        found.next().unwrap_or_default()
    };
    let policy = |policy: &Value| given(["type", "value", "periodSeconds"].map(|name| (name, member(policy, name))));
    let rules = |direction: &str| {
        let rules = member(behavior, direction);
        if !rules.is_object() {
            return rules;
        }
        let policies: Value = match member(&rules, "policies") {
            Value::Array(policies) => policies.iter().map(policy).collect(),
            other => other,
        };
        given([
            ("stabilizationWindowSeconds", member(&rules, "stabilizationWindowSeconds")),
            ("selectPolicy", member(&rules, "selectPolicy")),
            ("policies", policies),
            ("tolerance", member(&rules, "tolerance")),
        ])
    };
    given([("scaleUp", rules("scaleUp")), ("scaleDown", rules("scaleDown"))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_comes_back_from_the_older_version_as_it_was() {
        let newer = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a", "annotations": {"own": "note"}},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 1, "maxReplicas": 5,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                    {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
                    {"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "i"},
                        "metric": {"name": "rate", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "Value", "value": "5"}}},
                    {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "30"}}},
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
                ],
                "behavior": {"scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}}
            },
            "status": {"currentReplicas": 2, "desiredReplicas": 3,
                "conditions": [{"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "5m"}}}]}
        });
        let older = to_older(newer.clone());
        insta::assert_yaml_snapshot!(older);
        assert_eq!(to_newer(older), newer);
    }

    #[test]
    fn an_autoscaler_of_the_older_version_aims_at_something() {
        let older = json!({"apiVersion": "autoscaling/v1", "spec": {"maxReplicas": 2}});
        assert_eq!(to_newer(older)["spec"]["metrics"], json!([processor_target(&80.into())]));
    }
}
