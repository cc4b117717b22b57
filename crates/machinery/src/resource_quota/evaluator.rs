//! How objects of a kind are counted.

use jiff::Timestamp;
use serde_json::Value;

use super::pods;
use crate::{quantity::Amount, resource::GroupResource, resource_list::ResourceList};

/// Claims of devices that take all there are count as so many.
const MOST_DEVICES: i64 = 32;
/// Ends the names of amounts of one storage class.
const OF_STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Ends the names of amounts of one class of devices.
const OF_DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// Begins the names of devices that pods ask for as of a resource.
const DEVICES_AS_RESOURCE: &str = "requests.deviceclass.resource.kubernetes.io/";
/// Kinds whose numbers have names of their own, from before all kinds were counted.
const NAMED_COUNTS: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];

/// How objects of a kind are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluator {
    /// By what their containers ask for.
    Pods,
    /// By their ports on nodes and their load balancers.
    Services,
    /// By the storage they ask for, also for each storage class.
    PersistentVolumeClaims,
    /// By the devices they ask for, for each class.
    ResourceClaims,
    /// By their number alone, under these names.
    Objects(Vec<String>),
}

impl Evaluator {
    /// How objects of a resource are counted; none for events, which no quota counts.
    pub fn of(resource: &GroupResource) -> Option<Self> {
        Some(match (resource.group.as_str(), resource.resource.as_str()) {
            ("" | "events.k8s.io", "events") => return None,
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::PersistentVolumeClaims,
            ("resource.k8s.io", "resourceclaims") => Self::ResourceClaims,
            (group, plural) => {
                let mut names = vec![format!("count/{resource}")];
                if group.is_empty() && NAMED_COUNTS.contains(&plural) {
                    names.push(plural.to_owned());
                }
                Self::Objects(names)
            }
        })
    }

    /// Whether an amount of this name is one of such objects.
    pub fn tracks(&self, name: &str) -> bool {
        match self {
            Self::Pods => pods::tracks(name),
            Self::Services => {
                matches!(name, "count/services" | "services" | "services.nodeports" | "services.loadbalancers")
            }
            Self::PersistentVolumeClaims => {
                let own = name.split_once(OF_STORAGE_CLASS).map_or(name, |(_, own)| own);
                name == "count/persistentvolumeclaims" || matches!(own, "persistentvolumeclaims" | "requests.storage")
            }
            Self::ResourceClaims => name == "count/resourceclaims.resource.k8s.io" || name.ends_with(OF_DEVICE_CLASS),
            Self::Objects(names) => names.iter().any(|known| known == name),
        }
    }

    /// Why an object may not be counted: containers of pods have to say how much processor and memory they need where these
    /// are tracked.
    pub(super) fn missing(&self, tracked: &[&str], object: &Value) -> Option<String> {
        if *self == Self::Pods { pods::missing(tracked, object) } else { None }
    }

    /// What an object uses.
    pub(super) fn usage(&self, object: &Value, now: Timestamp) -> ResourceList {
        match self {
            Self::Pods => pods::usage(object, now),
            Self::Services => service(object),
            Self::PersistentVolumeClaims => volume_claim(object),
            Self::ResourceClaims => resource_claim(object),
            Self::Objects(names) => {
                let mut usage = ResourceList::default();
                for name in names {
                    usage.set(name, Amount::count(1));
                }
                usage
            }
        }
    }
}

/// The resources whose objects amounts of these names may be of.
pub fn resources_counted_by<'n>(names: impl Iterator<Item = &'n str>) -> Vec<GroupResource> {
    let of = |group: &str, resource: &str| GroupResource { group: group.to_owned(), resource: resource.to_owned() };
    let with_rules =
        [of("", "pods"), of("", "services"), of("", "persistentvolumeclaims"), of("resource.k8s.io", "resourceclaims")];
    let mut found: Vec<GroupResource> = Vec::new();
    let mut add = |resource: GroupResource| {
        if !found.contains(&resource) {
            found.push(resource);
        }
    };
    for name in names {
        for resource in &with_rules {
            if Evaluator::of(resource).is_some_and(|evaluator| evaluator.tracks(name)) {
                add(resource.clone());
            }
        }
        if NAMED_COUNTS.contains(&name) {
            add(of("", name));
        }
        if let Some(counted) = name.strip_prefix("count/") {
            let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
            add(of(group, resource));
        }
    }
    found
}

fn service(service: &Value) -> ResourceList {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let on_nodes = match spec["type"].as_str() {
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => {
            ports.iter().filter(|port| port["nodePort"].as_i64().is_some_and(|number| number != 0)).count()
        }
        Some("NodePort" | "LoadBalancer") => ports.len(),
        _ => 0,
    };
    let mut usage = ResourceList::default();
    usage.set("count/services", Amount::count(1));
    usage.set("services", Amount::count(1));
    usage.set("services.nodeports", Amount::count(i64::try_from(on_nodes).unwrap_or(i64::MAX)));
    usage.set("services.loadbalancers", Amount::count(i64::from(spec["type"] == "LoadBalancer")));
    usage
}

fn volume_claim(claim: &Value) -> ResourceList {
    let annotation = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    let class = annotation.as_str().or_else(|| claim["spec"]["storageClassName"].as_str());
    let class = class.filter(|class| !class.is_empty());
    let mut usage = ResourceList::default();
    usage.set("count/persistentvolumeclaims", Amount::count(1));
    let mut both = |name: &str, amount: Amount| {
        if let Some(class) = class {
            usage.set(format!("{class}{OF_STORAGE_CLASS}{name}"), amount.clone());
        }
        usage.set(name, amount);
    };
    both("persistentvolumeclaims", Amount::count(1));
    if let Some(requested) = Amount::of(&claim["spec"]["resources"]["requests"]["storage"]) {
        // What was set aside for a size that the claim no longer asks for still counts.
        let allocated = Amount::of(&claim["status"]["allocatedResources"]["storage"]).map(Amount::rounded_up);
        let requested = requested.rounded_up();
        both("requests.storage", allocated.filter(|allocated| *allocated > requested).unwrap_or(requested));
    }
    usage
}

fn resource_claim(claim: &Value) -> ResourceList {
    let number = |request: &Value| match request["allocationMode"].as_str() {
        Some("ExactCount") => request["count"].as_i64().unwrap_or_default(),
        Some("All") => MOST_DEVICES,
        _ => 0,
    };
    let of_class = |request: &Value| {
        let mut usage = ResourceList::default();
        let class = request["deviceClassName"].as_str().unwrap_or_default();
        usage.set(format!("{class}{OF_DEVICE_CLASS}"), Amount::count(number(request)));
        usage
    };
    let mut usage = ResourceList::default();
    for request in claim["spec"]["devices"]["requests"].as_array().into_iter().flatten() {
        let alternatives = request["firstAvailable"].as_array().map_or(&[][..], Vec::as_slice);
        if alternatives.is_empty() && request["exactly"].is_object() {
            usage.add(&of_class(&request["exactly"]));
        }
        // One of them will be taken: the most that may be.
        let mut most = ResourceList::default();
        for alternative in alternatives {
            most.raise(&of_class(alternative).only(|_, amount| !amount.is_zero()));
        }
        usage.add(&most);
    }
    let as_resources: Vec<(String, Amount)> = usage
        .iter()
        .filter(|(_, amount)| !amount.is_zero())
        .filter_map(|(name, amount)| Some((name.strip_suffix(OF_DEVICE_CLASS)?, amount)))
        .filter(|(class, _)| !class.is_empty())
        .map(|(class, amount)| (format!("{DEVICES_AS_RESOURCE}{class}"), amount.clone()))
        .collect();
    for (name, amount) in as_resources {
        usage.set(name, amount);
    }
    usage.set("count/resourceclaims.resource.k8s.io", Amount::count(1));
    usage
}
