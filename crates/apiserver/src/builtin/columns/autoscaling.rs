//! Autoscalers, disruption budgets and quotas.

use serde_json::Value;

use super::{super::autoscaler_conversion, Printer, age, at, first_of, integer, list, scalar, text};

pub(super) fn printer(group: &str, plural: &str) -> Option<Printer> {
    Some(match (group, plural) {
        ("autoscaling", "horizontalpodautoscalers") => {
            Printer { columns: &["Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"], cells: autoscaler }
        }
        ("policy", "poddisruptionbudgets") => Printer {
            columns: &["Min Available", "Max Unavailable", "#Allowed Disruptions", "Age"],
            cells: |object, now| {
                let bound = |pointer: &str| scalar(at(object, pointer)).unwrap_or_else(|| "N/A".to_owned());
                vec![
                    bound("/spec/minAvailable").into(),
                    bound("/spec/maxUnavailable").into(),
                    integer(object, "/status/disruptionsAllowed").into(),
                    age(object, now),
                ]
            },
        },
        ("", "resourcequotas") => Printer { columns: &["Request", "Limit", "Age"], cells: quota },
        _ => return None,
    })
}

fn autoscaler(object: &Value, now: i64) -> Vec<Value> {
    if object["apiVersion"] == "autoscaling/v1" {
        return autoscaler(&autoscaler_conversion::to_newer(object.clone()), now);
    }
    let current = list(object, "/status/currentMetrics");
    let targets: Vec<String> = list(object, "/spec/metrics")
        .iter()
        .enumerate()
        .map(|(index, metric)| target(metric, current.get(index)))
        .collect();
    vec![
        format!("{}/{}", text(object, "/spec/scaleTargetRef/kind"), text(object, "/spec/scaleTargetRef/name")).into(),
        first_of(&targets, 2, ", ", "<none>").into(),
        scalar(at(object, "/spec/minReplicas")).unwrap_or_else(|| "<unset>".to_owned()).into(),
        integer(object, "/spec/maxReplicas").into(),
        integer(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}

/// `cpu: 12%/80%`, `5/10 (avg)`.
fn target(metric: &Value, current: Option<&Value>) -> String {
    let (source, named) = match text(metric, "/type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let wanted = |field: &str| scalar(at(metric, &format!("/{source}/target/{field}")));
    let measured = |field: &str| scalar(current.and_then(|current| at(current, &format!("/{source}/current/{field}"))));
    let unknown = || "<unknown>".to_owned();
    let percent = |value: String| format!("{value}%");
    let prefix = if named { format!("{}: ", text(metric, &format!("/{source}/name"))) } else { String::new() };
    if let Some(average) = wanted("averageValue") {
        let suffix = if matches!(source, "external" | "object") { " (avg)" } else { "" };
        return format!("{prefix}{}/{average}{suffix}", measured("averageValue").unwrap_or_else(unknown));
    }
    if named {
        let target = wanted("averageUtilization").map_or_else(|| "<auto>".to_owned(), percent);
        return format!("{prefix}{}/{target}", measured("averageUtilization").map_or_else(unknown, percent));
    }
    format!("{}/{}", measured("value").unwrap_or_else(unknown), wanted("value").unwrap_or_else(unknown))
}

fn quota(object: &Value, now: i64) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in at(object, "/status/hard").and_then(Value::as_object).into_iter().flatten() {
        let used = at(object, "/status/used").and_then(|used| used.get(resource));
        let zero = || "0".to_owned();
        let line =
            format!("{resource}: {}/{}", scalar(used).unwrap_or_else(zero), scalar(Some(hard)).unwrap_or_else(zero));
        if resource.starts_with("limits.") { limits.push(line) } else { requests.push(line) }
    }
    vec![requests.join(", ").into(), limits.join(", ").into(), age(object, now)]
}
