//! What LimitRanges make of pods and claims: defaults of containers, and what is too little or too much
//! (the admission plugin `LimitRanger`).

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::{
    pod_resources::{self, Bound},
    quantity::Amount,
    resource_list::ResourceList,
};

/// Says what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

fn limits<'r>(range: &'r Value, kind: &'r str) -> impl Iterator<Item = &'r Value> {
    range["spec"]["limits"].as_array().into_iter().flatten().filter(move |limit| limit["type"] == kind)
}

/// Fills in what the containers of a new pod do not ask for, and notes it in an annotation.
pub fn default_containers(range: &Value, pod: &mut Value) {
    let mut defaults = [("requests", "defaultRequest", Map::new()), ("limits", "default", Map::new())];
    for limit in limits(range, "Container") {
        for (_, field, amounts) in &mut defaults {
            let given = limit[*field].as_object().into_iter().flatten();
            amounts.extend(given.map(|(name, amount)| (name.clone(), amount.clone())));
        }
    }
    let mut notes = Vec::new();
    for (list, title) in [("containers", "container"), ("initContainers", "init container")] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            for (field, _, amounts) in &defaults {
                let set = fill(container, field, amounts);
                if !set.is_empty() {
                    let name = container["name"].as_str().unwrap_or_default();
                    let what = field.trim_end_matches('s');
                    notes.push(format!("{} {what} for {title} {name}", set.join(", ")));
                }
            }
        }
    }
    if notes.is_empty() {
        return;
    }
    let Some(metadata) = pod["metadata"].as_object_mut() else { return };
    let annotations = metadata.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = Value::Object(Map::new());
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(ANNOTATION.to_owned(), format!("LimitRanger plugin set: {}", notes.join("; ")).into());
    }
}

/// Sets the amounts a container does not have; answers their names.
fn fill<'d>(container: &mut Value, field: &str, defaults: &'d Map<String, Value>) -> Vec<&'d str> {
    let missing = |amounts: &Value| -> Vec<&'d str> {
        defaults.keys().map(String::as_str).filter(|name| amounts.get(*name).is_none()).collect()
    };
    let mut set = missing(&container["resources"][field]);
    set.sort_unstable();
    for name in &set {
        let resources = &mut container["resources"];
        if resources.is_null() || resources.is_object() {
            let amounts = &mut resources[field];
            if amounts.is_null() || amounts.is_object() {
                amounts[*name] = defaults[*name].clone();
            }
        }
    }
    set
}

/// What is wrong with a new pod, as one text.
pub fn pod_violations(range: &Value, pod: &Value) -> Option<String> {
    let mut errors = Vec::new();
    for limit in range["spec"]["limits"].as_array().into_iter().flatten() {
        match limit["type"].as_str() {
            Some("Container") => {
                for container in pod_resources::containers(pod) {
                    let amounts = |bound: Bound| ResourceList::of(&container["resources"][bound.field()]);
                    check("Container", limit, &amounts(Bound::Requests), &amounts(Bound::Limits), &mut errors);
                }
            }
            Some("Pod") => {
                let amounts = |bound| pod_resources::specified(pod, bound);
                check("Pod", limit, &amounts(Bound::Requests), &amounts(Bound::Limits), &mut errors);
            }
            _ => {}
        }
    }
    aggregate(&errors)
}

/// What is wrong with a claim, as one text.
pub fn claim_violations(range: &Value, claim: &Value) -> Option<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let requests = ResourceList::of(&claim["spec"]["resources"]["requests"]);
    let mut errors = Vec::new();
    for limit in limits(range, KIND) {
        for (name, least) in ResourceList::of(&limit["min"]).iter() {
            errors.extend(below_minimum(KIND, name, least, requests.get(name), None));
        }
        for (name, most) in ResourceList::of(&limit["max"]).iter() {
            let [request, greatest] = Amount::comparable([requests.get(name), Some(most)]);
            errors.extend(match requests.get(name) {
                None => Some(format!("maximum {name} usage per {KIND} is {most}.  No request is specified")),
                Some(asked) if request > greatest => {
                    Some(format!("maximum {name} usage per {KIND} is {most}, but request is {asked}"))
                }
                Some(_) => None,
            });
        }
    }
    aggregate(&errors)
}

fn check(kind: &str, limit: &Value, requests: &ResourceList, limits: &ResourceList, errors: &mut Vec<String>) {
    for (name, least) in ResourceList::of(&limit["min"]).iter() {
        errors.extend(below_minimum(kind, name, least, requests.get(name), limits.get(name)));
    }
    for (name, most) in ResourceList::of(&limit["max"]).iter() {
        errors.extend(above_maximum(kind, name, most, requests.get(name), limits.get(name)));
    }
    for (name, ratio) in ResourceList::of(&limit["maxLimitRequestRatio"]).iter() {
        errors.extend(beyond_ratio(kind, name, ratio, requests.get(name), limits.get(name)));
    }
}

fn below_minimum(
    kind: &str,
    name: &str,
    least: &Amount,
    request: Option<&Amount>,
    limit: Option<&Amount>,
) -> Option<String> {
    let rule = format!("minimum {name} usage per {kind} is {least}");
    let [asked, limited, enforced] = Amount::comparable([request, limit, Some(least)]);
    match (request, limit) {
        (None, _) => Some(format!("{rule}.  No request is specified")),
        (Some(request), _) if asked < enforced => Some(format!("{rule}, but request is {request}")),
        (_, Some(limit)) if limited < enforced => Some(format!("{rule}, but limit is {limit}")),
        _ => None,
    }
}

fn above_maximum(
    kind: &str,
    name: &str,
    most: &Amount,
    request: Option<&Amount>,
    limit: Option<&Amount>,
) -> Option<String> {
    let rule = format!("maximum {name} usage per {kind} is {most}");
    let [asked, limited, enforced] = Amount::comparable([request, limit, Some(most)]);
    match (request, limit) {
        (_, None) => Some(format!("{rule}.  No limit is specified")),
        (_, Some(limit)) if limited > enforced => Some(format!("{rule}, but limit is {limit}")),
        (Some(request), _) if asked > enforced => Some(format!("{rule}, but request is {request}")),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "as the real server calculates ratios")]
fn beyond_ratio(
    kind: &str,
    name: &str,
    ratio: &Amount,
    request: Option<&Amount>,
    limit: Option<&Amount>,
) -> Option<String> {
    let rule = format!("{name} max limit to request ratio per {kind} is {ratio}");
    let [asked, limited, _] = Amount::comparable([request, limit, Some(ratio)]);
    if asked == 0 {
        return Some(format!("{rule}, but no request is specified or request is 0"));
    }
    if limited == 0 {
        return Some(format!("{rule}, but no limit is specified or limit is 0"));
    }
    let observed = limited as f64 / asked as f64;
    // In thousandths, but for what does not fit them.
    let [enforced, unit] = Amount::comparable([Some(ratio), Some(&Amount::count(1))]);
    (observed * unit as f64 > enforced as f64).then(|| format!("{rule}, but provided ratio is {observed:.6}"))
}

/// Several errors as one text, each once (`utilerrors.NewAggregate`).
fn aggregate(errors: &[String]) -> Option<String> {
    let mut text = String::new();
    let mut seen: Vec<&String> = Vec::new();
    for error in errors {
        if !seen.contains(&error) {
            let separator = if seen.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{error}");
            seen.push(error);
        }
    }
    match seen.len() {
        0 => None,
        1 => Some(text),
        _ => Some(format!("[{text}]")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_get_what_they_do_not_ask_for_and_it_is_noted() {
        let range = json!({"spec": {"limits": [{
            "type": "Container", "default": {"memory": "1Gi", "cpu": "500m"}, "defaultRequest": {"cpu": "100m"},
        }]}});
        let mut pod = json!({"metadata": {}, "spec": {
            "containers": [{"name": "a"}, {"name": "b", "resources": {"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1"}}}],
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "1"}}}],
        }});
        default_containers(&range, &mut pod);
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a; cpu, memory limit \
             for init container i"
        );
        assert_eq!(
            pod["spec"]["containers"][0]["resources"],
            json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "1Gi"}})
        );
        assert_eq!(pod["spec"]["initContainers"][0]["resources"]["requests"], json!({"cpu": "1"}));
    }

    #[test]
    fn too_little_too_much_and_too_far_apart_are_told_together_and_once() {
        let range = |kind: &str| {
            json!({"spec": {"limits": [{
                "type": kind, "min": {"cpu": "100m"}, "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "1.5"},
            }]}})
        };
        let container = json!({"resources": {
            "requests": {"cpu": "50m", "memory": "1Gi"}, "limits": {"cpu": "100m", "memory": "2Gi"},
        }});
        let pod = json!({"spec": {"containers": [container, container]}});
        assert_eq!(
            pod_violations(&range("Container"), &pod).unwrap(),
            "[minimum cpu usage per Container is 100m, but request is 50m, maximum memory usage per Container is 1Gi, but \
             limit is 2Gi, cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000]"
        );
        assert_eq!(
            pod_violations(&range("Pod"), &pod).unwrap(),
            "[maximum memory usage per Pod is 1Gi, but limit is 4Gi, cpu max limit to request ratio per Pod is 1500m, but \
             provided ratio is 2.000000]"
        );
        let claim = json!({"spec": {"resources": {"requests": {"memory": "1025Mi"}}}});
        assert_eq!(
            claim_violations(&range("PersistentVolumeClaim"), &claim).unwrap(),
            "[minimum cpu usage per PersistentVolumeClaim is 100m.  No request is specified, maximum memory usage per \
             PersistentVolumeClaim is 1Gi, but request is 1025Mi]"
        );
    }
}
