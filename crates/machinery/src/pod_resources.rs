//! What a pod needs in all, from what its containers ask for (`k8s.io/component-helpers/resource`).
//!
//! Containers run side by side, init containers one after the other before them; an init container that is restarted
//! always (a sidecar) runs beside all that come after it.

use serde_json::{Map, Value};

use crate::resource_list::ResourceList;

/// Whether requests or limits are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// What is set aside.
    Requests,
    /// What is not exceeded.
    Limits,
}

impl Bound {
    /// The field of `resources`.
    pub fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// What the specification of a pod asks for, without what the runtime needs (`limitranger.podRequests` and `podLimits`).
pub fn specified(pod: &Value, bound: Bound) -> ResourceList {
    let mut total =
        of_containers(&pod["spec"], |container, _| ResourceList::of(&container["resources"][bound.field()]));
    let whole = ResourceList::of(&pod["spec"]["resources"][bound.field()]);
    total.extend(whole.only(|name, _| matches!(name, "cpu" | "memory")));
    total
}

/// What a pod takes from its node: also what its containers still have while they are resized, and what the runtime
/// needs.
pub fn taken(pod: &Value, bound: Bound) -> ResourceList {
    let mut total = of_containers(&pod["spec"], |container, may_have_status| {
        let specified = ResourceList::of(&container["resources"][bound.field()]);
        let status = if may_have_status { status_of(pod, container) } else { None };
        let Some(status) = status.filter(|status| status["resources"].is_object()) else { return specified };
        let mut effective = if is_resize_infeasible(pod) { ResourceList::default() } else { specified };
        effective.raise(&ResourceList::of(&status["resources"][bound.field()]));
        if bound == Bound::Requests {
            effective.raise(&ResourceList::of(&status["allocatedResources"]));
        }
        effective
    });
    total.extend(ResourceList::of(&pod["spec"]["resources"][bound.field()]).only(|name, _| is_of_pods(name)));
    let overhead = ResourceList::of(&pod["spec"]["overhead"]);
    match bound {
        Bound::Requests => total.add(&overhead),
        Bound::Limits => {
            let limited = overhead.only(|name, _| total.get(name).is_some_and(|limit| !limit.is_zero()));
            total.add(&limited);
        }
    }
    total
}

/// Completes what the specification of a pod as a whole asks for, where it asks for something: by what its containers ask
/// for, and requests by limits (`defaultHugePagePodLimits` and `defaultPodRequests`).
pub fn default_own(spec: &mut Value) {
    let own = |spec: &Value, bound: Bound| ResourceList::of(&spec["resources"][bound.field()]);
    let aggregated = |spec: &Value, bound: Bound| {
        of_containers(spec, |container, _| ResourceList::of(&container["resources"][bound.field()]))
    };
    let (mut requests, mut limits) = (own(spec, Bound::Requests), own(spec, Bound::Limits));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    let is_missing = |name: &str| requests.get(name).is_none() && limits.get(name).is_none();
    let huge_pages = aggregated(spec, Bound::Limits).only(|name, _| name.starts_with("hugepages-") && is_missing(name));
    limits.extend(huge_pages);
    if !limits.is_empty() {
        let of_containers = aggregated(spec, Bound::Requests);
        let asked = of_containers.only(|name, _| matches!(name, "cpu" | "memory") && requests.get(name).is_none());
        requests.extend(asked);
        let limited = limits.only(|name, _| is_of_pods(name) && requests.get(name).is_none());
        requests.extend(limited);
    }
    for (bound, amounts) in [(Bound::Requests, requests), (Bound::Limits, limits)] {
        if amounts.is_empty() {
            continue;
        }
        let known = &mut spec["resources"][bound.field()];
        if known.is_null() {
            *known = Value::Object(Map::new());
        }
        // What is no quantity stays, for validation to refuse.
        if let Some(known) = known.as_object_mut() {
            for (name, amount) in amounts.iter() {
                known.entry(name).or_insert_with(|| amount.to_string().into());
            }
        }
    }
}

/// The class of a pod by what it asks for of processor and memory (`status.qosClass`).
pub fn quality_of_service(pod: &Value) -> &'static str {
    const NAMES: [&str; 2] = ["cpu", "memory"];
    let own = &pod["spec"]["resources"];
    let (mut requests, mut limits, mut all_limited) = (ResourceList::default(), ResourceList::default(), true);
    let mut add = |resources: &Value| {
        let amounts = |bound: Bound| {
            ResourceList::of(&resources[bound.field()])
                .only(|name, amount| NAMES.contains(&name) && amount.quantity().is_positive())
        };
        let limited = amounts(Bound::Limits);
        all_limited &= NAMES.iter().all(|name| limited.get(name).is_some());
        limits.add(&limited);
        requests.add(&amounts(Bound::Requests));
    };
    if own.is_object() {
        add(own);
    } else {
        containers(pod).for_each(|container| add(&container["resources"]));
    }
    match (requests.is_empty() && limits.is_empty(), all_limited && requests == limits) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

/// Whether a pod as a whole asks for a resource that it can ask for.
pub fn has_own_resources(pod: &Value) -> bool {
    let resources = &pod["spec"]["resources"];
    ["requests", "limits"]
        .iter()
        .any(|field| resources[*field].as_object().is_some_and(|amounts| amounts.keys().any(|name| is_of_pods(name))))
}

/// The containers of a pod, and then its init containers.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["containers", "initContainers"].into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// The status of a container, or of an init container.
fn status_of<'p>(pod: &'p Value, container: &Value) -> Option<&'p Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list| pod["status"][list].as_array().into_iter().flatten())
        .find(|status| status["name"] == container["name"])
}

fn is_resize_infeasible(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .find(|condition| condition["type"] == "PodResizePending")
        .is_some_and(|pending| pending["reason"] == "Infeasible")
}

/// All containers together. `amounts` is told whether a container may be resized while it runs.
fn of_containers(spec: &Value, amounts: impl Fn(&Value, bool) -> ResourceList) -> ResourceList {
    let list = |name: &str| spec[name].as_array().map_or(&[][..], Vec::as_slice);
    let mut total = ResourceList::default();
    for container in list("containers") {
        total.add(&amounts(container, true));
    }
    let mut sidecars = ResourceList::default();
    let mut at_start = ResourceList::default();
    for container in list("initContainers") {
        let is_sidecar = container["restartPolicy"] == "Always";
        let own = amounts(container, is_sidecar);
        if is_sidecar {
            total.add(&own);
            sidecars.add(&own);
            at_start.raise(&sidecars);
        } else {
            let mut beside = own;
            beside.add(&sidecars);
            at_start.raise(&beside);
        }
    }
    total.raise(&at_start);
    total
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_needs_the_most_that_runs_at_one_time() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}});
        let mut sidecar = container("500m");
        sidecar["restartPolicy"] = json!("Always");
        let pod = json!({
            "spec": {
                "containers": [container("100m"), container("200m")],
                "initContainers": [container("2"), sidecar, container("1800m")],
                "overhead": {"cpu": "10m", "memory": "1Mi"},
            },
        });
        assert_eq!(specified(&pod, Bound::Requests).to_string(), "cpu=2300m");
        assert_eq!(taken(&pod, Bound::Requests).to_string(), "cpu=2310m,memory=1Mi");
        assert_eq!(taken(&pod, Bound::Limits).to_string(), "cpu=2310m");
    }

    #[test]
    fn a_pod_that_asks_for_itself_is_completed_and_classed_by_that() {
        let container =
            json!({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "hugepages-2Mi": "2Mi"}}});
        let mut pod =
            json!({"spec": {"containers": [container, container], "resources": {"limits": {"memory": "1Gi"}}}});
        default_own(&mut pod["spec"]);
        assert_eq!(
            pod["spec"]["resources"],
            json!({
                "limits": {"hugepages-2Mi": "4Mi", "memory": "1Gi"},
                "requests": {"cpu": "2", "hugepages-2Mi": "4Mi", "memory": "1Gi"},
            })
        );
        assert_eq!(quality_of_service(&pod), "Burstable");
        pod["spec"]["resources"]["limits"]["cpu"] = json!("2000m");
        assert_eq!(quality_of_service(&pod), "Guaranteed");
        assert_eq!(quality_of_service(&json!({"spec": {"containers": [container]}})), "Burstable");
        let nothing = json!({"resources": {"limits": {"cpu": "0", "example.com/gpu": "1"}}});
        assert_eq!(quality_of_service(&json!({"spec": {"containers": [nothing]}})), "BestEffort");
    }

    #[test]
    fn a_pod_may_ask_for_itself_and_takes_what_it_has_while_it_is_resized() {
        let mut pod = json!({
            "spec": {
                "containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
                "resources": {"requests": {"memory": "3Gi", "hugepages-2Mi": "4Mi"}},
            },
            "status": {"containerStatuses": [
                {"name": "a", "allocatedResources": {"cpu": "3"}, "resources": {"requests": {"cpu": "2"}}},
            ]},
        });
        assert_eq!(specified(&pod, Bound::Requests).to_string(), "cpu=1,memory=3Gi");
        assert_eq!(taken(&pod, Bound::Requests).to_string(), "cpu=3,hugepages-2Mi=4Mi,memory=3Gi");
        assert!(has_own_resources(&pod));
        pod["status"]["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("9");
        assert_eq!(taken(&pod, Bound::Requests).get("cpu").unwrap().to_string(), "3");
    }
}
