//! What the real server's default admission plugins do to built-in kinds: priorities and tolerations of pods, classes that are
//! meant where none is named, protection of storage that is in use, taints of new nodes.

use kogge_machinery::{
    quantity::Quantity,
    resource::{GroupResource, ResourceType},
    status_error::ApiError,
};
use serde_json::{Value, json};

use super::{default_classes, runtime_class, strategy::made, topology_labels};
use crate::{
    plane::{Plane, list_error},
    store::{ObjectKey, Scope},
};

/// Classes every cluster has, with their values.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
/// Kept on claims and volumes while something uses them; taken away by the controller of the same name.
pub(crate) const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// As [`CLAIM_PROTECTION`], of volumes.
pub(crate) const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// As [`CLAIM_PROTECTION`], of the classes of attributes of volumes.
pub(crate) const CLASS_PROTECTION: &str = "kubernetes.io/vac-protection";

/// Changes an object that is created (`old` absent) or updated, before webhooks see it. What was admitted once is not changed
/// any more, unless a webhook did that meanwhile.
///
/// # Errors
/// 403 for a class of pods that is not there, or what a pod says otherwise than its class; errors of the store.
pub(super) fn admit(
    plane: &Plane,
    resource: &ResourceType,
    old: Option<&Value>,
    object: &mut Value,
) -> Result<(), ApiError> {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => {
            match old {
                None => prioritise(plane, resource, object)?,
                Some(old) => keep_priority(old, object),
            }
            tolerate_absence(object);
            if old.is_none() {
                runtime_class::admit(plane, resource, object)?;
                if let Some(node) =
                    object["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()).map(str::to_owned)
                {
                    topology_labels::copy(plane, &node, object)?;
                }
            }
        }
        ("", "persistentvolumeclaims") if old.is_none() => {
            default_classes::of_claim(plane, object)?;
            protect(object, CLAIM_PROTECTION);
        }
        ("networking.k8s.io", "ingresses") if old.is_none() => default_classes::of_ingress(plane, object)?,
        ("", "persistentvolumes") if old.is_none() => protect(object, VOLUME_PROTECTION),
        ("storage.k8s.io", "volumeattributesclasses") if old.is_none() => protect(object, CLASS_PROTECTION),
        _ => {}
    }
    Ok(())
}

/// Judges an object that is created (`old` absent) or updated, when it is complete and valid.
///
/// # Errors
/// 403 for a second default class of priorities, and what a pod says otherwise than its class; errors of the store.
pub(super) fn validate(
    plane: &Plane,
    resource: &ResourceType,
    old: Option<&Value>,
    object: &Value,
) -> Result<(), ApiError> {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") if old.is_none() => runtime_class::validate(plane, resource, object),
        ("scheduling.k8s.io", "priorityclasses") => only_default(plane, resource, old, object),
        _ => Ok(()),
    }
}

/// 403 in the words of the real server's plugins: what has no name yet is called as its name will begin.
pub(super) fn forbidden(resource: &ResourceType, object: &Value, why: &str) -> ApiError {
    let given = |field: &str| object["metadata"][field].as_str().filter(|text| !text.is_empty());
    let name = given("name").or_else(|| given("generateName")).unwrap_or("Unknown");
    ApiError::forbidden(&resource.group_resource(), name, why)
}

/// A node that registers is tainted until somebody finds it ready.
pub(super) fn taint_new_node(object: &mut Value) {
    const NOT_READY: &str = "node.kubernetes.io/not-ready";
    let Some(spec) = made(object, "spec") else { return };
    let taints = spec.entry("taints").or_insert(Value::Null);
    if taints.is_null() {
        *taints = json!([]);
    }
    if let Some(taints) = taints.as_array_mut()
        && !taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule")
    {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}

fn protect(object: &mut Value, finalizer: &str) {
    let Some(metadata) = made(object, "metadata") else { return };
    let finalizers = metadata.entry("finalizers").or_insert(Value::Null);
    if finalizers.is_null() {
        *finalizers = json!([]);
    }
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|known| known == finalizer)
    {
        finalizers.push(finalizer.into());
    }
}

/// Refuses to let a claim of a volume grow unless its class says that it can (`PersistentVolumeClaimResize`).
///
/// # Errors
/// 403; errors of the store.
pub(super) fn check_expansion(
    plane: &Plane,
    resource: &ResourceType,
    old: &Value,
    claim: &Value,
) -> Result<(), ApiError> {
    let size = |claim: &Value| Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]);
    if size(claim).is_none_or(|size_now| size(old).is_some_and(|before| size_now <= before)) {
        return Ok(());
    }
    let forbidden = |why: &str| Err(forbidden(resource, claim, why));
    if old["status"]["phase"] != "Bound" {
        return forbidden("Only bound persistent volume claims can be expanded");
    }
    let class_of = |claim: &Value| {
        let annotation = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
        let class = annotation.as_str().or_else(|| claim["spec"]["storageClassName"].as_str());
        class.unwrap_or_default().to_owned()
    };
    let name = class_of(claim);
    let class = if name.is_empty() || name != class_of(old) {
        None
    } else {
        let resource = GroupResource { group: "storage.k8s.io".to_owned(), resource: "storageclasses".to_owned() };
        plane.get(&ObjectKey { resource, namespace: String::new(), name })?
    };
    let class: Value = class.and_then(|stored| serde_json::from_slice(&stored.json).ok()).unwrap_or_default();
    if class["allowVolumeExpansion"] == true {
        return Ok(());
    }
    forbidden(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}

/// The value and the preemption policy of a class.
struct Priority {
    class: Option<String>,
    value: i64,
    preemption: String,
}

fn prioritise(plane: &Plane, resource: &ResourceType, pod: &mut Value) -> Result<(), ApiError> {
    let forbidden = |why: &str| forbidden(resource, pod, why);
    let spec = &pod["spec"];
    let named = spec["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let priority = if named.is_empty() {
        default_priority(plane)?
    } else {
        class(plane, &named)?.ok_or_else(|| forbidden(&format!("no PriorityClass with name {named} was found")))?
    };
    let given = spec["priority"].as_i64();
    if let Some(given) = given.filter(|given| *given != priority.value) {
        let computed = priority.value;
        return Err(forbidden(&format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed \
             {computed} from the given PriorityClass name"
        )));
    }
    let policy = spec["preemptionPolicy"].as_str();
    if let Some(given) = policy.filter(|given| *given != priority.preemption) {
        let computed = &priority.preemption;
        return Err(forbidden(&format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller \
             computed {computed} from the given PriorityClass name"
        )));
    }
    let Some(spec) = made(pod, "spec") else { return Ok(()) };
    spec.insert("priority".to_owned(), priority.value.into());
    spec.insert("preemptionPolicy".to_owned(), priority.preemption.into());
    if let Some(class) = priority.class {
        spec.insert("priorityClassName".to_owned(), class.into());
    }
    Ok(())
}

fn classes() -> GroupResource {
    GroupResource { group: "scheduling.k8s.io".to_owned(), resource: "priorityclasses".to_owned() }
}

fn priority_of(class: &Value, name: Option<String>) -> Priority {
    let preemption = class["preemptionPolicy"].as_str().filter(|policy| !policy.is_empty());
    Priority {
        class: name,
        value: class["value"].as_i64().unwrap_or_default(),
        preemption: preemption.unwrap_or("PreemptLowerPriority").to_owned(),
    }
}

fn class(plane: &Plane, name: &str) -> Result<Option<Priority>, ApiError> {
    let key = ObjectKey { resource: classes(), namespace: String::new(), name: name.to_owned() };
    if let Some(stored) = plane.get(&key)? {
        let class: Value = serde_json::from_slice(&stored.json).unwrap_or_default();
        return Ok(Some(priority_of(&class, None)));
    }
    let system = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name);
    Ok(system.map(|(_, value)| priority_of(&json!({"value": value}), None)))
}

/// The class that is meant where none is named, by its name. Of several the least counts, as in the real server.
fn global_default(plane: &Plane) -> Result<Option<(String, Priority)>, ApiError> {
    let page = plane.store().list(&Scope::Resource(classes()), None, 0, None).map_err(|error| list_error(&error))?;
    let defaults = page.items.iter().filter_map(|item| {
        let class: Value = serde_json::from_slice(&item.json).ok()?;
        let name = class["metadata"]["name"].as_str()?.to_owned();
        (class["globalDefault"] == true).then(|| (name.clone(), priority_of(&class, Some(name))))
    });
    Ok(defaults.min_by_key(|(_, priority)| priority.value))
}

fn default_priority(plane: &Plane) -> Result<Priority, ApiError> {
    Ok(global_default(plane)?.map_or_else(|| priority_of(&Value::Null, None), |(_, priority)| priority))
}

/// Refuses to make a class the default one beside another.
fn only_default(plane: &Plane, resource: &ResourceType, old: Option<&Value>, class: &Value) -> Result<(), ApiError> {
    if class["globalDefault"] != true {
        return Ok(());
    }
    match global_default(plane)? {
        Some((name, _)) if old.is_none() || class["metadata"]["name"] != *name => {
            let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
            Err(forbidden(resource, class, &why))
        }
        _ => Ok(()),
    }
}

fn keep_priority(old: &Value, pod: &mut Value) {
    let Some(spec) = made(pod, "spec") else { return };
    for field in ["priority", "preemptionPolicy"] {
        let known = &old["spec"][field];
        if spec.get(field).is_none_or(Value::is_null) && !known.is_null() {
            spec.insert(field.to_owned(), known.clone());
        }
    }
}

/// A pod stays for five minutes on a node that is away.
fn tolerate_absence(pod: &mut Value) {
    let Some(spec) = made(pod, "spec") else { return };
    let tolerations = spec.entry("tolerations").or_insert(Value::Null);
    if tolerations.is_null() {
        *tolerations = json!([]);
    }
    let Some(tolerations) = tolerations.as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().any(|toleration| {
            let is = |field: &str, wanted: &str| {
                toleration[field].as_str().is_none_or(|text| text.is_empty() || text == wanted)
            };
            is("key", key) && is("effect", "NoExecute")
        });
        if !tolerated {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}
