//! What the real server decides by code and state when built-in kinds are written: first status, allocated addresses
//! and ports, generated selectors (the `PrepareForCreate` and `PrepareForUpdate` of Kubernetes' `pkg/registry`).
//!
//! Fixed defaults are not here, they are in [`crate::builtin::defaults`]. Objects reach this module before they are validated,
//! so nothing may be taken for granted about their shape.

use std::collections::HashSet;

use kogge_machinery::{
    resource::{GroupResource, ResourceType},
    status_error::ApiError,
};
use serde_json::{Map, Value, json};

use crate::{
    builtin,
    plane::{Plane, list_error},
    store::Scope,
};

/// First and last address of services: 10.96.0.0/12 without the reserved ones at its ends.
const SERVICE_ADDRESSES: std::ops::Range<u32> = 0x0a60_000b..0x0a6f_fffe;
/// Ports of services on nodes.
const NODE_PORTS: std::ops::Range<u32> = 30_000..32_768;

/// Completes a new object of a built-in kind.
///
/// # Errors
/// If the plane cannot be read, or has no free address or port.
pub(crate) fn prepare_create(plane: &Plane, resource: &ResourceType, object: &mut Value) -> Result<(), ApiError> {
    if let Some(status) = builtin::defaults::initial_status(resource) {
        set(object, "status", status);
    }
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => {
            if let Some(spec) = made(object, "spec") {
                spec.insert("finalizers".to_owned(), json!(["kubernetes"]));
            }
        }
        ("", "pods") => {
            let class = quality_of_service(object);
            if let Some(status) = made(object, "status") {
                status.insert("qosClass".to_owned(), class.into());
            }
        }
        ("", "services") => allocate_addresses(plane, object)?,
        ("batch", "jobs") => generate_selector(object),
        _ => {}
    }
    Ok(())
}

/// Completes a changed object of a built-in kind: what was allocated stays where the change leaves it out.
///
/// # Errors
/// As [`prepare_create`].
pub(crate) fn prepare_update(
    plane: &Plane,
    resource: &ResourceType,
    old: &Value,
    object: &mut Value,
) -> Result<(), ApiError> {
    if (resource.group.as_str(), resource.plural.as_str()) == ("", "services") {
        let old = &old["spec"];
        if let Some(spec) = made(object, "spec") {
            if !is_external(spec) {
                for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                    if spec.get(field).is_none_or(is_empty) && !is_empty(&old[field]) {
                        spec.insert(field.to_owned(), old[field].clone());
                    }
                }
            }
            keep_node_ports(&old["ports"], spec);
        }
        allocate_addresses(plane, object)?;
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        _ => false,
    }
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// The object in a field, made where absent; none where something else is there.
fn made<'o>(object: &'o mut Value, field: &str) -> Option<&'o mut Map<String, Value>> {
    let member = object.as_object_mut()?.entry(field).or_insert(Value::Null);
    if member.is_null() {
        *member = Value::Object(Map::new());
    }
    member.as_object_mut()
}

/// `status.qosClass` by requests and limits of processor and memory (`pkg/apis/core/helper/qos`).
fn quality_of_service(pod: &Value) -> &'static str {
    let containers = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let resources = &container["resources"];
        for name in ["cpu", "memory"] {
            let (request, limit) = (&resources["requests"][name], &resources["limits"][name]);
            any |= !request.is_null() || !limit.is_null();
            guaranteed &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A job selects its pods by its own uid unless it brings a selector.
fn generate_selector(job: &mut Value) {
    if job["spec"]["manualSelector"] == true || !job["spec"]["selector"].is_null() {
        return;
    }
    let (uid, name) = (job["metadata"]["uid"].clone(), job["metadata"]["name"].clone());
    let Some(spec) = made(job, "spec") else { return };
    spec.insert("selector".to_owned(), json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    let Some(template) = spec.get_mut("template") else { return };
    if let Some(metadata) = made(template, "metadata") {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if labels.is_null() {
            *labels = json!({});
        }
        if let Some(labels) = labels.as_object_mut() {
            for (label, value) in [
                ("batch.kubernetes.io/controller-uid", &uid),
                ("batch.kubernetes.io/job-name", &name),
                ("controller-uid", &uid),
                ("job-name", &name),
            ] {
                labels.insert(label.to_owned(), value.clone());
            }
        }
    }
}

fn is_external(spec: &Map<String, Value>) -> bool {
    spec.get("type").is_some_and(|kind| kind == "ExternalName")
}

/// Ports of the same name and port keep the node port they have.
fn keep_node_ports(old: &Value, spec: &mut Map<String, Value>) {
    let wants = matches!(spec.get("type").and_then(Value::as_str), Some("NodePort" | "LoadBalancer"));
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter(|_| wants) {
        let same = |known: &&Value| known["name"] == port["name"] && known["port"] == port["port"];
        let known = old.as_array().into_iter().flatten().find(same).map(|known| known["nodePort"].clone());
        if let (Some(known), Some(port)) = (known, port.as_object_mut())
            && port.get("nodePort").is_none_or(is_empty)
            && !is_empty(&known)
        {
            port.insert("nodePort".to_owned(), known);
        }
    }
}

/// Gives a service its address and its ports on nodes, where it should have them and does not.
fn allocate_addresses(plane: &Plane, service: &mut Value) -> Result<(), ApiError> {
    let seed = service["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let Some(spec) = made(service, "spec") else { return Ok(()) };
    if is_external(spec) {
        return Ok(());
    }
    let wants_address = spec.get("clusterIP").is_none_or(is_empty);
    let on_nodes = matches!(spec.get("type").and_then(Value::as_str), Some("NodePort" | "LoadBalancer"));
    let ports = spec.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let wants_ports = on_nodes && ports.iter().any(|port| port.get("nodePort").is_none_or(is_empty));
    if wants_address || wants_ports {
        let taken = Allocated::read(plane)?;
        if wants_address {
            let free = free(SERVICE_ADDRESSES, &seed, &taken.addresses)?;
            spec.insert("clusterIP".to_owned(), std::net::Ipv4Addr::from_bits(free).to_string().into());
        }
        let mut taken_ports = taken.ports;
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().filter(|_| wants_ports) {
            if let Some(port) = port.as_object_mut().filter(|port| port.get("nodePort").is_none_or(is_empty)) {
                let free = free(NODE_PORTS, &seed, &taken_ports)?;
                taken_ports.insert(free);
                port.insert("nodePort".to_owned(), free.into());
            }
        }
    }
    if let Some(address) = spec.get("clusterIP").filter(|address| address.is_string()).cloned() {
        let family = if address.as_str().is_some_and(|address| address.contains(':')) { "IPv6" } else { "IPv4" };
        for (field, value) in [
            ("clusterIPs", json!([address])),
            ("ipFamilies", json!([family])),
            ("ipFamilyPolicy", json!("SingleStack")),
        ] {
            if spec.get(field).is_none_or(is_empty) {
                spec.insert(field.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// What services of a plane have been given.
struct Allocated {
    addresses: HashSet<u32>,
    ports: HashSet<u32>,
}

impl Allocated {
    fn read(plane: &Plane) -> Result<Self, ApiError> {
        let services = GroupResource { group: String::new(), resource: "services".to_owned() };
        let page = plane.store().list(&Scope::Resource(services), None, 0, None).map_err(|error| list_error(&error))?;
        let mut allocated = Self { addresses: HashSet::new(), ports: HashSet::new() };
        for item in page.items {
            let service: Value = serde_json::from_slice(&item.json).unwrap_or_default();
            let address =
                service["spec"]["clusterIP"].as_str().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok());
            allocated.addresses.extend(address.map(std::net::Ipv4Addr::to_bits));
            for port in service["spec"]["ports"].as_array().into_iter().flatten() {
                allocated.ports.extend(port["nodePort"].as_u64().and_then(|port| u32::try_from(port).ok()));
            }
        }
        Ok(allocated)
    }
}

/// A value of the range that is not taken, found from a place that the seed decides.
fn free(range: std::ops::Range<u32>, seed: &str, taken: &HashSet<u32>) -> Result<u32, ApiError> {
    let length = range.end - range.start;
    // FNV-1a: uids are random already, this only brings them into the range.
    let hash = seed.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (0..length)
        .map(|step| range.start + (hash.wrapping_add(step)) % length)
        .find(|candidate| !taken.contains(candidate))
        .ok_or_else(|| ApiError::internal("the range is full"))
}
